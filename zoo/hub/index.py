"""The index of a hub: what `index.json` says of its models, as dataclasses.

A hub is a folder, and any static host serves it:

    index.json                  the index, never cached
    NAME/VERSION/FILE           the files it names; models and weights never change once published
    NAME/VERSION/README.md      what is said of them; written anew where that changes
    NAME/VERSION/model.sig      the publisher's signature of all of these, where there is one

An index is written in the lowest schema that has all it says, so that older clients read what they
can: 2 where there are signatures, other precisions than float32, data sets, citations, or a mean
that is not known; else 1. A client of schema 1 says of 2 that it is to be updated.

Paths are not stated but follow from name, version and file name, each of which is one plain
component, so that no index can point outside its folder. `read` validates everything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from prototxt.preprocessing import Preprocessing
from zoo.hub.fields import Fields, parse
from zoo.inspection.onnx_model import Tensor

SCHEMA = 2
FILE = "index.json"
CARD = "README.md"
"""The card's name, by which model hubs show it; an older hub has another."""
SIGNATURE = "model.sig"
LARGEST_FILE = 4 << 30
LARGEST_INDEX = 16 << 20
LARGEST_SIGNATURE = 1 << 20

RESERVED = (FILE, "index.html", "demo.html", "gallery")
"""What else lies beside the models' folders."""

KINDS = ("model", "data", "card", "signature")
PARTS = ("whole", "encoder", "decoder")
TARGETS = ("cpu", "cuda", "portable")
"""Where a file runs; portable is every runtime. `converters.TARGETS` says what each needs."""
PRECISIONS = ("float32", "float16", "int8")
ENCODERS = ("random", "pretrained", "learned")
"""How an encoder came to be: drawn and never trained; trained to classify; trained with its decoder
(which the paper does not do)."""
VERSION = r"(0|[1-9]\d{0,8})(\.(0|[1-9]\d{0,8})){0,3}"
ARCH = r"[1-9]\d{0,3}_[1-9]\d{0,3}_[1-9]\d{0,3}"
_WORD = r"[a-z][a-z0-9_.-]{0,63}"
_SHA256 = r"[0-9a-f]{64}"
_FILTER = "bilinear"
"""How images are resized."""


Pair = tuple[float, float]


@dataclass(frozen=True)
class Cost:
    """What fewer bits changed, measured when the file was made; as `zoo.precision.cost` has it."""

    sample: str
    """What it was measured on."""
    images: int
    largest: float
    """The largest absolute difference from float32 of an output."""
    rmse: Pair | None = None
    """Of float32 and of this file, pixels in [0, 1]."""
    top1: Pair | None = None
    """The part that float32 and this file classify right."""
    same_class: float | None = None
    """The part in which both see the same class."""


@dataclass(frozen=True)
class Network:
    """What one ONNX file is: the part of the model, where it runs, what goes in and out."""

    part: str
    targets: tuple[str, ...]
    opset: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    precision: str = "float32"
    cost: Cost | None = None
    """None of float32, and where it was not measured."""


@dataclass(frozen=True)
class File:
    """A file of a model.

    `kind` is model (an ONNX file), data (weights beside one), card or signature.
    """

    name: str
    size: int
    sha256: str
    kind: str = "model"
    network: Network | None = None


@dataclass(frozen=True)
class Metric:
    """A measured number, and over which data."""

    name: str
    value: float
    data: str
    images: int | None = None


@dataclass(frozen=True)
class Entry:
    """One version of a model."""

    name: str
    version: str
    task: str
    files: tuple[File, ...]
    arch: str | None = None
    encoder: str | None = None
    """How the paper's encoder came to be: random, pretrained or learned."""
    preprocessing: Preprocessing | None = None
    metrics: tuple[Metric, ...] = ()
    source: str = ""
    licence: str = ""
    datasets: tuple[str, ...] = ()
    """What it was trained on, by the names that model hubs know."""
    bibtex: tuple[str, ...] = ()
    """How to cite it, line by line."""

    @property
    def label(self) -> str:
        """`NAME@VERSION`, as `zoo pull` takes it."""
        return f"{self.name}@{self.version}"

    @property
    def models(self) -> tuple[File, ...]:
        """The ONNX files."""
        return tuple(file for file in self.files if file.kind == "model")

    @property
    def card(self) -> File | None:
        """The Markdown file about it; None where there is none."""
        return next((file for file in self.files if file.kind == "card"), None)

    @property
    def signature(self) -> File | None:
        """The publisher's signature of the other files; None where there is none."""
        return next((file for file in self.files if file.kind == "signature"), None)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def targets(self) -> tuple[str, ...]:
        """Where any of its ONNX files runs, in the order of TARGETS."""
        found = {target for file in self.models if file.network for target in file.network.targets}
        return tuple(target for target in TARGETS if target in found)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those of its ONNX files, in the order of PRECISIONS."""
        found = {file.network.precision for file in self.models if file.network}
        return tuple(precision for precision in PRECISIONS if precision in found)

    def metric(self, name: str) -> Metric | None:
        """The first figure of that name; None where it was not measured."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def path(self, file: File) -> str:
        """Where a file lies below the hub, with forward slashes."""
        return f"{self.name}/{self.version}/{file.name}"


@dataclass(frozen=True)
class Index:
    """All models of a hub."""

    models: tuple[Entry, ...] = ()
    source: str = field(default="", compare=False)
    """Where it was read from, for errors."""

    def versions(self, name: str) -> tuple[Entry, ...]:
        """The versions of a model, oldest first."""
        found = [entry for entry in self.models if entry.name == name]
        return tuple(sorted(found, key=lambda entry: version_key(entry.version)))

    def names(self) -> tuple[str, ...]:
        """Each model's name once, sorted as `natural` does."""
        return tuple(sorted({entry.name for entry in self.models}, key=natural))

    def newest(self) -> Iterator[Entry]:
        """The last version of each model."""
        ordered = sorted(self.models, key=lambda entry: version_key(entry.version))
        last = {entry.name: entry for entry in ordered}
        for name in self.names():
            yield last[name]

    def with_entry(self, entry: Entry) -> Index:
        """The index with one version put in or replaced."""
        kept = [other for other in self.models if other.label != entry.label]
        models = sorted([*kept, entry], key=lambda e: (natural(e.name), version_key(e.version)))
        return Index(tuple(models), self.source)


def as_dict(entry: Entry) -> dict[str, Any]:
    """One version as plain data, as `index.json` and `zoo list --json` have it."""
    found, how = asdict(entry), entry.preprocessing
    if how is not None:
        found["preprocessing"] = {
            "channel_order": how.channel_order,
            "mean": how.mean,
            "scale": how.scale,
            "size": how.input_size,
            "resize": _FILTER,
        }
    return found


def version_key(version: str) -> tuple[int, ...]:
    """A key that sorts 1.9.0 before 1.10.0."""
    return tuple(int(part) for part in version.split("."))


def natural(name: str) -> tuple[Any, ...]:
    """A key that sorts 8_8_8 before 16_16_16."""
    parts = name.replace("-", "_").split("_")
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def write(index: Index) -> str:
    """The text of `index.json`: the same for the same index."""
    models, new = [as_dict(entry) for entry in index.models], False
    for model in models:
        # What schema 1 does not have is left out where it says nothing.
        networks = [file["network"] for file in model["files"] if file["network"]]
        for fields in (model, *networks):
            for name, nothing in _NOTHING.items():
                if fields.get(name, nothing) == nothing:
                    fields.pop(name, None)
                else:
                    new = True
        new |= any(file["kind"] == "signature" for file in model["files"])
        how = model["preprocessing"]
        new |= how is not None and how["mean"] is None
    data = {"schema": 2 if new else 1, "models": models}
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


_NOTHING = {"precision": "float32", "cost": None, "datasets": (), "bibtex": ()}
"""The fields that came with schema 2, and what they are where nothing is said."""


def read(text: str | bytes, source: str) -> Index:
    """Parse and validate; HubError in one line that names `source` and the place in it."""
    if len(text) > LARGEST_INDEX:
        from zoo.errors import HubError

        raise HubError(
            f"larger than the {LARGEST_INDEX >> 20} MiB allowed to an index", subject=source
        )
    fields = Fields(parse(text, source), source)
    schema = fields.take("schema", int, "a whole number")
    if schema > SCHEMA:
        fields.fail("schema", f"{schema} is newer than this tool, which reads {SCHEMA}",
                    "update caffe-zoo")  # fmt: skip
    if schema < 1:
        fields.fail("schema", f"must be from 1 to {SCHEMA}, not {schema}")
    models = fields.objects("models", _entry)
    fields.done()
    _refuse_twins(fields, [entry.label for entry in models], "models")
    # One folder on a system that ignores case, but two models here.
    _refuse_twins(fields, sorted({entry.name for entry in models}), "models")
    return Index(models, source)


def _entry(fields: Fields) -> Entry:
    entry = Entry(
        name=fields.name("name"),
        version=fields.text("version", VERSION, "numbers with dots, as 1.0"),
        task=fields.text("task", _WORD, "a word, as reconstruct"),
        files=fields.objects("files", _file, most=64),
        arch=fields.optional("arch", lambda n: fields.text(n, ARCH, "of the form n1_n2_n3")),
        encoder=fields.optional(
            "encoder", lambda n: fields.text(n, "|".join(ENCODERS), " or ".join(ENCODERS))
        ),
        preprocessing=fields.optional(
            "preprocessing", lambda name: _preprocessing(fields.inside(name))
        ),
        metrics=fields.objects("metrics", _metric, most=64),
        source=fields.text("source"),
        licence=fields.text("licence"),
        datasets=fields.texts("datasets", most=64),
        bibtex=fields.texts("bibtex", most=1000),
    )
    fields.done()
    if entry.name.casefold() in RESERVED:
        fields.fail("name", f'"{entry.name}" is a name of the hub\'s own')
    if not entry.models:
        fields.fail("files", "there is no ONNX file among them")
    for kind in ("card", "signature"):
        if sum(file.kind == kind for file in entry.files) > 1:
            fields.fail("files", f"there is more than one {kind}")
    _refuse_twins(fields, [file.name for file in entry.files], "files")
    return entry


def _file(fields: Fields) -> File:
    file = File(
        name=fields.name("name"),
        size=_size(fields),
        sha256=fields.text("sha256", _SHA256, "64 hex digits"),
        kind=fields.text("kind", "|".join(KINDS), f"one of {', '.join(KINDS)}"),
        network=fields.optional("network", lambda name: _network(fields.inside(name))),
    )
    fields.done()
    if (file.kind == "model") != (file.network is not None):
        fields.fail("network", f"does not go with kind {file.kind}")
    return file


def _size(fields: Fields) -> int:
    size: int = fields.take("size", int, "a whole number")
    if size > LARGEST_FILE:
        fields.fail("size", f"{size} bytes are more than the {LARGEST_FILE >> 30} GiB allowed")
    if size < 1:
        fields.fail("size", f"must be a number of bytes, not {size}")
    return size


def _network(fields: Fields) -> Network:
    targets = fields.items("targets", len(TARGETS))
    for target in targets:
        if target not in TARGETS:
            fields.fail("targets", f"each must be one of {', '.join(TARGETS)}")
    found = Network(
        part=fields.text("part", "|".join(PARTS), f"one of {', '.join(PARTS)}"),
        targets=tuple(targets),
        opset=fields.integer("opset", 1, 1000),
        inputs=fields.objects("inputs", _tensor, most=1000),
        outputs=fields.objects("outputs", _tensor, most=1000),
        precision=fields.optional(
            "precision",
            lambda n: fields.text(n, "|".join(PRECISIONS), f"one of {', '.join(PRECISIONS)}"),
        )
        or "float32",
        cost=fields.optional("cost", lambda name: read_cost(fields.inside(name))),
    )
    fields.done()
    return found


def read_cost(fields: Fields) -> Cost:
    """What fewer bits changed, as the index and a model's metadata have it; HubError."""
    found = Cost(
        sample=fields.text("sample"),
        images=fields.integer("images", 1, 1 << 40),
        largest=fields.number("largest"),
        rmse=fields.optional("rmse", lambda name: _pair(fields, name)),
        top1=fields.optional("top1", lambda name: _pair(fields, name)),
        same_class=fields.optional("same_class", fields.number),
    )
    fields.done()
    return found


def _pair(fields: Fields, name: str) -> Pair:
    numbers = fields.numbers(name, 2)
    if len(numbers) != 2:
        fields.fail(name, "must be two numbers: of float32, and of this file")
    return numbers[0], numbers[1]


def _tensor(fields: Fields) -> Tensor:
    dims = fields.items("shape", 32)
    for dim in dims:
        number = isinstance(dim, int) and not isinstance(dim, bool) and 0 <= dim < 1 << 40
        symbol = isinstance(dim, str) and len(dim) <= 256 and dim.isprintable()
        if not number and not symbol:
            fields.fail("shape", "each dimension must be a number or a symbol")
    found = Tensor(fields.text("name"), tuple(dims), fields.text("dtype", _WORD, "a type"))
    fields.done()
    return found


def _preprocessing(fields: Fields) -> Preprocessing:
    mean, size = fields.optional("mean", lambda name: _mean(fields, name)), fields.items("size", 2)
    if len(size) != 2 or not all(type(v) is int and 0 < v < 1 << 20 for v in size):
        fields.fail("size", "must be height and width")
    found = Preprocessing(
        channel_order=fields.text("channel_order", "BGR|RGB|GRAY", "BGR, RGB or GRAY"),
        mean=mean,
        scale=fields.number("scale"),
        input_size=(size[0], size[1]),
    )
    fields.text("resize", _FILTER, f"{_FILTER}")
    fields.done()
    return found


def _mean(fields: Fields, name: str) -> tuple[float, ...]:
    mean = fields.numbers(name, 16)
    if len(mean) not in (1, 3) or not all(abs(value) < 1e9 for value in mean):
        fields.fail(name, "must be one number or three, or null where it is not known")
    return mean


def _metric(fields: Fields) -> Metric:
    found = Metric(
        name=fields.text("name", _WORD, "a word, as rmse"),
        value=fields.number("value"),
        data=fields.text("data"),
        images=fields.optional("images", lambda name: fields.integer(name, 1, 1 << 40)),
    )
    fields.done()
    return found


def _refuse_twins(fields: Fields, names: list[str], where: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        twin = seen.get(name.casefold())
        if twin is not None:
            again = "stands there twice" if twin == name else f"differs from {twin!r} by case only"
            fields.fail(where, f"{name!r} {again}")
        seen[name.casefold()] = name
