"""Write a new user in one statement, which PostgreSQL keeps whole or not at all.

Most first sign-ins meet nobody who is about to write what matters to them, and there is nothing left to look up once
the row is in: a user is (issuer, subject), and the unique keys of users and names decide between two who come at once.
Whoever meets somebody, or has anything unusual about them, takes the long way (:mod:`oauth2_mw.identity.sign_ins`).

The statement sees the database as it was when the statement began. Of what no unique key decides (a pair that is
linked, a name whose user is deleted) somebody else could write just after that. Whoever does so calls
:func:`hold_back` first: PostgreSQL gives a statement the locks on its tables before it shows it any rows, so that each
first sign-in has either ended by then, or begins when the other can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from oauth2_mw.identity.deleted_names import name_hash
from oauth2_mw.identity.last_sign_ins import LastSignIn, stored_values
from oauth2_mw.identity.links import lock_number
from oauth2_mw.identity.usernames import name_keys
from oauth2_mw.identity.users import NewUser
from oauth2_mw.sql import Database
from oauth2_mw.sql.engine import LOCK_WAIT

_TEXTS = ("id", "user_key", "issuer", "subject", "username", "name", "email", "phone", "comment", "email_key")
_NUMBERS = ("created_at", "updated_at", "last_sign_in", "email_proven_at")
_LEFT = ("app", "provider", "left_issuer", "left_subject", "claims")


def _cast(names: Sequence[str], kind: str) -> str:
    return ", ".join(f"CAST(:{name} AS {kind})" for name in names)


# gate: nobody reads it. It is there for the lock on its table, for which hold_back waits.
# is_free: what another may write is looked at while its lock is held, and nobody waits for that: 0.1.0 links so.
_ADD = f"""\
WITH gate AS (SELECT id FROM oauth2_mw_name_keys WHERE false FOR KEY SHARE),
is_free AS (
    SELECT 1 WHERE current_setting('transaction_isolation') = 'read committed'
    AND set_config('lock_timeout', '{LOCK_WAIT}s', true) <> ''
    AND pg_try_advisory_xact_lock(CAST(:lock AS BIGINT))
    AND NOT EXISTS (SELECT 1 FROM oauth2_mw_links WHERE user_key = :user_key)
    AND NOT EXISTS (SELECT 1 FROM oauth2_mw_usernames WHERE name_key = ANY(CAST(:names AS TEXT[])))
    AND NOT EXISTS (SELECT 1 FROM oauth2_mw_deleted_names WHERE name_hash = ANY(CAST(:hashes AS TEXT[])))
    AND (SELECT secret FROM oauth2_mw_name_keys WHERE id = 1) IS NOT DISTINCT FROM CAST(:secret AS TEXT)
),
added AS (
    INSERT INTO oauth2_mw_users ({", ".join((*_TEXTS, *_NUMBERS))})
    SELECT {_cast(_TEXTS, "TEXT")}, {_cast(_NUMBERS, "BIGINT")} FROM is_free
    ON CONFLICT DO NOTHING RETURNING id
),
named AS (
    INSERT INTO oauth2_mw_usernames (name_key, user_id) SELECT unnest(CAST(:names AS TEXT[])), id FROM added
),
joined AS (
    INSERT INTO oauth2_mw_memberships (user_id, organization)
    SELECT id, unnest(CAST(:organizations AS TEXT[])) FROM added
),
grouped AS (
    INSERT INTO oauth2_mw_groups (user_id, name) SELECT id, unnest(CAST(:groups AS TEXT[])) FROM added
),
remembered AS (
    INSERT INTO oauth2_mw_last_sign_ins (user_id, app, provider, issuer, subject, claims, seen_at)
    SELECT id, {_cast(_LEFT, "TEXT")}, CAST(:seen_at AS BIGINT) FROM added WHERE CAST(:app AS TEXT) IS NOT NULL
)
SELECT id FROM added"""  # noqa: S608  names of ours


class FirstSignIns:
    """The one statement, for PostgreSQL alone."""

    def __init__(self) -> None:
        lists = ("names", "hashes", "organizations", "groups")
        self._add = sa.text(_ADD).bindparams(
            *(sa.bindparam(name, type_=sa.ARRAY(sa.Text())) for name in lists),
            *(sa.bindparam(name, type_=sa.BigInteger()) for name in ("lock", *_NUMBERS, "seen_at")),
        )

    def add(
        self, connection: Connection, new: NewUser, *, secret: str | None, left: LastSignIn | None
    ) -> bool:
        """Add a user with names, groups and organizations. Return ``False``, with nothing written, if that must be
        done the long way.

        :param connection: one whose statements are kept each by itself.
        :param secret: the key of the names of deleted users, as it was just read.
        :param left: what is kept of the sign-in for requests with a personal token, where there are any.
        """
        user = new.user
        names = list(name_keys(user.username))
        values: dict[str, object] = {
            **new.row(),
            "lock": lock_number(new.user_key),
            "names": names,
            "hashes": [] if secret is None else [name_hash(secret, name) for name in names],
            "secret": secret,
            "organizations": list(user.organizations),
            "groups": list(user.groups),
            **dict.fromkeys((*_LEFT, "seen_at")),
        }
        if left is not None:
            kept = stored_values(left)
            values |= {
                "app": left.app,
                "left_issuer": kept.pop("issuer"),
                "left_subject": kept.pop("subject"),
                **kept,
            }
        try:
            return connection.execute(self._add, values).first() is not None
        except IntegrityError:
            # Somebody has taken a name since the statement began.
            return False


def hold_back(database: Database, connection: Connection) -> None:
    """Wait for first sign-ins that are under way, and let none begin before the end of the transaction.

    What is looked at afterwards is there for good.
    """
    # In SQLite a writing transaction is alone from its beginning.
    if database.kind == "postgresql":
        connection.exec_driver_sql("LOCK TABLE oauth2_mw_name_keys IN EXCLUSIVE MODE")
