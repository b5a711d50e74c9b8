"""Prototxt in few words: one function a layer, each giving its text."""

from __future__ import annotations

from collections.abc import Sequence


def fields(**values: object) -> str:
    """``a: 1 b: "x"``; a list repeats its field, an upper-case word is an enum, None is nothing."""
    words = []
    for name, value in values.items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if item is None:
                continue
            if isinstance(item, bool):
                item = str(item).lower()
            elif isinstance(item, str) and not (item.isupper() and item.isalnum()):
                item = item if item.startswith("{") else f'"{item}"'
            words.append(f"{name} {item}" if str(item).startswith("{") else f"{name}: {item}")
    return " ".join(words)


def layer(
    kind: str, name: str, bottom: object = (), top: object = None, more: str = "", **params: object
) -> str:
    """One layer; `params` go into its parameter message, `more` is text beside it."""
    message = params.pop("message", None)
    body = f'name: "{name}" type: "{kind}" ' + fields(bottom=bottom, top=top or name)
    if message and params:
        body += f" {message} {{ {fields(**params)} }}"
    return f"layer {{ {body} {more} }}\n"


def data(name: str = "data", shape: Sequence[int] = (1, 3, 32, 32)) -> str:
    """An Input layer."""
    dims = " ".join(f"dim: {d}" for d in shape)
    return layer("Input", name, more=f"input_param {{ shape {{ {dims} }} }}")


XAVIER = '{ type: "xavier" }'


def conv(name: str, bottom: str, channels: int, kernel: object = 3, **more: object) -> str:
    """A Convolution with drawn weights; keyword arguments are fields of convolution_param."""
    kind, text = str(more.pop("kind", "Convolution")), str(more.pop("text", ""))
    top = more.pop("top", name)
    return layer(
        kind,
        name,
        bottom,
        top,
        text,
        message="convolution_param",
        num_output=channels,
        kernel_size=kernel,
        weight_filler=XAVIER,
        **more,
    )


def relu(blob: str, kind: str = "ReLU", name: str | None = None) -> str:
    """An activation in place."""
    return layer(kind, name or f"{blob}_relu", blob, blob)


def pool(name: str, bottom: str, method: str = "MAX", kernel: int = 2, **more: object) -> str:
    """A Pooling; without a kernel it is global."""
    if not kernel:
        more["global_pooling"] = True
    else:
        more = {"kernel_size": kernel, "stride": more.pop("stride", 2), **more}
    top = more.pop("top", name)
    return layer("Pooling", name, bottom, top, message="pooling_param", pool=method, **more)


def fc(name: str, bottom: str, channels: int, **more: object) -> str:
    """An InnerProduct."""
    return layer(
        "InnerProduct",
        name,
        bottom,
        message="inner_product_param",
        num_output=channels,
        weight_filler=XAVIER,
        **more,
    )


def norm(blob: str, scale: bool = True) -> str:
    """BatchNorm and Scale, both in place."""
    text = layer(
        "BatchNorm", f"{blob}_bn", blob, blob, message="batch_norm_param", use_global_stats=True
    )
    if scale:
        text += layer("Scale", f"{blob}_scale", blob, blob, message="scale_param", bias_term=True)
    return text


def eltwise(name: str, *bottoms: str, operation: str = "SUM") -> str:
    return layer("Eltwise", name, bottoms, message="eltwise_param", operation=operation)


def concat(name: str, *bottoms: str) -> str:
    return layer("Concat", name, bottoms)


def softmax(name: str, bottom: str) -> str:
    return layer("Softmax", name, bottom)


def lmdb(size: int, label: str = "label", means: bool = False) -> str:
    """A Data layer for each phase, as every train_val begins: cut to `size`, batches of its own."""
    text = ""
    for phase, batch in (("TRAIN", 256), ("TEST", 50)):
        transform = fields(mirror=phase == "TRAIN", crop_size=size)
        transform += (
            " mean_value: 104 mean_value: 117 mean_value: 123"
            if means
            else ' mean_file: "data/mean.binaryproto"'
        )
        more = f"include {{ phase: {phase} }} transform_param {{ {transform} }}"
        text += layer(
            "Data",
            "data",
            (),
            ["data", label],
            more,
            message="data_param",
            source=f"ilsvrc12_{phase.lower()}_lmdb",
            batch_size=batch,
            backend="LMDB",
        )
    return text


def judged(bottom: str, label: str = "label") -> str:
    """How a train_val ends: the loss in both phases, the accuracy in one."""
    text = layer("Accuracy", "accuracy", [bottom, label], more="include { phase: TEST }")
    return text + layer("SoftmaxWithLoss", "loss", [bottom, label])


def dropout(blob: str, ratio: float = 0.5) -> str:
    return layer(
        "Dropout", f"{blob}_drop", blob, blob, message="dropout_param", dropout_ratio=ratio
    )


def lrn(name: str, bottom: str) -> str:
    return layer("LRN", name, bottom, message="lrn_param", local_size=5, alpha=0.0001, beta=0.75)
