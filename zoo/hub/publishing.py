"""Put models into a hub's folder: files first, the index last, all under a lock.

Whoever reads the folder meanwhile sees the index of before or the index of after, and every file
that it names. What a version's models and weights are never changes. Facts about them (metrics,
source, licence, the card's text) may be mended by publishing the same files again: that writes the
card anew, and the signature, if there is one; whoever fetched the index just before is told that
these two are not the ones it names.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Argument, Function, Note, Sentence, UsageError, ZooError
from prototxt.files import atomic_write, remove_leftovers
from zoo.errors import HubError
from zoo.hub import cards
from zoo.hub import index as schema
from zoo.hub.examining import SAME, Examined, describe_file, examine
from zoo.hub.fields import plain_name
from zoo.hub.index import Entry, File, Index, Metric
from zoo.hub.places import locked_folder, read_index

if TYPE_CHECKING:
    from zoo.hub.signing import Signer

MEAN = Note(
    "its mean is not known, which the card says",
    Sentence("whoever has it: convert again with ", Argument("mean"), ", publish another version"),
)


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
    datasets: Sequence[str] = (),
    bibtex: Path | None = None,
    sign: Path | None = None,
) -> Published:
    """Validate the ONNX files of one model and put them into the folder `hub`, made if need be.

    Args:
        models: a whole network, or it and its halves, and forms for other targets and in other
            precisions.
        hub: the folder.
        name: default: the arch that the files state.
        version: numbers with dots; one that is published keeps its bytes for ever.
        card: Markdown, what a person should know: the first part of the card, the others of which
            `zoo.hub.cards` writes. Default: what was there, or the name.
        licence: as SPDX.
        source: where the weights are from: the address of a repository.
        encoder: ``random``, ``pretrained`` or ``learned``.
        metrics: what was measured.
        datasets: what it was trained on, by the names that model hubs know.
        bibtex: how to cite it.
        sign: a private key, by which all files are signed: elliptic curve, in PEM, no password.

    Raises:
        HubError: a file that is refused; the folder then is as it was.
    """
    examined = [examine(path) for path in models]
    if not examined:
        raise UsageError("no model to publish")
    entry, sources = _entry(examined, name, version)
    entry = replace(
        entry,
        licence=licence,
        source=source,
        encoder=encoder,
        metrics=tuple(metrics),
        datasets=tuple(datasets),
        bibtex=cards.read_bibtex(bibtex) if bibtex is not None else (),
    )
    # What would be refused when it is read must not be written.
    schema.read(schema.write(Index((entry,))), entry.label)
    text = cards.read_card(card) if card is not None else None
    signer: Signer | None = None
    if sign is not None:
        from zoo.hub.signing import Signer

        signer = Signer(sign)
    from converters.metadata import untrained

    notes = [untrained(one.metadata) for one in examined]
    if entry.preprocessing is not None and entry.preprocessing.mean is None:
        notes.append(MEAN)
    card_of = _CardMaker(examined[0].metadata, text, signer)
    from prototxt.files import make_folder

    there_before = hub.is_dir()
    make_folder(hub)
    try:
        with locked_folder(hub):
            entry, outcome = _store(hub, entry, sources, card_of)
    except BaseException:
        if not there_before:
            with contextlib.suppress(OSError):
                hub.rmdir()
        raise
    return Published(entry, outcome, tuple(dict.fromkeys(filter(None, notes))))


def _entry(
    examined: Sequence[Examined], name: str | None, version: str
) -> tuple[Entry, dict[str, Path]]:
    """What the index will say, but for the card and the signature, and where each file is from."""
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
    entry = Entry(
        name=_name(name, first),
        version=version,
        task=first.metadata.get("zoo.task", "other"),
        files=tuple(files),
        arch=first.metadata.get("zoo.arch"),
        preprocessing=next((one.preprocessing for one in examined if one.preprocessing), None),
    )
    return entry, {file.name: path for file, path in zip(files, sources, strict=True)}


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


@dataclass(frozen=True)
class _CardMaker:
    """Makes what goes with the files: the card, and the signature."""

    metadata: Mapping[str, str]
    text: str | None
    """The publisher's card; None for that of before."""
    signer: Signer | None

    def added(self, entry: Entry, old: Entry | None, hub: Path) -> tuple[Entry, dict[str, bytes]]:
        """The entry with both in it, and their contents, as far as they are made anew."""
        text = self.text
        if text is None:
            before = old.card if old is not None else None
            # One that is not there, or not a text any more, is no reason to refuse the models.
            with contextlib.suppress(HubError):
                text = cards.read_card(hub / entry.path(before)) if before is not None else None
        made = {schema.CARD: cards.make(entry, self.metadata, text or "").encode()}
        files = [file for file in entry.files if file.kind in ("model", "data")]
        files.append(_described(schema.CARD, made[schema.CARD], "card"))
        entry = replace(entry, files=tuple(files))
        if self.signer is not None:
            signature = self.signer.sign(entry, hub / entry.path(_described(schema.SIGNATURE)))
            made[schema.SIGNATURE] = signature
            files.append(_described(schema.SIGNATURE, signature, "signature"))
        elif old is not None and old.signature is not None:
            if old.card != entry.card:
                raise HubError(
                    "signed, and what is said of it changes",
                    subject=entry.label,
                    remedy=Sentence("sign it again, with ", Argument("sign"), " KEY"),
                )
            files.append(old.signature)
        return replace(entry, files=tuple(files)), made


def _described(name: str, content: bytes = b"", kind: str = "signature") -> File:
    return File(name, len(content), hashlib.sha256(content).hexdigest(), kind)


def _store(
    hub: Path, entry: Entry, sources: Mapping[str, Path], card_of: _CardMaker
) -> tuple[Entry, str]:
    """Write what is new; the entry as the index has it now, and the outcome."""
    there = (hub / schema.FILE).exists()
    index = read_index(hub) if there else Index()
    old = next((other for other in index.models if other.label == entry.label), None)
    if old is not None:
        entry = _mended(old, entry)
    entry, contents = card_of.added(entry, old, hub)
    index = index.with_entry(entry)
    text = schema.write(index)
    schema.read(text, str(hub / schema.FILE))
    with _undone_on_failure(hub) as made:
        folder = hub / entry.name / entry.version
        for path in (folder.parent, folder):
            if not path.is_dir():
                path.mkdir()
                made[path] = None
        for path in (hub, folder):
            remove_leftovers(path)
        for file in entry.files:
            source = contents.get(file.name, sources.get(file.name))
            _put(folder / file.name, file, source, made)
        if not there or (hub / schema.FILE).read_bytes() != text.encode():
            atomic_write(hub / schema.FILE, text)
    if old is not None:
        _remove_old_card(folder, old, entry)
    return entry, "published" if old is None else "mended" if entry != old else "unchanged"


def _remove_old_card(folder: Path, old: Entry, entry: Entry) -> None:
    """A card by another name has gone into README.md."""
    if old.card is not None and old.card.name not in {file.name for file in entry.files}:
        with contextlib.suppress(OSError):
            (folder / old.card.name).unlink()


def _mended(old: Entry, new: Entry) -> Entry:
    """The version that is there with the facts that are given now; HubError for other files."""
    before = {file.name: file for file in old.files if file.kind in ("model", "data")}
    now = {file.name: file for file in new.files}
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
        datasets=new.datasets or old.datasets,
        bibtex=new.bibtex or old.bibtex,
    )


Made = dict[Path, bytes | None]
"""What was written, and what was there before; None where nothing was."""


def _put(target: Path, file: File, source: Path | bytes | None, made: Made) -> None:
    """Put a file into the hub unless it is there already."""
    from zoo.hub.pulling import copier, is_good

    if is_good(target, file):
        return
    if source is None:
        raise HubError("in the index, but not there", subject=target, remedy="publish it again")
    if isinstance(source, bytes):
        before = target.read_bytes() if target.is_file() else None
        atomic_write(target, source)
        made[target] = before
        return
    changed = HubError("changed while it was published", subject=source, remedy="publish it again")
    fresh = not target.exists()
    atomic_write(target, copier(source, file, changed))
    if fresh:
        made[target] = None


@contextlib.contextmanager
def _undone_on_failure(hub: Path) -> Iterator[Made]:
    """A list of what was made, which goes again where the block fails."""
    made: Made = {}
    try:
        yield made
    except BaseException as error:
        for path, before in reversed(made.items()):
            with contextlib.suppress(OSError, ZooError):
                if before is not None:
                    atomic_write(path, before)
                elif path.is_dir():
                    path.rmdir()
                else:
                    path.unlink()
        if isinstance(error, OSError):
            raise HubError(f"cannot be written: {error.strerror or error}", subject=hub) from None
        raise


def read_metrics(path: Path) -> tuple[Metric, ...]:
    """What `zoo eval --json` printed, as metrics of the index: the RMSE, or those of its task."""
    try:
        found = json.loads(path.read_bytes())
        measures = found.get("measures", {"rmse": found.get("rmse")})
        values = {str(name): float(value) for name, value in measures.items()}
        data, images = str(found["data"]), int(found["images"])
        if not values or not all(map(math.isfinite, values.values())) or images < 1:
            raise ValueError
    except FileNotFoundError:
        raise HubError("no such file", subject=path) from None
    except OSError as error:
        raise HubError(f"cannot be read: {error.strerror or error}", subject=path) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise HubError(
            Sentence("not a result of ", Function("zoo.paper.evaluation.evaluate")),
            subject=path,
            remedy=Sentence(
                Function("zoo.paper.evaluation.evaluate", ("...", Argument("json"), "> FILE")),
                " writes one",
            ),
        ) from None
    # Where it lay on the machine that measured it is nobody's business.
    name = Path(data).name or data
    return tuple(Metric(measure, value, name, images) for measure, value in values.items())
