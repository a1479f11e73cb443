"""Signing in: out to the provider, and back with an answer that is checked before it is used.

The way back is one way: attempt, answer, identity, permission, directory, session, redirect. Whatever fails on it
raises, and nothing that came later has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from webob import Response

from oauth2_mw.errors import AccessDeniedError, OAuth2Error, ProviderError, RequestError, StateError
from oauth2_mw.identity.admission import Admission
from oauth2_mw.observe import audit
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import SignInDetails
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ProviderSettings, Settings
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.signin.attempt import Attempt, Attempts, State
from oauth2_mw.web.signin.challenge import Environ, is_top_level
from oauth2_mw.web.signin.device import address, device

#: The parameters of an authorization response (RFC 6749, 4.1.2; RFC 9207; OpenID Connect Session Management).
CALLBACK_PARAMETERS = frozenset(
    {"code", "state", "iss", "error", "error_description", "error_uri", "session_state"}
)
#: Those that are sentences for people: providers break their lines.
CALLBACK_PROSE = frozenset({"error_description"})
_MOST_STATE = 512
_MOST_CODE = 4096
#: How often an answer that does not fit begins a sign-in anew before a page explains.
_MOST_RESTARTS = 1


class AttemptLostError(StateError):
    """The second answer in a row that does not fit: something on the way keeps the attempt from coming back."""

    code = "attempt_lost"
    message = "Your sign-in could not be matched with this browser, twice in a row."


class LoginLoopError(StateError):
    """A circle of sign-ins: each worked, and none of them left a session that came back."""

    code = "login_loop"
    message = "Your sign-in works, but this browser does not keep it."


class SignInDeclinedError(AccessDeniedError):
    """The person, or the provider for them, said no (RFC 6749, section 4.1.2.1)."""

    code = "access_denied"
    message = "The sign-in was cancelled or declined."


class AttemptFailedError(Exception):
    """A failure on the way back, and what the page about it needs to know."""

    def __init__(self, error: Exception, attempt: Attempt, cookies: list[str]) -> None:
        super().__init__(str(error))
        self.error = error
        self.attempt = attempt
        self.cookies = cookies


class Login:
    """The sign-in of one application."""

    def __init__(
        self,
        settings: Settings,
        sessions: SessionManager,
        attempts: Attempts,
        urls: Urls,
        clients: Callable[[str], ProviderClient],
        admission: Admission,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._attempts = attempts
        self._urls = urls
        self._clients = clients
        self._admission = admission

    def begin(
        self,
        provider: str,
        destination: str | None,
        known: RequestSession,
        *,
        restarts: int = 0,
        login_hint: str | None = None,
    ) -> Response:
        """Send the browser to a provider.

        :param login_hint: who is about to sign in, for the provider's form (OpenID Connect Core, section 3.1.2.1).

        :raises ProviderUnavailable: when its metadata are needed and cannot be had.
        """
        try:
            return self._begin(provider, destination, known, restarts=restarts, login_hint=login_hint)
        except OAuth2Error as error:
            error.provider = provider
            raise

    def _begin(
        self,
        provider: str,
        destination: str | None,
        known: RequestSession,
        *,
        restarts: int,
        login_hint: str | None,
    ) -> Response:
        attempt, state, cookies = self._attempts.begin(
            provider,
            destination or self._urls.home_path,
            known.cookies,
            restarts=restarts,
            before=known.session.ref if known.session is not None else None,
        )
        client = self._clients(provider)
        url = client.authorization_url(
            state=state, nonce=attempt.nonce, code_verifier=attempt.code_verifier, login_hint=login_hint
        )
        location = self._urls.to_provider(url, endpoint=client.authorization_endpoint())
        return responses.redirect(location, cookies=cookies)

    def callback(
        self, provider: str, params: Mapping[str, str], environ: Environ, known: RequestSession
    ) -> Response:
        """Act upon the provider's answer.

        :raises RequestError, StateError: when the answer is not one to an attempt of ours.
        :raises FailedAttempt: when it is, and does not lead to a session.
        """
        state = self._state(provider, params)
        attempt = self._attempts.find(state, known.cookies)
        if attempt is None or not attempt.fresh(self._sessions.now()) or not self._attempts.use(attempt):
            return self._late(state, attempt, environ, known)
        try:
            return self._finish(self._settings.providers[provider], params, attempt, environ, known)
        except Exception as error:
            raise AttemptFailedError(error, attempt, self._attempts.spend(attempt, known.cookies)) from error

    def _state(self, provider: str, params: Mapping[str, str]) -> State:
        text = params.get("state", "")
        if not text:
            raise StateError("the answer carries no state", code="state_missing")
        if len(text) > _MOST_STATE or len(params.get("code", "")) > _MOST_CODE:
            raise RequestError(
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

    def _late(
        self, state: State, attempt: Attempt | None, environ: Environ, known: RequestSession
    ) -> Response:
        """An answer of ours that cannot be acted upon: a tab restored, the back button, a cookie that is gone."""
        destination = attempt.destination if attempt is not None else None
        if known.session is not None:
            return responses.redirect(
                self._urls.to_destination(destination), cookies=self._attempts.broken(known.cookies)
            )
        if state.restarts >= _MOST_RESTARTS or not is_top_level(environ):
            raise AttemptLostError(
                f"an answer for provider {state.provider!r} did not fit an attempt of this browser: "
                + (
                    "no cookie of that attempt"
                    if attempt is None
                    else "it was used or is older than its time"
                )
            )
        audit(
            "login_restarted",
            provider=state.provider,
            detail="the attempt was used, has expired or has no cookie",
        )
        response = self.begin(state.provider, destination, known, restarts=state.restarts + 1)
        return responses.add_cookies(response, self._attempts.broken(known.cookies))

    def _finish(
        self,
        provider: ProviderSettings,
        params: Mapping[str, str],
        attempt: Attempt,
        environ: Environ,
        known: RequestSession,
    ) -> Response:
        client = self._clients(provider.name)
        # Before the provider is asked: a logout that comes while it answers is later.
        begun = int(self._sessions.now())
        client.check_issuer(params.get("iss"))
        code = self._code(params)
        sign_in = client.redeem(code=code, nonce=attempt.nonce, code_verifier=attempt.code_verifier)
        identity = self._admission.admit(
            provider,
            issuer=sign_in.issuer,
            subject=sign_in.subject,
            claims=sign_in.claims,
            now=int(self._sessions.now()),
        )
        tokens = {
            "id_token": sign_in.tokens.id_token,
            "access_token": sign_in.tokens.access_token,
            "refresh_token": sign_in.tokens.refresh_token,
        }
        kept = self._sessions.create(
            provider,
            identity,
            tokens,
            known.cookies,
            sign_in=SignInDetails(
                issued_at=sign_in.issued if sign_in.issued is not None else begun,
                sid=sign_in.sid,
                device=device(environ.get("HTTP_USER_AGENT")),
                remote_addr=address(environ.get("REMOTE_ADDR")),
            ),
            expires_at=sign_in.tokens.expires_at,
        )
        before = known.session or attempt.before
        if before is not None:
            self._sessions.end(before)
        audit("login", user=identity.id, username=identity.username, provider=provider.name)
        cookies = [*kept, *self._attempts.spend(attempt, known.cookies, session_bytes=sum(map(len, kept)))]
        return responses.redirect(self._urls.to_destination(attempt.destination), cookies=cookies)

    def _code(self, params: Mapping[str, str]) -> str:
        error, code = params.get("error"), params.get("code")
        if error is not None and code is not None:
            raise RequestError("the answer carries an error and a code", code="error_and_code")
        if error == "access_denied":
            raise SignInDeclinedError(
                f"the provider answered access_denied: {params.get('error_description', '')}"
            )
        if error is not None:
            raise ProviderError(
                f"the provider answered {error}: {params.get('error_description', '')}", code="error_response"
            )
        if not code:
            raise ProviderError("the answer carries neither a code nor an error", code="code_missing")
        return code


def claims_needed(settings: Settings, provider: ProviderSettings) -> frozenset[AttributePath]:
    """The claims that settings refer to: when the ID token lacks one of them, userinfo is asked."""
    paths = {*provider.attribute_map.values(), provider.subject, *settings.environ_claims}
    for term in settings.allow or ():
        if term.field == "claim":
            paths.add(term.claim()[0])
        elif term.field in ("email", "email_domain"):
            paths.add(AttributePath.parse("email_verified"))
    return frozenset(paths)
