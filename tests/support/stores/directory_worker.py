"""One worker process with many threads that all use the directory at the same moment.

It prints ``ready``, waits for a line, lets its threads go, and prints a JSON list of what each of them got.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from oauth2_mw.errors import OAuth2Error
from oauth2_mw.identity.administration import Administration
from oauth2_mw.identity.directory import Directory
from oauth2_mw.session.stores import Record
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from tests.support.hosts.processes import ROOT, child_environment
from tests.support.settings.people import ISSUER, NOW, attributes, provider

APP = "https://app.example"
LATER = 4102444800

Task = Callable[[Directory, str, str], Any]


def same_user(directory: Directory, _worker: str, _thread: str) -> Any:
    """The first sign-in of one person."""
    user = directory.record_sign_in(
        provider(), ISSUER, "1", attributes(groups=("a", "b")), create=True, now=NOW
    )
    return [user.id, user.created]


def renames(directory: Directory, worker: str, thread: str) -> Any:
    """Sign-ins of one person under ever other names, with ever other groups."""
    always = provider(group_sync="always")
    wanted = attributes(f"jane-{worker}-{thread}", groups=(worker, thread))
    return directory.record_sign_in(always, ISSUER, "1", wanted, create=True, now=NOW).id


def same_name(directory: Directory, worker: str, thread: str) -> Any:
    """First sign-ins of many people under one name."""
    return directory.record_sign_in(
        provider(), ISSUER, f"{worker}-{thread}", attributes(), create=True, now=NOW
    ).username


def link_or_sign_in(directory: Directory, _worker: str, thread: str) -> Any:
    """First sign-ins of one person, and an administrator who links that person to the user ``jane``."""
    if int(thread) % 2:
        return directory.record_sign_in(provider(), ISSUER, "2", attributes("joan"), create=True, now=NOW).id
    jane = directory.find_by_name("jane")
    linked = directory.link(jane.id, ISSUER, "2", now=NOW) if jane is not None else None
    return linked and linked.id


def same_address(directory: Directory, _worker: str, thread: str) -> Any:
    """First sign-ins of one person at two providers, each of which has verified the same address."""
    issuer, address = f"{ISSUER}/{int(thread) % 2}", "jane@corp.example"
    return directory.record_sign_in(
        provider(), issuer, "1", attributes(email=address), create=True, now=NOW, proven=address, links=True
    ).id


def one_who_is_awaited(directory: Directory, _worker: str, _thread: str) -> Any:
    """First sign-ins of one person, for whose address an operator has made a place."""
    return directory.record_sign_in(
        provider(), ISSUER, "1", attributes(), create=False, now=NOW, counted="jane@corp.example"
    ).id


def many_with_one_address(directory: Directory, worker: str, thread: str) -> Any:
    """First sign-ins of many people who all prove the address for which one place waits."""
    wanted, subject = attributes(f"jane-{worker}-{thread}"), f"{worker}-{thread}"
    return directory.record_sign_in(
        provider(), ISSUER, subject, wanted, create=False, now=NOW, counted="jane@corp.example"
    ).username


def deleted_and_back(directory: Directory, _worker: str, thread: str) -> Any:
    """Deletions of the user ``jane``, sign-ins of the same person, and of another who wants the name."""
    if int(thread) % 3 == 0:
        jane = directory.find(ISSUER, "1")
        return jane is not None and Administration(directory).delete(jane.id, now=NOW)
    if int(thread) % 3 == 1:
        return directory.record_sign_in(provider(), ISSUER, "1", attributes(), create=True, now=NOW).username
    return directory.record_sign_in(provider(), ISSUER, "2", attributes(), create=True, now=NOW).subject


def open_anew(directory: Directory, worker: str, thread: str) -> Any:
    """The very first use of an empty database, by a thread with a directory of its own."""
    own = Directory(Secret.literal(os.environ["DIRECTORY_URL"]))
    wanted = attributes(f"jane-{worker}-{thread}")
    return own.record_sign_in(provider(), ISSUER, f"{worker}-{thread}", wanted, create=True, now=NOW).created


def same_session(directory: Directory, worker: str, thread: str) -> Any:
    """Touches and a replacement of one session."""
    store = SqlStore(directory.database, app=APP)
    before = store.touch("session", seen=LATER, expires=LATER)
    if before is None:
        return None
    return store.replace("session", replace(before, version=2, data=f"{worker}-{thread}"))


def same_session_and_its_end(directory: Directory, worker: str, thread: str) -> Any:
    """Touches and replacements of one session, which one of all ends."""
    store = SqlStore(directory.database, app=APP)
    for _ in range(5):
        record = store.touch("session", seen=LATER, expires=LATER, summary="s", indexes=["user:1"])
        if record is not None:
            store.replace("session", replace(record, version=record.version + 1))
        if (worker, thread) == ("1", "7"):
            store.delete("session")
    return None


def same_name_used(directory: Directory, _worker: str, _thread: str) -> Any:
    """Uses of one name."""
    return SqlStore(directory.database, app=APP).first_use("jti:1", expires=LATER)


def many_names_used(directory: Directory, worker: str, thread: str) -> Any:
    """Uses of names that expired long ago, so that all purge all the time."""
    store = SqlStore(directory.database, app=APP)
    used = [store.first_use(f"jti:{worker}-{thread}-{number}", expires=1) for number in range(20)]
    return all(used)


def many_revocations(directory: Directory, worker: str, thread: str) -> Any:
    """Revocations, one after the other."""
    store = SqlStore(directory.database, app=APP)
    for number in range(10):
        store.revoke(f"user:{worker}-{thread}-{number}", moment=number, expires=LATER)
    return None


def many_sessions(directory: Directory, worker: str, thread: str) -> Any:
    """Sessions that expired long ago, so that all purge all the time; one of each thread lives."""
    store, kept = SqlStore(directory.database, app=APP), f"kept-{worker}-{thread}"
    store.add(kept, Record(1, "", "", LATER, LATER, 0), indexes=["kept"])
    for number in range(20):
        store.add(f"{worker}-{thread}-{number}", Record(1, "", "", 1, 1, 0), indexes=["old"])
    return store.read(kept) is not None


TASKS: dict[str, Task] = {
    task.__name__: task
    for task in (
        same_user,
        renames,
        same_name,
        link_or_sign_in,
        same_address,
        one_who_is_awaited,
        many_with_one_address,
        deleted_and_back,
        open_anew,
        same_session,
        same_session_and_its_end,
        same_name_used,
        many_names_used,
        many_revocations,
        many_sessions,
    )
}


class Workers:
    """Several worker processes, started and waiting."""

    def __init__(self, task: Task, url: str, *, processes: int = 2, threads: int = 50) -> None:
        command = [sys.executable, "-m", "tests.support.stores.directory_worker", task.__name__, str(threads)]
        self._children = [
            subprocess.Popen(
                [*command, str(number)],
                env=child_environment({"DIRECTORY_URL": url}),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(processes)
        ]
        for child in self._children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"

    def go(self) -> None:
        """Let all threads of all processes go."""
        for child in self._children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()

    def running(self) -> bool:
        """Whether any process is still at work."""
        return any(child.poll() is None for child in self._children)

    def results(self) -> list[Any]:
        """What every thread got, once all are done: its value, or ``{"error": ..., "code": ...}``."""
        results = []
        for child in self._children:
            output, _ = child.communicate(timeout=120)
            assert child.returncode == 0
            results += json.loads(output)
        return results


def race(task: Task, url: str) -> list[Any]:
    """Fifty threads in each of two processes do *task* at the same moment."""
    workers = Workers(task, url)
    workers.go()
    return workers.results()


def main(task: Task, threads: int, worker: str) -> None:
    directory = Directory(Secret.literal(os.environ["DIRECTORY_URL"]))
    gate = threading.Barrier(threads + 1)

    def one(thread: int) -> Any:
        gate.wait()
        try:
            return task(directory, worker, str(thread))
        except OAuth2Error as error:
            return {"code": error.code, "error": error.detail}

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(one, thread) for thread in range(threads)]
        print("ready", flush=True)
        sys.stdin.readline()
        gate.wait()
        print(json.dumps([future.result() for future in running]))


if __name__ == "__main__":
    main(TASKS[sys.argv[1]], int(sys.argv[2]), sys.argv[3])
