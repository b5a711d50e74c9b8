"""Models spoilt on purpose, and what the verifier finds of them."""

import numpy as np
import onnx
from onnx import numpy_helper

import converters
import prototxt
import runtime
from converters.legal_inputs import legal_inputs
from zoo.checking import probes
from zoo.checking.verification import Verifier


def graph_and_model(text, seed=0, **options):
    """The graph of a definition, with fixed shapes, and its model, folded and open."""
    net = prototxt.parse_net(text, "net.prototxt").select("TEST")
    graph = converters.build_graph(net, seed=seed, open_dims=False, **options)
    return graph, converters.to_onnx(converters.fold(graph.clone()))


def rows_of(graph, model, folder, kinds=probes.KINDS, tolerance=1e-4, std=1.0):
    """What the verifier finds on each kind of input, by kind."""
    path = folder / "model.onnx"
    onnx.save(model, path)
    verifier = Verifier(graph, runtime.load(path, "cpu"), path, tolerance)
    shapes = {value.name: value.shape for value in graph.inputs}
    feeds = {kind: probes.probe(kind, shapes, legal_inputs(graph), std=std) for kind in kinds}
    return {kind: verifier.check(kind, feeds[kind], feeds[kind]) for kind in kinds}


def spoil_weight(model, name, index, change):
    """Add to one number of a weight; of all of it, by a slice."""
    tensor = next(t for t in model.graph.initializer if t.name == name)
    array = numpy_helper.to_array(tensor).copy()
    array.reshape(-1)[index] += change
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def behind(model, blob, *nodes):
    """Put nodes between the maker of `blob`, who then writes `blob/right`, and its readers."""
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == blob:
                node.output[index] = f"{blob}/right"
    ordered = list(model.graph.node)
    at = max(i for i, node in enumerate(ordered) if f"{blob}/right" in node.output) + 1
    del model.graph.node[:]
    model.graph.node.extend([*ordered[:at], *nodes, *ordered[at:]])


def calculated(model, blob, operator, number):
    """Change a blob by one number: `calculated(model, "mask", "Add", np.int64(1))`."""
    model.graph.initializer.append(numpy_helper.from_array(np.array(number), f"{blob}/number"))
    behind(
        model, blob, onnx.helper.make_node(operator, [f"{blob}/right", f"{blob}/number"], [blob])
    )


def without_input(model, operator, index):
    """The first node of that type without an input: a convolution without its bias, say."""
    node = next(node for node in model.graph.node if node.op_type == operator)
    del node.input[index]


def set_attribute(model, operator, name, value):
    """Set an attribute of the first node of that type."""
    node = next(node for node in model.graph.node if node.op_type == operator)
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])
