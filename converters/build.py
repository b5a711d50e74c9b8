"""Build a `Graph`: parameters read, shapes inferred by Caffe's arithmetic, blobs in place."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import prototxt
from prototxt.errors import Argument, Sentence
from prototxt.net import LayerDefinition, NetDefinition
from prototxt.unknown import UnknownField

from .batches import OPEN, Batch, check_batch, counting, needs_batch, with_batch
from .blobs import attach_blobs
from .errors import ConversionError, layer_error
from .graph import Graph, Node, Shape, Value
from .input_shapes import Sizes, own_shapes
from .layer_type import LayerType, NoParams
from .layers.inputs import DataLayer, UnknownData
from .layers.unpooling import MASK_AS_NUMBERS
from .registry import find, load_plugin
from .resolve import Record, Version, resolve
from .shapes import MOST, TOO_LARGE, OpenDimension, is_fixed, known_product, text

__all__ = ["build_graph", "load_graph"]

Weights = Mapping[str, Sequence[np.ndarray]]
Warn = Callable[[str], None]

# The parameter messages of BVLC Caffe; Caffe ignores those that a layer's type does not use.
MESSAGES = frozenset(
    """accuracy_param argmax_param batch_norm_param bias_param clip_param concat_param
    contrastive_loss_param convolution_param crop_param data_param dropout_param dummy_data_param
    eltwise_param elu_param embed_param exp_param flatten_param hdf5_data_param hdf5_output_param
    hinge_loss_param image_data_param infogain_loss_param inner_product_param input_param log_param
    loss_param lrn_param memory_data_param mvn_param parameter_param pooling_param power_param
    prelu_param python_param recurrent_param reduction_param relu_param reshape_param scale_param
    sigmoid_param slice_param softmax_param spp_param swish_param tanh_param threshold_param
    tile_param transform_param unpooling_param window_data_param""".split()
)


PASSED_OVER = {
    "engine": "how it is computed (MKL2017 and the like, Intel's Caffe)",
    "quantization_param": "in float32 it is the network that was quantised (int8, Intel's Caffe)",
}
"""Forks' messages of any layer that say how to compute, not what."""

OPENINGS = ((True, True), (True, False), (False, True), (False, False))
"""Whether batch, and whether height and width, are left open, in the order of trying."""


def load_graph(
    path: str | Path,
    weights: str | Path | None = None,
    *,
    phase: str = "test",
    shapes: Mapping[str, Shape] | None = None,
    outputs: Sequence[str] | None = None,
    seed: int = 0,
    open_dims: bool = True,
    plugins: Iterable[str | Path] = (),
    lenient: bool = False,
    warn: Warn | None = None,
) -> Graph:
    """Read a prototxt (and a caffemodel) and build its graph.

    `convert` does this and more; the arguments are those of `build_graph`.

    Raises:
        FormatError: a file that is not what it should be.
        ConversionError: a network that cannot be built as asked.
    """
    for plugin in plugins:
        load_plugin(plugin)
    net = prototxt.read_net(path, lenient=lenient, warn=warn).select(phase.upper())
    arrays = prototxt.read_weights(weights) if weights is not None else None
    graph = build_graph(
        net,
        arrays,
        shapes=shapes,
        seed=seed,
        outputs=outputs,
        open_dims=open_dims,
        lenient=lenient,
        warn=warn,
    )
    graph.name = graph.name or Path(path).stem
    return graph


def build_graph(
    net: NetDefinition,
    weights: Weights | None = None,
    *,
    shapes: Mapping[str, Shape] | None = None,
    seed: int = 0,
    outputs: Sequence[str] | None = None,
    raw: bool = False,
    open_dims: bool = True,
    batch: Batch = None,
    assume: bool = False,
    lenient: bool = False,
    warn: Warn | None = None,
    stored: Mapping[str, Shape] | None = None,
) -> Graph:
    """Build the graph of a definition whose phase is selected.

    Args:
        net: the layers of one phase (`NetDefinition.select`).
        weights: blobs by layer name, in Caffe's order; without them Caffe's fillers draw.
        shapes: inputs by blob name; a text in place of a number leaves that dimension open.
        seed: of the fillers.
        outputs: the blobs to give out; default: those that no layer reads, and every mask.
        raw: give out what the layers that make detections read, in place of what they write.
        open_dims: leave batch, height and width of the other inputs open as far as the network
            allows.
        batch: of the images: a number, or ``open``, which is an error where it cannot be.
        assume: channels, height and width that nothing fixes are taken to be as usual, with a
            note; otherwise they are asked for.
        lenient: fields that are unknown are told to `warn` instead of being errors.
        warn: is told of them, one line each; default: Python's warnings.
        stored: what one row of a data layer's file holds (C×H×W), by top.

    Raises:
        ConversionError: a network that cannot be built as asked.
    """
    warn = warn or (lambda message: warnings.warn(message, stacklevel=3))
    records, wanted = resolve(net, outputs, raw)
    passed: list[str] = []
    params = read_all(records, lenient, warn, passed)
    given = dict(shapes or {})
    check_given(given, records, net)
    unbatched = unbatched_inputs(records)
    check_batch(batch, given, unbatched)
    notes = [
        f"{name} of {passed.count(name)} layers is passed over: {PASSED_OVER[name]}"
        if name in PASSED_OVER
        else f"{name}; passed over, as it brings data in"
        for name in dict.fromkeys(passed)
    ]

    def infer(
        inputs: Mapping[str, Shape], nominal: Mapping[int, Shape] | None
    ) -> tuple[Graph, dict[int, Shape]]:
        return infer_shapes(net, records, wanted, params, inputs, nominal)

    def build(inputs: Mapping[str, Shape], like: Mapping[str, Shape] | None = None) -> Graph:
        return infer(inputs, None if like is None else infer(like, None)[1])[0]

    sizes = Sizes(
        records, params, weights, given, stored or {}, may_stay_open=open_dims, assume=assume
    )
    own = own_shapes(sizes, build, notes)
    try:
        _, nominal = infer(own, None)
    except ConversionError as error:
        if given:
            own = {k: closed(given.get(k), v) for k, v in own.items()}
        elif not sizes.take_placeholders(own, error) and not sizes.take_fitting(own, build, notes):
            raise
        _, nominal = infer(own, None)
    if isinstance(batch, int):
        own = with_batch(own, batch, unbatched)
        _, nominal = infer(own, None)
    graph = needed = None
    for batched, spatial in openings(open_dims, batch):
        shapes_now = opened(own, given, batched, spatial, unbatched)
        if isinstance(batch, int) and batched:
            fixed_too = [blob for blob in counting(own, unbatched) if blob not in given]
            shapes_now |= {blob: (batch, *shapes_now[blob][1:]) for blob in fixed_too}
        try:
            graph, _ = infer(shapes_now, nominal)
            break
        except OpenDimension as symbol:
            needed = symbol
    if graph is None and batch == OPEN:
        assert needed is not None
        raise needs_batch(needed, net.path) from None
    if graph is None:
        graph, _ = infer({k: closed(given.get(k), v) for k, v in own.items()}, nominal)
    for node in graph.nodes:
        kind = find(node.type)
        assert kind is not None
        notes += kind.notes(node)
    for value in graph.inputs:
        if value.name in sizes.open_inputs and is_fixed(*value.shape[2:]):
            raise sizes.open_inputs[value.name]
    graph.notes = notes
    attach_blobs(graph, weights, seed, lenient, warn)
    return graph


def openings(open_dims: bool, batch: Batch) -> Iterator[tuple[bool, bool]]:
    """Those of OPENINGS that are to be tried."""
    if open_dims:
        yield from (each for each in OPENINGS if each[0] or batch != OPEN)
    elif batch == OPEN:
        yield True, False


def read_all(
    records: Sequence[Record], lenient: bool, warn: Warn, passed: list[str]
) -> dict[int, object]:
    """`read_params` of each by its id; all unknown fields of a file are one error."""
    params: dict[int, object] = {}
    unknown: list[UnknownField] = []
    for record in records:
        try:
            params[id(record)] = read_params(record, lenient, warn, passed)
        except prototxt.UnknownFields as error:
            unknown += error.found
    if unknown:
        raise prototxt.UnknownFields(unknown)
    return params


def read_params(record: Record, lenient: bool, warn: Warn, passed: list[str]) -> object:
    """The layer's parameters as its type's dataclass.

    Unknown fields are errors or warnings, those that are PASSED_OVER go to `passed`.
    """
    kind, layer = record.kind, record.layer
    assert kind is not None
    unknown = [
        field
        for field in layer.extra_fields()
        if field.name not in MESSAGES and field.name not in kind.messages()
    ]
    if isinstance(kind, DataLayer):
        # No field of it changes what the network computes, whatever the fork that has it.
        if not isinstance(kind, UnknownData):
            passed += [f"{f.position}: {layer.subject}: unknown field {f.name!r}" for f in unknown]
        return kind.read(layer, True, passed.append)
    passed += [field.name for field in unknown if field.name in PASSED_OVER]
    known = {*MESSAGES, *kind.messages()}
    fields = [
        UnknownField.among(known, field.name, field.position, subject=layer.subject)
        for field in unknown
        if field.name not in PASSED_OVER
    ]
    if not lenient:
        params = None
        try:
            params = kind.read(layer, False, warn)
        except prototxt.UnknownFields as error:
            fields += error.found
        except prototxt.FormatError:
            if not fields:  # else what is wrong may follow from those
                raise
        if fields:
            raise prototxt.UnknownFields(fields)
        return params
    for field in fields:
        warn(prototxt.UnknownFields([field]).sentence)
    return kind.read(layer, lenient, warn)


def check_given(given: Mapping[str, Shape], records: list[Record], net: NetDefinition) -> None:
    names = [v.blob for r in records if r.is_input for v in r.outputs]
    for name in given:
        if name not in names:
            raise ConversionError(
                Sentence(Argument("shapes"), f" names {name!r}, which is not an input"),
                subject=net.path,
                remedy=f"the inputs are {', '.join(names)}",
            )


def closed(given: Shape | None, own: Shape) -> Shape:
    """`given`, its open dimensions replaced by the network's own (or 1)."""
    if given is None:
        return own
    spare = own if len(own) == len(given) else (1,) * len(given)
    return tuple(d if isinstance(d, int) else s for d, s in zip(given, spare, strict=True))


def unbatched_inputs(records: list[Record]) -> set[str]:
    """The input blobs whose first dimension counts something else than images."""
    return {
        record.inputs[index].blob
        for record in records
        for index in (record.kind.unbatched_bottoms if record.kind else ())
        if (writer := record.inputs[index].writer) is not None and writer.is_input
    }


def opened(
    own: Mapping[str, Shape],
    given: Mapping[str, Shape],
    batch: bool,
    spatial: bool,
    unbatched: Collection[str] = (),
) -> dict[str, Shape]:
    """The inputs' shapes with batch, height and width left open where nobody fixed them.

    Inputs of one size share one symbol; another size gets a symbol of its own, and so
    do `unbatched`, whose length is always open.
    """
    symbols: dict[tuple[str, object], str] = {}

    def symbol(axis: str, dim: object, blob: str) -> str:
        taken = {kind for kind, _ in symbols}
        name = axis if axis not in taken else f"{blob}_{axis}"
        return symbols.setdefault((axis, dim), name)

    result: dict[str, Shape] = {}
    for blob, shape in own.items():
        if blob in given:
            result[blob] = given[blob]
            continue
        dims = list(shape)
        if blob in unbatched:
            dims[0] = f"{blob}_count"
        elif dims and batch:
            dims[0] = symbol("batch", shape[0], blob)
        if len(dims) == 4 and spatial and blob not in unbatched:
            dims[2], dims[3] = symbol("height", shape[2], blob), symbol("width", shape[3], blob)
        result[blob] = tuple(dims)
    return result


def infer_shapes(
    net: NetDefinition,
    records: list[Record],
    wanted: list[Version],
    params: Mapping[int, object],
    inputs: Mapping[str, Shape],
    nominal: Mapping[int, Shape] | None,
) -> tuple[Graph, dict[int, Shape]]:
    """One pass of shape inference; nodes and values are new each time.

    Also returns the shapes by blob version. Such a table from the pass over the prototxt's own
    sizes is `nominal` in later ones, and becomes `Value.nominal`.
    """
    values: dict[int, Value] = {}
    graph = Graph(net.name, [], [], [])
    found: dict[int, Shape] = {}

    def add(version: Version, value: Value) -> None:
        values[id(version)] = value
        found[id(version)] = value.shape
        own = (nominal or found)[id(version)]
        value.nominal = tuple(d for d in own if isinstance(d, int))

    for record in records:
        kind = record.kind
        assert kind is not None
        if record.is_input:
            for version in record.outputs:
                if version.blob in inputs:
                    check_input(record.layer, version.blob, inputs[version.blob])
                    add(version, Value(version.blob, inputs[version.blob]))
                    graph.inputs.append(values[id(version)])
            continue
        node = make_node(kind, record.layer, params[id(record)], net.phase or "TEST")
        masks = kind.mask_bottoms(len(record.inputs))
        node.inputs = [values[id(v)] for v in record.inputs]
        for index, value in enumerate(node.inputs):
            if not (kind.keeps_types or index in masks):
                node.inputs[index] = as_numbers(graph, value)
        node.outputs = [Value(v.blob, (), node) for v in record.outputs]
        if kind.counts_images and (scalar := next((v for v in node.inputs if not v.shape), None)):
            raise node.error(f"its bottom {scalar.name!r} is a single number, without axes")
        try:
            kind.prepare(node)
            shapes = kind.shapes(node)
        except OpenDimension as symbol:
            if any(not is_fixed(*shape) for shape in inputs.values()):
                symbol.node = node
                raise
            raise node.error(f"needs to know {symbol}, which only the run tells") from None
        check_sizes(node, shapes)
        for version, value, shape, dtype in zip(
            record.outputs, node.outputs, shapes, kind.dtypes(node), strict=True
        ):
            value.shape, value.dtype = tuple(shape), dtype
            add(version, value)
        graph.nodes.append(node)
    graph.outputs = [values[id(v)] for v in wanted]
    rename_versions(graph)
    return graph.without_dead_nodes(), found


def as_numbers(graph: Graph, value: Value) -> Value:
    """A mask as Caffe keeps it, in float32, by a node that is made where need be."""
    if value.dtype != "int64":
        return value
    for node in graph.nodes:
        if node.type == MASK_AS_NUMBERS and node.inputs == [value]:
            return node.outputs[0]
    name = f"{value.name}/numbers"
    made = Node(name, MASK_AS_NUMBERS, NoParams(), [value], [], specs=[])
    made.outputs = [Value(name, value.shape, made, nominal=value.nominal)]
    graph.nodes.append(made)
    return made.outputs[0]


def check_input(layer: LayerDefinition, blob: str, shape: Shape) -> None:
    if fault := size_fault(shape):
        remedy = Sentence("give ", Argument("shapes", {blob: (1, 3, 224, 224)}))
        raise layer_error(layer, f"its {blob!r}, {text(shape)}, {fault}", remedy)


def make_node(
    kind: LayerType[Any], layer: LayerDefinition, params: object, phase: str
) -> Node[Any]:
    return Node(
        layer.name,
        kind.type,
        params,
        [],
        [],
        specs=list(layer.specs),
        position=layer.position,
        loss_weights=list(layer.loss_weights),
        phase=phase,
    )


def check_sizes(node: Node[Any], shapes: Sequence[Shape]) -> None:
    for shape in shapes:
        if fault := size_fault(shape):
            size = text(node.inputs[0].shape) if node.inputs else "()"
            raise node.error(f"of a {size} input its output, {text(shape)}, {fault}")


def size_fault(shape: Shape) -> str | None:
    """Why Caffe has no blob of this shape."""
    if any(isinstance(d, int) and d <= 0 for d in shape):
        return "is empty"
    return TOO_LARGE if known_product(shape) > MOST else None


def rename_versions(graph: Graph) -> None:
    """The last writing of a blob keeps its name; earlier ones are called ``blob/layer``.

    An input always keeps its own, since that is the name by which it is fed.
    """
    by_name: dict[str, list[Value]] = {}
    for value in graph.values():
        by_name.setdefault(value.name, []).append(value)
    for name, versions in by_name.items():
        if len(versions) == 1:
            continue
        keeper = versions[0] if versions[0].producer is None else versions[-1]
        for value in versions:
            if value is not keeper and value.producer is not None:
                value.name = f"{name}/{value.producer.name}"
