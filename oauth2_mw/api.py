"""What an application calls: who is signed in, where to sign in and out, an HTTP session with the access token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from oauth2_mw.errors import OAuth2Error
from oauth2_mw.identity.model import Identity
from oauth2_mw.web.http.urls import Urls

if TYPE_CHECKING:
    from requests_oauthlib import OAuth2Session


def get_identity(environ: Mapping[str, Any]) -> Identity | None:
    """Return who is signed in, or ``None`` if nobody is."""
    identity: Identity | None = environ.get("oauth2_mw.identity")
    return identity


def login_url(environ: Mapping[str, Any], *, destination: str | None = None) -> str:
    """Return the URL for a link "Sign in".

    :param destination: the path to return to, as the browser sees it; one that leads to another site is left out.
    :raises OAuth2Error: when the middleware did not see this request.
    """
    urls = _urls(environ)
    return urls.login(destination=urls.destination(destination))


def logout_url(environ: Mapping[str, Any], *, destination: str | None = None) -> str:
    """Return the URL for a link "Sign out"; parameters and errors as with :func:`login_url`."""
    urls = _urls(environ)
    return urls.logout(destination=urls.destination(destination))


def authorized_session(environ: Mapping[str, Any]) -> OAuth2Session:
    """Return a ``requests`` session that sends the signed-in user's access token (RFC 6750, section 2.1).

    It needs ``keep_tokens = id access`` (or ``access``). Requests go over https; plain http is for this machine alone,
    whatever the environment says, and raises ``oauthlib.oauth2.InsecureTransportError`` elsewhere.

    :raises OAuth2Error: when nobody is signed in, or no access token was kept.
    """
    session = environ.get("oauth2_mw.session")
    token = session.tokens.get("access_token") if session is not None else None
    if token is None:
        raise OAuth2Error(
            "no access token: somebody must be signed in, and keep_tokens must name 'access'",
            code="no_access_token",
        )
    from oauth2_mw.provider.endpoints.resource import ResourceSession

    return ResourceSession(token)


def _urls(environ: Mapping[str, Any]) -> Urls:
    urls = environ.get("oauth2_mw.urls")
    if not isinstance(urls, Urls):
        raise OAuth2Error(
            "this request did not come through OAuth2Middleware, or is to a public path", code="no_urls"
        )
    return urls
