"""The pages of the gallery, from Jinja2 templates. Whatever a hub says is escaped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import ZooError
from zoo import __version__
from zoo.gallery import layers
from zoo.gallery.demonstration import Demo
from zoo.gallery.feeding import steps
from zoo.gallery.live import manifest, runs_in_a_page
from zoo.gallery.photographs import Photograph, encode
from zoo.gallery.plot import mark, svg
from zoo.gallery.showing import (
    ModelPage,
    Shown,
    Site,
    main_file,
    predictor,
    reason,
    seen_at,
    show,
    thumbnail,
)
from zoo.gallery.table import is_of_paper, table2
from zoo.hub import cards
from zoo.hub.index import Entry
from zoo.hub.places import Hub
from zoo.inspection.programs import snippet

if TYPE_CHECKING:
    import jinja2

    import runtime

HERE = Path(__file__).parent

WORDS = {
    "reconstruct": "Rebuilds an image from where the maxima of its pooling layers were.",
    "classify": "Says what an image shows: a score for each class.",
    "detect": "Finds things in an image: a box, a class and a score for each.",
    "segment": "Says what each pixel of an image shows.",
    "image-to-image": "Makes another image of an image.",
    "other": "Gives numbers, which mean what its definition says.",
}
"""What a model is for, by its task."""

MOST_ROWS = 2000
"""Of a table of nodes."""


def static() -> Site:
    """Styles and scripts."""
    folder = HERE / "static"
    return {f"gallery/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}


def model(
    hub: Hub,
    entry: Entry,
    photographs: Sequence[Photograph],
    site: Site,
    demos: Sequence[Demo],
    runs: bool,
) -> ModelPage:
    """Put the page of one version and its pictures into the site.

    `demos` are the site's demonstration of switches; `runs` says whether the site has the runtime,
    so that pages may run models.
    """
    from zoo.inspection import onnx_model as onnx_summary
    from zoo.paper import architectures

    assert hub.folder is not None
    below = f"gallery/{entry.name}/{entry.version}"
    arch = entry.arch if is_of_paper(entry) else None
    bits = architectures.bits_per_pixel(arch) if arch else None
    main = main_file(entry)
    path = hub.folder / entry.path(main)
    shown: list[Shown] = []
    opened, unshown = None, ""
    try:
        opened = predictor(hub, entry)
        shown = show(opened, photographs, below, site)
    except ZooError as error:
        unshown = reason(error)
    live = opened is not None and not unshown and runs and runs_in_a_page(opened, entry)
    if live:
        assert opened is not None
        site[f"{below}/live.json"] = manifest(opened, entry, photographs)
    stages = decoder_pictures(opened, path, photographs, below, site) if opened and arch else []
    best = thumbnail(shown, opened.task if opened else "")
    page = ModelPage(entry, f"{below}.html", bits, shown, best, live)
    graph, network = onnx_summary.summary(path), main.network
    assert network is not None  # every index states it of an ONNX file
    card = (hub.folder / entry.path(entry.card)).read_text("utf-8") if entry.card else ""
    # The rest of a card, and its title, are on the page in its own form.
    text = re.sub(rf"\A# {re.escape(entry.name)}\s*(\n|\Z)", "", cards.split(card)[1])
    _render(
        site,
        page.page,
        "model.html",
        entry=entry,
        shown=page,
        task=opened.task if opened else "other",
        unshown=unshown,
        published=architectures.PUBLISHED.get(entry.encoder or "random", {}).get(arch or ""),
        main=main,
        files=sorted(entry.files, key=lambda file: file is not main),
        steps=steps(opened) if opened else [],
        program=snippet(graph["metadata"], network.inputs, network.outputs, main.name),
        graph=graph,
        operators=operators(graph),
        drawing=layers.svg(graph),
        stages=stages,
        card=markdown(text),
        others=[other for other in hub.index.versions(entry.name) if other is not entry],
        demo=bool(demos),
        demonstrated=entry.label in {demo.label for demo in demos},
        paper=bool(list(filter(is_of_paper, hub.index.models))),
        live=f"{below}/live.json" if live else "",
        words=WORDS,
        most_rows=MOST_ROWS,
        of_paper=arch is not None,
    )
    return page


def overview(hub: Hub, shown: Sequence[ModelPage], demos: Sequence[Demo], site: Site) -> None:
    """Put the first page and the demonstration of switches into the site."""
    newest = {entry.label for entry in hub.index.newest()}
    latest = [one for one in shown if one.entry.label in newest]
    paper = [one for one in latest if is_of_paper(one.entry)]
    rows = table2(paper) if paper else []
    points = [point for row in rows for point in row["points"]]
    compared = [one for one in paper if one.shown]
    compared.sort(key=lambda one: (one.bits or 0, -(one.shown[0].rmse or 0)))
    _render(
        site,
        "index.html",
        "index.html",
        rows=rows,
        plot=svg(points) if paper else "",
        marks={layout: mark(layout, 8, 8) for layout in ("equal", "doubling")},
        models=latest,
        tasks=Counter(one.entry.task for one in latest).most_common(),
        compared=compared,
        demo=bool(demos),
        paper=bool(paper),
    )
    if demos:
        _render(site, "demo.html", "demo.html", demo=True, paper=True)


def operators(graph: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Each operator, how often it is there, and what it does (a class of the page's style)."""
    counted = Counter(row["op"] for row in graph["nodes"]).most_common()
    return [(name, number, layers.family(name)) for name, number in counted]


def decoder_pictures(
    opened: runtime.Predictor,
    path: Path,
    photographs: Sequence[Photograph],
    below: str,
    site: Site,
) -> list[dict[str, Any]]:
    """The stages of a paper's decoder for the first photograph."""
    import runtime
    from zoo.gallery.activations import decoder_stages

    stages: list[dict[str, Any]] = []
    if photographs:
        feeder = runtime.Feeder(opened.model, opened.mean, seen_at(opened))
        for stage in decoder_stages(path, feeder.blob(photographs[0].pixels)):
            name = f"{below}/stage-{len(stages)}.png"
            site[name] = encode(stage.strip)
            stages.append({"stage": stage, "picture": name})
    return stages


def markdown(text: str) -> str:
    """A card as HTML.

    It has no HTML of its own, and no pictures, which could come from another host. Its headings are
    one level lower, below the page's own.
    """
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = reader.parse(text)
    for token in tokens:
        if token.type.startswith("heading"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
    return str(reader.renderer.render(tokens, reader.options, {}))


def _render(site: Site, path: str, template: str, **values: Any) -> None:
    root = "../" * path.count("/")
    text = (
        _environment()
        .get_template(template)
        .render(root=root, version=__version__, page=path, **values)
    )
    site[path] = text.encode()


def _environment() -> jinja2.Environment:
    import jinja2
    from markupsafe import Markup

    from zoo import formatting

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "bytes": formatting.size,
        "cost": cards.cost_text,
        "count": formatting.count,
        "shape": formatting.shape,
        "verbatim": Markup,  # for what is made here: the plot, the graph, the card
    }
    return environment
