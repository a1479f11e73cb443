"""The authorization endpoint: the request that the browser carries there (RFC 6749, section 4.1.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from oauth2_mw.encoding import base64url
from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.demand import Demand
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.settings.model import BROWSER_LANGUAGES, ProviderSettings
from oauth2_mw.settings.text import shown


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """The parameters that differ from one sign-in to the next."""

    redirect_uri: str
    state: str = field(repr=False)
    #: for OpenID providers (OpenID Connect Core, section 3.1.2.1)
    nonce: str = field(repr=False)
    #: RFC 7636, section 4.1
    code_verifier: str = field(repr=False)
    login_hint: str | None = field(repr=False)
    #: language tags (BCP 47) that the person reads, the most wanted first
    languages: tuple[str, ...]
    #: whether the provider may show the person a page in spite of ``prompt = none``
    interactive: bool
    demand: Demand


def authorization_url(
    provider: ProviderSettings, metadata: ProviderMetadata, request: AuthorizationRequest
) -> str:
    """Return the URL to send the browser to (RFC 6749, section 4.1.1; OpenID Connect Core, section 3.1.2.1).

    :raises ProviderError: ``metadata`` without an authorization endpoint; ``pkce`` if the provider does not offer S256.
    """
    from oauthlib.oauth2 import WebApplicationClient

    parameters = _parameters(provider, metadata, request)
    if provider.pkce:
        _check_pkce(metadata)
        challenge = hashlib.sha256(request.code_verifier.encode("ascii")).digest()
        parameters |= {"code_challenge": base64url(challenge), "code_challenge_method": "S256"}
    reserved = {"response_type", "client_id", "redirect_uri", "scope", "state", *parameters}
    endpoint = _with_query(
        metadata.endpoint("authorization_endpoint"), provider.auth_params, without=reserved
    )
    # oauthlib refuses every http address, even on loopback; this one was checked already.
    scheme, _, address = endpoint.partition(":")
    url: str = WebApplicationClient(provider.client_id).prepare_request_uri(
        f"https:{address}",
        redirect_uri=request.redirect_uri,
        scope=list(provider.scope) or None,
        state=request.state,
        **parameters,
    )
    return scheme + url.removeprefix("https")


def _parameters(
    provider: ProviderSettings, metadata: ProviderMetadata, request: AuthorizationRequest
) -> dict[str, str]:
    optional = {
        "nonce": request.nonce if provider.is_oidc else None,
        # The default for the code flow (OAuth 2.0 Multiple Response Types, section 2.1).
        "response_mode": None if provider.response_mode == "query" else provider.response_mode,
        "prompt": _prompt(provider, metadata, request),
        # As a text: oauthlib leaves out the number 0, which asks for a new sign-in.
        "max_age": _max_age(provider.max_age, request.demand.max_age),
        "acr_values": " ".join(request.demand.acr_values or provider.acr_values),
        "ui_locales": " ".join(request.languages)
        if provider.ui_locales == BROWSER_LANGUAGES
        else provider.ui_locales,
        "login_hint": request.login_hint,
    }
    return {name: value for name, value in optional.items() if value}


def _max_age(*ages: int | None) -> str | None:
    written = [age for age in ages if age is not None]
    return str(min(written)) if written else None


def _prompt(
    provider: ProviderSettings, metadata: ProviderMetadata, request: AuthorizationRequest
) -> str | None:
    """Return ``prompt``: the one of the settings, and beside it that by which the person chooses an account."""
    if request.demand.asks_anew:
        return "login"
    if not request.demand.another_account:
        interactive = request.interactive or request.demand.is_step_up
        return None if interactive and provider.prompt == "none" else provider.prompt
    written = [word for word in (provider.prompt or "").split() if word != "none"]
    if provider.selects_account or "select_account" in (metadata.prompt_values_supported or ()):
        written.insert(0, "select_account")
    elif provider.is_oidc:
        written.insert(0, "login")
    return " ".join(dict.fromkeys(written))


def _check_pkce(metadata: ProviderMetadata) -> None:
    methods = metadata.code_challenge_methods_supported
    if methods is not None and "S256" not in methods:
        raise ProviderError(
            f"the provider offers PKCE with {shown(' '.join(methods))} and not with S256: set pkce = off",
            code="pkce",
        )


def _with_query(url: str, parameters: Mapping[str, str], *, without: set[str]) -> str:
    """Return *url* with *parameters* added to its query, but none named in *without* (RFC 6749, section 3.1).

    One that stands in both comes once, as in *parameters*.
    """
    parts = urlsplit(url)
    own = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in parameters]
    query = urlencode([(name, value) for name, value in (*own, *parameters.items()) if name not in without])
    return parts._replace(query=query).geturl()
