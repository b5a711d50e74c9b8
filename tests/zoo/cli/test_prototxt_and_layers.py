"""`zoo prototxt` and `zoo layers`: the two that need no file."""

import ast

import prototxt
from converters import registry
from converters.families import recognise
from tests import evidence
from zoo.checking import layer_table
from zoo.paper import architectures


def test_a_definition_to_stdout_and_to_a_file(zoo, tmp_path):
    run = zoo("prototxt", "--arch", "8_8_8")
    assert run.out == architectures.definition("8_8_8")
    assert zoo("prototxt", "--arch", "8_8_8", "-o", "net.prototxt").out == ""
    assert (tmp_path / "net.prototxt").read_text() == run.out


def test_size_classify_and_solver(zoo):
    large = prototxt.parse_net(zoo("prototxt", "--arch", "8_8_8", "--size", 256).out)
    assert recognise(large).size == 256
    classifier = prototxt.parse_net(zoo("prototxt", "--arch", "8_8_8", "--classify").out)
    assert recognise(classifier).task == "classify"
    solver = prototxt.parse_solver(zoo("prototxt", "--arch", "8_8_8", "--classify", "--solver").out)
    assert solver.net == "classify8_8_8.prototxt"


def test_an_output_that_cannot_be_written(zoo):
    assert zoo("prototxt", "--arch", "8_8_8", "-o", "no/such/folder").refusal.startswith(
        "no/such/folder: cannot be written"
    )


def test_layers(zoo):
    rows = {row["type"]: row for row in zoo("layers", "--json").json["layers"]}
    needed = """Convolution ReLU Pooling Unpooling Deconvolution InnerProduct Softmax
    EuclideanLoss SoftmaxWithLoss Silence Dropout Data Input""".split()
    assert set(needed) <= set(rows)
    assert rows["Unpooling"]["onnx"] and rows["Unpooling"]["torch"]
    assert rows["Convolution"]["family"] == "convolution"
    text = zoo("layers").out
    assert text.splitlines()[-1].startswith(f"{len(rows)} layer types: ")
    assert text.splitlines()[0].split() == [
        *("type", "family", "fork", "onnx", "torch", "trained", "goldens", "oracles", "used"),
    ]
    pooling = rows["Pooling"]
    assert min(pooling[kind] for kind in ("goldens", "oracles", "trainings")) > 0
    assert rows["MultiBoxLoss"]["onnx"] is False and rows["MultiBoxLoss"]["oracles"] == 0


def test_the_table_of_layers_is_current(zoo, monkeypatch):
    """Else run `python -m tests.evidence`."""
    registry.layer_types()
    ours = {  # without what other tests registered
        name: kind
        for name, kind in registry._types.items()
        if type(kind).__module__.startswith("converters.layers.")
    }
    monkeypatch.setattr(registry, "_types", ours)
    counted = evidence.counted()
    assert layer_table.EVIDENCE.read_text() == evidence.as_text(counted)
    page = zoo("layers", "--markdown").out
    assert (evidence.ROOT / "LAYERS.md").read_text() == page
    assert zoo("layers", "--markdown", "--json").status == 2


def test_what_is_counted():
    """Functions of the mark that name a type, themselves or by what they use; none that awaits an
    error.
    """
    functions = """
NET = 'layer { type: "Tile" }'
def helper(): return NET
def test_one(): check(helper(), "ReLU")
def test_two(): check("ReLU")
def test_three():
    with pytest.raises(ConversionError): check("Power")
@pytest.mark.oracle
def test_four(): check("Exp")
"""
    assert evidence.marked(ast.parse(functions), "oracle") == {"Exp": 1}
    whole = evidence.marked(ast.parse("pytestmark = pytest.mark.oracle" + functions), "oracle")
    assert whole == {"Tile": 1, "ReLU": 2, "Exp": 1}
    assert not evidence.marked(ast.parse(functions), "gradient")


def test_a_plugins_layers_have_no_evidence(zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_types", dict(registry._types))
    (tmp_path / "mine.py").write_text(
        "from converters import LayerType, register\n"
        "@register('Mine')\nclass Mine(LayerType):\n    pass\n"
    )
    rows = {r["type"]: r for r in zoo("layers", "--plugin", "mine.py", "--json").json["layers"]}
    assert rows["Mine"]["goldens"] == 0 and not rows["Mine"]["onnx"]
