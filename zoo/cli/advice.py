"""What `zoo convert` ends with: how images are fed, what of that is unknown, what is next."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converters.conversion import WrittenModel
    from zoo.cli.console import Printer

UNKNOWN = {
    "mean": "--mean b,g,r or FILE (0 where nothing is subtracted)",
    "labels": "--labels FILE, the names of its classes",
}
"""What a model may not tell, and the option that says it."""
CLASSES = ("classify", "detect", "segment")


def advice(written: WrittenModel, net: Path, weights: Path | None) -> dict[str, Any]:
    """`task`, `preprocessing`, `fed`, `unknown`, `next` and `python`, as `--json` prints them.

    `preprocessing` is None of a network that takes something else than one image, `python` empty of
    one that takes nothing.
    """
    from prototxt.preprocessing import Preprocessing
    from zoo.inspection import onnx_model
    from zoo.inspection.onnx_model import Tensor
    from zoo.inspection.programs import keeps_size, snippet

    stated = {item.key: item.value for item in written.proto.metadata_props}
    image = "zoo.preprocessing" in stated
    how = Preprocessing.from_metadata(stated)
    task = stated["zoo.task"]
    unknown = ["mean"] if image and how.mean is None and not how.in_model else []
    unknown += ["labels"] if task in CLASSES and "zoo.labels" not in stated else []
    model = shlex.quote(str(written.path))
    verify = ["zoo verify", shlex.quote(str(net))]
    verify += ["--weights", shlex.quote(str(weights))] if weights else []
    commands = [" ".join([*verify, model])]
    commands += [f"zoo run {model} photo.jpg"] if image else [f"zoo run {model} inputs.npz"]
    taken, given = (
        [Tensor(v["name"], tuple(v["shape"]), v["dtype"]) for v in map(onnx_model.value, infos)]
        for infos in (written.proto.graph.input, written.proto.graph.output)
    )
    if taken and keeps_size(stated, taken[0].shape):
        how = dataclasses.replace(how, input_size=None)
    program = snippet(stated, taken, given, str(written.path)) if taken else ""
    return {
        "weights": str(weights) if weights else None,
        "task": task,
        "preprocessing": how.as_dict() if image else None,
        "fed": how.told() if image else None,
        "unknown": unknown,
        "next": commands,
        "python": program,
    }


def shown(found: dict[str, Any]) -> list[tuple[str, Any]]:
    """The same for people, a pair a line."""
    pairs: list[tuple[str, Any]] = [("task", found["task"])]
    if found["fed"]:
        pairs.append(("fed", f"images, {found['fed']}"))
    if found["unknown"]:
        pairs.append(("unknown", [f"{name}: give {UNKNOWN[name]}" for name in found["unknown"]]))
        if "mean" in found["unknown"]:
            others = "--scale, --crop and --channel-order, where it was trained with such"
            pairs[-1][1].append(f"perhaps more: {others}")
    return pairs


def show_next(say: Printer, found: dict[str, Any]) -> None:
    """The commands that come next, and a program that runs the model."""
    say.line()
    for command in found["next"]:
        say.line(f"next: {command}")
    if found["python"]:
        say.line("or in Python:")
        say.line()
    for line in found["python"].splitlines():
        say.line(f"    {line}" if line else "")
