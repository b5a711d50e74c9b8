"""Network definitions: layers with their names, bottoms, tops and rules; today's syntax."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import FormatError, Position
from .schema import decode
from .text import Field, Message, Scalar, format_text, parse_text, read_text
from .unknown import UnknownField, UnknownFields

__all__ = [
    "LayerDefinition",
    "NetDefinition",
    "ParamSpec",
    "StateRule",
    "is_solver",
    "parse_net",
    "read_net",
    "write_net",
]

NET_FIELDS = "name input input_shape input_dim force_backward state debug_info layer layers".split()
SOLVER_FIELDS = frozenset(
    """net net_param train_net test_net train_net_param test_net_param base_lr lr_policy max_iter
    test_iter test_interval snapshot snapshot_prefix solver_mode solver_type stepsize stepvalue
    momentum weight_decay gamma power display""".split()
)
LAYER_FIELDS = frozenset(
    "name type bottom top phase loss_weight param blobs propagate_down include exclude".split()
)

Warn = Callable[[str], None]


@dataclass(frozen=True)
class ParamSpec:
    """ParamSpec: the multipliers of one learned blob, and the name under which it is shared."""

    name: str = ""
    share_mode: str = "STRICT"
    lr_mult: float = 1.0
    decay_mult: float = 1.0


@dataclass(frozen=True)
class StateRule:
    """NetStateRule: when a layer is included or excluded."""

    phase: str | None = None
    min_level: int | None = None
    max_level: int | None = None
    stages: tuple[str, ...] = ()
    not_stages: tuple[str, ...] = ()

    def met(self, phase: str, stages: Sequence[str], level: int) -> bool:
        """Net::StateMeetsRule."""
        return (
            (self.phase is None or self.phase == phase)
            and (self.min_level is None or level >= self.min_level)
            and (self.max_level is None or level <= self.max_level)
            and all(s in stages for s in self.stages)
            and not any(s in stages for s in self.not_stages)
        )


@dataclass
class LayerDefinition:
    """One `layer { ... }`; `message` holds all its fields under today's names."""

    name: str
    type: str
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    specs: list[ParamSpec] = field(default_factory=list)
    loss_weights: list[float] = field(default_factory=list)
    include: list[StateRule] = field(default_factory=list)
    exclude: list[StateRule] = field(default_factory=list)
    propagate_down: list[bool] = field(default_factory=list)
    phase: str | None = None
    message: Message = field(default_factory=Message)
    position: Position | None = field(default=None, compare=False)

    @property
    def subject(self) -> str:
        """``layer 'conv1' (Convolution)``, as every message names a layer."""
        return f"layer {self.name!r} ({self.type})"

    def param(self, name: str) -> Message | None:
        """A parameter message such as `convolution_param`; repeated ones are merged."""
        found = self.message.all(name)
        if not found:
            return None
        inner: list[Field] = []
        for item in found:
            if not isinstance(item.value, Message):
                raise FormatError(f"{name} must be a message {{ ... }}", position=item.position)
            inner.extend(item.value.fields)
        return Message(inner, found[0].position)

    def extra_fields(self) -> list[Field]:
        """The fields that are not every layer's own: parameter messages, or mistakes."""
        return [f for f in self.message.fields if f.name not in LAYER_FIELDS]


@dataclass
class NetDefinition:
    """A whole prototxt, its layers in Caffe's order."""

    name: str
    path: str
    layers: list[LayerDefinition]
    syntax: str = "current"
    """``V0``, ``V1`` or ``current``: how the file was written."""
    phase: str | None = None
    level: int = 0
    stages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What was passed over in reading it."""

    def select(
        self, phase: str = "TEST", stages: Sequence[str] = (), level: int = 0
    ) -> NetDefinition:
        """The layers that Caffe would build in this state (Net::FilterNet)."""
        if phase not in ("TRAIN", "TEST"):
            raise FormatError(f"unknown phase {phase!r}", remedy="TRAIN or TEST")
        stages, level = tuple(stages) or self.stages, level or self.level
        kept = []
        for layer in self.layers:
            if layer.include and layer.exclude:
                raise FormatError(
                    "has include and exclude rules",
                    subject=f"layer {layer.name!r}",
                    position=layer.position,
                    remedy="Caffe allows one kind",
                )
            rules = layer.include or layer.exclude
            met = any(rule.met(phase, stages, level) for rule in rules)
            if not rules or met == bool(layer.include):
                kept.append(layer)
        return dataclasses.replace(self, layers=kept, phase=phase, stages=stages, level=level)


def is_solver(message: Message) -> bool:
    """Whether a tree is a solver's and not a network's."""
    names = {f.name for f in message.fields}
    return bool(names & SOLVER_FIELDS) and not names & {"layer", "layers", "input"}


def read_net(path: str | Path, lenient: bool = False, warn: Warn | None = None) -> NetDefinition:
    """Read a network definition of any age from a file.

    Args:
        path: a .prototxt, in V0, V1 or today's syntax.
        lenient: fields that are unknown are told to `warn` instead of being errors.
        warn: is told of them, one line each.

    Returns:
        All layers, of every phase; `NetDefinition.select` takes those of one.

    Raises:
        FormatError: with file, line and column.
    """
    return from_message(read_text(path), str(path), lenient, warn)


def parse_net(
    text: str, path: str = "<text>", lenient: bool = False, warn: Warn | None = None
) -> NetDefinition:
    """Read a network definition from text; `path` is what errors call it. See `read_net`."""
    return from_message(parse_text(text, path), path, lenient, warn)


def from_message(
    message: Message, path: str, lenient: bool = False, warn: Warn | None = None
) -> NetDefinition:
    """A definition from a tree, upgraded to today's syntax."""
    from .upgrade import upgrade_net

    if is_solver(message):
        raise FormatError(
            "this is a solver definition",
            subject=path,
            remedy="train with `zoo train`, or look at it with `zoo inspect`",
        )
    notes: list[str] = []
    unknown: list[UnknownField] = []
    for item in message.fields:
        if item.name in NET_FIELDS:
            continue
        close = difflib.get_close_matches(item.name, NET_FIELDS, 1)
        if not close:
            # What a network computes stands in its layers and inputs alone.
            notes.append(f"{item.position}: field {item.name!r} of the network is passed over")
            continue
        unknown.append(UnknownField(item.name, item.position, "a network", close=close[0]))
    if unknown and not lenient:
        raise UnknownFields(unknown)
    for one in unknown:
        if warn:
            warn(UnknownFields([one]).sentence)
    upgraded, syntax = upgrade_net(message)
    layers = inputs(upgraded)
    layers += [layer(messaged(item), item.position) for item in upgraded.all("layer")]
    if not layers:
        raise FormatError(
            "there are no layers in it", subject=path, remedy="is it a network definition?"
        )
    state = upgraded.last("state")
    rule = state_rule(messaged(state), "state", "stage") if state else StateRule()
    phase, level = rule.phase, rule.min_level or 0
    name = text_of(upgraded, "name")
    return NetDefinition(name, path, layers, syntax, phase, level, rule.stages, notes=tuple(notes))


def messaged(item: Field) -> Message:
    if not isinstance(item.value, Message):
        raise FormatError(f"{item.name} must be a message {{ ... }}", position=item.position)
    return item.value


def inputs(net: Message) -> list[LayerDefinition]:
    """`input`, `input_dim` and `input_shape` at the top of a network, as Input layers."""
    names = net.all("input")
    shapes = [messaged(f) for f in net.all("input_shape")]
    dims = net.all("input_dim")
    if shapes and dims:
        raise FormatError("input_shape and input_dim exclude each other", position=dims[0].position)
    if dims:
        if len(dims) != 4 * len(names):
            raise FormatError(
                f"{len(dims)} input_dim for {len(names)} inputs",
                position=dims[-1].position,
                remedy="4 for each",
            )
        shapes = [
            Message([Field("dim", d.value, d.position) for d in dims[i : i + 4]])
            for i in range(0, len(dims), 4)
        ]
    if shapes and len(shapes) != len(names):
        raise FormatError(
            f"{len(shapes)} input_shape for {len(names)} inputs",
            position=net.all("input_shape")[-1].position,
        )
    result = []
    for index, item in enumerate(names):
        if not isinstance(item.value, Scalar):
            raise FormatError("input must be a quoted name", position=item.position)
        name = item.value.text
        message = Message(position=item.position)
        message.add("name", name, item.position)
        message.add("type", "Input", item.position)
        message.add("top", name, item.position)
        if shapes:
            param = Message(position=item.position)
            param.add("shape", shapes[index], item.position)
            message.add("input_param", param, item.position)
        result.append(layer(message, item.position))
    return result


@dataclass
class _Layer:
    name: str = ""
    type: str = ""
    bottom: list[str] = field(default_factory=list)
    top: list[str] = field(default_factory=list)
    loss_weight: list[float] = field(default_factory=list)
    propagate_down: list[bool] = field(default_factory=list)


@dataclass
class _Param:
    name: str = ""
    lr_mult: float = 1.0
    decay_mult: float = 1.0


@dataclass
class _Rule:
    min_level: int | None = None
    max_level: int | None = None
    level: int | None = None
    stage: list[str] = field(default_factory=list)
    not_stage: list[str] = field(default_factory=list)


def layer(message: Message, position: Position | None) -> LayerDefinition:
    """One layer from its tree in today's syntax."""
    plain = Message([f for f in message.fields if f.name in _own_names()])
    own = decode(plain, _Layer, name="layer")
    if not own.type:
        raise FormatError(f"layer {own.name!r} has no type", position=position)
    specs = [param_spec(messaged(f)) for f in message.all("param")]
    include = [state_rule(messaged(f), "include") for f in message.all("include")]
    exclude = [state_rule(messaged(f), "exclude") for f in message.all("exclude")]
    phase = choice(message, "phase", ("TRAIN", "TEST"))
    return LayerDefinition(
        own.name,
        own.type,
        own.bottom,
        own.top,
        specs,
        own.loss_weight,
        include,
        exclude,
        own.propagate_down,
        phase,
        message,
        position,
    )


@functools.cache
def _own_names() -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(_Layer))


def param_spec(message: Message) -> ParamSpec:
    plain = Message([f for f in message.fields if f.name != "share_mode"], message.position)
    own = decode(plain, _Param, name="param")
    mode = choice(message, "share_mode", ("STRICT", "PERMISSIVE")) or "STRICT"
    return ParamSpec(own.name, mode, own.lr_mult, own.decay_mult)


def state_rule(message: Message, name: str, _: str = "") -> StateRule:
    plain = Message([f for f in message.fields if f.name != "phase"], message.position)
    own = decode(plain, _Rule, name=name)
    low = own.min_level if own.level is None else own.level
    return StateRule(
        choice(message, "phase", ("TRAIN", "TEST")),
        low,
        own.max_level,
        tuple(own.stage),
        tuple(own.not_stage),
    )


def choice(message: Message, name: str, members: tuple[str, ...]) -> str | None:
    """An enum field by name or number."""
    item = message.last(name)
    if item is None:
        return None
    if isinstance(item.value, Scalar):
        text, kind = item.value.text, item.value.kind
        if kind == "identifier" and text in members:
            return text
        if kind == "number" and text.isdigit() and int(text) < len(members):
            return members[int(text)]
    raise FormatError(f"{name} must be one of {', '.join(members)}", position=item.position)


def text_of(message: Message, name: str) -> str:
    item = message.last(name)
    if item is None:
        return ""
    if not isinstance(item.value, Scalar) or item.value.kind != "string":
        raise FormatError(f"{name} must be a quoted string", position=item.position)
    return item.value.text


def write_net(net: NetDefinition) -> str:
    """The definition as text that Caffe reads, in today's syntax."""
    message = Message()
    if net.name:
        message.add("name", net.name)
    for definition in net.layers:
        message.add("layer", definition.message)
    return format_text(message)
