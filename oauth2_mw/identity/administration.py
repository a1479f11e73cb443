"""What an operator changes about a user by hand: adds, renames, puts into groups, exports, deletes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import TableClause

from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.identity import enrolment, waiting
from oauth2_mw.identity.deleted_names import DeletedNames
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.disabled_users import UserChanges
from oauth2_mw.identity.first_sign_ins import hold_back
from oauth2_mw.identity.links import LinkTable
from oauth2_mw.identity.model import User, user_key
from oauth2_mw.identity.usernames import fault
from oauth2_mw.identity.users import UserTable

#: The tables of which rows are a user's, by a column ``user_id``.
_OWNED = ("usernames", "memberships", "groups", "links", "personal_tokens", "last_sign_ins")
#: What an export leaves out: hashes, which say nothing of a person, and the user's own id on every row.
_LEFT_OUT = frozenset({"user_key", "email_key", "digest", "user_id"})


class Administration:
    """An operator's hand in the directory.

    Every method is one transaction, and raises :class:`~oauth2_mw.errors.StoreUnavailableError` if the database cannot
    be used. Times are in seconds since the epoch.
    """

    def __init__(self, directory: Directory) -> None:
        self._db = db = directory.database
        self._users = UserTable(db)
        self._links = LinkTable(db)
        self._changes = UserChanges(db)
        self._deleted_names = DeletedNames(db)

    def add_pair(
        self, issuer: str, subject: str, *, organizations: Iterable[str], now: int
    ) -> tuple[User, bool]:
        """Wait for the first sign-in of (*issuer*, *subject*).

        :returns: the user whom the pair signs in, and whether they were added now.
        :raises ProviderError: ``bad_subject``: no sign-in could have that pair.
        """
        enrolment.check_pair(issuer, subject)
        key = user_key(issuer, subject)
        with self._db.writing() as connection:
            self._links.hold(connection, key)
            owner = self._links.user_id(connection, key)
            if owner is None or self._one(connection, owner) is None:
                owner = waiting.add(
                    self._users, connection, issuer, subject=subject, organizations=organizations, now=now
                )
                if owner is not None:
                    return self._user(connection, owner), True
                [user] = self._users.select(connection, self._users.has_key(key))
                return user, False
            return self._user(connection, owner), False

    def add_address(
        self, issuer: str, address: str, *, organizations: Iterable[str], now: int
    ) -> tuple[User, bool]:
        """Wait for the first sign-in at *issuer* that brings an address which counts.

        :param address: in its one spelling (:func:`~oauth2_mw.identity.verification.address_key`).
        :returns: the user who is waited for, or already has that address there; and whether they were added now.
        """
        with self._db.writing() as connection:
            for row in self._users.with_address(connection, address):
                if row.issuer == issuer:
                    return self._user(connection, row.id), False
            added = waiting.add(
                self._users, connection, issuer, address=address, organizations=organizations, now=now
            )
            if added is not None:
                return self._user(connection, added), True
            key = waiting.waiting_key(issuer, address)
            [user] = self._users.select(connection, self._users.has_key(key))
            return user, False

    def rename(self, user_id: str, username: str, *, now: int) -> bool:
        """Give a user another name; their earlier ones stay theirs. Return ``False`` if there is no such user.

        :raises AccessDeniedError: ``bad_username``, ``username_taken``.
        """
        reason = fault(username)
        if reason is not None:
            raise AccessDeniedError(f"the name cannot be used: {reason}", code="bad_username")
        with self._db.writing() as connection:
            row = self._users.lock(connection, self._users.has_id(user_id))
            if row is None:
                return False
            owner = self._users.claim_name(connection, user_id, row.user_key, username)
            if owner != user_id:
                whose = f"user {owner}" if owner else "a user who was deleted"
                raise AccessDeniedError(
                    f"the name, or one that looks like it, belongs, or once belonged, to {whose}",
                    code="username_taken",
                )
            return self._users.update(connection, user_id, {"username": username, "updated_at": now})

    def change_groups(
        self, user_id: str, change: Callable[[set[str]], set[str]], *, now: int
    ) -> tuple[str, ...] | None:
        """Change a user's groups, and return them, or ``None`` if there is no such user.

        :param change: returns the groups that the user is to have, for those that they have.
        """
        with self._db.writing() as connection:
            if not self._hold(connection, user_id, now):
                return None
            groups = change(set(self._user(connection, user_id).groups))
            self._users.set_groups(connection, user_id, groups)
            return tuple(sorted(groups))

    def change_organizations(
        self, user_id: str, change: Callable[[set[str]], set[str]], *, now: int
    ) -> tuple[str, ...] | None:
        """Change a user's organizations. Parameters and result are those of :meth:`change_groups`."""
        with self._db.writing() as connection:
            if not self._hold(connection, user_id, now):
                return None
            organizations = change(set(self._user(connection, user_id).organizations))
            self._users.set_memberships(connection, user_id, organizations)
            return tuple(sorted(organizations))

    def kept(self, user_id: str) -> dict[str, Any] | None:
        """Return all that the directory keeps of a user, as JSON has it, or ``None`` if there is no such user.

        Neither secrets nor hashes are in it.
        """
        tables = self._db.tables
        with self._db.reading() as connection:
            query = sa.select(*tables.users.c).where(self._users.has_id(user_id))
            row = connection.execute(query).first()
            if row is None:
                return None
            owned = {name: self._rows(connection, getattr(tables, name), user_id) for name in _OWNED}
        return {
            "user": _readable(row),
            "names": sorted(each["name_key"] for each in owned["usernames"]),
            "groups": sorted(each["name"] for each in owned["groups"]),
            "organizations": sorted(each["organization"] for each in owned["memberships"]),
            "links": owned["links"],
            "tokens": owned["personal_tokens"],
            "last_sign_ins": [{**each, "claims": _parsed(each["claims"])} for each in owned["last_sign_ins"]],
        }

    def delete(self, user_id: str, *, now: int) -> bool:
        """Delete a user and all that the directory keeps of them. Return ``False`` if there is no such user.

        A keyed hash of each of their names stays, so that nobody else is ever given one, and their id, which tells
        every worker that sessions of it have ended.
        """
        tables = self._db.tables
        with self._db.writing() as connection:
            row = self._users.lock(connection, self._users.has_id(user_id))
            if row is None:
                return False
            hold_back(self._db, connection)
            pairs = [user_key(each.issuer, each.subject) for each in self._links.of_user(connection, user_id)]
            self._deleted_names.keep(
                connection, self._users.names(connection, user_id), [row.user_key, *pairs]
            )
            for name in _OWNED:
                table: TableClause = getattr(tables, name)
                connection.execute(sa.delete(table).where(table.c.user_id == user_id))
            connection.execute(sa.delete(tables.users).where(self._users.has_id(user_id)))
            self._changes.write(connection, user_id, is_out=True, now=now, for_good=True)
            return True

    def _hold(self, connection: Connection, user_id: str, now: int) -> bool:
        if self._users.lock(connection, self._users.has_id(user_id)) is None:
            return False
        return self._users.update(connection, user_id, {"updated_at": now})

    def _one(self, connection: Connection, user_id: str) -> User | None:
        return next(iter(self._users.select(connection, self._users.has_id(user_id))), None)

    def _user(self, connection: Connection, user_id: str) -> User:
        [user] = self._users.select(connection, self._users.has_id(user_id))
        return user

    @staticmethod
    def _rows(connection: Connection, table: TableClause, user_id: str) -> list[dict[str, Any]]:
        query = sa.select(*table.c).where(table.c.user_id == user_id)
        return [_readable(row) for row in connection.execute(query)]


def _readable(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name not in _LEFT_OUT}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
