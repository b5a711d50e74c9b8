"""`zoo eval` and `zoo reconstruct`: images through a network and back."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import runtime
from zoo.paper import architectures

# A network that gives back its input plus 25.5: the RMSE is 0.1, whatever the image.
OFFSET = """
input: "data"
input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer {
  name: "shift" type: "Convolution" bottom: "data" top: "image"
  convolution_param {
    num_output: 3 kernel_size: 1 group: 3
    weight_filler { type: "constant" value: 1 }
    bias_filler { type: "constant" value: 25.5 }
  }
}
"""


@pytest.fixture
def offset(zoo, tmp_path) -> str:
    (tmp_path / "offset.prototxt").write_text(OFFSET)
    assert zoo("convert", "offset.prototxt", "--mean", "104,117,123").status == 0
    return "offset.onnx"


@pytest.fixture
def photographs(tmp_path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, image in runtime.sample_images()[:3]:
        runtime.write_png(folder / f"{name}.png", image[::4, ::4])
    return folder


def test_the_rmse_of_a_network_that_is_off_by_a_tenth(zoo, offset, photographs):
    data = zoo("eval", "--model", offset, "--data", photographs, "--json").json
    assert data["rmse"] == pytest.approx(0.1, abs=1e-6)
    assert (data["images"], data["skipped"]) == (3, 0)
    assert data["arch"] is None and data["published"] is None and data["bits_per_pixel"] is None
    assert data["provider"].lower().startswith(("cpu", "cuda"))


def test_without_data_the_samples_are_evaluated_and_named(zoo, offset):
    run = zoo("eval", "--model", offset)
    assert run.status == 0
    assert "RMSE" in run.out and "0.1000" in run.out
    assert "note: no --data: evaluated scikit-image's sample photographs (astronaut" in run.out
    assert zoo("eval", "--model", offset, "--limit", 2, "--json").json["images"] == 2


def test_a_network_of_the_paper(zoo, small):
    zoo("convert", small)
    data = zoo("eval", "--model", "small.onnx", "--json").json
    assert data["arch"] == "2_3_4"
    assert data["published"] is None
    assert data["bits_per_pixel"] == architectures.bits_per_pixel("2_3_4")
    assert data["size"] == [16, 16]
    assert any("untrained" in note for note in data["notes"])
    assert any("took ImageNet's" in note for note in data["notes"])


def test_the_published_figures_stand_beside(zoo, tmp_path):
    (tmp_path / "net.prototxt").write_text(architectures.definition("16_16_16", 32))
    zoo("convert", "net.prototxt")
    common = ["eval", "--model", "net.onnx", "--size", "32", "--limit", 1]
    assert zoo(*common, "--json").json["published"] == 0.1210
    data = zoo(*common, "--pretrained", "--json").json
    assert (data["published"], data["published_encoder"]) == (0.1156, "pretrained")
    assert "cannot meet" in zoo(*common).out
    refusal = zoo(*common, "--arch", "8_8_8").refusal
    assert refusal == "net.onnx: is the paper's 16_16_16, not 8_8_8; mend --arch or --model"


def test_a_database_and_the_images_held_out(zoo, offset, photographs, tmp_path):
    zoo("data", "build", photographs, "db.lmdb", "--size", "8", "--encoded")
    folder = zoo("eval", "--model", offset, "--data", photographs, "--json").json
    database = zoo("eval", "--model", offset, "--data", "db.lmdb", "--json").json
    assert database["rmse"] == folder["rmse"] and database["images"] == folder["images"]
    part = zoo("eval", "--model", offset, "--data", "db.lmdb", "--held-out", 1, "--json").json
    assert part["images"] == 1
    assert "`zoo train --hold-out 1` leaves out" in part["notes"][0]


def test_an_arch_is_found_in_the_hub(zoo, published, photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HUB", str(published))
    for arch in ("2_3_4", "2_3_4@1.0"):
        data = zoo("eval", "--arch", arch, "--data", photographs, "--json").json
        assert data["arch"] == "2_3_4"
        assert data["model"] == str(published / "2_3_4/1.0/net.onnx")
        run = zoo("reconstruct", photographs, "--arch", arch, "-o", "pictures", "--json")
        assert len(run.json["pictures"]) == 3
    there = "; it has 2_3_4; or give one with --model M.onnx"
    for command in (["eval"], ["reconstruct", photographs, "-o", "other"]):
        assert zoo(*command, "--arch", "64_64_64").refusal == (
            f"no model '64_64_64' in the hub {published}{there}"
        )
    run = zoo("eval")
    assert (run.status, run.err) == (2, "error: neither --arch nor --model is given\n")
    # Without either, pictures are drawn by the network that rebuilds best.
    assert "no model '48_96_192'" in zoo("reconstruct", photographs, "-o", "other").refusal
    assert zoo("eval", "--arch", "2_3_4", "--pretrained").refusal == (
        f"no model '2_3_4' with a pretrained encoder in the hub {published}{there}"
    )
    assert not (tmp_path / "other").exists()


def test_a_broken_image_is_left_out_and_told(zoo, offset, photographs):
    (photographs / "broken.png").write_bytes(b"\x89PNG nothing more")
    run = zoo("eval", "--model", offset, "--data", photographs, "--json")
    assert (run.json["images"], run.json["skipped"]) == (3, 1)
    assert run.err.startswith("warning: ") and "broken.png" in run.err


def test_a_mean_that_the_model_does_not_state(zoo, offset, photographs, tmp_path):
    np.save(tmp_path / "mean.npy", np.full((3, 8, 8), 100, np.float32))
    data = zoo("eval", "--model", offset, "--data", photographs, "--mean", "mean.npy", "--json")
    assert data.json["rmse"] == pytest.approx(0.1, abs=1e-6)
    refusal = zoo("eval", "--model", offset, "--data", photographs, "--mean", "1,2").refusal
    assert "mean 1,2" in refusal


def test_a_report(zoo, offset, photographs, tmp_path):
    data = zoo(
        "eval", "--model", offset, "--data", photographs, "--report", "out/report", "--json"
    ).json
    folder = tmp_path / "out/report"
    names = {path.name for path in folder.iterdir()}
    assert names == {"report.md", "report.json", "astronaut.png", "chelsea.png", "coffee.png"}
    assert {Path(path).name for path in data["report"]} == names
    written = json.loads((folder / "report.json").read_text())
    assert written["rmse"] == data["rmse"]
    assert [round(row["rmse"], 6) for row in written["per_image"]] == [0.1] * 3
    text = (folder / "report.md").read_text()
    assert "| RMSE | 0.1000 |" in text
    assert "(astronaut.png)" in text
    assert runtime.read_image(folder / "chelsea.png").shape[1] > 2 * 128


def test_a_report_of_images_with_odd_names(zoo, offset, photographs, tmp_path):
    """Bytes that are no UTF-8, line ends, what drives a terminal: written, shown, linked."""
    odd = os.fsdecode(b"latin\xff two\nlines\x1b[31m|.png")
    (photographs / "coffee.png").rename(photographs / odd)
    (photographs / "broken\n\x1b.jpg").write_bytes(b"none")
    zoo("eval", "--model", offset, "--data", photographs, "--report", "out")
    assert (tmp_path / "out" / odd).is_file()
    text = (tmp_path / "out/report.md").read_text()
    assert (
        "![latin\\udcff two\\nlines\\x1b[31m\\|.png, RMSE 0.1000]"
        "(latin%FF%20two%0Alines%1B%5B31m%7C.png)" in text.splitlines()
    )
    assert "broken\\n\\x1b.jpg: not an image, or a broken one" in text


def test_a_report_names_options(zoo, offset, tmp_path):
    zoo("eval", "--model", offset, "--limit", 1, "--report", "out")
    note = "no --data: evaluated scikit-image's sample photographs ("
    assert f"- {note}" in (tmp_path / "out/report.md").read_text()
    assert json.loads((tmp_path / "out/report.json").read_text())["notes"][0].startswith(note)


def test_a_report_where_a_file_is_in_the_way(zoo, offset, tmp_path):
    (tmp_path / "taken").write_text("x")
    refusal = zoo("eval", "--model", offset, "--limit", 1, "--report", "taken").refusal
    assert refusal == "taken: is a file, not a folder; give a folder"


def test_reconstruct_draws_each_image(zoo, offset, photographs, tmp_path):
    single = photographs / "coffee.png"
    data = zoo(
        "reconstruct", photographs, single, "--model", offset, "-o", "pictures", "--json"
    ).json
    drawn = {Path(row["picture"]).name for row in data["pictures"]}
    assert drawn == {"astronaut.png", "chelsea.png", "coffee.png", "coffee-2.png"}
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == drawn
    assert all(row["rmse"] == pytest.approx(0.1, abs=1e-6) for row in data["pictures"])
    run = zoo("reconstruct", single, "--model", offset, "-o", "pictures")
    assert run.status == 0 and "0.1000" in run.out


def test_reconstruct_shows_original_and_result(zoo, tmp_path):
    """A network that gives nothing leaves the mean colour on the right."""
    (tmp_path / "n.prototxt").write_text(
        OFFSET.replace('"constant" value: 1', '"constant"').replace("25.5", "0")
    )
    assert zoo("convert", "n.prototxt", "--mean", "10,20,30").status == 0
    image = np.zeros((8, 8, 3), np.uint8)
    image[:] = (200, 100, 50)
    runtime.write_png(tmp_path / "flat.png", image)
    assert zoo("reconstruct", "flat.png", "--model", "n.onnx", "-o", ".x").status == 0
    colours = runtime.read_image(tmp_path / ".x/flat.png").reshape(-1, 3)
    left, right = (
        (colours == colour).all(axis=1).sum() for colour in [(200, 100, 50), (10, 20, 30)]
    )
    assert left == right > 10_000


def test_a_broken_image_does_not_stop_the_others(zoo, offset, photographs, tmp_path):
    (photographs / "bad.png").write_bytes(b"x")
    run = zoo("reconstruct", photographs, "--model", offset, "-o", "d", "--json")
    assert (len(run.json["pictures"]), run.json["skipped"]) == (3, 1)
    said = f"{photographs}/bad.png: left out: not an image, or a broken one"
    assert run.err == f"warning: {said}\n"
    assert len(list((tmp_path / "d").iterdir())) == 3
    # eval says the same
    assert zoo("eval", "--data", photographs, "--model", offset).err == run.err


def test_where_no_image_can_be_read_nothing_is_written(zoo, offset, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"x")
    (tmp_path / "worse.png").write_bytes(b"y")
    command = ["reconstruct", "--model", offset, "-o", "d", "bad.png"]
    assert zoo(*command).refusal.startswith("bad.png: not an image")
    assert zoo(*command, "worse.png").refusal == "none of the 2 images can be read"
    assert not (tmp_path / "d").exists()


def test_pictures_go_into_a_folder_of_their_own(zoo, offset, photographs, tmp_path):
    assert zoo("reconstruct", photographs, "--model", offset).status == 0
    assert len(list((tmp_path / "reconstructions").iterdir())) == 3


def test_photographs_are_not_overwritten(zoo, offset, photographs):
    before = (photographs / "coffee.png").read_bytes()
    run = zoo("reconstruct", photographs / "coffee.png", "--model", offset, "-o", photographs)
    assert run.status == 2
    assert "coffee.png: would overwrite its own input; give another -o" in run.err
    assert (photographs / "coffee.png").read_bytes() == before


@pytest.mark.parametrize("command", [["eval"], ["reconstruct", "x.png", "-o", "d"]])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("missing.onnx", None, "missing.onnx: no such file"), ("bad.onnx", b"garbage", "bad.onnx: ")],
)
def test_models_that_are_none(zoo, tmp_path, command, name, content, said):
    if content:
        (tmp_path / name).write_bytes(content)
    assert zoo(*command, "--model", name).refusal.startswith(said)


def test_networks_that_reconstruct_nothing_are_refused(zoo, small, tmp_path, photographs):
    zoo("convert", small, "--output", "conv1_2", "-o", "features.onnx")
    refusal = zoo("eval", "--model", "features.onnx").refusal
    assert "no output is an image like the input" in refusal
    (tmp_path / "c.prototxt").write_text(architectures.definition("2_2_2", classify=True))
    zoo("convert", "c.prototxt")
    run = zoo("eval", "--model", "c.onnx")
    assert run.status == 2
    assert "--data is missing; give --data DIR with images whose truth is known" in run.err
    assert zoo("eval", "--model", "c.onnx", "--task", "reconstruct").refusal == (
        "c.onnx: classifies, and reconstructs no image; convert a `net*` definition"
    )
    zoo("convert", small, "--split")
    assert "not one image" in zoo("eval", "--model", "small.decoder.onnx").refusal


def test_a_size_that_the_model_does_not_take(zoo, small):
    assert zoo("convert", small, "--shape", "data=1x3x16x16").status == 0
    assert zoo("eval", "--model", "small.onnx", "--json").json["size"] == [16, 16]
    run = zoo("eval", "--model", "small.onnx", "--size", "32")
    assert run.status == 2
    assert "the model takes 16x16 only" in run.err


FIGURES = {
    "net8_8_8": 0.1438,
    "net6_12_24": 0.1365,
    "net16_16_16": 0.1190,
    "net12_24_48": 0.1114,
    "net64_64_64": 0.0733,
    "net16_16_16Pretrain": 0.1141,
    "net12_24_48Pretrain": 0.1177,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_the_figures_that_caffe_gives(zoo, shared, name):
    tunnel = shared / "caffe/tunnel"
    arch = name.removeprefix("net").removesuffix("Pretrain")
    pretrained = ["--pretrained"] if name.endswith("Pretrain") else []
    weights = tunnel / f"caffemodel/{name}_iter_50000.caffemodel"
    net = tunnel / f"prototxt/net{arch}.prototxt"
    assert zoo("convert", net, "--weights", weights, "-o", "m.onnx").status == 0
    data = zoo(
        *("eval", "--arch", arch, "--model", "m.onnx", *pretrained, "--json"),
        *("--data", shared / "images/imagenet-dev"),
        *("--mean", tunnel / "mean_bgr_128.npy"),
    ).json
    assert data["rmse"] == pytest.approx(FIGURES[name], abs=1e-4)
    assert data["images"] == 500
    assert data["published"] == architectures.published(arch, bool(pretrained))
    assert data["bits_per_pixel"] == architectures.bits_per_pixel(arch)
