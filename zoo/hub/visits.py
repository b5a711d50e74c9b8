"""Connections to a hub's server that end in time and lead nowhere that the hub's address does not.

requests follows redirects wherever they lead, reads their bodies to the end, and waits for ever for
a server that sends a byte a minute. So redirects are followed here, one by one, and a timer ends
the connections of a visit.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.connection import create_connection

from zoo import __version__
from zoo.errors import HubError
from zoo.hub.wire import Head

if TYPE_CHECKING:
    from types import TracebackType

    from urllib3 import HTTPConnectionPool, PoolManager
    from urllib3.connection import HTTPConnection

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and to wait for the next bytes."""

REDIRECTS = 5
ADDRESSES = 4
"""How many addresses of one name are tried."""

REDIRECT_STATUSES = (301, 302, 303, 307, 308)
HEADERS = {"User-Agent": f"caffe-zoo/{__version__}", "Accept-Encoding": "identity"}


class Visit(contextlib.AbstractContextManager["Visit"]):
    """One fetch of `url`, redirects included, which ends after so many seconds.

    `start` asks for the bytes from there on; a server may send all of them nevertheless.

    `over` says whether the time has run out: then its connections are shut, and what waits for
    them gets an error or an early end.
    """

    def __init__(self, url: str, seconds: float, start: int = 0) -> None:
        self.url, self.seconds, self.over = url, seconds, False
        self._headers = {**HEADERS, "Range": f"bytes={start}-"} if start else HEADERS
        self._origin = urlsplit(url).hostname or ""
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._session = _Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(self))

    def __enter__(self) -> Visit:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._timer.join()
        self._session.close()
        with self._lock:
            for held in self._sockets:
                held.close()
            self._sockets.clear()

    def answer(self) -> requests.Response:
        """The answer that is no redirect, its body not yet read; the caller closes it.

        Raises HubError where redirects lead astray; what requests raises; ValueError for an address
        that is none.
        """
        url = self.url
        for _ in range(REDIRECTS + 1):
            answer = self._get(url)
            location = answer.headers.get("Location")
            if answer.status_code not in REDIRECT_STATUSES or location is None:
                return answer
            answer.close()
            url = self._next(url, location)
        raise HubError(f"redirected more than {REDIRECTS} times", subject=self.url)

    def _get(self, url: str) -> requests.Response:
        try:
            return self._session.get(
                url, headers=self._headers, timeout=TIMEOUT, stream=True, allow_redirects=False
            )
        except requests.RequestException:
            raise
        except OSError as error:  # REQUESTS_CA_BUNDLE names no file
            raise requests.RequestException(str(error)) from None

    def _next(self, url: str, location: str) -> str:
        before = urlsplit(url)
        try:
            following = urljoin(url, location)
            after = urlsplit(following)
            host, port = after.hostname, after.port
        except ValueError:
            host, port = None, None
        if host is None or after.scheme not in ("http", "https"):
            raise HubError("redirected to what is no web address", subject=self.url)
        if before.scheme == "https" and after.scheme == "http":
            raise HubError("redirected from https to http", subject=self.url)
        # A name is looked up, and its address checked, when it is connected to. A proxy does that
        # by itself, but for a number nobody need be asked.
        numeric: list[str] = []
        with contextlib.suppress(OSError):
            numeric = _resolve(host, port, socket.AI_NUMERICHOST)
        self._check(host, numeric)
        return following

    def connect(self, connection: HTTPConnection) -> socket.socket:
        """A socket for a connection of urllib3's, at an address that was checked; OSError."""
        host = connection.host
        addresses = self._addresses(host, connection.port)
        error: OSError = OSError(f"{host} has no address")
        for address in addresses[:ADDRESSES]:
            if self.over:
                break
            try:
                return create_connection(
                    (address, connection.port),
                    connection.timeout,
                    source_address=connection.source_address,
                    socket_options=connection.socket_options,
                )
            except OSError as failed:
                error = failed
        raise error

    def hold(self, opened: socket.socket) -> None:
        """Have a socket shut when the time is over, also in the midst of a TLS handshake."""
        with self._lock:
            self._sockets.append(opened.dup())
        if self.over:
            self._end()

    def _end(self) -> None:
        self.over = True
        with self._lock:
            for held in self._sockets:
                with contextlib.suppress(OSError):
                    held.shutdown(socket.SHUT_RDWR)

    @functools.cached_property
    def _own(self) -> list[str]:
        """The addresses of the hub, looked up once."""
        return _resolve(self._origin, None)

    def _addresses(self, host: str, port: int | None) -> list[str]:
        if host == self._origin:
            return self._own
        addresses = _resolve(host, port)
        self._check(host, addresses)
        return addresses

    def _check(self, host: str, addresses: list[str]) -> None:
        """Of the hub whatever they are; of another host only what anybody may reach."""
        private = [address for address in addresses if not is_public(address)]
        if not private or host == self._origin:
            return
        own: list[str] = []
        with contextlib.suppress(OSError):
            own = self._own
        for address in private:
            if address not in own:
                raise HubError(
                    f"redirected to {address}, which is no public address",
                    subject=self.url,
                    remedy="if that is meant, give it as the hub",
                )


def _resolve(host: str, port: int | None, flags: int = 0) -> list[str]:
    found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, flags)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def is_public(text: str) -> bool:
    """Whether an address, IPv4 or IPv6, is one of the internet: no private, local or other one."""
    address = ipaddress.ip_address(text)
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return all(a.is_global and not a.is_multicast for a in (address, inner or address))


class _Session(requests.Session):
    """requests' own, which does not follow redirects: it would read their bodies first."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class _Answer(http.client.HTTPResponse):
    """http.client's own, with a bound on all lines before the body together."""

    def begin(self) -> None:
        stream: Any = self.fp
        self.fp = Head(stream)  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            if self.fp is not None:
                self.fp = stream


class _Adapter(HTTPAdapter):
    """requests' own, whose connections a visit makes and ends."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._adopt(self.poolmanager, direct=True)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not known:
            self._adopt(manager, direct=False)
        return manager

    def _adopt(self, manager: PoolManager, direct: bool) -> None:
        manager.pool_classes_by_scheme = {
            scheme: _adopted(pool, self._visit, direct)
            for scheme, pool in manager.pool_classes_by_scheme.items()
        }


def _adopted(pool: Any, visit: Visit, direct: bool) -> type[HTTPConnectionPool]:
    """A pool of connections that a visit makes itself, unless they lead to a proxy, and ends."""

    def new_connection(self: Any) -> socket.socket:
        opened: socket.socket = (
            visit.connect(self) if direct else pool.ConnectionCls._new_conn(self)
        )
        visit.hold(opened)
        return opened

    own = {"_new_conn": new_connection, "response_class": _Answer}
    connection = type("Connection", (pool.ConnectionCls,), own)
    return type("Pool", (pool,), {"ConnectionCls": connection})
