"""What is answered when something fails: one audit line for the operator, one page or document for the client.

What happened inside stays in the log, under the reference that the page shows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from webob import Response

from oauth2_mw.access.rules import Rule
from oauth2_mw.audit import audit
from oauth2_mw.credentials.credential_paths import CredentialPaths
from oauth2_mw.errors import (
    AccessDeniedError,
    CredentialError,
    MethodNotAllowedError,
    NotFoundError,
    OAuth2Error,
    OddPathError,
    SwitchedOffError,
    UnavailableError,
    UnexpectedError,
)
from oauth2_mw.identity.model import Identity
from oauth2_mw.identity.person import shown_person
from oauth2_mw.session.cookie_cache import NO_SESSION, RequestSession
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown
from oauth2_mw.telemetry import count
from oauth2_mw.telemetry import reference as reference_of_request
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.peers import Peers
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.pages.pages import Pages
from oauth2_mw.web.signin import challenge
from oauth2_mw.web.signin.attempt import Attempt
from oauth2_mw.web.signin.challenge import Environ
from oauth2_mw.web.signin.destinations import Destinations

log: logging.Logger = logging.getLogger(__name__)


class Failures:
    """What one application answers when something fails."""

    def __init__(
        self,
        pages: Pages,
        urls: Urls,
        providers: Mapping[str, ProviderSettings],
        *,
        destinations: Destinations,
        serving: CredentialPaths,
        peers: Peers,
    ) -> None:
        self._pages = pages
        self._urls = urls
        self._providers = providers
        self._destinations = destinations
        self._serving = serving
        self._peers = peers

    def service_unavailable(
        self, error: UnavailableError, environ: Environ, *, destination: str | None
    ) -> Response:
        """Answer a request that cannot be judged because what is needed for it cannot be reached.

        :param destination: where the person wants to go.
        """
        if challenge.is_navigation(environ):
            return self.page(error, environ, NO_SESSION, destination=destination)
        reference = self._audit(error, environ)
        return responses.problem(error.status, retry_after=error.retry_after, reference=reference)

    def token_refused(self, environ: Environ, error: OAuth2Error, authorization: str) -> Response:
        """Answer a request to the application whose personal token does not serve.

        :param authorization: the header that carried it.
        """
        reference, address = reference_of_request(), self._peers.client(environ)
        if not isinstance(error, CredentialError):
            audit(
                "token_refused",
                ref=reference,
                code=error.code,
                provider=error.provider,
                address=address,
                detail=error.detail,
            )
        elif not error.is_repeated:
            audit(
                "token_asleep" if error.code == "token_asleep" else "token_refused",
                ref=reference,
                code=error.code,
                provider=error.provider,
                user=error.user,
                username=error.username,
                token=error.token,
                address=address,
                detail=error.detail,
            )
        offer = challenge.token_challenge(environ, self._urls, self._serving, error, authorization)
        return responses.problem(error.status, challenge=offer, detail=error.message, reference=reference)

    def bearer_refused(self, environ: Environ, error: OAuth2Error) -> Response:
        """Answer a request to the application whose access token does not serve."""
        reference = reference_of_request()
        if not error.is_repeated:
            audit(
                "bearer_refused",
                ref=reference,
                code=error.code,
                provider=error.provider,
                user=error.user if isinstance(error, CredentialError) else None,
                username=error.username if isinstance(error, CredentialError | AccessDeniedError) else None,
                address=self._peers.client(environ),
                detail=error.detail,
            )
        offer = challenge.bearer_challenge(self._urls, error)
        return responses.problem(
            error.status,
            retry_after=error.retry_after,
            challenge=offer,
            detail=error.message,
            reference=reference,
        )

    def not_let_pass(
        self,
        environ: Environ,
        current: RequestSession,
        rule: Rule,
        *,
        destination: str | None,
        identity: Identity | None = None,
    ) -> Response:
        """Answer a request to the application that a rule does not let pass.

        :param current: without a session if nobody may pass.
        :param destination: what was requested, as far as a browser may return to it.
        :param identity: who it is, if a token says so and no session.
        """
        if current.session is not None:
            identity = current.session.identity
        error = _not_let_pass(environ, identity, rule)
        if challenge.is_navigation(environ):
            return self.page(error, environ, current, destination=destination)
        if identity is None:
            return self._problem(error, environ)
        return self._problem(
            error, environ, username=identity.username, provider=self._label(identity.provider)
        )

    def refuse(self, error: OAuth2Error, environ: Environ) -> Response:
        """Answer a request that is not even judged."""
        if challenge.is_navigation(environ):
            return self.page(error, environ, NO_SESSION)
        return self._problem(error, environ)

    def foreign_upgrade(self, environ: Environ) -> Response:
        """Refuse a WebSocket that a page of another origin opens with a person's session."""
        error = AccessDeniedError(
            f"a page of {shown(environ.get('HTTP_ORIGIN'))} opens a WebSocket in a person's name: if it is meant, "
            "name its origin in cors_origins",
            code="foreign_origin",
        )
        return self._problem(error, environ)

    def log_unexpected_refresh_error(self, error: Exception, identity: Identity | None) -> None:
        """Log a fault of a request that goes on all the same, with the tokens it came with."""
        reference = reference_of_request()
        unexpected = _unexpected(error, reference)
        audit(
            "refresh_failed", ref=reference, code=unexpected.code, identity=identity, detail=unexpected.detail
        )

    def page(
        self,
        error: Exception,
        environ: Environ,
        current: RequestSession,
        *,
        destination: str | None = None,
        attempt: Attempt | None = None,
        cookies: Iterable[str] = (),
    ) -> Response:
        """Answer a request to one of our own URLs that failed.

        :param destination: where the person wanted to go.
        :param attempt: the attempt to sign in that failed, if it was one.
        :param cookies: ``Set-Cookie`` values that the page carries.
        """
        if isinstance(error, NotFoundError):
            return responses.page(self._pages.not_found(home_url=self._urls.home), status=error.status)
        if isinstance(error, MethodNotAllowedError):
            html = self._pages.not_found(home_url=self._urls.home)
            return responses.method_not_allowed(html, allow=error.allow)
        reference = reference_of_request()
        if not isinstance(error, OAuth2Error):
            error = _unexpected(error, reference)
        provider = attempt.state.provider if attempt is not None else error.provider
        if error.is_repeated:
            # Whoever tries without end must not fill the log as well.
            count("sign_ins", str(provider), error.code)
        else:
            audit(
                "refused" if attempt is None else "login_failed",
                ref=reference,
                code=error.code,
                provider=provider,
                address=self._peers.client(environ),
                detail=error.detail,
            )
        destination = attempt.destination if attempt is not None else destination
        retry_url = self._destinations.login_url(None, destination)
        if isinstance(error, SwitchedOffError):
            html = self._pages.switched_off(reference=reference)
        elif isinstance(error, AccessDeniedError):
            session = current.session
            username = (
                session.identity.username if session is not None and attempt is None else error.username
            )
            known = self._providers.get(provider) if provider is not None and error.has_cure else None
            html = self._pages.denied(
                message=error.message,
                username=username,
                provider=self._label(provider),
                reference=reference,
                account_url=self._destinations.login_url(known.name, destination, another_account=True)
                if known is not None
                else None,
                sign_out_there=known is not None and not known.can_ask_for_account,
                retry_url=retry_url if error.has_cure else None,
                logout_url=self._urls.logout() if session is not None else None,
            )
        else:
            html = self._pages.failure(
                title=error.title,
                message=error.message,
                provider=self._label(provider) or None,
                reference=reference,
                retry_url=None if isinstance(error, OddPathError) else retry_url,
                home_url=self._urls.home,
                hints=error.hints,
            )
        return responses.page(html, status=error.status, cookies=cookies, retry_after=error.retry_after)

    def _problem(self, error: OAuth2Error, environ: Environ, **members: Any) -> Response:
        reference = self._audit(error, environ)
        return responses.problem(error.status, detail=error.message, reference=reference, **members)

    def _audit(self, error: OAuth2Error, environ: Environ) -> str:
        """Note the refusal of a request, and return its reference."""
        reference = reference_of_request()
        audit(
            "refused",
            ref=reference,
            code=error.code,
            provider=error.provider,
            address=self._peers.client(environ),
            detail=error.detail,
        )
        return reference

    def _label(self, provider: str | None) -> str:
        known = self._providers.get(provider) if provider is not None else None
        return known.label if known is not None else ""


def _not_let_pass(
    environ: Environ, identity: Identity | None, rule: Rule
) -> AccessDeniedError | OddPathError:
    method, path = environ.get("REQUEST_METHOD", "GET"), environ.get("PATH_INFO", "")
    request = f"{shown(method)} {shown(path)}"
    if rule.is_odd:
        return OddPathError(
            f"{request}: programs read this path in several ways, and a rule is stricter than a sign-in; if the "
            "application has such paths, name their subtree in odd_paths"
        )
    if identity is None:
        error = AccessDeniedError(
            f"{request}: the rule {rule.text} lets nobody pass",
            code="path_not_allowed",
            message="Nobody may open this address.",
        )
        error.has_cure = False
        return error
    known = shown_person(identity, rule.terms())
    error = AccessDeniedError(
        f"{request}: the rule {rule.text} does not let {shown(identity.username)} pass{known and '; ' + known}",
        code="path_not_allowed",
        message="You are not allowed to open this address.",
    )
    error.provider = identity.provider
    return error


def _unexpected(error: Exception, reference: str) -> UnexpectedError:
    log.error("reference %s: unexpected %s", reference, type(error).__name__, exc_info=error)
    return UnexpectedError(f"unexpected {type(error).__name__}: see the traceback")
