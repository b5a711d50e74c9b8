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

from prototxt.errors import Argument, FormatError, Sentence, ZooError
from zoo.errors import HubError
from zoo.hub.index import ARCH, Entry, File, Index, version_key
from zoo.hub.opening import open_hub
from zoo.hub.places import Hub, kept_in, locked

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
    hub: str | Path | None = None,
    offline: bool = False,
    *,
    encoder: str | None = None,
    target: str = "cpu",
    part: str = "whole",
    on_bytes: OnBytes | None = None,
) -> Path:
    """The path of a model's ONNX file, fetched if need be and checked.

    Args:
        name_or_arch: ``48_96_192`` or ``48_96_192@1.0``.
        hub: a folder or a URL; default: what ``ZOO_HUB`` names, else the one that comes along.
        offline: use what was fetched before, and no network.
        encoder: ``random``, ``pretrained`` or ``learned``: which of an arch.
        target: what it shall run on; of several files that do, the one made for it is taken.
        part: ``whole``, ``encoder`` or ``decoder``.
        on_bytes: is told how much of the file has come.

    Raises:
        HubError: no such model, or one that cannot be fetched.
    """
    opened = open_hub(hub, offline)
    entry = find(opened, name_or_arch, encoder)
    file = choose(entry, target, part)
    # Weights that lie beside a model must be at hand as well.
    needed = [other for other in entry.files if other.kind == "data"]
    return at_hand(opened, entry, [file, *needed], offline, on_bytes)[0].path


def locate_file(
    sha256: str, hub: str | Path | None = None, offline: bool = False
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
    hub: str | Path | None = None,
    offline: bool = False,
    *,
    output: Path | None = None,
    on_bytes: OnBytes | None = None,
) -> tuple[Entry, list[Pulled]]:
    """All files of a model: in `output`, or else where they are (the cache; a hub's folder)."""
    opened = open_hub(hub, offline)
    entry = find(opened, name_or_arch)
    return entry, pull_entry(opened, entry, offline, output=output, on_bytes=on_bytes)


def pull_entry(
    hub: Hub,
    entry: Entry,
    offline: bool = False,
    *,
    output: Path | None = None,
    on_bytes: OnBytes | None = None,
) -> list[Pulled]:
    """All files of one version of a model, as `pull`."""
    found = at_hand(hub, entry, entry.files, offline, on_bytes)
    return copied(found, output) if output is not None else found


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


def choose(entry: Entry, target: str = "cpu", part: str = "whole") -> File:
    """The ONNX file for a target; HubError where the model has none."""
    fitting = [
        (len(file.network.targets), number, file)
        for number, file in enumerate(entry.models)
        if file.network and file.network.part == part and target in file.network.targets
    ]
    if not fitting:
        listed = ", ".join(
            f"{file.name} ({file.network.part}; {', '.join(file.network.targets)})"
            for file in entry.models
            if file.network
        )
        raise HubError(
            f"no {part} network for {target}", subject=entry.label, remedy=f"it has {listed}"
        )
    # What runs in the fewest places was made for this one.
    return min(fitting)[2]


def at_hand(
    hub: Hub,
    entry: Entry,
    files: Sequence[File],
    offline: bool = False,
    on_bytes: OnBytes | None = None,
) -> list[Pulled]:
    """Files of a model, each checked by size and SHA-256.

    They lie in place where the hub is a folder, else in the cache, fetched under a lock if need be.
    """
    if hub.folder is not None:
        folder = hub.folder
        return [Pulled(file, _in_place(folder / entry.path(file), file), False) for file in files]
    from prototxt.files import remove_leftovers

    folder = kept_in(entry)
    remove_leftovers(folder)
    if all(is_good(folder / file.name, file) for file in files):
        return [Pulled(file, folder / file.name, False) for file in files]
    if offline:
        raise HubError(
            Sentence("not in the cache, and ", Argument("offline"), " forbids to fetch it"),
            subject=entry.label,
            remedy=f"`zoo pull {entry.label}` fetches it",
        )
    from zoo.hub.fetching import fetch_file

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
                fetch_file(hub.address(entry, file), path, file, on_bytes)
            found.append(Pulled(file, path, not good))
    return found


def is_good(path: Path, file: File) -> bool:
    """Whether a file is the one that the index describes."""
    from prototxt.files import sha256

    try:
        return path.stat().st_size == file.size and sha256(path) == file.sha256
    except OSError:
        return False


def _in_place(path: Path, file: File) -> Path:
    if not path.is_file():
        raise HubError("in the index, but not there", subject=path, remedy="publish it again")
    if not is_good(path, file):
        raise HubError(
            "its size or sha256 is not the one in the index; "
            "the file or the index was damaged or tampered with",
            subject=path,
        )
    return path


def _sweep(folder: Path, entry: Entry) -> None:
    """Remove what a killed process left half done; the lock says that nobody works here."""
    expected = {file.name for file in entry.files}
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
