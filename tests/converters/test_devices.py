"""Rebuilt networks stay on the device they are moved to: no layer makes a tensor elsewhere.

Tensors on PyTorch's device `meta` have no numbers, and cannot be mixed with those of a CPU; so what
would fail on a GPU fails where there is none. `tests/gpu` has the numbers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import converters
from tests.converters.checker import Case
from tests.converters.test_goldens import CASES, case_id

BY_NUMBERS = ("Tensor.item() cannot be called on meta", "torch.nonzero()")
"""Errors of what looks at numbers: a proposal's, how many boxes are left."""


@pytest.mark.parametrize("folder", CASES, ids=case_id)
def test_every_layer_stays_on_its_device(folder: Path) -> None:
    case = Case(folder)
    graph = case.graph()
    module = converters.to_torch(graph).eval().to("meta")
    feeds = [torch.from_numpy(case.feeds[value.name]).to("meta") for value in graph.inputs]
    try:
        found = module(*feeds)
    except (RuntimeError, NotImplementedError) as error:
        if any(words in str(error) for words in BY_NUMBERS):
            pytest.skip("looks at numbers")
        raise
    assert {value.device.type for value in found.values()} == {"meta"}
