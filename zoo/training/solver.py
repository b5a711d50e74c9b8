"""The loop of Caffe's Solver: steps, tests, snapshots, resuming (solver.cpp)."""

from __future__ import annotations

import operator
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import prototxt
from prototxt import SolverDefinition, SolverState
from prototxt.errors import ZooError
from prototxt.files import is_there, make_folder, writing
from prototxt.shapes import shape_text
from zoo.training.averaging import Average, averaged
from zoo.training.distributed import ALONE, Group
from zoo.training.frozen import FrozenStart
from zoo.training.network import Network
from zoo.training.optimizers import make_optimizer
from zoo.training.policies import current_step, learning_rate
from zoo.training.rules import check_solver

__all__ = ["Best", "Event", "Feed", "Solver", "is_told", "spacing"]

Feed = Callable[[int], Mapping[str, np.ndarray]]
"""The n-th batch (counted from 0 over the whole training), by input blob."""


@dataclass
class Event:
    """Something to show or log.

    `kind` is ``begin`` (values: the `max_iter` to go to), ``step``, ``train``, ``testing`` (a test
    begins), ``test``, ``best`` (a test went better than all before it; `path` has the weights) or
    ``snapshot``; the recipes of the paper have a few more.
    """

    kind: str
    iteration: int
    values: dict[str, float] = field(default_factory=dict)
    path: Path | None = None
    told: bool = True
    """Whether a person is to read of it, too; logs have all."""


class Best(NamedTuple):
    """The test that went best: after which iteration, what it was judged by, how that was."""

    iteration: int
    name: str
    value: float


MOST_LINES = 50
"""About as many are told of a training, however long it is, unless its solver has a `display`."""

MOST_ROWS = 500
"""About as many of its iterations are in the log, likewise."""


def spacing(count: int, most: int = MOST_LINES) -> int:
    """The least of 1, 2, 5, 10, 20, 50 and so on of which at most `most` fit into `count`."""
    step = 1
    while step * most < count:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return step


def is_told(iteration: int, max_iter: int, display: int) -> bool:
    """Whether a person is to read of an iteration, counted from 0.

    As `display` says, where it does; else at even steps, and at powers of ten before the first.
    """
    if display:
        return iteration % display == 0
    power_of_ten = iteration == 10 ** (len(str(iteration)) - 1)
    return power_of_ten or iteration % spacing(max_iter) == 0


MOST_NUMBERS = 1000
"""Outputs of more numbers than these are no measurements; they are left out of a test."""


def numbers(outputs: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Every number of a network's outputs by its name: ``loss``, ``per_class[2]``."""
    named: dict[str, float] = {}
    for name, value in outputs.items():
        if value.ndim == 0 or value.numel() == 1:
            named[name] = float(value)
        elif value.numel() <= MOST_NUMBERS:
            flat = value.reshape(-1).tolist()
            named.update({f"{name}[{place}]": number for place, number in enumerate(flat)})
    return named


class Solver:
    """Trains one network. Batches are asked for by number, so that resuming needs no state.

    Of several processes each takes its own batch, as Caffe's GPUs do: gradients are averaged.
    """

    def __init__(
        self,
        definition: SolverDefinition,
        network: Network,
        feed: Feed,
        tests: list[tuple[Network, Feed]] | None = None,
        device: str = "cpu",
        seed: int = 0,
        prefix: Path | None = None,
        group: Group = ALONE,
        ema: float = 0.0,
        mixed: bool = False,
        period: int | None = None,
        patience: int | None = None,
    ) -> None:
        """With `ema`, weights averaged with that decay are tested and kept beside the others.

        With `mixed`, layers compute in bfloat16 where torch deems it safe (`torch.autocast`). Where
        the feed repeats itself after `period` batches, layers before the first one that learns are
        computed once for each. It ends early where so many tests as `patience` were no better than
        one before them.
        """
        check_solver(definition)
        self.definition, self.network, self.feed = definition, network, feed
        self.tests, self.device, self.seed = tests or [], torch.device(device), seed
        self.prefix = prefix or Path(definition.snapshot_prefix or "snapshot")
        for each in (network, *(net for net, _ in self.tests)):
            # Twice as fast as Caffe's own layout, on CPUs and on tensor cores alike.
            each.module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.module.train()
        self.group = group
        group.share(network.module)
        self.optimizer = make_optimizer(definition, network.groups())
        learned = (tensor for _, _, tensor, spec in network.blobs if spec.lr_mult)
        self.start = FrozenStart(network.module, period, learned) if period else None
        tensors = [tensor for _, _, tensor, _ in network.blobs]
        self.average = Average(tensors, ema) if ema else None
        if mixed and device.startswith("cuda") and not torch.cuda.is_bf16_supported():
            raise ZooError("this GPU does not compute in bfloat16", subject=device)
        self.precision = partial(torch.autocast, self.device.type, torch.bfloat16, enabled=mixed)
        self.iteration = 0
        self.losses: deque[float] = deque(maxlen=max(1, definition.average_loss))
        self.patience = patience
        self.best: Best | None = None
        """Of the tests so far, those before a snapshot that was resumed included."""
        self.best_path = self.prefix.with_name(f"{self.prefix.name}_best.caffemodel")
        """Where the weights are that did best."""
        self.seconds = 0.0
        """That it has run so far; those before a snapshot that was resumed included."""
        self.images = 0
        """Rows of the first input in one iteration."""
        self.stop = False
        """Set from outside (Ctrl-C): the loop ends after the step it is in."""

    def step(self) -> float:
        """One iteration; the loss before its update, averaged over `iter_size` batches."""
        for blob in self.optimizer.blobs:
            blob.grad = None
        # Dropout draws anew from here in each iteration, so that a resumed training is the same.
        torch.manual_seed(self.seed * 1_000_003 + self.iteration)
        size = self.definition.iter_size
        total = 0.0
        for part in range(size):
            place = (self.iteration * size + part) * self.group.size + self.group.rank
            batch = self.feed(place)
            inputs = [
                torch.from_numpy(np.ascontiguousarray(batch[name])).to(self.device)
                for name in self.network.inputs
            ]
            with self.precision():
                found = self.start(place, inputs) if self.start else self.network.module(*inputs)
                loss = self.network.loss(found)
            loss.backward()
            total += self.group.mean(loss.detach())
            self.images = len(inputs[0]) * size * self.group.size if inputs else 0
        self.group.average(self.optimizer.blobs)
        rate = learning_rate(self.definition, self.iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.iteration = self.iteration
        self.optimizer.step()
        self.iteration += 1
        if self.average is not None:
            self.average.update(self.iteration)
        self.losses.append(total / size)
        if not np.isfinite(total):
            raise ZooError(
                f"the loss is {total} after iteration {self.iteration}",
                remedy="lower base_lr, or set clip_gradients",
            )
        return total / size

    def run(self) -> Iterator[Event]:
        """Train up to max_iter, saying what happens: tests, displayed steps, snapshots."""
        d = self.definition
        started, since, before = time.perf_counter(), self.iteration, self.seconds
        every = d.display or spacing(d.max_iter, MOST_ROWS)
        while self.iteration < d.max_iter and not self.stop:
            due = d.test_interval and self.iteration % d.test_interval == 0
            if self.tests and due and (self.iteration > 0 or d.test_initialization):
                yield from self.test()
                if self.stop or self.is_stuck:
                    break
            rate = learning_rate(d, self.iteration)
            loss = self.step()
            now = time.perf_counter()
            self.seconds = before + now - started
            values = {
                "loss": loss,
                "smoothed_loss": sum(self.losses) / len(self.losses),
                "lr": rate,
                "iterations_per_second": (speed := (self.iteration - since) / (now - started)),
                "images_per_second": speed * self.images,
                "seconds": self.seconds,
            }
            told = is_told(self.iteration - 1, d.max_iter, d.display)
            logged = told or (self.iteration - 1) % every == 0
            yield Event("train" if logged else "step", self.iteration, values, told=told)
            if d.snapshot and self.iteration % d.snapshot == 0:
                yield Event("snapshot", self.iteration, path=self.snapshot())
        ended = d.snapshot_after_train or self.stop
        if ended and not (
            d.snapshot and self.iteration % d.snapshot == 0 and self.iteration > since
        ):
            yield Event("snapshot", self.iteration, path=self.snapshot())
        if (
            self.tests
            and d.test_interval
            and self.iteration % d.test_interval == 0
            and not (self.stop or self.is_stuck)
        ):
            yield from self.test()

    @property
    def is_stuck(self) -> bool:
        """Whether it ends before max_iter, as it no longer gets better."""
        if self.patience is None or self.best is None:
            return False
        return self.iteration - self.best.iteration >= self.patience * self.definition.test_interval

    def test(self) -> Iterator[Event]:
        """The mean of every output over test_iter batches, for each test network.

        As Caffe's data layers do, a test goes on in the data where the one before it ended. Where
        the first network's goes better than ever, the weights are kept: PREFIX_best.caffemodel.
        """
        with averaged(self.average):
            for network, _ in self.tests:
                network.copy_from(self.network)
        runs = zip(self.tests, self.definition.test_iter, strict=True)
        for number, ((network, feed), batches) in enumerate(runs):
            yield Event("testing", self.iteration, {"batches": batches})
            means = self.measure(network, feed, batches)
            if means is None:
                return
            yield Event("test", self.iteration, means)
            if number == 0:
                yield from self.keep_best(network, means)

    def keep_best(self, network: Network, means: Mapping[str, float]) -> Iterator[Event]:
        """Keep the weights where they did better in this test than all before them."""
        judged = judge(network, means)
        if judged is None:
            return
        name, value, better = judged
        if self.best is None or better(value, self.best.value):
            self.best = Best(self.iteration, name, value)
            with averaged(self.average):
                self.write(self.best_path)
            yield Event("best", self.iteration, {name: value}, self.best_path)

    @torch.no_grad()
    def measure(self, network: Network, feed: Feed, batches: int) -> dict[str, float] | None:
        """Means by output, of vectors by `NAME[i]`; None where Ctrl-C came before the end."""
        network.module.eval()
        d = self.definition
        before = self.iteration // max(d.test_interval, 1) - (not d.test_initialization)
        sums: dict[str, float] = {}
        for number in range(batches):
            if self.stop:
                return None
            batch = feed(max(before, 0) * batches + number)
            inputs = [
                torch.from_numpy(np.ascontiguousarray(batch[name])).to(self.device)
                for name in network.inputs
            ]
            with self.precision():
                found = network.module(*inputs)
            terms = numbers(found)
            if d.test_compute_loss and network.losses:
                terms["test_loss"] = float(network.loss(found))
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
        return {name: total / batches for name, total in sums.items()}

    def snapshot(self) -> Path:
        """Write PREFIX_iter_N.caffemodel and .solverstate, each whole or not at all.

        The weights come first, and the state of an earlier run goes before: a .solverstate that is
        there names a model that is there, and of the same run.
        """
        model, state = self.path(".caffemodel"), self.path(".solverstate")
        if not self.group.first:
            return state
        make_folder(model.parent)
        with writing(state):
            state.unlink(missing_ok=True)
        self.write(model)
        if self.average is not None:
            with averaged(self.average):
                self.write(average_path(model))
        history = [array.detach().cpu().numpy() for array in self.optimizer.history]
        step = current_step(self.definition, self.iteration)
        smoothed = [*self.losses] if self.definition.average_loss > 1 else []
        prototxt.write_solverstate(
            state, SolverState(self.iteration, str(model), history, step, smoothed)
        )
        return state

    def write(self, path: Path) -> None:
        """Write the weights as they are now, in the first process alone."""
        if self.group.first:
            make_folder(path.parent)
            network = self.network
            prototxt.write_weights(path, network.weights(), network.types(), network.graph.name)

    def path(self, suffix: str) -> Path:
        """A snapshot's file at this iteration, named as Caffe does: PREFIX_iter_N and `suffix`."""
        return self.prefix.with_name(f"{self.prefix.name}_iter_{self.iteration}{suffix}")

    def restore(self, path: Path) -> None:
        """Go on from a .solverstate and the model that it names (there, or beside it)."""
        state = prototxt.read_solverstate(path)
        model = Path(state.learned_net)
        if not is_there(model):
            model = path.parent / model.name
        if not is_there(model):
            raise ZooError(
                f"its model {state.learned_net} is not there",
                subject=path,
                remedy="keep both files together",
            )
        average = average_path(model)
        if self.average is not None and is_there(average):
            self.load(prototxt.read_weights(average), average)
            values = self.average.values
            self.load(prototxt.read_weights(model), model)
            self.average.values = values
        else:
            self.load(prototxt.read_weights(model), model)
        try:
            self.optimizer.load_history([torch.from_numpy(a.copy()) for a in state.history])
        except ZooError as error:
            raise ZooError(error.message, subject=path, remedy=error.remedy) from None
        self.iteration = state.iter
        self.losses.extend(state.losses)

    @torch.no_grad()
    def load(self, weights: Mapping[str, list[np.ndarray]], source: Path) -> None:
        """Copy blobs by layer name; layers that the file lacks keep their own."""
        matched = False
        for layer, index, tensor, _ in self.network.blobs:
            stored = weights.get(layer)
            if stored is None:
                continue
            matched = True
            if index >= len(stored) or stored[index].size != tensor.numel():
                theirs = shape_text(stored[index].shape) if index < len(stored) else "none"
                ours = shape_text(tensor.shape)
                raise ZooError(
                    f"blob {index} is {theirs}, the network's is {ours}",
                    subject=f"{source}: layer {layer!r}",
                    remedy="it is of another network",
                )
            tensor.copy_(torch.from_numpy(stored[index].copy()).reshape(tensor.shape))
        if not matched:
            raise ZooError(
                "has no layer of this network", subject=source, remedy="is it of another one?"
            )
        if self.average is not None:
            self.average.restart()


def average_path(model: Path) -> Path:
    """Where the averaged weights of a snapshot are."""
    return model.with_name(f"{model.stem}_ema{model.suffix}")


def judge(
    network: Network, means: Mapping[str, float]
) -> tuple[str, float, Callable[[float, float], bool]] | None:
    """What a test is judged by, its name, and which of two is the better; None for nothing.

    That is the first accuracy, else the loss.
    """
    for name in network.metrics:
        if name in means:
            return name, means[name], operator.gt
    if network.losses and all(name in means for name in network.losses):
        total = sum(weight * means[name] for name, weight in network.losses.items())
        return "loss", total, operator.lt
    return None
