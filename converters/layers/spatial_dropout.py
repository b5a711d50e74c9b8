"""ENet's dropout of whole feature maps, a Python layer that is told its phase by param_str."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..graph import Node, Shape
from ..registry import register
from ..shapes import text
from .activations import scalar
from .python import PythonLayer, PythonParams

if TYPE_CHECKING:
    from torch import nn

    from ..onnx_builder import OnnxBuilder


@register("Python:spatial_dropout.SpatialDropoutLayer", message="python_param")
class SpatialDropout(PythonLayer):
    """Drops whole channels at random with 'phase': 'TRAIN' (spatial_dropout.py).

    With any other phase it multiplies by 1 / (1 - p), though training did so already: a quirk of
    its code that ENet's weights live with. Converted for test, a definition made for training is
    taken as if it said 'TEST', with a note.
    """

    fork = "ENet (TimoSaemann/ENet)"

    def prepare(self, node: Node[PythonParams]) -> None:
        if len(node.inputs[0].shape) != 4:
            raise node.error(f"needs a 4-D input, not {text(node.inputs[0].shape)}")
        if not 0 < self.share(node) < 1:
            raise node.error(f"p {self.share(node):g} is not in (0, 1)")

    def notes(self, node: Node[Any]) -> list[str]:
        if node.phase != "TEST" or self.settings(node).get("phase") != "TRAIN":
            return []
        return [
            f"{node.position}: layer {node.name!r} (Python): drops at random at test too "
            "('phase': 'TRAIN'); taken as 'phase': 'TEST'"
        ]

    def share(self, node: Node[PythonParams]) -> float:
        try:
            return float(self.settings(node)["p"])
        except (KeyError, TypeError, ValueError):
            raise node.error("p of param_str is missing or not a number") from None

    def drops(self, node: Node[Any]) -> bool:
        return node.phase != "TEST" and bool(self.settings(node).get("phase") == "TRAIN")

    def shapes(self, node: Node[PythonParams]) -> list[Shape]:
        return [node.inputs[0].shape]

    def onnx(self, node: Node[PythonParams], b: OnnxBuilder) -> None:
        if self.drops(node):
            b.op("Identity", node.inputs[0], out=node.outputs[0])
            return
        factor = b.const(scalar(1 / (1 - self.share(node))))
        b.op("Mul", node.inputs[0], factor, out=node.outputs[0])

    def torch(self, node: Node[PythonParams]) -> nn.Module:
        from torch import nn

        from .torch import spatial_dropout

        if self.drops(node):
            return nn.Dropout2d(self.share(node))
        return spatial_dropout.Scaled(1 / (1 - self.share(node)))
