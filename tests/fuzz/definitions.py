"""Definitions made by a grammar: layers of the registry, with parameters of their own dataclasses.

Whatever it makes either converts, and then ONNX Runtime and PyTorch agree on it by the rule of
`zoo verify`, or is refused in one line. The suite tries some hundreds (test_definitions.py), more

    python -m tests.fuzz.definitions 100000 --seed 1

does, which stops at the first that breaks the rule, made as small as hypothesis can, and says of
each layer type how often it was converted and how often refused.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import enum
import sys
import tempfile
import types
import typing
import warnings
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import converters
import prototxt
import runtime
from converters.fillers import Filler
from converters.registry import LayerInfo, find, layer_types
from prototxt.errors import ZooError
from zoo.checking import feeds
from zoo.checking.verification import Verifier

__all__ = ["Outcome", "checked", "definitions"]

TOLERANCE = 1e-4
"""As `zoo verify`."""
COUNTS = st.sampled_from([*[1, 2, 3] * 8, *[4, 5, 6] * 2, 0, 7, 64, 2**31 - 1])
WHOLE = st.sampled_from([*[0, 1, 2] * 6, *[-1, 3] * 3, -2, 5, 100, -(2**31)])
REAL = st.sampled_from([*[1.0, 0.5, 2.0, 0.75] * 5, 0.0, -1.0, 0.1, 1e-5, 100.0, -0.5, 1e30])
TEXT = st.sampled_from(["", "x", "b0", "1", "1,2", "xavier", "max", "SUM", "\\342\\202\\254"])
FILLERS = st.sampled_from(
    ["constant", "gaussian", "xavier", "msra", "uniform", "bilinear", "positive_unitball", "odd"]
)
ALMOST_ALWAYS = ("num_output", "kernel_size", "dim", "shape", "pool_size", "unpool_size", "width")
"""Fields without which hardly any layer is a layer."""
PLANES = [*[(1, 3, 8, 8), (2, 4, 6, 6)] * 4, (1, 2, 9, 7), (2, 3), (2, 3, 4), (1, 1, 1, 1)]


def text_of(draw: st.DrawFn, cls: type[Any], depth: int = 0) -> str:
    """Some fields of a parameter message."""
    hints = typing.get_type_hints(cls, include_extras=True)
    parts = []
    for field in dataclasses.fields(cls):
        often = 9 if field.name in ALMOST_ALWAYS else 2
        if draw(st.integers(0, 9)) >= often:
            continue
        hint = hints[field.name]
        times = draw(st.integers(1, 3)) if get_origin(hint) is list else 1
        parts += [field_of(draw, cls, field.name, hint, depth) for _ in range(times)]
    return " ".join(parts)


def field_of(draw: st.DrawFn, cls: type[Any], name: str, hint: Any, depth: int) -> str:
    """One field as text, of whatever type its dataclass says."""
    if get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(h for h in get_args(hint) if h is not type(None))
    if get_origin(hint) is list:
        (hint,) = get_args(hint)
    if dataclasses.is_dataclass(hint):
        return f"{name} {{ {text_of(draw, typing.cast(type, hint), depth + 1)} }}"
    if get_origin(hint) is Annotated:
        return f"{name}: {draw(COUNTS)}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return f"{name}: {draw(st.sampled_from(list(hint))).name}"
    if hint is bool:
        return f"{name}: {'true' if draw(st.booleans()) else 'false'}"
    if hint is int:
        return f"{name}: {draw(WHOLE)}"
    if hint is float:
        return f"{name}: {draw(REAL)}"
    filler = cls is Filler and name == "type"
    return f'{name}: "{draw(FILLERS if filler else TEXT)}"'


@st.composite
def definitions(draw: st.DrawFn, kinds: list[LayerInfo]) -> tuple[str, list[str]]:
    """A definition of some inputs and one to three layers; their types."""
    text, blobs, named = "", [], []
    for number in range(draw(st.integers(1, 3))):
        shape = " ".join(f"dim: {d}" for d in draw(st.sampled_from(PLANES)))
        text += f'layer {{ name: "i{number}" type: "Input" top: "b{number}" '
        text += f"input_param {{ shape {{ {shape} }} }} }}\n"
        blobs.append(f"b{number}")
    for number in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        info = draw(st.sampled_from(kinds))
        kind = find(info.type)
        assert kind is not None
        least, most = kind.bottoms
        bottoms = draw(
            st.lists(st.sampled_from(blobs), min_size=least, max_size=min(most or 3, least + 2))
        )
        tops = [f"t{number}_{i}" for i in range(draw(st.integers(*kind_tops(kind))))]
        message = kind.message
        params = f"{message} {{ {text_of(draw, kind.Params)} }}" if message else ""
        ends = [f'bottom: "{b}"' for b in bottoms] + [f'top: "{t}"' for t in tops]
        text += f'layer {{ name: "l{number}" type: "{info.type}" {" ".join(ends)} {params} }}\n'
        named.append(info.type)
        blobs += tops
    return text, named


def kind_tops(kind: Any) -> tuple[int, int]:
    least, most = kind.tops
    return least, max(least, min(most or 3, 3))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a definition: `refused` says why, empty where it was converted."""

    refused: str = ""
    judged: bool = False


def checked(text: str) -> Outcome:
    """Convert and compare; AssertionError where the two runtimes do not agree."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = prototxt.parse_net(text, "f").select("TEST")
            content = converters.to_onnx(converters.fold(converters.build_graph(net)))
            graph = converters.build_graph(net, open_dims=False)
            converters.to_torch(graph)
    except MemoryError:
        return Outcome("out of memory")
    except ZooError as error:
        assert str(error) and "\n" not in str(error)
        return Outcome(str(error))
    judged = False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.onnx"
        path.write_bytes(content.SerializeToString())
        model = runtime.load(path, "cpu", 1)
        verifier = Verifier(graph, model, path, TOLERANCE)
        for kind in ("random", "ties"):
            blobs, fed = feeds.drawn(kind, graph, graph, model, 0, None)
            row = verifier.check(kind, blobs, fed)
            assert row.ok, f"{kind}: {row.worst.sentence if row.worst else row}\n{text}"
            judged = judged or bool(row.judged)
    return Outcome(judged=judged)


def kinds() -> list[LayerInfo]:
    """The layer types that compute: all but inputs, those of Python modules and losses."""
    return [
        info
        for info in layer_types()
        if info.onnx and info.torch and ":" not in info.type
        if (kind := find(info.type)) is not None and not kind.is_input and not kind.is_loss
    ]


def main() -> None:
    """Try as many as were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("examples", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--type", action="append", help="of these layer types alone")
    options = parser.parse_args()
    chosen = [info for info in kinds() if not options.type or info.type in options.type]
    counted = {True: collections.Counter[str](), False: collections.Counter[str]()}

    @seed(options.seed)
    @settings(
        max_examples=options.examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(definitions(chosen))
    def run(made: tuple[str, list[str]]) -> None:
        text, named = made
        counted[not checked(text).refused].update(set(named))

    try:
        run()
    finally:
        for info in chosen:
            yes, no = counted[True][info.type], counted[False][info.type]
            sys.stdout.write(f"{info.type:32}{yes:8}{no:8}\n")


if __name__ == "__main__":
    main()
