"""Requests in which the client authenticates, and their error responses (RFC 6749, sections 2.3 and 5.2).

The token endpoint and the revocation endpoint are asked like this. Some providers repeat in an error what they were
sent: log lines quote a response without it.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, unquote_plus, urlencode

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.http.documents import DocumentError, present_members, read_form, read_object
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown

#: two error codes of RFC 6749 and one of GitHub, which all mean the same to an operator
_INVALID_CLIENT_CODES = frozenset({"invalid_client", "unauthorized_client", "incorrect_client_credentials"})
#: what RFC 6749, section 4.1.2.1, has for the authorization response, and some providers say here too
LATER = "temporarily_unavailable"


@dataclass(frozen=True, slots=True)
class AuthenticatedClient:
    """The client at one provider, as it sends authenticated requests."""

    transport: Transport
    metadata: ProviderMetadata
    authentication: ClientAuthentication

    @property
    def provider(self) -> ProviderSettings:
        return self.authentication.provider

    def post(
        self, endpoint: str, *, body: str, limit: int, secrets: Iterable[str | None]
    ) -> EndpointResponse:
        """Send one POST, which is never retried.

        :param endpoint: its name in the metadata.
        :param body: a form, without the fields that authenticate the client.
        :param limit: how many bytes of the response's body are accepted.
        :param secrets: values in *body* that no log may show.
        :raises ProviderUnavailableError: if no response comes.
        :raises ProviderError: ``metadata`` if the provider has no such endpoint, and what
            :meth:`ClientAuthentication.for_request` and :meth:`Transport.post_form` raise.
        """
        url = self.metadata.endpoint(endpoint)
        headers, fields = self.authentication.for_request(url, token_endpoint=self.metadata.token_endpoint)
        if fields:
            body = f"{body}&{urlencode(fields)}"
        response = self.transport.post_form(
            url, body=body, limit=limit, headers=headers, operation=endpoint.removesuffix("_endpoint")
        )
        hidden = all_spellings((*secrets, *_credentials(headers, fields)))
        return EndpointResponse(response, self, endpoint, hidden)


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """A response to an authenticated request."""

    http: Response
    client: AuthenticatedClient
    #: the endpoint's name in the metadata
    endpoint: str
    #: what was sent and no log may show, in all the spellings in which it may come back
    secrets: tuple[str, ...] = field(repr=False)
    #: puts what a dialect says into the words of the specification
    translate: Callable[[Mapping[str, Any]], dict[str, Any]] = dict

    def document(self) -> tuple[dict[str, Any], str | None]:
        """Return the body as an object, from JSON or a form, and ``None``; or an empty object and why it is neither.

        Members without a value are left out.
        """
        body = self.http.body.strip(b" \t\r\n")
        try:
            if body[:1] in (b"{", b"["):
                return self.translate(present_members(read_object(body))), None
        except DocumentError as error:
            return {}, self._redact(str(error))
        try:
            return self.translate(present_members(read_form(body))), None
        except DocumentError:
            kind = "an HTML page" if "html" in self.http.content_type else "neither JSON nor a form"
            return {}, f"it is {kind}: check {self.endpoint}"

    def quote(self, value: object) -> str:
        """Return a value of the response as a log line may show it, without anything secret that was sent."""
        # Redacted before it is cut: the beginning of a secret is secret, too.
        return shown(self._redact(value if isinstance(value, str) else repr(value)))

    def error_text(self, document: Mapping[str, Any]) -> str:
        """Return the ``error`` of *document* and its description, as a log line may show them."""
        members = (document["error"], document.get("error_description"))
        return ", ".join(self.quote(member) for member in members if member is not None)

    def check_available(self, document: Mapping[str, Any]) -> None:
        """Raise ProviderUnavailableError for a fault on the provider's side, if the status or *document* says so."""
        self.http.check_available()
        if document.get("error") == LATER:
            raise ProviderUnavailableError(
                f"{self.http.url} is not available now: {self.error_text(document)}"
            )

    def check_client(self, document: Mapping[str, Any]) -> None:
        """Check that the provider accepted the client's authentication.

        :raises ProviderError: ``invalid_client``.
        """
        error = document.get("error")
        if isinstance(error, str) and error in _INVALID_CLIENT_CODES:
            raise self._client_refused(self.error_text(document))
        if not error and self.http.status == 401:
            raise self._client_refused("HTTP 401")

    def _redact(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "[hidden]")
        return text

    def _client_refused(self, reason: str) -> ProviderError:
        method, proof = self.client.provider.client_auth_method, "client_secret"
        if method == "private_key_jwt":
            proof = "client_key (is its public half registered there?)"
        if method in ("private_key_jwt", "client_secret_jwt"):
            audience = self.client.provider.client_assertion_audience
            proof += f", client_assertion_audience (now {audience}), this machine's clock"
        methods = self.client.metadata.token_endpoint_auth_methods_supported
        hint = f"; the provider offers {shown(' '.join(methods))}" if methods else ""
        proofs = f", {proof} and client_auth_method (now {method}{hint})"
        if self.client.provider.dialect is not None:
            proofs = " and client_secret"
        return ProviderError(
            f"{self.http.url} refused this client: {reason}. Check client_id{proofs}",
            code="invalid_client",
            message="The sign-in service does not accept this application. Please tell its administrator.",
        )


def _credentials(headers: Mapping[str, str], fields: Mapping[str, str]) -> Iterator[str | None]:
    yield fields.get("client_secret")
    yield fields.get("client_assertion")
    basic = headers.get("Authorization", "").removeprefix("Basic ")
    yield basic
    yield unquote_plus(b64decode(basic).decode("ascii").partition(":")[2])


def all_spellings(secrets: Iterable[str | None]) -> tuple[str, ...]:
    """Return what no log may show in all the spellings in which it may come back, for :class:`EndpointResponse`."""
    hidden = {spelling for secret in secrets if secret for spelling in _spellings(secret)}
    # The longest first: one may be part of another.
    return tuple(sorted(hidden, key=len, reverse=True))


def _spellings(secret: str) -> tuple[str, ...]:
    return secret, quote_plus(secret, errors="replace"), repr(secret)[1:-1]
