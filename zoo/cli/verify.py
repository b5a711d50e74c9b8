"""`zoo verify`: does a model compute what the network does?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prototxt.errors import ZooError
from zoo.cli import options
from zoo.cli.options import Phase, Provider

if TYPE_CHECKING:
    from converters import Graph
    from runtime import Model
    from zoo.checking.pixel_probes import PixelFeed
    from zoo.checking.verification import Blobs, Row

WITHOUT_TORCH = (
    "PyTorch is not installed: compared with the given outputs alone, and no difference is excused "
    "as rounding; {install}"
)


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
            help="Blobs to feed and to expect (Caffe's own, say), as in.BLOB and out.BLOB or by "
            "plain name.",
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
    mean: options.Mean = None,
    plugin: options.Plugins = None,
    lenient: options.Lenient = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare a model with the network it was made of.

    Rebuilds the network in PyTorch and feeds both what finds faults: random numbers, zeros, ties,
    large and tiny ones, or else the blobs of --inputs, whose outputs are compared as well. Where
    they depart, the exit status is 1 and the first blob of the network that departs is named.
    Switches must be equal but where the values that were pooled differ by rounding. A model that
    takes pixels is fed pixels; if it subtracts a mean image, that is read from the file that the
    data layer names, or --mean. Where PyTorch is not installed, the model is compared with the
    outputs of --inputs alone.
    """
    import converters
    import prototxt
    import runtime
    from converters.preprocessing import stated
    from zoo import extras
    from zoo.checking import comparison, probes
    from zoo.checking.pixel_probes import pixel_feed
    from zoo.checking.verification import Verifier
    from zoo.cli.console import Printer

    say = Printer(json, quiet)
    limit = comparison.TOLERANCE if tolerance is None else tolerance
    loaded = runtime.load(model, provider.value)
    for path in plugin or ():
        converters.load_plugin(path)
    read = prototxt.read_net(net, lenient=lenient, warn=say.warn)
    read = read.select(phase.upper(), (*read.stages, *(stage or ())))
    part = loaded.metadata.get("zoo.part")
    pixels = pixel_feed(loaded, mean, stated(read))
    given_in, fed, given_out = _given(inputs, loaded, pixels) if inputs else ({}, {}, {})
    fixed = _fixed_shapes(loaded, given_in, pixels)
    whole = converters.convert(
        read,
        weights,
        shapes=(fixed if not part or pixels else None) or None,
        open_dims=False,
        # A part's outputs are told by the split, not by the network.
        outputs=None if part else [spec.name for spec in loaded.outputs],
        seed=seed,
        lenient=lenient,
        warn=say.warn,
    ).graph
    graph = _part(whole, part)
    _check_inputs(graph, loaded, net)
    # Given outputs are something to compare with even where the network cannot be rebuilt.
    rebuild = not given_out or extras.installed("torch")
    notes = [] if rebuild else [WITHOUT_TORCH.format(install=extras.PACKAGES["torch"].install)]
    verifier = Verifier(graph, loaded, model, limit, rebuild)
    if inputs:
        rows = [verifier.check("the given input", given_in, fed, given_out)]
    else:
        rows = []
        for kind in probes.KINDS:
            feeds, fed = drawn(kind, whole, graph, loaded, seed, pixels)
            rows.append(verifier.check(kind, feeds, fed))
    if not any(row.comparisons for row in rows):
        raise ZooError(
            "no output blob that both sides have",
            subject=f"{inputs or model}",
            remedy=f"the model's are {', '.join(spec.name for spec in loaded.outputs)}",
        )
    first = next((row.first for row in rows if row.first is not None), None)
    say.result(
        {
            "ok": first is None,
            "tolerance": limit,
            "provider": loaded.provider,
            "input": str(inputs) if inputs else f"drawn, seed {seed}",
            "feeds": {name: list(array.shape) for name, array in rows[0].feeds.items()},
            "inputs": [
                {
                    "input": row.input,
                    "ok": row.ok,
                    "first_departure": row.first.as_dict() if row.first else None,
                }
                for row in rows
            ],
            "comparisons": [item.as_dict() for row in rows for item in row.comparisons],
            "first_departure": first.as_dict() if first else None,
            "notes": notes,
        }
    )
    _show(say, rows, limit, loaded)
    for note in notes:
        say.note(note)
    if first is not None:
        raise ZooError(
            f"{first.sentence()}",
            subject=model,
            remedy="the model was not made of this definition and these weights, or is wrong",
        )


def _given(path: Path, model: Model, pixels: PixelFeed | None) -> tuple[Blobs, Blobs, Blobs]:
    """The inputs of the network, those of the model, and the blobs to expect."""
    fed, expected = feeds_and_expected(path, model, pixels)
    if pixels is None:
        return fed, fed, expected
    return {**fed, pixels.name: pixels.blob(fed[pixels.name])}, fed, expected


def _fixed_shapes(
    model: Model, given: Blobs, pixels: PixelFeed | None
) -> dict[str, tuple[int | str, ...]]:
    """The network's inputs as the model fixes them, or what is given has them."""
    found: dict[str, tuple[int | str, ...]] = {}
    for spec in model.inputs:
        shape = spec.shape
        if pixels is not None and spec.name == pixels.name:
            batch, *dims = pixels.blob_shape
            shape = (batch if isinstance(batch, int) else 1, *dims)
        if spec.name in given:
            found[spec.name] = tuple(given[spec.name].shape)
        elif all(isinstance(dim, int) for dim in shape):
            found[spec.name] = shape
    return found


def feeds_and_expected(
    path: Path, model: Model, pixels: PixelFeed | None = None
) -> tuple[Blobs, Blobs]:
    """The blobs to feed and those to expect. Every input of the model must be among them."""
    import numpy as np

    from zoo.data.npz import read_npz

    arrays = read_npz(path)
    names = {spec.name: spec.dtype for spec in model.inputs}
    feeds: Blobs = {}
    expected: Blobs = {}
    for key, array in arrays.items():
        name = key.removeprefix("in.").removeprefix("out.")
        if pixels is not None and name == pixels.name and not key.startswith("out."):
            feeds[name] = pixels.given(array, path)
        elif name in names and not key.startswith("out."):
            feeds[name] = np.ascontiguousarray(array, names[name])
        elif not key.startswith("in."):
            expected[name] = array
    missing = [name for name in names if name not in feeds]
    if missing:
        raise ZooError(
            f"has no blob for the model's input {', '.join(missing)}",
            subject=path,
            remedy=f"its blobs are {', '.join(arrays)}",
        )
    return feeds, expected


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
            f"its inputs are {', '.join(ours)}, the model's {', '.join(theirs)}",
            subject=net,
            remedy="give the model that was converted from it",
        )


def drawn(
    kind: str, whole: Graph, graph: Graph, model: Model, seed: int, pixels: PixelFeed | None
) -> tuple[Blobs, Blobs]:
    """Blobs of one kind of `probes`, for the network and for the model, which may take the pixels
    of which they are made; a decoder is fed switches that its encoder took of them.
    """
    import converters
    from converters.legal_inputs import legal_inputs
    from converters.shapes import fixed
    from zoo.checking import probes
    from zoo.checking.pixel_probes import draw
    from zoo.checking.verification import call

    # Networks of the paper expect pixels, whose spread is about 64; others what they were given.
    spread = 64 if "zoo.arch" in model.metadata else 1
    shapes = {value.name: fixed(value.shape) for value in whole.inputs}
    feeds = probes.probe(kind, shapes, legal_inputs(whole), seed, spread)
    if model.metadata.get("zoo.part") == "decoder":
        encoder = _part(whole, "encoder")
        feeds = {**feeds, **call(converters.to_torch(encoder).eval(), encoder, feeds)}
    feeds = {value.name: feeds[value.name] for value in graph.inputs}
    if pixels is None:
        return feeds, feeds
    images = draw(kind, pixels.image_shape(feeds[pixels.name].shape), seed)
    return {**feeds, pixels.name: pixels.blob(images)}, {**feeds, pixels.name: images}


def _show(say: Any, rows: list[Row], limit: float, model: Model) -> None:
    say.table(
        ["input", "compared", "blobs", "farthest", "max rel", "switches", "rounding", "agrees"],
        [
            [
                row.input,
                " / ".join(dict.fromkeys(x for c in row.comparisons for x in (c.left, c.right))),
                len({item.blob for item in row.comparisons}),
                row.worst.blob if row.worst else "",
                f"{max((c.max_rel for c in row.comparisons if not c.mask), default=0):.3g}",
                sum(int(c.max_abs) for c in row.comparisons if c.mask and not c.shapes),
                sum(item.rounding for item in row.comparisons),
                row.ok,
            ]
            for row in rows
        ],
    )
    say.line(f"tolerance {limit:g} of a blob's largest magnitude; ONNX Runtime on {model.provider}")
