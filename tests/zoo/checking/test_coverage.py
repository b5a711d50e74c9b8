"""A collection of definitions, and what of it converts."""

import json
import subprocess
import sys
from pathlib import Path

from tests.converters.forks import inputs, layer
from zoo.checking import coverage

RELU = inputs(x=(1, 3, 8, 8)) + layer("ReLU", "x", tops="y", name="r")


def collection(folder: Path) -> Path:
    """Two repositories: one that converts, one that does not, and what is no network."""
    texts = {
        "one/deploy.prototxt": RELU,
        "one/solver.prototxt": "net: 'deploy.prototxt' base_lr: 0.1",
        "two/deep/train.prototxt": RELU.replace("ReLU", "Strange"),
        "two/deploy.prototxt": RELU.replace("ReLU", "Strange").replace("'r'", "'s'"),
        "two/broken.prototxt": "layer { name: }",
        "two/README.md": "no definition",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_what_converts_and_why_the_others_do_not(tmp_path):
    found = list(coverage.survey(collection(tmp_path), 1))
    assert [(one.file, one.converts) for one in found] == [
        ("one/deploy.prototxt", True),
        ("two/broken.prototxt", False),
        ("two/deep/train.prototxt", False),
        ("two/deploy.prototxt", False),
    ]
    assert {one.repository: one.deploys for one in found} == {"one": True, "two": True}
    assert found[0].layers == {"Input": 1, "ReLU": 1}
    assert found[2].said.startswith("two/deep/train.prototxt:")
    assert found[2].reason == found[3].reason  # whatever the layer's name
    assert coverage.usage(found) == {
        "definitions": 4,
        "repositories": 2,
        "types": {"Input": 3, "Strange": 2, "ReLU": 1},
    }
    page = coverage.table(found)
    assert "- all: 1 of 4 (25.0%)" in page
    assert "- with 'deploy' in their path: 1 of 2 (50.0%)" in page
    assert f"| {found[2].reason} | 2 | two/deep/train.prototxt |" in page
    assert "| two | 0 of 3 (0.0%) |" in page


def test_the_command(tmp_path):
    command = [sys.executable, "-m", "zoo.checking.coverage", collection(tmp_path / "c")]
    run = subprocess.run(
        [*command, "--json", tmp_path / "found.json", "--processes", "1"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("- all: 1 of 4")
    assert len(json.loads((tmp_path / "found.json").read_text())) == 4
