"""The command line as a whole: help, version, usage errors, the process itself."""

import json
import os
import resource
import subprocess
import sys

import pytest

import zoo as package
from zoo.paper import architectures

COMMANDS = tuple(
    "convert verify inspect layers prototxt eval reconstruct encode decode train data "
    "list pull publish serve".split()
)


def process(*arguments: object, cwd: object) -> subprocess.CompletedProcess[str]:
    """A whole `zoo` process, as a person starts it."""
    return subprocess.run(
        [sys.executable, "-m", "zoo", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_lists_every_command(zoo):
    run = zoo("--help")
    assert run.status == 0
    for command in COMMANDS:
        assert f"  {command} " in run.out
    assert zoo("-h").out == run.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(zoo, command):
    run = zoo(command, "--help")
    assert run.status == 0
    assert f"Usage: zoo {command}" in run.out or f"{command} [OPTIONS]" in run.out
    if command not in ("prototxt", "data"):
        assert "--json" in run.out


def test_version(zoo):
    assert zoo("--version").out == f"caffe-zoo {package.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown"],
        ["convert"],
        ["convert", "a.prototxt", "--target", "gpu"],
        ["convert", "a.prototxt", "--shape", "data"],
        ["convert", "a.prototxt", "--shape", "data=1x0x2"],
        ["convert", "a.prototxt", "--shape", "data=1x2", "--shape", "data=1x2"],
        ["convert", "a.prototxt", "--seed", "-1"],
        ["eval"],
        ["eval", "--arch", "1_2"],
        ["eval", "--model", "m.onnx", "--size", "0x3"],
        ["prototxt"],
        ["prototxt", "--arch", "a"],
        ["prototxt", "--arch", "8_8_8", "--size", "100"],
        ["prototxt", "--arch", "8_8_8", "--solver", "--size", "64"],
        ["reconstruct"],
        ["encode"],
        ["decode"],
        ["segment", "n.prototxt"],
        ["filters", "n.prototxt"],
        ["visualize", "n.prototxt", "a.png"],
        ["decode", "a.switches", "-o", "a.jpg"],
        ["pull"],
        ["publish"],
        ["serve"],
        ["serve", ".", "--port", "-1"],
    ],
)
def test_wrong_usage_is_status_2(zoo, arguments, tmp_path):
    run = zoo(*arguments)
    assert run.status == 2, run.err
    assert run.out == "" and run.err
    assert "Traceback" not in run.err
    assert list(tmp_path.iterdir()) == []


def test_help_takes_under_300_ms(tmp_path):
    """Of the processor's time: how busy the machine is with other things is not in our hands."""
    process("--help", cwd=tmp_path)  # bytecode is compiled once
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert process("--help", cwd=tmp_path).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.3


def test_a_whole_process(tmp_path):
    (tmp_path / "net.prototxt").write_text(architectures.definition("2_3_4", 16))
    run = process("convert", "net.prototxt", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert json.loads(run.stdout)["files"][0]["path"] == "net.onnx"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "net.prototxt"]


def test_a_refusal_is_one_line_and_status_1(tmp_path):
    run = process("convert", "missing.prototxt", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("error: missing.prototxt: ") and run.stderr.count("\n") == 1


def test_a_reader_that_leaves_early_is_no_error(tmp_path):
    run = subprocess.run(
        f"{sys.executable} -m zoo prototxt --arch 8_8_8 | head -n 1",
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout == 'name: "miniLCLreconstruction"\n'
    assert run.stderr == ""
