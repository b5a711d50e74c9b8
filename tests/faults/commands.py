"""The commands that are attacked, with what they need; and what a folder looks like afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np

from tests.zoo.drawn import photographs

ROOT = Path(__file__).resolve().parents[2]
SOLVER = """
net: "tiny.prototxt" type: "Adam" momentum: 0.9 momentum2: 0.999 lr_policy: "fixed" base_lr: 0.01
max_iter: 40 display: 3 average_loss: 4 snapshot: 5 snapshot_prefix: "snap" random_seed: 7
test_iter: 2 test_interval: 7 test_state { stage: "seen" }
"""
TINY = """
name: "tiny"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 4 dim: 1 dim: 8 dim: 8 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "drop" }
layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

Run = Callable[[list[str]], None]
"""Runs a `zoo` command line that must succeed."""


def make_materials(folder: Path, run: Run, names: Iterable[str] = (), seed: int = 0) -> Path:
    """A folder with what these commands read (default: all of them), made by the commands."""
    from zoo.paper import architectures

    folder.mkdir()
    (folder / "images").mkdir()
    for number, image in enumerate(photographs(3, 40)):
        cv2.imwrite(str(folder / f"images/{number}.png"), image)
    shutil.copy(folder / "images/0.png", folder / "one.png")
    (folder / "net.prototxt").write_text(architectures.definition("8_9_10", 16))
    draw(folder / "net.prototxt", folder / "net.caffemodel", seed)
    (folder / "card.md").write_text("# A small network\n")
    make_solver(folder)
    for made in dict.fromkeys(one for name in names or COMMANDS for one in READS.get(name, ())):
        run(COMMANDS[made].words(folder, folder))
    return folder


def make_solver(folder: Path) -> list[object]:
    """A solver of a small network, and data; the words that train it."""
    (folder / "tiny.prototxt").write_text(TINY)
    (folder / "solver.prototxt").write_text(SOLVER)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 4, 1, 8, 8)).astype(np.float32)
    np.savez(folder / "io.npz", data=data, label=rng.integers(5, size=(40, 4)).astype(np.float32))
    return ["train", folder / "solver.prototxt", "--data", folder / "io.npz", "--device", "cpu"]


def draw(net: Path, weights: Path, seed: int) -> None:
    """Weights for a small network of the paper, with which it gives an image."""
    import converters
    import prototxt

    graph = converters.build_graph(prototxt.read_net(net).select("TEST"), seed=seed)
    blobs = {node.name: node.blobs for node in graph.nodes if node.blobs}
    blobs["bias4"][1] = blobs["bias4"][1] + 100  # by default nothing leaves the bottleneck
    prototxt.write_weights(weights, blobs)


@dataclass(frozen=True)
class Command:
    """A command line: what it reads lies in one folder, what it writes goes to another."""

    line: str
    """`M/` and `O/` stand for these folders."""

    @property
    def writes(self) -> bool:
        """Whether it writes files."""
        return " O/" in self.line

    def words(self, materials: Path, output: Path) -> list[str]:
        """The words after `zoo`."""
        folders = {"M/": materials, "O/": output}
        return [
            str(folders[word[:2]] / word[2:]) if word[:2] in folders else word
            for word in self.line.split()
        ]


CONVERT = "convert M/net.prototxt --weights M/net.caffemodel --mean 104,117,123 -o O/net.onnx"
TRAIN = "train --arch 2_2_2 --data M/images --hold-out 1 --iterations 8 --device cpu"
COMMANDS = {
    "convert": Command(CONVERT),
    "convert --split": Command(f"{CONVERT} --split"),
    "convert --external-data": Command(f"{CONVERT} --external-data"),
    "inspect": Command("inspect M/net.caffemodel"),
    "verify": Command("verify M/net.prototxt M/net.onnx --weights M/net.caffemodel"),
    "eval": Command("eval --model M/net.onnx --data M/images --provider cpu"),
    "reconstruct": Command("reconstruct M/images -o O/pictures --model M/net.onnx --provider cpu"),
    "encode": Command("encode M/one.png -o O/one.switches --model M/net.onnx --provider cpu"),
    "decode": Command("decode M/one.switches -o O/one.png --model M/net.onnx --provider cpu"),
    "train": Command("train M/solver.prototxt --data M/io.npz -o O/train --device cpu"),
    "train --recipe paper": Command(f"{TRAIN} --recipe paper -o O/paper"),
    "train --recipe modern": Command(f"{TRAIN} --encoders 1 -o O/modern"),
    "data build": Command("data build M/images O/db.lmdb --size 16"),
    "data inspect": Command("data inspect M/db.lmdb"),
    "data mean": Command("data mean M/db.lmdb O/mean.binaryproto"),
    "publish": Command(
        "publish M/net.onnx M/net.encoder.onnx M/net.decoder.onnx --card M/card.md "
        "--name small --hub O/hub"
    ),
    "pull": Command("pull small --hub M/hub -o O/pulled"),
    "list": Command("list --hub M/hub"),
    "prototxt": Command("prototxt --arch 8_8_8 -o O/written.prototxt"),
    "layers": Command("layers"),
    "visualize": Command(
        "visualize M/net.prototxt M/one.png --blob pool1 --weights M/net.caffemodel "
        "-o O/seen --provider cpu"
    ),
}

MODEL, DATABASE = ("convert",), ("data build",)
READS = {
    **dict.fromkeys(("verify", "eval", "reconstruct", "encode"), MODEL),
    **dict.fromkeys(("data inspect", "data mean"), DATABASE),
    **dict.fromkeys(("pull", "list"), (*MODEL, "convert --split", "publish")),
    "decode": (*MODEL, "encode"),
    "publish": (*MODEL, "convert --split"),
}
"""The commands whose results a command reads."""


def is_leftover(path: Path) -> bool:
    """Whether a killed process may leave this: what no command takes for a result."""
    names = path.parts
    return any(
        name == ".lock"
        or name.endswith(".partial")
        or (name.startswith(".zoo-") and name.endswith(".part"))
        for name in names
    )


def results(folder: Path) -> dict[str, Any]:
    """What a folder holds by path, without leftovers, times of day and speeds.

    Of a hub's files those that its index names, as nobody sees the others.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not is_leftover(relative) and path.name != "lock.mdb":
            found[str(relative)] = content(path)
    for index in folder.rglob("hub"):
        named = set()
        if (index / "index.json").is_file():
            for model in json.loads((index / "index.json").read_bytes())["models"]:
                base = index.relative_to(folder) / model["name"] / model["version"]
                named = {str(base / file["name"]) for file in model["files"]}
                assert named <= found.keys(), f"the index names what is not there: {named}"
        inside = f"{index.relative_to(folder)}/"
        for name in [n for n in found if n.startswith(inside) and n not in named]:
            if not name.endswith("/index.json"):
                del found[name]
    return found


def newest(folder: Path) -> Path | None:
    """The snapshot to go on from, as a person would choose it."""
    import prototxt

    states = sorted(folder.rglob("*.solverstate"), key=lambda p: int(p.stem.rpartition("_")[2]))
    for state in states:  # whatever the moment, each is whole and has its model
        assert prototxt.read_weights(prototxt.read_solverstate(state).learned_net)
    modern = list(folder.rglob("state.npz"))
    return states[-1] if states else modern[0] if modern else None


TIMES = ("images_per_second", "iterations_per_second", "seconds_left", "seconds", "date")


def timeless(row: Any) -> Any:
    return {key: value for key, value in row.items() if key not in TIMES}


def content(path: Path) -> Any:
    """What is to be compared of a file."""
    if path.name == "metrics.jsonl":
        return [timeless(json.loads(line)) for line in path.read_text().splitlines()]
    if path.name == "data.mdb":
        with (
            lmdb.open(os.fsencode(path.parent), readonly=True, lock=False) as opened,
            opened.begin() as t,
        ):
            return [(bytes(key), bytes(value)) for key, value in t.cursor()]
    if path.name == "state.npz":
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(str(arrays.pop("about")))
        return timeless(about), {name: (a.dtype.str, a.tobytes()) for name, a in arrays.items()}
    if path.suffix == ".json" and path.name != "index.json":
        return timeless(json.loads(path.read_bytes()))
    return hashlib.sha256(path.read_bytes()).hexdigest()
