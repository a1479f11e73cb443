"""The one way out to a provider: which addresses are called, how long it may take, how much may come back.

What the bytes mean is for the other modules; how they travel is in ``wire``, which is imported at the first
request and is the only module that knows urllib3. Never a redirect with credentials, never a retry of a POST.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.http.messages import DEFAULT_TIMEOUTS, Response, Timeouts, too_large
from oauth2_mw.settings.addresses import is_exposed, parse_endpoint

if TYPE_CHECKING:
    from oauth2_mw.provider.http.wire import Deadline, HttpClient

_USER_AGENT = "oauth2_mw"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"https": 443, "http": 80}
# gzip or zlib, told apart by their first bytes
_ANY_WINDOW = 47


def endpoint_problem(url: str, *, insecure_http: bool) -> str | None:
    """Why *url* cannot be called, or ``None`` when it can: https, or http on loopback (RFC 6749, 3.2)."""
    try:
        parse_endpoint(url)
    except ValueError as error:
        return str(error)
    if is_exposed(url) and not insecure_http:
        return "plain http is accepted on loopback alone, or with insecure_http = true"
    return None


class Transport:
    """Requests to one provider, under its network settings.

    Holds no connection between requests: a code may be redeemed once and is never sent again, so it must not go
    down a kept connection that the other side has just closed; and nothing is left to break across a fork.

    :param ca_bundle: a file or folder of certificate authorities that replaces the usual ones.
    :param proxy: the URL of a proxy for all requests.
    :param trust_env: whether ``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE`` and the like are obeyed.
    :param insecure_http: whether plain http is accepted off loopback.
    """

    def __init__(
        self,
        *,
        ca_bundle: Path | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        insecure_http: bool = False,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        self._ca_bundle = ca_bundle
        self._proxy = proxy
        self._trust_env = trust_env
        self._timeouts = timeouts
        self.insecure_http = insecure_http

    @cached_property
    def _wire(self) -> HttpClient:
        from oauth2_mw.provider.http.wire import HttpClient

        return HttpClient(
            ca_bundle=self._ca_bundle, proxy=self._proxy, trust_env=self._trust_env, timeouts=self._timeouts
        )

    def get_json(
        self, url: str, *, limit: int, headers: Mapping[str, str] | None = None, redirects: int = 0
    ) -> Response:
        """GET *url*, asking for JSON. Connection failures and 502, 503, 504 are tried twice more.

        :param limit: bytes; a longer body is no answer.
        :param redirects: how many redirects within the same origin are followed; none when *headers* hold
            credentials.
        :raises ProviderUnavailable: when no complete answer comes in time.
        :raises ProviderError: ``answer_too_large``, ``redirect``, ``endpoint`` or ``encoding``.
        """
        self._check(url)
        sent = {"Accept": "application/json", **(headers or {})}
        with self._wire.deadline() as deadline:
            while True:
                response = self._send("GET", url, headers=sent, body=None, limit=limit, deadline=deadline)
                if response.status not in _REDIRECTS or not redirects:
                    return response
                redirects -= 1
                url = self._redirect_target(response)

    def post_form(
        self, url: str, *, body: str, limit: int, headers: Mapping[str, str] | None = None
    ) -> Response:
        """POST an encoded form. Sent once: never retried, never redirected.

        :raises ProviderUnavailable: when no complete answer comes in time.
        :raises ProviderError: ``answer_too_large``, ``endpoint`` or ``encoding``.
        """
        self._check(url)
        sent = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            **(headers or {}),
        }
        with self._wire.deadline() as deadline:
            return self._send(
                "POST", url, headers=sent, body=body.encode("ascii"), limit=limit, deadline=deadline
            )

    def _check(self, url: str) -> None:
        problem = endpoint_problem(url, insecure_http=self.insecure_http)
        if problem is not None:
            raise ProviderError(f"{url[:200]!a} was not called: {problem}", code="endpoint")

    def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        limit: int,
        deadline: Deadline,
    ) -> Response:
        sent = {**headers, "User-Agent": _USER_AGENT, "Accept-Encoding": "identity", "Connection": "close"}
        response = self._wire.send(method, url, headers=sent, body=body, limit=limit, deadline=deadline)
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding in ("", "identity"):
            return response
        return Response(
            status=response.status,
            content_type=response.content_type,
            body=_inflate(response, encoding=encoding, limit=limit),
            headers=response.headers,
            url=url,
        )

    def _redirect_target(self, response: Response) -> str:
        target = urljoin(response.url, response.headers.get("location", ""))
        if endpoint_problem(target, insecure_http=self.insecure_http) is None and _origin(
            urlsplit(target)
        ) == _origin(urlsplit(response.url)):
            return target
        raise ProviderError(
            f"{response.url} redirects to {target[:200]!a}, which is not on the same host and was not called: "
            "set the final address",
            code="redirect",
        )


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _inflate(response: Response, *, encoding: str, limit: int) -> bytes:
    """Undo a compression that we did not ask for, up to *limit* bytes: a kilobyte can hold a megabyte."""
    refusal = ProviderError(
        f"{response.url} sent a body in the encoding {encoding[:40]!a}, though none was asked for",
        code="encoding",
    )
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise refusal
    inflater = zlib.decompressobj(_ANY_WINDOW)
    try:
        body = inflater.decompress(response.body, limit + 1)
    except zlib.error:
        raise refusal from None
    if len(body) > limit:
        raise too_large(response.url, limit)
    if not inflater.eof:
        raise refusal
    return body
