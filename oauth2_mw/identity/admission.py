"""Decide who a person is and whether they may enter: map the claims, look the user up, judge, and only then write.

A person who may not enter leaves no trace in the directory. What is judged is the user as this sign-in would leave it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from oauth2_mw.access.allow import check_allowed
from oauth2_mw.audit import audit
from oauth2_mw.boundary import numeric_date
from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.identity.group_origin import approval_link, shown_groups
from oauth2_mw.identity.hooks import NO_HOOKS, Hooks
from oauth2_mw.identity.mapping import (
    Attributes,
    map_claims,
    mapped_email,
    mapped_groups,
    unusable_attributes,
    with_groups,
    without_groups,
)
from oauth2_mw.identity.model import Identity, User, freeze, user_key
from oauth2_mw.identity.unknown_claims import (
    are_groups_unknown,
    check_denials,
    check_denials_of_token,
    without_unknown_groups,
)
from oauth2_mw.identity.usernames import bad_username, fault_alone
from oauth2_mw.identity.verification import (
    check_username_verified,
    counted_address,
    is_verified,
    proven_address,
    shown_verification,
)
from oauth2_mw.sentences import sentence, sentences
from oauth2_mw.settings.attribute_path import AttributePath
from oauth2_mw.settings.model import ProviderSettings, Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory
    from oauth2_mw.identity.last_sign_ins import LastSignIn


@dataclass(frozen=True, slots=True)
class _Arrival:
    """What is told of a person who wants to enter, and by what."""

    provider: ProviderSettings
    issuer: str
    subject: str
    claims: Mapping[str, Any]
    #: seconds since the epoch
    now: int
    #: the names of claims that are not known to be absent
    unknown: frozenset[str] = frozenset()
    #: the name that a new user has if the claims hold none
    unsigned_name: str | None = None
    #: whether who is unknown is added, and whether they are linked to the user who has their address
    creates: bool = False
    links: bool = False
    #: whether a browser comes with it for the first time, so that it takes the place that an operator has made
    is_new: bool = False
    #: what the application is told
    hooks: Hooks = NO_HOOKS
    #: ``False`` for an access token
    is_sign_in: bool = True


class Admission:
    """The rules of one application about who may enter, and as whom.

    :param directory: the user directory, or ``None`` if users live in their sessions alone.
    :param hooks: what the application is told.
    """

    def __init__(self, settings: Settings, directory: Directory | None, hooks: Hooks = NO_HOOKS) -> None:
        self._hooks = hooks
        self._has_told_of_octets = False
        self._create = settings.create_users
        self._links = settings.link_by == "verified_email"
        self._directory = directory
        self._environ_claims = settings.environ_claims
        #: the application for which what a sign-in leaves is kept, where requests with a personal token need it
        self._app = settings.public_url if settings.personal_tokens else None

    def admit(
        self,
        provider: ProviderSettings,
        *,
        issuer: str,
        subject: str,
        claims: Mapping[str, Any],
        now: int,
        unknown: frozenset[str] = frozenset(),
        unsigned_name: str | None = None,
    ) -> Identity:
        """Return the identity of a person who has just signed in as (*issuer*, *subject*).

        :param now: seconds since the epoch.
        :param unknown: the names of claims that are not known to be absent: their source failed.
        :param unsigned_name: the name that a new user has if the claims hold none: anybody may have written it.
        :raises ProviderError: if the claims hold no usable username, or it is unknown whether a rule denies this person
            something.
        :raises AccessDeniedError: if the person may not enter, is disabled, or would take another's name; or if the
            application's ``on_login`` refuses them.
        :raises StoreUnavailableError: if the directory cannot be used.
        """
        arrival = _Arrival(
            provider,
            issuer,
            subject,
            claims,
            now,
            unknown=unknown,
            unsigned_name=unsigned_name,
            creates=self._create,
            links=self._links,
            is_new=True,
            hooks=self._hooks,
        )
        identity = self._admit(arrival)
        if not (identity.username.isascii() or self._has_told_of_octets):
            self._has_told_of_octets = True
            audit(
                "name_not_ascii",
                identity=identity,
                detail="REMOTE_USER holds the octets of the name, which most applications take for letters: see "
                "username_transform",
            )
        return identity

    def admit_again(
        self,
        provider: ProviderSettings,
        *,
        issuer: str,
        subject: str,
        claims: Mapping[str, Any],
        now: int,
        unknown: frozenset[str] = frozenset(),
    ) -> Identity:
        """Return the identity of a person who is signed in, from the claims that a refresh has brought.

        Raises as :meth:`admit` does, and refuses a person who is no longer in the directory.
        """
        return self._admit(_Arrival(provider, issuer, subject, claims, now, unknown=unknown))

    def admit_token(
        self, provider: ProviderSettings, *, issuer: str, subject: str, claims: Mapping[str, Any], now: int
    ) -> Identity:
        """Return the identity of the user for whom an access token stands, without signing anybody in.

        Whom the directory knows the token does not change: name and groups are those of their last sign-in. Who has
        never signed in has the groups that the token says, where ``group_sync`` is ``always``. Anybody else is admitted
        as at a first sign-in, and linked to nobody. How somebody signed in no token says, so that neither ``acr`` nor
        ``auth_time`` is there.

        :param claims: those of the token.

        The other parameters, and what it raises, are those of :meth:`admit`; also :class:`AccessDeniedError` if the
        token does not say whether a rule denies its user something.
        """
        directory = self._directory
        stored = directory.find(issuer, subject) if directory is not None else None
        check_denials_of_token(provider, claims, reads_groups=stored is None)
        if stored is None:
            arrival = _Arrival(
                provider,
                issuer,
                subject,
                claims,
                now,
                creates=self._create,
                hooks=self._hooks,
                is_sign_in=False,
            )
            return self._admit(arrival)
        if stored.disabled:
            from oauth2_mw.identity.sign_ins import disabled_error

            raise disabled_error(stored.id)
        if not stored.username:
            raise AccessDeniedError(
                f"user {stored.id} has never signed in: an operator has added them, and an access token gives no name",
                code="user_unknown",
                message="You have not signed in here yet. Please sign in once in a browser.",
            )
        if not stored.has_signed_in and provider.group_sync == "always":
            groups = mapped_groups(provider, claims)
            stored = stored if groups is None else replace(stored, groups=groups)
        self._judge(
            provider, stored, Attributes(stored.username, email=mapped_email(provider, claims)), claims
        )
        kept = without_groups(provider, claims, read=self._read(provider))
        identity = _identity(provider, stored, kept, issuer=issuer, subject=subject, is_sign_in=False)
        self._hooks.on_login(identity)
        return identity

    def _admit(self, arrival: _Arrival) -> Identity:
        provider, claims = arrival.provider, arrival.claims
        attributes = map_claims(provider, claims)
        for detail in unusable_attributes(provider, claims, attributes):
            audit("attribute_unusable", provider=provider.name, detail=detail)
        check_username_verified(provider, claims)
        try:
            return self._enter(arrival, attributes)
        except AccessDeniedError as error:
            error.username = attributes.username
            raise

    def _enter(self, arrival: _Arrival, attributes: Attributes) -> Identity:
        provider, claims, hooks = arrival.provider, arrival.claims, arrival.hooks
        issuer, subject, is_sign_in = arrival.issuer, arrival.subject, arrival.is_sign_in
        directory = self._directory
        proven = proven_address(provider, claims)
        counted = counted_address(provider, claims) if arrival.is_new else None
        stored = directory.find(issuer, subject, counted=counted) if directory is not None else None
        if stored is None or stored.subject:
            # Nobody is waited for by that address.
            counted = None
        if stored is None and directory is not None and arrival.links and proven is not None:
            stored = directory.find_by_address(issuer, proven, subject=subject)
        is_first = stored is None or not stored.has_signed_in
        check_denials(provider, arrival.unknown, reads_groups=is_first or provider.group_sync == "always")
        # Otherwise who first comes while the groups cannot be read would be without them for good.
        is_whole = is_sign_in and not (is_first and are_groups_unknown(provider, arrival.unknown))
        provider = without_unknown_groups(provider, arrival.unknown)
        if is_sign_in or stored is None:
            user = _expected(provider, stored, attributes, issuer=issuer, subject=subject)
        else:
            # Somebody whom a sign-in has added since the token was looked up.
            user = stored
        if directory is None:
            reason = fault_alone(attributes.username)
            if reason is not None:
                raise bad_username(provider.name, reason)
            # Organizations are memberships in the directory.
            user = replace(user, organizations=())
        self._judge(provider, user, attributes, claims)
        kept = without_groups(provider, claims, read=self._read(provider))
        # Whom the directory is about to refuse the application does not hear of.
        if directory is None or (arrival.creates if stored is None else not stored.disabled):
            hooks.on_login(
                _identity(provider, user, kept, issuer=issuer, subject=subject, is_sign_in=is_sign_in)
            )
        if directory is not None:
            expected, judged_id = user.username, stored and stored.id
            user = directory.record_sign_in(
                provider,
                issuer=issuer,
                subject=subject,
                attributes=attributes,
                create=arrival.creates,
                now=arrival.now,
                proven=proven,
                counted=counted,
                links=arrival.links,
                unsigned_name=arrival.unsigned_name,
                left=self._left(provider, issuer, subject, kept, arrival.now) if is_sign_in else None,
                is_sign_in=is_whole,
            )
            if user.username != expected or judged_id != (None if user.created else user.id):
                # The directory refused a rename, or the person became a user meanwhile: another was judged than enters.
                self._judge(provider, user, attributes, claims)
        identity = _identity(provider, user, kept, issuer=issuer, subject=subject, is_sign_in=is_sign_in)
        if directory is not None and user.created:
            hooks.on_user_created(identity)
        return identity

    def _left(
        self, provider: ProviderSettings, issuer: str, subject: str, claims: Mapping[str, Any], now: int
    ) -> LastSignIn | None:
        if self._app is None:
            return None
        from oauth2_mw.identity.last_sign_ins import LastSignIn

        return LastSignIn(self._app, provider.name, issuer, subject, freeze(claims), now)

    def note_seen(self, identity: Identity, *, now: int) -> None:
        """Write down that the provider has granted a refresh, and said nothing new of the person.

        :raises StoreUnavailableError: if the directory cannot be used.
        """
        if self._directory is not None and self._app is not None:
            self._directory.note_seen(self._app, identity.id, now=now)

    def known_claims(self, provider: ProviderSettings, identity: Identity) -> Mapping[str, Any]:
        """Return what is known of a person who is signed in, as a sign-in would have it in its claims."""
        if self._directory is not None and provider.group_sync != "always":
            # These groups are the directory's, and not what the provider said.
            return identity.claims
        return with_groups(provider, identity.claims, identity.groups)

    def _read(self, provider: ProviderSettings) -> list[AttributePath]:
        """Return the paths at which settings read the claims themselves."""
        terms = (term.claim()[0] for term in provider.deciding_terms() if term.field == "claim")
        return [*self._environ_claims, *terms]

    def _judge(
        self, provider: ProviderSettings, user: User, attributes: Attributes, claims: Mapping[str, Any]
    ) -> None:
        # Only the address of this sign-in counts: the directory does not say whether its own was ever verified.
        check_allowed(
            provider.allow,
            provider=provider.name,
            username=user.username,
            email=attributes.email,
            email_counts=is_verified(provider, "email", claims) is not False,
            groups=user.groups,
            organizations=user.organizations,
            claims=claims,
            origin=f"; {shown_groups(provider, attributes.groups, claims)}; email_verified is "
            f"{shown_verification(claims)}",
            message=_not_allowed(provider),
        )


def _not_allowed(provider: ProviderSettings) -> str | None:
    link = approval_link(provider)
    return link and sentences(
        sentence(AccessDeniedError.message),
        sentence(
            "If an organization of yours at {provider} is to let you in, it may have to approve this application "
            "first: {address}",
            provider=provider.label,
            address=link,
        ),
    )


def _expected(
    provider: ProviderSettings, stored: User | None, attributes: Attributes, *, issuer: str, subject: str
) -> User:
    """Return the user as this sign-in will leave it, in all that rules read, before anything is written."""
    if stored is None:
        return User(
            id=user_key(issuer, subject),
            issuer=issuer,
            subject=subject,
            username=attributes.username,
            name=attributes.name,
            email=attributes.email,
            phone=attributes.phone,
            comment=attributes.comment,
            groups=attributes.groups,
            organizations=provider.organization,
            disabled=False,
            created=True,
        )
    is_first = not stored.has_signed_in
    # Those that an operator has given somebody before their first sign-in stay, as in ``enrolment.refresh``.
    sets_groups = is_first and provider.group_sync == "first" and not (stored.awaited and stored.groups)
    # An address that the directory remembers opens nothing, and no rule reads the rest.
    return replace(
        stored,
        username=attributes.username if provider.always_update or is_first else stored.username,
        groups=attributes.groups if provider.group_sync == "always" or sets_groups else stored.groups,
    )


def _identity(
    provider: ProviderSettings,
    user: User,
    claims: Mapping[str, Any],
    *,
    issuer: str,
    subject: str,
    is_sign_in: bool,
) -> Identity:
    # Issuer and subject are those of this sign-in, also where they are linked to a user who has others.
    said = claims if is_sign_in else {}
    acr, auth_time = said.get("acr"), numeric_date(said.get("auth_time"))
    return Identity(
        id=user.id,
        provider=provider.name,
        issuer=issuer,
        subject=subject,
        username=user.username,
        name=user.name,
        email=user.email,
        phone=user.phone,
        comment=user.comment,
        groups=user.groups,
        organizations=user.organizations,
        acr=acr if isinstance(acr, str) else None,
        auth_time=None if auth_time is None else int(auth_time),
        claims=freeze(claims),
    )
