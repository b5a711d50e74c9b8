"""What is installed is what is here: an editable installation, as tests have it, does not tell."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = ("prototxt", "converters", "runtime", "zoo")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_package_is_installed() -> None:
    here = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for name in OURS
        for path in (ROOT / name).rglob("*.py")
    }
    assert set(SETTINGS["packages"]) == here


def test_every_other_file_is_installed() -> None:
    kept = {
        path
        for package, patterns in SETTINGS["package-data"].items()
        for pattern in patterns
        for name in (OURS if package == "*" else [package])
        for path in ROOT.joinpath(*name.split(".")).glob(pattern.replace("**", "**/*"))
    }
    others = {
        path
        for name in OURS
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert others <= kept
