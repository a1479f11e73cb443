"""The words of a provider for what OAuth 2.0 has words of its own for, and its responses in those of the specification.

Errors come with HTTP 200 as well. A response that holds an error is an error, whatever else it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from oauth2_mw.errors import ProviderError, ProviderUnavailableError, TokenError
from oauth2_mw.provider.endpoints.client_request import (
    LATER,
    AuthenticatedClient,
    EndpointResponse,
    all_spellings,
)
from oauth2_mw.provider.endpoints.token import GrantType, TokenResponse, read_token_response
from oauth2_mw.provider.endpoints.userinfo import as_claims, read_resource
from oauth2_mw.provider.http.documents import DocumentError, present_members, read_object
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.settings.text import shown

#: The members of a token response where they have the names of RFC 6749, section 5.1.
TOKEN_MEMBERS: Mapping[str, str] = MappingProxyType(
    {name: name for name in ("access_token", "refresh_token", "expires_in", "token_type")}
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a provider calls things."""

    #: the member that holds the code of an error; it is missing, or 0, where there is none
    error: str
    #: the member that says in words what is wrong
    description: str
    #: code of an error -> what RFC 6749, section 5.2, calls it, or :data:`LATER` if it passes by itself
    meanings: Mapping[str, str]
    #: name -> the one of RFC 6749, section 5.1; other members of a token response are not read
    names: Mapping[str, str] = field(default_factory=lambda: TOKEN_MEMBERS)
    #: the members of a token response that are claims about the person
    claims: tuple[str, ...] = ()

    def translate(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members of a token response under their standard names, an error among them."""
        names = {**self.names, **{name: name for name in self.claims}}
        members = {names[name]: value for name, value in document.items() if name in names}
        return members | self.error_in(document)

    def error_in(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``error`` and ``error_description`` of *document*; nothing if it holds no error."""
        code = document.get(self.error)
        if code is None or code == "0" or (type(code) is int and code == 0):
            return {name: document[name] for name in ("error", "error_description") if name in document}
        text = code if isinstance(code, str) else repr(code)
        said = document.get(self.description, document.get("error_description"))
        description = f"{self.error} {text}" if said is None else f"{self.error} {text}: {said}"
        return {"error": self.meanings.get(text, text), "error_description": description}

    def read_tokens(
        self, http: Response, client: AuthenticatedClient, grant_type: GrantType, *, secrets: Iterable[str]
    ) -> TokenResponse:
        """Check a token response.

        :param secrets: what was sent and no log may show.
        :raises ProviderUnavailableError, ProviderError: as
            :func:`~oauth2_mw.provider.endpoints.token.read_token_response`.
        """
        response = self.response(http, client, "token_endpoint", secrets=secrets)
        tokens = read_token_response(response, grant_type)
        document, _ = response.document()
        return replace(tokens, claims=self.claims_in(document))

    def response(
        self, http: Response, client: AuthenticatedClient, endpoint: str, *, secrets: Iterable[str]
    ) -> EndpointResponse:
        """Return a response in the words of the specification."""
        return EndpointResponse(http, client, endpoint, all_spellings(secrets), self.translate)

    def claims_in(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the claims of a translated response."""
        return MappingProxyType({name: document[name] for name in self.claims if name in document})

    def read_userinfo(self, response: Response, *, secrets: Iterable[str]) -> dict[str, Any]:
        """Return the members of a userinfo response.

        :param secrets: what was sent and no log may show.
        :raises ProviderUnavailableError: if the provider cannot answer now.
        :raises ProviderError: ``userinfo_refused`` for an error, ``userinfo`` for a response that is not an object.
        """
        response.check_available()
        try:
            document = present_members(read_object(response.body))
        except DocumentError:
            document = {}
        error = self.error_in(document)
        if error:
            said = str(error.get("error_description", error.get("error")))
            for spelling in all_spellings(secrets):
                said = said.replace(spelling, "[hidden]")
            if error.get("error") == LATER:
                raise ProviderUnavailableError(f"{response.url} is not available now: {shown(said)}")
            raise ProviderError(f"{response.url} refused: {shown(said)}", code="userinfo_refused")
        return as_claims(read_resource(response), url=response.url)


def client_secret(client: AuthenticatedClient, url: str) -> str:
    """Return the secret of *client*, which no dialect takes in the place that the specification has for it.

    :raises ProviderError: ``client_secret`` if it cannot be read.
    """
    _, fields = client.authentication.for_request(url)
    return fields["client_secret"]


def rename_parameters(url: str, names: Mapping[str, str | None]) -> str:
    """Return *url* with parameters of its query under other names; those that have none are left out."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    renamed = [
        (new, value)
        for name, value in pairs
        if name not in names.values() and (new := names.get(name, name)) is not None
    ]
    return parts._replace(query=urlencode(renamed)).geturl()


def check_same_person(claims: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of both, which must agree wherever both have one.

    :param claims: those of userinfo.
    :param known: those that came with the access token with which it was asked.
    :raises TokenError: ``subject_changed`` if they do not.
    """
    for name, value in known.items():
        if claims.get(name, value) != value:
            raise TokenError(
                f"the access token came with another {name} than userinfo has", code="subject_changed"
            )
    return {**claims, **known}
