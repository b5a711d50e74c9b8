"""Networks for small files in the demonstration, in a real browser: one slider for all of them."""

import json
from pathlib import Path

import numpy as np
import pytest

import runtime
from runtime.codec import places_of
from runtime.encoder_decoder import load_encoder_decoder
from runtime.switch_predictor import Scores, SwitchPredictor
from tests.scores import drawn_scores
from tests.zoo.gallery import round_trip
from tests.zoo.gallery.browser import PHONE
from zoo import hub as hubs
from zoo.compression.network import RateNetwork
from zoo.compression.training import export
from zoo.gallery import build
from zoo.paper.recipes.run import Files

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAMES = {"3_4_6-rate-2": 0.7, "3_4_5-rate-1": 0.4}
"""What is published, the bits first of the second."""


@pytest.fixture(scope="module")
def gallery(few_photographs, onnxruntime_web, tmp_path_factory) -> Path:
    """A hub of two, untrained, whole networks, with its gallery."""
    root = tmp_path_factory.mktemp("rates")
    for seed, (name, bits) in enumerate(NAMES.items()):
        network = RateNetwork(tuple(map(int, name.split("-")[0].split("_"))), seed=seed)
        none = Scores(np.zeros(0, np.int16), np.zeros((5, 0, 0), np.int8))
        known = drawn_scores(network.widths[2:], seed)
        files = Files(root, name)
        model = SwitchPredictor([none, none, *known.levels])
        export(name, network.blobs(), model, "104,117,123", files)
        metric = hubs.Metric("bits_per_pixel", bits, "photographs", 2)
        hubs.publish([files.onnx], root / "hub", name=name, metrics=[metric], encoder="learned")
    build(root / "hub", few_photographs, demo=bool(onnxruntime_web), runtime_web=onnxruntime_web)
    return root / "hub"


def test_a_slider_goes_from_rate_to_rate(demo):
    page = demo(size=PHONE)
    assert page("[...document.getElementById('model').options].map((o) => o.value)") == [
        "networks for small files"
    ]
    slide = "const r = document.getElementById('rate'); r.value = 1; "
    assert page.text("rate-text") == "0.40 bits a pixel on average"
    assert page.text("bits") == f"{2 * 5 * 16 * 16:,} bits"
    page.do("document.body.dataset.state = 'waiting'")
    page.do(slide + "r.dispatchEvent(new Event('input'))")
    page.until("document.body.dataset.state === 'done'")
    assert page.text("rate-text") == "0.70 bits a pixel on average"
    assert page.text("bits") == f"{2 * 6 * 16 * 16:,} bits"
    # Of its levels only the third has switches to shuffle.
    boxes = "[...document.querySelectorAll('[name=level]')]"
    assert page(f"{boxes}.filter((box) => box.offsetParent).map(({{ id }}) => id)") == ["level-3"]
    assert page("document.documentElement.scrollWidth") <= PHONE[0]
    # The JPEG beside it can be seen.
    canvas = "document.getElementById('as-jpeg')"
    assert page(f"[{canvas}.width, {canvas}.height]") == [128, 128]
    assert page(f"new Set({canvas}.getContext('2d').getImageData(0, 0, 128, 128).data).size") > 20
    assert page.complaints() == []


@pytest.mark.parametrize("name", NAMES)
def test_an_address_names_a_rate_and_its_file_decodes(demo, gallery, tmp_path, zoo, name):
    page = demo(query=f"?backend=wasm#{name}")
    file = page.download("save-switches", tmp_path / "photograph.switches")
    header = runtime.read_header(file)
    assert (header.coding, header.arch) == ("scores", name)
    assert page.text("bytes").startswith(f"{file.stat().st_size:,} bytes ")
    picture = runtime.read_image(page.download("save", tmp_path / "rebuilt.png"))
    assert zoo("decode", file, "--hub", gallery, "-o", "again.png").status == 0
    again = runtime.read_image(tmp_path / "again.png")
    assert np.abs(again.astype(int) - picture).max() <= 1 and np.ptp(picture) > 0
    network = load_encoder_decoder(gallery / name / "1.0" / f"{name}.onnx", "cpu")
    *_, places = places_of(runtime.read_masks(file, network.entropy_model))
    assert len(np.unique(places)) == 4


@pytest.mark.parametrize("name", NAMES)
def test_files_are_the_same_wherever_they_are_made_and_read(demo, gallery, name, url):
    """Here and in the page; PyTorch's switches may differ where two are nearly equal."""
    files = Files(gallery.parent, name)
    coder, network = round_trip.opened(files)
    page = demo()
    for (_, image), size in zip(runtime.sample_images(), [(64, 96), (40, 32)], strict=False):
        small = runtime.resize(image, *size)
        found = round_trip.compare(page, url, name, coder, network, small)
        assert found["switches"] == coder.network.levels[2] * size[0] * size[1] // 64
        for different in found["other_switches"].values():
            assert different <= 0.01 * found["switches"]
        assert max(found["largest_difference"].values()) <= 1


def test_the_pages_of_whole_networks_lead_to_it(gallery):
    if not (gallery / "demo.html").exists():
        pytest.skip("needs onnxruntime-web in the cache: run `zoo publish --gallery` once")
    for name in NAMES:
        assert f'demo.html#{name}"' in (gallery / f"gallery/{name}/1.0.html").read_text()
    models = json.loads((gallery / "gallery/demo.json").read_text())["models"]
    assert {model["name"]: model["bits"] for model in models} == NAMES
    assert all(model["levels"][:2] == [0, 0] and model["features"] == "pool3" for model in models)
