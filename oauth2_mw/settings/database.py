"""A setting that names a SQL database: where the user directory is, or where sessions are kept."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from oauth2_mw.settings.grammar import Secret

_URL = re.compile(r"([a-z][a-z0-9]*)(?:\+[a-z0-9_]+)?://(.*)", re.DOTALL)


def resolve(url: Secret, base: Path) -> Secret:
    """The URL as it can be used from any folder: a relative SQLite path is looked up from *base*.

    :raises ValueError: when it cannot be read, is no database URL, or names a database that forgets. The URL is not
        repeated, since a password may stand in it.
    """
    try:
        text = url.value()
    except OSError as error:
        raise ValueError(f"it cannot be read: {error}") from None
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(
            "it is no database URL: write one like sqlite:///users.db or postgresql://user:password@host/name"
        )
    if find_spec("sqlalchemy") is None:
        raise ValueError("a database needs SQLAlchemy: pip install 'oauth2-mw[sql]'")
    if match[1] != "sqlite":
        return url
    path, mark, query = match[2].removeprefix("/").partition("?")
    if not match[2].startswith("/") or path in ("", ":memory:") or path.startswith("file:"):
        raise ValueError(
            "a database in memory forgets everything and is not shared by workers: name a file, like sqlite:///users.db"
        )
    if Path(path).is_absolute():
        return url
    scheme = text[: match.start(2)]
    return Secret.literal(f"{scheme}/{(base / path).absolute()}{mark}{query}")
