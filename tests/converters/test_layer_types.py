"""What the project knows of a layer type, its class says: no table of type names elsewhere."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, get_args, get_origin

import numpy as np
import pytest

import converters
import prototxt
from converters import registry
from converters.layer_type import LayerType
from converters.layers.inputs import DataLayer

ROOT = Path(__file__).resolve().parents[2]
OTHERS = {"filler", "solver", "token"}
"""What else has a `type`: a filler's distribution, a solver's rule, Markdown's tokens."""
ALLOWED = {
    "converters/families/tunnel.py": "the paper's own networks",
    "converters/resolve.py": "layers that nobody registered: only the name is known of them",
    "zoo/benchmarks/naive.py": "the exporter that others would write, to compare with",
    "zoo/benchmarks/networks.py": "changes the benchmarks' own networks",
}


def of_layer(node: ast.AST) -> bool:
    """Whether an expression is the `type` of something that may be a layer."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "type"
        and not (isinstance(node.value, ast.Name) and node.value.id in OTHERS)
    )


def texts(node: ast.AST, constants: dict[str, ast.expr]) -> bool:
    """Whether an expression is a text, or texts together, or a constant that is."""
    if isinstance(node, ast.Name) and node.id in constants:
        return texts(constants[node.id], {})
    return not isinstance(node, ast.JoinedStr) and any(
        isinstance(part, ast.Constant) and isinstance(part.value, str) for part in ast.walk(node)
    )


def matches(tree: ast.Module) -> Iterator[int]:
    """The lines at which a layer's type is matched by name."""
    constants: dict[str, ast.expr] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            constants |= {t.id: statement.value for t in statement.targets if hasattr(t, "id")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(map(of_layer, sides)) and any(
                texts(side, constants) for side in sides if not of_layer(side)
            ):
                yield node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            named = node.func.attr in ("startswith", "endswith") and of_layer(node.func.value)
            looked_up = node.func.attr == "get" and any(map(of_layer, node.args))
            if named or (looked_up and texts(node.func.value, constants)):
                yield node.lineno
        elif isinstance(node, ast.Subscript):
            yield from [node.lineno] * (of_layer(node.slice) and texts(node.value, constants))


def test_matches_are_found():
    source = """
KINDS = ("ReLU",)
node.type == "ReLU"
"ReLU" != node.type
node.type not in ("ReLU", "PReLU")
layer.type in KINDS
record.layer.type.endswith("Loss")
{"ReLU": 1}.get(node.type)
{"ReLU": 1}[node.type]
filler.type == "constant"
node.type == other.type
found[node.type]
f"{node.type} is unknown"
"""
    assert list(matches(ast.parse(source))) == [3, 4, 5, 6, 7, 8, 9]


def test_no_layer_type_is_matched_by_its_name():
    """A new layer is one block in one file: what others ask of it is on `LayerType`."""
    found = {
        f"{path.relative_to(ROOT).as_posix()}:{line}"
        for package in ("converters", "zoo")
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in matches(ast.parse(path.read_text()))
    }
    assert not {place for place in found if place.rpartition(":")[0] not in ALLOWED}
    unused = set(ALLOWED) - {place.rpartition(":")[0] for place in found}
    assert not unused, "nothing to allow there any more"


def test_families_are_what_the_folder_holds(tmp_path, monkeypatch):
    assert {"activations", "convolution", "utility"} <= set(registry.families())
    (tmp_path / "layers" / "torch").mkdir(parents=True)
    (tmp_path / "layers" / "torch" / "__init__.py").write_text("")
    (tmp_path / "layers" / "mine.py").write_text("")
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "registry.py"))
    assert registry.families() == ["mine"]


def declared(cls: type) -> object:
    """What a layer's class says that its params are: the P of its `LayerType[P]`."""
    for base in cls.__mro__:
        for alias in getattr(base, "__orig_bases__", ()):
            kind, *parameters = [get_origin(alias), *get_args(alias)]
            known = parameters and not isinstance(parameters[0], TypeVar)
            if known and issubclass(kind, LayerType):
                return get_origin(parameters[0]) or parameters[0]
    raise AssertionError(f"{cls.__name__} does not say what its params are")


def test_every_type_declares_what_its_params_are():
    """Its nodes are `Node[P]`; P is what `read` makes."""
    made = {LayerType.read: "Params", DataLayer.read: "source"}
    kinds = [type(registry.find(row.type)) for row in converters.layer_types()]
    ours = [cls for cls in kinds if cls.__module__.startswith("converters.")]
    assert len(ours) > 100
    for cls in ours:
        params = declared(cls)
        if cls.read in made:
            assert params is getattr(cls, made[cls.read]), cls


def build(text, **options):
    return converters.build_graph(prototxt.parse_net(text).select("TEST"), **options)


def test_every_attribute_has_a_default_that_changes_nothing():
    kind = LayerType()
    assert not any((kind.discards, kind.is_loss, kind.loss_weight, kind.is_metric, kind.learns))
    assert not any(
        (kind.passes_values, kind.keeps_grid, kind.fixes_input_size, kind.has_statistics)
    )


LEARNED = """
input: "data" input_shape {{ dim: 1 dim: 4 dim: 5 dim: 5 }}
layer {{ name: "one" type: "{type}" bottom: "data" top: "one" {param} }}
"""


@pytest.mark.parametrize(
    ("kind", "param", "macs"),
    [
        ("Convolution", "convolution_param { num_output: 6 kernel_size: 3 group: 2 }", 6 * 2 * 81),
        ("Deconvolution", "convolution_param { num_output: 6 kernel_size: 3 }", 4 * 6 * 9 * 25),
        ("DepthwiseConv", "convolution_param { num_output: 4 kernel_size: 3 group: 4 }", 4 * 81),
        ("InnerProduct", "inner_product_param { num_output: 7 }", 7 * 100),
        ("InnerProduct", "inner_product_param { num_output: 7 transpose: true }", 7 * 100),
        ("InnerProduct", "inner_product_param { num_output: 7 axis: 2 }", 4 * 7 * 25),
        ("Local", "local_param { num_output: 2 kernel_size: 3 }", 2 * 4 * 9 * 9),
        ("ReLU", "", 0),
    ],
)
def test_multiply_adds(kind, param, macs):
    graph = build(LEARNED.format(type=kind, param=param), open_dims=False)
    found = registry.find(kind)
    assert found is not None and found.macs(graph.nodes[0]) == macs


@pytest.mark.parametrize("expose", [False, True])
@pytest.mark.parametrize("static", [False, True])
def test_a_recurrent_layer_multiplies_its_static_input_once(static, expose):
    """What `expose_hidden` adds as bottoms are states, no static input."""
    steps, batch, inner, hidden = 3, 2, 5, 4
    bottoms, shapes = ["x", "cont"], [(steps, batch, inner), (steps, batch)]
    if static:
        bottoms.append("still")
        shapes.append((batch, 6))
    if expose:
        bottoms.append("state")
        shapes.append((1, batch, hidden))
    text = "".join(
        f'layer {{ name: "{b}" type: "Input" top: "{b}" input_param {{ shape {{ '
        + " ".join(f"dim: {d}" for d in shape)
        + " } } }\n"
        for b, shape in zip(bottoms, shapes, strict=True)
    )
    tops = 'top: "y" top: "last"' if expose else 'top: "y"'
    text += f'layer {{ name: "rnn" type: "RNN" {" ".join(f"bottom: {b!r}" for b in bottoms)} {tops}'
    text += f" recurrent_param {{ num_output: {hidden} expose_hidden: {str(expose).lower()} }} }}"
    graph = build(text, open_dims=False)
    node = graph.nodes[0]
    each = sum(blob.size for blob in node.blobs if blob.ndim == 2)
    once = node.blobs[2].size if static else 0
    found = registry.find("RNN")
    assert found is not None
    assert found.macs(node) == batch * (steps * (each - once) + once)


def test_stored_weights_fix_the_input_whatever_their_layout():
    """Depthwise kernels count their channels first, transposed products their inputs."""
    text = """
    layer { name: "data" type: "Data" top: "data" data_param { batch_size: 1 } }
    layer { name: "each" type: "ConvolutionDepthwise" bottom: "data" top: "each"
      convolution_param { kernel_size: 3 pad: 1 } }
    layer { name: "all" type: "InnerProduct" bottom: "each" top: "all"
      inner_product_param { num_output: 5 transpose: true } }
    """
    shapes = {"each": [(4, 1, 3, 3), (4,)], "all": [(4 * 7 * 7, 5), (5,)]}
    weights = {name: [np.ones(s, np.float32) for s in blobs] for name, blobs in shapes.items()}
    graph = build(text, weights=weights, open_dims=False)
    assert graph.inputs[0].shape == (1, 4, 7, 7)
    assert graph.notes == [
        "input data 4x7x7: plane by the inner product's weights, channels by the weights of each"
    ]


def test_a_bias_layer_may_be_of_any_kind_of_convolution():
    for kind in ("Convolution", "ConvolutionDepthwise"):
        text = LEARNED.format(type=kind, param="convolution_param { num_output: 4 kernel_size: 1 }")
        node = build(text, open_dims=False).nodes[0]
        found = registry.find(kind)
        assert found is not None and found.is_bias(node)  # the filler's default is 0
        node.blobs[0] = node.blobs[0] + 1
        assert not found.is_bias(node)


def test_a_stride_1_deconvolution_is_simplified_into_a_convolution():
    param = "convolution_param { num_output: 6 kernel_size: 3 pad: 1 }"
    node = build(LEARNED.format(type="Deconvolution", param=param), open_dims=False).nodes[0]
    deconvolution, relu = registry.find("Deconvolution"), registry.find("ReLU")
    assert deconvolution is not None and relu is not None
    deconvolution.simplify(node)
    assert (node.type, node.params.pad, node.blobs[0].shape) == (
        "Convolution",
        [1, 1],
        (6, 4, 3, 3),
    )
    relu.simplify(node)
    assert node.type == "Convolution"
