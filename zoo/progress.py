"""How far work has come: what library functions tell their caller, who may draw a bar of it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["OnProgress", "counted", "unheard"]

OnProgress = Callable[[int, int], object]
"""Called with how many steps are done, of how many: with 0 at the start, then after each."""


def unheard(done: int, total: int) -> None:
    """Where nobody wants to know."""


def counted(on_progress: OnProgress, total: int) -> Callable[..., None]:
    """What is called once a step, with whatever, and tells `on_progress` the count."""
    done = 0

    def step(*_: object) -> None:
        nonlocal done
        done += 1
        on_progress(done, total)

    on_progress(0, total)
    return step
