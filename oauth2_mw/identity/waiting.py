"""Users whom an operator has added before their first sign-in: they have an id, and no name yet.

Either the operator knows the pair of issuer and subject, or only an address: then the first sign-in at that issuer that
brings the address, verified, takes the row and puts its pair into it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy.engine import Connection

from oauth2_mw.encoding import pair_hash
from oauth2_mw.identity.model import user_key
from oauth2_mw.identity.users import AWAITED, UserTable
from oauth2_mw.observe import new_id


def waiting_key(issuer: str, address: str) -> str:
    """Return what stands for the ``user_key`` of a user who is waited for by an address.

    :param address: in its one spelling (:func:`~oauth2_mw.identity.verification.address_key`).
    """
    # The hash of a pair tells the issuer's length, and no issuer has a blank: it is no user's key.
    return pair_hash(f"address {issuer}", address)


def add(
    users: UserTable,
    connection: Connection,
    issuer: str,
    *,
    subject: str = "",
    address: str | None = None,
    organizations: Iterable[str],
    now: int,
) -> str | None:
    """Add a user who is waited for, by a subject or an address. Return the id, or ``None`` if there is one already."""
    user_id = new_id()
    values: dict[str, object] = {
        "id": user_id,
        "user_key": user_key(issuer, subject) if address is None else waiting_key(issuer, address),
        "issuer": issuer,
        "subject": subject,
        "username": "",
        # No email_key: nobody has proved the address, and nobody is linked by it.
        "email": address,
        "created_at": now,
        "updated_at": now,
        "last_sign_in": AWAITED,
    }
    if not users.add(connection, values):
        return None
    users.add_memberships(connection, user_id, organizations)
    return user_id


def take(
    users: UserTable, connection: Connection, issuer: str, subject: str, address: str, *, now: int
) -> Any:
    """Give the place that waits for an address to (*issuer*, *subject*), and lock and return their row, or ``None``.

    The pair is held (:meth:`~oauth2_mw.identity.links.LinkTable.hold`).
    """
    row = users.lock(connection, users.has_key(waiting_key(issuer, address)))
    key = user_key(issuer, subject)
    if row is not None:
        users.update(connection, row.id, {"user_key": key, "subject": subject, "updated_at": now})
    # Also when there was none: the same person may have taken it a moment ago, in another tab.
    return users.lock(connection, users.has_key(key))
