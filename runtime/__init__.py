"""Run ONNX models: providers, images, metrics, evaluation, pictures, the switch codec.

It never loads torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prototxt.lazy import looked_up

if TYPE_CHECKING:
    from .codec import Header, read_header, read_masks, write_switches
    from .encoder_decoder import EncoderDecoder, load_encoder_decoder
    from .errors import InferenceError
    from .evaluation import Evaluation, evaluate, image_output, pixels
    from .feeding import IMAGENET_MEAN, Feeder, fixed_size, image_shape, resolve
    from .images import (
        deprocess,
        list_images,
        preprocess,
        read_image,
        read_mean,
        resize,
        sample_images,
    )
    from .metrics import RMSE, bits_per_pixel, psnr, ssim
    from .pictures import (
        captioned_grid,
        contact_sheet,
        labelled_grid,
        mosaic,
        side_by_side,
        write_png,
    )
    from .predicting import Predictor, task_of
    from .predictions import Boxes, Classes, Numbers, Picture, Prediction, Regions
    from .session import IOSpec, Model, load

_HOMES = {
    "codec": "Header read_header read_masks write_switches",
    "encoder_decoder": "EncoderDecoder load_encoder_decoder",
    "errors": "InferenceError",
    "evaluation": "Evaluation evaluate image_output pixels",
    "feeding": "IMAGENET_MEAN Feeder fixed_size image_shape resolve",
    "images": ("deprocess list_images preprocess read_image read_mean resize sample_images"),
    "metrics": "RMSE bits_per_pixel psnr ssim",
    "pictures": "captioned_grid contact_sheet labelled_grid mosaic side_by_side write_png",
    "predicting": "Predictor task_of",
    "predictions": "Boxes Classes Numbers Picture Prediction Regions",
    "session": "IOSpec Model load",
}

__all__ = [
    "IMAGENET_MEAN",
    "RMSE",
    "Boxes",
    "Classes",
    "EncoderDecoder",
    "Evaluation",
    "Feeder",
    "Header",
    "IOSpec",
    "InferenceError",
    "Model",
    "Numbers",
    "Picture",
    "Prediction",
    "Predictor",
    "Regions",
    "bits_per_pixel",
    "captioned_grid",
    "contact_sheet",
    "deprocess",
    "evaluate",
    "fixed_size",
    "image_output",
    "image_shape",
    "labelled_grid",
    "list_images",
    "load",
    "load_encoder_decoder",
    "mosaic",
    "pixels",
    "preprocess",
    "psnr",
    "read_header",
    "read_image",
    "read_masks",
    "read_mean",
    "resize",
    "resolve",
    "sample_images",
    "side_by_side",
    "ssim",
    "task_of",
    "write_png",
    "write_switches",
]

__getattr__ = looked_up(__name__, _HOMES)
