"""Networks to measure: the paper's as files, and classifiers of any size with drawn weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from prototxt.files import atomic_write
from prototxt.wire import encoded

if TYPE_CHECKING:
    from converters import Graph
    from prototxt.preprocessing import Preprocessing

__all__ = [
    "Files",
    "arches",
    "caffe_files",
    "caffenet",
    "classifier",
    "convert",
    "drawn_caffemodel",
    "embedded",
    "embedded_preprocessing",
    "tunnel",
    "vgg16",
]

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
CHUNK = 1 << 22


def layer(kind: str, name: str, bottom: str, top: str, params: str = "") -> str:
    """One layer of a definition."""
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {params} }}\n'


def learned(kind: str, name: str, bottom: str, params: str) -> str:
    """A layer with weights (fillers of zero: the weights are in a caffemodel) and its ReLU."""
    message = "inner_product_param" if kind == "InnerProduct" else "convolution_param"
    return layer(kind, name, bottom, name, f"{message} {{ {params} }}")


def relu(name: str) -> str:
    return layer("ReLU", f"relu_{name}", name, name)


def header(name: str, side: int) -> str:
    return (
        f'name: "{name}"\nlayer {{ name: "data" type: "Input" top: "data" input_param '
        f"{{ shape {{ dim: 1 dim: 3 dim: {side} dim: {side} }} }} }}\n"
    )


def ending(bottom: str, hidden: int, classes: int) -> str:
    """Three inner products, Dropout after the first two, and probabilities."""
    text = ""
    for name in ("fc6", "fc7"):
        text += learned("InnerProduct", name, bottom, f"num_output: {hidden}") + relu(name)
        text += layer("Dropout", f"drop_{name}", name, name)
        bottom = name
    text += learned("InnerProduct", "fc8", bottom, f"num_output: {classes}")
    return text + layer("Softmax", "prob", "fc8", "prob")


def vgg16(side: int = 224, width: float = 1.0, hidden: int = 4096, classes: int = 1000) -> str:
    """VGG-16 (Simonyan and Zisserman 2014), configuration D; 553 MB of weights as it is."""
    text, bottom = header("VGG16", side), "data"
    for level, block in enumerate(VGG16, 1):
        for place, channels in enumerate(block, 1):
            name = f"conv{level}_{place}"
            shape = f"num_output: {max(1, int(channels * width))} kernel_size: 3 pad: 1"
            text += learned("Convolution", name, bottom, shape) + relu(name)
            bottom = name
        pool = "pooling_param { kernel_size: 2 stride: 2 }"
        text += layer("Pooling", f"pool{level}", bottom, f"pool{level}", pool)
        bottom = f"pool{level}"
    return text + ending(bottom, hidden, classes)


def caffenet(side: int = 227, hidden: int = 4096, classes: int = 1000) -> str:
    """CaffeNet, Caffe's own AlexNet: groups, LRN, overlapping pooling; 244 MB of weights."""
    text, bottom = header("CaffeNet", side), "data"
    sizes = (
        ("num_output: 96 kernel_size: 11 stride: 4", True, True),
        ("num_output: 256 kernel_size: 5 pad: 2 group: 2", True, True),
        ("num_output: 384 kernel_size: 3 pad: 1", False, False),
        ("num_output: 384 kernel_size: 3 pad: 1 group: 2", False, False),
        ("num_output: 256 kernel_size: 3 pad: 1 group: 2", True, False),
    )
    for level, (shape, pooled, normed) in enumerate(sizes, 1):
        name = f"conv{level}"
        text += learned("Convolution", name, bottom, shape) + relu(name)
        bottom = name
        if pooled:
            pool = "pooling_param { kernel_size: 3 stride: 2 }"
            text += layer("Pooling", f"pool{level}", bottom, f"pool{level}", pool)
            bottom = f"pool{level}"
        if normed:
            norm = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
            text += layer("LRN", f"norm{level}", bottom, f"norm{level}", norm)
            bottom = f"norm{level}"
    return text + ending(bottom, hidden, classes)


class Files:
    """A definition and its weights, side by side."""

    def __init__(self, folder: Path, name: str) -> None:
        self.net, self.caffemodel = folder / f"{name}.prototxt", folder / f"{name}.caffemodel"
        self.onnx, self.naive = folder / f"{name}.onnx", folder / f"{name}.naive.onnx"
        self.portable = folder / f"{name}.portable.onnx"


def classifier(folder: Path, name: str, text: str) -> Files:
    """Write a definition, and weights drawn for it."""
    files = Files(folder, name)
    files.net.write_text(text)
    atomic_write(files.caffemodel, lambda file: drawn_caffemodel(text, file))
    return files


def drawn_caffemodel(text: str, file: BinaryIO, seed: int = 0) -> None:
    """Weights of a definition, layer by layer, so that any size of file takes little memory.

    They are Gaussian, scaled so that activations neither vanish nor explode.
    """
    import converters
    import prototxt

    # Fillers of zero cost no memory: nobody touches them.
    graph = converters.convert(prototxt.parse_net(text)).graph
    rng = np.random.default_rng(seed)
    for node in graph.nodes:
        if node.blobs:
            write_layer(file, node.name, node.type, [blob.shape for blob in node.blobs], rng)


def write_layer(
    file: BinaryIO,
    name: str,
    kind: str,
    shapes: Sequence[tuple[int, ...]],
    rng: np.random.Generator,
) -> None:
    """One LayerParameter (caffe.proto: field 100 of NetParameter) with drawn blobs."""
    heads = []
    for shape in shapes:
        dims = field(1, b"".join(map(encoded, shape)))
        size = 4 * math.prod(shape)
        inner = field(7, dims) + tag(5) + encoded(size)
        heads.append((tag(7) + encoded(len(inner) + size) + inner, shape))
    names = field(1, name.encode()) + field(2, kind.encode())
    length = len(names) + sum(len(head) + 4 * math.prod(shape) for head, shape in heads)
    file.write(tag(100) + encoded(length) + names)
    for head, shape in heads:
        file.write(head)
        left = math.prod(shape)
        deviation = np.float32(math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.01)
        while left:
            count = min(left, CHUNK)
            numbers = rng.standard_normal(count, np.float32) * deviation
            file.write(numbers.astype("<f4", copy=False).tobytes())
            left -= count


def tag(number: int) -> bytes:
    return encoded(number << 3 | 2)


def field(number: int, content: bytes) -> bytes:
    return tag(number) + encoded(len(content)) + content


def arches() -> list[str]:
    """The networks of one width, from the narrowest on.

    Of those with random encoders that come with the package.
    """
    from zoo import hub
    from zoo.hub.places import EMBEDDED
    from zoo.paper import architectures

    known = hub.open_hub(EMBEDDED, offline=True).index.models
    found = {
        entry.arch: architectures.channels(entry.arch)
        for entry in known
        if entry.arch and entry.encoder == "random"
    }
    return sorted(
        (a for a, widths in found.items() if len(set(widths)) == 1), key=found.__getitem__
    )


def convert(files: Files, target: str) -> None:
    """Ours in ONNX, for a target and for every runtime."""
    import converters

    for name, path in ((target, files.onnx), ("portable", files.portable)):
        converters.convert(files.net, files.caffemodel, target=name).save(path)


def tunnel(arch: str, side: int, folder: Path, target: str = "cpu") -> Files:
    """A network of the paper with the weights of the model that comes with the package.

    Written to `folder`: its definition, caffemodel, ours in ONNX for a target of
    `converters.TARGETS` and for every runtime, and a naive export.
    """
    import onnx

    from .naive import naive_export

    files, graph = caffe_files(arch, side, folder)
    convert(files, target)
    onnx.save(naive_export(graph), files.naive)
    return files


def caffe_files(name: str, side: int, folder: Path) -> tuple[Files, Graph]:
    """A network of the paper, as `8_8_8` or `8_8_8-learned`: definition and caffemodel alone."""
    import converters
    import prototxt
    from zoo.paper import architectures

    files = Files(folder, name)
    text = architectures.definition(architectures.arch_of(name), side)
    files.net.write_text(text)
    graph = converters.convert(files.net).graph
    take_weights(graph, name)
    types = {node.name: node.type for node in graph.nodes}
    blobs = {node.name: node.blobs for node in graph.nodes if node.blobs}
    prototxt.write_weights(files.caffemodel, blobs, types, name)
    return files, graph


def embedded() -> list[str]:
    """The paper's networks that come with the package, by name, in the order of its Table II."""
    from zoo import hub
    from zoo.hub.places import EMBEDDED
    from zoo.paper.architectures import ARCHES, model_name

    known = {entry.name for entry in hub.open_hub(EMBEDDED, offline=True).index.models}
    names = [model_name(arch, encoder) for encoder in ("random", "learned") for arch in ARCHES]
    return [name for name in names if name in known]


def embedded_preprocessing(name: str) -> Preprocessing:
    """How images are fed to a network that comes with the package; nothing is known of others."""
    import onnx

    from prototxt.preprocessing import Preprocessing
    from zoo import hub
    from zoo.errors import HubError
    from zoo.hub.places import EMBEDDED

    try:
        model = onnx.load(hub.locate(name, EMBEDDED, offline=True))
    except HubError:
        return Preprocessing()
    return Preprocessing.from_metadata({p.key: p.value for p in model.metadata_props})


def take_weights(graph: Graph, arch: str) -> None:
    """Put the embedded hub's weights into a graph; drawn ones stay where it has no such network.

    There, deconvolutions of stride 1 are convolutions: filters turned, output channels first.
    """
    import onnx

    from zoo import hub
    from zoo.errors import HubError
    from zoo.hub.places import EMBEDDED

    try:
        model = onnx.load(hub.locate(arch, EMBEDDED, offline=True))
    except HubError:
        return
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in graph.nodes:
        if not node.blobs:
            continue
        weight, bias = stored[f"{node.name}.weight"], stored[f"{node.name}.bias"]
        if node.type == "Deconvolution":
            weight = np.ascontiguousarray(weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
        node.blobs = [weight.reshape(node.blobs[0].shape), bias.reshape(node.blobs[1].shape)]
