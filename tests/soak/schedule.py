"""Which faults follow each other. The same seed gives the same list, however long a run takes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Literal, get_args

StoreName = Literal["cookies", "directory", "redis", "sentinel", "postgresql", "sqlite"]
Kind = Literal[
    "worker killed",
    "host killed",
    "host reloaded",
    "keys rotated",
    "clock stepped",
    "everybody revoked",
    "person disabled",
    "store killed",
    "store stopped",
    "store slow",
    "store cut",
    "store full",
    "master replaced",
]
STORES: tuple[StoreName, ...] = get_args(StoreName)
HOSTS = 3

#: What happens to one host, while the others go on.
OF_ONE_HOST: frozenset[Kind] = frozenset({"worker killed", "host killed", "host reloaded", "clock stepped"})
_HOSTS: tuple[Kind, ...] = ("worker killed", "host killed", "host reloaded", "keys rotated", "clock stepped")
_SERVER: tuple[Kind, ...] = ("store killed", "store stopped", "store slow", "store cut", "store full")
#: What can happen where sessions live so.
KINDS: Mapping[StoreName, tuple[Kind, ...]] = MappingProxyType(
    {
        "cookies": _HOSTS,
        "directory": (*_HOSTS, *_SERVER, "everybody revoked", "person disabled"),
        "redis": (*_HOSTS, *_SERVER, "everybody revoked"),
        "sentinel": (*_HOSTS, "store killed", "store stopped", "master replaced", "everybody revoked"),
        "postgresql": (*_HOSTS, *_SERVER, "everybody revoked", "person disabled"),
        "sqlite": (*_HOSTS, "store slow", "everybody revoked", "person disabled"),
    }
)
#: Seconds by which a clock is put forward: less than the minute that deployment.rst allows between hosts.
STEP = 10.0
#: Seconds for which a fault lasts: at least, at most. A store that is away for nine costs tokens (stores.rst), and one
#: that hangs is noticed after three or five.
_SECONDS, _SECONDS_STOPPED = (2.0, 4.5), (4.0, 7.5)


@dataclass(frozen=True)
class Planned:
    """One fault of the list."""

    kind: Kind
    #: the number of the host that it is about; faults of the store are about all
    host: int
    seconds: float


def schedule(store: StoreName, seed: int) -> Iterator[Planned]:
    """Return the faults of a store, for ever: each once in a round, in an order that the seed decides."""
    rng = Random(f"{seed} {store}")
    while True:
        for kind in _round(list(KINDS[store]), rng):
            seconds = round(rng.uniform(*_SECONDS_STOPPED if kind == "store stopped" else _SECONDS), 1)
            yield Planned(kind, rng.randrange(HOSTS), STEP if kind == "clock stepped" else seconds)


def _round(kinds: list[Kind], rng: Random) -> list[Kind]:
    rng.shuffle(kinds)
    # Who signs in at a host whose clock is ahead keeps the session when all are ended within as many seconds
    # (operations.rst): the clock comes last, and the end of everybody not soon after it.
    kinds.sort(key=lambda kind: kind == "clock stepped")
    if "everybody revoked" in kinds[:3]:
        kinds.remove("everybody revoked")
        kinds.insert(3, "everybody revoked")
    return kinds
