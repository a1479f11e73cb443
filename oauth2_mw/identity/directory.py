"""The user directory: who has ever signed in, under which name, in which groups, and who may no longer.

A user is (issuer, subject) (OpenID Connect Core, section 5.7) and has an id of its own, which is never given
again. A username once given stays with its user, also after a rename and after the user is gone. An administrator may
link further pairs to a user; nothing else does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from oauth2_mw.errors import AccessDeniedError, StoreUnavailableError
from oauth2_mw.identity import enrolment
from oauth2_mw.identity.links import Link, LinkTable
from oauth2_mw.identity.model import user_key
from oauth2_mw.identity.users import PAGE, User, UserTable
from oauth2_mw.observe import audit
from oauth2_mw.sql import Database

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from oauth2_mw.identity.mapping import Attributes
    from oauth2_mw.settings.grammar import Secret
    from oauth2_mw.settings.model import ProviderSettings

__all__ = ["Directory", "Link", "User"]


class Directory:
    """The users of one database, and what the workers that share it must agree on.

    :param url: a SQLAlchemy URL; :class:`oauth2_mw.sql.Database` says which, and the limits of each database.
    :raises ConfigError: when the URL cannot be used. The database itself is opened at the first use.

    Every operation is one transaction and raises :class:`~oauth2_mw.errors.StoreUnavailableErrorError` when the
    database cannot be used; nothing is ever half written. What an operation costs does not depend on the
    number of users; only :meth:`users` lists them all, and :meth:`disabled_ids` grows with the
    number of those who are disabled.
    """

    def __init__(self, url: Secret) -> None:
        #: the database itself, for others who keep something there
        self.database = self._db = Database(url)
        self._users = UserTable(self._db)
        self._links = LinkTable(self._db)

    def find(self, issuer: str, subject: str) -> User | None:
        """The user whom that pair signs in, disabled or not: their own one, or one that is linked to them."""
        with self._db.reading() as connection:
            found = self._of_pair(connection, user_key(issuer, subject))
        return found[0] if found else None

    def _of_pair(self, connection: Connection, key: str) -> list[User]:
        found = self._users.select(connection, self._users.has_key(key))
        if not found and (linked := self._links.user_id(connection, key)) is not None:
            found = self._users.select(connection, self._users.has_id(linked))
        return found

    def get(self, user_id: str) -> User | None:
        """The user of that id, disabled or not."""
        with self._db.reading() as connection:
            found = self._users.select(connection, self._users.has_id(user_id))
        return found[0] if found else None

    def named(self, username: str) -> User | None:
        """The user to whom that name was given, also when they have another one now."""
        with self._db.reading() as connection:
            owner = self._users.owner_of_name(connection, username)
            found = self._users.select(connection, self._users.has_id(owner)) if owner is not None else []
        return found[0] if found else None

    def users(self) -> Iterator[User]:
        """All users in the order of their ids, read page by page: one who is added meanwhile may be missed."""
        last = ""
        while True:
            with self._db.reading() as connection:
                page = self._users.select(connection, self._users.comes_after(last))
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1].id

    def record_sign_in(
        self,
        provider: ProviderSettings,
        issuer: str,
        subject: str,
        attributes: Attributes,
        *,
        create: bool,
        now: int,
    ) -> User:
        """Write down that (*issuer*, *subject*) has just signed in, and return the user as it is now.

        The first sign-in adds the user, as a member of the provider's organizations, unless the pair is linked to
        a user: then it is a later one of theirs, and their own pair stays what it is. Later ones refresh what
        ``always_update`` and ``group_sync`` name, with the values that are there: an absent one overwrites
        nothing. A new username that cannot be had is left where it is, with an audit line. Any number of
        threads and processes may do this at once, for one person as for several who want the same name.

        :param create: whether somebody unknown is added.
        :param now: seconds since the epoch.
        :raises AccessDenied: ``user_unknown``, ``user_disabled``; at the first sign-in also
            ``username_taken`` and ``bad_username``. Nothing is written then.
        :raises ProviderError: ``bad_subject``, ``bad_attribute``, for values that no database takes. Nor
            then.
        """
        enrolment.check_pair(issuer, subject)
        key = user_key(issuer, subject)
        this_user = self._users.has_key(key)
        created, refused = False, None
        with self._db.writing() as connection:
            row = self._users.lock(connection, this_user)
            if row is None:
                row = self._lock_linked(connection, key)
            if row is None:
                if not create:
                    raise _unknown(provider)
                created = enrolment.create(
                    self._users, connection, provider, issuer, subject, attributes, now
                )
                # If another sign-in of this person was faster, this is now their second.
                row = self._users.lock(connection, this_user)
            if row is None:
                raise StoreUnavailableError(
                    "a user was deleted from the directory during the sign-in; try again"
                )
            if row.disabled_at is not None:
                raise _disabled(row.id)
            if not created:
                refused = enrolment.refresh(self._users, connection, provider, row, attributes, now)
            user = self._users.select(connection, self._users.has_id(row.id), created=created)[0]
        if refused is not None:
            audit(
                "rename_refused",
                user=user.id,
                username=user.username,
                wanted=attributes.username,
                provider=provider.name,
                detail=refused,
            )
        return user

    def _lock_linked(self, connection: Connection, key: str) -> Any:
        """The row of the user to whom a pair is linked, or ``None``; and nobody else adds or links the pair now."""
        self._links.hold(connection, key)
        linked = self._links.user_id(connection, key)
        return None if linked is None else self._users.lock(connection, self._users.has_id(linked))

    def link(self, user_id: str, issuer: str, subject: str, *, now: int) -> User | None:
        """Take sign-ins of (*issuer*, *subject*) for sign-ins of a user, from now on.

        :param now: seconds since the epoch.
        :returns: the user whom that pair signs in now. It is another one, and nothing was written, when the pair is a
            user of its own or is linked to somebody else. ``None``: there is no user *user_id*.
        :raises ProviderError: ``bad_subject``, for a pair that no sign-in could have.
        """
        enrolment.check_pair(issuer, subject)
        key = user_key(issuer, subject)
        with self._db.writing() as connection:
            self._links.hold(connection, key)
            wanted = self._users.select(connection, self._users.has_id(user_id))
            if not wanted:
                return None
            there = self._of_pair(connection, key)
            if not there:
                self._links.put(connection, key, user_id, Link(issuer, subject, now))
            return (there or wanted)[0]

    def unlink(self, issuer: str, subject: str) -> str | None:
        """Undo :meth:`link`: sign-ins of (*issuer*, *subject*) are no longer those of another user.

        The next one is that of somebody unknown. Sessions are not touched.

        :returns: the id of the user whom the pair signed in; ``None``: it was not linked, and nothing was written.
        :raises ProviderError: ``bad_subject``, for a pair that no sign-in could have.
        """
        enrolment.check_pair(issuer, subject)
        key = user_key(issuer, subject)
        with self._db.writing() as connection:
            self._links.hold(connection, key)
            linked = self._links.user_id(connection, key)
            if linked is not None:
                self._links.remove(connection, key)
            return linked

    def links(self, user_id: str) -> list[Link]:
        """The pairs that are linked to a user, oldest first; their own one is not among them."""
        with self._db.reading() as connection:
            return self._links.of(connection, user_id)

    def set_disabled(self, user_id: str, *, disabled: bool, now: int) -> bool:
        """Keep a user out, or let them in again; ``False``: there is no such user.

        Workers learn of it when they next ask for the :meth:`disabled_ids`.

        :param now: seconds since the epoch.
        """
        values: dict[str, object] = {"disabled_at": now if disabled else None, "updated_at": now}
        with self._db.writing() as connection:
            return self._users.update(connection, user_id, values)

    def disabled_ids(self) -> frozenset[str]:
        """The ids of all users who may no longer sign in."""
        with self._db.reading() as connection:
            return self._users.disabled_ids(connection)


def _unknown(provider: ProviderSettings) -> AccessDeniedError:
    return AccessDeniedError(
        f"provider {provider.name}: the user is not in the directory, and create_users is off",
        code="user_unknown",
        message="You have no account here. Please ask an administrator to let you in.",
    )


def _disabled(user_id: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"user {user_id} is disabled in the directory",
        code="user_disabled",
        message="Your account here is disabled. Please ask an administrator if that is a mistake.",
    )
