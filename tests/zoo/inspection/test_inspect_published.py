"""`zoo inspect` of published networks, against the figures that are known of them."""

import numpy as np
import pytest

import converters.blobs
from tests.converters.families import classifiers, others, residual
from tests.converters.families.text import data, judged, lmdb, softmax


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that nobody looks at need no random numbers."""
    monkeypatch.setattr(
        converters.blobs, "fill", lambda filler, shape, *_, **__: np.zeros(shape, np.float32)
    )


# Parameters of the networks as published (torchvision's where it has them) and multiply-adds.
# BatchNorm's running statistics are blobs in Caffe: 2 a channel, 1 a layer.
PUBLISHED = {
    "AlexNet": (classifiers.alexnet, 227, 60_965_224, 0, 724_406_816),
    "CaffeNet": (lambda: classifiers.alexnet(norm_first=False), 227, 60_965_224, 0, 724_406_816),
    "VGG-16": (classifiers.vgg16, 224, 138_357_544, 0, 15_470_264_320),
    "NIN": (classifiers.nin, 224, 7_595_176, 0, None),
    "SqueezeNet 1.1": (classifiers.squeezenet, 227, 1_235_496, 0, 387_747_520),
    "GoogLeNet": (classifiers.googlenet, 224, 6_998_552, 0, 1_582_671_872),
    "MobileNet": (classifiers.mobilenet, 224, 4_231_976, 2 * 10_944 + 27, 568_740_352),
    "MobileNet by a layer of its own": (
        lambda: classifiers.mobilenet(depthwise="ConvolutionDepthwise"),
        224, 4_231_976, 2 * 10_944 + 27, 568_740_352,
    ),
    "MobileNet v2": (classifiers.mobilenet2, 224, 3_504_872, 2 * 17_056 + 52, 300_774_272),
    "ResNet-50": (residual.resnet, 224, 25_557_032, 2 * 26_560 + 53, 3_857_973_248),
    "ResNet-101": (lambda: residual.resnet((3, 4, 23, 3)), 224, 44_549_160, 2 * 52_672 + 104, None),
    "ResNeXt-50": (
        lambda: residual.resnet(groups=32, base=128),
        224, 25_028_904, 2 * 34_112 + 53, 4_230_479_872,
    ),
    "SE-ResNet-50": (
        lambda: residual.resnet(gate="axpy"), 224, 28_088_024, 2 * 26_560 + 53, 3_860_488_192,
    ),
    "DenseNet-121": (residual.densenet, 224, 7_978_856, 2 * 41_824 + 121, 2_834_161_664),
    "DPN-92": (residual.dpn, 224, 37_668_392, 125_312, 6_501_684_224),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_macs(zoo, tmp_path, name):
    body, size, parameters, statistics, macs = PUBLISHED[name]
    text, scores = body()
    deploy = data(shape=(10, 3, size, size)) + text + softmax("prob", scores)
    (tmp_path / "deploy.prototxt").write_text(deploy)
    (tmp_path / "train_val.prototxt").write_text(lmdb(size) + text + judged(scores))
    found = zoo("inspect", "deploy.prototxt", "--json").json
    assert found["parameters"] == parameters + statistics
    assert macs is None or found["macs"] == macs
    assert found["parameter_bytes"] == 4 * found["parameters"]
    for phase in ("test", "train"):
        same = zoo("inspect", "train_val.prototxt", "--phase", phase, "--json").json
        for key in ("parameters", "macs"):
            assert same[key] == found[key]
        assert same["inputs"] == {"data": [1, 3, size, size]}


def test_memory_is_what_caffe_says(zoo, tmp_path):
    """Caffe's log of CaffeNet's deploy.prototxt: "Memory required for data: 62497920", in a batch
    of 10 and without its input, which its older syntax does not count.
    """
    text, scores = classifiers.alexnet(norm_first=False)
    text = data(shape=(10, 3, 227, 227)) + text + softmax("prob", scores)
    (tmp_path / "caffenet.prototxt").write_text(text)
    found = zoo("inspect", "caffenet.prototxt", "--json").json
    image, conv1, pool1 = 3 * 227 * 227, 96 * 55 * 55, 96 * 27 * 27
    assert 10 * (found["activation_bytes"] - 4 * image) == 62_497_920
    # At its widest there are conv1 and what is pooled of it.
    assert found["peak_bytes"] == 4 * max(image + conv1, conv1 + pool1)


def test_shared_weights_count_once(zoo, tmp_path):
    """Both columns of a siamese network; its multiply-adds are of both."""
    one, two = others.siamese(), others.siamese(training=True)
    (tmp_path / "one.prototxt").write_text(data(shape=(1, 1, 28, 28)) + one)
    pair = data("pair_data", (1, 2, 28, 28)) + data("sim", (1,))
    (tmp_path / "two.prototxt").write_text(pair + two)
    single, both = (zoo("inspect", f"{name}.prototxt", "--json").json for name in ("one", "two"))
    expected = (25 + 1) * 6 + (25 * 6 + 1) * 8 + (128 + 1) * 16 + (16 + 1) * 2
    assert single["parameters"] == both["parameters"] == expected
    macs = 24 * 24 * 25 * 6 + 8 * 8 * 25 * 6 * 8 + 128 * 16 + 16 * 2
    assert (single["macs"], both["macs"]) == (macs, 2 * macs)


def test_recurrent_layers_multiply_at_each_time(zoo, tmp_path):
    """4 gates of 6 units for 4 words in 2 sentences; the image's 9 features come in once."""
    text = data("cont_sentence", (4, 2)) + data("input_sentence", (4, 2))
    text += data("image_features", (2, 9)) + others.lrcn()
    (tmp_path / "lrcn.prototxt").write_text(text)
    found = zoo("inspect", "lrcn.prototxt", "--json").json
    rows = {row["layer"]: row["macs"] for row in found["layers"]}
    assert rows["lstm1"] == 4 * 2 * (24 * 6 + 24 * 6)
    assert rows["lstm2"] == 4 * 2 * (24 * 6 + 24 * 6) + 2 * 24 * 9
    assert rows["predict"] == 4 * 2 * 20 * 6
    assert rows["embedding"] == 0
