"""`zoo convert`: a Caffe definition, and its weights, to ONNX."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import options
from zoo.cli.options import Phase, Target
from zoo.errors import UsageError

if TYPE_CHECKING:
    from converters import Graph, OnnxFile
    from prototxt.files import Content
    from prototxt.net import NetDefinition
    from zoo.paper.architectures import Recognised

    Shapes = dict[str, tuple[int | str, ...]]


def convert(
    net: Annotated[Path, typer.Argument(metavar="NET.prototxt", help="The definition.")],
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="W.caffemodel",
            help="The trained weights; without them the definition's fillers draw.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            metavar="OUT.onnx",
            help="Where to write; default: NET.onnx in the current folder.",
        ),
    ] = None,
    target: Annotated[
        Target,
        typer.Option(
            "--target",
            help="How unpooling is written: cpu MaxUnpool, cuda ScatterElements, "
            "portable what every runtime has.",
        ),
    ] = Target.cpu,
    split: Annotated[
        bool,
        typer.Option("--split", help="Write OUT.encoder.onnx and OUT.decoder.onnx instead."),
    ] = False,
    phase: options.PhaseOption = Phase.test,
    stage: options.Stages = None,
    shape: options.Shapes = None,
    blobs: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="BLOB", help="A blob to give out; repeat for more."),
    ] = None,
    opset: Annotated[int | None, typer.Option("--opset", help="ONNX opset; default 18.")] = None,
    external_data: Annotated[
        bool,
        typer.Option(
            "--external-data",
            help="Keep the weights in OUT.onnx.data beside it; models above 1.8 GB always do.",
        ),
    ] = False,
    no_fold: Annotated[bool, typer.Option("--no-fold", help="Keep the layers one to one.")] = False,
    mean: options.Mean = None,
    scale: options.Scale = None,
    crop: options.Crop = None,
    channel_order: options.ChannelOrderOption = None,
    fold_preprocessing: Annotated[
        bool,
        typer.Option(
            "--fold-preprocessing",
            help="Let the model take uint8 N×H×W×3 RGB images, and crop, reorder, subtract the "
            "mean and scale by itself.",
        ),
    ] = False,
    plugin: options.Plugins = None,
    lenient: options.Lenient = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Convert a Caffe network to ONNX.

    Batch stays open, and height and width where the network allows it. Masks of max pooling are
    outputs under the definition's own names. What was read, and how to feed the model, is recorded
    in its metadata: the mean, scale, crop and order of channels that the data layer states or you.
    """
    started = time.perf_counter()
    shapes = options.parse_shapes(shape)
    plane = options.parse_size(crop, "--crop") if crop else None
    if fold_preprocessing and phase is Phase.train:
        raise UsageError("--fold-preprocessing goes with --phase test: training crops at random")
    output = output or Path(f"{net.stem}.onnx")
    options.refuse_overwriting(output, [net, weights])

    import converters
    import prototxt
    from prototxt.files import atomic_write_all
    from zoo import metadata, transforms
    from zoo.cli.console import Printer
    from zoo.inspection import onnx_model as onnx_summary

    say = Printer(json, quiet)
    for path in plugin or ():
        converters.load_plugin(path)
    read = prototxt.read_net(net, lenient=lenient, warn=say.warn)
    read = read.select(phase.upper(), (*read.stages, *(stage or ())))
    digest = metadata.sha256_meanwhile(weights) if weights is not None else None
    arrays = prototxt.read_weights(weights, views=True) if weights is not None else None
    transform = transforms.stated(read).overridden(mean, scale, plane, channel_order)

    def built(shapes: Shapes | None) -> tuple[Graph, Recognised | None, list[str]]:
        return build(
            read,
            arrays,
            shapes=shapes,
            outputs=blobs,
            seed=seed,
            lenient=lenient,
            warn=say.warn,
        )

    graph, recognised, notes = built(shapes)
    pixels = None
    if fold_preprocessing:
        cut = transforms.cut_shape(graph, transform, shapes)
        graph, recognised, notes = built(cut) if cut else (graph, recognised, notes)
        pixels = transforms.pixels(graph, transform)
    graph.name = graph.name or net.stem
    described = metadata.describe(
        net,
        weights,
        read,
        phase=phase.value,
        seed=seed,
        mean=mean,
        recognised=recognised,
        input_shape=graph.inputs[0].nominal if graph.inputs else None,
        digest=digest,
        transform=transform,
        folded=fold_preprocessing,
    )
    parts = {"": graph}
    if split:
        parts = dict(zip(("encoder", "decoder"), converters.split(graph), strict=True))
    files: list[dict[str, Any]] = []
    contents: list[tuple[Path, Content]] = []
    for part, piece in parts.items():
        if part == "decoder":
            pixels, described = None, {k: v for k, v in described.items() if k != "zoo.input"}
        path = output if not part else output.with_name(f"{_stem(output)}.{part}.onnx")
        piece = piece if no_fold else converters.fold(piece)
        model = converters.to_onnx_file(
            piece,
            target.value,
            converters.DEFAULT_OPSET if opset is None else opset,
            {**described, "zoo.part": part} if part else described,
            pixels=pixels,
        )
        written = _contents(model, path, external_data)
        contents += written
        files.append(
            {
                "path": str(path),
                "data": str(written[0][0]) if len(written) > 1 else None,
                "part": part or "whole",
                "nodes": len(model.model.graph.node),
                "parameters": sum(blob.size for node in piece.nodes for blob in node.blobs),
                "inputs": [onnx_summary.value(info) for info in model.model.graph.input],
                "outputs": [onnx_summary.value(info) for info in model.model.graph.output],
            }
        )
    atomic_write_all(contents)
    for file in files:
        parts_of = [Path(name) for name in (file["path"], file["data"]) if name]
        file["bytes"] = sum(part.stat().st_size for part in parts_of)
    _report(
        say,
        {
            "files": files,
            "arch": recognised.arch if recognised else None,
            "target": target.value,
            "opset": converters.DEFAULT_OPSET if opset is None else opset,
            "weights": str(weights) if weights else None,
            "notes": notes,
            "warnings": say.warnings,
            "seconds": round(time.perf_counter() - started, 3),
        },
    )


def build(
    net: NetDefinition,
    weights: dict[str, list[Any]] | None,
    *,
    shapes: dict[str, tuple[int | str, ...]] | None,
    open_dims: bool = True,
    **how: Any,
) -> tuple[Graph, Recognised | None, list[str]]:
    """The graph of a definition, which of the paper's it is, and what a person should know.

    Where nothing in the files fixes the input's size (the paper's classifiers name none), a network
    of the paper is recognised and given the size that the paper uses.
    """
    import converters
    from zoo.data.shapes import stored_shapes
    from zoo.paper import architectures

    recognised = architectures.recognise(net)
    notes: list[str] = []
    stored = stored_shapes(net, Path(net.path), notes.append)

    def graph_of(given: dict[str, tuple[int | str, ...]] | None) -> Graph:
        return converters.build_graph(
            net, weights, shapes=given, open_dims=open_dims, stored=stored, **how
        )

    try:
        graph = graph_of(shapes)
    except converters.NeedsShape as error:
        if recognised is None or shapes:
            raise
        side = recognised.size
        graph = graph_of({error.blob: ("batch" if open_dims else 1, 3, side, side)})
        notes.append(
            f"input {error.blob} 3x{side}x{side}: nothing fixes it, but this is the paper's "
            f"{'classify' if recognised.classify else 'net'}{recognised.arch}"
        )
    return graph, recognised, notes + graph.notes


def _contents(model: OnnxFile, path: Path, external: bool) -> list[tuple[Path, Content]]:
    """The files of a model: one, or the weights and what refers to them, in this order."""
    from converters.onnx_file import INLINE_LIMIT

    if not external and model.nbytes <= INLINE_LIMIT:
        return [(path, model.write)]
    data = path.with_name(f"{path.name}.data")
    return [(data, model.write_data), (path, lambda file: model.write_graph(file, data.name))]


def _stem(path: Path) -> str:
    return path.stem if path.suffix == ".onnx" else path.name


def _names(file: dict[str, Any]) -> str:
    return " and ".join(filter(None, (file["path"], file["data"])))


def _report(say: Any, data: dict[str, Any]) -> None:
    from zoo import formatting

    say.result(data)
    pairs: list[tuple[str, Any]] = []
    for file in data["files"]:
        pairs += [
            ("wrote", f"{_names(file)} ({formatting.size(file['bytes'])})"),
            ("inputs", [formatting.value(value) for value in file["inputs"]]),
            ("outputs", [formatting.value(value) for value in file["outputs"]]),
            ("size", f"{file['nodes']} nodes, {formatting.count(file['parameters'])} parameters"),
        ]
    if data["arch"]:
        pairs.append(("arch", f"{data['arch']}, of the paper"))
    say.fields([*pairs, ("time", f"{data['seconds']:.2f} s")])
    for note in data["notes"]:
        say.note(note)
