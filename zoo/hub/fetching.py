"""Files over HTTP: bounded, tried again where that may help, checked before they take a name."""

from __future__ import annotations

import hashlib
import http.client
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from prototxt.errors import Argument, FormatError, Sentence, ZooError
from prototxt.files import atomic_write
from zoo.errors import HubError
from zoo.hub import index as schema
from zoo.hub.index import File, Index
from zoo.hub.places import kept_index

if TYPE_CHECKING:
    import requests

T = TypeVar("T")

ATTEMPTS = 4
PAUSE = 0.5
"""Seconds before the second attempt; each further pause is twice as long."""

INDEX_SECONDS = 120.0
"""What an index may take altogether."""

PATIENCE = 60.0
SLOWEST = 1 << 14
"""A file may take that many seconds, and one more for each so many bytes."""

CHUNK = 1 << 16
TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)
"""HTTP states that may be better in a moment."""

CACHE_REMEDY = "ZOO_CACHE names another folder for the cache"


class TransientError(HubError):
    """A failure that may not happen again."""


class BoundedWriter:
    """A file that refuses more bytes than it was promised, and counts and digests what comes."""

    def __init__(
        self, file: BinaryIO, most: int, url: str, on_bytes: Callable[[int], object] | None
    ) -> None:
        self._file, self._most, self._url, self._on_bytes = file, most, url, on_bytes
        self.count, self.digest = 0, hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Write a part, and tell `on_bytes` its length; TransientError past the limit."""
        self.count += len(data)
        if self.count > self._most:
            raise TransientError(
                f"gives more than the {self._most} bytes that it may have", subject=self._url
            )
        self.digest.update(data)
        self._file.write(data)
        if self._on_bytes:
            self._on_bytes(len(data))


def fetch_index(url: str, offline: bool = False) -> Index:
    """The index of the hub at `url`; `offline` takes the one that was last fetched."""
    kept = kept_index(url)
    if offline:
        try:
            return schema.read(kept.read_bytes(), f"{url}/{schema.FILE}")
        except OSError:
            raise HubError(
                Sentence("never fetched, and ", Argument("offline"), " forbids to"),
                subject=f"hub {url}",
                remedy=Sentence("fetch it once without ", Argument("offline")),
            ) from None
    address = f"{url}/{schema.FILE}"

    def attempt() -> bytes:
        file = io.BytesIO()
        bounded = BoundedWriter(file, schema.LARGEST_INDEX, address, None)
        download(address, bounded, INDEX_SECONDS)
        return file.getvalue()

    text = with_retries(attempt)
    index = schema.read(text, address)
    keep(kept, text)
    return index


def keep(path: Path, text: bytes) -> None:
    """Remember an index for `--offline`; a cache that cannot be written only forgets it."""
    try:
        if path.is_file() and path.read_bytes() == text:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text)
    except (OSError, ZooError):
        return


def fetch_file(
    url: str, path: Path, file: File, on_bytes: Callable[[int], object] | None = None
) -> None:
    """Fetch a file of a hub to `path`, which it takes only with the size and SHA-256 of the index.

    `on_bytes` is called with the number of bytes that came, and with a negative number where they
    were in vain. A file that is there already and good stays.
    """

    def attempt() -> None:
        came = 0

        def count(number: int) -> None:
            nonlocal came
            came += number
            if on_bytes:
                on_bytes(number)

        def write(opened: BinaryIO) -> None:
            bounded = BoundedWriter(opened, file.size, url, count)
            download(url, bounded, PATIENCE + file.size / SLOWEST)
            if bounded.count < file.size:
                raise TransientError(
                    f"cut short: {bounded.count} of {file.size} bytes came", subject=url
                )
            if bounded.digest.hexdigest() != file.sha256:
                raise TransientError(
                    "its sha256 is not the one in the index; "
                    "the file or the index was damaged or tampered with",
                    subject=url,
                )

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, write)
            came = 0
        except FormatError as error:
            raise HubError(error.message, subject=error.subject, remedy=CACHE_REMEDY) from None
        except OSError as error:
            raise HubError(
                f"cannot be made: {error.strerror or error}",
                subject=path.parent,
                remedy=CACHE_REMEDY,
            ) from None
        finally:
            if on_bytes and came:
                on_bytes(-came)

    with_retries(attempt)


def with_retries(attempt: Callable[[], T]) -> T:
    """Call until it succeeds or `ATTEMPTS` are used up; HubError in one line where it fails."""
    pause = PAUSE
    for number in range(1, ATTEMPTS + 1):
        try:
            return attempt()
        except TransientError as error:
            if number == ATTEMPTS:
                raise HubError(
                    error.message, subject=error.subject, remedy=f"tried {ATTEMPTS} times"
                ) from None
        time.sleep(pause)
        pause *= 2
    raise AssertionError("the last attempt returns or raises")


def download(url: str, output: BoundedWriter, seconds: float) -> None:
    """Fetch once. Raises TransientError where it may be better soon, else HubError."""
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    from zoo.hub.visits import Visit

    with Visit(url, seconds) as visit:
        try:
            with visit.answer() as answer:
                _refuse(url, answer)
                # requests would undo a compression, however much comes of it, and urllib3's own
                # reading of chunks believes any length.
                while chunk := answer.raw.read1(CHUNK, decode_content=False):
                    output.write(chunk)
        except (RequestException, HTTPError, ValueError) as error:
            if not visit.over:
                raise _explained(error, url, output.count) from None
        if visit.over:
            raise HubError(f"not complete after {seconds:.0f} seconds", subject=url)


def _refuse(url: str, answer: requests.Response) -> None:
    status = answer.status_code
    if status in TRANSIENT_STATUSES:
        raise TransientError(f"the server answered {status}", subject=url)
    if status != 200:
        hint = "is it the address of a hub?" if status in (404, 410) else None
        raise HubError(f"the server answered {status}", subject=url, remedy=hint)
    if answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise HubError("sent compressed, which was not asked for", subject=url)


def _explained(error: Exception, url: str, came: int) -> HubError:
    import requests
    from urllib3.exceptions import ProtocolError, SSLError, TimeoutError

    if isinstance(error, requests.exceptions.SSLError):
        if "CERTIFICATE" in str(error):
            return HubError("the server's certificate is not trusted", subject=url)
        return HubError("no TLS connection can be made", subject=url, remedy="is it http?")
    if isinstance(error, ProtocolError | SSLError):
        cut = "cut short: the connection ended before the file did"
        return TransientError(cut, subject=url)
    if isinstance(error, requests.ConnectionError) and _is_gibberish(error):
        return HubError("its answer is not HTTP", subject=url, remedy="is it the address of a hub?")
    if isinstance(error, requests.ConnectionError | requests.Timeout | TimeoutError):
        why = "no more bytes came" if came else "no answer"
        return TransientError(f"{why}; is the address right, and the network there?", subject=url)
    return HubError(f"cannot be fetched: {type(error).__name__}", subject=url)


def _is_gibberish(error: requests.ConnectionError) -> bool:
    """Whether http.client could not read the answer, which requests and urllib3 wrap in theirs."""
    inner = getattr(error.args[0], "args", ()) if error.args else ()
    cause = inner[-1] if inner else None
    gone = isinstance(cause, http.client.RemoteDisconnected)
    return isinstance(cause, http.client.HTTPException) and not gone
