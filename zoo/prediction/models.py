"""Which model is meant: a file, a name of a hub, or a Caffe network that is converted meanwhile."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prototxt.errors import Argument, Sentence, UsageError
from prototxt.kinds import kind_of_content
from prototxt.preprocessing import Preprocessing
from prototxt.tasks import task_stated
from zoo.errors import HubError

if TYPE_CHECKING:
    from zoo.hub.places import HubAddress

__all__ = ["located", "model_file", "task_of"]


@contextlib.contextmanager
def model_file(
    model: str,
    weights: Path | None = None,
    *,
    given: Preprocessing | None = None,
    labels: Sequence[str] = (),
    hub: HubAddress = None,
    offline: bool = False,
) -> Iterator[tuple[Path, list[str]]]:
    """The ONNX file of a model while the block runs, and what a person should know of it.

    `model` is an ONNX file, a Caffe definition (with its `weights`), or NAME or NAME@VERSION of a
    hub. ZooError in one line where it is none of them.
    """
    path = Path(model)
    if path.is_file() and kind_of_content(path) == "definition":
        import converters

        conversion = converters.convert(path, weights, preprocessing=given, labels=labels)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{path.stem}.onnx")
            conversion.save(file)
            yield file, [*conversion.notes]
        return
    if weights is not None:
        raise UsageError(
            Sentence(Argument("weights"), " is for a Caffe definition"),
            remedy="name the .prototxt that they belong to",
        )
    if path.exists() or path.suffix in (".onnx", ".prototxt") or len(path.parts) > 1:
        yield path, []
        return
    instead = "name a file: MODEL.onnx, or NET.prototxt and its weights"
    found = located(model, instead, hub, offline)
    yield found, []


def located(
    name: str, instead: str, hub: HubAddress, offline: bool, encoder: str | None = None
) -> Path:
    """As `zoo.hub.locate`; where the hub has none, the error says what to do `instead`."""
    from zoo.hub import locate

    try:
        return locate(name, hub, offline, encoder=encoder)
    except HubError as error:
        there = (error.remedy, "; or ") if error.remedy else ()
        raise HubError(
            error.message,
            subject=error.subject,
            position=error.position,
            remedy=Sentence(*there, instead),
        ) from None


def task_of(path: Path) -> str:
    """What the model in a file is for: `runtime.task_of`, without running it."""
    from runtime.onnx_files import read_model
    from zoo.inspection import onnx_model
    from zoo.inspection.onnx_model import Tensor

    model = read_model(path, weights=False)
    stated = {str(item.key): str(item.value) for item in model.metadata_props}
    taken, given = (
        [Tensor(v["name"], tuple(v["shape"]), v["dtype"]) for v in map(onnx_model.value, infos)]
        for infos in (model.graph.input, model.graph.output)
    )
    return task_stated(stated, taken, given)
