"""A network of the paper over images: its RMSE beside the published one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Argument, Sentence, ZooError
from zoo.data.sources import evaluated_images
from zoo.paper import architectures
from zoo.paper.models import open_model
from zoo.paper.report import write_report
from zoo.progress import OnProgress, counted, unheard

if TYPE_CHECKING:
    from prototxt.preprocessing import Size
    from runtime import Evaluation, Model

__all__ = ["Evaluated", "evaluate"]


@dataclass(frozen=True)
class Evaluated:
    """What was measured (RMSE over pixels in [0,1]), of what, and what the paper has for it."""

    outcome: Evaluation
    arch: str | None
    pretrained: bool
    """Whether the published figure is that of the encoder pretrained for classification."""
    model: Path
    data: str
    plane: Size
    """Height and width of the images."""
    provider: str
    untrained: bool
    notes: tuple[str, ...]
    report: tuple[Path, ...] = ()
    """Files of the report, if there was to be one."""

    @property
    def published(self) -> float | None:
        """The paper's RMSE, over other images."""
        return architectures.published(self.arch, self.pretrained) if self.arch else None

    def as_dict(self) -> dict[str, Any]:
        """As `zoo eval --json` prints it, and the hub reads it."""
        from runtime.metrics import psnr

        encoder = "pretrained" if self.pretrained else "random"
        outcome, arch = self.outcome, self.arch
        found = {
            "rmse": round(outcome.rmse, 6),
            "psnr": round(psnr(outcome.rmse), 4),
            "ssim": None if outcome.ssim is None else round(outcome.ssim, 6),
            "published": self.published,
            "published_encoder": encoder if self.published else None,
            "bits_per_pixel": architectures.bits_per_pixel(arch) if arch else None,
            "images": outcome.images,
            "skipped": len(outcome.skipped),
            "arch": arch,
            "model": str(self.model),
            "data": self.data,
            "size": list(self.plane),
            "provider": self.provider,
            "seconds": round(outcome.seconds, 3),
            "images_per_second": round(outcome.images_per_second, 1),
            "notes": list(self.notes),
        }
        return found | ({"report": [str(path) for path in self.report]} if self.report else {})


def evaluate(
    path: Path,
    arch: str | None = None,
    data: Path | None = None,
    *,
    held_out: int = 0,
    limit: int | None = None,
    pretrained: bool = False,
    mean: str | None = None,
    size: Size | None = None,
    provider: str = "auto",
    batch: int = 16,
    report: Path | None = None,
    spell: Callable[[str], str] = str,
    on_progress: OnProgress = unheard,
) -> Evaluated:
    """Measure the model in an ONNX file over images.

    `data` is a folder, one image, an LMDB, or None for sample photographs; taken are those that
    `held_out` leaves out of training, at most `limit`.

    `size` is height and width that images are resized to, `batch` how many run at a time. With
    `report` a folder gets report.md, report.json and pictures. `spell` says how the notes call
    arguments (`prototxt.errors.Sentence`). ZooError where the model is of
    another arch than `arch` or reconstructs no image, or where no image can be read.
    """
    import runtime
    from converters.metadata import untrained

    opened = open_model(path, provider, mean, size)
    model = opened.model
    arch = agreed_arch(arch, model, path)
    images, notes, name = evaluated_images(data, held_out)
    images = images[:limit]
    outcome = runtime.evaluate(
        model,
        images,
        opened.mean,
        size=opened.plane,
        batch=batch,
        on_progress=counted(on_progress, len(images)),
    )
    found = Evaluated(
        outcome,
        arch,
        pretrained,
        path,
        name,
        opened.plane,
        model.provider,
        bool(untrained(model.metadata)),
        tuple(map(spell, (*notes, *opened.notes))),
    )
    if report is None:
        return found
    files = write_report(report, found.as_dict(), outcome, images, model, opened.how, opened.plane)
    return dataclasses.replace(found, report=tuple(files))


def agreed_arch(arch: str | None, model: Model, path: Path) -> str | None:
    """The arch that the user and the model agree on; ZooError where they contradict."""
    stated = model.metadata.get("zoo.arch")
    task = model.metadata.get("zoo.task", "reconstruct")
    if task in ("classify", "detect", "segment"):
        doing = {"classify": "classifies", "detect": "detects", "segment": "segments"}[task]
        raise ZooError(
            f"{doing}, and reconstructs no image",
            subject=path,
            remedy="convert a `net*` definition",
        )
    if arch is not None and stated is not None and arch != stated:
        raise ZooError(
            f"is the paper's {stated}, not {arch}",
            subject=path,
            remedy=Sentence("mend ", Argument("arch"), " or ", Argument("model")),
        )
    return arch or stated
