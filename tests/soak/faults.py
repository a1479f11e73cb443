"""What each fault does, from its beginning until everybody is served again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from random import Random

from tests.soak.checker import Checker
from tests.soak.hosts import Hosts, SoakHost
from tests.soak.model import Fault
from tests.soak.people import BORROWED, DISABLED, Crowd
from tests.soak.schedule import OF_ONE_HOST, STEP, Kind, Planned
from tests.soak.stores import SoakStore
from tests.support.hosts.stage import wait_until

#: Seconds within which everybody must be served again.
RECOVERY = 60.0
#: Seconds for which a command of the operator's is looked at before the next fault.
_WATCHED = 3.0


class Faults:
    """Does one after another.

    :param rng: chooses the worker that is killed.
    """

    def __init__(self, hosts: Hosts, store: SoakStore, crowd: Crowd, checker: Checker, rng: Random) -> None:
        self._hosts = hosts
        self._store = store
        self._crowd = crowd
        self._checker = checker
        self._rng = rng

    def run(self, planned: Planned) -> Fault:
        """Do it, undo it, and wait until everybody is served."""
        host = self._hosts.all[planned.host]
        with ExitStack() as stack:
            about = host.name if planned.kind in OF_ONE_HOST else None
            fault = self._checker.fault_begins(planned.kind, about, time.monotonic())
            stack.enter_context(self._during(planned.kind, host))
            time.sleep(planned.seconds)
        self._checker.fault_ends(fault, time.monotonic())
        self._recover(fault)
        return fault

    def _during(self, kind: Kind, host: SoakHost) -> AbstractContextManager[None]:
        match kind:
            case "worker killed":
                return self._worker_killed(host)
            case "host killed":
                return self._host_killed(host)
            case "host reloaded":
                return self._host_reloaded(host)
            case "keys rotated":
                return self._keys_rotated()
            case "clock stepped":
                return self._clock_stepped(host)
            case "everybody revoked":
                return self._everybody_revoked()
            case "person disabled":
                return self._person_disabled()
            case _:
                return self._store.suffering(kind)

    @contextmanager
    def _worker_killed(self, host: SoakHost) -> Iterator[None]:
        with suppress(ProcessLookupError):
            os.kill(self._rng.choice(host.workers()), signal.SIGKILL)
        yield
        wait_until(host.is_complete)

    @contextmanager
    def _host_killed(self, host: SoakHost) -> Iterator[None]:
        host.kill()
        yield
        host.restart()

    @contextmanager
    def _host_reloaded(self, host: SoakHost) -> Iterator[None]:
        old = set(host.workers())
        host.reload()
        wait_until(lambda: not old & set(host.workers()) and host.is_complete())
        yield

    @contextmanager
    def _keys_rotated(self) -> Iterator[None]:
        self._hosts.add_key()
        yield

    @contextmanager
    def _clock_stepped(self, host: SoakHost) -> Iterator[None]:
        host.put_clock_forward(STEP)
        yield
        host.put_clock_forward(0.0)

    @contextmanager
    def _everybody_revoked(self) -> Iterator[None]:
        self._checker.revoking_everybody(time.monotonic())
        self._command("sessions", "revoke", "--all")
        self._checker.revoked_everybody(time.monotonic())
        yield
        time.sleep(_WATCHED)

    @contextmanager
    def _person_disabled(self) -> Iterator[None]:
        self._checker.disabling(DISABLED, time.monotonic())
        self._command("users", "disable", DISABLED)
        self._checker.disabled(DISABLED, time.monotonic())
        yield
        time.sleep(_WATCHED)
        self._checker.enabling(DISABLED, time.monotonic())
        self._command("users", "enable", DISABLED)
        self._checker.enabled(DISABLED, time.monotonic())

    def _command(self, *words: str) -> None:
        if problem := self._hosts.command(*words):
            self._checker.note(problem)

    def _recover(self, fault: Fault) -> None:
        """Until somebody who is signed in, and stays so, is served by each host twice in a row."""
        until = time.monotonic() + RECOVERY
        served = 0
        while served < 2:
            self._crowd.fail_loudly()
            if time.monotonic() > until:
                self._checker.note(f"not everybody is served {RECOVERY:.0f} s after: {fault}")
                break
            served = served + 1 if self._all_serve() else 0
            time.sleep(0.1)
        self._checker.recovered(fault, time.monotonic())

    def _all_serve(self) -> bool:
        jar, session = self._crowd.steady[BORROWED]
        copy = self._crowd.browser(jar.copy())
        return all(
            self._crowd.read(copy, "probe", session, host).user == session.owner for host in self._hosts.all
        )
