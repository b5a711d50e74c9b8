"""What a training tells while it goes: lines, and a bar that says what is done now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.cli.console import Bar, Printer
    from zoo.training.solver import Event


class Shown:
    """A solver's events, as they come."""

    def __init__(self, say: Printer, bar: Bar, resume: Path | None, arch: str = "") -> None:
        self.say, self.bar, self.resume, self.arch = say, bar, resume, arch
        self.last = 0

    def __call__(self, event: Event) -> None:
        """Show one."""
        values, say = event.values, self.say
        if event.kind == "classify":
            say.line(f"classify{self.arch}: the encoder learns {values['classes']:.0f} classes")
        elif event.kind == "begin":
            self.last = int(values["max_iter"])
            if event.iteration >= self.last:
                there = f"is at iteration {event.iteration} already, max_iter is {self.last}"
                say.warn(f"{self.resume}: {there}")
        elif event.kind == "testing":
            self.bar.name(f"testing, {values['batches']:.0f} batches")
        elif event.kind == "test":
            listed = ", ".join(f"{k} = {v:.6g}" for k, v in values.items())
            say.line(f"iteration {event.iteration}, test: {listed}")
        elif event.kind == "best":
            say.line(f"the best yet: {event.path}")
        elif event.kind == "snapshot":
            say.line(f"snapshot {event.path}")
        if event.kind in ("begin", "train", "step"):
            self.bar.name("training")
            self.bar.reach(event.iteration, max(event.iteration, self.last))
        if event.kind == "train" and event.told:
            left = (self.last - event.iteration) / values["iterations_per_second"]
            rmse = f"RMSE = {values['rmse']:.4f}, " if "rmse" in values else ""
            say.line(
                f"iteration {event.iteration - 1}, loss = {values['smoothed_loss']:.6g}, {rmse}"
                f"lr = {values['lr']:.6g}, {values['images_per_second']:.0f} images/s, "
                f"{duration(left)} left"
            )


class ShownModern:
    """The events of the `modern` recipe, likewise."""

    def __init__(self, say: Printer, bar: Bar) -> None:
        self.say, self.bar = say, bar
        self.last = 0

    def __call__(self, event: Event) -> None:
        """Show one."""
        values, say = event.values, self.say
        if event.kind == "trials":
            say.line(
                f"trying {values['candidates']:.0f} random encoders for "
                f"{values['iterations']:.0f} iterations each, the better half for twice as many, "
                "and so on"
            )
        elif event.kind == "trial":
            tried = f"RMSE {values['rmse']:.4f} after {values['iterations']:.0f} iterations"
            say.line(f"encoder {values['seed']:.0f}: {tried}")
        elif event.kind == "chosen":
            say.line(f"encoder {values['seed']:.0f} is taken")
        elif event.kind == "begin":
            self.last = int(values["max_iter"])
        elif event.kind == "train":
            say.line(
                f"iteration {event.iteration}, loss = {values['loss']:.6g}, "
                f"{errors(values)}, {values['images_per_second']:.0f} images/s, "
                f"{duration(values['seconds_left'])} left"
            )
        elif event.kind == "testing":
            self.bar.name("testing")
        elif event.kind == "held_out":
            say.line(f"iteration {event.iteration}, held out: {errors(values)}")
        elif event.kind == "snapshot":
            say.line(f"snapshot {event.path}")
        doing = {"trying": "trying encoders", "encode": "keeping switches"}.get(event.kind)
        if doing:
            self.bar.name(doing)
            self.bar.reach(int(values["done"]), int(values["total"]))
        elif event.kind in ("begin", "step"):
            self.bar.name("training")
            self.bar.reach(event.iteration, self.last)


def errors(values: Mapping[str, float]) -> str:
    """What is told of a recipe's error, and of the bits where it counts them."""
    said = f"RMSE = {values['rmse']:.4f}"
    if "bits_per_pixel" in values:
        said += f", {values['bits_per_pixel']:.3f} bits a pixel"
    return said


def duration(seconds: float) -> str:
    """Seconds as 1:23 or 1:02:03."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
