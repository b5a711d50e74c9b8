"""Networks for small files learn, from the command to the file, and go on as if never stopped."""

from __future__ import annotations

import dataclasses
import json
import shutil

import cv2
import numpy as np
import onnx
import pytest
import torch

import prototxt
import runtime
from runtime.encoder_decoder import load_encoder_decoder
from tests.faults.commands import content
from zoo.compression.embed import embed
from zoo.compression.learning import RateLearning, RateRecipe
from zoo.compression.training import RateRun
from zoo.hub import open_hub
from zoo.paper.recipes.crops import cut_middle, cut_pool
from zoo.paper.recipes.images import Images, told

NAME = "3_4_5-rate-4"
RECIPE = RateRecipe(iterations=12, batch=4, crop=32, number=4)


@pytest.fixture(scope="module")
def pool() -> np.ndarray:
    return cut_pool([image for _, image in runtime.sample_images()], 8, 64)


def run_in(folder, pool: np.ndarray, **how) -> RateRun:
    mean = pool.mean((0, 2, 3)).round(3).reshape(3, 1, 1)
    images = Images(pool, cut_middle([p.transpose(1, 2, 0) for p in pool[:2]], 96), mean, "pool", 4)
    return RateRun(NAME, images, dataclasses.replace(RECIPE, **how), folder)


@pytest.mark.slow
def test_it_learns(pool):
    """Error and bits both fall, and weigh as the rate says."""
    mean = pool.mean((0, 2, 3)).reshape(3, 1, 1)
    recipe = dataclasses.replace(RECIPE, iterations=80, ramp=0)
    training = RateLearning((8, 8, 8), pool, mean, recipe)
    before = training.tested(pool[:8])
    told = [event.values for event in training.run() if event.kind == "train"]
    after = training.tested(pool[:8])
    assert before["bits_per_pixel"] == pytest.approx(2 * 8 / 64, rel=1e-4)
    assert after["rmse"] < 0.75 * before["rmse"]
    assert after["bits_per_pixel"] < 0.95 * before["bits_per_pixel"]
    for values in told:
        cost = 255**2 * 0.013 * values["rmse"] ** 2 + values["bits_per_pixel"]
        assert values["loss"] == pytest.approx(cost)


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("moment", [5, RECIPE.iterations])
def test_killed_and_resumed_it_ends_the_same(tmp_path, pool, moment, ema, monkeypatch):
    from zoo.paper.recipes import run as recipe_run

    monkeypatch.setattr(recipe_run, "SAVE_EVERY", 0.0)
    whole = run_in(tmp_path / "whole", pool, ema=ema)
    assert whole.finished(lambda _: None)
    for event in run_in(tmp_path / "broken", pool, ema=ema).run():
        if event.kind == "snapshot" and event.iteration == moment:
            break
    resumed = run_in(tmp_path / "broken", pool, ema=ema)
    assert resumed.finished(lambda _: None, resume=True)
    for kind in ("log", "state", "json", "caffemodel", "onnx"):
        files = (getattr(run.files, kind) for run in (resumed, whole))
        assert len({json.dumps(content(file), default=str) for file in files}) == 1, kind


@pytest.mark.slow
def test_the_file_is_the_network_that_learned(tmp_path, pool):
    run = run_in(tmp_path, pool)
    about = run.finished(lambda _: None)
    again = json.loads(run.files.json.read_text())
    assert again == about and about["arch"] == NAME and about["number"] == 4
    held, network = run.images.held, run.training
    coder = load_encoder_decoder(run.files.onnx, "cpu")
    assert coder.entropy_model.channels == (0, 0, 5)
    image = np.ascontiguousarray(held[:1].astype(np.float32) - run.images.mean, np.float32)
    with torch.no_grad():
        rebuilt = network.network(torch.from_numpy(image / 255)).images.numpy()
    np.testing.assert_allclose(coder.decode(coder.encode(image), 96, 96), rebuilt * 255, atol=2e-3)
    # Files as they are: the bits of the entropy model, and some ninety bytes of header and words.
    told = network.tested(held)
    assert about["rmse_held_out"] == pytest.approx(told["rmse"], rel=0.02)
    spare = about["bits_per_pixel_held_out"] - told["bits_per_pixel"]
    assert 8 * 60 < spare * 96 * 96 < 8 * 110
    model = onnx.load(run.files.onnx)
    assert {p.key: p.value for p in model.metadata_props}["zoo.network"] == NAME
    stored = prototxt.read_weights(run.files.caffemodel)
    assert stored["pattern"][0].shape == (1, 3, 8, 8)


@pytest.mark.slow
def test_it_is_published(tmp_path, pool, zoo):
    """By its files alone, and what was measured before is measured again."""
    run, hub = run_in(tmp_path / "runs" / NAME, pool), tmp_path / "hub"
    about = run.finished(lambda _: None)
    images = [image for _, image in runtime.sample_images()]
    (line,) = embed(tmp_path / "runs", images, "photographs", hub)
    assert line.startswith(f"published {NAME}@1.0: RMSE 0.") and line.endswith(" bits a pixel")
    (entry,) = open_hub(hub).index.models
    assert (entry.name, entry.task, entry.arch, entry.encoder) == (
        NAME, "reconstruct", None, "learned",
    )  # fmt: skip
    assert entry.metric("rmse").images == 4 and entry.metric("bits_per_pixel").value < 0.2
    assert entry.metric("rmse").data == "photographs, held out"
    card = (hub / NAME / "1.0" / "README.md").read_text()
    assert (
        "going on" not in card
        and f"--arch {NAME}" in card
        and f"{about['pool']} parts at half to their own scale" in card
    )
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), runtime.sample_images()[0][1][:90, :70])
    assert zoo("encode", photo, "-o", "a.switches", "--arch", NAME, "--hub", hub).status == 0
    made = zoo("decode", "a.switches", "-o", "a.png", "--hub", hub)
    assert f"by {NAME} (sha256 " in made.out
    shutil.move(hub / "index.json", tmp_path / "index.json")
    (hub / "index.json").write_text('{"schema": 1, "models": []}')
    assert f"was made by {NAME} (sha256 " in zoo(
        "decode", "a.switches", "-o", "b.png", "--hub", hub
    ).refusal  # fmt: skip
    shutil.move(tmp_path / "index.json", hub / "index.json")
    judged = zoo("rate", "--hub", hub, "--size", "own", "--limit", 1, "--json").json
    assert [row["arch"] for row in judged["rows"]] == [NAME]
    assert judged["against_jpeg"]["rate-aware switches"] is None  # one point is no curve


def test_by_command(zoo, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        picture = cv2.GaussianBlur(rng.integers(0, 256, (150, 140, 3)).astype(np.uint8), (0, 0), 3)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    words = ["train", "--arch", NAME, "--data", folder, "--hold-out", 1, "--device", "cpu"]
    run = zoo(*words, "--iterations", 2)
    assert "bits a pixel, " in run.out and "RMSE   0." in run.out
    photo, code = folder / "0.png", tmp_path / "0.switches"
    model = tmp_path / NAME / f"{NAME}.onnx"
    about = zoo("encode", photo, "-o", code, "--model", model, "--json").json
    assert about["coding"] == "scores" and about["arch"] == NAME and about["padded"] == [152, 144]
    assert "by the model's scores" in zoo("encode", photo, "-o", code, "--model", model).out
    assert zoo("decode", code, "-o", tmp_path / "0.png", "--model", model).status == 0
    assert runtime.read_image(tmp_path / "0.png").shape == (150, 140, 3)
    weights, again = model.with_suffix(".caffemodel"), [*words, "--iterations", 1, "-o", "further"]
    about = zoo(*again, "--weights", weights, "--json").json
    assert about["rate"] == pytest.approx(1e-3) and about["rmse_held_out"] < 0.3
    assert about["started_from"] == NAME
    assert ": layer 'conv1_1'" in zoo(*[NAME.replace("3_4_5", "2_4_5") if w == NAME else w
                                        for w in again], "--weights", weights).refusal  # fmt: skip
    for wrong in (["--recipe", "paper"], ["--encoder", "learned"], ["--encoders", 2]):
        refused = zoo(*words, *wrong)
        assert refused.status == 2 and "does not go with --arch n1_n2_n3-rate-N" in refused.err
    refused = zoo("train", "--arch", "3_4_5-rate-7", "--data", folder)
    assert "is not of the form n1_n2_n3-rate-N; N is 1 (the smallest files) to 6" in refused.err


@pytest.mark.parametrize(
    ("folder", "name"),
    [("photos", "photos"), ("bsds/train", "bsds/train"), ("a/ecssd/images/", "ecssd/images")],
)
def test_what_a_card_calls_images(folder, name):
    assert told(f"/somewhere/{folder}") == name


def test_parts_at_their_own_scale():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (200, 300, 3)).astype(np.uint8)
    parts = cut_pool([image, image[:50, :60]], 30, 64)
    assert parts.shape == (60, 3, 64, 64)
    whole = image.transpose(2, 0, 1)

    def is_part(part: np.ndarray) -> bool:
        windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape)[0]
        return bool((windows[:, :, :, 0, 0] == part[:, 0, 0]).all(2).any()) and any(
            np.array_equal(part, windows[y, x])
            for y, x in np.argwhere((windows[:, :, :, 0, 0] == part[:, 0, 0]).all(2))
        )

    plain = [is_part(part) or is_part(part[:, :, ::-1]) for part in parts[:30]]
    assert 2 < sum(plain) < 20  # the others are resized
    assert np.array_equal(cut_middle([image], 100)[0], whole[:, 50:150, 100:200])
    assert cut_middle([image[:50, :60]], 100).shape == (1, 3, 100, 100)
