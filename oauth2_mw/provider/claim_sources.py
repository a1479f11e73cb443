"""What is known about a person, and from which source: the ID token, userinfo, or the sign-in before a refresh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from oauth2_mw.errors import ProviderError, TokenError
from oauth2_mw.settings.presets import QuirkName

# They are about the response and not about the person, and a nonce is a secret of the sign-in.
_PROTOCOL_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})

#: A claim that proves another -> the one that it proves (OpenID Connect Core, section 5.1; Entra's optional claims).
_PROOFS = MappingProxyType(
    {"email_verified": "email", "xms_edov": "email", "phone_number_verified": "phone_number"}
)
#: What counts as a proof under any setting; 1 equals ``True``. Every other value speaks against an address, whichever
#: source says it.
_PROVING = (True, "true", "1")


@dataclass(frozen=True, slots=True)
class KnownClaims:
    """What a provider has said about a person so far, or says after a refresh, and the source of each claim."""

    claims: Mapping[str, Any] = field(repr=False)
    #: The names of the claims that userinfo gave, the last time that it answered. Those that it gives no more are gone;
    #: on all others it never had a say.
    from_userinfo: frozenset[str] = frozenset()
    #: the names of claims that a source which failed would have given, so that they are not known to be absent
    unknown: frozenset[str] = frozenset()

    @property
    def proved_otherwise(self) -> dict[str, Any]:
        """The claims that userinfo did not give."""
        return {name: value for name, value in self.claims.items() if name not in self.from_userinfo}

    @property
    def given_by_userinfo(self) -> dict[str, Any]:
        """The others."""
        return {name: value for name, value in self.claims.items() if name in self.from_userinfo}


NOTHING_KNOWN = KnownClaims({})


def without_protocol_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims that are about the person."""
    return {name: value for name, value in claims.items() if name not in _PROTOCOL_CLAIMS}


def given_by(userinfo: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the names of the claims that userinfo gave. Its ``sub`` is the one that was known already."""
    return frozenset(userinfo or ()) - {"sub"}


def check_about_same(userinfo: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Check that userinfo is about the person whose ``sub`` is known (OpenID Connect Core, section 5.3.2).

    :raises ProviderError: ``userinfo`` if it does not say whom it is about.
    :raises TokenError: ``userinfo_subject`` if it is about another person.
    """
    if "sub" not in userinfo:
        raise ProviderError(
            "userinfo names no sub, and is not used: it may be about anybody", code="userinfo"
        )
    if userinfo["sub"] != known.get("sub"):
        raise TokenError("userinfo is about another subject than the ID token", code="userinfo_subject")


def merge_claims(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of both, those of the first where both have one.

    A proof that one source gives counts for the value of the same source alone: the other may speak of another address.
    """
    merged = {**second, **first}
    for proof, proven in _PROOFS.items():
        verdicts = (
            source[proof]
            for source in (first, second)
            if source.get(proof) is not None
            and (source[proof] not in _PROVING or source.get(proven) == merged.get(proven))
        )
        merged[proof] = next(verdicts, None)
        if merged[proof] is None:
            del merged[proof]
    return merged


def with_verification(claims: Mapping[str, Any], quirk: QuirkName | None) -> Mapping[str, Any]:
    """Return the claims of one source with Entra's ``xms_edov`` as ``email_verified``, which it never sends.

    It says that the owner of the address's domain has verified it, as ``true``, 1, or the text ``"1"``.
    """
    if quirk != "entra":
        return claims
    if claims.get("email_verified") is not None or claims.get("xms_edov") is None:
        return claims
    return {**claims, "email_verified": claims["xms_edov"] in _PROVING}
