"""The URL of a database: which can be used, with which driver, and how to name one safely."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from urllib.parse import quote, quote_plus

import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

# In the order in which a bare postgresql:// looks for them.
_DRIVERS = ("psycopg", "psycopg2", "pg8000")
_EXAMPLES = "sqlite:////absolute/path.db or postgresql://user:password@host/name"
#: What may stand in a URL about the pool of its connections -> the least and the most.
POOL: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"pool_size": (1, 100), "max_overflow": (0, 100), "pool_timeout": (1, 60)}
)
#: Connections that one process keeps, and how many more it opens under load.
POOL_SIZE = 5
POOL_OVERFLOW = 5
#: Several hosts where there is room for one, as libpq has it (PostgreSQL documentation, 34.1.1.2).
_HOSTS = re.compile(
    r"(postgresql(?:\+\w+)?://(?:[^/?#]*@)?)([^/?#@]*,[^/?#@]*)((?:/[^?#]*)?)(?:\?(.*))?", re.DOTALL
)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*))(?::([0-9]{1,5}))?")
#: Servers that can be written to: libpq passes over the others.
_WRITABLE = ("read-write", "primary", "any")
_TARGET = "target_session_attrs"


def parse(address: str) -> URL:
    """Return a SQLAlchemy URL with its driver chosen.

    :raises ValueError: with a predicate for a sentence that begins with "the URL". It never quotes the address, which
        may hold a password.
    """
    if address.startswith("postgres://"):
        address = address.replace("postgres", "postgresql", 1)
    if (match := _HOSTS.fullmatch(address)) is not None:
        address = _with_hosts_in_query(match)
    try:
        url = make_url(address)
    except (SQLAlchemyError, ValueError):
        raise ValueError(f"cannot be read by SQLAlchemy; write {_EXAMPLES}") from None
    if "@" in (url.host or ""):
        raise ValueError("has a password with @ in it, which must be written as %40")
    for key, (least, most) in POOL.items():
        value = url.query.get(key, str(least))
        if (
            not isinstance(value, str)
            or not re.fullmatch("[0-9]{1,3}", value)
            or not least <= int(value) <= most
        ):
            raise ValueError(f"has another value for {key} than {least} to {most}, once")
    kind, _, driver = url.drivername.partition("+")
    if kind == "sqlite" and driver in ("", "pysqlite"):
        if url.database in (None, "", ":memory:") or url.query.get("mode") == "memory":
            raise ValueError("names a database in memory, and each worker would have its own; name a file")
        return url
    if kind == "postgresql":
        return _choosing_the_writable(url.set(drivername=f"postgresql+{_driver(driver)}"))
    raise ValueError(f"begins with {url.drivername!r}; write {_EXAMPLES}")


def _with_hosts_in_query(match: re.Match[str]) -> str:
    """Return a URL that SQLAlchemy reads for one with several hosts in its authority."""
    query = match[4] or ""
    if re.search("(?:^|&)(?:host|port)=", query):
        raise ValueError("names hosts before its path and after its ?: write them in one place")
    hosts = [_HOST.fullmatch(text) for text in match[2].split(",")]
    names = [host[1] or host[2] if host is not None else "" for host in hosts]
    if not all(names):
        raise ValueError("has a host that cannot be read: write host1:5432,host2:5432, IPv6 in brackets")
    ports = [host[3] or "" for host in hosts if host is not None]
    where = f"host={quote_plus(','.join(names))}&port={quote_plus(','.join(ports))}"
    return f"{match[1]}{match[3]}?{where}{'&' if query else ''}{query}"


def _choosing_the_writable(url: URL) -> URL:
    """Return a URL of PostgreSQL whose hosts are passed over while they are standbys."""
    hosts, wanted = url.query.get("host", ""), url.query.get(_TARGET)
    is_several = not isinstance(hosts, str) or "," in hosts
    if (is_several or wanted is not None) and url.get_driver_name() == "pg8000":
        raise ValueError("names several hosts, which pg8000 cannot; run: pip install 'psycopg[binary]'")
    if wanted is not None and wanted not in _WRITABLE:
        raise ValueError(f"has another value for {_TARGET} than {', '.join(_WRITABLE)}: sessions are written")
    if is_several and wanted is None:
        return url.update_query_dict({_TARGET: "read-write"})
    return url


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


def most_connections(url: URL) -> int:
    """Return how many connections one process opens at most."""
    size, overflow = url.query.get("pool_size", POOL_SIZE), url.query.get("max_overflow", POOL_OVERFLOW)
    return int(str(size)) + int(str(overflow))


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
