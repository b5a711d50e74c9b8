"""`zoo verify`: it must agree where it should, and name the place where it should not."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import converters
import runtime
from tests.zoo.checking.spoiling import calculated
from zoo.checking import probes
from zoo.checking.verification import Verifier


@pytest.fixture
def converted(zoo, small):
    """`small.onnx` in the current folder."""
    assert zoo("convert", small).status == 0
    return small


def change(path, initializer: str, factor: float = 1.5) -> None:
    """Spoil one weight of a model."""
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name == initializer)
    array = numpy_helper.to_array(tensor) * np.float32(factor)
    tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), initializer))
    onnx.save(model, path)


def small_line(path, layer):
    """The line, from 0, on which the layer begins."""
    lines = path.read_text().splitlines()
    named = next(i for i, line in enumerate(lines) if f'name: "{layer}"' in line)
    return next(i for i in range(named, -1, -1) if "layer" in lines[i] and "{" in lines[i])


@pytest.mark.parametrize("flags", [[], ["--target", "cuda"], ["--no-fold"], ["--seed", "5"]])
def test_a_model_agrees_with_its_network(zoo, small, flags):
    assert zoo("convert", small, *flags).status == 0
    seed = flags if "--seed" in flags else []
    data = zoo("verify", small, "small.onnx", *seed, "--json").json
    assert data["ok"] is True
    assert data["first_departure"] is None
    assert {item["blob"] for item in data["comparisons"]} == {
        "deconv1_2",
        "pool1_mask",
        "pool2_mask",
        "pool3_mask",
    }
    assert [row["input"] for row in data["inputs"]] == list(probes.KINDS)
    run = zoo("verify", small, "small.onnx", *seed)
    assert run.status == 0
    assert "torch / onnx" in run.out
    assert [line.split()[0] for line in run.out.splitlines()[1:-1]] == list(probes.KINDS)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_each_half_of_a_split_agrees(zoo, small, part):
    assert zoo("convert", small, "--split").status == 0
    data = zoo("verify", small, f"small.{part}.onnx", "--json").json
    assert data["ok"] is True
    assert data["comparisons"]


def test_a_model_that_departs_is_caught_at_its_first_blob(zoo, converted, tmp_path):
    change(tmp_path / "small.onnx", "deconv2_1.weight")
    run = zoo("verify", converted, "small.onnx", "--json")
    assert run.status == 1
    data = json.loads(run.out)
    assert data["ok"] is False
    assert data["first_departure"]["blob"].startswith("deconv2_1")
    assert run.err.startswith("error: small.onnx: blob 'deconv2_1")
    first = data["first_departure"]
    line = 1 + small_line(converted, "deconv2_1")
    assert first["layer"] == f"'deconv2_1' (Deconvolution), {converted}:{line}"
    assert len(first["at"]) == 4 and len(first["values"]) == 2 and first["input"] == "random"
    assert f"{converted}:{line}" in run.err and "against" in run.err
    assert "max abs" in run.err and run.err.count("\n") == 1


def test_another_seed_departs(zoo, converted):
    run = zoo("verify", converted, "small.onnx", "--seed", 1)
    assert run.status == 1
    assert "blob 'conv1_1" in run.err


def test_given_outputs_are_compared_as_well(zoo, converted, tmp_path):
    data = np.random.default_rng(1).normal(size=(2, 3, 16, 16)).astype(np.float32)
    out = runtime.load(tmp_path / "small.onnx", "cpu").run({"data": data})
    np.savez(
        tmp_path / "io.npz",
        **{"in.data": data, **{f"out.{name}": blob for name, blob in out.items()}},
    )
    run = zoo("verify", converted, "small.onnx", "--inputs", "io.npz", "--json")
    pairs = {(item["left"], item["right"]) for item in run.json["comparisons"]}
    assert pairs == {("torch", "onnx"), ("onnx", "given"), ("torch", "given")}
    wrong = {**out, "data": data, "deconv1_2": out["deconv1_2"] + 1}
    np.savez(tmp_path / "wrong.npz", **wrong)
    run = zoo("verify", converted, "small.onnx", "--inputs", "wrong.npz")
    assert run.status == 1
    assert "blob 'deconv1_2' departs, onnx against given" in run.err


def test_blobs_inside_the_network_that_are_given(zoo, converted, tmp_path):
    data = np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)
    out = runtime.load(tmp_path / "small.onnx", "cpu").run({"data": data})
    wrong = {"data": data, "deconv1_2": out["deconv1_2"] + 1, "pool2": np.zeros((1, 3, 4, 4))}
    np.savez(tmp_path / "io.npz", **wrong)
    run = zoo("verify", converted, "small.onnx", "--inputs", "io.npz")
    assert run.status == 1
    assert "blob 'pool2' departs" in run.err


def test_input_files_that_do_not_fit(zoo, converted, tmp_path):
    np.savez(tmp_path / "io.npz", other=np.zeros(3))
    assert zoo("verify", converted, "small.onnx", "--inputs", "io.npz").refusal == (
        "io.npz: has no blob for the model's input data; its blobs are other"
    )
    (tmp_path / "bad.npz").write_bytes(b"PK")
    refusal = zoo("verify", converted, "small.onnx", "--inputs", "bad.npz").refusal
    assert refusal.startswith("bad.npz: not an .npz file of arrays")
    assert zoo("verify", converted, "small.onnx", "--inputs", "none.npz").refusal == (
        "none.npz: no such file"
    )


def test_a_model_of_another_network(zoo, converted, tmp_path):
    (tmp_path / "other.prototxt").write_text(
        'input: "x" input_shape { dim: 1 dim: 2 }\n'
        'layer { name: "deconv1_2" type: "ReLU" bottom: "x" top: "deconv1_2" }\n'
        'layer { name: "s" type: "Split" bottom: "x" top: "a" }\n'
    )
    refusal = zoo("verify", "other.prototxt", "small.onnx").refusal
    assert "pool1_mask" in refusal or "inputs are x" in refusal


@pytest.mark.parametrize("name", ["net8_8_8", "net16_16_16Pretrain"])
def test_against_caffe_itself(zoo, shared, tmp_path, name):
    tunnel = shared / "caffe/tunnel"
    net = tunnel / f"prototxt/{name.removesuffix('Pretrain')}.prototxt"
    weights = tunnel / f"caffemodel/{name}_iter_50000.caffemodel"
    assert zoo("convert", net, "--weights", weights, "-o", "m.onnx").status == 0
    with np.load(tunnel / f"golden/{name}.npz") as archive:
        golden = dict(archive)
    images = len(golden["deconv1_2"])
    np.savez(tmp_path / "io.npz", **{key: blob[:images] for key, blob in golden.items()})
    run = zoo("verify", net, "m.onnx", "--weights", weights, "--inputs", "io.npz", "--json")
    assert run.json["ok"] is True
    compared = {(item["blob"], item["right"]) for item in run.json["comparisons"]}
    assert ("deconv1_2", "given") in compared


def test_weights_that_are_not_those_of_the_model(zoo, shared):
    tunnel = shared / "caffe/tunnel"
    net = tunnel / "prototxt/net8_8_8.prototxt"
    weights = tunnel / "caffemodel/net8_8_8_iter_50000.caffemodel"
    assert zoo("convert", net, "-o", "m.onnx").status == 0
    run = zoo("verify", net, "m.onnx", "--weights", weights)
    assert run.status == 1
    assert "blob 'conv1_1" in run.err


def test_labels_and_indices_are_drawn_as_they_may_be(zoo, tmp_path):
    (tmp_path / "words.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 5 } } }\n'
        'layer { name: "words" type: "Embed" bottom: "x" top: "y" embed_param { input_dim: 7 '
        'num_output: 3 weight_filler { type: "xavier" } } }\n'
    )
    assert zoo("convert", "words.prototxt").status == 0
    assert zoo("verify", "words.prototxt", "words.onnx", "--json").json["ok"] is True


def test_a_departure_on_one_kind_of_input_alone(zoo, tmp_path):
    """A ReLU that is missing shows where something is negative."""
    text = (
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 5 } } }\n'
        'layer { name: "a" type: "AbsVal" bottom: "x" top: "y" }\n'
    )
    (tmp_path / "net.prototxt").write_text(text)
    assert zoo("convert", "net.prototxt").status == 0
    model = onnx.load("net.onnx")
    model.graph.node[0].op_type = "Relu"
    onnx.save(model, "net.onnx")
    run = zoo("verify", "net.prototxt", "net.onnx", "--json")
    rows = {row["input"]: row for row in json.loads(run.out)["inputs"]}
    assert rows["zeros"]["ok"] and not rows["negative"]["ok"]
    first = rows["negative"]["first_departure"]
    assert first["layer"] == "'a' (AbsVal), net.prototxt:2"
    assert first["values"][1] == 0 and first["values"][0] > 0


GROWING = (
    'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 5 } } }\n'
    'layer { name: "e" type: "Exp" bottom: "x" top: "e" }\n'
    'layer { name: "p" type: "Power" bottom: "e" top: "y" power_param { shift: 1 } }\n'
)


def growing(folder, factor=1.0):
    """A network of e to its input, and a model of it whose last blob is off by a factor."""
    (folder / "net.prototxt").write_text(GROWING)
    graph = converters.convert(folder / "net.prototxt", open_dims=False).graph
    model = converters.to_onnx(graph)
    calculated(model, "y", "Mul", np.float32(factor))
    onnx.save(model, folder / "net.onnx")


def test_an_input_that_cannot_be_judged_says_so(zoo, tmp_path):
    growing(tmp_path, -1)
    run = zoo("verify", "net.prototxt", "net.onnx", "--json")
    rows = {row["input"]: row for row in json.loads(run.out)["inputs"]}
    assert run.status == 1 and not rows["random"]["ok"]
    assert (rows["large"]["ok"], rows["large"]["judged"]) == (True, False)
    assert rows["large"]["unjudged"] == "blob 'e' is infinite"
    growing(tmp_path)
    run = zoo("verify", "net.prototxt", "net.onnx")
    assert run.status == 0, run.err


def test_a_model_that_cannot_be_judged_is_told_from_a_right_one(zoo, tmp_path):
    growing(tmp_path, -1)
    for name, number, reason in (
        ("large", 100, "blob 'e' is infinite"),
        ("far", 60, "blob 'e' reaches 1.1e+26"),
        ("odd", np.nan, "blob 'x' is not a number"),
    ):
        np.savez(tmp_path / f"{name}.npz", x=np.full((1, 5), number, np.float32))
        run = zoo("verify", "net.prototxt", "net.onnx", "--inputs", f"{name}.npz")
        assert (run.status, "not judged" in run.out) == (1, True)
        if name == "odd":
            reason = "blob 'y' has no finite number"  # which both have
        assert f"not judged on the given input: {reason}" in run.err.splitlines()[-1]
        assert "could not judge it" in run.err and "--inputs" in run.err
        run = zoo("verify", "net.prototxt", "net.onnx", "--inputs", f"{name}.npz", "--json")
        assert run.status == 1
        data = json.loads(run.out)
        assert (data["ok"], data["first_departure"]) == (False, None)


def test_a_given_answer_beyond_float32_is_not_judged_without_torch(tmp_path):
    """A rebuild is not at hand: what is given tells how far it went."""
    growing(tmp_path)
    x = np.full((1, 5), 60, np.float32)
    graph = converters.convert(tmp_path / "net.prototxt", open_dims=False).graph
    model = runtime.load(tmp_path / "net.onnx", "cpu")
    verifier = Verifier(graph, model, tmp_path / "net.onnx", 1e-4, rebuild=False)
    right = model.run({"x": x})["y"]
    assert verifier.check("x", {"x": x}, {"x": x}, {"y": right}).judged
    row = verifier.check("x", {"x": x}, {"x": x}, {"y": 2 * right})
    assert row.ok and not row.judged and row.unjudged == "blob 'y' reaches 2.3e+26"
    x = np.ones((1, 5), np.float32)
    row = verifier.check("x", {"x": x}, {"x": x}, {"y": right})
    assert not row.judged
    row = verifier.check("x", {"x": x}, {"x": x}, {"y": x})
    assert not row.ok and row.first.blob == "y"


def test_an_overflow_that_the_given_answer_has_not_is_an_error(zoo, tmp_path):
    """Rebuild and model may be wrong in the same way: Caffe's own numbers tell."""
    growing(tmp_path)
    x = np.full((1, 5), 100, np.float32)
    np.savez(tmp_path / "io.npz", **{"in.x": x, "out.y": x})
    run = zoo("verify", "net.prototxt", "net.onnx", "--inputs", "io.npz")
    assert run.status == 1 and "blob 'y' departs, onnx against given" in run.err
    np.savez(tmp_path / "io.npz", **{"in.x": x, "out.y": np.inf * x})
    assert zoo("verify", "net.prototxt", "net.onnx", "--inputs", "io.npz").status == 1  # no number
    np.savez(tmp_path / "io.npz", **{"in.x": x / 2, "out.y": np.exp(x / 2) * 1.1})
    run = zoo("verify", "net.prototxt", "net.onnx", "--inputs", "io.npz")
    assert run.status == 0 and "not judged on the given input" in run.out + run.err


@pytest.mark.parametrize("name", ["wq_detect", "w2x_upresnet10"])
def test_published_networks_are_right(zoo, shared, name):
    """One finds nothing and on large inputs overflows, the other averages 7056 equal numbers."""
    folder = shared / "caffe/trained" / name
    net, weights = folder / "net.prototxt", folder / "net.caffemodel"
    assert zoo("convert", net, "--weights", weights, "-o", "m.onnx").status == 0
    data = zoo("verify", net, "m.onnx", "--weights", weights, "--json").json
    rows = {row["input"]: row for row in data["inputs"]}
    rounded = {item["input"] for item in data["comparisons"] if item["rounding"]}
    if name == "wq_detect":
        # Boxes of 1e34 and infinite ones: whether they happen to agree, too, hangs on the threads.
        assert rows["large"]["unjudged"] in (None, "blob 'detection_output' is infinite")
        assert rounded == set() and sum(row["judged"] for row in rows.values()) >= 8
        given = zoo("verify", net, "m.onnx", "--weights", weights, "--inputs", folder / "io.npz")
        assert given.status == 0, given.err
    else:
        assert rounded <= {"constant"} and all(row["judged"] for row in rows.values())
