"""`zoo segment`: foreground by a classifier's saliency."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import runtime
from zoo.reversed import networks
from zoo.reversed import segmentation as seg

NET = """
name: "judge"
input: "data"
input_shape { dim: 1 dim: 3 dim: 16 dim: 20 }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "i1" type: "InnerProduct" bottom: "p1" top: "i1" inner_product_param {
  num_output: 6 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.5 } } }
layer { name: "r2" type: "ReLU" bottom: "i1" top: "i1" }
layer { name: "i2" type: "InnerProduct" bottom: "i1" top: "i2" inner_product_param {
  num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "i2" top: "prob" }
"""


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    path = tmp_path / "judge.prototxt"
    path.write_text(NET)
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Two photographs of a bright ball on dark noise, and their masks."""
    rng = np.random.default_rng(0)
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for name, centre in (("a", (20, 30)), ("b", (28, 22))):
        rows, columns = np.indices((48, 56))
        ball = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 144
        image = rng.integers(0, 60, (48, 56, 3)).astype(np.uint8)
        image[ball] += 150
        runtime.write_png(tmp_path / "photos" / f"{name}.png", image)
        mask = np.repeat(ball[..., None].astype(np.uint8) * 255, 3, axis=2)
        runtime.write_png(tmp_path / "masks" / f"{name}.png", mask)
    return tmp_path / "photos"


def test_the_blob_before_the_softmax(judge: Path) -> None:
    assert seg.before_softmax(networks.read(judge, None, None).graph) == "i2"


def test_a_fully_convolutional_pass_slides_the_network(judge: Path) -> None:
    """Each value of its map is the plain network on a window of the image."""
    network = networks.read(judge, None, "i2", seed=3)
    wide = seg.Convolutional(network, networks.definition(judge), "i2").at((20, 26))
    assert wide.graph.outputs[0].shape == (1, 5, 3, 4)
    x = np.random.default_rng(0).normal(size=(1, 3, 20, 26)).astype(np.float32)
    found = wide.run({"data": x})
    conv = network.graph.nodes[0]
    # Inside the image a window sees its neighbours where its own convolution would pad.
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for i, j in np.ndindex(3, 4):
        window = padded[:, :, 2 * i : 2 * i + 18, 2 * j : 2 * j + 22]
        cut = network.graph.clone()
        node = cut.nodes[0]
        node.params = type(conv.params)(num_output=4, kernel_size=[3])
        cut.inputs[0].shape = (1, 3, 18, 22)
        expected = network.run({"data": window}, cut)
        assert np.allclose(found[:, :, i, j], expected, rtol=1e-5, atol=1e-6)


def test_at_the_networks_own_size_both_ways_agree(zoo, judge, scene, tmp_path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    image = runtime.read_image(scene / "a.png")
    runtime.write_png(small / "a.png", runtime.resize(image, 16, 20))
    command = ["segment", judge, small, "--mean", "104,117,123", "--method", "salinet"]
    assert zoo(*command, "-o", "wide").status == zoo(*command, "--plain", "-o", "plain").status == 0
    a, b = ((tmp_path / n / "a.png").read_bytes() for n in ("wide", "plain"))
    assert a == b


def test_saliency_is_the_greatest_gradient_over_colours(judge, scene) -> None:
    import torch

    import converters
    from converters.passes.reverse import METHODS

    network = networks.read(judge, None, "i2", seed=3)
    image = runtime.resize(runtime.read_image(scene / "a.png"), 16, 20)
    found = seg.saliency(network, "i2", METHODS["salinet"], image, "1,2,3")
    x = torch.from_numpy(networks.image_feeds(network, image, "1,2,3")["data"]).requires_grad_()
    converters.to_torch(network.graph).eval()(x)["i2"].max().backward()
    expected = x.grad.abs().amax((0, 1)).numpy()
    assert expected.any()
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5 * expected.max())


def test_grabcut_wins_the_ball_from_a_few_seeds(scene) -> None:
    image = runtime.read_image(scene / "a.png")
    truth = seg.read_mask(scene.parent / "masks" / "a.png", (48, 56))
    rows, columns = np.indices((48, 56))
    salient = np.exp(-((rows - 20) ** 2 + (columns - 30) ** 2) / 200).astype(np.float32)
    found = seg.foreground(image, salient)
    score = seg.Score()
    score.add(found, truth)
    assert score.iou > 0.9
    assert not seg.foreground(image, np.zeros((48, 56), np.float32)).any()


def test_islands_are_dropped_and_gaps_closed() -> None:
    mask = np.zeros((100, 120), bool)
    mask[10:40, 10:40] = mask[60:80, 60:80] = True  # 900 pixels, and 400: more than a fifth
    whole = mask.copy()
    mask[20, 12:38] = False  # a scratch
    mask[90:100, 100:110] = mask[5, 100] = True  # 100 pixels, and one
    assert np.array_equal(seg.without_islands(mask), whole)
    assert not seg.without_islands(np.zeros((9, 9), bool)).any()


def test_broken_images_are_left_out(zoo, judge, scene, tmp_path) -> None:
    """Of a folder the others are segmented, and scored, into a folder of their own."""
    (scene / "broken.png").write_bytes(b"none")
    (tmp_path / "masks" / "broken.png").write_bytes((tmp_path / "masks" / "a.png").read_bytes())
    command = ["segment", judge, "photos", "--masks", tmp_path / "masks", "--mean", "0", "--json"]
    run = zoo(*command)
    assert (len(run.json["images"]), run.json["skipped"], len(run.json["scores"])) == (2, 1, 2)
    assert run.err == "warning: photos/broken.png: left out: not an image, or a broken one\n"
    names = {f"{stem}{end}" for stem in "ab" for end in (".png", ".seen.png")}
    assert {path.name for path in (tmp_path / "segmentations").iterdir()} == names
    # The right answers are not overwritten.
    refused = zoo(*command, "-o", tmp_path / "masks")
    assert refused.status == 2 and "would overwrite its own input" in refused.err


def test_scores_beside_the_baseline(zoo, judge, scene, tmp_path) -> None:
    command = ["segment", judge, scene, "--masks", tmp_path / "masks", "--mean", "104,117,123"]
    result = zoo(*command, "-o", "out", "--json").json
    assert result["blob"] == "i2"
    assert [row["method"] for row in result["scores"]] == ["desalinet", "Gaussian blob"]
    unions, right = [], []
    for row in result["images"]:
        stem = Path(row["image"]).stem
        found = cv2.imread(row["mask"])[..., 0] > 0
        truth = cv2.imread(str(tmp_path / "masks" / f"{stem}.png"))[..., 0] > 0
        assert set(np.unique(cv2.imread(row["mask"]))) <= {0, 255}
        unions.append((found & truth).sum() / (found | truth).sum())
        right.append((found == truth).mean())
        assert (tmp_path / "out" / f"{stem}.seen.png").is_file()
    ours, blob = result["scores"]
    assert abs(ours["iou"] - np.mean(unions)) < 1e-9
    assert abs(ours["accuracy"] - np.mean(right)) < 1e-9
    assert blob["iou"] > 0.3  # the balls lie near the middle


def test_the_gaussian_lies_in_the_middle() -> None:
    blob = seg.gaussian((9, 13))
    assert blob.shape == (9, 13) and blob.argmax() == 4 * 13 + 6 and blob.max() == 1
    assert np.array_equal(blob, blob[::-1, ::-1])


def test_small_images_are_enlarged_for_the_network() -> None:
    image = np.zeros((30, 20, 3), np.uint8)
    assert seg.covering(image, (16, 20)) == (30, 20)
    assert seg.covering(image, (45, 20)) == (45, 30)


@pytest.mark.parametrize("missing", ["b.png", None])
def test_masks_that_do_not_fit(zoo, judge, scene, tmp_path, missing) -> None:
    masks = tmp_path / "masks"
    if missing:
        (masks / missing).unlink()
        message = "b.png: no such file"
    else:
        runtime.write_png(masks / "a.png", np.zeros((5, 6, 3), np.uint8))
        message = "a.png: is 5x6, its image 48x56"
    run = zoo("segment", judge, scene, "--masks", masks, "--mean", "0", "-o", "out")
    assert message in run.refusal
    assert not (tmp_path / "out").exists()


def test_a_flattening_network_needs_plain(zoo, tmp_path, scene) -> None:
    text = NET.replace(
        'layer { name: "i1"',
        'layer { name: "f" type: "Flatten" bottom: "p1" top: "f" }\nlayer { name: "i1"',
    ).replace('bottom: "p1" top: "i1"', 'bottom: "f" top: "i1"')
    (tmp_path / "flat.prototxt").write_text(text)
    command = ["segment", "flat.prototxt", scene, "--mean", "0", "-o", "out"]
    assert "(Flatten): stands in the way of a fully convolutional pass" in zoo(*command).refusal
    assert zoo(*command, "--plain").status == 0


def test_seeds_by_quantiles_of_the_saliency() -> None:
    salient = np.arange(100, dtype=np.float32).reshape(10, 10)
    mask = seg.Seeding(surely=0.9, never=0.2, likely=0.6).mask(salient).ravel()
    assert (mask[:20] == cv2.GC_BGD).all() and (mask[91:] == cv2.GC_FGD).all()
    assert (mask[21:59] == cv2.GC_PR_BGD).all() and (mask[61:89] == cv2.GC_PR_FGD).all()
    assert not (seg.Seeding().mask(salient) == cv2.GC_PR_FGD).any()


def test_smoothed_saliency_seeds_what_lies_around_it() -> None:
    salient = np.zeros((40, 40), np.float32)
    salient[20, 20] = 1
    plain = seg.Seeding(surely=0.95).mask(salient) == cv2.GC_FGD
    smooth = seg.Seeding(surely=0.95, smoothing=0.1).mask(salient) == cv2.GC_FGD
    assert plain.sum() == 1
    assert 60 <= smooth.sum() <= 81 and smooth[18:23, 18:23].all()
