"""How the library's arguments and functions are called on the command line.

The library names its own arguments in what it tells (`prototxt.errors.Sentence`); whoever reads a
command's output knows the option. These are the only two tables from one to the other.
"""

from collections.abc import Mapping
from typing import Any

from prototxt.errors import Argument, Function, Sentence
from prototxt.shapes import shape_text

OPTIONS = {
    "against": "--against",
    "arch": "--arch",
    "batch": "--batch",
    "caffemodels": "--caffemodels",
    "calibrate": "--calibrate",
    "data": "--data",
    "demo": "--demo",
    "device": "--device",
    "external_data": "--external-data",
    "fold_preprocessing": "--fold-preprocessing",
    "held_out": "--held-out",
    "hold_out": "--hold-out",
    "host": "--host",
    "hub": "--hub",
    "input_names": "--input-name",
    "inputs": "--inputs",
    "items": "--item",
    "json": "--json",
    "labels": "--labels",
    "lenient": "--lenient",
    "limit": "--limit",
    "masks": "--masks",
    "mean": "--mean",
    "model": "--model",
    "name": "--name",
    "neuron": "--neuron",
    "nhwc": "--nhwc",
    "offline": "--offline",
    "opencv": "--opencv",
    "opset": "--opset",
    "output": "-o",
    "output_names": "--output-name",
    "outputs": "--output",
    "phase": "--phase",
    "plain": "--plain",
    "plugins": "--plugin",
    "port": "--port",
    "precision": "--precision",
    "provider": "--provider",
    "raw": "--raw",
    "runtime_web": "--runtime-web",
    "runtimes": "--runtime",
    "shapes": "--shape",
    "sign": "--sign",
    "size": "--size",
    "split": "--split",
    "stages": "--stage",
    "task": "--task",
    "truth": "--truth",
    "trust": "--trust",
    "verify": "--verify",
    "version": "--version",
    "weights": "--weights",
}
"""From an argument to its option."""

COMMANDS = {
    "zoo.hub.publish": "publish",
    "zoo.paper.evaluation.evaluate": "eval",
    "zoo.paper.recipes.images.load_images": "train",
    "zoo.reproduction.run.reproduce": "reproduce",
}
"""From a function to the command that calls it."""


def spelled(text: str) -> str:
    """A text of the library, in the command's own words."""
    return text.spelled(_spell) if isinstance(text, Sentence) else text


def _spell(part: Argument | Function) -> str:
    if isinstance(part, Argument):
        return _option(part)
    given = [_option(arg) if isinstance(arg, Argument) else arg for arg in part.arguments]
    return f"`{' '.join(['zoo', COMMANDS[part.name], *given])}`"


def _option(argument: Argument) -> str:
    option, value = OPTIONS[argument.name], argument.value
    if value is None or value is True:
        return option
    if value is False:
        return f"--no-{option.removeprefix('--')}"
    if isinstance(value, Mapping):
        values = [f"{name}={_value(item)}" for name, item in value.items()]
    else:
        values = [_value(item) for item in (value if isinstance(value, list) else [value])]
    return " ".join(f"{option} {item}" for item in values)


def _value(value: Any) -> str:
    """``1x3x224x224`` of a shape; any other value as it is."""
    return shape_text(value) if isinstance(value, tuple) else str(value)
