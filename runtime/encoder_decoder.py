"""A network's encoder and decoder, cut out of its ONNX file at the switches.

The encoder is what the masks depend on; the decoder is what the picture needs besides, and what it
reads of the encoder crosses the cut. That is also how `converters.split` cuts, which makes two
models of a definition. A model that was converted whole has no layers any more, and those that are
published keep their bytes, so here the cut is not stated in the file but found in it, by following
tensors from the picture back to the masks.

Of an image nothing but masks may cross. What else the decoder reads follows from the image's size,
and so from the masks': the outputs of Shape nodes, and of bias layers, convolutions whose weights
are zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.borders import Borders
from prototxt.errors import Argument, Sentence
from prototxt.files import sha256
from prototxt.preprocessing import Preprocessing

from .codec import MOST_LEVELS, EntropyModel
from .errors import InferenceError
from .evaluation import image_output
from .feeding import refuse_half
from .onnx_files import infer_shapes, read_model, work
from .session import IOSpec, load
from .switch_predictor import SwitchPredictor
from .switch_tables import SwitchTables

if TYPE_CHECKING:
    import onnx

__all__ = ["EncoderDecoder", "load_encoder_decoder"]

KERNEL = ("kernel_shape", "dilations", "strides")
NEARBY = frozenset(
    "Conv ConvTranspose MaxPool AveragePool MaxUnpool DepthToSpace SpaceToDepth LRN"
    " BatchNormalization Relu LeakyRelu PRelu Elu Clip Sigmoid Tanh Softplus Exp Log Abs Neg Sqrt"
    " Pow Add Sub Mul Div Mod Sum Max Min Floor Where Equal Less Greater And Or Not Cast Identity"
    " Concat Split Slice Pad Expand Reshape Squeeze Unsqueeze Shape Range Constant"
    " ConstantOfShape Gather".split()
)
"""Operators whose result depends on what is near, as converted networks have them."""
PROBE = 1 << MOST_LEVELS
"""Side of an image by which the levels of a network are told apart that takes any."""


@dataclass
class Cut:
    """What the decoder is fed, by tensor name."""

    masks: list[str] = field(default_factory=list)
    """Caffe's masks that the picture needs, first level first."""
    flat: dict[str, str] = field(default_factory=dict)
    """ONNX's index of the whole tensor -> the mask that is made of it."""
    shapes: dict[str, onnx.NodeProto] = field(default_factory=dict)
    """Output of a Shape node that asks for the size of something in the encoder -> the node."""
    biases: dict[str, np.ndarray] = field(default_factory=dict)
    """Output of a bias layer -> its constant, 1×C×1×1."""

    @property
    def names(self) -> list[str]:
        return [*self.masks, *self.flat, *self.shapes, *self.biases]


class EncoderDecoder:
    """An encoder and a decoder that together are one network; `load_encoder_decoder` makes them.

    `levels` has the channels of each level's mask, 0 where the picture needs none of that level;
    a picture's sides must be multiples of `multiple`.
    """

    def __init__(
        self, model: onnx.ModelProto, source: str, sha256: str, provider: str, threads: int | None
    ) -> None:
        from onnx.utils import Extractor

        self.source = source
        self.sha256 = sha256
        """Of the file."""
        self.metadata = {item.key: item.value for item in model.metadata_props}
        self._graph = model.graph
        with work(source, "cut in two", read=model.ByteSize()):
            check_weights(model, source)
            signature = Signature(model, source)
            self.input = signature.inputs[0].name
            self.output = image_output(signature)  # type: ignore[arg-type]
            self._cut = self._find_cut()
            self._extractor = Extractor(model)
            self._extractor.value_infos.update(self._inputs())
            sides = signature.inputs[0].shape[2:]
            height, width = (side if isinstance(side, int) else PROBE for side in sides)
            self._dims = self._sizes_in(height, width)
            self.levels = self._find_levels(signature, height, width)
            self.multiple = 2 ** len(self.levels)
            self.entropy_model = entropy_model(self.metadata, self.levels, source)
            """By which its switches are coded, where the model has one."""
            for kind in (SwitchPredictor, SwitchTables):
                self.metadata.pop(kind.metadata, None)
        with work(source, "cut in two"):
            halves = self.halves()
        self.reach = reach_of(halves, self.multiple)
        """How many rows away what an image or mask has may matter, a multiple of `multiple`; None
        where any may.
        """
        self.encoder, self.decoder = (
            load(half.SerializeToString(), provider, threads, name=source) for half in halves
        )
        self.note = self.encoder.note

    def halves(self) -> tuple[onnx.ModelProto, onnx.ModelProto]:
        """The encoder, image to masks, and the decoder, masks to image, as models of their own.

        Beside a mask the decoder takes its index of the whole tensor, where it unpools by such
        (`--target cpu`).
        """
        from onnx import helper

        cut = self._cut
        encoder = self._extractor.extract_model([self.input], cut.masks)
        decoder = self._extractor.extract_model(cut.names, [self.output])
        self._tell_sizes(decoder.graph)
        for half in (encoder, decoder):
            helper.set_model_props(half, self.metadata)
        return encoder, decoder

    @property
    def fixed(self) -> tuple[int, int] | None:
        """The only height and width that the model takes, None where it takes any."""
        height, width = self.encoder.inputs[0].shape[2:]
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None

    def shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """Channels, height and width of each mask of an image of that size."""
        return [(c, height >> k, width >> k) for k, c in enumerate(self.levels, 1)]

    def encode(self, blob: np.ndarray) -> list[np.ndarray]:
        """1×3×H×W float32 -> one mask C×h×w int64 for each level, H and W multiples."""
        found = self.encoder.run({self.input: blob}, self._cut.masks)
        masks = iter(self._cut.masks)
        return [
            found[next(masks)][0] if shape[0] else np.zeros(shape, np.int64)
            for shape in self.shapes(*blob.shape[2:])
        ]

    def decode(self, masks: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
        """The masks of an image of that size -> 1×3×height×width float32."""
        used = (mask for mask in masks if len(mask))
        by_name = dict(zip(self._cut.masks, used, strict=True))
        feeds = {name: mask[None] for name, mask in by_name.items()}
        for name, source in self._cut.flat.items():
            mask = by_name[source]
            area = 4 * mask.shape[1] * mask.shape[2]
            first = np.arange(len(mask), dtype=np.int64)[:, None, None] * area
            feeds[name] = (mask + first)[None]
        return self.decoder.run(feeds, [self.output])[self.output]

    def _error(self, what: str) -> InferenceError:
        return InferenceError(
            what, subject=self.source, remedy="give a network of the paper, whole and trained"
        )

    def _find_levels(self, signature: Signature, height: int, width: int) -> list[int]:
        """The channels of each level, by the sizes of the masks of an image of that size."""
        channels = {spec.name: spec.shape[1] for spec in signature.outputs if spec.shape}
        dims = self._dims
        levels: list[int] = []
        for name in self._cut.masks:
            level = len(levels) + 1
            while level < MOST_LEVELS and dims[name][2] < height >> level:
                level += 1
            if dims[name][2:] != [height / 2**level, width / 2**level]:
                raise self._error("its poolings do not halve the image one after the other")
            if not isinstance(count := channels[name], int):
                raise self._error(f"mask {name!r} does not say its channels")
            levels += [*[0] * (level - len(levels) - 1), count]
        return levels

    def _find_cut(self) -> Cut:
        """Walk back from the picture, as far as the masks."""
        makers = {name: node for node in self._graph.node for name in node.output}
        weights = {t.name: t for t in self._graph.initializer}
        masks = {
            o.name
            for o in self._graph.output
            if o.type.tensor_type.elem_type == 7 and len(o.type.tensor_type.shape.dim) == 4
        }
        if not masks:
            raise self._error("has no masks among its outputs")
        flat = {
            maker.input[0]: name
            for name in masks
            if (maker := makers.get(name)) is not None and maker.op_type == "Mod"
            and maker.input[0] in makers and makers[maker.input[0]].op_type == "MaxPool"
        }  # fmt: skip
        encoder = {self.input, *masks}
        for node in reversed(self._graph.node):
            if encoder & set(node.output):
                encoder.update((*node.input, *node.output))
        cut, reached, seen = Cut(), set(), set(weights) | {""}
        stack = [self.output]
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            node = makers.get(name)
            if name in masks:
                reached.add(name)
            elif name in flat:
                cut.flat[name] = flat[name]
                reached.add(flat[name])
            elif node is None:
                raise self._error("its picture depends on more of the image than the switches")
            elif node.op_type == "Shape" and node.input[0] in encoder:
                cut.shapes[name] = node
            elif (bias := bias_of(node, weights)) is not None and node.input[0] in encoder:
                cut.biases[name] = bias
            else:
                stack.extend(node.input)
        cut.masks = [name for name in makers if name in reached]
        if not cut.masks:
            raise self._error("its picture depends on no switches")
        return cut

    def _inputs(self) -> Iterable[tuple[str, onnx.ValueInfoProto]]:
        """What the decoder takes, all sizes open."""
        from onnx import TensorProto, helper

        for name in self._cut.names:
            dtype = TensorProto.FLOAT if name in self._cut.biases else TensorProto.INT64
            rank = 1 if name in self._cut.shapes else 4
            yield name, helper.make_tensor_value_info(name, dtype, [None] * rank)

    def _sizes_in(self, height: int, width: int) -> dict[str, list[int]]:
        """The shape of each tensor of the encoder for an image of that size, 0 where unknown."""
        cut = self._cut
        with work(self.source, "cut in two"):
            part = self._extractor.extract_model([self.input], [*cut.masks, *cut.biases])
        image = part.graph.input[0].type.tensor_type.shape.dim
        for dim, size in zip(image, (1, 3, height, width), strict=True):
            dim.dim_value = size
        inferred = infer_shapes(part, self.source).graph
        return {
            value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in (*inferred.value_info, *inferred.output, *inferred.input)
        }

    def _tell_sizes(self, graph: onnx.GraphProto) -> None:
        """Put what Shape nodes and bias layers give into the decoder, by its coarsest mask."""
        from onnx import helper, numpy_helper

        cut, mask = self._cut, self._cut.masks[-1]
        nodes: list[onnx.NodeProto] = []

        def made(kind: str, output: str, read: str, values: np.ndarray) -> None:
            graph.initializer.append(numpy_helper.from_array(values, f"{output}.{kind}"))
            nodes.append(helper.make_node(kind, [read, f"{output}.{kind}"], [output]))

        def sized(output: str, tensor: str, channels: int | None = None, **sides: Any) -> None:
            """Make the size of a tensor of the encoder, or of other channels, or a part of it."""
            factors, plus = self._size_by(tensor, mask)
            plus[1] = channels or plus[1]
            part = slice(sides.get("start", 0), sides.get("end", 4))
            nodes.append(helper.make_node("Shape", [mask], [f"{output}/mask"], **sides))
            made("Mul", f"{output}/sides", f"{output}/mask", factors[part])
            made("Add", output, f"{output}/sides", plus[part])

        for name, node in cut.shapes.items():
            sized(name, node.input[0], **{a.name: a.i for a in node.attribute})
        for name, bias in cut.biases.items():
            sized(f"{name}/size", name, channels=1)
            graph.initializer.append(numpy_helper.from_array(bias, f"{name}.bias"))
            nodes.append(helper.make_node("Expand", [f"{name}.bias", f"{name}/size"], [name]))
        taken = [value for value in graph.input if value.name in {*cut.masks, *cut.flat}]
        nodes += graph.node
        del graph.input[:], graph.node[:]
        graph.input.extend(taken)
        graph.node.extend(nodes)

    def _size_by(self, tensor: str, mask: str) -> tuple[np.ndarray, np.ndarray]:
        """By what the size of a mask is multiplied, and what is added, to be a tensor's."""
        size, by = self._dims.get(tensor, []), self._dims[mask]
        if len(size) != 4 or not all(size) or size[2] % by[2] or size[3] % by[3]:
            raise self._error("the sizes of its features cannot be told from its switches'")
        factors = [1, 0, size[2] // by[2], size[3] // by[3]]
        return np.array(factors, np.int64), np.array([0, size[1], 0, 0], np.int64)


def reach_of(halves: Iterable[onnx.ModelProto], multiple: int) -> int | None:
    """How far apart in an image what goes in may be from what comes out, at most; None: anywhere.

    As if every layer were at the coarsest level, where a step is `multiple` pixels.
    """
    furthest = 0
    for half in halves:
        steps = 0
        for node in half.graph.node:
            if node.op_type not in NEARBY:
                return None
            given = {a.name: max(a.ints) for a in node.attribute if a.name in KERNEL and a.ints}
            kernel = (given.get("kernel_shape", 1) - 1) * given.get("dilations", 1) + 1
            if kernel > 1 and not (node.op_type == "MaxPool" and kernel <= given.get("strides", 1)):
                steps += kernel // 2
        furthest = max(furthest, steps)
    return multiple * furthest


def entropy_model(
    metadata: Mapping[str, str], channels: Sequence[int], source: str
) -> EntropyModel | None:
    """What a model's metadata hold, scores before tables; None where there are neither."""
    scores = SwitchPredictor.from_metadata(metadata, channels, source)
    return scores or SwitchTables.from_metadata(metadata, channels, source)


def bias_of(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> np.ndarray | None:
    """What a convolution gives whatever it reads, 1×C×1×1; None where its weights are not zero."""
    from onnx import numpy_helper

    if node.op_type != "Conv" or len(node.input) != 3 or not weights.keys() >= {*node.input[1:]}:
        return None
    weight, bias = (numpy_helper.to_array(weights[name]) for name in node.input[1:])
    return None if np.any(weight) else bias.reshape(1, -1, 1, 1)


def check_weights(model: onnx.ModelProto, source: str) -> None:
    """InferenceError where weights are no numbers: no switch that is made of them says anything."""
    from onnx import TensorProto, numpy_helper

    for tensor in model.graph.initializer:
        learned = tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1
        if learned and not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise InferenceError(
                f"its weights {tensor.name!r} are not finite",
                subject=source,
                remedy="convert it again, of sound weights",
            )


class Signature:
    """A model's inputs and outputs as `session.Model` gives them, without a session."""

    def __init__(self, model: onnx.ModelProto, source: str) -> None:
        from onnx import helper

        def spec(item: onnx.ValueInfoProto) -> IOSpec:
            kind = item.type.tensor_type
            dims = tuple(d.dim_param or d.dim_value or "?" for d in kind.shape.dim)
            return IOSpec(item.name, dims, helper.tensor_dtype_to_np_dtype(kind.elem_type).name)

        self.source = source
        self.metadata = {item.key: item.value for item in model.metadata_props}
        Preprocessing.from_metadata(self.metadata, source)
        given = {t.name for t in model.graph.initializer}
        self.inputs = [spec(i) for i in model.graph.input if i.name not in given]
        self.outputs = [spec(o) for o in model.graph.output]
        if len(self.inputs) != 1 or len(self.inputs[0].shape) != 4:
            raise InferenceError(
                "does not take one image",
                subject=source,
                remedy="give a network whole, not its half",
            )
        refuse_half(self.inputs, self.outputs, source)
        if self.inputs[0].dtype != "float32":
            raise InferenceError(
                f"takes {self.inputs[0].dtype} pixels, not the blob that they make",
                subject=source,
                remedy=Sentence("convert it without ", Argument("fold_preprocessing")),
            )
        if Borders.from_metadata(self.metadata).nhwc:
            raise InferenceError(
                "takes and gives N×H×W×C",
                subject=source,
                remedy=Sentence("convert it without ", Argument("nhwc")),
            )


def load_encoder_decoder(
    path: str | Path, provider: str = "auto", threads: int | None = None
) -> EncoderDecoder:
    """The encoder and the decoder of the network in an ONNX file.

    Args:
        path: a network of the paper, whole and trained, that takes blobs.
        provider: as `load` takes it.
        threads: how many an operator may use; default: one for each core.

    Raises:
        InferenceError: the file is no such network.
    """
    path = Path(path)
    return EncoderDecoder(read_model(path), str(path), sha256(path), provider, threads)
