"""The inputs and outputs of a written model: other names, N×H×W×C by a Transpose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx
from onnx import helper

from prototxt.borders import Borders
from prototxt.errors import Argument, Sentence, UsageError

from .errors import ConversionError
from .graph import Graph, Value, unique_name
from .onnx_file import OnnxFile
from .registry import find

__all__ = ["Asked"]

TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


@dataclass(frozen=True)
class Asked:
    """What was asked of a model's inputs and outputs."""

    inputs: Mapping[str, str] | str = field(default_factory=dict)
    """New names by blob; a text is that of the only input."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    nhwc: bool = False

    def applied(self, file: OnnxFile, graph: Graph, parts: Sequence[Graph]) -> OnnxFile:
        """The model that was written of `graph`, one of `parts`, changed in place.

        Raises:
            ConversionError: a name that no part has, or that is taken; no image to be N×H×W×C.
        """
        inputs, outputs = self._names(parts)
        made = zip(graph.outputs, file.model.graph.output, strict=True)
        ours = Borders(
            {v.name: inputs[v.name] for v in graph.inputs if v.name in inputs},
            # An output that is an input is a copy of it, by another name.
            {info.name: outputs[v.name] for v, info in made if v.name in outputs},
        )
        turned = self._turned(file, graph, parts) if self.nhwc else []
        changed = {**ours.inputs, **ours.outputs}
        check_free(file, ours)
        # A folded mean goes by its input's name.
        means = {f"{old}.mean": f"{new}.mean" for old, new in ours.inputs.items()}
        rename(file, {**means, **changed})
        nhwc = tuple(changed.get(name, name) for name in turned)
        for key, text in Borders(ours.inputs, ours.outputs, nhwc).to_metadata().items():
            file.model.metadata_props.add(key=key, value=text)
        return file

    def _names(self, parts: Sequence[Graph]) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """New names by blob, all of which some part has."""
        theirs = list(dict.fromkeys(v.name for part in parts for v in part.inputs))
        inputs = self.inputs
        if isinstance(inputs, str):
            first = [v.name for v in parts[0].inputs]
            if len(first) != 1:
                raise ConversionError(
                    f"the network has {len(first)} inputs, not one",
                    subject=Argument("input_names", inputs),
                    remedy=Sentence("say which, as in ", Argument("input_names", {"OLD": inputs})),
                )
            inputs = {first[0]: inputs}
        check_known(inputs, "input", theirs)
        has = list(dict.fromkeys(v.name for part in parts for v in part.outputs))
        check_known(self.outputs, "output", has)
        return inputs, self.outputs

    def _turned(self, file: OnnxFile, graph: Graph, parts: Sequence[Graph]) -> list[str]:
        """Let images at the border be N×H×W×C; their names."""
        if not any(is_image(v) for part in parts for v in (*part.inputs, *part.outputs)):
            raise ConversionError(
                "no input or output is images (N×C×H×W)",
                subject=Argument("nhwc"),
                remedy="leave it out",
            )
        model, names = file.model.graph, dict.fromkeys(tensor_names(file), 1)
        before, after = [], []
        inner: dict[str, str] = {}
        for value in graph.inputs:
            if is_image(value):
                inner[value.name] = unique_name(f"{value.name}/nchw", names)
                before.append(transpose(value.name, inner[value.name], TO_NCHW))
        for value, info in zip(graph.outputs, model.output, strict=True):
            if is_image(value):
                inner[info.name] = unique_name(f"{info.name}/nchw", names)
                after.append(transpose(inner[info.name], info.name, TO_NHWC))
        for info in (*model.input, *model.output):
            if info.name in inner:
                dims = info.type.tensor_type.shape.dim
                channels = dims.pop(1)
                dims.append(channels)
        rename_nodes(model.node, inner)
        nodes = [*before, *model.node, *after]
        del model.node[:]
        model.node.extend(nodes)
        return list(inner)


def is_image(value: Value) -> bool:
    """Whether a value is N×C×H×W float, and no list of detections."""
    kind = find(value.producer.type) if value.producer is not None else None
    listed = kind is not None and kind.gives_detections
    return len(value.shape) == 4 and value.dtype == "float32" and not listed


def transpose(given: str, made: str, perm: list[int]) -> onnx.NodeProto:
    name = f"{max(given, made, key=len)}/Transpose"
    return helper.make_node("Transpose", [given], [made], name=name, perm=perm)


def argument(side: str, renamed: Mapping[str, str]) -> Argument:
    """What asks for new names of inputs or of outputs."""
    if side == "input":
        return Argument("input_names", renamed)
    return Argument("output_names", renamed)


def check_known(renamed: Mapping[str, str], side: str, there: Sequence[str]) -> None:
    for old, new in renamed.items():
        subject = argument(side, {old: new})
        if old not in there:
            raise ConversionError(
                f"no {side} is called {old!r}",
                subject=subject,
                remedy=f"the {side}s are {', '.join(there)}",
            )
        if not new:
            raise UsageError("the new name is empty", subject=subject)


def check_free(file: OnnxFile, borders: Borders) -> None:
    """ConversionError where a new name is another tensor's."""
    changed = {**borders.inputs, **borders.outputs}
    taken = {name for name in tensor_names(file) if name not in changed}
    for side, renamed in (("input", borders.inputs), ("output", borders.outputs)):
        for old, new in renamed.items():
            if new in taken:
                raise ConversionError(
                    f"{new!r} is the name of another tensor already",
                    subject=argument(side, {old: new}),
                    remedy="give another name",
                )
            taken.add(new)


def graphs(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    """The bodies of loops and branches."""
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield attribute.g


def tensor_names(file: OnnxFile) -> Iterator[str]:
    """Every name that a tensor has."""
    yield from (tensor.name for tensor in file.tensors)
    yield from (info.name for info in file.model.graph.input)
    yield from names_in(file.model.graph)


def names_in(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from filter(None, node.output)
    for body in graphs(graph.node):
        yield from (info.name for info in body.input)
        yield from names_in(body)


def rename(file: OnnxFile, names: Mapping[str, str]) -> None:
    """Give tensors of a model other names, wherever they stand."""
    if not names:
        return
    model = file.model.graph
    for item in (*model.input, *model.output, *model.value_info, *file.tensors):
        item.name = names.get(item.name, item.name)
    file.arrays = {names.get(name, name): array for name, array in file.arrays.items()}
    rename_nodes(model.node, names)


def rename_nodes(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    """Likewise, of what nodes read and make, bodies of loops included."""
    nodes = list(nodes)
    for node in nodes:
        for side in (node.input, node.output):
            side[:] = [names.get(name, name) for name in side]
    for body in graphs(nodes):
        rename_nodes(body.node, names)
        for info in body.output:
            info.name = names.get(info.name, info.name)
