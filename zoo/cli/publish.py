"""`zoo publish`: models into a hub's folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prototxt.errors import UsageError
from zoo.cli import options

if TYPE_CHECKING:
    from zoo.cli.console import Printer


class Encoder(StrEnum):
    """How the paper's encoder came to be."""

    random = "random"
    pretrained = "pretrained"
    learned = "learned"


def publish(
    models: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[MODEL.onnx...]", help="The ONNX files of one model."),
    ] = None,
    hub: Annotated[
        Path | None,
        typer.Option(
            "--hub", metavar="DIR", help="The hub's folder, made if need be; default: ZOO_HUB."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name; default: its arch.")
    ] = None,
    version: Annotated[str, typer.Option("--version", help="Numbers with dots.")] = "1.0",
    card: Annotated[
        Path | None,
        typer.Option(
            "--card",
            metavar="FILE",
            help="What a person should know, in Markdown: the first part of README.md.",
        ),
    ] = None,
    licence: Annotated[str, typer.Option("--licence", help="As SPDX: BSD-2-Clause.")] = "",
    source: Annotated[str, typer.Option("--source", help="The repository of the weights.")] = "",
    datasets: Annotated[
        list[str] | None,
        typer.Option("--dataset", metavar="NAME", help="What it was trained on; repeat for more."),
    ] = None,
    bibtex: Annotated[
        Path | None, typer.Option("--bibtex", metavar="FILE", help="How to cite it.")
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign",
            metavar="PRIVATE.pem",
            help="Sign the files by this key (elliptic curve), for `zoo pull --verify`.",
        ),
    ] = None,
    encoder: Annotated[
        Encoder | None, typer.Option("--encoder", help="How the paper's encoder came to be.")
    ] = None,
    metrics: Annotated[
        list[Path] | None,
        typer.Option("--metrics", metavar="FILE", help="What `zoo eval --json` printed."),
    ] = None,
    gallery: Annotated[
        bool, typer.Option("--gallery", help="Write the hub's web pages, beside its index.")
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            metavar="DIR",
            help="Photographs that the gallery shows models on; default: four that come along.",
        ),
    ] = None,
    no_demo: Annotated[
        bool, typer.Option("--no-demo", help="Let no page of the gallery run a model.")
    ] = False,
    runtime_web: Annotated[
        Path | None,
        typer.Option(
            "--runtime-web",
            metavar="FILE.tgz",
            help="onnxruntime-web's npm package; default: `npm pack` fetches it once.",
        ),
    ] = None,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Publish a model: put it into a hub, a folder.

    Any static host serves such a folder. The files are checked, run once on zeros, and must say how
    they are to be fed. They appear before the index names them. Models and weights of a version
    that is published keep their bytes for ever; publishing the same files again mends what is said
    of them: README.md, a card as Hugging Face's, which is written anew.

    One model may be there in float32, float16 and int8, and for several targets: name all files.

    --gallery writes pages for people: what each model makes of photographs, how it is fed, its
    graph, and a part that runs it in the page; of the paper's networks also the paper's table, and
    a demonstration of their switches.
    """
    from zoo.cli.console import Printer

    if not models and not gallery:
        raise UsageError(
            "there is nothing to publish", remedy="give MODEL.onnx, --gallery, or both"
        )
    if not gallery and (images or no_demo or runtime_web):
        raise UsageError("--images, --no-demo and --runtime-web are for --gallery")
    from zoo.hub.places import publishing_folder

    say = Printer(json, quiet)
    folder = publishing_folder(hub)
    result: dict[str, Any] = {"hub": str(folder)}
    pairs: list[tuple[str, Any]] = []
    if models:
        from zoo.hub import publishing

        done = publishing.publish(
            models,
            folder,
            name=name,
            version=version,
            card=card,
            licence=licence,
            source=source,
            encoder=encoder.value if encoder else None,
            metrics=[one for path in metrics or () for one in publishing.read_metrics(path)],
            datasets=datasets or (),
            bibtex=bibtex,
            sign=sign,
        )
        result |= done.as_dict(folder)
        pairs += _pairs(result)
    if gallery:
        pairs += _gallery(say, folder, images, not no_demo, runtime_web, result)
    say.result(result)
    say.fields(pairs)
    say.notes(result.get("notes", ()))


def _gallery(
    say: Printer,
    folder: Path,
    images: Path | None,
    demo: bool,
    runtime_web: Path | None,
    result: dict[str, Any],
) -> list[tuple[str, Any]]:
    """Write the pages; what is said of them for people, and (in `result`) for programs."""
    from zoo.gallery import build

    with say.progress("drawing the gallery") as bar:
        made = build(folder, images, demo=demo, runtime_web=runtime_web, on_progress=bar.reach)
    say.left_out(made.skipped)
    pages = made.pages
    result |= {"skipped": len(made.skipped), "gallery": [str(path) for path in pages]}
    if demo and not made.runs_models:
        note = "no page runs a model: none of them takes one image and gives what can be shown"
        result.setdefault("notes", []).append(note)
    return [("gallery", f"{pages[0]}, {len(pages)} pages; `zoo serve {folder}` shows it")]


def _pairs(result: dict[str, Any]) -> list[tuple[str, Any]]:
    from zoo import formatting

    files = [f"{row['path']} ({formatting.size(row['size'])})" for row in result["files"]]
    return [(result["outcome"], f"{result['name']}@{result['version']}"), ("files", files)]
