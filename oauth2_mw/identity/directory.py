"""The user directory: who has ever signed in, under which name, in which groups, and who may no longer.

A user is a pair of issuer and subject (OpenID Connect Core, section 5.7) and has an id, which is never given again. A
username once given stays with its user, also after a rename and after the user is gone. Further pairs are linked to a
user by an administrator, or, where a setting says so, by an address that two providers have verified.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from oauth2_mw.identity import enrolment, waiting
from oauth2_mw.identity.disabled_users import DisabledUsers, UserChanges
from oauth2_mw.identity.first_sign_ins import hold_back
from oauth2_mw.identity.last_sign_ins import LastSignIn, LastSignInTable
from oauth2_mw.identity.links import Link, LinkTable
from oauth2_mw.identity.model import User, user_key
from oauth2_mw.identity.sign_ins import SignIn, SignIns
from oauth2_mw.identity.user_filter import EVERYBODY, UserFilter
from oauth2_mw.identity.users import PAGE, UserTable
from oauth2_mw.sql import Database

if TYPE_CHECKING:
    from oauth2_mw.identity.mapping import Attributes
    from oauth2_mw.settings.grammar import Secret
    from oauth2_mw.settings.model import ProviderSettings

__all__ = ["Directory", "Link", "User"]


class Directory:
    """The users of one database, and what the workers that share it must agree on.

    :param url: a SQLAlchemy URL; :class:`oauth2_mw.sql.Database` says which, and the limits of each database.
    :raises ConfigError: if the URL cannot be used. The database itself is opened at the first use.

    Every operation is one transaction and raises :class:`~oauth2_mw.errors.StoreUnavailableError` if the database
    cannot be used. Its cost does not depend on the number of users, except for :meth:`users`, which lists them all.
    """

    def __init__(self, url: Secret) -> None:
        #: the database itself, for other tables in it
        self.database: Database = Database(url)
        self._db = self.database
        self._users = UserTable(self._db)
        self._links = LinkTable(self._db)
        self._last_sign_ins = LastSignInTable(self._db)
        self._changes = UserChanges(self._db)
        self._sign_ins = SignIns(self._db, self._users, self._links, self._last_sign_ins)

    def find(self, issuer: str, subject: str, *, counted: str | None = None) -> User | None:
        """Return the user whom the pair signs in, as their own or by a link, disabled or not; or ``None``.

        :param counted: an address as :func:`~oauth2_mw.identity.verification.counted_address` returns it. If the pair
            signs nobody in, it is the user who is waited for at *issuer* by that address, who has no subject yet.
        """
        place = None if counted is None else waiting.waiting_key(issuer, counted)
        is_theirs = self._users.has_pair(user_key(issuer, subject), waiting=place)
        return self._db.ask(lambda connection: self._select_one(connection, is_theirs))

    def _of_pair(self, connection: Connection, key: str) -> User | None:
        return self._select_one(connection, self._users.has_pair(key))

    def _select_one(self, connection: Connection, condition: ColumnElement[bool]) -> User | None:
        return next(iter(self._users.select(connection, condition)), None)

    def find_by_address(self, issuer: str, address: str, *, subject: str | None = None) -> User | None:
        """Return the user to whom an unknown person of *issuer* is linked who proves that address, or ``None``.

        It is the one user who has the address, by the word of a provider that had verified it, and no pair of that
        issuer: one issuer's two subjects are two people, and an address can be given to another person.

        :param address: as :func:`~oauth2_mw.identity.verification.proven_address` returns it.
        :param subject: that of the person, if it is known; one whose link was undone is not linked again.
        """
        with self._db.reading() as connection:
            if subject is not None and self._links.is_undone(connection, user_key(issuer, subject)):
                return None
            user_id = self._sign_ins.linkable(connection, issuer, address)
            return None if user_id is None else self._select_one(connection, self._users.has_id(user_id))

    def get(self, user_id: str) -> User | None:
        """Return the user of that id, disabled or not, or ``None``."""
        with self._db.reading() as connection:
            return self._select_one(connection, self._users.has_id(user_id))

    def user_and_last_sign_in(
        self, connection: Connection, app: str, user_id: str
    ) -> tuple[User | None, LastSignIn | None]:
        """Return the user of that id, disabled or not, and what their last sign-in to an application left.

        :param connection: a transaction of the caller.
        :param app: the application's ``public_url``.
        """
        user = self._select_one(connection, self._users.has_id(user_id))
        return user, self._last_sign_ins.find(connection, app, user_id)

    def note_seen(self, app: str, user_id: str, *, now: int) -> None:
        """Write down that a provider has just vouched for a user again, without saying anything new of them.

        :param app: the application's ``public_url``.
        :param now: seconds since the epoch.
        """
        with self._db.writing() as connection:
            self._last_sign_ins.note_seen(connection, app, user_id, now=now)

    def find_by_name(self, username: str) -> User | None:
        """Return the user to whom that name was given, also if they have another one now, or ``None``."""
        with self._db.reading() as connection:
            owner = self._users.owner_of_name(connection, username)
            return None if owner is None else self._select_one(connection, self._users.has_id(owner))

    def users(self, matching: UserFilter = EVERYBODY, *, after: str = "") -> Iterator[User]:
        """Yield the users who match, in the order of their ids.

        They are read page by page: one added meanwhile may be missed.

        :param after: those behind that id.
        """
        last = after
        while True:
            with self._db.reading() as connection:
                page = self._users.page(connection, matching, after=last)
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1].id

    def which(self, ids: Collection[str], matching: UserFilter) -> set[str]:
        """Return those of *ids* that are users who match."""
        with self._db.reading() as connection:
            return self._users.which(connection, ids, matching)

    def record_sign_in(
        self,
        provider: ProviderSettings,
        issuer: str,
        subject: str,
        attributes: Attributes,
        *,
        create: bool,
        now: int,
        proven: str | None = None,
        counted: str | None = None,
        links: bool = False,
        unsigned_name: str | None = None,
        left: LastSignIn | None = None,
        is_sign_in: bool = True,
    ) -> User:
        """Record that (*issuer*, *subject*) has just signed in, and return the user as it is now.

        The first sign-in adds the user, as a member of the provider's organizations. If the pair is linked to a user,
        it is a later sign-in of theirs, and their own pair stays. Later sign-ins refresh what ``always_update`` and
        ``group_sync`` say; an absent value overwrites nothing. A new username that the directory refuses leaves the
        old one, with an audit event. Any number of threads and processes may call this at once, for one person or
        for several who want the same name. If it raises, nothing is written.

        :param create: whether an unknown person is added.
        :param now: seconds since the epoch.
        :param proven: the address that the sign-in proves (:func:`~oauth2_mw.identity.verification.proven_address`).
        :param counted: the address by which an unknown person takes the place of a user who is waited for
            (:func:`~oauth2_mw.identity.verification.counted_address`).
        :param links: whether an unknown person is linked to the user whom :meth:`find_by_address` finds by it.
        :param unsigned_name: the name of a new user to whom the sign-in gave none.
        :param left: what is kept of this sign-in for requests with a personal token, where there are any.
        :param is_sign_in: ``False`` for an access token, and for a first sign-in that did not learn the groups. It adds
            a user, and changes none, but that one without a name is given it: the first sign-in after it is still
            their first.
        :returns: the user as it is now, created also if only an operator knew of them before.
        :raises AccessDeniedError: ``user_unknown``, ``user_disabled``; at the first sign-in also ``username_taken``
            and ``bad_username``.
        :raises ProviderError: ``bad_subject``, ``bad_attribute``: a value cannot be stored.
        """
        enrolment.check_pair(issuer, subject)
        return self._sign_ins.record(
            SignIn(
                provider,
                issuer,
                subject,
                attributes,
                create=create,
                now=now,
                proven=proven,
                counted=counted,
                links=links,
                unsigned_name=unsigned_name,
                left=left,
                is_sign_in=is_sign_in,
            )
        )

    def add_service(self, app: str, name: str, *, now: int) -> User | None:
        """Add a user who is a program and signs in nowhere, or return ``None`` if there is one of that name already.

        :param app: the ``public_url`` of its application.
        :param now: seconds since the epoch.
        :raises AccessDeniedError: ``bad_username``, ``username_taken``.
        """
        with self._db.writing() as connection:
            user_id = enrolment.create_service(self._users, connection, app, name, now)
            return None if user_id is None else self._select_one(connection, self._users.has_id(user_id))

    def link(self, user_id: str, issuer: str, subject: str, *, now: int) -> User | None:
        """Link a pair to a user: sign-ins of (*issuer*, *subject*) are those of the user from now on.

        :param now: seconds since the epoch.
        :returns: the user whom the pair signs in now, or ``None`` if there is no user *user_id*. It is another user,
            and nothing is written, if the pair is a user of its own or is linked to somebody else.
        :raises ProviderError: ``bad_subject``: no sign-in could have that pair.
        """
        enrolment.check_pair(issuer, subject)
        key = user_key(issuer, subject)
        with self._db.writing() as connection:
            self._links.hold(connection, key)
            hold_back(self._db, connection)
            user = self._select_one(connection, self._users.has_id(user_id))
            if user is None:
                return None
            present = self._of_pair(connection, key)
            if present is not None:
                return present
            self._links.put(connection, key, user_id, Link(issuer, subject, now))
            return user

    def unlink(self, issuer: str, subject: str) -> str | None:
        """Undo a link: the next sign-in of (*issuer*, *subject*) is that of an unknown person, whatever their address.

        Sessions go on.

        :returns: the id of the user to whom the pair was linked, or ``None`` if it was not.
        :raises ProviderError: ``bad_subject``: no sign-in could have that pair.
        """
        enrolment.check_pair(issuer, subject)
        key = user_key(issuer, subject)
        with self._db.writing() as connection:
            self._links.hold(connection, key)
            linked = self._links.user_id(connection, key)
            if linked is None:
                return None
            if self._select_one(connection, self._users.has_id(linked)) is None:
                self._links.remove(connection, key)
            else:
                self._links.undo(connection, key)
            return linked

    def links(self, user_id: str) -> list[Link]:
        """Return the pairs that are linked to a user, without the user's own, oldest first."""
        with self._db.reading() as connection:
            return self._links.of_user(connection, user_id)

    def set_disabled(self, user_id: str, *, disabled: bool, now: int) -> bool:
        """Keep a user out, or let them in again. Return ``False`` if there is no such user.

        Workers notice when they next read their :meth:`disabled_users`.

        :param now: seconds since the epoch.
        """
        values: dict[str, object] = {"disabled_at": now if disabled else None, "updated_at": now}
        with self._db.writing() as connection:
            is_there = self._users.update(connection, user_id, values)
            if is_there:
                self._changes.write(connection, user_id, is_out=disabled, now=now)
            return is_there

    def disabled_users(self, *, always_whole: bool = False) -> DisabledUsers:
        """Return the list of one worker of all users who may no longer sign in.

        :param always_whole: as for :class:`~oauth2_mw.identity.disabled_users.DisabledUsers`.
        """
        return DisabledUsers(self._changes, always_whole=always_whole)
