"""Caffe networks as one graph, and that graph as ONNX and as PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prototxt.lazy import looked_up

if TYPE_CHECKING:
    from .build import build_graph, load_graph
    from .conversion import Conversion, convert
    from .errors import ConversionError, NeedsShape, UnsupportedLayers
    from .graph import Graph, Node, Value
    from .layer_type import BlobSpec, LayerType
    from .onnx_backend import DEFAULT_OPSET, to_onnx, to_onnx_file
    from .onnx_file import OnnxFile
    from .passes.fold import fold
    from .passes.reverse import bottleneck, reverse
    from .passes.split import split
    from .registry import LayerInfo, layer_types, load_plugin, register
    from .reversal import Rules
    from .targets import DEFAULT_TARGET, FORMS, TARGETS
    from .torch_backend import to_torch

_HOMES = {
    "build": "build_graph load_graph",
    "conversion": "Conversion convert",
    "errors": "ConversionError NeedsShape UnsupportedLayers",
    "graph": "Graph Node Value",
    "layer_type": "BlobSpec LayerType",
    "onnx_backend": "DEFAULT_OPSET to_onnx to_onnx_file",
    "onnx_file": "OnnxFile",
    "passes.fold": "fold",
    "passes.reverse": "bottleneck reverse",
    "passes.split": "split",
    "registry": "LayerInfo layer_types load_plugin register",
    "reversal": "Rules",
    "targets": "DEFAULT_TARGET FORMS TARGETS",
    "torch_backend": "to_torch",
}

__all__ = [
    "DEFAULT_OPSET",
    "DEFAULT_TARGET",
    "FORMS",
    "TARGETS",
    "BlobSpec",
    "Conversion",
    "ConversionError",
    "Graph",
    "LayerInfo",
    "LayerType",
    "NeedsShape",
    "Node",
    "OnnxFile",
    "Rules",
    "UnsupportedLayers",
    "Value",
    "bottleneck",
    "build_graph",
    "convert",
    "fold",
    "layer_types",
    "load_graph",
    "load_plugin",
    "register",
    "reverse",
    "split",
    "to_onnx",
    "to_onnx_file",
    "to_torch",
]

__getattr__ = looked_up(__name__, _HOMES)
