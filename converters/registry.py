"""What a layer type is, and the table of all that are known.

A layer type is one class in one file of `converters/layers/` (or in a user's plugin), registered
under its Caffe name:

    @register("ReLU", message="relu_param")
    class ReLU(LayerType):
        @dataclass
        class Params:
            negative_slope: float = 0.0

        def shapes(self, node): return [node.inputs[0].shape]
        def onnx(self, node, b): b.node("LeakyRelu", node, alpha=node.params.negative_slope)
        def torch(self, node): import torch; return torch.nn.LeakyReLU(node.params.negative_slope)
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from prototxt.net import LayerDefinition
from prototxt.schema import decode

from .errors import ConversionError
from .fillers import Filler
from .graph import Node, Shape, Value

if TYPE_CHECKING:
    from torch import nn

    from .legal import Legal
    from .onnx_backend import OnnxBuilder
    from .reversal import Reverser, Tops

__all__ = [
    "BlobSpec",
    "LayerInfo",
    "LayerType",
    "find",
    "layer_types",
    "load_plugin",
    "register",
]

FAMILIES = (
    "activations",
    "bn",
    "convolution",
    "detection",
    "detector_training",
    "elementwise",
    "indexing",
    "inner_product",
    "inputs",
    "local",
    "losses",
    "losses_classification",
    "losses_distance",
    "mobile",
    "normalization",
    "photographs",
    "pooling",
    "python",
    "rcnn",
    "recurrent",
    "reduction",
    "resizing",
    "reversed",
    "reversed_pooling",
    "segnet",
    "shaping",
    "softmax",
    "spatial_dropout",
    "ssd",
    "unpooling",
    "utility",
    "windows",
)


@dataclass
class NoParams:
    """The params of a layer type that has none."""


@dataclass(frozen=True)
class BlobSpec:
    """A learned array: its name in files that we write, its shape, how it is initialised."""

    name: str
    shape: tuple[int, ...]
    filler: Filler = field(default_factory=Filler)


class LayerType:
    """The behaviour of one Caffe layer type; stateless, one instance for each type."""

    type: ClassVar[str] = ""
    message: ClassVar[str | None] = None
    """The name of its parameter message, as ``convolution_param``."""
    fork: ClassVar[str] = "BVLC Caffe"
    bottoms: ClassVar[tuple[int, int | None]] = (1, 1)
    """Least and greatest number of bottoms; None is no limit."""
    tops: ClassVar[tuple[int, int | None]] = (1, 1)
    lists: ClassVar[tuple[int, ...]] = ()
    """Bottoms whose first dimension counts something else than images, such as regions."""
    Params: ClassVar[builtins.type] = NoParams
    is_input: ClassVar[bool] = False
    """Its tops are inputs of the network (Data, Input, ...)."""
    is_loss: ClassVar[bool] = False
    """Pruned from an inference graph unless it is asked for (losses, Accuracy)."""

    def prepare(self, node: Node) -> None:
        """Settle what depends on the number of bottoms and the like, or raise `node.error`."""

    def blobs(self, node: Node) -> list[BlobSpec]:
        """The learned arrays, in Caffe's order."""
        return []

    def given_blobs(self, node: Node, arrays: int) -> None:
        """Told how many arrays the caffemodel has for it, before `blobs` is asked which it needs.

        For types that forks define differently; may replace `node.params` or raise `node.error`.
        """

    def shapes(self, node: Node) -> list[Shape]:
        """The tops' shapes by Caffe's own arithmetic.

        Raises `node.error` for what Caffe would refuse, OpenDimension where it needs a number.
        """
        raise node.error("gives no shapes")

    def dtypes(self, node: Node) -> list[str]:
        """The tops' types: float32, but int64 for masks."""
        return ["float32"] * len(node.outputs)

    def notes(self, node: Node) -> list[str]:
        """What a user should know of this layer, once its shapes are settled; mostly nothing."""
        return []

    def mask_tops(self, count: int) -> list[int]:
        """Which of `count` tops are masks of switches, and so outputs in their own right."""
        return []

    def messages(self) -> tuple[str, ...]:
        """The names of the parameter messages that this type reads."""
        return (self.message,) if self.message else ()

    def read(self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]) -> Any:
        """The layer's parameters as a `Params`; FormatError for a field that it does not know."""
        if self.message is None:
            return self.Params()
        return decode(
            layer.param(self.message), self.Params, name=self.message, lenient=lenient, warn=warn
        )

    def legal(self, node: Node) -> Mapping[int, Legal]:
        """Of bottoms that may not be fed just any number (labels, indices): what they may be."""
        return {}

    def top_shape(self, params: Any, index: int) -> tuple[int, ...] | None:
        """Of an input layer: a top's shape as the prototxt states it, None where it does not."""
        return None

    def torch_inputs(self, node: Node, available: Sequence[Value]) -> list[Value]:
        """What the module is called with, of the values made so far: the node's inputs."""
        return node.inputs

    def onnx(self, node: Node, b: OnnxBuilder) -> None:
        """Emit ONNX nodes that write every output of `node`."""
        raise node.error("cannot be written as ONNX")

    def torch(self, node: Node) -> nn.Module:
        """A module called with the node's inputs in order; it returns one tensor or a tuple."""
        raise node.error("cannot be rebuilt in PyTorch")

    def reverse(self, node: Node, tops: Tops, r: Reverser) -> None:
        """Hand what reached the tops of `node` on to its bottoms (`r.accumulate`).

        For reversed networks (passes/reverse.py), by the rules `r.rules`. With those of "salinet"
        each bottom gets its gradient. A type without it has no reverse.
        """
        raise node.error("cannot be reversed")

    @property
    def reversible(self) -> bool:
        """Whether the type says how it is reversed."""
        return builtins.type(self).reverse is not LayerType.reverse


@dataclass(frozen=True)
class LayerInfo:
    """A row of `zoo layers`."""

    type: str
    family: str
    fork: str
    onnx: bool
    torch: bool
    note: str
    reversible: bool = False


_types: dict[str, LayerType] = {}


def register(
    *names: str, message: str | None = None
) -> Callable[[builtins.type[Any]], builtins.type[Any]]:
    """Register a LayerType class under its Caffe name(s); a name that is taken is refused."""

    def decorate(cls: builtins.type[Any]) -> builtins.type[Any]:
        for name in names:
            if name in _types:
                taken = builtins.type(_types[name])
                raise ConversionError(
                    f"layer type {name!r} is registered already, "
                    f"by {taken.__module__}.{taken.__qualname__}"
                )
            instance = cls()
            instance.type = name  # type: ignore[misc]
            instance.message = message  # type: ignore[misc]
            _types[name] = instance
        return cls

    return decorate


def _load_families() -> None:
    for family in FAMILIES:
        importlib.import_module(f"converters.layers.{family}")


def find(name: str) -> LayerType | None:
    """The layer type of that Caffe name, or None."""
    _load_families()
    return _types.get(name)


def layer_types() -> list[LayerInfo]:
    """Every registered layer type, by name: the table of truth behind `zoo layers`."""
    _load_families()
    rows = []
    for name, kind in sorted(_types.items(), key=lambda item: item[0].lower()):
        cls = type(kind)
        rows.append(
            LayerInfo(
                name,
                cls.__module__.rpartition(".")[2],
                kind.fork,
                cls.onnx is not LayerType.onnx or kind.is_input,
                cls.torch is not LayerType.torch or kind.is_input,
                (cls.__doc__ or "").partition("\n")[0].rstrip("."),
                kind.reversible,
            )
        )
    return rows


def load_plugin(path: str | Path) -> None:
    """Run a user's Python file, which registers layer types of its own."""
    path = Path(path)
    spec = importlib.util.spec_from_file_location(f"zoo_plugin_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConversionError(f"{path}: not a Python file", None, "--plugin takes FILE.py")
    module = importlib.util.module_from_spec(spec)
    # dataclasses looks its classes' module up there, and pickle too.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        if isinstance(error, ConversionError):
            raise
        raise ConversionError(f"{path}: the plugin failed: {error!r}") from error
