"""The front door: a definition and its weights -> a graph, an ONNX model, a PyTorch module.

    converters.convert("deploy.prototxt", "net.caffemodel").save("net.onnx")

In this order: read, the phase's layers selected, the input's size found, the graph built; split at
the switches, on request; folded; written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.binary import read_weights
from prototxt.errors import Argument, Sentence, UsageError
from prototxt.files import Content, atomic_write_all, sha256_meanwhile, weights_beside
from prototxt.net import NetDefinition, read_net
from prototxt.preprocessing import Preprocessing

from . import metadata
from .batches import OPEN, Batch
from .borders import Asked
from .build import build_graph
from .errors import MissingBlob, NeedsShape
from .families import KnownNetwork, recognise
from .graph import Graph, Shape
from .preprocessing import check_foldable, cropped_shapes, stated
from .registry import find, load_plugin
from .stored_shapes import stored_shapes
from .targets import DEFAULT_TARGET
from .tasks import task_of

if TYPE_CHECKING:
    import onnx
    from torch import fx

    from .onnx_file import OnnxFile

__all__ = ["Conversion", "Weights", "WrittenModel", "convert"]

Weights = Mapping[str, Sequence[np.ndarray]]
"""Learned blobs by layer name, in Caffe's order."""

WHOLE, ENCODER, DECODER = "whole", "encoder", "decoder"


@dataclass(frozen=True)
class WrittenModel:
    """A model that `Conversion.save` wrote."""

    part: str
    """``whole``, or ``encoder`` or ``decoder`` of one that was split."""
    path: Path
    data: Path | None
    """The file beside it that holds the weights, where they are not in it."""
    proto: onnx.ModelProto
    """The model without its weights."""
    parameters: int
    """How many numbers were learned."""

    @property
    def bytes(self) -> int:
        """Of both files."""
        return sum(path.stat().st_size for path in (self.path, self.data) if path is not None)


@dataclass
class Conversion:
    """A network that was read and built, ready to be written; `convert` makes it."""

    definition: NetDefinition
    """The layers of the phase."""
    graph: Graph
    """The whole network, layer by layer."""
    preprocessing: Preprocessing
    """How images become its input, as far as it is known."""
    metadata: dict[str, str]
    """What its models say of themselves."""
    known: KnownNetwork | None = None
    """Which known network it is."""
    notes: list[str] = field(default_factory=list)
    """What a person should know of how it was made."""
    target: str = DEFAULT_TARGET
    """The runtime that it is written for, of `TARGETS`."""
    opset: int | None = None
    """Of ONNX; None is `converters.DEFAULT_OPSET`."""
    fold: bool = True
    """Whether layers are merged that inference need not keep apart."""
    split: bool = False
    """Whether encoder and decoder are written, instead of the whole."""
    external_data: bool = False
    """Whether the weights go into a file beside the model, however small."""
    borders: Asked = field(default_factory=Asked)
    """What is otherwise at its inputs and outputs than in the definition: names, N×H×W×C."""

    @functools.cached_property
    def parts(self) -> dict[str, Graph]:
        """What is written, folded where that was asked for, by name.

        That is ``whole``, or ``encoder`` and ``decoder``.
        """
        from .passes.fold import fold
        from .passes.split import split

        graphs = {WHOLE: self.graph}
        if self.split:
            graphs = dict(zip((ENCODER, DECODER), split(self.graph), strict=True))
        return {part: fold(graph) if self.fold else graph for part, graph in graphs.items()}

    def onnx_file(self, part: str = WHOLE) -> OnnxFile:
        """A part, ready to be written; its weights are the graph's own arrays, not copies."""
        from .onnx_backend import DEFAULT_OPSET, to_onnx_file

        properties = dict(self.metadata)
        if part != WHOLE:
            properties["zoo.part"] = part
        if part == DECODER:
            properties.pop("zoo.input", None)
        in_model = self.preprocessing.in_model and part != DECODER
        file = to_onnx_file(
            self.parts[part],
            self.target,
            DEFAULT_OPSET if self.opset is None else self.opset,
            properties,
            preprocessing=self.preprocessing if in_model else None,
        )
        return self.borders.applied(file, self.parts[part], list(self.parts.values()))

    def to_onnx(self, part: str = WHOLE) -> onnx.ModelProto:
        """A part as a model with its weights in it (less than 2 GB)."""
        return self.onnx_file(part).whole()

    def to_torch(self) -> fx.GraphModule:
        """The whole network as a PyTorch module, to train again. Loads torch."""
        from .torch_backend import to_torch

        return to_torch(self.graph)

    def save(self, path: str | Path) -> list[WrittenModel]:
        """Write the model, or with `split` NAME.encoder.onnx and NAME.decoder.onnx, all or none.

        Weights of 1.8 GB and more, or of any size with `external_data`, lie in PATH.data.

        Args:
            path: where to write; made anew or replaced.

        Returns:
            What was written, one for each part.
        """
        path = Path(path)
        contents: list[tuple[Path, Content]] = []
        written = []
        for part, graph in self.parts.items():
            file = path
            if part != WHOLE:
                stem = path.stem if path.suffix == ".onnx" else path.name
                file = path.with_name(f"{stem}.{part}.onnx")
            model = self.onnx_file(part)
            pieces = pieces_of(model, file, self.external_data)
            contents += pieces
            parameters = sum(blob.size for node in graph.nodes for blob in node.blobs)
            data = pieces[0][0] if len(pieces) > 1 else None
            written.append(WrittenModel(part, file, data, model.model, parameters))
        atomic_write_all(contents)
        return written


def convert(
    net: str | Path | NetDefinition,
    weights: str | Path | Weights | None = None,
    *,
    phase: str | None = None,
    stages: Sequence[str] = (),
    shapes: Mapping[str, Shape] | None = None,
    outputs: Sequence[str] | None = None,
    input_names: Mapping[str, str] | str | None = None,
    output_names: Mapping[str, str] | None = None,
    nhwc: bool = False,
    raw: bool = False,
    open_dims: bool = True,
    batch: Batch = None,
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
    fold_preprocessing: bool = False,
    task: str | None = None,
    labels: Sequence[str] = (),
    target: str = DEFAULT_TARGET,
    opset: int | None = None,
    fold: bool = True,
    split: bool = False,
    external_data: bool = False,
    plugins: Iterable[str | Path] = (),
    lenient: bool = False,
    warn: Callable[[str], None] | None = None,
) -> Conversion:
    """Read a Caffe network and build it.

    Args:
        net: a .prototxt, or a definition; one whose phase is selected is taken as it is, if no
            `phase` is given.
        weights: a .caffemodel (or .h5), or blobs by layer name; without them the definition's
            fillers draw, seeded by `seed`.
        phase: ``test`` (the default) or ``train``.
        stages: those that layers may ask for, besides the definition's own.
        shapes: inputs by blob name, as N×C×H×W; a text in place of a number leaves it open.
        outputs: the blobs to give out; default: those that no layer reads, and every mask.
        input_names: what inputs are called in the model, by blob; a text is that of the only one.
        output_names: what outputs are called in the model, by blob.
        nhwc: let images at the model's inputs and outputs be float N×H×W×C.
        raw: stop before the layer that makes detections: its bottoms are outputs instead.
        open_dims: leave batch, height and width open as far as the network allows.
        batch: of the images: a number, or ``open``, which is an error where it cannot be.
        seed: of the fillers.
        preprocessing: what is known of how images become the input; overrides what the data layers
            state.
        fold_preprocessing: let the model take uint8 N×H×W×C images and do it all itself, but for
            the resizing.
        task: what it is for, of `prototxt.tasks.TASKS`; default: what its layers tell.
        labels: names of its classes, by number.
        target: the runtime that it is for, of `TARGETS`.
        opset: of ONNX; default `converters.DEFAULT_OPSET`.
        fold: merge layers that inference need not keep apart.
        split: into an encoder and a decoder, with the switches between them.
        external_data: keep the weights in a file beside the model, however small.
        plugins: Python files that register layer types of their own.
        lenient: fields that are unknown are told to `warn` instead of being errors.
        warn: is told of them, one line each.

    Raises:
        FormatError: a file that is not what it should be.
        ConversionError: a network that cannot be built as asked.
        UsageError: arguments that contradict one another.
    """
    asked: dict[str, Any] = dict(locals())  # every argument, to ask again for another phase
    for plugin in plugins:
        load_plugin(plugin)
    definition = net if isinstance(net, NetDefinition) else read_net(net, lenient, warn)
    if phase is not None or definition.phase is None or not isinstance(net, NetDefinition):
        selected = (phase or "test").upper()
        definition = definition.select(selected, (*definition.stages, *stages))
    phase = (definition.phase or "TEST").lower()
    if fold_preprocessing and phase == "train":
        raise UsageError(
            Sentence(
                Argument("fold_preprocessing"),
                " goes with ",
                Argument("phase", "test"),
                ": training crops at random",
            )
        )
    if nhwc and fold_preprocessing:
        raise UsageError(
            Sentence(Argument("fold_preprocessing"), " takes N×H×W×C already"),
            subject=Argument("nhwc"),
            remedy="leave one of them out",
        )
    if raw and outputs:
        raise UsageError(
            Sentence(Argument("raw"), " says what is given out: leave out ", Argument("outputs"))
        )
    file = Path(weights) if isinstance(weights, str | Path) else None
    digest = sha256_meanwhile(file) if file is not None else None
    blobs = read_weights(file, views=True) if file is not None else weights
    assert not isinstance(blobs, str | Path)
    how = stated(definition)
    if preprocessing is not None:
        how = how.overridden(
            preprocessing.mean,
            preprocessing.scale,
            preprocessing.crop,
            preprocessing.channel_order,
            resize=preprocessing.resize,
        )
    known = recognise(definition)
    notes: list[str] = list(definition.notes)
    build = functools.partial(
        build_known,
        definition,
        known,
        blobs,
        outputs=outputs,
        raw=raw,
        open_dims=open_dims,
        batch=batch,
        seed=seed,
        lenient=lenient,
        warn=warn,
        stored=stored_shapes(definition, notes.append, shapes or {}),
    )
    try:
        graph = build(shapes)
    except MissingBlob as error:
        training = None if asked["phase"] else as_at_test(net, definition, stages, lenient, warn)
        if training is None:
            raise
        found = convert(**{**asked, "net": training, "phase": None, "stages": (), "plugins": ()})
        note = f"no layer of the TEST phase writes {error.blob!r}: its TRAIN layers, run as at test"
        found.notes.insert(0, note)
        return found
    if fold_preprocessing:
        cropped = cropped_shapes(graph, how, shapes)
        graph = build(cropped) if cropped else graph
        check_foldable(graph, how)
        how = how.overridden(in_model=True)
    path = Path(definition.path)
    graph.name = graph.name or ("" if definition.path.startswith("<") else path.stem)
    first = graph.inputs[0].nominal if graph.inputs else ()
    if len(first) == 4:
        how = how.overridden(input_size=(first[2], first[3]))
    task = task or (known.task if known else task_of(graph, definition, len(labels)))
    check_labels(labels, task, graph)
    described = metadata.describe(
        path,
        file,
        trained=blobs is not None,
        phase=phase,
        seed=seed,
        preprocessing=how,
        channels=first[1] if len(first) == 4 and first[1] in (1, 3) else None,
        known=known,
        task=task,
        labels=labels,
        apart=images_apart(graph),
        digest=digest,
    )
    return Conversion(
        definition,
        graph,
        how,
        described,
        known,
        notes + graph.notes,
        target,
        opset,
        fold,
        split,
        external_data,
        Asked(input_names or {}, output_names or {}, nhwc),
    )


def check_labels(labels: Sequence[str], task: str, graph: Graph) -> None:
    """UsageError where a classifier's labels are not as many as its classes."""
    if not labels or task != "classify":
        return
    sizes = {v.shape[1] for v in graph.outputs if len(v.shape) > 1 and v.dtype == "float32"}
    if len(labels) not in sizes and all(isinstance(size, int) for size in sizes):
        shown = " or ".join(map(str, sorted(sizes, key=str)))
        raise UsageError(
            f"names {len(labels)} classes, but the network has {shown}", subject=Argument("labels")
        )


def images_apart(graph: Graph) -> bool:
    """Whether what is made of an image depends on nothing else in the batch, whose size is open."""
    ends = [*graph.inputs, *graph.outputs]
    sizes = {value.shape[0] if value.shape else None for value in ends}
    if len(sizes) != 1 or not isinstance(sizes.pop(), str):
        return False
    kinds = [(find(node.type), node) for node in graph.nodes]
    return all(kind is not None and kind.each_image(node) for kind, node in kinds)


def as_at_test(
    net: str | Path | NetDefinition,
    definition: NetDefinition,
    stages: Sequence[str],
    lenient: bool,
    warn: Callable[[str], None] | None,
) -> NetDefinition | None:
    """The TRAIN layers of a definition that is meant for training alone, in the TEST phase.

    None where there are none besides those of its TEST phase, or they are not at hand any more.
    """
    if isinstance(net, NetDefinition) and net.phase is not None:
        return None
    whole = net if isinstance(net, NetDefinition) else read_net(net, lenient, warn)
    training = whole.select("TRAIN", (*whole.stages, *stages))
    if training.layers == definition.layers:
        return None
    return replace(training, phase="TEST")


def build_known(
    net: NetDefinition,
    known: KnownNetwork | None,
    weights: Weights | None,
    shapes: Mapping[str, Shape] | None,
    *,
    open_dims: bool,
    batch: Batch,
    **how: Any,
) -> Graph:
    """The graph; where nothing in the files fixes the input's size, a known network's usual one."""

    def build(given: Mapping[str, Shape] | None, assume: bool = False) -> Graph:
        return build_graph(
            net, weights, shapes=given, open_dims=open_dims, batch=batch, assume=assume, **how
        )

    if known is None:
        return build(shapes, assume=True)
    try:
        return build(shapes)
    except NeedsShape as error:
        if shapes:
            raise
        side = known.size
        images = batch if isinstance(batch, int) else 1
        stays = batch == OPEN or (open_dims and batch is None)
        graph = build({error.blob: ("batch" if stays else images, 3, side, side)})
        note = f"input {error.blob} 3x{side}x{side}: nothing fixes it, but this is {known.title}"
        graph.notes.insert(0, note)
        return graph


def pieces_of(model: OnnxFile, path: Path, external: bool) -> list[tuple[Path, Content]]:
    """The files of a model: one, or the weights and what refers to them, in this order."""
    from .onnx_file import INLINE_LIMIT

    if not external and model.nbytes <= INLINE_LIMIT:
        return [(path, model.write)]
    data = weights_beside(path)
    return [(data, model.write_data), (path, lambda file: model.write_graph(file, data.name))]
