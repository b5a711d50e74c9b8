"""Put models into a hub's folder: files first, the index last, all under a lock.

Whoever reads the folder meanwhile sees the index of before or the index of after, and every file
that it names. What a version's files are never changes; facts about them (metrics, source, licence)
may be mended by publishing the same files again.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prototxt.errors import Argument, Function, Sentence, UsageError
from prototxt.files import atomic_write, remove_leftovers
from zoo.errors import HubError
from zoo.hub import index as schema
from zoo.hub.examining import SAME, Examined, describe_file, examine
from zoo.hub.fields import plain_name
from zoo.hub.index import Entry, File, Index, Metric
from zoo.hub.places import locked_folder, read_index


@dataclass(frozen=True)
class Published:
    """The outcome; `notes` are for a person."""

    entry: Entry
    outcome: str
    """published; mended, where the version was there and facts about it differ; unchanged."""
    notes: tuple[str, ...]

    def as_dict(self, hub: Path) -> dict[str, Any]:
        """As `zoo publish --json` prints it; `hub` is the folder."""
        entry = self.entry
        return {
            "name": entry.name,
            "version": entry.version,
            "outcome": self.outcome,
            "files": [
                {"path": str(hub / entry.path(file)), "size": file.size, "sha256": file.sha256}
                for file in entry.files
            ],
            "notes": list(self.notes),
        }


def publish(
    models: Sequence[Path],
    hub: Path,
    *,
    name: str | None = None,
    version: str = "1.0",
    card: Path | None = None,
    licence: str = "",
    source: str = "",
    encoder: str | None = None,
    metrics: Sequence[Metric] = (),
) -> Published:
    """Validate the ONNX files of one model and put them into the folder `hub`, made if need be.

    Args:
        models: a whole network, or it and its halves, and forms for other targets.
        hub: the folder.
        name: default: the arch that the files state.
        version: numbers with dots; one that is published keeps its bytes for ever.
        card: Markdown, what a person should know.
        licence: as SPDX.
        source: where the weights are from.
        encoder: ``random``, ``pretrained`` or ``learned``.
        metrics: what was measured.

    Raises:
        HubError: a file that is refused; the folder then is as it was.
    """
    examined = [examine(path) for path in models]
    if not examined:
        raise UsageError("no model to publish")
    entry, sources = _entry(examined, name, version, card)
    entry = replace(entry, licence=licence, source=source, encoder=encoder, metrics=tuple(metrics))
    # What would be refused when it is read must not be written.
    schema.read(schema.write(Index((entry,))), entry.label)
    from converters.metadata import untrained

    sentences = [untrained(one.metadata) for one in examined]
    from prototxt.files import make_folder

    there_before = hub.is_dir()
    make_folder(hub)
    try:
        with locked_folder(hub):
            entry, outcome = _store(hub, entry, sources)
    except BaseException:
        if not there_before:
            with contextlib.suppress(OSError):
                hub.rmdir()
        raise
    return Published(entry, outcome, tuple(dict.fromkeys(filter(None, sentences))))


def _entry(
    examined: Sequence[Examined], name: str | None, version: str, card: Path | None
) -> tuple[Entry, dict[str, Path]]:
    """What the index will say, and where each file comes from."""
    first = examined[0]
    for other in examined[1:]:
        for key in SAME:
            mine, theirs = first.metadata.get(key), other.metadata.get(key)
            if mine != theirs:
                raise HubError(
                    f"its {key} is {theirs}, but {mine} in {first.path}",
                    subject=other.path,
                    remedy="publish files of one model only",
                )
    files, sources = [one.file for one in examined], [one.path for one in examined]
    for path in dict.fromkeys(path for one in examined for path in one.beside):
        files.append(describe_file(path, "data"))
        sources.append(path)
    if card is not None:
        files.append(_card(card))
        sources.append(card)
    entry = Entry(
        name=_name(name, first),
        version=version,
        task=first.metadata.get("zoo.task", "other"),
        files=tuple(files),
        arch=first.metadata.get("zoo.arch"),
        preprocessing=next((one.preprocessing for one in examined if one.preprocessing), None),
    )
    return entry, {file.name: path for file, path in zip(files, sources, strict=True)}


def _card(path: Path) -> File:
    file = describe_file(path, "card")
    try:
        path.read_text(encoding="utf-8")
    except ValueError:
        raise HubError("not a text in UTF-8; a card is Markdown", subject=path) from None
    return file


def _name(given: str | None, first: Examined) -> str:
    arch = first.metadata.get("zoo.arch")
    kind = "classify" if first.metadata.get("zoo.task") == "classify" else ""
    name = given or (f"{kind}{arch}" if arch else first.path.stem)
    if not plain_name(name):
        raise HubError(
            f"{name!r} is not a plain name",
            remedy=Sentence(Argument("name"), " takes letters, digits and ._+- only"),
        )
    return name


def _store(hub: Path, entry: Entry, sources: dict[str, Path]) -> tuple[Entry, str]:
    """Write what is new; the entry as the index has it now, and the outcome."""
    there = (hub / schema.FILE).exists()
    index = read_index(hub) if there else Index()
    old = next((other for other in index.models if other.label == entry.label), None)
    if old is not None:
        entry = _mended(old, entry)
    index = index.with_entry(entry)
    text = schema.write(index)
    schema.read(text, str(hub / schema.FILE))
    with _undone_on_failure(hub) as made:
        folder = hub / entry.name / entry.version
        for path in (folder.parent, folder):
            if not path.is_dir():
                path.mkdir()
                made.append(path)
        for path in (hub, folder):
            remove_leftovers(path)
        for file in entry.files:
            _put(folder / file.name, file, sources.get(file.name), made)
        if not there or (hub / schema.FILE).read_bytes() != text.encode():
            atomic_write(hub / schema.FILE, text)
    return entry, "published" if old is None else "mended" if entry != old else "unchanged"


def _mended(old: Entry, new: Entry) -> Entry:
    """The version that is there with the facts that are given now; HubError for other files."""
    before = {file.name: file for file in old.files}
    now = {file.name: file for file in new.files}
    now |= {file.name: file for file in old.files if file.kind == "card" and new.card is None}
    for name in sorted(before.keys() | now.keys()):
        mine, theirs = now.get(name), before.get(name)
        if mine is None or theirs is None or mine.sha256 != theirs.sha256:
            what = "has other bytes" if mine and theirs else ("is missing" if theirs else "is new")
            raise HubError(
                f"{new.label} is published already, and {name} {what}",
                remedy=Sentence("a version never changes; give another ", Argument("version")),
            )
    return replace(
        new,
        files=old.files,
        encoder=new.encoder or old.encoder,
        metrics=new.metrics or old.metrics,
        source=new.source or old.source,
        licence=new.licence or old.licence,
    )


def _put(target: Path, file: File, source: Path | None, made: list[Path]) -> None:
    """Copy a file into the hub unless it is there already."""
    from zoo.hub.pulling import copier, is_good

    if is_good(target, file):
        return
    if source is None:
        raise HubError("in the index, but not there", subject=target, remedy="publish it again")

    changed = HubError("changed while it was published", subject=source, remedy="publish it again")
    fresh = not target.exists()
    atomic_write(target, copier(source, file, changed))
    if fresh:
        made.append(target)


@contextlib.contextmanager
def _undone_on_failure(hub: Path) -> Iterator[list[Path]]:
    """A list of what was made, which goes again where the block fails."""
    made: list[Path] = []
    try:
        yield made
    except BaseException as error:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise HubError(f"cannot be written: {error.strerror or error}", subject=hub) from None
        raise


def read_metric(path: Path) -> Metric:
    """What `zoo eval --json` printed, as the metric of the index."""
    try:
        found = json.loads(path.read_bytes())
        value, data, images = float(found["rmse"]), str(found["data"]), int(found["images"])
        if not math.isfinite(value) or images < 1:
            raise ValueError
    except FileNotFoundError:
        raise HubError("no such file", subject=path) from None
    except OSError as error:
        raise HubError(f"cannot be read: {error.strerror or error}", subject=path) from None
    except (ValueError, KeyError, TypeError):
        raise HubError(
            Sentence("not a result of ", Function("zoo.paper.evaluation.evaluate")),
            subject=path,
            remedy=Sentence(
                Function("zoo.paper.evaluation.evaluate", ("...", Argument("json"), "> FILE")),
                " writes one",
            ),
        ) from None
    # Where it lay on the machine that measured it is nobody's business.
    return Metric("rmse", value, Path(data).name or data, images)
