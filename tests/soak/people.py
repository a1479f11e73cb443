"""Who works while things go wrong. Each is a thread with a browser, and hands every answer to the checker."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.soak.browsers import TimedBrowser, cut, kept, words_of
from tests.soak.checker import Checker
from tests.soak.hosts import Hosts, SoakHost
from tests.soak.model import Answer, Session, What
from tests.support.browser.cookie_jar import Context, CookieJar
from tests.support.browser.jar import BrowserError
from tests.support.hosts.load import KeptJar, SharedJar, user_of
from tests.support.providers.oidc_provider import OidcProvider

#: Path rules of the site: who comes here is nobody.
PUBLIC = "/open/"
#: The NAMEs of the providers: access tokens of the first end every few seconds.
REFRESHING, PLAIN = "busy", "quiet"
#: Seconds for which those access tokens serve.
LIFE = 12
COOKIE = "oauth2_mw"
#: Those who stay: login, provider.
STEADY = (("ann", REFRESHING), ("bob", PLAIN), ("cleo", REFRESHING), ("dora", PLAIN))
COMING_AND_GOING = (("eve", REFRESHING), ("fred", PLAIN))
#: Who is disabled once in a while, and nobody else.
DISABLED = f"{PLAIN}-dora"
#: Whose cookies others have, too. No token of theirs is refreshed: doing so with a copy is a theft.
BORROWED = f"{PLAIN}-bob"
#: What strangers say that they are, in every way that a gateway might pass it on.
_FORGED = {
    "Remote-User": "busy-ann",
    "X-Remote-User": "busy-ann",
    "X-Forwarded-User": "busy-ann",
    "X-Forwarded-Email": "ann@example.com",
    "X-Auth-Request-User": "busy-ann",
    "Remote_User": "busy-ann",
}
#: How many copies of ended cookies are kept and tried again.
_COPIES = 40


@dataclass
class Copies:
    """Cookies that somebody has copied before their owner signed out."""

    kept: deque[tuple[CookieJar, Session]] = field(default_factory=lambda: deque(maxlen=_COPIES))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, jar: CookieJar, session: Session) -> None:
        with self.lock:
            self.kept.append((jar, session))

    def all(self) -> list[tuple[CookieJar, Session]]:
        with self.lock:
            return list(self.kept)


class Crowd:
    """All of them. Use it as a context manager: they work in between.

    :param pause: seconds between two requests of one of them.
    """

    def __init__(
        self, hosts: Hosts, provider: OidcProvider, checker: Checker, *, seed: int, pause: float = 0.25
    ) -> None:
        self._hosts = hosts
        self._provider = provider
        self._checker = checker
        self._pause = pause
        self._stopping = threading.Event()
        self.copies = Copies()
        #: the cookies of those who stay, by login, and the sessions that they have now
        self.steady: dict[str, tuple[CookieJar, Session]] = {}
        #: cookie headers that no worker has seen before
        self.headers = itertools.count()
        self._failed: list[BaseException] = []
        for login, _ in (*STEADY, *COMING_AND_GOING):
            provider.add_account(login, preferred_username=login)
        works: list[Callable[[Random], None]] = [
            *(self._steady(login, name) for login, name in STEADY),
            *(self._comer(login, name) for login, name in COMING_AND_GOING),
            self._thief,
            self._stranger,
            self._reader,
        ]
        self._threads = [
            threading.Thread(target=self._run, args=(work, Random(f"{seed} {number}")), daemon=True)
            for number, work in enumerate(works)
        ]

    # What they do

    def _steady(self, login: str, name: str) -> Callable[[Random], None]:
        """Stay signed in, and read."""

        def work(rng: Random) -> None:
            browser = self.browser()
            session = self.sign_in(browser, login, name)
            if session is None:
                return
            self.steady[session.owner] = browser.jar, session
            while not self._stopping.is_set():
                self._vary(browser.jar)
                answer = self.read(browser, session.owner, session, rng.choice(self._hosts.all))
                if answer.user is None and answer.status not in (0, 503):
                    return
                self._stopping.wait(self._pause)

        return work

    def _comer(self, login: str, name: str) -> Callable[[Random], None]:
        """Sign in, read, and sign out in one tab while another one reads."""

        def work(rng: Random) -> None:
            browser = self.browser()
            session = self.sign_in(browser, login, name)
            if session is None:
                return
            for _ in range(rng.randint(2, 6)):
                self.read(browser, session.owner, session, rng.choice(self._hosts.all))
                self._stopping.wait(self._pause)
            copy = browser.jar.copy()
            other = threading.Thread(
                target=self._read_on, args=(self.browser(browser.jar), session, rng.random())
            )
            other.start()
            self.sign_out(browser, session, rng.choice(self._hosts.all))
            other.join()
            self.copies.add(copy, session)

        return work

    def _read_on(self, browser: TimedBrowser, session: Session, seed: float) -> None:
        rng = Random(seed)
        for _ in range(3):
            self.read(browser, session.owner, session, rng.choice(self._hosts.all))

    def _thief(self, rng: Random) -> None:
        """Come with copies of ended cookies, with somebody else's and forged headers, with cookies made up."""
        host = rng.choice(self._hosts.all)
        copies = self.copies.all()
        if copies:
            jar, session = rng.choice(copies[-8:] if rng.random() < 0.5 else copies)
            self.read(self.browser(kept(jar)), "thief", session, host)
        made_up = self.browser(KeptJar())
        made_up.jar.set(COOKIE, rng.randbytes(300).hex(), self._hosts.site.url("/"))
        self.read(made_up, "forger", None, host, headers=_FORGED)
        if (has := self.steady.get(BORROWED)) is not None:
            jar, session = has
            self.read(self.browser(kept(jar)), "borrower", session, host, headers=_FORGED)
            torn = self.browser(kept(jar))
            cookie = torn.jar.get(COOKIE, self._hosts.site.url("/"))
            if cookie is not None:
                torn.jar.tamper(COOKIE, self._hosts.site.url("/"), lambda value: _torn(value, rng))
                self.read(torn, "forger", None, host)
        self._stopping.wait(self._pause)

    def _stranger(self, rng: Random) -> None:
        """Come without any cookie."""
        browser = self.browser()
        self.read(browser, "stranger", None, rng.choice(self._hosts.all), headers=_FORGED)
        self._stopping.wait(self._pause)

    def _reader(self, rng: Random) -> None:
        """Read what is open to everybody, with somebody's cookies or none."""
        for host in self._hosts.all:
            has = self.steady.get(BORROWED) if rng.random() < 0.5 else None
            browser = self.browser(KeptJar() if has is None else kept(has[0]))
            self._ask(browser, "reader", "public", host, host.url(PUBLIC), None)
        self._stopping.wait(self._pause)

    # How they do it

    def browser(self, jar: CookieJar | None = None) -> TimedBrowser:
        """Return a new browser, by default with no cookies."""
        urls = [self._hosts.site.url("/"), *(host.url("/") for host in self._hosts.all)]
        return TimedBrowser(SharedJar() if jar is None else jar, urls)

    def read(
        self,
        browser: TimedBrowser,
        who: str,
        session: Session | None,
        host: SoakHost,
        *,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Ask for a page that is for people who are signed in."""
        what: What = "page" if session is not None else "stranger"
        return self._ask(browser, who, what, host, host.url("/"), session, headers=headers)

    def sign_in(self, browser: TimedBrowser, login: str, name: str) -> Session | None:
        """Sign in by a provider's pages, at whichever host takes the connections."""
        began, browser.longest = time.monotonic(), 0.0
        status, user, retry_after, note = 0, None, None, ""
        try:
            browser.navigate(self._hosts.site.own_url(f"login/{name}/"))
            page = self._provider.sign_in(browser, login)
            status, user, retry_after = page.status, user_of(page), page.header("Retry-After")
            note = "" if user else words_of(page)
        except BrowserError as error:
            note = str(error).partition("\n")[0]
        answer = Answer(
            who=f"{name}-{login}",
            what="sign-in",
            host="",
            worker="",
            began=began,
            ended=time.monotonic(),
            status=status,
            user=user,
            retry_after=retry_after,
            note=note,
            longest=browser.longest,
        )
        self._checker.judge(answer)
        if user == answer.who:
            return self._checker.signed_in(answer, refreshes=name == REFRESHING)
        self._stopping.wait(1.0)
        return None

    def sign_out(self, browser: TimedBrowser, session: Session, host: SoakHost) -> None:
        """Type the address of the logout."""
        path = self._hosts.site.own_url("logout/").removeprefix(self._hosts.site.public_url)
        self._checker.signing_out(session, time.monotonic())
        self._ask(browser, session.owner, "sign-out", host, host.url(path), session)

    def _ask(
        self,
        browser: TimedBrowser,
        who: str,
        what: What,
        host: SoakHost,
        url: str,
        session: Session | None,
        *,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        began = time.monotonic()
        status, user, retry_after, note = 0, None, None, ""
        browser.steps.clear()
        try:
            page = browser.navigate(url, follow=False, headers=headers)
            status, user, retry_after = page.status, user_of(page), page.header("Retry-After")
            note = cut(page.location) if page.location else "" if user else words_of(page)
        except BrowserError as error:
            note = str(error).partition("\n")[0]
        answer = Answer(
            who=who,
            what=what,
            host=host.name,
            worker=host.name,
            began=began,
            ended=time.monotonic(),
            status=status,
            user=user,
            session=session,
            retry_after=retry_after,
            note=note,
        )
        self._checker.judge(answer)
        return answer

    def _vary(self, jar: CookieJar) -> None:
        """Let an application's own cookie change, as those of real ones do: no worker has seen this header before."""
        line = f"theme={next(self.headers)}; Path=/"
        jar.store(self._hosts.site.url("/"), line, Context())

    # Beginning and ending

    def _run(self, work: Callable[[Random], None], rng: Random) -> None:
        while not self._stopping.is_set():
            try:
                work(rng)
            except Exception as error:  # noqa: BLE001  # whatever it is, the run is not to be believed
                self._failed.append(error)
                return

    def wait_until_settled(self, *, deadline: float = 120.0) -> None:
        """Until everybody who stays has signed in."""
        until = time.monotonic() + deadline
        while len(self.steady) < len(STEADY):
            self.fail_loudly()
            assert time.monotonic() < until, f"only {sorted(self.steady)} signed in within {deadline:.0f} s"
            time.sleep(0.1)

    def fail_loudly(self) -> None:
        """Raise what one of the threads has met that it cannot have met at the hosts."""
        if self._failed:
            raise self._failed[0]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Let everybody finish what they are doing."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(90)
        self.fail_loudly()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()


def _torn(value: str, rng: Random) -> str:
    """The text of a cookie with one character of its middle changed, which carries no spare bits."""
    place = rng.randrange(20, len(value) - 20)
    return value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]
