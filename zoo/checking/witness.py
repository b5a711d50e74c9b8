"""A third witness: OpenCV 4 runs Caffe's own files, beside the rebuild and the model.

OpenCV 5 reads them no longer, so it runs in a process of its own, with a folder of packages before
the installed ones. What it reads is the definition as Caffe would run it, without losses and data
layers, and the caffemodel as it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prototxt.errors import Argument, Sentence, UsageError, ZooError
from prototxt.net import NetDefinition, parse_net, write_net
from prototxt.text import quote
from zoo.checking.comparison import Blobs
from zoo.processes import end, environment

if TYPE_CHECKING:
    from converters import Graph

__all__ = ["Witness", "opencv"]

INSTALL = "pip install -t DIR 'opencv-python-headless<5'"


class Witness:
    """OpenCV in a process that has read a network; `run` asks it. See `opencv`."""

    name = "opencv"

    def __init__(self, graph: Graph, net: str, command: Sequence[str], path: Path | None) -> None:
        self.graph, self.net = graph, net
        self.folder = tempfile.TemporaryDirectory()
        self.called: dict[str, str | None] = {}
        """By blob what OpenCV calls it; None of one that it lacks."""
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(path=str(path.resolve()) if path else None),
        )
        said = self.answer()
        self.version = said.get("version", "")
        try:
            if "absent" in said:
                raise ZooError(
                    said["absent"],
                    subject=path or Argument("against", self.name),
                    remedy=Sentence(f"{INSTALL} and give ", Argument("opencv", "DIR")),
                )
            self.check(said)
        except ZooError:
            self.close()
            raise

    def answer(self) -> dict[str, Any]:
        """Its next line; that it `failed` where it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return {"failed": f"its process ended with status {self.process.wait()}"}
        return dict(json.loads(line))

    def check(self, said: dict[str, Any]) -> None:
        """ZooError where OpenCV could not do it."""
        if "failed" in said:
            raise ZooError(
                f"OpenCV {self.version} does not run it: {said['failed']}",
                subject=self.net,
                remedy=Sentence("leave out ", Argument("against", self.name)),
            )

    def run(self, feeds: Blobs, wanted: Sequence[str]) -> Blobs:
        """The blobs of `wanted` that it has, each as the network shapes it.

        Padding behind detections is left out.
        """
        assert self.process.stdin is not None
        layers = {name: self.names(name) for name in wanted}
        folder = Path(self.folder.name)
        files = {}
        for index, (name, array) in enumerate(feeds.items()):
            files[name] = str(folder / f"in{index}.npy")
            np.save(files[name], array)
        request = {"feeds": files, "wanted": layers, "folder": str(folder)}
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        said = self.answer()
        self.check(said)
        found = said["found"]
        self.called |= {name: found[name][0] if name in found else None for name in wanted}
        return {name: self.shaped(name, np.load(file)) for name, (_, file) in found.items()}

    def names(self, blob: str) -> list[str]:
        """What OpenCV may call the layer that makes a blob: it, or its top, where no layer is that.

        None where it gives it by no name: of a layer it gives the first top.
        """
        node = self.graph.value(blob).producer
        if node is None or node.outputs[0].name != blob:
            return []
        return [node.name] if blob in {n.name for n in self.graph.nodes} else [node.name, blob]

    def shaped(self, name: str, array: np.ndarray) -> np.ndarray:
        """Without padding rows, and with the network's own dimensions of 1."""
        from converters.registry import find

        value = self.graph.value(name)
        kind = find(value.producer.type) if value.producer else None
        if kind is not None and kind.gives_detections and array.shape[-1] == 7:
            rows = array.reshape(-1, 7)
            there: np.ndarray = rows[(rows != 0).any(1)].reshape(1, 1, -1, 7)
            return there
        dims = tuple(dim for dim in value.shape if isinstance(dim, int))
        ones = [tuple(dim for dim in shape if dim != 1) for shape in (dims, array.shape)]
        return array.reshape(dims) if len(dims) == len(value.shape) and len({*ones}) == 1 else array

    def notes(self, outputs: Sequence[str]) -> list[str]:
        """Of these blobs: what it calls otherwise, as it names a blob by its layer, and lacks.

        ZooError where it lacks them all: it is no witness then.
        """
        if not any(self.called.get(name) for name in outputs):
            self.check({"failed": f"it gives no blob {', '.join(outputs)}"})
        found = []
        for name in outputs:
            called = self.called.get(name)
            if called is None:
                found.append(f"OpenCV {self.version} gives no blob {name!r}: not compared with it")
            elif called != name:
                found.append(f"blob {name!r} is {called!r} in OpenCV {self.version}")
        return found

    def close(self) -> None:
        """End the process."""
        end(self.process)
        self.folder.cleanup()


@contextlib.contextmanager
def opencv(
    net: NetDefinition, graph: Graph, weights: Path | None, path: Path | None = None
) -> Iterator[Witness]:
    """OpenCV with a network and its weights; `path` is a folder with OpenCV 4.

    `net` is the definition that `graph` was made of, with fixed shapes. ZooError where OpenCV
    cannot: it is absent, or lacks a layer type.
    """
    if weights is None:
        raise UsageError(
            "OpenCV draws no weights",
            subject=Argument("against", Witness.name),
            remedy=Sentence("give ", Argument("weights")),
        )
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        file = Path(folder) / "net.prototxt"
        file.write_text(write_net(as_run(net, graph)), encoding="utf-8")
        command = [sys.executable, "-m", "zoo.checking.opencv_process", str(file), str(weights)]
        witness = Witness(graph, net.path, command, path)
        stack.callback(witness.close)
        yield witness


def as_run(net: NetDefinition, graph: Graph) -> NetDefinition:
    """The layers that the graph has, and an Input layer for each of its inputs."""
    text = ""
    for value in graph.inputs:
        dims = " ".join(f"dim: {dim}" for dim in value.shape)
        named = "name: {0} type: 'Input' top: {0}".format(quote(value.name))
        text += f"layer {{ {named} input_param {{ shape {{ {dims} }} }} }}\n"
    names = {node.name for node in graph.nodes}
    layers = [layer for layer in net.layers if layer.name in names]
    return dataclasses.replace(net, layers=[*parse_net(text).layers, *layers])
