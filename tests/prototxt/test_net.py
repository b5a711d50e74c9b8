"""Network definitions of three generations, their rules, and solvers."""

from __future__ import annotations

from pathlib import Path

import pytest

import prototxt
from prototxt import FormatError, Scalar, parse_net


def number(net: prototxt.NetDefinition, layer: int, message: str, name: str) -> str:
    param = net.layers[layer].param(message)
    assert param is not None
    field = param.last(name)
    assert field is not None and isinstance(field.value, Scalar)
    return field.value.text


def test_todays_syntax() -> None:
    net = parse_net(
        'name: "n" input: "x" input_shape { dim: 1 dim: 2 }\n'
        'layer { name: "c" type: "ReLU" bottom: "x" top: "y" param { lr_mult: 2 } }'
    )
    assert (net.name, net.syntax) == ("n", "current")
    assert [(x.name, x.type, x.bottoms, x.tops) for x in net.layers] == [
        ("x", "Input", [], ["x"]),
        ("c", "ReLU", ["x"], ["y"]),
    ]
    assert net.layers[1].specs == [prototxt.ParamSpec(lr_mult=2.0)]
    assert str(net.layers[1].position) == "<text>:2:1"


def test_v1() -> None:
    net = parse_net(
        "layers { name: 'c' type: CONVOLUTION bottom: 'x' top: 'y' blobs_lr: 1 blobs_lr: 2 "
        "weight_decay: 3 param: 'w' blob_share_mode: PERMISSIVE convolution_param { group: 4 } }"
        "layers { name: 'u' type: UNPOOLING bottom: 'y' top: 'z' } layers { name: 'd' type: 39 }"
    )
    assert net.syntax == "V1"
    assert [x.type for x in net.layers] == ["Convolution", "Unpooling", "Deconvolution"]
    assert net.layers[0].specs == [
        prototxt.ParamSpec("w", "PERMISSIVE", 1.0, 3.0),
        prototxt.ParamSpec(lr_mult=2.0),
    ]


def test_v0_with_padding() -> None:
    net = parse_net(
        'input: "x" input_dim: 1 input_dim: 1 input_dim: 5 input_dim: 5 '
        'layers { layer { name: "p" type: "padding" pad: 2 } bottom: "x" top: "p" } '
        'layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 5 biasterm: false '
        'blobs_lr: 1. weight_decay: 1. } bottom: "p" top: "c" }'
    )
    assert net.syntax == "V0"
    assert [(x.name, x.type, x.bottoms) for x in net.layers[1:]] == [("c", "Convolution", ["x"])]
    assert number(net, 1, "convolution_param", "pad") == "2"
    assert number(net, 1, "convolution_param", "kernel_size") == "5"
    assert number(net, 1, "convolution_param", "bias_term") == "false"


def test_transform_fields_move() -> None:
    net = parse_net('layers { name: "d" type: DATA top: "x" data_param { crop_size: 7 scale: 2 } }')
    assert number(net, 0, "transform_param", "crop_size") == "7"
    assert number(net, 0, "transform_param", "scale") == "2"


def test_batch_norm_statistics_are_not_learned() -> None:
    net = parse_net('layer { name: "b" type: "BatchNorm" param { lr_mult: 1 } param {} param {} }')
    assert [s.lr_mult for s in net.layers[0].specs] == [0, 0, 0]


RULES = """
layer { name: "always" type: "A" }
layer { name: "train" type: "A" include { phase: TRAIN } }
layer { name: "test" type: "A" exclude { phase: TRAIN } }
layer { name: "staged" type: "A" include { stage: "x" not_stage: "y" } }
layer { name: "level" type: "A" include { min_level: 2 max_level: 3 } }
layer { name: "either" type: "A" include { phase: TEST stage: "x" } include { min_level: 9 } }
"""


@pytest.mark.parametrize(
    ("phase", "stages", "level", "expected"),
    [
        ("TEST", (), 0, "always test"),
        ("TRAIN", (), 0, "always train"),
        ("TEST", ("x",), 0, "always test staged either"),
        ("TEST", ("x", "y"), 2, "always test level either"),
        ("TRAIN", (), 9, "always train either"),
        ("TRAIN", (), 4, "always train"),
    ],
)
def test_rules(phase: str, stages: tuple[str, ...], level: int, expected: str) -> None:
    kept = parse_net(RULES).select(phase, stages, level).layers
    assert [layer.name for layer in kept] == expected.split()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "n: there are no layers in it; is it a network definition?"),
        (
            "base_lr: 0.1 net: 'x'",
            "n: this is a solver definition; train with `zoo train`, or look at it with "
            "`zoo inspect`",
        ),
        ("layr { }", "n:1:1: unknown field 'layr' in a network; did you mean 'layer'?"),
        (
            "layer { } layers { }",
            "n:1:11: both `layer` and `layers` are used; `layers` is the old syntax",
        ),
        ("layer { name: 'a' }", "n:1:1: layer 'a' has no type"),
        ("layer: 3", "n:1:1: layer must be a message { ... }"),
        (
            "input: 'x' input_dim: 1 layer { type: 'A' }",
            "n:1:12: 1 input_dim for 1 inputs; 4 for each",
        ),
        (
            "layers { layer { type: 'conv' pol: 1 } }",
            "n:1:31: unknown field 'pol' in a V0 layer of type 'conv'",
        ),
        (
            "layer { type: 'A' include { phase: PLAY } }",
            "n:1:29: phase must be one of TRAIN, TEST",
        ),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_net(text, "n")
    assert str(caught.value) == message


def test_include_and_exclude_exclude_each_other() -> None:
    net = parse_net("layer { name: 'a' type: 'A' include { } exclude { } }", "n")
    with pytest.raises(FormatError, match=r"n:1:1: layer 'a': has include and exclude rules"):
        net.select()


def test_what_is_written_is_the_same_network() -> None:
    first = parse_net(
        "layers { name: 'c' type: POOLING bottom: 'x' top: 'y' pooling_param { pool: MAX } }"
    )
    again = parse_net(prototxt.write_net(first))
    assert again.syntax == "current"
    assert again.layers == first.layers


def test_solver() -> None:
    solver = prototxt.parse_solver(
        'net: "a.prototxt" solver_type: ADAGRAD base_lr: 0.01 stepvalue: 5 stepvalue: 9'
    )
    assert (solver.type, solver.base_lr, solver.stepvalue) == ("AdaGrad", 0.01, [5, 9])
    assert prototxt.parse_solver(prototxt.write_solver(solver)).type == "AdaGrad"


def test_solver_types_exclude_each_other() -> None:
    with pytest.raises(FormatError, match="both type and solver_type are given"):
        prototxt.parse_solver('net: "a" type: "SGD" solver_type: SGD')


def test_files_that_are_none(tmp_path: Path) -> None:
    binary = tmp_path / "b.prototxt"
    binary.write_bytes(b"\x0a\x00\xff\xfe")
    for path, message in (
        (tmp_path, "is a directory; name a file"),
        (tmp_path / "gone", "no such file"),
        (binary, "not a text file; is it a .caffemodel? pass that as weights"),
    ):
        with pytest.raises(FormatError) as caught:
            prototxt.read_net(path)
        assert str(caught.value) == f"{path}: {message}"


COMMENTED = """# 一个网络
input: "data" # 输入
input_shape: { dim: [1, 3, 8, 8] } # as Caffe's parser takes it: a list, a colon before a brace
layer <
  name: 'c' type: "Convo" "lution"; bottom: "data", top: "c"
  convolution_param: { num_output: 0x2 kernel_size: 03 bias_term: f }
>
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "latin-1"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_files_as_they_are_found(tmp_path: Path, encoding: str, ends: str) -> None:
    """Comments in any encoding, a byte order mark, Windows' line ends, what protobuf allows."""
    path = tmp_path / "n.prototxt"
    text = COMMENTED if encoding != "latin-1" else "# réseau\n" + COMMENTED.partition("\n")[2]
    path.write_bytes(text.replace("\n", ends).replace("输入", "ü").encode(encoding))
    net = prototxt.read_net(path)
    assert [layer.type for layer in net.layers][-1] == "Convolution"
    param = net.layers[-1].param("convolution_param")
    assert [field.value.text for field in param.fields] == ["0x2", "03", "f"]
    assert net.layers[-1].position.line == 4


def test_utf_16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text(COMMENTED, encoding="utf-16")
    with pytest.raises(FormatError, match="it is UTF-16, which Caffe does not read; save it as"):
        prototxt.read_net(path)


@pytest.mark.slow
def test_all_of_caffes_own(shared: Path) -> None:
    paths = sorted((shared / "caffe").rglob("*.prototxt"))
    assert len(paths) > 250
    for path in paths:
        tree = prototxt.read_text(path)
        assert prototxt.parse_text(prototxt.format_text(tree)) == tree
        if prototxt.is_solver(tree):
            assert prototxt.read_solver(path).lr_policy
        else:
            net = prototxt.read_net(path)
            assert parse_net(prototxt.write_net(net)).layers[-1] == net.layers[-1]
