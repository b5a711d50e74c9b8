"""A graph in layers, from above to below, as SVG.

Sugiyama's way in its plainest form: each node lies one row below the lowest that it reads, edges
that pass rows get a place in each, rows are put in order by the median of their neighbours, and
places are drawn towards those of the neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

MOST_NODES = 800
MOST_PLACES = 12_000
"""Larger graphs are not drawn: nobody could follow them."""
SWEEPS = 6
ROW, WIDTH, HEIGHT, GAP, BEND = 60, 124, 38, 14, 10
"""Pixels: from row to row, of a node, between nodes, and of an edge that passes a row."""
LETTERS = 18
"""Longest text in a box; of a longer name the end is shown, which tells it from its neighbours."""

FAMILIES = {
    "weights": ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "RNN", "GRU"),
    "pool": ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxUnpool", "Resize"),
    "activation": (
        *("Relu", "LeakyRelu", "PRelu", "Elu", "Sigmoid", "Tanh", "Clip", "Softmax", "Softplus"),
        *("HardSigmoid", "ThresholdedRelu"),
    ),
    "norm": ("BatchNormalization", "LRN", "InstanceNormalization", "LpNormalization"),
    "join": ("Concat", "Add", "Mul", "Sum", "Max", "Sub", "Div", "Split"),
}
"""Operators by what they do, which gives them their colour; the rest move numbers about."""


def family(operator: str) -> str:
    """The word, a class of the page's style, for what an operator does."""
    return next((name for name, kinds in FAMILIES.items() if operator in kinds), "shape")


@dataclass(eq=False)
class Place:
    """A node, or where an edge passes a row."""

    row: int
    width: float
    text: str = ""
    name: str = ""
    kind: str = ""
    title: str = ""
    x: float = 0.0
    above: list[Place] = field(default_factory=list)
    below: list[Place] = field(default_factory=list)


def svg(graph: dict[str, Any]) -> str | None:
    """The drawing of what `zoo.inspection.onnx_model.summary` tells; None of too large a graph.

    Colours come from the page's style, by class.
    """
    layers = by_layer(graph["nodes"])
    if len(layers) > MOST_NODES:
        return None
    nodes, edges = _nodes(graph, layers)
    rows = _rows(nodes, edges)
    if rows is None:
        return None
    _put_in_order(rows)
    _spread(rows)
    return _drawn(rows, edges)


def by_layer(nodes: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Operators in their order, those together that a layer of the definition was written as.

    Of a layer the converter gives the first operator its name, and the others ``LAYER/OPERATOR_N``.
    """
    found: list[list[dict[str, Any]]] = []
    for node in nodes:
        match = re.fullmatch(rf"(.+)/{re.escape(node['op'])}_\d+", node["node"])
        if match and found and found[-1][0]["node"] == match[1]:
            found[-1].append(node)
        else:
            found.append([node])
    return found


def _nodes(
    graph: dict[str, Any], layers: Sequence[Sequence[dict[str, Any]]]
) -> tuple[list[Place], list[tuple[Place, Place]]]:
    """Inputs, layers and outputs, each in its row, and what reads what."""
    made: dict[str, Place] = {}
    nodes: list[Place] = []
    edges: list[tuple[Place, Place]] = []
    for value in graph["inputs"]:
        title = f"input {value['name']}, {_dims(value)}"
        end = Place(0, WIDTH, "input", value["name"], "end", title)
        nodes.append(end)
        made[value["name"]] = end
    for layer in layers:
        first, inner = layer[0], {name for row in layer for name in row["outputs"]}
        read = [name for row in layer for name in row["inputs"] if name not in inner]
        sources = list(dict.fromkeys(made[name] for name in read if name in made))
        depth = max((source.row for source in sources), default=-1) + 1
        shapes = ", ".join(f"{n} {'×'.join(map(str, d))}" for n, d in first["outputs"].items())
        text = first["op"] if len(layer) == 1 else f"{len(layer)} operators"
        kind = family(first["op"])
        node = Place(depth, WIDTH, text, first["node"], kind, f"{first['node']}: {shapes}")
        nodes.append(node)
        edges += [(source, node) for source in sources]
        made |= dict.fromkeys(filter(None, inner), node)
    for value in graph["outputs"]:
        if value["name"] in made:
            source = made[value["name"]]
            title = f"output {value['name']}, {_dims(value)}"
            end = Place(source.row + 1, WIDTH, "output", value["name"], "end", title)
            nodes.append(end)
            edges.append((source, end))
    _lower_constants(nodes, edges)
    return nodes, edges


def _dims(value: dict[str, Any]) -> str:
    return "×".join(map(str, value["shape"])) or "a number"


def _lower_constants(nodes: Sequence[Place], edges: Sequence[tuple[Place, Place]]) -> None:
    """What reads nothing stands right above what reads it, and not at the top."""
    read = {id(target) for _, target in edges}
    for node in reversed(nodes):
        if id(node) not in read and node.kind != "end":
            under = [target.row for source, target in edges if source is node]
            node.row = max(0, min(under, default=1) - 1)


def _rows(nodes: Sequence[Place], edges: Sequence[tuple[Place, Place]]) -> list[list[Place]] | None:
    """Rows of places, with one in each row that an edge passes; None where there are too many."""
    passed = sum(max(0, target.row - source.row - 1) for source, target in edges)
    if len(nodes) + passed > MOST_PLACES:
        return None
    rows: list[list[Place]] = [[] for _ in range(max(node.row for node in nodes) + 1)]
    for node in nodes:
        rows[node.row].append(node)
    for source, target in edges:
        last = source
        for row in range(source.row + 1, target.row):
            bend = Place(row, BEND)
            rows[row].append(bend)
            _join(last, bend)
            last = bend
        _join(last, target)
    return rows


def _join(above: Place, below: Place) -> None:
    above.below.append(below)
    below.above.append(above)


def _put_in_order(rows: Sequence[list[Place]]) -> None:
    """Each row by the middle of its neighbours, down and up by turns: few edges cross then."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        order = {id(place): float(i) for row in rows for i, place in enumerate(row)}
        for row in rows if down else reversed(rows):
            for place in row:
                near = sorted(order[id(p)] for p in (place.above if down else place.below))
                if near:
                    middle = len(near) // 2
                    order[id(place)] = (near[middle] + near[-middle - 1]) / 2
            row.sort(key=lambda place: order[id(place)])
            order |= {id(place): float(i) for i, place in enumerate(row)}


def _spread(rows: Sequence[list[Place]]) -> None:
    """Give each place its x: near the mean of its neighbours, and clear of the next in its row."""
    for row in rows:
        x = -sum(place.width + GAP for place in row) / 2
        for place in row:
            place.x = x + place.width / 2
            x += place.width + GAP
    for sweep in range(2 * SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = []
            for place in row:
                near = place.above if sweep % 2 == 0 else place.below
                near = near or place.above or place.below
                wanted.append(sum(p.x for p in near) / len(near) if near else place.x)
            _clear(row, wanted)


def _clear(row: Sequence[Place], wanted: Sequence[float]) -> None:
    """As near to what is wanted as order and gaps allow: between pushing right and pushing left."""
    right, left = list(wanted), list(wanted)
    for i in range(1, len(row)):
        right[i] = max(right[i], right[i - 1] + _apart(row[i - 1], row[i]))
    for i in range(len(row) - 2, -1, -1):
        left[i] = min(left[i], left[i + 1] - _apart(row[i], row[i + 1]))
    for place, a, b in zip(row, right, left, strict=True):
        place.x = (a + b) / 2


def _apart(left: Place, right: Place) -> float:
    return (left.width + right.width) / 2 + GAP


def _drawn(rows: Sequence[list[Place]], edges: Sequence[tuple[Place, Place]]) -> str:
    places = [place for row in rows for place in row]
    least = min(place.x - place.width / 2 for place in places) - GAP
    width = max(place.x + place.width / 2 for place in places) + GAP - least
    height = len(rows) * ROW + GAP
    body = [*_lines(places, least), *_boxes(places, least)]
    return (
        f'<svg class="graph" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" role="img" aria-labelledby="graph-title graph-text">\n'
        f'<title id="graph-title">The network’s graph</title>\n<desc id="graph-text">'
        f"{len([p for p in places if p.text])} boxes from inputs above to outputs below, "
        f"{len(edges)} lines; the table of nodes has the same as text.</desc>\n"
        + "\n".join(body)
        + "\n</svg>"
    )


def _lines(places: Sequence[Place], least: float) -> Iterator[str]:
    for place in places:
        for below in place.below:
            x0, x1 = place.x - least, below.x - least
            y0 = place.row * ROW + GAP + (HEIGHT if place.text else HEIGHT / 2)
            y1 = below.row * ROW + GAP + (0 if below.text else HEIGHT / 2)
            bend = (y1 - y0) / 2
            curve = f"M{x0:.1f} {y0:.0f}C{x0:.1f} {y0 + bend:.0f} {x1:.1f} {y1 - bend:.0f}"
            yield f'<path class="edge" d="{curve} {x1:.1f} {y1:.0f}"/>'


def _boxes(places: Sequence[Place], least: float) -> Iterator[str]:
    for place in places:
        if place.text:
            x, y = place.x - least, place.row * ROW + GAP
            name = place.name if len(place.name) <= LETTERS else f"…{place.name[1 - LETTERS :]}"
            text = place.text if len(place.text) <= LETTERS else f"{place.text[: LETTERS - 1]}…"
            yield (
                f'<g class="node {place.kind}"><title>{escape(place.title)}</title>'
                f'<rect x="{x - WIDTH / 2:.1f}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
                f'<text x="{x:.1f}" y="{y + 16}" text-anchor="middle">{escape(text)}</text>'
                f'<text class="name" x="{x:.1f}" y="{y + 30}" text-anchor="middle">'
                f"{escape(name)}</text></g>"
            )
