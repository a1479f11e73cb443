"""The HTTP client: connections of our own making, without a session of requests or a pool of urllib3 around them.

A session reads ``~/.netrc``, keeps cookies, follows redirects with credentials and takes proxies from the environment.
And other packages go by the name of urllib3, with connections that work otherwise. Imported at the first request only.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import closing
from http.client import HTTPException, IncompleteRead, LineTooLong, RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy

from oauth2_mw.errors import ProviderUnavailableError
from oauth2_mw.provider.http.answer import UnreadableAnswerError
from oauth2_mw.provider.http.call_gate import CallGate
from oauth2_mw.provider.http.connection import Connection, NoConnectionError
from oauth2_mw.provider.http.deadline import Deadline
from oauth2_mw.provider.http.kept_connections import MAX_IDLE, KeptConnections
from oauth2_mw.provider.http.messages import Request, Response, Timeouts, too_large
from oauth2_mw.provider.http.route import Proxy, Route
from oauth2_mw.provider.http.trust import Trust
from oauth2_mw.settings.addresses import DEFAULT_PORTS
from oauth2_mw.telemetry import calling
from oauth2_mw.tracing import http_attributes

#: The longest idle time in seconds of a connection for what serves once: servers close older ones unasked.
MAX_IDLE_ONCE = 1.0
#: Seconds before each repetition of a GET.
_PAUSES = (0.0, 0.2)
_REPEATED = frozenset({502, 503, 504})
_FAILURES = (NoConnectionError, HTTPException, OSError, ValueError, OverflowError)

#: a part of the reason why a TLS connection was refused -> what to do
_TLS_CURES = (
    ("expired", "have its certificate renewed, and check this machine's clock"),
    ("not yet valid", "check this machine's clock"),
    ("mismatch", "write the name that its certificate is for, or have one made for this name"),
    ("not valid for", "write the name that its certificate is for, or have one made for this name"),
    ("WRONG_VERSION_NUMBER", "that port speaks no TLS; write the port of https"),
)
_AUTHORITY_CURE = "if its certificate comes from an authority of your own, name that in ca_bundle"
_OTHER_TLS_CURE = (
    "check the port, and that TLS 1.2 or later is spoken there, without asking for a certificate of ours"
)


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
        connections: KeptConnections[Connection] | None,
    ) -> None:
        self._name = name
        self._gate = gate
        self._trust = Trust(ca_bundle=ca_bundle, trust_env=trust_env)
        self._proxy = proxy
        self._trust_env = trust_env
        self._connections = connections

    def deadline(self, timeouts: Timeouts) -> Deadline:
        """Return a new deadline for one request with its retries and redirects."""
        return Deadline(timeouts)

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
        serves_once = request.method != "GET" or bool(request.query)
        if serves_once:
            return self._exchange(request, deadline, max_idle=MAX_IDLE_ONCE)
        max_idle, pauses = MAX_IDLE, list(_PAUSES)
        while True:
            try:
                response = self._exchange(request, deadline, max_idle=max_idle)
            except ProviderUnavailableError as error:
                # An answer that broke off is not asked for again, unless a kept connection may have been closed before.
                is_repeated = error.is_on_kept_connection or not error.is_sent
                if not (is_repeated and pauses and deadline.remaining()):
                    raise
            else:
                if response.status not in _REPEATED or not pauses:
                    return response
                # Retry-After is not obeyed: a provider does not decide how long a worker sleeps.
            pause = pauses.pop(0)
            # A repetition gets a connection of its own: the server may be closing the others at this very moment.
            max_idle = -1
            time.sleep(min(pause, deadline.remaining()))

    def _exchange(self, request: Request, deadline: Deadline, *, max_idle: float) -> Response:
        """Send *request* once, over a connection that was idle for at most so many seconds, or else a new one."""
        url = request.url
        route = self._route(url)
        connection, is_kept = None, False
        try:
            addresses = route.addresses()
            connection = self._take(route, addresses, max_idle=max_idle)
            is_kept = connection is not None
            connection = connection or Connection(route, addresses)
            with closing(
                connection.exchange(
                    request.method,
                    _target(request, absolute=route.forwards),
                    body=request.body,
                    headers=dict(request.headers),
                    deadline=deadline,
                )
            ) as response:
                body = response.read_whole(request.limit)
                if len(body) > request.limit:
                    raise too_large(url, request.limit)
            certificate_ends = connection.certificate_ends
            if self._connections is not None and connection.can_be_kept(response):
                self._connections.keep(route, connection)
                connection = None
        except ProviderUnavailableError as error:
            # Raised by what this thread does while it waits (see waiting).
            error.is_sent = connection is not None and connection.is_sent
            raise
        except _FAILURES as error:
            raise _failure(error, route, connection, deadline, is_kept=is_kept) from None
        finally:
            if connection is not None:
                connection.discard()
        headers = {name.lower(): value for name, value in response.headers.items()}
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        return Response(
            status=response.status,
            content_type=content_type,
            body=body,
            headers=headers,
            url=url,
            certificate_ends=certificate_ends,
        )

    def _take(self, route: Route, addresses: list[Any], *, max_idle: float) -> Connection | None:
        if self._connections is None:
            return None
        while (connection := self._connections.take(route, max_idle=max_idle)) is not None:
            if connection.is_usable(addresses):
                return connection
            connection.discard()
        return None

    def _route(self, url: str) -> Route:
        parts = urlsplit(url)
        proxy = self._proxy_for(url)
        return Route(
            provider=self._name,
            scheme=parts.scheme,
            netloc=parts.netloc,
            host=str(parts.hostname),
            port=parts.port or DEFAULT_PORTS[parts.scheme],
            context=self._context(parts.scheme),
            proxy=proxy,
            proxy_context=None if proxy is None else self._context(proxy.scheme),
        )

    def _proxy_for(self, url: str) -> Proxy | None:
        if self._proxy is not None or not self._trust_env:
            written = self._proxy
        else:
            written = select_proxy(url, get_environ_proxies(url))
            if written is not None and "://" not in written:
                written = f"http://{written}"
        try:
            return None if written is None else Proxy.parse(written)
        except ValueError:
            host = urlsplit(url).netloc
            raise ProviderUnavailableError(_proxy_refusal(host, "no address of http or https")) from None

    def _context(self, scheme: str) -> ssl.SSLContext | None:
        return self._trust.context() if scheme == "https" else None


def _failure(
    error: BaseException, route: Route, connection: Connection | None, deadline: Deadline, *, is_kept: bool
) -> ProviderUnavailableError:
    is_past_proxy = route.proxy is None if connection is None else connection.is_past_proxy
    is_sent = connection is not None and connection.is_sent
    failure = ProviderUnavailableError(
        _describe(error, route.netloc, deadline, is_past_proxy=is_past_proxy, is_sent=is_sent)
    )
    failure.is_sent = is_sent
    # A server that stays silent has not closed the connection.
    failure.is_on_kept_connection = is_kept and not isinstance(error, TimeoutError)
    return failure


def _describe(
    error: BaseException, host: str, deadline: Deadline, *, is_past_proxy: bool, is_sent: bool
) -> str:
    # Names the host alone: the path or an exception's text may hold what was sent.
    if not deadline.remaining():
        return f"{host} did not finish its answer within {deadline.timeouts.total:g} seconds: it is too slow"
    if not is_past_proxy:
        cure = ", and ca_bundle" if isinstance(error, ssl.SSLCertVerificationError) else ""
        return _proxy_refusal(host, _reason(error)) + cure
    if isinstance(error, ssl.SSLError):
        reason = _reason(error)
        if is_sent:
            return f"the TLS connection to {host} broke off before the answer was complete ({reason})"
        is_unknown = isinstance(error, ssl.SSLCertVerificationError)
        other = _AUTHORITY_CURE if is_unknown else _OTHER_TLS_CURE
        cure = next((cure for part, cure in _TLS_CURES if part in reason), other)
        return f"the TLS connection to {host} was refused ({reason}): {cure}"
    if isinstance(error, socket.gaierror):
        return f"the name of {host} cannot be looked up: check its spelling, and DNS on this machine"
    if isinstance(error, NoConnectionError):
        if isinstance(error.__cause__, TimeoutError):
            seconds = deadline.timeouts.connect
            return f"no connection to {host} within {seconds:g} seconds: check the firewall, or set proxy"
        return f"no connection to {host} ({_reason(error)}): check that the provider runs there, and the port"
    if isinstance(error, TimeoutError):
        return f"{host} fell silent before its answer was complete: it is too slow"
    if isinstance(error, HTTPException) and not isinstance(error, (IncompleteRead, RemoteDisconnected)):
        return f"the answer of {host} cannot be read ({_reason(error)}): look at the server there and what is before it"
    return f"the connection to {host} broke off before the answer was complete ({_reason(error)})"


def _proxy_refusal(host: str, reason: str) -> str:
    return f"the proxy for {host} cannot be used ({reason}): check proxy, or the environment when trust_env is on"


def _target(request: Request, *, absolute: bool) -> str:
    """Return what stands in the first line of *request*."""
    parts = urlsplit(request.url)
    url = request.url if absolute else f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    return f"{url}{'&' if parts.query else '?'}{request.query}" if request.query else url


def _reason(error: BaseException) -> str:
    """Return the reason in words of this machine: what the other side has said may hold what it was sent."""
    # http.client has no class of its own for too many headers.
    if isinstance(error, (UnreadableAnswerError, LineTooLong)) or type(error) is HTTPException:
        return str(error)
    if isinstance(error, ssl.SSLError):
        return str(getattr(error, "verify_message", None) or error.reason or type(error).__name__)
    cause = error.__cause__ if isinstance(error, NoConnectionError) else error
    return str(getattr(cause, "strerror", None) or type(cause).__name__)
