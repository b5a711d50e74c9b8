"""`zoo bench`: the arithmetic by a clock of our own, the suites at their smallest."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
from prototxt.errors import ZooError
from zoo.benchmarks import converting, machine, networks, report, running, suites, training
from zoo.benchmarks.crew import Measurement, Worker, compete
from zoo.benchmarks.timing import Timing, calls_per_turn, interleave, seconds_per_call
from zoo.processes import environment

ROOT = Path(__file__).resolve().parents[3]


def clock(*times: float):
    return iter(times).__next__


def test_seconds_a_call_are_the_mean_of_a_row_of_calls():
    calls: list[int] = []
    assert seconds_per_call(lambda: calls.append(1), 4, clock(10.0, 12.0)) == 0.5
    assert len(calls) == 4


@pytest.mark.parametrize(("one", "expected"), [(0.1, 5), (3.0, 1), (0.0, 10_000), (1e-9, 10_000)])
def test_how_many_calls_fill_a_turn(one, expected):
    assert calls_per_turn(one, 0.5) == expected


def test_everyone_has_a_turn_a_round_and_begins_in_turn():
    order: list[str] = []
    ticks: Iterator[int] = itertools.count()

    def turn(name):
        def run():
            order.append(name)
            return float(next(ticks))

        return run

    rounds: list[int] = []
    found = interleave({n: turn(n) for n in "abc"}, 3, lambda: rounds.append(1))
    assert "".join(order) == "abcbcacab"
    assert found == {"a": [0.0, 5.0, 7.0], "b": [1.0, 3.0, 8.0], "c": [2.0, 4.0, 6.0]}
    assert len(rounds) == 3


def test_median_and_quartiles():
    assert Timing.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Timing(3.0, 2.0, 4.0, 5)
    assert Timing.of([7.0]) == Timing(7.0, 7.0, 7.0, 1)


def found(*seconds: float) -> Measurement:
    return Measurement(Timing.of(seconds), start=1.5, peak_rss=1 << 20)


def test_ratios_rates_and_the_share_of_the_peak():
    """A product of 1000 x 1000 in 10 ms is 100 GMAC/s."""
    rows = running.rows(
        "net",
        4,
        2.0,
        {
            running.OURS: found(0.1, 0.04, 0.02),
            "other": found(0.08),
            "gone": Measurement(absent="not installed"),
            "matrices, numpy": found(0.02),
            "matrices, torch": found(0.01),
        },
        1000,
    )
    ours, other, gone, slow, peak = rows
    assert (ours["seconds"], ours["ratio"], ours["images_per_second"]) == (0.04, 1.0, 100)
    assert ours["gmacs_per_second"] == pytest.approx(50)
    assert ours["share_of_peak"] == pytest.approx(0.5)
    assert other["ratio"] == 2.0
    assert gone["seconds"] is None and gone["absent"] == "not installed"
    assert (slow["share_of_peak"], peak["share_of_peak"]) == (0.5, 1.0)
    assert peak["ratio"] is None


def test_a_conversion_is_measured_by_the_copy(tmp_path):
    subject = converting.Subject("net", networks.Files(tmp_path, "net"), cold=True, limit=7)
    seconds = {"zoo convert": [3.0, 1.0, 2.0], "copy": [1.0, 0.5, 0.8]}
    convert, copy = converting.rows(subject, 1000, seconds, 1400)
    assert (convert["seconds"], convert["ratio"]) == (2.0, pytest.approx(2.5))
    assert (convert["memory_ratio"], convert["within"]) == (1.4, True)
    assert (convert["cache"], convert["address_space"]) == ("cold", 7)
    assert (copy["ratio"], copy["peak_rss"], copy["within"]) == (1.0, None, None)


@pytest.mark.parametrize(
    ("seconds", "peak", "expected"),
    [(2.5, 1500, True), (2.51, 1500, False), (2.5, 1501, False), (2.5, None, True)],
)
def test_the_aim_of_a_conversion(seconds, peak, expected):
    assert converting.within(seconds, 1.0, peak, 1000) is expected


def test_the_floor_of_a_step():
    """At 1 GMAC/s a decoder of 10^9 multiply-adds needs 3 s, and its encoder one more."""
    settings = training.Settings(2, matrix=1000)
    rows = training.rows(
        "net",
        settings,
        10**9,
        10**9,
        {
            training.CACHED: found(6.0),
            training.UNCACHED: found(9.0),
            training.PLAIN: found(12.0),
            training.PEAK: found(1.0),
        },
        True,
    )
    assert [row["floor_seconds"] for row in rows] == [3.0, 4.0, 4.0]
    assert [row["times_floor"] for row in rows] == [2.0, 2.25, 3.0]
    assert [row["ratio"] for row in rows] == [1.0, 1.5, 2.0]
    assert [row["bfloat16"] for row in rows] == [True, True, False]
    with pytest.raises(ZooError, match="cannot be measured: no room"):
        training.rows("net", settings, 1, 1, dict.fromkeys(
            (training.CACHED, training.PEAK), Measurement(absent="no room")), False)  # fmt: skip


def test_the_work_of_the_papers_network(tmp_path):
    files = networks.tunnel("8_8_8", 128, tmp_path)
    shape = [2, 3, 128, 128]
    total = running.macs(files.naive, shape)
    encoder, decoder = training.work("8_8_8", total, shape)
    side = 128 * 128
    conv = 9 * 8 * (3 * side + 8 * side + 16 * side // 4 + 16 * side // 16)
    assert encoder == 2 * conv
    # The decoder mirrors the encoder; its bias layer is 1x1 on the smallest plane.
    assert decoder == 2 * (conv + 64 * side // 64)


def test_the_naive_export_and_ours_are_one_network(tmp_path):
    import runtime

    files = networks.tunnel("8_8_8", 32, tmp_path)
    image = np.random.default_rng(0).normal(0, 60, (2, 3, 32, 32)).astype(np.float32)
    ours, naive = (
        runtime.load(path, "cpu").run({"data": image}) for path in (files.onnx, files.naive)
    )
    (image,) = naive.values()
    assert np.abs(image).max() > 1
    np.testing.assert_allclose(ours["deconv1_2"], image, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "text",
    [networks.vgg16(32, 0.1, 12, 10), networks.caffenet(67, 12, 10)],
    ids=["vgg16", "caffenet"],
)
def test_drawn_weights_are_a_caffemodel(tmp_path, text):
    files = networks.classifier(tmp_path, "net", text)
    stored = prototxt.read_weights(files.caffemodel)
    graph = converters.load_graph(files.net, files.caffemodel)
    learned = {node.name: node.blobs for node in graph.nodes if node.blobs}
    assert set(stored) == set(learned)
    for name, blobs in learned.items():
        for blob, mine in zip(blobs, stored[name], strict=True):
            assert blob.shape == mine.shape and np.array_equal(blob, mine) and blob.std() > 0


def test_vgg16_has_its_parameters():
    graph = converters.build_graph(prototxt.parse_net(networks.vgg16()).select("TEST"))
    assert sum(blob.size for node in graph.nodes for blob in node.blobs) == 138_357_544


def test_contestants_that_are_not_there_say_why():
    spec = {"kind": "matrices", "library": "numpy", "size": 8, "threads": 1}
    found = compete({"here": spec, "gone": {**spec, "kind": "nothing"}}, 1, 2, 0.001)
    assert found["here"].seconds is not None and found["here"].seconds.rounds == 2
    assert found["here"].start > 0 and found["here"].peak_rss > 1 << 20
    assert found["gone"].seconds is None and found["gone"].absent == "KeyError: 'nothing'"


def test_a_contestant_that_dies_is_an_error():
    spec = {"kind": "matrices", "library": "numpy", "size": 8, "threads": 1}
    worker = Worker("numpy", spec, 1)
    worker.process.kill()
    with pytest.raises(ZooError, match="numpy: its process ended with status -9"):
        worker.time_calls()
    assert worker.end() is None


def test_results_that_differ_have_no_figures(tmp_path):
    names = (running.OURS, "same", "other", "gone")
    specs = {name: {"keep": str(tmp_path / f"{name[:4]}.npy")} for name in names}
    for name, last in zip(names, (4.0, 4.02, 5.0), strict=False):
        np.save(specs[name]["keep"], np.array([3.0, last]))
    everyone = {name: found(1.0) for name in names[:3]} | {
        "gone": Measurement(absent="not installed")
    }
    left = running.agreed(everyone, specs)
    assert left["same"] == everyone["same"] and left["gone"] == everyone["gone"]
    assert left["other"] == Measurement(absent="its result departs from ours by 0.2 of it")
    with pytest.raises(ZooError, match="no room"):
        running.agreed(everyone | {running.OURS: Measurement(absent="no room")}, specs)


def test_memory_is_that_of_the_command_alone(tmp_path):
    """A child counts what its parent held, where getrusage is asked."""
    ballast = np.ones(1 << 25)  # 256 MiB
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "zoo.benchmarks.measured", result, "0", "--version"]
    subprocess.run(command, check=True, env=environment(1), capture_output=True)
    assert 1 << 20 < json.loads(result.read_text())["peak_rss"] < ballast.nbytes


NUMBER = (int, float)
SCHEMA = {
    "run": {
        "network": str, "batch": int, "contestant": str, "absent": (str, type(None)),
        "seconds": NUMBER, "quartiles": list, "ratio": NUMBER, "images_per_second": NUMBER,
        "gmacs_per_second": NUMBER, "share_of_peak": NUMBER, "peak_rss": int,
        "start_seconds": NUMBER,
    },
    "convert": {
        "network": str, "bytes": int, "cache": str, "contestant": str, "seconds": NUMBER,
        "quartiles": list, "ratio": NUMBER, "peak_rss": int, "memory_ratio": NUMBER,
        "address_space": int, "within": bool,
    },
    "train": {
        "network": str, "batch": int, "contestant": str, "absent": (str, type(None)),
        "bfloat16": bool, "seconds": NUMBER, "quartiles": list, "ratio": NUMBER,
        "images_per_second": NUMBER, "floor_seconds": NUMBER, "times_floor": NUMBER,
        "peak_gmacs_per_second": NUMBER, "peak_rss": int, "start_seconds": NUMBER,
    },
    "precision": {
        "network": str, "batch": int, "precision": str, "absent": (str, type(None)),
        "bytes": int, "layers": int, "kept": int, "seconds": NUMBER, "quartiles": list,
        "ratio": NUMBER, "images_per_second": NUMBER, "measure": str, "value": NUMBER,
        "change": NUMBER, "switches": int, "flipped": int, "largest": NUMBER, "mean": NUMBER,
        "magnitude": NUMBER, "departure": NUMBER, "worse": list,
    },
}  # fmt: skip


def check_schema(document):
    assert set(document) == {"suite", "version", "date", "machine", "settings", "rows"}
    assert {"processor", "cores", "load", "versions"} <= set(document["machine"])
    assert {"threads", "rounds"} <= set(document["settings"])
    for row in document["rows"]:
        wanted = SCHEMA[document["suite"]]
        assert list(row) == list(wanted)
        for key, kind in wanted.items():
            assert row[key] is None or isinstance(row[key], kind), (key, row[key])
        assert row.get("absent") or row["seconds"] > 0


CONTESTANTS = {
    "run": 9,  # four of the paper's network and five of the classifier
    "convert": 4,  # two, read from memory and from the disk
    "train": 3,
    "precision": 3,  # float32, float16, int8
}


@pytest.mark.slow
@pytest.mark.parametrize("suite", report.SUITES)
def test_the_suites(zoo, tmp_path, suite):
    data = zoo("bench", "--suite", suite, "--quick", "--threads", 1, "-o", "out", "--json").json
    (document,) = data["suites"]
    check_schema(document)
    assert document["suite"] == suite and len(document["rows"]) >= CONTESTANTS[suite]
    assert document["settings"]["threads"] == 1
    (written,) = [json.loads((tmp_path / f"out/{suite}.json").read_text())]
    assert written["rows"] == document["rows"]
    text = (tmp_path / f"out/{suite}.md").read_text()
    assert text.count("\n| ") == len(document["rows"]) + 1
    assert document["machine"]["processor"] in text


def test_what_a_suite_found_is_there_as_it_ends(zoo, tmp_path, monkeypatch):
    document = json.loads((ROOT / "benchmarks/run.json").read_text())

    def measure(name, **_):
        if name == "train":
            raise ZooError("no more time")
        return document

    monkeypatch.setattr(suites, "measure", measure)
    run = zoo("bench", "--suite", "run", "--suite", "train", "-o", "out")
    assert run.status == 1 and run.err == "error: no more time\n"
    assert run.out.startswith("run: ") and "caffenet" in run.out
    assert json.loads((tmp_path / "out/run.json").read_text()) == document
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"run.json", "run.md"}


def test_wrong_options(zoo):
    assert zoo("bench", "--arch", "8_8", "--quick").status != 0
    assert zoo("bench", "--provider", "auto", "--quick").status == 2
    train = zoo("bench", "--suite", "train", "--arch", "8_8_8-learned")
    assert train.status == 2 and "is not for the suite train; give 8_8_8" in train.err


def test_graphics_cards_are_named(tmp_path, monkeypatch):
    assert machine.gpus() == [] or shutil.which("nvidia-smi")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpus() == ["NVIDIA H100 80GB HBM3"]
