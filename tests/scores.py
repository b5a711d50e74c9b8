"""Scores of an entropy model of switches, drawn at random."""

from collections.abc import Sequence

import numpy as np

from runtime.switch_predictor import Scores, SwitchPredictor, earlier


def drawn_scores(
    channels: Sequence[int], seed: int, own: int = 400, known: int = 128
) -> SwitchPredictor:
    """Of levels of so many channels, evenly below `own` and `known` either way."""
    rng = np.random.default_rng(seed)
    levels = []
    for count in channels:
        around = rng.integers(-known, known, (5, 4 * count, 4 * count)).astype(np.int8)
        around[4][~earlier(count)] = 0
        levels.append(Scores(rng.integers(-own, own, 4 * count).astype(np.int16), around))
    return SwitchPredictor(levels)
