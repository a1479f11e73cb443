"""What is told when something fails: one audit line for the operator, one page or document for who asked.

What happened inside stays in the log, under the reference that the page shows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from webob import Request, Response

from oauth2_mw.errors import (
    AccessDeniedError,
    OAuth2Error,
    ProviderUnavailableError,
    RequestError,
    StoreUnavailableError,
)
from oauth2_mw.observe import audit, new_reference
from oauth2_mw.session.cookie_cache import NO_SESSION, RequestSession
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.pages.pages import STATE_HINTS, Pages
from oauth2_mw.web.signin import challenge
from oauth2_mw.web.signin.attempt import Attempt
from oauth2_mw.web.signin.challenge import Environ
from oauth2_mw.web.signin.login import AttemptLostError, LoginLoopError, SignInDeclinedError

log = logging.getLogger(__name__)

#: Seconds after which a person may try again when something cannot be reached.
RETRY_AFTER = 5


class NotFoundError(OAuth2Error):
    """An address under our prefix at which nothing answers."""

    code = "not_found"
    status = 404
    message = "There is nothing at this address."


class MethodNotAllowedError(OAuth2Error):
    """A method that one of our URLs does not answer (RFC 9110, section 15.5.6)."""

    code = "method_not_allowed"
    status = 405
    message = "This address cannot be used in that way."

    def __init__(self, allow: str) -> None:
        super().__init__(f"only {allow} is answered here")
        self.allow = allow


class MountNotStrippedError(OAuth2Error):
    """One of our own URLs with the mount still before it: an answer sent there would never arrive."""

    code = "mount_left"
    status = 503
    message = "This application is not reachable at the address it was set up for."


def only(request: Request, *methods: str) -> None:
    """Refuse a request with any other method.

    :raises MethodNotAllowed: naming those that are answered.
    """
    if request.method not in methods:
        raise MethodNotAllowedError(", ".join(methods))


class Failures:
    """What one application answers when something fails."""

    def __init__(self, pages: Pages, urls: Urls, providers: Mapping[str, ProviderSettings]) -> None:
        self._pages = pages
        self._urls = urls
        self._providers = providers

    def switched_off(self) -> Response:
        """No provider is enabled: nobody gets in."""
        reference = new_reference()
        audit("refused", ref=reference, code="switched_off", detail="no provider is enabled")
        return responses.page(self._pages.switched_off(reference=reference), status=503)

    def refusal(self, error: OAuth2Error, environ: Environ) -> Response:
        """A request that cannot be judged because what is needed for it is out of reach."""
        if challenge.is_navigation(environ):
            return self.page(error, NO_SESSION)
        reference = new_reference()
        audit("refused", ref=reference, code=error.code, detail=error.detail)
        document = {
            "type": "about:blank",
            "title": "Unavailable",
            "status": error.status,
            "reference": reference,
        }
        return responses.problem(error.status, document, headers={"Retry-After": str(RETRY_AFTER)})

    def passing(self, error: Exception) -> None:
        """What nobody foresaw, on a request that goes on all the same."""
        reference = new_reference()
        unforeseen = _unforeseen(error, reference)
        audit("refresh_failed", ref=reference, code=unforeseen.code, detail=unforeseen.detail)

    def page(
        self,
        error: Exception,
        known: RequestSession,
        *,
        destination: str | None = None,
        attempt: Attempt | None = None,
        cookies: Iterable[str] = (),
    ) -> Response:
        """Whatever went wrong on one of our own URLs.

        :param destination: where the person wanted to go.
        :param attempt: the attempt to sign in that failed, if it was one.
        """
        if isinstance(error, NotFoundError):
            return responses.page(self._pages.not_found(home_url=self._urls.home), status=404)
        if isinstance(error, MethodNotAllowedError):
            html = self._pages.not_found(home_url=self._urls.home)
            return responses.method_not_allowed(html, allow=error.allow)
        reference = new_reference()
        if not isinstance(error, OAuth2Error):
            error = _unforeseen(error, reference)
        provider = attempt.state.provider if attempt is not None else error.provider
        event = "refused" if attempt is None else "login_failed"
        audit(event, ref=reference, provider=provider, code=error.code, detail=error.detail)
        retry = self._urls.login(destination=attempt.destination if attempt is not None else destination)
        if isinstance(error, AccessDeniedError) and not isinstance(error, SignInDeclinedError):
            html = self._pages.denied(
                message=error.message,
                username=None,
                provider=self._providers[provider].label if provider is not None else "",
                reference=reference,
                retry_url=retry,
                logout_url=self._urls.logout() if known.session is not None else None,
            )
        else:
            html = self._pages.failure(
                title=_title(error),
                message=error.message,
                reference=reference,
                retry_url=retry,
                home_url=self._urls.home,
                hints=STATE_HINTS if isinstance(error, (AttemptLostError, LoginLoopError)) else (),
            )
        unreachable = isinstance(error, (ProviderUnavailableError, StoreUnavailableError))
        return responses.page(
            html, status=error.status, cookies=cookies, retry_after=RETRY_AFTER if unreachable else None
        )


def _unforeseen(error: Exception, reference: str) -> OAuth2Error:
    log.error("reference %s: unexpected %s", reference, type(error).__name__, exc_info=error)
    return OAuth2Error(f"unexpected {type(error).__name__}: see the traceback", code="unexpected")


def _title(error: OAuth2Error) -> str:
    if isinstance(error, (ProviderUnavailableError, StoreUnavailableError)):
        return "Not reachable right now"
    if isinstance(error, RequestError):
        return "That did not make sense"
    if isinstance(error, SignInDeclinedError):
        return "Sign-in was cancelled"
    return "Sign-in did not work"
