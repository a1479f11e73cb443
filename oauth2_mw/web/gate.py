"""What an application may ask of us while it answers: who may pass, a stronger sign-in, and fresh tokens.

Every request that knows people has one of these in its environ. It costs little until it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIApplication

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


class GuardedRequest:
    """One request that reached the application. It stands in its environ, and so must not keep hold of that.

    :param current: its session, or the cookies of nobody.
    """

    __slots__ = ("_gate", "_has_begun", "_path", "_script_name", "_was", "current")

    def __init__(self, gate: Gate, environ: Environ, current: RequestSession | None) -> None:
        self._gate = gate
        # The application may move these on its way to the answer.
        self._script_name = environ.get("SCRIPT_NAME", "")
        self._path = environ.get("PATH_INFO", "")
        self.current = self._was = current
        self._has_begun = False

    def require(self, environ: Environ, rule: Rule) -> WSGIApplication | None:
        """Return ``None`` if the person may pass, or else what is to be answered.

        :param environ: as the application has it by now.
        """
        session = self.current.session if self.current is not None else None
        if session is None:
            return self._gate.site().challenge(self._asked(environ), self.current)
        identity = session.identity
        provider = self._gate.providers[identity.provider]
        now = self._gate.sessions.now()
        if rule.lets_pass(person_of(identity, provider)) and rule.is_fresh(
            identity.auth_time, now=now, leeway=provider.leeway
        ):
            return None
        return self._gate.site().refuse(self._asked(environ), self.current, rule)

    def session(self) -> Session | None:
        """Return the session, its tokens refreshed if that is due.

        A session in the cookie is left alone once the response has begun: nothing would bring the new tokens home.

        :raises StoreUnavailableError: when its store cannot be used.
        """
        if self.current is None:
            return None
        can_keep = not (self._has_begun and self._gate.sessions.in_cookies)
        if can_keep and self._gate.sessions.is_refresh_due(self.current):
            self.current = self._gate.site().refresh(self.current)
        return self.current.session

    def watch(self, environ: Environ, start_response: StartResponse) -> StartResponse:
        """Return the callable by which the application begins its response."""

        def start(status: str, headers: _Headers, exc_info: Any = None) -> Callable[[bytes], object]:
            self._has_begun = True
            if status.startswith("401"):
                status, headers = self._step_up(environ, headers) or (status, headers)
            if self.current is not None and self.current is not self._was:
                headers = self._with_new_cookies(headers, self.current)
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        return start

    def _asked(self, environ: Environ) -> Environ:
        return {**environ, "SCRIPT_NAME": self._script_name, "PATH_INFO": self._path}

    def _step_up(self, environ: Environ, headers: _Headers) -> tuple[str, _Headers] | None:
        """Return the redirect that takes the place of a 401 which asks for a stronger sign-in, if one can begin."""
        from oauth2_mw.web.signin.step_up import read_challenge

        demand = read_challenge(headers)
        if demand is None or self.current is None:
            return None
        response = self._gate.site().step_up(self._asked(environ), self.current, demand)
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
