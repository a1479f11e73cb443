"""Requests that carry an access token of a provider: whose token it is, and who the request is by it.

The token is judged as the provider's setting ``accept_tokens`` says, and its user as at a sign-in. It is never a
session.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, ClassVar

from oauth2_mw.audit import audit
from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.credentials.introspections import Answer, Introspections
from oauth2_mw.errors import AccessDeniedError, CredentialError, ProviderError, TokenError
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.environ import EnvironWriter
from oauth2_mw.identity.model import Identity
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.jose.jws import MAX_TOKEN, read_jws
from oauth2_mw.provider.tokens.access_token import UNTYPED, AccessToken, kind_of
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.settings.model import ProviderSettings, Settings
from oauth2_mw.settings.text import shown

#: Seconds for which a refused token is refused without another look.
WRONG_FOR = 5
MAX_ENTRIES = 2000
# RFC 6750, section 2.1.
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.ASCII | re.IGNORECASE)
_MESSAGE = "The access token does not serve here."


@dataclass(frozen=True, slots=True)
class TokenUser:
    """Who a request with an access token is."""

    identity: Identity
    #: the variables that the application finds in its environ
    environ: dict[str, str] = field(repr=False)
    scopes: frozenset[str]
    #: monotonic time up to which this serves
    fresh_until: float
    #: what the token says, in seconds since the epoch, with ``leeway``: the clock may be set meanwhile
    ends_at: float
    via: ClassVar[str] = "bearer"


@dataclass(frozen=True, slots=True)
class _Refusal:
    error: CredentialError | AccessDeniedError
    #: monotonic
    fresh_until: float


class AccessTokens:
    """Judges the requests of one application that carry an access token. Each process has its own.

    :param clients: returns the client of a provider, by its NAME.
    """

    def __init__(
        self,
        settings: Settings,
        admission: Admission,
        clients: Callable[[str], ProviderClient],
        *,
        clocks: Clocks,
    ) -> None:
        self._sync = settings.revocation_sync
        self._admission = admission
        self._clients = clients
        self._clocks = clocks
        self._writer = EnvironWriter(settings.environ, settings.environ_forms)
        providers = settings.providers.values()
        self._reading = tuple(each for each in providers if each.accepts_jwts)
        #: the one that is asked; the settings allow no second
        self._asked = next((each for each in providers if "introspection" in each.accept_tokens), None)
        self._introspections: Introspections | None = None
        if self._asked is not None:
            name = self._asked.name
            self._introspections = Introspections(
                name,
                lambda: clients(name),
                proxies=settings.trusted_peers,
                sync=self._sync,
                clocks=clocks,
            )
        #: SHA-256 of a token -> who it is, and why it does not serve: strangers fill the second alone
        self._users: BoundedCache[bytes, TokenUser] = BoundedCache(max_entries=MAX_ENTRIES)
        self._refused: BoundedCache[bytes, _Refusal] = BoundedCache(max_entries=MAX_ENTRIES)

    def accept(self, header: str, *, address: str | None) -> TokenUser:
        """Return who a request is.

        :param header: its ``Authorization``, of the scheme ``Bearer``.
        :param address: that of the client, if it is known.
        :raises CredentialError: if the token does not serve.
        :raises AccessDeniedError: if its user may not enter.
        :raises StoreUnavailableError, ProviderUnavailableError, ProviderError: if it cannot be judged.
        """
        match = _BEARER.fullmatch(header.strip(" \t"))
        if match is None or len(match[1]) > MAX_TOKEN:
            detail = f"what follows Bearer is no token, or longer than {MAX_TOKEN} characters"
            raise _refusal(detail, code="token_unreadable", status=400)
        text = match[1]
        key, now = sha256(text.encode("ascii")).digest(), self._clocks.monotonic()
        user = self._users.get(key)
        if user is not None and now < user.fresh_until and self._clocks.wall() < user.ends_at:
            return user
        refused = self._refused.get(key)
        if refused is not None and now < refused.fresh_until:
            # A copy: an exception that is raised again and again would hold on to every request's frames.
            error = copy(refused.error)
            error.is_repeated = True
            raise error
        try:
            judged = self._judge(text, key, address=address)
        except (CredentialError, AccessDeniedError) as error:
            self._users.pop(key)
            self._refused.put(key, _Refusal(copy(error), now + WRONG_FOR))
            raise
        self._users.put(key, judged)
        return judged

    def _judge(self, text: str, key: bytes, *, address: str | None) -> TokenUser:
        provider, is_read = self._provider_of(text)
        try:
            answer = self._read(provider, text, key, is_read=is_read, address=address)
            token = answer.token
            _check_scopes(token, provider)
            identity = self._admit(provider, token)
        except (CredentialError, AccessDeniedError) as error:
            error.provider = provider.name
            raise
        environ = self._writer.plain(identity, {})
        if self._users.get(key) is None:
            client = shown(token.client_id) if token.client_id is not None else "unknown"
            audit("bearer_accepted", identity=identity, address=address, detail=f"client: {client}")
        fresh_until = min(answer.fresh_until, self._clocks.monotonic() + self._sync)
        return TokenUser(identity, environ, token.scopes, fresh_until, token.expires_at + provider.leeway)

    def _read(
        self, provider: ProviderSettings, text: str, key: bytes, *, is_read: bool, address: str | None
    ) -> Answer:
        try:
            if is_read or self._introspections is None:
                token = self._clients(provider.name).read_access_token(text)
                left = token.expires_at + provider.leeway - self._clocks.wall()
                return Answer(token, self._clocks.monotonic() + left)
            return self._introspections.read(text, key, address=address)
        except TokenError as error:
            raise _refusal(error.detail, code=error.code) from error

    def _admit(self, provider: ProviderSettings, token: AccessToken) -> Identity:
        try:
            return self._admission.admit_token(
                provider,
                issuer=token.issuer,
                subject=token.subject,
                claims=token.claims,
                now=int(self._clocks.wall()),
            )
        except ProviderError as error:
            # Everything that a sign-in would take from elsewhere must be in the token.
            raise _refusal(
                f"{error.detail}; an access token is taken for what it says itself: have the provider put the claim "
                "into it, or name another in attribute_map",
                code=error.code,
                status=403,
            ) from error

    def _provider_of(self, text: str) -> tuple[ProviderSettings, bool]:
        """Return whose token it is, as far as it says, and whether it is read here.

        :raises CredentialError: if it is nobody's who is asked or read here.
        """
        asked = self._asked
        try:
            header, claims = read_jws(text, UNTYPED)
        except TokenError as error:
            if asked is None:
                raise _refusal(error.detail, code=error.code) from error
            return asked, False
        iss = claims.get("iss")
        read = [each for each in self._reading if _speaks_for(iss, each)]
        provider = next((each for each in read if _names_audience(claims, each)), read[0] if read else None)
        if provider is not None and (provider is not asked or _is_of_kind(header, provider)):
            return provider, True
        # One that names another issuer is none of this provider's business.
        if asked is not None and (iss is None or _speaks_for(iss, asked)):
            return asked, False
        accepting = (*self._reading, *(() if asked is None else (asked,)))
        accepted = sorted({issuer for each in accepting for issuer in each.token_issuers})
        raise _refusal(
            f"it comes from issuer {shown(iss)}, and those of accept_tokens are {' '.join(accepted)}",
            code="token_issuer",
        )


def _speaks_for(iss: object, provider: ProviderSettings) -> bool:
    """Return whether the issuer that a token names, unverified, is that provider's."""
    return isinstance(iss, str) and iss in provider.token_issuers


def _is_of_kind(header: Mapping[str, Any], provider: ProviderSettings) -> bool:
    typ = header.get("typ", "JWT")
    return isinstance(typ, str) and typ.lower() in kind_of(provider).types


def _names_audience(claims: Mapping[str, Any], provider: ProviderSettings) -> bool:
    """Return whether a token says, unverified, that it is for an audience of that provider."""
    named = provider.token_audience_claim.get(claims)
    return any(each in provider.token_audiences for each in (named if isinstance(named, list) else [named]))


def _check_scopes(token: AccessToken, provider: ProviderSettings) -> None:
    missing = tuple(each for each in provider.token_scopes if each not in token.scopes)
    if missing:
        error = _refusal(
            f"it lacks {' '.join(missing)} of token_scopes; its scopes are {shown(' '.join(sorted(token.scopes)))}",
            code="token_scope",
            status=403,
        )
        error.scopes = provider.token_scopes
        raise error


def _refusal(detail: str, *, code: str, status: int = 401) -> CredentialError:
    error = CredentialError(detail, code=code, message=_MESSAGE)
    error.status = status
    return error
