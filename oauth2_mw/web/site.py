"""Our own URLs: which of them a path means, and what a person is shown when one of them fails.

Built at the first request that needs it, after a server's fork; a signed-in request never comes here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial

from webob import Request, Response

from oauth2_mw.boundary import strict_query
from oauth2_mw.errors import AccessDenied, OAuth2Error, ProviderUnavailable, RequestError, StoreUnavailable
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.directory import Directory
from oauth2_mw.observe import audit, new_reference
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.session.manager import NOTHING, Known, Sessions
from oauth2_mw.settings.model import Settings
from oauth2_mw.web import challenge, responses
from oauth2_mw.web.assets import Assets
from oauth2_mw.web.attempt import Attempt, Attempts
from oauth2_mw.web.challenge import Environ
from oauth2_mw.web.login import (
    CALLBACK_PARAMETERS,
    CALLBACK_PROSE,
    Declined,
    FailedAttempt,
    GoingRound,
    Login,
    LostAttempt,
    claims_needed,
)
from oauth2_mw.web.logout import Logout, form_destination
from oauth2_mw.web.pages import STATE_HINTS, LoginButton, Pages
from oauth2_mw.web.urls import DEFAULT, Urls

log = logging.getLogger(__name__)

#: Octets of a query string, and of a form, that our own URLs read.
_MOST_QUERY = 16 * 1024
_MOST_FORM = 16 * 1024
_NEXT = frozenset({"next"})
#: What a link to our login may say; everything else of the authorization request is configured.
_LOGIN = frozenset({"next", "login_hint"})
_MOST_HINT = 255
_LOGOUT_FORM = frozenset({"next", "csrf_token"})
#: Seconds after which a person may try again when something cannot be reached.
_RETRY_AFTER = 5

Handler = Callable[[Request, Known], Response]


class NotFound(OAuth2Error):
    """An address under our prefix at which nothing answers."""

    code = "not_found"
    status = 404
    message = "There is nothing at this address."


class MethodNotAllowed(OAuth2Error):
    """A method that one of our URLs does not answer (RFC 9110, section 15.5.6)."""

    code = "method_not_allowed"
    status = 405
    message = "This address cannot be used in that way."

    def __init__(self, allow: str) -> None:
        super().__init__(f"only {allow} is answered here")
        self.allow = allow


class MountLeft(OAuth2Error):
    """One of our own URLs with the mount still before it: an answer sent there would never arrive."""

    code = "mount_left"
    status = 503
    message = "This application is not reachable at the address it was set up for."


class Site:
    """Everything that our own URLs answer, and the challenge for those of the application."""

    def __init__(
        self, settings: Settings, sessions: Sessions, urls: Urls, directory: Directory | None
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._urls = urls
        self._providers = settings.providers
        self._clients: dict[str, ProviderClient] = {}
        self._building = threading.Lock()
        self._pages = Pages(static_url=urls.static, site=settings.public_url.partition("://")[2])
        self._assets = Assets()
        self._attempts = Attempts(
            sessions.sealer,
            sessions.cookies,
            consume=directory.consume_attempt if directory is not None else None,
            form_post=[name for name, p in settings.providers.items() if p.response_mode == "form_post"],
            clock=sessions.now,
        )
        self._login = Login(
            settings, sessions, self._attempts, urls, self.client, Admission(settings, directory)
        )
        self._logout = Logout(
            sessions,
            urls,
            self._pages,
            self._providers,
            endpoint_of=self._logout_endpoint,
            clock=sessions.now,
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

    def answer(self, environ: Environ, known: Known | None, rest: str) -> Response:
        """Answer a request to one of our own URLs.

        :param rest: what follows ``prefix`` in ``PATH_INFO``.
        """
        known = known or NOTHING
        request = Request({"REQUEST_METHOD": "GET", **environ})
        try:
            response = self._route(request, rest)(request, known)
        except FailedAttempt as failed:
            response = self._failure(failed.error, known, attempt=failed.attempt, cookies=failed.cookies)
        except Exception as error:  # noqa: BLE001 - whatever happens, a person gets a page and nobody gets in
            response = self._failure(error, known)
        return self._forget_broken(response, known)

    def challenge(self, environ: Environ, known: Known | None) -> Response:
        """Answer a request to the application that nobody may see without signing in."""
        known = known or NOTHING
        destination = challenge.asked_for(environ, self._urls, mount=self._settings.mount)
        try:
            if not self._providers:
                response = self._switched_off()
            elif self._urls.mount_is_left(environ.get("PATH_INFO", "")):
                raise MountLeft(
                    f"PATH_INFO begins with {self._settings.mount + self._settings.prefix!r}: the server hands on the "
                    f"mount {self._settings.mount!r}; have it set SCRIPT_NAME, or cut the mount off"
                )
            elif not challenge.is_navigation(environ):
                response = challenge.unauthorized(self._urls, destination, cookies=[])
            elif self._attempts.going_round(known.sent):
                raise GoingRound(
                    "three sign-ins within a minute left no session: is its cookie dropped on the way?"
                )
            else:
                response = self._start(destination, known)
        except Exception as error:  # noqa: BLE001 - as above
            response = self._failure(error, known, destination=destination)
        return self._forget_broken(response, known)

    def refusal(self, error: OAuth2Error, environ: Environ) -> Response:
        """Answer a request that cannot be judged because what is needed for it is out of reach."""
        if challenge.is_navigation(environ):
            return self._failure(error, NOTHING)
        reference = new_reference()
        audit("refused", ref=reference, code=error.code, detail=error.detail)
        document = {
            "type": "about:blank",
            "title": "Unavailable",
            "status": error.status,
            "reference": reference,
        }
        return responses.problem(error.status, document, headers={"Retry-After": str(_RETRY_AFTER)})

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
        raise NotFound(f"no URL of ours is {rest!r}")

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
            case ["icon", name]:
                return partial(self._icon, name=name)
            case ["static", *names]:
                return partial(self._static, name="/".join(names))
        return None

    def _login_page(self, request: Request, known: Known) -> Response:
        _only(request, "GET", "HEAD")
        destination, hint = self._asked(request)
        if not self._providers:
            return self._switched_off()
        if not challenge.is_top_level(request.environ):
            return challenge.unauthorized(self._urls, destination, cookies=[])
        return self._start(destination, known, login_hint=hint)

    def _start(self, destination: str | None, known: Known, *, login_hint: str | None = None) -> Response:
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

    def _login_at(self, request: Request, known: Known, *, name: str) -> Response:
        _only(request, "GET", "HEAD")
        destination, hint = self._asked(request)
        if not challenge.is_top_level(request.environ):
            # A picture on some page would begin attempts until no server reads this browser's cookies any more.
            return challenge.unauthorized(self._urls, destination, cookies=[])
        return self._login.begin(name, destination, known, login_hint=hint)

    def _callback(self, request: Request, known: Known, *, name: str) -> Response:
        # The mode that was asked for is the only one that is answered: neither the query of a form nor a form where
        # a query was meant says anything. A HEAD would use up the code and show nobody the result.
        if self._providers[name].response_mode == "form_post":
            _only(request, "POST")
            octets = self._body(request)
        else:
            _only(request, "GET")
            octets = request.environ.get("QUERY_STRING", "")
        params = strict_query(octets, known=CALLBACK_PARAMETERS, limit=_MOST_QUERY, prose=CALLBACK_PROSE)
        return self._login.callback(name, params, request.environ, known)

    def _logout_get(self, request: Request, known: Known) -> Response:
        _only(request, "GET", "HEAD", "POST")
        return self._logout.get(request.environ, known, self._next(request))

    def _logout_post(self, request: Request, known: Known) -> Response:
        form = strict_query(self._body(request), known=_LOGOUT_FORM, limit=_MOST_FORM)
        query = strict_query(request.environ.get("QUERY_STRING", ""), known=_NEXT, limit=_MOST_QUERY)
        return self._logout.post(known, form, self._urls.destination(form_destination(form, query)))

    def _logout_done(self, request: Request, _known: Known) -> Response:
        _only(request, "GET", "HEAD")
        params = strict_query(
            request.environ.get("QUERY_STRING", ""), known=frozenset({"state"}), limit=_MOST_QUERY
        )
        return self._logout.done(params)

    def _icon(self, request: Request, _known: Known, *, name: str) -> Response:
        _only(request, "GET", "HEAD")
        provider = self._providers.get(name)
        if provider is None or provider.icon is None:
            raise NotFound(f"no provider {name!r} with an icon")
        return responses.asset(provider.icon.data, provider.icon.content_type)

    def _static(self, request: Request, _known: Known, *, name: str) -> Response:
        _only(request, "GET", "HEAD")
        found = self._assets.get(name)
        if found is None:
            raise NotFound(f"no file {name!r}")
        return responses.asset(found.data, found.content_type)

    def _asked(self, request: Request) -> tuple[str | None, str | None]:
        """The destination and the hint that a link to our login carries."""
        params = strict_query(request.environ.get("QUERY_STRING", ""), known=_LOGIN, limit=_MOST_QUERY)
        hint = params.get("login_hint") or None
        if hint is not None and len(hint) > _MOST_HINT:
            raise RequestError(f"login_hint is longer than {_MOST_HINT} characters", code="too_long")
        return self._urls.destination(params.get("next")), hint

    def _next(self, request: Request) -> str | None:
        params = strict_query(request.environ.get("QUERY_STRING", ""), known=_NEXT, limit=_MOST_QUERY)
        return self._urls.destination(params.get("next"))

    @staticmethod
    def _body(request: Request) -> str:
        """An urlencoded form as it came, read to a limit.

        :raises RequestError: for another content type, a body without a stated length or one that is too long.
        """
        if request.content_type not in ("", "application/x-www-form-urlencoded"):
            raise RequestError(f"a form was expected, not {request.content_type!r}", code="bad_form")
        length = request.environ.get("CONTENT_LENGTH") or "0"
        if not (length.isascii() and length.isdigit() and len(length) < 8) or int(length) > _MOST_FORM:
            raise RequestError("the form is too long or of unknown length", code="bad_form")
        try:
            body = request.environ["wsgi.input"].read(int(length))
        except (OSError, ValueError, KeyError) as error:
            raise RequestError(f"the form broke off ({type(error).__name__})", code="bad_form") from None
        if not isinstance(body, bytes):
            raise RequestError("the form broke off", code="bad_form")
        return body.decode("latin-1")

    # Failures

    def _switched_off(self) -> Response:
        reference = new_reference()
        audit("refused", ref=reference, code="switched_off", detail="no provider is enabled")
        return responses.page(self._pages.switched_off(reference=reference), status=503)

    def _failure(
        self,
        error: Exception,
        known: Known,
        *,
        destination: str | None = None,
        attempt: Attempt | None = None,
        cookies: Iterable[str] = (),
    ) -> Response:
        """One audit line and one page. What happened inside stays in the log, under the page's reference."""
        if isinstance(error, NotFound):
            return responses.page(self._pages.not_found(home_url=self._urls.home), status=404)
        if isinstance(error, MethodNotAllowed):
            html = self._pages.not_found(home_url=self._urls.home)
            return responses.method_not_allowed(html, allow=error.allow)
        reference = new_reference()
        if not isinstance(error, OAuth2Error):
            log.error("reference %s: unexpected %s", reference, type(error).__name__, exc_info=error)
            error = OAuth2Error(f"unexpected {type(error).__name__}: see the traceback", code="unexpected")
        provider = attempt.state.provider if attempt is not None else error.provider
        event = "refused" if attempt is None else "login_failed"
        audit(event, ref=reference, provider=provider, code=error.code, detail=error.detail)
        retry = self._urls.login(destination=attempt.destination if attempt is not None else destination)
        if isinstance(error, AccessDenied) and not isinstance(error, Declined):
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
                hints=STATE_HINTS if isinstance(error, (LostAttempt, GoingRound)) else (),
            )
        unreachable = isinstance(error, (ProviderUnavailable, StoreUnavailable))
        return responses.page(
            html, status=error.status, cookies=cookies, retry_after=_RETRY_AFTER if unreachable else None
        )

    def _forget_broken(self, response: Response, known: Known) -> Response:
        """Expire a session cookie that does not open, unless the response sets a new one."""
        if known.broken:
            responses.add_cookies(response, self._sessions.cookies.expire_session(known.sent))
        return response


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise MethodNotAllowed(", ".join(methods))


def _title(error: OAuth2Error) -> str:
    if isinstance(error, (ProviderUnavailable, StoreUnavailable)):
        return "Not reachable right now"
    if isinstance(error, RequestError):
        return "That did not make sense"
    if isinstance(error, Declined):
        return "Sign-in was cancelled"
    return "Sign-in did not work"
