"""The WSGI callable: every request passes here, most of them straight through.

Nothing slow happens in :meth:`OAuth2Middleware.__call__`. Costly work is done in the constructor, or by
:mod:`oauth2_mw.web.site`, which answers our own URLs and is imported when it is first needed.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterable, Mapping
from copy import copy
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oauth2_mw.access.path_set import PathSet
from oauth2_mw.access.rules import METHOD_OVERRIDES, AccessRules, Rule
from oauth2_mw.construction import check_alone, load_hooks, open_observer, settings_of
from oauth2_mw.credentials.credential_paths import CredentialPaths
from oauth2_mw.credentials.fetch_metadata import is_foreign_upgrade
from oauth2_mw.credentials.personal_tokens import PersonalTokens
from oauth2_mw.credentials.token_requests import TokenRequests
from oauth2_mw.errors import StoreUnavailableError, UnavailableError
from oauth2_mw.identity.authorization import is_bearer
from oauth2_mw.identity.environ import HIDDEN_AUTHORIZATION, Scrubber
from oauth2_mw.identity.person import person_of
from oauth2_mw.layers import layers
from oauth2_mw.observe import quiet_libraries
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.session.clocks import SYSTEM_CLOCKS, Clocks
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.cookies import replace_cookies
from oauth2_mw.session.model import Session
from oauth2_mw.session.opening import open_directory, open_sessions
from oauth2_mw.settings.model import Settings
from oauth2_mw.shared_caches import FinishHeaders, beginning, finished, personal_headers
from oauth2_mw.telemetry import current_request, ensure, enter
from oauth2_mw.web.gate import Gate
from oauth2_mw.web.http.bodies import drop_body
from oauth2_mw.web.http.peers import Peers
from oauth2_mw.web.http.unauthorized import call_unless_401
from oauth2_mw.web.http.urls import FORM, Urls, form_ids
from oauth2_mw.web.token_gate import TokenGate

if TYPE_CHECKING:
    from oauth2_mw.web.signin.kept_forms import SentForm
    from oauth2_mw.web.site import Site

#: After ``prefix``: served without looking up a session, because the store may be what has failed. Files of the outage
#: page, what proxies ask, which may be about a public path, and what tells how this process does.
_WITHOUT_SESSION = ("/static/", "/icon/", "/auth", "/health", "/metrics")
#: What every preflight has, and hardly anything else.
_PREFLIGHT = "HTTP_ACCESS_CONTROL_REQUEST_METHOD"
_CREDENTIALS = ("HTTP_COOKIE", "HTTP_AUTHORIZATION", "REDIRECT_HTTP_AUTHORIZATION")

log = logging.getLogger(__name__)  # type: logging.Logger


class OAuth2Middleware:
    """Puts a sign-in in front of a WSGI application.

    :param app: any WSGI application (PEP 3333), called for allowed requests only, its answers passed on untouched.
    :param settings: a :class:`oauth2_mw.Settings`, or what makes one: the path of an INI file, or a mapping.
    :param clocks: the clocks that sessions go by; tests pass their own.
    :raises TypeError: if *app* or *settings* is something else.
    :raises ConfigError: if the settings cannot be used: with a directory, but without SQLAlchemy, or with a damaged
        ``client_key``.

    Construction opens no connection.
    """

    def __init__(
        self,
        app: WSGIApplication,
        settings: Settings | str | os.PathLike[str] | Mapping[str, Any],
        *,
        clocks: Clocks = SYSTEM_CLOCKS,
    ) -> None:
        quiet_libraries()
        self._settings: Settings = settings_of(app, settings)
        settings = self._settings
        check_alone(settings, [each._settings for each in layers(app) if isinstance(each, OAuth2Middleware)])
        self._urls = Urls(settings)
        self._peers = Peers(settings.trusted_peers)
        self._observer = open_observer(settings, self._peers)
        self._hooks = load_hooks(settings)
        self._directory = open_directory(settings)
        self._sessions = open_sessions(settings, self._directory, clocks=clocks)
        self._tokens = self._open_tokens()
        self._serving = CredentialPaths.of(settings)
        self._clocks = clocks
        self._app = self._sessions.app_cookies.around(app)
        self._resolve = self._sessions.resolve
        # What metrics count is counted further down.
        self._at_hand = self._sessions.at_hand if settings.metrics == "none" else _at_no_hand
        self._remaining_cookies = self._sessions.remaining_cookies
        self._may_hold_any = self._sessions.cookies.may_hold_any
        self._cookie_name = self._sessions.cookies.session
        self._monotonic = clocks.monotonic
        self._gate = Gate(settings, self._sessions, self._site)
        self._let_in = self._gate.let_in
        self._token_requests = TokenRequests(
            settings, self._tokens, paths=self._serving.personal_tokens, clocks=clocks
        )
        self._token_gate = TokenGate(
            settings,
            self._sessions,
            self._token_requests,
            self._site,
            bearer_paths=self._serving.access_tokens,
        )
        self._scrub = Scrubber(
            settings.environ, settings.strip_authorization, keep_headers=settings.keep_headers
        )
        self._knows_all = self._scrub.knows_all
        self._rules = AccessRules(
            settings.rules,
            public_paths=settings.public_paths,
            protect=settings.protect,
            odd_paths=settings.odd_paths,
        )
        self._recall_rule = self._rules.recall
        self._app_schemes = settings.app_schemes
        self._turns_401 = settings.protect == "on-401"
        self._preflight = settings.preflight
        self._origins = frozenset({settings.origin, *settings.cors_origins})
        self._own_path = settings.prefix
        self._own_prefix = settings.prefix + "/"
        #: callbacks outside ``prefix`` -> what stands for each after it
        self._callbacks = self._urls.callback_suffixes()
        self._app_logout_paths = frozenset(each.path.native for each in settings.app_logout_paths)
        self._mount = settings.mount
        self._keep_forms = PathSet(settings.keep_forms) if settings.keep_forms else None
        self._hide_cookies = settings.hide_cookies
        self._respect_caching = settings.shared_caches == "respect"
        self._has_told_of_outer = False
        self._building = ProcessLock()
        #: the process that built the site, and the site
        self._built: tuple[int, Site] | None = None
        if settings.preload:
            self._preload()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            # Before anything else, whatever becomes of the request: nobody but us says who is signed in.
            authorization = environ.get("HTTP_AUTHORIZATION")
            if authorization is not None or not self._knows_all(environ):
                enter((self._observer, environ, ""))
                if "oauth2_mw.urls" in environ:
                    self._note_outer(environ)
                self._scrub(environ)
                if authorization is not None and "HTTP_AUTHORIZATION" not in environ:
                    # Who sends one is a program, whether or not the application sees it.
                    environ[HIDDEN_AUTHORIZATION] = "Bearer" if is_bearer(authorization) else ""
            script_name = environ.get("SCRIPT_NAME", "")
            is_mounted_here = not script_name or script_name == self._mount
            path = environ.get("PATH_INFO", "")
            # Only rules of the application's paths are remembered: where there is one, the path is none of ours.
            rule = self._recall_rule(path) if is_mounted_here else self._rules.odd
            if rule is None:
                if path.startswith(self._own_prefix) or path == self._own_path:
                    if HIDDEN_AUTHORIZATION in environ:
                        # A proxy may ask what it is worth.
                        environ[HIDDEN_AUTHORIZATION] = authorization
                    return self._serve_own(environ, start_response, path[len(self._own_path) :])
                if path in self._callbacks:
                    return self._serve_own(environ, start_response, self._callbacks[path])
            if self._keep_forms is not None and is_mounted_here and self._is_about_form(environ, path):
                return self._serve_form(environ, start_response, authorization)
            if rule is None:
                rule = self._find_rule(environ, path)
            if not rule.is_plain:
                if rule.effect == "public" or (rule.effect == "delegated" and self._is_for_app(environ)):
                    if authorization is not None and rule.effect == "public":
                        self._token_gate.hide(environ, authorization, path)
                    return self._serve_public(environ, start_response)
                if rule.effect == "denied":
                    return _refuse(self._site().refuse(environ, None, rule), environ, start_response)
            if authorization is not None and self._token_gate.takes(authorization, path, rule):
                return self._serve_token(environ, start_response, authorization, rule)
            if _PREFLIGHT in environ and rule.effect != "optional" and self._takes_preflight(environ):
                return self._serve_preflight(environ, start_response)
            cookie_header = environ.get("HTTP_COOKIE")
            if cookie_header is None or self._cookie_name not in cookie_header:
                current = None
            elif (current := self._at_hand(cookie_header)) is None:
                try:
                    current = self._current_session(environ)
                except UnavailableError as error:
                    response = self._site().service_unavailable(error, environ, is_own=False)
                    return _refuse(response, environ, start_response)
            if current is not None:
                if self._hide_cookies:
                    # Written out, as is what follows: a call shows in every request.
                    if current.remaining_cookies is None:
                        del environ["HTTP_COOKIE"]
                    else:
                        environ["HTTP_COOKIE"] = current.remaining_cookies
                session = current.session
                if session is not None:
                    if rule.has_conditions and not self._lets_pass(rule, session):
                        response = self._site().refuse(environ, current, rule)
                        return _refuse(response, environ, self._renewing(start_response, current))
                    if "HTTP_UPGRADE" in environ and is_foreign_upgrade(environ, self._origins):
                        response = self._site().refuse_foreign_upgrade(environ)
                        return _refuse(response, environ, self._renewing(start_response, current))
                    environ |= current.environ
                    environ["oauth2_mw.urls"] = self._urls
                    renew = None
                    if current.is_due or current.needs_new_cookie:
                        renew = self._renewal(current, respect=self._respect_caching)
                    signed_in = self._let_in(environ, start_response, current, script_name, path, renew=renew)
                    if path in self._app_logout_paths:
                        return self._serve_app_logout(environ, start_response, current, session, signed_in)
                    return self._app(environ, signed_in)
            elif self._hide_cookies and cookie_header is not None and self._may_hold_any(cookie_header):
                replace_cookies(environ, self._remaining_cookies(cookie_header))
            if rule.effect == "optional":
                self._gate.guard(environ, current, script_name, path)
                return self._serve_nobody(environ, start_response, current)
            form = self._read_form(environ, current)
            return _refuse(self._site().challenge(environ, current, form=form), environ, start_response)
        finally:
            # Asking costs little, and most requests need nobody to know.
            if current_request() is not None:
                enter(None)

    def _find_rule(self, environ: WSGIEnvironment, path: str) -> Rule:
        """Return what decides about a request, whichever of its methods the application goes by."""
        if not self._rules.tells_methods_apart:
            return self._rules.find_for_all(path)
        overrides = [environ[key].strip().upper() for key in METHOD_OVERRIDES if key in environ]
        # Of a header that came twice, servers make one value with a comma in it.
        overrides += [word.strip() for value in overrides for word in value.split(",")]
        return self._rules.find_all(path, [environ.get("REQUEST_METHOD", "GET"), *overrides])

    def _note_outer(self, environ: WSGIEnvironment) -> None:
        """Tell, once, that another such middleware stands in front: it has cut the cookies of its own name."""
        outer = environ["oauth2_mw.urls"]
        if outer is self._urls or self._has_told_of_outer:
            return
        self._has_told_of_outer = True
        log.warning(
            "%s is behind another OAuth2Middleware, of %s: one of them is too many, or each needs a cookie_name and a "
            "prefix of its own; with those of the other nobody is ever signed in here",
            self._urls.public_url,
            getattr(outer, "public_url", "?"),
        )

    def _is_for_app(self, environ: WSGIEnvironment) -> bool:
        """Return whether a request carries a credential of the application's own."""
        scheme, _, credential = environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
        return bool(credential) and scheme.lower() in self._app_schemes

    def _lets_pass(self, rule: Rule, session: Session) -> bool:
        identity = session.identity
        return rule.lets_pass(person_of(identity, self._settings.providers.get(identity.provider)))

    def _serve_token(
        self, environ: WSGIEnvironment, start_response: StartResponse, authorization: str, rule: Rule
    ) -> Iterable[bytes]:
        refusal = self._token_gate.refusal(environ, authorization, rule)
        if refusal is not None:
            return _refuse(refusal, environ, start_response)
        environ["oauth2_mw.urls"] = self._urls
        return self._app(
            environ, beginning(start_response, partial(personal_headers, respect=self._respect_caching))
        )

    def _serve_own(
        self, environ: WSGIEnvironment, start_response: StartResponse, path_suffix: str
    ) -> Iterable[bytes]:
        ensure(self._observer, environ)
        cookie_header = environ.get("HTTP_COOKIE")
        site = self._site()
        try:
            needs_none = path_suffix.startswith(_WITHOUT_SESSION)
            current = self._resolve(cookie_header) if cookie_header and not needs_none else None
        except StoreUnavailableError as error:
            response = site.service_unavailable(error, environ, is_own=True)
            return _refuse(response, environ, start_response)
        return _send(site.answer(environ, current, path_suffix), environ, start_response)

    def _serve_public(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        cookie_header = environ.get("HTTP_COOKIE")
        if cookie_header is not None and self._hide_cookies:
            replace_cookies(environ, self._remaining_cookies(cookie_header))
        environ["oauth2_mw.urls"] = self._urls
        return self._app(environ, start_response)

    def _serve_app_logout(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        current: RequestSession,
        session: Session,
        signed_in: StartResponse,
    ) -> Iterable[bytes]:
        return self._site().serve_app_logout(
            self._app,
            environ,
            beginning(start_response, partial(personal_headers, respect=False)),
            current=current,
            session=session,
            signed_in=signed_in,
        )

    def _renewing(self, start_response: StartResponse, current: RequestSession) -> StartResponse:
        """Keep a person's response of ours out of all caches, and renew their cookie if it has fallen behind."""
        return beginning(start_response, self._renewal(current, respect=False))

    def _renewal(self, current: RequestSession, *, respect: bool) -> FinishHeaders:
        """Return what makes of a person's headers those that renew their cookie, if that has fallen behind."""
        # A refreshed session that lives in the cookie exists in this response alone: if a cache stripped the cookie,
        # the new refresh token would be lost.
        must_set_cookie = current.needs_new_cookie and self._sessions.in_cookies
        cookies = None
        if self._sessions.renewal.is_due(current):
            cookies = partial(self._sessions.renewal.set_cookies, current, requested_at=self._monotonic())
        return partial(finished, cookies=cookies, respect=respect, must_set_cookie=must_set_cookie)

    def _serve_nobody(
        self, environ: WSGIEnvironment, start_response: StartResponse, current: RequestSession | None
    ) -> Iterable[bytes]:
        environ["oauth2_mw.urls"] = self._urls
        given = start_response
        if current is not None and current.invalid:
            expired = self._sessions.cookies.expire_session(current.cookies)
            given = beginning(start_response, partial(finished, cookies=lambda: expired, respect=True))
        if not (self._turns_401 and self._site().is_navigation(environ)):
            return self._app(environ, given)
        # Before the application reads it.
        form = self._read_form(environ, current)
        # The application may change the environ on its way to the answer.
        asked = dict(environ)
        answer = call_unless_401(self._app, environ, given)
        if answer is None:
            return _send(self._site().challenge(asked, current, form=form), asked, start_response)
        return answer

    def _read_form(self, environ: WSGIEnvironment, current: RequestSession | None) -> SentForm | None:
        return None if self._keep_forms is None else self._site().read_form(environ, current)

    def _is_about_form(self, environ: WSGIEnvironment, path: str) -> bool:
        """Return whether a request asks for the page of a kept form, or sends it from there."""
        query = environ.get("QUERY_STRING", "")
        return FORM in query and path in (self._keep_forms or ()) and bool(form_ids(query))

    def _serve_form(
        self, environ: WSGIEnvironment, start_response: StartResponse, authorization: str | None
    ) -> Iterable[bytes]:
        site = self._site()
        try:
            current = self._current_session(environ)
        except UnavailableError as error:
            response = site.service_unavailable(error, environ, is_own=False)
            return _refuse(response, environ, start_response)
        answer, app = site.serve_form(environ, current, self._app)
        if answer is not None:
            given = start_response if current is None else self._renewing(start_response, current)
            return _refuse(answer, environ, given)
        # From here on it is a request like any other, whose application is reached once.
        if authorization is not None:
            environ["HTTP_AUTHORIZATION"] = authorization
        other = copy(self)
        other._app = app
        return other(environ, start_response)

    def _takes_preflight(self, environ: WSGIEnvironment) -> bool:
        """Return whether a browser asks what a script of another origin may send (Fetch, section 3.3.2).

        It never overrides the method, by which an application would take the request for another.

        :param environ: with the header that every preflight has.
        """
        return (
            self._preflight != "refuse"
            and environ.get("REQUEST_METHOD") == "OPTIONS"
            and "HTTP_ORIGIN" in environ
            and "HTTP_UPGRADE" not in environ
            and environ.keys().isdisjoint(METHOD_OVERRIDES)
        )

    def _serve_preflight(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a preflight, or pass it on without anything that tells of a person."""
        if self._preflight == "answer":
            return _refuse(self._site().preflight(environ), environ, start_response)
        for key in (*_CREDENTIALS, "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_TRANSFER_ENCODING"):
            environ.pop(key, None)
        environ["wsgi.input"] = io.BytesIO()
        return self._app(environ, start_response)

    def _current_session(self, environ: WSGIEnvironment) -> RequestSession | None:
        """Return the session that a request's cookies stand for, with its tokens refreshed if that is due."""
        cookie_header = environ.get("HTTP_COOKIE")
        if cookie_header is None or self._cookie_name not in cookie_header:
            return None
        enter((self._observer, environ, ""))
        current = self._resolve(cookie_header)
        if current is not None and current.is_due and self._sessions.is_refresh_due(current):
            return self._site().refresh(current)
        return current

    def _open_tokens(self) -> PersonalTokens | None:
        if self._directory is None or not self._settings.personal_tokens:
            return None
        return PersonalTokens(self._directory, app=self._settings.public_url, clock=self._sessions.now)

    def _site(self) -> Site:
        """Return the site of this process. Each process builds its own, because servers fork."""
        built = self._built
        if built is not None and built[0] == os.getpid():
            return built[1]
        with self._building:
            if self._built is None or self._built[0] != os.getpid():
                from oauth2_mw.web.site import Site

                site = Site(
                    self._settings,
                    self._sessions,
                    self._urls,
                    self._directory,
                    serving=self._serving,
                    personal_tokens=self._tokens,
                    hooks=self._hooks,
                    observer=self._observer,
                    peers=self._peers,
                    protect=self._in_front_of,
                    clocks=self._clocks,
                )
                self._built = (os.getpid(), site)
            return self._built[1]

    def _in_front_of(self, app: WSGIApplication) -> OAuth2Middleware:
        """Return the same decisions in front of another application, which signs nobody out."""
        other = copy(self)
        other._app = app
        other._app_logout_paths = frozenset()
        other._keep_forms = None
        return other

    @staticmethod
    def _preload() -> None:
        """Import what the first sign-in needs, but build nothing: connections and locks must not cross a fork."""
        for name in (
            "jinja2",
            "jwt",
            "oauth2_mw.provider.http.http_client",
            "oauth2_mw.web.site",
            "requests_oauthlib",
        ):
            import_module(name)


def _at_no_hand(_cookie_header: str) -> None:
    """Leave every request to what counts."""


def _send(
    response: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Answer with a response of ours. WebOb needs a request method; a server that gives none means GET."""
    environ.setdefault("REQUEST_METHOD", "GET")
    return response(environ, start_response)


def _refuse(
    response: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Answer a request that does not reach the application, whose body nobody else reads."""
    drop_body(environ)
    return _send(response, environ, start_response)
