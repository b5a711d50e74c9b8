"""`zoo inspect`: what is in a file, whichever of Caffe's or ONNX's it is."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import formatting
from zoo.cli import options

LONGEST = 400
"""Characters of metadata that a table shows."""


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .prototxt, solver, .caffemodel, .binaryproto or .onnx."
        ),
    ],
    phase: options.PhaseOption = None,
    stage: options.Stages = None,
    shape: options.Shapes = None,
    plugin: options.Plugins = None,
    lenient: options.Lenient = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also list the layers, with shapes and costs of each.")
    ] = False,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what is in a file of Caffe's or ONNX's.

    Inputs and outputs, parameters, multiply-adds (MACs) and memory; --layers lists the layers, as
    --json always does. MACs and memory are for a batch of one, where the network allows one, or for
    the --shape that is given. Parameters are float32.
    """
    shapes = options.parse_shapes(shape)
    from zoo import inspection
    from zoo.cli.console import Printer

    say = Printer(json, quiet)
    how: dict[str, Any] = {"phase": phase.value if phase else None, "stages": stage or ()}
    how |= {"shapes": shapes, "plugins": plugin or (), "lenient": lenient, "warn": say.warn}
    found = inspection.inspect(file, **how)
    data = {"file": str(file), "warnings": say.warnings, **found}
    say.fields(_SUMMARY[data["kind"]](data))
    if layers and data["kind"] in _LAYERS:
        say.line()
        say.table(*_LAYERS[data["kind"]](data))
    say.notes(data.get("notes", ()))
    say.result(data)


Fields = list[tuple[str, Any]]
Table = tuple[list[str], list[list[Any]]]


def _net(data: dict[str, Any]) -> Fields:
    first = [
        ("name", data["name"] or "(none)"),
        ("syntax", data["syntax"]),
        ("layers", _listed(data["layers"])),
    ]
    if "inputs" not in data:
        return first
    sides = [
        (side, [f"{name} {formatting.shape(dims)}" for name, dims in data[side].items()])
        for side in ("inputs", "outputs")
    ]
    return [
        *first,
        *([("arch", f"{data['arch']}, of the paper")] if data["arch"] else []),
        *sides,
        ("parameters", _parameters(data)),
        ("MACs", formatting.count(data["macs"])),
        (
            "memory",
            f"{formatting.size(data['activation_bytes'])} in blobs, of them "
            f"{formatting.size(data['peak_bytes'])} at once, for the inputs above",
        ),
    ]


def _listed(rows: list[Any]) -> str:
    """How many, and how to see them."""
    return f"{len(rows)}; --layers lists them"


def _net_layers(data: dict[str, Any]) -> Table:
    rows = data["layers"]
    if "inputs" not in data:
        return ["layer", "type", "bottoms", "tops", "line"], [
            [
                row["layer"],
                row["type"],
                " ".join(row["bottoms"]),
                " ".join(row["tops"]),
                row["line"],
            ]
            for row in rows
        ]
    return ["layer", "type", "bottoms", "tops", "parameters", "MACs"], [
        [
            row["layer"],
            row["type"],
            " ".join(row["bottoms"]),
            _shapes(row["tops"], row["layer"]),
            row["parameters"],
            row["macs"],
        ]
        for row in rows
    ]


def _parameters(data: dict[str, Any]) -> str:
    return f"{formatting.count(data['parameters'])}, {formatting.size(data['parameter_bytes'])}"


def _shapes(blobs: dict[str, list[int]], layer: str) -> str:
    """Blobs with their shapes; the one that is called as its layer is by its shape alone."""
    return " ".join(
        formatting.shape(dims) if name == layer else f"{name} {formatting.shape(dims)}"
        for name, dims in blobs.items()
    )


def _solver(data: dict[str, Any]) -> Fields:
    rest = "every other field stands at Caffe's default"
    return [("solver", data["file"]), *data["settings"].items(), ("", rest)]


def _caffemodel(data: dict[str, Any]) -> Fields:
    return [("layers", _listed(data["layers"])), ("parameters", _parameters(data))]


def _caffemodel_layers(data: dict[str, Any]) -> Table:
    return ["layer", "type", "blobs", "parameters", "min", "max"], [
        [
            row["layer"],
            row["type"],
            " ".join(formatting.shape(dims) for dims in row["blobs"]),
            row["parameters"],
            *("" if row[end] is None else f"{row[end]:.4g}" for end in ("min", "max")),
        ]
        for row in data["layers"]
    ]


def _binaryproto(data: dict[str, Any]) -> Fields:
    return [
        ("shape", formatting.shape(data["shape"])),
        ("range", f"{data['min']:.4g} to {data['max']:.4g}"),
        ("channel means", ", ".join(f"{mean:.4f}" for mean in data["channel_means"])),
    ]


def _onnx(data: dict[str, Any]) -> Fields:
    return [
        *((side, [formatting.value(v) for v in data[side]]) for side in ("inputs", "outputs")),
        ("opset", data["opset"]),
        ("nodes", _listed(data["nodes"])),
        ("parameters", _parameters(data)),
        ("MACs", f"{formatting.count(data['macs'])} at {data['measured_at']}"),
        ("memory", f"{formatting.size(data['activation_bytes'])} in tensors"),
        *sorted((name, shortened(text)) for name, text in data["metadata"].items()),
    ]


def shortened(text: str) -> str:
    """What stands in a table of a long text: its beginning, and how much follows."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} ... and {formatting.count(len(text) - LONGEST)} characters more"


def _onnx_nodes(data: dict[str, Any]) -> Table:
    return ["node", "op", "outputs", "parameters", "MACs"], [
        [
            row["node"],
            row["op"],
            _shapes(row["outputs"], row["node"]),
            row["parameters"],
            "" if row["macs"] is None else row["macs"],
        ]
        for row in data["nodes"]
    ]


_SUMMARY = {
    "net": _net,
    "solver": _solver,
    "caffemodel": _caffemodel,
    "binaryproto": _binaryproto,
    "onnx": _onnx,
}
_LAYERS = {"net": _net_layers, "caffemodel": _caffemodel_layers, "onnx": _onnx_nodes}
