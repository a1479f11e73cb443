"""The hosts that share the store or the directory: whether they have what the file says, and clocks that agree."""

from __future__ import annotations

from collections.abc import Iterator

from oauth2_mw.cli.online.finding import Finding
from oauth2_mw.errors import ConfigError, StoreUnavailableError
from oauth2_mw.session.host_watch import HostRecords
from oauth2_mw.session.hosts import (
    CLOCK_DIFFERENCE,
    HostRecord,
    HostSettings,
    clock_text,
    differing,
    names,
    values_there,
)
from oauth2_mw.session.opening import open_directory, open_sessions
from oauth2_mw.session.stores import Store, is_redis
from oauth2_mw.settings.model import Settings

_GONE = "restart it with this file; a host that is gone is named here for three minutes yet"
_CLOCK = "set the clock by NTP, there and at the store"


def check_hosts(settings: Settings) -> Iterator[Finding]:
    """Yield what the hosts have that are there; nothing where none can be seen. Nothing is written."""
    try:
        sessions = open_sessions(settings, open_directory(settings))
        if sessions.registry is None or not _can_be_asked(settings, sessions.registry.store):
            return
        records = HostRecords(sessions.registry.store)
        own = HostSettings.of(settings, sessions.sealer.keyring)
        hosts = [host for host, _ in records.read().values()]
    except (ConfigError, StoreUnavailableError, ValueError):
        # What is wrong with the store or the keys is said elsewhere.
        return
    differences = differing(own, hosts)
    for key, others in differences.items():
        (first, *_) = others
        says = f"{values_there(others)}, and {first.here} in this file"
        yield Finding(f"[oauth2_mw] {key}", "warning", says, f"{first.cure}; {_GONE}")
    yield from _check_clocks(hosts, records)
    ours = [host for host in hosts if host.settings == own]
    if ours and not differences:
        yield Finding("hosts", "ok", f"what all must have alike is as in this file on {names(ours)}")


def _check_clocks(hosts: list[HostRecord], records: HostRecords) -> Iterator[Finding]:
    clocks = {host.host: host.ahead for host in hosts} | {records.host: records.ahead}
    for host, ahead in clocks.items():
        if ahead is not None and abs(ahead) >= CLOCK_DIFFERENCE:
            yield Finding("clock", "warning", f"{clock_text(ahead)} on {host}", _CLOCK)


def _can_be_asked(settings: Settings, store: Store) -> bool:
    """Return whether no tables would be made or changed for the question."""
    if settings.session is not None and is_redis(settings.session):
        return True
    from oauth2_mw.session.stores.sql import SqlStore
    from oauth2_mw.sql.administration import DatabaseAdministration

    if not isinstance(store, SqlStore):
        return False
    state = DatabaseAdministration(store.database).schema_state()
    return state.is_newest and state.is_usable
