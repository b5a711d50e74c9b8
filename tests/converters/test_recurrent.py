"""Recurrent layers become as many operators as their sequences have steps."""

import pytest

import converters
import prototxt
from converters.onnx_builder import OnnxBuilder
from prototxt.errors import ZooError

TEXT = """
input: "x" input_shape {{ dim: {steps} dim: 2 dim: 3 }}
input: "cont" input_shape {{ dim: {steps} dim: 2 }}
layer {{ name: "r" type: "{type}" bottom: "x" bottom: "cont" top: "y"
  recurrent_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
"""


@pytest.mark.parametrize("type_", ["RNN", "LSTM"])
def test_too_many_steps_are_refused_after_the_first(
    type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a sequence without end nothing is built but a step."""
    built = []
    emit = OnnxBuilder.op

    def counted(self, *arguments, **more):
        built.append(arguments[0])
        return emit(self, *arguments, **more)

    monkeypatch.setattr(OnnxBuilder, "op", counted)
    net = prototxt.parse_net(TEXT.format(steps=10_000_000, type=type_))
    with pytest.raises(ZooError, match="takes more than 200,000 operators"):
        converters.convert(net).to_onnx()
    assert 0 < len(built) < 60
    built.clear()
    converters.convert(prototxt.parse_net(TEXT.format(steps=50, type=type_))).to_onnx()
    assert len(built) > 200
