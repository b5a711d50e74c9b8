"""JPEG and the other formats, as `zoo rate` asks them."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

import runtime
from zoo.paper import formats


@pytest.fixture
def photograph() -> np.ndarray:
    (_, image), *_ = runtime.sample_images()
    return cv2.resize(image, (64, 48), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("kind", formats.FORMATS)
def test_the_best_file_that_fits(photograph, kind):
    """Found by trying every file of that format at once."""
    ladder = formats.Ladder(photograph, kind)
    files = []
    for way, how in enumerate(formats.FORMATS[kind].ways):
        files += [(len(ladder.encoded(way, each)), way, each) for each in how.settings]
    sizes = sorted({size for size, _, _ in files})
    for most in (sizes[0], sizes[len(sizes) // 2], sizes[-1]):
        size, picture = ladder.best(most)
        assert size <= most
        error = np.square(picture.astype(float) - photograph).sum()
        # the last setting that fits of each way: none of them is better
        for way in {way for _, way, _ in files}:
            fitting = [each for s, w, each in files if w == way and s <= most]
            if fitting:
                data = ladder.encoded(way, max(fitting))
                other = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[..., ::-1]
                assert error <= np.square(other.astype(float) - photograph).sum()
    assert ladder.best(sizes[0] - 1) is None


@pytest.mark.parametrize("kind", formats.FORMATS)
def test_a_curve_rises(photograph, kind):
    curve: dict[float, formats.Measured] = {}
    for image in (photograph, photograph[::-1]):
        formats.Ladder(image, kind).add_curve(curve)
    points = [each.result() for each in curve.values()]
    assert [p["images"] for p in points] == [2] * len(formats.FORMATS[kind].curve)
    assert points[0]["bits"] < points[-1]["bits"] and points[0]["psnr"] + 10 < points[-1]["psnr"]
    assert all(p["ms_ssim"] is None and 0 < p["ssim"] <= 1 for p in points)


def test_ms_ssim_is_that_of_its_authors():
    """Five scales by their formula, each from skimage's window and plain halving."""
    (_, image), *_ = runtime.sample_images()
    original = cv2.resize(image, (176, 192), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0).normal(0, 20, original.shape)
    picture = np.clip(original + noise, 0, 255).astype(np.uint8)
    measured = formats.Measured()
    measured.add(original, picture, 1)
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def windows(x):
        return np.lib.stride_tricks.sliding_window_view(x, (11, 11)).reshape(-1, 121)

    found = []
    for channel in range(3):
        a, b = (x[..., channel].astype(np.float64) for x in (original, picture))
        product = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            x, y, w = windows(a), windows(b), window.ravel()
            mx, my = x @ w, y @ w
            vx, vy, cov = x**2 @ w - mx**2, y**2 @ w - my**2, (x * y) @ w - mx * my
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            contrast = (2 * cov + c2) / (vx + vy + c2)
            light = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
            product *= (np.mean(contrast * light) if scale == 4 else np.mean(contrast)) ** weight
            a, b = (
                t[: len(t) // 2 * 2, : t.shape[1] // 2 * 2]
                .reshape(len(t) // 2, 2, -1, 2)
                .mean((1, 3))
                for t in (a, b)
            )
        found.append(product)
    assert measured.result()["ms_ssim"] == pytest.approx(np.mean(found), abs=1e-3)


def points(bits, psnr):
    return [{"images": 1, "bits": b, "psnr": p} for b, p in zip(bits, psnr, strict=True)]


def test_bjontegaard_by_hand():
    """Half the bits at every PSNR is -50 %; 2 dB more at every rate is +2 dB."""
    rates, quality = np.array([0.25, 0.5, 1, 2, 4]), np.array([25, 28, 31, 34, 37.0])
    jpeg = points(rates, quality)
    assert formats.bjontegaard(jpeg, points(rates / 2, quality))["rate"] == pytest.approx(-50)
    assert formats.bjontegaard(jpeg, points(rates, quality + 2))["psnr"] == pytest.approx(2)


def test_bjontegaard_where_nothing_can_be_compared():
    jpeg = points([0.25, 0.5, 1, 2], [25, 28, 31, 34])
    assert formats.bjontegaard(jpeg, jpeg[:3]) is None
    assert formats.bjontegaard(jpeg, points([0.25, 0.5, 1, 2], [5, 8, 11, 14])) is None
    lossless = points([3, 4, 5, 6], [35, 36, 37, None])
    assert formats.bjontegaard(jpeg, lossless) is None
