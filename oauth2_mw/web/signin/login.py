"""Signing in: out to the provider, and back with an answer that is checked before it is used.

The way back is one way: attempt, answer, identity, permission, directory, session, redirect. A step that fails raises,
and no later step has been taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from webob import Request, Response

from oauth2_mw.errors import (
    AttemptLostError,
    BadRequestError,
    LoginLoopError,
    MountNotStrippedError,
    OAuth2Error,
    ProviderError,
    SignInDeclinedError,
    StateError,
    SwitchedOffError,
)
from oauth2_mw.identity.admission import Admission
from oauth2_mw.observe import audit
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import SignInDetails
from oauth2_mw.settings.model import ProviderSettings, Settings
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.forms import login_link, read_form, read_query, require_method
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.pages.pages import LoginButton, Pages
from oauth2_mw.web.signin.attempt import Attempt, Attempts, State
from oauth2_mw.web.signin.challenge import Environ, is_navigation, is_top_level, unauthorized
from oauth2_mw.web.signin.device import address, device

#: The parameters of an authorization response (RFC 6749, 4.1.2; RFC 9207; OpenID Connect Session Management).
_CALLBACK_PARAMETERS = frozenset(
    {"code", "state", "iss", "error", "error_description", "error_uri", "session_state"}
)
#: Those that are sentences for people: providers break their lines.
_CALLBACK_PROSE = frozenset({"error_description"})
_MAX_STATE = 512
_MAX_CODE = 4096
#: How often an answer that does not fit begins a sign-in anew before a page explains.
_MAX_RESTARTS = 1


class SignInFailedError(Exception):
    """A failure on the way in, and what the page about it needs to know.

    :param destination: where the person wanted to go.
    :param attempt: the attempt that failed; ``None`` before one is begun.
    :param cookies: ``Set-Cookie`` values that close the attempt.
    """

    def __init__(
        self,
        error: Exception,
        *,
        destination: str | None = None,
        attempt: Attempt | None = None,
        cookies: Iterable[str] = (),
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.destination = destination
        self.attempt = attempt
        self.cookies = cookies


class Login:
    """The sign-in of one application.

    :param clients: returns the client of a provider, by its NAME.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: SessionManager,
        attempts: Attempts,
        urls: Urls,
        pages: Pages,
        *,
        clients: Callable[[str], ProviderClient],
        admission: Admission,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._attempts = attempts
        self._urls = urls
        self._pages = pages
        self._clients = clients
        self._admission = admission

    # Out to the provider

    def challenge(self, environ: Environ, current: RequestSession, destination: str | None) -> Response:
        """Answer a request that needs a session and has none.

        :param destination: where the person wanted to go.
        :raises SignInFailedError: when no sign-in can begin.
        """
        try:
            if not self._settings.providers:
                raise SwitchedOffError("no provider is enabled")
            if self._urls.is_mount_in_path_info(environ.get("PATH_INFO", "")):
                raise MountNotStrippedError(
                    f"PATH_INFO begins with {self._settings.mount + self._settings.prefix!r}: have the server set "
                    f"SCRIPT_NAME, or strip the mount {self._settings.mount!r} in front of it"
                )
            if not is_navigation(environ):
                return unauthorized(self._urls, destination)
            if self._attempts.is_login_loop(current.cookies):
                raise LoginLoopError(
                    "three sign-ins within a minute left no session: is its cookie dropped on the way?"
                )
            return self._choose(destination, current)
        except Exception as error:
            raise SignInFailedError(error, destination=destination) from error

    def get(self, request: Request, current: RequestSession) -> Response:
        """``GET login/``: begin a sign-in, at a provider of the person's choice if there are several.

        :raises MethodNotAllowedError: for anything but GET and HEAD.
        :raises BadRequestError: when the query cannot be read.
        """
        require_method(request, "GET", "HEAD")
        destination, login_hint = login_link(request, self._urls)
        if not self._settings.providers:
            raise SwitchedOffError("no provider is enabled")
        if not is_top_level(request.environ):
            return unauthorized(self._urls, destination)
        return self._choose(destination, current, login_hint=login_hint)

    def get_at(self, request: Request, current: RequestSession, *, name: str) -> Response:
        """``GET login/NAME/``: begin a sign-in at that provider. Errors as with :meth:`get`."""
        require_method(request, "GET", "HEAD")
        destination, login_hint = login_link(request, self._urls)
        if not is_top_level(request.environ):
            # A picture on some page would begin attempts until no server reads this browser's cookies any more.
            return unauthorized(self._urls, destination)
        return self.begin(name, destination, current, login_hint=login_hint)

    def _choose(
        self, destination: str | None, current: RequestSession, *, login_hint: str | None = None
    ) -> Response:
        """Redirect to the only provider, or show the page that offers them all."""
        providers = self._settings.providers
        if len(providers) == 1 and not self._settings.login_page:
            return self.begin(next(iter(providers)), destination, current, login_hint=login_hint)
        buttons = [
            LoginButton(
                provider.label,
                self._urls.login(name, destination=destination, login_hint=login_hint),
                self._urls.icon(name) if provider.icon is not None else None,
            )
            for name, provider in providers.items()
        ]
        return responses.page(self._pages.login(buttons=buttons))

    def begin(
        self,
        provider: str,
        destination: str | None,
        current: RequestSession,
        *,
        restarts: int = 0,
        login_hint: str | None = None,
    ) -> Response:
        """Redirect the browser to a provider.

        :param restarts: how often this sign-in has been begun anew.
        :param login_hint: who is about to sign in, for the provider's form (OpenID Connect Core, section 3.1.2.1).
        :raises ProviderUnavailableError: when the provider's metadata is needed and cannot be fetched.
        """
        try:
            attempt, state, cookies = self._attempts.begin(
                provider,
                destination or self._urls.home_path,
                current.cookies,
                restarts=restarts,
                previous_session=current.session.ref if current.session is not None else None,
            )
            client = self._clients(provider)
            url = client.authorization_url(
                state=state, nonce=attempt.nonce, code_verifier=attempt.code_verifier, login_hint=login_hint
            )
            location = self._urls.to_provider(url, endpoint=client.authorization_endpoint())
        except OAuth2Error as error:
            error.provider = provider
            raise
        return responses.redirect(location, cookies=cookies)

    # Back from the provider

    def callback(self, request: Request, current: RequestSession, *, name: str) -> Response:
        """``login/callback/NAME/``: act upon the provider's answer.

        :raises MethodNotAllowedError: for another method than the provider's ``response_mode`` uses.
        :raises BadRequestError, StateError: when the answer belongs to no attempt of ours.
        :raises SignInFailedError: when it belongs to one, and leads to no session.
        """
        provider = self._settings.providers[name]
        # The response mode that was requested is the only one that is answered: neither the query beside a form nor a
        # form in place of a query is read. A HEAD would use up the code and show nobody the result.
        if provider.response_mode == "form_post":
            require_method(request, "POST")
            params = read_form(request, _CALLBACK_PARAMETERS, prose=_CALLBACK_PROSE)
        else:
            require_method(request, "GET")
            params = read_query(request, _CALLBACK_PARAMETERS, prose=_CALLBACK_PROSE)
        state = self._read_state(name, params)
        attempt = self._attempts.find(state, current.cookies)
        if (
            attempt is None
            or not attempt.is_pending(self._sessions.now())
            or not self._attempts.consume(attempt)
        ):
            return self._answer_late(state, attempt, request.environ, current)
        try:
            return self._finish(provider, params, attempt, request.environ, current)
        except Exception as error:
            cookies = self._attempts.close_failed(attempt, current.cookies)
            raise SignInFailedError(error, attempt=attempt, cookies=cookies) from error

    def _read_state(self, provider: str, params: Mapping[str, str]) -> State:
        text = params.get("state", "")
        if not text:
            raise StateError("the answer carries no state", code="state_missing")
        if len(text) > _MAX_STATE or len(params.get("code", "")) > _MAX_CODE:
            raise BadRequestError(
                "the state or the code is longer than any of ours or of a provider's", code="too_long"
            )
        state = self._attempts.open_state(text)
        if state is None:
            raise StateError(
                "the state was not made here, or with a key that has been retired", code="state_foreign"
            )
        if state.provider != provider:
            # Mix-up (RFC 9700, section 4.4): an answer that arrives at another provider's callback.
            raise StateError(
                f"the state belongs to provider {state.provider!r} and came to the callback of {provider!r}",
                code="state_of_other_provider",
            )
        return state

    def _answer_late(
        self, state: State, attempt: Attempt | None, environ: Environ, current: RequestSession
    ) -> Response:
        """Answer what cannot be acted upon any more: a restored tab, the back button, a cookie that is gone."""
        destination = attempt.destination if attempt is not None else None
        expired = self._attempts.expire_unusable(current.cookies)
        if current.session is not None:
            return responses.redirect(self._urls.to_destination(destination), cookies=expired)
        if state.restarts >= _MAX_RESTARTS or not is_top_level(environ):
            reason = "its cookie is gone" if attempt is None else "the attempt was used or has expired"
            raise AttemptLostError(
                f"an answer for provider {state.provider!r} fits no attempt of this browser: {reason}"
            )
        audit(
            "login_restarted",
            provider=state.provider,
            detail="the attempt was used, has expired or has no cookie",
        )
        response = self.begin(state.provider, destination, current, restarts=state.restarts + 1)
        return responses.add_cookies(response, expired)

    def _finish(
        self,
        provider: ProviderSettings,
        params: Mapping[str, str],
        attempt: Attempt,
        environ: Environ,
        current: RequestSession,
    ) -> Response:
        client = self._clients(provider.name)
        # Taken before the provider is called, so that a logout that arrives in the meantime is later.
        started = int(self._sessions.now())
        client.check_issuer(params.get("iss"))
        code = _authorization_code(params)
        authentication = client.redeem(code=code, nonce=attempt.nonce, code_verifier=attempt.code_verifier)
        identity = self._admission.admit(
            provider,
            issuer=authentication.issuer,
            subject=authentication.subject,
            claims=authentication.claims,
            now=int(self._sessions.now()),
        )
        tokens = {
            "id_token": authentication.tokens.id_token,
            "access_token": authentication.tokens.access_token,
            "refresh_token": authentication.tokens.refresh_token,
        }
        session_cookies = self._sessions.create(
            provider,
            identity,
            tokens,
            current.cookies,
            origin=SignInDetails(
                issued_at=authentication.issued_at if authentication.issued_at is not None else started,
                sid=authentication.sid,
                device=device(environ.get("HTTP_USER_AGENT")),
                remote_addr=address(environ.get("REMOTE_ADDR")),
            ),
            expires_at=authentication.tokens.expires_at,
        )
        previous = current.session or attempt.previous_session
        if previous is not None:
            self._sessions.end(previous)
        audit("login", user=identity.id, username=identity.username, provider=provider.name)
        session_bytes = sum(map(len, session_cookies))
        attempt_cookies = self._attempts.close_signed_in(attempt, current.cookies, session_bytes)
        return responses.redirect(
            self._urls.to_destination(attempt.destination), cookies=[*session_cookies, *attempt_cookies]
        )


def _authorization_code(params: Mapping[str, str]) -> str:
    error, code = params.get("error"), params.get("code")
    if error is not None and code is not None:
        raise BadRequestError("the answer carries an error and a code", code="error_and_code")
    description = params.get("error_description", "")
    if error == "access_denied":
        raise SignInDeclinedError(f"the provider answered access_denied: {description}")
    if error is not None:
        raise ProviderError(f"the provider answered {error}: {description}", code="error_response")
    if not code:
        raise ProviderError("the answer carries neither a code nor an error", code="code_missing")
    return code
