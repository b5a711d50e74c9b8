"""What published definitions have for training alone.

Losses under other names, and pictures of what goes on: nothing of an inference depends on these.
"""

from __future__ import annotations

from ..registry import register
from .detector_training import TrainingOnly

PICTURES = "Caffe_Light_Field (JunhyeongBak/Caffe_Light_Field)"


@register("AbsLoss")
class AbsLoss(TrainingOnly):
    """The mean absolute difference (abs_loss_layer.cpp)."""

    fork = "DispNet, Caffe_Light_Field"
    loss_weight = 1.0


@register("EuclideanLoss2")
class EuclideanLoss2(TrainingOnly):
    """Half the squared difference of landmarks, by the eyes' distance (euclidean_loss_layer)."""

    fork = "JAANet (ZhiwenShao/JAANet)"
    loss_weight = 1.0


@register("AlignDataTransform")
class AlignDataTransform(TrainingOnly):
    """True landmarks, cut and mirrored as the images were (align_data_transform_layer.cpp)."""

    fork = "JAANet (ZhiwenShao/JAANet)"


@register("VoxelSoftmaxLoss")
class VoxelSoftmaxLoss(TrainingOnly):
    """Cross entropy of each voxel (voxel_wise_softmax_loss_layer.cpp)."""

    fork = "C3D (facebookarchive/C3D)"
    loss_weight = 1.0


@register("VoxelCustomLoss")
class VoxelCustomLoss(TrainingOnly):
    """A loss of each voxel (voxel_custom_loss_layer.cpp)."""

    fork = "C3D (facebookarchive/C3D)"
    loss_weight = 1.0


@register(
    "Python:pyloss.L1",
    "Python:pyloss.SSIM",
    "Python:pyloss.MSSSIM",
    "Python:pyloss.MSSSIML1",
    "Python:pyloss.MSSSIML2",
    "Python:pyloss.EuclideanLossLayer",
    message="python_param",
)
class PythonLoss(TrainingOnly):
    """A loss of pyloss.py: of Caffe's own example, or of image restoration (L1, SSIM, MS-SSIM)."""

    fork = "BVLC Caffe, single-image-dehazing (guanlongzhao)"


@register(
    "Python:visualization_layer.VisualizationLayer",
    "Python:print_layer.PrintLayer",
    message="python_param",
)
class Picture(TrainingOnly):
    """Writes what it reads to a file or prints it, and gives nothing (visualization_layer.py)."""

    fork = PICTURES
    is_metric = True
