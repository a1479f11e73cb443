"""A state machine over everything that can happen to sign-ins and sessions, in two processes and three browsers.

It keeps a model of who may be signed in where, drives two instances of the middleware (two workers with the same
settings, key file and, sometimes, directory) in any order of events, and holds them to the invariants of the security
goals: nobody gets in without an answer to an attempt of their own browser, the application sees who signed in, what was
ended stays ended, and nothing is an error of ours.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import time_machine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.clocks import Clocks
from tests.support.hosts.guarded import App
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import make_settings
from tests.support.stores.directory_file import empty_database

START = 1_900_000_000
LIFETIME, IDLE, SYNC = 4 * 3600, 3600, 5
#: seconds in which an answer counts
VALID_FOR = 600
#: seconds after which a new key seals
SETTLED = 61

PREFIX = "/auth/oauth2"
COOKIE = "__Host-oauth2_mw"
NAVIGATION = {
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_SEC_FETCH_DEST": "document",
    "HTTP_ACCEPT": "text/html,*/*;q=0.8",
}
BROWSERS, WORKERS, PEOPLE = st.integers(0, 2), st.integers(0, 1), st.sampled_from(["jane", "joe", "eve"])
PATHS = st.sampled_from(["/", "/deep?x=1", f"{PREFIX}/login/", f"{PREFIX}/login/default/?next=/a"])


@dataclass(eq=False)
class Session:
    """A sign-in that worked."""

    person: str
    created: float
    #: when a request with any of its cookies was last let in
    used: float = 0
    #: worker -> when it was told that the session ended
    ended: dict[int, float] = field(default_factory=dict)


@dataclass(eq=False)
class Sealed:
    """One value of the session cookie: it may be copied, and a renewal makes another for the same session."""

    session: Session
    seen: float
    key: int


@dataclass(eq=False)
class Attempt:
    """A redirect to the provider, and the browser that it was made for."""

    browser: int
    url: str
    started: float
    #: as the provider answered it, once it has
    answer: str | None = None
    #: whether an answer to it was brought to a callback by its own browser, or could have been
    brought: bool = False


class Machine(RuleBasedStateMachine):
    attempts: Bundle[Attempt] = Bundle("attempts")
    provider: StandIn

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self._clock = self._open.enter_context(time_machine.travel(START, tick=False))
        self._folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        self._jars: list[dict[str, str]] = [{}, {}, {}]
        self._sealed: dict[str, Sealed] = {}
        self._keys: list[int] = [0]
        self._retired: set[int] = set()
        self._sessions: list[Session] = []

    def teardown(self) -> None:
        self._open.close()

    @initialize(directory=st.booleans())
    def start(self, directory: bool) -> None:  # noqa: FBT001
        self._shared = directory
        self._write_keys()
        more = {"directory": empty_database(self._folder / "users.db")} if directory else {}
        self._apps = [App(), App()]
        self._workers = [
            OAuth2Middleware(
                app,
                make_settings(
                    issuer=self.provider.issuer,
                    client_secret="x",
                    secret_keys=f"file:{self._folder / 'keys'}",
                    session_lifetime=str(LIFETIME),
                    session_idle=str(IDLE),
                    revocation_sync=str(SYNC),
                    sync_logout="false",
                    **more,
                ),
                # This machine sets one clock, by which intervals are counted too.
                clocks=Clocks(time.time, time.time),
            )
            for app in self._apps
        ]
        self._purge_of_providers()

    def _purge_of_providers(self) -> None:
        self.provider.answers.clear()
        self.provider.requests.clear()

    # What a browser does

    def _send(self, browser: int, worker: int, path: str, **keys: Any) -> WsgiResponse:
        """One request. Everything that must hold of every request is held here."""
        jar = self._jars[browser]
        target, _, query = path.partition("?")
        app = self._apps[worker]
        calls = app.calls
        allowed = self._may_enter(jar.get(COOKIE), worker)
        environ = environ_for(
            target,
            QUERY_STRING=query,
            HTTP_COOKIE="; ".join(f"{name}={value}" for name, value in jar.items()) or None,
            **keys,
        )
        answer = call(self._workers[worker], environ)
        assert answer.status != 500
        reached = app.calls - calls
        if target.startswith(PREFIX):
            assert reached == 0
        else:
            person = self._sealed[jar[COOKIE]].session.person if jar.get(COOKIE) in self._sealed else None
            if allowed == "yes":
                assert (answer.status, reached) == (200, 1)
            elif allowed == "no":
                assert reached == 0
            if reached:
                self._sealed[jar[COOKIE]].session.used = time.time()
                assert (answer.status, app.seen[-1]["user"]) == (200, person)
        self._take(browser, worker, answer, renewed_from=jar.get(COOKIE), app_was_reached=bool(reached))
        return answer

    def _may_enter(self, value: str | None, worker: int) -> Literal["yes", "no", "unsure"]:
        """What the model says of a session cookie."""
        sealed = self._sealed.get(value or "")
        if sealed is None or sealed.key in self._retired:
            return "no"
        now, session = time.time(), sealed.session
        if now >= session.created + LIFETIME or worker in session.ended:
            return "no"
        if now >= sealed.seen + IDLE:
            # With a directory the list of sessions knows of later use, of which workers tell now and then.
            is_used = self._shared and now < session.used + IDLE
            told = session.ended and now - min(session.ended.values()) > SYNC
            return "unsure" if is_used and not told else "no"
        if session.ended:
            if not self._shared:
                # A limit that is documented: without a directory no other process hears of a logout.
                return "yes"
            return "no" if now - min(session.ended.values()) > SYNC else "unsure"
        return "yes"

    def _take(
        self,
        browser: int,
        worker: int,
        answer: WsgiResponse,
        *,
        renewed_from: str | None,
        app_was_reached: bool,
    ) -> None:
        """Keep what ``Set-Cookie`` says, and know which session a new value stands for."""
        jar = self._jars[browser]
        for name, line in answer.cookies.items():
            value = line.partition("=")[2].partition(";")[0]
            if "Max-Age=0" in line:
                jar.pop(name, None)
                continue
            jar[name] = value
            if name == COOKIE:
                if app_was_reached:
                    assert renewed_from is not None
                    session = self._sealed[renewed_from].session
                else:
                    # The one way in: _bring() says whose it is, and fails when nobody may have got in.
                    session = self._expected(browser)
                self._sealed[value] = Sealed(session, time.time(), self._keys[-1])

    _signing_in: tuple[int, str] | None = None

    def _expected(self, browser: int) -> Session:
        assert self._signing_in is not None, "a session came out of nowhere"
        expected, person = self._signing_in
        assert expected == browser, "a session came to another browser"
        session = Session(person, time.time())
        self._sessions.append(session)
        return session

    def _location(self, answer: WsgiResponse, browser: int) -> Attempt | None:
        """The attempt that a redirect to the provider began, if the answer is one."""
        location = answer.header("Location") or ""
        if not location.startswith(self.provider.url):
            return None
        return Attempt(browser, location, time.time())

    # Rules

    @rule(target=attempts, browser=BROWSERS, worker=WORKERS, path=PATHS)
    def open_a_page(self, browser: int, worker: int, path: str) -> Any:
        answer = self._send(browser, worker, path, **NAVIGATION)
        attempt = self._location(answer, browser)
        return multiple() if attempt is None else attempt

    @rule(browser=BROWSERS, worker=WORKERS, other=WORKERS, person=PEOPLE)
    def sign_in(self, browser: int, worker: int, other: int, person: str) -> None:
        """Out and back at once, begun and ended in any worker: that works, whatever happened before."""
        answer = self._send(browser, worker, f"{PREFIX}/login/", **NAVIGATION)
        attempt = self._location(answer, browser)
        if attempt is None:
            # Several in a minute, and no session has come of them: a page stops the circle.
            assert self._may_enter(self._jars[browser].get(COOKIE), worker) != "yes"
            return
        assert list(self._bring(attempt, browser, other, person)) == []
        assert attempt.brought

    @rule(target=attempts, attempt=consumes(attempts), worker=WORKERS, person=PEOPLE)
    def answer_in_the_same_browser(self, attempt: Attempt, worker: int, person: str) -> Any:
        """In time, late or once more; as one person or, after that, as another."""
        return multiple(attempt, *self._bring(attempt, attempt.browser, worker, person))

    @rule(
        browser=BROWSERS,
        worker=WORKERS,
        person=PEOPLE,
        seconds=st.sampled_from([1, VALID_FOR - 1, VALID_FOR, IDLE + 1]),
    )
    def answer_after_a_while(self, browser: int, worker: int, person: str, seconds: int) -> None:
        answer = self._send(browser, worker, f"{PREFIX}/login/", **NAVIGATION)
        attempt = self._location(answer, browser)
        if attempt is not None:
            self._answer(attempt)
            self._clock.shift(seconds)
            list(self._bring(attempt, browser, worker, person))
            assert attempt.brought == (seconds < VALID_FOR)

    @rule(target=attempts, attempt=attempts, browser=BROWSERS, worker=WORKERS, person=PEOPLE)
    def answer_in_another_browser(self, attempt: Attempt, browser: int, worker: int, person: str) -> Any:
        if browser == attempt.browser:
            return multiple()
        return multiple(*self._bring(attempt, browser, worker, person))

    @rule(
        attempt=attempts,
        other=attempts,
        worker=WORKERS,
        change=st.sampled_from(
            ["code", "state", "iss", "none", "error", "both", "twice", "cut", "other code", "other state"]
        ),
    )
    def answer_wrongly(self, attempt: Attempt, other: Attempt, worker: int, change: str) -> None:
        """A wrong answer never signs anybody in; it may use up the attempt that it names."""
        good, foreign = dict(parse_qsl(self._answer(attempt))), dict(parse_qsl(self._answer(other)))
        if attempt is other and change.startswith("other"):
            return
        fields = {
            "code": {**good, "code": "forged"},
            "state": {**good, "state": good["state"][:-1] + ("A" if good["state"][-1] != "A" else "B")},
            "iss": {**good, "iss": "https://evil.example"},
            "none": {"state": good["state"]},
            "error": {"state": good["state"], "error": "access_denied", "iss": self.provider.issuer},
            "both": {**good, "error": "access_denied"},
            "twice": {**good, "x": "1"},
            "cut": {"state": good["state"][:-20], "code": good["code"]},
            "other code": {**good, "code": foreign["code"]},
            "other state": {**foreign, "code": good["code"]},
        }[change]
        query = urlencode(fields) + ("&state=again" if change == "twice" else "")
        self._callback(attempt.browser, worker, query)

    @rule(browser=BROWSERS, worker=WORKERS)
    def ask_as_a_program(self, browser: int, worker: int) -> None:
        answer = self._send(browser, worker, "/api")
        assert answer.status in (200, 401)

    @rule(browser=BROWSERS, worker=WORKERS)
    def log_out(self, browser: int, worker: int) -> None:
        value = self._jars[browser].get(COOKIE)
        known = self._may_enter(value, worker)
        self._send(browser, worker, f"{PREFIX}/logout/", HTTP_SEC_FETCH_SITE="same-origin", **NAVIGATION)
        if known == "yes" and value is not None:
            self._end(self._sealed[value].session, worker)
            assert COOKIE not in self._jars[browser]

    @rule(browser=BROWSERS, worker=WORKERS)
    def be_logged_out_by_another_site(self, browser: int, worker: int) -> None:
        before = self._jars[browser].get(COOKIE)
        known = self._may_enter(before, worker)
        self._send(browser, worker, f"{PREFIX}/logout/", HTTP_SEC_FETCH_SITE="cross-site", **NAVIGATION)
        if known == "yes":
            assert self._jars[browser].get(COOKIE) == before

    @rule(thief=BROWSERS, victim=BROWSERS)
    def copy_the_session_cookie(self, thief: int, victim: int) -> None:
        if COOKIE in self._jars[victim]:
            self._jars[thief][COOKIE] = self._jars[victim][COOKIE]

    @rule(browser=BROWSERS)
    def forget_all_cookies(self, browser: int) -> None:
        self._jars[browser].clear()

    @rule(browser=BROWSERS, place=st.integers(0, 400))
    def damage_the_session_cookie(self, browser: int, place: int) -> None:
        value = self._jars[browser].get(COOKIE)
        if value:
            place %= len(value)
            other = "A" if value[place] != "A" else "B"
            self._jars[browser][COOKIE] = value[:place] + other + value[place + 1 :]

    @rule(seconds=st.sampled_from([1, 4, SYNC + 1, SETTLED, VALID_FOR + 1, 1800, IDLE + 1, LIFETIME + 1]))
    def let_time_pass(self, seconds: int) -> None:
        self._clock.shift(seconds)

    @precondition(lambda self: len(self._keys) < 5)
    @rule()
    def rotate_the_keys(self) -> None:
        """A new key, which every worker hears of before it seals."""
        self._keys.append(self._keys[-1] + 1)
        self._write_keys()
        self._clock.shift(SYNC + 1)
        self._look()
        self._clock.shift(SETTLED)
        self._look()

    @precondition(lambda self: len(self._keys) - len(self._retired) > 1)
    @rule()
    def retire_the_oldest_key(self) -> None:
        self._retired.add(min(set(self._keys) - self._retired))
        self._write_keys()
        self._clock.shift(SYNC + 1)
        self._look()

    @invariant()
    def every_cookie_that_was_ever_set_says_what_the_model_says(self) -> None:
        """Whoever may hold a copy of one, asks in both processes."""
        for value, sealed in list(self._sealed.items())[-12:]:
            for worker, middleware in enumerate(self._workers):
                allowed = self._may_enter(value, worker)
                app = self._apps[worker]
                calls = app.calls
                answer = call(middleware, environ_for("/", HTTP_COOKIE=f"{COOKIE}={value}"))
                if allowed != "unsure":
                    assert (answer.status, app.calls - calls) == ((200, 1) if allowed == "yes" else (401, 0))
                if app.calls > calls:
                    sealed.session.used = time.time()
                    assert app.seen[-1]["user"] == sealed.session.person

    # How the rules do it

    def _answer(self, attempt: Attempt) -> str:
        """The query with which the provider sends the browser back; always the same one for an attempt."""
        if attempt.answer is None:
            attempt.answer = urlencode(self.provider.follow(attempt.url))
        return attempt.answer

    def _bring(self, attempt: Attempt, browser: int, worker: int, person: str) -> Iterator[Attempt]:
        """Bring a right answer to the callback, in whatever browser and state."""
        own = browser == attempt.browser
        age = time.time() - attempt.started
        # Only then may anybody be signed in by it, and only the one whom the provider vouches for.
        may = own and not attempt.brought and age < VALID_FOR
        self._signing_in = (browser, person) if may else None
        before = self._jars[browser].get(COOKIE)
        known = self._may_enter(before, worker)
        self.provider.userinfo = {"sub": person, "preferred_username": person}
        self.provider.claims = {
            **self.provider.userinfo,
            "name": person,
            "email": f"{person}@x.example",
            "phone_number": "1",
            "groups": [],
        }
        answer = self._callback(browser, worker, self._answer(attempt), signing_in=True)
        if self._jars[browser].get(COOKIE) != before and COOKIE in self._jars[browser]:
            attempt.brought = True
            if before is not None and known != "no":
                # A sign-in over another session ends that one; whether this worker still knew it, it does now.
                self._end(self._sealed[before].session, worker, sure=known == "yes")
        started = self._location(answer, browser)
        if started is not None:
            yield started

    def _callback(self, browser: int, worker: int, query: str, *, signing_in: bool = False) -> WsgiResponse:
        if not signing_in:
            self._signing_in = None
        answer = self._send(browser, worker, f"{PREFIX}/login/callback/?{query}", **NAVIGATION)
        self._signing_in = None
        location = answer.header("Location")
        if location is not None:
            origin = "{0.scheme}://{0.netloc}".format(urlsplit(location))
            assert origin in ("https://app.example", self.provider.url)
        return answer

    def _end(self, session: Session, worker: int, *, sure: bool = True) -> None:
        if sure:
            session.ended.setdefault(worker, time.time())

    def _write_keys(self) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        lines = []
        for number in self._keys:
            since = "2020-01-01T00:00:00Z" if number == 0 else moment if number == self._keys[-1] else None
            since = self._since.setdefault(number, since or moment)
            if number not in self._retired:
                lines.append(f"k{number} {since} {text_key(number)}\n")
        new = self._folder / "new"
        new.write_text("".join(lines))
        new.chmod(0o600)
        new.replace(self._folder / "keys")

    @property
    def _since(self) -> dict[int, str]:
        return self.__dict__.setdefault("_moments", {})

    def _look(self) -> None:
        for worker in self._workers:
            call(worker, environ_for("/", HTTP_COOKIE=f"{COOKIE}=x"))


@pytest.mark.no_cover
@pytest.mark.requirement("3a.1", "3a.5", "3c.16")
def test_whatever_happens_nobody_gets_in_who_should_not() -> None:
    with StandIn(client_id="app", client_secret="x", sends_iss=True) as provider:
        run_state_machine_as_test(
            type("Here", (Machine,), {"provider": provider}),
            settings=settings(
                max_examples=settings().max_examples * 4 // 5,
                stateful_step_count=min(35, settings().max_examples),
                deadline=None,
                suppress_health_check=[
                    HealthCheck.too_slow,
                    HealthCheck.filter_too_much,
                    HealthCheck.data_too_large,
                ],
            ),
        )
