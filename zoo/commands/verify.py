"""`zoo verify`: does a model compute what the network does?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prototxt.errors import ZooError
from zoo.commands import options
from zoo.commands.options import Phase, Provider

if TYPE_CHECKING:
    import numpy as np

    from converters import Graph
    from runtime import Model
    from zoo.comparison import Comparison

    Blobs = dict[str, np.ndarray]


def verify(
    net: Annotated[Path, typer.Argument(metavar="NET.prototxt", help="The definition.")],
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="What it was converted to.")],
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="W.caffemodel",
            help="The weights it was converted with; without them the seeded fillers.",
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs",
            metavar="IO.npz",
            help="Blobs to feed and to expect, as in.BLOB and out.BLOB or by plain name.",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            min=0,
            help="Largest difference, relative to the blob's largest magnitude; default 1e-4.",
        ),
    ] = None,
    phase: options.PhaseOption = Phase.test,
    stage: options.Stages = None,
    provider: options.ProviderOption = Provider.cpu,
    plugin: options.Plugins = None,
    lenient: options.Lenient = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare a model with the network it was made of.

    Rebuilds the network in PyTorch and feeds both a seeded random input, or the blobs of
    --inputs, whose outputs are compared as well. Where they depart, the exit status is 1 and
    the first blob of the network that departs is named.
    """
    import numpy as np

    import converters
    import prototxt
    import runtime
    from zoo import comparison
    from zoo.commands.convert import build
    from zoo.console import Printer

    say = Printer(json, quiet)
    limit = comparison.TOLERANCE if tolerance is None else tolerance
    loaded = runtime.load(model, provider.value)
    given_in, given_out = feeds_and_expected(inputs, loaded) if inputs else ({}, {})
    for path in plugin or ():
        converters.load_plugin(path)
    read = prototxt.read_net(net, lenient=lenient, warn=say.warn)
    read = read.select(phase.upper(), (*read.stages, *(stage or ())))
    arrays = prototxt.read_weights(weights) if weights is not None else None
    part = loaded.metadata.get("zoo.part")

    def whole_graph(shapes: dict[str, tuple[int | str, ...]] | None) -> Graph:
        graph, _, _ = build(
            read,
            arrays,
            shapes=shapes,
            open_dims=False,
            # A part's outputs are told by the split, not by the network.
            outputs=None if part else [spec.name for spec in loaded.outputs],
            seed=seed,
            lenient=lenient,
            warn=say.warn,
        )
        return graph

    fixed = {
        spec.name: tuple(given_in[spec.name].shape) if spec.name in given_in else spec.shape
        for spec in loaded.inputs
        if spec.name in given_in or all(isinstance(dim, int) for dim in spec.shape)
    }
    whole = whole_graph(None if part else fixed or None)
    graph = _part(whole, part)
    _check_inputs(graph, loaded, net)
    feeds = given_in or _random(whole, graph, loaded, seed)
    sides: dict[str, Blobs] = {
        "torch": run_torch(graph, feeds),
        "onnx": loaded.run({spec.name: feeds[spec.name] for spec in loaded.inputs}),
    }
    order = [value.name for value in graph.values()]
    found = comparison.compare_all(order, ("torch", sides["torch"]), ("onnx", sides["onnx"]), limit)
    if given_out:
        for side in ("onnx", "torch"):
            found += comparison.compare_all(order, (side, sides[side]), ("given", given_out), limit)
    if not found:
        raise ZooError(
            f"{inputs or model}: no output blob that both sides have",
            hint=f"the model's are {', '.join(spec.name for spec in loaded.outputs)}",
        )
    departs = [item for item in found if not item.ok]
    first = None
    if departs:
        # A closer look, at every blob inside: a switch that rounding alone decided is no departure.
        inner = inner_blobs(graph, model, feeds)
        sides["given"] = given_out
        found = [excused(item, graph, inner["torch"], sides, limit) for item in found]
        departs = [item for item in found if not item.ok]
        if departs:
            first = first_departure(graph, inner, given_out, limit) or departs[0]
    say.result(
        {
            "ok": not departs,
            "tolerance": limit,
            "provider": loaded.provider,
            "input": str(inputs) if inputs else f"random, seed {seed}",
            "feeds": {name: list(np.shape(array)) for name, array in feeds.items()},
            "comparisons": [item.as_dict() for item in found],
            "first_departure": first.as_dict() if first else None,
        }
    )
    _show(say, found, limit, loaded)
    if first is not None:
        raise ZooError(
            f"{model}: {first.sentence()}",
            hint="the model was not made of this definition and these weights, or is wrong",
        )


def feeds_and_expected(path: Path, model: Model) -> tuple[Blobs, Blobs]:
    """The blobs to feed and those to expect. Every input of the model must be among them."""
    import numpy as np

    from zoo.data.npz import read_npz

    arrays = read_npz(path)
    names = {spec.name: spec.dtype for spec in model.inputs}
    feeds: Blobs = {}
    expected: Blobs = {}
    for key, array in arrays.items():
        name = key.removeprefix("in.").removeprefix("out.")
        if name in names and not key.startswith("out."):
            feeds[name] = np.ascontiguousarray(array, names[name])
        elif not key.startswith("in."):
            expected[name] = array
    missing = [name for name in names if name not in feeds]
    if missing:
        raise ZooError(
            f"{path}: has no blob for the model's input {', '.join(missing)}",
            hint=f"its blobs are {', '.join(arrays)}",
        )
    return feeds, expected


def run_torch(graph: Graph, feeds: Blobs) -> Blobs:
    """The outputs of the PyTorch rebuild, by name."""
    import numpy as np
    import torch

    import converters

    module = converters.to_torch(graph).eval()
    with torch.no_grad():
        out = module(*(torch.from_numpy(np.array(feeds[v.name])) for v in graph.inputs))
    return {name: tensor.numpy() for name, tensor in out.items()}


def inner_blobs(graph: Graph, path: Path, feeds: Blobs) -> dict[str, Blobs]:
    """Every blob that both sides have, blobs inside the network included: {"torch", "onnx"}."""
    import onnx

    import runtime

    proto = onnx.load(str(path))
    made = {name for node in proto.graph.node for name in node.output}
    already = {info.name for info in proto.graph.output}
    inner = graph.clone()
    inner.outputs = [value for node in inner.nodes for value in node.outputs]
    torch_side = run_torch(inner, feeds)
    for value in inner.outputs:
        if value.name in made - already:
            proto.graph.output.append(onnx.ValueInfoProto(name=value.name))
    opened = runtime.load(proto.SerializeToString(), "cpu")
    onnx_side = opened.run({spec.name: feeds[spec.name] for spec in opened.inputs})
    return {"torch": torch_side, "onnx": onnx_side}


def excused(
    item: Comparison, graph: Graph, blobs: Blobs, sides: dict[str, Blobs], tolerance: float
) -> Comparison:
    """The comparison, counted as agreeing where only switches differ that rounding decided."""
    import dataclasses

    from zoo import comparison

    if item.ok or not item.mask:
        return item
    node = graph.value(item.blob).producer
    plane = blobs.get(node.inputs[0].name) if node is not None else None
    left, right = sides[item.left][item.blob], sides[item.right][item.blob]
    tie = plane is not None and comparison.near_ties(left, right, plane, tolerance)
    return dataclasses.replace(item, ok=True) if tie else item


def first_departure(
    graph: Graph, inner: dict[str, Blobs], given: Blobs, tolerance: float
) -> Comparison | None:
    """The first blob in the network's order that departs, of those inside the network."""
    from zoo import comparison

    order = [value.name for value in graph.values()]
    sides = {**inner, "given": given}
    found: list[Comparison] = []
    for left, right in (("torch", "onnx"), ("onnx", "given")):
        found += comparison.compare_all(
            order, (left, sides[left]), (right, sides[right]), tolerance
        )
    found = [excused(item, graph, inner["torch"], sides, tolerance) for item in found]
    departed = [item for item in found if not item.ok]
    return min(departed, key=lambda item: order.index(item.blob), default=None)


def _part(graph: Graph, part: str | None) -> Graph:
    import converters

    if part is None:
        return graph
    encoder, decoder = converters.split(graph)
    return encoder if part == "encoder" else decoder


def _check_inputs(graph: Graph, model: Model, net: Path) -> None:
    ours = sorted(value.name for value in graph.inputs)
    theirs = sorted(spec.name for spec in model.inputs)
    if ours != theirs:
        raise ZooError(
            f"{net}: its inputs are {', '.join(ours)}, the model's {', '.join(theirs)}",
            hint="give the model that was converted from it",
        )


def _random(whole: Graph, graph: Graph, model: Model, seed: int) -> Blobs:
    """Seeded normal inputs; a decoder is fed switches that its own encoder took from them."""
    import numpy as np

    rng = np.random.default_rng(seed)
    # Networks of the paper expect pixels, whose spread is about 64; others what they were given.
    spread = 64 if "zoo.arch" in model.metadata else 1

    def draw(shape: Any) -> np.ndarray:
        return (spread * rng.standard_normal(shape)).astype(np.float32)

    feeds = {value.name: draw(value.shape) for value in whole.inputs}
    if model.metadata.get("zoo.part") == "decoder":
        encoder = _part(whole, "encoder")
        feeds = {**feeds, **run_torch(encoder, feeds)}
    return {value.name: feeds[value.name] for value in graph.inputs}


def _show(say: Any, found: list[Comparison], limit: float, model: Model) -> None:
    say.table(
        ["blob", "compared", "max abs", "max rel", "mean abs", "agrees"],
        [
            [
                item.blob,
                f"{item.left} / {item.right}",
                f"{item.max_abs:.3g}" + (" switches" if item.mask else ""),
                f"{item.max_rel:.3g}",
                f"{item.mean_abs:.3g}",
                item.ok,
            ]
            for item in found
        ],
    )
    say.line(f"tolerance {limit:g} of a blob's largest magnitude; ONNX Runtime on {model.provider}")
