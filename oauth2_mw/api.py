"""What an application calls: who is signed in and may pass, where to sign in and out, a session with its token."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from oauth2_mw.access.requirement import requirement
from oauth2_mw.errors import OAuth2Error
from oauth2_mw.identity.model import Identity
from oauth2_mw.identity.person import person_of
from oauth2_mw.web.gate import guarded_request
from oauth2_mw.web.http.urls import Urls, own_path

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from requests_oauthlib import OAuth2Session


def get_identity(environ: Mapping[str, Any]) -> Identity | None:
    """Return who is signed in, or ``None`` if nobody is.

    :raises TypeError: for anything but a WSGI environ.
    """
    _check_environ(environ)
    identity: Identity | None = environ.get("oauth2_mw.identity")
    return identity


def login_url(environ: Mapping[str, Any], *, destination: str | None = None) -> str:
    """Return the URL for a link "Sign in", on every path. Without the middleware, in a test, it is the default path.

    :param destination: the path to return to, as the browser sees it; one that leads to another site is left out.
    :raises TypeError: for anything but a WSGI environ.
    """
    urls = _urls(environ)
    if urls is None:
        return own_path("login", mount=environ.get("SCRIPT_NAME", ""), destination=destination)
    return urls.login(destination=urls.destination(destination))


def logout_url(environ: Mapping[str, Any], *, destination: str | None = None) -> str:
    """Return the URL for a link "Sign out"; parameters and errors as with :func:`login_url`."""
    urls = _urls(environ)
    if urls is None:
        return own_path("logout", mount=environ.get("SCRIPT_NAME", ""), destination=destination)
    return urls.logout(destination=urls.destination(destination))


def require(
    environ: Mapping[str, Any],
    *,
    group: str | Iterable[str] | None = None,
    claim: str | Iterable[str] | None = None,
    acr: str | Iterable[str] | None = None,
    max_age: int | None = None,
) -> WSGIApplication | None:
    """Return ``None`` if somebody is signed in who meets each of these, or else a WSGI application to answer with.

    A stranger is sent to sign in (a program gets 401). Who lacks ``acr`` or ``max_age`` alone and opens a page is sent
    to get it, once (RFC 9470); everybody else gets 403.

    :param group: the name of a group, or several of which one suffices.
    :param claim: ``PATH=VALUE`` as in ``[access] rules``, or several of which one suffices. A claim that no setting
        reads may be left out of a session that grows too big: name it in ``[environ]``.
    :param acr: a class of authentication, or several (a list, or with blanks between them) of which one suffices.
    :param max_age: seconds ago at most that the provider may have authenticated the person.
    :raises TypeError, ValueError: for anything but a WSGI environ, and for what can be none of these.
    :raises OAuth2Error: ``nobody_known`` where no identity of ours is handed on: on a public path, for example.
    """
    _check_environ(environ)
    rule = requirement(group=group, claim=claim, acr=acr, max_age=max_age)
    request = guarded_request(environ)
    if request is not None:
        return request.require(environ, rule)
    identity = get_identity(environ)
    if identity is None and _urls(environ) is not None:
        raise OAuth2Error(
            "nobody is known here: this path is public, or the request carries a credential of the application's own; "
            "make the path optional or required in [access] rules",
            code="nobody_known",
        )
    from oauth2_mw.web.http.responses import problem

    if identity is None:
        return problem(401)
    is_fresh = rule.is_fresh(identity.auth_time, now=time.time(), leeway=0)
    return None if is_fresh and rule.lets_pass(person_of(identity, None)) else problem(403)


def authorized_session(environ: Mapping[str, Any]) -> OAuth2Session:
    """Return a ``requests`` session that sends the signed-in user's access token (RFC 6750, section 2.1).

    It needs ``keep_tokens = id access`` (or ``access``); with ``refresh`` a token that is about to end is refreshed.
    Requests go over https; plain http is for this machine alone, whatever the environment says, and raises
    ``oauthlib.oauth2.InsecureTransportError`` elsewhere.

    :raises TypeError: for anything but a WSGI environ.
    :raises OAuth2Error: when nobody is signed in (any more), or no access token was kept.
    """
    _check_environ(environ)
    request = guarded_request(environ)
    session = request.session() if request is not None else environ.get("oauth2_mw.session")
    token = session.tokens.get("access_token") if session is not None else None
    if token is None:
        raise OAuth2Error(
            "no access token: somebody must be signed in, and keep_tokens must name 'access'",
            code="no_access_token",
        )
    from oauth2_mw.provider.endpoints.resource import ResourceSession

    return ResourceSession(token)


def _urls(environ: Mapping[str, Any]) -> Urls | None:
    _check_environ(environ)
    urls = environ.get("oauth2_mw.urls")
    return urls if isinstance(urls, Urls) else None


def _check_environ(environ: object) -> None:
    if not isinstance(environ, Mapping):
        raise TypeError(
            f"the WSGI environ is wanted, and not {type(environ).__name__}: pass request.environ (Flask, Pyramid, "
            "Bottle, WebOb) or request.META (Django)"
        )
