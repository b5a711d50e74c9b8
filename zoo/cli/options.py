"""Options that several commands take, and how their texts are read."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prototxt.errors import UsageError
from prototxt.shapes import size_from_text

if TYPE_CHECKING:
    from converters.batches import Batch as BatchOrOpen
    from prototxt.preprocessing import Preprocessing

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run the files without limits of memory and time.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the fillers.")]
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="NAME=1x3x224x224",
        help="Fix an input's shape; a word in place of a number (Nx3x224x224) leaves it open.",
    ),
]
Lenient = Annotated[
    bool, typer.Option("--lenient", help="Unknown fields are warnings instead of errors.")
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", metavar="FILE.py", help="Python file that registers layer types of its own."
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean",
        metavar="FILE|b,g,r",
        help="What is subtracted from the pixels: a .binaryproto, a .npy or three numbers.",
    ),
]
Scale = Annotated[
    float | None,
    typer.Option("--scale", help="What pixels minus the mean are multiplied by; default 1."),
]
Crop = Annotated[
    str | None,
    typer.Option("--crop", metavar="SIZE|HxW", help="The centre that is cut out of images."),
]
Resize = Annotated[
    str | None,
    typer.Option(
        "--resize", metavar="SIZE|HxW", help="What images are resized to before they are cut."
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", metavar="W.caffemodel", help="The trained weights."),
]
Converted = Annotated[
    Path | None, typer.Option("--model", metavar="M.onnx", help="A converted network.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Take the first N images only.")]
Device = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to train.")]
Arch = Annotated[
    str | None,
    typer.Option("--arch", metavar="n1_n2_n3", help="A network of the paper, as 64_64_64."),
]
Images = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR|DB", help="Images, or an LMDB; default: sample photographs."
    ),
]
HeldOut = Annotated[
    int,
    typer.Option(
        "--held-out",
        min=0,
        metavar="N",
        help="Only the images that `zoo train --hold-out N` leaves out.",
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="HxW",
        help="Size the images are resized to; default: what the model states, else 128x128.",
    ),
]
Hub = Annotated[
    list[str] | None,
    typer.Option(
        "--hub",
        metavar="URL|DIR",
        help="The model hub, again for a mirror; default: ZOO_HUB, else what the package carries.",
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Use what was fetched before, and no network.")
]
OpenCV = Annotated[
    Path | None,
    typer.Option(
        "--opencv",
        metavar="DIR",
        help="A folder with OpenCV 4 (pip install --target), as OpenCV 5 reads no Caffe files.",
    ),
]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Images at a time.")]


class Phase(StrEnum):
    """Caffe's phases."""

    test = "test"
    train = "train"


class ChannelOrder(StrEnum):
    """The order in which a network takes colours."""

    bgr = "BGR"
    rgb = "RGB"


class Precision(StrEnum):
    """The numbers that a model is written in, as `zoo.precision.saving.PRECISIONS` has them."""

    float32 = "float32"
    float16 = "float16"
    int8 = "int8"


class Target(StrEnum):
    """The runtime that a model is for, as `converters.TARGETS` has them."""

    portable = "portable"
    cpu = "cpu"
    cuda = "cuda"
    opencv = "opencv"
    openvino = "openvino"
    wasm = "wasm"
    webgpu = "webgpu"
    tensorrt = "tensorrt"
    coreml = "coreml"


class Task(StrEnum):
    """What a network is for, as `prototxt.tasks.TASKS` has them."""

    reconstruct = "reconstruct"
    classify = "classify"
    detect = "detect"
    segment = "segment"
    image_to_image = "image-to-image"
    other = "other"


class Provider(StrEnum):
    """Where ONNX Runtime runs a model."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    tensorrt = "tensorrt"


ChannelOrderOption = Annotated[
    ChannelOrder | None,
    typer.Option(
        "--channel-order",
        case_sensitive=False,
        help="The order in which the network takes colours; default BGR, as Caffe does.",
    ),
]
TaskOption = Annotated[
    Task | None,
    typer.Option("--task", help="What the network is for; default: what it ends in tells."),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Names of the classes: one a line in the order of the outputs, or SSD's label map.",
    ),
]
PhaseOption = Annotated[
    Phase | None,
    typer.Option(
        "--phase", help="Which phase's layers; default: test, of a definition for training train."
    ),
]
Stages = Annotated[
    list[str] | None,
    typer.Option(
        "--stage",
        metavar="NAME",
        help="A stage that layers may ask for, as a solver's train_state; repeat for more.",
    ),
]
ProviderOption = Annotated[
    Provider, typer.Option("--provider", help="auto takes CUDA where it really works.")
]


def parse_shapes(texts: Iterable[str] | None) -> dict[str, tuple[int | str, ...]] | None:
    """`data=1x3x224x224` as {"data": (1, 3, 224, 224)}; None where there is none."""
    shapes: dict[str, tuple[int | str, ...]] = {}
    for text in texts or ():
        name, equals, dims = text.rpartition("=")
        parts = [part.strip() for part in dims.split("x")]
        if not (name and equals and all(map(_is_dim, parts))):
            raise UsageError(f"--shape {text!r} is not of the form NAME=1x3x224x224")
        if name in shapes:
            raise UsageError(f"--shape names {name!r} twice")
        shapes[name] = tuple(int(part) if part.isdecimal() else part for part in parts)
    return shapes or None


def parse_batch(text: str | None) -> "BatchOrOpen":
    """`8` as 8; `open` and None as they are."""
    if text is None:
        return None
    if text == "open":
        return "open"
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--batch {text!r} is neither a number nor open")
    return int(text)


def parse_opset(text: str | None) -> int | None:
    """`18` as 18, `latest` as the last opset that a model may be written for; None as it is."""
    if text is None or text.isdecimal():
        return None if text is None else int(text)
    if text != "latest":
        raise UsageError(f"--opset {text!r} is neither a number nor latest")
    from converters.opsets import OPSETS

    return OPSETS[-1]


def parse_names(texts: Iterable[str] | None, option: str) -> dict[str, str]:
    """`prob=scores` as {"prob": "scores"}."""
    names: dict[str, str] = {}
    for text in texts or ():
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise UsageError(f"{option} {text!r} is not of the form OLD=NEW")
        if old in names:
            raise UsageError(f"{option} names {old!r} twice")
        names[old] = new
    return names


def parse_name(texts: Sequence[str] | None) -> str | dict[str, str]:
    """As `parse_names`; `image` alone is the name of the only input."""
    if texts and len(texts) == 1 and texts[0] and "=" not in texts[0]:
        return texts[0]
    return parse_names(texts, "--input-name")


def _is_dim(part: str) -> bool:
    return int(part) > 0 if part.isdecimal() else part.isidentifier()


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """`96x160` as (96, 160), height first; one number is a square."""
    plane = size_from_text(text, square=True)
    if plane is None:
        raise UsageError(f"{option} {text!r} is neither a number nor HEIGHTxWIDTH")
    return plane


def preprocessing(
    mean: str | None,
    scale: float | None,
    crop: str | None,
    channel_order: str | None,
    resize: str | None = None,
) -> "Preprocessing":
    """What the user says of how images become the input; None is what is left to others."""
    plane = parse_size(crop, "--crop") if crop else None
    whole = parse_size(resize, "--resize") if resize else None
    from prototxt.preprocessing import Preprocessing

    return Preprocessing(mean, scale=scale, crop=plane, channel_order=channel_order, resize=whole)


def again(ctx: typer.Context, **instead: object) -> str:
    """The command line that was given, with other values for some options."""
    import shlex

    words = [ctx.command_path]
    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        given = source is not None and source.name == "COMMANDLINE"
        value = instead.get(param.name or "", ctx.params.get(param.name or "") if given else None)
        if value is None or value is False:
            continue
        option = [param.opts[0]] if param.param_type_name == "option" else []
        items = value if isinstance(value, list | tuple) else [value]
        words += [shlex.join(option if item is True else [*option, str(item)]) for item in items]
    return " ".join(words)


def refuse_overwriting(output: Path, inputs: Sequence[Path | None]) -> None:
    """UsageError where the output is one of the files that are read."""
    from zoo.data import sources

    sources.refuse_overwriting([output], inputs)
