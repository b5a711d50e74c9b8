"""Models that run in their pages: what a page says is what the library says. Needs a browser."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import converters
import runtime
from prototxt.labels import read_labels
from prototxt.opencv import cv2
from prototxt.preprocessing import Preprocessing
from runtime import boxes
from tests.zoo.gallery import axe
from tests.zoo.gallery.browser import PHONE, WIDE, Browser
from zoo import hub as hubs
from zoo.gallery import build
from zoo.gallery.live import describe
from zoo.gallery.showing import predictor
from zoo.hub.server import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def gallery(any_hub, published, few_photographs, onnxruntime_web, tmp_path_factory) -> Path:
    """One of each kind of model, one of the paper's among them."""
    folder = tmp_path_factory.mktemp("live") / "hub"
    shutil.copytree(any_hub, folder)
    paper = hubs.open_hub(published)
    (entry,) = paper.index.models
    hubs.publish([published / entry.path(file) for file in entry.models], folder, encoder="random")
    build(folder, few_photographs, demo=bool(onnxruntime_web), runtime_web=onnxruntime_web)
    return folder


@pytest.fixture
def ask(chromium, url, onnxruntime_web) -> Callable[[str, Path], Browser]:
    """Opens a model's page, gives it a photograph, and waits for the answer."""
    if onnxruntime_web is None:
        pytest.skip("needs onnxruntime-web in the cache: run `zoo publish --gallery` once")

    def run(name: str, photograph: Path, at: str = url) -> Browser:
        chromium.open(f"{at}/gallery/{name}/1.0.html?backend=wasm")
        chromium.until("document.body.dataset.state === 'ready'")
        chromium.driver.find_element("id", "file").send_keys(str(photograph))
        chromium.until("document.body.dataset.state === 'done'")
        assert "error" not in chromium("document.getElementById('status').className")
        return chromium

    return run


def opened(hub: Path, name: str) -> runtime.Predictor:
    found = hubs.open_hub(hub)
    return predictor(found, found.index.versions(name)[-1])


def told(page: Browser) -> list[dict[str, str]]:
    return page(
        "[...document.querySelectorAll('#scores li')].map((line) => "
        "({ ...line.dataset, label: line.querySelector('span').textContent }))"
    )


def pixels(page: Browser, canvas: str) -> np.ndarray:
    """H×W×3, RGB."""
    values, height, width = page(
        f"((c) => [[...c.getContext('2d').getImageData(0, 0, c.width, c.height).data], "
        f"c.height, c.width])(document.getElementById('{canvas}'))"
    )
    return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]


def same_classes(page: Browser, found: Any) -> None:
    lines = told(page)
    assert [(int(line["place"]), line["label"]) for line in lines] == [
        (guess.place, guess.label) for guess in found.top
    ]
    scores = [float(line["score"]) for line in lines]
    np.testing.assert_allclose(scores, [guess.score for guess in found.top], rtol=1e-4, atol=1e-5)


def same_boxes(page: Browser, found: Any) -> None:
    lines = told(page)
    assert [line["label"] for line in lines] == [box.guess.label for box in found.boxes]
    for line, box in zip(lines, found.boxes, strict=True):
        assert float(line["score"]) == pytest.approx(box.guess.score, abs=1e-4)
        corners = [float(side) for side in line["box"].split()]
        np.testing.assert_allclose(corners, box.corners, atol=0.02)


def photographs(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_classifier_says_in_the_page_what_it_says_here(ask, gallery, few_photographs):
    model = opened(gallery, "small-classifier")
    for path in photographs(few_photographs):
        page = ask("small-classifier", path)
        same_classes(page, model.predict(runtime.read_image(path)))
        assert page.text("went-in") == "1×3×16×16"
        assert page.text("backend").startswith("WebAssembly")
        assert page.complaints() == []


def test_a_detector_finds_in_the_page_what_it_finds_here(ask, gallery, few_photographs):
    model = opened(gallery, "small_detector")
    counts = []
    for path in photographs(few_photographs):
        found = model.predict(runtime.read_image(path))
        page = ask("small_detector", path)
        same_boxes(page, found)
        counts.append(len(found.boxes))
        assert page.text("status") == f"It found {len(found.boxes)}."
    assert max(counts) > 0


def test_a_picture_made_in_the_page_is_the_one_made_here(ask, gallery, few_photographs):
    model = opened(gallery, "small_filter")
    for path in photographs(few_photographs):
        image = runtime.read_image(path)
        page = ask("small_filter", path)
        made = pixels(page, "after").astype(int)
        expected = model.predict(image).image[..., ::-1].astype(int)
        assert np.abs(made - expected).max() <= 1  # where a half is rounded
        np.testing.assert_array_equal(pixels(page, "before"), image[..., ::-1])


def test_the_slider_and_the_download(ask, few_photographs, tmp_path):
    page = ask("small_filter", photographs(few_photographs)[0])
    slide = (
        "((r) => {{ r.value = {}; r.dispatchEvent(new Event('input')); "
        "return document.getElementById('before').style.clipPath; }})"
        "(document.getElementById('share-before'))"
    )
    assert page(slide.format(30)) == "inset(0px 70% 0px 0px)"
    assert page(slide.format(100)) == "inset(0px 0% 0px 0px)"
    expected = pixels(page, "after")
    saved = page.download("save", tmp_path / "result.png")
    np.testing.assert_array_equal(runtime.read_image(saved)[..., ::-1], expected)


FEEDS = [
    ({"channelOrder": "BGR", "mean": [104, 117, 123], "scale": 1.0}, (20, 24), (16, 16)),
    ({"channelOrder": "RGB", "mean": [127.0], "scale": 1 / 128}, (33, 61), None),
    ({"channelOrder": "GRAY", "mean": [0.0], "scale": 1 / 255}, (40, 48), None),
    ({"channelOrder": "BGR", "mean": [103.939, 116.779, 123.68], "scale": 0.017}, (227, 227), None),
    ({"channelOrder": "GRAY", "mean": [33.3], "scale": 1 / 256}, (64, 51), (31, 50)),
    ({"channelOrder": "RGB", "mean": [0.0], "scale": 1 / 255}, None, None),
]

FEED = """
const [url, pixels, height, width, how, done] = arguments;
import(`${url}/gallery/feeding.js`).then(({ feed }) => {
  const data = new Uint8ClampedArray(pixels);
  const fed = feed(new ImageData(data, width, height), how);
  done({ data: [...fed.data], dims: fed.dims, window: fed.window });
}).catch((error) => done({ error: String(error) }));
"""


@pytest.mark.parametrize(("how", "size", "crop"), FEEDS)
@pytest.mark.parametrize("shape", [(45, 31), (200, 300)])
def test_images_are_fed_to_the_bit_as_the_library_feeds_them(chromium, url, how, size, crop, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    channels = 1 if how["channelOrder"] == "GRAY" else 3
    stated = Preprocessing(
        tuple(how["mean"]),
        scale=how["scale"],
        crop=crop,
        resize=size,
        channel_order=how["channelOrder"],
    )

    class Fed:
        inputs = (runtime.IOSpec("data", ("batch", channels, "height", "width"), "float32"),)
        metadata = MappingProxyType({})
        source = ""

    feeder = runtime.Feeder(Fed(), stated.mean_values(channels), size or shape, how=stated)
    rgba = np.dstack([image[..., ::-1], np.full(shape, 255, np.uint8)])
    chromium.open(f"{url}/index.html")
    found = chromium.driver.execute_async_script(
        FEED, url, rgba.reshape(-1).tolist(), *shape, {**how, "size": size, "crop": crop}
    )
    assert "error" not in found, found
    blob = feeder.blob(image)
    assert found["dims"] == [1, *blob.shape]
    np.testing.assert_array_equal(np.array(found["data"], np.float32), blob.reshape(-1))
    np.testing.assert_allclose(found["window"], feeder.window, rtol=1e-12)


BOXES = """
const [url, name, lists, size, how, done] = arguments;
import(`${url}/gallery/predict.js`).then((predict) => {
  const arrays = lists.map((list) => new Float32Array(list));
  done(predict[name](...arrays, ...(size ? [size] : []), how));
}).catch((error) => done({ error: String(error) }));
"""


@pytest.fixture
def described(gallery) -> dict[str, Any]:
    return json.loads(json.dumps(describe(opened(gallery, "small_detector"))))


@pytest.mark.parametrize("size", [(240, 320), (64, 64), (37, 21)])
@pytest.mark.parametrize("priors", [True, False])
def test_boxes_and_scores_are_understood_alike(chromium, url, described, size, priors):
    rng = np.random.default_rng(3)
    count = len(boxes.ultraface_priors(size)) if priors else 200
    raw = rng.normal(0, 1, (count, 4))
    if not priors:
        corners = rng.uniform(0, 0.7, (count, 2))
        raw = np.hstack([corners, corners + rng.uniform(0.05, 0.3, (count, 2))])
    raw = raw.astype(np.float32)
    scores = rng.dirichlet([1, 0.5, 0.5], count).astype(np.float32)
    expected = boxes.from_pairs(raw, scores, size, described["threshold"])
    chromium.open(f"{url}/index.html")
    lists = [raw.reshape(-1).tolist(), scores.reshape(-1).tolist()]
    found = chromium.driver.execute_async_script(
        BOXES, url, "fromPairs", lists, list(size), described
    )
    assert "error" not in found
    assert 1 < len(expected) < count
    same_found(found, expected)


def test_rows_are_understood_alike(chromium, url, described):
    rng = np.random.default_rng(4)
    rows = rng.uniform(0, 1, (50, 7)).astype(np.float32)
    rows[:, 0] = rng.integers(0, 2, 50)
    rows[:, 1] = rng.integers(-1, 4, 50)
    rows[7, 3] = np.inf
    rows[8, 2] = 0.5
    expected = boxes.from_rows(rows, described["threshold"])[0]
    chromium.open(f"{url}/index.html")
    lists = [[v if np.isfinite(v) else 1e39 for v in rows.reshape(-1).tolist()]]  # float32's inf
    found = chromium.driver.execute_async_script(BOXES, url, "fromRows", lists, None, described)
    assert 3 < len(expected) < 25
    same_found(found, expected)


def same_found(found: list[dict[str, Any]], expected: boxes.Found) -> None:
    assert [box["place"] for box in found] == [label for label, _, _ in expected]
    np.testing.assert_allclose([b["score"] for b in found], [score for _, score, _ in expected])
    corners = np.array([box["corners"] for box in found])
    np.testing.assert_allclose(corners, [corners for _, _, corners in expected], atol=1e-6)


def test_models_are_searched_and_chosen_by_task(chromium, url):
    chromium.open(f"{url}/index.html")
    left = (
        "[...document.querySelectorAll('#cards > li:not([hidden])')]"
        ".map((card) => card.querySelector('b').textContent)"
    )
    chromium.until("!document.getElementById('finder').hidden")
    everything = chromium(left)
    assert len(everything) == 5

    def search(text: str) -> list[str]:
        field = chromium.driver.find_element("id", "search")
        field.clear()
        field.send_keys(text)
        return chromium(left)

    assert search("filter") == ["small_filter"]
    assert search("Detect MIT") == ["small_detector"]
    assert search("nothing like it") == []
    assert chromium("document.getElementById('nothing').hidden") is False
    chromium.do("document.getElementById('clear').click()")
    assert chromium(left) == everything
    button = "document.querySelector('.filters [data-task=classify]')"
    chromium.do(f"{button}.click()")
    assert chromium(left) == ["small-classifier"]
    assert chromium.text("found") == "1 of 5 models"
    assert chromium(f"{button}.ariaPressed") == "true"
    chromium.do(f"{button}.click()")
    assert chromium(left) == everything


NAMES = ("small-classifier", "small_detector", "small_filter", "numbers", "2_3_4")
ALL = ["index.html", "demo.html", *(f"gallery/{name}/1.0.html" for name in NAMES)]


FAULTS = """
const done = arguments[0];
axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
  done(violations.map(({ id, nodes }) => [id, nodes.map(({ target }) => target)])));
"""


@pytest.mark.parametrize("name", ALL)
def test_axe_finds_no_fault(gallery, chromium, url, onnxruntime_web, name):
    """On a wide screen and a phone, light and dark, with what a page shows once it was used."""
    script = axe.script()
    if script is None or onnxruntime_web is None:
        pytest.skip("needs axe-core and onnxruntime-web: python -m tests.zoo.gallery.axe")
    chromium.open(f"{url}/{name}?backend=wasm")
    chromium.until("document.readyState === 'complete'")
    if (gallery / name).with_suffix("").joinpath("live.json").is_file():
        chromium.until("document.body.dataset.state === 'ready'")
        chromium.do("document.querySelector('#samples button').click()")
    if name == "demo.html" or chromium("document.querySelector('#live') !== null"):
        chromium.until("document.body.dataset.state === 'done'")
    chromium.do("for (const details of document.querySelectorAll('details')) details.open = true")
    # Past the page's own policy, as a debugger is.
    chromium.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": script})
    for size in (WIDE, PHONE):
        for dark in (False, True):
            chromium.look(size, dark)
            assert chromium.driver.execute_async_script(FAULTS) == [], (size, dark)
            assert chromium("document.documentElement.scrollWidth") <= size[0]
    assert chromium.hosts() == {url}


def cell_is_a_block(chromium: Browser) -> bool:
    return bool(
        chromium("getComputedStyle(document.querySelector('.stacked td')).display === 'block'")
    )


def test_on_a_phone_rows_are_stacked_and_code_is_not_cut(chromium, url):
    for name in ALL[2:]:
        chromium.open(f"{url}/{name}", PHONE)
        assert cell_is_a_block(chromium)
        cut = "[...document.querySelectorAll('pre')].some((c) => c.scrollWidth > c.clientWidth)"
        assert not chromium(cut)
        wide = "[...document.querySelectorAll('.stacked')].some((t) => t.scrollWidth > innerWidth)"
        assert not chromium(wide)
    chromium.open(f"{url}/{ALL[2]}", WIDE)
    assert not cell_is_a_block(chromium)


@pytest.fixture(scope="module")
def trained(shared, onnxruntime_web, tmp_path_factory) -> Path:
    """Networks that others trained: a classifier, a detector of each kind."""
    folder = tmp_path_factory.mktemp("trained")
    given = {
        "squeezenet": Preprocessing("104,117,123", crop=(227, 227), resize=(256, 256)),
        "rfb": Preprocessing("127", scale=1 / 128, channel_order="RGB"),
        "wq_detect": Preprocessing("0", scale=1 / 255),
    }
    for name, how in given.items():
        source = shared / "caffe/trained" / name
        listed = source / "labels.txt"
        labels = read_labels(listed) if listed.exists() else ("background", name)
        net, weights = source / "net.prototxt", source / "net.caffemodel"
        model = folder / f"{name}.onnx"
        converters.convert(net, weights, preprocessing=how, labels=labels).save(model)
        hubs.publish([model], folder / "hub")
    build(folder / "hub", demo=bool(onnxruntime_web), runtime_web=onnxruntime_web)
    return folder / "hub"


def test_trained_networks_say_in_the_page_what_they_say_here(ask, trained, tmp_path):
    images = dict(runtime.sample_images())
    code = np.asarray(cv2.QRCodeEncoder.create().encode("https://example.org/"))
    table = np.full((300, 400, 3), 200, np.uint8)
    table[60:260, 100:300] = cv2.resize(code, (200, 200), interpolation=cv2.INTER_NEAREST)[
        ..., None
    ]
    with Server(trained) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        for name, image, check in (
            ("squeezenet", images["chelsea"], same_classes),
            ("rfb", images["astronaut"], same_boxes),
            ("wq_detect", table, same_boxes),
        ):
            found = opened(trained, name).predict(image)
            assert check is same_classes or len(found.boxes) == 1, name
            runtime.write_png(tmp_path / f"{name}.png", image)
            check(ask(name, tmp_path / f"{name}.png", at=server.url), found)
        server.shutdown()
