"""Images as .switches files and back, by one network: what `zoo encode` and `zoo decode` do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import Argument, Note, Sentence

if TYPE_CHECKING:
    from runtime import Feeder
    from runtime.codec import CodeSize, EntropyModel, Header
    from runtime.encoder_decoder import EncoderDecoder
    from zoo.hub.places import HubAddress


STRIP = 1 << 22
"""Pixels of an image that a network works on at a time; larger ones go through it in strips."""


@dataclass(frozen=True)
class Coder:
    """A network that encodes and decodes; `open_coder` makes it."""

    network: EncoderDecoder
    mean: np.ndarray
    notes: tuple[str, ...]

    @property
    def arch(self) -> str:
        """As the model states it, or what else it is called; empty where it does not say."""
        said = self.network.metadata
        arch: str = said.get("zoo.arch") or said.get("zoo.network", "")
        return arch

    @property
    def sha256(self) -> str:
        """Of the model's file."""
        return self.network.sha256

    def header(self, height: int, width: int, raw: bool = False) -> Header:
        """The head of a .switches file for an image of that size; `raw` is uncompressed."""
        from runtime.codec import Header

        known = self.network.entropy_model
        coding = "raw" if raw else "lzma2" if known is None else known.coding
        return Header(height, width, tuple(self.network.levels), self.arch, self.sha256, coding)

    def switches(self, image: np.ndarray) -> list[np.ndarray]:
        """The masks of an H×W×3 uint8 BGR image of any size, padded by its last row and column."""
        height, width = image.shape[:2]
        rows, columns = self._padded(height, width)
        edge = [(0, rows - height), (0, columns - width), (0, 0)]
        whole = np.pad(image, edge, mode="edge")
        masks = [np.empty(shape, np.int64) for shape in self.network.shapes(rows, columns)]
        for kept, seen in self._strips(rows, columns):
            part = whole[seen]
            found = self.network.encode(self._feeder(part.shape[:2]).blob(part)[None])
            for level, (mask, new) in enumerate(zip(masks, found, strict=True)):
                start = (seen.start >> level) * (columns >> level)
                inner = rows_of(kept, level + 1, seen.start)
                mask[:, rows_of(kept, level + 1)] = new[:, inner] + start
        return masks

    def picture(self, masks: list[np.ndarray], height: int, width: int) -> np.ndarray:
        """The masks of an image of that size -> H×W×3 uint8 BGR."""
        from runtime.evaluation import check_image

        rows, columns = self._padded(height, width)
        picture = np.empty((rows, columns, 3), np.uint8)
        for kept, seen in self._strips(rows, columns):
            parts = [
                mask[:, rows_of(seen, level + 1)] - (seen.start >> level) * (columns >> level)
                for level, mask in enumerate(masks)
            ]
            size = (seen.stop - seen.start, columns)
            found = self.network.decode(parts, *size)[0]
            image = np.broadcast_to(np.float32(0), (3, *size))
            check_image(found, image, self.network.decoder, "these switches")
            inner = rows_of(kept, 0, seen.start)
            picture[kept] = self._feeder(size).picture(found[:, inner])
        return picture[:height, :width]

    def _strips(self, rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
        """Rows of an image, and with them those around that bear upon them."""
        unit, reach = self.network.multiple, self.network.reach
        if reach is None or self.network.fixed is not None:
            yield slice(0, rows), slice(0, rows)
            return
        step = max(unit, STRIP // columns // unit * unit)
        for top in range(0, rows, step):
            end = min(rows, top + step)
            yield slice(top, end), slice(max(0, top - reach), min(rows, end + reach))

    def _feeder(self, padded: tuple[int, int]) -> Feeder:
        """Feeds images of that size, uncut, by the model's mean, scale and order of colours."""
        import runtime

        return runtime.Feeder(self.network.encoder, self.mean, padded, crop=False)

    def _padded(self, height: int, width: int) -> tuple[int, int]:
        from runtime import InferenceError

        size, fixed = self.header(height, width).padded, self.network.fixed
        if fixed not in (None, size):
            raise InferenceError(
                f"takes images of {fixed[0]}x{fixed[1]} only, not {height}x{width}",
                subject=self.network.source,
                remedy=Sentence("convert it again without ", Argument("shapes")),
            )
        return size


def rows_of(rows: slice, level: int, first: int = 0) -> slice:
    """Rows of an image, counted from the `first`, as rows of a level's windows."""
    return slice((rows.start - first) >> level, (rows.stop - first) >> level)


def open_coder(model: Path, provider: str = "auto") -> Coder:
    """The network in an ONNX file; InferenceError where it has no switches to be cut at."""
    import runtime
    from converters.metadata import untrained
    from runtime.encoder_decoder import load_encoder_decoder

    network = load_encoder_decoder(model, provider)
    # No mean is taken: who decodes must come to the same, from the model alone.
    how, _, resolved = runtime.resolve(network.metadata)
    said = (*resolved, network.note, untrained(network.metadata))
    # What the notes advise is a mean of one's own, which is not taken here.
    notes = tuple(note.message if isinstance(note, Note) else note for note in said if note)
    return Coder(network, how.mean_values(3), notes)


def add_tables(model: Path, images: Iterable[np.ndarray]) -> None:
    """Count on H×W×3 uint8 BGR images how a network's switches follow one another.

    The model's file gets the tables (`runtime.switch_tables`), by which files of its switches are
    smaller from then on; what others it had are replaced, and its digest changes.
    """
    from runtime.codec import places_of
    from runtime.switch_tables import SwitchTables

    coder = open_coder(model, "cpu")
    add_entropy_model(model, SwitchTables.counted(map(places_of, map(coder.switches, images))))


def add_entropy_model(model: Path, entropy_model: EntropyModel) -> None:
    """Have a model's file say how likely its switches are, in place of what it said before."""
    import onnx

    from prototxt.files import atomic_write
    from runtime.onnx_files import read_model
    from runtime.switch_predictor import SwitchPredictor
    from runtime.switch_tables import SwitchTables

    whole = read_model(model)
    stated = {item.key: item.value for item in whole.metadata_props}
    others = {kind.metadata for kind in (SwitchPredictor, SwitchTables)}
    stated = {name: value for name, value in stated.items() if name not in others}
    stated[entropy_model.metadata] = entropy_model.to_text()
    onnx.helper.set_model_props(whole, stated)
    atomic_write(model, whole.SerializeToString())


def encode(coder: Coder, image: np.ndarray, path: Path, raw: bool = False) -> CodeSize:
    """Write the switches of an H×W×3 uint8 BGR image."""
    from runtime.codec import check, write_switches

    height, width = image.shape[:2]
    header = coder.header(height, width, raw)
    check(header, str(path))  # before the network runs
    return write_switches(path, header, coder.switches(image), coder.network.entropy_model)


def decode(coder: Coder, path: Path) -> np.ndarray:
    """The picture in a .switches file that this network made; InferenceError for another's."""
    from runtime import InferenceError
    from runtime.codec import read_header, read_masks

    header = read_header(path)
    if header.sha256 != coder.sha256:
        raise InferenceError(
            f"was made by {named(header.arch, header.sha256)}, not by "
            f"{coder.network.source}, which is {named(coder.arch, coder.sha256)}",
            subject=path,
            remedy=Sentence(
                "give the model that made it, or leave ", Argument("model"), " out and name its hub"
            ),
        )
    if header.levels != tuple(coder.network.levels) or header.arch != coder.arch:
        raise InferenceError(
            f"tells of levels of {', '.join(map(str, header.levels))} channels, unlike its "
            "own model",
            subject=path,
            remedy="encode the image again",
        )
    masks = list(read_masks(path, coder.network.entropy_model))
    return coder.picture(masks, header.height, header.width)


def model_of(header: Header, path: Path, hub: HubAddress, offline: bool) -> Path:
    """The model that made a file, from the hub; HubError that names it where it is not there."""
    from zoo.errors import HubError
    from zoo.hub import locate_file

    found, opened = locate_file(header.sha256, hub, offline)
    if found is not None:
        return found
    others = [
        entry
        for entry in opened.index.models
        if header.arch and header.arch in (entry.arch, entry.name)
    ]
    has = "".join(
        f"; its {entry.label} is sha256 {file.sha256[:12]}" for entry in others
        for file in entry.models
        if file.network and file.network.part == "whole"
    )  # fmt: skip
    raise HubError(
        f"was made by {named(header.arch, header.sha256)}, which is not in {opened.name}{has}",
        subject=path,
        remedy=Sentence(
            "give it with ", Argument("model", "M.onnx"), ", or its hub with ", Argument("hub")
        ),
    )


def named(arch: str, sha256: str) -> str:
    """A model, as a person reads it."""
    return f"{arch or 'a network without an arch'} (sha256 {sha256[:12]})"


def bits_per_pixel(header: Header, written: CodeSize) -> dict[str, float]:
    """What an image costs, for each pixel and colour channel.

    paper: the formula, 2 bits for each switch, no padding; fixed: the same of the padded image;
    entropy: order 0, each channel's switches by their own frequencies; coded: the whole file.
    """
    values = 3 * header.height * header.width
    formula = sum(2 * c / 4**k for k, c in enumerate(header.levels, 1)) / 3
    return {
        "paper": formula,
        "fixed": written.fixed_bits / values,
        "entropy": written.entropy_bits / values,
        "coded": 8 * written.size / values,
    }


@dataclass(frozen=True)
class Encoded:
    """An image that was written as switches, by which model, and what it costs."""

    image: Path
    file: Path
    model: Path
    header: Header
    written: CodeSize
    notes: tuple[str, ...]

    @property
    def bits(self) -> dict[str, float]:
        """As `bits_per_pixel`: for each pixel and colour channel."""
        return bits_per_pixel(self.header, self.written)

    def as_dict(self) -> dict[str, Any]:
        """As `zoo encode --json` prints it."""
        header, bits = self.header, self.bits
        return {
            "image": str(self.image),
            "file": str(self.file),
            "bytes": self.written.size,
            "coding": header.coding,
            "size": [header.height, header.width],
            "padded": list(header.padded),
            "arch": header.arch or None,
            "model": str(self.model),
            "sha256": header.sha256,
            "bits_per_pixel_and_channel": {name: round(bit, 6) for name, bit in bits.items()},
            "bits_per_pixel": {name: round(3 * bit, 6) for name, bit in bits.items()},
            "notes": list(self.notes),
        }


def encode_file(
    image: Path, file: Path, model: Path, *, raw: bool = False, provider: str = "auto"
) -> Encoded:
    """Write an image of any size as a .switches file of the model's; `raw` leaves 2 bits a switch.

    Raises ZooError for a broken image and for a model without switches.
    """
    import runtime
    from runtime import limits

    limits.given(image, limits.OF_PICTURE)
    pixels = runtime.read_image(image)
    coder = open_coder(model, provider)
    written = encode(coder, pixels, file, raw)
    header = coder.header(pixels.shape[0], pixels.shape[1], raw)
    return Encoded(image, file, model, header, written, coder.notes)


@dataclass(frozen=True)
class Decoded:
    """A picture that was made of switches, and by which model."""

    file: Path
    picture: Path
    model: Path
    header: Header
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As `zoo decode --json` prints it."""
        header = self.header
        return {
            "file": str(self.file),
            "picture": str(self.picture),
            "size": [header.height, header.width],
            "arch": header.arch or None,
            "model": str(self.model),
            "sha256": header.sha256,
            "notes": list(self.notes),
        }


def decode_file(
    file: Path,
    picture: Path,
    model: Path | None = None,
    *,
    hub: HubAddress = None,
    offline: bool = False,
    provider: str = "auto",
) -> Decoded:
    """Write the picture (PNG) in a .switches file, by the model that made it.

    That is `model`, else the one of that digest in the hub. Raises ZooError for any other model.
    """
    import runtime
    from runtime import limits
    from runtime.codec import read_header

    limits.given(file, limits.OF_PICTURE)
    header = read_header(file)
    path = model if model is not None else model_of(header, file, hub, offline)
    coder = open_coder(path, provider)
    runtime.write_png(picture, decode(coder, file))
    return Decoded(file, picture, path, header, coder.notes)
