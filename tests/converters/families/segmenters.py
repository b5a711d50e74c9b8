"""Networks that give a map: segmentation, edges. Each gives its layers and its maps' names."""

from __future__ import annotations

from .classifiers import VGG16, thin, unit
from .text import concat, conv, dropout, eltwise, layer, norm, pool, relu, softmax

Maps = tuple[str, str]


def deconv(name: str, bottom: str, channels: int, kernel: int, **more) -> str:
    return conv(name, bottom, channels, kernel, kind="Deconvolution", bias_term=False, **more)


def crop(name: str, bottom: str, like: str, offset: int | None = None) -> str:
    """Crop as Caffe has it now: both planes' axes from `axis` on, cut at `offset`."""
    more = f"offset: {offset}" if offset is not None else ""
    return layer("Crop", name, [bottom, like], more=f"crop_param {{ axis: 2 {more} }}")


def vgg_trunk(width: float, pad: int = 1, levels: int = 5) -> str:
    """VGG-16's convolutions, the first padded by `pad`, with a pooling after each level."""
    text, bottom = "", "data"
    for level, block in enumerate(VGG16[:levels], 1):
        for place, channels in enumerate(block, 1):
            name, edge = f"conv{level}_{place}", pad if level == place == 1 else 1
            text += conv(name, bottom, thin(channels, width), pad=edge) + relu(name)
            bottom = name
        text += pool(f"pool{level}", bottom)
        bottom = f"pool{level}"
    return text


def fcn8s(width: float = 1.0, heads: tuple[int, ...] = (21,), data: str = "data") -> str:
    """FCN-8s (Long et al. 2015): pad 100 and crops with offsets; several heads as for SIFT Flow."""
    text, bottom = vgg_trunk(width, pad=100), "pool5"
    for name, kernel in (("fc6", 7), ("fc7", 1)):
        text += conv(name, bottom, thin(4096, width / 4), kernel) + relu(name) + dropout(name)
        bottom = name
    for head, classes in enumerate(heads):
        end = f"_{head}" if len(heads) > 1 else ""
        text += conv(f"score_fr{end}", "fc7", classes, 1)
        text += deconv(f"upscore2{end}", f"score_fr{end}", classes, 4, stride=2)
        last = f"upscore2{end}"
        for level, offset in ((4, 5), (3, 9)):
            name = f"pool{level}{end}"
            text += conv(f"score_{name}", f"pool{level}", classes, 1)
            text += crop(f"score_{name}c", f"score_{name}", last, offset)
            text += eltwise(f"fuse_{name}", last, f"score_{name}c")
            kernel, stride = (4, 2) if level == 4 else (16, 8)
            last = f"up_{name}"
            text += deconv(last, f"fuse_{name}", classes, kernel, stride=stride)
        text += crop(f"score{end}", last, data, 31)
    return text


def fcn32s_color_depth(width: float = 1.0) -> str:
    """FCN-32s of NYUDv2: colour and depth as two inputs, concatenated."""
    text = concat("data", "color", "depth") + vgg_trunk(width, pad=100)
    text += conv("fc6", "pool5", thin(4096, width / 4), 7) + relu("fc6") + dropout("fc6")
    text += conv("score_fr", "fc6", 40, 1) + deconv("upscore", "score_fr", 40, 64, stride=32)
    return text + crop("score", "upscore", "color", 19)


def hed(width: float = 1.0) -> str:
    """HED (Xie and Tu 2015): a side output of each level, all fused."""
    text, sides = vgg_trunk(width, pad=35), []
    for level, block in enumerate(VGG16, 1):
        name, source = f"dsn{level}", f"conv{level}_{len(block)}"
        text += conv(f"score_{name}", source, 1, 1)
        up = f"score_{name}"
        if level > 1:
            up, stride = f"up_{name}", 2 ** (level - 1)
            text += deconv(up, f"score_{name}", 1, 2 * stride, stride=stride)
        text += crop(f"upscore_{name}", up, "data", 33 + level) + relu(f"upscore_{name}", "Sigmoid")
        sides.append(f"upscore_{name}")
    return text + concat("all", *sides) + conv("fuse", "all", 1, 1)


def deeplab(width: float = 1.0, branches: tuple[int, ...] = (12,), classes: int = 21) -> str:
    """DeepLab-LargeFOV; with several `branches` (dilations) it is v2's ASPP, summed."""
    text, bottom = "", "data"
    for level, block in enumerate(VGG16, 1):
        for place, channels in enumerate(block, 1):
            name, hole = f"conv{level}_{place}", 2 if level == 5 else 1
            text += conv(name, bottom, thin(channels, width), pad=hole, dilation=hole) + relu(name)
            bottom = name
        text += pool(f"pool{level}", bottom, kernel=3, stride=2 if level < 4 else 1, pad=1)
        bottom = f"pool{level}"
    text += pool("pool5a", bottom, "AVE", 3, stride=1, pad=1)
    scores = []
    for number, hole in enumerate(branches, 1):
        end = f"_{number}" if len(branches) > 1 else ""
        hidden = thin(1024, width)
        text += conv(f"fc6{end}", "pool5a", hidden, pad=hole, dilation=hole) + relu(f"fc6{end}")
        text += dropout(f"fc6{end}") + conv(f"fc7{end}", f"fc6{end}", hidden, 1)
        text += relu(f"fc7{end}") + conv(f"fc8{end}", f"fc7{end}", classes, 1)
        scores.append(f"fc8{end}")
    last = scores[0]
    if len(scores) > 1:
        last = "fc8_sum"
        text += eltwise(last, *scores)
    return text + layer("Interp", "fc8_interp", last, more="interp_param { zoom_factor: 8 }")


def shrunk_label() -> str:
    """As DeepLab's training brings labels to the scores' size."""
    return layer("Interp", "label_shrink", "label", more="interp_param { shrink_factor: 8 }")


def pspnet(width: float = 1.0, side: int = 57, classes: int = 21) -> str:
    """PSPNet (Zhao et al. 2017): dilated residuals, means over a pyramid of bins, all resized."""
    count = thin(64, width)
    text = unit("conv1", "data", count, 3, stride=2) + unit("conv2", "conv1", count, 3)
    text += pool("pool1", "conv2", kernel=3, pad=1)
    bottom, plane = "pool1", (side - 1) // 4 + 1
    for number, hole in enumerate((1, 2, 4)):
        name = f"res{number}"
        text += unit(f"{name}/a", bottom, count, 1)
        text += conv(f"{name}/b", f"{name}/a", count, 3, pad=hole, dilation=hole, bias_term=False)
        text += norm(f"{name}/b") + relu(f"{name}/b")
        text += unit(f"{name}/c", f"{name}/b", 2 * count, 1, active=False)
        short = bottom
        if not number:
            text += unit(f"{name}/proj", bottom, 2 * count, 1, active=False)
            short = f"{name}/proj"
        text += eltwise(name, short, f"{name}/c") + relu(name)
        bottom = name
    levels = [bottom]
    for bins in (1, 2, 3):
        kernel = -(-plane // bins)
        stride, name = max(1, plane // bins), f"pyramid{bins}"
        text += pool(f"{name}/pool", bottom, "AVE", kernel, stride=stride)
        text += unit(f"{name}/conv", f"{name}/pool", count, 1)
        size = f"interp_param {{ height: {plane} width: {plane} }}"
        text += layer("Interp", name, f"{name}/conv", more=size)
        levels.append(name)
    text += concat("pyramid", *levels) + unit("last", "pyramid", count, 3) + dropout("last", 0.1)
    text += conv("score", "last", classes, 1)
    return text + layer("Interp", "score_full", "score", more="interp_param { zoom_factor: 4 }")


def encoder(width: float, bn: str, levels: int = 3, sampled: bool = False) -> tuple[str, list[str]]:
    """Convolutions, BN, ReLU and pools whose masks are kept (SegNet, DeconvNet)."""
    text, bottom, masks = "", "data", []
    for level in range(1, levels + 1):
        name = f"conv{level}"
        text += conv(name, bottom, thin(16 * level, width), pad=1)
        text += layer("BN", f"{name}_bn", name, name, bn) + relu(name)
        text += pool(f"pool{level}", name, top=[f"pool{level}", f"mask{level}"])
        bottom = f"pool{level}"
        masks.append(f"mask{level}")
        if sampled and level > 1:
            more = "dropout_param { dropout_ratio: .5 sample_weights_test: true }"
            text += layer("Dropout", f"drop{level}", bottom, bottom, more)
    return text, masks


def segnet(width: float = 1.0, classes: int = 11, bayesian: bool = False, test: bool = True) -> str:
    """SegNet (Badrinarayanan et al. 2015): upsampling by the encoder's masks."""
    filled = (
        "scale_filler { type: 'constant' value: 1.2 } shift_filler { type: 'constant' value: .001 }"
    )
    bn = f"bn_param {{ {filled} {'bn_mode: INFERENCE' if test else ''} }}"
    text, masks = encoder(width, bn, sampled=bayesian)
    bottom = "pool3"
    for level in (3, 2, 1):
        more = "upsample_param { scale: 2 }"
        text += layer("Upsample", f"up{level}", [bottom, masks[level - 1]], more=more)
        bottom = f"dec{level}"
        count = thin(16 * max(1, level - 1), width) if level > 1 else classes
        text += conv(bottom, f"up{level}", count, pad=1)
        if level > 1:
            text += layer("BN", f"{bottom}_bn", bottom, bottom, bn) + relu(bottom)
    return text + softmax("prob", bottom)


def deconvnet(width: float = 1.0, classes: int = 21, side: int = 24) -> str:
    """DeconvNet (Noh et al. 2015): down to 1×1 and back by unpooling to stated sizes."""
    bn = "bn_param { scale_filler { type: 'constant' value: 1 } shift_filler { type: 'constant' value: .001 } bn_mode: INFERENCE }"  # noqa: E501
    text, masks = encoder(width, bn)
    text += conv("fc6", "pool3", thin(32, width), side // 8) + relu("fc6")
    text += deconv("fc6_deconv", "fc6", thin(48, width), side // 8) + relu("fc6_deconv")
    bottom = "fc6_deconv"
    for level in (3, 2, 1):
        size = f"unpool_size: {side >> (level - 1)}"
        more = f"unpooling_param {{ unpool: MAX kernel_size: 2 stride: 2 {size} }}"
        text += layer("Unpooling", f"unpool{level}", [bottom, masks[level - 1]], more=more)
        bottom = f"deconv{level}"
        text += deconv(bottom, f"unpool{level}", thin(16 * max(1, level - 1), width), 3, pad=1)
        text += layer("BN", f"{bottom}_bn", bottom, bottom, bn) + relu(bottom)
    return text + conv("seg-score", bottom, classes, 1)


def enet(width: float = 1.0, classes: int = 19, phase: str = "TEST") -> str:
    """ENet (Paszke et al. 2016): PReLU, 1×5 and 5×1, masks, spatial dropout by Python."""

    def bn(name: str) -> str:
        return layer("BN", f"{name}_bn", name, name, "bn_param { bn_mode: INFERENCE }")

    count = thin(16, width)
    text = conv("c0", "data", count - 3, 3, stride=2, pad=1) + pool("p0", "data")
    text += concat("cat0", "c0", "p0") + bn("cat0") + layer("PReLU", "prelu0", "cat0", "cat0")
    text += pool("pool1", "cat0", top=["pool1", "mask1"])
    text += conv("b1", "cat0", count, 2, stride=2, bias_term=False) + bn("b1")
    text += layer("PReLU", "prelu1", "b1", "b1")
    for name, source, height, wide in (("b2", "b1", 5, 1), ("b3", "b2", 1, 5)):
        text += conv(
            name, source, count, None, kernel_h=height, kernel_w=wide, pad_h=height // 2,
            pad_w=wide // 2,
        )  # fmt: skip
    param = f"param_str: \"{{'phase': '{phase}', 'p': '0.1'}}\""
    python = f'python_param {{ module: "spatial_dropout" layer: "SpatialDropoutLayer" {param} }}'
    text += bn("b3") + layer("Python", "drop1", "b3", more=python)
    text += eltwise("sum1", "pool1", "drop1") + layer("PReLU", "prelu2", "sum1", "sum1")
    text += layer("Upsample", "up1", ["sum1", "mask1"], more="upsample_param { scale: 2 }")
    return text + deconv("deconv", "up1", classes, 2, stride=2)


def unet(width: float = 1.0, classes: int = 2) -> str:
    """U-Net (Ronneberger et al. 2015): no padding, so that what is concatenated is cropped."""
    text, bottom, kept = "", "data", []
    for level in range(3):
        for place in "ab":
            name = f"d{level}{place}"
            text += conv(name, bottom, thin(16 << level, width)) + relu(name)
            bottom = name
        if level < 2:
            kept.append(bottom)
            text += pool(f"pool{level}", bottom)
            bottom = f"pool{level}"
    for level in (1, 0):
        text += conv(
            f"up{level}", bottom, thin(16 << level, width), 2, kind="Deconvolution", stride=2
        )
        text += relu(f"up{level}") + crop(f"crop{level}", kept[level], f"up{level}")
        text += concat(f"cat{level}", f"up{level}", f"crop{level}")
        bottom = f"cat{level}"
        for place in "ab":
            name = f"u{level}{place}"
            text += conv(name, bottom, thin(16 << level, width)) + relu(name)
            bottom = name
    return text + conv("score", bottom, classes, 1)
