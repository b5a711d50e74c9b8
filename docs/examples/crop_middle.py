"""A layer type of one's own: `zoo convert NET.prototxt --plugin crop_middle.py`."""

from dataclasses import dataclass, field

from converters import LayerType, register
from converters.reversal import first_top
from converters.shapes import convolved


@register("CropMiddle", message="crop_middle_param")
class CropMiddle(LayerType):
    """As many rows and columns less on each side as crop_size says."""

    fork = "an example"
    passes_values = True

    @dataclass
    class Params:
        crop_size: list[int] = field(default_factory=list)

    def prepare(self, node):
        crop = node.params.crop_size
        if len(node.inputs[0].shape) != 4 or len(crop) != 4 or crop[:2] != [0, 0]:
            raise node.error(f"crop_size {crop} is not 0, 0, rows, columns of an image")

    def shapes(self, node):
        *first, height, width = node.inputs[0].shape
        rows, columns = node.params.crop_size[2:]
        return [(*first, convolved(height, 1, -rows, 1), convolved(width, 1, -columns, 1))]

    def onnx(self, node, b):
        b.node("Pad", node, b.ints(*[-n for n in node.params.crop_size * 2]))

    def torch(self, node):
        from torch import nn

        rows, columns = node.params.crop_size[2:]
        return nn.ZeroPad2d((-columns, -columns, -rows, -rows))

    def reverse(self, node, tops, r):
        bottom, around = node.inputs[0], self.Params([-n for n in node.params.crop_size])
        r.accumulate(bottom, r.add("CropMiddle", node, [first_top(tops)], bottom, around))
