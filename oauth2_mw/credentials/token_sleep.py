"""When personal tokens fall asleep: their owner was not seen for ``personal_token_owner_seen``."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal

from oauth2_mw.credentials.personal_tokens import OwnedToken
from oauth2_mw.settings.model import ProviderSettings, Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.last_sign_ins import LastSignIn

#: Seconds before it falls asleep from which on a token says so.
SLEEPS_SOON = 14 * 86400


def sleep_state(settings: Settings, owned: OwnedToken, *, now: float) -> Literal["", "soon", "asleep"]:
    """Return whether a token sleeps or will soon: never that of a program, nor one that is refused whoever signs in.

    :param now: seconds since the epoch.
    """
    owner, last = owned.owner, owned.last_sign_in
    if owner is None or owner.disabled or now >= owned.token.expires_at:
        return ""
    if owner.issuer == settings.public_url:
        sleeps_at = inf
    elif last is None or last_provider(settings, last) is None:
        sleeps_at = -inf
    else:
        sleeps_at = last.seen_at + settings.personal_token_owner_seen
    if now >= sleeps_at:
        return "asleep"
    return "soon" if now >= sleeps_at - SLEEPS_SOON else ""


def last_provider(settings: Settings, last: LastSignIn) -> ProviderSettings | None:
    """Return where the last sign-in of a user was, or ``None`` if nobody signs in there any more."""
    provider = settings.providers.get(last.provider)
    return provider if provider is not None and last.issuer in provider.user_issuers else None
