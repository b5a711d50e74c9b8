"""`zoo visualize`: pictures and raw values of reversed networks."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import converters
import runtime
from zoo.reversed import visualization as vis

NET = """
name: "tiny"
input: "data"
input_shape { dim: 1 dim: 3 dim: 16 dim: 12 }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "c2" type: "Convolution" bottom: "p1" top: "c2"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "t" type: "TanH" bottom: "c2" top: "t" }
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A small network, and an image of another size beside it."""
    (tmp_path / "tiny.prototxt").write_text(NET)
    image = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    runtime.write_png(tmp_path / "image.png", image)
    return tmp_path / "tiny.prototxt"


def gradient(net: Path, x: np.ndarray, place: tuple[int, ...]) -> np.ndarray:
    import torch

    graph = converters.load_graph(net, outputs=["c2"], seed=4)
    image = torch.from_numpy(x).requires_grad_()
    converters.to_torch(graph).eval()(image)["c2"][place].backward()
    return image.grad.numpy()


def test_the_raw_values_are_the_gradient_of_the_neuron(zoo, net, tmp_path) -> None:
    x = np.random.default_rng(1).normal(size=(1, 3, 16, 12)).astype(np.float32)
    np.savez(tmp_path / "io.npz", **{"in.data": x})
    command = ["visualize", net, "io.npz", "--blob", "c2", "--seed", 4, "--method", "salinet"]
    found = zoo(*command, "--neuron", "2,1,3", "-o", "out", "--json").json
    assert found["neurons"] == ["2,1,3"] and len(found["methods"]) == 1
    values = np.load(tmp_path / "out" / "salinet.npy")
    expected = gradient(net, x, (0, 2, 1, 3))
    assert values.shape == (1, 3, 16, 12) and expected.any()
    assert np.abs(values - expected).max() <= 1e-5 * np.abs(expected).max()


def cells(path: Path, height: int, width: int) -> list[np.ndarray]:
    """The pictures of the first row of a sheet, each of that size."""
    from runtime.pictures import GAP, MARGIN

    sheet = cv2.imread(str(path))
    count = (sheet.shape[1] - 2 * MARGIN + GAP) // (width + GAP)
    lefts = [MARGIN + i * (width + GAP) for i in range(count)]
    return [sheet[MARGIN : MARGIN + height, left : left + width] for left in lefts]


def large(picture: np.ndarray, factor: int) -> np.ndarray:
    return picture.repeat(factor, 0).repeat(factor, 1)


def test_the_picture_stands_beside_the_image(zoo, net, tmp_path) -> None:
    """The neuron sees 8x8 pixels of 16x12: framed in both, and stretched beside."""
    x = np.random.default_rng(1).normal(size=(1, 3, 16, 12)).astype(np.float32)
    np.savez(tmp_path / "io.npz", **{"in.data": x})
    command = ["visualize", net, "io.npz", "--blob", "c2", "--neuron", "2,2,1"]
    assert zoo(*command).status == 0
    values = np.load(tmp_path / "visualizations" / "desalinet.npy")[0]
    # c2 at 2,1: p1 rows 2 to 4, columns 1 to 3; c1 rows 4 to 9; pixels 3 to 10, 1 to 8.
    field = vis.Field(slice(3, 11), slice(1, 9))
    found = cells(tmp_path / "visualizations" / "desalinet.png", 256, 192)
    assert len(found) == 4
    seen, shown = vis.as_seen(x[0]), vis.display(values, field)
    for cell, whole in zip(found[:2], (seen, shown), strict=True):
        frame = (cell != large(whole, 16)).any(axis=2)
        assert (cell[frame] == vis.FRAME).all()
        rows, columns = np.nonzero(frame)
        assert (rows.min(), rows.max()) == (3 * 16 - 3, 11 * 16 + 2)
        assert (columns.min(), columns.max()) == (1 * 16 - 3, 9 * 16 + 2)
    for cell, whole in zip(found[2:], (seen, shown), strict=True):
        assert np.array_equal(cell[32:-32], large(whole[3:11, 1:9], 24))
    # Contrast is that of what the neuron sees; elsewhere nothing is.
    assert shown.min() < 10 and shown.max() > 245
    outside = values.copy()
    outside[:, 3:11, 1:9] = 0
    assert not outside.any()


def test_what_sees_most_of_the_image_is_not_framed(zoo, net, tmp_path) -> None:
    command = ["visualize", net, "image.png", "--blob", "c2", "--mean", "0", "-o", "out"]
    assert zoo(*command, "--neuron", "random").status == 0
    found = cells(tmp_path / "out" / "desalinet.png", 256, 192)
    values = np.load(tmp_path / "out" / "desalinet.npy")[0]
    assert len(found) == 2 and np.array_equal(found[1], large(vis.display(values), 16))


def test_all_gives_eight_and_a_sheet(zoo, net, tmp_path) -> None:
    command = ["visualize", net, "image.png", "--blob", "c2", "--mean", "1,2,3"]
    found = zoo(*command, "--method", "all", "-o", "out", "--json").json
    names = {m["method"] for m in found["methods"]}
    assert len(names) == 8 and {"deconvnet", "salinet", "desalinet"} < names
    arrays = [np.load(tmp_path / "out" / f"{name}.npy") for name in names]
    assert len({a.tobytes() for a in arrays}) == 8
    sheet = cv2.imread(str(tmp_path / "out" / "all.png"))
    assert sheet.shape[0] > 2 * 256 and sheet.shape[1] > 5 * 192


def test_the_most_active_neuron_of_each_image(zoo, net, tmp_path) -> None:
    x = np.random.default_rng(1).normal(size=(3, 3, 16, 12)).astype(np.float32)
    np.savez(tmp_path / "io.npz", **{"in.data": x})
    found = zoo("visualize", net, "io.npz", "--blob", "c2", "-o", "out", "--json").json
    graph = converters.load_graph(net, outputs=["c2"])
    model = runtime.load(converters.to_onnx(graph).SerializeToString(), "cpu")
    blob = model.run({"data": x})["c2"]
    for values, place in zip(blob, found["neurons"], strict=True):
        assert values[tuple(map(int, place.split(",")))] == values.max()
    assert np.load(tmp_path / "out" / "desalinet.npy").shape == x.shape
    assert len(cells(tmp_path / "out" / "desalinet.png", 256, 192)) == 8  # two images in a row


def test_a_mixture_is_drawn_by_the_seed(zoo, net, tmp_path) -> None:
    command = ["visualize", net, "image.png", "--blob", "p1", "--neuron", "random", "--mean", "0"]
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert zoo(*command, "--seed", seed, "-o", folder).status == 0
    a, b, c = ((tmp_path / n / "desalinet.npy").read_bytes() for n in "abc")
    assert a == b != c
    p, _ = vis.projection(np.zeros((2, 3, 4, 5), np.float32), "random", 0)
    assert p.min() >= 0 and p.max() <= 1 and p.shape == (2, 3, 4, 5)


@pytest.mark.parametrize("target", ["cpu", "cuda", "portable"])
def test_the_reversed_network_as_a_file(zoo, net, tmp_path, target) -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 16, 12)).astype(np.float32)
    np.savez(tmp_path / "io.npz", **{"in.data": x})
    command = ["visualize", net, "io.npz", "--blob", "c2", "--method", "salinet", "-o", "out"]
    command += ["--shape", "data=Nx3x16x12", "--neuron", "1,2,3", "--target", target]
    found = zoo(*command, "--onnx", "--stored", "--json").json
    names = [Path(path).name for path in found["models"]]
    assert names == ["salinet.onnx", "salinet.stored.onnx", "salinet.bottleneck.onnx"]
    whole, stored, bottleneck = (runtime.load(tmp_path / "out" / n, "cpu") for n in names)
    expected = np.load(tmp_path / "out" / "salinet.npy")
    p = np.zeros((2, 5, 6, 4), np.float32)
    p[:, 1, 2, 3] = 1
    got = whole.run({"data": x, "projection": p})["visualisation"]
    kept = bottleneck.run({"data": x})
    also = stored.run({**kept, "projection": p})["visualisation"]
    for values in (got, also):
        assert np.abs(values - expected).max() <= 1e-5 * np.abs(expected).max()
    assert whole.metadata["zoo.reversed"] == "salinet" and whole.metadata["zoo.blob"] == "c2"


def test_the_other_sheets(zoo, net, tmp_path) -> None:
    command = ["visualize", net, "image.png", "--blob", "c2", "--mean", "0", "-o", "out"]
    found = zoo(*command, "--sheet", "selectivity", "--sheet", "fourier", "--json").json
    assert [Path(p).name for p in found["sheets"]] == ["selectivity.png", "fourier.png"]
    tall, wide = (cv2.imread(path).shape for path in found["sheets"])
    assert tall[0] > 4 * 256 and wide[1] > 5 * 192


def test_a_drawn_magnitude_keeps_the_phase() -> None:
    image = np.random.default_rng(0).normal(size=(3, 16, 13))
    other = vis.random_magnitude(image, 1)
    a, b = (np.fft.rfft2(x)[:, 1:7, 1:6] for x in (image, other))
    assert np.allclose(np.angle(a), np.angle(b), atol=1e-3)
    assert not np.allclose(np.abs(a), np.abs(b), rtol=0.1)


def test_random_weights_keep_the_deviation(zoo, net, tmp_path) -> None:
    from zoo.reversed import networks

    graph = converters.load_graph(net, outputs=["c2"], seed=3)
    drawn = networks.drawn(graph, 5)
    for before, after in zip(graph.nodes, drawn.nodes, strict=True):
        for a, b in zip(before.blobs, after.blobs, strict=True):
            assert not np.array_equal(a, b) or not a.any()
            assert abs(a.std() - b.std()) < 0.3 * a.std() + 1e-9
    command = ["visualize", net, "image.png", "--blob", "c2", "--mean", "0", "-o", "out"]
    assert zoo(*command).status == zoo(*command, "--random-weights").status == 0
    plain, control = (np.load(tmp_path / "out" / f"desalinet{s}.npy") for s in ("", "-random"))
    assert not np.array_equal(plain, control)


def test_the_display_mapping() -> None:
    values = np.linspace(-1, 1, 3 * 40 * 50).reshape(3, 40, 50)
    shown = vis.display(values)
    low = np.quantile(values, 0.005)
    at = shown.transpose(2, 0, 1)[np.abs(values - low) < 1e-3]
    assert np.all(np.abs(at / 255 - 0.01) < 0.004)
    middle = vis.display(np.concatenate([values, np.zeros((3, 1, 50))], 1))[-1]
    assert np.all(np.abs(middle.astype(int) - 128) <= 1)
    assert vis.display(np.zeros((1, 4, 4))).shape == (4, 4, 3)
    assert vis.display(np.abs(values)).max() > 250


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--blob", "t"], "tiny.prototxt:12:1: layer 't' (TanH): cannot be reversed"),
        (["--blob", "c3"], "c3"),
        (["--blob", "c2", "--neuron", "9,0,0"], "--neuron 9,0,0: not in the blob, which is 5x6x4"),
    ],
)
def test_refusals(zoo, net, tmp_path, extra, message) -> None:
    run = zoo(
        "visualize", net, "image.png", "--mean", "0", *extra, "-o", "out", "--provider", "cpu"
    )
    assert message in run.refusal
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("channels", [1, 3])
def test_how_an_image_is_fed(tmp_path, channels) -> None:
    """(pixels - mean) x scale, as the definition's transform_param has it, unless --mean says."""
    from zoo.reversed import networks

    text = (
        'layer { name: "data" type: "ImageData" top: "data" top: "label" '
        "transform_param { scale: 0.5 mean_value: 10 } image_data_param { source: 'x' } }\n"
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
        "convolution_param { num_output: 2 kernel_size: 3 } }"
    )
    (tmp_path / "net.prototxt").write_text(text)
    shape = {"data": (1, channels, 6, 8)}
    network = networks.read(tmp_path / "net.prototxt", None, "c", shapes=shape)
    image = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    planes = image.transpose(2, 0, 1).astype(np.float32)
    if channels == 1:
        planes = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[None].astype(np.float32)
    for mean, number in ((None, 10), ("30", 30)):
        fed = networks.image_feeds(network, image, mean)["data"]
        assert fed.shape == (1, channels, 6, 8) and fed.dtype == np.float32
        assert np.allclose(fed[0], (planes - number) * 0.5)


def test_a_mean_of_other_channels(zoo, net, tmp_path) -> None:
    text = NET.replace("dim: 3 ", "dim: 1 ")
    (tmp_path / "grey.prototxt").write_text(text)
    command = ["visualize", "grey.prototxt", "image.png", "--blob", "c2", "-o", "out"]
    assert "mean 1,2,3: give 1 numbers" in zoo(*command, "--mean", "1,2,3").refusal
    assert zoo(*command, "--mean", "128").status == 0


def test_an_npz_without_the_input(zoo, net, tmp_path) -> None:
    np.savez(tmp_path / "io.npz", data=np.zeros(3))
    run = zoo("visualize", net, "io.npz", "--blob", "c2", "-o", "out")
    assert "has no array 'in.data'" in run.refusal


def test_a_neuron_that_is_no_place(zoo, net) -> None:
    run = zoo("visualize", net, "image.png", "--blob", "c2", "--neuron", "best", "-o", "out")
    assert run.status == 2 and "is not max, random or C,H,W" in run.err


def test_digits_by_a_network_that_others_trained(zoo, shared, tmp_path) -> None:
    """The neuron of a digit's own class answers to its strokes: light where the digit is."""
    lenet = shared / "caffe" / "trained" / "lenet"
    command = ["visualize", lenet / "net.prototxt", lenet / "io.npz", "--blob", "ip2"]
    run = zoo(*command, "--weights", lenet / "net.caffemodel", "--method", "all", "-o", "out")
    assert run.status == 0, run.err
    with np.load(lenet / "io.npz") as io:
        digits = io["in.data"]
    values = np.load(tmp_path / "out" / "salinet.npy")
    for digit, one in zip(digits, values, strict=True):
        assert one[digit > 0.5].mean() > one[digit == 0].mean()


def test_a_broken_npz_is_refused_in_one_line(zoo, net, tmp_path):
    (tmp_path / "io.npz").write_bytes(b"PK\3\4garbage")
    command = ["visualize", net, "io.npz", "--blob", "c2", "-o", "out"]
    assert zoo(*command).refusal.startswith("io.npz: not an .npz file of arrays (")
    (tmp_path / "io.npz").unlink()
    assert zoo(*command).refusal == "io.npz: no such file"
    assert not (tmp_path / "out").exists()
