"""CRF as RNN's last layer, which is told apart and refused."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

from prototxt.errors import Argument, Sentence
from prototxt.schema import UInt

from ..graph import Node, Shape
from ..layer_type import LayerType
from ..registry import register


class Compatibility(enum.Enum):
    """How labels of neighbours are weighed against each other."""

    POTTS = 0
    NO_FAR_JUMP = 1


@dataclass
class MeanfieldParams:
    """MultiStageMeanfieldParameter."""

    num_iterations: UInt = 10
    compatibility_mode: Compatibility = Compatibility.POTTS
    threshold: float = 2.0
    theta_alpha: float = 160.0
    theta_beta: float = 3.0
    theta_gamma: float = 3.0
    spatial_filter_weight: float = 3.0
    bilateral_filter_weight: float = 5.0


@register("MultiStageMeanfield", message="multi_stage_meanfield_param")
class MultiStageMeanfield(LayerType[MeanfieldParams]):
    """Mean-field inference of a dense CRF (multi_stage_meanfield.cpp): not converted.

    Its Gaussian filters go over a permutohedral lattice, a hash table of the image's colours and
    places, which is an approximation of its own: other filters would give other labels.
    """

    fork = "CRF as RNN (torrvision/caffe)"
    bottoms = (3, 3)
    tops: ClassVar[tuple[int, int | None]] = (1, 1)
    Params = MeanfieldParams

    def shapes(self, node: Node[MeanfieldParams]) -> list[Shape]:
        raise node.error(
            "the permutohedral lattice of its filters cannot be written exactly",
            Sentence(Argument("outputs", [node.inputs[0].name]), " converts the network before it"),
        )
