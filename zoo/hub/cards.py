"""A model's card, `README.md`: what model hubs read of it, and what a person should know.

It begins with the front matter of Hugging Face's model cards (https://huggingface.co/docs/hub/model-cards),
goes on with the publisher's own text, and ends with what the index and the model's metadata say:
files, input, use, provenance, citation. Published again with other facts, it is written anew; the
publisher's text stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prototxt.files import read_bytes
from prototxt.preprocessing import Preprocessing
from prototxt.shapes import Size
from zoo import formatting
from zoo.errors import HubError
from zoo.hub.index import Cost, Entry, File, Metric, Pair
from zoo.inspection.onnx_model import Tensor
from zoo.inspection.programs import snippet

LARGEST_CARD = 1 << 20
MARK = "<!-- What follows is written by zoo publish; what stands above it stays. -->"

PIPELINES = {
    "classify": "image-classification",
    "detect": "object-detection",
    "segment": "image-segmentation",
    "reconstruct": "image-to-image",
    "image-to-image": "image-to-image",
}
"""From a task to Hugging Face's name of it; of others there is none to give."""

LICENCES = frozenset(
    "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 "
    "bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause "
    "bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 "
    "cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 "
    "cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 "
    "cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 "
    "eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 "
    "odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr".split()
)
"""Hugging Face's names of licences: SPDX's in lower case, and some of its own."""


def read_card(path: Path) -> str:
    """A card that is given, Markdown with or without front matter; HubError where it is none."""
    try:
        text = read_bytes(path, HubError, "a card", LARGEST_CARD).decode()
    except ValueError:
        raise HubError("not a text in UTF-8; a card is Markdown", subject=path) from None
    split(text, path)
    return text


def read_bibtex(path: Path) -> tuple[str, ...]:
    """The lines of a BibTeX file; HubError where it is none."""
    try:
        lines = read_bytes(path, HubError, "a BibTeX file", LARGEST_CARD).decode().splitlines()
    except ValueError:
        raise HubError("not a text in UTF-8; BibTeX is", subject=path) from None
    found = tuple(line.expandtabs(2).rstrip() for line in lines if line.strip())
    if not found or not found[0].lstrip().startswith(("@", "%")):
        raise HubError("not BibTeX: it does not begin with @", subject=path)
    return found


def split(markdown: str, source: str | Path = "card") -> tuple[dict[str, Any], str]:
    """The front matter of a card, and the publisher's own text in it; HubError for bad YAML."""
    import yaml

    match = re.match(r"---[ \t]*\r?\n(.*?\n|)---[ \t]*(\r?\n|$)", markdown, re.DOTALL)
    text = (markdown[match.end() :] if match else markdown).partition(MARK)[0].strip()
    if match is None:
        return {}, text
    try:
        front = yaml.safe_load(match[1]) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" in line {place.line + 2}" if place is not None else ""
        raise HubError(f"its front matter is no YAML{where}", subject=source) from None
    if not isinstance(front, dict) or not all(isinstance(key, str) for key in front):
        raise HubError("its front matter has no names and values", subject=source)
    return front, text


def make(entry: Entry, metadata: Mapping[str, str], given: str = "") -> str:
    """The card of a version of a model.

    Args:
        entry: what the index says.
        metadata: what its first ONNX file says of itself.
        given: the publisher's card, or the one of before, of which the text and what is in the
            front matter of the publisher's own are taken.
    """
    import yaml

    front, text = split(given)
    front = front_matter(entry, front)
    dumped = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=100)
    sections = [
        _files(entry),
        _input(entry, metadata),
        _use(entry, metadata),
        _provenance(entry, metadata),
    ]
    if entry.bibtex:
        sections.append("\n".join(["## Citation", "", "```bibtex", *entry.bibtex, "```"]))
    body = [text or f"# {entry.name}", MARK, *filter(None, sections)]
    return f"---\n{dumped}---\n\n" + "\n\n".join(body) + "\n"


def front_matter(entry: Entry, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a model hub reads: the facts of the index over what the publisher's card has."""
    found = dict(given)
    if entry.licence:
        found.pop("license_name", None)
        identifier = re.sub(r"-(only|or-later)$", "", entry.licence.lower())
        if identifier in LICENCES:
            found["license"] = identifier
        else:
            found |= {"license": "other", "license_name": _slug(entry.licence)}
    found["library_name"] = "onnx"
    if entry.task in PIPELINES:
        found["pipeline_tag"] = PIPELINES[entry.task]
    tags = given.get("tags") or []
    tags = [str(tag) for tag in (tags if isinstance(tags, list) else [tags])]
    found["tags"] = list(dict.fromkeys([*tags, "onnx", "onnxruntime", "caffe", *_lowered(entry)]))
    if entry.datasets:
        found["datasets"] = list(entry.datasets)
    if entry.metrics:
        found["model-index"] = [{"name": entry.name, "results": _results(entry)}]
    return found


def _lowered(entry: Entry) -> list[str]:
    return [precision for precision in entry.precisions if precision != "float32"]


def _results(entry: Entry) -> list[dict[str, Any]]:
    """The metrics by the data that they were measured on."""
    by_data: dict[str, list[Metric]] = {}
    for metric in entry.metrics:
        by_data.setdefault(metric.data, []).append(metric)
    return [
        {
            "task": {"type": PIPELINES.get(entry.task, entry.task)},
            "dataset": {"type": _slug(data), "name": data or "not stated"},
            "metrics": [{"type": metric.name, "value": metric.value} for metric in metrics],
        }
        for data, metrics in by_data.items()
    ]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.") or "not-stated"


def cost_text(cost: Cost) -> str:
    """What fewer bits changed, in words."""
    parts = [f"largest difference {cost.largest:.4g}"]
    for name, pair, form in (("RMSE", cost.rmse, ".4f"), ("top-1", cost.top1, ".1%")):
        if pair is not None:
            parts.append(_change(name, pair, form))
    if cost.top1 is None and cost.same_class is not None:
        parts.append(f"the same class first in {cost.same_class:.1%}")
    images = f"{cost.images:,} image" + ("s" if cost.images != 1 else "")
    return f"{', '.join(parts)}; on {images} ({cost.sample})"


def _change(name: str, pair: Pair, form: str) -> str:
    return f"{name} {pair[0]:{form}} before, {pair[1]:{form}} after"


def _files(entry: Entry) -> str:
    rows = [["file", "part", "numbers", "runs on", "size", "SHA-256"]]
    costs = []
    for file in entry.files:
        if file.kind not in ("model", "data"):
            continue
        network = file.network
        what = ["weights", "", ""]
        if network is not None:
            what = [network.part, network.precision, ", ".join(network.targets)]
            if network.cost is not None:
                beside = plain(cost_text(network.cost))
                costs.append(f"- {code(file.name)} beside float32: {beside}.")
        rows.append([code(file.name), *what, formatting.size(file.size), code(file.sha256)])
    return "\n\n".join(["## Files", table(rows), *(["\n".join(costs)] if costs else [])])


def main_file(entry: Entry) -> File:
    """The file that the card shows the use of: the whole network in float32 where there is one."""
    return min(
        entry.models,
        key=lambda file: (
            file.network is None or file.network.part != "whole",
            file.network is None or file.network.precision != "float32",
        ),
    )


def _sizes(entry: Entry, metadata: Mapping[str, str]) -> tuple[Size, Size | None]:
    """What images are resized to, and what is then cut out of the middle: as `runtime.Feeder`."""
    assert entry.preprocessing is not None and entry.preprocessing.input_size is not None
    stated = Preprocessing.from_metadata(metadata)
    if stated.resize is None or stated.crop is None:
        return entry.preprocessing.input_size, None
    return stated.resize, stated.crop


def _input(entry: Entry, metadata: Mapping[str, str]) -> str:
    network, how = main_file(entry).network, entry.preprocessing
    assert network is not None
    rows = [["", "name", "shape", "type"]]
    for side, tensors in (("input", network.inputs), ("output", network.outputs)):
        rows += [[side, code(t.name), code(_shape(t)), t.dtype] for t in tensors]
    parts = ["## Input and output", table(rows)]
    if how is not None and how.input_size is not None:
        resize, crop = _sizes(entry, metadata)
        sentence = (
            f"An image in {how.channel_order}, resized to {resize[0]}×{resize[1]} (bilinear, "
            "without antialiasing)"
        )
        if crop is not None:
            sentence += f", of which the middle {crop[0]}×{crop[1]} is taken"
        scale = f", times {how.factor:g}" if how.factor != 1 else ""
        sentence += f"; values 0 to 255, minus {{}}{scale}."
        if isinstance(how.mean, tuple):
            mean = ", ".join(f"{value:g}" for value in how.mean)
            parts.append(sentence.format(f"the mean {mean}"))
        else:
            parts.append(
                sentence.format("a mean that is **not known**")
                + " The files that this model was converted from do not state it, and its answers "
                "are right only with the mean that it was trained with."
            )
    if metadata.get("zoo.labels"):
        count = len(metadata["zoo.labels"].splitlines())
        parts.append(f"What its {count:,} classes are is in its metadata, as `zoo.labels`.")
    return "\n\n".join(parts)


def _shape(tensor: Tensor) -> str:
    return formatting.shape(tensor.shape) if tensor.shape else "one number"


def _use(entry: Entry, metadata: Mapping[str, str]) -> str:
    file, how = main_file(entry), entry.preprocessing
    pull = f"```sh\nzoo pull {entry.label} --hub ADDRESS-OF-THE-HUB -o models\n```"
    parts = ["## Use", pull]
    assert file.network is not None
    if how is None or how.input_size is None or file.network.part == "decoder":
        return "\n\n".join(parts)
    network = file.network
    program = snippet(metadata, network.inputs, network.outputs, f"models/{file.name}").strip()
    longest = max((len(run) for run in re.findall("`+", program)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n\n".join([*parts, f"{fence}python\n{program}\n{fence}"])


def _provenance(entry: Entry, metadata: Mapping[str, str]) -> str:
    rows = [["", "", "SHA-256"]]
    if entry.source:
        rows.append(["repository", link(entry.source), ""])
    for what, key in (("definition", "caffe.prototxt"), ("weights", "caffe.weights")):
        if metadata.get(key):
            digest = metadata.get(f"{key}.sha256", "")
            rows.append([what, code(metadata[key]), code(digest) if digest else ""])
    if metadata.get("zoo.weights", "").startswith("fillers"):
        rows.append(["weights", f"nobody trained them: {plain(metadata['zoo.weights'])}", ""])
    if entry.licence:
        rows.append(["licence", plain(entry.licence), ""])
    rows.append(["converted by", f"caffe-zoo {plain(metadata.get('zoo.version', ''))}", ""])
    return "\n\n".join(["## Provenance", table(rows)])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown's form of a table, the first row its head."""
    head, *others = rows
    lines = [head, ["---"] * len(head), *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """A text in which Markdown and HTML find nothing of theirs."""
    return re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", formatting.printable(text))


def code(text: str) -> str:
    """A text in a fixed font."""
    return f"`{formatting.printable(text).replace('`', chr(39)).replace('|', '¦')}`"


def link(text: str) -> str:
    """A web address to click on; any other text as it is."""
    whole = re.fullmatch(r"https?://[^\s<>|\\`\"]+", text)
    return f"<{text}>" if whole else plain(text)
