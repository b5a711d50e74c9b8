"""Hubs in model-hub repositories and buckets: `hf://OWNER/NAME`, `s3://BUCKET/PATH`, by fsspec.

Who may read, whom to trust and where redirects lead is the business of the service's own client
library, which fsspec loads. Sizes, times and digests are limited and checked as those of
`https://`: what is read goes through the same `BoundedWriter`.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Protocol

from zoo import extras
from zoo.errors import HubError, TransientError

REMOTES = {"hf": "huggingface_hub", "s3": "s3fs"}
"""From a scheme to the module that brings it to fsspec."""

CHUNK = 1 << 16
AHEAD = 16
"""Chunks that may be read before they are written."""


class Output(Protocol):
    """What is written to: how many bytes are in it, and what refuses more than it may have."""

    count: int

    def write(self, data: bytes) -> None:
        """Take the next bytes; HubError where there may be no more."""


def is_remote(url: str) -> bool:
    """Whether fsspec reads the address."""
    return url.partition("://")[0] in REMOTES


def read(url: str, output: Output, seconds: float) -> None:
    """Read a file once, from where `output` stands.

    A library that does not come back within `seconds` is left to itself, in a thread that ends with
    the process. Raises TransientError where it may be better soon, else HubError;
    ModuleNotFoundError for a package that is missing.
    """
    extras.require("fsspec", REMOTES[url.partition("://")[0]])
    source = _Reader(url, output.count)
    deadline = time.monotonic() + seconds
    try:
        while chunk := source.next(deadline - time.monotonic()):
            output.write(chunk)
    except queue.Empty:
        raise HubError(f"not complete after {seconds:.0f} seconds", subject=url) from None
    except FileNotFoundError:
        raise HubError("no such file", subject=url, remedy="is it the address of a hub?") from None
    except PermissionError:
        raise HubError("may not be read", subject=url, remedy="are you logged in there?") from None
    except (HubError, MemoryError):
        raise
    except Exception as error:  # each service's library has its own
        raise TransientError(f"cannot be read: {type(error).__name__}", subject=url) from None
    finally:
        source.left = True


class _Reader:
    """Reads in a thread of its own, so that whoever waits for it need not wait for ever."""

    def __init__(self, url: str, start: int) -> None:
        self.left = False
        self._url, self._start = url, start
        self._ready: queue.Queue[bytes | Exception] = queue.Queue(AHEAD)
        threading.Thread(target=self._work, daemon=True).start()

    def next(self, seconds: float) -> bytes:
        """The next bytes, empty at the end; what the library raises; queue.Empty in time."""
        found = self._ready.get(timeout=max(0.0, seconds))
        if isinstance(found, Exception):
            raise found
        return found

    def _work(self) -> None:
        try:
            import fsspec

            system, path = fsspec.core.url_to_fs(self._url, skip_instance_cache=True)
            with system.open(path, "rb") as file:
                if self._start:
                    file.seek(self._start)
                while chunk := file.read(CHUNK):
                    if not self._put(chunk):
                        return
            self._put(b"")
        except Exception as error:
            self._put(error)

    def _put(self, found: bytes | Exception) -> bool:
        while not self.left:
            try:
                self._ready.put(found, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
