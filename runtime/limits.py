"""What the files of strangers may take: memory and processor time, and no process but their own.

A model is a program. It may count to 2**62, ask for 2**40 numbers, call one function twice in the
next through forty of them, or run into a fault of the library that ends the process. No look at
its file tells that for certain, so nobody is asked to: `supervised` lets a command go on in a child
process, whose memory is limited, and `work` limits the time of each call of a library on such a
file. Whoever exceeds it is ended by the system, wherever it is, and the parent says why in one
line. A process that was not made by `supervised` has no limits.

Systems without fork (Windows) have none of this.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from prototxt.errors import Argument, Sentence
from prototxt.files import weights_beside

from .errors import InferenceError

__all__ = [
    "allowance",
    "clock",
    "cores",
    "given",
    "limited",
    "short_of_memory",
    "supervised",
    "too_large",
]

MEMORY = 7 << 29
"""Bytes that a limited process may have: 3.5 GiB, ..."""
MEMORY_A_CORE = 32 << 20
"""... what libraries reserve for each of their threads, ..."""
OF_MODEL, OF_PICTURE = 8, 1000
"""... and so many times the size of the models, and of the pictures and codes, that it was given: a
photograph of 12 megapixels, a file of 5 MB, needs 7 GiB in the paper's largest network, ..."""
MOST_MEMORY = 0.75
"""... but no more than this part of the machine's."""
SECONDS = 6.0
"""Of processor time that any call may take, all threads together; ..."""
SECONDS_A_BYTE_READ = 1 / (8 << 20)
"""... a file more by its size, ..."""
SECONDS_A_BYTE_FED = 30 / (1 << 20)
"""... a model more by what it is fed: of each MiB VGG16 takes 2 of them, CRF-RNN 8; ..."""
MOST_SECONDS = 300.0
"""... but none more than this, as models also say how large their images are; ..."""
COMPILING = 30
"""... and all of it so many times where a GPU's compiler is at work, which takes minutes."""
PATIENCE = 20
"""How many times that may pass by the clock: a machine may be busy, and a file may not answer."""

_NO_MEMORY = re.compile(
    r"bad_alloc|(failed to|unable to|cannot|can't) allocate|insufficient memory"
    r"|would require more than \d+ bytes",
    re.IGNORECASE,
)
"""How libraries say that memory does not suffice which have no type of error for it."""

ENDED_BY_OTHERS = (signal.SIGINT, signal.SIGTERM) + (
    (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()
)
"""Signals by which somebody ends a command."""

_last_words: mmap.mmap | None = None
"""What the parent is to say of a limited process that ends now; None in one that has no limits."""
_working = threading.Lock()
_given: dict[str, int] = {}
"""Bytes more, by file."""


def cores() -> int:
    """The processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def memory() -> int:
    """Bytes that a limited process may have."""
    least = MEMORY + cores() * MEMORY_A_CORE
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(least + sum(_given.values()), max(least, int(MOST_MEMORY * machine)))


def size(path: str | Path) -> int:
    """Bytes of a file, and of the weights that `zoo convert` writes beside a model; 0 of none.

    Of a file with holes counts what the disk holds.
    """
    total = 0
    for name in (path, weights_beside(Path(path))):
        with contextlib.suppress(OSError):  # whoever reads it says so
            state = Path(name).stat()
            total += min(state.st_size, getattr(state, "st_blocks", state.st_size) * 512)
    return total


def given(path: str | Path, times: int) -> None:
    """Where this process is limited: let it have so many times a file's size more.

    What is small and asks for much is not what people make.
    """
    if limited():
        _given[str(path)] = times * size(path)
        _hold()


def _hold() -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    # Not the address space: CUDA and thread stacks reserve far more of it than they use.
    least = memory() if most == resource.RLIM_INFINITY else min(memory(), most)
    resource.setrlimit(resource.RLIMIT_DATA, (least, most))


def supervised() -> int | None:
    """Go on in a child process that is limited.

    To be called before any library has threads. What the child has left in the folder for temporary
    files is removed, however it ended; when the parent is killed, so is the child.

    Returns:
        In the child, and where there is no fork: None. In the parent, once the child has ended: its
        exit status.

    Raises:
        InferenceError: in the parent, of a child that was ended by the system; it names the file.
    """
    if not hasattr(os, "fork"):
        return None
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    words = mmap.mmap(-1, 1 << 16)
    reader, writer = os.pipe()
    temporary = _temporary()
    # From before the child is there, so that none that comes meanwhile is lost.
    handed = {n for n in ENDED_BY_OTHERS if signal.getsignal(n) != signal.SIG_IGN}
    child_ends = signal.signal(signal.SIGCHLD, lambda *_: None)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*handed, signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, child_ends)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writer)
        if temporary:
            os.environ["TMPDIR"] = tempfile.tempdir = temporary
        _limit(words, reader)
        return None
    os.close(reader)
    try:
        code = _outlived(child, handed)
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    if code >= 0:
        return code
    if -code in ENDED_BY_OTHERS:
        signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        os.kill(os.getpid(), -code)
    raise _epitaph(-code, words)


def _temporary() -> str | None:
    """A folder for the temporary files of the child; None where none can be made."""
    try:
        return tempfile.mkdtemp(prefix="zoo-")
    except OSError:
        return None


def _outlived(child: int, handed: Iterable[int]) -> int:
    """The exit status of a child, or less than 0 the signal that ended it.

    Signals that are `handed` on are blocked, as is that of its end: a handler would miss one that
    comes just before the wait begins.
    """
    while True:
        number = signal.sigwait({*handed, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):  # it has ended in this moment
                os.kill(child, number)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)


def _limit(words: mmap.mmap, lifeline: int) -> None:
    """Limit this process, and end it with its parent, which holds the other end of a pipe."""
    import resource

    global _last_words
    _last_words = words
    _hold()
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)  # whatever this process was started with
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGPROF, signal.SIGALRM))
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupted)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    def watch() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="lifeline").start()


def _interrupted(number: int, _: object) -> None:
    """Ctrl-C comes twice: from the terminal, and from the parent, which hands it on."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _epitaph(number: int, words: mmap.mmap) -> InferenceError:
    """Why a limited process was ended by that signal."""
    said = words[:].rstrip(b"\0")
    subject, verb, seconds = json.loads(said) if said else ("", "", 0.0)
    if number in (signal.SIGPROF, signal.SIGALRM):
        kind = " of processor time" if number == signal.SIGPROF else ""
        limit = seconds * (1 if number == signal.SIGPROF else PATIENCE)
        return InferenceError(
            f"takes more than {limit:.0f} seconds{kind} to be {verb}",
            subject=subject,
            remedy=_remedy("it"),
        )
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        name += ", as the system does when memory is short"
    if not verb:
        remedy = "a file that it reads may be damaged"
        return InferenceError(f"the command was ended by {name}", remedy=remedy)
    return InferenceError(f"cannot be {verb}: the process was ended by {name}", subject=subject)


def limited() -> bool:
    """Whether this process is."""
    return _last_words is not None


def short_of_memory(error: BaseException) -> bool:
    """Whether an error, of whichever library, says that memory does not suffice."""
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


def too_large(subject: str | None = None, verb: str = "") -> InferenceError:
    """What to say where memory does not suffice for what is done with a file, or for a command."""
    what = f" to be {verb}" if verb else ""
    who = "" if subject else "the command "
    if not limited():
        return InferenceError(
            f"{who}needs more memory than there is{what}",
            subject=subject,
            remedy="give smaller images, or fewer at a time",
        )
    return InferenceError(
        f"{who}needs more than the {memory() / 2**30:.1f} GiB of memory that it may have{what}",
        subject=subject,
        remedy=_remedy("it" if subject else "its files"),
    )


def _remedy(what: str) -> Sentence:
    return Sentence(f"if you trust {what}, give ", Argument("trust"))


@contextlib.contextmanager
def clock(
    subject: str, verb: str, *, read: int = 0, fed: int = 0, compiling: bool = False
) -> Iterator[None]:
    """Limit the processor time of what is done meanwhile, where this process is limited.

    Args:
        subject: the file.
        verb: what is done with it, as in ``loaded``.
        read: bytes of the file.
        fed: bytes that a model is fed.
        compiling: whether it is compiled for a GPU.
    """
    # Of calls within one another, or side by side, the first has the clock.
    if _last_words is None or not _working.acquire(blocking=False):
        yield
        return
    seconds = SECONDS + read * SECONDS_A_BYTE_READ + fed * SECONDS_A_BYTE_FED
    seconds = min(seconds, MOST_SECONDS) * (COMPILING if compiling else 1)
    try:
        _set((subject, verb, seconds), seconds)
        yield
    finally:
        _set((), 0)
        _working.release()


@contextlib.contextmanager
def allowance(size: int) -> Iterator[None]:
    """Where this process is limited: let what is done meanwhile have so many bytes, and no more."""
    status = Path("/proc/self/status")
    if _last_words is None or not status.exists():
        yield
        return
    import resource

    now = next(line for line in status.read_text().splitlines() if line.startswith("VmData:"))
    before = resource.getrlimit(resource.RLIMIT_DATA)
    least = min(before[0], int(now.split()[1]) * 1024 + size)
    resource.setrlimit(resource.RLIMIT_DATA, (least, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _set(words: tuple[str | float, ...], seconds: float) -> None:
    """Set the clocks, whose signals end the process, and what is to be said then; 0 stops them."""
    assert _last_words is not None
    said = json.dumps(words).encode() if words else b""
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    _last_words[:] = said[: len(_last_words)].ljust(len(_last_words), b"\0")
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)
