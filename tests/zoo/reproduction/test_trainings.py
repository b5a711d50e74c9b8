"""Networks trained by the authors' recipe, beside the authors' weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prototxt import ZooError
from tests.zoo.drawn import folder_of
from zoo.progress import unheard
from zoo.reproduction import controls, trainings
from zoo.reproduction.inputs import Inputs


@pytest.fixture
def folder(zoo, tmp_path: Path) -> Path:
    """8_8_8 after two iterations of the authors' solver, random and pretrained."""
    photos = folder_of(tmp_path)
    for name, more in (("random", ()), ("pretrained", ("--pretrained", "--classes", photos))):
        run = zoo(
            "train", "--arch", "8_8_8", "--recipe", "paper", "--data", photos, "--hold-out", 2,
            "--iterations", 2, "--device", "cpu", *more, "-o", tmp_path / "trained" / name,
            "--quiet",
        )  # fmt: skip
        assert run.status == 0, run.err
    return tmp_path / "trained"


@pytest.mark.slow
def test_they_are_measured_beside_the_authors_weights(zoo, folder, tmp_path):
    """The authors' weights are here those of the random encoder, under their file's name."""
    photos, one = next(p for p in tmp_path.iterdir() if p.name != "trained"), folder / "random"
    inputs = Inputs(
        {
            "trainings": folder, "photographs": photos, "caffemodels": one,
            "mean": one / "mean.binaryproto",
        },
        held_out=2,
    )  # fmt: skip
    made = trainings.again(inputs, unheard)
    rows = {row.encoder: row for row in trainings.chosen() if row.arch == "8_8_8"}
    words = ["--data", photos, "--held-out", 2, "--json"]
    for encoder, row in rows.items():
        where = folder / encoder
        mean = ["--mean", where / "mean.binaryproto"]
        told = zoo("eval", "--model", where / "8_8_8.onnx", *mean, *words).json["rmse"]
        assert made.values[trainings.error(row)] == pytest.approx(told, abs=5e-7)
    assert made.values[trainings.ratio(rows["random"])] == pytest.approx(1.0)
    assert trainings.ratio(rows["pretrained"]) not in made.values
    notes = sorted(made.notes)
    assert "--pretrained" in notes[1] and "--pretrained" not in notes[0]
    assert all("2 iterations" in note and "--seed 0" in note for note in notes)
    assert "its encoder learned 1 classes of 8 images before, 2 iterations" in notes[1]
    assert made.pictures[0].png.startswith(b"\x89PNG")
    # beside the others in the talk's control
    made = controls.encoders(inputs, unheard)
    names = {"authors', random", "pretrained here", "ours, random", "ours, learned"}
    assert {f"RMSE of 8_8_8, {name}" for name in names} <= made.values.keys()
    assert "RMSE of 16_16_16, pretrained here" not in made.values
    captions = ["16_16_16: encoders side by side", "8_8_8: encoders side by side"]
    assert [picture.caption for picture in made.pictures] == captions


def test_other_files_are_passed_by_and_broken_ones_told(tmp_path):
    (tmp_path / "other.json").write_text(json.dumps({"recipe": "modern"}))
    assert list(trainings.trainings(tmp_path)) == []
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ZooError, match=r"broken\.json: no JSON"):
        list(trainings.trainings(tmp_path))


def test_a_note_names_the_gpu():
    card = {
        "arch": "8_8_8", "encoder": "random", "held_out": 100, "seed": 0, "data": "photographs",
        "training_images": 600, "iterations": 50_000, "seconds": 520.0,
    }  # fmt: skip
    told = trainings.Training(Path(), card).told
    assert told.endswith("50,000 iterations in 9 minutes")
    assert trainings.Training(Path(), {**card, "device": "cpu"}).told == told
    assert trainings.Training(Path(), {**card, "device": "G"}).told == f"{told} on G"
