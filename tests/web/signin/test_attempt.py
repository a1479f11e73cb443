"""Sign-in attempts: bound to one browser, valid once and not for long, and never piling up."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.session.cookies import Cookies, RequestCookies
from oauth2_mw.session.keyring import Keyring
from oauth2_mw.session.model import SessionRef
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.web.signin.attempt import (
    KEPT_FOR,
    MAX_COOKIE_BYTES,
    SLOTS,
    VALID_FOR,
    Attempt,
    Attempts,
    LocalReplayCache,
)
from tests.support.clock import Clock
from tests.support.settings.keys import text_key

COOKIES = Cookies("oauth2_mw", secure=True)


class Browser:
    """A jar of cookies."""

    def __init__(self) -> None:
        self.jar: dict[str, str] = {}

    def take(self, headers: list[str]) -> None:
        for header in headers:
            pair, _, attributes = header.partition(";")
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value

    def begin(self, attempts: Attempts, destination: str = "/") -> tuple[Attempt, str]:
        """Start a sign-in and keep its cookie."""
        attempt, text, cookies = attempts.begin("corp", destination, self.cookies())
        self.take(cookies)
        return attempt, text

    def cookies(self) -> RequestCookies:
        return COOKIES.read("; ".join(f"{name}={value}" for name, value in self.jar.items()))


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return make(clock)


def make(clock: Clock, **more: Any) -> Attempts:
    sealer = Sealer(Keyring(Secret.literal(text_key()), sync=5), app_id="https://app.example")
    return Attempts(sealer, COOKIES, clock=clock, **more)


def test_an_answer_finds_its_attempt_again(attempts: Attempts, clock: Clock) -> None:
    browser = Browser()
    attempt, text = browser.begin(attempts, "/deep?x=1")
    state = attempts.open_state(text)
    assert state is not None
    assert attempts.find(state, browser.cookies()) == attempt
    assert attempt.is_pending(clock())


@pytest.mark.requirement("3a.1")
def test_an_attempt_is_unknown_to_another_browser(attempts: Attempts) -> None:
    victim, attacker = Browser(), Browser()
    _, text = attacker.begin(attempts, "/")
    state = attempts.open_state(text)
    assert state is not None
    assert attempts.find(state, victim.cookies()) is None


@pytest.mark.requirement("3a.1", "N2.1.12")
def test_an_attempt_is_not_found_by_the_state_of_another_in_the_same_slot(attempts: Attempts) -> None:
    """Two browsers often give their attempts one name; what tells them apart is the state alone."""
    victim = Browser()
    own, _ = victim.begin(attempts)
    begun = (Browser().begin(attempts) for _ in range(1000))
    text = next(text for attempt, text in begun if attempt.state.slot == own.state.slot)
    state = attempts.open_state(text)
    assert state is not None
    assert attempts.find(state, victim.cookies()) is None


@pytest.mark.requirement("3a.1", "N2.1.12")
def test_two_attempts_cannot_be_crossed(attempts: Attempts) -> None:
    browser = Browser()
    _, first_text = browser.begin(attempts, "/one")
    browser.begin(attempts, "/two")
    names = list(browser.jar)
    browser.jar[names[0]], browser.jar[names[1]] = browser.jar[names[1]], browser.jar[names[0]]
    state = attempts.open_state(first_text)
    assert state is not None
    assert attempts.find(state, browser.cookies()) is None


@given(st.text(max_size=200))
def test_a_state_that_is_not_ours_opens_as_nothing(text: str) -> None:
    assert make(Clock()).open_state(text) is None


@pytest.mark.requirement("N2.2.1", "V30")
def test_every_attempt_has_its_own_nonce_and_verifier(attempts: Attempts) -> None:
    made = [Browser().begin(attempts, "/")[0] for _ in range(200)]
    assert len({a.nonce for a in made} | {a.code_verifier for a in made}) == 400
    assert len({a.state.id for a in made}) == 200
    assert all(len(a.seed) == 32 and len(a.state.id) == len("a" + "123456789012") for a in made)
    assert all(len(a.code_verifier) == 43 and len(a.nonce) == 43 for a in made)
    assert all(
        set(a.code_verifier) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        for a in made
    )


def test_an_attempt_is_valid_for_ten_minutes_and_found_for_an_hour(attempts: Attempts, clock: Clock) -> None:
    browser = Browser()
    attempt, text = browser.begin(attempts, "/deep")
    assert VALID_FOR == 600
    clock.now += VALID_FOR - 1
    assert attempt.is_pending(clock())
    clock.now += 1
    assert not attempt.is_pending(clock())
    state = attempts.open_state(text)
    assert state is not None
    found = attempts.find(state, browser.cookies())
    assert found is not None
    assert found.destination == "/deep"


def test_an_attempt_from_the_future_is_not_valid(attempts: Attempts, clock: Clock) -> None:
    attempt, _ = Browser().begin(attempts, "/")
    assert not attempt.is_pending(clock() - 3600)
    assert not attempt.is_pending(clock() - 61)
    assert attempt.is_pending(clock() - 60)
    assert attempt.is_pending(clock() - 30)


@pytest.mark.requirement("3a.5")
def test_an_attempt_is_used_once(attempts: Attempts) -> None:
    attempt, _ = Browser().begin(attempts, "/")
    assert attempts.consume(attempt)
    assert not attempts.consume(attempt)


def test_no_repr_shows_what_nonce_and_verifier_are_made_of(attempts: Attempts) -> None:
    attempt, _ = Browser().begin(attempts)
    assert repr(attempt.seed) not in repr(attempt)
    assert "seed" not in repr(attempt)


@pytest.mark.requirement("3a.5")
def test_the_directory_is_asked_for_the_use_and_told_how_long_to_remember_it(clock: Clock) -> None:
    asked: list[tuple[str, dict[str, int]]] = []

    def consume(attempt_id: str, **times: int) -> bool:
        asked.append((attempt_id, times))
        return len(asked) == 1

    attempts = make(clock, consume=consume)
    attempt, _ = Browser().begin(attempts)
    clock.now += 9.5
    assert attempts.consume(attempt)
    assert not attempts.consume(attempt)
    assert asked == [(attempt.state.id, {"expires": 1_800_003_609})] * 2


def test_a_sign_in_that_was_begun_anew_says_how_often(attempts: Attempts) -> None:
    cookies = RequestCookies({}, None)
    assert attempts.begin("corp", "/", cookies)[0].state.restarts == 0
    assert attempts.begin("corp", "/", cookies, restarts=2)[0].state.restarts == 2


@pytest.mark.requirement("K5")
def test_the_cookie_is_kept_for_an_hour_and_comes_with_a_form_where_it_must(clock: Clock) -> None:
    attempts = make(clock, form_post=("apple",))
    for provider, policy in (("apple", "None"), ("corp", "Lax")):
        attempt, _, (cookie,) = attempts.begin(provider, "/", RequestCookies({}, None))
        assert cookie.endswith(f"; Path=/; HttpOnly; SameSite={policy}; Secure; Max-Age=3600")
        (closed,) = attempts.close_failed(attempt, RequestCookies({}, None))
        assert closed.endswith(f"; Path=/; HttpOnly; SameSite={policy}; Secure; Max-Age=3600")


def sign_in(attempts: Attempts, browser: Browser, times: int) -> None:
    for _ in range(times):
        attempt, _ = browser.begin(attempts)
        browser.take(attempts.close_signed_in(attempt, browser.cookies(), 0))


def test_three_sign_ins_within_a_minute_that_leave_nobody_signed_in_are_a_loop(
    attempts: Attempts, clock: Clock
) -> None:
    browser = Browser()
    sign_in(attempts, browser, 2)
    assert not attempts.is_login_loop(browser.cookies())
    sign_in(attempts, browser, 1)
    assert attempts.is_login_loop(browser.cookies())
    clock.now += 59
    assert attempts.is_login_loop(browser.cookies())
    clock.now += 1
    assert not attempts.is_login_loop(browser.cookies())


def test_attempts_that_led_to_no_session_are_no_loop(attempts: Attempts) -> None:
    browser = Browser()
    for _ in range(3):
        attempt, _ = browser.begin(attempts)
        browser.take(attempts.close_failed(attempt, browser.cookies()))
    for _ in range(3):
        browser.begin(attempts)
    assert not attempts.is_login_loop(browser.cookies())


def test_a_destination_that_fits_into_no_header_is_left_behind(attempts: Attempts) -> None:
    def begun(session: int) -> str:
        cookies = COOKIES.read(f"{COOKIES.session}={'x' * session}")
        attempt, _, (cookie, *_) = attempts.begin("corp", "/" + "x" * 200, cookies)
        browser = Browser()
        browser.take([cookie])
        found = attempts.find(attempt.state, browser.cookies())
        assert found is not None
        return found.destination

    length = len(attempts.begin("corp", "/" + "x" * 200, RequestCookies({}, None))[2][0].partition(";")[0])
    length -= len(COOKIES.attempt_prefix + "a=")
    room = MAX_COOKIE_BYTES - length - len(COOKIES.session) - 3
    assert begun(room) == "/" + "x" * 200
    assert begun(room + 1) == ""


def test_a_used_attempt_leaves_its_destination_behind_for_a_session_that_needs_the_room(
    attempts: Attempts,
) -> None:
    browser = Browser()
    attempt, _ = browser.begin(attempts, "/" + "x" * 2500)
    for session_bytes, kept in ((3000, attempt.destination), (5000, "")):
        cookies = attempts.close_signed_in(attempt, browser.cookies(), session_bytes)
        assert session_bytes + sum(map(len, cookies)) < 8190
        browser.take(cookies)
        found = attempts.find(attempt.state, browser.cookies())
        assert found is not None
        assert found.destination == kept


@pytest.mark.parametrize("form_post", [(), ("n" * 32,)])
def test_what_there_is_room_for_is_kept_at_whichever_provider(
    clock: Clock, form_post: tuple[str, ...]
) -> None:
    attempts = make(clock, form_post=form_post)
    longest = max(n for n in range(4000) if attempts.has_room("/" * n, RequestCookies({}, None)))
    assert longest > 2700
    attempt, _, cookies = attempts.begin(
        "n" * 32,
        "/" * longest,
        RequestCookies({}, None),
        restarts=1,
        previous_session=SessionRef("s" * 22, 9_999_999_999),
    )
    assert len(cookies[0].partition(";")[0]) <= 4097
    browser = Browser()
    browser.take(cookies)
    assert attempts.find(attempt.state, browser.cookies()) == attempt


def test_a_used_attempt_keeps_its_destination_and_nothing_else(attempts: Attempts, clock: Clock) -> None:
    browser = Browser()
    attempt, text = Browser().begin(attempts, "/deep")
    browser.take(attempts.close_failed(attempt, browser.cookies()))
    state = attempts.open_state(text)
    assert state is not None
    used = attempts.find(state, browser.cookies())
    assert used is not None
    assert (used.destination, used.seed) == ("/deep", b"")
    assert not used.is_pending(clock())


@pytest.mark.requirement("3a.7", "3a.8")
def test_at_most_eight_attempts_live_and_the_oldest_goes(attempts: Attempts, clock: Clock) -> None:
    browser = Browser()
    states = []
    for number in range(len(SLOTS) + 3):
        attempt, _ = browser.begin(attempts, f"/{number}")
        states.append(attempt.state)
        clock.now += 1
    alive = [state for state in states if attempts.find(state, browser.cookies()) is not None]
    assert alive == states[3:]


@pytest.mark.requirement("3a.8")
def test_tabs_that_start_at_once_leave_no_more_than_eight(attempts: Attempts) -> None:
    browser = Browser()
    for _ in range(40):
        browser.take(attempts.begin("corp", "/", RequestCookies({}, None))[2])
    assert len(browser.jar) <= len(SLOTS)


@pytest.mark.requirement("3a.8")
def test_attempts_never_take_more_of_a_header_than_their_share(attempts: Attempts, clock: Clock) -> None:
    browser = Browser()
    for number in range(20):
        browser.begin(attempts, "/" + "x" * 1500 + str(number))
        clock.now += 1
        assert sum(len(name) + len(value) for name, value in browser.jar.items()) <= MAX_COOKIE_BYTES
    assert len(browser.jar) >= 2


@pytest.mark.parametrize("session", [1000, 4000, 7000])
def test_a_session_and_its_attempts_fit_into_one_header(
    attempts: Attempts, clock: Clock, session: int
) -> None:
    browser = Browser()
    for number in range(8):
        attempt, _ = browser.begin(attempts, "/" + "x" * 200 + str(number))
        clock.now += 1
    browser.take(attempts.close_signed_in(attempt, browser.cookies(), session))
    browser.jar[COOKIES.session] = "x" * session
    header = "; ".join(f"{name}={value}" for name, value in browser.jar.items())
    assert len(header) < 8190
    browser.begin(attempts, "/" + "x" * 1500)
    header = "; ".join(f"{name}={value}" for name, value in browser.jar.items())
    assert len(header) < 8190


@pytest.mark.requirement("3a.8")
def test_where_room_is_short_the_oldest_attempts_go(attempts: Attempts, clock: Clock) -> None:
    browser = Browser()
    states = []
    for number in range(6):
        attempt, _ = browser.begin(attempts, "/" + "x" * 1500 + str(number))
        states.append(attempt.state)
        clock.now += 1
    alive = [state for state in states if attempts.find(state, browser.cookies()) is not None]
    assert 2 <= len(alive) < 6
    assert alive == states[-len(alive) :]


def cookie_bytes(cookie: str) -> int:
    """Return the octets that a cookie takes of a header with others."""
    return len(cookie.partition(";")[0]) + len("; ")


@pytest.mark.requirement("3a.8")
@pytest.mark.parametrize(("more", "leaving"), [(0, 0), (1, 1)])
def test_an_attempt_stays_while_there_is_room_to_the_last_octet(
    attempts: Attempts, more: int, leaving: int
) -> None:
    browser = Browser()
    _, _, (old,) = attempts.begin("corp", "/old", RequestCookies({}, None))
    browser.take([old])
    text = len(
        attempts.begin("corp", "/", RequestCookies({}, None))[2][0].partition(";")[0].partition("=")[2]
    )
    session = MAX_COOKIE_BYTES - text - cookie_bytes(old) - len(COOKIES.session) - 3
    browser.jar[COOKIES.session] = "x" * (session + more)
    new, _, cookies = attempts.begin("corp", "/", browser.cookies())
    assert [cookie.partition("=")[0] for cookie in cookies] == [
        COOKIES.attempt_prefix + new.state.slot,
        *[old.partition("=")[0]] * leaving,
    ]


@pytest.mark.requirement("3a.8")
def test_no_attempt_outlives_a_newer_one_because_it_is_smaller(attempts: Attempts, clock: Clock) -> None:
    browser = Browser()
    small, _ = browser.begin(attempts, "/")
    clock.now += 1
    large, _ = browser.begin(attempts, "/" + "x" * 1500)
    browser.jar[COOKIES.session] = "x" * 6500
    clock.now += 1
    new, _ = browser.begin(attempts, "/")
    assert attempts.find(new.state, browser.cookies()) is not None
    assert attempts.find(large.state, browser.cookies()) is None
    assert attempts.find(small.state, browser.cookies()) is None


def test_a_used_attempt_makes_room_before_a_living_one(attempts: Attempts, clock: Clock) -> None:
    browser = Browser()
    oldest, _ = browser.begin(attempts, "/oldest")
    for number in range(len(SLOTS) - 1):
        clock.now += 1
        attempt, _ = browser.begin(attempts, f"/{number}")
    browser.take(attempts.close_failed(attempt, browser.cookies()))
    browser.begin(attempts, "/new")
    assert attempts.find(oldest.state, browser.cookies()) is not None
    assert attempts.find(attempt.state, browser.cookies()) is None


def test_attempts_that_do_not_open_or_are_past_their_hour_are_expired(
    attempts: Attempts, clock: Clock
) -> None:
    browser = Browser()
    old, _ = browser.begin(attempts, "/old")
    other = COOKIES.attempt_prefix + ("a" if old.state.slot != "a" else "b")
    browser.jar[other] = "rubbish"
    assert [h.partition("=")[0] for h in attempts.expire_unusable(browser.cookies())] == [other]
    clock.now += KEPT_FOR
    new, _ = browser.begin(attempts, "/new")
    assert list(COOKIES.attempts(browser.cookies())) == [new.state.slot]


@pytest.mark.requirement("3c.12")
@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"[1]", b"{}", b'[["a",1,"p",0],1,2,3]', b"\xff"])
def test_what_another_version_sealed_is_no_attempt(attempts: Attempts, payload: bytes) -> None:
    assert attempts.open_state(attempts._sealer.seal("state", "", payload)) is None
    name = COOKIES.attempt_prefix + "a"
    assert attempts._open_attempt("a", attempts._sealer.seal("attempt", name, payload)) is None


@pytest.mark.requirement("3c.12")
def test_an_attempt_whose_destination_is_no_text_is_none(attempts: Attempts) -> None:
    name = COOKIES.attempt_prefix + "a"
    for destination, opens in (('"/"', True), ("5", False), ("null", False), ('["/"]', False)):
        payload = f'[["a12345678901_",1,"corp",0],"AAAA",{destination},0]'.encode()
        found = attempts._open_attempt("a", attempts._sealer.seal("attempt", name, payload))
        assert (found is not None) == opens


@pytest.mark.requirement("3c.12")
def test_an_attempt_whose_demand_is_of_another_version_is_none(attempts: Attempts) -> None:
    name = COOKIES.attempt_prefix + "a"
    for demand, opens in (('{"age":0}', True), ('{"age":"0"}', False), ("{}", True), ('{"acr":1}', False)):
        payload = f'[["a12345678901_",1,"corp",0],"AAAA","/",0,{demand}]'.encode()
        found = attempts._open_attempt("a", attempts._sealer.seal("attempt", name, payload))
        assert (found is not None) == opens


@pytest.mark.requirement("3c.12")
@pytest.mark.parametrize(
    ("seed", "opens"), [("AAAA", True), ("A", False), ("AB", False), ("AA==", False), ("", True)]
)
def test_an_attempt_whose_seed_is_not_base64url_is_none(
    attempts: Attempts, seed: str, *, opens: bool
) -> None:
    name = COOKIES.attempt_prefix + "a"
    payload = f'[["a12345678901_",1,"corp",0],"{seed}","/",0]'.encode()
    found = attempts._open_attempt("a", attempts._sealer.seal("attempt", name, payload))
    assert (found is not None) == opens


# The previous session


PREVIOUS = SessionRef("session-1", 1_800_030_000)


def test_where_the_answer_comes_as_a_form_the_previous_session_is_remembered_until_it_has_come(
    clock: Clock,
) -> None:
    attempts, browser = make(clock, form_post=["corp"]), Browser()
    attempt, text, cookies = attempts.begin("corp", "/", browser.cookies(), previous_session=PREVIOUS)
    browser.take(cookies)
    state = attempts.open_state(text)
    assert state is not None
    found = attempts.find(state, browser.cookies())
    assert found == attempt
    assert found.previous_session == PREVIOUS
    browser.take(attempts.close_failed(found, browser.cookies()))
    used = attempts.find(state, browser.cookies())
    assert used is not None
    assert used.previous_session is None


@pytest.mark.parametrize(("provider", "previous"), [("other", PREVIOUS), ("corp", None)])
def test_an_attempt_without_form_or_session_remembers_none(
    clock: Clock, provider: str, previous: SessionRef | None
) -> None:
    attempts, browser = make(clock, form_post=["corp"]), Browser()
    attempt, _, cookies = attempts.begin(provider, "/", browser.cookies(), previous_session=previous)
    browser.take(cookies)
    found = attempts.find(attempt.state, browser.cookies())
    assert found is not None
    assert found.previous_session is None


@pytest.mark.requirement("3c.12")
def test_an_attempt_over_a_session_of_another_shape_is_none(attempts: Attempts) -> None:
    def opened(more: str) -> Attempt | None:
        payload = f'[["a12345678901_",1,"corp",0],"AAAA","/",0{more}]'.encode()
        sealed = attempts._sealer.seal("attempt", COOKIES.attempt_prefix + "a", payload)
        return attempts._open_attempt("a", sealed)

    for more in ("", ',"s",1'):
        assert opened(more) is not None
    for more in (',"s"', ',"s","1"', ",1,1", ',"s",1.0', ',"s",1,1', ",null,null"):
        assert opened(more) is None


@pytest.mark.requirement("3h.3")
def test_a_process_remembers_used_attempts_within_bounds() -> None:
    used = LocalReplayCache(clock=lambda: 0)
    for number in range(LocalReplayCache.MAX_ENTRIES + 500):
        assert used.consume(f"id{number}", expires=100)
    assert len(used._used) == LocalReplayCache.MAX_ENTRIES
    assert not used.consume(f"id{LocalReplayCache.MAX_ENTRIES + 499}", expires=100)


def test_a_process_remembers_an_attempt_to_its_last_second() -> None:
    clock = Clock()
    used = LocalReplayCache(clock=clock)
    clock.now = 0
    used.consume("id", expires=10)
    clock.now = 10
    used.consume("other", expires=20)
    assert not used.consume("id", expires=20)


def test_a_process_forgets_expired_attempts() -> None:
    clock = Clock()
    used = LocalReplayCache(clock=clock)
    numbers = count()
    clock.now = 0
    for _ in range(10):
        used.consume(f"id{next(numbers)}", expires=10)
    clock.now = 11
    used.consume("new", expires=100)
    assert list(used._used._entries) == ["new"]
