"""What the README says must be so."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.docs import blocks as documentation
from zoo.cli.app import Front
from zoo.cli.data import DataPage
from zoo.paper import architectures

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS_PAGE = (ROOT / "docs/commands.md").read_text()
PAPER = (ROOT / "docs/paper.md").read_text()
PAGES = {page.name: page.read_text() for page in documentation.PAGES}
INLINE = sorted(
    {
        line
        for text in PAGES.values()
        for line in re.findall(r"`(zoo [^`]+)`", text)
        if line.split()[1].islower()
    }
)
LISTED = re.findall(r"(?m)^\| `(zoo [^`]+)`", COMMANDS_PAGE)


GROUPS = {"data": set(DataPage.entries())}
COMMANDS = set(Front.entries())


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_two_commands_of_one_line_each():
    shell = blocks("sh")
    assert len(shell) == 2
    assert all(block.count("\n") == 1 for block in shell)
    assert "zoo eval" in shell[0]
    assert shell[1].strip().endswith("pytest")


def test_ci_runs_the_test_command():
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert "pytest" in lines
    assert "the test command is `pytest`" in README


def test_the_first_command_runs(zoo, tmp_path):
    """All of it but the installation, which `.ci/run` does."""
    (line,) = [block for block in blocks("sh") if "zoo eval" in block]
    commands = [part.strip() for part in line.split("&&") if "/zoo " in part]
    assert len(commands) == 1
    for command in commands:
        run = zoo(*shlex.split(command)[1:])
        assert run.status == 0, run.err
    assert "RMSE" in run.out and "published" in run.out and "untrained" not in run.out


@pytest.mark.parametrize("line", INLINE)
def test_every_command_and_option_exists(zoo, line):
    _, command, *rest = shlex.split(line)
    assert command in COMMANDS
    command = [command]
    if command[0] in GROUPS:
        command.append(rest.pop(0))
        assert command[1] in GROUPS[command[0]]
    text = zoo(*command, "--help").out
    for word in rest:
        if word.startswith("-") and word != "--help":
            assert re.search(rf"(?m)^  (-\w, )?{re.escape(word)}\b", text), f"{command} {word}"


def test_commands_that_are_listed_are_all_there_are():
    named = {line.split()[1] for line in LISTED}
    assert named == COMMANDS


def test_what_is_there_is_not_said_to_be_missing():
    missing = README.partition("Not yet:")[2]
    assert missing and "codec" not in missing
    assert {"encode", "decode"} <= COMMANDS


def test_the_published_figures():
    for arch, encoder, figure, bits in re.findall(
        r"\| (\d+_\d+_\d+) \| ([a-z]+) \| [\d.]+ \| ([\d.]+) \| ([\d.]+) \|", PAPER
    ):
        assert architectures.PUBLISHED[encoder][arch] == float(figure)
        assert architectures.bits_per_pixel(arch) == float(bits)


def row_of_table_2(arch: str) -> dict[str, Any]:
    """Of benchmarks/table2.json, its random encoder."""
    rows = json.loads((ROOT / "benchmarks/table2.json").read_text())["rows"]
    (row,) = [one for one in rows if (one["arch"], one["encoder"]) == (arch, "random")]
    return row


@pytest.mark.parametrize("arch", architectures.ARCHES)
def test_the_figures_of_the_networks_that_come_along(arch):
    """Those of the newest versions; the paper's page has them beside the authors'."""
    from zoo.hub import open_hub

    index, row = open_hub().index, row_of_table_2(arch)
    entries = [index.versions(name)[-1] for name in (arch, f"{arch}-learned")]
    ours = [row["ours"], row["learned"]]
    assert [entry.metric("rmse").value for entry in entries] == pytest.approx(ours, abs=1e-6)
    cells = [arch, f"{architectures.bits_per_pixel(arch):g}"]
    cells += [f"{row['converted']:.4f}" if row["converted"] else "not at hand"]
    for rmse, ratio in zip(ours, (row["ratio"], row["learned_ratio"]), strict=True):
        cells += [f"{rmse:.4f}", f"{ratio:.3f}" if ratio else ""]
    shown = " ".join(f"| {cell}" if cell else "|" for cell in cells) + " |"
    assert shown in PAPER.splitlines()


@pytest.mark.parametrize("arch", re.findall(r"(?m)^\| (\d+_\d+_\d+) \|", README))
def test_the_short_table(arch):
    """README's is that of benchmarks/table2.json."""
    row = row_of_table_2(arch)
    cells = [arch, f"{row['bits_per_pixel']:g}", f"{row['published']:.4f}"]
    cells += [
        "not at hand" if row[key] is None else f"{row[key]:.4f}"
        for key in ("converted", "ours", "learned")
    ]
    assert f"| {' | '.join(cells)} |" in README.splitlines()


def test_it_is_short():
    assert len(README.splitlines()) <= 120


def test_the_picture_is_what_its_script_draws():
    """But for what rounds otherwise on another processor."""
    import numpy as np

    import runtime
    from docs import figures

    drawn, kept = figures.picture(), runtime.read_image(figures.PICTURE)
    assert drawn.shape == kept.shape
    assert np.mean(np.abs(drawn.astype(int) - kept) > 8) < 0.01
    assert figures.PICTURE.stat().st_size < 300_000
