"""Every golden at ONNX's opsets from 13 to the last; what one lacks is told in one line."""

from __future__ import annotations

import functools
from typing import Any

import onnx
import pytest
from onnx import version_converter

import converters
import prototxt
from converters import ConversionError
from converters.opsets import OPSETS
from tests.converters.checker import Case, run_onnx
from tests.converters.test_goldens import CASES, case_id

LATEST = OPSETS[-1]

OVERLAPPING = {
    "layers/unpool_max_nomask",
    "layers/unpool_max_nomask_stride3",
    "layers/unpool_max_pad_pool",
    "nets/switch_unpool_overlap",
}
"""Unpooling where switches coincide and no window tells which: its last write needs opset 18."""

NO_STEP = ("No Adapter", "Unsupported", "No schema", "not supported", "adapter")
"""What the converter says of a step that it does not know."""


@functools.cache
def folded(path: Any) -> tuple[Case, converters.Graph]:
    case = Case(path)
    return case, converters.fold(case.graph())


@pytest.mark.parametrize("opset", sorted({13, 17, 18, 21, LATEST}))
@pytest.mark.parametrize("path", CASES, ids=case_id)
def test_goldens(path: Any, opset: int) -> None:
    case, graph = folded(path)
    if opset < 18 and case_id(path) in OVERLAPPING:
        with pytest.raises(ConversionError) as failed:
            converters.to_onnx(graph, opset=opset)
        assert failed.value.message == (
            f"needs opset 18 of ONNX (ScatterElements with reduction max), not {opset}"
        )
        return
    model = converters.to_onnx(graph, opset=opset)
    assert [item.version for item in model.opset_import] == [opset]
    case.compare(graph, run_onnx(model, case.feeds_of(graph)))


@pytest.mark.parametrize("target", converters.FORMS)
@pytest.mark.parametrize("opset", OPSETS)
def test_forms(opset: int, target: str) -> None:
    """A tunnel in each form, at each opset that there is."""
    path = next(p for p in CASES if case_id(p) == "nets/tunnel_v1_4_6_8")
    case, graph = folded(path)
    model = converters.to_onnx(graph, target=target, opset=opset)
    assert model.ir_version == onnx.helper.find_min_ir_version_for(list(model.opset_import))
    case.compare(graph, run_onnx(model, case.feeds_of(graph)))


@pytest.mark.parametrize(("ours", "theirs"), [(13, 18), (18, 21), (21, LATEST), (18, 13)])
def test_the_version_converter_agrees(ours: int, theirs: int) -> None:
    """What ONNX itself makes of our model at another opset gives Caffe's numbers, too."""
    agreed = 0
    for path in CASES[::6]:
        case, graph = folded(path)
        if case_id(path) in OVERLAPPING:
            continue
        model = converters.to_onnx(graph, opset=ours)
        try:
            other = version_converter.convert_version(model, theirs)
        except Exception as error:
            assert any(word in str(error) for word in NO_STEP), error
            continue
        other.ir_version = max(other.ir_version, converters.to_onnx(graph, opset=theirs).ir_version)
        case.compare(graph, run_onnx(other, case.feeds_of(graph)))
        agreed += 1
    assert agreed >= 15


DATA = 'layer { name: "x" type: "Input" top: "x" top: "r" input_param { %s } }'
ROI = (
    DATA % "shape { dim: 1 dim: 2 dim: 8 dim: 8 } shape { dim: 1 dim: 5 }"
    + """
layer { name: "p" type: "ROIPooling" bottom: "x" bottom: "r" top: "p"
  roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 1 } }
"""
)


def test_an_operator_that_onnx_runtime_runs_no_more() -> None:
    graph = converters.build_graph(prototxt.parse_net(ROI, "n").select())
    assert converters.to_onnx(graph, opset=21).opset_import[0].version == 21
    with pytest.raises(ConversionError) as failed:
        converters.to_onnx(graph, opset=22)
    assert str(failed.value) == (
        "n:2:1: layer 'p' (ROIPooling): ONNX Runtime has MaxRoiPool up to opset 21, not at 22; "
        "give opset=21 or below"
    )


@pytest.mark.parametrize("opset", [12, LATEST + 1])
def test_opsets_that_there_are_not(opset: int) -> None:
    _, graph = folded(CASES[0])
    with pytest.raises(ConversionError, match=f"opset {opset} is not supported; one of 13 to "):
        converters.to_onnx(graph, opset=opset)
