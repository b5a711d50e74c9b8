"""`zoo convert`: a Caffe definition, and its weights, to ONNX."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import advice, mistakes, options
from zoo.cli.options import Precision, Target
from zoo.cli.spelling import spelled

if TYPE_CHECKING:
    from converters.conversion import Conversion, WrittenModel
    from zoo.precision.cost import Cost
    from zoo.precision.saving import Saved


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
            help="The runtime that it is for; `zoo targets` has the table.",
        ),
    ] = Target.portable,
    split: Annotated[
        bool,
        typer.Option("--split", help="Write OUT.encoder.onnx and OUT.decoder.onnx instead."),
    ] = False,
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision",
            help="float16 or int8; inputs and outputs stay float32, switches exact. Prints what it "
            "cost.",
        ),
    ] = Precision.float32,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            metavar="DIR",
            help="Images that int8 takes its ranges of, and on which the cost is measured.",
        ),
    ] = None,
    phase: options.PhaseOption = None,
    stage: options.Stages = None,
    shape: options.Shapes = None,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch",
            metavar="N|open",
            help="How many images at a time; open: any number, or an error. Default: open where "
            "the network allows it.",
        ),
    ] = None,
    blobs: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="BLOB", help="A blob to give out; repeat for more."),
    ] = None,
    input_name: Annotated[
        list[str] | None,
        typer.Option(
            "--input-name",
            metavar="[OLD=]NEW",
            help="Call an input otherwise; OLD is needed where there are several. Repeat for more.",
        ),
    ] = None,
    output_name: Annotated[
        list[str] | None,
        typer.Option(
            "--output-name", metavar="OLD=NEW", help="Call an output otherwise; repeat for more."
        ),
    ] = None,
    nhwc: Annotated[
        bool,
        typer.Option("--nhwc", help="Let images at inputs and outputs be float N×H×W×C."),
    ] = False,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Stop before the layer that makes detections (SSD, YOLO)."),
    ] = False,
    opset: Annotated[
        str | None,
        typer.Option(
            "--opset",
            metavar="N|latest",
            help="ONNX opset, 13 to 26; latest: the last that ONNX Runtime has; default 18.",
        ),
    ] = None,
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
    resize: options.Resize = None,
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
    task: options.TaskOption = None,
    labels: options.Labels = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Without --weights, replace even a model that was trained."),
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
    given = options.preprocessing(mean, scale, crop, channel_order, resize)
    mistakes.check_net(net, weights, "convert")
    output = output or Path(f"{net.stem}.onnx")
    options.refuse_overwriting(output, [net, weights])
    if weights is None and not force:
        _keep_trained(output, split)

    import converters
    from prototxt.labels import read_labels
    from zoo.cli.console import Printer
    from zoo.precision import saving

    say = Printer(json, quiet)
    conversion = converters.convert(
        net,
        weights,
        phase=phase.value if phase else None,
        stages=stage or (),
        shapes=options.parse_shapes(shape),
        batch=options.parse_batch(batch),
        outputs=blobs,
        input_names=options.parse_name(input_name),
        output_names=options.parse_names(output_name, "--output-name"),
        nhwc=nhwc,
        raw=raw,
        seed=seed,
        preprocessing=given,
        fold_preprocessing=fold_preprocessing,
        task=task.value if task else None,
        labels=read_labels(labels) if labels else (),
        target=target.value,
        opset=options.parse_opset(opset),
        fold=not no_fold,
        split=split,
        external_data=external_data,
        plugins=plugin or (),
        lenient=lenient,
        warn=say.warn,
    )
    saved = saving.save(conversion, output, precision.value, calibrate)
    data = _data(conversion, saved) | advice.advice(saved.written[0], net, weights)
    data |= {"precision": precision.value, "warnings": say.warnings}
    data |= {"seconds": round(time.perf_counter() - started, 3)}
    _report(say, data, saved.cost)


def _keep_trained(output: Path, split: bool) -> None:
    """ZooError where a trained model is there, which one without weights would replace."""
    from prototxt.errors import ZooError
    from zoo.inspection.onnx_model import is_trained

    stem = output.stem if output.suffix == ".onnx" else output.name
    parts = [output.with_name(f"{stem}.{part}.onnx") for part in ("encoder", "decoder")]
    for path in parts if split else [output]:
        if is_trained(path):
            raise ZooError(
                "holds trained weights, and none are given to replace them",
                subject=path,
                remedy="give --weights, another -o, or --force",
            )


def _data(conversion: Conversion, saved: Saved) -> dict[str, Any]:
    """What was converted and written, as `--json` prints it."""
    import converters

    opset = conversion.opset
    return {
        "files": [_file(model) for model in saved.written],
        "arch": (conversion.known.arch or None) if conversion.known else None,
        "target": conversion.target,
        "opset": converters.DEFAULT_OPSET if opset is None else opset,
        "cost": saved.cost.as_dict() if saved.cost else None,
        "notes": [*conversion.notes, *map(spelled, saved.notes)],
    }


def _file(model: WrittenModel) -> dict[str, Any]:
    from zoo.inspection import onnx_model

    return {
        "path": str(model.path),
        "data": str(model.data) if model.data is not None else None,
        "part": model.part,
        "nodes": len(model.proto.graph.node),
        "parameters": model.parameters,
        "inputs": [onnx_model.value(info) for info in model.proto.graph.input],
        "outputs": [onnx_model.value(info) for info in model.proto.graph.output],
        "bytes": model.bytes,
    }


def _names(file: dict[str, Any]) -> str:
    return " and ".join(filter(None, (file["path"], file["data"])))


def _report(say: Any, data: dict[str, Any], cost: Cost | None) -> None:
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
    if cost is not None:
        pairs += _cost(cost)
    pairs += advice.shown(data)
    say.fields([*pairs, ("time", f"{data['seconds']:.2f} s")])
    say.notes(data["notes"])
    advice.show_next(say, data)


def _cost(cost: Cost) -> list[tuple[str, Any]]:
    """What fewer bits cost, float32 first where there are two figures."""
    from zoo import formatting

    before, after = cost.bytes
    slow, fast = cost.milliseconds
    apart = [
        f"{one.output} {one.largest:.3g} at most, {one.mean:.3g} on average, of {one.magnitude:.3g}"
        + (f"; another shape in {one.reshaped} of {cost.images}" if one.reshaped else "")
        for one in cost.outputs
    ]
    pairs: list[tuple[str, Any]] = [
        (
            "precision",
            f"{cost.precision} in {cost.layers - len(cost.kept)} of {cost.layers} layers",
        ),
        ("measured on", cost.sample),
        ("difference", apart),
    ]
    if cost.switches:
        counted = formatting.count(cost.switches)
        pairs.append(("switches", f"{formatting.count(cost.flipped)} of {counted} flipped"))
    if cost.rmse is not None:
        pairs.append(("RMSE", f"{cost.rmse[0]:.5f}, then {cost.rmse[1]:.5f}"))
    if cost.same_class is not None:
        pairs.append(("same class", f"in {cost.same_class:.1%} of the images"))
    if cost.worse:
        pairs.append(("worse", list(cost.worse)))
    return [
        *pairs,
        ("bytes", f"{formatting.size(before)}, then {formatting.size(after)}"),
        ("a batch", f"{slow:.2f} ms, then {fast:.2f} ms (ONNX Runtime, {cost.provider})"),
    ]
