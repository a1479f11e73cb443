"""What an application may ask of us while it answers: who may pass, a stronger sign-in, and fresh tokens.

Every request that knows people has in its environ what makes one of these. Few applications ask, so that none is made
until they do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oauth2_mw.access.rules import Rule
from oauth2_mw.identity.person import person_of
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.settings.model import Settings
from oauth2_mw.shared_caches import personal_headers

if TYPE_CHECKING:
    from oauth2_mw.web.site import Site

#: What stays of the application's headers when its 401 becomes a redirect: its body is sent all the same.
_KEPT = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding", "set-cookie"})
#: The environ key of the callable that returns the :class:`GuardedRequest`.
_REQUEST = "oauth2_mw.request"
_Headers = list[tuple[str, str]]
Environ = Mapping[str, Any]


class Gate:
    """What the requests of one application have in common.

    :param site: returns the site of this process.
    """

    def __init__(self, settings: Settings, sessions: SessionManager, site: Callable[[], Site]) -> None:
        self.providers = settings.providers
        self.sessions = sessions
        self.site = site

    def let_in_nobody(self, environ: WSGIEnvironment, current: RequestSession | None) -> None:
        """Let the application ask of us in a request without a session.

        :param current: the cookies of nobody, if there are any.
        """
        script_name, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        environ[_REQUEST] = partial(GuardedRequest, self, script_name, path, current)

    def let_in(
        self, environ: WSGIEnvironment, start_response: StartResponse, current: RequestSession
    ) -> StartResponse:
        """Let the application ask of us, and return the callable by which it begins its response."""
        # The application may move these on its way to the answer.
        script_name, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        has_begun = False
        made: list[GuardedRequest] = []

        # It stands in the environ, and so must not keep hold of that.
        def ask() -> GuardedRequest:
            if not made:
                made.append(GuardedRequest(self, script_name, path, current, has_begun=has_begun))
            # The first, if two threads of the application have just made one each.
            return made[0]

        def start(status: str, headers: _Headers, exc_info: Any = None) -> Callable[[bytes], object]:
            nonlocal has_begun
            has_begun = True
            if made or status.startswith("401"):
                status, headers = ask().begin(environ, status, headers)
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        environ[_REQUEST] = ask
        return start


def guarded_request(environ: Environ) -> GuardedRequest | None:
    """Return the request that an environ is of, or ``None`` where nobody's identity is handed on."""
    ask = environ.get(_REQUEST)
    return ask() if ask is not None else None


class GuardedRequest:
    """One request that reached the application.

    :param path: its ``PATH_INFO``; it and *script_name* as they were when it came.
    :param current: its session, or the cookies of nobody, if there are any.
    :param has_begun: whether the application has begun its response.
    """

    def __init__(
        self,
        gate: Gate,
        script_name: str,
        path: str,
        current: RequestSession | None,
        *,
        has_begun: bool = False,
    ) -> None:
        self._gate = gate
        self._script_name = script_name
        self._path = path
        self._current = self._was = current
        self._has_begun = has_begun

    def require(self, environ: Environ, rule: Rule) -> WSGIApplication | None:
        """Return ``None`` if the person may pass, or else what is to be answered.

        :param environ: as the application has it by now.
        """
        session = self._current.session if self._current is not None else None
        if session is None:
            return self._gate.site().challenge(self._asked(environ), self._current)
        identity = session.identity
        provider = self._gate.providers[identity.provider]
        now = self._gate.sessions.now()
        if rule.lets_pass(person_of(identity, provider)) and rule.is_fresh(
            identity.auth_time, now=now, leeway=provider.leeway
        ):
            return None
        return self._gate.site().refuse(self._asked(environ), self._current, rule)

    def session(self) -> Session | None:
        """Return the session, its tokens refreshed if that is due.

        A session in the cookie is left alone once the response has begun: nothing would bring the new tokens home.

        :raises StoreUnavailableError: when its store cannot be used.
        """
        if self._current is None:
            return None
        can_keep = not (self._has_begun and self._gate.sessions.in_cookies)
        if can_keep and self._gate.sessions.is_refresh_due(self._current):
            self._current = self._gate.site().refresh(self._current)
        return self._current.session

    def begin(self, environ: Environ, status: str, headers: _Headers) -> tuple[str, _Headers]:
        """Return the status and headers with which the response begins in place of the application's."""
        self._has_begun = True
        if status.startswith("401"):
            status, headers = self._step_up(environ, headers) or (status, headers)
        if self._current is not None and self._current is not self._was:
            headers = self._with_new_cookies(headers, self._current)
        return status, headers

    def _asked(self, environ: Environ) -> Environ:
        return {**environ, "SCRIPT_NAME": self._script_name, "PATH_INFO": self._path}

    def _step_up(self, environ: Environ, headers: _Headers) -> tuple[str, _Headers] | None:
        """Return the redirect that takes the place of a 401 which asks for a stronger sign-in, if one can begin."""
        from oauth2_mw.web.signin.step_up import read_challenge

        demand = read_challenge(headers)
        if demand is None or self._current is None:
            return None
        response = self._gate.site().step_up(self._asked(environ), self._current, demand)
        if response is None or response.status_int != 303:
            return None
        own = [
            (name, value) for name, value in response.headerlist if name.lower() not in _KEPT - {"set-cookie"}
        ]
        return response.status, [*(each for each in headers if each[0].lower() in _KEPT), *own]

    def _with_new_cookies(self, headers: _Headers, current: RequestSession) -> _Headers:
        added = self._gate.sessions.renewal.set_cookies(current)
        names = {cookie.partition("=")[0] for cookie in added}
        kept = [
            (name, value)
            for name, value in headers
            if name.lower() != "set-cookie" or value.partition("=")[0] not in names
        ]
        return personal_headers(kept, added, respect=False)
