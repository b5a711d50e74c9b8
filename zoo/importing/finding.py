"""Which definition belongs to which weights: by name, by place, by their layers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prototxt.binary import read_model
from prototxt.errors import ZooError
from prototxt.kinds import kind_of_content
from prototxt.net import is_solver, read_net
from prototxt.text import read_text
from zoo.importing.readme import Readme, read_readme

__all__ = ["Definition", "Found", "Weights", "find"]

DEFINITIONS = (".prototxt", ".pt", ".pbtxt", ".prototxt.txt")
WEIGHTS = (".caffemodel", ".caffemodel.h5")
MEANS = (".binaryproto", ".npy")
LABELS = re.compile(r"label|synset|classes|words", re.IGNORECASE)
LABEL_FILES = (".txt", ".prototxt", ".pbtxt")
MOST_TRIED = 6
"""How many definitions are tried for one file of weights."""
LEAST_COMMON = 0.5
"""Which part of the layers of its weights a definition must have to be tried."""


@dataclass(frozen=True)
class Definition:
    """A network's definition; `error` says why it cannot be read."""

    path: Path
    layers: frozenset[str] = frozenset()
    losses: int = 0
    error: str = ""


@dataclass(frozen=True)
class Weights:
    """Trained weights, and what may be found about them."""

    path: Path
    """The file; where it is only to be had from `url`, where it would lie."""
    root: Path
    """The folder that was named, below which it was found."""
    definitions: tuple[Definition, ...] = ()
    """Those that may be theirs, the likeliest first."""
    url: str = ""
    readme: Readme | None = None
    mean: Path | None = None
    labels: Path | None = None
    error: str = ""


@dataclass
class Found:
    """What lies in some folders."""

    weights: list[Weights] = field(default_factory=list)
    alone: list[Definition] = field(default_factory=list)
    """Definitions that no weights were found for."""
    solvers: int = 0


def find(roots: Sequence[Path]) -> Found:
    """Look through folders, their own and those below; links are not followed.

    ZooError where one is no folder.
    """
    files: dict[Path, list[Path]] = {}
    for root in roots:
        if not root.is_dir():
            what = "is a file" if root.exists() else "no such folder"
            raise ZooError(what, subject=root, remedy="name the folder that the models lie in")
        files[root] = list(below(root))
    found = Found()
    definitions: list[Definition] = []
    for path in (path for paths in files.values() for path in paths):
        if path.name.lower().endswith(DEFINITIONS) and kind_of_content(path) == "definition":
            definition = read_definition(path)
            if definition is None:
                found.solvers += 1
            else:
                definitions.append(definition)
    for root, paths in files.items():
        found.weights += weights_in(root, paths, definitions)
    taken = {d.path for weights in found.weights for d in weights.definitions}
    folders = {weights.path.parent for weights in found.weights}
    found.alone = [d for d in definitions if d.path not in taken and d.path.parent not in folders]
    return found


def below(root: Path) -> Iterator[Path]:
    """The plain files below a folder, sorted, without hidden folders."""
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def read_definition(path: Path) -> Definition | None:
    """What is needed to find its weights; None of a solver."""
    from converters.registry import find as kind_of

    try:
        if is_solver(read_text(path)):
            return None
        net = read_net(path, lenient=True, warn=lambda _: None)
    except ZooError as error:
        return Definition(path, error=str(error))
    kinds = [kind_of(layer.type) for layer in net.layers]
    losses = sum(kind is not None and kind.is_loss for kind in kinds)
    return Definition(path, frozenset(layer.name for layer in net.layers), losses)


def weights_in(
    root: Path, paths: Sequence[Path], definitions: Sequence[Definition]
) -> Iterator[Weights]:
    """The weights below one folder, with what belongs to them."""
    readmes: dict[Path, Readme | None] = {}
    for folder in dict.fromkeys(path.parent for path in paths):
        readmes[folder] = read_readme(folder)
    listed = [path for path in paths if path.name.lower().endswith(WEIGHTS)]
    for folder, readme in readmes.items():
        wanted = readme.get("caffemodel") if readme is not None else ""
        url = readme.get("caffemodel_url") if readme is not None else ""
        name = Path(wanted).name or Path(url).name
        if url and name and not any(path.parent == folder for path in listed):
            near = [d for d in definitions if d.path.parent == folder and not d.error]
            ordered = tuple(sorted(near, key=lambda d: likeliness(d, folder / name)))
            mean, labels = companions(folder, paths)
            yield Weights(folder / name, root, ordered[:MOST_TRIED], url, readme, mean, labels)
    for path in listed:
        mean, labels = companions(path.parent, paths)
        readme = readmes.get(path.parent)
        try:
            layers = {layer.name for layer in read_model(path) if layer.blobs}
        except ZooError as error:
            yield Weights(path, root, error=str(error))
            continue
        fitting = [
            d
            for d in definitions
            if not d.error and layers and len(d.layers & layers) >= LEAST_COMMON * len(layers)
        ]
        ordered = tuple(sorted(fitting, key=lambda d: likeliness(d, path)))
        yield Weights(path, root, ordered[:MOST_TRIED], "", readme, mean, labels)


def likeliness(definition: Definition, weights: Path) -> tuple[bool, int, bool, int, str]:
    """A key that sorts a file's likeliest definition first.

    One of its folder, then of a folder near; of its name; a definition for use (without losses)
    before one for training.
    """
    here, there = weights.parent, definition.path.parent
    near = 0 if here == there else 1 if here in there.parents or there in here.parents else 2
    stem = weights.name.partition(".")[0].lower()
    named = definition.path.name.partition(".")[0].lower() == stem
    deploy = "deploy" not in definition.path.name.lower()
    return (near > 1, near, not named, definition.losses * 2 + deploy, str(definition.path))


def companions(folder: Path, paths: Sequence[Path]) -> tuple[Path | None, Path | None]:
    """The one mean file and the one list of labels in a folder; None where it is not one."""
    near = [path for path in paths if path.parent == folder]
    means = [
        path
        for path in near
        if path.suffix.lower() in MEANS and ("mean" in path.stem.lower() or path.suffix != ".npy")
    ]
    labels = [p for p in near if p.suffix.lower() in LABEL_FILES and LABELS.search(p.stem)]
    return (
        means[0] if len(means) == 1 else None,
        labels[0] if len(labels) == 1 else None,
    )
