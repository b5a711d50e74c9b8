"""Layers that bring data in: their tops become the network's inputs."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from prototxt.net import LayerDefinition
from prototxt.schema import UInt, decode

from ..errors import layer_error
from ..fillers import Filler
from ..graph import P
from ..layer_type import LayerType, NoParams
from ..registry import register


@dataclass
class BlobShape:
    """BlobShape."""

    dim: list[int] = field(default_factory=list)


@dataclass
class TransformParams:
    """TransformationParameter, with what LRCN's optical flow needs of it."""

    scale: float = 1.0
    mirror: bool = False
    crop_size: UInt = 0
    mean_file: str = ""
    mean_value: list[float] = field(default_factory=list)
    force_color: bool = False
    force_gray: bool = False
    flow: bool = False


class Backend(enum.Enum):
    """DataParameter.DB: which database."""

    LEVELDB = 0
    LMDB = 1


@dataclass
class DataParams:
    """DataParameter."""

    source: str = ""
    batch_size: UInt = 0
    rand_skip: UInt = 0
    backend: Backend = Backend.LEVELDB
    scale: float = 1.0
    mean_file: str = ""
    crop_size: UInt = 0
    mirror: bool = False
    force_encoded_color: bool = False
    prefetch: UInt = 4


@dataclass
class ImageDataParams:
    """ImageDataParameter, with the least size that LRCN's fork enlarges images to."""

    source: str = ""
    batch_size: UInt = 1
    rand_skip: UInt = 0
    shuffle: bool = False
    new_height: UInt = 0
    new_width: UInt = 0
    is_color: bool = True
    scale: float = 1.0
    mean_file: str = ""
    crop_size: UInt = 0
    mirror: bool = False
    root_folder: str = ""
    min_height: UInt = 0
    min_width: UInt = 0


@dataclass
class WindowDataParams:
    """WindowDataParameter."""

    source: str = ""
    scale: float = 1.0
    mean_file: str = ""
    batch_size: UInt = 0
    crop_size: UInt = 0
    mirror: bool = False
    fg_threshold: float = 0.5
    bg_threshold: float = 0.5
    fg_fraction: float = 0.25
    context_pad: UInt = 0
    crop_mode: str = "warp"
    cache_images: bool = False
    root_folder: str = ""


@dataclass
class HDF5DataParams:
    """HDF5DataParameter."""

    source: str = ""
    batch_size: UInt = 0
    shuffle: bool = False


@dataclass
class MemoryDataParams:
    """MemoryDataParameter."""

    batch_size: UInt = 0
    channels: UInt = 0
    height: UInt = 0
    width: UInt = 0


@dataclass
class InputParams:
    """InputParameter."""

    shape: list[BlobShape] = field(default_factory=list)


@dataclass
class DummyDataParams:
    """DummyDataParameter."""

    data_filler: list[Filler] = field(default_factory=list)
    shape: list[BlobShape] = field(default_factory=list)
    num: list[UInt] = field(default_factory=list)
    channels: list[UInt] = field(default_factory=list)
    height: list[UInt] = field(default_factory=list)
    width: list[UInt] = field(default_factory=list)


@dataclass
class Source(Generic[P]):
    """A data layer's own message together with its `transform_param`."""

    own: P
    transform: TransformParams

    def stated_size(self) -> tuple[int, int] | None:
        """The height and width that the layer states by cropping or resizing."""
        crop = self.transform.crop_size or getattr(self.own, "crop_size", 0)
        if crop:
            return crop, crop
        size = getattr(self.own, "new_height", 0), getattr(self.own, "new_width", 0)
        return size if all(size) else None

    def channels(self, index: int = 0) -> int | None:
        """The channels that the layer states of a top: by its means, or by its colour."""
        if len(self.transform.mean_value) > 1:
            return len(self.transform.mean_value)
        if self.transform.force_gray:
            return 1
        if self.transform.force_color or getattr(self.own, "is_color", False):
            return 3
        return None


S = TypeVar("S", bound=Source[Any])


class InputLayer(LayerType[P]):
    """A layer without bottoms."""

    bottoms: ClassVar[tuple[int, int | None]] = (0, 0)
    tops: ClassVar[tuple[int, int | None]] = (1, None)
    is_input = True


class DataLayer(InputLayer[S]):
    """A layer that reads images and labels from files, of which a converted network has no need.

    Its batch_size is a matter of training: here one image is a batch, where none is stated.
    """

    plain_transform: ClassVar[bool] = False
    """It does to an image what data_transformer.cpp does, and nothing else."""
    source: ClassVar[type[Any]] = Source
    """What `read` makes of both messages."""
    transform: ClassVar[type[Any]] = TransformParams

    def messages(self) -> tuple[str, ...]:
        return (self.message or "", "transform_param")

    def read(self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]) -> S:
        def part(name: str, cls: type[Any]) -> Any:
            return decode(layer.param(name), cls, name=name, lenient=lenient, warn=warn)

        own = part(self.message or "", self.Params)
        source: S = self.source(own, part("transform_param", self.transform))
        return source

    def top_shape(self, params: S, index: int) -> tuple[int, ...] | None:
        """Labels are one number an image."""
        return (1,) if index else None

    def stated_channels(self, params: S, index: int) -> int | None:
        return params.channels(index)

    def stated_size(self, params: S) -> tuple[int, int] | None:
        return params.stated_size()


class UnknownData(DataLayer[Source[NoParams]]):
    """A layer without bottoms whose type nobody registered: its tops are inputs of the network."""

    Params = NoParams

    def top_shape(self, params: Source[NoParams], index: int) -> tuple[int, ...] | None:
        """Nothing is known of them."""
        return None


UNKNOWN_DATA = UnknownData()


@register("Data", message="data_param")
class Data(DataLayer[Source[DataParams]]):
    """Images of an LMDB or LevelDB."""

    Params = DataParams
    plain_transform = True

    def usual_channels(self, params: Source[DataParams], index: int) -> int | None:
        """convert_imageset writes colour unless told otherwise; crop_size is for photographs."""
        return 3 if params.stated_size() and not index else None


@register("ImageData", message="image_data_param")
class ImageData(DataLayer[Source[ImageDataParams]]):
    """Images named in a list."""

    Params = ImageDataParams
    plain_transform = True


@register("WindowData", message="window_data_param")
class WindowData(DataLayer[Source[WindowDataParams]]):
    """Windows of images, for detection."""

    Params = WindowDataParams

    def top_shape(self, params: Source[WindowDataParams], index: int) -> tuple[int, ...] | None:
        crop = params.stated_size()
        if index == 0:
            return (1, 3, *crop) if crop else None
        return (1,)


@register("HDF5Data", message="hdf5_data_param")
class HDF5Data(DataLayer[Source[HDF5DataParams]]):
    """Arrays of HDF5 files, one top each."""

    Params = HDF5DataParams

    def top_shape(self, params: Source[HDF5DataParams], index: int) -> tuple[int, ...] | None:
        return None


@register("MemoryData", message="memory_data_param")
class MemoryData(DataLayer[Source[MemoryDataParams]]):
    """Images and labels handed over by the program."""

    Params = MemoryDataParams
    plain_transform = True
    tops = (2, 2)

    def top_shape(self, params: Source[MemoryDataParams], index: int) -> tuple[int, ...] | None:
        own = params.own
        plane = params.transform.crop_size
        shape = (own.batch_size, own.channels, plane or own.height, plane or own.width)
        return shape[:1] if index else shape


@register("Input", message="input_param")
class Input(InputLayer[InputParams]):
    """A blob of a stated shape."""

    Params = InputParams
    labelled = False

    def top_shape(self, params: InputParams, index: int) -> tuple[int, ...] | None:
        """One shape for all tops, or one for each."""
        if not params.shape:
            return None
        return tuple(params.shape[index if len(params.shape) > 1 else 0].dim)

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> InputParams:
        params = super().read(layer, lenient, warn)
        return check_counts(layer, params, [len(params.shape)])


@register("DummyData", message="dummy_data_param")
class DummyData(InputLayer[DummyDataParams]):
    """Blobs filled once by a filler; here they are inputs."""

    Params = DummyDataParams
    labelled = False

    def read(
        self, layer: LayerDefinition, lenient: bool, warn: Callable[[str], None]
    ) -> DummyDataParams:
        params = super().read(layer, lenient, warn)
        legacy = [params.num, params.channels, params.height, params.width]
        if params.shape and any(legacy):
            raise layer_error(layer, "give shape, or num, channels, height and width")
        return check_counts(layer, params, [len(params.shape or n) for n in legacy])

    def top_shape(self, params: DummyDataParams, index: int) -> tuple[int, ...] | None:
        if params.shape:
            return tuple(params.shape[index if len(params.shape) > 1 else 0].dim)
        legacy = [params.num, params.channels, params.height, params.width]
        if not all(legacy):
            return None
        return tuple(n[index] if len(n) > 1 else n[0] for n in legacy)


def check_counts(layer: LayerDefinition, params: P, counts: list[int]) -> P:
    """As many shapes as tops, or one for all, or none."""
    for count in counts:
        if count not in (0, 1, len(layer.tops)):
            raise layer_error(layer, f"{count} shapes for {len(layer.tops)} tops")
    return params
