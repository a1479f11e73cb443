"""Values that no release has written: SQLite takes any of them in any column, from whoever may write to the file.

What reads sessions and revocations judges each value itself, and goes on without those that it cannot use. Users, names
and tokens decide who somebody is, so there one refuses.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import TypeDecorator

from oauth2_mw.encoding import MAX_NUMBER

#: The columns in which nothing may stand.
_OPTIONAL = frozenset("name email phone comment email_key disabled_at email_proven_at used_at".split())


class _ForeignValueError(SQLAlchemyError):
    """A column holds what none of ours can hold. The message names the column, and never repeats the value."""


class _Judged(TypeDecorator):  # type: ignore[type-arg]  # not generic in SQLAlchemy 1.4
    """A value of ours, or nothing where that may be.

    :param table: the name of the table, for messages.
    """

    def __init__(self, table: str, column: str) -> None:
        super().__init__()
        self.table, self.column = table, column

    def is_ours(self, value: Any) -> bool:
        """Return whether a value that is there can be one of ours."""
        raise NotImplementedError

    def process_result_value(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002  SQLAlchemy's
        """Return the value.

        :raises _ForeignValueError: if it is none of ours.
        """
        if (value is None and self.column in _OPTIONAL) or self.is_ours(value):
            return value
        raise _ForeignValueError(
            f"{self.column} of {self.table} holds a value of the type {type(value).__name__} that no release writes "
            "there"
        )


class _OwnText(_Judged):
    impl = sa.String
    # SQLAlchemy asks each class by itself.
    cache_ok = True

    def is_ours(self, value: Any) -> bool:
        return isinstance(value, str)


class _OwnNumber(_Judged):
    """A whole number from -1 to :data:`~oauth2_mw.encoding.MAX_NUMBER`."""

    impl = sa.BigInteger
    cache_ok = True

    def is_ours(self, value: Any) -> bool:
        return isinstance(value, int) and -1 <= value <= MAX_NUMBER


def own_text(table: str, column: str) -> Any:
    """Return the type of a column of texts that judges what it reads, for SQLAlchemy."""
    return _OwnText(table, column)


def own_number(table: str, column: str) -> Any:
    """Return the type of a column of numbers that judges what it reads, for SQLAlchemy."""
    return _OwnNumber(table, column)
