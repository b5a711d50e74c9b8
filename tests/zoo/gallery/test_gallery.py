"""`zoo publish --gallery`: pages that any static host serves, made of what the hub says."""

import dataclasses
import json
import posixpath
import re
import shutil
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import onnx
import pytest

import runtime
from zoo import hub as hubs
from zoo.errors import HubError
from zoo.gallery import build, demonstration, vendor
from zoo.gallery.activations import decoder_stages, strip
from zoo.gallery.pages import markdown
from zoo.gallery.plot import Point, svg
from zoo.gallery.table import table2
from zoo.hub import index as schema
from zoo.hub.index import Index, Metric
from zoo.paper import architectures

VOID = {"meta", "link", "img", "input", "br", "line", "circle", "path", "polyline"}


class Page(HTMLParser):
    """The elements of a page, checked to be closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = path.read_text()
        self.feed(self.text)
        assert self.open == [], f"{path}: {self.open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.open

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def photographs(tmp_path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, image in runtime.sample_images()[:3]:
        runtime.write_png(folder / f"{name}.png", image[::3, ::3])
    return folder


@pytest.fixture
def no_runtime(monkeypatch) -> None:
    """The demonstration without its runtime, which is not needed to write the pages."""
    monkeypatch.setattr(vendor, "runtime_files", lambda tarball: {"gallery/ort/x.mjs": b"x"})


def site(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def pages(folder: Path) -> Iterator[tuple[str, Page]]:
    for path in sorted(folder.rglob("*.html")):
        yield path.relative_to(folder).as_posix(), Page(path)


def test_every_link_leads_to_a_file_of_the_site(hub, photographs, no_runtime):
    built = build(hub, photographs)
    assert [path.relative_to(hub).as_posix() for path in built.pages] == [
        "index.html",
        "demo.html",
        "gallery/2_3_4/1.0.html",
    ]
    found = dict(pages(hub))
    for name, page in found.items():
        for tag, attributes in page.elements:
            for key in ("href", "src"):
                link = attributes.get(key)
                if link is None:
                    continue
                assert "://" not in link, f"{name}: {tag} asks another host"
                path, _, anchor = link.partition("#")
                target = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(path)))
                target = name if not path else target
                assert (hub / target).is_file(), f"{name}: {link}"
                if anchor and target != "demo.html":
                    assert any(a.get("id") == anchor for _, a in found[target].elements)
    for model in json.loads((hub / "gallery/demo.json").read_text())["models"]:
        assert (hub / "gallery" / model["encoder"]).is_file()
        assert (hub / "gallery" / model["decoder"]).is_file()


def test_pages_are_for_everybody(hub, photographs, no_runtime):
    build(hub, photographs)
    for name, page in pages(hub):
        assert page.all("html")[0]["lang"] == "en"
        assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
        assert len(page.all("h1")) == len(page.all("main")) == 1, name
        assert all(image.get("alt") is not None for image in page.all("img"))
        ids = [a["id"] for _, a in page.elements if a.get("id")]
        assert len(ids) == len(set(ids)), name
        labels = {label.get("for") for label in page.all("label")}
        for control in page.all("input"):
            inside = f'<input type="{control["type"]}" name="{control.get("name")}"'
            assert control.get("id") in labels or f"<label>{inside}" in page.text
        for table in page.text.split("<table")[1:]:
            assert 'scope="col"' in table and 'scope="row"' in table
        # Nothing that the page's own policy forbids.
        assert all(script.get("src") for script in page.all("script"))
        assert not page.all("style")
        assert not any(k == "style" or k.startswith("on") for _, a in page.elements for k in a)


def test_the_table_and_the_plot(hub, photographs, no_runtime):
    index = schema.read((hub / "index.json").read_bytes(), "x")
    entry = dataclasses.replace(
        index.models[0],
        arch="16_16_16",
        encoder="pretrained",
        metrics=(Metric("rmse", 0.1141, "imagenet-dev", 500),),
    )
    (hub / "index.json").write_text(schema.write(Index((entry,))))
    build(hub, demo=False)
    page = Page(hub / "index.html")
    rows = re.findall(r"<tr>\s*<th scope=\"row\".*?</tr>", page.text, re.DOTALL)
    assert len(rows) == 14
    texts = [re.sub(r"<[^>]*>|\s+", " ", row).split() for row in rows]
    assert texts[0][:4] == ["8_8_8", "random", "1.75", "0.1464"]
    (row,) = [text for text in texts if text[:2] == ["16_16_16", "pretrained"]]
    assert row == "16_16_16 pretrained 3.5 0.1156 0.1141 -1.3 % imagenet-dev, 500 images".split()
    assert sum("no model here" in re.sub(r"\s+", " ", row) for row in rows) == 13
    unmeasured = dataclasses.replace(entry, metrics=())
    (hub / "index.json").write_text(schema.write(Index((unmeasured,))))
    build(hub, demo=False)
    assert Page(hub / "index.html").text.count("not measured") == 1
    plot = page.text[page.text.index("<svg class") : page.text.index("</svg>") + 6]
    marks = re.findall(r'class="mark (\w+) (\w+)"', plot)
    assert len(marks) == 15 and marks.count(("pretrained", "measured")) == 1
    assert "16_16_16, pretrained encoder, measured: RMSE 0.1141 at 3.5 bits per pixel" in plot


def test_the_plot_is_sound_and_everything_lies_on_it():
    points = [
        Point(arch, encoder, architectures.bits_per_pixel(arch), rmse, measured)
        for encoder, figures in architectures.PUBLISHED.items()
        for arch, rmse in figures.items()
        for measured in (False, True)
    ]
    root = ElementTree.fromstring(svg(points))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    circles = [node for node in root.iter() if node.tag == "circle"]
    assert len(circles) == 14
    for node in circles:
        assert 0 < float(node.attrib["cx"]) < width and 0 < float(node.attrib["cy"]) < height
    # More bits lie to the right, less error lies below.
    first, last = circles[0], next(c for c, p in zip(circles, points[::2], strict=False))
    assert first is last
    ElementTree.fromstring(svg([]))
    assert [row["shown"] for row in table2([])] == [None] * 14


def test_reconstructions_are_those_of_the_runtime(hub, photographs):
    build(hub, photographs, demo=False)
    model = runtime.load(hub / "2_3_4/1.0/net.onnx")
    mean = np.array([104, 117, 123], np.float32).reshape(3, 1, 1)
    text = (hub / "gallery/2_3_4/1.0.html").read_text()
    from zoo.paper.reconstruction import reconstruct

    for number, path in enumerate(sorted(photographs.iterdir()), 1):
        expected = reconstruct(model, runtime.read_image(path), mean, (16, 16))
        rebuilt = runtime.read_image(hub / f"gallery/2_3_4/1.0/{number}.png")
        original = runtime.read_image(hub / f"gallery/photographs/{number}-16x16.png")
        np.testing.assert_array_equal(rebuilt, expected.image)
        np.testing.assert_array_equal(original, expected.original)
        assert f"RMSE {expected.rmse:.4f}" in text


def test_the_decoders_stages(published):
    blob = np.random.default_rng(0).normal(0, 60, (3, 16, 16)).astype(np.float32)
    stages = decoder_stages(published / "2_3_4/1.0/net.onnx", blob)
    assert [(s.name, s.channels, s.height, s.width) for s in stages] == [
        ("unpool3", 4, 4, 4),
        ("deconv3_1", 4, 4, 4),
        ("deconv3_2", 3, 4, 4),
        ("unpool2", 3, 8, 8),
        ("deconv2_1", 3, 8, 8),
        ("deconv2_2", 2, 8, 8),
        ("unpool1", 2, 16, 16),
        ("deconv1_1", 2, 16, 16),
        ("deconv1_2", 3, 16, 16),
    ]
    assert decoder_stages(published / "2_3_4/1.0/net.encoder.onnx", blob) == []


def test_a_strip_shows_the_channels_that_vary_most():
    channels = np.zeros((10, 4, 4), np.float32)
    for number in range(1, 10):
        channels[number, 0, 0] = number
    picture = strip(channels)
    assert picture.shape == (4, 8 * 4 + 7, 4)
    assert (picture[0, ::5, 0] == 255).all()  # each from its own darkest to its own brightest
    assert (picture[1:, :4, 0] == 0).all()
    assert (picture[:, 4, 3] == 0).all() and (picture[:, :4, 3] == 255).all()
    assert strip(np.full((1, 300, 200), np.float32(7))).shape[0] == 128


def test_the_demonstration_has_the_features_and_they_change_nothing(hub):
    opened = hubs.open_hub(hub)
    (demo,) = demonstration.collect(opened)
    assert demo.described["features"] == "pool3"
    assert demo.described["masks"] == ["pool1_mask", "pool2_mask", "pool3_mask"]
    encoder, decoder = runtime.load(demo.encoder), runtime.load(demo.decoder)
    image = np.random.default_rng(1).normal(0, 60, (1, 3, 32, 48)).astype(np.float32)
    code = encoder.run({"data": image})
    assert code["pool3"].shape == (1, 4, 4, 6) and code["pool3"].any()
    whole = runtime.load(hub / "2_3_4/1.0/net.onnx").run({"data": image}, ["deconv1_2"])
    for factor in (1, 0, 1e3):
        fed = {**code, "pool3": factor * code["pool3"]}
        np.testing.assert_allclose(
            decoder.run(fed)["deconv1_2"], whole["deconv1_2"], rtol=1e-4, atol=1e-3
        )
    # The files of the hub are as they were.
    assert "pool3" not in [
        o.name for o in onnx.load(hub / "2_3_4/1.0/net.encoder.onnx").graph.output
    ]


def test_a_model_whose_features_pass_is_not_demonstrated(hub):
    opened = hubs.open_hub(hub)
    (demo,) = demonstration.collect(opened)
    original, decoder = (onnx.load_from_string(demo.decoder) for _ in range(2))
    (weight,) = [t for t in decoder.graph.initializer if t.name == "bias4.weight"]
    weight.raw_data = np.eye(4, dtype=np.float32).tobytes()
    whole = runtime.load(hub / "2_3_4/1.0/net.onnx", "cpu")
    image = np.random.default_rng(0).normal(0, 60, (1, 3, 128, 128)).astype(np.float32)
    wanted = whole.run({"data": image})["deconv1_2"]
    encoder = onnx.load_from_string(demo.encoder)
    demonstration.compare("2_3_4@1.0", wanted, encoder, original, "pool3")
    with pytest.raises(HubError) as caught:
        demonstration.compare("2_3_4@1.0", wanted, encoder, decoder, "pool3")
    assert str(caught.value) == ("2_3_4@1.0: features reach its decoder; it cannot be demonstrated")


NASTY = '"><script>alert(1)</script>'


def test_what_a_hub_says_is_text(hub, photographs, no_runtime):
    index = schema.read((hub / "index.json").read_bytes(), "x")
    entry = dataclasses.replace(
        index.models[0],
        licence=NASTY,
        source=f"https://x/{NASTY}",
        metrics=(Metric("rmse", 0.5, NASTY),),
    )
    (hub / "index.json").write_text(schema.write(Index((entry,))))
    (photographs / "astronaut.png").rename(photographs / '"><b onclick=x>.png')
    build(hub, photographs)
    for name, page in pages(hub):
        assert "<script>" not in page.text
        assert ("&lt;script&gt;" in page.text) is (name != "demo.html")
        assert not any("onclick" in a for _, a in page.elements)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# A\n\n*b* `c`", "<h2>A</h2>\n<p><em>b</em> <code>c</code></p>\n"),
        ("###### A", "<h6>A</h6>\n"),
        ("<script>x</script>", "<p>&lt;script&gt;x&lt;/script&gt;</p>\n"),
        ("[a](javascript:x)", "<p>[a](javascript:x)</p>\n"),
        ("[a](https://b)", '<p><a href="https://b">a</a></p>\n'),
        ("![a](https://b/c.png)", '<p>!<a href="https://b/c.png">a</a></p>\n'),
        (
            "|a|\n|-|\n|b|",
            "<table>\n<thead>\n<tr>\n<th>a</th>\n</tr>\n</thead>\n"
            "<tbody>\n<tr>\n<td>b</td>\n</tr>\n</tbody>\n</table>\n",
        ),
    ],
)
def test_cards(text, html):
    assert markdown(text) == html


def test_the_same_again_changes_nothing_and_what_is_gone_goes(hub, photographs, no_runtime):
    build(hub, photographs)
    before = site(hub)
    stamps = {path: path.stat().st_mtime_ns for path in hub.rglob("*") if path.is_file()}
    build(hub, photographs)
    assert site(hub) == before
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    for path in sorted(photographs.iterdir())[1:]:
        path.unlink()
    build(hub, photographs, demo=False)
    left = {name for name in site(hub) if name.endswith((".html", ".jpg", ".mjs"))}
    assert left == {"index.html", "gallery/2_3_4/1.0.html", "gallery/photographs/1.jpg"}
    assert not (hub / "gallery/2_3_4/1.0/2.png").exists()
    (hub / "index.json").write_text(schema.write(Index()))
    build(hub, photographs)
    assert {name for name in site(hub) if name.endswith(".html")} == {"index.html"}
    assert "No model has been published here yet." in (hub / "index.html").read_text()
    # What is no part of the gallery stays.
    assert (hub / "2_3_4/1.0/net.onnx").is_file()


def test_what_is_of_other_people_stays(zoo, hub, photographs, no_runtime):
    (hub / "gallery").mkdir()
    (hub / "gallery/mine.png").write_text("mine")
    build(hub, photographs)
    # A list that means harm removes nothing but the gallery's.
    names = ["gallery/../index.json", "2_3_4/1.0/net.onnx", "/etc/passwd", "gallery/style.css", 7]
    (hub / "gallery/site.json").write_text(json.dumps({"files": [*names, "gallery/site.json"]}))
    (hub / "gallery/style.css").write_text("old")
    build(hub, photographs)
    assert (hub / "gallery/mine.png").read_text() == "mine"
    assert (hub / "gallery/style.css").read_text() != "old"
    assert hubs.locate("2_3_4", hub).is_file()
    before = site(hub)
    (hub / "gallery/site.json").unlink()
    (hub / "index.html").write_text("my own page")
    refusal = zoo("publish", "--gallery", "--hub", hub, "--images", photographs).refusal
    assert refusal == f"{hub}/index.html: is there, and not of a gallery; move it away"
    (hub / "index.html").unlink()
    build(hub, photographs)
    assert site(hub) == before


def test_the_package_carries_all_that_is_no_module():
    root = Path(__file__).resolve().parents[3]
    with (root / "pyproject.toml").open("rb") as file:
        stated = tomllib.load(file)["tool"]["setuptools"]
    carried = {
        path
        for package, patterns in stated["package-data"].items()
        for pattern in patterns
        for path in (root / package.replace(".", "/").replace("*", "zoo")).glob(
            pattern.replace("**", "**/*")
        )
    }
    for name in ("templates", "static"):
        assert set((root / "zoo/gallery" / name).iterdir()) <= carried
    assert root / "zoo/hub/embedded/index.json" in carried
    assert {"zoo.hub", "zoo.gallery"} <= set(stated["packages"])


def test_versions_each_have_a_page(hub, no_runtime):
    folder = hub / "2_3_4"
    shutil.copytree(folder / "1.0", folder / "1.1")
    index = schema.read((hub / "index.json").read_bytes(), "x")
    newer = dataclasses.replace(index.models[0], version="1.1")
    (hub / "index.json").write_text(schema.write(index.with_entry(newer)))
    build(hub)
    assert "gallery/2_3_4/1.1.html" in (hub / "index.html").read_text()
    assert "gallery/2_3_4/1.0.html" not in (hub / "index.html").read_text()
    assert 'href="../../gallery/2_3_4/1.0.html"' in (hub / "gallery/2_3_4/1.1.html").read_text()


def test_a_network_that_classifies_has_a_page(zoo, tmp_path, photographs):
    (tmp_path / "c.prototxt").write_text(architectures.definition("2_2_2", classify=True))
    assert zoo("convert", "c.prototxt", "--mean", "104,117,123").status == 0
    run = zoo(
        "publish",
        "c.onnx",
        "--hub",
        "hub",
        "--gallery",
        "--images",
        photographs,
        "--no-demo",
        "--json",
    )
    assert run.json["name"] == "classify2_2_2"
    assert run.json["gallery"] == ["hub/index.html", "hub/gallery/classify2_2_2/1.0.html"]
    text = (tmp_path / "hub/gallery/classify2_2_2/1.0.html").read_text()
    assert "What it makes of photographs" in text and "live.js" not in text


def test_a_broken_photograph_does_not_stop_the_gallery(zoo, hub, photographs, no_runtime):
    (photographs / "a.png").write_bytes(b"none")
    run = zoo("publish", "--gallery", "--hub", hub, "--images", photographs, "--json")
    assert run.json["skipped"] == 1
    said = f"{photographs}/a.png: left out: not an image, or a broken one"
    assert run.err == f"warning: {said}\n"
    text = (hub / "gallery/2_3_4/1.0.html").read_text()
    assert text.count("gallery/photographs/") >= 3 and "astronaut" in text
    for path in photographs.iterdir():
        path.write_bytes(b"none")
    before = site(hub)
    refusal = zoo("publish", "--gallery", "--hub", hub, "--images", photographs).refusal
    assert refusal == "none of the 4 images can be read"
    assert site(hub) == before


def test_what_was_tampered_with_is_not_shown(zoo, hub, photographs):
    path = hub / "2_3_4/1.0/net.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    before = site(hub)
    refusal = zoo("publish", "--gallery", "--hub", hub, "--images", photographs).refusal
    assert refusal.startswith(f"{path}: its size or sha256 is not the one in the index")
    assert site(hub) == before


def test_the_runtime_that_cannot_be_had(zoo, cache, hub, tmp_path, monkeypatch):
    before = site(hub)
    monkeypatch.setenv("PATH", "")
    leave = "leave the demonstration out with --no-demo"
    hint = f"give it with --runtime-web {vendor.RUNTIME.file}, or {leave}"
    assert zoo("publish", "--gallery", "--hub", hub).refusal == (
        f"the demonstration needs onnxruntime-web, and there is no npm to fetch it; {hint}"
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/npm").write_text("#!/bin/sh\necho wrong > onnxruntime-web.tgz\n")
    (tmp_path / "bin/npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    assert zoo("publish", "--gallery", "--hub", hub).refusal == (
        f"npm cannot fetch onnxruntime-web {vendor.RUNTIME.version}; {hint}"
    )
    (tmp_path / "x.tgz").write_bytes(b"x")
    assert zoo("publish", "--gallery", "--hub", hub, "--runtime-web", "x.tgz").refusal == (
        f"x.tgz: not onnxruntime-web {vendor.RUNTIME.version}: its sha256 differs; "
        f"`npm pack onnxruntime-web@{vendor.RUNTIME.version}` fetches it"
    )
    refusal = zoo("publish", "--gallery", "--hub", hub, "--runtime-web", "no.tgz").refusal
    assert refusal == "no.tgz: no such file"
    assert site(hub) == before
    assert not list((cache / "npm").iterdir())
    run = zoo("publish", "--gallery", "--hub", hub, "--no-demo")
    assert run.status == 0 and f"gallery  {hub}/index.html, 2 pages" in run.out


def test_other_refusals(zoo, hub, tmp_path):
    assert zoo("publish", "--hub", hub).status == 2
    assert zoo("publish", "--hub", hub, "x.onnx", "--images", "y").status == 2
    refusal = zoo("publish", "--gallery", "--hub", hub, "--images", "none").refusal
    assert refusal == "none: no such file or folder"
    (tmp_path / "empty").mkdir()
    refusal = zoo("publish", "--gallery", "--hub", "empty").refusal
    assert refusal.startswith("hub empty: there is no index.json in it")
    assert list((tmp_path / "empty").iterdir()) == []
