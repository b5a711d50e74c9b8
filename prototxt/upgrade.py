"""Definitions of 2013 (V0) and 2014 (V1) in today's terms, as upgrade_proto.cpp does it."""

from __future__ import annotations

from .errors import FormatError, Position
from .text import Field, Message, Scalar

__all__ = ["V1_TYPES", "upgrade_net"]

V1_NUMBERS = {
    1: "ACCURACY", 2: "BNLL", 3: "CONCAT", 4: "CONVOLUTION", 5: "DATA", 6: "DROPOUT",
    7: "EUCLIDEAN_LOSS", 8: "FLATTEN", 9: "HDF5_DATA", 10: "HDF5_OUTPUT", 11: "IM2COL",
    12: "IMAGE_DATA", 13: "INFOGAIN_LOSS", 14: "INNER_PRODUCT", 15: "LRN",
    16: "MULTINOMIAL_LOGISTIC_LOSS", 17: "POOLING", 18: "RELU", 19: "SIGMOID", 20: "SOFTMAX",
    21: "SOFTMAX_LOSS", 22: "SPLIT", 23: "TANH", 24: "WINDOW_DATA", 25: "ELTWISE", 26: "POWER",
    27: "SIGMOID_CROSS_ENTROPY_LOSS", 28: "HINGE_LOSS", 29: "MEMORY_DATA", 30: "ARGMAX",
    31: "THRESHOLD", 32: "DUMMY_DATA", 33: "SLICE", 34: "MVN", 35: "ABSVAL", 36: "SILENCE",
    37: "CONTRASTIVE_LOSS", 38: "EXP", 39: "DECONVOLUTION",
    42: "UNPOOLING",  # of the DeconvNet fork
}  # fmt: skip

V1_TYPES = {
    "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL",
    "CONCAT": "Concat", "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution",
    "DATA": "Data", "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData", "EUCLIDEAN_LOSS": "EuclideanLoss", "ELTWISE": "Eltwise",
    "EXP": "Exp", "FLATTEN": "Flatten", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col", "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN",
    "MEMORY_DATA": "MemoryData", "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN", "POOLING": "Pooling", "POWER": "Power", "RELU": "ReLU", "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "SILENCE": "Silence",
    "SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "SLICE": "Slice",
    "TANH": "TanH", "WINDOW_DATA": "WindowData", "THRESHOLD": "Threshold",
    # Forks that kept V1 syntax: DeconvNet and SegNet. Their CROP is another than today's Crop.
    "UNPOOLING": "Unpooling", "BN": "BN", "UPSAMPLE": "Upsample", "DENSE_IMAGE_DATA":
    "DenseImageData", "PRELU": "PReLU", "CROP": "AlignedCrop", "RESHAPE": "Reshape",
    "LOCAL": "Local", "IMAGE_SEG_DATA": "ImageSegData", "WINDOW_SEG_DATA": "WindowSegData",
    "ELTWISE_ACCURACY": "EltwiseAccuracy",
    # C3D 1.0, and CRF as RNN.
    "CONVOLUTION3D": "Convolution3D", "DECONVOLUTION3D": "Deconvolution3D", "POOLING3D":
    "Pooling3D", "VIDEO_DATA": "VideoClips", "VIDEO_SEGMENTATION_DATA": "VideoSegmentationData",
    "VIDEO_WITH_VOXEL_TRUTH_DATA": "VideoWithVoxelTruthData", "VOXEL_SOFTMAX": "Softmax",
    "VOXEL_SOFTMAX_LOSS": "VoxelSoftmaxLoss", "VOXEL_CUSTOM_LOSS": "VoxelCustomLoss",
    "MULTI_STAGE_MEANFIELD": "MultiStageMeanfield", "SELU_DROPOUT": "SeLuDropout",
}  # fmt: skip

V0_TYPES = {
    "accuracy": "Accuracy", "bnll": "BNLL", "concat": "Concat", "conv": "Convolution",
    "data": "Data", "dropout": "Dropout", "euclidean_loss": "EuclideanLoss", "flatten": "Flatten",
    "hdf5_data": "HDF5Data", "hdf5_output": "HDF5Output", "im2col": "Im2col",
    "images": "ImageData", "infogain_loss": "InfogainLoss", "innerproduct": "InnerProduct",
    "lrn": "LRN", "multinomial_logistic_loss": "MultinomialLogisticLoss", "pool": "Pooling",
    "relu": "ReLU", "sigmoid": "Sigmoid", "softmax": "Softmax",
    "softmax_loss": "SoftmaxWithLoss", "split": "Split", "tanh": "TanH",
    "window_data": "WindowData",
}  # fmt: skip

_DATA = {"data": "data_param", "hdf5_data": "hdf5_data_param", "images": "image_data_param",
         "window_data": "window_data_param"}  # fmt: skip
_CONV = {"conv": "convolution_param"}
_WEIGHTED = {**_CONV, "innerproduct": "inner_product_param"}
_POOL = {"pool": "pooling_param"}
_LRN = {"lrn": "lrn_param"}
_WINDOW = {"window_data": "window_data_param"}
_IMAGES = {"images": "image_data_param"}
_TRANSFORM = {"data": "transform_param", "images": "transform_param",
              "window_data": "transform_param"}  # fmt: skip

# V0 field -> (layer type -> message, today's field name).
V0_FIELDS: dict[str, tuple[dict[str, str], str]] = {
    "num_output": (_WEIGHTED, "num_output"),
    "biasterm": (_WEIGHTED, "bias_term"),
    "weight_filler": (_WEIGHTED, "weight_filler"),
    "bias_filler": (_WEIGHTED, "bias_filler"),
    "pad": ({**_CONV, **_POOL}, "pad"),
    "kernelsize": ({**_CONV, **_POOL}, "kernel_size"),
    "group": (_CONV, "group"),
    "stride": ({**_CONV, **_POOL}, "stride"),
    "pool": (_POOL, "pool"),
    "dropout_ratio": ({"dropout": "dropout_param"}, "dropout_ratio"),
    "local_size": (_LRN, "local_size"),
    "alpha": (_LRN, "alpha"),
    "beta": (_LRN, "beta"),
    "k": (_LRN, "k"),
    "source": ({**_DATA, "hdf5_output": "hdf5_output_param",
                "infogain_loss": "infogain_loss_param"}, "source"),
    "scale": (_TRANSFORM, "scale"),
    "meanfile": (_TRANSFORM, "mean_file"),
    "cropsize": (_TRANSFORM, "crop_size"),
    "mirror": (_TRANSFORM, "mirror"),
    "batchsize": (_DATA, "batch_size"),
    "rand_skip": ({"data": "data_param", **_IMAGES}, "rand_skip"),
    "shuffle_images": (_IMAGES, "shuffle"),
    "new_height": (_IMAGES, "new_height"),
    "new_width": (_IMAGES, "new_width"),
    "concat_dim": ({"concat": "concat_param"}, "concat_dim"),
    "det_fg_threshold": (_WINDOW, "fg_threshold"),
    "det_bg_threshold": (_WINDOW, "bg_threshold"),
    "det_fg_fraction": (_WINDOW, "fg_fraction"),
    "det_context_pad": (_WINDOW, "context_pad"),
    "det_crop_mode": (_WINDOW, "crop_mode"),
    "hdf5_output_param": ({"hdf5_output": ""}, "hdf5_output_param"),
}  # fmt: skip

MOVED_TO_TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")


def upgrade_net(net: Message) -> tuple[Message, str]:
    """The tree in today's syntax, and what it was: ``V0``, ``V1`` or ``current``."""
    old, new = net.all("layers"), net.all("layer")
    if old and new:
        raise FormatError(
            "both `layer` and `layers` are used",
            position=old[0].position,
            remedy="`layers` is the old syntax",
        )
    others = [f for f in net.fields if f.name not in ("layer", "layers")]
    syntax, layers = "current", [message_of(f) for f in new]
    if old:
        messages = [message_of(f) for f in old]
        syntax = "V0" if any(m.last("layer") for m in messages) else "V1"
        if syntax == "V0":
            messages = [upgrade_v0(m) for m in fold_padding(messages)]
        layers = [upgrade_v1(m) if syntax == "V1" else m for m in messages]
    layers = [frozen_statistics(move_transform(m)) for m in layers]
    fields = others + [Field("layer", m, m.position) for m in layers]
    return Message(fields, net.position), syntax


def message_of(field: Field) -> Message:
    if not isinstance(field.value, Message):
        raise FormatError(f"{field.name} must be a message {{ ... }}", position=field.position)
    # A layer's place is that of its `layer` or `layers`.
    return Message(field.value.fields, field.position)


def scalar_text(message: Message, name: str) -> str | None:
    field = message.last(name)
    return field.value.text if field and isinstance(field.value, Scalar) else None


def upgrade_v1(layer: Message) -> Message:
    """Type enums become names; blobs_lr, weight_decay and param become `param` messages."""
    result = Message(position=layer.position)
    for field in layer.fields:
        if field.name == "type":
            result.add("type", v1_type(field), field.position)
        elif field.name not in ("blobs_lr", "weight_decay", "param", "blob_share_mode"):
            result.fields.append(field)
    result.fields.extend(params(layer))
    return result


def v1_type(field: Field) -> str:
    value = field.value
    if isinstance(value, Scalar):
        name = value.text
        if value.kind == "string":
            # Not V1's own, but files that mix both are about, and clear.
            return name
        if value.kind == "number" and name.isdigit():
            name = V1_NUMBERS.get(int(name), name)
        if name in V1_TYPES:
            return V1_TYPES[name]
        # Some fork's: reported, with all others that are unknown, once the layer is needed.
        return name
    raise FormatError("type must be a name", position=field.position)


def params(layer: Message) -> list[Field]:
    """The V1 lists of shares, rates and decays, as one `param` message for each blob."""
    names, modes = layer.all("param"), layer.all("blob_share_mode")
    rates, decays = layer.all("blobs_lr"), layer.all("weight_decay")
    result = []
    for index in range(max(map(len, (names, modes, rates, decays)))):
        spec = Message(position=layer.position)
        for fields, name in (
            (names, "name"),
            (modes, "share_mode"),
            (rates, "lr_mult"),
            (decays, "decay_mult"),
        ):
            if index < len(fields):
                spec.fields.append(Field(name, fields[index].value, fields[index].position))
                spec.position = fields[index].position
        result.append(Field("param", spec, spec.position))
    return result


def fold_padding(layers: list[Message]) -> list[Message]:
    """V0's padding layers become the pad of the convolution or pooling that reads them."""
    padded: dict[str, tuple[str, Scalar]] = {}
    result = []
    for layer in layers:
        inner = layer.last("layer")
        if inner is None:
            raise FormatError("V0 and V1 layers are mixed", position=layer.position)
        own = message_of(inner)
        bottoms = [f.value.text for f in layer.all("bottom") if isinstance(f.value, Scalar)]
        if scalar_text(own, "type") == "padding":
            tops = [f.value.text for f in layer.all("top") if isinstance(f.value, Scalar)]
            pad = own.last("pad")
            if len(bottoms) != 1 or len(tops) != 1 or pad is None:
                raise FormatError(
                    "a padding layer has one bottom, one top, a pad", position=layer.position
                )
            assert isinstance(pad.value, Scalar)
            padded[tops[0]] = (bottoms[0], pad.value)
            continue
        found = [padded[b] for b in bottoms if b in padded]
        if found:
            if scalar_text(own, "type") not in ("conv", "pool") or len(bottoms) != 1:
                raise FormatError("only conv and pool can follow padding", position=layer.position)
            source, amount = found[0]
            own = Message([f for f in own.fields if f.name != "pad"], own.position)
            own.add("pad", amount, inner.position)
            fields = [f for f in layer.fields if f.name not in ("bottom", "layer")]
            layer = Message(fields, layer.position)
            layer.add("bottom", source, inner.position)
            layer.fields.insert(0, Field("layer", own, inner.position))
        result.append(layer)
    return result


def upgrade_v0(connection: Message) -> Message:
    """`layers { layer { type: "conv" ... } bottom top }` in today's form."""
    inner = connection.last("layer")
    assert inner is not None
    own = message_of(inner)
    kind = scalar_text(own, "type") or ""
    result = Message(position=connection.position)
    result.add("name", scalar_text(own, "name") or "", inner.position)
    result.add("type", V0_TYPES.get(kind, kind), inner.position)
    result.fields.extend(f for f in connection.fields if f.name in ("bottom", "top"))
    groups: dict[str, Message] = {}
    for field in own.fields:
        if field.name in ("name", "type", "blobs_lr", "weight_decay", "blobs"):
            continue
        homes, name = V0_FIELDS.get(field.name, ({}, ""))
        if kind not in homes:
            raise FormatError(
                f"unknown field {field.name!r} in a V0 layer of type {kind!r}",
                position=field.position,
            )
        if not homes[kind]:
            result.fields.append(field)
            continue
        group = groups.setdefault(homes[kind], Message(position=field.position))
        group.fields.append(Field(name, field.value, field.position))
    result.fields.extend(Field(name, group, group.position) for name, group in groups.items())
    result.fields.extend(params(own))
    return result


def move_transform(layer: Message) -> Message:
    """Before transform_param, data layers had scale, mean_file, crop_size and mirror."""
    kinds = {
        "Data": "data_param",
        "ImageData": "image_data_param",
        "WindowData": "window_data_param",
    }
    home = kinds.get(scalar_text(layer, "type") or "")
    if home is None:
        return layer
    moved: list[Field] = []
    fields: list[Field] = []
    place: Position | None = None
    for field in layer.fields:
        if field.name == home and isinstance(field.value, Message):
            inner = field.value.fields
            moved += [f for f in inner if f.name in MOVED_TO_TRANSFORM]
            place = field.position
            kept = [f for f in inner if f.name not in MOVED_TO_TRANSFORM]
            field = Field(home, Message(kept, field.value.position), field.position)
        fields.append(field)
    if not moved:
        return layer
    fields.append(Field("transform_param", Message(moved, place), place))
    return Message(fields, layer.position)


def frozen_statistics(layer: Message) -> Message:
    """BatchNorm's three statistics are not learned: older files say so with three `param`s."""
    if scalar_text(layer, "type") != "BatchNorm" or len(layer.all("param")) != 3:
        return layer
    fields = [f for f in layer.fields if f.name != "param"]
    for field in layer.all("param"):
        spec = Message(
            [f for f in message_of(field).fields if f.name not in ("lr_mult", "decay_mult")],
            field.position,
        )
        spec.add("lr_mult", Scalar("0", "number"), field.position)
        spec.add("decay_mult", Scalar("0", "number"), field.position)
        fields.append(Field("param", spec, field.position))
    return Message(fields, layer.position)
