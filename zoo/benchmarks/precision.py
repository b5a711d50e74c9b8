"""The `precision` suite: networks in float32, float16 and int8: size, speed, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Argument, Sentence, UsageError, ZooError
from prototxt.preprocessing import Preprocessing

from .crew import Measurement, compete
from .networks import caffe_files, embedded_preprocessing

if TYPE_CHECKING:
    from zoo.precision.cost import Cost

__all__ = ["Network", "Photographs", "Settings", "rows", "run"]

FLOAT32 = "float32"
EVERY = 5
"""Which part of the images int8 is calibrated on where no others are given: every fifth."""


@dataclass(frozen=True)
class Network:
    """A Caffe network to measure."""

    name: str
    net: Path
    weights: Path | None
    how: Preprocessing = field(default_factory=Preprocessing)
    """How images become its input."""
    labels: Path | None = None
    """A classifier's classes, in the order of its outputs, one a line.

    An image's own is told by its name or its folder's (`zoo.prediction.truth.classes_of`).
    """


@dataclass(frozen=True)
class Settings:
    """How long to measure, and on which images."""

    threads: int
    rounds: int = 9
    turn: float = 0.4
    provider: str = "cpu"
    side: int = 128
    data: str = ""
    """Name of the images that accuracy is measured over."""
    images: int = 0
    calibrated_on: str = ""
    """Name of the images that int8 takes its ranges of."""
    calibration_images: int = 0

    @property
    def target(self) -> str:
        """What models are written for."""
        return "cpu" if self.provider == "cpu" else "cuda"


@dataclass(frozen=True)
class Photographs:
    """The images that accuracy is measured over, and those that int8 takes its ranges of."""

    measured: Sequence[Path]
    calibration: Sequence[Path]
    names: tuple[str, str]
    """What both are called."""

    @classmethod
    def of(cls, data: Path | None = None, calibrate: Path | None = None) -> Photographs:
        """Those of two folders.

        Without `calibrate` every fifth image of `data` is for calibration alone, without `data`
        the sample photographs are for both.
        """
        import runtime
        from runtime.images import sample_paths
        from zoo.precision.sampling import MOST, chosen_of

        if data is None:
            if calibrate is not None:
                raise UsageError(
                    Sentence(Argument("calibrate"), " without ", Argument("data")),
                    remedy="give the images that accuracy is measured over as well",
                )
            paths = sample_paths()
            return cls(paths, paths, ("the sample photographs",) * 2)
        paths = runtime.list_images(data)
        name = data.resolve().name
        if calibrate is not None:
            chosen = chosen_of(runtime.list_images(calibrate), MOST)
            return cls(paths, chosen, (name, calibrate.resolve().name))
        if len(paths) < EVERY:
            raise ZooError(
                f"{len(paths)} images are too few to calibrate on some and measure over others",
                subject=data,
                remedy=Sentence("give others with ", Argument("calibrate"), " DIR"),
            )
        measured = [path for place, path in enumerate(paths) if place % EVERY]
        return cls(measured, chosen_of(paths[::EVERY], MOST), (name, f"others of {name}"))

    def told(self) -> dict[str, Any]:
        """Names and numbers, as `Settings` has them."""
        data, calibrated_on = self.names
        return {
            "data": data, "images": len(self.measured),
            "calibrated_on": calibrated_on, "calibration_images": len(self.calibration),
        }  # fmt: skip


def run(
    folder: Path,
    arches: Sequence[str],
    network: Network | None,
    batches: Sequence[int],
    photographs: Photographs,
    settings: Settings,
    on_round: Callable[[], object] = lambda: None,
) -> list[dict[str, Any]]:
    """Rows of the paper's networks in `arches`, and of another one."""
    subjects = []
    for name in arches:
        files, _ = caffe_files(name, settings.side, folder)
        how = Preprocessing(embedded_preprocessing(name).mean)
        subjects.append(Network(name, files.net, files.caffemodel, how))
    result = []
    for subject in [*subjects, *([network] if network is not None else [])]:
        result += measure(subject, batches, photographs, settings, folder, on_round)
    return result


def measure(
    network: Network,
    batches: Sequence[int],
    photographs: Photographs,
    settings: Settings,
    folder: Path,
    on_round: Callable[[], object],
) -> list[dict[str, Any]]:
    """The rows of one network; its models are written into `folder`."""
    import dataclasses

    import converters
    import runtime
    from prototxt.labels import read_labels
    from zoo.precision import sampling, saving
    from zoo.precision.cost import measure as cost_of
    from zoo.prediction.truth import classes_of

    conversion = converters.convert(
        network.net, network.weights, preprocessing=network.how, target=settings.target
    )
    paths = {name: folder / f"{name}.onnx" for name in saving.PRECISIONS}
    conversion.save(paths[FLOAT32])
    before = runtime.load(paths[FLOAT32], settings.provider)
    sample, _ = sampling.photographs(before, photographs.measured, most=None)
    if network.labels is not None:
        named = read_labels(network.labels)
        classes = classes_of(photographs.measured, named, photographs.measured[0].parent)
        sample = dataclasses.replace(sample, classes=classes)
    costs: dict[str, Cost] = {}
    absent: dict[str, str] = {}
    for name in saving.PRECISIONS:
        if name == FLOAT32:
            continue
        try:
            saved = saving.save(
                conversion, paths[name], name, photographs.calibration, settings.provider
            )
        except converters.ConversionError as error:
            absent[name] = error.message
            continue
        assert saved.cost is not None
        costs[name] = cost_of(
            before,
            runtime.load(paths[name], settings.provider),
            sample,
            precision=name,
            sizes=saved.cost.bytes,
            kept=saved.cost.kept,
            layers=saved.cost.layers,
        )
    result = []
    ((given, array),) = sample.feeds[0].items()
    fixed = next(spec.shape[0] for spec in before.inputs if spec.name == given)
    for batch in [fixed] if isinstance(fixed, int) else batches:
        shape = [batch, *array.shape[1:]]
        specs = {
            name: {
                "kind": "onnxruntime", "model": str(path), "shape": shape,
                "threads": settings.threads, "provider": settings.provider,
            }
            for name, path in paths.items() if name not in absent
        }  # fmt: skip
        found = compete(specs, settings.threads, settings.rounds, settings.turn, on_round)
        found |= {name: Measurement(absent=why) for name, why in absent.items()}
        result += rows(network.name, batch, found, costs)
    return result


def rows(
    network: str, batch: int, found: Mapping[str, Measurement], costs: Mapping[str, Cost]
) -> list[dict[str, Any]]:
    """Figures of each precision; `ratio` is how many times as long as float32 it takes."""
    base = found[FLOAT32].seconds
    any_cost = next(iter(costs.values()), None)
    result = []
    for name, one in found.items():
        timing, cost = one.seconds, costs.get(name)
        kind, values = accuracy(cost or any_cost)
        row: dict[str, Any] = {
            "network": network,
            "batch": batch,
            "precision": name,
            "absent": one.absent,
            "bytes": None,
            "layers": None,
            "kept": None,
            "seconds": timing.median if timing else None,
            "quartiles": [timing.low, timing.high] if timing else None,
            "ratio": timing.median / base.median if timing and base else None,
            "images_per_second": batch / timing.median if timing else None,
            "measure": kind,
            "value": None,
            "change": None,
            "switches": None,
            "flipped": None,
            "largest": None,
            "mean": None,
            "magnitude": None,
            "departure": None,
            "worse": [],
        }
        if name == FLOAT32 and any_cost is not None:
            row |= {"bytes": any_cost.bytes[0], "layers": any_cost.layers, "value": values[0]}
            row |= {"kept": any_cost.layers}
        elif cost is not None:
            worst = max(cost.outputs, key=lambda output: output.departure)
            row |= {
                "bytes": cost.bytes[1],
                "layers": cost.layers,
                "kept": len(cost.kept),
                "value": values[1],
                "change": None if values[1] is None else values[1] - values[0],
                "switches": cost.switches,
                "flipped": cost.flipped,
                "largest": worst.largest,
                "mean": worst.mean,
                "magnitude": worst.magnitude,
                "departure": worst.departure,
                "worse": list(cost.worse),
            }
        result.append(row)
    return result


def accuracy(cost: Cost | None) -> tuple[str | None, tuple[Any, Any]]:
    """What a network is judged by, and that of float32 and of fewer bits."""
    if cost is not None and cost.top1 is not None:
        return "top-1", cost.top1
    if cost is not None and cost.rmse is not None:
        return "RMSE", cost.rmse
    if cost is not None and cost.same_class is not None:
        return "same class", (1.0, cost.same_class)
    return None, (None, None)
