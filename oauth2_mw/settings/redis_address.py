"""URLs of Redis and Valkey: one server, one behind Sentinels, or a cluster. Nothing is connected to here."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import NamedTuple
from urllib.parse import quote, quote_plus, unquote

from oauth2_mw.settings.addresses import check_host

EXAMPLES = (
    "redis://user:password@host:6379/0, rediss:// for TLS, redis+sentinel://host1,host2,host3/SERVICE, "
    "redis+cluster://host1,host2 or unix:///run/redis.sock"
)
SCHEMES = frozenset({"redis", "rediss", "redis+sentinel", "redis+cluster", "unix"})
#: The most connections of one process to one server that can be asked for.
MAX_POOL = 1000
#: The most replicas that can be asked to confirm a write.
MAX_REPLICAS = 9

_URL = re.compile(r"([a-z][a-z0-9+]*)://([^/?#]*)([^?#]*)(?:\?(.*))?")
#: The characters of a URL (RFC 3986); all others are percent-encoded.
_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*))(?::([0-9]{1,5}))?")
#: What may stand in the query beside TLS, each a file.
_FILES = ("ca_bundle", "tls_cert", "tls_key")
_DATABASE = re.compile(r"[0-9]{1,5}")
#: A Sentinel's own rule for the names of masters.
_SERVICE = re.compile(r"[A-Za-z0-9._-]+")


class Kind(Enum):
    """The kind of deployment."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Host(NamedTuple):
    """The address of a server; an IPv6 address has no brackets. A Unix socket is a path, and has the port 0."""

    name: str
    port: int

    @property
    def is_socket(self) -> bool:
        return self.name.startswith("/")

    def __str__(self) -> str:
        if self.is_socket:
            return self.name
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A parsed URL, passwords decoded. Neither its repr nor its text shows a user or a password."""

    kind: Kind
    #: the server, the Sentinels, or some nodes of the cluster
    hosts: tuple[Host, ...]
    #: the name under which the Sentinels know the master; empty without Sentinels
    service: str = ""
    database: int = 0
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    #: for the Sentinels themselves
    sentinel_user: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: bool = False
    #: a file of CA certificates (PEM) that are trusted beside those of the system
    ca_bundle: str | None = None
    #: how many replicas, if so many are connected, confirm a write that must survive the loss of a master
    wait_replicas: int = 0
    #: the files (PEM) with which we prove ourselves to the server; the key may be in the first
    tls_cert: str | None = None
    tls_key: str | None = None
    #: how many connections one process opens to one server, if that is written
    pool_size: int | None = None

    def __str__(self) -> str:
        """Return scheme, hosts, service and database, for messages."""
        if self.hosts[0].is_socket:
            return f"unix://{self.hosts[0]}?db={self.database}"
        scheme = {Kind.SINGLE: "rediss" if self.tls else "redis"}.get(self.kind, f"redis+{self.kind.value}")
        where = ",".join(map(str, self.hosts))
        if self.kind is Kind.SENTINEL:
            return f"{scheme}://{where}/{self.service}/{self.database}"
        return f"{scheme}://{where}" + (f"/{self.database}" if self.kind is Kind.SINGLE else "")

    def without_secrets(self, text: str) -> str:
        """Return *text* with every password of this address replaced by ``***``."""
        for secret in (self.password, self.sentinel_password):
            if secret:
                for written in (secret, quote(secret, safe=""), quote_plus(secret)):
                    text = text.replace(written, "***")
        return text


def parse(text: str) -> RedisAddress:
    """Parse a URL.

    ::

        redis://[[user]:password@]host[:6379][/0]
        rediss://...                                                       the same over TLS
        redis+sentinel://[[user]:password@]host[:26379],host.../SERVICE[/0]
        redis+cluster://[[user]:password@]host[:6379],host...
        unix://[[user]:password@]/absolute/path[?db=0]

    The query may hold ``wait_replicas`` (0 to 9; 1 with Sentinels and in a cluster, otherwise 0), ``pool_size``,
    ``ca_bundle``, ``tls_cert`` and ``tls_key`` (absolute paths), ``tls=1`` (with Sentinels and in a cluster) and
    ``sentinel_user`` and ``sentinel_password``.

    :raises ValueError: if it is not valid. The message continues "the URL ..." and never quotes the URL, which may
        hold a password.
    """
    if text.partition("://")[0] in ("valkey", "valkeys"):
        raise ValueError("begins with valkey: write redis:// or rediss://, which is what Valkey speaks")
    if _CHARACTERS.fullmatch(text) is None or _BROKEN_ESCAPE.search(text) is not None:
        raise ValueError(
            "holds a character that must be percent-encoded, like a blank (%20) or a percent sign (%25)"
        )
    if "#" in text:
        raise ValueError("has a # in it, which must be written as %23")
    match = _URL.fullmatch(text)
    if match is None or match[1] not in SCHEMES:
        raise ValueError(f"does not name a Redis server; write {EXAMPLES}")
    scheme, authority, path, query = match[1], match[2], match[3], match[4] or ""
    kind, is_socket = Kind(scheme.partition("+")[2] or "single"), scheme == "unix"
    if "@" in path + query:
        raise ValueError("has a password with /, ? or @ in it; they are written as %2F, %3F and %40")
    credentials, _, where = authority.rpartition("@")
    user, password = _credentials(credentials) if "@" in authority else (None, None)
    options = _query(query, kind, is_socket=is_socket)
    tls = scheme == "rediss" or options.get("tls") == "1"
    for name in _FILES:
        if name in options and not tls:
            raise ValueError(
                f"names a {name} but no TLS: write rediss://, or add tls=1 with Sentinels and in a cluster"
            )
    if "tls_key" in options and "tls_cert" not in options:
        raise ValueError("has a tls_key without a tls_cert")
    if is_socket:
        hosts: tuple[Host, ...] = (_socket(where, path),)
        service, database = "", int(options.get("db", "0"))
    else:
        hosts = _hosts(where, kind)
        service, database = _path(path, kind)
    return RedisAddress(
        kind=kind,
        hosts=hosts,
        service=service,
        database=database,
        user=user,
        password=password,
        sentinel_user=options.get("sentinel_user"),
        sentinel_password=options.get("sentinel_password"),
        tls=tls,
        ca_bundle=options.get("ca_bundle"),
        wait_replicas=int(options.get("wait_replicas", "0" if kind is Kind.SINGLE else "1")),
        tls_cert=options.get("tls_cert"),
        tls_key=options.get("tls_key"),
        pool_size=int(options["pool_size"]) if "pool_size" in options else None,
    )


def _credentials(text: str) -> tuple[str | None, str]:
    if "@" in text:
        raise ValueError("has a password with @ in it, which must be written as %40")
    user, colon, password = text.partition(":")
    if ":" in password:
        raise ValueError("has a password with : in it, which must be written as %3A")
    if not colon or not password:
        raise ValueError("has no password before the @; write user:password@host, or :password@host")
    return (_decoded(user) if user else None), _decoded(password)


def _decoded(text: str) -> str:
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("holds percent-encoded octets that are not UTF-8") from None
    if "\0" in plain:
        raise ValueError("holds %00, which is not allowed there")
    return plain


def _hosts(text: str, kind: Kind) -> tuple[Host, ...]:
    pieces = text.split(",")
    if kind is Kind.SINGLE and len(pieces) > 1:
        raise ValueError("names several hosts; write redis+sentinel://HOSTS/SERVICE or redis+cluster://HOSTS")
    return tuple(dict.fromkeys(_host(piece, 26379 if kind is Kind.SENTINEL else 6379) for piece in pieces))


def _socket(where: str, path: str) -> Host:
    name = _decoded(path)
    if where or not PurePath(name).is_absolute():
        raise ValueError("names a socket by no absolute path: write unix:///run/redis/redis.sock")
    return Host(name, 0)


def _host(text: str, default_port: int) -> Host:
    match = _HOST.fullmatch(text)
    port = int(match[3]) if match is not None and match[3] else default_port
    if match is None or not 0 < port < 65536:
        raise ValueError(
            "has a host that cannot be read: it is a name or an address, IPv6 in brackets, with :PORT (1 to 65535) "
            "after it where the port is not the usual one"
        )
    if match[1] is not None:
        try:
            return Host(str(ipaddress.IPv6Address(match[1] if "%" not in match[1] else "")), port)
        except ValueError:
            raise ValueError("has brackets around something that is not an IPv6 address") from None
    name = match[2].lower()
    try:
        check_host(name, bracketed=False)
    except ValueError as error:
        raise ValueError(f"has a host that cannot be read: {error}") from None
    return Host(name, port)


def _path(path: str, kind: Kind) -> tuple[str, int]:
    """Return the service (with Sentinels) and the number of the database."""
    parts = path.removeprefix("/").removesuffix("/").split("/")
    service = parts.pop(0) if kind is Kind.SENTINEL else ""
    if kind is Kind.SENTINEL and _SERVICE.fullmatch(service) is None:
        raise ValueError("lacks the name of the master: write redis+sentinel://host1,host2,host3/SERVICE")
    database = parts.pop(0) if parts else ""
    if parts or (database and _DATABASE.fullmatch(database) is None):
        raise ValueError("has a path that is not the number of a database, like /0")
    if kind is Kind.CLUSTER and int(database or 0) != 0:
        raise ValueError("names a database other than 0; a cluster has no others, so leave it out")
    return service, int(database or 0)


def _query(text: str, kind: Kind, *, is_socket: bool) -> dict[str, str]:
    allowed = ["db", "wait_replicas"] if is_socket else ["ca_bundle", "wait_replicas"]
    if kind is not Kind.SINGLE:
        allowed.append("tls")
    if kind is Kind.SENTINEL:
        allowed += ["sentinel_user", "sentinel_password"]
    allowed += ["pool_size"] if is_socket else ["pool_size", "tls_cert", "tls_key"]
    options: dict[str, str] = {}
    for pair in text.split("&") if text else ():
        name, _, value = pair.partition("=")
        if name not in allowed or name in options or not value:
            # Not quoted: it may be the rest of a password with a question mark in it.
            advice = "; TLS is written as rediss://" if name == "tls" else ""
            raise ValueError(
                f"may have after its ? only {', '.join(allowed)}, each once and with a value{advice}"
            )
        options[name] = _decoded(value)
    if options.get("tls", "1") not in ("0", "1"):
        raise ValueError("has another value for tls than 1 or 0")
    replicas = options.get("wait_replicas", "0")
    if re.fullmatch(rf"[0-{MAX_REPLICAS}]", replicas) is None:
        raise ValueError(f"has another value for wait_replicas than 0 to {MAX_REPLICAS}")
    if _DATABASE.fullmatch(options.get("pool_size", "1")) is None or not (
        1 <= int(options.get("pool_size", "1")) <= MAX_POOL
    ):
        raise ValueError(f"has another value for pool_size than 1 to {MAX_POOL}")
    if _DATABASE.fullmatch(options.get("db", "0")) is None:
        raise ValueError("has a db that is not the number of a database, like db=0")
    for name in _FILES:
        if not PurePath(options.get(name, "/")).is_absolute():
            raise ValueError(f"has a {name} that is not an absolute path")
    if "sentinel_user" in options and "sentinel_password" not in options:
        raise ValueError("has a sentinel_user without a sentinel_password")
    return options
