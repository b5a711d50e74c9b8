"""`import`: find, convert, verify, publish, report; what fails is told and the rest goes on."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prototxt.errors import ZooError
from prototxt.files import sha256, write_folder
from zoo.hub.fields import plain_name
from zoo.importing.fetching import digest, fetched
from zoo.importing.finding import Found, Weights, find
from zoo.importing.report import documents
from zoo.processes import end, environment
from zoo.progress import OnProgress, counted, unheard

__all__ = ["Import", "Outcome", "import_models"]

STATE = "report.json"
SECONDS = 1800.0
"""How long one model may take."""
UNTOLD = {"model", "net", "weights", "deploy", "train", "final", "snapshot", "trained"}
"""Names of files that say nothing of what is in them: their folder's name is taken."""
STEP = re.compile(r"_iter_\d+$")
DONE = ("published", "unchanged", "mended")


@dataclass
class Outcome:
    """What became of one file of weights, or of a definition that none were found for."""

    outcome: str
    """published, unchanged or mended: it is in the hub; refused: it was tried; incomplete: weights
    without a definition or only an address, a definition without weights."""
    weights: str = ""
    definition: str = ""
    name: str = ""
    why: str = ""
    task: str = ""
    verified: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    url: str = ""
    """Where its weights are to be had, if they are nowhere else."""
    digest: str = ""
    """Of all that it was made of: what is done already is not done again."""


@dataclass
class Import:
    """What became of some folders."""

    hub: Path
    outcomes: list[Outcome] = field(default_factory=list)
    solvers: int = 0
    files: tuple[Path, ...] = ()
    """The report."""

    def count(self) -> dict[str, int]:
        """How many of each outcome there are."""
        found: dict[str, int] = {}
        for one in self.outcomes:
            found[one.outcome] = found.get(one.outcome, 0) + 1
        return found

    def as_dict(self) -> dict[str, Any]:
        """As `zoo import --json` prints it, and report.json holds it."""
        return {
            "hub": str(self.hub),
            "count": self.count(),
            "solvers": self.solvers,
            "models": [asdict(one) for one in self.outcomes],
        }


def import_models(
    folders: Sequence[Path],
    hub: Path,
    report: Path,
    *,
    version: str = "1.0",
    licence: str = "",
    fetch: bool = False,
    trust: bool = False,
    on_progress: OnProgress = unheard,
) -> Import:
    """Put the Caffe models below some folders into a hub, and report what became of each.

    Args:
        folders: what is looked through.
        hub: the hub's folder, made if need be.
        report: the folder for report.md, report.json and report.html, made if need be. What the one
            that is there says was done, of the same files, is not done again.
        version: that the models get.
        licence: as SPDX, of models that state none.
        fetch: also fetch weights of which a readme.md gives the address alone, into `report`.
        trust: run the models without limits of memory and time.
        on_progress: is told of each file of weights.

    Raises:
        ZooError: a folder that is none; whatever is wrong with one model stands in the report.
    """
    found = find(folders)
    before = earlier(report)
    names = Names()
    jobs = [(weights, names.of(weights)) for weights in found.weights]
    made = Import(hub, solvers=found.solvers)
    step = counted(on_progress, len(jobs))
    outcomes: dict[int, Outcome] = {}
    with tempfile.TemporaryDirectory() as staging, ThreadPoolExecutor(workers()) as pool:
        tasks = {
            pool.submit(
                one, weights, name, Path(staging), hub, report, before,
                version=version, licence=licence, fetch=fetch, trust=trust,
            ): place
            for place, (weights, name) in enumerate(jobs)
        }  # fmt: skip
        for task in as_completed(tasks):
            outcomes[tasks[task]] = task.result()
            step()
    made.outcomes = [outcomes[place] for place in range(len(jobs))] + list(alone(found))
    contents = documents(made.as_dict())
    write_folder(report, [(report / name, text) for name, text in contents.items()])
    made.files = tuple(report / name for name in contents)
    return made


def workers() -> int:
    """How many models are made at a time."""
    from runtime.limits import cores

    return cores()


def alone(found: Found) -> Iterator[Outcome]:
    """Definitions without weights."""
    for definition in found.alone:
        why = definition.error or "no weights are there for it"
        outcome = "refused" if definition.error else "incomplete"
        yield Outcome(outcome, definition=str(definition.path), why=why)


def one(
    weights: Weights,
    name: str,
    staging: Path,
    hub: Path,
    report: Path,
    before: Mapping[str, dict[str, Any]],
    *,
    version: str,
    licence: str,
    fetch: bool,
    trust: bool,
) -> Outcome:
    """One file of weights, from where it lies into the hub."""
    outcome = Outcome("refused", str(weights.path), name=name, url=weights.url)
    try:
        if weights.error:
            raise ZooError(weights.error)
        path = at_hand(weights, report, fetch)
        if not weights.definitions:
            outcome.outcome = "incomplete"
            raise ZooError("no definition has its layers")
        check_sha1(path, weights)
        outcome.digest = digest_of(path, weights)
        same = before.get(str(weights.path))
        if same is not None and same["digest"] == outcome.digest and in_hub(hub, name, version):
            return Outcome(**{**same, "outcome": "unchanged", "name": name})
        folder = staging / name
        folder.mkdir()
        convert(weights, path, folder / f"{name}.onnx", outcome, trust)
        publish(weights, folder / f"{name}.onnx", hub, outcome, version, licence)
    except Missing as error:
        outcome.outcome, outcome.why = "incomplete", str(error)
    except ZooError as error:
        outcome.why = str(error)
    return outcome


class Missing(ZooError):
    """Something of a model is not at hand."""


def at_hand(weights: Weights, report: Path, fetch: bool) -> Path:
    """The file of weights, fetched if need be and allowed."""
    if not weights.url or weights.path.is_file():
        return weights.path
    if not fetch:
        raise Missing(f"its weights are at {weights.url} only, and were not to be fetched")
    sha1 = weights.readme.get("sha1") if weights.readme is not None else ""
    return fetched(weights.url, report / "weights", sha1)


def check_sha1(path: Path, weights: Weights) -> None:
    """ZooError where a readme.md states another SHA-1 of the weights than they have."""
    stated = weights.readme.get("sha1").lower() if weights.readme is not None else ""
    if not stated:
        return
    found = digest(path)
    if found != stated:
        name = weights.readme.path.name if weights.readme is not None else ""
        raise ZooError(f"its sha1 is {found}, but {stated} in {name}", subject=path.name)


def digest_of(path: Path, weights: Weights) -> str:
    """Of everything that a model is made of, and of this version of the converter."""
    from prototxt.version import __version__

    files = [path, *(d.path for d in weights.definitions), weights.mean, weights.labels]
    parts = [__version__, *(sha256(file) for file in files if file is not None)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def in_hub(hub: Path, name: str, version: str) -> bool:
    """Whether the hub has the version of a model."""
    from zoo.hub.places import read_index

    try:
        return any(e.label == f"{name}@{version}" for e in read_index(hub).models)
    except ZooError:
        return False


def convert(weights: Weights, path: Path, output: Path, outcome: Outcome, trust: bool) -> None:
    """Make the model in a process of its own; ZooError where that fails."""
    job = {
        "definitions": [str(d.path) for d in weights.definitions],
        "weights": str(path),
        "mean": str(weights.mean) if weights.mean else None,
        "labels": str(weights.labels) if weights.labels else None,
        "output": str(output),
        "trust": trust,
    }
    command = [sys.executable, "-m", "zoo.importing.worker", json.dumps(job)]
    process = subprocess.Popen(
        command, env=environment(1), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise ZooError(f"not done after {SECONDS:.0f} seconds") from None
    finally:
        end(process)
    try:
        found = json.loads(out)
    except ValueError:
        lines = err.strip().splitlines()
        raise ZooError(lines[-1] if lines else "its process ended without a word") from None
    if "why" in found:
        raise ZooError(found["why"])
    outcome.definition, outcome.task = found["definition"], found["task"]
    outcome.notes, outcome.verified = found["notes"], found["verified"]
    outcome.seconds = found["seconds"]
    if found["verified"]["ok"] is False:
        raise ZooError(
            "PyTorch and ONNX Runtime differ by "
            f"{found['verified']['largest']:.2g} of the largest value; it was not published"
        )


def publish(
    weights: Weights, model: Path, hub: Path, outcome: Outcome, version: str, licence: str
) -> None:
    """Put the model into the hub, with what its author says of it as the card."""
    from zoo.hub import publishing

    readme = weights.readme
    card = model.with_name("card.md")
    title = (readme.get("name") if readme is not None else "") or outcome.name
    text = readme.text if readme is not None else ""
    card.write_text(f"# {title}\n\n{text}\n" if not text.startswith("#") else f"{text}\n")
    stated = readme.get("license", "licence") if readme is not None else ""
    source = weights.url or weights.path.relative_to(weights.root).as_posix()
    done = publishing.publish(
        [model],
        hub,
        name=outcome.name,
        version=version,
        card=card,
        licence=stated or licence,
        source=source,
    )
    outcome.outcome = done.outcome
    outcome.notes += [str(note) for note in done.notes]


class Names:
    """Names for models: plain, telling, each once."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def of(self, weights: Weights) -> str:
        """The name of a file of weights, its folder's where it tells nothing."""
        stem = STEP.sub("", weights.path.name.partition(".caffemodel")[0])
        folder = weights.path.parent
        wishes = [stem] if stem.lower() not in UNTOLD else []
        wishes += [folder.name, f"{folder.name}-{stem}", f"{folder.parent.name}-{folder.name}"]
        for wish in [*wishes, *(f"{wishes[0]}-{number}" for number in range(2, 10000))]:
            name = re.sub(r"[^A-Za-z0-9._+-]+", "-", wish).strip("-._+")[:100]
            if plain_name(name) and name.lower() not in self.taken:
                self.taken.add(name.lower())
                return name
        return f"model-{len(self.taken)}"


def earlier(report: Path) -> dict[str, dict[str, Any]]:
    """What the report that is there says was done, by the file of weights."""
    try:
        found = json.loads((report / STATE).read_text(encoding="utf-8"))["models"]
        keys = set(Outcome.__dataclass_fields__)
        return {
            one["weights"]: one
            for one in found
            if one["outcome"] in DONE and set(one) == keys and one["weights"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
