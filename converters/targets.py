"""For which runtimes a model can be written, and in which form of its operators.

One table: the layers ask a form (`OnnxBuilder.form`), nobody asks for a target's name. What a
runtime computes was seen by running it, or read in its own list of operators; `proof` says which.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_TARGET", "FORMS", "TARGETS", "Form", "Target"]


@dataclass(frozen=True)
class Form:
    """How operators are written where runtimes differ. Every form gives the same numbers."""

    name: str
    switches: str
    """Of windows that are no pairs (2×2, side by side): ``MaxPool``'s indices, or ``ArgMax``."""
    unpooling: str
    """``MaxUnpool``, ``ScatterElements``, or ``Where``: a comparison for each place."""
    lrn: str
    """Across channels: ``LRN``, or ``AveragePool`` and arithmetic, faster on CPUs."""
    narrow: str
    """Convolutions of few outputs: ``Conv``, or ``DepthToSpace`` of four places at a time."""
    padding: str
    """Of 1×1 convolutions: in ``Conv`` itself, or by a ``Pad`` before it."""
    tanh: str
    """``Tanh``, or ``Clip`` before it, to where it is ±1 already."""


CPU = Form("cpu", "MaxPool", "MaxUnpool", "AveragePool", "DepthToSpace", "Conv", "Tanh")
CUDA = Form("cuda", "ArgMax", "ScatterElements", "LRN", "Conv", "Conv", "Tanh")
PORTABLE = Form("portable", "ArgMax", "Where", "AveragePool", "Conv", "Pad", "Clip")
FORMS = {form.name: form for form in (CPU, CUDA, PORTABLE)}
"""The forms that there are, by the name of the first target that wants each."""


@dataclass(frozen=True)
class Target:
    """A runtime by its name, the form that it wants, and how that is known."""

    name: str
    form: Form
    runtime: str
    proof: str


RUN = "run: tests/runtimes, tests/gpu"
GALLERY = "run: tests/zoo/gallery, one network, GPU imitated; read: its webgpu-operators.md"
TARGETS = {
    target.name: target
    for target in (
        Target("portable", PORTABLE, "every runtime", RUN),
        Target("cpu", CPU, "ONNX Runtime on a CPU", "run: every test"),
        Target("cuda", CUDA, "ONNX Runtime's CUDA provider", "run: tests/gpu"),
        Target("opencv", PORTABLE, "OpenCV 5 (cv2.dnn)", "run: tests/runtimes"),
        Target("openvino", PORTABLE, "OpenVINO", "run: tests/runtimes"),
        Target("wasm", PORTABLE, "onnxruntime-web, WebAssembly", "run: tests/runtimes, in node"),
        Target("webgpu", PORTABLE, "onnxruntime-web, WebGPU", GALLERY),
        Target("tensorrt", PORTABLE, "TensorRT", "read: onnx-tensorrt's operators.md, 8.4"),
        Target("coreml", PORTABLE, "Core ML, by ONNX Runtime's provider", "by the form alone"),
    )
}
"""By name. `proof` says whether models were run there, and by what; or in which list of operators
it was read that the runtime has what the form uses; what WebGPU lacks, its host runs on the CPU.
"""
DEFAULT_TARGET = PORTABLE.name
"""What a model is written for where no runtime is named: right in every one."""
