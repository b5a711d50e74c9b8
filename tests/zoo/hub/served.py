"""A folder that is served, and bytes to and from a server."""

import contextlib
import os
import socket
from pathlib import Path

from zoo.hub.server import Server

SECRET = b"nobody may read this"
CONTENT = bytes(range(256)) * 2


def fill(root: Path) -> Path:
    """A hub's folder in `root`, with secrets beside it and links that lead to them."""
    (root / "secret.txt").write_bytes(SECRET)
    (root / "hub2").mkdir()
    (root / "hub2/secret.txt").write_bytes(SECRET)
    hub = root / "hub"
    version = hub / "8_8_8/1.0"
    version.mkdir(parents=True)
    (version / "net.onnx").write_bytes(CONTENT)
    (version / "empty.onnx").write_bytes(b"")
    (hub / "index.json").write_text("{}")
    (hub / ".lock").write_bytes(SECRET)
    (hub / "vendor").mkdir()
    for name in ("ort.wasm", "ort.mjs", "page.html", "style.css", "card.md", "x.unknown"):
        (hub / "vendor" / name).write_bytes(b"x")
    (hub / "site").mkdir()
    (hub / "site/index.html").write_text("<p>here")
    (hub / "a b").mkdir()
    (hub / "a b/index.html").write_text("<p>blank")
    (hub / "out.txt").symlink_to(root / "secret.txt")
    (hub / "outside").symlink_to(root / "hub2")
    (hub / "circle").symlink_to(hub / "circle")
    (hub / "in.json").symlink_to(hub / "index.json")
    os.mkfifo(hub / "pipe")
    return hub


def send(address: tuple[str, int], request: bytes, patient: bool = True) -> bytes:
    """Send bytes and read what comes; without patience only its beginning."""
    parts: list[bytes] = []
    with socket.create_connection(address, timeout=10) as connection:
        # A server that refuses what it has not read to the end resets the connection.
        with contextlib.suppress(OSError):
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 16):
                parts.append(part)
                if not patient:
                    break
    return b"".join(parts)


def raw(server: Server, request: bytes) -> bytes:
    return send(server.server_address[:2], request)
