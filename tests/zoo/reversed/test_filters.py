"""`zoo filters`: filters decoded with substitution."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import converters
import prototxt
from zoo.reversed import filter_decoding as decoding
from zoo.reversed.networks import Network

HEAD = 'name: "f" input: "data" input_shape { dim: 2 dim: 3 dim: 24 dim: 20 }\n'


def conv(name: str, bottom: str, outputs: int, k: int, extra: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
        f"convolution_param {{ num_output: {outputs} kernel_size: {k} {extra} "
        'weight_filler { type: "xavier" } } }\n'
    )


def pool(name: str, bottom: str, kind: str = "MAX", k: int = 2) -> str:
    return (
        f'layer {{ name: "{name}" type: "Pooling" bottom: "{bottom}" top: "{name}" '
        f"pooling_param {{ pool: {kind} kernel_size: {k} stride: 2 }} }}\n"
    )


def joined(name: str, *bottoms: str) -> str:
    listed = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
    return f'layer {{ name: "{name}" type: "Concat" {listed} top: "{name}" }}\n'


def relu(blob: str) -> str:
    return f'layer {{ name: "{blob}_relu" type: "ReLU" bottom: "{blob}" top: "{blob}" }}\n'


def built(text: str) -> converters.Graph:
    return converters.build_graph(prototxt.parse_net(HEAD + text).select("TEST"), seed=1)


def substituted(upper: np.ndarray, lower: np.ndarray, stride: int, dilation: int) -> np.ndarray:
    """Value by value: each one writes its lower filter, times itself."""
    f, _, rows, columns = upper.shape
    k = (lower.shape[2] - 1) * dilation + 1
    result = np.zeros(
        (f, lower.shape[1], (rows - 1) * stride + k, (columns - 1) * stride + k), np.float64
    )
    for a, b, i, j in np.ndindex(*upper.shape):
        rows_ = slice(i * stride, i * stride + k, dilation)
        columns_ = slice(j * stride, j * stride + k, dilation)
        result[a, :, rows_, columns_] += upper[a, b, i, j] * lower[b]
    return result


def test_the_first_layer_decodes_to_itself() -> None:
    graph = built(conv("c1", "data", 4, 5))
    assert np.array_equal(decoding.filters(graph, "c1"), graph.nodes[0].blobs[0])


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)])
def test_each_value_is_substituted(stride: int, dilation: int) -> None:
    text = conv("c1", "data", 4, 3, f"stride: {stride} dilation: {dilation}") + relu("c1")
    graph = built(text + conv("c2", "c1", 20, 3))
    weights = [n.blobs[0].astype(np.float64) for n in graph.nodes if n.blobs]
    found = decoding.filters(graph, "c2")
    expected = substituted(weights[1], weights[0], stride, dilation)
    assert found.shape == expected.shape and np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("unpool", decoding.UNPOOLS)
def test_pooling_is_upsampled(unpool: str) -> None:
    graph = built(conv("c1", "data", 4, 3) + pool("p1", "c1") + conv("c2", "p1", 5, 3))
    how = dict(nearest=cv2.INTER_NEAREST, bilinear=cv2.INTER_LINEAR, bicubic=cv2.INTER_CUBIC)
    first, second = (n.blobs[0] for n in graph.nodes if n.blobs)
    large = np.zeros((5, 4, 6, 6), np.float32)
    for a, b in np.ndindex(5, 4):
        large[a, b] = cv2.resize(second[a, b], (6, 6), interpolation=how[unpool])
    expected = substituted(large, first, 1, 1)
    assert np.allclose(decoding.filters(graph, "c2", unpool), expected, atol=1e-6)


def test_overlapping_windows_cover_what_they_cover() -> None:
    graph = built(conv("c1", "data", 4, 3) + pool("p1", "c1", k=3) + conv("c2", "p1", 5, 3))
    assert decoding.filters(graph, "c2").shape == (5, 3, 2 * 2 + 3 + 2, 2 * 2 + 3 + 2)


def linear(extra: str = "") -> str:
    """Nothing that bends: the network's response is the correlation with its decoded filters."""
    text = conv("c1", "data", 4, 3, f"group: 1 {extra}") + pool("p1", "c1", "AVE")
    text += conv("c2", "p1", 6, 3, "group: 2")
    return text + (
        'layer { name: "ip" type: "InnerProduct" bottom: "c2" top: "ip" inner_product_param { '
        'num_output: 7 weight_filler { type: "xavier" } } }\n'
        'layer { name: "ip2" type: "InnerProduct" bottom: "ip" top: "ip2" inner_product_param { '
        'num_output: 3 weight_filler { type: "xavier" } } }\n'
    )


@pytest.mark.parametrize("layer", ["c1", "c2", "ip", "ip2"])
@pytest.mark.parametrize("extra", ["", "pad: 2", "stride: 2 pad: 1"])
def test_a_linear_network_is_its_decoded_filters(layer: str, extra: str) -> None:
    graph = built(linear(extra))
    network = Network(graph, {}, "cpu")
    x = np.random.default_rng(0).normal(size=(2, 3, 24, 20)).astype(np.float32)
    decoded = decoding.filters(graph, layer, "nearest")
    if layer.startswith("ip") and extra == "":
        # In numbers: what lies under the only window, a quarter of it for each pooled value.
        image = x[:, :, : decoded.shape[2], : decoded.shape[3]]
        own = network.graph.clone()
        own.outputs = [own.value(layer)]
        found = network.run({"data": x}, own.without_dead_nodes())
        expected = np.tensordot(image, decoded, ([1, 2, 3], [1, 2, 3])) / 4
        assert np.allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert decoding.agreement(network, layer, decoded, {"data": x}) < 1e-9
    wrong = decoded[:, :, ::-1].copy()
    assert decoding.agreement(network, layer, wrong, {"data": x}) > 1e-3


def test_a_one_hot_image_answers_with_the_decoded_filter() -> None:
    """What a linear network makes of a single pixel is its decoded filter, turned around."""
    graph = built(conv("c1", "data", 4, 3) + conv("c2", "c1", 5, 3))
    network = Network(graph, {}, "cpu")
    decoded = decoding.filters(graph, "c2")
    image = np.zeros((1, 3, 24, 20), np.float32)
    image[0, 1, 10, 9] = 1
    found = network.run({"data": image})[0, :, 6:11, 5:10]
    assert np.allclose(found, decoded[:, 1, ::-1, ::-1], atol=1e-6)


def test_scales_multiply_and_folding_changes_nothing() -> None:
    text = conv("c1", "data", 4, 3) + (
        'layer { name: "b" type: "BatchNorm" bottom: "c1" top: "c1" }\n'
        'layer { name: "s" type: "Scale" bottom: "c1" top: "c1" scale_param { bias_term: true } }\n'
    )
    graph = built(text + relu("c1") + conv("c2", "c1", 5, 3))
    rng = np.random.default_rng(0)
    for node in graph.nodes[1:3]:
        node.blobs = [rng.uniform(0.5, 2, b.shape).astype(np.float32) for b in node.blobs]
    found = decoding.filters(graph, "c2")
    folded = converters.fold(graph)
    assert len(folded.nodes) < len(graph.nodes)
    assert np.allclose(found, decoding.filters(folded, "c2"), atol=1e-6)


FIRE = conv("s", "data", 3, 1) + relu("s") + conv("e1", "s", 4, 1) + conv("e3", "s", 5, 3, "pad: 1")
"""As SqueezeNet's: two convolutions read one blob, and are joined."""


def test_a_concat_is_one_convolution_of_both() -> None:
    """The same network without it: the 1x1 filters in the middle of 3x3 ones."""
    rest = pool("p", "cat") + conv("c", "p", 6, 3)
    graph = built(FIRE + joined("cat", "e1", "e3") + rest)
    single = built(conv("s", "data", 3, 1) + relu("s") + conv("cat", "s", 9, 3, "pad: 1") + rest)
    blobs = {node.name: node.blobs for node in graph.nodes if node.blobs}
    for node in single.nodes:
        if node.name == "cat":
            inner = np.pad(blobs["e1"][0], ((0, 0), (0, 0), (1, 1), (1, 1)))
            node.blobs[0] = np.concatenate([inner, blobs["e3"][0]])
        elif node.blobs:
            node.blobs = blobs[node.name]
    found, expected = (decoding.filters(g, "c", "bilinear") for g in (graph, single))
    assert found.shape == expected.shape == (6, 3, 8, 8)
    assert np.allclose(found, expected, atol=1e-6)
    x = np.random.default_rng(0).normal(size=(2, 3, 24, 20)).astype(np.float32)
    one, two = (
        decoding.agreement(Network(g, {}, "cpu"), "c", expected, {"data": x})
        for g in (graph, single)
    )
    assert one == pytest.approx(two, rel=1e-4)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_linear_network_of_branches_is_its_decoded_filters(depth: int) -> None:
    """Concats, one above the other, sums with coefficients; of each their response."""
    text, below = "", "data"
    for level in range(depth):
        names = [f"{kind}{level}" for kind in ("s", "e", "f", "cat", "sum", "skip")]
        s, e, f, cat, total, skip = names
        text += conv(s, below, 3, 1) + conv(e, s, 4, 1) + conv(f, s, 5, 3, "pad: 1")
        text += joined(cat, e, f, s) + conv(skip, below, 12, 5, "pad: 2")
        text += (
            f'layer {{ name: "{total}" type: "Eltwise" bottom: "{cat}" bottom: "{skip}" '
            f'top: "{total}" eltwise_param {{ coeff: 1 coeff: -0.5 }} }}\n'
        )
        below = total
    text += conv("c", below, 6, 3, "stride: 2")
    network = Network(built(text), {}, "cpu")
    x = np.random.default_rng(0).normal(size=(2, 3, 24, 20)).astype(np.float32)
    node = network.graph.nodes[-1]
    below = decoding.between(network.graph, node)
    placed = decoding.decode(node, decoding.kernels(node), below, "nearest")
    size = 3 + 4 * depth
    assert placed.values.shape == (6, 3, size, size)
    assert (placed.stride, placed.start) == ((2, 2), (-2 * depth, -2 * depth))
    assert np.array_equal(decoding.filters(network.graph, "c", "nearest"), placed.values)
    # Far from the borders, where zeros of the padding come in.
    top, left = 4 * 2 - 2 * depth, 3 * 2 - 2 * depth
    seen = x[:, :, top : top + size, left : left + size]
    expected = np.tensordot(seen, placed.values, ([1, 2, 3], [1, 2, 3]))
    found = network.run({"data": x})[:, :, 4, 3]
    assert np.allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "f.prototxt"
    path.write_text(HEAD + conv("a/1", "data", 4, 3) + pool("p", "a/1") + conv("c2", "p", 6, 3))
    return path


def test_the_command_writes_a_sheet_and_the_numbers(zoo, net, tmp_path) -> None:
    np.savez(tmp_path / "io.npz", **{"in.data": np.ones((1, 3, 24, 20), np.float32)})
    command = ["filters", net, "--layer", "c2", "--unpool", "bilinear", "--seed", 2, "-o", "out"]
    found = zoo(*command, "--check", "io.npz", "--json").json
    assert found["shape"] == [6, 3, 8, 8] and 0 <= found["error"] <= 1
    graph = converters.load_graph(net, seed=2)
    with np.load(tmp_path / "out" / "c2.npz") as file:
        assert np.array_equal(file["filters"], decoding.filters(graph, "c2", "bilinear"))
    sheet = cv2.imread(str(tmp_path / "out" / "c2.png"))
    assert sheet.shape == (12 + 2 * (80 + 30), 2 * 12 - 12 + 3 * (80 + 12), 3)
    beneath = sheet[12 + 80 + 6 : 12 + 80 + 24]  # the numbers of the first row, each another
    numbers = [beneath[:, left : left + 30] for left in (12, 104, 196)]
    assert all((number < 200).any() for number in numbers)
    assert len({number.tobytes() for number in numbers}) == 3
    assert zoo("filters", net, "--layer", "a/1").status == 0
    assert (tmp_path / "filters" / "a_1.png").is_file()


def test_a_layer_without_filters(zoo, net, tmp_path) -> None:
    run = zoo("filters", net, "--layer", "p", "-o", "out")
    assert run.refusal == "f: no layer 'p' has filters; these have: a/1, c2"
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_decoded_is_named() -> None:
    graph = built(
        conv("c1", "data", 4, 3)
        + 'layer { name: "odd" type: "Eltwise" bottom: "c1" bottom: "c1" top: "odd" '
        "eltwise_param { operation: PROD } }\n" + conv("c2", "odd", 2, 3)
    )
    with pytest.raises(converters.ConversionError, match=r"'odd' \(Eltwise\): cannot be decoded"):
        decoding.filters(graph, "c2")
    strided = conv("a", "data", 4, 3, "stride: 2") + conv("b", "data", 4, 3) + pool("p", "b")
    graph = built(
        strided + conv("b2", "p", 2, 1) + joined("cat", "a", "b2") + conv("c", "cat", 2, 1)
    )
    assert decoding.filters(graph, "c").shape == (2, 3, 4, 4)  # of one stride after all
    wide = conv("b", "data", 4, 0).replace("kernel_size: 0", "kernel_h: 14 kernel_w: 12")
    both = conv("a", "data", 4, 4, "stride: 2") + wide + joined("cat", "a", "b")
    graph = built(both + conv("c", "cat", 2, 1))
    with pytest.raises(converters.ConversionError, match="its branches have different strides"):
        decoding.filters(graph, "c")


def test_the_papers_check_on_lenet(shared: Path) -> None:
    """Published for their LeNet, bicubic: layer 3 0.002, layer 5 0.012, layer 7 0.078."""
    from zoo.reversed import networks

    folder = shared / "caffe" / "trained" / "lenet"
    network = networks.read(folder / "net.prototxt", folder / "net.caffemodel", None)
    feeds = networks.read_feeds(network, folder / "io.npz")
    errors = []
    for layer in ("conv2", "ip1", "ip2"):
        decoded = decoding.filters(network.graph, layer, "bicubic")
        errors.append(decoding.agreement(network, layer, decoded, feeds))
    assert errors == sorted(errors)
    assert errors[0] < 0.004 and errors[1] < 0.04 and errors[2] < 0.15


@pytest.mark.parametrize("layer", ["fire3/conv1x1_1", "fire4/conv3x3_2"])
def test_fire_modules_of_a_trained_network_decode_to_the_gradient(shared: Path, layer: str) -> None:
    """Between its poolings SqueezeNet is linear but for ReLUs, which decoding passes over."""
    import torch

    folder = shared / "caffe" / "trained" / "squeezenet"
    graph = converters.convert(
        folder / "net.prototxt",
        folder / "net.caffemodel",
        shapes={"data": (1, 3, 99, 99)},
        outputs=["pool4"],
    ).graph
    pooled = graph.value("pool1")
    first = next(n for n, node in enumerate(graph.nodes) if pooled in node.outputs)
    graph.nodes, graph.inputs, pooled.producer = graph.nodes[first + 1 :], [pooled], None
    decoded = decoding.filters(graph, layer)
    graph.outputs = [decoding.find_layer(graph, layer).outputs[0]]
    network = converters.to_torch(graph.without_dead_nodes())
    for module in network.modules():
        for name, child in module.named_children():
            if type(child).__name__ == "ReLU":
                setattr(module, name, torch.nn.Identity())
    x = torch.zeros(tuple(pooled.shape), requires_grad=True)
    found = next(iter(network(x).values()))
    half, middle = decoded.shape[2] // 2, found.shape[2] // 2
    for number in range(0, len(decoded), 37):
        (gradient,) = torch.autograd.grad(found[0, number, middle, middle], x, retain_graph=True)
        seen = slice(middle - half, middle + half + 1)
        expected = gradient[0, :, seen, seen].numpy()
        assert float(gradient.abs().sum()) == pytest.approx(np.abs(expected).sum(), rel=1e-5)
        assert np.allclose(decoded[number], expected, atol=1e-5 * np.abs(expected).max())
