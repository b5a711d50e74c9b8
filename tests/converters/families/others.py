"""Caffe's examples beside the classifiers: siamese networks, autoencoders, captions."""

from __future__ import annotations

from .text import conv, eltwise, fc, layer, pool, relu


def siamese(training: bool = False) -> str:
    """Two columns that share their weights by name, and ContrastiveLoss (examples/siamese)."""

    def column(end: str, bottom: str) -> str:
        text = ""
        for name, source, make in (
            ("conv1", bottom, lambda n, s, t: conv(n, s, 6, 5, text=t)),
            ("pool1", "conv1", None),
            ("conv2", "pool1", lambda n, s, t: conv(n, s, 8, 5, text=t)),
            ("pool2", "conv2", None),
            ("ip1", "pool2", lambda n, s, t: shared_fc(n, s, 16, t)),
            ("feat", "ip1", lambda n, s, t: shared_fc(n, s, 2, t)),
        ):
            source = source if source == bottom else source + end
            shared = (
                f'param {{ name: "{name}_w" lr_mult: 1 }} param {{ name: "{name}_b" lr_mult: 2 }}'
            )
            text += make(name + end, source, shared) if make else pool(name + end, source)
            text += relu(f"ip1{end}") if name == "ip1" else ""
        return text

    if not training:
        return column("", "data")
    text = layer("Slice", "slice_pair", "pair_data", ["data", "data_p"],
                 "slice_param { slice_dim: 1 slice_point: 1 }")  # fmt: skip
    text += column("", "data") + column("_p", "data_p")
    margin = "contrastive_loss_param { margin: 1 }"
    return text + layer("ContrastiveLoss", "loss", ["feat", "feat_p", "sim"], more=margin)


def shared_fc(name: str, bottom: str, count: int, shared: str) -> str:
    param = f'inner_product_param {{ num_output: {count} weight_filler {{ type: "xavier" }} }}'
    return layer("InnerProduct", name, bottom, more=f"{shared} {param}")


PAIRS = """layer { name: "pair_data" type: "Data" top: "pair_data" top: "sim"
  include { phase: PHASE } transform_param { scale: 0.00390625 }
  data_param { source: "mnist_siamese_lmdb" batch_size: 64 } }
"""


def autoencoder(sizes: tuple[int, ...] = (64, 32, 8)) -> str:
    """MNIST's autoencoder: sigmoids down and up, two losses (examples/mnist)."""
    text = layer("Flatten", "flatdata", "data")
    bottom, widths = "flatdata", [*sizes, *sizes[-2::-1], 784]
    for number, count in enumerate(widths, 1):
        name = f"ip{number}"
        sparse = 'type: "gaussian" std: 0.1 sparse: 5'
        text += layer("InnerProduct", name, bottom, more=(
            f"inner_product_param {{ num_output: {count} weight_filler {{ {sparse} }} }}"
        ))  # fmt: skip
        bottom = name
        if number < len(widths) and number != len(sizes):
            text += relu(name, "Sigmoid")
    text += layer("SigmoidCrossEntropyLoss", "cross_entropy", [bottom, "flatdata"])
    text += layer("Sigmoid", "decode", bottom)
    return text + layer("EuclideanLoss", "l2_error", ["decode", "flatdata"])


def lrcn(steps: int = 4, words: int = 20, hidden: int = 6, training: bool = False) -> str:
    """LRCN's captioner (Donahue et al. 2015): words and, at all times, the image's features."""
    text = layer("Embed", "embedding", "input_sentence", more=(
        f"embed_param {{ bias_term: false input_dim: {words} num_output: {hidden} "
        'weight_filler { type: "uniform" min: -.5 max: .5 } }'
    ))  # fmt: skip
    recurrent = (
        f"recurrent_param {{ num_output: {hidden} weight_filler {{ type: 'uniform' min: -.5 "
        "max: .5 } bias_filler { type: 'constant' value: 0 } }"
    )
    text += layer("LSTM", "lstm1", ["embedding", "cont_sentence"], more=recurrent)
    text += layer("LSTM", "lstm2", ["lstm1", "cont_sentence", "image_features"], more=recurrent)
    text += layer("InnerProduct", "predict", "lstm2", more=(
        f"inner_product_param {{ num_output: {words} axis: 2 weight_filler {{ type: 'xavier' }} }}"
    ))  # fmt: skip
    if not training:
        return text + layer("Softmax", "probs", "predict", more="softmax_param { axis: 2 }")
    more = "loss_param { ignore_label: -1 } softmax_param { axis: 2 }"
    return text + layer("SoftmaxWithLoss", "loss", ["predict", "target_sentence"], more=more)


def activity(steps: int = 4, training: bool = False) -> str:
    """LRCN's activity recognition: frames through a stack, their features through time."""
    text = conv("conv1", "data", 6, 5, stride=2) + relu("conv1") + pool("pool1", "conv1", kernel=3)
    text += fc("fc6", "pool1", 12) + relu("fc6")
    shape = f"reshape_param {{ shape {{ dim: {steps} dim: -1 dim: 12 }} }}"
    text += layer("Reshape", "fc6-reshape", "fc6", more=shape)
    text += layer("LSTM", "lstm1", ["fc6-reshape", "reshape-cm"], more=(
        "recurrent_param { num_output: 5 weight_filler { type: 'uniform' min: -.2 max: .2 } }"
    ))  # fmt: skip
    more = "inner_product_param { num_output: 7 axis: 2 weight_filler { type: 'xavier' } }"
    return text + layer("InnerProduct", "fc8", "lstm1", more=more)


def two_streams() -> str:
    """Two inputs that are joined late, one of them not an image."""
    text = conv("conv1", "data", 4, 3) + pool("gap", "conv1", "AVE", 0) + fc("fc1", "gap", 5)
    return text + fc("fc2", "vector", 5) + eltwise("both", "fc1", "fc2", operation="MAX")
