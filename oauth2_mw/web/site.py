"""Our own URLs: which of them a path means, and who answers.

Built at the first request that needs it, after a server's fork; a signed-in request never comes here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from webob import Request, Response

from oauth2_mw.errors import OAuth2Error, RequestError, StoreUnavailableError
from oauth2_mw.identity.admission import Admission
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.session.cookie_cache import NO_SESSION, RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.refresh import Refresher
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.settings.model import Settings
from oauth2_mw.web.account.sessions import SESSIONS_FORM, SESSIONS_QUERY, SessionsPage
from oauth2_mw.web.failures import Failures, MountNotStrippedError, NotFoundError, only
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.assets import Assets
from oauth2_mw.web.http.csrf import FormTokens
from oauth2_mw.web.http.forms import form_destination, login_link, query_destination, read_form, read_query
from oauth2_mw.web.http.urls import DEFAULT, Urls
from oauth2_mw.web.pages.pages import LoginButton, Pages
from oauth2_mw.web.signin import challenge
from oauth2_mw.web.signin.attempt import Attempts
from oauth2_mw.web.signin.challenge import Environ
from oauth2_mw.web.signin.login import (
    CALLBACK_PARAMETERS,
    CALLBACK_PROSE,
    AttemptFailedError,
    Login,
    LoginLoopError,
    claims_needed,
)
from oauth2_mw.web.signout.backchannel import BackChannelLogout
from oauth2_mw.web.signout.frontchannel import FrontChannelLogout
from oauth2_mw.web.signout.logout import Logout

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory

_LOGOUT_FORM = frozenset({"next", "csrf_token"})
_BACK_CHANNEL = "/backchannel-logout/"
_LOGOUT_STATE = frozenset({"state"})

Handler = Callable[[Request, RequestSession], Response]


class Site:
    """Everything that our own URLs answer, and the challenge for those of the application."""

    def __init__(
        self, settings: Settings, sessions: SessionManager, urls: Urls, directory: Directory | None
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._urls = urls
        self._providers = settings.providers
        self._clients: dict[str, ProviderClient] = {}
        self._building = threading.Lock()
        self._pages = Pages(static_url=urls.static, site=settings.public_url.partition("://")[2])
        self._failures = Failures(self._pages, urls, self._providers)
        self._assets = Assets()
        self._attempts = Attempts(
            sessions.sealer,
            sessions.cookies,
            consume=partial(_use_attempt, sessions.registry) if sessions.registry is not None else None,
            form_post=[name for name, p in settings.providers.items() if p.response_mode == "form_post"],
            clock=sessions.now,
        )
        admission = Admission(settings, directory)
        self._login = Login(settings, sessions, self._attempts, urls, self.client, admission)
        self._refresher = Refresher(settings, sessions, self.client, admission)
        tokens = FormTokens(sessions.sealer, clock=sessions.now)
        self._logout = Logout(
            sessions,
            urls,
            self._pages,
            self._providers,
            tokens=tokens,
            endpoint_of=self._logout_endpoint,
            revoke=self._refresher.revoke,
        )
        self._back_channel: BackChannelLogout | None = None
        self._front_channel: FrontChannelLogout | None = None
        self._own_sessions: SessionsPage | None = None
        if (ledger := sessions.registry) is not None:
            self._back_channel = BackChannelLogout(ledger, self.client, directory)
            self._front_channel = FrontChannelLogout(
                ledger, sessions, self._pages, self._providers, revoke=self._refresher.revoke
            )
            self._own_sessions = SessionsPage(
                ledger, urls, self._pages, self._providers, tokens=tokens, logout=self._logout
            )

    def client(self, name: str) -> ProviderClient:
        """The client of one provider, built once."""
        with self._building:
            if name not in self._clients:
                self._clients[name] = ProviderClient(
                    self._providers[name],
                    redirect_uri=self._urls.callback(name),
                    insecure_http=self._settings.insecure_http,
                    needs=claims_needed(self._settings, self._providers[name]),
                )
            return self._clients[name]

    def _logout_endpoint(self, name: str) -> str | None:
        return self.client(name).logout_endpoint()

    # The two ways in

    def answer(self, environ: Environ, known: RequestSession | None, rest: str) -> Response:
        """Answer a request to one of our own URLs.

        :param rest: what follows ``prefix`` in ``PATH_INFO``.
        """
        if known is None or rest.startswith(_BACK_CHANNEL):
            # There a provider speaks and no browser: cookies say nothing.
            known = NO_SESSION
        request = Request({"REQUEST_METHOD": "GET", **environ})
        try:
            response = self._route(request, rest)(request, known)
        except AttemptFailedError as failed:
            response = self._failures.page(
                failed.error, known, attempt=failed.attempt, cookies=failed.cookies
            )
        except Exception as error:  # noqa: BLE001 - whatever happens, a person gets a page and nobody gets in
            response = self._failures.page(error, known)
        return self._forget_broken(response, known)

    def challenge(self, environ: Environ, known: RequestSession | None) -> Response:
        """Answer a request to the application that nobody may see without signing in."""
        destination = challenge.asked_for(environ, self._urls, mount=self._settings.mount)
        return self._challenge(environ, known or NO_SESSION, destination)

    def _challenge(self, environ: Environ, known: RequestSession, destination: str | None) -> Response:
        try:
            if not self._providers:
                response = self._failures.switched_off()
            elif self._urls.mount_is_left(environ.get("PATH_INFO", "")):
                raise MountNotStrippedError(
                    f"PATH_INFO begins with {self._settings.mount + self._settings.prefix!r}: the server hands on the "
                    f"mount {self._settings.mount!r}; have it set SCRIPT_NAME, or cut the mount off"
                )
            elif not challenge.is_navigation(environ):
                response = challenge.unauthorized(self._urls, destination, cookies=[])
            elif self._attempts.going_round(known.cookies):
                raise LoginLoopError(
                    "three sign-ins within a minute left no session: is its cookie dropped on the way?"
                )
            else:
                response = self._start(destination, known)
        except Exception as error:  # noqa: BLE001 - as above
            response = self._failures.page(error, known, destination=destination)
        return self._forget_broken(response, known)

    def refusal(self, error: OAuth2Error, environ: Environ) -> Response:
        """Answer a request that cannot be judged because what is needed for it is out of reach."""
        return self._failures.refusal(error, environ)

    def refreshed(self, known: RequestSession) -> RequestSession:
        """The session of a request with its tokens refreshed; without one when it has ended.

        :raises StoreUnavailable: when its store cannot be used.
        """
        try:
            return self._refresher.refreshed(known)
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - a session that is good until its end does not depend on this
            self._failures.passing(error)
            return known

    # Routes

    def _route(self, request: Request, rest: str) -> Handler:
        """The handler of a path: the fixed names of this package, and nothing else."""
        try:
            rest.encode("latin-1").decode("utf-8")
        except UnicodeError:
            raise RequestError("the path is not UTF-8", code="bad_path") from None
        if not rest.isprintable():
            raise RequestError("the path holds control characters", code="bad_path")
        parts = rest.split("/")[1:]
        route = self._find(request, parts)
        if route is not None:
            return route
        unfinished = rest[-1:] not in ("", "/") and self._find(request, [*parts, ""]) is not None
        if unfinished and request.method in ("GET", "HEAD"):
            return lambda request, _known: responses.redirect(
                self._urls.with_slash(rest, request.environ.get("QUERY_STRING", ""))
            )
        raise NotFoundError(f"no URL of ours is {rest!r}")

    def _find(self, request: Request, parts: list[str]) -> Handler | None:
        match parts:
            case ["login", ""]:
                return self._login_page
            case ["login", "callback", ""] if DEFAULT in self._providers:
                return partial(self._callback, name=DEFAULT)
            case ["login", "callback", name, ""] if name in self._providers and name != DEFAULT:
                return partial(self._callback, name=name)
            case ["login", name, ""] if name in self._providers:
                return partial(self._login_at, name=name)
            case ["logout", ""]:
                return self._logout_post if request.method == "POST" else self._logout_get
            case ["logout", "done", ""]:
                return self._logout_done
            case ["backchannel-logout", *rest] if (back := self._back_channel) and (told := self._oidc(rest)):
                return partial(back.post, name=told)
            case ["frontchannel-logout", *rest] if (front := self._front_channel) and (
                told := self._oidc(rest)
            ):
                return partial(front.get, name=told)
            case ["sessions", ""] if (page := self._own_sessions) is not None:
                return partial(self._sessions_page, page=page)
            case ["icon", name]:
                return partial(self._icon, name=name)
            case ["static", *names]:
                return partial(self._static, name="/".join(names))
        return None

    def _oidc(self, rest: list[str]) -> str | None:
        """The provider that a path ends with: the nameless one, or ``NAME/``. It must be able to tell of a logout."""
        match rest:
            case [""]:
                name = DEFAULT
            case [name, ""] if name != DEFAULT:
                pass
            case _:
                return None
        return name if name in self._providers and self._providers[name].is_oidc else None

    def _login_page(self, request: Request, known: RequestSession) -> Response:
        only(request, "GET", "HEAD")
        destination, hint = login_link(request, self._urls)
        if not self._providers:
            return self._failures.switched_off()
        if not challenge.is_top_level(request.environ):
            return challenge.unauthorized(self._urls, destination, cookies=[])
        return self._start(destination, known, login_hint=hint)

    def _start(
        self, destination: str | None, known: RequestSession, *, login_hint: str | None = None
    ) -> Response:
        """To the one provider at once, or to the page that offers them all."""
        if len(self._providers) == 1 and not self._settings.login_page:
            return self._login.begin(next(iter(self._providers)), destination, known, login_hint=login_hint)
        buttons = [
            LoginButton(
                provider.label,
                self._urls.login(name, destination=destination, login_hint=login_hint),
                self._urls.icon(name) if provider.icon is not None else None,
            )
            for name, provider in self._providers.items()
        ]
        return responses.page(self._pages.login(buttons=buttons))

    def _login_at(self, request: Request, known: RequestSession, *, name: str) -> Response:
        only(request, "GET", "HEAD")
        destination, hint = login_link(request, self._urls)
        if not challenge.is_top_level(request.environ):
            # A picture on some page would begin attempts until no server reads this browser's cookies any more.
            return challenge.unauthorized(self._urls, destination, cookies=[])
        return self._login.begin(name, destination, known, login_hint=hint)

    def _callback(self, request: Request, known: RequestSession, *, name: str) -> Response:
        # The mode that was asked for is the only one that is answered: neither the query of a form nor a form where
        # a query was meant says anything. A HEAD would use up the code and show nobody the result.
        if self._providers[name].response_mode == "form_post":
            only(request, "POST")
            params = read_form(request, CALLBACK_PARAMETERS, prose=CALLBACK_PROSE)
        else:
            only(request, "GET")
            params = read_query(request, CALLBACK_PARAMETERS, prose=CALLBACK_PROSE)
        return self._login.callback(name, params, request.environ, known)

    def _logout_get(self, request: Request, known: RequestSession) -> Response:
        only(request, "GET", "HEAD", "POST")
        return self._logout.get(request.environ, known, query_destination(request, self._urls))

    def _logout_post(self, request: Request, known: RequestSession) -> Response:
        form = read_form(request, _LOGOUT_FORM)
        return self._logout.post(known, form, form_destination(request, form, self._urls))

    def _logout_done(self, request: Request, _known: RequestSession) -> Response:
        only(request, "GET", "HEAD")
        return self._logout.done(read_query(request, _LOGOUT_STATE))

    def _sessions_page(self, request: Request, known: RequestSession, *, page: SessionsPage) -> Response:
        only(request, "GET", "HEAD", "POST")
        if known.session is None:
            return self._challenge(request.environ, known, self._urls.sessions_path)
        if request.method == "POST":
            return page.post(known.session, known, read_form(request, SESSIONS_FORM))
        return page.get(known.session, read_query(request, SESSIONS_QUERY).get("done"))

    def _icon(self, request: Request, _known: RequestSession, *, name: str) -> Response:
        only(request, "GET", "HEAD")
        provider = self._providers.get(name)
        if provider is None or provider.icon is None:
            raise NotFoundError(f"no provider {name!r} with an icon")
        return responses.asset(provider.icon.data, provider.icon.content_type)

    def _static(self, request: Request, _known: RequestSession, *, name: str) -> Response:
        only(request, "GET", "HEAD")
        found = self._assets.get(name)
        if found is None:
            raise NotFoundError(f"no file {name!r}")
        return responses.asset(found.data, found.content_type)

    def _forget_broken(self, response: Response, known: RequestSession) -> Response:
        """Expire a session cookie that does not open, unless the response sets a new one."""
        if known.invalid:
            responses.add_cookies(response, self._sessions.cookies.expire_session(known.cookies))
        return response


def _use_attempt(ledger: SessionRegistry, attempt_id: str, *, expires: int) -> bool:
    return ledger.consume_once(f"attempt:{attempt_id}", expires=expires)
