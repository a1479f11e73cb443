"""What a database refused, in words that an operator can act on."""

from __future__ import annotations

from sqlalchemy.engine import URL

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.sql import address
from oauth2_mw.sql import engine as engines

#: Characters of a database's own message that an error quotes.
MAX_REASON = 300
_WRITABLE = "this process may write to the file and to the folder"

_NOT_OURS = (
    "tables there have our names, and are not ours or not whole: name another database, or restore a copy"
)

#: a part of SQLite's own message -> what to do
_SQLITE_CURES = (
    ("locked", "another process keeps it locked: see that no copy, shell or command holds it for long"),
    ("not a database", "restore it from a copy, or move it away"),
    ("malformed", "restore it from a copy, or move it away"),
    ("already exists", _NOT_OURS),
    ("no such column", _NOT_OURS),
    ("no release writes", "find the row with typeof(), and put it right or restore the file from a copy"),
)


class BrokenConnectionError(StoreUnavailableError):
    """A connection was closed before it was used; another may work."""


def explain(url: URL, error: Exception, *, setting: str) -> str:
    """Return what went wrong with the database at *url*, and what to do, without secrets.

    :param setting: the key of the URL.
    """
    reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0][:MAX_REASON]
    advice = _advice(reason, error, is_sqlite=url.get_backend_name() == "sqlite")
    cause = f"{type(error).__name__}: {address.without_secrets(reason, url)}"
    return f"{address.name(url)} (setting {setting}): {cause}; {advice}"


def _advice(reason: str, error: Exception, *, is_sqlite: bool) -> str:
    if engines.takes_no_writes(error):
        other = f"and check that {_WRITABLE}" if is_sqlite else "or name the server that is no copy"
        return f"it can be read and not written: make room on its disk, {other}"
    # undefined_column, duplicate_table
    if engines.code_of(error) in ("42703", "42P07"):
        return _NOT_OURS
    if not is_sqlite:
        return "check that the server runs, and that the role may sign in, create our tables and use them"
    for part, cure in _SQLITE_CURES:
        if part in reason:
            return cure
    return f"check that the folder exists and that {_WRITABLE}"
