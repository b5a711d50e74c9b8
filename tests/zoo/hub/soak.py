"""Many requests, honest and hostile, and what they leave in the server and in the one who pulls.

    python -m tests.zoo.hub.soak 10000

serves a folder in a process of its own and prints its memory, threads and open files as the
requests go by; then pulls from it in this process, a tenth as often.
"""

import contextlib
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.zoo.hub.served import fill, send

FILE = b"/8_8_8/1.0/net.onnx"
END = b" HTTP/1.1\r\nHost: localhost\r\n"
CLOSE = END + b"Connection: close\r\n\r\n"
REQUESTS = [
    b"GET " + FILE + CLOSE,
    b"GET " + FILE + END + b"\r\nHEAD " + FILE + END + b"\r\nGET /site/" + CLOSE,
    b"GET " + FILE + END + b"Range: bytes=5-9\r\nConnection: close\r\n\r\n",
    b"GET " + FILE + END + b"Range: bytes=" + b"0-9," * 2000 + b"0-9\r\nConnection: close\r\n\r\n",
    b"GET " + FILE + END + b"Range: bytes=" + b"9" * 30 + b"-\r\nConnection: close\r\n\r\n",
    b"GET /large.onnx" + CLOSE,
    b"GET /nothing" + CLOSE,
    b"GET /%2e%2e/secret.txt" + CLOSE,
    b"GET /out.txt" + CLOSE,
    b"GET /a\0b" + CLOSE,
    b"POST " + FILE + END + b"Content-Length: 9\r\n\r\nsomething",
    b"NOTHING / HTTP/1.1\r\n\r\n",
    b"GET /site/ HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n",
    b"GET /" + b"a" * 70_000 + CLOSE,
    b"GET /site/" + END + b"a: b\r\n" * 200 + b"\r\n",
    b"GET /site/" + END + (b"a: " + b"b" * 9_000 + b"\r\n") * 20 + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00" + bytes(range(256)),
    b"\r\n\r\n\r\n",
    b"GET /site/ HTT",
    b"",
]
LARGE = 4 << 20


def prepare(root: Path) -> Path:
    """A folder to be served, with a file that no buffer holds."""
    folder = fill(root)
    (folder / "large.onnx").write_bytes(bytes(LARGE))
    return folder


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def requests(seed: int = 0) -> Iterator[tuple[bytes, bool]]:
    """All requests in turn, each with whether its answer is read to the end."""
    drawn = random.Random(seed)
    for request in itertools.cycle(REQUESTS):
        yield request, drawn.random() < 0.8


def state(process: int | str = "self") -> dict[str, int]:
    """Memory in KiB, threads and open files of a process (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {
        "KiB": int(fields["VmRSS"].split()[0]),
        "threads": int(fields["Threads"]),
        "files": len(os.listdir(f"/proc/{process}/fd")),
    }


def main(count: int) -> None:
    """Run it all, and print a line a tenth."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = prepare(Path(scratch))
        command = [sys.executable, "-m", "zoo", "serve", str(folder), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            port = int(line.partition("/ serves")[0].rpartition(":")[2])
            # Else the log fills its pipe, and the server waits for its reader.
            drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
            started = time.monotonic()
            address = ("127.0.0.1", port)

            given = requests()

            def ask(_: int) -> None:
                send(address, *next(given))

            say("serve, before:", state(process.pid))
            tenths(count, ask, lambda: state(process.pid))
            say(f"{count / (time.monotonic() - started):.0f} requests a second")
            pulls(count // 10, port)
            process.terminate()
            drain.wait()


def pulls(count: int, port: int) -> None:
    from zoo.errors import HubError
    from zoo.hub.fetching import BoundedWriter, download

    def fetch(number: int) -> None:
        paths = ("8_8_8/1.0/net.onnx", "large.onnx", "nothing", "site")
        url = f"http://127.0.0.1:{port}/{paths[number % len(paths)]}"
        with Path(os.devnull).open("wb") as nowhere, contextlib.suppress(HubError):
            download(url, BoundedWriter(nowhere, LARGE // (1 + number % 2), url, None), 60.0)

    for number in range(8):
        fetch(number)
    say("pull, before:", state())
    tenths(count, fetch, state)


def tenths(count: int, act: Callable[[int], None], look: Callable[[], dict[str, int]]) -> None:
    """Act `count` times, and look ten times."""
    for number in range(1, count + 1):
        act(number)
        if number % max(1, count // 10) == 0:
            time.sleep(0.2)  # for the threads of the last ones to end
            say(f"{number:>7}:", look())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
