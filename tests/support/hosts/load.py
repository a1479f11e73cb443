"""Many requests at once from browsers that are signed in, out of processes of their own, and what came of them.

A process prints ``ready`` and then answers lines: ``go`` lets its threads go, ``report`` tells what came of the
requests so far, ``stop`` tells it too and ends.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.support.browser.cookie_jar import Context, CookieJar
from tests.support.browser.jar import Browser, BrowserError
from tests.support.browser.page import Page
from tests.support.hosts.processes import ROOT, child_environment

#: seconds; generous, because it is only ever reached by a failure
DEADLINE = 120.0
#: of the answers that were none of the application's, how many are told in full
TOLD = 10


def user_of(page: Page) -> str | None:
    """Whom the application was told of; ``None``: of nobody, or it was not asked."""
    user: str | None = page.json()["user"] if page.header("X-Sample-App") else None
    return user


class SharedJar(CookieJar):
    """The cookies of a browser with many tabs, each in a thread."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._lock = threading.Lock()

    def header(self, url: str, context: Context) -> str | None:
        with self._lock:
            return super().header(url, context)

    def store(self, url: str, line: str, context: Context) -> bool:
        with self._lock:
            return super().store(url, line, context)

    def to_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return super().to_json()


class KeptJar(SharedJar):
    """Cookies that stay as they are, whatever an answer says: a thief's."""

    def store(self, url: str, line: str, context: Context) -> bool:
        return False


@dataclass(frozen=True)
class Profile:
    """The cookies of one browser, and which pages it asks for."""

    jar: CookieJar
    urls: Sequence[str]
    #: whether its cookies stay as they are, whatever it is told
    keeps: bool = False


@dataclass
class Report:
    """What came of the requests of one process, or of several."""

    #: (status, user that the application was told of): how often; 0 is a connection that broke
    answers: Counter[tuple[int, str | None]] = field(default_factory=Counter)
    #: the same for each profile, in the order in which they were given
    of_profile: list[Counter[tuple[int, str | None]]] = field(default_factory=list)
    #: the worker processes that answered
    pids: set[int] = field(default_factory=set)
    #: the first answers that were none of the application's, and connections that broke, in words
    oddities: list[str] = field(default_factory=list)
    #: the profiles' cookies as they are now
    jars: list[CookieJar] = field(default_factory=list)

    @property
    def users(self) -> set[str | None]:
        """The users that the application was told of; ``None`` among them: it was called for nobody."""
        return {user for status, user in self.answers if status == 200}

    @property
    def statuses(self) -> Counter[int]:
        """How often each status came."""
        total: Counter[int] = Counter()
        for (status, _), number in self.answers.items():
            total[status] += number
        return total

    @property
    def logouts(self) -> int:
        """Requests that were asked to sign in: with a redirect, a page or a 401."""
        return sum(
            number for (status, user), number in self.answers.items() if user is None and 200 <= status < 500
        )

    def add(self, other: Report) -> None:
        """Count another process's report in."""
        self.answers += other.answers
        self.of_profile += other.of_profile
        self.pids |= other.pids
        self.oddities += other.oddities
        self.jars += other.jars

    def to_json(self) -> dict[str, Any]:
        return {
            "of_profile": [
                [[status, user, number] for (status, user), number in answers.items()]
                for answers in self.of_profile
            ],
            "pids": sorted(self.pids),
            "oddities": self.oddities,
            "jars": [jar.to_json() for jar in self.jars],
        }

    @classmethod
    def from_json(cls, report: Mapping[str, Any]) -> Self:
        of_profile = [
            Counter({(status, user): number for status, user, number in answers})
            for answers in report["of_profile"]
        ]
        jars = [CookieJar.from_json(jar) for jar in report["jars"]]
        return cls(sum(of_profile, Counter()), of_profile, set(report["pids"]), report["oddities"], jars)


class Load:
    """The processes. Use it as a context manager; they are started and wait."""

    def __init__(
        self,
        profiles: Sequence[Sequence[Profile]],
        *,
        threads: int = 50,
        rounds: int | None = None,
        pause: float = 0.0,
    ) -> None:
        """
        :param profiles: of each process. The threads of a process take turns among its profiles, and those of one
            profile share its cookies as the tabs of a browser do.
        :param threads: of each process.
        :param rounds: requests of each thread; by default until :meth:`stop`.
        :param pause: seconds between two requests of a thread.
        """
        self._children: list[subprocess.Popen[str]] = []
        for part in profiles:
            job = {
                "profiles": [
                    {"jar": one.jar.to_json(), "urls": list(one.urls), "keeps": one.keeps} for one in part
                ],
                "threads": threads,
                "rounds": rounds,
                "pause": pause,
            }
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.support.hosts.load"],
                env=child_environment(),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._children.append(child)
            self._tell(child, json.dumps(job))
        for child in self._children:
            assert self._hear(child) == "ready"

    def go(self) -> None:
        """Let all threads of all processes go."""
        for child in self._children:
            self._tell(child, "go")

    def report(self) -> Report:
        """What came of the requests so far."""
        return self._reported("report")

    def stop(self) -> Report:
        """End it: at once, or after all rounds."""
        return self._reported("stop")

    def _reported(self, command: str) -> Report:
        for child in self._children:
            self._tell(child, command)
        total = Report()
        for child in self._children:
            total.add(Report.from_json(json.loads(self._hear(child))))
        return total

    @staticmethod
    def _tell(child: subprocess.Popen[str], line: str) -> None:
        assert child.stdin is not None
        child.stdin.write(line + "\n")
        child.stdin.flush()

    @staticmethod
    def _hear(child: subprocess.Popen[str]) -> str:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line, f"a process of the load ended with {child.wait()}"
        return line.rstrip("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.kill()
            child.communicate()


class _Process:
    """What runs in a process of the load."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._jars = [
            (KeptJar if profile["keeps"] else SharedJar).from_json(profile["jar"])
            for profile in job["profiles"]
        ]
        self._urls = [profile["urls"] for profile in job["profiles"]]
        self._rounds: int | None = job["rounds"]
        self._pause: float = job["pause"]
        self._lock = threading.Lock()
        self._report = Report(of_profile=[Counter() for _ in self._jars], jars=list(self._jars))
        self._stopping = threading.Event()
        self._gate = threading.Barrier(job["threads"] + 1)
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(job["threads"])
        ]

    def serve(self) -> None:
        for thread in self._threads:
            thread.start()
        print("ready", flush=True)
        for line in sys.stdin:
            match line.strip():
                case "go":
                    self._gate.wait()
                case "stop":
                    if self._rounds is None:
                        self._stopping.set()
                    for thread in self._threads:
                        thread.join(DEADLINE)
                    self._print_report()
                    return
                case _:
                    self._print_report()

    def _print_report(self) -> None:
        with self._lock:
            report = self._report.to_json()
        print(json.dumps(report), flush=True)

    def _run(self, number: int) -> None:
        profile = number % len(self._jars)
        browser = Browser(jar=self._jars[profile])
        urls = itertools.cycle(self._urls[profile])
        self._gate.wait()
        for _ in itertools.count() if self._rounds is None else range(self._rounds):
            if self._stopping.wait(self._pause) if self._pause else self._stopping.is_set():
                return
            browser.steps.clear()
            try:
                self._count(profile, browser.navigate(next(urls), follow=False))
            except BrowserError as error:
                self._broke(profile, str(error))

    def _count(self, profile: int, page: Page) -> None:
        served = page.header("X-Sample-App") is not None
        with self._lock:
            self._report.of_profile[profile][page.status, user_of(page)] += 1
            if served:
                self._report.pids.add(page.json()["pid"])
            elif len(self._report.oddities) < TOLD:
                self._report.oddities.append(
                    f"{page.status} {page.url} -> {page.location}: {page.text[:500]}"
                )

    def _broke(self, profile: int, words: str) -> None:
        with self._lock:
            self._report.of_profile[profile][0, None] += 1
            if len(self._report.oddities) < TOLD:
                self._report.oddities.append(words)


if __name__ == "__main__":
    _Process(json.loads(sys.stdin.readline())).serve()
