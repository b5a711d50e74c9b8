"""From a name to files: find the model, fetch what is not there, check what is."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from prototxt.errors import Argument, FormatError, Sentence, UsageError, ZooError
from zoo.errors import HubError
from zoo.hub.index import ARCH, PRECISIONS, TARGETS, Entry, File, Index, version_key
from zoo.hub.opening import open_hub
from zoo.hub.places import Hub, HubAddress, kept_in, locked

OnBytes = Callable[[int], object]


@dataclass(frozen=True)
class Pulled:
    """A file that is at hand. `fetched` says whether it had to be."""

    file: File
    path: Path
    fetched: bool

    def as_dict(self) -> dict[str, Any]:
        """As `zoo pull --json` prints it."""
        return {
            "path": str(self.path),
            "size": self.file.size,
            "sha256": self.file.sha256,
            "kind": self.file.kind,
            "fetched": self.fetched,
        }


def locate(
    name_or_arch: str,
    hub: HubAddress = None,
    offline: bool = False,
    *,
    encoder: str | None = None,
    target: str = "cpu",
    part: str = "whole",
    precision: str = "float32",
    on_bytes: OnBytes | None = None,
) -> Path:
    """The path of a model's ONNX file, fetched if need be and checked.

    Args:
        name_or_arch: ``48_96_192`` or ``48_96_192@1.0``.
        hub: a folder or an address, or several that are mirrors; default: what ``ZOO_HUB`` names,
            else the one that comes along.
        offline: use what was fetched before, and no network.
        encoder: ``random``, ``pretrained`` or ``learned``: which of an arch.
        target: what it shall run on; of several files that do, the one made for it is taken.
        part: ``whole``, ``encoder`` or ``decoder``.
        precision: ``float32``, ``float16`` or ``int8``.
        on_bytes: is told how much of the file has come.

    Raises:
        HubError: no such model, or one that cannot be fetched.
    """
    opened = open_hub(hub, offline)
    entry = find(opened, name_or_arch, encoder)
    file = choose(entry, target, part, precision)
    # Weights that lie beside a model must be at hand as well.
    needed = [other for other in entry.files if other.kind == "data"]
    return at_hand(opened, entry, [file, *needed], offline, on_bytes)[0].path


def locate_file(
    sha256: str, hub: HubAddress = None, offline: bool = False
) -> tuple[Path | None, Hub]:
    """The path of the ONNX file of that digest, fetched if need be and checked; and the hub.

    The path is None where the hub has no such file.
    """
    opened = open_hub(hub, offline)
    for entry in opened.index.models:
        for file in entry.models:
            if file.sha256 == sha256:
                needed = [other for other in entry.files if other.kind == "data"]
                return at_hand(opened, entry, [file, *needed], offline)[0].path, opened
    return None, opened


def pull(
    name_or_arch: str,
    hub: HubAddress = None,
    offline: bool = False,
    *,
    output: Path | None = None,
    precision: str | None = None,
    target: str | None = None,
    verify: Path | None = None,
    on_bytes: OnBytes | None = None,
) -> tuple[Entry, list[Pulled]]:
    """The files of a model: in `output`, or else where they are (the cache; a hub's folder).

    Args:
        name_or_arch: as `locate` has it.
        hub: likewise.
        offline: likewise.
        output: a folder for copies.
        precision: only the ONNX files in ``float32``, ``float16`` or ``int8``.
        target: only those for one runtime, by a name of `converters.TARGETS`.
        verify: the publisher's public key: nothing is fetched unless it signed what the index says.
        on_bytes: is told how much has come.

    Raises:
        HubError: no such model, one that cannot be fetched, or that is not signed so.
    """
    opened = open_hub(hub, offline)
    entry = find(opened, name_or_arch)
    files = chosen(entry, precision, target)
    if verify is not None:
        verify_entry(opened, entry, verify, offline)
    found = pull_entry(opened, entry, offline, files=files, output=output, on_bytes=on_bytes)
    return entry, found


def pull_entry(
    hub: Hub,
    entry: Entry,
    offline: bool = False,
    *,
    files: Sequence[File] | None = None,
    output: Path | None = None,
    on_bytes: OnBytes | None = None,
) -> list[Pulled]:
    """All files of one version of a model, or those of `chosen`, as `pull`."""
    found = at_hand(hub, entry, entry.files if files is None else files, offline, on_bytes)
    return copied(found, output) if output is not None else found


def verify_entry(hub: Hub, entry: Entry, key: Path, offline: bool = False) -> None:
    """HubError unless the owner of a public key signed all that the index says of the files.

    Of the files only the signature is fetched.
    """
    from zoo.hub import signing

    (signature,) = at_hand(hub, entry, [signing.signature_of(entry)], offline)
    signing.verify(entry, key, signature.path)


def find(hub: Hub, wanted: str, encoder: str | None = None) -> Entry:
    """The version that `NAME`, `ARCH`, `NAME@VERSION` or `ARCH@VERSION` means.

    Without a version the newest. An arch means the network that reconstructs, by default with a
    random encoder.
    """
    name, at, version = wanted.partition("@")
    named = [e for e in hub.index.versions(name) if encoder in (None, e.encoder)]
    versions = tuple(named) or _of_arch(hub.index, name, encoder)
    if not versions:
        which = f" with a {encoder} encoder" if encoder else ""
        raise HubError(
            f"no model {name!r}{which} in {_place(hub)}", remedy=_what_is_there(hub.index, name)
        )
    if not at:
        return versions[-1]
    for entry in versions:
        if entry.version == version:
            return entry
    listed = ", ".join(entry.version for entry in versions)
    raise HubError(f"no version {version!r} of {name} in {_place(hub)}", remedy=f"it has {listed}")


def _of_arch(index: Index, arch: str, encoder: str | None) -> tuple[Entry, ...]:
    fitting = [e for e in index.models if e.arch == arch and e.task == "reconstruct"]
    if encoder is not None:
        fitting = [e for e in fitting if e.encoder == encoder]
    fitting = [e for e in fitting if e.encoder in (None, "random")] or fitting
    names = sorted({entry.name for entry in fitting})
    if len(names) > 1:
        raise HubError(f"arch {arch} fits several models", remedy=f"name one of {', '.join(names)}")
    return tuple(sorted(fitting, key=lambda entry: version_key(entry.version)))


def _place(hub: Hub) -> str:
    return hub.name if hub.name.startswith("the ") else f"the hub {hub.name}"


def _what_is_there(index: Index, name: str) -> str:
    names = index.names()
    if not names:
        return "there are no models in it yet; `zoo publish` puts some there"
    close = difflib.get_close_matches(name, names, 3, 0.75) if not re.fullmatch(ARCH, name) else []
    if close:
        return f"did you mean {', '.join(close)}?"
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"it has {', '.join(names[:12])}{more}"


def choose(
    entry: Entry, target: str = "cpu", part: str = "whole", precision: str = "float32"
) -> File:
    """The ONNX file for a target, one of the index's or of `converters.TARGETS`.

    HubError where the model has none.
    """
    form = _form(target)
    fitting = [
        (len(file.network.targets), number, file)
        for number, file in enumerate(entry.models)
        if file.network
        and file.network.part == part
        and file.network.precision == precision
        and form in file.network.targets
    ]
    if not fitting:
        numbers = f" in {precision}" if len(entry.precisions) > 1 or precision != "float32" else ""
        raise HubError(
            f"no {part} network for {target}{numbers}",
            subject=entry.label,
            remedy=f"it has {_listed(entry)}",
        )
    # What runs in the fewest places was made for this one.
    return min(fitting)[2]


def chosen(entry: Entry, precision: str | None = None, target: str | None = None) -> list[File]:
    """The ONNX files of a precision and for a target, and what is no ONNX file.

    None is all of them. HubError where the model has none.
    """
    if precision not in (None, *PRECISIONS):
        raise UsageError(
            f"unknown precision {precision!r}", remedy=f"one of {', '.join(PRECISIONS)}"
        )
    taken = [f for f in entry.models if f.network and precision in (None, f.network.precision)]
    if target is not None:
        form = _form(target)
        fitting = [f.network for f in taken if f.network and form in f.network.targets]
        kinds = {(network.part, network.precision) for network in fitting}
        taken = [choose(entry, target, part, numbers) for part, numbers in kinds]
    if not taken:
        wanted = [
            *([f"for {target}"] if target else []),
            *([f"in {precision}"] if precision else []),
        ]
        raise HubError(
            f"no network {' '.join(wanted)}",
            subject=entry.label,
            remedy=f"it has {_listed(entry)}",
        )
    return [file for file in entry.files if file.kind != "model" or file in taken]


def _form(target: str) -> str:
    """What the index calls the files that run on a target."""
    from converters import TARGETS as RUNTIMES

    if target in TARGETS:
        return target
    if target not in RUNTIMES:
        raise UsageError(f"unknown target {target!r}", remedy=f"one of {', '.join(RUNTIMES)}")
    return RUNTIMES[target].form.name


def _listed(entry: Entry) -> str:
    several = entry.precisions != ("float32",)
    return ", ".join(
        f"{file.name} ({file.network.part}; "
        f"{f'{file.network.precision}; ' if several else ''}{', '.join(file.network.targets)})"
        for file in entry.models
        if file.network
    )


def at_hand(
    hub: Hub,
    entry: Entry,
    files: Sequence[File],
    offline: bool = False,
    on_bytes: OnBytes | None = None,
) -> list[Pulled]:
    """Files of a model, each checked by size and SHA-256.

    They lie in place where the hub is a folder, else in the cache, fetched under a lock if need be.
    What one place has not, its mirrors are asked for.
    """
    place, *mirrors = hub.places
    if place.folder is not None and not mirrors:
        return [_in_place(place.folder, entry, file) for file in files]
    from prototxt.files import remove_leftovers

    folder = kept_in(entry)
    remove_leftovers(folder)
    # In one folder, as weights must lie beside their model.
    own = [place.folder / entry.name / entry.version for place in hub.places if place.folder]
    for where in (*own, folder):
        if all(is_good(where / file.name, file) for file in files):
            return [Pulled(file, where / file.name, False) for file in files]
    if offline:
        raise HubError(
            Sentence("not in the cache, and ", Argument("offline"), " forbids to fetch it"),
            subject=entry.label,
            remedy=f"`zoo pull {entry.label}` fetches it",
        )
    for made in (folder.parent, folder):
        if made.is_symlink():
            raise HubError(
                "is a link, and nothing is written through one", subject=made, remedy="remove it"
            )
    found = []
    with locked(folder.with_name(f"{folder.name}.lock"), entry.label):
        _sweep(folder, entry)
        for file in files:
            path = folder / file.name
            good = is_good(path, file)
            if not good:
                _fetch(hub, entry, file, path, on_bytes)
            found.append(Pulled(file, path, not good))
    return found


def _fetch(hub: Hub, entry: Entry, file: File, path: Path, on_bytes: OnBytes | None) -> None:
    """A file from the first place that has it whole; the error of the only one, or of all."""
    from zoo.hub.fetching import fetch_file, place_copy

    failures: list[str] = []
    for place in hub.places:
        try:
            if place.folder is None:
                fetch_file(place.address(entry, file), path, file, on_bytes)
            else:
                source = _in_place(place.folder, entry, file).path
                changed = HubError("changed while it was read", subject=source)
                place_copy(path, copier(source, file, changed))
            return
        except HubError as error:
            if not hub.mirrors:
                raise
            failures.append(str(error))
    raise HubError(f"no mirror has it whole: {' | '.join(failures)}", subject=entry.path(file))


def is_good(path: Path, file: File) -> bool:
    """Whether a file is the one that the index describes."""
    from prototxt.files import sha256

    try:
        return path.stat().st_size == file.size and sha256(path) == file.sha256
    except OSError:
        return False


def _in_place(folder: Path, entry: Entry, file: File) -> Pulled:
    path = folder / entry.path(file)
    if not path.is_file():
        raise HubError("in the index, but not there", subject=path, remedy="publish it again")
    if not is_good(path, file):
        raise HubError(
            "its size or sha256 is not the one in the index; "
            "the file or the index was damaged or tampered with",
            subject=path,
        )
    return Pulled(file, path, False)


def _sweep(folder: Path, entry: Entry) -> None:
    """Remove what a killed process left half done; the lock says that nobody works here.

    What came of a file stays: the next attempt goes on from there.
    """
    from zoo.hub.fetching import part_name

    expected = {name for file in entry.files for name in (file.name, part_name(file))}
    for path in folder.glob("*"):
        if path.name not in expected and path.is_file():
            with contextlib.suppress(OSError):
                path.unlink()


def copied(found: Sequence[Pulled], output: Path) -> list[Pulled]:
    """Copies in a folder, which appear all or not at all; what is good already stays."""
    from prototxt.files import atomic_write_all, make_folder, remove_leftovers

    make_folder(output)
    remove_leftovers(output)
    result = []
    contents = []
    for pulled in found:
        target = output / pulled.file.name
        if target.is_dir():
            raise ZooError(
                "is a directory",
                subject=target,
                remedy=Sentence("give another ", Argument("output")),
            )
        if not is_good(target, pulled.file):
            changed = HubError(
                "changed while it was read", subject=pulled.path, remedy="pull it again"
            )
            contents.append((target, copier(pulled.path, pulled.file, changed)))
        result.append(Pulled(pulled.file, target, pulled.fetched))
    try:
        atomic_write_all(contents)
    except FormatError as error:
        raise HubError(
            error.message,
            subject=error.subject,
            remedy=Sentence("give another ", Argument("output")),
        ) from None
    return result


def copier(source: Path, file: File, changed: HubError) -> Callable[[BinaryIO], None]:
    """What writes a copy, for `atomic_write`; raises `changed` where it is not the index's file."""

    def copy(output: BinaryIO) -> None:
        digest = hashlib.sha256()
        with source.open("rb") as opened:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
                output.write(chunk)
        if digest.hexdigest() != file.sha256:
            raise changed

    return copy
