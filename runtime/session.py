"""ONNX Runtime sessions: which provider really runs, and inputs checked before they are fed."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prototxt.errors import Argument, Sentence
from prototxt.preprocessing import Preprocessing
from prototxt.shapes import shape_text
from prototxt.stderr import silenced

from .errors import InferenceError
from .limits import OF_MODEL, cores, given
from .limits import size as size_of
from .onnx_files import for_library, onnxruntime, read_model, work

__all__ = ["PROVIDERS", "IOSpec", "Model", "load"]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

_OPTIONS: dict[str, dict[str, str]] = {"cuda": {"use_tf32": "0"}}
"""Float32 throughout: TF32 keeps 10 bits of 23, with which switches turn."""

PARTS = 4
"""Into how many parts a thread's share of a batch is cut."""
MOST_TWICE = 64 << 20
"""Bytes of a model whose weights may be held twice, so that images run apart."""

RETURNED = 64 << 20
"""Bytes that are fed at once, from which on a run keeps no memory for the next: of 12 megapixels
gigabytes, while a picture is made of what came back."""

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True)
class IOSpec:
    """An input or output; a dimension that is left open is a text."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str


class Model:
    """A loaded model. `provider` is the one that really runs it; `note` says why, if asked."""

    def __init__(
        self,
        session: Any,
        provider: str,
        note: str,
        source: str,
        content: str | Path | bytes | None = None,
        alone: Callable[[], Any] | None = None,
        threads: int = 1,
    ) -> None:
        """`alone` opens the model once more, for one thread, where its images may be run apart."""
        self._session, self._content = session, content
        self._alone, self._threads = alone, threads
        self._single: tuple[Any, ThreadPoolExecutor] | None = None
        self.provider, self.note, self.source = provider, note, source
        self.inputs = [spec(i) for i in session.get_inputs()]
        self.outputs = [spec(o) for o in session.get_outputs()]
        self.metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        Preprocessing.from_metadata(self.metadata, source)  # what is no sense is told at once
        if self.metadata.get("zoo.images") != "apart":
            self._alone = None

    def numbers(self, spec: IOSpec) -> np.dtype[Any]:
        """The type of an input as numpy has it; InferenceError of what is no tensor of numbers."""
        try:
            return np.dtype(spec.dtype)
        except TypeError:
            raise InferenceError(
                f"its input {spec.name!r} is {spec.dtype}, not a tensor of numbers",
                subject=self.source,
            ) from None

    def initializer(self, name: str) -> np.ndarray | None:
        """The numbers of a constant of the file; None where it has none of this name."""
        import onnx

        if self._content is None:
            return None
        if isinstance(self._content, bytes):
            proto = onnx.load_from_string(self._content)
        else:
            proto = read_model(self._content)
        found = next((t for t in proto.graph.initializer if t.name == name), None)
        return None if found is None else np.asarray(onnx.numpy_helper.to_array(found))

    def run(
        self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Run once.

        Args:
            feeds: an array for each input, by name, of the shape and type that `inputs` states.
            outputs: names of outputs; default: all.

        Returns:
            The outputs by name.

        Raises:
            InferenceError: an input or output that does not fit, or a run that fails.
        """
        known = {o.name for o in self.outputs}
        wanted = [o.name for o in self.outputs] if outputs is None else list(outputs)
        for name in wanted:
            if name not in known:
                raise InferenceError(
                    f"no output {name!r}",
                    subject=self.source,
                    remedy=f"it has {', '.join(sorted(known))}",
                )
        checked = {i.name: self._check(i, feeds) for i in self.inputs}
        extra = set(feeds) - set(checked)
        if extra:
            raise InferenceError(
                f"no input {sorted(extra)[0]!r}",
                subject=self.source,
                remedy=f"it takes {', '.join(checked) or 'nothing'}",
            )
        fed = sum(array.nbytes for array in checked.values())
        with work(self.source, "run", fed=fed, compiling=self.provider != "cpu"):
            found = self._parts(wanted, checked) or self._session.run(
                wanted, checked, returning() if fed > RETURNED else None
            )
        return dict(zip(wanted, found, strict=True))

    def _parts(self, wanted: list[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
        """The batch in parts of a few images, each on one thread; None where that is no use.

        Small layers do not fill several threads, and few images stay in the processor's caches:
        1.1 to 1.3 times as fast. Only of a model whose images have nothing to do with one another.
        """
        sizes = {len(array) if array.ndim else 0 for array in feeds.values()}
        threads = self._threads
        size = max(sizes, default=0)
        if self._alone is None or threads < 2 or len(sizes) != 1 or size < 2 * threads:
            return None
        if self._single is None:
            # Both at once: another thread may run the model meanwhile.
            self._single = self._alone(), ThreadPoolExecutor(threads, thread_name_prefix="images")
        single, workers = self._single
        step = -(-size // (PARTS * threads))

        def run(start: int) -> list[np.ndarray]:
            part = {name: array[start : start + step] for name, array in feeds.items()}
            return list(single.run(wanted, part))

        parts = list(workers.map(run, range(0, size, step)))
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _check(self, wanted: IOSpec, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        if wanted.name not in feeds:
            raise InferenceError(f"input {wanted.name!r} is not given", subject=self.source)
        array = np.asarray(feeds[wanted.name])
        if str(array.dtype) != wanted.dtype:
            raise InferenceError(
                f"input {wanted.name!r} must be {wanted.dtype}, not {array.dtype}",
                subject=self.source,
            )
        fits = len(array.shape) == len(wanted.shape) and all(
            isinstance(dim, str) or dim == size
            for dim, size in zip(wanted.shape, array.shape, strict=True)
        )
        if not fits:
            shown = shape_text(wanted.shape)
            raise InferenceError(
                f"input {wanted.name!r} must be {shown}, "
                f"not {'x'.join(map(str, array.shape)) or 'a scalar'}",
                subject=self.source,
            )
        return np.ascontiguousarray(array) if array.ndim else array


def returning() -> Any:
    """How to run so that memory that is not used any more goes back to the system."""
    options = onnxruntime().RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def spec(item: Any) -> IOSpec:
    dims = tuple(d if isinstance(d, int) else str(d or "?") for d in item.shape)
    kind = _TYPES.get(item.type)
    return IOSpec(item.name, dims, np.dtype(kind).name if kind else item.type)


def load(
    model: str | Path | bytes,
    provider: str = "auto",
    threads: int | None = None,
    *,
    name: str | None = None,
) -> Model:
    """Open an ONNX model from a file or from bytes.

    A model is a program: in this process nothing limits what it takes. A program of one's own that
    runs those of strangers does as the commands do, and calls `runtime.limits.supervised` first.

    Args:
        model: the path of an .onnx file, or its bytes.
        provider: ``auto``, ``cpu``, ``cuda`` or ``tensorrt``. ``auto`` takes CUDA where it really
            works: a machine without it still lists the provider, so the session is asked which one
            it got.
        threads: how many an operator may use; default: one for each core.
        name: what errors call it; default: its path.

    Raises:
        InferenceError: not an ONNX model, or a provider that does not work here.
        FormatError: metadata that no conversion writes.
    """
    source = name or ("model" if isinstance(model, bytes) else str(model))
    if not isinstance(model, bytes):
        given(model, OF_MODEL)
        if Path(model).is_dir():
            raise InferenceError("is a directory", subject=source, remedy="name an .onnx file")
        if not Path(model).is_file():
            raise InferenceError("no such file", subject=source)
    if provider not in ("auto", *PROVIDERS):
        raise InferenceError(
            f"unknown provider {provider!r}", remedy=f"one of auto, {', '.join(PROVIDERS)}"
        )
    library = onnxruntime()
    data = model if isinstance(model, bytes) else for_library(model)
    size = len(model) if isinstance(model, bytes) else size_of(model)

    def session(name: str, threads: int | None) -> Any:
        options = library.SessionOptions()
        options.log_severity_level = 4  # as the library's own
        # A thread that waits by spinning takes its core from whoever works: from its own main
        # thread where two processors are one core, from others where the machine is shared.
        # Measured on two processors: 5 to 15 % faster without, up to twice as fast when something
        # else runs, too.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = threads
        chain = [(PROVIDERS[n], _OPTIONS.get(n, {})) for n in dict.fromkeys((name, "cpu"))]
        again, gpu = "is it an ONNX model?", name != "cpu"
        with work(source, "loaded", again, read=size, compiling=gpu), silenced():
            return library.InferenceSession(data, options, providers=chain)

    available = set(library.get_available_providers())
    wanted = "cuda" if provider == "auto" else provider
    note = ""
    if wanted != "cpu":
        if PROVIDERS[wanted] in available and device_is_there():
            opened = session(wanted, threads)
            if PROVIDERS[wanted] in opened.get_providers():
                return Model(opened, wanted, "", source, model)
        if provider != "auto":
            raise InferenceError(
                "the provider does not work here: no usable GPU",
                subject=wanted,
                remedy=Sentence("use ", Argument("provider"), " cpu or auto"),
            )
        note = "no usable CUDA device: running on the CPU"
    alone = functools.partial(session, "cpu", 1) if size <= MOST_TWICE else None
    return Model(session("cpu", threads), "cpu", note, source, model, alone, threads or cores())


def device_is_there() -> bool:
    """Whether there is an NVIDIA device at all; without one the provider only prints errors."""
    return sys.platform == "win32" or any(
        Path(name).exists() for name in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")
    )
