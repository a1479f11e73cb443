"""Where users and sessions are kept: the settings ``directory`` and ``session``, both URLs that may hold a password.

No message repeats a URL.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from oauth2_mw.settings import redis_address
from oauth2_mw.settings.grammar import Secret

_URL = re.compile(r"([a-z][a-z0-9]*)(?:\+[a-z0-9_]+)?://(.*)", re.DOTALL)


def resolve_session(url: Secret, base: Path) -> Secret:
    """Return the URL of a session store as it can be used from any folder.

    :param base: the folder from which a relative SQLite path is looked up.
    :raises ValueError: if it cannot be read, or does not name a store that can be used.
    """
    text = _read(url)
    if not text.startswith(("redis", "valkey", "unix:")):
        return _resolve_database(url, text, base)
    try:
        redis_address.parse(text)
    except ValueError as error:
        raise ValueError(f"the URL {error}") from None
    if find_spec("redis") is None:
        raise ValueError("sessions in Redis need redis-py: pip install 'oauth2-mw[redis]'")
    return url


def resolve_directory(url: Secret, base: Path) -> Secret:
    """Return the URL of the user directory's database as it can be used from any folder.

    :param base: the folder from which a relative SQLite path is looked up.
    :raises ValueError: if it cannot be read, is not a database URL, or names a database in memory.
    """
    return _resolve_database(url, _read(url), base)


def _read(url: Secret) -> str:
    try:
        return url.value()
    except OSError as error:
        raise ValueError(f"it cannot be read: {error}; write the URL there, or check the name") from None


def _resolve_database(url: Secret, text: str, base: Path) -> Secret:
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(
            "it is not a database URL: write one like sqlite:///users.db or postgresql://user:password@host/name"
        )
    if match[1] not in ("sqlite", "postgresql", "postgres"):
        raise ValueError(
            f"it begins with {match[1]}, which is none of the databases that serve, SQLite and PostgreSQL: write "
            "sqlite:///users.db or postgresql://user:password@host/name"
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
