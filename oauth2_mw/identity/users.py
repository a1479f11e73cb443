"""The directory's users as rows: find them, lock one, and give each name to one user for ever."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import CTE, ColumnElement, Select, TableClause

from oauth2_mw.identity.deleted_names import DeletedNames
from oauth2_mw.identity.model import User
from oauth2_mw.identity.user_filter import UserFilter
from oauth2_mw.identity.usernames import name_key, name_keys
from oauth2_mw.sql import Database
from oauth2_mw.sql.schema import PREFIX

#: How many users are read at once.
PAGE = 500
#: The time of the last sign-in of a user whom an access token has added, and who has not signed in since.
NEVER = 0
#: That of a user whom an operator has added. Such a user has no name before the first sign-in.
AWAITED = -1
# Another one after each change of a row: PostgreSQL's number of the transaction that made it.
_VERSION: ColumnElement[str] = sa.literal_column(f"CAST({PREFIX}users.xmin AS TEXT)")


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user who is about to be added. Times are in seconds since the epoch."""

    #: as the directory is to hold them
    user: User
    user_key: str
    #: the address in its one spelling, and when a provider has proved it
    email_key: str | None
    email_proven_at: int | None
    created_at: int
    last_sign_in: int

    def row(self) -> dict[str, object]:
        """Return what the table of users is to hold."""
        user = self.user
        return {
            "id": user.id,
            "user_key": self.user_key,
            "issuer": user.issuer,
            "subject": user.subject,
            "username": user.username,
            "name": user.name,
            "email": user.email,
            "phone": user.phone,
            "comment": user.comment,
            "email_key": self.email_key,
            "created_at": self.created_at,
            "updated_at": self.created_at,
            "last_sign_in": self.last_sign_in,
            "email_proven_at": self.email_proven_at,
        }


class UserTable:
    """The tables that hold users. Every method works inside a transaction of the caller."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tables = db.tables
        self._columns = db.tables.users.c
        self._deleted_names = DeletedNames(db)

    def has_key(self, key: str) -> ColumnElement[bool]:
        """Return the condition that selects a user by :func:`~oauth2_mw.identity.model.user_key`."""
        return self._columns.user_key == key

    def has_pair(self, key: str, *, waiting: str | None = None) -> ColumnElement[bool]:
        """Return the condition that selects the user whom a pair signs in, as their own or by a link.

        :param waiting: the key of the user who is selected if it signs nobody in
            (:func:`~oauth2_mw.identity.waiting.waiting_key`).
        """
        links = self._tables.links
        # A link outlives its user.
        linked = (self._columns.id == links.c.user_id) & (links.c.user_key == key)
        conditions = [self.has_key(key), linked]
        if waiting is not None:
            conditions.append(self.has_key(waiting))
        ids = (sa.select(self._columns.id).where(each).correlate(None) for each in conditions)
        return self._columns.id == sa.func.coalesce(*(each.scalar_subquery() for each in ids))

    def has_id(self, user_id: str) -> ColumnElement[bool]:
        """Return the condition that selects a user by id."""
        return self._columns.id == user_id

    def page(self, connection: Connection, matching: UserFilter, *, after: str) -> list[User]:
        """Return the first users behind the id *after* who match, at most ``PAGE``, in the order of their ids."""
        members, groups, users = self._tables.memberships, self._tables.groups, self._tables.users
        # Read from the index that has the ids in order already: a page costs the same however many others there are.
        key, conditions, source = self._columns.id, self._conditions(matching), sa.select(*self._columns)
        if matching.group is not None:
            key = groups.c.user_id
            source = source.select_from(users.join(groups, key == self._columns.id))
            conditions.append(groups.c.name == matching.group)
        elif matching.organization is not None:
            key = members.c.user_id
            source = source.select_from(users.join(members, key == self._columns.id))
            conditions.append(members.c.organization == matching.organization)
        if matching.group is not None and matching.organization is not None:
            conditions.append(self._is_member(members, members.c.organization, matching.organization))
        return self._users(connection, source.where(key > after, *conditions).order_by(key).limit(PAGE))

    def which(self, connection: Connection, ids: Collection[str], matching: UserFilter) -> set[str]:
        """Return those of *ids* that are users who match."""
        members, groups = self._tables.memberships, self._tables.groups
        conditions = self._conditions(matching)
        if matching.group is not None:
            conditions.append(self._is_member(groups, groups.c.name, matching.group))
        if matching.organization is not None:
            conditions.append(self._is_member(members, members.c.organization, matching.organization))
        query = sa.select(self._columns.id).where(self._columns.id.in_(ids), *conditions)
        return set(connection.execute(query).scalars())

    def _conditions(self, matching: UserFilter) -> list[ColumnElement[bool]]:
        """Return the conditions of a filter but for those on groups and organizations."""
        conditions: list[ColumnElement[bool]] = []
        if matching.issuers:
            links = self._tables.links
            linked = sa.select(links.c.user_key).where(
                links.c.user_id == self._columns.id, links.c.issuer.in_(matching.issuers)
            )
            conditions.append(self._columns.issuer.in_(matching.issuers) | sa.exists(linked))
        if matching.since is not None:
            conditions.append(self._columns.last_sign_in >= matching.since)
        return conditions

    def _is_member(self, table: TableClause, column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
        return sa.exists(sa.select(column).where(table.c.user_id == self._columns.id, column == value))

    def select(
        self, connection: Connection, condition: ColumnElement[bool], *, created: bool = False
    ) -> list[User]:
        """Return at most ``PAGE`` users, in the order of their ids."""
        query = sa.select(*self._columns).where(condition).order_by(self._columns.id).limit(PAGE)
        return self._users(connection, query, created=created)

    def look(
        self, connection: Connection, condition: ColumnElement[bool]
    ) -> tuple[Any, User | None, str | None]:
        """Return a user with the row, which is not locked, or ``None`` for both; and the key of deleted names.

        It works in PostgreSQL. The row says its version as well.
        """
        secret = self._deleted_names.secret().scalar_subquery().label("secret")
        one = sa.select(sa.literal(1).label("one")).subquery()
        query = sa.select(*self._columns, secret, _VERSION.label("version"), *self._lists())
        row = connection.execute(query.select_from(one.outerjoin(self._tables.users, condition))).one()
        if row.id is None:
            return None, None, row.secret
        return row, _user(row, row[-1], row[-2], created=False), row.secret

    def _users(self, connection: Connection, query: Select[Any], *, created: bool = False) -> list[User]:
        if self._db.has_arrays:
            rows = connection.execute(query.add_columns(*self._lists())).all()
            return [_user(row, row[-1], row[-2], created=created) for row in rows]
        rows = connection.execute(query).all()
        ids, members = [row.id for row in rows], self._tables.memberships
        organizations = self._collect(connection, members, members.c.organization, ids)
        groups = self.groups(connection, ids)
        return [
            _user(row, groups.get(row.id, ()), organizations.get(row.id, ()), created=created) for row in rows
        ]

    def _lists(self) -> list[ColumnElement[Any]]:
        """Return columns for the organizations and the groups of a user, where a statement can return lists."""
        members, groups = self._tables.memberships, self._tables.groups
        return [self._array(members.c.organization, members), self._array(groups.c.name, groups)]

    def _array(self, column: ColumnElement[Any], table: TableClause) -> ColumnElement[Any]:
        values = sa.select(column).where(table.c.user_id == self._columns.id).correlate(self._tables.users)
        return sa.func.array(values.scalar_subquery())

    def with_address(self, connection: Connection, address: str) -> list[Any]:
        """Return the rows of the users who have that address, in its one spelling: two at most, proven or not."""
        query = sa.select(*self._columns).where(self._columns.email_key == address).limit(2)
        return list(connection.execute(query).all())

    def lock(self, connection: Connection, condition: ColumnElement[bool]) -> Any:
        """Lock and return the row of a user, or ``None``. A transaction waits until no other holds that lock."""
        return connection.execute(sa.select(*self._columns).where(condition).with_for_update()).first()

    def add(self, connection: Connection, values: Mapping[str, object]) -> bool:
        """Add a user. Return ``False`` if its (issuer, subject) is there already."""
        return self._db.insert_new(connection, self._tables.users, values)

    def update(self, connection: Connection, user_id: str, values: dict[str, object]) -> bool:
        """Change a user's row. Return ``False`` if there is no such user."""
        change = sa.update(self._tables.users).where(self.has_id(user_id)).values(**values)
        return bool(connection.execute(change).rowcount == 1)

    def update_same(self, condition: ColumnElement[bool], row: Any, values: dict[str, object]) -> CTE:
        """Return part of a statement that changes the row of the user who meets a condition, and gives the id.

        It does nothing if the user is disabled, somebody holds a lock, or the row is not any more the one that
        :meth:`look` has returned.
        """
        columns = self._columns
        # Nobody waits here: whoever finds a lock takes the long way, which has a time limit.
        found = (
            sa.select(columns.id)
            .where(condition, columns.disabled_at.is_(None), row.version == _VERSION)
            .correlate(None)
            .with_for_update(skip_locked=True)
        )
        change = sa.update(self._tables.users).where(columns.id == found.scalar_subquery()).values(**values)
        return change.returning(columns.id).cte("done")

    def other_groups(self, done: CTE, user_id: str, names: Collection[str]) -> list[CTE]:
        """Return parts of a statement that replace the groups of a user if *done* has a row.

        Whoever changes groups changes the user's row as well, so that *done* has none then.
        """
        groups, texts = self._tables.groups, sa.ARRAY(sa.Text())
        is_done, wanted = sa.exists(sa.select(done.c.id)), sa.cast(sa.literal(list(names), texts), texts)
        gone = sa.delete(groups).where(groups.c.user_id == user_id, groups.c.name != sa.all_(wanted), is_done)
        rows = sa.select(sa.literal(user_id), sa.func.unnest(wanted)).where(is_done)
        come = postgresql.insert(groups).from_select(["user_id", "name"], rows).on_conflict_do_nothing()
        return [gone.cte("gone"), come.cte("come")]

    def claim_name(self, connection: Connection, user_id: str, user_key: str, username: str) -> str:
        """Give a name to a user, unless it or one that looks like it was ever given to another.

        :param user_key: that of the user's own pair.
        :returns: the id of the user who has it, or an empty text for one who was deleted.
        """
        table = self._tables.usernames
        for key in name_keys(username):
            if self._db.insert_new(connection, table, {"name_key": key, "user_id": user_id}):
                # Looked for once the name is held: a deletion of its last owner has either ended, or waits.
                if self._deleted_names.is_kept_from(connection, key, user_key):
                    connection.execute(sa.delete(table).where(table.c.name_key == key))
                    return ""
                continue
            owner = sa.select(table.c.user_id).where(table.c.name_key == key)
            owner_id = str(connection.execute(owner).scalar_one())
            if owner_id != user_id:
                return owner_id
        return user_id

    def names(self, connection: Connection, user_id: str) -> list[str]:
        """Return the keys of all names that were ever given to a user."""
        table = self._tables.usernames
        query = sa.select(table.c.name_key).where(table.c.user_id == user_id).order_by(table.c.name_key)
        return [str(key) for key in connection.execute(query).scalars()]

    def owner_of_name(self, connection: Connection, username: str) -> str | None:
        """Return the id of the user to whom a name was ever given, or ``None``."""
        table = self._tables.usernames
        query = sa.select(table.c.user_id).where(table.c.name_key == name_key(username))
        owner = connection.execute(query).scalar()
        return None if owner is None else str(owner)

    def groups(self, connection: Connection, ids: Collection[str]) -> dict[str, list[str]]:
        """Return the groups of each user of *ids* who has any."""
        groups = self._tables.groups
        return self._collect(connection, groups, groups.c.name, ids)

    def set_groups(self, connection: Connection, user_id: str, names: Collection[str]) -> None:
        """Replace the groups of a user, who must be locked."""
        groups = self._tables.groups
        if set(names) != set(self.groups(connection, [user_id]).get(user_id, ())):
            connection.execute(sa.delete(groups).where(groups.c.user_id == user_id))
            _add_all(connection, groups, [{"user_id": user_id, "name": name} for name in set(names)])

    def add_memberships(self, connection: Connection, user_id: str, organizations: Iterable[str]) -> None:
        """Make a user a member of organizations."""
        rows = [{"user_id": user_id, "organization": name} for name in set(organizations)]
        _add_all(connection, self._tables.memberships, rows)

    def set_memberships(self, connection: Connection, user_id: str, organizations: Collection[str]) -> None:
        """Replace the organizations of a user, who must be locked."""
        members = self._tables.memberships
        connection.execute(sa.delete(members).where(members.c.user_id == user_id))
        self.add_memberships(connection, user_id, organizations)

    def _collect(
        self, connection: Connection, table: TableClause, column: ColumnElement[Any], ids: Collection[str]
    ) -> dict[str, list[str]]:
        values: dict[str, list[str]] = {}
        if ids:
            query = sa.select(table.c.user_id, column).where(table.c.user_id.in_(ids))
            for user_id, value in connection.execute(query):
                values.setdefault(user_id, []).append(value)
        return values


def _add_all(connection: Connection, table: TableClause, rows: list[dict[str, str]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


def _user(row: Any, groups: Iterable[str], organizations: Iterable[str], *, created: bool) -> User:
    return User(
        id=row.id,
        issuer=row.issuer,
        subject=row.subject,
        username=row.username,
        name=row.name,
        email=row.email,
        phone=row.phone,
        comment=row.comment,
        groups=tuple(sorted(groups)),
        organizations=tuple(sorted(organizations)),
        disabled=row.disabled_at is not None,
        created=created,
        disabled_since=row.disabled_at,
        has_signed_in=row.last_sign_in > NEVER,
        awaited=row.last_sign_in == AWAITED,
    )
