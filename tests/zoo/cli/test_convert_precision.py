"""`zoo convert --precision`: the report, and what is refused in one line."""

from __future__ import annotations

import cv2
import pytest

import runtime


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, image in runtime.sample_images():
        cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(image, (16, 16)))
    return folder


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_it_tells_what_it_cost(zoo, small, photos, tmp_path, precision):
    data = zoo("convert", small, "--precision", precision, "--calibrate", photos, "--json").json
    assert data["precision"] == precision
    cost = data["cost"]
    assert cost["images"] == 4 and cost["flipped"] == 0 and cost["switches"] > 0
    assert set(cost["rmse"]) == set(cost["bytes"]) == {"float32", precision}
    assert cost["bytes"][precision] == (tmp_path / "small.onnx").stat().st_size
    assert data["files"][0]["bytes"] == cost["bytes"][precision]
    assert cost["outputs"][0]["output"] == "deconv1_2"
    assert set(cost["milliseconds"]) == {"float32", precision}
    model = runtime.load(tmp_path / "small.onnx", "cpu")
    assert model.metadata["zoo.precision"] == precision


def test_people_read_it(zoo, small):
    run = zoo("convert", small, "--precision", "float16")
    assert run.status == 0, run.err
    for word in ("float16 in", "RMSE", "0 of", "flipped", "KiB, then", "ms, then"):
        assert word in run.out, run.out
    assert "no --calibrate: measured on 4 sample photographs" in run.out


def test_float32_tells_of_no_cost(zoo, small, tmp_path):
    data = zoo("convert", small, "--json").json
    assert data["precision"] == "float32" and data["cost"] is None
    assert "zoo.precision" not in runtime.load(tmp_path / "small.onnx", "cpu").metadata


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--precision", "int8"], "--precision int8: needs images"),
        (["--precision", "float16", "--split"], "leave --split out"),
        (["--precision", "float16", "--external-data"], "leave --external-data out"),
        (["--calibrate", "."], "--calibrate is for fewer bits than float32; add --precision int8"),
    ],
)
def test_contradictions_are_one_line(zoo, small, tmp_path, options, said):
    run = zoo("convert", small, *options)
    assert run.status == 2 and run.out == ""
    assert said in run.err and run.err.count("\n") == 1
    assert not (tmp_path / "small.onnx").exists()


def test_a_folder_without_images_is_refused(zoo, small, tmp_path):
    (tmp_path / "empty").mkdir()
    said = zoo("convert", small, "--precision", "int8", "--calibrate", "empty").refusal
    assert "empty: no images in it" in said
    said = zoo("convert", small, "--precision", "int8", "--calibrate", "nowhere").refusal
    assert "nowhere: no such file or folder" in said


def test_an_unknown_precision_is_refused(zoo, small):
    run = zoo("convert", small, "--precision", "int4")
    assert run.status == 2 and "int4" in run.err
