"""Requests that carry a personal token: whose it is, and whether it serves for this one.

A token stands for its owner as their last sign-in left them: the same ``allow`` and the same rules hold for both. It is
never a session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from oauth2_mw.access.allow import check_allowed
from oauth2_mw.access.path_set import PathSet
from oauth2_mw.access.rules import METHOD_OVERRIDES
from oauth2_mw.audit import audit
from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.credentials.fetch_metadata import is_cross_site
from oauth2_mw.credentials.personal_tokens import OwnedToken, PersonalTokens
from oauth2_mw.credentials.token_sleep import SLEEPS_SOON, last_provider
from oauth2_mw.credentials.token_text import TokenText
from oauth2_mw.errors import CredentialError, OAuth2Error, StoreUnavailableError
from oauth2_mw.identity.authorization import Authorization
from oauth2_mw.identity.environ import EnvironWriter
from oauth2_mw.identity.mapping import mapped_email
from oauth2_mw.identity.model import SERVICE_PROVIDER, Identity
from oauth2_mw.identity.usernames import name_key
from oauth2_mw.identity.verification import is_verified, shown_verification
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.settings.allow_list import AllowList
from oauth2_mw.settings.grammar import PathRule
from oauth2_mw.settings.model import ProviderSettings, Settings
from oauth2_mw.settings.text import shown

if TYPE_CHECKING:
    from oauth2_mw.identity.model import User
    from oauth2_mw.sql.personal_tokens import StoredToken

#: The methods that only read (RFC 9110, section 9.2.1; RFC 4918; RFC 3253, section 3.6; RFC 5323).
READING = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"})
#: Seconds for which a wrong token is refused without another look into the database.
WRONG_FOR = 60
#: Entries of each cache of a worker.
MAX_ENTRIES = 2000
_NOTED_EVERY = 60
_WARNED_EVERY = 86400

#: code -> what whoever runs the program reads
_MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        "token_asleep": "This token sleeps. Its owner signs in here in a browser to wake it.",
        "token_cross_site": "A page of another site cannot use a personal token.",
        "token_ran_out": "This token has run out. Its owner can make another.",
        "token_unreadable": "Send the token as Bearer, or as the password of Basic with your username.",
        "token_not_here": "Personal tokens do not serve at this address, or this one was made for others.",
        "token_owner_out": "The owner of this token may no longer use it.",
        "token_read_only": "This token was made for reading alone.",
        "token_username": "The username is not that of the token's owner.",
        "token_wrong": "There is no such token.",
    }
)


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """Who a request with a token is."""

    token: StoredToken
    #: where it serves
    paths: PathSet
    identity: Identity
    #: the variables that the application finds in its environ
    environ: dict[str, str] = field(repr=False)
    #: when the token falls asleep, in seconds since the epoch
    sleeps_at: float
    via: ClassVar[str] = "token"
    scopes: ClassVar[frozenset[str]] = frozenset[str]()


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database said of a token's text: whose it is, or why it counts for nobody."""

    found: TokenOwner | OAuth2Error
    #: monotonic time up to which this serves
    fresh_until: float


class TokenRequests:
    """Judges the requests of one application that carry a personal token.

    :param tokens: ``None`` if there are no tokens here.
    :param paths: where tokens serve.
    """

    def __init__(
        self, settings: Settings, tokens: PersonalTokens | None, *, paths: PathSet, clocks: Clocks
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._clocks = clocks
        self._writer = EnvironWriter(settings.environ, settings.environ_forms)
        self._paths = paths
        #: SHA-256 of what was sent -> what the database said of it
        self._cache: BoundedCache[bytes, _Known] = BoundedCache(max_entries=MAX_ENTRIES)
        #: id of a token -> monotonic time of the last note of its use, and of the last warning
        self._noted: BoundedCache[str, float] = BoundedCache(max_entries=MAX_ENTRIES)
        self._warned: BoundedCache[str, float] = BoundedCache(max_entries=MAX_ENTRIES)

    def accept(self, header: str, environ: Mapping[str, Any], path: str | None) -> TokenOwner:
        """Return who a request is.

        :param header: the ``Authorization`` that carries the token.
        :param path: ``PATH_INFO``, or ``None`` if it matches no rule.
        :raises CredentialError: if the token does not serve for this request.
        :raises AccessDeniedError: if its owner may not enter.
        :raises StoreUnavailableError: if the database cannot be asked.
        """
        if self._tokens is None or path is None or path not in self._paths:
            detail = f"{shown(path or '')} is not below any path of personal_tokens"
            raise _refusal(detail, code="token_not_here")
        authorization = Authorization.parse(header)
        if authorization is None:
            detail = "the header Authorization cannot be read, or has another scheme than Bearer and Basic"
            raise _refusal(detail, code="token_unreadable")
        if authorization.scheme == "basic" and is_cross_site(environ, origin=self._settings.origin):
            raise _refusal("a page of another site sent it along", code="token_cross_site")
        owner = self._find(authorization.secret, self._tokens)
        self._check(owner, authorization.username, environ, path)
        return owner

    def note_use(self, owner: TokenOwner) -> None:
        """Write down that a token was used: at most once a minute, and no request fails for it."""
        token = owner.token
        if self._tokens is None or not self._is_time(self._noted, token.id, _NOTED_EVERY):
            return
        try:
            written = self._tokens.note_use(token.id)
        except StoreUnavailableError:
            return
        if written and token.used_at is None:
            audit("token_used_first", identity=owner.identity, token=token.id)
        sleeps_soon = self._clocks.wall() >= owner.sleeps_at - SLEEPS_SOON
        if sleeps_soon and self._is_time(self._warned, token.id, _WARNED_EVERY):
            audit("token_sleeps_soon", identity=owner.identity, token=token.id)

    def _is_time(self, last: BoundedCache[str, float], token_id: str, every: int) -> bool:
        now, previous = self._clocks.monotonic(), last.get(token_id)
        if previous is not None and now < previous + every:
            return False
        last.put(token_id, now)
        return True

    def _find(self, text: str, tokens: PersonalTokens) -> TokenOwner:
        key, now = sha256(text.encode("utf-8", "surrogatepass")).digest(), self._clocks.monotonic()
        known = self._cache.get(key)
        is_new = known is None or now >= known.fresh_until
        if known is None or is_new:
            parsed = TokenText.parse(text)
            owned = tokens.look_up(parsed) if parsed is not None else None
            known = self._known(owned, now)
            self._cache.put(key, known)
        if isinstance(known.found, TokenOwner):
            return known.found
        # A copy: an exception that is raised again and again would hold on to every request's frames.
        error = copy(known.found)
        if isinstance(error, CredentialError):
            error.is_repeated = not is_new
        raise error

    def _known(self, owned: OwnedToken | None, now: float) -> _Known:
        if owned is None:
            detail = "there is no such token: it was mistyped, cut, or has been revoked"
            return _Known(_refusal(detail, code="token_wrong"), now + WRONG_FOR)
        fresh_until = now + self._settings.revocation_sync
        try:
            return _Known(self._owner(owned), fresh_until)
        except OAuth2Error as error:
            return _Known(copy(error), fresh_until)

    def _owner(self, owned: OwnedToken) -> TokenOwner:
        """Return the owner of a token as their last sign-in left them.

        :raises CredentialError, AccessDeniedError, ProviderError: if they may not come in.
        """
        token, user, left = owned.token, owned.owner, owned.last_sign_in
        is_service = user is not None and user.issuer == self._settings.public_url
        name = SERVICE_PROVIDER if is_service else left.provider if left is not None else None
        if user is None or user.disabled:
            state = "disabled" if user is not None else "gone"
            raise _refusal(f"its owner is {state}", code="token_owner_out", token=token, provider=name)
        if is_service:
            return self._service(token, user)
        provider = last_provider(self._settings, left) if left is not None else None
        if left is None or provider is None:
            detail = "its owner has not signed in at any provider that is enabled now"
            raise _refusal(detail, code="token_asleep", token=token, provider=name, username=user.username)
        identity = Identity(
            id=user.id,
            provider=left.provider,
            issuer=left.issuer,
            subject=left.subject,
            username=user.username,
            name=user.name,
            email=user.email,
            phone=user.phone,
            comment=user.comment,
            groups=user.groups,
            organizations=user.organizations,
            claims=left.claims,
        )
        _check_allowed(provider.allow, provider, identity)
        return self._token_owner(
            token, identity, sleeps_at=left.seen_at + self._settings.personal_token_owner_seen
        )

    def _service(self, token: StoredToken, user: User) -> TokenOwner:
        """Return the owner of a token who is a program: it never signs in, and so its tokens never sleep.

        :raises AccessDeniedError: if the ``allow`` of all providers does not let it in.
        """
        identity = Identity(user.id, SERVICE_PROVIDER, user.issuer, user.subject, user.username)
        _check_allowed(self._settings.allow, None, identity)
        return self._token_owner(token, identity, sleeps_at=inf)

    def _token_owner(self, token: StoredToken, identity: Identity, *, sleeps_at: float) -> TokenOwner:
        paths = PathSet(_rules(token.paths), odd_paths=self._settings.odd_paths)
        return TokenOwner(token, paths, identity, self._writer.plain(identity, {}), sleeps_at)

    def _check(self, owner: TokenOwner, username: str | None, environ: Mapping[str, Any], path: str) -> None:
        """Refuse a token that is its owner's, and does not serve for this request."""
        token, known, now = owner.token, owner.identity.username, self._clocks.wall()
        refusal = partial(_refusal, token=token, provider=owner.identity.provider, username=known)
        if username is not None and name_key(username) != name_key(known):
            raise refusal(f"it was sent with the username {shown(username)}", code="token_username")
        if now >= token.expires_at:
            raise refusal("it has run out: its owner makes another", code="token_ran_out")
        if now >= owner.sleeps_at:
            detail = "its owner has not signed in for longer than personal_token_owner_seen"
            raise refusal(detail, code="token_asleep")
        if path not in owner.paths:
            detail = f"{shown(path)} is not below any of its own paths, {' '.join(token.paths)}"
            raise refusal(detail, code="token_not_here", status=403)
        writing = sorted(set(_methods(environ)) - READING) if token.read_only else ()
        if writing:
            detail = f"it only reads, and the method is {shown(' '.join(writing))}"
            raise refusal(detail, code="token_read_only", status=403)


def _check_allowed(allow: AllowList | None, provider: ProviderSettings | None, identity: Identity) -> None:
    """Refuse an owner whom ``allow`` does not let in.

    :param provider: that of the last sign-in, or ``None`` for a program.
    """
    claims = identity.claims
    try:
        check_allowed(
            allow,
            provider=identity.provider,
            username=identity.username,
            email=mapped_email(provider, claims) if provider is not None else None,
            email_counts=provider is not None and is_verified(provider, "email", claims) is not False,
            groups=identity.groups,
            organizations=identity.organizations,
            claims=claims,
            origin=f"; at the last sign-in email_verified was {shown_verification(claims)}",
        )
    except OAuth2Error as error:
        error.provider = identity.provider
        raise


def _rules(paths: Iterable[str]) -> Iterator[PathRule]:
    """Yield the rules of a token, without those that a stricter release takes for none any more."""
    for path in paths:
        try:
            yield PathRule.parse(path)
        except ValueError:
            continue


def _methods(environ: Mapping[str, Any]) -> Iterator[str]:
    """Yield every method that an application may take for that of the request."""
    yield environ.get("REQUEST_METHOD", "GET")
    for key in METHOD_OVERRIDES:
        if key in environ:
            yield environ[key].strip().upper()


def _refusal(
    detail: str,
    *,
    code: str,
    token: StoredToken | None = None,
    provider: str | None = None,
    username: str | None = None,
    status: int = 401,
) -> CredentialError:
    error = CredentialError(detail, code=code, message=_MESSAGES[code])
    error.status, error.provider = status, provider
    if token is not None:
        error.token, error.user, error.username = token.id, token.user_id, username
    return error
