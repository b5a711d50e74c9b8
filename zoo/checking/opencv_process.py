"""OpenCV's answers, in a process of its own: `python -m zoo.checking.opencv_process NET WEIGHTS`.

It may be another OpenCV than the installed one. It answers one line of JSON when ready: `version`,
or `absent`, which says why not. Then one for each line on stdin, {"feeds": {BLOB: FILE}, "wanted":
{BLOB: [LAYER, ...]}, "folder": FOLDER}: `found`, by blob the layer and a file, or `failed`, which
says why. Files are .npy.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

__all__ = ["Unavailable", "caffe_reader", "serve"]


class Unavailable(Exception):
    """There is no OpenCV here that reads Caffe's files; says why."""


def caffe_reader() -> Any:
    """The module cv2, if it is one that reads Caffe's files. Raises Unavailable."""
    try:
        import cv2
    except ImportError:
        raise Unavailable("OpenCV is not installed") from None
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        raise Unavailable(f"OpenCV {cv2.__version__} no longer reads Caffe's files; 4.x does")
    return cv2


def main() -> None:
    # Libraries may print: what the parent reads is theirs no longer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.argv[1], sys.argv[2], sys.stdin, answers)


def serve(net: str, weights: str, asked: TextIO, answers: TextIO) -> None:
    """Read a network, and answer as the module's docstring says."""

    def say(**data: Any) -> None:
        answers.write(json.dumps(data) + "\n")
        answers.flush()

    try:
        cv2 = caffe_reader()
    except Unavailable as error:
        say(absent=str(error))
        return
    try:
        read = cv2.dnn.readNetFromCaffe(net, weights)
    except cv2.error as error:
        say(version=cv2.__version__, failed=reason(error))
        return
    # Every blob shall be there to look at, and as exact as float32 is.
    read.enableFusion(False)
    read.enableWinograd(False)
    say(version=cv2.__version__)
    for line in asked:
        try:
            say(found=answer(read, **json.loads(line)))
        except cv2.error as error:
            say(failed=reason(error))


def answer(
    net: Any, feeds: Mapping[str, str], wanted: Mapping[str, list[str]], folder: str
) -> dict[str, tuple[str, str]]:
    """By blob the first of its layers that OpenCV knows, and a file with what that gives.

    A blob of whose layers it knows none is left out.
    """
    known = set(net.getLayerNames())
    layers = {blob: [name for name in names if name in known] for blob, names in wanted.items()}
    there = {blob: names[0] for blob, names in layers.items() if names}
    for blob, path in feeds.items():
        net.setInput(np.load(path), blob)
    found: dict[str, tuple[str, str]] = {}
    outputs = net.forward(list(there.values())) if there else ()
    for index, ((blob, layer), array) in enumerate(zip(there.items(), outputs, strict=True)):
        found[blob] = layer, str(Path(folder) / f"out{index}.npy")
        np.save(found[blob][1], array)
    return found


def reason(error: Any) -> str:
    """What OpenCV says, without its own file and line."""
    return " ".join(str(getattr(error, "err", None) or error).split())


if __name__ == "__main__":
    main()
