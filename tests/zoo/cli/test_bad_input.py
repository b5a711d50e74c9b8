"""Bad files: one exact line, exit status 1, no traceback, and no file left behind."""

import os
from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
from prototxt.schema_pb import message_class
from zoo.paper import architectures

HEAD = 'input: "x" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\n'


def layer(name: str, kind: str, bottoms: str, tops: str, extra: str = "") -> str:
    """One layer on one line; blobs by their names, a word each."""
    blobs = [f'bottom: "{blob}"' for blob in bottoms.split()]
    blobs += [f'top: "{blob}"' for blob in tops.split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(blobs)} {extra} }}\n'


def convolution(fields: str) -> str:
    return HEAD + layer("c", "Convolution", "x", "y", f"convolution_param {{ {fields} }}")


# name: (content of net.prototxt, what is said)
DEFINITIONS = {
    "missing bottom": (
        HEAD + layer("r", "ReLU", "y", "z"),
        "net.prototxt:2:1: layer 'r' (ReLU): bottom 'y' is not there; "
        "no layer of this phase writes it",
    ),
    "duplicate top": (
        HEAD + layer("r", "ReLU", "x", "y") + layer("s", "ReLU", "x", "y"),
        "net.prototxt:3:1: layer 's' (ReLU): top 'y' is written already by layer 'r' (ReLU) "
        "at line 2; give it another name, or make it the bottom as well to work in place",
    ),
    "a cycle": (
        HEAD + layer("r", "Eltwise", "x b", "a") + layer("s", "ReLU", "a", "b"),
        "net.prototxt:2:1: layer 'r' (Eltwise): bottom 'b' is written only later, "
        "by layer 's' (ReLU) at line 3; a cycle, or layers out of order",
    ),
    "unknown layer types": (
        HEAD
        + layer("r", "Odd", "x", "a")
        + layer("s", "Even", "a", "b")
        + layer("t", "Odd", "b", "c"),
        "net.prototxt:2:1: unknown layer types: 'r' (Odd) at 2:1, 's' (Even) at 3:1, "
        "'t' (Odd) at 4:1; `zoo layers` lists the known types; "
        "register others with --plugin FILE.py",
    ),
    "misspelt field": (
        convolution("num_output: 2 kernel_sise: 3"),
        "net.prototxt:2:94: unknown field 'kernel_sise' in convolution_param; "
        "did you mean 'kernel_size'?",
    ),
    "misspelt message": (
        HEAD + layer("c", "Convolution", "x", "y", "convolution_parm { num_output: 2 }"),
        "net.prototxt:2:60: layer 'c' (Convolution): unknown field 'convolution_parm'; "
        "did you mean 'convolution_param'?",
    ),
    "kernel larger than its input": (
        convolution("num_output: 2 kernel_size: 11 pad: 1"),
        "net.prototxt:2:1: layer 'c' (Convolution): kernel 11x11 with dilation 1x1 is larger "
        "than its 8x8 input padded by 1x1; give a larger --shape",
    ),
    "pooling kernel larger than its input": (
        HEAD + layer("p", "Pooling", "x", "y", "pooling_param { kernel_size: 11 stride: 1 }"),
        "net.prototxt:2:1: layer 'p' (Pooling): kernel 11x11 is larger than its 8x8 input "
        "padded by 0x0; give a larger --shape",
    ),
    "more numbers than Caffe's blobs hold": (
        HEAD + layer("t", "Tile", "x", "y", "tile_param { tiles: 2000000000 }"),
        "net.prototxt:2:1: layer 't' (Tile): of a 1x3x8x8 input its output, 1x6000000000x8x8, "
        "holds more than 2^31-1 numbers, Caffe's most",
    ),
    "more weights than Caffe's blobs hold": (
        HEAD + layer("i", "InnerProduct", "x", "y", "inner_product_param { num_output: 11184811 }"),
        "net.prototxt:2:1: layer 'i' (InnerProduct): its weight, 11184811x192, "
        "holds more than 2^31-1 numbers, Caffe's most",
    ),
    "an empty input": (
        HEAD.replace("dim: 3", "dim: 0") + layer("r", "ReLU", "x", "y"),
        "net.prototxt:1:1: layer 'x' (Input): its 'x', 1x0x8x8, is empty; "
        "give --shape x=1x3x224x224",
    ),
    "a size that Caffe's int does not hold": (
        HEAD + layer("n", "LRN", "x", "y", "lrn_param { local_size: 4294967295 }"),
        "net.prototxt:2:64: local_size of lrn_param must fit 31 bits, "
        "as Caffe's layers keep it in an int, not 4294967295",
    ),
    "a filler that no number fits": (
        convolution('num_output: 2 kernel_size: 3 weight_filler { type: "uniform" max: 1e39 }'),
        "net.prototxt:2:1: layer 'c' (Convolution): weight: max of the filler is 1e+39, "
        "which is no float32 number",
    ),
    "a filler that is no number": (
        convolution("num_output: 2 kernel_size: 3 weight_filler { value: nan }"),
        "net.prototxt:2:1: layer 'c' (Convolution): weight: value of the filler is nan, "
        "which is no float32 number",
    ),
    "a sequence of other steps than its marks": (
        'input: "x" input_shape { dim: 5 dim: 2 dim: 3 }\n'
        'input: "c" input_shape { dim: 4 dim: 2 }\n'
        + layer("l", "LSTM", "x c", "y", "recurrent_param { num_output: 4 }"),
        "net.prototxt:3:1: layer 'l' (LSTM): its bottoms are 5x2x3 and 4x2, not of the same steps",
    ),
    "a sequence of more steps than a model can have": (
        'input: "x" input_shape { dim: 100000 dim: 2 dim: 3 }\n'
        'input: "c" input_shape { dim: 100000 dim: 2 }\n'
        + layer("l", "RNN", "x c", "y", "recurrent_param { num_output: 4 }"),
        "net.prototxt:3:1: layer 'l' (RNN): takes more than 200,000 operators; "
        "give a smaller --shape",
    ),
    "a message that is not closed": (
        HEAD + 'layer { name: "r"\n',
        "net.prototxt:3:1: expected '}' to close the '{' of line 2, found the end of the file",
    ),
    "a word in place of a number": (
        convolution("num_output: many kernel_size: 3"),
        "net.prototxt:2:80: num_output of convolution_param must be a whole number, not many",
    ),
    "an input of which no usual size fits": (
        layer("d", "Data", "", "data")
        + layer("r", "Reshape", "data", "y", "reshape_param { shape { dim: 0 dim: 7 dim: 13 } }"),
        "net.prototxt:1:1: layer 'd': nothing fixes the height and width of 'data'; "
        "give --shape data=1x3x224x224",
    ),
    "no layers": (
        "",
        "net.prototxt: there are no layers in it; is it a network definition?",
    ),
    "both syntaxes": (
        HEAD
        + layer("r", "ReLU", "x", "y")
        + 'layers { name: "s" type: RELU bottom: "y" top: "z" }\n',
        "net.prototxt:3:1: both `layer` and `layers` are used; `layers` is the old syntax",
    ),
    "a solver": (
        architectures.solver("8_8_8"),
        "net.prototxt: this is a solver definition; train with `zoo train`, "
        "or look at it with `zoo inspect`",
    ),
    "not text": (
        b"\x89PNG\r\n\x1a\n\x00\xff\xfe",
        "net.prototxt: not a text file; is it a .caffemodel? pass that as --weights",
    ),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions(zoo, tmp_path, name):
    content, said = DEFINITIONS[name]
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "net.prototxt").write_bytes(data)
    assert zoo("convert", "net.prototxt").refusal == said
    assert os.listdir(tmp_path) == ["net.prototxt"]


def test_a_missing_definition_and_a_directory(zoo, tmp_path):
    assert zoo("convert", "missing.prototxt").refusal == "missing.prototxt: no such file"
    (tmp_path / "d.prototxt").mkdir()
    assert zoo("convert", "d.prototxt").refusal == "d.prototxt: is a directory; name a file"
    assert os.listdir(tmp_path) == ["d.prototxt"]


def test_the_authors_solvers_are_refused(zoo, shared):
    solvers = sorted((shared / "caffe/tunnel/prototxt").glob("*Solver.prototxt"))
    assert len(solvers) > 10
    for path in solvers:
        refusal = zoo("convert", path).refusal
        assert "`zoo train`" in refusal and "`zoo inspect`" in refusal


@pytest.fixture
def weights(small: Path) -> dict[str, list[np.ndarray]]:
    """The blobs of `small.prototxt`, by layer."""
    graph = converters.build_graph(prototxt.read_net(small).select("TEST"))
    return {node.name: node.blobs for node in graph.nodes if node.blobs}


def contradicting(dims: list[int], count: int) -> bytes:
    """A caffemodel whose one blob has `count` numbers for another shape."""
    net = message_class("NetParameter")()
    entry = net.layer.add()
    entry.name, entry.type = b"conv1_1", b"Convolution"
    blob = entry.blobs.add()
    blob.shape.dim.extend(dims)
    blob.data = np.zeros(count, np.float32).tobytes()
    return net.SerializeToString()


CAFFEMODELS = {
    "garbage": (
        bytes(range(256)) * 8,
        "w.caffemodel: not a caffemodel, or cut short: 2048 bytes do not parse",
    ),
    "empty": (b"", "w.caffemodel: not a caffemodel: the file is empty"),
    "text": (
        architectures.definition("8_8_8").encode(),
        "w.caffemodel: not a caffemodel: it is a text file; is it the prototxt?",
    ),
    "length against shape": (
        contradicting([2, 3, 3, 3], 53),
        "w.caffemodel: layer 'conv1_1': blob 0: 53 numbers for a shape of 2x3x3x3 (54); "
        "the file is damaged",
    ),
    "a shape beyond any memory": (
        contradicting([2**40, 2**20], 1),
        "w.caffemodel: layer 'conv1_1': blob 0: a shape of 2 axes, up to 1099511627776 long; "
        "Caffe has at most 32, below 2^31; the file is damaged",
    ),
}


@pytest.mark.parametrize("name", CAFFEMODELS)
def test_caffemodels(zoo, small, tmp_path, name):
    content, said = CAFFEMODELS[name]
    (tmp_path / "w.caffemodel").write_bytes(content)
    assert zoo("convert", small, "--weights", "w.caffemodel").refusal == said
    assert zoo("inspect", "w.caffemodel").refusal == said
    assert sorted(os.listdir(tmp_path)) == ["small.prototxt", "w.caffemodel"]


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.75, 0.99])
def test_a_caffemodel_that_is_cut_short(zoo, small, weights, tmp_path, share):
    path = tmp_path / "w.caffemodel"
    prototxt.write_weights(path, weights)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refusal = zoo("convert", small, "--weights", "w.caffemodel").refusal
    assert refusal.startswith("w.caffemodel: not a caffemodel, or cut short: ")
    assert not (tmp_path / "small.onnx").exists()


@pytest.mark.parametrize("shape", [(), (12,)])
def test_weights_of_too_few_axes(zoo, tmp_path, shape):
    data = 'layer { name: "d" type: "Data" top: "x" }\n'
    conv = layer("c", "Convolution", "x", "y", "convolution_param { num_output: 2 kernel_size: 3 }")
    (tmp_path / "net.prototxt").write_text(data + conv)
    blobs = [np.zeros(shape, np.float32), np.zeros(2, np.float32)]
    prototxt.write_weights(tmp_path / "w.caffemodel", {"c": blobs})
    refusal = zoo("convert", "net.prototxt", "--weights", "w.caffemodel").refusal
    assert refusal.startswith("net.prototxt:2:1: layer 'c' (Convolution): weight is ")
    assert not (tmp_path / "net.onnx").exists()


def test_a_name_that_is_not_utf_8(zoo, small, tmp_path):
    name = os.fsdecode(b"odd\xff.prototxt")
    small.rename(tmp_path / name)
    assert zoo("convert", name, "-o", "out.onnx").status == 0
    assert zoo("inspect", "out.onnx", "--json").json["metadata"]["caffe.prototxt"] == (
        "odd\\udcff.prototxt"
    )


def test_weights_of_another_network(zoo, small, weights, tmp_path):
    path = tmp_path / "w.caffemodel"
    kernel, bias = weights["conv2_1"]
    prototxt.write_weights(path, {**weights, "conv2_1": [kernel[:, :1], bias]})
    line = small.read_text()[: small.read_text().index('name: "conv2_1"')].count("\n")
    assert zoo("convert", small, "--weights", path).refusal == (
        f"{small}:{line}:1: layer 'conv2_1' (Convolution): weight is 3x1x3x3 in the caffemodel, "
        "3x2x3x3 by the prototxt; the two files are not of the same network, or --shape differs"
    )
    del weights["conv1_1"]
    prototxt.write_weights(path, weights)
    refusal = zoo("convert", small, "--weights", path).refusal
    assert "layer 'conv1_1' (Convolution): the caffemodel has no weights for it" in refusal
    assert not (tmp_path / "small.onnx").exists()


def test_missing_weights(zoo, small, tmp_path):
    refusal = zoo("convert", small, "--weights", "none.caffemodel").refusal
    assert refusal == "none.caffemodel: no such file"
    (tmp_path / "d.caffemodel").mkdir()
    refusal = zoo("convert", small, "--weights", "d.caffemodel").refusal
    assert refusal == "d.caffemodel: is a directory; name a file"


def test_outputs_that_cannot_be_written(zoo, small, tmp_path):
    refusal = zoo("convert", small, "-o", "no/where/x.onnx").refusal
    assert refusal == "no/where/x.onnx: cannot be written: there is no folder no/where"
    (tmp_path / "x.onnx").mkdir()
    assert zoo("convert", small, "-o", "x.onnx").refusal == "x.onnx: is a directory; name a file"
    assert sorted(os.listdir(tmp_path)) == ["small.prototxt", "x.onnx"]
    assert os.listdir(tmp_path / "x.onnx") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(zoo, small, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    refusal = zoo("convert", small, "-o", "closed/x.onnx").refusal
    assert refusal == "closed/x.onnx: cannot be written: Permission denied"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--output", "nothing"],
            "small.prototxt: no blob 'nothing' to output; `zoo inspect` lists the blobs",
        ),
        (
            ["--shape", "other=1x2"],
            "small.prototxt: --shape names 'other', which is not an input; the inputs are data",
        ),
        (["--opset", "99"], "opset 99 is not supported; one of 13 to 26"),
        (["--plugin", "none.py"], "none.py: not a Python file; --plugin takes FILE.py"),
        (["--mean", "none.npy"], "none.npy: no such file"),
        (["--mean", "1,2"], "mean 1,2: give 3 numbers; as in 104,117,123"),
    ],
)
def test_flags_that_do_not_fit_the_network(zoo, small, tmp_path, flags, said):
    assert zoo("convert", "small.prototxt", *flags).refusal == said
    assert os.listdir(tmp_path) == ["small.prototxt"]


def test_a_network_without_switches_cannot_be_split(zoo, tmp_path):
    (tmp_path / "net.prototxt").write_text(HEAD + layer("r", "ReLU", "x", "y"))
    assert "nothing to split" in zoo("convert", "net.prototxt", "--split").refusal
    assert os.listdir(tmp_path) == ["net.prototxt"]
