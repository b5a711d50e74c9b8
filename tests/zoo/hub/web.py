"""A web server that serves a hub, well or badly, and what a pull leaves."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FILES = {"net.onnx", "net.encoder.onnx", "net.decoder.onnx", "README.md"}
Fault = Callable[[BaseHTTPRequestHandler, bytes], None]


class Web:
    """Serves a folder, honestly but for the faults set for a file's name."""

    def __init__(self, folder: Path) -> None:
        self.faults: dict[str, Fault] = {}
        self.asked: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(self.path)
                path = folder / urlsplit(self.path).path.lstrip("/")
                if not path.is_file():
                    return self.send_error(404)
                fault = web.faults.get(path.name)
                return (fault or well)(self, path.read_bytes())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def answer(handler: BaseHTTPRequestHandler, content: bytes, length: int | None) -> None:
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(content)


def well(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    answer(handler, content, len(content))


def half(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    answer(handler, content[: len(content) // 2], len(content))


def half_without_length(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    answer(handler, content[: len(content) // 2], None)


def tampered(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    well(handler, content[:-1] + bytes([content[-1] ^ 1]))


def too_long(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    well(handler, content + b"x")


def endless(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        pass


def hang_up(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.close_connection = True


def status(number: int) -> Fault:
    return lambda handler, content: handler.send_error(number)


def once(fault: Fault) -> Fault:
    """The fault at the first request only."""
    left = [fault]
    return lambda handler, content: (left.pop() if left else well)(handler, content)


def rewrite(hub: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the index as someone would who means harm."""
    data = json.loads((hub / "index.json").read_text())
    change(data["models"][0])
    (hub / "index.json").write_text(json.dumps(data))


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}
