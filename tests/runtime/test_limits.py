"""Limited processes: what ends them, who says so, and what they leave."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime import InferenceError, limits
from runtime.limits import short_of_memory
from runtime.onnx_files import told, work

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import os, signal, sys, tempfile, time
from runtime import limits
from prototxt.errors import ZooError

# Who starts the tests in the background of a script has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
limits.SECONDS, limits.PATIENCE = {seconds}, {patience}
try:
    status = limits.supervised()
except ZooError as error:
    print(error, flush=True)
    sys.exit(1)
if status is not None:
    sys.exit(status)

def spin(seconds=60):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

{body}
"""


def started(body: str, folder: Path) -> subprocess.Popen[str]:
    """Python, of which the body runs limited; its temporary files are in the folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    # Either clock shall be the first, on however busy a machine.
    seconds, patience = (1000, 0.001) if "time.sleep(60)" in body else (0.3, 1000)
    script = SCRIPT.format(body=body, seconds=seconds, patience=patience)
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def run(body: str, folder: Path) -> tuple[int, str]:
    process = started(body, folder)
    out, _ = process.communicate(timeout=60)
    assert list(folder.iterdir()) == []
    return process.returncode, out.strip()


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("sys.exit(3)", 3, ""),
        ("spin(0.6); print('done')", 0, "done"),  # by itself it may take what time it will
        (
            "with limits.clock('m.onnx', 'run'): spin()",
            1,
            "m.onnx: takes more than 0 seconds of processor time to be run; "
            "if you trust it, give trust",
        ),
        (
            "with limits.clock('m.onnx', 'loaded'): time.sleep(60)",
            1,
            "m.onnx: takes more than 0 seconds to be loaded; if you trust it, give trust",
        ),
        ("with limits.clock('m.onnx', 'run', fed=1 << 20): spin(0.6); print('done')", 0, "done"),
        ("with limits.clock('m.onnx', 'run'): pass\nspin(0.6); print('done')", 0, "done"),
        (
            "with limits.clock('m.onnx', 'run'): os.kill(os.getpid(), signal.SIGSEGV)",
            1,
            "m.onnx: cannot be run: the process was ended by SIGSEGV",
        ),
        (
            "os.abort()",
            1,
            "the command was ended by SIGABRT; a file that it reads may be damaged",
        ),
        (
            "with limits.clock('m.onnx', 'run'): os.kill(os.getpid(), signal.SIGKILL)",
            1,
            "m.onnx: cannot be run: the process was ended by SIGKILL, as the system does when "
            "memory is short",
        ),
        ("tempfile.mkdtemp(); os.abort()", 1, "the command was ended by SIGABRT; a file that it "
         "reads may be damaged"),
    ],
)  # fmt: skip
def test_what_ends_it(body: str, status: int, said: str, tmp_path: Path) -> None:
    assert run(body, tmp_path) == (status, said)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds to it")
def test_memory(tmp_path: Path) -> None:
    body = """
from runtime.onnx_files import work
try:
    with work("m.onnx", "run"):
        bytearray(5 << 30)
except ZooError as error:
    print(error)
with limits.allowance(1 << 28):
    try:
        bytearray(1 << 29)
    except MemoryError:
        print("less")
print(len(bytearray(1 << 29)))
"""
    status, said = run(body, tmp_path)
    most, less, size = said.splitlines()
    assert most.startswith("m.onnx: needs more than the 3.")
    assert most.endswith(" GiB of memory that it may have to be run; if you trust it, give trust")
    assert (status, less, size) == (0, "less", str(1 << 29))


def test_what_is_large_may_have_more(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    (tmp_path / "large").write_bytes(bytes(1 << 22))
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 40)
    body = f"""
before = limits.memory()
for name in ("none", "holes", "large"):
    limits.given("{tmp_path}/" + name, 8)
    print(limits.memory() - before)
limits.given("{tmp_path}/large", 1 << 40)
import os, resource
machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
print(limits.memory() <= max(before, machine))
print(resource.getrlimit(resource.RLIMIT_DATA)[0] == limits.memory())
"""
    most = max(0, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4 - (4 << 30))
    if most < 1 << 28:
        pytest.skip("the machine is too small")
    status, said = run(body, folder)
    assert (status, said.split()) == (0, ["0", "0", str(1 << 25), "True", "True"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_handed_on(number: signal.Signals, tmp_path: Path) -> None:
    body = """
try:
    print(os.getpid(), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.2)  # in which another one comes, as from a terminal
    sys.exit(130)
"""
    process = started(body, tmp_path)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    time.sleep(0.5)  # until it sleeps: Python's sleep is not cut short by a signal just before
    process.send_signal(number)
    if number == signal.SIGINT:
        time.sleep(0.1)
        process.send_signal(number)
    assert process.wait(30) == (130 if number == signal.SIGINT else -signal.SIGTERM)
    process.stdout.close()
    assert ended(child)
    assert list(tmp_path.iterdir()) == []


def test_no_signal_is_lost(tmp_path: Path) -> None:
    """Not even the one that comes as the child begins."""
    before = "import os, signal\nfork = os.fork\n"
    before += "def late():\n    child = fork()\n    if child:\n"
    before += "        os.kill(os.getpid(), signal.SIGTERM)\n    return child\nos.fork = late\n"
    script = before + SCRIPT.format(body="time.sleep(60)", seconds=10, patience=10)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, timeout=30)
    assert done.returncode == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    process = started("print(os.getpid(), flush=True); time.sleep(60)", tmp_path)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.wait(30)
    process.stdout.close()
    assert ended(child)


def ended(process: int) -> bool:
    """Whether it is gone within some seconds; one that nobody waits for counts as gone."""
    for _ in range(200):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(process, 0)
            stat = Path(f"/proc/{process}/stat")
            if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.05)
                continue
        return True
    return False


def test_without_limits_there_is_no_clock() -> None:
    assert limits._last_words is None
    with limits.clock("m.onnx", "run"), limits.allowance(0):
        assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)
        assert len(bytearray(1 << 24)) == 1 << 24
    assert str(limits.too_large("m.onnx", "run")) == (
        "m.onnx: needs more memory than there is to be run; give smaller images, or fewer at a time"
    )


def test_a_library_s_error_is_one_line() -> None:
    with pytest.raises(InferenceError) as caught, work("m.onnx", "loaded", "mend it"):
        raise RuntimeError(
            "[ONNXRuntimeError] : 1 : FAIL : Load model from m.onnx failed:Node (c) Op (Conv) "
            "[ShapeInferenceError] wrong\nmore"
        )
    said = "m.onnx: cannot be loaded: Node (c) Op (Conv) [ShapeInferenceError] wrong; mend it"
    assert str(caught.value) == said
    with pytest.raises(InferenceError) as caught, work("m.onnx", "run"):
        raise KeyError
    assert str(caught.value) == "m.onnx: cannot be run: KeyError"
    with pytest.raises(InferenceError) as caught, work("m.onnx", "run"):
        raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc")
    assert str(caught.value).startswith("m.onnx: needs more memory than there is to be run; ")


def test_how_libraries_say_that_memory_is_short() -> None:
    assert short_of_memory(MemoryError())
    assert short_of_memory(RuntimeError("(-4:Insufficient memory) Failed to allocate 3 bytes"))
    assert not short_of_memory(ValueError("could not convert string to float"))
    assert told(ValueError("")) == "ValueError"


def test_a_signal_that_comes_as_the_child_has_ended(tmp_path):
    """Between the child's end and the parent's there is nobody to hand it on to."""
    body = """
import threading
print('done', flush=True)
"""
    after = """
import os, signal
waitpid = os.waitpid
def late(child, how):
    found = waitpid(child, how)
    os.kill(os.getpid(), signal.SIGTERM)
    return found
os.waitpid = late
"""
    script = after + SCRIPT.format(body=body, seconds=10, patience=10)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
