"""The gallery of a hub of models of any kind."""

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html import unescape
from pathlib import Path

import numpy as np
import pytest

import runtime
from prototxt.opencv import cv2
from runtime.drawing import drawn
from tests.zoo.gallery.test_gallery import Page, pages
from zoo import hub as hubs
from zoo.gallery import build, layers, live, vendor
from zoo.gallery.feeding import steps
from zoo.gallery.photographs import encode
from zoo.gallery.showing import predictor
from zoo.inspection import onnx_model


@pytest.fixture(scope="module")
def site(any_hub, few_photographs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "hub"
    shutil.copytree(any_hub, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vendor, "runtime_files", lambda tarball: {"gallery/ort/x.mjs": b"x"})
        build(folder, few_photographs)
    return folder


def page(site: Path, name: str) -> Page:
    return Page(site / f"gallery/{name}/1.0.html")


def plain(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split())


def opened(hub: Path, name: str) -> runtime.Predictor:
    found = hubs.open_hub(hub)
    return predictor(found, found.index.versions(name)[-1])


def images(folder: Path) -> list[np.ndarray]:
    return [runtime.read_image(path) for path in sorted(folder.iterdir())]


def test_models_come_first_and_the_paper_is_not_spoken_of(site):
    index = Page(site / "index.html")
    assert not (site / "demo.html").exists()
    for word in ("Table II", "maxima", "paper", "demo.html"):
        assert word not in index.text
    cards = [a for _, a in index.elements if "data-words" in a]
    assert [(card["data-task"], card["data-words"]) for card in cards] == [
        ("other", "numbers other mit"),
        ("classify", "small-classifier classify mit"),
        ("detect", "small_detector detect mit"),
        ("image-to-image", "small_filter image-to-image mit"),
    ]
    tasks = [a["data-task"] for a in index.all("button") if "data-task" in a]
    assert sorted(filter(None, tasks)) == ["classify", "detect", "image-to-image", "other"]
    # Names as they are typed, and a picture of each that makes something of photographs.
    for name in ("small-classifier", "small_detector", "small_filter"):
        assert f"<b>{name}</b>" in index.text
    assert len(index.all("img")) == 3
    assert index.text.count("runs in the page") == 3


def test_every_page_is_sound(site):
    for name, found in pages(site):
        for _, attributes in found.elements:
            for key in ("href", "src", "data-manifest"):
                link = (attributes.get(key) or "").partition("#")[0]
                assert not link or (site / name).parent.joinpath(link).is_file(), (name, link)
        ids = [a["id"] for _, a in found.elements if a.get("id")]
        assert len(ids) == len(set(ids)), name
        assert not any(k == "style" or k.startswith("on") for _, a in found.elements for k in a)


def test_a_classifiers_page_says_what_it_says_of_photographs(site, few_photographs):
    found, model = page(site, "small-classifier"), opened(site, "small-classifier")
    text = plain(found.text)
    for image in images(few_photographs):
        for guess in model.predict(image).top:
            assert f"{guess.label} {guess.score:.3g}" in text
    assert "<b>stone</b>" not in found.text  # a label is text


def test_a_detectors_page_shows_its_boxes(site, few_photographs):
    model = opened(site, "small_detector")
    for number, image in enumerate(images(few_photographs), 1):
        boxes = model.predict(image)
        assert boxes.boxes
        made = drawn(image, boxes)
        assert made is not None
        shown = (site / f"gallery/small_detector/1.0/{number}.jpg").read_bytes()
        assert shown == encode(made, ".jpg")
        labels = ", ".join(f"{b.guess.label} {b.guess.score:.2f}" for b in boxes.boxes[:4])
        assert f"{len(boxes.boxes)} found: {labels}" in plain(page(site, "small_detector").text)


def test_an_image_to_image_networks_page_shows_what_it_makes(site, few_photographs):
    model = opened(site, "small_filter")
    for number, image in enumerate(images(few_photographs), 1):
        shown = runtime.read_image(site / f"gallery/small_filter/1.0/{number}.png")
        np.testing.assert_array_equal(shown, model.predict(image).image)


def test_what_takes_no_image_says_so(site):
    text = page(site, "numbers").text
    assert "It was not run on photographs: takes data, not one image" in text
    assert "How an image is fed" not in text and "live.js" not in text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "small-classifier",
            [
                "Pixels of 0 to 255, three channels in the order blue, green, red.",
                "Resized to 20x24, bilinear without antialiasing (OpenCV’s).",
                "The middle 16x16 cut out. This is the only size that it takes.",
                "Less 104, 117, 123, by channel.",
            ],
        ),
        (
            "small_detector",
            [
                "Pixels of 0 to 255, one channel, the grey of ITU-R 601 (OpenCV’s).",
                "Resized to 40x48, bilinear without antialiasing (OpenCV’s).",
                "Times 0.00392157 (1/255).",
            ],
        ),
        (
            "small_filter",
            [
                "Pixels of 0 to 255, three channels in the order red, green, blue.",
                "As large as it is: the network takes any size.",
                "Times 0.00392157 (1/255).",
            ],
        ),
    ],
)
def test_nothing_false_is_said_of_how_it_is_fed(site, name, told):
    model = opened(site, name)
    fixed = model.fixed is not None
    found = steps(model)
    only = " This is the only size that it takes."
    assert [line.replace(only, "") for line in found] == [line.replace(only, "") for line in told]
    assert any(only in line for line in found) is fixed
    assert plain(" ".join(found)) in plain(page(site, name).text)


def test_the_program_of_a_page_runs_when_it_is_pasted(site, few_photographs, tmp_path):
    blocks = re.search(
        r'id="program"><code>(.*?)</code>', page(site, "small-classifier").text, re.S
    )
    assert blocks is not None
    program = unescape(blocks[1])
    shutil.copy(site / "small-classifier/1.0/small-classifier.onnx", tmp_path)
    photograph = sorted(few_photographs.iterdir())[0]
    image = runtime.read_image(photograph)
    cv2.imwrite(str(tmp_path / "photo.jpg"), image)
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    expected = opened(site, "small-classifier").predict(runtime.read_image(tmp_path / "photo.jpg"))
    labels = [line.split(maxsplit=1)[1] for line in run.stdout.splitlines()]
    assert labels == [guess.label for guess in expected.top]


def test_downloads_lead_with_the_model(site):
    text = page(site, "small_detector").text
    assert 'href="../../small_detector/1.0/small_detector.onnx" download>Download' in text


def test_what_a_page_reads_to_run_its_model(site):
    told = json.loads((site / "gallery/small_detector/1.0/live.json").read_text())
    assert told["labels"] == ["0", "face", "hand"]  # nothing names the background
    assert told["outputs"] == ["boxes", "scores"]
    assert told["file"] == "small_detector/1.0/small_detector.onnx"
    assert (told["size"], told["crop"], told["channelOrder"]) == ([40, 48], None, "GRAY")
    told = json.loads((site / "gallery/small-classifier/1.0/live.json").read_text())
    assert (told["size"], told["crop"], told["channelOrder"]) == ([20, 24], [16, 16], "BGR")
    assert told["mean"] == [104, 117, 123] and len(told["labels"]) == 7
    assert json.loads((site / "gallery/small_filter/1.0/live.json").read_text())["size"] is None


def test_large_models_are_not_run_in_a_page(any_hub, monkeypatch):
    found = hubs.open_hub(any_hub)
    (entry,) = found.index.versions("small_filter")
    model = predictor(found, entry)
    assert live.runs_in_a_page(model, entry)
    monkeypatch.setattr(live, "LARGEST", 10)
    assert not live.runs_in_a_page(model, entry)


def graph(nodes: list[tuple[str, str, list[str], list[str]]], outputs: list[str]) -> dict:
    return {
        "inputs": [{"name": "data", "shape": ["batch", 3, 8, 8]}],
        "outputs": [{"name": name, "shape": []} for name in outputs],
        "nodes": [
            {"node": name, "op": op, "inputs": read, "outputs": {made: [1] for made in writes}}
            for name, op, read, writes in nodes
        ],
    }


def boxes_of(svg: str) -> dict[str, tuple[float, float]]:
    """x and y of the boxes, by the text and name in them."""
    root = ElementTree.fromstring(svg)
    found = {}
    for node in root.iter("g"):
        (box,), texts = list(node.iter("rect")), [text.text for text in node.iter("text")]
        found[" ".join(filter(None, texts))] = (float(box.attrib["x"]), float(box.attrib["y"]))
    return found


def test_a_graph_is_drawn_from_above_to_below_without_overlaps():
    branches = [("left", "Conv", ["data"], ["l"]), ("right", "Relu", ["data"], ["r"])]
    long = [(f"c{i}", "Conv", ["l" if i == 0 else f"v{i - 1}"], [f"v{i}"]) for i in range(3)]
    told = graph([*branches, *long, ("sum", "Add", ["v2", "r"], ["s"])], ["s"])
    drawing = layers.svg(told)
    assert drawing is not None
    found = boxes_of(drawing)
    assert set(found) == {
        *("input data", "Conv left", "Relu right", "Conv c0", "Conv c1", "Conv c2"),
        *("Add sum", "output s"),
    }
    rows = [
        found[name][1] for name in ("input data", "Conv left", "Conv c0", "Add sum", "output s")
    ]
    assert rows == sorted(rows) and len(set(rows)) == 5
    (x0, y0), (x1, y1) = found["Conv left"], found["Relu right"]
    assert y0 == y1 and abs(x0 - x1) >= layers.WIDTH
    root = ElementTree.fromstring(drawing)
    width = float(root.attrib["width"])
    assert all(0 <= x <= width - layers.WIDTH for x, _ in found.values())
    # The edge past three rows has a place in each: one curve for each row that an edge crosses.
    assert len([e for e in root.iter("path")]) == 3 + 2 + 1 + 4 + 1


def test_the_operators_of_a_layer_are_one_box_and_texts_are_text(published):
    told = onnx_model.summary(published / "2_3_4/1.0/net.onnx")
    drawing = layers.svg(told)
    assert drawing is not None
    found = boxes_of(drawing)
    grouped = layers.by_layer(told["nodes"])
    assert sum(map(len, grouped)) == len(told["nodes"]) > len(grouped)
    assert len(found) == len(grouped) + 1 + len(told["outputs"])
    nasty = layers.svg(graph([("<b>&", "Conv", ["data"], ["x"])], ["x"]))
    assert nasty is not None and "<b>" not in nasty
    ElementTree.fromstring(nasty)


def test_what_nobody_could_follow_is_not_drawn():
    chain = [(f"n{i}", "Relu", [f"v{i - 1}" if i else "data"], [f"v{i}"]) for i in range(900)]
    assert layers.svg(graph(chain, ["v899"])) is None
    far = [*chain[:700], *((f"f{i}", "Add", ["data", "v699"], [f"w{i}"]) for i in range(60))]
    assert layers.svg(graph(far, ["w0"])) is None


def test_a_hub_of_which_no_page_runs_a_model(zoo, any_hub, tmp_path):
    entry = hubs.open_hub(any_hub).index.versions("numbers")[-1]
    model = any_hub / entry.path(entry.models[0])
    run = zoo("publish", model, "--hub", "hub", "--gallery", "--json")
    note = "no page runs a model: none of them takes one image and gives what can be shown"
    assert run.json["notes"][-1] == note
    assert not (tmp_path / "hub/gallery/ort").exists()


def test_a_card_and_a_citation(any_hub, tmp_path):
    entry = hubs.open_hub(any_hub).index.versions("numbers")[-1]
    card = tmp_path / "card.md"
    card.write_text("# numbers\n\nTwo numbers of *ten*.\n")
    bibtex = tmp_path / "cite.bib"
    bibtex.write_text("@misc{a,\n  title = {A <b>}\n}\n")
    hub = tmp_path / "hub"
    model = any_hub / entry.path(entry.models[0])
    hubs.publish([model], hub, card=card, bibtex=bibtex, datasets=["digits"])
    build(hub, demo=False)
    found = page(hub, "numbers")
    assert "<p>Two numbers of <em>ten</em>.</p>" in found.text
    assert found.text.count(">numbers</h") == 1  # the title of the page, and not the card's again
    assert "@misc{a,\n  title = {A &lt;b&gt;}\n}" in found.text
    assert "<dt>Trained on</dt><dd>digits</dd>" in found.text
