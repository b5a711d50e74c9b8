"""The matrix network x target x runtime: `python -m tests.runtimes.matrix` writes docs/runtimes.md.

Of the networks that come with the package, and of published ones where ../shared has them. Figures
are the largest difference from ONNX Runtime, relative to the output's largest magnitude.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

import converters
from prototxt.files import atomic_write
from zoo.benchmarks import networks
from zoo.checking.runtimes import RUNTIMES, Answer, across
from zoo.paper import architectures

ROOT = Path(__file__).resolve().parents[2]
TRAINED = ROOT.parent / "shared" / "caffe" / "trained"
ARCHES = ("8_8_8", "16_16_16", "12_24_48", "64_64_64")
OTHERS = tuple(name for name in RUNTIMES if name != "onnxruntime")
HEAD = """# In other runtimes

What OpenVINO and OpenCV 5 make of our files, beside ONNX Runtime: the largest difference of an
output, relative to its largest magnitude, on one input. Made by
`python -m tests.runtimes.matrix` on {date} ({versions}).
`zoo verify MODEL.onnx --runtime onnxruntime,openvino,opencv` does so for a file or folder of yours.

Without `--target` a file is written as `portable`. The others are for ONNX Runtime alone: `cpu` has
`MaxUnpool`, which OpenVINO and OpenCV have not, and both let a 1×1 convolution pad, which OpenCV
ignores (squeezenet).

"""


def models(folder: Path) -> Iterator[tuple[str, str, Path, Path]]:
    """Name, target, model and what it is fed."""
    for arch in ARCHES:
        files = networks.tunnel(arch, architectures.SIZE, folder)
        rng = np.random.default_rng(0)
        x = rng.normal(0, 60, (1, 3, architectures.SIZE, architectures.SIZE)).astype(np.float32)
        yield from written(arch, files.net, files.caffemodel, {"data": x}, folder)
    for path in sorted(TRAINED.glob("*/net.prototxt")):
        graph = converters.convert(path, path.with_suffix(".caffemodel")).graph
        rng = np.random.default_rng(0)
        drawn = {v.name: rng.random(v.nominal or v.shape, np.float32) for v in graph.inputs}
        io = path.with_name("io.npz")
        if io.exists():
            with np.load(io) as stored:
                drawn = {k[3:]: stored[k] for k in stored.files if k.startswith("in.")}
        name = path.parent.name
        yield from written(name, path, path.with_suffix(".caffemodel"), drawn, folder)


def written(
    name: str, net: Path, weights: Path, feeds: dict[str, np.ndarray], folder: Path
) -> Iterator[tuple[str, str, Path, Path]]:
    inputs = folder / f"{name}.npz"
    np.savez(inputs, **feeds)  # type: ignore[arg-type]
    graph = converters.fold(converters.convert(net, weights).graph)
    for target in converters.FORMS:
        model = folder / f"{name}.{target}.onnx"
        onnx.save(converters.to_onnx(graph, target=target), model)
        yield name, target, model, inputs


def cell(answer: Answer) -> str:
    if answer.absent:
        return "not installed"
    if answer.comparison is None:
        return "refuses"
    figure = f"{answer.comparison.max_rel:.0e}"
    return figure if answer.agrees else f"**{figure}**"


def main() -> None:
    found: dict[tuple[str, str], dict[str, Answer]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, target, model, inputs in models(Path(folder)):
            for answer in across(model, OTHERS, inputs=inputs):
                found.setdefault((name, answer.runtime), {})[target] = answer
    targets = list(converters.FORMS)
    versions = {a.runtime: a.version for row in found.values() for a in row.values() if a.version}
    lines = [f"| network | runtime | {' | '.join(targets)} |", "| --- | --- |" + " --- |" * 3]
    for (name, runtime), row in found.items():
        cells = " | ".join(cell(row[target]) for target in targets)
        lines.append(f"| {name} | {runtime} | {cells} |")
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    head = HEAD.format(date=datetime.datetime.now(datetime.UTC).date(), versions=said)
    atomic_write(ROOT / "docs/runtimes.md", head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
