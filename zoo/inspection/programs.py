"""A program of some lines that runs a model on a photograph, without this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prototxt.borders import Borders
from prototxt.labels import labels_of
from prototxt.preprocessing import Preprocessing, Size
from prototxt.shapes import fixed_plane
from prototxt.tasks import Spec, ends_of, wanted_outputs

__all__ = ["snippet"]

PHOTO = "photo.jpg"


def snippet(
    metadata: Mapping[str, str],
    inputs: Sequence[Spec],
    outputs: Sequence[Spec],
    file: str,
    photo: str = PHOTO,
) -> str:
    """Python that loads the model in `file`, prepares `photo` as it wants it, and runs it.

    It needs numpy, onnxruntime and (for an image) OpenCV. What the metadata do not tell it says in
    a comment. `inputs` and `outputs` are as the model has them, N×C×H×W or N×H×W×C.
    """
    how = Preprocessing.from_metadata(metadata)
    first = inputs[0]
    shape = Borders.from_metadata(metadata).planes(first.name, first.shape, first.dtype)
    nhwc = shape != first.shape
    image = len(inputs) == 1 and len(shape) == 4 and shape[1] in (1, 3)
    lines = ["import cv2"] if image else []
    lines += ["import numpy as np", "import onnxruntime", ""]
    lines.append(f"session = onnxruntime.InferenceSession({file!r})")
    if image:
        stays = keeps_size(metadata, shape)
        size = None if stays else how.stated_size(fixed_plane(shape))
        lines += prepared(how, shape, size, photo, first.dtype == "uint8", nhwc)
        lines.append(f"found = session.run(None, {{{first.name!r}: blob[None]}})")
    else:
        lines.append("feeds = {")
        for spec in inputs:
            dims = ", ".join(str(dim) if isinstance(dim, int) else "1" for dim in spec.shape)
            dims += "," if len(spec.shape) == 1 else ""
            lines.append(f"    {spec.name!r}: np.zeros(({dims}), {spec.dtype!r}),")
        lines += ["}", "found = session.run(None, feeds)"]
    return "\n".join([*lines, *told(metadata, inputs, outputs)]) + "\n"


def prepared(
    how: Preprocessing,
    shape: Sequence[int | str],
    size: Size | None,
    photo: str,
    pixels: bool,
    nhwc: bool,
) -> list[str]:
    """From the file of a photograph, resized to `size`, to `blob`, C×H×W or H×W×C."""
    grey = shape[1] == 1
    lines = [f"image = cv2.imread({photo!r})  # blue, green, red"]
    if size is not None:
        lines.append(f"image = cv2.resize(image, ({size[1]}, {size[0]}))  # width, height")
    if grey:
        lines.append("image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]")
    elif pixels or how.channel_order == "RGB":
        lines.append("image = image[..., ::-1]  # red, green, blue")
    if pixels:
        return [*lines, "blob = np.ascontiguousarray(image)"]
    known = how.mean is not None
    mean = how.overridden(None if known else how.usual_mean(1 if grey else 3)).mean_text
    values = mean.split(",")
    note = "" if known else "  # not stated by the model: a guess"
    if any(float(value) for value in values):
        given = f"({', '.join(values)})" if len(values) > 1 else values[0]
        lines.append(f"blob = image - np.float32({given}){note}")
    else:
        lines.append(f"blob = image.astype(np.float32){note and '  # its mean is not stated'}")
    if how.crop is not None and size is not None and size == how.resize:
        (tall, wide), (height, width) = how.crop, size
        y, x = (height - tall) // 2, (width - wide) // 2
        lines.append(f"blob = blob[{y}:{y + tall}, {x}:{x + wide}]")
    if how.factor != 1:
        lines.append(f"blob = blob * np.float32({how.factor:.9g})")
    if nhwc:
        return lines
    return [*lines, "blob = np.ascontiguousarray(blob.transpose(2, 0, 1))"]


def keeps_size(metadata: Mapping[str, str], shape: Sequence[int | str]) -> bool:
    """Whether images go in as large as they are: any size goes, and that of the result matters."""
    return (
        metadata.get("zoo.task") == "image-to-image"
        and len(shape) == 4
        and fixed_plane(shape) is None
    )


def told(metadata: Mapping[str, str], inputs: Sequence[Spec], outputs: Sequence[Spec]) -> list[str]:
    """What comes out, by the task."""
    names = [spec.name for spec in outputs]
    task = metadata.get("zoo.task", "")
    wanted = wanted_outputs(task, *ends_of(metadata, inputs, outputs))
    if task == "classify" and wanted:
        lines = [f"scores = found[{names.index(wanted[0])}].reshape(-1)"]
        if labels_of(metadata):
            lines.append('labels = session.get_modelmeta().custom_metadata_map["zoo.labels"]')
            lines.append("labels = labels.splitlines()")
        named = "labels[i]" if labels_of(metadata) else "i"
        lines.append("for i in np.argsort(-scores)[:5]:")
        lines.append(f"    print(scores[i], {named})")
        return lines
    if task == "detect" and len(wanted) == 1:
        return [
            f"for _, label, score, *box in found[{names.index(wanted[0])}].reshape(-1, 7):",
            "    print(int(label), score, box)  # left, top, right, bottom as shares of the image",
        ]
    if task == "image-to-image" and wanted and inputs[0].dtype != "uint8":
        return drawn(metadata, inputs[0], outputs, names.index(wanted[0]))
    return [
        "for output, array in zip(session.get_outputs(), found):",
        "    print(output.name, array.shape, array.min(), array.max())",
    ]


def drawn(
    metadata: Mapping[str, str], taken: Spec, outputs: Sequence[Spec], number: int
) -> list[str]:
    """From the image that comes out to a file."""
    how = Preprocessing.from_metadata(metadata)
    nhwc = outputs[number].name in Borders.from_metadata(metadata).nhwc
    lines = [f"picture = found[{number}][0]" + ("" if nhwc else ".transpose(1, 2, 0)")]
    if how.factor != 1:
        lines.append(f"picture = picture / np.float32({how.factor:.9g})")
    if how.mean is not None and any(float(value) for value in how.mean_text.split(",")):
        lines.append(f"picture = picture + np.float32(({how.mean_text},))")
    if how.channel_order == "RGB":
        lines.append("picture = picture[..., ::-1]")
    return [*lines, 'cv2.imwrite("result.png", np.clip(np.rint(picture), 0, 255).astype(np.uint8))']
