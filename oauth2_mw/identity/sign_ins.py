"""Write a sign-in into the directory: who it is by pair, by link or by address, and what it changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from oauth2_mw.audit import audit
from oauth2_mw.errors import AccessDeniedError, StoreUnavailableError
from oauth2_mw.identity import enrolment, waiting
from oauth2_mw.identity.first_sign_ins import FirstSignIns, hold_back
from oauth2_mw.identity.last_sign_ins import LastSignIn, LastSignInTable
from oauth2_mw.identity.links import Link, LinkTable
from oauth2_mw.identity.model import User, user_key
from oauth2_mw.identity.users import NewUser, UserTable
from oauth2_mw.identity.verification import address_key
from oauth2_mw.settings.text import shown
from oauth2_mw.sql import Database

if TYPE_CHECKING:
    from oauth2_mw.identity.mapping import Attributes
    from oauth2_mw.settings.model import ProviderSettings


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in to be recorded: the parameters of ``Directory.record_sign_in``, which says what they mean."""

    provider: ProviderSettings
    issuer: str
    subject: str
    attributes: Attributes
    create: bool
    now: int
    proven: str | None
    counted: str | None
    links: bool
    unsigned_name: str | None
    left: LastSignIn | None
    is_sign_in: bool

    @property
    def key(self) -> str:
        """What stands for the pair."""
        return user_key(self.issuer, self.subject)


class SignIns:
    """What a sign-in writes."""

    def __init__(
        self, db: Database, users: UserTable, links: LinkTable, last_sign_ins: LastSignInTable
    ) -> None:
        self._db = db
        self._users = users
        self._links = links
        self._last_sign_ins = last_sign_ins
        self._first_sign_ins = FirstSignIns()

    def linkable(self, connection: Connection, issuer: str, address: str) -> str | None:
        """Return the id of the user to whom a person of *issuer* who proves that address is linked, or ``None``."""
        rows = self._users.with_address(connection, address)
        # The address itself as well: a release that knew no proofs may have written another since.
        if len(rows) != 1 or rows[0].email_proven_at is None or address_key(rows[0].email) != address:
            return None
        issuers = {rows[0].issuer, *(link.issuer for link in self._links.of_user(connection, rows[0].id))}
        return None if issuer in issuers else str(rows[0].id)

    def record(self, sign_in: SignIn) -> User:
        """Do what ``Directory.record_sign_in`` promises."""
        provider, attributes, now, key = sign_in.provider, sign_in.attributes, sign_in.now, sign_in.key
        has_key = self._users.has_key(key)
        # In SQLite it would save nothing.
        if sign_in.is_sign_in and self._db.has_arrays:
            written = self._record_at_once(sign_in)
            if written is not None:
                return written
        created, linked, refused = False, False, None
        enrolled = False
        with self._db.writing() as connection:
            row = self._users.lock(connection, has_key)
            if row is None:
                row = self._lock_linked(connection, key)
            if row is None and sign_in.counted is not None:
                row = waiting.take(
                    self._users, connection, sign_in.issuer, sign_in.subject, sign_in.counted, now=now
                )
            if row is None and sign_in.links and sign_in.proven is not None:
                row = self._link_by_address(connection, sign_in, sign_in.proven)
                linked = row is not None
            if row is None:
                if not sign_in.create:
                    raise _unknown(provider, sign_in.subject)
                created = enrolment.create(self._users, connection, provider, _new_user(sign_in))
                # If another sign-in has added this person first, this one is their second.
                row = self._users.lock(connection, has_key)
            if row is None:
                raise StoreUnavailableError(
                    "a user was deleted from the directory during the sign-in; try again"
                )
            if row.disabled_at is not None:
                raise disabled_error(row.id)
            enrolled = not row.username
            if not created and (sign_in.is_sign_in or enrolled):
                refused = enrolment.refresh(
                    self._users,
                    connection,
                    provider,
                    row,
                    attributes,
                    now,
                    proven=sign_in.proven,
                    is_sign_in=sign_in.is_sign_in,
                )
            if sign_in.left is not None:
                self._last_sign_ins.put(connection, row.id, sign_in.left)
            user = self._users.select(connection, self._users.has_id(row.id), created=created or enrolled)[0]
        if enrolled:
            audit(
                "user_enrolled",
                provider=provider.name,
                user=user.id,
                username=user.username,
                detail=f"{sign_in.issuer} {sign_in.subject} has signed in for the first time",
            )
        if linked:
            audit(
                "user_linked",
                provider=provider.name,
                user=user.id,
                username=user.username,
                detail=f"{sign_in.issuer} {sign_in.subject} has the same verified address as {user.issuer} "
                f"{user.subject}",
            )
        if refused is not None:
            audit(
                "rename_refused",
                provider=provider.name,
                user=user.id,
                username=user.username,
                wanted=attributes.username,
                detail=refused,
            )
        return user

    def _record_at_once(self, sign_in: SignIn) -> User | None:
        """Write down a sign-in in one statement, as most can be, and return the user.

        :returns: ``None``, with nothing written, for any other, and when somebody else changes or adds that user.
        """
        is_theirs = self._users.has_pair(sign_in.key)
        row, user, secret = self._db.ask(lambda connection: self._users.look(connection, is_theirs))
        if user is None:
            return self._add_at_once(sign_in, secret)
        changes = enrolment.changes_at_once(
            sign_in.provider, row, user, sign_in.attributes, sign_in.now, proven=sign_in.proven
        )
        if changes is None:
            return None
        values, changed = changes
        done = self._users.update_same(is_theirs, row, values)
        others = (
            [] if changed.groups == user.groups else self._users.other_groups(done, row.id, changed.groups)
        )
        if sign_in.left is not None:
            others.append(self._last_sign_ins.put_with(done, row.id, sign_in.left))
        statement = sa.select(done.c.id)
        for other in others:
            statement = statement.add_cte(other)
        with self._db.writing(at_once=True) as connection:
            return changed if connection.execute(statement).first() is not None else None

    def _add_at_once(self, sign_in: SignIn, secret: str | None) -> User | None:
        """Add a user whom nobody waits for, and who is linked to nobody, in one statement, or return ``None``."""
        may_be_linked = sign_in.links and sign_in.proven is not None
        if not sign_in.create or sign_in.counted is not None or may_be_linked:
            return None
        new = _new_user(sign_in)
        with self._db.writing(at_once=True) as connection:
            added = self._first_sign_ins.add(connection, new, secret=secret, left=sign_in.left)
            return new.user if added else None

    def _lock_linked(self, connection: Connection, key: str) -> Any:
        """Lock a pair, then lock and return the row of the user to whom it is linked, or return ``None``."""
        self._links.hold(connection, key)
        linked = self._links.user_id(connection, key)
        return None if linked is None else self._users.lock(connection, self._users.has_id(linked))

    def _link_by_address(self, connection: Connection, sign_in: SignIn, address: str) -> Any:
        """Link a pair, which is held, to the user who has that address, and lock and return their row, or ``None``."""
        if self._links.is_undone(connection, sign_in.key):
            return None
        # First sign-ins with one address at two providers take turns, so that the second finds the first.
        self._links.hold(connection, user_key("address", address))
        user_id = self.linkable(connection, sign_in.issuer, address)
        if user_id is None:
            return None
        # In this order, as whoever deletes a user does: otherwise the two would wait for each other.
        row = self._users.lock(connection, self._users.has_id(user_id))
        hold_back(self._db, connection)
        # Somebody may have made a user of the pair before it was held.
        if row is None or self._users.select(connection, self._users.has_key(sign_in.key)):
            return None
        self._links.put(connection, sign_in.key, user_id, Link(sign_in.issuer, sign_in.subject, sign_in.now))
        return row


def _new_user(sign_in: SignIn) -> NewUser:
    attributes = sign_in.attributes
    if attributes.name is None:
        attributes = replace(attributes, name=sign_in.unsigned_name)
    return enrolment.new_user(
        sign_in.provider,
        sign_in.issuer,
        sign_in.subject,
        attributes,
        sign_in.now,
        proven=sign_in.proven,
        is_sign_in=sign_in.is_sign_in,
    )


def _unknown(provider: ProviderSettings, subject: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"provider {provider.name}: the user is not in the directory, and create_users is off; to let them in: "
        f"oauth2-mw users add INI {provider.name} {shown(subject)}",
        code="user_unknown",
        message="You have no account here. Please ask an administrator to let you in.",
    )


def disabled_error(user_id: str) -> AccessDeniedError:
    """Return the refusal of a user who may no longer sign in."""
    return AccessDeniedError(
        f"user {user_id} is disabled in the directory",
        code="user_disabled",
        message="Your account here is disabled. Please ask an administrator if that is a mistake.",
    )
