"""Solver definitions (SolverParameter)."""

from __future__ import annotations

import dataclasses
import enum
import typing
from dataclasses import dataclass, field
from pathlib import Path

from .errors import FormatError
from .net import is_solver
from .schema import UInt, decode
from .text import Message, Scalar, format_text, parse_text, read_text

__all__ = ["SolverDefinition", "parse_solver", "read_solver", "write_solver"]


class SolverMode(enum.Enum):
    CPU = 0
    GPU = 1


class SnapshotFormat(enum.Enum):
    HDF5 = 0
    BINARYPROTO = 1


class SolverType(enum.Enum):
    """The enums of 2014; today `type` is a name."""

    SGD = 0
    NESTEROV = 1
    ADAGRAD = 2
    RMSPROP = 3
    ADADELTA = 4
    ADAM = 5


TYPES = dict(zip(SolverType, "SGD Nesterov AdaGrad RMSProp AdaDelta Adam".split(), strict=True))


@dataclass
class SolverDefinition:
    """SolverParameter, with Caffe's names and defaults."""

    net: str = ""
    net_param: Message | None = None
    train_net: str = ""
    test_net: list[str] = field(default_factory=list)
    train_net_param: Message | None = None
    test_net_param: list[Message] = field(default_factory=list)
    train_state: Message | None = None
    test_state: list[Message] = field(default_factory=list)
    test_iter: list[int] = field(default_factory=list)
    test_interval: int = 0
    test_compute_loss: bool = False
    test_initialization: bool = True
    base_lr: float = 0.0
    display: int = 0
    average_loss: int = 1
    max_iter: int = 0
    iter_size: int = 1
    lr_policy: str = ""
    gamma: float = 0.0
    power: float = 0.0
    momentum: float = 0.0
    weight_decay: float = 0.0
    regularization_type: str = "L2"
    stepsize: int = 0
    stepvalue: list[int] = field(default_factory=list)
    clip_gradients: float = -1.0
    snapshot: int = 0
    snapshot_prefix: str = ""
    snapshot_diff: bool = False
    snapshot_format: SnapshotFormat = SnapshotFormat.BINARYPROTO
    solver_mode: SolverMode = SolverMode.GPU
    device_id: int = 0
    random_seed: int = -1
    type: str = "SGD"
    delta: float = 1e-8
    momentum2: float = 0.999
    rms_decay: float = 0.99
    debug_info: bool = False
    snapshot_after_train: bool = True
    solver_type: SolverType = SolverType.SGD
    layer_wise_reduce: bool = True
    weights: list[str] = field(default_factory=list)
    local_test_iter: UInt | None = None


def read_solver(path: str | Path) -> SolverDefinition:
    """Read a solver file; `solver_type` enums become `type` names."""
    return from_message(read_text(path), str(path))


def parse_solver(text: str, path: str = "<text>") -> SolverDefinition:
    """Read a solver from text."""
    return from_message(parse_text(text, path), path)


def from_message(message: Message, path: str) -> SolverDefinition:
    if not is_solver(message) and (message.last("layer") or message.last("layers")):
        raise FormatError("this is a network definition, not a solver's", subject=path)
    definition = decode(message, SolverDefinition, name="a solver")
    old = message.last("solver_type")
    if old is not None:
        if message.last("type") is not None:
            raise FormatError(
                "both type and solver_type are given", position=old.position, remedy="keep type"
            )
        definition.type = TYPES[definition.solver_type]
    return definition


def write_solver(definition: SolverDefinition) -> str:
    """The solver as text that Caffe reads; what is at its default is left out."""
    message, default = Message(), SolverDefinition()
    hints = typing.get_type_hints(SolverDefinition)
    for item in dataclasses.fields(definition):
        value = getattr(definition, item.name)
        if item.name == "solver_type" or value == getattr(default, item.name):
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, enum.Enum):
                message.add(item.name, Scalar(one.name, "identifier"))
            elif hints[item.name] is float:
                message.add(item.name, float(one))
            else:
                message.add(item.name, one)
    return format_text(message)
