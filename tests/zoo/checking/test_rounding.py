"""Rounding is excused, however far it went, and hides nothing: spoilt models, on every input.

The network is as ill-conditioned as one can be. A mean over thousands of numbers, less their
maximum: on equal numbers nothing is left of it but what rounding made.
"""

import numpy as np
import pytest

from tests.zoo.checking.spoiling import (
    calculated,
    graph_and_model,
    rows_of,
    set_attribute,
    spoil_weight,
    without_input,
)
from zoo.checking import probes
from zoo.checking.comparison import Comparison
from zoo.checking.rounding import RoundingCheck, in_order, uncertain

NET = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 98 dim: 98 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" }
                      bias_filler { type: "uniform" min: 1 max: 2 } } }
layer { name: "mean" type: "Pooling" bottom: "conv" top: "mean"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "max" type: "Pooling" bottom: "conv" top: "max" top: "mask"
  pooling_param { global_pooling: true } }
layer { name: "diff" type: "Eltwise" bottom: "mean" bottom: "max" top: "diff"
  eltwise_param { coeff: 1 coeff: -1 } }
layer { name: "ip" type: "InnerProduct" bottom: "diff" top: "out"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""  # noqa: E501

EQUAL = {"zeros", "constant", "tiny"}
"""Inputs on which all numbers of a channel are equal behind the convolution."""


def test_a_sound_model_agrees_where_rounding_is_all_there_is(tmp_path):
    graph, model = graph_and_model(NET)
    rows = rows_of(graph, model, tmp_path)
    assert {kind: row.first for kind, row in rows.items() if not row.ok} == {}
    out = {kind: row.comparisons[-1] for kind, row in rows.items()}
    assert {kind for kind, item in out.items() if item.rounding} >= EQUAL
    assert all(out[kind].max_rel > 0.5 for kind in EQUAL)


ALL = set(probes.KINDS)
SPOILT = {
    # What was done, the blob where it first shows, the inputs on which it must be found. Zeros and
    # tiny numbers tell nothing of a weight; next to large ones a bias and a thousandth of a mean
    # whose maximum is taken away are below the tolerance.
    "a weight": (
        lambda model: spoil_weight(model, "conv.weight", 3, 0.02), "conv", ALL - {"zeros", "tiny"},
    ),
    "a bias": (lambda model: spoil_weight(model, "conv.bias", 3, 1e-3), "conv", EQUAL),
    "no bias": (lambda model: without_input(model, "Conv", 2), "conv", EQUAL),
    "padding": (lambda model: set_attribute(model, "Conv", "pads", [1, 1, 1, 1]), "conv", ALL),
    "one column": (lambda model: set_attribute(model, "Conv", "pads", [0, 0, 0, 1]), "conv", ALL),
    "divisor": (
        lambda model: calculated(model, "mean", "Mul", np.float32(98 / 99)), "mean",
        ALL - {"large"},
    ),
    "a thousandth": (
        lambda model: calculated(model, "mean", "Mul", np.float32(1.001)), "mean", ALL - {"large"},
    ),
    "a switch": (lambda model: calculated(model, "mask", "Add", np.int64(1)), "mask", ALL),
    "coefficients": (
        lambda model: spoil_weight(model, "diff/const", slice(None), 0.5), "diff", ALL,
    ),
    "a last weight": (lambda model: spoil_weight(model, "ip.weight", 2, 0.1), "out", ALL),
    "a last bias": (lambda model: spoil_weight(model, "ip.bias", 2, 0.1), "out", ALL - {"large"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_an_error_is_found_where_rounding_goes_far(name, tmp_path):
    spoil, blob, kinds = SPOILT[name]
    graph, model = graph_and_model(NET)
    spoil(model)
    rows = rows_of(graph, model, tmp_path)
    found = {kind: row.first.blob for kind, row in rows.items() if not row.ok}
    assert found.keys() >= kinds
    assert set(found.values()) == {blob}
    assert all(row.judged for row in rows.values())


PLAIN = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 13 dim: 13 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" }
                      bias_filler { type: "uniform" min: -1 max: 1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" relu_param { negative_slope: 0.1 } }
layer { name: "pool" type: "Pooling" bottom: "conv1" top: "pool" top: "mask"
  pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "unpool" type: "Unpooling" bottom: "pool" bottom: "mask" top: "unpool"
  unpooling_param { kernel_size: 3 stride: 2 unpool_size: 13 } }
layer { name: "conv2" type: "Convolution" bottom: "unpool" top: "conv2"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "conv2" top: "prob" }
"""  # noqa: E501

PLAINLY_SPOILT = {
    # What was done, and the inputs on which it does not show: what is 0 there tells nothing of a
    # weight, and large numbers nothing of a bias; of large ones the softmax is 0 and 1 either way.
    "a weight": (
        lambda model: spoil_weight(model, "conv1.weight", 3, 0.05), {"zeros", "tiny", "one-hot"},
    ),
    "a later weight": (lambda model: spoil_weight(model, "conv2.weight", 3, 0.05), {"large"}),
    "no bias": (lambda model: without_input(model, "Conv", 2), {"large"}),
    "a switch": (lambda model: calculated(model, "mask", "Sub", np.int64(1)), set()),
    "a bias": (lambda model: spoil_weight(model, "conv2.bias", 1, 0.01), {"large"}),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAINLY_SPOILT)
def test_an_error_is_found_on_every_kind_of_input(name, tmp_path):
    spoil, blind = PLAINLY_SPOILT[name]
    graph, model = graph_and_model(PLAIN)
    assert all(row.ok for row in rows_of(graph, model, tmp_path).values())
    spoil(model)
    rows = rows_of(graph, model, tmp_path)
    assert {kind for kind, row in rows.items() if not row.ok} >= ALL - blind


def pooled(count, value=1.3):
    """A mean's module, what it reads, what it gives."""
    import torch

    x = torch.full((1, 1, count, 1), value)
    return torch.nn.AdaptiveAvgPool2d(1), x, torch.nn.AdaptiveAvgPool2d(1)(x)


def test_a_sum_may_be_off_by_what_adding_in_order_is_off():
    module, x, mean = pooled(9000)
    terms = np.full(9000, x[0, 0, 0, 0].item() / 9000, np.float32)
    naive = float(np.add.accumulate(terms, dtype=np.float32)[-1])
    off = abs(naive - float(terms.astype(np.float64).sum()))
    assert off > 1e-5

    def there(by):
        return (mean + by).numpy()

    assert uncertain(module, [x], 0, mean, there(off), 1e-5)
    assert uncertain(module, [x], 0, mean, there(-off), 1e-5)
    assert not uncertain(module, [x], 0, mean, there(3 * off), 1e-5)
    short, y, less = pooled(9)  # of nine numbers that is no rounding
    assert not uncertain(short, [y], 0, less, (less + off).numpy(), 1e-5)


def test_only_places_that_are_off_are_added_up():
    import torch

    module, x, _ = pooled(9000)
    apart = torch.zeros(1, 1, 1, 1).double()
    assert in_order(module, [x.double()], 0, apart, 1e-5) == 0
    assert in_order(module, [x.double()], 0, apart + 1e-4, 1e-5) > 1e-5
    # No order of addition brings that about: 9000 terms, each off by half a last place.
    assert in_order(module, [x.double()], 0, apart + 2e-3, 1e-5) == 0


def test_a_layer_without_a_gradient_is_not_excused():
    import torch

    class Rounded(torch.nn.Module):
        def forward(self, x):
            return x.detach().round()

    x = torch.ones(3)
    assert not uncertain(Rounded(), [x], 0, x, np.full(3, 1.1, np.float32), 1e-5)


def seen(given, inside, rebuilt):
    """Whether what the model gives is what was seen of it inside."""
    graph, _ = graph_and_model(PLAIN)
    arrays = [np.array(numbers, np.float32) for numbers in (given, inside, rebuilt)]
    inner = {"onnx": {"prob": arrays[1]}, "torch": {"prob": arrays[2]}}
    return RoundingCheck(graph, {}, inner, 1e-4).same_inside("prob", arrays[0])


def test_looking_inside_may_change_no_more_than_rounding_does():
    assert seen([1.0, 2], [1.0, 2], [1.0, 2])
    assert seen([1.0, 2.001], [1.0, 2], [1.0, 2.002])
    assert not seen([1.0, 2.003], [1.0, 2], [1.0, 2.002])
    assert not seen([1.0, 2.003], [1.0, 2], [1.0, 2])
    assert not seen([1.0, np.nan], [1.0, 2], [1.0, 3])
    assert not seen([1.0, 2, 3], [1.0, 2], [1.0, 3])


def test_a_blob_that_the_model_does_not_show_is_not_excused():
    graph, _ = graph_and_model(PLAIN)
    check = RoundingCheck(graph, {}, {"onnx": {}, "torch": {}}, 1e-4)
    item = Comparison("prob", "torch", "onnx", 1, 1, 1, (), False, False)
    assert not check.checked(item, {"prob": np.zeros(3)}).ok


FLAT = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "scale" type: "Power" bottom: "x" top: "scaled" power_param { scale: 2 shift: 1 } }
layer { name: "exp" type: "Exp" bottom: "scaled" top: "grown" }
layer { name: "pool" type: "Pooling" bottom: "grown" top: "y" pooling_param { kernel_size: 2 } }
"""


def outcome(rows):
    """By input: agrees, differs, or is not judged."""
    return {
        kind: "differs" if not row.ok else "agrees" if row.judged else row.unjudged
        for kind, row in rows.items()
    }


def grown(graph, model, folder, **options):
    """The graph's rows with outputs that grow past float32."""
    return outcome(rows_of(graph, model, folder, **options))


def test_what_leaves_float32_is_not_judged(tmp_path):
    graph, model = graph_and_model(FLAT)
    calculated(model, "grown", "Mul", np.float32(1.01))  # e to 10000, and a hundredth
    found = grown(graph, model, tmp_path, kinds=["random", "large"])
    assert found["random"] == "differs"
    one, two = graph_and_model(FLAT)
    assert set(grown(one, two, tmp_path).values()) - {"agrees"} <= {
        "blob 'grown' is infinite",
        "blob 'y' has no finite number",
    }


def test_what_went_before_is_judged_all_the_same(tmp_path):
    """An error before the blob that overflows is found on the input that overflows."""
    graph, model = graph_and_model(FLAT)
    calculated(model, "scaled", "Mul", np.float32(-1.0))
    rows = rows_of(graph, model, tmp_path, ["large"])
    assert rows["large"].first.blob == "scaled"
    assert not rows["large"].ok


def test_an_overflow_of_the_model_alone_is_an_error(tmp_path):
    graph, model = graph_and_model(FLAT)
    calculated(model, "grown", "Div", np.float32(0))
    rows = rows_of(graph, model, tmp_path)
    assert {kind for kind, row in rows.items() if not row.ok} >= ALL - {"large"}
    assert rows["random"].first.blob == "grown"
    graph, model = graph_and_model(FLAT)
    calculated(model, "scaled", "Mul", np.float32(np.nan))
    assert {row.first.blob for row in rows_of(graph, model, tmp_path).values()} == {"scaled"}


def test_a_maximum_over_nothing_is_no_overflow():
    from zoo.checking.float_range import beyond, out_of_range

    graph, _ = graph_and_model(FLAT)
    lowest = np.array([np.finfo(np.float32).min, 3], np.float32)
    assert beyond(lowest) == "" == beyond(np.zeros(0)) == beyond(np.array([2**62]))
    assert beyond(np.array([1e20, 3])) == "reaches 1e+20"
    assert beyond(np.array([np.inf, np.nan])) == "is not a number"
    blobs = {"x": np.ones(3), "scaled": np.array([-np.inf]), "y": lowest}
    reason = "blob 'scaled' is infinite"
    assert out_of_range(graph, blobs) == {"scaled": reason, "grown": reason, "y": reason}
