"""What MkDocs calls: pages that lie elsewhere in the repository are part of the site, too.

On the repository's own pages links go to files, as `docs/guides/convert.md`. In the site they go to
the pages that became of these; a link to a file that is no page is left as its text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]

PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LAYERS.md": "layers.md",
}
"""Of a file in the repository, where it lies in the site."""
PAGES |= {
    path.relative_to(ROOT).as_posix(): path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "benchmarks").iterdir())
    if path.suffix in (".md", ".png", ".json")
}

HEADINGS = {
    "benchmarks/convert.md": "Conversion, measured",
    "benchmarks/precision.md": "float32, float16 and int8, measured",
    "benchmarks/run.md": "Inference, measured",
    "benchmarks/train.md": "Training, measured",
}
"""Of pages that are a bare table."""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for source, page in PAGES.items():
        path = ROOT / source
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            heading = f"# {HEADINGS[source]}\n\n" if source in HEADINGS else ""
            files.append(File.generated(config, page, content=heading + text))
        else:
            files.append(File.generated(config, page, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files of the repository into links to pages."""
    uri = page.file.src_uri
    source = next((file for file, there in PAGES.items() if there == uri), f"docs/{uri}")
    return linked(markdown, source, uri)


def linked(markdown: str, source: str, uri: str) -> str:
    """The text of the repository's file `source` as it stands at `uri` in the site."""

    def there(match: re.Match[str]) -> str:
        picture, text, target = match.groups()
        path, mark, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        found = PAGES.get(file)
        if found is None and file.startswith("docs/"):
            found = file.removeprefix("docs/")
        if found is None:
            return text
        return (
            f"{picture}[{text}]({posixpath.relpath(found, posixpath.dirname(uri))}{mark}{anchor})"
        )

    # Not in code.
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(there, part) for part in parts)
