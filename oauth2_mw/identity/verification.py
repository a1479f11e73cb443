"""Whether an e-mail address counts as its owner's: the setting ``email_verified``, and what a provider says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oauth2_mw.access.terms import canonical_address
from oauth2_mw.encoding import json_type
from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.sentences import sentence
from oauth2_mw.settings.claim_names import EMAIL_CLAIM, username_addresses
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ProviderSettings


def is_verified(provider: ProviderSettings, field: str, claims: Mapping[str, Any]) -> bool | None:
    """Return whether the address that *field* is read from is verified, or ``None`` if nothing says so or otherwise.

    The claim ``email_verified`` proves the claim ``email`` alone, and only as JSON ``true`` (OpenID Connect Core,
    section 5.1). Anything else that it says speaks against every address.

    :param field: a local field that ``attribute_map`` maps: ``email`` or ``username``.
    """
    if provider.email_verified in ("always", "never"):
        return provider.email_verified == "always"
    verified = claims.get("email_verified")
    if verified is None:
        return None
    if verified is not True and not (provider.email_verified == "text" and verified == "true"):
        return False
    source = provider.attribute_map.get(field)
    return True if source is not None and source.chosen(claims).segments == EMAIL_CLAIM else None


def proven_address(provider: ProviderSettings, claims: Mapping[str, Any]) -> str | None:
    """Return the address that a sign-in proves to be the person's, in its one spelling, or ``None``.

    Only the claim ``email`` beside an ``email_verified`` of JSON ``true``, whatever else counts for other purposes: by
    such an address a person becomes a user of another provider.
    """
    source = provider.attribute_map.get("email")
    if (
        provider.email_verified not in ("claim", "text")
        or claims.get("email_verified") is not True
        or source is None
        or source.chosen(claims).segments != EMAIL_CLAIM
    ):
        return None
    return address_key(claims.get("email"))


def counted_address(provider: ProviderSettings, claims: Mapping[str, Any]) -> str | None:
    """Return the address of a sign-in, in its one spelling, if the provider has verified it; otherwise ``None``.

    What counts is what ``email_verified`` says, but for ``always``: by such an address a person takes the place that an
    operator has made for whoever has it.
    """
    if not counts_addresses(provider) or is_verified(provider, "email", claims) is not True:
        return None
    return address_key(claims.get("email"))


def counts_addresses(provider: ProviderSettings) -> bool:
    """Return whether :func:`counted_address` can be anything but ``None``."""
    return provider.email_verified in ("claim", "text") and len(provider.user_issuers) == 1


def address_key(email: object) -> str | None:
    """Return an address in its one spelling, or ``None`` if it has none."""
    canonical = canonical_address(email) if isinstance(email, str) else None
    return None if canonical is None else "@".join(canonical)


def check_username_verified(provider: ProviderSettings, claims: Mapping[str, Any]) -> None:
    """Refuse a username that is an address which the provider has not verified: it may be anybody's.

    :raises AccessDeniedError: ``email_not_verified``.
    """
    path = provider.attribute_map["username"].chosen(claims)
    if path not in username_addresses(provider.attribute_map) or is_verified(provider, "username", claims):
        return
    raise AccessDeniedError(
        f"provider {provider.name}: the username is read from {path.text}, and email_verified is "
        f"{shown_verification(claims)}: the person confirms the address at the provider; or map another claim to "
        "username in attribute_map; or, if every address of this provider is proven, write email_verified = always",
        code="email_not_verified",
        message=sentence(
            "Your e-mail address is not confirmed at {provider}. Please confirm it there and sign in again.",
            provider=provider.label,
        ),
    )


def keep_verification(claims: Mapping[str, Any], previous: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the claims of a refresh, with ``email_verified`` of the sign-in if they leave it out.

    A poorer answer does not take back what an ID token has proved of the same address.
    """
    kept = previous.get("email_verified")
    if (
        kept is None
        or claims.get("email_verified") is not None
        or claims.get("email") != previous.get("email")
    ):
        return claims
    return {**claims, "email_verified": kept}


def verification_claims(provider: ProviderSettings) -> frozenset[AttributePath]:
    """Return the claims that decide about the username: userinfo is asked for them if the ID token lacks one."""
    if provider.username_is_address and provider.email_verified in ("claim", "text"):
        return frozenset({AttributePath.parse("email_verified")})
    return frozenset()


def shown_verification(claims: Mapping[str, Any]) -> str:
    """Return what the claim ``email_verified`` says, for a message."""
    verified = claims.get("email_verified")
    if verified is None:
        return "absent"
    if isinstance(verified, bool):
        return "true" if verified else "false"
    shown = ascii(verified[:20]) if isinstance(verified, str) else ""
    return f"{json_type(verified)} {shown}".rstrip() + ", not a JSON boolean"
