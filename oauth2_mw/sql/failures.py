"""What a database refused, in words that an operator can act on."""

from __future__ import annotations

from sqlalchemy.engine import URL

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.sql import address
from oauth2_mw.sql import engine as engines

#: Characters of a database's own message that an error quotes.
MAX_REASON = 300


class BrokenConnectionError(StoreUnavailableError):
    """A connection was closed before it was used; another may work."""


def explain(url: URL, error: Exception, *, setting: str) -> str:
    """Return what went wrong with the database at *url*, and what to do, without secrets.

    :param setting: the key of the URL.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0][:MAX_REASON]
    if engines.takes_no_writes(error):
        advice = "it can be read and not written: make room on its disk, " + (
            "and check that this process may write to the file and to the folder"
            if is_sqlite
            else "or name the server that is no copy"
        )
    elif is_sqlite:
        advice = "check that the folder exists and that this process may write to the file and to the folder"
    else:
        advice = "check that the server runs, and that the role may sign in, create our tables and use them"
    cause = f"{type(error).__name__}: {address.without_secrets(reason, url)}"
    return f"{address.name(url)} (setting {setting}): {cause}; {advice}"
