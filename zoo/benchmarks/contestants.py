"""What can be run: each a function from a spec (plain data) to the call that is timed.

Runs inside a worker, so that every library has a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zoo.checking.opencv_process import Unavailable, caffe_reader

__all__ = ["Unavailable", "make"]

Call = Callable[[], Any]


def make(spec: dict[str, Any]) -> Call:
    """The call of a contestant, whatever it needs being loaded. Raises Unavailable."""
    return KINDS[spec["kind"]](spec)


def feeds(shape: list[int]) -> np.ndarray:
    """Pixels less their mean, the same ones for all."""
    return np.random.default_rng(0).normal(0, 60, shape).astype(np.float32)


def onnx_runtime(spec: dict[str, Any]) -> Call:
    """`model` at `shape`, on `provider`; on a GPU with its inputs and outputs left there."""
    import runtime

    model = runtime.load(spec["model"], spec["provider"], spec["threads"])
    image = feeds(spec["shape"])
    if model.provider != "cpu":
        return bound(model, image)
    given, wanted = {model.inputs[0].name: image}, model.outputs[0].name
    return lambda: model.run(given, [wanted])[wanted]


def plain_onnx_runtime(spec: dict[str, Any]) -> Call:
    """`model` as one opens it without us: a session with all of its options at their defaults."""
    if spec["provider"] != "cpu":
        return onnx_runtime(spec)
    from runtime.onnx_files import onnxruntime

    library = onnxruntime()
    options = library.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = spec["threads"], 3
    session = library.InferenceSession(spec["model"], options, ["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: feeds(spec["shape"])}
    wanted = [session.get_outputs()[0].name]
    return lambda: session.run(wanted, given)[0]


def openvino(spec: dict[str, Any]) -> Call:
    """`model`, written for every runtime, in OpenVINO on the CPU, in float32."""
    import openvino as ov

    core = ov.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": spec["threads"],
        "PERFORMANCE_HINT": "LATENCY",
    }
    net = core.read_model(spec["model"])
    net.reshape(spec["shape"])
    compiled = core.compile_model(net, "CPU", settings)
    place = [output.get_any_name() for output in compiled.outputs].index(spec["output"])
    request, image = compiled.create_infer_request(), feeds(spec["shape"])

    def call() -> np.ndarray:
        request.infer([image])
        return np.asarray(request.get_output_tensor(place).data)

    return call


def bound(model: Any, image: np.ndarray) -> Call:
    """Runs without copies between host and device; gives the first output when it is asked."""
    from runtime.onnx_files import onnxruntime

    session = model._session
    binding = session.io_binding()
    device = "cpu" if model.provider == "cpu" else "cuda"
    value = onnxruntime().OrtValue.ortvalue_from_numpy(image, device, 0)
    binding.bind_ortvalue_input(model.inputs[0].name, value)
    for output in model.outputs:
        binding.bind_output(output.name, device, 0)

    def call() -> np.ndarray | None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        if call.done:  # type: ignore[attr-defined]
            return None
        call.done = True  # type: ignore[attr-defined]
        return np.asarray(binding.copy_outputs_to_cpu()[0])

    call.done = False  # type: ignore[attr-defined]
    return call


def torch_module(spec: dict[str, Any]) -> Call:
    """The rebuild of `net` with the weights in `caffemodel`; with `compiled` by torch.compile."""
    import torch

    import converters

    device = device_of(spec)
    torch.set_num_threads(spec["threads"])
    module: Any = converters.convert(spec["net"], spec["caffemodel"]).to_torch().eval().to(device)
    if spec.get("compiled"):
        module = torch.compile(module)
    image = torch.from_numpy(feeds(spec["shape"])).to(device)
    name = spec["output"]

    @torch.inference_mode()
    def call() -> np.ndarray:
        found = module(image)
        if device != "cpu":
            torch.cuda.synchronize()
        return found[name].cpu().numpy()  # type: ignore[no-any-return]

    return call


def device_of(spec: dict[str, Any]) -> str:
    import torch

    if spec.get("provider", "cpu") == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise Unavailable("this build of torch has no CUDA")
    torch.backends.cudnn.allow_tf32 = False  # as ours: what is compared computes alike
    return "cuda"


def opencv(spec: dict[str, Any]) -> Call:
    """OpenCV's own reader of Caffe's files, which OpenCV 5 dropped."""
    cv2 = caffe_reader()
    cv2.setNumThreads(spec["threads"])
    net = cv2.dnn.readNetFromCaffe(spec["net"], spec["caffemodel"])
    image = feeds(spec["shape"])

    def call() -> Any:
        net.setInput(image)
        return net.forward()

    return call


def matrices(spec: dict[str, Any]) -> Call:
    """A product of two square matrices, the machine's measured peak."""
    size = spec["size"]
    if spec["library"] == "numpy":
        a, b = (np.random.default_rng(i).random((size, size), np.float32) for i in (0, 1))
        c = np.empty_like(a)
        return lambda: np.matmul(a, b, out=c)
    import torch

    torch.set_num_threads(spec["threads"])
    device = device_of(spec)
    dtype = getattr(torch, spec.get("dtype", "float32"))
    x, y = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(x)

    def call() -> None:
        torch.mm(x, y, out=out)
        if device != "cpu":
            torch.cuda.synchronize()

    return call


def training(spec: dict[str, Any]) -> Call:
    """One step of the `modern` recipe; with `cached` the switches were computed before."""
    import torch

    from zoo.paper.recipes.encoders import draw
    from zoo.paper.recipes.modern import Modern, Recipe, keep_switches

    torch.set_num_threads(spec["threads"])
    pool, mean = photographs(spec["images"])
    sample = (
        torch.from_numpy(pool[:16]).float() / 255 - torch.from_numpy(mean).view(1, 3, 1, 1) / 255
    )
    encoder = draw(spec["arch"], 0, sample)
    store = None
    if spec["cached"]:
        for filled in keep_switches(encoder, pool, mean, spec["arch"]):
            store = filled
    recipe = Recipe(batch=spec["batch"], crop=spec["crop"], bfloat16=spec["bfloat16"])
    device = device_of(spec)
    run = Modern(spec["arch"], encoder, pool, mean, recipe, store, device)

    def call() -> None:
        # The rate's cycle does not matter here, and must not end.
        run.iteration %= recipe.iterations
        run.step()
        if device != "cpu":
            torch.cuda.synchronize()

    return call


def photographs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """N×3×128×128 uint8 parts of sample photographs and their mean colour, 3×1×1."""
    import runtime

    parts = [
        runtime.resize(image, 128, 128).transpose(2, 0, 1) for _, image in runtime.sample_images()
    ]
    pool = np.ascontiguousarray([parts[i % len(parts)] for i in range(count)], np.uint8)
    return pool, pool.mean((0, 2, 3)).astype(np.float32).reshape(3, 1, 1)


def plain_training(spec: dict[str, Any]) -> Call:
    """What one writes first: the rebuilt module, whole, AdamW, float32, on the same parts."""
    import torch

    import converters

    torch.set_num_threads(spec["threads"])
    device = device_of(spec)
    module: Any = converters.convert(spec["net"], spec["caffemodel"]).to_torch().train().to(device)
    frozen = ("conv1", "conv2", "conv3")
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
    learned = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, 1e-4)
    pool, mean = photographs(spec["images"])
    rng = np.random.default_rng(0)
    count, crop, name = spec["batch"], spec["crop"], spec["output"]

    def call() -> None:
        places = rng.integers(len(pool), size=count), rng.integers(129 - crop, size=(count, 2))
        parts = [pool[i, :, y : y + crop, x : x + crop] for i, (y, x) in zip(*places, strict=True)]
        images = torch.from_numpy(np.stack(parts) - mean).to(device)
        loss = ((module(images)[name] - images) / 255).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return call


KINDS: dict[str, Callable[[dict[str, Any]], Call]] = {
    "onnxruntime": onnx_runtime,
    "plain onnxruntime": plain_onnx_runtime,
    "openvino": openvino,
    "torch": torch_module,
    "opencv": opencv,
    "matrices": matrices,
    "train": training,
    "plain train": plain_training,
}
