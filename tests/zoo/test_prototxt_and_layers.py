"""`zoo prototxt` and `zoo layers`: the two that need no file."""

import prototxt
from zoo import architectures


def test_a_definition_to_stdout_and_to_a_file(zoo, tmp_path):
    run = zoo("prototxt", "--arch", "8_8_8")
    assert run.out == architectures.definition("8_8_8")
    assert zoo("prototxt", "--arch", "8_8_8", "-o", "net.prototxt").out == ""
    assert (tmp_path / "net.prototxt").read_text() == run.out


def test_size_classify_and_solver(zoo):
    large = prototxt.parse_net(zoo("prototxt", "--arch", "8_8_8", "--size", 256).out)
    assert architectures.recognise(large).size == 256
    classifier = prototxt.parse_net(zoo("prototxt", "--arch", "8_8_8", "--classify").out)
    assert architectures.recognise(classifier).classify
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
    assert text.splitlines()[-1] == f"{len(rows)} layer types"
    assert text.splitlines()[0].split() == ["type", "family", "fork", "onnx", "torch"]
