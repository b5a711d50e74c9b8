"""A whole network's two halves, cut out of its ONNX file: image to switches, switches to image.

What crosses the cut is masks and nothing else. The decoder's further inputs are sizes, which follow
from the picture's; a bias layer (a 1×1 convolution whose weights are zero) becomes its constant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prototxt.files import read_bytes

from .errors import InferenceError
from .evaluation import image_output
from .session import Model, load

if TYPE_CHECKING:
    import onnx

__all__ = ["Halves", "load_halves"]


@dataclass
class Cut:
    """Where a model is cut: what the decoder is fed, by tensor name."""

    masks: list[str] = field(default_factory=list)
    """Caffe's masks that the picture needs, first level first."""
    flat: dict[str, str] = field(default_factory=dict)
    """ONNX's index of the whole tensor -> the mask that is made of it."""
    sizes: dict[str, onnx.NodeProto] = field(default_factory=dict)
    """Output of a Shape node that asks for the size of something in the encoder -> the node."""
    biases: dict[str, onnx.NodeProto] = field(default_factory=dict)
    """Output of a bias layer -> the node."""


class Halves:
    """An encoder and a decoder that together are one network. `load_halves` makes them.

    `levels` has the channels of each mask; a picture's sides must be multiples of `multiple`.
    """

    def __init__(self, model: onnx.ModelProto, source: str, provider: str, threads: int | None):
        self.source = source
        self._model = model
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._weights = {t.name: t for t in model.graph.initializer}
        self.metadata = {item.key: item.value for item in model.metadata_props}
        self._provider, self._threads = provider, threads
        whole = _Outside(model, source)
        self.input = whole.inputs[0].name
        self.output = image_output(whole)  # type: ignore[arg-type]
        self._cut = self._find_cut()
        self.levels = self._channels()
        self.multiple = 2 ** len(self.levels)
        self.encoder = self._session(self._encoder())
        self.decoder = self._session(self._decoder())
        self.note = self.encoder.note
        self._sizes: dict[tuple[int, int], dict[str, np.ndarray]] = {}

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
        masks = [found[name][0] for name in self._cut.masks]
        for mask, wanted in zip(masks, self.shapes(*blob.shape[2:]), strict=True):
            if mask.shape != wanted:
                raise self._error("its poolings do not halve the image one after the other")
        return masks

    def decode(self, masks: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
        """The masks of an image of that size -> 1×3×height×width float32."""
        feeds = dict(self._sizes_of(height, width))
        by_name = dict(zip(self._cut.masks, masks, strict=True))
        wanted = {item.name for item in self.decoder.inputs}
        for name, mask in by_name.items():
            if name in wanted:
                feeds[name] = mask[None]
        for name, source in self._cut.flat.items():
            mask = by_name[source]
            area = 4 * mask.shape[1] * mask.shape[2]
            planes = np.arange(len(mask), dtype=np.int64)[:, None, None]
            feeds[name] = (mask + planes * area)[None]
        return self.decoder.run(feeds, [self.output])[self.output]

    def _error(self, what: str) -> InferenceError:
        return InferenceError(
            f"{self.source}: {what}", None, "give a network of the paper, whole and trained"
        )

    def _find_cut(self) -> Cut:
        """Walk back from the picture, as far as the masks."""
        known = {
            o.name
            for o in self._model.graph.output
            if o.type.tensor_type.elem_type == 7 and len(o.type.tensor_type.shape.dim) == 4
        }
        if not known:
            raise self._error("has no masks among its outputs")
        flat = {}
        for name in known:
            maker = self._makers.get(name)
            if maker is not None and maker.op_type == "Mod":
                pool = self._makers.get(maker.input[0])
                if pool is not None and pool.op_type == "MaxPool":
                    flat[maker.input[0]] = name
        encoder = self._before(known)
        inside = {name for node in encoder for name in node.output} | {self.input}
        cut, reached = Cut(), set()
        stack, seen = [self.output], set()
        while stack:
            name = stack.pop()
            if not name or name in seen or name in self._weights:
                continue
            seen.add(name)
            node = self._makers.get(name)
            if name in known:
                reached.add(name)
            elif name in flat:
                cut.flat[name] = flat[name]
                reached.add(flat[name])
            elif node is None:
                raise self._error("its picture depends on more of the image than the switches")
            elif node.op_type == "Shape" and node.input[0] in inside:
                cut.sizes[name] = node
            elif node.input and node.input[0] in inside and self._is_bias_layer(node):
                cut.biases[name] = node
            else:
                stack.extend(node.input)
        order = {name: i for i, node in enumerate(self._model.graph.node) for name in node.output}
        cut.masks = sorted(reached, key=lambda name: order.get(name, -1))
        if not cut.masks:
            raise self._error("its picture depends on no switches")
        return cut

    def _before(self, names: set[str], stop: set[str] | None = None) -> list[onnx.NodeProto]:
        """The nodes that `names` depend on, in execution order, not looking behind `stop`."""
        needed = set(names)
        kept = []
        for node in reversed(self._model.graph.node):
            if (needed - (stop or set())) & set(node.output):
                kept.append(node)
                needed.update(node.input)
        return kept[::-1]

    def _is_bias_layer(self, node: onnx.NodeProto) -> bool:
        from onnx import numpy_helper

        if node.op_type != "Conv" or len(node.input) != 3:
            return False
        weights = [self._weights.get(name) for name in node.input[1:]]
        if weights[0] is None or weights[1] is None or list(weights[0].dims[2:]) != [1, 1]:
            return False
        plain = {"strides": {1}, "pads": {0}}
        attributes = {a.name: set(a.ints) for a in node.attribute}
        if any(attributes.get(name, value) != value for name, value in plain.items()):
            return False
        return not np.any(numpy_helper.to_array(weights[0]))

    def _channels(self) -> list[int]:
        outputs = {o.name: o for o in self._model.graph.output}
        channels = []
        for name in self._cut.masks:
            dim = outputs[name].type.tensor_type.shape.dim[1]
            if not dim.dim_value > 0:
                raise self._error(f"mask {name!r} does not say its channels")
            channels.append(int(dim.dim_value))
        return channels

    def _session(self, half: onnx.ModelProto) -> Model:
        opened = load(half.SerializeToString(), self._provider, self._threads)
        opened.source = self.source
        return opened

    def _encoder(self) -> onnx.ModelProto:
        outputs = {o.name: o for o in self._model.graph.output}
        inputs = [i for i in self._model.graph.input if i.name == self.input]
        nodes = self._before(set(self._cut.masks))
        return self._part("encoder", nodes, inputs, [outputs[name] for name in self._cut.masks])

    def _decoder(self) -> onnx.ModelProto:
        from onnx import TensorProto, helper, numpy_helper

        cut = self._cut
        outputs = {o.name: o for o in self._model.graph.output}
        stop = {*cut.masks, *cut.flat, *cut.sizes, *cut.biases}
        nodes = self._before({self.output}, stop)
        read = {name for node in nodes for name in node.input}
        dims = {name: self._open_dims(outputs[name]) for name in cut.masks}
        info = helper.make_tensor_value_info
        inputs = [info(n, TensorProto.INT64, dims[n]) for n in cut.masks if n in read]
        inputs += [info(n, TensorProto.INT64, dims[m]) for n, m in cut.flat.items()]
        inputs += [info(n, TensorProto.INT64, [None]) for n in cut.sizes]
        first = []
        extra = []
        for name, node in cut.biases.items():
            bias = numpy_helper.to_array(self._weights[node.input[2]]).reshape(1, -1, 1, 1)
            extra.append(numpy_helper.from_array(bias, f"{name}/constant"))
            shape = f"{name}/size"
            inputs.append(info(shape, TensorProto.INT64, [4]))
            first.append(helper.make_node("Expand", [f"{name}/constant", shape], [name], name))
        half = self._part("decoder", [*first, *nodes], inputs, [outputs[self.output]])
        half.graph.initializer.extend(extra)
        return half

    def _open_dims(self, output: onnx.ValueInfoProto) -> list[int | str]:
        dims = output.type.tensor_type.shape.dim
        return [d.dim_value if i == 1 else f"{output.name}.{i}" for i, d in enumerate(dims)]

    def _part(
        self,
        name: str,
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> onnx.ModelProto:
        from onnx import helper

        read = {item for node in nodes for item in node.input}
        weights = [t for t in self._model.graph.initializer if t.name in read]
        graph = helper.make_graph(nodes, f"{self._model.graph.name}_{name}", inputs, outputs)
        graph.initializer.extend(weights)
        part = helper.make_model(
            graph,
            opset_imports=self._model.opset_import,
            ir_version=self._model.ir_version,
            producer_name=self._model.producer_name,
        )
        helper.set_model_props(part, self.metadata)
        return part

    def _sizes_of(self, height: int, width: int) -> dict[str, np.ndarray]:
        """What the decoder's Shape nodes would have given for an image of that size."""
        key = (height, width)
        if key not in self._sizes:
            self._sizes = {key: self._infer_sizes(height, width)}
        return self._sizes[key]

    def _infer_sizes(self, height: int, width: int) -> dict[str, np.ndarray]:
        from onnx import TensorProto, helper, shape_inference

        cut = self._cut
        asked = {node.input[0] for node in (*cut.sizes.values(), *cut.biases.values())}
        fixed = helper.make_tensor_value_info(self.input, TensorProto.FLOAT, [1, 3, height, width])
        part = self._part("sizes", self._before(asked), [fixed], [])
        inferred = shape_inference.infer_shapes(part, data_prop=True).graph
        dims = {
            value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in (*inferred.value_info, *inferred.input)
        }
        if not all(dims.get(name) and all(dims[name]) for name in asked):
            raise self._error("the sizes of its features cannot be told from the image's")
        found = {}
        for name, node in cut.sizes.items():
            place = {a.name: a.i for a in node.attribute}
            whole = dims[node.input[0]]
            found[name] = np.array(whole[place.get("start", 0) : place.get("end", 4)], np.int64)
        for name, node in cut.biases.items():
            channels = self._weights[node.input[1]].dims[0]
            n, _, rows, columns = dims[node.input[0]]
            found[f"{name}/size"] = np.array([n, channels, rows, columns], np.int64)
        return found


class _Outside:
    """A model's inputs and outputs as `session.Model` gives them, without a session."""

    def __init__(self, model: onnx.ModelProto, source: str) -> None:
        from onnx import helper

        from .session import IOSpec

        def spec(item: onnx.ValueInfoProto) -> IOSpec:
            kind = item.type.tensor_type
            dims = tuple(d.dim_param or d.dim_value or "?" for d in kind.shape.dim)
            return IOSpec(item.name, dims, helper.tensor_dtype_to_np_dtype(kind.elem_type).name)

        self.source = source
        given = {t.name for t in model.graph.initializer}
        self.inputs = [spec(i) for i in model.graph.input if i.name not in given]
        self.outputs = [spec(o) for o in model.graph.output]
        if len(self.inputs) != 1 or len(self.inputs[0].shape) != 4:
            raise InferenceError(
                f"{source}: does not take one image", None, "give a network whole, not its half"
            )
        if self.inputs[0].dtype != "float32":
            raise InferenceError(
                f"{source}: takes {self.inputs[0].dtype} pixels, not the blob that they make",
                None,
                "convert it without --fold-preprocessing",
            )


def load_halves(
    path: str | Path, provider: str = "auto", threads: int | None = None
) -> tuple[Halves, str]:
    """The two halves of the network in an ONNX file, and the file's sha256.

    Raises:
        InferenceError: the file is no such network.
    """
    import onnx

    path = Path(path)
    data = read_bytes(path, InferenceError, "an .onnx file")
    try:
        model = onnx.load_model_from_string(data)
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise InferenceError(f"{path}: cannot be loaded", None, "is it an ONNX model?") from error
    if not model.graph.node:
        raise InferenceError(f"{path}: cannot be loaded", None, "is it an ONNX model?")
    return Halves(model, str(path), provider, threads), hashlib.sha256(data).hexdigest()
