"""Tests for a machine with a CUDA device, in one call: `pytest tests/gpu`.

Without one, all of it is skipped but a few cases that run on the CPU provider, so that the tests
themselves are known to work; `ZOO_GPU_PROVIDER=cpu pytest tests/gpu` runs everything there.
"""

from __future__ import annotations

import os

import pytest


def works(provider: str) -> bool:
    """Whether ONNX Runtime really runs on it: a provider is listed without its device, too."""
    import runtime
    from runtime.errors import InferenceError
    from zoo import hub
    from zoo.hub.places import EMBEDDED

    try:
        runtime.load(hub.locate("8_8_8", EMBEDDED, offline=True), provider)
    except InferenceError:
        return False
    return True


@pytest.fixture(scope="session")
def provider() -> str:
    """The provider that is tested: cuda."""
    asked = os.environ.get("ZOO_GPU_PROVIDER", "cuda")
    if not works(asked):
        pytest.skip(f"needs a CUDA device and onnxruntime-gpu ({asked} does not work here)")
    return asked
