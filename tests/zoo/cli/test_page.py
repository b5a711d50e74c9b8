"""The command's pages, completion, what is said of wrong lines, and what starting it loads."""

import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import converters
import prototxt
from zoo.cli.app import Front
from zoo.cli.data import DataPage
from zoo.paper import architectures

PAGES = (Front, DataPage)
NET = architectures.definition("2_3_4", 16)


def python(code: str, folder: Path, **environment: str) -> str:
    """What a fresh Python prints."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


MAIN = "from zoo.cli.app import main; main()"


def completed(shell: str, line: str, folder: Path) -> str:
    """What a shell is offered after `line`, asked as typer's own scripts do."""
    return python(
        MAIN,
        folder,
        _ZOO_COMPLETE=f"complete_{shell}",
        COMP_WORDS=line,
        COMP_CWORD=str(len(line.split(" ")) - 1),
        _TYPER_COMPLETE_ARGS=line,
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_summary_is_a_sentence_of_one_line(page, zoo):
    out = zoo(page.path, "--help").out if page.path else zoo("--help").out
    assert max(map(len, out.splitlines())) <= 80
    assert "..." not in out.replace("[ARGS]...", "")
    for name, entry in page.entries().items():
        assert re.search(rf"^  {name} +{re.escape(entry.summary)}$", out, re.MULTILINE), name
        assert entry.summary.endswith(".") and entry.summary[0].isupper()


def test_the_page_is_in_groups(zoo):
    out = zoo("--help").out
    titles = [title for title, _ in Front.sections]
    assert titles == "Convert,Run,Train,Hub,Papers,Reversed networks,Tools".split(",")
    places = [out.index(f"\n{title}:\n") for title in titles]
    assert places == sorted(places)
    assert out.index("\nTools:\n") < out.index("\nOptions:\n")


@pytest.mark.parametrize("page", [[], ["data"]])
def test_alone_a_page_explains_itself(zoo, page):
    run = zoo(*page)
    assert run.status == 0 and run.err == ""
    assert run.out == zoo(*page, "--help").out != ""


@pytest.mark.parametrize("page", PAGES)
def test_every_entry_loads(page):
    for name, entry in page.entries().items():
        command = entry.load(page.path)
        assert command.short_help == entry.summary, name
        assert command.help, name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_installs(shell, zoo, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    shown = zoo("--show-completion", shell)
    assert shown.status == 0, shown.err
    assert f"_ZOO_COMPLETE=complete_{shell}" in shown.out
    assert list(tmp_path.iterdir()) == []
    assert zoo("--install-completion", shell).status == 0
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any("_ZOO_COMPLETE" in text for text in written)


def test_completion_offers_commands_options_and_values(tmp_path):
    assert completed("bash", "zoo co", tmp_path).split() == ["convert"]
    assert set(completed("bash", "zoo ", tmp_path).split()) == set(Front.entries())
    assert completed("bash", "zoo data ", tmp_path).split() == list(DataPage.entries())
    assert completed("bash", "zoo convert --wei", tmp_path).split() == ["--weights"]
    assert completed("bash", "zoo convert --target cp", tmp_path).split() == ["cpu"]
    assert "Fetch a model from a hub." in completed("zsh", "zoo pu", tmp_path)
    assert "pull\tFetch a model from a hub." in completed("fish", "zoo pu", tmp_path)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A definition, its weights and its model, each also without a telling name."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("definition").write_text("# A comment first.\n" + NET)
    conversion = converters.convert("net.prototxt")
    conversion.save("model.onnx")
    Path("model").write_bytes(Path("model.onnx").read_bytes())
    blobs = {node.name: node.blobs for node in conversion.graph.nodes if node.blobs}
    prototxt.write_weights("w.caffemodel", blobs, name="net")
    Path("weights").write_bytes(Path("w.caffemodel").read_bytes())


USAGE = [
    ("convrt", "zoo: no such command 'convrt'; did you mean convert?"),
    ("data bild", "zoo data: no such command 'bild'; did you mean build?"),
    ("quux", "zoo: no such command 'quux'; see `zoo --help`"),
    ("--verson", "zoo: no such option --verson; did you mean --version?"),
    (
        "convert net.prototxt --weigths w",
        "zoo convert: no such option --weigths; did you mean --weights?",
    ),
    ("convert net.prototxt -z", "zoo convert: no such option -z; see `zoo convert --help`"),
    ("convert", "zoo convert: missing argument 'NET.prototxt'; see `zoo convert --help`"),
    (
        "convert net.prototxt --target",
        "zoo convert: option '--target' requires an argument; see `zoo convert --help`",
    ),
    (
        "convert net.prototxt w.caffemodel",
        "zoo convert: unexpected argument 'w.caffemodel'; did you mean --weights w.caffemodel?",
    ),
    (
        "convert net.prototxt weights",
        "zoo convert: unexpected argument 'weights'; did you mean --weights weights?",
    ),
    (
        "convert net.prototxt gone.caffemodel",
        "zoo convert: unexpected argument 'gone.caffemodel'; "
        "did you mean --weights gone.caffemodel?",
    ),
    (
        "convert net.prototxt new.onnx",
        "zoo convert: unexpected argument 'new.onnx'; did you mean -o new.onnx?",
    ),
    (
        "convert net.prototxt other",
        "zoo convert: unexpected argument 'other'; see `zoo convert --help`",
    ),
    (
        "convert w.caffemodel --weights net.prototxt",
        "w.caffemodel holds weights and net.prototxt is the definition; "
        "did you mean zoo convert net.prototxt --weights w.caffemodel?",
    ),
    (
        "convert weights --weights definition",
        "weights holds weights and definition is the definition; "
        "did you mean zoo convert definition --weights weights?",
    ),
]


@pytest.mark.parametrize(("line", "said"), USAGE)
def test_wrong_usage_is_one_line_with_a_remedy(zoo, files, line, said):
    before = sorted(Path().iterdir())
    run = zoo(*line.split())
    assert (run.status, run.out, run.err) == (2, "", f"error: {said}\n")
    assert sorted(Path().iterdir()) == before


ALREADY = (
    "is an ONNX model already; `zoo inspect` shows what is in it, `zoo verify` compares it with "
    "its network, `zoo eval --model` measures it"
)
INPUT = [
    ("convert model.onnx", f"model.onnx: {ALREADY}"),
    ("convert model", f"model: {ALREADY}"),
    (
        "convert w.caffemodel",
        "w.caffemodel: holds weights, and no definition; "
        "give zoo convert NET.prototxt --weights w.caffemodel",
    ),
    (
        "convert weights -o new.onnx",
        "weights: holds weights, and no definition; "
        "give zoo convert NET.prototxt --weights weights",
    ),
    (
        "convert net.prototxt --weights model",
        "model: is an ONNX model, and holds no weights of Caffe's",
    ),
    (
        "convert net.prototxt --weights net.prototxt",
        "net.prototxt: not a caffemodel: it is a text file; is it the prototxt?",
    ),
]


@pytest.mark.parametrize(("line", "said"), INPUT)
def test_a_file_in_the_place_of_another_is_named(zoo, files, line, said):
    before = sorted(Path().iterdir())
    assert zoo(*line.split()).refusal == said
    assert sorted(Path().iterdir()) == before


def test_a_definition_needs_no_telling_name(zoo, files):
    assert zoo("convert", "definition", "--weights", "weights", "-o", "new.onnx").status == 0


def test_plain_values_arrive_as_they_are_declared(zoo, files):
    """The texts that typer does not check itself: paths, words, lists, choices in any case."""
    run = zoo(
        *"convert net.prototxt -o new.onnx --output deconv1_2 --output pool1_mask --json".split(),
        *"--target portable --channel-order rgb --seed 3 --shape data=1x3x16x16".split(),
    )
    assert run.json["target"] == "portable"
    assert [one["name"] for one in run.json["files"][0]["outputs"]] == ["deconv1_2", "pool1_mask"]
    assert zoo("convert", "net.prototxt", "--target", "CPU", "-o", "x.onnx").status == 2


def loaded(line: str, folder: Path) -> set[str]:
    """The modules that a whole `zoo` process has loaded at its end."""
    code = f"""
import json, sys
sys.argv = {["zoo", *line.split()]!r}
from zoo.cli.app import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print()
print(json.dumps(sorted(sys.modules)))
"""
    return set(json.loads(python(code, folder).splitlines()[-1]))


def test_help_loads_no_command(tmp_path):
    found = loaded("--help", tmp_path)
    commands = {f"zoo.cli.{entry.home.partition(':')[0]}" for entry in Front.entries().values()}
    assert len(commands) > 20
    assert not found & commands
    assert not found & {"numpy", "onnx", "rich", "pydantic", "converters"}


def test_converting_loads_only_what_converts(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    found = loaded("convert net.prototxt -o new.onnx --target cpu", tmp_path)
    assert "onnx" in found
    assert not found & {"rich", "pydantic", "pydantic_core", "runtime", "requests"}
    assert "zoo.cli.verify" not in found


@pytest.mark.slow
def test_converting_takes_at_most_twice_and_a_half_of_loading_numpy_and_onnx(tmp_path):
    """Of the processor's time, in turns: half the turns are below, whatever a busy machine adds."""
    (tmp_path / "net.prototxt").write_text(architectures.definition("8_8_8"))
    code = (
        "import sys; sys.argv = 'zoo convert net.prototxt -q -o new.onnx'.split(); "
        "from zoo.cli.app import main; main()"
    )
    ratios = []
    for _ in range(7):
        took = []
        for one in (code, "import numpy, onnx"):
            before = os.times()
            python(one, tmp_path, PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=str(tmp_path))
            after = os.times()
            took.append(sum(after[2:4]) - sum(before[2:4]))
        ratios.append(took[0] / took[1])
    assert statistics.median(ratios) < 3
