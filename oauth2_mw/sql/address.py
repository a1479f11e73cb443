"""The URL of a database: which can be used, with which driver, and how to name one safely."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import quote

import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

# In the order in which a bare postgresql:// looks for them.
_DRIVERS = ("psycopg", "psycopg2", "pg8000")
_EXAMPLES = "sqlite:////absolute/path.db or postgresql://user:password@host/name"


def parse(address: str) -> URL:
    """Return a SQLAlchemy URL with its driver chosen.

    :raises ValueError: with a predicate for a sentence that begins with "the URL". It never quotes the address, which
        may hold a password.
    """
    if address.startswith("postgres://"):
        address = address.replace("postgres", "postgresql", 1)
    try:
        url = make_url(address)
    except (SQLAlchemyError, ValueError):
        raise ValueError(f"cannot be read by SQLAlchemy; write {_EXAMPLES}") from None
    if "@" in (url.host or ""):
        raise ValueError("has a password with @ in it, which must be written as %40")
    kind, _, driver = url.drivername.partition("+")
    if kind == "sqlite" and driver in ("", "pysqlite"):
        if url.database in (None, "", ":memory:") or url.query.get("mode") == "memory":
            raise ValueError("names a database in memory, and each worker would have its own; name a file")
        return url
    if kind == "postgresql":
        return url.set(drivername=f"postgresql+{_driver(driver)}")
    raise ValueError(f"begins with {url.drivername!r}; write {_EXAMPLES}")


def _driver(name: str) -> str:
    """Return the PostgreSQL driver of that *name*, or for ``""`` the first that is installed."""
    if name and name not in _DRIVERS:
        raise ValueError(f"names the driver {name!r}; the known ones are {', '.join(_DRIVERS)}")
    is_old = sqlalchemy.__version__.startswith("1.")
    if is_old and name == "psycopg":
        raise ValueError("names psycopg 3, which SQLAlchemy 1.4 does not know; use psycopg2 or SQLAlchemy 2")
    candidates = [name] if name else [driver for driver in _DRIVERS if not (is_old and driver == "psycopg")]
    for driver in candidates:
        if find_spec(driver) is not None:
            return driver
    packages = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}
    package = packages.get(candidates[0], candidates[0])
    raise ValueError(f"needs a PostgreSQL driver that is not installed; run: pip install '{package}'")


def name(url: URL) -> str:
    """Return the database as a message names it: without user, password and query."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database}"
    host = url.host or url.query.get("host", "")
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{host if isinstance(host, str) else ','.join(host)}{port}/{url.database or ''}"


def without_secrets(text: str, url: URL) -> str:
    """Return *text* with every password of *url* blacked out."""
    for value in (url.password, *(value for key, value in url.query.items() if "pass" in key)):
        if isinstance(value, str) and value:
            text = text.replace(value, "***").replace(quote(value, safe=""), "***")
    return text
