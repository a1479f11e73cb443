"""Whether all hosts that share a store have the same settings: each writes its own down there, and reads the others'.

A thread of each process looks every :data:`PERIOD` seconds. The workers of a host that have the same settings keep one
host record between them, which runs out when none of them is left. No request waits for any of this or fails for it:
what the store does not take is tried again at the next look.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from hashlib import sha256

from oauth2_mw.audit import audit
from oauth2_mw.observe import new_id
from oauth2_mw.session.hosts import (
    CLOCK_DIFFERENCE,
    MAX_TEXT,
    HostRecord,
    HostSettings,
    clock_text,
    differing,
    read_record,
    values_there,
)
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.stores import Record, Store
from oauth2_mw.settings.model import Settings
from oauth2_mw.telemetry import Observer, enter

log: logging.Logger = logging.getLogger(__name__)

#: Seconds from the start of a process to its first look, and between two looks.
FIRST_LOOK = 5.0
PERIOD = 20
#: Seconds after which a host record that nobody renews is gone.
KEPT = 180
#: Seconds for which a difference must last, with both hosts there, before it is said: hosts restart one after another.
SETTLED = 60
#: Seconds after which what still differs is said again.
AGAIN = 3600
#: Host records that are read.
MOST = 500
#: Seconds that asking the store for the time may take; beyond that the answer says too little.
_LONGEST_ANSWER = 5.0

# All applications write theirs under this name: whoever has another ``public_url`` by mistake is seen nowhere else.
_APP = "hosts"
_INDEX = "hosts"


class HostRecords:
    """The host records in a store. All times are by the store's own clock, where it tells the time.

    Every method raises :class:`~oauth2_mw.errors.StoreUnavailableError` when the store cannot be used.

    :param clock: this host's, in seconds since the epoch.
    :param host: its name, if it is not what the system says.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time, host: str = "") -> None:
        self._of_sessions = store
        self._clock = clock
        self._store = store.as_app(_APP, clock=self.now)
        self.host: str = host or socket.gethostname()[:MAX_TEXT]
        #: how many seconds this host's clock is ahead of the store's; ``None`` as long as that is not known
        self.ahead: int | None = None

    def now(self) -> float:
        """Return the time by the store's clock, as far as it is known."""
        return self._clock() - (self.ahead or 0)

    def read(self) -> dict[str, tuple[HostRecord, Record]]:
        """Ask for the time, and return the host records of all who are there, by their keys."""
        began = time.monotonic()
        told = self._of_sessions.server_time()
        if told is not None and time.monotonic() - began < _LONGEST_ANSWER:
            self.ahead = round(self._clock() - told)
        found = {}
        for key, record in self._store.find(_INDEX)[:MOST]:
            host_record = read_record(record.data, seen=record.seen)
            if host_record is not None and not self._is_gone(host_record):
                found[key] = host_record, record
        return found

    def write(self, settings: HostSettings, found: dict[str, tuple[HostRecord, Record]]) -> HostRecord:
        """Write down what this host has, unless another worker of it has just done so. Return its record.

        :param found: what :meth:`read` has returned.
        """
        now = int(self.now())
        own = [
            (key, host_record, record)
            for key, (host_record, record) in found.items()
            if (host_record.host, host_record.settings) == (self.host, settings)
        ]
        if not own:
            mine = HostRecord(self.host, os.getpid(), now, self.ahead, settings, seen=now)
            record = Record(1, mine.text(), "", now, now + KEPT, 0)
            self._store.add(new_id(), record, indexes=[_INDEX])
            return mine
        key, last, record = max(own, key=lambda each: each[1].seen)
        if now - last.seen < PERIOD:
            return last
        mine = HostRecord(self.host, os.getpid(), last.began, self.ahead, settings, seen=now)
        # Of several workers that come at once one replaces it, and that is enough.
        self._store.replace(key, Record(record.version + 1, mine.text(), "", now, now + KEPT, 0))
        return mine

    def is_first_to_say(self, text: str) -> bool:
        """Return whether no worker has said this in the last hour. Of any number that ask one hears so."""
        name, now = f"said:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}", int(self.now())
        last = self._store.revoked(name)
        if last is not None and now - last < AGAIN:
            return False
        if not self._store.first_use(f"{name}:{now // AGAIN if last is None else last}", expires=now + AGAIN):
            return False
        self._store.revoke(name, moment=now, expires=now + AGAIN)
        return True

    def _is_gone(self, found: HostRecord) -> bool:
        """Return whether the process that wrote a host record was one of this host, and has ended."""
        if found.host != self.host:
            return False
        try:
            os.kill(found.process, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except OSError:
            # It is another user's.
            pass
        return False


class HostWatch:
    """Looks, in one process, whether the other hosts have the settings of this one, and says where they differ.

    :param settings: returns what this process has at the moment.
    :param observer: by whose format the audit log is written.
    """

    def __init__(
        self, records: HostRecords, settings: Callable[[], HostSettings], observer: Observer
    ) -> None:
        self._records = records
        self._settings = settings
        self._observer = observer

    def start(self) -> None:
        """Begin to look from time to time, for as long as anybody holds this object."""
        try:
            threading.Thread(target=_look_on, args=(weakref.ref(self),), daemon=True).start()
        except RuntimeError as error:
            log.info("other hosts are not looked at: %s", error)

    def look(self) -> None:
        """Write down what this host has, and say what others have otherwise.

        :raises StoreUnavailableError: when the store cannot be used.
        """
        records, settings = self._records, self._settings()
        found = records.read()
        own = records.write(settings, found)
        self._say_clock()
        settled = [each for each, _ in found.values() if _has_settled(own, each)]
        for key, others in differing(settings, settled).items():
            (first, *_) = others
            if records.is_first_to_say(f"{own.host} {key} {first.here}"):
                there = values_there(others)
                self._say(f"[oauth2_mw] {key}: {there}, and {first.here} on {own}; {first.cure}")

    def _say_clock(self) -> None:
        records = self._records
        if records.ahead is None or abs(records.ahead) < CLOCK_DIFFERENCE:
            return
        if records.is_first_to_say(f"{records.host} clock"):
            self._say(f"clock: {clock_text(records.ahead)} on {records.host}; set both by NTP")

    def _say(self, detail: str) -> None:
        enter((self._observer, {}, ""))
        try:
            audit("hosts_differ", detail=detail)
        finally:
            enter(None)


def watch_hosts(settings: Settings, sessions: SessionManager, observer: Observer) -> HostWatch | None:
    """Begin to watch what other hosts have, until nobody holds what is returned; ``None`` where none can be seen."""
    if sessions.registry is None:
        return None
    own = partial(HostSettings.of, settings, sessions.sealer.keyring)
    watch = HostWatch(HostRecords(sessions.registry.store), own, observer)
    watch.start()
    return watch


def _has_settled(own: HostRecord, other: HostRecord) -> bool:
    since = max(own.began, other.began)
    return min(own.seen, other.seen) - since >= SETTLED


def _look_on(watching: weakref.ref[HostWatch]) -> None:
    wait = FIRST_LOOK
    while True:
        time.sleep(wait)
        watch = watching()
        if watch is None:
            return
        try:
            watch.look()
        except Exception as error:  # noqa: BLE001 - this thread serves nobody, and tries again
            log.info("other hosts could not be looked at: %s", error)
        del watch
        wait = float(PERIOD)
