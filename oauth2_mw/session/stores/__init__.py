"""Where sessions are kept beside the browser's cookie: one small interface, and one file for each kind of store.

A store keeps texts that it cannot read, and decides races: of any number of workers that change one session, one
wins. What the texts mean is known above. A new kind of store is one class that passes
``tests/support/contracts/store.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Protocol

from oauth2_mw.errors import ConfigError, Problem
from oauth2_mw.session.stores.record import Record

if TYPE_CHECKING:
    from oauth2_mw.settings.grammar import Secret
    from oauth2_mw.sql import Database

__all__ = ["Record", "Store", "open_store"]

_REDIS = frozenset({"redis", "rediss", "redis+sentinel", "redis+cluster"})


class Store(Protocol):
    """Sessions of one application, shared by all its workers.

    A store object is made without connecting. It is safe for threads, and after a fork: connections belong to the
    process that opened them. Other applications in the same store are invisible.

    **Every method raises** :class:`~oauth2_mw.errors.StoreUnavailableError` when the store cannot be used, also when it
    gets something that does not fit (:mod:`oauth2_mw.session.stores.record` has the limits), and works again by
    itself when the store is back. A write that returned is durable, as far as the store can promise it.

    All times are whole seconds since the epoch. What has expired is gone: this worker's clock decides, which is a
    parameter of every store (``clock: Callable[[], float] = time.time``). What a server removes by itself it removes
    an hour later (``record.EXPIRY_GRACE``), because its clock and those of other workers may differ.

    Keys, indexes and other names are short visible ASCII of our own making; texts from outside are hashed first. A
    value that nobody of us wrote (a number out of range, megabytes of text) is no record, and leaves an audit line.
    """

    def add(self, key: str, record: Record, *, indexes: Collection[str]) -> None:
        """Write a new record, which can be found by each of *indexes* from the moment it can be read.

        :param key: the session's id, of random bits: never added twice.
        """

    def read(self, key: str) -> Record | None:
        """The record; ``None``: there is none, or it has expired. One round trip."""

    def touch(
        self,
        key: str,
        *,
        seen: int,
        expires: int,
        step: int = 0,
        summary: str | None = None,
        indexes: Collection[str] = (),
    ) -> Record | None:
        """Read a record that is in use, and write down that it is, where that is worth it.

        One step with whatever others do: neither does it lose a :meth:`replace` that happens at the same moment, nor
        does it bring back what was deleted or has expired. One round trip when *indexes* is empty.

        :param seen: the moment of use. When the record's own is at least *step* seconds older, *seen* and *expires*
            are written, each unless the record's is later already; else both stay as they are.
        :param summary: the new summary, which is written in any case; ``None``: the old one stays.
        :param indexes: by which the record can be found from now on, beside those that it had.
        :returns: the record as it is now, with data, version and lease that others may have replaced; ``None``: it
            is gone.
        """

    def replace(self, key: str, record: Record) -> bool:
        """Put *record* in the place of the one whose version is one less (compare and set).

        Its indexes stay. Of any number of callers with the same version exactly one gets ``True``.

        :returns: ``False``: somebody else was faster, or the record is gone. Nothing is written then.
        """

    def delete(self, key: str) -> bool:
        """Forget a record for good; ``False``: there was none. A replace or touch in flight does not bring it back."""

    def find(self, index: str) -> list[tuple[str, Record]]:
        """All living records of an index, with their keys, in no order."""

    def all(self) -> Iterator[tuple[str, Record]]:
        """All living records of this application, page by page, in no order.

        One that is added meanwhile may be missed, one that is deleted meanwhile may still come; none comes twice.
        """

    def first_use(self, name: str, *, expires: int) -> bool:
        """Use a name up: ``True`` for exactly one of all callers.

        :param name: such as ``attempt:ID``.
        :param expires: the name is used up at least until an hour after that.
        """

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        """Remember a cut-off: what was issued at or before *moment* under that name counts no more.

        Of several for one name the highest moment counts, until the last of them expires.

        :param name: ``session:ID``, ``user:USERID`` or ``sid:HASH``; ``jti:HASH`` for a logout token that is done with.
        :param expires: it is kept at least until then, and no longer than an hour more.
        """

    def revoked(self, name: str) -> int | None:
        """The moment of the cut-off under that name; ``None``: there is none. One round trip."""


def open_store(url: Secret, *, app: str, database: Database | None = None) -> Store:
    """The store at *url*, chosen by its scheme. Nothing is connected yet.

    :param url: ``redis://``, ``rediss://``, ``redis+sentinel://``, ``redis+cluster://``, or a SQLAlchemy URL.
    :param app: ``public_url``; what other applications keep there is invisible.
    :param database: one that is open already, the directory's. It is shared when the URL is the same.
    :raises ConfigError: when the URL cannot be used, or a package that it needs is not installed.
    """
    try:
        scheme = url.value().partition("://")[0]
    except OSError as error:
        raise ConfigError([Problem("oauth2_mw", "session", f"the URL cannot be read: {error}")]) from None
    if scheme in _REDIS:
        from oauth2_mw.session.stores import redis  # type: ignore[attr-defined,unused-ignore]

        in_redis: Store = redis.RedisStore(url, app=app)
        return in_redis
    from oauth2_mw.session.stores.sql import SqlStore
    from oauth2_mw.sql import Database

    if database is None or not database.is_at(url):
        database = Database(url, setting="session")
    return SqlStore(database, app=app)
