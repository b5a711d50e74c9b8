"""Try to break the commands by what may happen to any process; by hand, on Linux:

    python -m tests.faults kills             # kill -9: every command at 200 moments
    python -m tests.faults kills --count 20 train publish
    python -m tests.faults places            # disks, names, homes, signals, readers
    python -m tests.faults places --only signals --only full_disk convert 'data build'

`kills` needs half an hour for the trainings alone: each is killed at random moments and goes on,
again and again, until 200 times have come together, and each that comes to its end must have left
what an uninterrupted one leaves, bit for bit. The other commands are killed at 200 random moments,
and besides before every single change that they make to a folder. `places` mounts small disks, for
which it has to be root. Prints a table of what was done and what came of it, and ends with status 1
where anything fell short.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import forks
from tests.faults.commands import COMMANDS, make_materials
from tests.faults.kills import ATOMIC, TRAININGS, at_random, each_change, training
from tests.faults.places import ATTACKS, Attacks, ended, start


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tried(what: str, attack: Callable[..., dict[str, int]], *arguments: Any) -> bool:
    """A row of the table; False where an attack succeeded."""
    try:
        counts = attack(*arguments)
    except AssertionError:
        say(f"| {what} | **falls short** |\n")
        traceback.print_exc()
        return False
    say(f"| {what} | {', '.join(f'{count} {kind}' for kind, count in counts.items())} |")
    return True


def kills(root: Path, names: list[str], count: int) -> bool:
    forks.prepare([*forks.LIGHT, *(forks.HEAVY if set(TRAININGS) & {*names} else [])])
    materials = make_materials(root / "m", lambda words: forks.run(words, root), names)
    fine = True
    for name in [name for name in ATOMIC if name in names]:
        what = f"`zoo {name}` killed"
        fine &= tried(f"{what} before each change", each_change, root, name, materials)
        fine &= tried(f"{what} at {count} moments", at_random, root, name, materials, count)
    for name in [name for name in TRAININGS if name in names]:
        fine &= tried(f"`zoo {name}` killed", training, root, name, materials, count)
    return fine


def places(root: Path, names: list[str], only: list[str]) -> bool:
    def run(words: list[str]) -> None:
        said = ended(start(words, root))
        assert said.status == 0, said

    attacks = Attacks(root, make_materials(root / "m", run, names), names)
    for name in only or ATTACKS:
        getattr(attacks, name)()
    report = attacks.report
    for what, count in report.tried.items():
        short = sum(text.startswith(f"{what}: ") for text in report.failed)
        say(f"| {what} | {count - short} of {count} as they should |")
    for text in report.failed:
        say(text)
    return not report.failed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("attack", choices=["kills", "places"])
    parser.add_argument("names", nargs="*", metavar="COMMAND", help="default: all")
    parser.add_argument("--count", type=int, default=200, help="of kills")
    parser.add_argument("--only", action="append", default=[], choices=ATTACKS, help="of places")
    given = parser.parse_intermixed_args()
    names = given.names or list(COMMANDS)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        if given.attack == "kills":
            fine = kills(Path(folder), names, given.count)
        else:
            fine = places(Path(folder), names, given.only)
    sys.exit(not fine)


if __name__ == "__main__":
    main()
