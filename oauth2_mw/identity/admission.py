"""From what a provider vouches for to a user who may enter: map, look up, judge, and only then write.

A person who may not enter leaves no trace in the directory; what the rules judge is the user as the directory would
hold it afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from oauth2_mw.access.allow import check_allowed
from oauth2_mw.identity.directory import Directory, User
from oauth2_mw.identity.mapping import Attributes, map_claims
from oauth2_mw.identity.model import Identity, freeze, user_key
from oauth2_mw.settings.model import ProviderSettings, Settings


class Admission:
    """The rules of one application about who may enter, and as whom.

    :param directory: ``None``: users live in their sessions alone.
    """

    def __init__(self, settings: Settings, directory: Directory | None) -> None:
        self._allow = settings.allow
        self._create = settings.create_users
        self._directory = directory

    def admit(
        self, provider: ProviderSettings, *, issuer: str, subject: str, claims: Mapping[str, Any], now: int
    ) -> Identity:
        """The identity of a person who has just proved to be (*issuer*, *subject*).

        :param now: seconds since the epoch.
        :raises ProviderError: when the claims hold no usable username.
        :raises AccessDenied: when the person may not enter, is disabled, or would take another's name.
        :raises StoreUnavailable: when the directory cannot tell.
        """
        return self._admit(provider, issuer, subject, claims, now=now, create=self._create)

    def admit_again(
        self, provider: ProviderSettings, *, issuer: str, subject: str, claims: Mapping[str, Any], now: int
    ) -> Identity:
        """The identity of a person who is signed in, with what the provider says of them by now.

        Raises as :meth:`admit` does, and refuses who has been taken out of the directory.
        """
        return self._admit(provider, issuer, subject, claims, now=now, create=False)

    def _admit(
        self,
        provider: ProviderSettings,
        issuer: str,
        subject: str,
        claims: Mapping[str, Any],
        *,
        now: int,
        create: bool,
    ) -> Identity:
        attributes = map_claims(provider, claims)
        directory = self._directory
        found = directory.find(issuer, subject) if directory is not None else None
        user = _expected(provider, found, attributes, issuer=issuer, subject=subject)
        if directory is None:
            # Organizations are memberships in the directory; without one there is nothing to be a member of.
            user = replace(user, organizations=())
        self._judge(user, attributes, claims)
        if directory is not None:
            expected = user.username
            user = directory.record_sign_in(
                provider, issuer=issuer, subject=subject, attributes=attributes, create=create, now=now
            )
            if user.username != expected:
                # The directory refused a rename: what was judged is not who enters.
                self._judge(user, attributes, claims)
        return _identity(provider, user, claims, issuer=issuer, subject=subject)

    def _judge(self, user: User, attributes: Attributes, claims: Mapping[str, Any]) -> None:
        # Only the address of this sign-in counts: of one that the directory remembers nobody knows whether it is, or
        # was, verified.
        check_allowed(
            self._allow,
            username=user.username,
            email=attributes.email,
            email_verified=claims.get("email_verified"),
            groups=user.groups,
            organizations=user.organizations,
            claims=claims,
        )


def _expected(
    provider: ProviderSettings, found: User | None, attributes: Attributes, *, issuer: str, subject: str
) -> User:
    """The user as this sign-in will leave it, before anything is written."""
    if found is None:
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
    update = provider.always_update
    return User(
        id=found.id,
        issuer=issuer,
        subject=subject,
        username=attributes.username if update else found.username,
        name=(update and attributes.name) or found.name,
        email=(update and attributes.email) or found.email,
        phone=(update and attributes.phone) or found.phone,
        comment=(update and attributes.comment) or found.comment,
        groups=attributes.groups if provider.group_sync == "always" else found.groups,
        organizations=found.organizations,
        disabled=found.disabled,
        created=False,
    )


def _identity(
    provider: ProviderSettings, user: User, claims: Mapping[str, Any], *, issuer: str, subject: str
) -> Identity:
    # The pair of this sign-in, which is not the user's own where it is linked: the session belongs to this provider.
    acr, auth_time = claims.get("acr"), claims.get("auth_time")
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
        auth_time=int(auth_time) if isinstance(auth_time, (int, float)) else None,
        claims=freeze(claims),
    )
