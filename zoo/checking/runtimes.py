"""One model in several runtimes, and where their answers part from ONNX Runtime's.

Each runs in a process of its own, `python -m zoo.checking.runtimes RUNTIME MODEL.onnx IN.npz
OUT.npz`: what ends a process ends no other. It answers one line of JSON: `version` with `failed`,
or `absent`, which say why.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import Argument, Sentence, UsageError, ZooError
from prototxt.preprocessing import Preprocessing
from zoo.checking import web_runtime
from zoo.checking.comparison import TOLERANCE, Blobs, Comparison, compare
from zoo.processes import environment

if TYPE_CHECKING:
    from runtime import Model

__all__ = ["RUNTIMES", "Answer", "Unavailable", "across", "drawn", "models_in"]

REFERENCE = "onnxruntime"
SECONDS = 600
"""For which a runtime may compute."""


class Unavailable(Exception):
    """A runtime that is not installed; says what brings it."""


@dataclass(frozen=True)
class Answer:
    """What one runtime makes of a model."""

    model: str
    runtime: str
    version: str = ""
    refuses: str = ""
    """Why it does not run the model, in its own words."""
    absent: str = ""
    """Why the runtime is not here."""
    comparison: Comparison | None = None
    """Of the output that lies farthest from ONNX Runtime's."""

    @property
    def agrees(self) -> bool:
        """Whether it ran the model, to the same numbers."""
        return self.comparison is not None and self.comparison.ok

    @property
    def differs(self) -> bool:
        """Whether it ran the model, to other numbers."""
        return self.comparison is not None and not self.comparison.ok

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, for `--json`."""
        return {**asdict(self), "agrees": self.agrees, "differs": self.differs}


def across(
    model: Path,
    runtimes: Sequence[str],
    *,
    inputs: Path | None = None,
    tolerance: float | None = None,
    seed: int = 0,
) -> list[Answer]:
    """Run an .onnx file in each of `RUNTIMES` that is named, fed the same, and compare outputs.

    Fed are the blobs of the .npz `inputs`, or drawn ones. `tolerance` is relative to an output's
    largest magnitude. Raises ZooError for what ONNX Runtime itself does not run.
    """
    import runtime
    from zoo.checking.feeds import feeds_and_expected

    for name in runtimes:
        if name not in RUNTIMES:
            raise UsageError(
                "no such runtime",
                subject=Argument("runtimes", name),
                remedy=f"there are {', '.join(RUNTIMES)}",
            )
    loaded = runtime.load(model, "cpu")
    feeds = feeds_and_expected(inputs, loaded)[0] if inputs else drawn(loaded, model, seed)
    expected = loaded.run(feeds)
    limit = TOLERANCE if tolerance is None else tolerance
    return [asked(name, model, feeds, expected, limit) for name in runtimes]


def drawn(model: Model, path: Path, seed: int = 0) -> Blobs:
    """Numbers for each input: one image of the model's own size, 64×64 where it states none."""
    rng = np.random.default_rng(seed)
    spread = 64 if "zoo.arch" in model.metadata else 1
    size = Preprocessing.from_metadata(model.metadata).input_size or (64, 64)
    found: Blobs = {}
    for spec in model.inputs:
        if np.issubdtype(model.numbers(spec), np.integer) and spec.dtype != "uint8":
            raise ZooError(
                f"its input {spec.name} takes whole numbers, of which nobody can draw legal ones",
                subject=path,
                remedy=Sentence("give ", Argument("inputs", "IO.npz")),
            )
        opened = iter([*([] if isinstance(next(iter(spec.shape), 1), int) else [1]), *size])
        shape = [d if isinstance(d, int) else next(opened, 64) for d in spec.shape]
        if spec.dtype == "uint8":
            found[spec.name] = rng.integers(0, 256, shape, np.uint8)
        else:
            found[spec.name] = (spread * rng.standard_normal(shape)).astype(spec.dtype)
    return found


def asked(name: str, model: Path, feeds: Blobs, expected: Blobs, tolerance: float) -> Answer:
    """The answer of one runtime, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, **feeds)  # type: ignore[arg-type]
        command = [sys.executable, "-m", "zoo.checking.runtimes", name]
        try:
            done = subprocess.run(
                [*command, str(model), str(given), str(made)],
                capture_output=True,
                text=True,
                env=environment(),
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Answer(str(model), name, refuses=f"not done after {SECONDS} s")
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        said = json.loads(lines[-1]) if lines else {}
        if not said:
            said = {"failed": f"its process ended with status {done.returncode}"}
        version = said.get("version", "")
        if "absent" in said:
            return Answer(str(model), name, absent=said["absent"])
        if "failed" in said:
            return Answer(str(model), name, version, refuses=said["failed"])
        with np.load(made) as found:
            worst = farthest(expected, {key: found[key] for key in found.files}, name, tolerance)
        return Answer(str(model), name, version, comparison=worst)


def farthest(expected: Blobs, found: Blobs, name: str, tolerance: float) -> Comparison:
    """The output that lies farthest from ONNX Runtime's; one of the wrong shape is farther."""
    rows = [
        compare(blob, (name, found[blob]), (REFERENCE, array), tolerance)
        for blob, array in expected.items()
    ]
    return max(rows, key=lambda row: (not row.ok, row.max_rel))


def models_in(path: Path) -> list[Path]:
    """A file, or every .onnx below a folder; ZooError where there is none."""
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("*.onnx"))
    if not found:
        raise ZooError("no .onnx file below it", subject=path)
    return found


def onnxruntime(model: str, feeds: Blobs) -> tuple[str, Blobs]:
    """ONNX Runtime's CPU provider."""
    from runtime.onnx_files import onnxruntime as library

    ort = library()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in session.get_outputs()]
    return ort.__version__, dict(zip(names, session.run(None, feeds), strict=True))


def openvino(model: str, feeds: Blobs) -> tuple[str, Blobs]:
    """OpenVINO on the CPU, in float32."""
    try:
        import openvino as ov
    except ImportError:
        raise Unavailable("OpenVINO is not installed; pip install 'caffe-zoo[runtimes]'") from None
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(model, "CPU", exact)
    found = compiled(feeds)
    names = output_names(model)
    arrays = [np.asarray(found[output]) for output in compiled.outputs]
    return ov.__version__.partition("-")[0], dict(zip(names, arrays, strict=True))


def opencv(model: str, feeds: Blobs) -> tuple[str, Blobs]:
    """OpenCV's dnn module."""
    try:
        import cv2
    except ImportError:
        raise Unavailable("OpenCV is not installed; pip install opencv-python-headless") from None
    net = cv2.dnn.readNetFromONNX(model)
    for name, array in feeds.items():
        net.setInput(array, name)
    names = output_names(model)
    return cv2.__version__, dict(zip(names, net.forward(names), strict=True))


def onnxruntime_web(model: str, feeds: Blobs) -> tuple[str, Blobs]:
    """onnxruntime-web's WebAssembly, under node."""
    if why := web_runtime.missing():
        raise Unavailable(why)
    (answer,) = web_runtime.run([(Path(model), feeds)])
    if isinstance(answer, str):
        raise ZooError(answer)
    return answer


def output_names(model: str) -> list[str]:
    """Of an .onnx file, in its own order."""
    import onnx

    return [value.name for value in onnx.load(model, load_external_data=False).graph.output]


RUNTIMES: dict[str, Callable[[str, Blobs], tuple[str, Blobs]]] = {
    REFERENCE: onnxruntime,
    "openvino": openvino,
    "opencv": opencv,
    web_runtime.PACKAGE: onnxruntime_web,
}
"""By name: from a file and what it is fed to its version and its outputs."""


def main() -> None:
    """The process of the module's docstring."""
    name, model, given, made = sys.argv[1:]
    with np.load(given) as feeds:
        fed = {key: feeds[key] for key in feeds.files}
    said: dict[str, str]
    try:
        version, found = RUNTIMES[name](model, fed)
        np.savez(made, **found)  # type: ignore[arg-type]
        said = {"version": version}
    except Unavailable as error:
        said = {"absent": str(error)}
    except Exception as error:  # a library's own trouble is its answer
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = {"failed": lines[-1] if lines else type(error).__name__}
    sys.stdout.write("\n" + json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
