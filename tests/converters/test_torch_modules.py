"""A rebuilt network as an object: saved, loaded, copied, sent to a process, compiled, exported."""

from __future__ import annotations

import ast
import copy
import io
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import converters
import prototxt
from tests.converters.checker import Case
from tests.converters.test_fork_networks import NETWORKS, run
from tests.converters.test_goldens import CASES, case_id
from zoo.paper import architectures

ROOT = Path(__file__).resolve().parents[2]
PAPER = "paper/2_2_2"
GOLDENS = {case_id(folder): folder for folder in CASES}
FORKS = [f"forks/{name}" for name in NETWORKS]

Rebuilt = tuple[nn.Module, tuple[torch.Tensor, ...]]


def paper() -> converters.Graph:
    text = architectures.definition("2_2_2", 16)
    return converters.build_graph(prototxt.parse_net(text, "2_2_2").select())


def rebuilt(name: str) -> Rebuilt:
    """A network in evaluation mode, and what it is fed."""
    if name == PAPER:
        graph = paper()
        feeds = {"data": np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)}
    elif name in FORKS:
        graph, feeds = run(name.removeprefix("forks/"))
    else:
        case = Case(GOLDENS[name])
        graph, feeds = case.graph(), case.feeds
    inputs = tuple(torch.from_numpy(feeds[value.name]) for value in graph.inputs)
    return converters.to_torch(graph).eval(), inputs


def test_no_name_of_a_layer_is_run(capsys) -> None:
    """torch.fx writes names into the code that it compiles, between quotes and as they are."""
    text = 'input: "y0" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\n'
    names = ['x", print("ran")) or getattr(self, "x', 'a"b', "a\\b", "two\nlines", "\r", "\u2028"]
    for number, name in enumerate(names):
        quoted = name.encode("unicode_escape").decode().replace('"', '\\"')
        quoted = quoted.replace("\\u2028", "\u2028")
        text += (
            f'layer {{ name: "{quoted}" type: "ReLU" bottom: "y{number}" top: "y{number + 1}" }}\n'
        )
    graph = converters.build_graph(prototxt.parse_net(text).select())
    assert [node.name for node in graph.nodes] == names
    image = torch.randn(1, 3, 8, 8)
    assert torch.equal(converters.to_torch(graph)(image)["y6"], image.clamp(min=0))
    assert capsys.readouterr().out == ""


def saved(module: object) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return file


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """The same outputs by name, to the last bit."""
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, equal_nan=True, msg=name)


every = pytest.mark.parametrize("name", [PAPER, *GOLDENS, *FORKS])
of_caffe = pytest.mark.parametrize("name", [PAPER, *GOLDENS])
of_networks = pytest.mark.parametrize("name", [PAPER, *(n for n in GOLDENS if n[:5] == "nets/")])


@every
def test_no_module_is_of_a_class_within_a_function(name: str) -> None:
    module, _ = rebuilt(name)
    inner = {type(part).__qualname__ for part in module.modules() if part is not module}
    assert inner and not [name for name in inner if "<locals>" in name]


def test_no_file_has_a_class_within_a_function() -> None:
    """Also of layers that no test's network has."""
    for path in sorted((ROOT / "converters" / "layers").rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.Lambda):
                inner = [n for n in ast.walk(function) if isinstance(n, ast.ClassDef)]
                assert not inner, f"{path}:{inner[0].lineno}"


@every
def test_saved_and_loaded_it_is_the_same(name: str) -> None:
    module, inputs = rebuilt(name)
    # Whole modules are code: torch loads them only from a file that one has written oneself.
    again = torch.load(saved(module), weights_only=False)
    assert list(again.state_dict()) == list(module.state_dict())
    assert len(list(again.parameters())) == len(list(module.parameters()))
    same(again(*inputs), module(*inputs))


@of_caffe
def test_a_state_dict_is_weights_only(name: str) -> None:
    module, inputs = rebuilt(name)
    state = torch.load(saved(module.state_dict()), weights_only=True)
    other, _ = rebuilt(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(state)
    same(other(*inputs), module(*inputs))


@of_caffe
def test_a_deep_copy_is_independent(name: str) -> None:
    module, inputs = rebuilt(name)
    other = copy.deepcopy(module)
    expected = module(*inputs)
    same(other(*inputs), expected)
    places = {p.data_ptr() for p in (*module.parameters(), *module.buffers()) if p.numel()}
    with torch.no_grad():
        for parameter in (*other.parameters(), *other.buffers()):
            assert parameter.data_ptr() not in places
            parameter.zero_()
    same(module(*inputs), expected)


def test_shared_weights_stay_shared() -> None:
    module, _ = rebuilt("layers/conv_shared_weights")
    for other in (copy.deepcopy(module), torch.load(saved(module), weights_only=False)):
        by_name = dict(other.named_parameters(remove_duplicate=False))
        assert len(by_name) > len(list(other.parameters())) == len(list(module.parameters()))


PLUGIN = """
from __future__ import annotations

from dataclasses import dataclass

import torch

from converters import LayerType, register


class Times(torch.nn.Module):
    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.by


@register("TimesOfAPlugin", message="times_param")
class TimesOfAPlugin(LayerType):
    @dataclass
    class Params:
        by: float = 2.0

    def shapes(self, node):
        return [node.inputs[0].shape]

    def torch(self, node):
        return Times(node.params.by)
"""


def test_a_plugins_module_is_saved_too(tmp_path: Path) -> None:
    (tmp_path / "times_plugin.py").write_text(PLUGIN)
    converters.load_plugin(tmp_path / "times_plugin.py")
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
    layer { name: "y" type: "TimesOfAPlugin" bottom: "x" top: "y" times_param { by: 3 } }
    """
    module = converters.to_torch(converters.build_graph(prototxt.parse_net(text, "n").select()))
    again = torch.load(saved(module), weights_only=False)
    assert again(torch.ones(1, 2))["y"].tolist() == [[3, 3]]


CHILD = """
import sys
import torch

found = []
for module, inputs in torch.load("sent.pt", weights_only=False):
    found.append(module(*inputs))
torch.save(found, "found.pt")
assert "converters.registry" not in sys.modules
"""


@pytest.mark.slow
def test_another_process_computes_the_same(tmp_path: Path) -> None:
    """It needs the modules alone: neither the layer types nor the prototxt."""
    sent = [rebuilt(name) for name in [PAPER, *GOLDENS, *FORKS]]
    torch.save(sent, tmp_path / "sent.pt")
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{CHILD}"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=300)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    for (module, inputs), outputs in zip(sent, found, strict=True):
        same(outputs, module(*inputs))


@pytest.fixture
def compiler() -> None:
    """torch's compiler warns of its own older parts."""
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch._dynamo.reset()


@of_networks
@pytest.mark.usefixtures("compiler")
def test_it_compiles_as_one_graph(name: str) -> None:
    module, inputs = rebuilt(name)
    same(torch.compile(module, backend="eager", fullgraph=True)(*inputs), module(*inputs))


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_it_compiles_to_machine_code() -> None:
    module, inputs = rebuilt(PAPER)
    try:
        found = torch.compile(module)(*inputs)
    except torch._inductor.exc.InvalidCxxCompiler:
        pytest.skip("needs a C++ compiler")
    for name, value in module(*inputs).items():
        torch.testing.assert_close(found[name], value, msg=name)


@pytest.mark.slow
@of_caffe
@pytest.mark.usefixtures("compiler")
def test_it_exports(name: str) -> None:
    module, inputs = rebuilt(name)
    same(torch.export.export(module, inputs).module()(*inputs), module(*inputs))


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_the_papers_network_exports_for_images_of_any_size() -> None:
    from torch.export import Dim

    module, inputs = rebuilt(PAPER)
    sizes = {0: Dim("images"), 2: 8 * Dim("rows", min=1), 3: 8 * Dim("columns", min=1)}
    exported = torch.export.export(module, inputs, dynamic_shapes=(sizes,)).module()
    x = torch.randn(3, 3, 32, 48)
    same(exported(x), module(x))
