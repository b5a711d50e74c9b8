"""`kill -9` at random moments, and before every change that a command makes to a folder."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

from tests.faults.commands import COMMANDS, make_materials, newest, results
from tests.faults.forks import Ended, fork, kill_after, kill_at, run

ATOMIC = [
    *("convert", "convert --split", "convert --external-data", "encode", "decode"),
    *("data build", "data mean", "publish", "pull", "prototxt"),
]
"""Commands that leave the old state or the new one, whenever they are killed."""

TRAININGS = ("train", "train --recipe paper", "train --recipe modern")


class Place:
    """A folder for a command's output, to which states that it was in can be brought back."""

    def __init__(self, root: Path, name: str, materials: Path) -> None:
        self.folder, self.before = root / "out", root / "before"
        self.work, self.command = root / "work", COMMANDS[name]
        self.words = self.command.words(materials, self.folder)
        for path in (root, self.folder, self.before, self.work):
            path.mkdir(exist_ok=True)

    def reset(self) -> None:
        """Put there what was `kept`; nothing at first."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.before, self.folder, symlinks=True)

    def keep(self) -> None:
        """Remember what is there."""
        shutil.rmtree(self.before)
        shutil.copytree(self.folder, self.before, symlinks=True)

    def run(self, **how: Any) -> Ended:
        return fork(self.words, self.work, **how)

    def results(self) -> dict[str, Any]:
        return results(self.folder)


def old_ones(root: Path, name: str, materials: Path) -> Place:
    """A place with what the command makes of other weights, where it replaces something."""
    folder = root / name.replace(" ", "_")
    shutil.rmtree(folder, ignore_errors=True)
    place = Place(folder, name, materials)
    if name not in ("data build", "data mean", "publish", "prototxt"):
        other = make_materials(folder / "other", lambda words: run(words, root), [name], seed=1)
        run(COMMANDS[name].words(other, place.folder), root)
        place.keep()
    return place


def outcome(place: Place, old: dict[str, Any], new: dict[str, Any]) -> str:
    """What a killed command left: `old`, `new`, `fewer` of several files; AssertionError for more.

    `fewer` is what the instant may leave in which several files take their names: each is a new one
    and some are not there. Then the same command is given again, and must succeed.
    """
    found = place.results()
    kind = "old" if found == old else "new" if found == new else ""
    if not kind and found.items() <= new.items():
        kind = "fewer"
    if not kind and found.items() <= old.items():
        kind = "fewer"
    assert kind, {
        name: (found.get(name) == old.get(name), found.get(name) == new.get(name))
        for name in found.keys() | old.keys() | new.keys()
    }
    again = place.run()
    if place.words[:2] == ["data", "build"] and kind == "new":
        assert "is there already" in again.said, again
    else:
        assert again.status == 0, again
    assert place.results() == new
    left = [p for p in place.folder.rglob(".zoo-*")] + [p for p in place.folder.rglob("*.partial")]
    assert not left, left
    return kind


def each_change(root: Path, name: str, materials: Path) -> dict[str, int]:
    """Kill a command before its first change, its second and so on; how often it left what."""
    place = old_ones(root, name, materials)
    place.reset()
    old = place.results()
    run(place.words, root)
    new = place.results()
    assert new != old
    counts: dict[str, int] = {}
    for number in range(1, 1000):
        place.reset()
        ended = place.run(within=kill_at(number))
        if not ended.killed:
            assert ended.status == 0, ended
            return counts
        kind = outcome(place, old, new)
        counts[kind] = counts.get(kind, 0) + 1
    raise AssertionError("never ends")


def at_random(root: Path, name: str, materials: Path, count: int, seed: int = 0) -> dict[str, int]:
    """Kill a command at `count` random moments of its run; how often it left what."""
    place = old_ones(root, name, materials)
    place.reset()
    old = place.results()
    seconds = place.run().seconds
    new = place.results()
    drawn, counts = random.Random(seed), dict[str, int]()
    killed = 0
    while killed < count:
        place.reset()
        ended = place.run(attack=kill_after(drawn.uniform(0, seconds)), within=often)
        if not ended.killed:
            continue
        killed += 1
        kind = outcome(place, old, new)
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def often() -> None:
    """Let snapshots be taken again and again, as in a long training, and records be written."""
    from zoo.data import build
    from zoo.paper import architectures
    from zoo.paper.recipes import run as recipe_run
    from zoo.paper.recipes.modern import Modern

    build.COMMIT_EVERY = 1
    recipe_run.SAVE_EVERY = 0.05
    Modern.run.__defaults__ = (3,)
    whole = architectures.solver
    architectures.solver = lambda *a, **k: whole(*a, **k).replace("snapshot: 1000", "snapshot: 3")


def training(root: Path, name: str, materials: Path, count: int, seed: int = 0) -> dict[str, int]:
    """Kill a training at random moments and go on, until it ends; again, until `count` kills.

    Each that came to its end must have left what an uninterrupted one leaves.
    """
    place = Place(root / name.replace(" ", "_"), name, materials)
    place.reset()
    whole = place.run(within=often)
    assert whole.status == 0, whole
    new, plain = place.results(), place.words
    drawn = random.Random(seed)
    counts = {"killed": 0, "resumed": 0, "begun anew": 0, "ended the same": 0}
    place.reset()
    while True:
        state = newest(place.folder)
        place.words = [*plain, *(["--resume", str(state)] if state else [])]
        alive = counts["killed"] >= count
        moment = drawn.uniform(0, 1.1 * whole.seconds)
        ended = place.run(within=often, attack=None if alive else kill_after(moment))
        if ended.killed:
            counts["killed"] += 1
            counts["resumed" if newest(place.folder) else "begun anew"] += 1
            continue
        assert ended.status == 0, ended
        found = place.results()
        differ = [n for n in found.keys() | new.keys() if found.get(n) != new.get(n)]
        assert not differ, (differ, place.folder)
        counts["ended the same"] += 1
        if alive:
            return counts
        place.reset()
