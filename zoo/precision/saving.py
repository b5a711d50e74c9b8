"""The front door: a conversion -> a model in float16 or int8, written, and what that costs.

zoo.precision.saving.save(converters.convert(net, weights), "net.onnx", "float16")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prototxt.errors import Argument, Note, Sentence, UsageError
from zoo.precision.cost import Cost, Sample, measure

if TYPE_CHECKING:
    import onnx

    from converters import Conversion
    from converters.conversion import WrittenModel
    from runtime import Model

__all__ = ["PRECISIONS", "Saved", "save"]

PRECISIONS = ("float32", "float16", "int8")

FEW = 16
"""Images on which it is seen whether numbers leave float16's range."""

OPENVINO = ("portable", "openvino")
OPEN_SIZES = Note(
    "OpenVINO (2026.4) miscomputes int8 before an unpooling of open height and width",
    Sentence("for it fix them with ", Argument("shapes")),
)


@dataclass(frozen=True)
class Saved:
    """What was written, and what it cost."""

    written: tuple[WrittenModel, ...]
    cost: Cost | None
    """None in float32."""
    notes: tuple[str, ...]
    """What a person should know of how it was made."""


def save(
    conversion: Conversion,
    path: str | Path,
    precision: str = "float32",
    calibrate: str | Path | Sequence[Path] | None = None,
    provider: str = "cpu",
) -> Saved:
    """Write a model in float32, or in fewer bits and measure what that costs.

    Inputs and outputs are float32 in any case. What switches depend on stays float32, so that every
    one of them is the same.

    Args:
        conversion: what to write; in fewer bits less than 1.8 GB, and not split.
        path: where to write; made anew or replaced.
        precision: ``float32``, ``float16``, or ``int8``: static quantization by ONNX Runtime.
        calibrate: a folder of images, one image or the paths of several, of which int8 takes the
            ranges of its numbers and on which the cost is measured; without it float16 is measured
            on sample photographs.
        provider: on which both are run; as `runtime.load` has it.

    Raises:
        UsageError: another precision, or arguments that contradict one another.
        InferenceError: no images, or a network that takes something else than one image.
        ConversionError: a network of which no layer can be written in fewer bits.
    """
    check(conversion, precision, calibrate)
    if precision == "float32":
        return Saved(tuple(conversion.save(path)), None, ())
    import runtime
    from converters.conversion import WrittenModel
    from prototxt.files import atomic_write
    from zoo.precision.kept import LEARNED

    model = whole(conversion)
    loaded = runtime.load(model.SerializeToString(), provider)
    images = Path(calibrate) if isinstance(calibrate, str) else calibrate
    sample, notes = sampled(conversion, loaded, images)
    switches = [
        value.name for value in conversion.parts["whole"].values() if value.dtype == "int64"
    ]
    lowered, wide, told = lower(model, precision, switches, sample, loaded)
    if precision == "int8" and switches and conversion.target in OPENVINO and is_open(loaded):
        told.append(OPEN_SIZES)
    lowered.metadata_props.add(key="zoo.precision", value=precision)
    after = runtime.load(lowered.SerializeToString(), provider)
    layers = [node.name for node in model.graph.node if node.op_type in LEARNED]
    cost = measure(
        loaded,
        after,
        sample,
        precision=precision,
        sizes=(model.ByteSize(), lowered.ByteSize()),
        kept=[name for name in layers if name in wide],
        layers=len(layers),
    )
    lowered.metadata_props.add(key="zoo.cost", value=cost.as_metadata())
    content = lowered.SerializeToString()
    cost = replace(cost, bytes=(cost.bytes[0], len(content)))
    atomic_write(path, lambda file: file.write(content))
    parameters = sum(b.size for n in conversion.parts["whole"].nodes for b in n.blobs)
    written = WrittenModel("whole", Path(path), None, lowered, parameters)
    return Saved((written,), cost, (*notes, *told))


def check(conversion: Conversion, precision: str, calibrate: object) -> None:
    """UsageError where a conversion cannot be written so."""
    if precision not in PRECISIONS:
        raise UsageError(
            f"unknown precision {precision!r}", remedy=f"one of {', '.join(PRECISIONS)}"
        )
    asked = Argument("precision", precision)
    if precision == "float32":
        if calibrate is None:
            return
        raise UsageError(
            Sentence(Argument("calibrate"), " is for fewer bits than float32"),
            remedy=Sentence("add ", Argument("precision", "int8"), ", or leave it out"),
        )
    if precision == "int8" and calibrate is None:
        raise UsageError(
            "needs images to take the range of each layer's numbers of",
            subject=asked,
            remedy=Sentence("give a folder with ", Argument("calibrate"), " DIR"),
        )
    for given, argument, why in (
        (conversion.split, Argument("split"), "writes the whole: its encoder stays float32"),
        (conversion.external_data, Argument("external_data"), "writes one file"),
    ):
        if given:
            raise UsageError(why, subject=asked, remedy=Sentence("leave ", argument, " out"))


def is_open(model: Model) -> bool:
    """Whether height or width of its images is left open."""
    import runtime

    return any(isinstance(dim, str) for dim in (runtime.image_shape(model) or ())[2:])


def whole(conversion: Conversion) -> onnx.ModelProto:
    """The float32 model, weights in it; UsageError where it is too large for one file."""
    from converters.onnx_file import INLINE_LIMIT

    file = conversion.onnx_file()
    if file.nbytes > INLINE_LIMIT:
        raise UsageError(
            f"the weights take {file.nbytes / 1e9:.1f} GB, and fewer bits go up to 1.8 GB",
            remedy=Sentence("leave ", Argument("precision"), " out"),
        )
    return file.whole()


def sampled(
    conversion: Conversion, model: Model, images: Path | Sequence[Path] | None
) -> tuple[Sample, list[str]]:
    """What to measure on."""
    import runtime
    from zoo.precision import sampling

    takes_images = len(model.inputs) == 1 and runtime.image_shape(model) is not None
    colours = (runtime.image_shape(model) or (0, 0))[1] if takes_images else 0
    if images is None and colours not in (1, 3):
        return sampling.drawn(conversion, model)
    return sampling.photographs(model, images)


def lower(
    model: onnx.ModelProto,
    precision: str,
    switches: Sequence[str],
    sample: Sample,
    loaded: Model,
) -> tuple[onnx.ModelProto, set[str], list[str]]:
    """The model in fewer bits, the nodes that stayed float32, and notes.

    ConversionError where no layer can be.
    """
    from converters import ConversionError
    from zoo.precision.half import halved, stay_wide
    from zoo.precision.int8 import learned, quantized, weightless
    from zoo.precision.kept import kept
    from zoo.precision.returning import returned

    wide = kept(model, switches)
    if precision == "float16":
        wide |= stay_wide(model, too_large(model, sample))
    else:
        wide |= weightless(model)
    if not learned(model, wide):
        raise ConversionError(
            f"no layer can be written in {precision}: its switches depend on all with any weights",
            subject=model.graph.name,
            remedy=Sentence("leave ", Argument("precision"), " out"),
        )
    if precision == "float16":
        return halved(model, wide), wide, []
    first = quantized(model, wide, sample.feeds)
    back = returned(model, first, wide, sample, loaded)
    if not back:
        return first, wide, []
    wide |= set(back)
    note = f"stay float32, for int8 cost too much there: {', '.join(back)}"
    if not learned(model, wide):
        raise ConversionError(
            "int8 costs too much in every layer",
            subject=model.graph.name,
            remedy=Sentence("take ", Argument("precision", "float16")),
        )
    return quantized(model, wide, sample.feeds), wide, [note]


def too_large(model: onnx.ModelProto, sample: Sample) -> list[str]:
    """The tensors that leave float16's range on a sample, or are no numbers there."""
    import onnx

    import runtime
    from zoo.precision.half import LARGEST
    from zoo.precision.kept import types

    kinds = types(model)
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {value.name for value in model.graph.output}
    made = [name for node in model.graph.node for name in node.output]
    inside = [n for n in made if kinds.get(n) == onnx.TensorProto.FLOAT and n not in known]
    shown.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in inside
    )
    loaded = runtime.load(shown.SerializeToString(), "cpu")
    found: dict[str, None] = {}
    for feeds in sample.feeds[:FEW]:
        for name, array in {**feeds, **loaded.run(feeds)}.items():
            if array.dtype != np.float32 or not array.size:
                continue
            # Twice as large on another image is no surprise; NaN is not below anything.
            if not np.abs(array).max() <= LARGEST / 2:
                found[name] = None
    return list(found)
