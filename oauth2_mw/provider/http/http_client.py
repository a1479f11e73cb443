"""The HTTP client: urllib3 alone, without a session of requests around it.

A session reads ``~/.netrc``, keeps cookies, follows redirects with credentials and takes proxies from the environment.
Imported at the first request only.
"""

from __future__ import annotations

import io
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cached_property
from http.client import HTTPResponse
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse
from urllib3.util import make_headers, parse_url

from oauth2_mw.errors import ProviderUnavailableError
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.provider.http import waiting
from oauth2_mw.provider.http.call_gate import CallGate
from oauth2_mw.provider.http.messages import Request, Response, Timeouts, too_large
from oauth2_mw.telemetry import calling
from oauth2_mw.tracing import http_attributes

# A read that broke off is not retried: the response may be on its way. Retry-After is not obeyed: a provider does not
# decide how long a worker sleeps.
_GET_RETRIES = Retry(
    total=2,
    read=0,
    redirect=0,
    status_forcelist=(502, 503, 504),
    allowed_methods=("GET",),
    backoff_factor=0.1,
    raise_on_status=False,
    respect_retry_after_header=False,
)


#: a part of the reason why a TLS connection was refused -> what to do
_TLS_CURES = (
    ("expired", "have its certificate renewed, and check this machine's clock"),
    ("not yet valid", "check this machine's clock"),
    ("mismatch", "write the name that its certificate is for, or have one made for this name"),
    ("not valid for", "write the name that its certificate is for, or have one made for this name"),
    ("WRONG_VERSION_NUMBER", "that port speaks no TLS; write the port of https"),
)
_OTHER_TLS_CURE = "if its certificate comes from an authority of your own, name that in ca_bundle"


class Deadline:
    """A context in which a request must be done; after that its sockets are shut down.

    A read timeout does not limit a request, because it starts anew with each byte. A timer shuts the socket down
    instead, through a duplicate of its descriptor, which covers the TLS handshake and the headers as well as the body.

    :param seconds: how long the request may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.has_passed: bool = False
        #: whether a request may have left
        self.is_sent: bool = False
        #: when the certificate of the server that was reached last ends, in seconds since the epoch
        self.certificate_ends: int | None = None
        self._end = time.monotonic() + seconds
        self._lock = ProcessLock()
        self._sockets: list[socket.socket] = []
        self._timer: threading.Timer

    def __enter__(self) -> Deadline:
        self._timer = threading.Timer(self.seconds, self._end_now)
        self._timer.daemon = True
        try:
            self._timer.start()
        except RuntimeError:
            raise ProviderUnavailableError(
                "no thread can be started to watch a request: this process has too many"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for sock in self._sockets:
                sock.close()
            self._sockets.clear()

    def remaining(self) -> float:
        """Return the seconds that are left; never negative."""
        return max(0.0, self._end - time.monotonic())

    def watch(self, sock: socket.socket) -> None:
        """Have *sock* shut down at this deadline."""
        with self._lock:
            self._sockets.append(sock.dup())
        if self.has_passed:
            self._end_now()

    def _end_now(self) -> None:
        with self._lock:
            self.has_passed = True
            for sock in self._sockets:
                with suppress(OSError):  # the other side was faster
                    sock.shutdown(socket.SHUT_RDWR)


class _Slices(io.RawIOBase):
    """Reads from a socket, and calls *work* between two waits for it.

    :param raw: keeps the socket open as long as anything is read from it.
    """

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, work: Callable[[], None]) -> None:
        self._sock = sock
        self._raw = raw
        self._work = work

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        patience = self._sock.gettimeout()
        end = inf if patience is None else time.monotonic() + patience
        try:
            while True:
                self._work()
                self._sock.settimeout(max(min(waiting.SLICE, end - time.monotonic()), 0.001))
                try:
                    return self._sock.recv_into(buffer)
                except TimeoutError:
                    if time.monotonic() >= end:
                        raise
        finally:
            self._sock.settimeout(patience)

    def close(self) -> None:
        super().close()
        self._raw.close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        work = waiting.meanwhile()
        if work is not None:
            self.fp = io.BufferedReader(_Slices(sock, self.fp.detach(), work))


class _Connection(HTTPConnection):
    response_class = _Response
    deadline: Deadline

    def _new_conn(self) -> socket.socket:
        remaining = self.deadline.remaining()
        if not remaining:
            raise ConnectTimeoutError(self, "out of time")
        self.timeout = min(remaining, self.timeout or remaining)
        sock = super()._new_conn()
        self.deadline.watch(sock)
        return sock

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        work = waiting.meanwhile()
        if work is not None and not self.deadline.is_sent:
            work()
        self.deadline.is_sent = True
        super().send(data)

    def _tunnel(self) -> None:
        try:
            super()._tunnel()
        finally:
            # What a proxy is told is no request to the provider.
            self.deadline.is_sent = False


class _TLSConnection(_Connection, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        sock: Any = self.sock
        certificate = sock.getpeercert()
        self.deadline.certificate_ends = int(ssl.cert_time_to_seconds(certificate["notAfter"]))


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
    deadline: Deadline

    def _new_conn(self) -> Any:
        connection: Any = super()._new_conn()
        connection.deadline = self.deadline
        return connection

    def _put_conn(self, conn: Any) -> None:
        # A retry gets a connection of its own: the server may be closing this one at this very moment.
        if conn is not None:
            conn.close()


class _TLSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class HttpClient:
    """Sends requests and reads their responses, within limits of time and size; parameters as for ``Transport``."""

    def __init__(
        self,
        *,
        name: str,
        gate: CallGate,
        ca_bundle: Path | None,
        proxy: str | None,
        trust_env: bool,
        timeouts: Timeouts,
    ) -> None:
        self._name = name
        self._gate = gate
        self._ca_bundle = ca_bundle
        self._proxy = proxy
        self._trust_env = trust_env
        self._timeouts = timeouts

    def deadline(self) -> Deadline:
        """Return a new deadline for one request with its retries and redirects."""
        return Deadline(self._timeouts.total)

    def send(self, request: Request, deadline: Deadline) -> Response:
        """Send *request*, retried if it is a GET without a hidden query. A redirect is returned as it is.

        :raises ProviderUnavailableError: if no complete response comes in time.
        :raises ProviderError: ``answer_too_large`` if the body, as it is encoded, exceeds the request's limit.
        """
        with calling(self._name, request.operation, http_attributes(request.method, request.url)) as call:
            response = self._gate.call(lambda: self._send(request, deadline))
            call.status = response.status
            return response

    def _send(self, request: Request, deadline: Deadline) -> Response:
        url = request.url
        try:
            with (
                self._manager(url, deadline) as manager,
                closing(
                    manager.urlopen(
                        request.method,
                        _address(request),
                        headers=dict(request.headers),
                        body=request.body,
                        redirect=False,
                        # urllib3 logs the whole address with every retry.
                        retries=_GET_RETRIES if request.method == "GET" and not request.query else False,
                        timeout=Timeout(connect=self._timeouts.connect, read=self._timeouts.read),
                        preload_content=False,
                        decode_content=False,
                    )
                ) as response,
            ):
                body = _read_body(response, url=url, limit=request.limit)
        except (HTTPError, OSError, ValueError) as error:
            self._raise_unavailable(error, url, deadline)
        # A socket that was shut down may look like the plain end of a body.
        if deadline.has_passed:
            self._raise_unavailable(None, url, deadline)
        headers = {name.lower(): value for name, value in response.headers.items()}
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        return Response(
            status=response.status,
            content_type=content_type,
            body=body,
            headers=headers,
            url=url,
            certificate_ends=deadline.certificate_ends,
        )

    def _manager(self, url: str, deadline: Deadline) -> PoolManager:
        proxy = self._proxy_for(url)
        manager: PoolManager
        if proxy is None:
            manager = PoolManager(num_pools=1, ssl_context=self._context(url))
        else:
            credentials = parse_url(proxy).auth
            manager = ProxyManager(
                proxy,
                num_pools=1,
                proxy_headers=make_headers(proxy_basic_auth=credentials) if credentials else None,
                ssl_context=self._context(url),
                proxy_ssl_context=self._context(proxy),
            )
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        # The one pool of this manager, made beforehand so that its connections know their deadline.
        pool: Any = manager.connection_from_url(url)
        pool.deadline = deadline
        return manager

    def _proxy_for(self, url: str) -> str | None:
        if self._proxy is not None or not self._trust_env:
            return self._proxy
        return select_proxy(url, get_environ_proxies(url))

    def _context(self, url: str) -> ssl.SSLContext | None:
        return self._tls if url.startswith("https:") else None

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        bundle = str(self._ca_bundle or self._bundle_from_environment() or DEFAULT_CA_BUNDLE_PATH)
        try:
            if Path(bundle).is_dir():
                return ssl.create_default_context(capath=bundle)
            return ssl.create_default_context(cafile=bundle)
        except OSError as error:
            raise ProviderUnavailableError(
                f"the certificate authorities in {bundle} cannot be read ({error.strerror or 'not PEM'}): "
                "check ca_bundle"
            ) from error

    def _bundle_from_environment(self) -> str | None:
        if not self._trust_env:
            return None
        return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")

    def _raise_unavailable(self, error: Exception | None, url: str, deadline: Deadline) -> NoReturn:
        # Names the host alone: the path or an exception's text may hold what was sent.
        host, cause = urlsplit(url).netloc, error.reason if isinstance(error, MaxRetryError) else error
        failure = ProviderUnavailableError(self._describe(cause, host, deadline))
        failure.is_sent = deadline.is_sent
        raise failure from None

    def _describe(self, error: BaseException | None, host: str, deadline: Deadline) -> str:
        if not deadline.remaining():
            return f"{host} did not finish its answer within {deadline.seconds:g} seconds: it is too slow"
        if isinstance(error, (SSLError, ssl.SSLError)):
            reason = _tls_reason(error)
            cure = next((cure for part, cure in _TLS_CURES if part in reason), _OTHER_TLS_CURE)
            return f"the TLS connection to {host} was refused ({reason}): {cure}"
        if isinstance(error, ProxyError):
            return (
                f"the proxy for {host} cannot be used: check proxy, or the environment when trust_env is on"
            )
        if isinstance(error, NameResolutionError):
            return f"the name of {host} cannot be looked up: check its spelling, and DNS on this machine"
        if isinstance(error, NewConnectionError):
            reason = getattr(error.__cause__, "strerror", None) or type(error).__name__
            return f"no connection to {host} ({reason}): check that the provider runs there, and the port"
        if isinstance(error, ConnectTimeoutError):
            return (
                f"no connection to {host} within {self._timeouts.connect:g} seconds: check the firewall, or set "
                "proxy"
            )
        if isinstance(error, ReadTimeoutError):
            return f"{host} fell silent before its answer was complete: it is too slow"
        return f"the connection to {host} broke off before the answer was complete ({type(error).__name__})"


def _address(request: Request) -> str:
    separator = "&" if "?" in request.url else "?"
    return f"{request.url}{separator}{request.query}" if request.query else request.url


def _read_body(response: BaseHTTPResponse, *, url: str, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := response.read(limit + 1 - size):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise too_large(url, limit)
    return b"".join(pieces)


def _tls_reason(error: BaseException) -> str:
    cause: Any = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    return str(
        getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or type(cause).__name__
    )
