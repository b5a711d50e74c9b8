"""`zoo verify`: does a model compute what the network does?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prototxt.errors import Argument, Sentence, UsageError, ZooError
from zoo.cli import options
from zoo.cli.options import Provider

if TYPE_CHECKING:
    from zoo.checking.runtimes import Answer
    from zoo.checking.verification import Row
    from zoo.checking.verify import Verification
    from zoo.cli.console import Printer


class Witness(StrEnum):
    """Who may be asked besides."""

    opencv = "opencv"


def verify(
    net: Annotated[
        Path,
        typer.Argument(
            metavar="NET.prototxt|MODEL.onnx|DIR",
            help="The definition; with --runtime a model, or a folder of models.",
        ),
    ],
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL.onnx]", help="What it was converted to.")
    ] = None,
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
    phase: options.PhaseOption = None,
    stage: options.Stages = None,
    provider: options.ProviderOption = Provider.cpu,
    mean: options.Mean = None,
    plugin: options.Plugins = None,
    lenient: options.Lenient = False,
    seed: options.Seed = 0,
    against: Annotated[
        Witness | None,
        typer.Option("--against", help="Ask one more who runs Caffe's files: OpenCV 4."),
    ] = None,
    opencv: options.OpenCV = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            metavar="NAME,...",
            help="Run a model, or a folder's, in each of onnxruntime, openvino, opencv, "
            "onnxruntime-web (under node).",
        ),
    ] = None,
    trust: options.Trust = False,
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
    outputs of --inputs alone. What leaves float32's range is not judged; if nothing can be, the
    exit status is 1 as well. --against opencv compares with what OpenCV 4 makes of Caffe's files.
    --runtime shows what other runtimes make of an ONNX file, beside ONNX Runtime.
    """
    from zoo.checking.verify import verify as compare
    from zoo.cli.console import Printer

    say = Printer(json, quiet)
    if runtime is not None:
        if model is not None:
            raise UsageError("give --runtime a model or a folder, and no definition")
        _across(say, net, runtime.split(","), inputs, tolerance, seed)
        return
    if model is None:
        raise UsageError("give MODEL.onnx as well, or --runtime")
    found = compare(
        net,
        model,
        weights,
        inputs=inputs,
        tolerance=tolerance,
        phase=phase.value if phase else None,
        stages=stage or (),
        provider=provider.value,
        mean=mean,
        plugins=plugin or (),
        lenient=lenient,
        seed=seed,
        against=against.value if against else None,
        opencv=opencv,
        warn=say.warn,
    )
    say.result(found.as_dict())
    _show(say, found)
    if found.first is not None:
        raise ZooError(
            found.first.sentence(),
            subject=model,
            remedy="the model was not made of this definition and these weights, or is wrong",
        )
    if not found.judged:
        raise ZooError(
            f"could not judge it: {found.reasons[0]}",
            subject=model,
            remedy=Sentence("give inputs that it is made for with ", Argument("inputs")),
        )


def _across(
    say: Printer,
    path: Path,
    runtimes: list[str],
    inputs: Path | None,
    tolerance: float | None,
    seed: int,
) -> None:
    from zoo.checking.runtimes import across, models_in

    answers = [
        answer
        for model in models_in(path)
        for answer in across(model, runtimes, inputs=inputs, tolerance=tolerance, seed=seed)
    ]
    say.result({"answers": [answer.as_dict() for answer in answers]})
    say.table(["model", "runtime", "version", "max rel", "says"], [_told(one) for one in answers])
    wrong = next((answer for answer in answers if answer.differs), None)
    if wrong is not None:
        assert wrong.comparison is not None
        raise ZooError(
            wrong.comparison.sentence(),
            subject=wrong.model,
            remedy="convert for every runtime (--target portable), or for this one by its name",
        )


def _told(answer: Answer) -> list[object]:
    far = answer.comparison
    says = answer.absent or (f"refuses: {answer.refuses}" if answer.refuses else "")
    says = says or ("agrees" if answer.agrees else "differs")
    rel = "" if far is None else f"{far.max_rel:.1e}"
    return [Path(answer.model).name, answer.runtime, answer.version, rel, says]


def _show(say: Printer, found: Verification) -> None:
    say.table(
        ["input", "compared", "blobs", "farthest", "max rel", "switches", "rounding", "agrees"],
        [_cells(row) for row in found.rows],
    )
    say.line(
        f"tolerance {found.tolerance:g} of a blob's largest magnitude; "
        f"ONNX Runtime on {found.provider}"
    )
    say.notes([*found.notes, *found.reasons])


def _cells(row: Row) -> list[object]:
    return [
        row.input,
        " / ".join(dict.fromkeys(x for c in row.comparisons for x in (c.left, c.right))),
        len({item.blob for item in row.comparisons}),
        row.worst.blob if row.worst else "",
        f"{max((c.max_rel for c in row.judged if not c.mask), default=0):.3g}",
        sum(int(c.max_abs) for c in row.comparisons if c.mask and not c.shapes),
        sum(item.rounding for item in row.comparisons),
        row.ok if row.judged or not row.ok else "not judged",
    ]
