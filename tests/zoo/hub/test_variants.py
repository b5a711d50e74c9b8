"""One model in several precisions and for several targets, and what each costs."""

import json
from pathlib import Path

import onnx
import pytest

from prototxt.errors import UsageError
from tests.zoo.hub.test_publish import edited
from tests.zoo.hub.web import files_below
from zoo import hub as hubs
from zoo.errors import HubError
from zoo.hub.cards import cost_text
from zoo.hub.index import Cost
from zoo.hub.pulling import choose, chosen

COST = Cost("kodak", 24, 0.25, rmse=(0.1206, 0.1211), top1=(0.5, 0.49), same_class=0.97)


@pytest.fixture
def several(zoo, small, tmp_path) -> Path:
    """A hub with one model: for two targets, and portable in three precisions."""
    for target in ("cpu", "portable"):
        run = zoo("convert", small, "--mean", "1", "--target", target, "-o", f"{target}.onnx")
        assert run.status == 0, run.err
    stated = {"sample": "kodak", "images": 24, "largest": 0.25, "rmse": [0.1206, 0.1211]}
    stated |= {"top1": [0.5, 0.49], "same_class": 0.97}
    for precision in ("float16", "int8"):
        cost = {"zoo__cost": json.dumps(stated)} if precision == "int8" else {}
        edited("portable.onnx", f"{precision}.onnx", zoo__precision=precision, **cost)
    names = ("cpu", "portable", "float16", "int8")
    run = zoo("publish", *[f"{name}.onnx" for name in names], "--hub", "hub", "--name", "net")
    assert run.status == 0, run.err
    return tmp_path / "hub"


def test_what_the_index_and_the_card_say(zoo, several):
    entry = hubs.open_hub(several).index.models[0]
    costs = {file.name: file.network.cost for file in entry.models}
    assert costs == {"cpu.onnx": None, "portable.onnx": None, "float16.onnx": None,
                     "int8.onnx": COST}  # fmt: skip
    assert entry.precisions == ("float32", "float16", "int8")
    said = (
        "largest difference 0.25, RMSE 0.1206 before, 0.1211 after, top-1 50.0% before, "
        "49.0% after; on 24 images (kodak)"
    )
    assert cost_text(COST) == said
    card = (several / "net/1.0/README.md").read_text("utf-8")
    assert f"- `int8.onnx` beside float32: {said}." in card
    assert "- float16\n- int8\n" in card
    assert "float32,float16,int8" in zoo("list", "--hub", several).out
    listed = zoo("list", "--hub", several, "--json").json["models"][0]["files"][3]["network"]
    assert listed["cost"]["rmse"] == [0.1206, 0.1211]
    assert "zoo.cost" in zoo("inspect", several / "net/1.0/int8.onnx").out


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], {"cpu.onnx", "portable.onnx", "float16.onnx", "int8.onnx"}),
        (["--precision", "int8"], {"int8.onnx"}),
        (["--precision", "float32"], {"cpu.onnx", "portable.onnx"}),
        (["--precision", "int8", "--target", "opencv"], {"int8.onnx"}),
        (["--precision", "float32", "--target", "openvino"], {"portable.onnx"}),
        (["--precision", "float32", "--target", "cpu"], {"cpu.onnx"}),
        (["--target", "cuda"], {"portable.onnx", "float16.onnx", "int8.onnx"}),
    ],
)
def test_what_is_pulled(zoo, several, tmp_path, options, names):
    run = zoo("pull", "net", "--hub", several, "-o", "out", *options)
    assert run.status == 0, run.err
    assert files_below(tmp_path / "out") == names | {"README.md"}
    assert ("0.1211 after" in run.out) is ("int8.onnx" in names)


def test_what_is_located(several):
    def found(**options: str) -> str:
        return hubs.locate("net", several, **options).name

    assert found() == "cpu.onnx"
    assert found(target="webgpu") == found(target="portable") == "portable.onnx"
    assert found(target="tensorrt", precision="float16") == "float16.onnx"
    with pytest.raises(HubError) as caught:
        found(part="encoder", precision="int8")
    assert str(caught.value) == (
        "net@1.0: no encoder network for cpu in int8; it has cpu.onnx (whole; float32; cpu), "
        "portable.onnx (whole; float32; cpu, cuda, portable), "
        "float16.onnx (whole; float16; cpu, cuda, portable), "
        "int8.onnx (whole; int8; cpu, cuda, portable)"
    )


def test_what_is_not_there(zoo, several, small, tmp_path):
    zoo("convert", small, "--mean", "1", "--target", "cpu")
    hubs.publish([tmp_path / "small.onnx"], several, name="old")
    refusal = zoo("pull", "old", "--hub", several, "--precision", "int8", "--target", "cpu").refusal
    assert refusal == "old@1.0: no network for cpu in int8; it has small.onnx (whole; cpu)"
    refusal = zoo("pull", "old", "--hub", several, "--target", "opencv").refusal
    assert refusal == "old@1.0: no network for opencv; it has small.onnx (whole; cpu)"
    entry = hubs.open_hub(several).index.models[0]
    with pytest.raises(UsageError, match="unknown target 'x'; one of portable, cpu,"):
        choose(entry, "x")
    with pytest.raises(UsageError, match="unknown precision 'int4'; one of float32,"):
        chosen(entry, "int4")


def test_what_fewer_bits_cost_is_in_the_model(zoo, small, tmp_path):
    """From `zoo convert` to the index, through the file alone."""
    run = zoo("convert", small, "--mean", "104,117,123", "--precision", "float16", "--json")
    assert run.status == 0, run.err
    cost = run.json["cost"]
    path = tmp_path / "small.onnx"
    assert cost["bytes"]["float16"] == path.stat().st_size
    entry = hubs.publish([path], tmp_path / "hub").entry
    (file,) = entry.models
    found = file.network.cost
    assert file.network.precision == "float16" and found is not None
    assert (found.sample, found.images) == (cost["sample"], cost["images"])
    assert found.largest == pytest.approx(cost["outputs"][0]["largest"], rel=1e-5)
    assert found.rmse == pytest.approx(tuple(cost["rmse"].values()), rel=1e-5)
    stated = {item.key for item in onnx.load(path).metadata_props}
    assert {"zoo.precision", "zoo.cost"} <= stated
