"""`zoo inspect`: what is in a file, whichever of Caffe's or ONNX's it is."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from prototxt.errors import ZooError
from zoo.commands import options
from zoo.commands.options import Phase


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .prototxt, solver, .caffemodel, .binaryproto or .onnx."
        ),
    ],
    phase: options.PhaseOption = Phase.test,
    stage: options.Stages = None,
    shape: options.Shapes = None,
    plugin: options.Plugins = None,
    lenient: options.Lenient = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what is in a file of Caffe's or ONNX's.

    Layers, shapes, parameters, multiply-adds (MACs) and memory. MACs and memory are for a batch
    of one. Parameters are float32.
    """
    shapes = options.parse_shapes(shape)
    from zoo.console import Printer

    say = Printer(json, quiet)
    kind = _kind(file)
    if kind == "prototxt":
        data = _definition(file, say, phase.upper(), stage or [], shapes, plugin or [], lenient)
    else:
        data = _BINARIES[kind](file, say)
    say.result({"file": str(file), "warnings": say.warnings, **data})


def _kind(path: Path) -> str:
    if not path.exists():
        raise ZooError(f"{path}: no such file", hint="check the path")
    if path.is_dir():
        raise ZooError(f"{path}: is a folder", hint="give a file")
    suffix = path.suffix.lower().lstrip(".")
    if suffix in ("h5", "hdf5"):
        return "caffemodel"
    if suffix in _BINARIES:
        return suffix
    if suffix in ("prototxt", "prototext", "pbtxt", "txt", "pt"):
        return "prototxt"
    raise ZooError(
        f"{path}: a file ending in {path.suffix or 'nothing'!r} is not known",
        hint="known are .prototxt, .caffemodel, .caffemodel.h5, .binaryproto and .onnx",
    )


def _definition(
    path: Path,
    say: Any,
    phase: str,
    stages: list[str],
    shapes: dict[str, tuple[int | str, ...]] | None,
    plugins: list[Path],
    lenient: bool,
) -> dict[str, Any]:
    import prototxt

    message = prototxt.read_text(path)
    if prototxt.is_solver(message):
        return _solver(path, say)
    import converters
    from zoo.commands.convert import build

    for plugin in plugins:
        converters.load_plugin(plugin)
    whole = prototxt.read_net(path, lenient=lenient, warn=say.warn)
    net = whole.select(phase, (*whole.stages, *stages))
    how = {"open_dims": False, "lenient": lenient, "warn": say.warn}
    try:
        graph, recognised, notes = build(net, None, shapes=shapes, **how)
    except converters.ConversionError as error:
        return _unbuilt(net, say, phase, error)
    single = {value.name: (1, *value.shape[1:]) for value in graph.inputs}
    if shapes is None and len({value.shape[:1] for value in graph.inputs}) == 1:
        # One image is what people compare; a network that mixes its batch keeps its own.
        with contextlib.suppress(converters.ConversionError):
            graph = build(net, None, shapes=single, **how)[0]
    rows: list[dict[str, Any]] = []
    names = {value.name for value in graph.values()}
    for node in graph.nodes:
        rows.append(
            {
                "layer": node.name,
                "type": node.type,
                "bottoms": [_blob(value, names) for value in node.inputs],
                "tops": {_blob(value, names): list(value.shape) for value in node.outputs},
                "parameters": sum(
                    blob.size for i, blob in enumerate(node.blobs) if i not in node.shared
                ),
                "macs": _macs(node),
                "line": node.position.line if node.position else None,
            }
        )
    values = list(graph.values())
    data: dict[str, Any] = {
        "kind": "net",
        "name": graph.name,
        "syntax": whole.syntax,
        "phase": phase,
        "arch": recognised.arch if recognised else None,
        "inputs": {value.name: list(value.shape) for value in graph.inputs},
        "outputs": {value.name: list(value.shape) for value in graph.outputs},
        "layers": rows,
        "parameters": sum(row["parameters"] for row in rows),
        "macs": sum(row["macs"] for row in rows),
        "parameter_bytes": 4 * sum(row["parameters"] for row in rows),
        "activation_bytes": sum(map(_bytes, values)),
        "peak_bytes": _peak(graph, names),
        "notes": notes,
    }
    _show_net(say, data)
    return data


def _blob(value: Any, names: set[str]) -> str:
    """The prototxt's name of a blob; where layers work in place, the graph keeps them apart by
    calling the earlier one `blob/layer`.
    """
    if value.producer is None:
        return str(value.name)
    plain = value.name.removesuffix(f"/{value.producer.name}")
    return str(plain if plain in names else value.name)


def _show_net(say: Any, data: dict[str, Any]) -> None:
    from zoo import console

    say.table(
        ["layer", "type", "bottoms", "tops", "parameters", "MACs"],
        [
            [
                row["layer"],
                row["type"],
                " ".join(row["bottoms"]),
                " ".join(f"{name} {console.shape(dims)}" for name, dims in row["tops"].items()),
                row["parameters"],
                row["macs"],
            ]
            for row in data["layers"]
        ],
    )
    say.line()
    sides = [
        (side, [f"{name} {console.shape(dims)}" for name, dims in data[side].items()])
        for side in ("inputs", "outputs")
    ]
    say.fields(
        [
            ("name", data["name"] or "(none)"),
            ("syntax", data["syntax"]),
            *([("arch", f"{data['arch']}, of the paper")] if data["arch"] else []),
            *sides,
            (
                "parameters",
                f"{console.count(data['parameters'])}, {console.size(data['parameter_bytes'])}",
            ),
            ("MACs", console.count(data["macs"])),
            (
                "memory",
                f"{console.size(data['activation_bytes'])} in blobs, of them "
                f"{console.size(data['peak_bytes'])} at once, for a batch of one",
            ),
        ]
    )
    for note in data["notes"]:
        say.note(note)


def _unbuilt(net: Any, say: Any, phase: str, error: Exception) -> dict[str, Any]:
    """A definition that cannot be converted is still worth a look: its layers, without shapes."""
    rows: list[dict[str, Any]] = [
        {
            "layer": layer.name,
            "type": layer.type,
            "bottoms": layer.bottoms,
            "tops": layer.tops,
            "line": layer.position.line,
        }
        for layer in net.layers
    ]
    say.table(
        ["layer", "type", "bottoms", "tops", "line"],
        [
            [
                row["layer"],
                row["type"],
                " ".join(row["bottoms"]),
                " ".join(row["tops"]),
                row["line"],
            ]
            for row in rows
        ],
    )
    note = f"no shapes: {error}"
    say.note(note)
    return {
        "kind": "net",
        "name": net.name,
        "syntax": net.syntax,
        "phase": phase,
        "layers": rows,
        "notes": [note],
    }


def _macs(node: Any) -> int:
    from converters.registry import find

    kind = find(node.type)
    return kind.macs(node) if kind is not None else 0


def _bytes(value: Any) -> int:
    return (8 if value.dtype == "int64" else 4) * _product(value.shape)


def _peak(graph: Any, names: set[str]) -> int:
    """The most bytes of blobs that are needed at once, layer by layer in the prototxt's order."""
    ends = {id(value): step for step, node in enumerate(graph.nodes) for value in node.inputs}
    ends.update({id(value): len(graph.nodes) for value in graph.outputs})
    live = most = sum(map(_bytes, graph.inputs))
    for step, node in enumerate(graph.nodes):
        done = {id(v): v for v in node.inputs if ends[id(v)] == step}
        blobs = {_blob(v, names) for v in done.values()}
        # In place, a top lies where its bottom was.
        places = sum(_bytes(v) for v in node.outputs if _blob(v, names) in blobs)
        live += sum(map(_bytes, node.outputs))
        most = max(most, live - places)
        unread = [v for v in node.outputs if id(v) not in ends]
        live -= sum(map(_bytes, [*done.values(), *unread]))
    return most


def _product(dims: Any) -> int:
    import math

    return math.prod(dim for dim in dims if isinstance(dim, int))


def _solver(path: Path, say: Any) -> dict[str, Any]:
    import dataclasses

    import prototxt

    solver = prototxt.read_solver(path)
    defaults = type(solver)()
    settings = {}
    for field in dataclasses.fields(solver):
        value = getattr(solver, field.name)
        if value != getattr(defaults, field.name) and _is_plain(value):
            settings[field.name] = value
    settings.setdefault("type", solver.type)
    say.fields([("solver", str(path)), *settings.items()])
    say.line("every other field stands at Caffe's default")
    return {"kind": "solver", "settings": settings}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, int | float | str | bool)


def _caffemodel(path: Path, say: Any) -> dict[str, Any]:
    import prototxt
    from zoo import console

    rows: list[dict[str, Any]] = []
    for layer in prototxt.read_model(path):
        rows.append(
            {
                "layer": layer.name,
                "type": layer.type,
                "blobs": [list(blob.shape) for blob in layer.blobs],
                "parameters": sum(int(blob.size) for blob in layer.blobs),
                "min": min((float(b.min()) for b in layer.blobs if b.size), default=None),
                "max": max((float(b.max()) for b in layer.blobs if b.size), default=None),
            }
        )
    say.table(
        ["layer", "type", "blobs", "parameters", "min", "max"],
        [
            [
                row["layer"],
                row["type"],
                " ".join(console.shape(dims) for dims in row["blobs"]),
                row["parameters"],
                *("" if row[end] is None else f"{row[end]:.4g}" for end in ("min", "max")),
            ]
            for row in rows
        ],
    )
    total = sum(row["parameters"] for row in rows)
    say.line()
    say.fields([("parameters", f"{console.count(total)}, {console.size(4 * total)}")])
    return {"kind": "caffemodel", "layers": rows, "parameters": total, "parameter_bytes": 4 * total}


def _binaryproto(path: Path, say: Any) -> dict[str, Any]:
    import prototxt
    from zoo import console

    blob = prototxt.read_binaryproto(path)
    if not blob.size:
        raise ZooError(f"{path}: the blob is empty")
    planes = blob.reshape(-1, *blob.shape[-2:]) if blob.ndim >= 3 else blob[None]
    data: dict[str, Any] = {
        "kind": "binaryproto",
        "shape": list(blob.shape),
        "min": float(blob.min()),
        "max": float(blob.max()),
        "channel_means": [float(plane.mean()) for plane in planes[:16]],
    }
    say.fields(
        [
            ("shape", console.shape(data["shape"])),
            ("range", f"{data['min']:.4g} to {data['max']:.4g}"),
            ("channel means", ", ".join(f"{mean:.4f}" for mean in data["channel_means"])),
        ]
    )
    return data


def _onnx(path: Path, say: Any) -> dict[str, Any]:
    from zoo import console, onnx_summary

    data = onnx_summary.summary(path)
    say.table(
        ["node", "op", "outputs", "parameters", "MACs"],
        [
            [
                row["node"],
                row["op"],
                " ".join(f"{name} {console.shape(dims)}" for name, dims in row["outputs"].items()),
                row["parameters"],
                "" if row["macs"] is None else row["macs"],
            ]
            for row in data["nodes"]
        ],
    )
    say.line()
    say.fields(
        [
            *((side, [console.value(v) for v in data[side]]) for side in ("inputs", "outputs")),
            ("opset", data["opset"]),
            (
                "parameters",
                f"{console.count(data['parameters'])}, {console.size(data['parameter_bytes'])}",
            ),
            ("MACs", f"{console.count(data['macs'])} at {data['measured_at']}"),
            ("memory", f"{console.size(data['activation_bytes'])} in tensors"),
            *sorted(data["metadata"].items()),
        ]
    )
    return data


_BINARIES: dict[str, Callable[[Path, Any], dict[str, Any]]] = {
    "caffemodel": _caffemodel,
    "binaryproto": _binaryproto,
    "onnx": _onnx,
}
