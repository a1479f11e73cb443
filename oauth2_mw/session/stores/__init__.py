"""The session stores: one small interface, and a module or package for each kind of store.

A store keeps texts that it cannot read, and decides races: of any number of workers that change one session, one wins.
A new kind of store is one class that passes ``tests/support/contracts/store.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol

from oauth2_mw.errors import ConfigError, Problem
from oauth2_mw.session.stores.record import Record
from oauth2_mw.settings import redis_address

if TYPE_CHECKING:
    from oauth2_mw.settings.grammar import Secret
    from oauth2_mw.sql import Database

__all__ = ["FormStore", "Record", "Store", "is_redis", "open_store"]


class FormStore(Protocol):
    """The forms that wait for their senders to sign in. As with a :class:`Store`, all its workers share them.

    Who sent one is named by a keyed hash. A form that was taken leaves its id behind until it expires.
    """

    def keep(
        self, owner: str, form_id: str, data: str, *, expires: int, most: int
    ) -> Literal["kept", "taken", "full"]:
        """Keep a form, unless it was taken: one that is there already is kept anew.

        :param most: the most forms of one owner that wait at a time.
        :returns: ``kept``, also if it was there already; ``taken`` if it was taken before; or ``full``.
        """

    def read(self, owner: str, form_id: str) -> str | None:
        """Return a form; an empty text if it was taken; ``None`` if there is none or it has expired."""

    def take(self, owner: str, form_id: str, *, expires: int) -> str | None:
        """Take a form. Of any number of callers one gets it, and the others an empty text; ``None`` as with ``read``.

        :param expires: until when its id is remembered.
        """

    def drop(self, owner: str, form_id: str) -> None:
        """Forget a form and its id."""


class Store(Protocol):
    """The sessions of one application, shared by all its workers.

    A store object is made without connecting. It is safe for threads, and after a fork: connections belong to the
    process that opened them. Other applications in the same store are invisible.

    **Every method raises** :class:`~oauth2_mw.errors.StoreUnavailableError` when the store cannot be used or a value is
    outside the limits of :mod:`oauth2_mw.session.stores.record`, and works again by itself when the store is back. A
    write that returned is durable, as far as the store can promise it.

    All times are whole seconds since the epoch. What has expired is gone by the clock of this worker, which is a
    parameter of every store (``clock: Callable[[], float] = time.time``). What a server removes by itself it removes an
    hour later (``record.EXPIRY_GRACE``), because its clock and those of other workers may differ.

    Keys, indexes and other names are short visible ASCII made by this package; texts from outside are hashed first. A
    value that this package did not write (a number out of range, megabytes of text) counts as absent and leaves an
    audit line.
    """

    @property
    def forms(self) -> FormStore:
        """The forms that are kept beside the sessions."""

    def as_app(self, app: str, *, clock: Callable[[], float]) -> Store:
        """Return the same store as another application sees it, over the same connections.

        :param app: its ``public_url``, or a word for what belongs to none.
        """

    def server_time(self) -> float | None:
        """Return the time by the server's own clock, in seconds since the epoch; ``None`` where it does not tell."""

    def add(self, key: str, record: Record, *, indexes: Collection[str]) -> None:
        """Write a new record, which can be found by each of *indexes* from the moment it can be read.

        :param key: the session's id, of random bits: never added twice.
        """

    def read(self, key: str, *, grace: int = 0) -> Record | None:
        """Return the record, or ``None`` if there is none or it has expired. One round trip.

        :param grace: read one, too, that expired no more seconds ago; at most ``record.EXPIRY_GRACE``.
        """

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
        """Read a record that is in use, and note its use if the last one noted is long enough ago.

        This is one atomic step: a :meth:`replace` at the same moment is not lost, and a record that was deleted or has
        expired does not come back. One round trip when *indexes* is empty.

        :param seen: the time of use. When the record's own is at least *step* seconds older, *seen* and *expires* are
            written, each unless the record's is later already; otherwise both stay as they are.
        :param summary: the new summary, which is written in any case, or ``None`` to leave the old one.
        :param indexes: by which the record can be found from now on, besides those that it had.
        :returns: the record as it is now, with the data, version and lease that others may have written, or ``None`` if
            it is gone.
        """

    def replace(self, key: str, record: Record) -> bool:
        """Replace the record whose version is one less by *record* (compare and set).

        Its indexes stay. Of any number of callers with the same version exactly one gets ``True``.

        :returns: ``False``, with nothing written, if another caller has replaced the record first, or it is gone.
        """

    def delete(self, key: str) -> bool:
        """Forget a record for good, whatever :meth:`replace` or :meth:`touch` is under way.

        :returns: whether there was one.
        """

    def find(self, index: str) -> list[tuple[str, Record]]:
        """Return all living records of an index with their keys, in no order."""

    def all(self, *, after: str | None = None, used_since: int = 0) -> Iterator[tuple[str, Record]]:
        """Return all living records of this application with their keys, page by page, in no order.

        :param after: in the order of their keys instead, and those behind that one; an empty text is before all.
        :param used_since: those alone whose last noted use is not before that.

        A record that is added meanwhile may be missed, one that is deleted meanwhile may still come; none comes twice.
        """

    def first_use(self, name: str, *, expires: int) -> bool:
        """Use a name up. Return ``True`` to exactly one of all callers.

        :param name: such as ``attempt:ID``.
        :param expires: the name stays used at least until an hour after that.
        """

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        """Revoke what was issued under that name at or before *moment*.

        Of several revocations of one name the latest moment counts, until the last of them expires.

        :param name: ``session:ID``, ``user:USERID``, ``sid:HASH``, or ``begun:NAME`` for a provider's; ``jti:HASH`` for
            a processed logout token; ``frame:HASH`` for a frame's, whose moment alone is in milliseconds.
        :param expires: the revocation is kept at least until then, and at most an hour longer.
        """

    def revoked(self, name: str) -> int | None:
        """Return the moment of the revocation of that name, or ``None`` if there is none. One round trip."""

    def moments(self, names: Collection[str]) -> dict[str, int]:
        """Return the moments of those of *names* that are revoked, as :meth:`revoked` does. One round trip."""


def is_redis(url: Secret) -> bool:
    """Return whether a store's URL names Redis or Valkey; if not, it is a database's.

    :raises OSError: if the URL is in a file that cannot be read.
    """
    return url.value().partition("://")[0] in redis_address.SCHEMES


def open_store(url: Secret, *, app: str, database: Database | None = None) -> Store:
    """Return the store at *url*, chosen by its scheme, without connecting to it.

    :param url: one of :data:`oauth2_mw.settings.redis_address.SCHEMES`, or a SQLAlchemy URL.
    :param app: ``public_url``; what other applications keep there is invisible.
    :param database: the directory's, which is shared if its URL is the same.
    :raises ConfigError: when the URL cannot be used, or redis-py is not installed.
    :raises ImportError: when SQLAlchemy cannot be imported.
    """
    try:
        redis = is_redis(url)
    except OSError as error:
        raise ConfigError([Problem("oauth2_mw", "session", f"the URL cannot be read: {error}")]) from None
    if redis:
        if find_spec("redis") is None:
            missing = "needs redis-py, which is not installed; run: pip install 'oauth2-mw[redis]'"
            raise ConfigError([Problem("oauth2_mw", "session", missing)])
        from oauth2_mw.session.stores.redis import RedisStore

        return RedisStore(url, app=app)
    from oauth2_mw.session.stores.sql import SqlStore
    from oauth2_mw.sql import Database

    if database is None or not database.is_at(url):
        database = Database(url, setting="session")
    return SqlStore(database, app=app)
