"""`zoo train SOLVER.prototxt`: files in, solver run, snapshots and metrics out."""

from __future__ import annotations

import dataclasses
import enum
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch

import prototxt
from prototxt import Message, NetDefinition, SolverDefinition, decode
from prototxt.errors import Argument, Sentence, ZooError
from prototxt.net import from_message
from prototxt.solver import from_message as solver_from_message
from zoo import extras
from zoo.processes import ENDING
from zoo.training.curves import draw_curve, read_metrics
from zoo.training.distributed import ALONE, Group, join
from zoo.training.feeds import LayersFeed, MissingSource, beside, layers_feed, npz_feed
from zoo.training.log import Log
from zoo.training.network import CAFFES, Network
from zoo.training.rules import check_solver
from zoo.training.solver import Best, Event, Feed, Solver

__all__ = [
    "Trained",
    "choose_device",
    "convolving_as_caffe",
    "device_name",
    "load_net",
    "open_solver",
    "run_solver",
    "train",
    "train_solver",
]


def choose_device(wanted: str) -> str:
    """`auto` is CUDA where there is one; ZooError for a device that is not there.

    On CUDA, convolutions then compute in float32: TF32 keeps 10 bits of 23, with which switches
    turn.
    """
    torch.backends.cudnn.allow_tf32 = False
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise ZooError(
            "no CUDA device here",
            subject=wanted,
            remedy=Sentence("use ", Argument("device"), " cpu or auto"),
        )
    if wanted.partition(":")[0] not in ("cpu", "cuda"):
        raise ZooError(f"unknown device {wanted!r}", remedy="one of auto, cpu, cuda, cuda:N")
    return wanted


def device_name(device: str) -> str:
    """``cpu``, or what the GPU is called."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def load_net(definition: SolverDefinition, path: Path) -> NetDefinition:
    """The network that a solver trains, from the current folder or the solver's own."""
    fields = ("train_net_param", "train_net", "net_param", "net")
    given = [field for field in fields if getattr(definition, field)]
    if not given:
        raise ZooError("names no network", subject=path, remedy='add net: "net.prototxt"')
    if len(given) > 1:
        raise ZooError(f"names {len(given)} networks to train: {', '.join(given)}", subject=path)
    return in_state(
        read_named(getattr(definition, given[0]), path), "TRAIN", definition.train_state
    )


def load_test_nets(definition: SolverDefinition, path: Path) -> list[NetDefinition]:
    """The networks that a solver tests, one for each test_iter (Solver::InitTestNets)."""
    count = len(definition.test_iter)
    nets = [read_named(named, path) for named in definition.test_net_param]
    nets += [read_named(named, path) for named in definition.test_net]
    generic = definition.net_param or definition.net
    if generic and len(nets) < count:
        nets += [read_named(generic, path)] * (count - len(nets))
    if len(nets) != count:
        raise ZooError(
            f"{len(nets)} networks to test, but test_iter is given {count} times",
            subject=path,
            remedy="give test_iter once for each",
        )
    if min(definition.test_iter, default=1) < 1:
        raise ZooError(f"test_iter is {min(definition.test_iter)}, must be above 0", subject=path)
    if count and definition.test_interval < 1:
        raise ZooError("test_iter without test_interval", subject=path)
    states: list[Message | None] = [*definition.test_state] or [None] * count
    if len(states) != count:
        raise ZooError(f"test_state is given {len(states)} times, not {count}", subject=path)
    return [in_state(net, "TEST", state) for net, state in zip(nets, states, strict=True)]


def read_named(net: str | Message, path: Path) -> NetDefinition:
    """A network that a solver names, or that stands in it."""
    if isinstance(net, Message):
        return from_message(net, str(path))
    return prototxt.read_net(beside(net, path))


class Phase(enum.Enum):
    TRAIN = 0
    TEST = 1


@dataclasses.dataclass
class NetState:
    """NetState."""

    phase: Phase | None = None
    level: int | None = None
    stage: list[str] = dataclasses.field(default_factory=list)


def in_state(net: NetDefinition, phase: str, message: Message | None) -> NetDefinition:
    """The layers of a state: the solver's own goes before the network's, and stages add up."""
    state = decode(message, NetState, name="a net state")
    wanted = state.phase.name if state.phase else net.phase or phase
    if state.level is not None:
        net = dataclasses.replace(net, level=state.level)
    return net.select(wanted, (*net.stages, *state.stage))


def open_solver(
    path: Path,
    data: Path | None = None,
    weights: Path | None = None,
    resume: Path | None = None,
    device: str = "auto",
    output: Path | None = None,
    iterations: int | None = None,
    group: Group = ALONE,
    caffe: str = CAFFES[0],
    ema: float = 0.0,
    mixed: bool = False,
) -> Solver:
    """Everything ready for `Solver.run`; snapshots go to `snapshot_prefix`, or below `output`.

    `caffe` is whose solvers are followed, one of `CAFFES`; `ema` and `mixed` are as `Solver` has
    them.
    """
    message = prototxt.read_text(path)
    definition = solver_from_message(message, str(path))
    if iterations is not None:
        definition = dataclasses.replace(definition, max_iter=iterations)
    check_solver(definition, message, path)
    net = load_net(definition, path)
    seed = max(definition.random_seed, 0)
    feed, shapes = open_feed(net, data, path, definition.iter_size, seed)
    starts = [weights] if weights is not None else named_weights(definition, path)
    files = [(start, prototxt.read_weights(start)) for start in starts]
    stored = {name: blobs for _, file in files for name, blobs in file.items()} or None
    tests = []
    for number, test_net in enumerate(load_test_nets(definition, path)):
        test_feed, test_shapes = open_test_feed(test_net, data, path, seed + 1 + number)
        tests.append((Network(test_net, test_shapes, None, seed), test_feed))
    network = Network(net, shapes, stored, seed, caffe)
    prefix = Path(definition.snapshot_prefix or path.stem)
    if output is not None:
        prefix = output / prefix.name
    how: dict[str, Any] = {"ema": ema, "mixed": mixed}
    if isinstance(feed, LayersFeed):
        how["period"] = feed.period
    where = choose_device(device)
    solver = Solver(definition, network, feed, tests, where, seed, prefix, group, **how)
    for start, file in files:
        # The network has taken what is there; a file of some other network is an error.
        solver.load(file, start)
    if resume is not None:
        solver.restore(resume)
    return solver


def named_weights(definition: SolverDefinition, path: Path) -> list[Path]:
    """The caffemodels that a solver itself names, of which the last has the last word."""
    names = [name.strip() for entry in definition.weights for name in entry.split(",")]
    return [beside(name, path) for name in names if name]


def open_feed(
    net: NetDefinition, data: Path | None, path: Path, iter_size: int, seed: int
) -> tuple[Feed, dict[str, tuple[int, ...]]]:
    if data is not None and data.suffix == ".npz":
        return npz_feed(net, data, iter_size)
    return layers_feed(net, path, data, seed)


def open_test_feed(
    net: NetDefinition, data: Path | None, path: Path, seed: int
) -> tuple[Feed, dict[str, tuple[int, ...]]]:
    """A test reads what its own layers name; of --data only an .npz, which is for any network."""
    own = data if data is not None and data.suffix == ".npz" else None
    try:
        return open_feed(net, own, path, 1, seed)
    except MissingSource as error:
        raise ZooError(
            f"{error.message}, and the solver's tests read it",
            subject=error.subject,
            position=error.position,
            remedy=Sentence(
                error.looked,
                "; give ",
                Argument("data"),
                " an .npz for both, or leave test_iter out",
            ),
        ) from None


def train(solver: Solver, say: Callable[[Event], None]) -> Path | None:
    """Run to the end (or to Ctrl-C, after a snapshot). Returns the last .solverstate.

    metrics.jsonl beside the snapshots is the log, of which loss.png is drawn.
    """
    extras.require("matplotlib")
    if not solver.group.first:
        for _ in solver.run():
            pass
        return None
    last = None
    with Log(solver.prefix.with_name("metrics.jsonl")) as log, interruptible(solver):
        log.keep_until(solver.iteration)
        for row in read_metrics(log.path)[-1:]:
            solver.seconds = row.get("seconds", 0.0)
        for row in read_metrics(log.path, "best"):
            name, value = next((n, v) for n, v in row.items() if n not in ("kind", "iteration"))
            solver.best = Best(row["iteration"], name, value)
        for event in solver.run():
            if event.kind in ("train", "test", "best"):
                log.note(event.kind, event.iteration, event.values)
            if event.kind == "snapshot":
                last = event.path
            say(event)
    name = solver.network.graph.name or solver.prefix.name
    tests = [network.losses for network, _ in solver.tests]
    draw_curve(log.path, log.path.with_name("loss.png"), name, tests)
    return last


@dataclasses.dataclass(frozen=True)
class Trained:
    """How a solver's run ended."""

    iterations: int
    loss: float | None
    """Of the last iteration that told it; None where there was none."""
    smoothed_loss: float | None
    snapshot: Path | None
    """The last .solverstate."""
    best: Best | None
    """The test that went best; None without tests."""
    best_weights: Path | None
    """The weights that did best in it."""
    device: str
    seconds: float
    """That it took, before a snapshot that was resumed included."""
    finished: bool
    """Whether it came to `max_iter`; Ctrl-C ends it before."""

    def as_dict(self) -> dict[str, Any]:
        """As `zoo train --json` prints it."""
        paths = {"snapshot": self.snapshot, "best_weights": self.best_weights}
        written = {name: None if path is None else str(path) for name, path in paths.items()}
        best = None if self.best is None else self.best._asdict()
        return {**dataclasses.asdict(self), **written, "best": best}


def run_solver(solver: Solver, say: Callable[[Event], None]) -> Trained:
    """`train`, telling first where it begins; how it ended. Only the first process tells."""
    limit = solver.definition.max_iter
    seen: dict[str, float | None] = {"loss": None, "smoothed_loss": None}

    def heard(event: Event) -> None:
        if event.kind in ("train", "step"):
            seen.update(event.values)
        say(event)

    if solver.group.first:
        say(Event("begin", solver.iteration, {"max_iter": limit}))
    last = train(solver, heard)
    finished = not (solver.stop and solver.iteration < limit)
    return Trained(
        solver.iteration,
        seen["loss"],
        seen["smoothed_loss"],
        last,
        solver.best,
        solver.best_path if solver.best is not None else None,
        str(solver.device),
        round(solver.seconds, 1),
        finished,
    )


def train_solver(
    path: Path,
    data: Path | None = None,
    *,
    weights: Path | None = None,
    resume: Path | None = None,
    output: Path | None = None,
    iterations: int | None = None,
    device: str = "auto",
    im2col: bool = False,
    caffe: str = CAFFES[0],
    ema: float = 0.0,
    mixed: bool = False,
    say: Callable[[Event], None] = lambda _: None,
) -> Trained | None:
    """Train as a solver's prototxt says, with the processes that torchrun started.

    Arguments as `open_solver` takes them; `im2col` convolves as `convolving_as_caffe`. Returns None
    in every process but the first. Raises ZooError.
    """
    with join(choose_device(device)) as group, convolving_as_caffe(im2col):
        solver = open_solver(
            path, data, weights, resume, device, output, iterations, group, caffe, ema, mixed
        )
        trained = run_solver(solver, say)
        return trained if group.first else None


class Stoppable(Protocol):
    stop: bool


@contextmanager
def convolving_as_caffe(wanted: bool) -> Iterator[None]:
    """On CPUs: im2col and one product of matrices, which rounds as Caffe does; far slower."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = before and not wanted  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


@contextmanager
def interruptible(training: Stoppable) -> Iterator[None]:
    """The first Ctrl-C ends the training after its step, with a snapshot; the second at once.

    So does what else asks a process to end (SIGTERM, SIGHUP), but that the signal then takes its
    course.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    previous = {
        number: handler
        for number in (signal.SIGINT, *ENDING)
        if (handler := signal.getsignal(number)) is not None
        and (number == signal.SIGINT or handler is not signal.SIG_IGN)  # nohup has it ignored
    }

    def stop(number: int, _: object) -> None:
        training.stop = True
        came.append(number)
        restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    try:
        for number in previous:
            signal.signal(number, stop)
        yield
    finally:
        restore()
    for number in came:
        if number in ENDING:
            signal.raise_signal(number)
