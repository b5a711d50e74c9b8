"""`zoo inspect`: what is in a file, whichever of Caffe's or ONNX's it is."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import formatting
from zoo.cli import options


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
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what is in a file of Caffe's or ONNX's.

    Layers, shapes, parameters, multiply-adds (MACs) and memory. MACs and memory are for a batch
    of one, where the network allows one. Parameters are float32.
    """
    shapes = options.parse_shapes(shape)
    from zoo import inspection
    from zoo.cli.console import Printer

    say = Printer(json, quiet)
    how: dict[str, Any] = {}
    if inspection.kind_of(file) == "prototxt":
        how = {"phase": phase.value if phase else None, "stages": stage or (), "shapes": shapes}
        how |= {"plugins": plugin or (), "lenient": lenient, "warn": say.warn}
    found = inspection.inspect(file, **how)
    data = {"file": str(file), "warnings": say.warnings, **found}
    _SHOW[data["kind"]](say, data)
    say.result(data)


def _show_net(say: Any, data: dict[str, Any]) -> None:
    if "inputs" not in data:
        _show_unbuilt(say, data)
        return
    say.table(
        ["layer", "type", "bottoms", "tops", "parameters", "MACs"],
        [
            [
                row["layer"],
                row["type"],
                " ".join(row["bottoms"]),
                _shapes(row["tops"]),
                row["parameters"],
                row["macs"],
            ]
            for row in data["layers"]
        ],
    )
    say.line()
    sides = [
        (side, [f"{name} {formatting.shape(dims)}" for name, dims in data[side].items()])
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
                _parameters(data),
            ),
            ("MACs", formatting.count(data["macs"])),
            (
                "memory",
                f"{formatting.size(data['activation_bytes'])} in blobs, of them "
                f"{formatting.size(data['peak_bytes'])} at once, for the inputs above",
            ),
        ]
    )
    for note in data["notes"]:
        say.note(note)


def _parameters(data: dict[str, Any]) -> str:
    return f"{formatting.count(data['parameters'])}, {formatting.size(data['parameter_bytes'])}"


def _shapes(blobs: dict[str, list[int]]) -> str:
    return " ".join(f"{name} {formatting.shape(dims)}" for name, dims in blobs.items())


def _show_unbuilt(say: Any, data: dict[str, Any]) -> None:
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
            for row in data["layers"]
        ],
    )
    for note in data["notes"]:
        say.note(note)


def _show_solver(say: Any, data: dict[str, Any]) -> None:
    say.fields([("solver", data["file"]), *data["settings"].items()])
    say.line("every other field stands at Caffe's default")


def _show_caffemodel(say: Any, data: dict[str, Any]) -> None:
    say.table(
        ["layer", "type", "blobs", "parameters", "min", "max"],
        [
            [
                row["layer"],
                row["type"],
                " ".join(formatting.shape(dims) for dims in row["blobs"]),
                row["parameters"],
                *("" if row[end] is None else f"{row[end]:.4g}" for end in ("min", "max")),
            ]
            for row in data["layers"]
        ],
    )
    say.line()
    say.fields([("parameters", _parameters(data))])


def _show_binaryproto(say: Any, data: dict[str, Any]) -> None:
    say.fields(
        [
            ("shape", formatting.shape(data["shape"])),
            ("range", f"{data['min']:.4g} to {data['max']:.4g}"),
            ("channel means", ", ".join(f"{mean:.4f}" for mean in data["channel_means"])),
        ]
    )


def _show_onnx(say: Any, data: dict[str, Any]) -> None:
    say.table(
        ["node", "op", "outputs", "parameters", "MACs"],
        [
            [
                row["node"],
                row["op"],
                _shapes(row["outputs"]),
                row["parameters"],
                "" if row["macs"] is None else row["macs"],
            ]
            for row in data["nodes"]
        ],
    )
    say.line()
    say.fields(
        [
            *((side, [formatting.value(v) for v in data[side]]) for side in ("inputs", "outputs")),
            ("opset", data["opset"]),
            (
                "parameters",
                _parameters(data),
            ),
            ("MACs", f"{formatting.count(data['macs'])} at {data['measured_at']}"),
            ("memory", f"{formatting.size(data['activation_bytes'])} in tensors"),
            *sorted(data["metadata"].items()),
        ]
    )


_SHOW = {
    "net": _show_net,
    "solver": _show_solver,
    "caffemodel": _show_caffemodel,
    "binaryproto": _show_binaryproto,
    "onnx": _show_onnx,
}
