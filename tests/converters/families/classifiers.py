"""Image classifiers: plain stacks, and those built of small branches.

Each gives the layers between the blob "data" and its scores, and the scores' name; `width` thins
every layer.
"""

from __future__ import annotations

from .text import (
    concat,
    conv,
    dropout,
    eltwise,
    fc,
    fields,
    judged,
    layer,
    lrn,
    norm,
    pool,
    relu,
)

Body = tuple[str, str]
"""The layers' text and the blob of scores."""

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def thin(channels: int, width: float, multiple: int = 1) -> int:
    """As many channels as `width` leaves, a multiple of `multiple`."""
    return max(1, round(channels * width / multiple)) * multiple


def heads(bottom: str, hidden: int, classes: int) -> Body:
    """fc6 and fc7 with dropout, then fc8."""
    text = ""
    for name in ("fc6", "fc7"):
        text += fc(name, bottom, hidden) + relu(name) + dropout(name)
        bottom = name
    return text + fc("fc8", bottom, classes), "fc8"


def vgg16(width: float = 1.0, hidden: int = 4096, classes: int = 1000) -> Body:
    """VGG-16 (Simonyan and Zisserman 2014), configuration D."""
    text, bottom = "", "data"
    for level, block in enumerate(VGG16, 1):
        for place, channels in enumerate(block, 1):
            name = f"conv{level}_{place}"
            text += conv(name, bottom, thin(channels, width), pad=1) + relu(name)
            bottom = name
        text += pool(f"pool{level}", bottom)
        bottom = f"pool{level}"
    more, scores = heads(bottom, hidden, classes)
    return text + more, scores


def alexnet(
    width: float = 1.0, hidden: int = 4096, classes: int = 1000, norm_first: bool = True
) -> Body:
    """AlexNet (Krizhevsky et al. 2012); CaffeNet is the one that pools before it normalises."""
    a, b, c = (thin(n, width, 2) for n in (96, 256, 384))
    text = conv("conv1", "data", a, 11, stride=4) + relu("conv1")
    text += joint("1", "conv1", norm_first)
    bottom = "pool1" if norm_first else "norm1"
    text += conv("conv2", bottom, b, 5, pad=2, group=2) + relu("conv2")
    text += joint("2", "conv2", norm_first)
    text += conv("conv3", "pool2" if norm_first else "norm2", c, pad=1) + relu("conv3")
    text += conv("conv4", "conv3", c, pad=1, group=2) + relu("conv4")
    text += conv("conv5", "conv4", b, pad=1, group=2) + relu("conv5")
    text += pool("pool5", "conv5", kernel=3)
    more, scores = heads("pool5", hidden, classes)
    return text + more, scores


def joint(level: str, bottom: str, norm_first: bool) -> str:
    names = [f"norm{level}", f"pool{level}"][:: 1 if norm_first else -1]
    text = ""
    for name in names:
        text += lrn(name, bottom) if name[0] == "n" else pool(name, bottom, kernel=3)
        bottom = name
    return text


def nin(width: float = 1.0, classes: int = 1000) -> Body:
    """Network in Network (Lin et al. 2013): 1×1 convolutions, and a mean in place of any fc."""
    text, bottom = "", "data"
    rows = ((96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1), (1024, 3, 1, 1))
    for level, (channels, kernel, stride, pad) in enumerate(rows, 1):
        if level == 4:
            text += dropout(bottom)
        name, count = f"conv{level}", thin(channels, width)
        text += conv(name, bottom, count, kernel, stride=stride, pad=pad) + relu(name)
        for place in (1, 2):
            last = level == 4 and place == 2
            inner = f"cccp{2 * level - 2 + place}"
            text += conv(inner, name, classes if last else count, 1) + relu(inner)
            name = inner
        bottom = f"pool{level}"
        text += pool(bottom, name, kernel=3) if level < 4 else pool(bottom, name, "AVE", 0)
    return text, bottom


FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def squeezenet(width: float = 1.0, classes: int = 1000) -> Body:
    """SqueezeNet 1.1 (Iandola et al. 2016): fire modules."""
    text = conv("conv1", "data", thin(64, width), stride=2) + relu("conv1")
    text += pool("pool1", "conv1", kernel=3)
    bottom = "pool1"
    for number, (squeeze, expand) in enumerate(FIRES, 2):
        name = f"fire{number}"
        text += conv(f"{name}/squeeze1x1", bottom, thin(squeeze, width), 1)
        text += relu(f"{name}/squeeze1x1")
        for kernel in (1, 3):
            side = f"{name}/expand{kernel}x{kernel}"
            text += conv(side, f"{name}/squeeze1x1", thin(expand, width), kernel, pad=kernel // 2)
            text += relu(side)
        bottom = f"{name}/concat"
        text += concat(bottom, f"{name}/expand1x1", f"{name}/expand3x3")
        if number in (3, 5):
            text += pool(f"pool{number}", bottom, kernel=3)
            bottom = f"pool{number}"
    text += dropout(bottom) + conv("conv10", bottom, classes, 1) + relu("conv10")
    return text + pool("pool10", "conv10", "AVE", 0), "pool10"


INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def inception(name: str, bottom: str, counts: tuple[int, ...]) -> str:
    """1×1, 3×3 and 5×5 convolutions and a pooling beside each other (GoogLeNet)."""
    one, three_in, three, five_in, five, after = counts
    text = conv(f"{name}/1x1", bottom, one, 1) + relu(f"{name}/1x1")
    for kernel, reduce, count in ((3, three_in, three), (5, five_in, five)):
        side = f"{name}/{kernel}x{kernel}"
        text += conv(f"{side}_reduce", bottom, reduce, 1) + relu(f"{side}_reduce")
        text += conv(side, f"{side}_reduce", count, kernel, pad=kernel // 2) + relu(side)
    text += pool(f"{name}/pool", bottom, kernel=3, stride=1, pad=1)
    text += conv(f"{name}/pool_proj", f"{name}/pool", after, 1) + relu(f"{name}/pool_proj")
    sides = ("1x1", "3x3", "5x5", "pool_proj")
    return text + concat(f"{name}/output", *(f"{name}/{side}" for side in sides))


def googlenet(
    width: float = 1.0, classes: int = 1000, final: int = 7, auxiliary: bool = False
) -> Body:
    """GoogLeNet (Szegedy et al. 2014); `auxiliary` adds the two classifiers of its training."""
    text = conv("conv1", "data", thin(64, width), 7, stride=2, pad=3) + relu("conv1")
    text += pool("pool1", "conv1", kernel=3) + lrn("norm1", "pool1")
    text += conv("conv2_reduce", "norm1", thin(64, width), 1) + relu("conv2_reduce")
    text += conv("conv2", "conv2_reduce", thin(192, width), pad=1) + relu("conv2")
    text += lrn("norm2", "conv2") + pool("pool2", "norm2", kernel=3)
    bottom = "pool2"
    for name, counts in INCEPTIONS.items():
        if name in ("4a", "5a"):
            text += pool(f"pool{name}", bottom, kernel=3)
            bottom = f"pool{name}"
        text += inception(name, bottom, tuple(thin(n, width) for n in counts))
        bottom = f"{name}/output"
        if auxiliary and name in ("4a", "4d"):
            text += side_classifier(f"loss_{name}", bottom, thin(128, width), classes)
    text += pool("pool5", bottom, "AVE", final, stride=1) + dropout("pool5", 0.4)
    return text + fc("classifier", "pool5", classes), "classifier"


def side_classifier(name: str, bottom: str, channels: int, classes: int) -> str:
    text = pool(f"{name}/pool", bottom, "AVE", 2) + conv(
        f"{name}/conv", f"{name}/pool", channels, 1
    )
    text += relu(f"{name}/conv") + fc(f"{name}/fc", f"{name}/conv", classes)
    return text + layer(
        "SoftmaxWithLoss",
        f"{name}/loss",
        [f"{name}/fc", "label"],
        f"{name}/loss1",
        "loss_weight: .3",
    )


MOBILE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))  # fmt: skip  # noqa: E501


def unit(name: str, bottom: str, channels: int, kernel: int, active: bool = True, **more) -> str:
    """A convolution without bias, BatchNorm, Scale and an activation."""
    text = conv(name, bottom, channels, kernel, pad=kernel // 2, bias_term=False, **more)
    return text + norm(name) + (relu(name) if active else "")


def mobilenet(width: float = 1.0, classes: int = 1000, depthwise: str = "Convolution") -> Body:
    """MobileNet (Howard et al. 2017): a convolution per channel, then one across them."""
    count = thin(32, width)
    text, bottom = unit("conv1", "data", count, 3, stride=2), "conv1"
    for number, (channels, stride) in enumerate(MOBILE, 2):
        name = f"conv{number}"
        text += unit(f"{name}/dw", bottom, count, 3, stride=stride, group=count, kind=depthwise)
        count, bottom = thin(channels, width), f"{name}/sep"
        text += unit(bottom, f"{name}/dw", count, 1)
    text += pool("pool6", bottom, "AVE", 0)
    return text + conv("fc7", "pool6", classes, 1), "fc7"


INVERTED = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip  # noqa: E501


def mobilenet2(width: float = 1.0, classes: int = 1000) -> Body:
    """MobileNet v2 (Sandler et al. 2018): residuals between the narrow ends."""
    count = thin(32, width)
    text, bottom, number = unit("conv1", "data", count, 3, stride=2), "conv1", 1
    for growth, channels, repeats, stride in INVERTED:
        for repeat in range(repeats):
            number += 1
            name, wide, step = f"conv{number}", count * growth, 1 if repeat else stride
            inner = bottom
            if growth > 1:
                text, inner = text + unit(f"{name}/expand", bottom, wide, 1), f"{name}/expand"
            text += unit(f"{name}/dw", inner, wide, 3, stride=step, group=wide)
            text += unit(f"{name}/linear", f"{name}/dw", thin(channels, width), 1, active=False)
            if repeat:
                text += eltwise(f"{name}/sum", bottom, f"{name}/linear")
            bottom = f"{name}/sum" if repeat else f"{name}/linear"
            count = thin(channels, width)
    text += unit("last", bottom, thin(1280, width), 1) + pool("pool6", "last", "AVE", 0)
    return text + conv("fc7", "pool6", classes, 1), "fc7"


def shufflenet(groups: int = 3, channels: int = 24, stages: tuple[int, ...] = (3, 7, 3)) -> Body:
    """ShuffleNet (Zhang et al. 2017): grouped convolutions, and channels shuffled between them."""
    text = unit("conv1", "data", channels // 2, 3, stride=2) + pool("pool1", "conv1", kernel=3)
    bottom, count = "pool1", channels // 2
    for level, repeats in enumerate(stages):
        wide = channels * 2**level * 2
        for place in range(repeats + 1):
            name = f"stage{level}_{place}"
            outer = wide - count if place == 0 else wide
            inner = max(groups, wide // 4 // groups * groups)
            first = 1 if level == place == 0 else groups
            text += unit(f"{name}/a", bottom, inner, 1, group=first)
            text += layer(
                "ShuffleChannel", f"{name}/shuffle", f"{name}/a",
                message="shuffle_channel_param", group=groups,
            )  # fmt: skip
            dw = {"group": inner, "kind": "ConvolutionDepthwise", "stride": 1 if place else 2}
            text += unit(f"{name}/dw", f"{name}/shuffle", inner, 3, active=False, **dw)
            text += unit(f"{name}/b", f"{name}/dw", outer, 1, active=False, group=groups)
            if place:
                text += eltwise(name, bottom, f"{name}/b")
            else:
                text += pool(f"{name}/match", bottom, "AVE", 3) + concat(
                    name, f"{name}/match", f"{name}/b"
                )
            text += relu(name)
            bottom, count = name, wide
    text += pool("pool_ave", bottom, "AVE", 0)
    return text + conv("fc", "pool_ave", 10, 1), "fc"


def rcnn(width: float = 1.0, hidden: int = 4096) -> str:
    """R-CNN's training: CaffeNet on windows of images, 21 classes (Girshick et al. 2014)."""
    crop = fields(mirror=True, crop_size=67, mean_file="mean.binaryproto")
    text = layer(
        "WindowData", "data", (), ["data", "label"], f"transform_param {{ {crop} }}",
        message="window_data_param", source="windows.txt", batch_size=128, fg_threshold=0.5,
        bg_threshold=0.5, fg_fraction=0.25, context_pad=16, crop_mode="warp",
    )  # fmt: skip
    body, scores = alexnet(width, hidden, 21, norm_first=False)
    return text + body + judged(scores)
