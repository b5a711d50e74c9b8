"""Files from a hub's address: bounded, tried again if that may help, checked before they are named.

What came of a large file stays, under a name made of its SHA-256, beside the place where it will
lie: the next attempt goes on from there, of this process or of another, here or from a mirror. It
is no file of the hub before all of it has the digest of the index.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from prototxt.errors import Argument, FormatError, Sentence, ZooError
from prototxt.files import atomic_write, writing
from zoo.errors import HubError, TransientError
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

KEPT = 1 << 20
"""What came of a file is kept from so many bytes on that it shall have; smaller ones begin anew."""

CHUNK = 1 << 16
TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)
"""HTTP states that may be better in a moment."""

CACHE_REMEDY = "ZOO_CACHE names another folder for the cache"


class BoundedWriter:
    """A file that refuses more bytes than it was promised, and counts and digests what comes."""

    def __init__(
        self, file: BinaryIO, most: int, url: str, on_bytes: Callable[[int], object] | None
    ) -> None:
        self._file, self._most, self._url, self._on_bytes = file, most, url, on_bytes
        self.count, self.digest = 0, hashlib.sha256()
        self.bad = False
        """Whether what is in it cannot be the beginning of what was promised."""

    def resume(self) -> None:
        """Go on after what is in the file."""
        self._file.seek(0)
        while data := self._file.read(1 << 20):
            self._took(data)
        if self.count > self._most:
            self.restart()

    def restart(self) -> None:
        """Forget what is in the file."""
        self._file.seek(0)
        self._file.truncate()
        if self._on_bytes and self.count:
            self._on_bytes(-self.count)
        self.count, self.digest = 0, hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Write a part, and tell `on_bytes` its length; TransientError past the limit."""
        if self.count + len(data) > self._most:
            self.bad = True
            raise TransientError(
                f"gives more than the {self._most} bytes that it may have", subject=self._url
            )
        self._file.write(data)
        self._took(data)

    def _took(self, data: bytes) -> None:
        self.count += len(data)
        self.digest.update(data)
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
    with_retries(lambda: _fetch_once(url, path, file, on_bytes))


def part_name(file: File) -> str:
    """The name, in the folder where a file will lie, of what came of it so far."""
    return f".{file.sha256}.part"


def _fetch_once(url: str, path: Path, file: File, on_bytes: Callable[[int], object] | None) -> None:
    part = path.with_name(part_name(file))
    bounded: BoundedWriter | None = None
    try:
        with _cached(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _opened(part) as opened:
                bounded = BoundedWriter(opened, file.size, url, on_bytes)
                bounded.resume()
                if bounded.count < file.size:
                    download(url, bounded, PATIENCE + file.size / SLOWEST)
                _refuse_wrong(bounded, file, url)
                opened.flush()
                os.fsync(opened.fileno())
            with writing(path):
                part.replace(path)
    except BaseException:
        if bounded is None or bounded.bad or file.size < KEPT:
            with contextlib.suppress(OSError):
                part.unlink()
        if on_bytes and bounded is not None and bounded.count:
            on_bytes(-bounded.count)
        raise


def place_copy(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Make a file of the cache by a function that writes it; HubError where that cannot be."""
    with _cached(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, write)


@contextlib.contextmanager
def _cached(path: Path) -> Iterator[None]:
    """One line for what the system says of a place in the cache."""
    try:
        yield
    except FormatError as error:
        raise HubError(error.message, subject=error.subject, remedy=CACHE_REMEDY) from None
    except OSError as error:
        raise HubError(
            f"cannot be made: {error.strerror or error}", subject=path.parent, remedy=CACHE_REMEDY
        ) from None


def _opened(part: Path) -> BinaryIO:
    """The part of a file, made if need be; what is no plain file, as a link, makes way."""
    if part.is_symlink() or (part.exists() and not part.is_file()):
        part.unlink()
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(part, flags, 0o666), "r+b")


def _refuse_wrong(bounded: BoundedWriter, file: File, url: str) -> None:
    if bounded.count < file.size:
        raise TransientError(f"cut short: {bounded.count} of {file.size} bytes came", subject=url)
    if bounded.digest.hexdigest() != file.sha256:
        bounded.bad = True
        raise TransientError(
            "its sha256 is not the one in the index; "
            "the file or the index was damaged or tampered with",
            subject=url,
        )


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
    """Fetch once, from where `output` stands.

    Raises TransientError where it may be better soon, else HubError.
    """
    from zoo.hub import remotes

    if remotes.is_remote(url):
        return remotes.read(url, output, seconds)
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    from zoo.hub.visits import Visit

    before = output.count
    with Visit(url, seconds, before) as visit:
        try:
            with visit.answer() as answer:
                _refuse(url, answer, output)
                # requests would undo a compression, however much comes of it, and urllib3's own
                # reading of chunks believes any length.
                while chunk := answer.raw.read1(CHUNK, decode_content=False):
                    output.write(chunk)
        except (RequestException, HTTPError, ValueError) as error:
            if not visit.over:
                raise _explained(error, url, output.count - before) from None
        if visit.over:
            raise HubError(f"not complete after {seconds:.0f} seconds", subject=url)
    return None


def _refuse(url: str, answer: requests.Response, output: BoundedWriter) -> None:
    """HubError unless the answer has what `output` lacks, or, from the beginning, all of it."""
    status, asked = answer.status_code, output.count > 0
    if status in TRANSIENT_STATUSES:
        raise TransientError(f"the server answered {status}", subject=url)
    if asked and status in (206, 416):
        found = re.fullmatch(r"bytes (\d{1,18})-\d+/.*", answer.headers.get("Content-Range", ""))
        if status == 416 or found is None or int(found[1]) != output.count:
            output.bad = True
            raise TransientError("has not the rest that was asked for", subject=url)
    elif status != 200:
        hint = "is it the address of a hub?" if status in (404, 410) else None
        raise HubError(f"the server answered {status}", subject=url, remedy=hint)
    if answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise HubError("sent compressed, which was not asked for", subject=url)
    if asked and status == 200:
        output.restart()


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
