"""Failures of a Redis server, explained to an operator without any value or password."""

from __future__ import annotations

import re

from redis import exceptions

from oauth2_mw.settings.redis_address import Host, RedisAddress

#: All that connecting, reading an answer and resolving a name may raise. The built-in ones come from redis-py when the
#: answer is not one of Redis.
FAILURES: tuple[type[Exception], ...] = (
    exceptions.RedisError,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    RecursionError,
    MemoryError,
)
#: Characters of a server's own message that an error quotes.
MAX_REASON = 200

_CODE = re.compile(r"\b[A-Z]{3,}\b")
_TARGET = re.compile(r"[0-9]{1,5} (?P<host>\S*):(?P<port>[0-9]{1,5})")

# For these, newer releases of redis-py have a class and take the code off the text; older ones do not.
_CODES: dict[str, str] = {
    "AskError": "ASK",
    "AuthenticationError": "NOAUTH",
    "AuthenticationWrongNumberOfArgsError": "NOAUTH",
    "BusyLoadingError": "LOADING",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
}

_ADVICE: dict[str, str] = {
    "ASK": "it moves data around; this passes",
    "BUSY": "another client's script keeps it busy; see SCRIPT KILL",
    "CLUSTERDOWN": "part of the cluster is down; see CLUSTER INFO there",
    "LOADING": "it reads its data from disk; this passes",
    "MASTERDOWN": "it is a replica that has lost its master",
    "MISCONF": "it cannot write to its disk; see its log",
    "MOVED": "it belongs to a cluster; write redis+cluster:// in the URL",
    "NOAUTH": "check the user and the password in the URL",
    "NOPERM": "the user of the URL may not do that; the documentation of stores lists what it needs",
    "NOREPLICAS": "fewer replicas are connected to it than its min-replicas-to-write; see INFO replication there",
    "OOM": "its memory is full; raise maxmemory there",
    "READONLY": "it is a replica; name the master in the URL, or the Sentinels with redis+sentinel://",
    "TRYAGAIN": "it moves data around; this passes",
}

#: The codes of a server that can be read.
TAKES_NO_WRITES = frozenset({"MISCONF", "NOREPLICAS", "OOM", "READONLY"})


class NotReachedError(Exception):
    """No command was sent: another server may be tried."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class BrokenServerError(Exception):
    """The connection broke after commands were sent: it is unknown whether they were carried out."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class CommandRefusedError(Exception):
    """A connection that works must not be used; the text says why and what to do."""


def code_of(error: BaseException) -> str:
    """Return the code of a server's failure (``MOVED``, ``OOM``), or ``""`` if it is not a known one."""
    name = _CODES.get(type(error).__name__)
    if name is not None:
        return name
    # Redis 6 wraps the failure of a command inside a script in a sentence of its own.
    codes = (word for word in _CODE.findall(str(error)) if word in _ADVICE or word == "NOSCRIPT")
    return next(codes, "")


def target_of(error: BaseException, server: Host) -> Host | None:
    """Return the host that a ``MOVED`` or ``ASK`` names, or ``None`` if it names none.

    :param server: the one that sent it; without a name the host is this one, at another port.
    """
    match = _TARGET.search(str(error))
    if match is None or not 0 < int(match["port"]) < 65536:
        return None
    return Host(match["host"].strip("[]") or server.name, int(match["port"]))


def explain(address: RedisAddress, error: BaseException, host: Host) -> str:
    """Return a sentence for the log: which server, what happened, what to do."""
    return f"{address} (setting session): {brief(address, error, host)}"


def brief(address: RedisAddress, error: BaseException, host: Host) -> str:
    """Return the same without the URL, for a list of servers that were tried."""
    if isinstance(error, CommandRefusedError):
        return f"{host}: {error}"
    code = code_of(error)
    reason = _reason(error, code)
    return f"{host}: {address.without_secrets(reason)}; {_ADVICE.get(code) or _advice(error, reason)}"


def _reason(error: BaseException, code: str) -> str:
    if isinstance(error, exceptions.ResponseError):
        # What follows may be the arguments of the command, and so values.
        text = str(error).partition(", with args beginning")[0].partition("@user_script")[0]
        return " ".join(text.split())[:MAX_REASON] or code
    if isinstance(error, (exceptions.RedisError, OSError)) and not isinstance(
        error, exceptions.InvalidResponse
    ):
        return " ".join(str(error).split())[:MAX_REASON] or type(error).__name__
    # Raised while an answer was read, which its text may quote.
    return f"an answer that cannot be read ({type(error).__name__})"


def _advice(error: BaseException, reason: str) -> str:
    if "SSL" in reason or "certificate" in reason:
        return "check that this port speaks TLS, that the host is the one in its certificate, and ca_bundle"
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError)):
        return "check that the server runs, and that it can be reached from this host"
    if isinstance(error, exceptions.ResponseError):
        return "check that it is Redis 6 or newer, or Valkey, and that no command is renamed there"
    return "check that it is a Redis or Valkey server, and whether it speaks TLS (rediss://)"
