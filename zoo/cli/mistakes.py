"""Files that were given in the place of others."""

from __future__ import annotations

from pathlib import Path

from prototxt.errors import UsageError, ZooError
from prototxt.kinds import kind_of_content

__all__ = ["check_net", "hint_for"]


def check_net(net: Path, weights: Path | None, command: str) -> None:
    """Refuse a definition or weights that are plainly something else.

    UsageError where the two are swapped, ZooError where one of them is another kind of file. What
    is not recognised is left to who reads it.
    """
    first = kind_of_content(net)
    second = kind_of_content(weights) if weights is not None else None
    if first == "weights" and second == "definition":
        raise UsageError(
            f"{net} holds weights and {weights} is the definition",
            remedy=f"did you mean zoo {command} {weights} --weights {net}?",
        )
    if first == "weights":
        raise ZooError(
            "holds weights, and no definition",
            subject=net,
            remedy=f"give zoo {command} NET.prototxt --weights {net}",
        )
    if first == "onnx":
        raise ZooError(
            "is an ONNX model already",
            subject=net,
            remedy="`zoo inspect` shows what is in it, `zoo verify` compares it with its network, "
            "`zoo eval --model` measures it",
        )
    if second == "onnx":
        raise ZooError("is an ONNX model, and holds no weights of Caffe's", subject=weights)


def hint_for(argument: str, options: list[str]) -> str | None:
    """The option that an argument too many may have been meant for."""
    if "--weights" in options and kind_of_content(argument) == "weights":
        return f"--weights {argument}"
    if "-o" in options and argument.endswith(".onnx") and kind_of_content(argument) is None:
        return f"-o {argument}"
    if "--weights" in options and argument.endswith((".caffemodel", ".caffemodel.h5")):
        return f"--weights {argument}"
    return None
