"""The packages that the project uses, and which of its extras brings each.

A package that is not installed raises Python's own ModuleNotFoundError where it is imported; only
the command makes a line of it, by `zoo.cli.failures`.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass

__all__ = ["PACKAGES", "Package", "installed", "remedy", "require"]

PROJECT = "caffe-zoo"


@dataclass(frozen=True)
class Package:
    """What pip calls it, and the extra that it belongs to; empty where every install has it."""

    name: str
    extra: str = ""

    @property
    def install(self) -> str:
        """The command that brings it."""
        return (
            f"pip install '{PROJECT}[{self.extra}]'" if self.extra else f"pip install {self.name}"
        )


PACKAGES = {
    "constriction": Package("constriction"),
    "cv2": Package("opencv-python-headless"),
    "filelock": Package("filelock"),
    "google": Package("protobuf"),
    "numpy": Package("numpy"),
    "onnx": Package("onnx"),
    "onnxruntime": Package("onnxruntime-gpu"),
    "requests": Package("requests"),
    "rich": Package("rich"),
    "typer": Package("typer"),
    "urllib3": Package("urllib3"),
    "yaml": Package("pyyaml"),
    "h5py": Package("h5py", "data"),
    "lmdb": Package("lmdb", "data"),
    "pytorch_optimizer": Package("pytorch_optimizer", "train"),
    "pytorch_msssim": Package("pytorch-msssim", "train"),
    "torch": Package("torch", "train"),
    "bjontegaard": Package("bjontegaard", "figures"),
    "PIL": Package("pillow", "figures"),
    "matplotlib": Package("matplotlib", "figures"),
    "skimage": Package("scikit-image", "figures"),
    "openvino": Package("openvino", "runtimes"),
    "fsspec": Package("fsspec", "remotes"),
    "huggingface_hub": Package("huggingface_hub", "remotes"),
    "s3fs": Package("s3fs", "remotes"),
    "cryptography": Package("cryptography", "sign"),
    "OpenSSL": Package("pyopenssl", "sign"),
    "model_signing": Package("model-signing", "sign"),
    "jinja2": Package("jinja2", "gallery"),
    "markdown_it": Package("markdown-it-py", "gallery"),
    "markupsafe": Package("markupsafe", "gallery"),
}
"""By the name that Python imports."""


def installed(module: str) -> bool:
    """Whether a top-level module is there; it is not loaded."""
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def require(*modules: str) -> None:
    """Raise ModuleNotFoundError for the first that is missing: before the work, not after it."""
    for module in modules:
        if not installed(module):
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def remedy(error: ModuleNotFoundError) -> str | None:
    """Which package is missing and how to install it; None for a module that is none of them."""
    package = PACKAGES.get((error.name or "").partition(".")[0])
    if package is None:
        return None
    return f"needs {package.name}, which is not installed; {package.install}"
