"""Which definitions of a collection convert, and why the others do not.

    python -m zoo.checking.coverage DIR [--json FILE] [--usage FILE] [--processes N]

Every .prototxt below DIR that is a network is converted as `zoo convert FILE` does it, without any
option, but for writing the file. The first folder below DIR is taken for its repository.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prototxt.errors import ZooError

__all__ = ["Outcome", "definitions", "survey", "table", "try_to_convert", "usage"]


@dataclass(frozen=True)
class Outcome:
    """What became of one definition."""

    file: str
    """Its path below the collection, with forward slashes."""
    converts: bool
    said: str
    """The refusal in one line; empty of one that converts."""
    reason: str = ""
    """The refusal without names and numbers, so that equal ones can be counted."""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    layers: dict[str, int] = field(default_factory=dict)
    """How many layers of each type it has; of Python layers ``Python:module.Class``."""

    @property
    def repository(self) -> str:
        """The first folder of its path."""
        return self.file.partition("/")[0]

    @property
    def deploys(self) -> bool:
        """Whether its path says that it is for inference."""
        return "deploy" in self.file.lower()


def definitions(folder: Path) -> list[Path]:
    """The definitions of networks below a folder, sorted; solvers and other texts are left out."""
    import prototxt

    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".prototxt", ".pt", ".pbtxt", ".prototext") or not path.is_file():
            continue
        try:
            message = prototxt.read_text(path)
        except ZooError:
            found.append(path)  # whatever it is, it shall be told
            continue
        if not prototxt.is_solver(message):
            found.append(path)
    return found


def try_to_convert(path: Path, folder: Path) -> Outcome:
    """Convert one definition, as far as the model in memory."""
    import converters
    import prototxt
    from converters.resolve import type_of

    name, started = path.relative_to(folder).as_posix(), time.perf_counter()
    layers: Counter[str] = Counter()
    try:
        layers.update(type_of(layer) for layer in prototxt.read_net(path, lenient=True).layers)
        conversion = converters.convert(path)
        for part in conversion.parts:
            conversion.onnx_file(part)
        notes, said, why = tuple(conversion.notes), "", ""
    except ZooError as error:
        about = error.subject if error.subject != str(path) else None
        notes, said, why = (), str(error), ": ".join(filter(None, (about, error.message)))
    except Exception as error:  # a defect of ours: to be counted, not to stop the survey
        notes, said = (), f"internal error: {type(error).__name__}: {error}"
        why = said
    taken = time.perf_counter() - started
    said = said.replace(str(path), name)
    return Outcome(name, not said, said, without_names(why), notes, round(taken, 3), dict(layers))


def without_names(text: str) -> str:
    """A refusal without the names and numbers in it."""
    return re.sub(r"\d+", "N", re.sub(r"'[^']*'", "X", text))


def survey(folder: Path, processes: int = 2) -> Iterator[Outcome]:
    """Try every definition below a folder, some at a time; in their order."""
    paths = definitions(folder)
    # Not forked: who forks a process with threads may wait for what they hold, for ever.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(try_to_convert, paths, [folder] * len(paths))


def table(outcomes: Sequence[Outcome]) -> str:
    """The shares, what does not convert by reason, and by repository: Markdown."""

    def share(some: Sequence[Outcome]) -> str:
        good = sum(one.converts for one in some)
        return f"{good} of {len(some)} ({good / max(len(some), 1):.1%})"

    lines = [
        f"- all: {share(outcomes)}",
        f"- with 'deploy' in their path: {share([one for one in outcomes if one.deploys])}",
        "",
        "| refused | times | for instance |",
        "| --- | ---: | --- |",
    ]
    refused = [one for one in outcomes if not one.converts]
    for why, count in Counter(one.reason for one in refused).most_common():
        first = next(one for one in refused if one.reason == why)
        lines.append(f"| {cell(why)} | {count} | {cell(first.file)} |")
    lines += ["", "| repository | converts |", "| --- | --- |"]
    for repository in sorted({one.repository for one in outcomes}):
        own = [one for one in outcomes if one.repository == repository]
        lines.append(f"| {cell(repository)} | {share(own)} |")
    return "\n".join([*lines, ""])


def usage(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How many definitions have each type of layer, most first; `layer_table` shows it."""
    types = Counter(name for one in outcomes for name in one.layers)
    return {
        "definitions": len(outcomes),
        "repositories": len({one.repository for one in outcomes}),
        "types": dict(sorted(types.items(), key=lambda pair: (-pair[1], pair[0]))),
    }


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """The command of the module's docstring."""
    from prototxt.files import atomic_write

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome")
    parser.add_argument("--usage", type=Path, metavar="FILE", help="write which types are used")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    given = parser.parse_args()
    outcomes = list(survey(given.folder, given.processes))
    if given.json is not None:
        atomic_write(given.json, json.dumps([asdict(one) for one in outcomes], indent=1) + "\n")
    if given.usage is not None:
        atomic_write(given.usage, json.dumps(usage(outcomes), indent=1) + "\n")
    sys.stdout.write(table(outcomes))


if __name__ == "__main__":
    main()
