"""The request that the browser carries to the provider: what it asks for, and what nobody else can set in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from oauth2_mw.encoding import base64url
from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown


def authorization_url(
    provider: ProviderSettings,
    metadata: ProviderMetadata,
    *,
    redirect_uri: str,
    state: str,
    nonce: str,
    code_verifier: str,
    login_hint: str | None,
) -> str:
    """Where to send the browser (RFC 6749, section 4.1.1; OpenID Connect Core, section 3.1.2.1).

    :raises ProviderError: ``metadata`` without an authorization endpoint; ``pkce`` when the provider has none that
        serves.
    """
    from requests_oauthlib import OAuth2Session

    parameters = _parameters(provider, nonce=nonce, login_hint=login_hint)
    if provider.pkce:
        _check_pkce(metadata)
        parameters["code_challenge"] = base64url(hashlib.sha256(code_verifier.encode("ascii")).digest())
        parameters["code_challenge_method"] = "S256"
    ours = {"response_type", "client_id", "redirect_uri", "scope", "state", *parameters}
    endpoint = _with_query(metadata.endpoint("authorization_endpoint"), provider.auth_params, without=ours)
    session = OAuth2Session(provider.client_id, scope=list(provider.scope) or None, redirect_uri=redirect_uri)
    # oauthlib refuses every http address, loopback included; this one has been judged already.
    scheme, _, rest = endpoint.partition(":")
    url: str = session.authorization_url(f"https:{rest}", state=state, **parameters)[0]
    return scheme + url.removeprefix("https")


def _parameters(provider: ProviderSettings, *, nonce: str, login_hint: str | None) -> dict[str, str]:
    optional = {
        "nonce": nonce if provider.is_oidc else None,
        # Left out, it means the query (OAuth 2.0 Multiple Response Types, section 2.1).
        "response_mode": None if provider.response_mode == "query" else provider.response_mode,
        "prompt": provider.prompt,
        # As a text: oauthlib leaves out the number 0, which asks for a fresh sign-in.
        "max_age": None if provider.max_age is None else str(provider.max_age),
        "acr_values": " ".join(provider.acr_values),
        "ui_locales": provider.ui_locales,
        "login_hint": login_hint,
    }
    return {name: value for name, value in optional.items() if value}


def _check_pkce(metadata: ProviderMetadata) -> None:
    offered = metadata.code_challenge_methods_supported
    if offered is not None and "S256" not in offered:
        raise ProviderError(
            f"the provider offers PKCE with {shown(' '.join(offered))} and not with S256: set pkce = off",
            code="pkce",
        )


def _with_query(url: str, parameters: Mapping[str, str], *, without: set[str]) -> str:
    """*url* with its own query and *parameters*; what we set ourselves is set once (RFC 6749, 3.1)."""
    parts = urlsplit(url)
    written = [*parse_qsl(parts.query, keep_blank_values=True), *parameters.items()]
    kept = [(name, value) for name, value in written if name not in without]
    return parts._replace(query=urlencode(kept)).geturl()
