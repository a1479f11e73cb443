"""The callback URLs: a provider's answer to a sign-in is checked before it is used.

The steps are attempt, answer, identity, permission, directory, session, redirect, always in this order. A step that
fails raises, and none of the later ones is taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace

from webob import Request, Response

from oauth2_mw.audit import audit
from oauth2_mw.credentials.strangers import Strangers
from oauth2_mw.errors import (
    AttemptLostError,
    BadRequestError,
    LoginTriesError,
    OAuth2Error,
    ProviderUnavailableError,
    StateError,
)
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.model import Identity
from oauth2_mw.provider.client import Authentication, ProviderClient
from oauth2_mw.provider.demand import NO_DEMAND, Demand
from oauth2_mw.provider.endpoints import form_user
from oauth2_mw.provider.endpoints.authorization_response import (
    PARAMETERS,
    PROSE,
    Refusal,
    quote_error,
    read_authorization_response,
    with_standard_code,
)
from oauth2_mw.provider.http.documents import DocumentError
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import SignInDetails
from oauth2_mw.settings.model import ProviderSettings, Settings
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.forms import read_form, read_query, require_method
from oauth2_mw.web.http.languages import accepted_languages
from oauth2_mw.web.http.peers import Peers
from oauth2_mw.web.signin.attempt import Attempt, Attempts, State
from oauth2_mw.web.signin.challenge import Environ, is_top_level
from oauth2_mw.web.signin.destinations import Destinations
from oauth2_mw.web.signin.device import device
from oauth2_mw.web.signin.kept_forms import FormKeeper
from oauth2_mw.web.signin.login import Login, SignInFailedError
from oauth2_mw.web.signin.step_up import check_met

_MAX_STATE = 512
_MAX_CODE = 4096
#: How often a sign-in is begun anew by itself; after that an error page explains.
_MAX_RESTARTS = 1


class Callback:
    """The callback URLs of one application.

    :param login: begins a sign-in anew if an answer fits no attempt.
    :param clients: returns the client of a provider, by its NAME.
    :param forms: those that wait for a sign-in, if any are kept.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: SessionManager,
        attempts: Attempts,
        *,
        destinations: Destinations,
        login: Login,
        clients: Callable[[str], ProviderClient],
        admission: Admission,
        peers: Peers,
        forms: FormKeeper | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._providers = settings.providers
        self._sessions = sessions
        self._attempts = attempts
        self._destinations = destinations
        self._login = login
        self._clients = clients
        self._admission = admission
        self._peers = peers
        self._forms = forms
        # For each its own: who is refused at one provider may still sign in at another.
        self._strangers = {
            name: Strangers(settings.trusted_peers, clock=clock, refusal=_too_many(name))
            for name in settings.providers
        }

    def answer(self, request: Request, current: RequestSession, *, name: str) -> Response:
        """``login/callback/NAME/``: sign the person in whom the provider's answer names.

        :raises MethodNotAllowedError: for another method than the provider's ``response_mode`` uses.
        :raises BadRequestError, StateError: if the answer belongs to no attempt of ours.
        :raises SignInFailedError: if it belongs to one, but does not lead to a session.
        """
        provider = self._providers[name]
        params = read_answer(request, provider)
        state = self._read_state(name, params)
        attempt = self._attempts.find(state, current.cookies)
        try:
            if (
                attempt is None
                or not attempt.is_pending(self._sessions.now())
                or not self._attempts.consume(attempt)
            ):
                return self._answer_late(state, attempt, request.environ, current, said=_said(params))
        except OAuth2Error as error:
            if attempt is None:
                raise
            raise SignInFailedError(error, destination=attempt.destination) from error
        try:
            try:
                return self._finish(provider, params, attempt, request.environ, current)
            except ProviderUnavailableError as error:
                # The provider may only have closed the connection, and the code may be used up: another costs nothing.
                if not (error.is_on_kept_connection and _can_restart(state, request.environ)):
                    raise
                return self._begin_anew(
                    attempt, request.environ, current, demand=attempt.demand, detail=error.detail
                )
        except Exception as error:
            cookies = self._attempts.close_failed(attempt, current.cookies)
            raise SignInFailedError(error, attempt=attempt, cookies=cookies) from error

    def _read_state(self, provider: str, params: Mapping[str, str]) -> State:
        text = params.get("state", "")
        if not text:
            raise StateError(f"the answer carries no state{_said(params)}", code="state_missing")
        if len(text) > _MAX_STATE or len(params.get("code", "")) > _MAX_CODE:
            raise BadRequestError(f"the state or the code is too long{_said(params)}", code="too_long")
        state = self._attempts.open_state(text)
        if state is None:
            raise StateError(
                f"the state was not made here, or with a key that has been retired{_said(params)}",
                code="state_foreign",
            )
        if state.provider != provider:
            # Mix-up (RFC 9700, section 4.4): an answer that arrives at another provider's callback.
            raise StateError(
                f"the state belongs to provider {state.provider!r} and came to the callback of {provider!r}"
                f"{_said(params)}",
                code="state_of_other_provider",
            )
        return state

    def _answer_late(
        self, state: State, attempt: Attempt | None, environ: Environ, current: RequestSession, *, said: str
    ) -> Response:
        """Handle an answer that comes too late: from a restored tab, the back button, or without its cookie.

        :param said: the error that the provider answered, for the log.
        """
        destination = attempt.destination if attempt is not None else None
        expired = self._attempts.expire_unusable(current.cookies)
        if current.session is not None:
            return responses.redirect(
                self._destinations.location(destination, provider=state.provider), cookies=expired
            )
        if not _can_restart(state, environ):
            reason = "its cookie is gone" if attempt is None else "the attempt was used or has expired"
            raise AttemptLostError(
                f"an answer for provider {state.provider!r} fits no attempt of this browser: {reason}{said}"
            )
        audit(
            "login_restarted",
            provider=state.provider,
            detail=f"the attempt was used, has expired or has no cookie{said}",
        )
        response = self._login.begin(
            state.provider,
            destination,
            current,
            restarts=state.restarts + 1,
            languages=accepted_languages(environ),
            demand=attempt.demand if attempt is not None else NO_DEMAND,
        )
        return responses.add_cookies(response, expired)

    def _answer_refusal(
        self, refusal: Refusal, attempt: Attempt, environ: Environ, current: RequestSession
    ) -> Response:
        """Begin the sign-in anew, once, where nobody has to be asked for it; or else raise the error."""
        if not (refusal.can_begin_anew and _can_restart(attempt.state, environ)):
            raise refusal.error
        demand = replace(attempt.demand, another_account=False) if refusal.at_prompt else attempt.demand
        return self._begin_anew(attempt, environ, current, demand=demand, detail=refusal.error.detail)

    def _begin_anew(
        self, attempt: Attempt, environ: Environ, current: RequestSession, *, demand: Demand, detail: str
    ) -> Response:
        state = attempt.state
        audit("login_restarted", provider=state.provider, detail=detail)
        response = self._login.begin(
            state.provider,
            attempt.destination,
            current,
            restarts=state.restarts + 1,
            previous_session=attempt.previous_session,
            languages=accepted_languages(environ),
            demand=demand,
        )
        return responses.add_cookies(response, self._attempts.close_failed(attempt, current.cookies))

    def _finish(
        self,
        provider: ProviderSettings,
        params: Mapping[str, str],
        attempt: Attempt,
        environ: Environ,
        current: RequestSession,
    ) -> Response:
        client = self._clients(provider.name)
        # Read before the provider is called, so that a logout that arrives in the meantime counts as later.
        began_at = self._sessions.now()
        try:
            client.check_issuer(params.get("iss"))
        except OAuth2Error as error:
            error.detail += _said(params)
            raise
        silent = provider.prompt == "none" and attempt.state.restarts == 0
        prompted = attempt.demand.another_account and provider.can_ask_for_account
        code = read_authorization_response(params, silent=silent, prompted=prompted)
        if isinstance(code, Refusal):
            return self._answer_refusal(code, attempt, environ, current)
        address, strangers = self._peers.client(environ), self._strangers[provider.name]
        strangers.check(address)
        with ExitStack() as until_signed_in:
            # Counted when it leaves: people who wait for a place have not failed.
            with client.place():
                until_signed_in.enter_context(strangers.one_try(address))
                authentication = client.redeem(
                    code=code,
                    nonce=attempt.nonce,
                    code_verifier=attempt.code_verifier,
                    issuer=params.get("iss"),
                    demand=attempt.demand,
                )
            check_met(attempt.demand, authentication.claims, provider, now=self._sessions.now())
            identity = self._admission.admit(
                provider,
                issuer=authentication.issuer,
                subject=authentication.subject,
                claims=authentication.claims,
                unknown=authentication.unknown,
                now=int(self._sessions.now()),
                unsigned_name=_unsigned_name(provider, params),
            )
            session_cookies = self._create_session(
                provider, identity, authentication, environ, current, began_at=began_at
            )
        previous = current.session or attempt.previous_session
        if previous is not None:
            self._sessions.end(previous)
        audit("login", identity=identity, address=address)
        session_bytes = sum(map(len, session_cookies))
        form_cookies: list[str] = []
        if self._forms is not None:
            destinations = self._attempts.destinations(current.cookies)
            form_cookies, form_bytes = self._forms.settle(
                identity, destinations, current.cookies, session_bytes=session_bytes
            )
            session_bytes += form_bytes
        attempt_cookies = self._attempts.close_signed_in(attempt, current.cookies, session_bytes)
        foreign = self._sessions.app_cookies.expire_foreign(environ.get("HTTP_COOKIE"), identity.id)
        last_used = []
        if len(self._providers) > 1:
            last_used = [self._sessions.cookies.set_last_provider(provider.name)]
        return responses.redirect(
            self._destinations.location(attempt.destination, provider=provider.name),
            cookies=[*session_cookies, *attempt_cookies, *form_cookies, *foreign, *last_used],
        )

    def _create_session(
        self,
        provider: ProviderSettings,
        identity: Identity,
        authentication: Authentication,
        environ: Environ,
        current: RequestSession,
        *,
        began_at: float,
    ) -> list[str]:
        tokens = {
            "id_token": authentication.tokens.id_token,
            "access_token": authentication.tokens.access_token,
            "refresh_token": authentication.tokens.refresh_token,
        }
        return self._sessions.create(
            provider,
            identity,
            tokens,
            current.cookies,
            sign_in=SignInDetails(
                issued_at=authentication.issued_at if authentication.issued_at is not None else int(began_at),
                sid=authentication.sid,
                device=device(environ.get("HTTP_USER_AGENT")),
                remote_addr=self._peers.client(environ),
            ),
            began_at=began_at,
            expires_at=authentication.tokens.expires_at,
            from_userinfo=authentication.from_userinfo,
        )


def read_answer(request: Request, provider: ProviderSettings) -> Mapping[str, str]:
    """Return the parameters of a provider's answer, the code under its standard name.

    :raises MethodNotAllowedError: for another method than the provider's ``response_mode`` uses.
    :raises BadRequestError: if they cannot be read.
    """
    # Only the response mode that was requested is accepted: a query beside a form is not read, nor a form in place of
    # a query. A HEAD would use up the code and show nobody the result.
    if provider.response_mode == "form_post":
        require_method(request, "POST")
        added = form_user.fields(provider.quirk)
        return with_standard_code(read_form(request, PARAMETERS | added, prose=PROSE | added))
    require_method(request, "GET")
    return with_standard_code(read_query(request, PARAMETERS, prose=PROSE))


def _unsigned_name(provider: ProviderSettings, params: Mapping[str, str]) -> str | None:
    try:
        return form_user.read_name(params)
    except DocumentError as error:
        detail = f"name is left out: the form field {form_user.FIELD} cannot be used: {error}"
        audit("attribute_unusable", provider=provider.name, detail=detail)
        return None


def _too_many(provider: str) -> Callable[[str], LoginTriesError]:
    return lambda reason: LoginTriesError(f"codes that provider {provider} is asked to redeem: {reason}")


def _can_restart(state: State, environ: Environ) -> bool:
    return state.restarts < _MAX_RESTARTS and is_top_level(environ)


def _said(params: Mapping[str, str]) -> str:
    """Return what the log adds about an answer that is not acted upon: the error that it carries, if any."""
    quoted = quote_error(params)
    return f"; {quoted}" if quoted else ""
