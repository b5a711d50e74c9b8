"""Every golden case: what Caffe computed is what each target and the PyTorch rebuild compute."""

from __future__ import annotations

from pathlib import Path

import pytest

import converters
from converters import UnsupportedLayers
from tests.converters.checker import Case, run_onnx, run_torch

GOLDENS = Path(__file__).parents[1] / "goldens"
SHARED = Path(__file__).parents[3] / "shared" / "caffe"

CASES = sorted(p.parent for p in GOLDENS.glob("*/*/io.npz") if p.parts[-3] in ("layers", "nets"))


def case_id(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


@pytest.fixture(params=CASES, ids=case_id)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_cases_are_there() -> None:
    assert len(CASES) >= 150


@pytest.mark.parametrize("target", converters.FORMS)
def test_onnx_open(case: Case, target: str) -> None:
    graph = case.graph(open_dims=True)
    model = converters.to_onnx(converters.fold(graph), target=target)
    case.compare(graph, run_onnx(model, case.feeds_of(graph)))


@pytest.mark.parametrize("target", converters.FORMS)
def test_onnx_fixed_unfolded(case: Case, target: str) -> None:
    graph = case.graph(open_dims=False)
    model = converters.to_onnx(graph, target=target)
    case.compare(graph, run_onnx(model, case.feeds_of(graph)))


def test_torch(case: Case) -> None:
    graph = case.graph()
    case.compare(graph, run_torch(graph, case.feeds_of(graph)))


def test_every_shared_case_of_a_known_type_is_a_golden(shared: Path) -> None:
    """A layer type that is supported brings its goldens along; none is left out in silence."""
    here = {case_id(c) for c in CASES}
    left = []
    for folder in sorted((*SHARED.glob("layers/*"), *SHARED.glob("nets/*"))):
        if case_id(folder) in here:
            continue
        try:
            graph = Case(folder).graph()
            converters.to_onnx(graph)
        except (UnsupportedLayers, converters.ConversionError):
            continue
        left.append(case_id(folder))
    assert left == []
