"""What an application may ask of us while it answers: who may pass, a stronger sign-in, and fresh tokens.

Every request that knows people has one of these in its environ. It costs little until it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oauth2_mw.access.rules import Rule
from oauth2_mw.identity.person import person_of
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.settings.model import ProviderSettings, Settings
from oauth2_mw.shared_caches import FinishHeaders, Headers, personal_headers

if TYPE_CHECKING:
    from oauth2_mw.web.site import Site

#: What stays of the application's headers when its 401 becomes a redirect: its body is sent all the same.
_KEPT = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding", "set-cookie"})
#: The environ key of the :class:`GuardedRequest`.
_REQUEST = "oauth2_mw.request"
Environ = Mapping[str, Any]


class Gate:
    """What the requests of one application have in common.

    :param site: returns the site of this process.
    """

    def __init__(self, settings: Settings, sessions: SessionManager, site: Callable[[], Site]) -> None:
        self.providers: Mapping[str, ProviderSettings] = settings.providers
        self.sessions = sessions
        self.site = site
        self.respect_caching = settings.shared_caches == "respect"  # type: bool

    def let_in(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        current: RequestSession,
        script_name: str,
        path: str,
        *,
        renew: FinishHeaders | None = None,
    ) -> StartResponse:
        """Let the application ask of us, and return the callable by which it begins its response to a person.

        :param script_name, path: where the request came, as for :meth:`guard`.
        :param renew: makes of its headers those of a person's response which renew their cookie, if that is due.
        """
        request = self.guard(environ, current, script_name, path)

        def start(status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
            request.has_begun = True
            if renew is None:
                headers = personal_headers(headers, respect=request.gate.respect_caching)
            else:
                headers = renew(headers)
            # Of these one alone matters, 401. Few responses are errors, and to compare costs less than to ask for it.
            if request.refreshed is not None or status >= "4":
                status, headers = request.begin(environ, status, headers)
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        return start

    def guard(
        self, environ: WSGIEnvironment, current: RequestSession | None, script_name: str, path: str
    ) -> GuardedRequest:
        """Let the application ask of us.

        :param current: the session of the request, or the cookies of nobody, if there are any.
        :param script_name, path: ``SCRIPT_NAME`` and ``PATH_INFO``, which the application may move on its way to the
            answer.
        """
        # Filled here: in every request the call of a constructor would show.
        request = environ[_REQUEST] = GuardedRequest()
        request.gate = self
        request.current = current
        request.refreshed = None
        request.has_begun = False
        request.script_name = script_name
        request.path = path
        return request


def guarded_request(environ: Environ) -> GuardedRequest | None:
    """Return the request that an environ is of, or ``None`` where nobody's identity is handed on."""
    request = environ.get(_REQUEST)
    return request if isinstance(request, GuardedRequest) else None


class GuardedRequest:
    """One request that reached the application. It stands in its environ, and so must not keep hold of that."""

    __slots__ = ("current", "gate", "has_begun", "path", "refreshed", "script_name")

    gate: Gate
    #: as they were when the request came
    script_name: str
    path: str
    #: its session, or the cookies of nobody, if there are any
    current: RequestSession | None
    #: its session with new tokens, which the application asked for
    refreshed: RequestSession | None
    #: whether the application has begun its response
    has_begun: bool

    def require(self, environ: Environ, rule: Rule) -> WSGIApplication | None:
        """Return ``None`` if the person may pass, or else what is to be answered.

        :param environ: as the application has it by now.
        """
        session = self.current.session if self.current is not None else None
        if session is None:
            return self.gate.site().challenge(self._asked(environ), self.current)
        identity = session.identity
        provider = self.gate.providers[identity.provider]
        now = self.gate.sessions.now()
        if rule.lets_pass(person_of(identity, provider)) and rule.is_fresh(
            identity.auth_time, now=now, leeway=provider.leeway
        ):
            return None
        return self.gate.site().refuse(self._asked(environ), self.current, rule)

    def session(self) -> Session | None:
        """Return the session, its tokens refreshed if that is due.

        A session in the cookie is left alone once the response has begun: nothing would bring the new tokens home.

        :raises RefreshUnderWayError: when its access token has ended, and another request is getting a new one.
        :raises StoreUnavailableError: when its store cannot be used.
        """
        if self.current is None:
            return None
        can_keep = not (self.has_begun and self.gate.sessions.in_cookies)
        if can_keep and self.gate.sessions.is_refresh_due(self.current):
            self.current = self.refreshed = self.gate.site().refresh(self.current, for_token=True)
        return self.current.session

    def begin(self, environ: Environ, status: str, headers: Headers) -> tuple[str, Headers]:
        """Return the status and headers with which the response begins in place of the application's."""
        if status.startswith("401"):
            status, headers = self._step_up(environ, headers) or (status, headers)
        if self.refreshed is not None:
            headers = self._with_new_cookies(headers, self.refreshed)
        return status, headers

    def _asked(self, environ: Environ) -> Environ:
        return {**environ, "SCRIPT_NAME": self.script_name, "PATH_INFO": self.path}

    def _step_up(self, environ: Environ, headers: Headers) -> tuple[str, Headers] | None:
        """Return the redirect that takes the place of a 401 which asks for a stronger sign-in, if one can begin."""
        from oauth2_mw.web.signin.step_up import read_challenge

        demand = read_challenge(headers)
        if demand is None or self.current is None:
            return None
        response = self.gate.site().step_up(self._asked(environ), self.current, demand)
        if response is None or response.status_int != 303:
            return None
        own = [
            (name, value) for name, value in response.headerlist if name.lower() not in _KEPT - {"set-cookie"}
        ]
        return response.status, [*(each for each in headers if each[0].lower() in _KEPT), *own]

    def _with_new_cookies(self, headers: Headers, current: RequestSession) -> Headers:
        added = self.gate.sessions.renewal.set_cookies(current)
        names = {cookie.partition("=")[0] for cookie in added}
        kept = [
            (name, value)
            for name, value in headers
            if name.lower() != "set-cookie" or value.partition("=")[0] not in names
        ]
        return personal_headers(kept, added, respect=False)
