"""Cards: what model hubs read of them, what stays, and what a person can do with them."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

import runtime
from runtime.feeding import resolve
from tests.zoo.drawn import photographs
from tests.zoo.hub.test_publish import edited
from zoo import hub as hubs
from zoo.errors import HubError
from zoo.hub import cards
from zoo.hub.index import Metric
from zoo.paper import architectures

BIBTEX = "@misc{tunnel,\n  title={Tunnel Effect},\n\tyear={2020}\n}\n"


@pytest.fixture
def model(zoo, small, tmp_path) -> Path:
    assert zoo("convert", small, "--mean", "104,117,123").status == 0
    return tmp_path / "small.onnx"


def card(folder: Path, version: str = "2_3_4/1.0") -> str:
    return (folder / version / "README.md").read_text("utf-8")


def test_what_hugging_face_reads(model, tmp_path):
    repocard = pytest.importorskip("huggingface_hub")
    (tmp_path / "tunnel.bib").write_text(BIBTEX)
    (tmp_path / "eval.md").write_text("# Small\n\nA network – with ümlauts.\n")
    hubs.publish(
        [model],
        tmp_path / "hub",
        card=tmp_path / "eval.md",
        licence="BSD-2-Clause",
        source="https://example.org/repository",
        metrics=[Metric("rmse", 1e-05, "imagenet-dev, held out", 100), Metric("psnr", 24.0, "")],
        datasets=["imagenet-1k", "me/photos"],
        bibtex=tmp_path / "tunnel.bib",
    )
    found = repocard.ModelCard.load(tmp_path / "hub/2_3_4/1.0/README.md")
    data = found.data
    assert (data.license, data.library_name) == ("bsd-2-clause", "onnx")
    assert data.pipeline_tag == "image-to-image"
    assert data.tags == ["onnx", "onnxruntime", "caffe"]
    assert data.datasets == ["imagenet-1k", "me/photos"]
    assert data.model_name == "2_3_4"
    rmse, psnr = data.eval_results
    assert (rmse.metric_type, rmse.metric_value) == ("rmse", 1e-05)
    assert (rmse.dataset_name, rmse.dataset_type) == (
        "imagenet-dev, held out",
        "imagenet-dev-held-out",
    )
    assert (rmse.task_type, psnr.metric_value) == ("image-to-image", 24.0)
    text = found.text
    assert "A network – with ümlauts." in text.partition(cards.MARK)[0]
    assert "<https://example.org/repository>" in text
    entry = hubs.open_hub(tmp_path / "hub").index.models[0]
    assert entry.models[0].sha256 in text
    assert re.search(r"\| definition \| `small.prototxt` \| `[0-9a-f]{64}` \|", text)
    assert "nobody trained them: fillers, seed 0" in text
    assert "```bibtex\n@misc{tunnel,\n  title={Tunnel Effect},\n  year={2020}\n}\n```" in text


@pytest.mark.parametrize(
    ("licence", "front"),
    [
        ("MIT", {"license": "mit"}),
        ("GPL-3.0-or-later", {"license": "gpl-3.0"}),
        ("CC-BY-NC-4.0", {"license": "cc-by-nc-4.0"}),
        ("My own", {"license": "other", "license_name": "my-own"}),
        ("", {}),
    ],
)
def test_licences(model, tmp_path, licence, front):
    entry = hubs.publish([model], tmp_path / "hub", licence=licence).entry
    found = cards.front_matter(entry, {})
    assert {key: value for key, value in found.items() if "license" in key} == front
    assert yaml.safe_load(card(tmp_path / "hub").split("---\n")[1]) == found


@pytest.mark.parametrize(
    ("task", "tag"),
    [
        ("classify", "image-classification"),
        ("detect", "object-detection"),
        ("segment", "image-segmentation"),
        ("reconstruct", "image-to-image"),
        ("image-to-image", "image-to-image"),
        ("other", None),
    ],
)
def test_tasks(model, tmp_path, task, tag):
    edited(str(model), "task.onnx", zoo__task=task)
    entry = hubs.publish([tmp_path / "task.onnx"], tmp_path / "hub", name="x").entry
    assert entry.task == task
    assert cards.split(card(tmp_path / "hub", "x/1.0"))[0].get("pipeline_tag") == tag


def run_python(text: str, folder: Path, model: Path, monkeypatch) -> dict:
    """What the card's own example leaves."""
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / model.name).write_bytes(model.read_bytes())
    cv2.imwrite(str(folder / "photo.jpg"), photographs(1, 48)[0])
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)
    return names


@pytest.mark.parametrize("options", [[], ["--crop", "32", "--scale", "0.5"], ["--crop", "16"]])
@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_the_example_feeds_as_the_runtime_does(zoo, small, tmp_path, monkeypatch, options, order):
    run = zoo("convert", small, "--mean", "104,117,123", "--channel-order", order, *options)
    assert run.status == 0, run.err
    hubs.publish([tmp_path / "small.onnx"], tmp_path / "hub")
    names = run_python(card(tmp_path / "hub"), tmp_path, tmp_path / "small.onnx", monkeypatch)
    model = runtime.load(tmp_path / "small.onnx", "cpu")
    how, size, _ = resolve(model.metadata)
    feeder = runtime.Feeder(model, how.mean_values(3), size)
    wanted = feeder.blob(cv2.imread(str(tmp_path / "photo.jpg")))
    assert np.array_equal(names["blob"], wanted)
    assert np.array_equal(names["found"][0], model.run({"data": wanted[None]})["deconv1_2"])


def test_a_mean_that_is_not_known(zoo, small, tmp_path, monkeypatch):
    assert zoo("convert", small).status == 0
    run = zoo("publish", "small.onnx", "--hub", "hub", "--json")
    assert run.status == 0, run.err
    assert any(note.startswith("its mean is not known") for note in run.json["notes"])
    entry = hubs.open_hub(tmp_path / "hub").index.models[0]
    assert entry.preprocessing is not None and entry.preprocessing.mean is None
    assert json.loads((tmp_path / "hub/index.json").read_text())["schema"] == 2
    text = card(tmp_path / "hub")
    assert "minus a mean that is **not known**" in text
    names = run_python(text, tmp_path, tmp_path / "small.onnx", monkeypatch)
    assert names["blob"].max() > 1
    assert zoo("publish", "--gallery", "--hub", "hub", "--no-demo").status == 0
    page = (tmp_path / "hub/gallery/2_3_4/1.0.html").read_text()
    assert "The model does not state its mean: this is a guess." in page


def test_a_network_that_takes_no_image(zoo, small, tmp_path):
    zoo("convert", small, "--mean", "1", "--split")
    hubs.publish([tmp_path / "small.decoder.onnx"], tmp_path / "hub")
    text = card(tmp_path / "hub")
    assert "An image in" not in text and "```python" not in text and "int64" in text


def test_the_text_stays_and_the_facts_are_mended(zoo, model, tmp_path):
    (tmp_path / "card.md").write_text("---\nlanguage: en\ntags: [mine]\n---\n# Mine\n\nText.\n")
    command = ["publish", "small.onnx", "--hub", "hub"]
    assert zoo(*command, "--card", "card.md", "--json").json["outcome"] == "published"
    first = card(tmp_path / "hub")
    assert zoo(*command, "--json").json["outcome"] == "unchanged"
    assert card(tmp_path / "hub") == first
    assert zoo(*command, "--licence", "MIT", "--json").json["outcome"] == "mended"
    front, text = cards.split(card(tmp_path / "hub"))
    assert text == "# Mine\n\nText."
    assert (front["language"], front["license"]) == ("en", "mit")
    assert front["tags"] == ["mine", "onnx", "onnxruntime", "caffe"]
    (tmp_path / "card.md").write_text("# Other\n")
    assert zoo(*command, "--card", "card.md", "--json").json["outcome"] == "mended"
    assert cards.split(card(tmp_path / "hub"))[1] == "# Other"
    assert cards.split(card(tmp_path / "hub"))[0]["license"] == "mit"
    # What it made is a card that may be given.
    (tmp_path / "card.md").write_text(card(tmp_path / "hub"))
    assert zoo(*command, "--card", "card.md", "--json").json["outcome"] == "unchanged"
    assert zoo("pull", "2_3_4", "--hub", "hub", "-o", "out").status == 0


def test_an_older_hub_is_read_and_its_card_taken_over(zoo, model, tmp_path):
    """A hub of before: card.md, as it was given."""
    hubs.publish([model], tmp_path / "hub")
    version = tmp_path / "hub/2_3_4/1.0"
    (version / "README.md").unlink()
    (version / "card.md").write_text("# Old\n")
    index = json.loads((tmp_path / "hub/index.json").read_text())
    _, old = index["models"][0]["files"]
    size, digest = 6, hubs.publishing._described("card.md", b"# Old\n").sha256
    old |= {"name": "card.md", "size": size, "sha256": digest}
    (tmp_path / "hub/index.json").write_text(json.dumps(index))
    assert zoo("pull", "2_3_4", "--hub", "hub", "-o", "out").status == 0
    assert (tmp_path / "out/card.md").read_text() == "# Old\n"
    assert zoo("publish", "small.onnx", "--hub", "hub", "--json").json["outcome"] == "mended"
    assert {path.name for path in version.iterdir()} == {"small.onnx", "README.md"}
    assert cards.split(card(tmp_path / "hub"))[1] == "# Old"


@pytest.mark.parametrize("call", [1, 2])
def test_a_mend_that_fails_leaves_the_card_as_it_was(zoo, model, tmp_path, monkeypatch, call):
    hubs.publish([model], tmp_path / "hub")
    before = card(tmp_path / "hub"), (tmp_path / "hub/index.json").read_bytes()
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == call:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("prototxt.files.os.fsync", full)
    refusal = zoo("publish", "small.onnx", "--hub", "hub", "--licence", "MIT").refusal
    assert refusal.endswith(": cannot be written: No space left on device")
    assert (card(tmp_path / "hub"), (tmp_path / "hub/index.json").read_bytes()) == before
    assert zoo("pull", "2_3_4", "--hub", "hub").status == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("---\na: [\n---\n", "its front matter is no YAML in line 3"),
        ("---\n- a\n---\n", "its front matter has no names and values"),
        ("---\n1: a\n---\n", "its front matter has no names and values"),
        ("---\na: !!python/object:os.system {}\n---\n", "its front matter is no YAML in line 2"),
        ("---\n" + "[" * 100_000 + "\n---\n", "its front matter is no YAML"),
        ("x" * (1 << 20 | 1), "1,048,577 bytes; at most 1,048,576 are read"),
    ],
)
def test_cards_that_are_none(zoo, model, tmp_path, content, said):
    (tmp_path / "bad.md").write_text(content)
    refusal = zoo("publish", "small.onnx", "--hub", "hub", "--card", "bad.md").refusal
    assert refusal.startswith(f"bad.md: {said}")
    assert not (tmp_path / "hub").exists()


def test_bibtex_that_is_none(zoo, model, tmp_path):
    (tmp_path / "bad.bib").write_text("title: x\n")
    refusal = zoo("publish", "small.onnx", "--hub", "hub", "--bibtex", "bad.bib").refusal
    assert refusal == "bad.bib: not BibTeX: it does not begin with @"
    with pytest.raises(HubError, match=r"none\.bib: no such file"):
        cards.read_bibtex(tmp_path / "none.bib")


def test_nothing_that_others_wrote_is_markup(model, tmp_path):
    edited(
        str(model),
        "evil.onnx",
        caffe__prototxt="a`|<img src=x>\n# head",
        zoo__version="[x](http://evil)",
    )
    entry = hubs.publish(
        [tmp_path / "evil.onnx"], tmp_path / "hub", name="e", source="<script>a</script>|b"
    ).entry
    from zoo.gallery.pages import markdown

    shown = markdown(card(tmp_path / "hub", "e/1.0").partition(cards.MARK)[2])
    assert "<script" not in shown and "<img" not in shown and "href" not in shown
    assert "<h2>head" not in shown and shown.count("<table>") == 3
    assert entry.source == "<script>a</script>|b"


def test_the_embedded_hub_has_its_older_cards():
    opened = hubs.open_hub()
    entries = [entry for entry in opened.index.models if entry.arch]
    named = {entry.version: entry.card.name for entry in entries if entry.card}
    assert named == {"1.1": "card.md", "1.2": "README.md"}
    text = (opened.folder / "8_8_8/1.1/card.md").read_text("utf-8")
    assert cards.split(text) == ({}, text.strip())
    assert architectures.PUBLISHED["random"]["8_8_8"]
