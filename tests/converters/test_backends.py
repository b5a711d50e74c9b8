"""What the two translations look like: ONNX by target, PyTorch to read and to train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import converters
from converters import ConversionError
from converters.shapes import convolved, deconvolved, pooled
from tests.converters.checker import close

TUNNEL = Path(__file__).parents[1] / "goldens" / "nets" / "tunnel_v1_4_6_8"


@pytest.fixture(scope="module")
def graph() -> converters.Graph:
    return converters.load_graph(TUNNEL / "net.prototxt", TUNNEL / "net.caffemodel")


@pytest.mark.parametrize(
    ("target", "has", "lacks"),
    [
        ("cpu", {"MaxUnpool", "MaxPool"}, {"ScatterElements"}),
        ("cuda", {"ScatterElements", "MaxPool"}, {"MaxUnpool"}),
        ("portable", {"Where", "Equal"}, {"MaxUnpool", "ScatterElements", "ScatterND"}),
    ],
)
def test_targets(graph: converters.Graph, target: str, has: set[str], lacks: set[str]) -> None:
    model = converters.to_onnx(graph, target=target)
    ops = {node.op_type for node in model.graph.node}
    assert has <= ops and not lacks & ops
    if target != "cpu":  # of several maxima, other providers' indices may be another one's
        pools = [n for n in model.graph.node if n.op_type == "MaxPool"]
        assert pools and all(len(n.output) == 1 for n in pools)


def test_versions_are_pinned(graph: converters.Graph) -> None:
    model = converters.to_onnx(graph, metadata={"a": "b"})
    assert (model.ir_version, model.opset_import[0].version) == (8, 18)
    assert [(p.key, p.value) for p in model.metadata_props] == [("a", "b")]
    for opset in (13, 19, 21):
        onnx.checker.check_model(converters.to_onnx(graph, opset=opset), full_check=True)
    with pytest.raises(ConversionError, match="opset 9 is not supported; one of 13 to 2"):
        converters.to_onnx(graph, opset=9)
    with pytest.raises(ConversionError, match="unknown target 'tpu'"):
        converters.to_onnx(graph, target="tpu")


def test_names_are_the_prototxts(graph: converters.Graph) -> None:
    model = converters.to_onnx(graph)
    names = {t.name for t in model.graph.initializer}
    assert {"conv1_1.weight", "conv1_1.bias", "deconv1_2.weight"} <= names
    assert [o.name for o in model.graph.output] == [
        "pool1_mask" if i == 1 else n
        for i, n in enumerate(["deconv1_2", "pool1_mask", "pool2_mask", "pool3_mask"])
    ]
    assert len({n.name for n in model.graph.node}) == len(model.graph.node)


def test_masks_number_the_plane_not_the_tensor(graph: converters.Graph) -> None:
    import onnxruntime as ort

    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    session = ort.InferenceSession(
        converters.to_onnx(graph).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (mask,) = session.run(["pool1_mask"], {"data": x})
    assert mask.min() >= 0 and mask.max() < 32 * 32
    rows, columns = np.divmod(mask, 32)
    assert (rows // 2 == np.arange(16)[:, None]).all()
    assert (columns // 2 == np.arange(16)).all()


def test_the_module_reads_as_the_network(graph: converters.Graph) -> None:
    module = converters.to_torch(graph)
    code = module.code
    assert "conv1_1 = self.relu_conv1_1(" in code
    assert "unpool1 = self.unpool1(deconv2_2, pool1_mask" in code
    keys = set(module.state_dict())
    assert {"conv1_1.weight", "conv1_1.bias", "deconv1_2.weight"} <= keys
    assert all(key.split(".")[-1] in ("weight", "bias") for key in keys)


def test_layers_may_be_called_by_words_of_python() -> None:
    """`pass`, as in YOLOv2's passthrough; two that share their weights among them."""
    import torch

    import prototxt

    shape = "dim: 1 dim: 2 dim: 4 dim: 4"
    text = f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}'
    for name, bottom in (("pass", "x"), ("in.from", "pass")):
        text += f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
        text += 'param { name: "w" } convolution_param { num_output: 2 kernel_size: 1 '
        text += 'bias_term: false weight_filler { type: "xavier" } } }'
    module = converters.to_torch(converters.build_graph(prototxt.parse_net(text, "n").select()))
    assert set(module.state_dict()) == {"pass_.weight", "in_.from_.weight"}
    assert len(list(module.parameters())) == 1
    assert module(torch.ones(1, 2, 4, 4))["in.from"].shape == (1, 2, 4, 4)


def test_the_module_trains(graph: converters.Graph) -> None:
    import torch

    torch.manual_seed(0)
    module = converters.to_torch(graph)
    x = torch.randn(2, 3, 32, 32) + 2
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = (module(x)["deconv1_2"] - x).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_every_source_of_an_overlapping_unpool_gets_its_targets_gradient() -> None:
    """unpooling_layer.cpp copies the gradient to each source, also where another one won."""
    import torch

    from converters.layers.torch.pooling import MaxUnpool

    x = torch.tensor([[[[1.0, 2.0, 3.0]]]], requires_grad=True)
    mask = torch.tensor([[[[4, 1, 4]]]])
    y = MaxUnpool((2, 3), False, (1, 1))(x, mask)
    assert y.flatten().tolist() == [0, 2, 0, 0, 3, 0]
    (y * torch.arange(6.0).reshape(2, 3)).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [4, 1, 4]


def test_unpooling_gives_the_same_in_either_layout() -> None:
    """Training is in channels last, all else in Caffe's order."""
    import torch
    from torch.nn import functional as F

    from converters.layers.torch.pooling import MaxUnpool

    source = torch.randn(2, 5, 6, 8, generator=torch.Generator().manual_seed(3))
    pooled, mask = F.max_pool2d(source, 2, return_indices=True)
    weight = torch.arange(source.numel()).reshape(source.shape).float()
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = pooled.clone(memory_format=layout).requires_grad_()
        for switches in (mask, mask.clone(memory_format=torch.channels_last)):
            y = MaxUnpool(None, True, (2, 2))(x, switches)
            (gradient,) = torch.autograd.grad((y * weight).sum(), x)
            found.append((y.detach(), gradient))
    expected = F.max_unpool2d(pooled, mask, [2, 2])
    for y, gradient in found:
        assert torch.equal(y, expected)
        assert torch.equal(gradient, weight.flatten(2).gather(2, mask.flatten(2)).view_as(pooled))


def slow_pooled(size: int, kernel: int, pad: int, stride: int) -> int:
    """pooling_layer.cpp, word for word."""
    out = int(np.ceil((size + 2 * pad - kernel) / stride)) + 1
    if pad:
        if (out - 1) * stride >= size + pad:
            out -= 1
        assert (out - 1) * stride < size + pad
    return out


def test_shape_arithmetic_is_caffes() -> None:
    for size in range(1, 20):
        for kernel in range(1, 6):
            for pad in range(kernel):
                for stride in range(1, 5):
                    if size + 2 * pad < kernel:
                        continue
                    assert pooled(size, kernel, pad, stride) == slow_pooled(
                        size, kernel, pad, stride
                    )
                    low = convolved(size, kernel, pad, stride)
                    assert low == (size + 2 * pad - kernel) // stride + 1
                    back = deconvolved(low, kernel, pad, stride)
                    assert isinstance(back, int) and size - stride < back <= size


@pytest.mark.parametrize("target", converters.FORMS)
@pytest.mark.parametrize("method", ["AVE", "MAX"])
def test_padding_of_one_axis_clips_both(method: str, target: str) -> None:
    """9x7, kernel 2x3, stride 3x2, pad 0x1: Caffe has 3x4, not 4x4 (pooling_layer.cpp:92-105)."""
    import torch

    import prototxt
    from tests.converters.checker import run_onnx

    graph = converters.build_graph(
        prototxt.parse_net(
            'layer { name: "x" type: "Input" top: "x" input_param { '
            "shape { dim: 1 dim: 1 dim: 9 dim: 7 } } }"
            f'layer {{ name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param {{ '
            f"pool: {method} kernel_h: 2 kernel_w: 3 stride_h: 3 stride_w: 2 pad_w: 1 }} }}",
            "n",
        ).select()
    )
    x = np.random.default_rng(0).normal(size=(1, 1, 9, 7)).astype(np.float32)
    wanted = np.empty((3, 4), np.float32)
    for i, j in np.ndindex(3, 4):
        window = x[0, 0, 3 * i : 3 * i + 2, max(0, 2 * j - 1) : 2 * j + 2]
        area = 2 * (min(2 * j + 2, 7 + 1) - (2 * j - 1))
        wanted[i, j] = window.max() if method == "MAX" else window.sum() / area
    (found,) = run_onnx(converters.to_onnx(graph, target=target), {"x": x})
    rebuilt = converters.to_torch(graph)(torch.from_numpy(x))["p"].numpy()
    np.testing.assert_allclose(found[0, 0], wanted, rtol=1e-6)
    np.testing.assert_allclose(rebuilt[0, 0], wanted, rtol=1e-6)


OUTSIDE = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 5 dim: 6 } } }
layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 1 stride: 3 } }
layer { name: "a" type: "Pooling" bottom: "x" top: "a"
  pooling_param { pool: AVE kernel_size: 1 stride: 3 } }
"""


@pytest.mark.parametrize("target", converters.FORMS)
def test_windows_outside_the_image(target: str) -> None:
    """ceil((5-1)/3)+1 = 3 windows, the last at row 6: Caffe has it, and so do we, and say so."""
    import torch

    import prototxt
    from tests.converters.checker import run_onnx

    graph = converters.build_graph(prototxt.parse_net(OUTSIDE, "n").select())
    assert [note.split(":")[0:2] for note in graph.notes] == [["n", "3"], ["n", "4"]]
    x = np.arange(1, 31, dtype=np.float32).reshape(1, 1, 5, 6)
    low = np.finfo(np.float32).min
    top = np.array([[1, 4, low], [19, 22, low], [low, low, low]], np.float32)
    # Row 6 is one behind the plane (0 / -1), column 6 is at its end (0 / 0).
    mean = np.array([[1, 4, np.nan], [19, 22, np.nan], [0, 0, np.nan]], np.float32)
    found = run_onnx(converters.to_onnx(graph, target=target), {"x": x})
    rebuilt = converters.to_torch(graph)(torch.from_numpy(x))
    for pair in (found, [rebuilt["p"].numpy(), rebuilt["a"].numpy()]):
        assert np.array_equal(pair[0][0, 0], top)
        assert np.array_equal(pair[1][0, 0], mean, equal_nan=True)


def test_symbols_that_stay_the_same_stay_the_same() -> None:
    assert convolved("height", 3, 1, 1) == "height"
    assert deconvolved("height", 3, 1, 1) == "height"
    assert pooled(pooled("height", 2, 0, 2), 2, 0, 2) == "ceil(height/4)"


def tunnel_nets() -> list[str]:
    plain = ["8_8_8", "6_12_24", "16_16_16", "12_24_48", "64_64_64"]
    return [*plain, "16_16_16Pretrain", "12_24_48Pretrain"]


@pytest.mark.parametrize("name", tunnel_nets())
def test_the_authors_networks(shared: Path, name: str) -> None:
    """Seven trained networks against Caffe: the switches, the picture, the decoder alone."""
    from tests.converters.checker import run_onnx, run_torch

    folder = shared / "caffe" / "tunnel"
    with np.load(folder / "golden" / f"net{name}.npz") as stored:
        golden = {k: stored[k] for k in stored.files}
    graph = converters.fold(
        converters.load_graph(
            folder / "prototxt" / f"net{name.removesuffix('Pretrain')}.prototxt",
            folder / "caffemodel" / f"net{name}_iter_50000.caffemodel",
        )
    )
    names = [v.name for v in graph.outputs]
    assert names == ["deconv1_2", "pool1_mask", "pool2_mask", "pool3_mask"]
    _, decoder = converters.split(graph)
    masks = {v.name: golden[v.name].astype(np.int64) for v in decoder.inputs}
    first: list[np.ndarray] | None = None
    for target in (*converters.FORMS, "torch"):
        if target == "torch":
            found = run_torch(graph, {"data": golden["data"]})
            (alone,) = run_torch(decoder, masks)
        else:
            found = run_onnx(converters.to_onnx(graph, target=target), {"data": golden["data"]})
            (alone,) = run_onnx(converters.to_onnx(decoder, target=target), masks)
        same = [found[i] == golden[names[i]] for i in (1, 2, 3)]
        assert sum(s.sum() for s in same) >= 0.99999 * sum(s.size for s in same)
        difference = np.abs(found[0] - golden["deconv1_2"])
        for image in range(len(difference)):
            if all(s[image].all() for s in same):
                assert difference[image].max() <= 1e-2
        assert difference.mean() < 1e-2
        assert np.abs(alone - golden["deconv1_2"]).max() <= 1e-2
        if first is not None and target != "torch":
            for a, b, label in zip(first, found, names, strict=True):
                close(label, a, b)
        first = first or found
