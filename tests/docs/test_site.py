"""The site: every public name has its place, and what the pages link to is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT

LINK = re.compile(r"\]\(([^()\s]+)\)")
FILES = [*PAGES, *sorted((ROOT / "docs/api").glob("*.md")), ROOT / "CHANGELOG.md"]


@pytest.mark.parametrize("package", ["prototxt", "converters", "runtime", "zoo.hub"])
def test_every_public_name_has_its_place(package: str) -> None:
    page = (ROOT / f"docs/api/{package.partition('.')[0]}.md").read_text()
    named = re.findall(rf"(?m)^::: {re.escape(package)}\.(\w+)$", page)
    assert sorted(named) == sorted(importlib.import_module(package).__all__)


@pytest.mark.parametrize("page", FILES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_go_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        path = target.partition("#")[0]
        if path and "://" not in target:
            assert (page.parent / path).exists(), target


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"(?m)^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text()))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert there <= listed


def test_links_become_those_of_the_site() -> None:
    hooks = pytest.importorskip("mkdocs") and importlib.import_module("docs.hooks")
    text = "[a](../../LAYERS.md#b) [c](../paper.md) [d](../../zoo/extras.py) ![e](../images/a.png)"
    assert hooks.linked(text, "docs/guides/x.md", "guides/x.md") == (
        "[a](../layers.md#b) [c](../paper.md) d ![e](../images/a.png)"
    )
    assert (
        hooks.linked("`a`\n```\n[a](b)\n```\n", "README.md", "index.md")
        == "`a`\n```\n[a](b)\n```\n"
    )
