"""The pages of the gallery, from Jinja2 templates. Whatever a hub says is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import __version__
from zoo.gallery.demonstration import Demo
from zoo.gallery.photographs import Photograph, encode
from zoo.gallery.plot import Point, mark, svg
from zoo.hub import cards
from zoo.hub.index import ENCODERS, Entry, File
from zoo.hub.places import Hub
from zoo.hub.pulling import choose

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
Site = dict[str, bytes]


@dataclass(frozen=True)
class Rebuilt:
    """A photograph as one model gives it back; paths are the site's."""

    photograph: Photograph
    original: str
    picture: str
    rmse: float


@dataclass(frozen=True)
class ModelPage:
    """A version of a model that has a page."""

    entry: Entry
    page: str
    bits: float | None
    rebuilt: list[Rebuilt] = field(default_factory=list)


def static() -> Site:
    """Styles and scripts."""
    folder = HERE / "static"
    return {f"gallery/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}


def model(
    hub: Hub, entry: Entry, photographs: Sequence[Photograph], site: Site, demo: bool
) -> ModelPage:
    """Put the page of one version and its pictures into the site.

    `demo` says whether there is a demonstration to link to.
    """
    from zoo.inspection import onnx_model as onnx_summary
    from zoo.paper import architectures

    assert hub.folder is not None
    below = f"gallery/{entry.name}/{entry.version}"
    arch = entry.arch if entry.task == "reconstruct" else None
    bits = architectures.bits_per_pixel(arch) if arch else None
    rebuilt: list[Rebuilt] = []
    stages: list[dict[str, Any]] = []
    if entry.task == "reconstruct":
        rebuilt, stages = _pictures(hub, entry, photographs, below, site)
    shown = ModelPage(entry, f"{below}.html", bits, rebuilt)
    main = _main(entry)
    graph = onnx_summary.summary(hub.folder / entry.path(main))
    graph["operators"] = Counter(row["op"] for row in graph["nodes"]).most_common()
    published = architectures.PUBLISHED.get(entry.encoder or "random", {}).get(arch or "")
    card = (hub.folder / entry.path(entry.card)).read_text("utf-8") if entry.card else ""
    own_text = cards.split(card)[1]  # the rest of a card is on the page in its own form
    _render(
        site,
        shown.page,
        "model.html",
        entry=entry,
        shown=shown,
        published=published,
        main=main,
        graph=graph,
        stages=stages,
        card=markdown(own_text),
        others=[other for other in hub.index.versions(entry.name) if other is not entry],
        demo=demo,
    )
    return shown


def overview(hub: Hub, shown: Sequence[ModelPage], demos: Sequence[Demo], site: Site) -> None:
    """Put the first page and the demonstration into the site."""
    newest = {entry.label for entry in hub.index.newest()}
    latest = [one for one in shown if one.entry.label in newest]
    rows = table2(latest)
    points = [point for row in rows for point in row["points"]]
    compared = [one for one in latest if one.rebuilt]
    compared.sort(key=lambda one: (one.bits or 0, -one.rebuilt[0].rmse))
    _render(
        site,
        "index.html",
        "index.html",
        rows=rows,
        plot=svg(points),
        marks={layout: mark(layout, 8, 8) for layout in ("equal", "doubling")},
        models=latest,
        compared=compared,
        demo=bool(demos),
    )
    if demos:
        _render(site, "demo.html", "demo.html", models=[demo.entry for demo in demos], demo=True)


def table2(shown: Sequence[ModelPage]) -> list[dict[str, Any]]:
    """The paper's rows, each with the model that stands for it here.

    Then the networks with learned switches, which the paper has none of.
    """
    from zoo.paper import architectures

    rows: list[dict[str, Any]] = []
    for encoder in ENCODERS:
        figures = architectures.PUBLISHED.get(encoder)
        for arch in figures or architectures.ARCHES:
            here = next((one for one in shown if _stands_for(one.entry, arch, encoder)), None)
            if figures or here:
                rmse = figures[arch] if figures else None
                rows.append(_row(arch, encoder, rmse, here) | {"order": len(rows)})
    return rows


def _row(
    arch: str, encoder: str, published: float | None, here: ModelPage | None
) -> dict[str, Any]:
    from zoo.paper import architectures

    bits = architectures.bits_per_pixel(arch)
    metric = here.entry.metric("rmse") if here else None
    points = []
    if published is not None:
        points.append(Point(arch, encoder, bits, published))
    if metric is not None:
        points.append(Point(arch, encoder, bits, metric.value, measured=True))
    return {
        "arch": arch,
        "encoder": encoder,
        "bits": bits,
        "published": published,
        "metric": metric,
        "ratio": 100 * (metric.value / published - 1) if metric and published else None,
        "shown": here,
        "points": points,
    }


def _stands_for(entry: Entry, arch: str, encoder: str) -> bool:
    same = entry.arch == arch and (entry.encoder or "random") == encoder
    return same and entry.task == "reconstruct"


def _main(entry: Entry) -> File:
    """The file that a page summarises: the whole network where there is one."""
    for target in ("cpu", "portable"):
        whole = [
            file
            for file in entry.models
            if file.network
            and file.network.part == "whole"
            and file.network.precision == "float32"
            and target in file.network.targets
        ]
        if whole:
            return choose(entry, target)
    return entry.models[0]


def _pictures(
    hub: Hub, entry: Entry, photographs: Sequence[Photograph], below: str, site: Site
) -> tuple[list[Rebuilt], list[dict[str, Any]]]:
    """Reconstructions of every photograph, and the decoder's stages for the first."""
    import runtime
    from zoo.gallery.activations import decoder_stages
    from zoo.paper import reconstruction

    assert hub.folder is not None
    main, how = _main(entry), entry.preprocessing
    if not photographs or main.network is None or main.network.part != "whole":
        return [], []
    if how is None or how.mean is None:  # what it rebuilt with another mean were no picture of it
        return [], []
    path = hub.folder / entry.path(main)
    opened = runtime.load(path, "cpu")
    assert how.input_size is not None  # every index states it
    mean = how.mean_values(3)
    rebuilt = []
    for photo in photographs:
        found = reconstruction.reconstruct(opened, photo.pixels, mean, how.input_size)
        original = f"gallery/photographs/{photo.number}-{how.input_size[0]}x{how.input_size[1]}.png"
        picture = f"{below}/{photo.number}.png"
        site[original], site[picture] = encode(found.original), encode(found.image)
        rebuilt.append(Rebuilt(photo, original, picture, found.rmse))
    stages: list[dict[str, Any]] = []
    blob = runtime.preprocess(photographs[0].pixels, mean, how.input_size)
    for stage in decoder_stages(path, blob):
        name = f"{below}/stage-{len(stages)}.png"
        site[name] = encode(stage.strip)
        stages.append({"stage": stage, "picture": name})
    return rebuilt, stages


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
        "arch": lambda arch: arch.replace("_", "·"),
        "verbatim": Markup,  # for what is made here: the plot, the card
    }
    return environment
