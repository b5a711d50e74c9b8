"""What is in a definition or a solver."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Argument, Sentence, UsageError, ZooError

if TYPE_CHECKING:
    from converters import Conversion
    from converters.graph import Shape
    from prototxt.net import NetDefinition


def definition(
    path: Path,
    *,
    phase: str | None = None,
    stages: Sequence[str] = (),
    shapes: Mapping[str, Shape] | None = None,
    plugins: Sequence[Path] = (),
    lenient: bool = False,
    warn: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """A network as plain data: its layers with shapes, parameters and multiply-adds, its memory.

    MACs and memory are for a batch of one where the network allows one; parameters are float32. A
    network that cannot be built has its layers without shapes, and the reason as a note. Of a
    solver: its settings. `phase` is by default ``test``, of a definition for training alone its
    TRAIN layers.
    """
    import converters
    import prototxt

    message = prototxt.read_text(path)
    if prototxt.is_solver(message):
        given = {"phase": phase, "stages": stages, "shapes": shapes, "plugins": plugins}
        refuse(path, "a solver", {**given, "lenient": lenient})
        return solver(path)
    for plugin in plugins:
        converters.load_plugin(plugin)
    whole = prototxt.read_net(path, lenient=lenient, warn=warn)
    wanted = (phase or "test").upper()
    net = whole.select(wanted, (*whole.stages, *stages))

    def converted(given: Mapping[str, Shape] | None) -> Conversion:
        return converters.convert(
            whole if phase is None else net,
            stages=stages if phase is None else (),
            shapes=given,
            open_dims=False,
            lenient=lenient,
            warn=warn,
        )

    try:
        conversion = converted(shapes)
    except converters.ConversionError as error:
        return unbuilt(net, wanted, error)
    graph = conversion.graph
    single = {value.name: (1, *value.shape[1:]) for value in graph.inputs}
    if shapes is None and len({value.shape[:1] for value in graph.inputs}) == 1:
        # One image is what people compare; a network that mixes its batch keeps its own.
        with contextlib.suppress(converters.ConversionError):
            graph = converted(single).graph
    names = {value.name for value in graph.values()}
    rows: list[dict[str, Any]] = [
        {
            "layer": node.name,
            "type": node.type,
            "bottoms": [blob_name(value, names) for value in node.inputs],
            "tops": {blob_name(value, names): list(value.shape) for value in node.outputs},
            "parameters": sum(
                blob.size for i, blob in enumerate(node.blobs) if i not in node.shared
            ),
            "macs": macs(node),
            "line": node.position.line if node.position else None,
        }
        for node in graph.nodes
    ]
    values = list(graph.values())
    return {
        "kind": "net",
        "name": graph.name,
        "syntax": whole.syntax,
        "phase": wanted,
        "arch": (conversion.known.arch or None) if conversion.known else None,
        "inputs": {value.name: list(value.shape) for value in graph.inputs},
        "outputs": {value.name: list(value.shape) for value in graph.outputs},
        "layers": rows,
        "parameters": sum(row["parameters"] for row in rows),
        "macs": sum(row["macs"] for row in rows),
        "parameter_bytes": 4 * sum(row["parameters"] for row in rows),
        "activation_bytes": sum(map(nbytes, values)),
        "peak_bytes": peak_bytes(graph, names),
        "notes": conversion.notes,
    }


def unbuilt(net: NetDefinition, phase: str, error: ZooError) -> dict[str, Any]:
    """A definition that cannot be converted is still worth a look: its layers, without shapes."""
    rows: list[dict[str, Any]] = [
        {
            "layer": layer.name,
            "type": layer.type,
            "bottoms": layer.bottoms,
            "tops": layer.tops,
            "line": layer.position.line if layer.position else None,
        }
        for layer in net.layers
    ]
    note = Sentence("no shapes: ", error.sentence)
    return {
        "kind": "net",
        "name": net.name,
        "syntax": net.syntax,
        "phase": phase,
        "layers": rows,
        "notes": [note],
    }


def blob_name(value: Any, names: set[str]) -> str:
    """The prototxt's name of a blob.

    Where layers work in place, the graph keeps them apart by calling the earlier one `blob/layer`.
    """
    if value.producer is None:
        return str(value.name)
    plain = value.name.removesuffix(f"/{value.producer.name}")
    return str(plain if plain in names else value.name)


def macs(node: Any) -> int:
    """Multiply-adds of one layer; where only the run tells how many (regions), they are for one."""
    from converters.registry import find

    kind = find(node.type)
    return kind.macs(node) if kind is not None else 0


def nbytes(value: Any) -> int:
    """Bytes of a blob at run time: float32, or int64 for indices."""
    return (8 if value.dtype == "int64" else 4) * known_product(value.shape)


def peak_bytes(graph: Any, names: set[str]) -> int:
    """The most bytes of blobs that are needed at once, layer by layer in the prototxt's order."""
    ends = {id(value): step for step, node in enumerate(graph.nodes) for value in node.inputs}
    ends.update({id(value): len(graph.nodes) for value in graph.outputs})
    live = most = sum(map(nbytes, graph.inputs))
    for step, node in enumerate(graph.nodes):
        done = {id(v): v for v in node.inputs if ends[id(v)] == step}
        blobs = {blob_name(v, names) for v in done.values()}
        # In place, a top lies where its bottom was.
        places = sum(nbytes(v) for v in node.outputs if blob_name(v, names) in blobs)
        live += sum(map(nbytes, node.outputs))
        most = max(most, live - places)
        unread = [v for v in node.outputs if id(v) not in ends]
        live -= sum(map(nbytes, [*done.values(), *unread]))
    return most


def known_product(dims: Any) -> int:
    """The product of the dimensions that are known; open ones (names) count as 1."""
    return math.prod(dim for dim in dims if isinstance(dim, int))


def solver(path: Path) -> dict[str, Any]:
    """What a solver sets that is not at Caffe's default."""
    import prototxt

    solver = prototxt.read_solver(path)
    defaults = type(solver)()
    settings = {}
    for field in dataclasses.fields(solver):
        value = getattr(solver, field.name)
        if value != getattr(defaults, field.name) and is_plain(value):
            settings[field.name] = value
    settings.setdefault("type", solver.type)
    return {"kind": "solver", "settings": settings}


def is_plain(value: Any) -> bool:
    """Whether JSON can hold it: a number, a text, a bool, or lists of these."""
    if isinstance(value, list):
        return all(map(is_plain, value))
    return isinstance(value, int | float | str | bool)


OPTIONS = {
    "phase": Argument("phase"),
    "stages": Argument("stages"),
    "shapes": Argument("shapes"),
    "plugins": Argument("plugins"),
    "lenient": Argument("lenient", True),
}
"""What only networks' definitions take."""


def refuse(path: Path, kind: str, how: Mapping[str, Any]) -> None:
    """UsageError where any of OPTIONS is given for a file of another kind."""
    for name, option in OPTIONS.items():
        if how.get(name):
            raise UsageError(Sentence(f"is {kind}, which takes no ", option), subject=path)
