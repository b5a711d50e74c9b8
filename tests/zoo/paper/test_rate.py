"""`zoo rate`: switches as an image format, beside other formats at the same size."""

import json
import math

import cv2
import numpy as np
import pytest

import runtime
from tests.zoo.drawn import folder_of
from zoo.hub import locate
from zoo.paper import coding, rates


@pytest.fixture
def photograph() -> np.ndarray:
    (_, image), *_ = runtime.sample_images()
    return cv2.resize(image, (64, 48), interpolation=cv2.INTER_AREA)


def test_ssim_is_the_one_of_its_authors(photograph):
    """Against their formula, window by window where the picture is whole."""
    noisy = np.clip(photograph + np.random.default_rng(0).normal(0, 20, photograph.shape), 0, 255)
    noisy = noisy.astype(np.uint8)
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    found = []
    for channel in range(3):
        a, b = (x[..., channel].astype(np.float64) for x in (photograph, noisy))
        for top in range(a.shape[0] - 10):
            for left in range(a.shape[1] - 10):
                x, y = (v[top : top + 11, left : left + 11] for v in (a, b))
                mx, my = (window * x).sum(), (window * y).sum()
                vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
                cov = (window * (x - mx) * (y - my)).sum()
                c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
                top_part = (2 * mx * my + c1) * (2 * cov + c2)
                found.append(top_part / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    assert runtime.ssim(photograph, noisy) == pytest.approx(np.mean(found), abs=1e-6)
    assert runtime.ssim(photograph, photograph) == 1


def test_psnr():
    assert runtime.psnr(0.1) == pytest.approx(20)
    assert runtime.psnr(0) == math.inf


def test_a_row_is_what_encoding_and_decoding_give(photograph, tmp_path):
    coder = coding.open_coder(locate("8_8_8"), "cpu")
    judged = rates.measure({"8_8_8": coder}, [photograph])
    (row,) = judged.rows
    written = coding.encode(coder, photograph, tmp_path / "f.switches")
    picture = coding.decode(coder, tmp_path / "f.switches")
    found = row.result()
    bits = found["bits_per_pixel_and_channel"]
    assert bits["coded"] == 8 * written.size / photograph.size
    assert bits["paper"] == bits["fixed"] == 1.75 and 0 < bits["entropy"] < 1.75
    rmse = np.sqrt(np.mean(((picture.astype(float) - photograph) / 255) ** 2))
    assert found["switches"]["rmse"] == pytest.approx(rmse)
    assert found["switches"]["psnr"] == pytest.approx(-20 * np.log10(rmse))
    assert found["switches"]["ssim"] == runtime.ssim(photograph, picture)
    for kind in rates.FORMATS:
        assert found[kind]["bits"] <= bits["coded"]
    assert judged.png > bits["coded"]


def test_the_command(zoo, tmp_path):
    folder = folder_of(tmp_path, 3)
    (folder / "broken.png").write_bytes(b"no image")
    options = ["--data", folder, "--size", "64x64", "-o", "out"]
    found = zoo("rate", "--arch", "8_8_8", "--arch", "6_12_24", *options, "--json").json
    assert found["images"] == 3
    assert [row["arch"] for row in found["rows"]] == ["8_8_8", "6_12_24"]
    stored = json.loads((tmp_path / "out/rate.json").read_text())
    assert stored["rows"] == found["rows"]
    lines = (tmp_path / "out/rate.md").read_text().splitlines()
    assert sum(line.startswith(("| 8_8_8 |", "| 6_12_24 |")) for line in lines) == 2
    assert cv2.imread(str(tmp_path / "out/rate.png")).shape[1] > 800


def test_wrong_usage(zoo, tmp_path):
    (tmp_path / "none").mkdir()
    assert zoo("rate", "--size", "eight").status == 2
    assert "no images" in zoo("rate", "--arch", "8_8_8", "--data", "none").refusal
    folder = folder_of(tmp_path, 1)
    small = ["rate", "--arch", "8_8_8", "--data", folder, "--size", "8x8"]
    assert "too small for SSIM" in zoo(*small).refusal
