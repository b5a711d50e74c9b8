"""The files that the blocks of the documentation read: a network, its weights, photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

import converters
import prototxt
import runtime

DEPLOY = """\
name: "Small"
layer {
  name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } }
}
"""

TRAIN = """\
name: "Small"
layer {
  name: "data" type: "Data" top: "data" top: "label"
  transform_param { mean_value: 104 mean_value: 117 mean_value: 123 }
  data_param { source: "photos.lmdb" batch_size: 4 backend: LMDB }
}
"""

LAYERS = """\
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } }
}
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer {
  name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 }
}
layer {
  name: "fc" type: "InnerProduct" bottom: "pool1" top: "fc"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } }
}
"""

PROBABILITY = 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }\n'
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'

SOLVER = """\
net: "train.prototxt"
base_lr: 0.0001
lr_policy: "fixed"
momentum: 0.9
max_iter: 10
snapshot: 5
snapshot_prefix: "snapshots/small"
"""


def make(folder: Path) -> None:
    """Write them: a classifier to be used and to be trained, and three photographs, 64×64."""
    (folder / "net.prototxt").write_text(DEPLOY + LAYERS + PROBABILITY)
    (folder / "train.prototxt").write_text(TRAIN + LAYERS + LOSS)
    (folder / "solver.prototxt").write_text(SOLVER)
    (folder / "snapshots").mkdir()
    graph = converters.load_graph(folder / "net.prototxt")
    weights = {node.name: node.blobs for node in graph.nodes if node.blobs}
    prototxt.write_weights(folder / "net.caffemodel", weights)
    mean = np.full((3, 32, 32), 110, np.float32) + np.arange(3, dtype=np.float32)[:, None, None]
    prototxt.write_binaryproto(folder / "mean.binaryproto", mean)
    (folder / "photos").mkdir()
    for name, image in runtime.sample_images()[:3]:
        small = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / "photos" / f"{name}.jpg"), small)
        cv2.imwrite(str(folder / "photo.jpg"), small)
