"""`zoo verify --against opencv`: with OpenCV 4 where there is one, and with a stand-in for it."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import prototxt
from tests.zoo.checking.spoiling import graph_and_model, spoil_weight
from zoo.checking import opencv_process, witness
from zoo.checking.opencv_process import Unavailable, answer, caffe_reader
from zoo.checking.witness import Witness, as_run
from zoo.cli.failures import explain

NET = """
name: "seen"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "prob_layer" type: "Softmax" bottom: "conv" top: "prob" }
layer { name: "target" type: "MemoryData" top: "target" top: "t2"
  memory_data_param { batch_size: 1 channels: 3 height: 4 width: 4 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "prob" bottom: "target" top: "loss" }
"""

STAND_IN = """
import json, sys
import numpy as np
{first}
for line in sys.stdin:
    asked = json.loads(line)
    {each}
"""
ANSWER = """
    blobs = {name: np.load(path) for name, path in asked["feeds"].items()}
    found = {}
    for index, (name, layers) in enumerate(asked["wanted"].items()):
        if layers and name in MADE:
            found[name] = (layers[-1], f"{asked['folder']}/out{index}.npy")
            np.save(found[name][1], MADE[name](blobs))
    print(json.dumps({"found": found}), flush=True)
"""
READY = 'print(json.dumps({"version": "4.0"}), flush=True)\n'


@pytest.fixture
def stand_in(tmp_path):
    """A witness that runs some Python in place of OpenCV."""
    made = []

    def make(graph, first=READY, each=ANSWER, path=None):
        script = tmp_path / f"stand_in{len(made)}.py"
        script.write_text(STAND_IN.format(first=first, each=each.strip()))
        made.append(Witness(graph, "net.prototxt", [sys.executable, str(script)], path))
        return made[-1]

    yield make
    for one in made:
        one.close()


def refusal(call, *arguments, **options):
    """The one line that a person reads of a refusal."""
    with pytest.raises(prototxt.ZooError) as caught:
        call(*arguments, **options)
    line, status = explain(caught.value)
    assert "\n" not in line and status in (1, 2)
    return line


def test_what_it_answers_is_compared(stand_in, tmp_path):
    import runtime
    from zoo.checking.verification import Verifier

    graph, model = graph_and_model(NET)
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    loaded = runtime.load(path, "cpu")
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 2, 6, 6)).astype(np.float32)}
    prob = loaded.run(feeds)["prob"]
    for off, right in ((0.0, True), (1e-6, True), (0.01, False)):
        np.save(tmp_path / "prob.npy", prob + np.float32(off))
        first = f"MADE = {{'prob': lambda blobs: np.load({str(tmp_path / 'prob.npy')!r})}}\n"
        verifier = Verifier(graph, loaded, path, 1e-4, witness=stand_in(graph, first + READY))
        row = verifier.check("x", feeds, feeds)
        pairs = {(item.left, item.right): item.ok for item in row.comparisons}
        assert pairs == {("torch", "onnx"): True, ("onnx", "opencv"): right}
        assert row.ok is right
    assert row.first.blob == "prob" and row.first.right == "opencv"
    assert "departs, onnx against opencv, on x" in row.first.sentence()


def test_a_wrong_model_and_a_wrong_rebuild_are_told_apart(stand_in, tmp_path):
    """Where the model alone is wrong, it departs from both."""
    import runtime
    from zoo.checking.verification import Verifier

    graph, model = graph_and_model(NET)
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 2, 6, 6)).astype(np.float32)}
    np.save(tmp_path / "prob.npy", runtime.load(path, "cpu").run(feeds)["prob"])
    spoil_weight(model, "conv.weight", 2, 0.5)
    onnx.save(model, path)
    first = f"MADE = {{'prob': lambda blobs: np.load({str(tmp_path / 'prob.npy')!r})}}\n" + READY
    loaded = runtime.load(path, "cpu")
    verifier = Verifier(graph, loaded, path, 1e-4, witness=stand_in(graph, first))
    row = verifier.check("x", feeds, feeds)
    found = {(item.right, item.ok) for item in row.comparisons}
    assert found == {("onnx", False), ("opencv", False)}
    assert row.first.blob == "conv/conv"  # before it is clipped


def test_blobs_that_it_lacks_or_names_otherwise_are_told(stand_in):
    graph, _ = graph_and_model(NET)
    one = stand_in(graph, "MADE = {'conv': lambda blobs: np.zeros((1, 3, 4, 4))}\n" + READY)
    assert one.run({"x": np.zeros(1)}, ["prob", "conv"])["conv"].shape == (1, 3, 4, 4)
    assert one.notes(["prob", "conv"]) == [
        "OpenCV 4.0 gives no blob 'prob': not compared with it",
        "blob 'conv' is 'relu' in OpenCV 4.0",
    ]
    assert refusal(one.notes, ["prob"]) == (
        "net.prototxt: OpenCV 4.0 does not run it: it gives no blob prob; "
        "leave out --against opencv"
    )


def test_what_opencv_may_call_a_blob():
    """It calls a layer by its top, where that is no layer's name and is not made in place."""
    graph, _ = graph_and_model(NET)
    text = NET.replace('name: "conv" type', 'name: "conv_layer" type')
    renamed, _ = graph_and_model(text)
    one = object.__new__(Witness)
    one.graph = graph
    assert one.names("prob") == ["prob_layer", "prob"]
    assert one.names("conv") == ["relu"]  # "conv" is another layer: what it gives is not clipped
    assert one.names("x") == []
    one.graph = renamed
    assert one.names("conv")[0] == "relu"


def test_dimensions_of_1_and_padding_are_left_out(stand_in):
    from tests.converters.forks import build
    from tests.converters.test_fork_networks import NETWORKS

    text, _, outputs = NETWORKS["ssd"]
    graph = build(text(), outputs=outputs, seed=1, open_dims=False)
    one = object.__new__(Witness)
    one.graph = graph
    rows = np.zeros((1, 1, 5, 7), np.float32)
    rows[0, 0, 0] = [0, 1, 0.9, 0, 0, 1, 1]
    name = graph.outputs[0].name
    assert one.shaped(name, rows).shape == (1, 1, 1, 7)
    assert one.shaped(name, 0 * rows).shape == (1, 1, 0, 7)
    one.graph, _ = graph_and_model(NET)
    assert one.shaped("prob", np.zeros((3, 4, 4))).shape == (1, 3, 4, 4)
    assert one.shaped("prob", np.zeros((4, 3, 4))).shape == (4, 3, 4)


def test_what_it_cannot_do_is_one_line(stand_in, tmp_path):
    graph, _ = graph_and_model(NET)
    absent = 'print(json.dumps({"absent": "OpenCV 5 no longer reads"}), flush=True)\n'
    assert refusal(stand_in, graph, absent) == (
        "--against opencv: OpenCV 5 no longer reads; "
        "pip install -t DIR 'opencv-python-headless<5' and give --opencv DIR"
    )
    assert refusal(stand_in, graph, absent, path=tmp_path).startswith(f"{tmp_path}: OpenCV 5")
    failed = "print(json.dumps({'version': '4.0', 'failed': 'no Python layers'}), flush=True)\n"
    assert refusal(stand_in, graph, failed) == (
        "net.prototxt: OpenCV 4.0 does not run it: no Python layers; leave out --against opencv"
    )
    one = stand_in(graph, each="print(json.dumps({'failed': 'sizes'}), flush=True)")
    assert "OpenCV 4.0 does not run it: sizes" in refusal(one.run, {}, ["prob"])
    one = stand_in(graph, each="sys.exit(3)")
    assert "its process ended with status 3" in refusal(one.run, {}, ["prob"])
    assert "its process ended with status" in refusal(one.run, {}, ["prob"])
    assert "its process ended with status 4" in refusal(stand_in, graph, "sys.exit(4)")


def test_it_reads_the_network_as_caffe_would_run_it():
    net = prototxt.parse_net(NET, "net.prototxt").select("TEST")
    graph, _ = graph_and_model(NET)
    text = prototxt.write_net(as_run(net, graph))
    again = prototxt.parse_net(text)
    assert [layer.name for layer in again.layers] == ["x", "conv", "relu", "prob_layer"]
    assert again.layers[0].type == "Input" and "dim: 6" in text


class FakeNet:
    """As much of cv2.dnn.Net as is asked for."""

    def getLayerNames(self):  # noqa: N802
        return ("conv", "prob")

    def setInput(self, array, name):  # noqa: N802
        self.given = {name: array}

    def forward(self, names):
        return [self.given["x"] + index for index, _ in enumerate(names)]


def test_the_process_answers_for_the_layers_that_it_knows(tmp_path):
    np.save(tmp_path / "in.npy", np.ones((1, 2)))
    wanted = {"prob": ["prob_layer", "prob"], "none": ["none"], "conv": ["conv", "x"], "in": []}
    found = answer(FakeNet(), {"x": str(tmp_path / "in.npy")}, wanted, str(tmp_path))
    assert {blob: layer for blob, (layer, _) in found.items()} == {"prob": "prob", "conv": "conv"}
    assert [np.load(file)[0, 0] for _, file in found.values()] == [1, 2]
    assert answer(FakeNet(), {}, {"none": ["none"]}, str(tmp_path)) == {}


def test_an_opencv_that_reads_no_caffe_files(monkeypatch, tmp_path):
    import cv2

    monkeypatch.delattr(cv2.dnn, "readNetFromCaffe", raising=False)
    with pytest.raises(Unavailable, match=r"no longer reads Caffe's files; 4\.x does"):
        caffe_reader()
    with (tmp_path / "said").open("w") as said:
        opencv_process.serve("net", "weights", iter(()), said)
    assert "no longer reads" in json.loads((tmp_path / "said").read_text())["absent"]
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(Unavailable, match="not installed"):
        caffe_reader()


def test_wrong_use(zoo, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    assert zoo("convert", "net.prototxt").status == 0
    line = ("verify", "net.prototxt", "net.onnx")
    run = zoo(*line, "--opencv", "somewhere")
    assert (run.status, run.out) == (2, "")
    assert "--opencv: nobody asks OpenCV; give --against opencv" in run.err
    run = zoo(*line, "--against", "opencv")
    assert run.status == 2 and "OpenCV draws no weights; give --weights" in run.err
    assert zoo(*line, "--against", "matlab").status == 2
    from zoo.checking.verify import verify

    with pytest.raises(prototxt.UsageError, match="no such witness; there is opencv"):
        verify(tmp_path / "net.prototxt", tmp_path / "net.onnx", against="matlab")


@pytest.fixture(scope="session")
def opencv4():
    """A folder with OpenCV 4, which ZOO_OPENCV names; None where the installed one is that."""
    folder = os.environ.get("ZOO_OPENCV")
    if folder is not None:
        return Path(folder)
    try:
        caffe_reader()
    except Unavailable as error:
        pytest.skip(f"{error}; name a folder with OpenCV 4 in ZOO_OPENCV")
    return None


TRAINED = ["lenet", "squeezenet", "rfb", "wq_detect", "wq_sr", "w2x_art"]


@pytest.mark.parametrize("name", TRAINED)
def test_opencv_agrees_on_published_networks(zoo, shared, opencv4, name):
    folder = shared / "caffe/trained" / name
    net, weights = folder / "net.prototxt", folder / "net.caffemodel"
    assert zoo("convert", net, "--weights", weights, "-o", "m.onnx").status == 0
    given = ["--opencv", opencv4] if opencv4 else []
    line = ["verify", net, "m.onnx", "--weights", weights, "--against", "opencv", *given]
    found = zoo(*line, "--inputs", folder / "io.npz", "--json").json
    pairs = {(item["left"], item["right"]) for item in found["comparisons"]}
    assert found["ok"] and ("onnx", "opencv") in pairs


def test_opencv_does_not_know_a_layer(zoo, shared, opencv4):
    folder = shared / "caffe/trained/nano"
    net, weights = folder / "net.prototxt", folder / "net.caffemodel"
    assert zoo("convert", net, "--weights", weights, "-o", "m.onnx").status == 0
    given = ["--opencv", opencv4] if opencv4 else []
    line = ["verify", net, "m.onnx", "--weights", weights, "--against", "opencv", *given]
    refusal = zoo(*line).refusal
    assert refusal.startswith(f"{net}: OpenCV 4.")
    assert refusal.endswith('of type "Upsample"; leave out --against opencv')


def test_opencv_finds_what_the_rebuild_shares(zoo, opencv4, tmp_path):
    """Weights that are another network's: OpenCV reads the file itself."""
    (tmp_path / "net.prototxt").write_text(NET)
    net = prototxt.parse_net(NET).select("TEST")
    import converters

    for name, seed in (("one", 1), ("two", 2)):
        graph = converters.build_graph(net, seed=seed, open_dims=False)
        blobs = {node.name: node.blobs for node in graph.nodes if node.blobs}
        types = {node.name: node.type for node in graph.nodes}
        prototxt.write_weights(f"{name}.caffemodel", blobs, types)
    convert = ("convert", "net.prototxt", "--weights", "one.caffemodel")
    assert zoo(*convert).status == 0
    given = ["--opencv", opencv4] if opencv4 else []
    line = ["verify", "net.prototxt", "net.onnx", "--against", "opencv", *given]
    assert zoo(*line, "--weights", "one.caffemodel", "--json").json["ok"]
    assert zoo(*line, "--weights", "two.caffemodel").status == 1
    assert witness.Witness.name == "opencv"
