"""`verify`: a definition, its weights and a model -> whether the model computes what they say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Argument, Sentence, UsageError, ZooError
from zoo import extras
from zoo.checking import as_converted, comparison, feeds, probes, witness
from zoo.checking.pixel_probes import pixel_feed
from zoo.checking.rounding import WITNESSES
from zoo.checking.verification import Row, Verifier

if TYPE_CHECKING:
    from converters import Graph
    from runtime import Model
    from zoo.checking.comparison import Comparison

__all__ = ["Verification", "verify"]

WITHOUT_TORCH = (
    "PyTorch is not installed: compared with the given outputs alone, and no difference is excused "
    "as rounding; {install}"
)


@dataclass(frozen=True)
class Verification:
    """What was compared: a row for each input, at least one of them with a comparison.

    Of no row may anything be `judged`: then nothing is known of the model.
    """

    rows: tuple[Row, ...]
    tolerance: float
    provider: str
    """Where ONNX Runtime ran the model."""
    source: str
    """What was fed: the file, or how it was drawn."""
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Comparison | None:
        """The first blob that departs, None where all agree."""
        return next((row.first for row in self.rows if row.first is not None), None)

    @property
    def judged(self) -> bool:
        """Whether anything was judged."""
        return any(row.judged for row in self.rows)

    @property
    def reasons(self) -> list[str]:
        """Why inputs, or some of their blobs, were not judged: a sentence for each reason."""
        by_reason: dict[str, list[str]] = {}
        for row in self.rows:
            for reason in dict.fromkeys(i.unjudged for i in row.comparisons if i.unjudged):
                by_reason.setdefault(reason, []).append(row.input)
        return [f"not judged on {', '.join(names)}: {why}" for why, names in by_reason.items()]

    def as_dict(self) -> dict[str, Any]:
        """As `zoo verify --json` prints it."""
        first = self.first
        return {
            "ok": first is None and self.judged,
            "tolerance": self.tolerance,
            "provider": self.provider,
            "input": self.source,
            "feeds": {name: list(array.shape) for name, array in self.rows[0].feeds.items()},
            "inputs": [row.as_dict() for row in self.rows],
            "comparisons": [item.as_dict() for row in self.rows for item in row.comparisons],
            "first_departure": first.as_dict() if first else None,
            "notes": list(self.notes),
        }


def verify(
    net: Path,
    model: Path,
    weights: Path | None = None,
    *,
    inputs: Path | None = None,
    tolerance: float | None = None,
    phase: str | None = None,
    stages: Sequence[str] = (),
    provider: str = "cpu",
    mean: str | None = None,
    plugins: Sequence[Path] = (),
    lenient: bool = False,
    seed: int = 0,
    against: str | None = None,
    opencv: Path | None = None,
    warn: Callable[[str], None] | None = None,
) -> Verification:
    """Feed a network, rebuilt in PyTorch, and the ONNX file made of it the same, and compare.

    What is fed are the blobs of the .npz `inputs` (N×C×H×W; pixels as N×H×W×C uint8), whose outputs
    are compared as well, or one input for each kind of `probes.KINDS`, drawn by `seed`. `tolerance`
    is relative to a blob's largest magnitude (default `comparison.TOLERANCE`); `mean` is what a
    model that takes pixels subtracts. `phase` is by default ``test``, of a definition for training
    alone its TRAIN layers, as they are converted. `against` is one of `WITNESSES`, who is asked as
    well: OpenCV 4, which a folder `opencv` of packages may hold.

    Raises ZooError where there is nothing to compare: another network's model, inputs that do not
    fit, a witness that cannot. A departure is no error, but `Verification.first`, nor is it one
    that nothing could be `judged`.
    """
    import converters
    import prototxt
    from converters.preprocessing import stated

    check_witness(against, opencv)
    limit = comparison.TOLERANCE if tolerance is None else tolerance
    check_operators(model)
    loaded = as_converted.load(model, provider)
    for path in plugins:
        converters.load_plugin(path)
    written = prototxt.read_net(net, lenient=lenient, warn=warn)
    read = written.select((phase or "test").upper(), (*written.stages, *stages))
    part = loaded.metadata.get("zoo.part")
    pixels = pixel_feed(loaded, mean, stated(read))
    given_in, fed, given_out = feeds.given(inputs, loaded, pixels) if inputs else ({}, {}, {})
    fixed = feeds.fixed_shapes(loaded, given_in, pixels)
    rebuilt = converters.convert(
        read if phase else written,
        weights,
        stages=() if phase else stages,
        shapes=(fixed if not part or pixels else None) or None,
        open_dims=False,
        # A part's outputs are told by the split, not by the network.
        outputs=None if part else [spec.name for spec in loaded.outputs],
        seed=seed,
        lenient=lenient,
        warn=warn,
    )
    read, whole = rebuilt.definition, rebuilt.graph
    graph = feeds.part_of(whole, part)
    check_inputs(graph, loaded, net)
    # Given outputs are something to compare with even where the network cannot be rebuilt.
    rebuild = not given_out or extras.installed("torch")
    notes = [] if rebuild else [WITHOUT_TORCH.format(install=extras.PACKAGES["torch"].install)]
    asked = witness.opencv(read, graph, weights, opencv) if against else contextlib.nullcontext()
    with asked as third:
        verifier = Verifier(graph, loaded, model, limit, rebuild, third)
        if inputs:
            rows = [verifier.check("the given input", given_in, fed, given_out)]
        else:
            rows = []
            for kind in probes.KINDS:
                drawn, fed = feeds.drawn(kind, whole, graph, loaded, seed, pixels)
                rows.append(verifier.check(kind, drawn, fed))
        if third is not None:
            notes += third.notes([value.name for value in graph.outputs])
    if not any(row.comparisons for row in rows):
        raise ZooError(
            "no output blob that both sides have",
            subject=inputs or model,
            remedy=f"the model's are {', '.join(spec.name for spec in loaded.outputs)}",
        )
    source = str(inputs) if inputs else f"drawn, seed {seed}"
    return Verification(tuple(rows), limit, loaded.provider, source, tuple(notes))


def check_witness(against: str | None, opencv: Path | None) -> None:
    """UsageError for a witness that is none, or a folder for one that nobody asks."""
    if against is not None and against not in WITNESSES:
        raise UsageError(
            "no such witness",
            subject=Argument("against", against),
            remedy=f"there is {', '.join(WITNESSES)}",
        )
    if opencv is not None and against is None:
        raise UsageError(
            "nobody asks OpenCV",
            subject=Argument("opencv"),
            remedy=Sentence("give ", Argument("against", "opencv")),
        )


def check_operators(model: Path) -> None:
    """ZooError where the model decides while it runs what it does.

    No conversion writes that, and what it does of a few inputs would tell nothing of others.
    """
    from runtime.onnx_files import read_model

    if any(node.op_type == "If" for node in read_model(model, weights=False).graph.node):
        raise ZooError(
            "has a branch (If), which no conversion writes: what it computes may be another thing "
            "for other inputs",
            subject=model,
            remedy="give the model that was converted",
        )


def check_inputs(graph: Graph, model: Model, net: Path) -> None:
    """ZooError where the model's inputs are not the network's."""
    ours = sorted(value.name for value in graph.inputs)
    theirs = sorted(spec.name for spec in model.inputs)
    if ours != theirs:
        raise ZooError(
            f"its inputs are {', '.join(ours)}, the model's {', '.join(theirs)}",
            subject=net,
            remedy="give the model that was converted from it",
        )
