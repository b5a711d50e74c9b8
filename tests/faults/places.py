"""Commands where they are not welcome: full and read-only disks, odd names, no home, no reader."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.commands import COMMANDS, ROOT, newest, results

NOBODY = 65534


@dataclass
class Said:
    """How a process ended: the status as a shell has it, and what it wrote."""

    status: int
    out: str
    err: str

    def one_line(self) -> bool:
        """Whether it refused in one line."""
        return self.status == 1 and self.err.startswith("error: ") and self.err.count("\n") == 1

    def clean(self) -> bool:
        """Whether nothing of Python or of a library's inside shows."""
        bad = ("Traceback", "internal error", "Exception ignored", "core dumped", "Error in sys")
        return not any(text in self.err + self.out for text in bad)


def ended(process: subprocess.Popen[bytes]) -> Said:
    out, err = process.communicate(timeout=300)
    code = process.returncode
    return Said(
        code if code >= 0 else 128 - code,
        (out or b"").decode(errors="replace"),
        (err or b"").decode(errors="replace"),
    )


def environment(changes: Mapping[str, str | None] = {}) -> dict[str, str]:
    found = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for name, value in changes.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = value
    return found


def start(
    words: list[str],
    folder: Path,
    changes: Mapping[str, str | None] = {},
    before: Callable[[], object] | None = None,
    **streams: Any,
) -> subprocess.Popen[bytes]:
    """`python -m zoo`; `before` is called in the new process."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.Popen(
        [sys.executable, "-m", "zoo", *words],
        cwd=folder,
        env=environment(changes),
        preexec_fn=before,
        stdin=subprocess.DEVNULL,
        **pipes,
    )


@dataclass
class Report:
    """What was tried and what fell short, by what was done."""

    tried: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def check(self, what: str, name: str, fine: bool, why: object = "") -> None:
        self.tried[what] = self.tried.get(what, 0) + 1
        if not fine:
            self.failed.append(f"{what}: zoo {name}: {why}")


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".zoo-")]


class Attacks:
    """All of them, on one folder of materials."""

    def __init__(self, root: Path, materials: Path, names: list[str]) -> None:
        self.root, self.materials, self.names = root, materials, names
        self.report = Report()
        self.new: dict[str, dict[str, Any]] = {}
        self.seconds: dict[str, float] = {}
        for name in names:
            folder = self.fresh("whole")
            started = time.perf_counter()
            said = self.run(name, folder)
            self.seconds[name] = time.perf_counter() - started
            assert said.status == 0, (name, said)
            self.report.check("nothing in the way", name, said.clean(), said)
            self.new[name] = results(folder)

    def fresh(self, name: str) -> Path:
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o755)
        return folder

    def words(self, name: str, output: Path, materials: Path | None = None) -> list[str]:
        return COMMANDS[name].words(materials or self.materials, output)

    def run(self, name: str, output: Path, **how: Any) -> Said:
        return ended(start(self.words(name, output), self.root, **how))

    def writing(self) -> list[str]:
        return [name for name in self.names if COMMANDS[name].writes]

    def refused(self, what: str, name: str, said: Said, folder: Path) -> None:
        """It must say why in one line, and leave what was there: here nothing."""
        there = results(folder)
        fine = said.one_line() and said.clean() and not leftovers(folder)
        if not name.startswith("train"):  # a training keeps the snapshots that were written
            fine = fine and not there
        self.report.check(what, name, fine, (said, list(there), leftovers(folder)))

    def done(self, what: str, name: str, said: Said, folder: Path) -> None:
        """It must do what it always does."""
        if name == "data build" and said.status == 1 and "is there already" in said.err:
            said = Said(0, "", "")  # it never overwrites
        found, wanted = self.portable(results(folder)), self.portable(self.new[name])
        # A training that was stopped has left a snapshot more.
        same = found == wanted or (name.startswith("train") and found.items() >= wanted.items())
        fine = said.status == 0 and said.clean() and same and not leftovers(folder)
        self.report.check(what, name, fine, (said, sorted(results(folder)), leftovers(folder)))

    @staticmethod
    def portable(found: dict[str, Any]) -> dict[str, Any]:
        """Results without what tells of paths: a state names its model, a page its files."""
        return {k: v for k, v in found.items() if not k.endswith((".solverstate", ".md", ".json"))}

    # The attacks.

    def full_disk(self) -> None:
        """A tmpfs of 4 MB, of which no page or a few are left; then room is made."""
        for name in self.writing():
            for left in (0, 8, 24):
                folder = self.root / "full"
                folder.mkdir(exist_ok=True)
                with mounted(folder, "size=4m"):
                    filler = folder / "filler"
                    fill_up(filler, left * 1024)
                    said = self.run(name, folder)
                    filler.unlink()
                    if said.status == 0:
                        self.done(f"disk full ({left} kB left)", name, said, folder)
                    else:
                        self.refused(f"disk full ({left} kB left)", name, said, folder)
                    said = self.run(name, folder)
                    self.done("room made, again", name, said, folder)

    def limited_files(self) -> None:
        """RLIMIT_FSIZE, which is told as a file too large."""
        for name in self.writing():
            folder = self.fresh("limited")
            said = self.run(name, folder, before=limit_files)
            self.refused("files limited to 512 bytes", name, said, folder)

    def read_only(self) -> None:
        for name in self.names:
            folder = self.root / "ro"
            folder.mkdir(exist_ok=True)
            with mounted(folder, "size=2m"):
                subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
                said = self.run(name, folder)
                what = "read-only folder"
                if COMMANDS[name].writes:
                    self.refused(what, name, said, folder)
                else:
                    self.done(what, name, said, folder)

    def not_ours(self) -> None:
        """A folder of somebody else's, for one who may not override that."""
        for name in self.names:
            folder = self.fresh("theirs")
            os.chown(folder, NOBODY, NOBODY)
            said = self.run(name, folder, before=drop_powers)
            what = "folder of another user"
            if COMMANDS[name].writes:
                self.refused(what, name, said, folder)
            else:
                self.done(what, name, said, folder)

    def at_once(self) -> None:
        """Two processes on one output: both end well, or one says that the other is at work."""
        for name in self.writing():
            for delay in (0.0, 0.05, 0.3):
                folder = self.fresh("both")
                first = start(self.words(name, folder), self.root)
                time.sleep(delay)
                second = start(self.words(name, folder), self.root)
                both = [ended(first), ended(second)]
                fine = all(one.clean() for one in both)
                for one in both:
                    busy = "another process" in one.err or "is there already" in one.err
                    fine = fine and (one.status == 0 or (one.one_line() and busy))
                fine = fine and any(one.status == 0 for one in both)
                fine = fine and self.portable(results(folder)) == self.portable(self.new[name])
                fine = fine and not leftovers(folder)
                self.report.check("two at once", name, fine, (both, sorted(results(folder))))

    def signals(self, count: int = 4, seed: int = 0) -> None:
        """Ctrl-C and SIGTERM at random moments; the same command then succeeds."""
        drawn = random.Random(seed)
        for name in self.names:
            for number in (signal.SIGINT, signal.SIGTERM):
                for _ in range(count):
                    folder = self.fresh("signal")
                    process = start(self.words(name, folder), self.root, before=listen)
                    time.sleep(drawn.uniform(0, 1.1 * self.seconds[name]))
                    process.send_signal(number)
                    said = ended(process)
                    if "Traceback" in said.err and "zoo/__main__" not in said.err:
                        continue  # Python itself was beginning: nothing of ours was there yet
                    word = "interrupted" if number == signal.SIGINT else "terminated"
                    told = said.err in ("", f"error: {word}\n")
                    fine = said.clean() and told and not leftovers(folder)
                    fine = fine and said.status in (0, 128 + number)
                    found = results(folder)
                    if not name.startswith("train"):
                        fine = fine and found.items() in ({}.items(), self.new[name].items())
                    self.report.check(number.name, name, fine, (said, sorted(found)))
                    again = self.words(name, folder)
                    if (state := newest(folder)) is not None:
                        again += ["--resume", str(state)]
                    said = ended(start(again, self.root))
                    self.done(f"{number.name}, again", name, said, folder)

    def no_reader(self) -> None:
        """stdout that is closed by its reader, full, or not there at all."""
        for name in self.names:
            folder = self.fresh("pipe")
            process = start(self.words(name, folder), self.root)
            assert process.stdout is not None
            process.stdout.close()
            process.stdout = None
            said = ended(process)
            fine = said.status in (0, 1) and said.clean() and said.err == ""
            self.report.check("stdout closed early", name, fine, said)
            folder = self.fresh("pipe")
            with Path("/dev/full").open("w") as full:
                said = self.run(name, folder, stdout=full)
            fine = said.status in (0, 1) and said.clean() and said.err.count("\n") <= 1
            self.report.check("stdout full", name, fine, said)
            folder = self.fresh("pipe")
            said = self.run(name, folder, before=closed, stdout=None, stderr=None)
            self.done("no stdin, stdout, stderr", name, said, folder)
        for words in (["--help"], ["convert", "--help"], ["layers"], ["layers", "--json"]):
            process = start(words, self.root)
            assert process.stdout is not None
            process.stdout.close()
            process.stdout = None
            said = ended(process)
            fine = said.status in (0, 1) and said.err == ""
            self.report.check("stdout closed early", " ".join(words), fine, said)

    def surroundings(self, only: Sequence[str] = ()) -> None:
        """Locales, homes, folders for temporary files."""
        nowhere: dict[str, str | None] = {
            **{"HOME": None, "XDG_CACHE_HOME": None, "ZOO_CACHE": None},
            **{"TORCHINDUCTOR_CACHE_DIR": None, "MPLCONFIGDIR": None},
        }
        home = self.fresh("home")
        home.chmod(0o555)
        os.chown(home, NOBODY, NOBODY)
        ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        kinds: dict[str, tuple[Mapping[str, str | None], Callable[[], object] | None]] = {
            "LC_ALL=C": ({"LC_ALL": "C", "LANG": None}, None),
            "LC_ALL=C, ASCII enforced": (ascii_only, None),
            "no HOME": (nowhere, None),
            "HOME that is not there": ({**nowhere, "HOME": "/nonexistent/home"}, None),
            "HOME not writable": ({**nowhere, "HOME": str(home)}, drop_powers),
            "a user without a name and HOME": (
                nowhere,
                lambda: covered(["/etc/passwd", "/etc/nsswitch.conf"]),
            ),
            "no /dev/shm": ({}, lambda: covered(["/dev/shm"])),
            "no folder for temporary files": (
                {"TMPDIR": None},
                lambda: covered(["/tmp", "/var/tmp", "/usr/tmp"], keep=self.root),
            ),
        }
        for what in only or kinds:
            changes, before = kinds[what]
            for name in self.names:
                folder = self.fresh("around")
                folder.chmod(0o777)
                said = self.run(name, folder, changes=changes, before=before)
                self.done(what, name, said, folder)

    def names_of_files(self) -> None:
        """Folders and files whose names are long, or of no alphabet."""
        for what, odd in ODD.items():
            folder = Path(os.fsdecode(os.fsencode(self.fresh("names")) + b"/" + odd))
            for name in self.names:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                shutil.copytree(self.materials, folder / "m")
                (folder / "o").mkdir()
                said = ended(start(self.words(name, folder / "o", folder / "m"), self.root))
                self.done(f"folder: {what}", name, said, folder / "o")
                self.odd_output(what, odd, name)

    def odd_output(self, what: str, odd: bytes, name: str) -> None:
        """What is written has that name itself."""
        last = COMMANDS[name].line.split(" O/")
        if len(last) == 1:
            return
        folder = self.fresh("named")
        word = last[1].split()[0]
        suffix = os.fsencode(Path(word).suffix)
        named = os.fsdecode(odd[: 255 - len(suffix)] + suffix)
        words = [
            str(folder / named) if each == str(folder / word) else each
            for each in self.words(name, folder)
        ]
        said = ended(start(words, self.root))
        stem = named.removesuffix(os.fsdecode(suffix))
        there = any(each.startswith(stem) for each in os.listdir(folder))
        fine = said.clean() and not leftovers(folder) and (there == (said.status == 0))
        fine = fine and (said.status == 0 or (said.one_line() and len(odd) >= 255))
        self.report.check(f"output: {what}", name, fine, (said, os.listdir(folder)))


ATTACKS = (
    *("full_disk", "limited_files", "read_only", "not_ours", "at_once", "signals", "no_reader"),
    *("surroundings", "names_of_files"),
)
"""Those of `Attacks`, in the order in which they are tried."""

ODD = {
    "of 255 bytes": b"n" * 255,
    "with spaces": b"two  words ",
    "with a newline": b"two\nlines",
    "of another script": "сеть網絡شبكة".encode(),
    "not UTF-8": b"caf\xe9\xff",
    "like a pattern": b"[a-z]*?{x}$HOME%s",
    "like an option": b"--output",
}


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill_up(filler: Path, left: int) -> None:
    """Fill a disk but for so many bytes."""
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    os.truncate(filler, filler.stat().st_size - left)


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))


def drop_powers() -> None:
    """Let root be refused what any other user is (CAP_DAC_OVERRIDE, _READ_SEARCH, FOWNER)."""
    for power in (1, 2, 3):
        LIBC.prctl(24, power, 0, 0, 0)


def closed() -> None:
    """Have no stdin, stdout and stderr."""
    os.closerange(0, 3)


def listen() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


LIBC = ctypes.CDLL(None, use_errno=True)
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE, NEW_MOUNTS = 1, 32, 4096, 1 << 14, 1 << 18, 1 << 17


def covered(paths: list[str], keep: str | Path = "") -> None:
    """Let files and folders be empty and read-only for this process, but for `keep`."""
    if LIBC.unshare(NEW_MOUNTS) or LIBC.mount(b"none", b"/", None, PRIVATE | RECURSIVE, None):
        raise OSError(ctypes.get_errno(), "no namespace for mounts")
    held = os.open(keep, os.O_PATH) if keep else None
    for path in paths:
        target = os.fsencode(path)
        if Path(path).is_file():
            LIBC.mount(b"/dev/null", target, None, BIND, None)
        elif Path(path).is_dir():
            LIBC.mount(b"none", target, b"tmpfs", 0, b"size=1m")
            if held is not None and str(keep).startswith(f"{path}/"):
                Path(keep).mkdir(parents=True)
                LIBC.mount(f"/proc/self/fd/{held}".encode(), os.fsencode(keep), None, BIND, None)
            LIBC.mount(None, target, None, REMOUNT | READ_ONLY, None)
    if keep:
        os.chdir("/sys")  # where one is is tried last
