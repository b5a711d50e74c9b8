"""Classifiers whose blocks add to or concatenate with what came before, and later Inceptions."""

from __future__ import annotations

from .classifiers import Body, thin, unit
from .text import concat, conv, eltwise, fc, layer, norm, pool, relu


def plain(
    name: str, bottom: str, channels: int, kernel: object, active: bool = True, **more
) -> str:
    """A convolution with its bias."""
    text = conv(name, bottom, channels, kernel, **more)
    return text + (relu(name) if active else "")


def resnet(
    blocks: tuple[int, ...] = (3, 4, 6, 3),
    width: float = 1.0,
    classes: int = 1000,
    groups: int = 1,
    base: int = 64,
    gate: str = "",
) -> Body:
    """ResNet (He et al. 2015), bottlenecks with the stride in the first 1×1.

    With `groups` it is ResNeXt, whose stride is in its 3×3; `gate` "axpy" or "scale" squeezes and
    excites (SENet), as each of the two published ways has it.
    """
    text = unit("conv1", "data", thin(64, width), 7, stride=2) + pool("pool1", "conv1", kernel=3)
    bottom, count = "pool1", thin(64, width)
    for level, repeats in enumerate(blocks):
        inner = thin(base * 2**level, width, groups)
        outer = thin(256 * 2**level, width)
        for place in range(repeats):
            name, stride = f"res{level + 2}{chr(97 + place)}", 1 if place or not level else 2
            first, middle = (stride, 1) if groups == 1 else (1, stride)
            text += unit(f"{name}_branch2a", bottom, inner, 1, stride=first)
            text += unit(
                f"{name}_branch2b", f"{name}_branch2a", inner, 3, stride=middle, group=groups
            )
            text += unit(f"{name}_branch2c", f"{name}_branch2b", outer, 1, active=False)
            short = bottom
            if count != outer or stride > 1:
                text += unit(f"{name}_branch1", bottom, outer, 1, active=False, stride=stride)
                short = f"{name}_branch1"
            text += joined(name, f"{name}_branch2c", short, outer, gate) + relu(name)
            bottom, count = name, outer
    text += pool("pool5", bottom, "AVE", 0)
    return text + fc("fc1000", "pool5", classes), "fc1000"


def joined(name: str, branch: str, short: str, channels: int, gate: str) -> str:
    """The sum of both, the branch gated by what its channels hold on average."""
    if not gate:
        return eltwise(name, short, branch)
    text = pool(f"{name}_squeeze", branch, "AVE", 0)
    hidden = max(1, channels // 16)
    text += plain(f"{name}_down", f"{name}_squeeze", hidden, 1)
    text += plain(f"{name}_up", f"{name}_down", channels, 1, active=False)
    text += relu(f"{name}_up", "Sigmoid")
    if gate == "axpy":
        return text + layer("Axpy", name, [f"{name}_up", branch, short])
    shape = "reshape_param { shape { dim: 0 dim: 0 } }"
    text += layer("Reshape", f"{name}_gate", f"{name}_up", more=shape)
    text += layer(
        "Scale", f"{name}_scaled", [branch, f"{name}_gate"], more="scale_param { axis: 0 }"
    )
    return text + eltwise(name, f"{name}_scaled", short)


def preact(name: str, bottom: str) -> str:
    """BatchNorm, Scale and ReLU before a convolution, as blobs of their own."""
    text = layer("BatchNorm", f"{name}_bn", bottom, more="batch_norm_param { eps: 2e-5 }")
    text += layer(
        "Scale", f"{name}_scale", f"{name}_bn", f"{name}_bn", more="scale_param { bias_term: true }"
    )
    return text + relu(f"{name}_bn")


def densenet(
    blocks: tuple[int, ...] = (6, 12, 24, 16), growth: int = 32, classes: int = 1000
) -> Body:
    """DenseNet (Huang et al. 2016): each layer reads all before; a pooling rounds down."""
    count = 2 * growth
    text = conv("conv1", "data", count, 7, stride=2, pad=3, bias_term=False) + norm("conv1")
    text += relu("conv1") + pool("pool1", "conv1", kernel=3, pad=1, ceil_mode=False)
    bottom = "pool1"
    for level, repeats in enumerate(blocks, 2):
        for place in range(1, repeats + 1):
            name = f"conv{level}_{place}"
            text += preact(f"{name}/x1", bottom)
            text += conv(f"{name}/x1", f"{name}/x1_bn", 4 * growth, 1, bias_term=False)
            text += preact(f"{name}/x2", f"{name}/x1")
            text += conv(f"{name}/x2", f"{name}/x2_bn", growth, 3, pad=1, bias_term=False)
            text += concat(f"concat_{level}_{place}", bottom, f"{name}/x2")
            bottom, count = f"concat_{level}_{place}", count + growth
        text += preact(f"conv{level}_blk", bottom)
        bottom = f"conv{level}_blk_bn"
        if level <= len(blocks):
            count //= 2
            text += conv(f"conv{level}_blk", bottom, count, 1, bias_term=False)
            bottom = f"pool{level}"
            text += pool(bottom, f"conv{level}_blk", "AVE")
    text += pool("pool5", bottom, "AVE", 0)
    return text + conv("fc6", "pool5", classes, 1), "fc6"


def dpn(
    blocks: tuple[int, ...] = (3, 4, 20, 3),
    groups: int = 32,
    width: float = 1.0,
    classes: int = 1000,
) -> Body:
    """DPN (Chen et al. 2017): one part of a block is added, the rest is concatenated (Slice)."""
    text = unit("conv1", "data", thin(64, width), 7, stride=2) + pool("pool1", "conv1", kernel=3)
    bottom, steps = "pool1", (16, 32, 24, 128)
    for level, repeats in enumerate(blocks):
        added, grown = thin(256 * 2**level, width), max(1, int(steps[level] * width))
        inner = thin(96 * 2**level, width, groups)
        for place in range(repeats):
            name, stride = f"dpn{level + 2}_{place}", 1 if place or not level else 2
            if not place:
                text += preact(f"{name}/match", bottom)
                text += conv(
                    f"{name}/match", f"{name}/match_bn", added + 2 * grown, 1, stride=stride,
                    bias_term=False,
                )  # fmt: skip
                text += cut(f"{name}/match", added)
                tall, wide = f"{name}/match_a", f"{name}/match_b"
            text += preact(f"{name}/a", bottom)
            text += conv(f"{name}/a", f"{name}/a_bn", inner, 1, bias_term=False)
            text += preact(f"{name}/b", f"{name}/a")
            text += conv(
                f"{name}/b", f"{name}/b_bn", inner, 3, pad=1, stride=stride, group=groups,
                bias_term=False,
            )  # fmt: skip
            text += preact(f"{name}/c", f"{name}/b")
            text += conv(f"{name}/c", f"{name}/c_bn", added + grown, 1, bias_term=False)
            text += cut(f"{name}/c", added)
            text += eltwise(f"{name}/sum", tall, f"{name}/c_a")
            text += concat(f"{name}/dense", wide, f"{name}/c_b")
            tall, wide, bottom = f"{name}/sum", f"{name}/dense", name
            text += concat(name, tall, wide)
    text += preact("last", bottom) + pool("pool5", "last_bn", "AVE", 0)
    return text + conv("fc6", "pool5", classes, 1), "fc6"


def cut(blob: str, where: int) -> str:
    param = f"slice_param {{ axis: 1 slice_point: {where} }}"
    return layer("Slice", f"{blob}_split", blob, [f"{blob}_a", f"{blob}_b"], param)


def inception2(width: float = 1.0, classes: int = 1000) -> Body:
    """Inception v2 (Ioffe and Szegedy 2015): BN everywhere, two 3×3 for a 5×5."""
    text = unit("conv1", "data", thin(64, width), 7, stride=2) + pool("pool1", "conv1", kernel=3)
    text += unit("conv2_reduce", "pool1", thin(64, width), 1)
    text += unit("conv2", "conv2_reduce", thin(192, width), 3) + pool("pool2", "conv2", kernel=3)
    bottom = "pool2"
    for name, stride, method in (("3a", 1, "AVE"), ("3b", 1, "AVE"), ("3c", 2, "MAX")):
        sides = []
        if stride == 1:
            text += unit(f"{name}/1x1", bottom, thin(64, width), 1)
            sides.append(f"{name}/1x1")
        for side, depth in (("3x3", 1), ("double3x3", 2)):
            text += unit(f"{name}/{side}_reduce", bottom, thin(64, width), 1)
            source = f"{name}/{side}_reduce"
            for place in range(1, depth + 1):
                step = stride if place == depth else 1
                text += unit(f"{name}/{side}_{place}", source, thin(96, width), 3, stride=step)
                source = f"{name}/{side}_{place}"
            sides.append(source)
        more = {"pad": 1} if stride == 1 else {}
        text += pool(f"{name}/pool", bottom, method, 3, stride=stride, **more)
        if stride == 1:
            text += unit(f"{name}/pool_proj", f"{name}/pool", thin(32, width), 1)
        sides.append(f"{name}/pool_proj" if stride == 1 else f"{name}/pool")
        bottom = f"{name}/output"
        text += concat(bottom, *sides)
    text += pool("global", bottom, "AVE", 0)
    return text + fc("classifier", "global", classes), "classifier"


def flat(name: str, bottom: str, channels: int, height: int, width: int) -> str:
    """A factorised convolution: 1×7, 7×1, 3×1..."""
    text = conv(
        name, bottom, channels, None, kernel_h=height, kernel_w=width, pad_h=height // 2,
        pad_w=width // 2, bias_term=False,
    )  # fmt: skip
    return text + norm(name) + relu(name)


def inception4(width: float = 1.0, classes: int = 1000, residual: bool = False) -> Body:
    """What makes Inception v3 and v4: a stem without padding, 1×7 and 7×1, split 3×1 and 1×3.

    `residual` is Inception-ResNet: a block's branches are joined, scaled and added.
    """

    def count(channels: int) -> int:
        return thin(channels, width)

    text, bottom = "", "data"
    for name, channels, stride, pad in (("s1", 32, 2, 0), ("s2", 32, 1, 0), ("s3", 64, 1, 1)):
        text += conv(name, bottom, count(channels), 3, stride=stride, pad=pad, bias_term=False)
        text, bottom = text + norm(name) + relu(name), name
    text += pool("s4a", "s3", kernel=3) + conv("s4b", "s3", count(96), 3, stride=2) + relu("s4b")
    text += concat("stem", "s4a", "s4b")
    total = count(64) + count(96)
    text += unit("b1", "stem", count(96), 1) + unit("b2a", "stem", count(64), 1)
    text += flat("b2b", "b2a", count(64), 1, 7) + flat("b2c", "b2b", count(96), 7, 1)
    if residual:
        text += concat("mixed", "b1", "b2c") + conv("up", "mixed", total, 1)
        scaled = "power_param { scale: 0.1 }"
        text += layer("Power", "up_scaled", "up", more=scaled)
        text += eltwise("block", "stem", "up_scaled") + relu("block")
    else:
        text += pool("b3p", "stem", "AVE", 3, stride=1, pad=1) + unit("b3", "b3p", count(96), 1)
        text += unit("b4a", "stem", count(96), 1)
        text += flat("b4b", "b4a", count(64), 1, 3) + flat("b4c", "b4a", count(64), 3, 1)
        text += concat("block", "b1", "b2c", "b3", "b4b", "b4c")
    text += pool("global", "block", "AVE", 0)
    return text + fc("classifier", "global", classes), "classifier"
