"""Files over HTTP: bounded, tried again where that may help, checked before they take their name.

pooch does the fetching and the hashing: it writes beside the target, compares the SHA-256 and only
then renames.
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from prototxt.errors import Argument, Sentence
from zoo import __version__
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

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and to wait for the next bytes."""

CHUNK = 1 << 16
TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)
"""HTTP states that may be better in a moment."""


class TransientError(HubError):
    """A failure that may not happen again."""


class BoundedWriter:
    """A file that refuses more bytes than it was promised, counting them as they come."""

    def __init__(
        self, file: BinaryIO, most: int, url: str, on_bytes: Callable[[int], object] | None
    ) -> None:
        self._file, self._most, self._url, self._on_bytes = file, most, url, on_bytes
        self.count = 0

    def write(self, data: bytes) -> None:
        """Write a part, and tell `on_bytes` its length; TransientError past the limit."""
        self.count += len(data)
        if self.count > self._most:
            raise TransientError(
                f"gives more than the {self._most} bytes that it may have", subject=self._url
            )
        self._file.write(data)
        if self._on_bytes:
            self._on_bytes(len(data))

    def flush(self) -> None:
        """pooch flushes after every chunk; once at the end is enough."""


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
        download(address, BoundedWriter(file, schema.LARGEST_INDEX, address, None))
        return file.getvalue()

    text = with_retries(attempt, address)
    index = schema.read(text, address)
    keep(kept, text)
    return index


def keep(path: Path, text: bytes) -> None:
    """Remember an index for `--offline`; a cache that cannot be written only forgets it."""
    from prototxt.errors import ZooError
    from prototxt.files import atomic_write

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
    import pooch

    pooch.get_logger().setLevel(logging.CRITICAL)

    def attempt() -> None:
        came = 0

        def count(number: int) -> None:
            nonlocal came
            came += number
            if on_bytes:
                on_bytes(number)

        def downloader(address: str, target: str, _: Any) -> None:
            with Path(target).open("wb") as opened:
                bounded = BoundedWriter(opened, file.size, address, count)
                download(address, bounded)
                if bounded.count < file.size:
                    raise TransientError(
                        f"cut short: {bounded.count} of {file.size} bytes came", subject=address
                    )
                opened.flush()
                os.fsync(opened.fileno())

        try:
            pooch.retrieve(
                url, f"sha256:{file.sha256}", path.name, path.parent, downloader=downloader
            )
            came = 0
        except ValueError:  # how pooch says that the hash differs
            raise TransientError(
                "its sha256 is not the one in the index; "
                "the file or the index was damaged or tampered with",
                subject=url,
            ) from None
        finally:
            if on_bytes and came:
                on_bytes(-came)

    with_retries(attempt, str(path.parent))
    # pooch leaves the mode of a temporary file, which nobody else may read.
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def with_retries(attempt: Callable[[], T], where: str) -> T:
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
        except OSError as error:
            why = error.strerror or str(error)
            raise HubError(
                why, subject=where, remedy="ZOO_CACHE names another folder for the cache"
            ) from None
        time.sleep(pause)
        pause *= 2
    raise AssertionError("the last attempt returns or raises")


def download(url: str, output: BoundedWriter) -> None:
    """Fetch once. Raises TransientError where it may be better soon, else HubError."""
    import pooch
    import requests

    headers = {"User-Agent": f"caffe-zoo/{__version__}", "Accept-Encoding": "identity"}
    answers: list[requests.Response] = []

    def keep_answer(answer: requests.Response, *_: Any, **__: Any) -> None:
        answers.append(answer)

    fetch = pooch.HTTPDownloader(
        chunk_size=CHUNK, timeout=TIMEOUT, headers=headers, hooks={"response": keep_answer}
    )
    try:
        fetch(url, output, None)
    except requests.HTTPError as error:
        _refuse_status(url, error)
    except requests.exceptions.SSLError:
        raise HubError("the server's certificate is not trusted", subject=url) from None
    except requests.exceptions.ChunkedEncodingError:
        raise TransientError(
            "cut short: the connection ended before the file did", subject=url
        ) from None
    except (requests.ConnectionError, requests.Timeout):
        why = "no more bytes came" if output.count else "no answer"
        raise TransientError(
            f"{why}; is the address right, and the network there?", subject=url
        ) from None
    except requests.RequestException as error:
        raise HubError(f"cannot be fetched: {type(error).__name__}", subject=url) from None
    finally:
        for answer in answers:  # pooch leaves one that was broken off open
            answer.close()


def _refuse_status(url: str, error: requests.HTTPError) -> None:
    status = 0
    if error.response is not None:
        status = error.response.status_code
        error.response.close()
    if status in TRANSIENT_STATUSES:
        raise TransientError(f"the server answered {status}", subject=url) from None
    hint = "is it the address of a hub?" if status in (404, 410) else None
    raise HubError(f"the server answered {status}", subject=url, remedy=hint) from None
