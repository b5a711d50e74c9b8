"""The suites of `zoo bench`, by name: how each is measured, what its files are."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prototxt.errors import Argument, Sentence, UsageError
from prototxt.files import atomic_write_all
from zoo.benchmarks import converting, machine, networks, precision, report, running, training
from zoo.paper import architectures

__all__ = ["check", "measure", "write"]


def check(suites: Sequence[str], arches: Sequence[str], provider: str, folder: Path | None) -> None:
    """UsageError for what cannot be measured, or written to."""
    for name in arches:
        arch = architectures.arch_of(name)
        if arch != name and "train" in suites:
            raise UsageError(
                Sentence(Argument("arch", name), " is not for the suite train"),
                remedy=f"give {arch}",
            )
    if provider == "auto":
        raise UsageError(
            Sentence(Argument("provider"), " auto: say which one is measured"), remedy="cpu or cuda"
        )
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(
            "is a file", subject=Argument("output", str(folder)), remedy="name a folder"
        )


def measure(
    suite: str,
    *,
    arches: Sequence[str] = (),
    batches: Sequence[int] = (),
    threads: int | None = None,
    rounds: int | None = None,
    provider: str = "cpu",
    quick: bool = False,
    large: bool = False,
    opencv: Path | None = None,
    photographs: precision.Photographs | None = None,
    network: precision.Network | None = None,
    on_round: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Measure one of `report.SUITES`; a document as `report.document` makes it.

    `threads` are by default one for each core, `arches` the paper's, `batches` 1 and 16; `quick`
    takes small networks and few rounds. `opencv` is a folder with OpenCV 4. The suite `precision`
    measures over `photographs`, by default sample ones, in batches of 1 by default, `network` as
    well, or alone where no `arches` are named. `on_round` is called after each turn of everyone.
    """
    load = machine.describe()["load"]
    photographs = photographs or precision.Photographs.of()
    settings = settings_of(
        suite, threads or machine.cores(), rounds, provider, quick, large, opencv, photographs
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if suite == "precision":
            every = networks.embedded()[: 1 if quick else None] if network is None else []
            rows = precision.run(
                folder, arches or every, network, batches or [1], photographs, settings, on_round
            )
        else:
            rows = rows_of(suite, folder, arches, batches, settings, quick, on_round)
    return report.document(suite, vars(settings), rows, load)


def write(document: Mapping[str, Any], folder: Path) -> None:
    """SUITE.json and SUITE.md, both or none, into a folder that is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{document['suite']}.json"
    text = json.dumps(document, indent=1, default=str) + "\n"
    atomic_write_all([(path, text), (path.with_suffix(".md"), report.markdown(document))])


def settings_of(
    suite: str,
    threads: int,
    rounds: int | None,
    provider: str,
    quick: bool,
    large: bool,
    opencv: Path | None,
    photographs: precision.Photographs,
) -> Any:
    """How a suite is to be measured."""
    given: dict[str, Any] = {"threads": threads}
    if rounds is not None or quick:
        given["rounds"] = rounds or 2
    if suite == "convert":
        tiny: dict[str, Any] = {"side": 32, "width": 0.1, "hidden": 64} if quick else {}
        return converting.Settings(**given, **tiny, large=large and not quick)
    given["provider"] = provider
    if quick:
        given["turn"] = 0.01
    if suite == "precision":
        if quick:
            given["side"] = 32
        return precision.Settings(**given, **photographs.told())
    if quick:
        given["matrix"] = 128
    if suite == "train":
        few: dict[str, Any] = {"batch": 2, "images": 5} if quick else {}
        return training.Settings(**given, **few)
    small: dict[str, Any] = {
        "side": 32,
        "compiled": False,
        "classifier_side": 67,
        "classifier_hidden": 8,
    }
    return running.Settings(
        **given, **(small if quick else {}), opencv=str(opencv.resolve()) if opencv else None
    )


def rows_of(
    suite: str,
    folder: Path,
    arches: Sequence[str],
    batches: Sequence[int],
    settings: Any,
    quick: bool,
    on_round: Callable[[], object],
) -> list[dict[str, Any]]:
    """The rows of a suite."""
    if suite == "convert":
        return converting.run(folder, settings, on_round)
    named = arches or networks.arches()[: 1 if quick else None]
    if suite == "train":
        return training.run(folder, named, settings, on_round)
    return running.run(folder, named, batches or ([1] if quick else [1, 16]), settings, on_round)
