"""The modern recipe: its fast decoder against the definition, its switches, its files."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch

import converters
import prototxt
from runtime.codec import places_of
from runtime.switch_tables import SwitchTables
from tests.faults.commands import content
from tests.zoo.drawn import folder_of, sample
from zoo.paper import architectures
from zoo.paper.coding import open_coder
from zoo.paper.recipes.encoders import draw
from zoo.paper.recipes.images import Images, load_images
from zoo.paper.recipes.modern import Modern, Recipe, Trials, keep_switches, recipe_for
from zoo.paper.recipes.switches import SwitchStore, pool_switches, unpool
from zoo.paper.recipes.tunnel import TunnelRun, export, score
from zoo.training.curves import read_metrics
from zoo.training.solver import Event

ARCH = "5_6_7"  # no multiple of four: the packing has to pad
RECIPE = Recipe(iterations=12, batch=4, crop=16, rate=1e-2, candidates=2, trial=2)


def test_switches_are_those_of_max_pooling():
    x = torch.from_numpy(np.random.default_rng(1).integers(0, 3, (2, 5, 6, 8)).astype(np.float32))
    best, positions = pool_switches(x)
    # torch, too, takes the first of equal values
    expected, flat = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(best, expected)
    row, column = flat // 8 % 2, flat % 8 % 2
    assert torch.equal(positions.permute(0, 3, 1, 2).long(), 2 * row + column)
    again = unpool(best, positions)
    assert torch.equal(again, torch.nn.functional.max_unpool2d(expected, flat, 2))


def test_two_bits_each_and_back():
    rng = np.random.default_rng(2)
    store = SwitchStore(3, 32, (5, 6, 7))
    positions = [
        torch.from_numpy(rng.integers(0, 4, (3, 32 >> n, 32 >> n, w)).astype(np.uint8))
        for n, w in enumerate((5, 6, 7), 1)
    ]
    store.put(0, positions)
    assert store.nbytes == 3 * 2 * (16 * 16 + 8 * 8 + 4 * 4)
    found = store.get([(2, 8, 16), (0, 0, 0)], 16, torch.device("cpu"))
    for level, (whole, part) in enumerate(zip(positions, found, strict=True), 1):
        side, top, left = 16 >> level, 8 >> level, 16 >> level
        assert torch.equal(part[0], whole[2, top : top + side, left : left + side])
        assert torch.equal(part[1], whole[0, :side, :side])


def test_it_computes_what_the_definition_says(pool, mean):
    """Encoder, decoder and the weights in Caffe's form: the converter's rebuild agrees."""
    run = Modern(ARCH, draw(ARCH, 3, sample(pool, mean)), pool, mean, RECIPE)
    net = prototxt.parse_net(architectures.definition(ARCH, 32)).select("TEST")
    module = converters.to_torch(converters.build_graph(net, run.weights()))
    images = torch.from_numpy((pool[:4] - mean).astype(np.float32))
    with torch.no_grad():
        expected = module(images)
        switches = run.encoder((images / 255).contiguous(memory_format=torch.channels_last))
        rebuilt = run.decoder(switches)
    for level, positions in enumerate(switches, 1):
        mask, width = expected[f"pool{level}_mask"], 32 >> level - 1
        theirs = 2 * (mask // width % 2) + mask % width % 2
        assert (theirs == positions.permute(0, 3, 1, 2)).float().mean() > 0.999
    assert np.allclose(rebuilt.numpy() * 255, expected["deconv1_2"].numpy(), atol=1e-2)


def test_no_channel_begins_dead(pool, mean):
    run = Modern("3_3_3", draw("3_3_3", 0, sample(pool, mean)), pool, mean, RECIPE)
    seen = []
    for name in ("deconv3_1", "deconv2_1", "deconv1_1"):
        layer = run.decoder.get_submodule(name)
        layer.register_forward_hook(
            lambda m, i, out: seen.append((out > 0).float().mean((0, 2, 3)))
        )
    run.decoder(run.encoder(sample(pool, mean).contiguous(memory_format=torch.channels_last)))
    assert all((share > 0.3).all() for share in seen)


def test_cached_switches_train_alike(pool, mean):
    """The same parts; only their borders, which cached switches know more of, may differ."""
    encoder = draw(ARCH, 0, sample(pool, mean))
    *_, store = keep_switches(encoder, pool, mean, ARCH)
    recipe = dataclasses.replace(RECIPE, crop=32)  # whole images: no inner borders at all
    runs = [Modern(ARCH, encoder, pool, mean, recipe, s) for s in (None, store)]
    losses = [[float(run.step()) for _ in range(3)] for run in runs]
    assert losses[0] == losses[1]


def test_more_iterations_rebuild_better(pool, mean):
    encoder = draw(ARCH, 0, sample(pool, mean))
    found = []
    for iterations in (2, 60):
        recipe = dataclasses.replace(RECIPE, iterations=iterations)
        run = Modern(ARCH, encoder, pool, mean, recipe)
        list(run.run())
        found.append(run.rmse(pool))
    assert found[1] < 0.8 * found[0]


@pytest.mark.slow
def test_the_encoder_is_the_best_of_several(pool, mean):
    recipe = dataclasses.replace(RECIPE, candidates=4, trial=10)
    choice = Trials(ARCH, pool, mean, recipe)
    events = list(choice.run())
    trials = [event.values for event in events if event.kind == "trial"]
    # four trials, then the better two twice as long, then the choice
    assert [trial["seed"] for trial in trials[:4]] == [0, 1, 2, 3]
    best_two = {t["seed"] for t in sorted(trials[:4], key=lambda t: t["rmse"])[:2]}
    assert {trial["seed"] for trial in trials[4:]} == best_two
    assert [trial["iterations"] for trial in trials] == [10, 10, 10, 10, 20, 20]
    assert choice.seed == min(trials[4:], key=lambda t: t["rmse"])["seed"]
    # and a word of each step, of all that there will be
    steps = [event.values for event in events if event.kind == "trying"]
    assert [step["done"] for step in steps] == list(range(1, 81))
    assert {step["total"] for step in steps} == {choice.steps()} == {80}


def stopped_after(run: TunnelRun, kind: str, number: int) -> list[str]:
    """What a run tells that is asked to stop at the n-th event of a kind."""
    told = []
    for event in run.run():
        told.append(event.kind)
        run.stop = run.stop or told.count(kind) == number
    return told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "number", "kept"), [("trial", 1, 1), ("trying", 3, 1), ("encode", 1, 2)]
)
def test_trials_that_are_done_are_kept(tmp_path, pool, mean, kind, number, kept):
    """Stopped among the trials, or before the training begins: they are not run again."""
    images = Images(pool, pool[:2], mean, "pool", 8)
    whole = TunnelRun("2_3_4", images, RECIPE, tmp_path / "whole")
    assert whole.finished(lambda _: None)
    broken = TunnelRun("2_3_4", images, RECIPE, tmp_path / "broken")
    told = stopped_after(broken, kind, number)
    assert told[-1] == "snapshot" and "train" not in told and broken.kept is not None
    resumed = TunnelRun("2_3_4", images, RECIPE, tmp_path / "broken")
    assert resumed.load() is None and len(resumed.trials.found) == kept
    events: list[Event] = []
    assert resumed.finished(events.append, resume=True)
    assert sum(e.kind == "trying" for e in events) == (2 - kept) * RECIPE.trial
    assert content(resumed.files.state) == content(whole.files.state)


def test_nothing_takes_the_place_of_a_state(tmp_path, pool, mean):
    """Stopped before anything is done that could be kept, an older state stays."""
    images = Images(pool, pool[:2], mean, "pool", 8)
    assert TunnelRun("2_3_4", images, RECIPE, tmp_path).finished(lambda _: None)
    state = (tmp_path / "state.npz").read_bytes()
    again = TunnelRun("2_3_4", images, RECIPE, tmp_path)
    assert stopped_after(again, "trials", 1) == ["trials", "trying"]
    assert again.kept is None
    resumed = TunnelRun("2_3_4", images, RECIPE, tmp_path)
    resumed.stop = True
    assert list(resumed.run(resume=True)) == []
    assert resumed.kept is not None
    assert (tmp_path / "state.npz").read_bytes() == state


@pytest.mark.slow
def test_what_the_command_says_of_trials(zoo, tmp_path):
    folder = folder_of(tmp_path)
    options = ["--arch", "2_3_4", "--data", folder, "--iterations", 2, "--device", "cpu"]
    lines = zoo("train", *options, "--encoders", 2).out.splitlines()
    assert lines[0].startswith("trying 2 random encoders for 2 iterations each")
    assert lines[1].startswith("encoder 0: RMSE 0.") and lines[3] in (
        "encoder 0 is taken",
        "encoder 1 is taken",
    )
    one = zoo("train", *options, "--encoders", 1).out
    assert "nan" not in one and "encoder" not in one


def test_what_is_written_gives_the_same_picture(pool, mean, tmp_path):
    from zoo.paper.recipes.run import Files

    run = Modern("2_3_4", draw("2_3_4", 0, sample(pool, mean)), pool, mean, RECIPE)
    photographs = pool.transpose(0, 2, 3, 1)[:4]
    files = Files(tmp_path, "2_3_4")
    export("2_3_4", run.weights(), ",".join(map(str, mean.ravel())), files, photographs)
    found = score(tmp_path / "2_3_4.onnx", pool, mean)
    assert found == pytest.approx(run.rmse(pool), abs=1e-4)
    coder = open_coder(tmp_path / "2_3_4.onnx", "cpu")
    counted = SwitchTables.counted(places_of(coder.switches(image)) for image in photographs)
    assert coder.network.entropy_model is not None
    assert coder.network.entropy_model.to_text() == counted.to_text()
    assert set(prototxt.read_weights(tmp_path / "2_3_4.caffemodel")) == set(run.weights())


def test_images_held_out_are_not_trained_on(tmp_path):
    folder = folder_of(tmp_path)
    (folder / "05.png").write_bytes(b"broken")
    images = load_images(folder, hold_out=2, variants=3)
    assert images.held_names == ["00.png"] and images.skipped[0][0] == "05.png"
    assert (images.count, images.pool.shape, images.held.shape) == (
        8,
        (24, 3, 128, 128),
        (1, 3, 128, 128),
    )
    assert images.labels == [0] * 24


def test_more_photographs_from_other_folders(tmp_path):
    """What is held out is of the first folder alone."""
    first = folder_of(tmp_path)
    second = tmp_path / "more"
    second.mkdir()
    for number in range(3):
        picture = np.full((40, 40, 3), 50 * number, np.uint8)
        cv2.imwrite(str(second / f"{number}.png"), picture)
    images = load_images([first, second], hold_out=2, variants=1)
    alone = load_images(first, hold_out=2, variants=1)
    assert images.held_names == alone.held_names and images.source == f"{first.name} + more"
    assert images.count == alone.count + 3 and np.array_equal(images.held, alone.held)
    assert np.array_equal(images.pool[: alone.count], alone.pool)
    assert [int(p.mean()) for p in images.pool[alone.count :]] == [0, 50, 100]


def test_averaged_weights_are_what_is_measured_and_exported(tmp_path, pool, mean):
    images = Images(pool, pool[:2], mean, "pool", 8)
    recipe = dataclasses.replace(RECIPE, ema=0.9)
    run = TunnelRun("2_3_4", images, recipe, tmp_path)
    events: list[Event] = []
    card = run.finished(events.append)
    training = run.training
    assert training is not None and training.average is not None and card is not None
    last = training.blobs()["deconv1_2"][0]
    assert not np.array_equal(training.weights()["deconv1_2"][0], last)
    assert np.array_equal(training.blobs()["deconv1_2"][0], last)
    exported = prototxt.read_weights(run.files.caffemodel)["deconv1_2"][0]
    assert np.array_equal(exported, training.weights()["deconv1_2"][0])
    told = [event.values["rmse"] for event in events if event.kind == "held_out"]
    assert told[-1] == pytest.approx(training.rmse(images.held))
    assert card["rmse_held_out"] == pytest.approx(told[-1], abs=1e-4)
    assert card["device"] == "cpu"
    assert [row["rmse"] for row in read_metrics(run.files.log, "held_out")] == told


def test_channels_that_fell_silent_are_called_back(pool, mean):
    training = Modern("2_3_4", draw("2_3_4", 0, sample(pool, mean)), pool, mean, RECIPE)
    decoder = training.decoder
    layer = decoder.deconv2_1
    with torch.no_grad():
        layer.bias[1] = -3.0
    answers: list[torch.Tensor] = []
    layer.register_forward_hook(lambda _, __, found: answers.append(found[:, 1]))
    training.step()
    assert (answers[0] < 0).all() and layer.weight.grad[1].abs().sum() > 0
    for _ in range(RECIPE.iterations - 1):
        training.step()
    assert answers[-1].max() > answers[0].max()
    # what answers now and then is left to what the error says
    decoder.relu.watch()
    decoder.relu(torch.linspace(-1.0, 0.9, 16).view(1, 1, 4, 4))
    assert decoder.relu.silence() == 0


def test_the_command(zoo, tmp_path):
    folder = folder_of(tmp_path)
    options = ["--data", folder, "--hold-out", 2, "--iterations", 2, "--device", "cpu"]
    options += ["--encoders", 2]
    result = zoo("train", "--arch", "2_3_4", *options, "--json").json
    assert result["finished"] and result["recipe"] == "modern" and result["held_out"] == 2
    written = {path.name for path in (tmp_path / "2_3_4").iterdir()}
    assert written >= {"2_3_4.onnx", "2_3_4.caffemodel", "2_3_4.prototxt", "2_3_4.json"}
    assert (
        json.loads((tmp_path / "2_3_4/2_3_4.json").read_text())["rmse_held_out"]
        == (result["rmse_held_out"])
    )
    again = zoo("eval", "--model", "2_3_4/2_3_4.onnx", "--data", folder, "--json").json
    assert again["images"] == 10 and 0 < again["rmse"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.99])
@pytest.mark.parametrize("moment", [5, RECIPE.iterations])
def test_killed_and_resumed_it_ends_the_same(tmp_path, pool, mean, moment, ema, monkeypatch):
    """The state is written by rename; what it holds is all that a run needs."""
    from zoo.paper.recipes import run as recipe_run

    monkeypatch.setattr(recipe_run, "SAVE_EVERY", 0.0)
    images = Images(pool, pool[:2], mean, "pool", 8)

    def run(folder: str) -> TunnelRun:
        recipe = dataclasses.replace(RECIPE, ema=ema)
        return TunnelRun("2_3_4", images, recipe, tmp_path / folder)

    whole = run("whole")
    assert whole.finished(lambda _: None)
    broken = run("broken")
    for event in broken.run():
        if event.kind == "snapshot" and event.iteration == moment:
            break
    resumed = run("broken")
    assert resumed.finished(lambda _: None, resume=True)
    for ours, theirs in zip(
        whole.training.decoder.parameters(), resumed.training.decoder.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)
    assert resumed.encoder_seed == whole.encoder_seed
    assert content(resumed.files.log) == content(whole.files.log)
    assert content(resumed.files.state) == content(whole.files.state)


@pytest.mark.slow
def test_states_of_other_trainings_are_refused(zoo, tmp_path):
    folder = folder_of(tmp_path)
    options = ["--arch", "2_3_4", "--data", folder, "--iterations", 2, "--device", "cpu"]
    options += ["--encoders", 2]
    assert zoo("train", *options, "--quiet").status == 0
    state = tmp_path / "2_3_4/state.npz"
    refusal = zoo("train", *options, "--seed", 1, "--resume", state).refusal
    assert "state.npz: its recipe is {" in refusal
    state.write_bytes(state.read_bytes()[:100])
    assert "not an .npz file of arrays" in zoo("train", *options, "--resume", state).refusal
    np.savez(state, other=np.zeros(3))
    assert zoo("train", *options, "--resume", state).refusal.endswith("not the state of a training")
    state.unlink()
    assert "no such file" in zoo("train", *options, "--resume", state).refusal


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"],
        ["train", "s.prototxt", "--arch", "8_8_8"],
        ["train", "--arch", "8_8"],
        ["train", "--arch", "8_8_8", "--pretrained"],
        ["train", "--arch", "8_8_8", "--recipe", "old"],
    ],
)
def test_wrong_usage(zoo, arguments, tmp_path):
    assert zoo(*arguments).status == 2
    assert list(tmp_path.iterdir()) == []


def test_bad_images(zoo, tmp_path):
    (tmp_path / "none").mkdir()
    assert "no images in it" in zoo("train", "--arch", "2_2_2", "--data", "none").refusal
    (tmp_path / "none/x.jpg").write_bytes(b"x")
    assert "none of its images can be read" in (
        zoo("train", "--arch", "2_2_2", "--data", "none").refusal
    )
    assert "cannot hold 7 out" in (
        zoo("train", "--arch", "2_2_2", "--data", "none", "--hold-out", 7).refusal
    )


def test_wide_networks_draw_fewer_encoders():
    assert recipe_for("8_8_8", None, 0, False).candidates > (
        recipe_for("64_64_64", None, 0, False).candidates
    )


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(tmp_path):
    folder = folder_of(tmp_path)
    arguments = ["train", "--arch", "2_3_4", "--data", folder, "--iterations", 2000]
    arguments += ["--encoders", 1]
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo", *map(str, arguments), "--device", "cpu"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "2_3_4/metrics.jsonl"
    for _ in range(600):
        if log.exists() and log.stat().st_size:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    given = f"--data {folder} --encoders 1 --resume 2_3_4/state.npz --iterations 2000"
    assert f"stopped; go on with: zoo train --arch 2_3_4 {given} --device cpu" in out
    assert (tmp_path / "2_3_4/state.npz").is_file()


@pytest.mark.slow
def test_a_trained_network_goes_on(zoo, tmp_path, pool, mean):
    """Its own weights come back to the bit, and with no rate to speak of they stay."""
    first = Modern(ARCH, draw(ARCH, 0, sample(pool, mean)), pool, mean, RECIPE)
    stored = first.weights()
    second = Modern(ARCH, draw(ARCH, 1, sample(pool, mean)), pool, mean, RECIPE)
    second.encoder.load_blobs(stored, 255)
    second.decoder.load_blobs(stored, 255)
    again = second.weights()
    for layer, blobs in stored.items():
        for ours, theirs in zip(again[layer], blobs, strict=True):
            assert np.allclose(ours, theirs, rtol=1e-6, atol=0), layer
    folder = folder_of(tmp_path)
    options = ["--arch", "2_3_4", "--data", folder, "--iterations", 2, "--device", "cpu"]
    assert zoo("train", *options, "--encoders", 1, "-q").status == 0
    weights = tmp_path / "2_3_4/2_3_4.caffemodel"
    result = zoo("train", *options, "--weights", weights, "-o", "further", "--json").json
    assert result["candidates"] == 0 and result["encoder_seed"] is None
    assert result["started_from"] == "2_3_4"
    ours, theirs = (
        prototxt.read_weights(path)["conv2_1"][0]
        for path in (weights, tmp_path / "further/2_3_4.caffemodel")
    )
    assert np.allclose(ours, theirs, rtol=1e-6)
    other = ["--arch", "2_3_5", *options[2:]]
    assert "layer 'conv3_1'" in zoo("train", *other, "--weights", weights).refusal
