"""Requests to a provider: which addresses are called, how long they may take, how much is read.

Redirects are never followed with credentials, and a POST is never retried. The bytes travel by ``http_client``, which
is imported at the first request.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.http.call_gate import CallGate
from oauth2_mw.provider.http.kept_connections import KeptConnections
from oauth2_mw.provider.http.messages import DEFAULT_TIMEOUTS, Request, Response, Timeouts, too_large
from oauth2_mw.settings.addresses import DEFAULT_PORTS, is_exposed, parse_endpoint

if TYPE_CHECKING:
    from oauth2_mw.provider.http.deadline import Deadline
    from oauth2_mw.provider.http.http_client import HttpClient

_USER_AGENT = "oauth2_mw"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Has zlib read gzip as well as zlib, told apart by their first bytes.
_ANY_WINDOW = 47


def endpoint_problem(url: str, *, insecure_http: bool) -> str | None:
    """Return why *url* may not be called, or ``None`` if it may: https, or http on loopback (RFC 6749, section 3.2)."""
    try:
        parse_endpoint(url)
    except ValueError as error:
        return str(error)
    if is_exposed(url) and not insecure_http:
        return "plain http is accepted on loopback alone, or with insecure_http = true"
    return None


class Transport:
    """Sends requests to one provider, under its network settings.

    A code and a refresh token serve once and are never sent again: they go down no connection that has been idle for
    long, which the other side may be closing, and a failure says whether they may have left.

    :param name: the NAME of the provider.
    :param gate: the way to it, shared by all who call it; one of its own if left out.
    :param ca_bundle: a file or folder of certificate authorities that replaces the usual ones.
    :param proxy: the URL of a proxy for all requests.
    :param trust_env: whether ``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE`` and the like are obeyed.
    :param insecure_http: whether plain http is accepted off loopback.
    :param connections: where connections wait for their next request, shared by all who call; ``None`` if each request
        is to have one of its own.
    """

    def __init__(
        self,
        *,
        name: str = "",
        gate: CallGate | None = None,
        ca_bundle: Path | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        insecure_http: bool = False,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        connections: KeptConnections[Any] | None = None,
    ) -> None:
        self._name = name
        self._gate = gate or CallGate(name)
        self._ca_bundle = ca_bundle
        self._proxy = proxy
        self._trust_env = trust_env
        self._timeouts = timeouts
        self._connections = connections
        self.insecure_http = insecure_http

    @cached_property
    def _client(self) -> HttpClient:
        from oauth2_mw.provider.http.http_client import HttpClient

        return HttpClient(
            name=self._name,
            gate=self._gate,
            ca_bundle=self._ca_bundle,
            proxy=self._proxy,
            trust_env=self._trust_env,
            connections=self._connections,
        )

    def get_json(
        self,
        url: str,
        *,
        limit: int,
        headers: Mapping[str, str] | None = None,
        redirects: int = 0,
        operation: str = "userinfo",
    ) -> Response:
        """GET *url*, asking for JSON. Failures to connect and the statuses 502, 503 and 504 are retried twice.

        :param limit: how many bytes of the body are accepted.
        :param redirects: how many redirects within the same origin are followed; 0 if *headers* hold credentials.
        :param operation: what is asked for, in one word, for metrics.
        :raises ProviderUnavailableError: if no complete response comes in time.
        :raises ProviderError: ``answer_too_large``, ``redirect``, ``endpoint`` or ``encoding``.
        """
        request = self._request(
            "GET", url, headers={"Accept": "application/json", **(headers or {})}, body=None, limit=limit
        )
        request = replace(request, operation=operation)
        deadline = self._deadline()
        while True:
            response = self._send(request, deadline)
            if response.status not in _REDIRECTS or not redirects:
                return response
            redirects -= 1
            request = replace(request, url=self._redirect_target(response))

    def get_hiding_query(self, url: str, *, query: Mapping[str, str], limit: int) -> Response:
        """GET *url* once, asking for JSON, with a query that no log and no error shows: neither retried nor redirected.

        For providers that take secrets in no other place.

        :param query: is added to that of *url*.
        :raises ProviderUnavailableError: if no complete response comes in time.
        :raises ProviderError: ``answer_too_large``, ``endpoint`` or ``encoding``.
        """
        request = self._request("GET", url, headers={"Accept": "application/json"}, body=None, limit=limit)
        return self._send(replace(request, query=urlencode(query, errors="replace")), self._deadline())

    def post_form(
        self,
        url: str,
        *,
        body: str,
        limit: int,
        headers: Mapping[str, str] | None = None,
        operation: str = "token",
    ) -> Response:
        """POST a form once: neither retried nor redirected.

        :param body: the form, ``application/x-www-form-urlencoded``.
        :param limit: how many bytes of the response's body are accepted.
        :param operation: what is asked for, in one word, for metrics.
        :raises ProviderUnavailableError: if no complete response comes in time.
        :raises ProviderError: ``answer_too_large``, ``endpoint`` or ``encoding``.
        """
        return self._post(
            url,
            body=body.encode("ascii"),
            content_type="application/x-www-form-urlencoded",
            limit=limit,
            headers=headers or {},
            operation=operation,
        )

    def post_json(self, url: str, *, members: Mapping[str, str], limit: int) -> Response:
        """POST a JSON object once, as :meth:`post_form` does with a form; it raises the same errors."""
        body = json.dumps(members).encode("ascii")
        return self._post(
            url, body=body, content_type="application/json; charset=utf-8", limit=limit, headers={}
        )

    def _post(
        self,
        url: str,
        *,
        body: bytes,
        content_type: str,
        limit: int,
        headers: Mapping[str, str],
        operation: str = "token",
    ) -> Response:
        own = {"Accept": "application/json", "Content-Type": content_type}
        request = self._request("POST", url, headers={**own, **headers}, body=body, limit=limit)
        request = replace(request, operation=operation)
        return self._send(request, self._deadline())

    def _request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Request:
        problem = endpoint_problem(url, insecure_http=self.insecure_http)
        if problem is not None:
            raise ProviderError(f"{url[:200]!a} was not called: {problem}", code="endpoint")
        fixed = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
        if self._connections is None:
            fixed["Connection"] = "close"
        return Request(method, url, headers={**headers, **fixed}, body=body, limit=limit)

    def _deadline(self) -> Deadline:
        return self._client.deadline(self._timeouts)

    def _send(self, request: Request, deadline: Deadline) -> Response:
        response = self._client.send(request, deadline)
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding in ("", "identity"):
            return response
        return replace(response, body=_inflate(response, encoding=encoding, limit=request.limit))

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
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)


def _inflate(response: Response, *, encoding: str, limit: int) -> bytes:
    """Decompress a body, although no compression was asked for, up to *limit* bytes: a kilobyte can hold a megabyte."""
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
