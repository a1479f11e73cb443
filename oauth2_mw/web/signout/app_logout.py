"""The application's own logout, which ends our session too.

A logout button of an application would sign nobody out: the next request comes with our session, and the application
signs the person in again. So at the addresses of ``app_logout_paths`` its answer is waited for, and when it has signed
the person out we do, too: only when the browser vouches that the request comes from the application or was typed,
because another site must not be able to sign anybody out, whatever the application thinks of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urljoin

from webob import Response

from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.model import Session
from oauth2_mw.settings.app_logout import AppLogout
from oauth2_mw.web.http.held import HeldAnswer
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.signin.challenge import Environ, is_navigation, is_prefetch, is_top_level
from oauth2_mw.web.signout.logout import Logout, is_meant

_HOW = "application"


class AppLogouts:
    """The logout addresses of one application.

    :param origin: that of ``public_url``.
    """

    def __init__(self, addresses: Sequence[AppLogout], logout: Logout, urls: Urls, *, origin: str) -> None:
        self._addresses = addresses
        self._logout = logout
        self._urls = urls
        self._origin = origin

    def may_sign_out(self, environ: Environ) -> bool:
        """Return whether a request is for one of the addresses, and the person means it by the browser's word."""
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "GET")
        if not any(each.path.native == path and each.matches(method) for each in self._addresses):
            return False
        if method == "GET":
            return is_meant(environ)
        site = environ.get("HTTP_SEC_FETCH_SITE")
        vouches = site in ("same-origin", "none") if site is not None else self._is_own(environ)
        return vouches and not is_prefetch(environ)

    def _is_own(self, environ: Environ) -> bool:
        return bool(environ.get("HTTP_ORIGIN") == self._origin)

    @staticmethod
    def is_over(answer: HeldAnswer) -> bool:
        """Return whether the application says that it has signed the person out."""
        return answer.status[:1] in ("2", "3")

    @staticmethod
    def fills_window(environ: Environ) -> bool:
        """Return whether the answer to that request will fill the window, so that it may be a way to the provider."""
        return is_navigation(environ) and is_top_level(environ)

    def leave(
        self, environ: Environ, answer: HeldAnswer, session: Session, current: RequestSession
    ) -> Response:
        """End the session, and go where ``logout/`` would, with the application's redirect for a destination.

        :raises StoreUnavailableError: when the session cannot be ended in its store.
        """
        return self._logout.sign_out(session, current, self._destination(environ, answer), how=_HOW)

    def end(self, session: Session, current: RequestSession) -> list[tuple[str, str]]:
        """End the session, and return the headers with which the browser forgets it.

        :raises StoreUnavailableError: when the session cannot be ended in its store.
        """
        self._logout.end(session, how=_HOW)
        return self._logout.forgetting(current)

    def _destination(self, environ: Environ, answer: HeldAnswer) -> str | None:
        """Return where the application sends the person, if that is a destination of ours."""
        location = dict(_lower(answer.header_lines)).get("location")
        if location is None or not answer.status.startswith("3"):
            return None
        path = environ.get("PATH_INFO", "").encode("latin-1")
        try:
            return self._urls.destination(urljoin(self._urls.public_url + quote(path), location))
        except ValueError:
            return None


def _lower(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers]
