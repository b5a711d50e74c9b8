"""Images, means, metrics and pictures."""

from __future__ import annotations

import math
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import prototxt
import runtime
from runtime import InferenceError

RED = np.full((4, 6, 3), (10, 20, 200), np.uint8)


def test_read_is_bgr(tmp_path: Path) -> None:
    runtime.write_png(tmp_path / "a.png", RED)
    assert np.array_equal(runtime.read_image(tmp_path / "a.png"), RED)


def test_resize_is_plain_bilinear() -> None:
    """Without antialiasing only the nearest pixels count: half of a step wide stripes alias."""
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, 1::4] = 200
    small = runtime.resize(stripes, 2, 2)
    assert small[0, :, 0].tolist() == [100, 100]
    assert runtime.resize(stripes, 8, 8) is stripes


def test_preprocess_and_back() -> None:
    mean = np.array([1, 2, 3], np.float32).reshape(3, 1, 1)
    blob = runtime.preprocess(RED, mean, (2, 3))
    assert blob.shape == (3, 2, 3) and blob.dtype == np.float32
    assert blob[:, 0, 0].tolist() == [9, 18, 197]
    assert np.array_equal(runtime.deprocess(blob, mean), RED[:2, :3])


def test_deprocess_rounds_and_clips() -> None:
    blob = np.array([-5, 3.6, 300], np.float32).reshape(3, 1, 1)
    assert runtime.deprocess(blob, np.zeros((3, 1, 1))).ravel().tolist() == [0, 4, 255]


def test_means(tmp_path: Path) -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    np.save(tmp_path / "m.npy", image)
    prototxt.write_binaryproto(tmp_path / "m.binaryproto", image)
    assert np.array_equal(runtime.read_mean(tmp_path / "m.npy"), image)
    assert np.array_equal(runtime.read_mean(tmp_path / "m.binaryproto"), image)
    assert runtime.read_mean("104,117,123").ravel().tolist() == [104, 117, 123]
    assert runtime.read_mean(None).ravel().tolist() == [0, 0, 0]


def test_bad_means(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((2, 2)))
    (tmp_path / "p.npy").write_bytes(b"junk")
    for spec, words in (
        ("1,2", "mean 1,2: give 3 numbers; as in 104,117,123"),
        (str(tmp_path / "m.npy"), f"{tmp_path / 'm.npy'}: the mean is 2x2, not 3xHxW"),
        (str(tmp_path / "p.npy"), f"{tmp_path / 'p.npy'}: not a plain .npy array (cut short)"),
        (str(tmp_path / "g.npy"), f"{tmp_path / 'g.npy'}: no such file"),
    ):
        with pytest.raises(InferenceError) as caught:
            runtime.read_mean(spec)
        assert str(caught.value) == words


def test_a_pickled_mean_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(InferenceError, match="not a plain"):
        runtime.read_mean(tmp_path / "m.npy")


def test_listing(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("z.JPEG", "b/a.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    names = [p.relative_to(tmp_path).as_posix() for p in runtime.list_images(tmp_path)]
    assert names == ["b/a.png", "z.JPEG"]
    with pytest.raises(InferenceError, match="no images in it"):
        (tmp_path / "empty").mkdir()
        runtime.list_images(tmp_path / "empty")
    with pytest.raises(InferenceError, match="no such file or folder"):
        runtime.list_images(tmp_path / "gone")


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff\xe0broken"])
def test_broken_images(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(InferenceError, match="not an image, or a broken one"):
        runtime.read_image(tmp_path / "a.jpg")


def test_samples_are_colour_photographs() -> None:
    samples = runtime.sample_images()
    assert {"astronaut", "chelsea", "coffee"} <= {name for name, _ in samples}
    assert all(image.ndim == 3 and image.std() > 20 for _, image in samples)


SHA256 = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
}
"""As scikit-image's own registry (skimage/data/_registry.py) has them."""


def test_samples_are_those_of_scikit_image() -> None:
    """Byte for byte, and their README tells of each."""
    folder = Path(runtime.__file__).parent / "samples"
    about = (folder / "README.md").read_text()
    files = [path for path in folder.iterdir() if path.name != "README.md"]
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in files} == SHA256
    assert all(f"| `{name}` |" in about for name in SHA256)
    assert [name for name, _ in runtime.sample_images()] == [Path(name).stem for name in SHA256]


def test_rmse() -> None:
    measure = runtime.RMSE()
    assert math.isnan(measure.value)
    zeros = np.zeros((1, 3, 2, 2), np.float32)
    measure.add(zeros + 255, zeros)
    measure.add(zeros, zeros)
    assert measure.value == pytest.approx(math.sqrt(0.5))
    assert measure.per_image == [1, 0]


def test_rmse_does_not_lose_small_errors() -> None:
    """A float32 sum would: 1e8 after 1e0 leaves nothing of it."""
    measure = runtime.RMSE()
    target = np.zeros((1, 1, 1000, 1000), np.float32)
    for _ in range(20):
        measure.add(target + np.float32(0.255), target)
    assert measure.value == pytest.approx(0.001, rel=1e-6)


@pytest.mark.parametrize(
    ("arch", "bits"), [((8, 8, 8), 1.75), ((6, 12, 24), 1.75), ((48, 96, 192), 14)]
)
def test_bits(arch: tuple[int, int, int], bits: float) -> None:
    assert runtime.bits_per_pixel(*arch) == bits


def test_side_by_side_shows_both() -> None:
    green = np.full((4, 6, 3), (10, 200, 20), np.uint8)
    sheet = runtime.side_by_side(RED, green, rmse=0.1, bits=1.75)
    colours = {tuple(int(v) for v in c) for c in sheet.reshape(-1, 3)}
    assert {(10, 20, 200), (10, 200, 20)} <= colours
    middle = sheet.shape[1] // 2
    assert (sheet[:, :middle] == (10, 20, 200)).all(2).any()
    assert (sheet[:, middle:] == (10, 200, 20)).all(2).any()
