"""Reversed networks: back-propagation is the gradient, every rule is what the paper defines."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
from converters import ConversionError, Graph, Node, registry
from converters.passes.reverse import METHODS, ReLURule, Rules, bottleneck, prune, reverse
from converters.registry import find
from tests.converters.checker import bind, close, run_onnx, run_torch
from tests.converters.oracles import reversed as oracle

GOLDENS = Path(__file__).parents[1] / "goldens"
EIGHT = [Rules(r, s, lrn) for r, s, lrn in itertools.product(ReLURule, (True, False), (False,))]


def built(text: str, seed: int = 0, **options: object) -> Graph:
    """A graph whose weights and biases are drawn, so that no bias is 0."""
    net = prototxt.parse_net(text).select("TEST")
    graph = converters.build_graph(net, seed=seed, **options)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    for node in graph.nodes:
        for index, blob in enumerate(node.blobs):
            drawn = rng.normal(size=blob.shape) / np.sqrt(max(1, blob[0].size))
            drawn = np.abs(drawn) + 0.5 if node.type == "BatchNorm" else drawn
            node.blobs[index] = drawn.astype(np.float32)
    return graph


def gradient(graph: Graph, blob: str, feeds: dict[str, np.ndarray]):
    """Of <p, phi(x)> by each image, through PyTorch's autograd; and the p that was drawn."""
    import torch

    graph = graph.clone()
    graph.outputs = [graph.value(blob)]
    module = converters.to_torch(prune(graph)).eval()
    images = [torch.from_numpy(feeds[v.name]).requires_grad_() for v in graph.inputs]
    y = module(*images)[blob]
    p = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    (y * torch.from_numpy(p)).sum().backward()
    return p, [x.grad.numpy() for x in images]


def all_paths(graph: Graph, feeds: dict[str, np.ndarray]):
    """What each target of ONNX and PyTorch make of a graph, its shapes checked."""
    feeds = {v.name: feeds[v.name] for v in graph.inputs}
    results = [run_onnx(converters.to_onnx(graph, target=t), feeds) for t in converters.FORMS]
    results.append(run_torch(graph, feeds))
    for found in results:
        sizes: dict[str, int] = {}
        for value in graph.inputs:
            bind(sizes, value.shape, feeds[value.name].shape)
        for value, array in zip(graph.outputs, found, strict=True):
            bind(sizes, value.shape, array.shape)
    return results


def check_gradient(graph: Graph, blob: str, feeds: dict[str, np.ndarray]) -> None:
    feeds = {v.name: feeds[v.name] for v in graph.inputs}
    p, expected = gradient(graph, blob, feeds)
    backward = reverse(graph, blob, "salinet")
    assert any(e.any() for e in expected)
    for found in all_paths(backward, {**feeds, "projection": p}):
        for value, got, wanted in zip(backward.outputs, found, expected, strict=True):
            close(value.name, got, wanted)


def reversible(node: Node) -> bool:
    kind = find(node.type)
    return kind is not None and kind.reversible


def cuttable(graph: Graph) -> str | None:
    """The last blob up to which every layer can be reversed."""
    for node in reversed(graph.nodes):
        part = graph.clone()
        part.outputs = [part.value(node.outputs[0].name)]
        part.without_dead_nodes()
        if all(map(reversible, part.nodes)) and part.outputs[0].dtype == "float32":
            return part.outputs[0].name
    return None


def golden(folder: Path, open_dims: bool) -> tuple[Graph, dict[str, np.ndarray]]:
    weights = folder / "net.caffemodel"
    graph = converters.load_graph(
        folder / "net.prototxt", weights if weights.exists() else None, open_dims=open_dims
    )
    with np.load(folder / "io.npz") as io:
        return graph, {k[3:]: io[k] for k in io.files if k.startswith("in.")}


NETS = ["alexnet_like", "fcn_like", "inception_like", "lenet", "resnet_like", "siamese_like"]


@pytest.mark.parametrize("open_dims", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_salinet_is_the_gradient(name: str, open_dims: bool) -> None:
    graph, feeds = golden(GOLDENS / "nets" / name, open_dims)
    blob = cuttable(graph)
    assert blob
    check_gradient(graph, blob, feeds)


def layer_cases() -> list[str]:
    """Goldens of the types that have a reverse."""
    starts = "batchnorm concat conv_ deconv_ dropout eltwise_sum flatten ip lrn pool power relu"
    starts += " prelu reshape scale slice split bias"
    found = sorted(p.name for p in (GOLDENS / "layers").iterdir())
    return [name for name in found if name.startswith(tuple(starts.split()))]


REFUSED = {
    "batchnorm_batch_stats": "takes the statistics of the batch",
    "bias_two_bottoms": "its second bottom is no constant",
    "conv_axis2": "only axis 1",
    "power": "power 2 is not linear",
    "power_cube_neg": "power 3 is not linear",
    "power_frac": "power 0.5 is not linear",
    "power_inverse": "power -1 is not linear",
    "power_scale0": "power 2 is not linear",
    "scale_full_bottoms": "its second bottom is no constant",
}


@pytest.mark.parametrize("name", layer_cases())
def test_each_golden_layer_is_reversed(name: str) -> None:
    graph, feeds = golden(GOLDENS / "layers" / name, name != "pool_max_global")
    feeds = {k: v.astype(np.float32) for k, v in feeds.items()}
    last = next(v.name for n in reversed(graph.nodes) for v in n.outputs if v.dtype == "float32")
    if name in REFUSED:
        with pytest.raises(ConversionError, match=REFUSED[name]):
            reverse(graph, last, "salinet")
        return
    check_gradient(graph, last, feeds)


TWO_BLOCKS = """
name: "two" input: "data" input_dim: 2 input_dim: 3 input_dim: 20 input_dim: 17
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1"
  lrn_param { local_size: 3 alpha: 2 beta: 0.75 k: 1.5 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
  pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 5 kernel_size: 3 pad: 1 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { kernel_size: 2 stride: 2 } }
"""


def two_blocks_by_hand(graph: Graph, x: np.ndarray, p: np.ndarray, rules: Rules) -> np.ndarray:
    """Both blocks, forward and reversed, for one image."""
    (w1, b1), (w2, b2) = (n.blobs for n in graph.nodes if n.blobs)
    norm = (3, 2.0, 0.75, 1.5)
    c1 = oracle.convolve(x, w1, b1, 2, 1)
    r1 = np.maximum(c1, 0)
    n1 = oracle.lrn(r1, *norm)
    p1, places1 = oracle.pool(n1, 3, 2)
    c2 = oracle.convolve(p1, w2, b2, 1, 1)
    r2 = np.maximum(c2, 0)
    _, places2 = oracle.pool(r2, 2, 2)
    if rules.switches:
        p = oracle.unpool(p, places2, c2.shape[1:])
    else:
        p = oracle.unpool_centre(p, 2, 2, c2.shape[1:])
    p = oracle.relu_reversed(p, c2, rules.relu.value)
    p = oracle.convolve_transposed(p, w2, 1, 1, p1.shape[1:])
    if rules.switches:
        p = oracle.unpool(p, places1, n1.shape[1:])
    else:
        p = oracle.unpool_centre(p, 3, 2, n1.shape[1:])
    if rules.lrn:
        p = oracle.lrn_backward(p, r1, *norm)
    p = oracle.relu_reversed(p, c1, rules.relu.value)
    return oracle.convolve_transposed(p, w1, 2, 1, x.shape[1:])


@pytest.mark.parametrize("lrn", [False, True])
@pytest.mark.parametrize("rules", EIGHT, ids=lambda rules: rules.name)
@pytest.mark.parametrize("open_dims", [True, False])
def test_eight_combinations_by_hand(rules: Rules, lrn: bool, open_dims: bool) -> None:
    rules = Rules(rules.relu, rules.switches, lrn)
    graph = built(TWO_BLOCKS, 3, open_dims=open_dims)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 3, 20, 17)).astype(np.float32)
    p = rng.normal(size=(2, 5, 3, 2)).astype(np.float32)
    expected = np.stack(
        [
            two_blocks_by_hand(graph, *(a.astype(np.float64) for a in pair), rules)
            for pair in zip(x, p, strict=True)
        ]
    )
    backward = reverse(graph, "pool2", rules)
    for found in all_paths(backward, {"data": x, "projection": p}):
        close(rules.name, found[0], expected)


def test_the_combinations_differ() -> None:
    """So that a rule which is left out cannot pass."""
    graph = built(TWO_BLOCKS, 3)
    rng = np.random.default_rng(5)
    feeds = {"data": rng.normal(size=(1, 3, 20, 17)).astype(np.float32)}
    feeds["projection"] = rng.normal(size=(1, 5, 3, 2)).astype(np.float32)
    found = [
        run_onnx(converters.to_onnx(reverse(graph, "pool2", rules)), feeds)[0]
        for rules in [*EIGHT, METHODS["salinet"]]
    ]
    for a, b in itertools.combinations(found, 2):
        assert np.abs(a - b).max() > 1e-3


@pytest.mark.parametrize("rules", [*EIGHT, METHODS["salinet"]], ids=lambda r: f"{r.name}-{r.lrn}")
def test_stored_information_stands_in_for_the_image(rules: Rules) -> None:
    graph = built(TWO_BLOCKS, 3, open_dims=False)
    rng = np.random.default_rng(7)
    feeds = {
        "data": rng.normal(size=(2, 3, 20, 17)).astype(np.float32),
        "projection": rng.normal(size=(2, 5, 3, 2)).astype(np.float32),
    }
    expected = run_onnx(converters.to_onnx(reverse(graph, "pool2", rules)), feeds)
    backward = reverse(graph, "pool2", rules, stored=True)
    names = [v.name for v in backward.inputs]
    assert "data" not in names and names[-1] == "projection"
    stored = dict(feeds)
    if len(names) > 1:
        forward = bottleneck(graph, "pool2", rules)
        assert [v.name for v in forward.outputs] == names[:-1]
        kept = run_onnx(converters.to_onnx(forward), {"data": feeds["data"]})
        stored |= dict(zip(names, kept, strict=False))
    else:
        with pytest.raises(ConversionError, match="nothing of the forward pass"):
            bottleneck(graph, "pool2", rules)
    for found in all_paths(backward, stored):
        close("visualisation", found[0], expected[0])


def random_net(seed: int) -> str:
    """Blocks of convolution, rectifier, normalisation, pooling and branches, drawn."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(17, 30, 2))
    text = f'name: "r" input: "data" input_dim: 2 input_dim: 2 input_dim: {height} '
    text += f"input_dim: {width}\n"
    last = "data"

    def layer(kind: str, bottoms: list[str], top: str, body: str = "") -> str:
        nonlocal text
        lines = "".join(f' bottom: "{b}"' for b in bottoms)
        text += f'layer {{ name: "{top}_{kind}" type: "{kind}"{lines} top: "{top}" {body} }}\n'
        return top

    def conv(bottom: str, top: str, outputs: int, k: int, stride: int, pad: int) -> str:
        body = f"num_output: {outputs} kernel_size: {k} stride: {stride} pad: {pad} group: "
        group = 2 if rng.integers(2) else 1
        return layer("Convolution", [bottom], top, f"convolution_param {{ {body}{group} }}")

    for block in range(2):
        stride = int(rng.integers(1, 3))
        last = conv(last, f"c{block}", 4, int(rng.integers(2, 5)), stride, int(rng.integers(2)))
        slope = "relu_param { negative_slope: 0.2 }" if rng.integers(2) else ""
        kind = rng.choice(["ReLU", "PReLU"])
        last = layer(kind, [last], last, slope if kind == "ReLU" else "")
        if rng.integers(2):
            region = rng.choice(["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
            body = f"local_size: 3 alpha: 1.5 beta: 0.6 norm_region: {region}"
            last = layer("LRN", [last], f"n{block}", f"lrn_param {{ {body} }}")
        kind = rng.choice(["MAX", "MAX", "AVE"])
        k, s, pad = ((2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (2, 1, 0))[rng.integers(5)]
        body = f"pool: {kind} kernel_size: {k} stride: {s} pad: {pad}"
        last = layer("Pooling", [last], f"p{block}", f"pooling_param {{ {body} }}")
        branch = rng.integers(4)
        if branch == 0:
            a, b = conv(last, f"a{block}", 2, 1, 1, 0), conv(last, f"b{block}", 4, 3, 1, 1)
            last = layer("Concat", [a, last, b], f"j{block}")
        elif branch == 1:
            a = conv(last, f"a{block}", 4, 3, 1, 1)
            body = "eltwise_param { coeff: 0.5 coeff: -2 }"
            last = layer("Eltwise", [a, last], f"j{block}", body)
        elif branch == 2:
            text += f'layer {{ name: "s{block}" type: "Slice" bottom: "{last}" top: "s{block}a" '
            text += f'top: "s{block}b" slice_param {{ slice_point: 2 }} }}\n'
            last = f"s{block}b"
    return text + (
        f'layer {{ name: "ip" type: "InnerProduct" bottom: "{last}" top: "ip" '
        "inner_product_param { num_output: 5 } }"
    )


@pytest.mark.parametrize("seed", range(16))
def test_salinet_of_a_random_net_is_its_gradient(seed: int) -> None:
    text = random_net(seed)
    graph = built(text, seed, open_dims=bool(seed % 2))
    shape = graph.inputs[0].nominal
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    check_gradient(graph, "ip", {"data": x})
    everything = [v.name for n in graph.nodes[:-1] for v in n.outputs if v.dtype == "float32"]
    inner = np.random.default_rng(seed).choice(everything)
    check_gradient(graph, str(inner), {"data": x})


@pytest.mark.parametrize("size", [(20, 17), (33, 24), (19, 30)])
def test_one_reversed_model_serves_every_size(size: tuple[int, int]) -> None:
    graph = built(TWO_BLOCKS, 3)
    assert graph.inputs[0].shape[2:] == ("height", "width")
    x = np.random.default_rng(0).normal(size=(3, 3, *size)).astype(np.float32)
    check_gradient(graph, "pool2", {"data": x})


@pytest.mark.parametrize(
    ("name", "blob"),
    [("lenet", "ip2"), ("mtcnn_det1", "conv4-2"), ("mtcnn_det2", "conv5-2")],
)
def test_networks_that_others_trained(shared: Path, name: str, blob: str) -> None:
    graph, feeds = golden(shared / "caffe" / "trained" / name, True)
    check_gradient(graph, blob, feeds)


HEAD = 'name: "n" input: "data" input_dim: 1 input_dim: 2 input_dim: 8 input_dim: 8\n'


def test_what_cannot_be_reversed_is_named() -> None:
    text = HEAD + 'layer { name: "odd" type: "TanH" bottom: "data" top: "odd" }'
    with pytest.raises(ConversionError, match=r":?2:1: layer 'odd' \(TanH\): cannot be reversed"):
        reverse(built(text), "odd")


def test_all_that_cannot_be_reversed_are_named_at_once() -> None:
    text = HEAD + 'layer { name: "a" type: "TanH" bottom: "data" top: "a" }\n'
    text += 'layer { name: "b" type: "Softmax" bottom: "a" top: "b" }'
    wanted = r"2 layers cannot be reversed: 'a' \(TanH\) at 2, 'b' \(Softmax\) at 3"
    with pytest.raises(ConversionError, match=wanted):
        reverse(built(text), "b")


def test_nothing_stands_in_for_an_image_that_is_normalised() -> None:
    text = HEAD + 'layer { name: "n" type: "LRN" bottom: "data" top: "n" }'
    graph = built(text, open_dims=False)
    with pytest.raises(ConversionError, match=r"\(LRNGradient\): reads the image itself"):
        reverse(graph, "n", "salinet", stored=True)


def test_a_global_maximum_needs_a_size() -> None:
    graph, _ = golden(GOLDENS / "layers" / "pool_max_global", True)
    with pytest.raises(ConversionError, match="needs to know the size height; give shapes"):
        reverse(graph, graph.outputs[0].name)


@pytest.mark.parametrize("open_dims", [True, False])
@pytest.mark.parametrize("kind", ["Convolution3D", "Deconvolution3D"])
def test_salinet_over_frames_is_the_gradient(kind: str, open_dims: bool) -> None:
    text = (
        'layer { name: "data" type: "Input" top: "data" '
        "input_param { shape { dim: 1 dim: 2 dim: 5 dim: 6 dim: 7 } } } "
        f'layer {{ name: "c" type: "{kind}" bottom: "data" top: "c" convolution3d_param '
        "{ num_output: 3 kernel_size: 3 kernel_depth: 2 stride: 2 pad: 1 } }"
    )
    frames = np.random.default_rng(2).normal(size=(1, 2, 5, 6, 7)).astype(np.float32)
    check_gradient(built(text, open_dims=open_dims), "c", {"data": frames})


def test_a_product_cannot_be_reversed() -> None:
    text = HEAD + (
        'layer { name: "e" type: "Eltwise" bottom: "data" bottom: "data" top: "e" '
        "eltwise_param { operation: PROD } }"
    )
    with pytest.raises(ConversionError, match=r"'e' \(Eltwise\): cannot be reversed: PROD"):
        reverse(built(text), "e")


def test_a_misspelt_blob_and_method() -> None:
    graph = built(TWO_BLOCKS)
    with pytest.raises(ConversionError, match="no layer gives a blob 'poo2'; did you mean pool2"):
        reverse(graph, "poo2")
    with pytest.raises(ConversionError, match="unknown method 'deconv'; one of deconvnet, "):
        reverse(graph, "pool2", "deconv")


def test_stored_form_needs_a_size() -> None:
    with pytest.raises(ConversionError, match="fixed size: give shapes"):
        reverse(built(TWO_BLOCKS), "pool2", stored=True)


def test_the_graph_is_left_as_it_was() -> None:
    graph = built(TWO_BLOCKS)
    before = converters.to_onnx(graph).SerializeToString()
    reverse(graph, "pool2", "salinet")
    assert converters.to_onnx(graph).SerializeToString() == before


def test_no_definition_names_a_layer_of_ours() -> None:
    text = HEAD + 'layer { name: "u" type: "UnpoolSum" bottom: "data" top: "u" }'
    with pytest.raises(ConversionError, match="stands in reversed networks only"):
        built(text)


REVERSIBLE = (
    "BN BatchNorm Bias Concat Convolution Deconvolution Dropout Eltwise Flatten InnerProduct LRN "
    "PReLU Pooling Power ReLU Reshape Scale Slice Split"
).split()
KINDS_OF_CONVOLUTION = {
    "Convolution3D",
    "ConvolutionDepthwise",
    "Deconvolution3D",
    "DepthwiseConv",
    "DepthwiseConvolution",
}


def test_the_types_that_have_a_reverse() -> None:
    found = {info.type for info in converters.layer_types() if info.reversible}
    assert found == {*REVERSIBLE, *KINDS_OF_CONVOLUTION}
    text = HEAD + 'layer { name: "odd" type: "TanH" bottom: "data" top: "odd" }'
    with pytest.raises(ConversionError) as caught:
        reverse(built(text), "odd")
    assert caught.value.remedy == f"these can: {', '.join(REVERSIBLE)}; cut at a lower blob"


PLUGIN = '''
"""y = x by `factor`, mirrored from left to right."""

from dataclasses import dataclass

import numpy as np
from torch import nn

from converters import LayerType, register
from converters.reversal import first_top


class Mirrored(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x.flip(3)


@dataclass
class MirrorParams:
    factor: float = 1.0


@register("Mirror", message="mirror_param")
class Mirror(LayerType):
    Params = MirrorParams

    def shapes(self, node):
        return [node.inputs[0].shape]

    def onnx(self, node, b):
        x, step = node.inputs[0], b.ints(-1)
        y = b.op("Slice", x, step, b.ints(-(2**31)), b.ints(3), step)
        b.op("Mul", y, np.array(node.params.factor, np.float32), out=node.outputs[0])

    def torch(self, node):
        return Mirrored(node.params.factor)

    def reverse(self, node, tops, r):
        bottom = node.inputs[0]
        value = r.add("Mirror", node, [first_top(tops)], bottom, MirrorParams())
        r.accumulate(bottom, r.scale(node, value, bottom, node.params.factor))
'''


@pytest.mark.parametrize("open_dims", [True, False])
def test_a_plugin_says_how_its_layer_is_reversed(
    open_dims: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converters.layer_types()  # our own are registered before the copy is taken
    monkeypatch.setattr(registry, "_types", dict(registry._types))  # taken back afterwards
    (tmp_path / "mirror.py").write_text(PLUGIN)
    converters.load_plugin(tmp_path / "mirror.py")
    assert {info.type: info.reversible for info in converters.layer_types()}["Mirror"]
    text = TWO_BLOCKS.replace(
        'layer { name: "relu2"',
        'layer { name: "m" type: "Mirror" bottom: "pool1" top: "m" mirror_param { factor: -3 } }\n'
        'layer { name: "sum" type: "Concat" bottom: "conv2" bottom: "m" top: "both" }\n'
        'layer { name: "relu2"',
    )
    graph = built(text, 3, open_dims=open_dims)
    x = np.random.default_rng(0).normal(size=(2, 3, 20, 17)).astype(np.float32)
    check_gradient(graph, "both", {"data": x})
    odd = HEAD + 'layer { name: "odd" type: "TanH" bottom: "data" top: "odd" }'
    with pytest.raises(ConversionError) as caught:
        reverse(built(odd), "odd")
    assert caught.value.remedy is not None and "LRN, Mirror, PReLU" in caught.value.remedy
