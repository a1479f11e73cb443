"""Sign-outs of which the other workers could not be told: kept, and told as soon as the directory answers again.

Each worker that knows of one tells it, at its next look at the list and from a thread of its own: until it is told, a
copy of the cookie serves at the workers that do not know. With ``signout_file`` all workers of a host learn of it, and
it survives them.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from oauth2_mw.audit import audit
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.signout_file import Ending, SignoutFile

log: logging.Logger = logging.getLogger(__name__)

#: How many a worker keeps; a further one is refused.
MAX_WAITING = 10_000
#: Seconds between two tries to tell them.
RETRY = 1.0


class Listeners(Protocol):
    """Where the other workers read what has ended."""

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        """Add the end of *name*."""

    def delete(self, key: str) -> bool:
        """Take a session out of the list of sessions."""


class Untold:
    """What one worker has not told yet.

    :param file: the setting ``signout_file``.
    """

    def __init__(self, listeners: Listeners, file: SignoutFile | None, clocks: Clocks) -> None:
        self._listeners = listeners
        self._file = file
        self._wall = clocks.wall
        self._changing = ProcessLock()
        #: held by the thread that tells
        self._telling = ProcessLock()
        self._waiting: dict[str, Ending] = {}

    def keep(self, ending: Ending) -> bool:
        """Keep one until it is told. Return ``False``, with nothing kept, if there are too many."""
        with self._changing:
            if len(self._waiting) >= MAX_WAITING and ending.name not in self._waiting:
                return False
            self._put(ending)
        if self._file is not None:
            self._file.add(ending)
        self._start_telling()
        return True

    def learn(self) -> list[Ending]:
        """Return what other workers of this host could not tell, if there is anything new. It is kept here as well."""
        endings = self._file.read_new() if self._file is not None else []
        if endings:
            with self._changing:
                for ending in endings:
                    self._put(ending)
            self._start_telling()
        return endings

    def tell(self) -> None:
        """Tell what waits, up to the first failure."""
        told = 0
        for ending in tuple(self._waiting.values()):
            if ending.expires >= self._wall():
                try:
                    self._listeners.revoke(ending.name, moment=ending.moment, expires=ending.expires)
                    if ending.name.startswith("session:"):
                        self._listeners.delete(ending.name.removeprefix("session:"))
                except StoreUnavailableError:
                    break
                told += 1
            with self._changing:
                if self._waiting.get(ending.name) == ending:
                    del self._waiting[ending.name]
        if told:
            audit("sign_outs_told", count=told)
        if self._file is not None and not self._waiting:
            self._file.clear()

    def _put(self, ending: Ending) -> None:
        earlier = self._waiting.get(ending.name, ending)
        moment, expires = max(earlier.moment, ending.moment), max(earlier.expires, ending.expires)
        self._waiting[ending.name] = Ending(ending.name, moment, expires)

    def _start_telling(self) -> None:
        if not self._telling.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._tell_until_done, daemon=True).start()
        except RuntimeError:
            # No more threads in this process: requests tell it when they read the list.
            self._telling.release()

    def _tell_until_done(self) -> None:
        while True:
            try:
                while self._waiting:
                    time.sleep(RETRY)
                    self.tell()
            finally:
                self._telling.release()
            # One may have come just before the lock was free again.
            if not self._waiting or not self._telling.acquire(blocking=False):
                return
