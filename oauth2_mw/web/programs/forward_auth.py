"""``auth``: whether a proxy may let a request pass, by the rules that hold for the application itself.

For nginx (``auth_request``), Caddy (``forward_auth``) and Traefik (``forwardAuth``). The request is judged by the
middleware as if it had come here, in front of an application that only tells who it is. The proxy is answered 200, 401,
403 or 503; with ``auth?redirect`` a person who is to sign in gets a 303, which Caddy and Traefik pass on.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from http import HTTPStatus
from types import MappingProxyType
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from webob import Request, Response

from oauth2_mw.errors import ForwardAuthError, LoginLoopError, OddPathError, StoreUnavailableError
from oauth2_mw.identity.environ import HIDDEN_AUTHORIZATION, EnvironWriter
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.web.failures import Failures
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.programs.original_request import OriginalRequest, OriginalRequests
from oauth2_mw.web.signin.attempt import Attempts
from oauth2_mw.web.signin.challenge import is_navigation, is_top_level, requested_destination
from oauth2_mw.web.signin.destinations import Destinations

#: What the proxy hands on -> where it is read, as in ``[environ]``.
HEADERS = MappingProxyType(
    {
        "X-Auth-Request-User": "username",
        "X-Auth-Request-Email": "email",
        "X-Auth-Request-Groups": "groups",
        "X-Auth-Request-Preferred-Username": "username",
        "X-Auth-Request-Name": "name",
    }
)


class ForwardAuth:
    """The URL of one application at which proxies ask.

    :param protect: puts the middleware's decisions in front of another application.
    """

    def __init__(
        self,
        requests: OriginalRequests,
        sessions: SessionManager,
        attempts: Attempts,
        urls: Urls,
        *,
        mount: str,
        destinations: Destinations,
        failures: Failures,
        protect: Callable[[WSGIApplication], WSGIApplication],
    ) -> None:
        self._requests = requests
        self._sessions = sessions
        self._attempts = attempts
        self._urls = urls
        self._mount = mount
        self._destinations = destinations
        self._failures = failures
        self._protect = protect
        self._writer = EnvironWriter(HEADERS)

    def answer(self, request: Request, _current: RequestSession) -> Response:
        """``auth``: say whether the request that a proxy tells about may pass.

        :raises LoginLoopError: when sign-ins leave no session.
        """
        environ = request.environ
        try:
            asked = _environ(environ, self._requests.read(environ), mount=self._mount)
        except (ForwardAuthError, OddPathError) as error:
            return self._failures.refuse(error, environ)
        is_person = is_navigation(asked)
        redirects = is_person and is_top_level(asked) and _asks_for_redirects(environ)
        judged = asked
        if is_person and not (redirects and self._has_session(asked)):
            # No sign-in begins here, whose cookies few proxies would pass on: a person is sent to the login instead.
            judged = {**asked, "HTTP_X_REQUESTED_WITH": "XMLHttpRequest"}
        verdict = Request(judged).get_response(self._protect(self._tell))
        # That of a HEAD has none, and the length of another; the proxy asks by GET.
        verdict.body = b"".join(verdict.app_iter)
        match verdict.status_int:
            case HTTPStatus.OK | HTTPStatus.SERVICE_UNAVAILABLE:
                pass
            case HTTPStatus.UNAUTHORIZED:
                return self._send_to_login(asked, verdict, is_person=is_person, redirects=redirects)
            case HTTPStatus.SEE_OTHER if redirects:
                pass
            case _:
                verdict.status_int = HTTPStatus.FORBIDDEN
        return verdict

    def _has_session(self, environ: WSGIEnvironment) -> bool:
        try:
            current = self._sessions.resolve(environ.get("HTTP_COOKIE", ""))
        except StoreUnavailableError:
            return False
        return current is not None and current.session is not None

    def _send_to_login(
        self, asked: WSGIEnvironment, verdict: Response, *, is_person: bool, redirects: bool
    ) -> Response:
        cookies = self._sessions.cookies.read(asked.get("HTTP_COOKIE", ""))
        if is_person and self._attempts.is_login_loop(cookies):
            error = LoginLoopError(
                "three sign-ins within a minute left no session: does the proxy pass on the cookies of every request?"
            )
            error.status = HTTPStatus.FORBIDDEN
            raise error
        destination = requested_destination(asked, self._urls, mount=self._mount)
        location = self._destinations.login_url(None, destination)
        if redirects:
            return responses.redirect(location, cookies=verdict.headers.getall("Set-Cookie"))
        return responses.with_location(verdict, location)

    def _tell(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer what is let in: who it is, with every header each time, so that none of the client's is left."""
        identity = environ.get("oauth2_mw.identity")
        known = {} if identity is None else self._writer.plain(identity, {})
        return responses.empty_ok({name: known.get(name, "") for name in HEADERS})(environ, start_response)


def _asks_for_redirects(environ: WSGIEnvironment) -> bool:
    return "redirect" in environ.get("QUERY_STRING", "").split("&")


def _environ(environ: WSGIEnvironment, original: OriginalRequest, *, mount: str) -> WSGIEnvironment:
    """Return the environ that the original request would have here. Its body stays with the proxy."""
    asked = {
        **environ,
        "REQUEST_METHOD": original.method,
        "SCRIPT_NAME": mount,
        "PATH_INFO": original.path,
        "QUERY_STRING": original.query,
        "RAW_URI": original.uri,
        "CONTENT_LENGTH": "0",
        "wsgi.input": io.BytesIO(),
    }
    if HIDDEN_AUTHORIZATION in asked:
        asked["HTTP_AUTHORIZATION"] = asked.pop(HIDDEN_AUTHORIZATION)
    # A preflight that passes here would reach the application with all that tells of a person.
    for key in ("REQUEST_URI", "HTTP_ACCESS_CONTROL_REQUEST_METHOD"):
        asked.pop(key, None)
    return asked
