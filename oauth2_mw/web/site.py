"""Our own URLs and the challenge: builds what answers them, and turns every failure into a page.

Built at the first request that needs it, after a server's fork; most requests with a session never come here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from webob import Request, Response

from oauth2_mw.access.rules import Rule
from oauth2_mw.credentials.access_tokens import AccessTokens
from oauth2_mw.credentials.credential_paths import CredentialPaths
from oauth2_mw.credentials.personal_tokens import PersonalTokens
from oauth2_mw.errors import OAuth2Error, RefreshUnderWayError, StoreUnavailableError, UnavailableError
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.hooks import NO_HOOKS, Hooks
from oauth2_mw.identity.model import Identity
from oauth2_mw.provider.demand import Demand
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cookie_cache import NO_SESSION, RequestSession
from oauth2_mw.session.host_watch import watch_hosts
from oauth2_mw.session.kept_forms import KeptForms
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.session.refresh import Refresher
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.session.token_refresh import TokenRefresher
from oauth2_mw.settings.model import Settings
from oauth2_mw.telemetry import DIRECTORY, STORE, Observer, count, ensure
from oauth2_mw.web.account.sessions import SessionsPage
from oauth2_mw.web.account.tokens import TokensPage
from oauth2_mw.web.clients import ProviderClients
from oauth2_mw.web.failures import Failures
from oauth2_mw.web.http import cors, responses
from oauth2_mw.web.http.assets import ACCENT, CLEAR, LOGO, AssetHandler, Assets
from oauth2_mw.web.http.csrf import FormTokens
from oauth2_mw.web.http.held import HeldAnswer
from oauth2_mw.web.http.peers import Peers
from oauth2_mw.web.http.readers import Readers
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.pages.pages import Pages
from oauth2_mw.web.programs.forward_auth import ForwardAuth
from oauth2_mw.web.programs.health import Health
from oauth2_mw.web.programs.metrics import MetricsPage
from oauth2_mw.web.programs.original_request import OriginalRequests
from oauth2_mw.web.router import Router
from oauth2_mw.web.signin.attempt import Attempts
from oauth2_mw.web.signin.callback import Callback
from oauth2_mw.web.signin.challenge import NOT_TAKEN, Environ, is_navigation, requested_destination
from oauth2_mw.web.signin.destinations import Destinations
from oauth2_mw.web.signin.form_offer import FormOffer
from oauth2_mw.web.signin.kept_forms import FormKeeper, SentForm
from oauth2_mw.web.signin.login import Login, SignInFailedError
from oauth2_mw.web.signin.step_up import demand_of
from oauth2_mw.web.signout.app_logout import AppLogouts
from oauth2_mw.web.signout.backchannel import BackChannelLogout
from oauth2_mw.web.signout.frontchannel import FrontChannelLogout
from oauth2_mw.web.signout.logout import Logout

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory

#: Status of the answer to a request that needs a sign-in, and whether it is a page -> what kind of answer it is.
_CHALLENGES = {
    (303, False): "redirect",
    (200, True): "page",
    (401, True): "page",
    (401, False): "unauthorized",
}


class Site:
    """The answers of one application's middleware, made of the parts of this package.

    :param protect: puts the middleware's decisions in front of another application.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: SessionManager,
        urls: Urls,
        directory: Directory | None,
        *,
        serving: CredentialPaths,
        personal_tokens: PersonalTokens | None,
        protect: Callable[[WSGIApplication], WSGIApplication],
        clocks: Clocks,
        observer: Observer,
        peers: Peers,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self._observer = observer
        self._mount = settings.mount
        self._cors_origins = settings.cors_origins
        self._providers = settings.providers
        self._sessions = sessions
        self._urls = urls
        providers, registry = settings.providers, sessions.registry
        pages = Pages(
            static_url=urls.static,
            site=settings.title,
            template_folder=settings.templates,
            logo_url=f"{urls.static}{LOGO}" if settings.logo is not None else None,
            accent_url=f"{urls.static}{ACCENT}" if settings.accent is not None else None,
            contact=settings.contact,
        )
        attempts = Attempts(
            sessions.sealer,
            sessions.cookies,
            consume=partial(_consume_attempt, registry) if registry is not None else None,
            form_post=[name for name, provider in providers.items() if provider.response_mode == "form_post"],
            clock=sessions.now,
        )
        form_tokens = FormTokens(sessions.sealer, clock=sessions.now)
        admission = Admission(settings, directory, hooks)
        self._clients = ProviderClients(settings, urls)
        clients = self._clients.get
        #: judges the access tokens of the providers
        self.access_tokens: AccessTokens = AccessTokens(settings, admission, clients, clocks=clocks)
        tokens = TokenRefresher(providers, sessions, clients, admission)
        self._refresher = Refresher(sessions, tokens)
        self._hands_on_token = "access_token" in settings.environ.values()
        destinations = Destinations(urls, sessions.sealer, attempts, registry=registry, clock=sessions.now)
        self._failures = Failures(
            pages, urls, providers, destinations=destinations, serving=serving, peers=peers
        )
        self._login = login = Login(
            settings,
            attempts,
            urls,
            pages,
            cookies=sessions.cookies,
            destinations=destinations,
            clients=clients,
            serving=serving,
        )
        self._forms, self._offer = None, None
        if settings.keep_forms:
            registry = sessions.registry
            kept = KeptForms(
                sessions.sealer,
                sessions.cookies,
                store=registry.store.forms if registry is not None else None,
                clock=sessions.now,
            )
            self._forms = FormKeeper(settings, sessions, urls, kept, destinations=destinations)
            self._offer = FormOffer(settings, urls, pages, kept, form_tokens=form_tokens)
        callback = Callback(
            settings,
            sessions,
            attempts,
            destinations=destinations,
            login=login,
            clients=clients,
            admission=admission,
            peers=peers,
            forms=self._forms,
            clock=clocks.monotonic,
        )

        def ended(session: Session) -> None:
            tokens.revoke(session)
            hooks.on_logout(session.identity)

        clears_cache = "cache" in settings.clear_site_data
        forgotten = [kind for kind in settings.clear_site_data if kind != "cache"]
        logout = Logout(
            sessions,
            urls,
            pages,
            providers,
            tokens=form_tokens,
            clients=clients,
            ended=ended,
            forgotten=forgotten,
            clear_url=f"{urls.static}{CLEAR}" if clears_cache else None,
        )
        back_channel = front_channel = sessions_page = tokens_page = None
        if registry is not None:
            back_channel = BackChannelLogout(registry, clients, directory)
            front_channel = FrontChannelLogout(
                registry, sessions, pages, providers, ended=ended, forgotten=forgotten
            )
            sessions_page = SessionsPage(
                registry,
                urls,
                pages,
                providers,
                tokens=form_tokens,
                login=login,
                logout=logout,
                has_tokens_page=personal_tokens is not None,
            )
            if personal_tokens is not None:
                tokens_page = TokensPage(
                    settings,
                    personal_tokens,
                    registry,
                    urls,
                    pages,
                    form_tokens=form_tokens,
                    login=login,
                    now=sessions.now,
                )
        self._app_logouts = AppLogouts(settings.app_logout_paths, logout, urls, origin=settings.origin)
        forward_auth = ForwardAuth(
            OriginalRequests(settings, urls, peers),
            sessions,
            attempts,
            urls,
            mount=settings.mount,
            destinations=destinations,
            failures=self._failures,
            protect=protect,
        )
        asks: dict[str, Callable[[], object]] = {}
        if settings.session is not None and registry is not None:
            asks[STORE] = partial(registry.store.revoked, "health:ready")
        if directory is not None:
            asks[DIRECTORY] = directory.database.check
        self._hosts = watch_hosts(settings, sessions, observer)
        readers = Readers(peers, settings.metrics_peers)
        metrics = observer.metrics
        self._router = Router(
            urls,
            providers,
            login=login,
            callback=callback,
            logout=logout,
            assets=AssetHandler(Assets(), settings, clears_cache=clears_cache),
            back_channel=back_channel,
            front_channel=front_channel,
            sessions_page=sessions_page,
            tokens_page=tokens_page,
            forward_auth=forward_auth,
            health=Health(settings, readers, asks=asks, last_calls=observer.last_calls),
            metrics=MetricsPage(readers, metrics.exposition) if metrics is not None else None,
        )

    def answer(self, environ: Environ, current: RequestSession | None, path_suffix: str) -> Response:
        """Answer a request to one of our own URLs.

        :param path_suffix: what follows ``prefix`` in ``PATH_INFO``.
        """
        if current is None or self._router.is_back_channel(path_suffix):
            current = NO_SESSION
        request = Request({"REQUEST_METHOD": "GET", **environ})
        return self._respond(
            environ, current, lambda: self._router.find(request, path_suffix)(request, current)
        )

    def read_form(self, environ: WSGIEnvironment, current: RequestSession | None) -> SentForm | None:
        """Read the form that is to be kept if the request is challenged, and put its body back; ``None`` for others."""
        return self._forms.read(environ, current) if self._forms is not None and current is not None else None

    def challenge(
        self, environ: Environ, current: RequestSession | None, *, form: SentForm | None = None
    ) -> Response:
        """Answer a request to the application that needs a session and has none.

        :param form: what :meth:`read_form` has read.
        """
        ensure(self._observer, environ)
        destination = requested_destination(environ, self._urls, mount=self._mount)
        if self._forms is None or current is None:
            return self._challenge(environ, current or NO_SESSION, destination, NOT_TAKEN)
        met = self._forms.meet(environ, current, form)
        response = self._challenge(environ, met.current, met.destination or destination, met.told)
        return responses.add_cookies(response, met.set_cookies)

    def _challenge(
        self, environ: Environ, current: RequestSession, destination: str | None, told: str
    ) -> Response:
        response = self._respond(
            environ, current, lambda: self._login.challenge(environ, current, destination, told=told)
        )
        is_page = response.content_type == "text/html"
        count("challenges", _CHALLENGES.get((response.status_int, is_page), "failure"))
        return cors.open_to(self._cors_origins, environ, response)

    def serve_form(
        self, environ: WSGIEnvironment, current: RequestSession | None, app: WSGIApplication
    ) -> tuple[Response | None, WSGIApplication]:
        """Answer a request about a kept form; or make it that form, and return the application that gets it once.

        :param environ: changed to the form's request if that is to be sent.
        """
        if self._offer is None:
            return None, app
        current = current or NO_SESSION
        session = current.session
        if session is None:
            return self._challenge(environ, current, *self._offer.still_kept(environ)), app
        unavailable = partial(self.service_unavailable, is_own=False)
        try:
            response, once = self._offer.answer(environ, current, session, app, unavailable=unavailable)
        except Exception as error:  # noqa: BLE001 - a person gets a page, and nobody gets in
            return self._failures.page(error, environ, current), app
        return response, once or app

    @staticmethod
    def is_navigation(environ: Environ) -> bool:
        """Return whether a person will look at the answer."""
        return is_navigation(environ)

    def preflight(self, environ: Environ) -> Response:
        """Answer a preflight of a path that needs a sign-in."""
        return cors.answer_preflight(self._cors_origins, environ)

    def refuse(
        self,
        environ: Environ,
        current: RequestSession | None,
        rule: Rule,
        *,
        identity: Identity | None = None,
    ) -> Response:
        """Answer a request to the application that a rule does not let pass, by a step-up if that can change it.

        :param identity: who it is, if a token says so and no session.
        """
        ensure(self._observer, environ)
        current = current or NO_SESSION
        session = current.session
        provider = self._providers.get(session.identity.provider) if session is not None else None
        if session is not None and provider is not None:
            demand = demand_of(rule, session.identity, provider, now=self._sessions.now())
            response = self.step_up(environ, current, demand) if demand is not None else None
            if response is not None:
                return response
        destination = requested_destination(environ, self._urls, mount=self._mount)
        response = self._failures.not_let_pass(
            environ, current, rule, destination=destination, identity=identity
        )
        return cors.open_to(self._cors_origins, environ, response)

    def refuse_token(self, environ: Environ, error: OAuth2Error, authorization: str) -> Response:
        """Answer a request to the application whose personal token does not serve.

        :param authorization: the header that carried it.
        """
        response = self._failures.token_refused(environ, error, authorization)
        return cors.open_to(self._cors_origins, environ, response)

    def refuse_bearer(self, environ: Environ, error: OAuth2Error) -> Response:
        """Answer a request to the application whose access token does not serve."""
        response = self._failures.bearer_refused(environ, error)
        return cors.open_to(self._cors_origins, environ, response)

    def step_up(self, environ: Environ, current: RequestSession, demand: Demand) -> Response | None:
        """Begin the sign-in that a page asks for; ``None`` where that cannot be, or has just been to no avail."""
        destination = requested_destination(environ, self._urls, mount=self._mount)
        try:
            response = self._login.step_up(environ, current, demand, destination)
        except Exception as error:  # noqa: BLE001 - what asks for this is the application, which must not fail for it
            response = self._failures.page(error, environ, current, destination=destination)
        return response

    def refuse_foreign_upgrade(self, environ: Environ) -> Response:
        """Refuse a WebSocket that a page of another origin opens with a person's session (RFC 6455, section 10.2)."""
        return self._failures.foreign_upgrade(environ)

    def serve_app_logout(
        self,
        app: WSGIApplication,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        *,
        current: RequestSession,
        session: Session,
        signed_in: StartResponse,
    ) -> Iterable[bytes]:
        """Call the application for a path of ``app_logout_paths``, and end the session if that signs the person out.

        :param signed_in: the *start_response* of an answer to somebody who stays signed in.
        """
        # The application may change the environ on its way to the answer.
        asked = dict(environ)
        logouts = self._app_logouts
        if not logouts.may_sign_out(asked):
            return app(environ, signed_in)
        answer = HeldAnswer(app, environ)
        if not logouts.is_over(answer):
            return answer.send(signed_in)
        if logouts.fills_window(asked):
            response = self._respond(asked, current, lambda: logouts.leave(asked, answer, session, current))
        else:
            try:
                return answer.send(start_response, logouts.end(session, current))
            except StoreUnavailableError as error:
                response = self.service_unavailable(error, asked, is_own=False)
        answer.close()
        return responses.in_place_of(answer.header_lines, response)(asked, start_response)

    def service_unavailable(self, error: UnavailableError, environ: Environ, *, is_own: bool) -> Response:
        """Answer a request that cannot be judged because what is needed for it cannot be reached.

        :param is_own: whether it is for one of our own URLs, which scripts of other origins never read.
        """
        if is_own:
            destination = self._login.wanted(Request({"REQUEST_METHOD": "GET", **environ}))
        else:
            destination = requested_destination(environ, self._urls, mount=self._mount)
        response = self._failures.service_unavailable(error, environ, destination=destination)
        return response if is_own else cors.open_to(self._cors_origins, environ, response)

    def refresh(self, current: RequestSession, *, for_token: bool = False) -> RequestSession:
        """Return the session of a request with its tokens refreshed, or without a session if it has ended.

        :param for_token: whether the access token is wanted now.
        :raises RefreshUnderWayError: when the access token is wanted or handed to the application, and has ended, and
            another request is getting a new one.
        :raises StoreUnavailableError: when its store cannot be used.
        """
        try:
            return self._refresher.refresh(current)
        except RefreshUnderWayError:
            if for_token or self._hands_on_token:
                raise
            return current
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - a session that is good until its end does not depend on this
            identity = current.session.identity if current.session is not None else None
            self._failures.log_unexpected_refresh_error(error, identity)
            return current

    def _respond(self, environ: Environ, current: RequestSession, handle: Callable[[], Response]) -> Response:
        """Return the response of *handle* or the page about its failure; expire an invalid session cookie."""
        try:
            response = handle()
        except SignInFailedError as failure:
            response = self._failures.page(
                failure.error,
                environ,
                current,
                destination=failure.destination,
                attempt=failure.attempt,
                cookies=failure.cookies,
            )
        except Exception as error:  # noqa: BLE001 - whatever happens, a person gets a page and nobody gets in
            response = self._failures.page(error, environ, current)
        if current.invalid:
            responses.add_cookies(response, self._sessions.cookies.expire_session(current.cookies))
        return response


def _consume_attempt(registry: SessionRegistry, attempt_id: str, *, expires: int) -> bool:
    return registry.consume_once(f"attempt:{attempt_id}", expires=expires)
