"""What a logout token must prove before it ends a session (OpenID Connect Back-Channel Logout 1.0, 2.4 and 2.6).

Anybody can send one to us. It must not be possible to make one of an ID token, which every application of the
provider has, nor to use one in place of an ID token; and a copy is worth nothing after minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata, allowed_algorithms
from oauth2_mw.provider.jose.jws import KeySource, TokenKind, verify_jws
from oauth2_mw.provider.tokens.claim_checks import (
    MAX_ID,
    check_parties,
    check_subject,
    check_times,
    is_id,
    seconds,
    subject_at,
)
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown

#: A plain JWT is accepted as well: the type is recommended only, and many providers do not write it (section 2.4).
LOGOUT_TOKEN = TokenKind("logout token", frozenset({"logout+jwt", "application/logout+jwt", "jwt"}))
EVENT = "http://schemas.openid.net/event/backchannel-logout"
#: seconds; providers send it at once, and are told to let it end after two minutes (section 4)
MAX_AGE = 600


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """A logout that the provider ordered: of one session there (``sid``), or of all those of a person (``subject``)."""

    issuer: str
    #: as in :attr:`SignIn.subject`
    subject: str | None
    sid: str | None
    #: names the token; one that comes again must have no second effect
    jti: str
    #: when it was issued, in seconds since the epoch
    issued: int
    #: from when on no copy of it is accepted any more, in seconds since the epoch
    expires: int


def validate_logout_token(
    token: str, *, provider: ProviderSettings, metadata: ProviderMetadata, keys: KeySource, now: float
) -> LogoutToken:
    """Read a logout token. Whether it came before, the caller knows.

    ``exp`` must be there, as the specification has it since it is final; those who wrote to a draft of it leave it out
    (older Keycloak and authentik, Ory Hydra), and how long a logout token may live is for its issuer to say.

    :param keys: finds the issuer's keys for a ``kid`` (or ``None``) and an algorithm.
    :param now: seconds since the epoch.
    :raises TokenError: with a code ``token_...`` or ``logout_...`` that names the check which failed.
    """
    signed = verify_jws(token, LOGOUT_TOKEN, algorithms=allowed_algorithms(provider, metadata), keys=keys)
    claims = signed.claims
    check_parties(signed, provider)
    _check_event(claims)
    check_times(signed, now=now, leeway=provider.leeway, oldest=MAX_AGE)
    jti = claims.get("jti")
    if not is_id(jti):
        raise TokenError(
            f"jti in the logout token is not a printable text of 1 to {MAX_ID} characters", code="logout_jti"
        )
    subject, sid = _whom(claims, provider.subject)
    issued = seconds(signed, "iat")
    return LogoutToken(
        issuer=claims["iss"],
        subject=subject,
        sid=sid,
        jti=jti,
        issued=int(issued),
        expires=int(min(seconds(signed, "exp"), issued + MAX_AGE)) + provider.leeway + 1,
    )


def _check_event(claims: Mapping[str, Any]) -> None:
    # It is what makes a token one of logout, and what no ID token has.
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise TokenError(
            f"the logout token does not tell of a logout: events is {shown(events)}", code="logout_event"
        )
    # Without one it can be no answer to a sign-in, whatever else it says.
    if "nonce" in claims:
        raise TokenError("the logout token has a nonce, which it must not have", code="logout_nonce")


def _whom(claims: Mapping[str, Any], path: AttributePath) -> tuple[str | None, str | None]:
    """Subject and session; what cannot be read is not passed over, for then too much or too little would end.

    :param path: where the subject stands. If that is not ``sub``, then ``sub`` tells nobody: one person's might be the
        subject of another.
    """
    sid = claims.get("sid")
    if "sid" in claims and not is_id(sid):
        raise TokenError(
            f"sid in the logout token is not a printable text of 1 to {MAX_ID} characters", code="logout_sid"
        )
    if "sub" in claims:
        check_subject(claims["sub"])
    subject = subject_at(path, claims) if path.get(claims) is not None else None
    if subject is None and sid is None:
        raise TokenError(
            f"the logout token names no session (sid) and no subject ({path.text})", code="logout_subject"
        )
    return subject, sid
