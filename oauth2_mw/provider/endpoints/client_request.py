"""Requests in which we prove that we are the client, and the errors that answer them (RFC 6749, sections 2.3 and 5.2).

The token endpoint and the revocation endpoint are asked like this. Some providers repeat in an error what they were
sent; whatever is quoted of an answer is quoted without it.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, unquote_plus, urlencode

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.http.documents import DocumentError, read_form, read_object
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown

#: error codes of the standard, and one of GitHub, that mean the same to an operator
_CLIENT_ERRORS = frozenset({"invalid_client", "unauthorized_client", "incorrect_client_credentials"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, as far as it is alike for all such requests."""

    response: Response
    provider: ProviderSettings
    metadata: ProviderMetadata
    #: the endpoint's name in the metadata, for messages
    endpoint: str
    #: what the request proved us by or was about, in all the spellings in which it may come back
    secrets: tuple[str, ...] = field(repr=False)

    def document(self) -> tuple[dict[str, Any], str | None]:
        """The body as an object, from JSON or a form, and what is wrong with it if it is neither."""
        body = self.response.body.strip(b" \t\r\n")
        try:
            if body[:1] in (b"{", b"["):
                return read_object(body), None
        except DocumentError as error:
            return {}, self._hidden(str(error))
        try:
            return dict(read_form(body)), None
        except DocumentError:
            kind = "an HTML page" if "html" in self.response.content_type else "neither JSON nor a form"
            return {}, f"it is {kind}: check {self.endpoint}"

    def quoted(self, value: object) -> str:
        """A value of the answer for a log line, without anything that we had sent."""
        # Before it is cut: the beginning of a secret is part of it.
        return shown(self._hidden(value if isinstance(value, str) else repr(value)))

    def said(self, document: Mapping[str, Any]) -> str:
        """The error that *document* tells, for a log line."""
        error, description = document["error"], document.get("error_description")
        return (
            self.quoted(error) if description is None else f"{self.quoted(error)}, {self.quoted(description)}"
        )

    def check_client(self, document: Mapping[str, Any]) -> None:
        """:raises ProviderError: ``invalid_client`` when the provider does not take us for its client."""
        error = document.get("error")
        if isinstance(error, str) and error in _CLIENT_ERRORS:
            raise self._client_refused(self.said(document))
        if not error and self.response.status == 401:
            raise self._client_refused("HTTP 401")

    def check_up(self) -> None:
        """:raises ProviderUnavailable: when the provider has a fault of its own."""
        status = self.response.status
        if status == 429 or status >= 500:
            raise ProviderUnavailableError(
                f"{self.response.url} was answered with HTTP {status}: the provider has a fault of its own"
            )

    def _hidden(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "[hidden]")
        return text

    def _client_refused(self, said: str) -> ProviderError:
        method, proof = self.provider.client_auth_method, "client_secret"
        if method == "private_key_jwt":
            proof = "client_key (is its public half registered there?), this machine's clock"
        listed = self.metadata.token_endpoint_auth_methods_supported
        hint = f"; the provider offers {shown(' '.join(listed))}" if listed else ""
        return ProviderError(
            f"{self.response.url} refused this client: {said}. Check client_id, {proof} and client_auth_method "
            f"(now {method}{hint})",
            code="invalid_client",
            message="The sign-in service does not accept this application. Please tell its administrator.",
        )


def post_as_client(
    transport: Transport,
    provider: ProviderSettings,
    metadata: ProviderMetadata,
    *,
    endpoint: str,
    body: str,
    limit: int,
    secrets: Iterable[str | None],
    authentication: ClientAuthentication | None,
) -> Answer:
    """One POST, never repeated.

    :param endpoint: its name in the metadata.
    :param body: a form; the fields that authenticate the client are added.
    :param limit: bytes of the answer.
    :param secrets: what in *body* nobody may read in a log.
    :param authentication: how the client proves itself; one that is kept reads the key of the client once.
    :raises ProviderUnavailable: when no answer comes.
    :raises ProviderError: ``metadata`` without that endpoint, and what :class:`ClientAuthentication` and
        :class:`Transport` raise.
    """
    url = metadata.endpoint(endpoint)
    headers, fields = (authentication or ClientAuthentication(provider)).for_request(url)
    if fields:
        body = f"{body}&{urlencode(fields)}"
    response = transport.post_form(url, body=body, limit=limit, headers=headers)
    known = {
        text for secret in (*secrets, *_proofs(headers, fields)) if secret for text in _spellings(secret)
    }
    # The longest first: one may stand within another.
    return Answer(response, provider, metadata, endpoint, tuple(sorted(known, key=len, reverse=True)))


def _proofs(headers: Mapping[str, str], fields: Mapping[str, str]) -> Iterator[str | None]:
    yield fields.get("client_secret")
    yield fields.get("client_assertion")
    basic = headers.get("Authorization", "").removeprefix("Basic ")
    yield basic
    yield unquote_plus(b64decode(basic).decode("ascii").partition(":")[2])


def _spellings(secret: str) -> tuple[str, ...]:
    return secret, quote_plus(secret, errors="replace"), repr(secret)[1:-1]
