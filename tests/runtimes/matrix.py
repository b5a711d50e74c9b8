"""The matrix network x target x runtime: `python -m tests.runtimes.matrix` writes docs/runtimes.md.

Of the networks that come with the package, and of published ones where ../shared has them. Figures
are the largest difference from ONNX Runtime, relative to the output's largest magnitude. A runtime
that is not here keeps no rows.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

import converters
import runtime
from prototxt.files import atomic_write
from zoo.benchmarks import networks
from zoo.checking.runtimes import RUNTIMES, Answer, across
from zoo.paper import architectures
from zoo.precision import saving
from zoo.precision.cost import Sample

ROOT = Path(__file__).resolve().parents[2]
TRAINED = ROOT.parent / "shared" / "caffe" / "trained"
ARCHES = ("8_8_8", "16_16_16", "12_24_48", "64_64_64")
OTHERS = tuple(name for name in RUNTIMES if name != "onnxruntime")
FEWER = tuple(name for name in saving.PRECISIONS if name != "float32")
HEAD = """# In other runtimes

What OpenVINO, OpenCV 5 and onnxruntime-web make of our files, beside ONNX Runtime: the largest
difference of an output, relative to its largest magnitude, on one input. Made by
`python -m tests.runtimes.matrix` on {date} ({versions}).
`zoo verify MODEL.onnx --runtime onnxruntime,openvino,opencv,onnxruntime-web` does so for a file or
folder of yours. onnxruntime-web is its WebAssembly with one thread, run by node, which looks for
the package where `npm install onnxruntime-web` puts it: in the current folder or above it, or in
the folders that `NODE_PATH` names. Its WebGPU runs in the tests of the gallery alone.

Without `--target` a file is written as `portable`. The others are for ONNX Runtime alone: `cpu` has
`MaxUnpool`, which OpenVINO and OpenCV have not, and both let a 1×1 convolution pad, which OpenCV
ignores (squeezenet). onnxruntime-web runs all of them.

`float16` and `int8` are written as `portable`, with fixed sizes, and calibrated on that very input.
Each runtime rounds there in its own way: a number beside a step of int8 falls on either side of it,
and the layers that follow make more of that. Switches are exact in all of them. Where height and
width are open, OpenVINO miscomputes int8 before an unpooling, by more than the image itself: for it
fix them with `--shape`.

"""


def models(folder: Path) -> Iterator[tuple[str, str, Path, Path]]:
    """Name, target or precision, model and what it is fed."""
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
    fixed = converters.convert(net, weights, shapes={k: x.shape for k, x in feeds.items()})
    whole = fixed.to_onnx()
    loaded = runtime.load(whole.SerializeToString(), "cpu")
    switches = [spec.name for spec in loaded.outputs if spec.dtype == "int64"]
    sample = Sample([feeds], [], None, (1, 1), "its input")
    for precision in FEWER:
        model = folder / f"{name}.{precision}.onnx"
        try:
            lowered, _, _ = saving.lower(whole, precision, switches, sample, loaded)
        except converters.ConversionError as error:
            sys.stderr.write(f"{name}: {error}\n")
            continue
        onnx.save(lowered, model)
        yield name, precision, model, inputs


def cell(answer: Answer | None, exact: bool) -> str:
    """The figure; bold where it differs, but for what rounding makes of fewer bits."""
    if answer is None:
        return ""
    if answer.comparison is None:
        return "refuses"
    figure = f"{answer.comparison.max_rel:.0e}"
    return figure if answer.agrees or not exact else f"**{figure}**"


def main() -> None:
    found: dict[tuple[str, str], dict[str, Answer]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, form, model, inputs in models(Path(folder)):
            for answer in across(model, OTHERS, inputs=inputs):
                if answer.absent:
                    sys.stderr.write(f"{answer.absent}\n")
                    continue
                found.setdefault((name, answer.runtime), {})[form] = answer
                if answer.refuses:
                    sys.stderr.write(f"{name}, {form}, {answer.runtime}: {answer.refuses}\n")
    columns = [*converters.FORMS, *FEWER]
    versions = {a.runtime: a.version for row in found.values() for a in row.values() if a.version}
    lines = [f"| network | runtime | {' | '.join(columns)} |", "| --- | --- |" + " --- |" * 5]
    for (name, where), row in found.items():
        cells = " | ".join(cell(row.get(form), form not in FEWER) for form in columns)
        lines.append(f"| {name} | {where} | {cells} |")
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    head = HEAD.format(date=datetime.datetime.now(datetime.UTC).date(), versions=said)
    atomic_write(ROOT / "docs/runtimes.md", head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
