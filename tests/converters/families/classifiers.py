"""Image classifiers: plain stacks and those built of branches, residuals and dense blocks."""

from __future__ import annotations

from .text import conv, data, fc, layer, pool, relu, softmax

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg16(size: int = 224, width: float = 1.0, hidden: int = 4096, classes: int = 1000) -> str:
    """VGG-16 (Simonyan and Zisserman 2014), configuration D, as a deploy definition."""
    text, bottom = 'name: "VGG16"\n' + data(shape=(1, 3, size, size)), "data"
    for level, block in enumerate(VGG16, 1):
        for place, channels in enumerate(block, 1):
            name = f"conv{level}_{place}"
            text += conv(name, bottom, max(1, int(channels * width)), pad=1) + relu(name)
            bottom = name
        text += pool(f"pool{level}", bottom)
        bottom = f"pool{level}"
    for name in ("fc6", "fc7"):
        text += fc(name, bottom, hidden) + relu(name)
        text += layer(
            "Dropout", f"drop_{name}", name, name, message="dropout_param", dropout_ratio=0.5
        )
        bottom = name
    return text + fc("fc8", bottom, classes) + softmax("prob", "fc8")
