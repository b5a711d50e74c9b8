"""Repeated, interleaved runs, and what is said of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Clock", "Timing", "calls_per_turn", "interleave", "seconds_per_call"]

Clock = Callable[[], float]


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median over rounds, and the quartiles around it."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Of one number or more; the quartiles of fewer than two are the number itself."""
        if len(seconds) < 2:
            return cls(seconds[0], seconds[0], seconds[0], 1)
        low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(median, low, high, len(seconds))


def seconds_per_call(
    call: Callable[[], object], times: int, clock: Clock = time.perf_counter
) -> float:
    """The mean over `times` calls in a row."""
    started = clock()
    for _ in range(times):
        call()
    return (clock() - started) / times


def calls_per_turn(one: float, turn: float, most: int = 10_000) -> int:
    """How many calls of `one` second fill a turn; at least one."""
    return max(1, min(most, round(turn / one))) if one > 0 else most


def interleave(
    turns: Mapping[str, Callable[[], float]],
    rounds: int,
    on_round: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Let every contestant take its turn once a round.

    What disturbs the machine then disturbs all of them. Who begins changes from round to round.
    """
    names = list(turns)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names) if names else 0
        for name in names[first:] + names[:first]:
            found[name].append(turns[name]())
        on_round()
    return found
