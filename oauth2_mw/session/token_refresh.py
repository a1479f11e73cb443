"""What a provider is asked for when a session's tokens end, and what becomes of the session (RFC 6749, section 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from oauth2_mw.audit import audit
from oauth2_mw.errors import (
    AccessDeniedError,
    LoginError,
    OAuth2Error,
    ProviderError,
    ProviderUnavailableError,
    StoreUnavailableError,
    TokenError,
)
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.model import Identity
from oauth2_mw.identity.verification import keep_verification
from oauth2_mw.provider.claim_sources import KnownClaims
from oauth2_mw.provider.client import ProviderClient, RefreshResult
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import RefreshSchedule, Session
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.telemetry import count

#: How and when somebody authenticated is a matter of the sign-in.
_OF_THE_SIGN_IN = ("acr", "auth_time", "amr")
#: Seconds until a provider that could not be reached is tried again.
RETRY = 30
#: Seconds until a refresh token is sent again that may have left, with no answer. The provider may have used it up.
#: Those that have a grace for that (Okta and Amazon Cognito up to 60 seconds, Auth0 as it is told) take it once more
#: within it: so the next try comes soon, and not at once, for the first may still be under way.
UNANSWERED_RETRY = 10


class TokenRefresher:
    """Refreshes and revokes the tokens of sessions at their providers.

    :param clients: finds the client of a provider by its NAME.
    """

    def __init__(
        self,
        providers: Mapping[str, ProviderSettings],
        sessions: SessionManager,
        clients: Callable[[str], ProviderClient],
        admission: Admission,
    ) -> None:
        self._providers = providers
        self._sessions = sessions
        self._clients = clients
        self._admission = admission
        #: the providers of which it was said that a refresh leaves claims as they were
        self._told: set[str] = set()

    def refresh(self, session: Session) -> Session | None:
        """Return the session with new tokens, unchanged if the provider is unreachable, or ``None`` if it must end."""
        provider = self._providers[session.identity.provider]
        try:
            response = self._clients(provider.name).refresh(
                session.tokens["refresh_token"],
                subject=session.identity.subject,
                issuer=session.identity.issuer,
                auth_time=session.identity.auth_time,
                id_token=session.tokens.get("id_token"),
                known=KnownClaims(
                    self._admission.known_claims(provider, session.identity),
                    frozenset(session.from_userinfo),
                ),
            )
        except ProviderUnavailableError as error:
            code, seconds = ("refresh_unanswered", UNANSWERED_RETRY) if error.is_sent else (error.code, RETRY)
            audit("refresh_postponed", code=code, identity=session.identity, detail=error.detail)
            return self._postponed(session, seconds)
        except TokenError as error:
            # The provider says something that cannot be true of this session, such as another subject.
            _audit_refusal(session, error)
            return None
        except ProviderError as error:
            return self.give_up(session, error.detail, code=error.code)
        try:
            refreshed = self._sessions.shrink_to_fit(self._updated(session, provider, response))
        except LoginError as error:
            audit("access_withdrawn", code=error.code, identity=session.identity, detail=error.detail)
            return None
        count("refreshes", provider.name, "success")
        return refreshed

    def give_up(self, session: Session, detail: str, *, code: str = "refresh_lost") -> Session | None:
        """Return the session without its refresh token, or ``None`` if ``refresh_failure`` says that it has to end."""
        _audit_refusal(session, ProviderError(detail, code=code))
        if self._providers[session.identity.provider].refresh_failure == "end":
            return None
        tokens = {kind: text for kind, text in session.tokens.items() if kind != "refresh_token"}
        return replace(session, tokens=MappingProxyType(tokens), refresh_schedule=None)

    def revoke(self, session: Session) -> None:
        """Revoke a session's tokens (RFC 7009), as far as the provider can. Never raises."""
        for kind in ("refresh_token", "access_token"):
            token = session.tokens.get(kind)
            if token is None:
                continue
            try:
                self._clients(session.identity.provider).revoke(token, kind=kind)
            except OAuth2Error as error:
                audit("revocation_failed", code=error.code, identity=session.identity, detail=error.detail)
            # With the refresh token go the access tokens that came of it (section 2.1).
            return

    def _updated(self, session: Session, provider: ProviderSettings, response: RefreshResult) -> Session:
        now = self._sessions.now()
        tokens = {
            **session.tokens,
            **self._sessions.select_tokens(
                {
                    "access_token": response.tokens.access_token,
                    "id_token": response.tokens.id_token,
                    "refresh_token": response.tokens.refresh_token,
                }
            ),
        }
        refreshed = replace(
            session.touched(now),
            identity=self._identity(session.identity, provider, response, now=int(now)),
            tokens=MappingProxyType(tokens),
            refresh_schedule=RefreshSchedule.of(response.tokens.expires_at, now=now, session_id=session.id),
        )
        if response.claims is not None:
            refreshed = replace(refreshed, from_userinfo=tuple(sorted(response.from_userinfo)))
        if provider.is_oidc and response.tokens.id_token is None:
            self._tell_of_kept_claims(refreshed, provider)
        return refreshed

    def _tell_of_kept_claims(self, session: Session, provider: ProviderSettings) -> None:
        """Say once for each provider that ``allow`` decides by what an ID token said, and no refresh says anew."""
        known = self._admission.known_claims(provider, session.identity)
        kept = sorted(
            path.text
            for path in provider.deciding_claims
            if not path.roots <= {*session.from_userinfo} and path.get(known) is not None
        )
        if not kept or provider.name in self._told:
            return
        self._told.add(provider.name)
        audit(
            "claims_kept",
            provider=provider.name,
            detail=f"a refresh brought no ID token, and allow reads {', '.join(kept)}, which stay what they were until "
            "the session ends: write refresh_needs_id_token = true to end it instead",
        )

    def _identity(
        self, previous: Identity, provider: ProviderSettings, response: RefreshResult, *, now: int
    ) -> Identity:
        if response.claims is None:
            self._note_seen(previous, now=now)
            return previous
        new = keep_verification(response.claims, previous.claims)
        claims = {name: value for name, value in new.items() if name not in _OF_THE_SIGN_IN}
        claims |= {name: previous.claims[name] for name in _OF_THE_SIGN_IN if name in previous.claims}
        try:
            identity = self._admission.admit_again(
                provider,
                issuer=previous.issuer,
                subject=previous.subject,
                claims=claims,
                unknown=response.unknown,
                now=now,
            )
        except StoreUnavailableError as error:
            # The old refresh token is used up: the new one must not be lost because the directory cannot be reached.
            audit("refresh_without_directory", identity=previous, detail=error.detail)
            return previous
        if identity.id != previous.id:
            raise AccessDeniedError(
                f"({previous.issuer}, {previous.subject}) is user {identity.id} by now and was {previous.id}",
                code="user_changed",
            )
        return replace(identity, acr=previous.acr, auth_time=previous.auth_time)

    def _note_seen(self, identity: Identity, *, now: int) -> None:
        try:
            self._admission.note_seen(identity, now=now)
        except StoreUnavailableError as error:
            audit("refresh_without_directory", identity=identity, detail=error.detail)

    def _postponed(self, session: Session, seconds: int) -> Session:
        schedule = session.refresh_schedule
        if schedule is None:
            return session
        refresh_at = int(self._sessions.now()) + seconds
        return replace(session, refresh_schedule=RefreshSchedule(refresh_at, schedule.token_expires_at))


def _audit_refusal(session: Session, error: OAuth2Error) -> None:
    identity = session.identity
    audit("refresh_refused", code=error.code, identity=identity, detail=error.detail)
