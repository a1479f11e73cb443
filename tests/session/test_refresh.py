"""Refreshing: once however many ask, never twice with one token, and nothing that has ended comes back."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.api import authorized_session
from oauth2_mw.errors import StoreUnavailableError, UnavailableError
from oauth2_mw.session import lease, refresh, token_refresh, turns
from oauth2_mw.session.model import RefreshSchedule
from oauth2_mw.session.refresh import Refresher
from tests.support.browser.jar import Browser
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.standin import LEFT_OUT, Answer, StandIn
from tests.support.settings.minimal import ORIGIN
from tests.support.stores.watched_store import WatchedStore

HOUR = 3600

MODES = ("cookie", "cookie and directory", "store")


@pytest.fixture(autouse=True)
def due_at_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each session is due a minute before the end of its access token, and none earlier."""
    monkeypatch.setattr("oauth2_mw.session.model.crc32", lambda _: 0)


class Scene:
    """A person signed in at a site whose access tokens last an hour."""

    def __init__(self, site: Guarded, provider: StandIn, clock: ShiftedClocks) -> None:
        self.site = site
        self.provider = provider
        self.sessions = site.middleware._sessions
        self.clock = clock
        self.browser = site.browser()
        self.browser.navigate(site.url + "/")
        assert self.refreshes == 0

    @property
    def refreshes(self) -> int:
        return sum(one.form.get("grant_type") == "refresh_token" for one in self.provider.asked("/token"))

    def see(self, browser: Browser | None = None) -> dict[str, Any] | None:
        """What the application tells; ``None``: it was not asked."""
        page = (browser or self.browser).fetch(self.site.url + "/page")
        return json.loads(page.body)["environ"] if page.status == 200 else None

    def token(self, browser: Browser | None = None) -> str | None:
        """The access token that the application is given; ``None``: it was not asked."""
        seen = self.see(browser)
        return None if seen is None else str(seen["HTTP_X_ACCESS_TOKEN"])

    def another_worker(self) -> None:
        """From here on somebody refreshes who remembers nothing."""
        site = self.site.middleware._site()
        site._refresher = Refresher(self.sessions, site._refresher._tokens)

    def audit(self, event: str) -> list[str]:
        return [line for line in self.site.audit if f"event={event} " in line]


@contextmanager
def scene(provider: StandIn, folder: Path, mode: str = "store", **keys: Any) -> Iterator[Scene]:
    database = f"sqlite:///{folder}/site.db"
    where = {"cookie": {}, "cookie and directory": {"directory": database}, "store": {"session": database}}[
        mode
    ]
    settings = {
        "issuer": provider.issuer,
        "keep_tokens": "id refresh access",
        "session_idle": "8h",
        "environ": {"HTTP_X_ACCESS_TOKEN": "access_token", "HTTP_X_NAME": "name"},
        **where,
        **keys,
    }
    clock = ShiftedClocks()
    with guarded(clocks=clock.clocks, **settings) as site:
        yield Scene(site, provider, clock)


def at_once(number: int, work: Any) -> list[Any]:
    start, results = threading.Barrier(number), [None] * number

    def run(index: int) -> None:
        start.wait(30)
        results[index] = work(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@pytest.mark.requirement("X2", "F7", "N2.1.10")
@pytest.mark.parametrize("mode", MODES)
def test_an_access_token_is_refreshed_before_it_ends(provider: StandIn, tmp_path: Path, mode: str) -> None:
    with scene(provider, tmp_path, mode) as there:
        first = there.token()
        there.clock.ahead = HOUR - 120
        assert there.token() == first is not None
        assert there.refreshes == 0
        there.clock.ahead = HOUR - 50
        second = there.see()
        assert there.refreshes == 1
        assert second is not None
        assert second["HTTP_X_ACCESS_TOKEN"] in provider._access_tokens - {first}
        assert there.see() == second
        # And on, with the token that took the place of the first.
        there.clock.ahead = 2 * HOUR
        assert there.token() not in (second["HTTP_X_ACCESS_TOKEN"], None)
        assert there.refreshes == 2


@pytest.mark.parametrize("keep", ["id", "id access", "none"])
def test_without_a_kept_refresh_token_nothing_is_refreshed(
    provider: StandIn, tmp_path: Path, keep: str
) -> None:
    with scene(provider, tmp_path, keep_tokens=keep, environ={}) as there:
        there.clock.ahead = HOUR + 1
        assert there.see() is not None
        assert there.refreshes == 0


@pytest.mark.requirement("3h.12", "3l.1")
@pytest.mark.parametrize("mode", MODES)
def test_of_fifty_requests_at_once_one_refreshes(provider: StandIn, tmp_path: Path, mode: str) -> None:
    with scene(provider, tmp_path, mode) as there:
        provider.answers["token"] = lambda members: {**members, "expires_in": 3 * HOUR}
        there.clock.ahead = HOUR + 1
        cookies = there.browser.jar
        tokens = set(at_once(50, lambda _: there.token(_copy(there, cookies))))
        assert there.refreshes == 1
        assert there.audit("refresh_refused") == []
        # On a slow machine some are told to come again.
        assert len({*tokens, there.token(_copy(there, cookies))} - {None}) == 1


def _copy(there: Scene, jar: Any) -> Browser:
    """Another tab of the same browser, whose cookies are those of before."""
    browser = there.site.browser()
    browser.jar = copy.deepcopy(jar)
    return browser


@contextmanager
def refresh_in_flight(there: Scene) -> Iterator[None]:
    """One request has asked the provider for new tokens, and gets no answer before the end of the ``with``."""
    asked, answer = threading.Event(), threading.Event()

    def slowly(members: Any) -> Any:
        asked.set()
        assert answer.wait(30)
        return {**members, "expires_in": 3 * HOUR}

    there.provider.answers["token"] = slowly
    thread = threading.Thread(target=there.see)
    thread.start()
    assert asked.wait(30)
    try:
        yield
    finally:
        answer.set()
        thread.join(30)


@pytest.mark.parametrize("mode", MODES)
def test_while_one_refreshes_the_others_go_on_with_a_token_that_is_good(
    provider: StandIn, tmp_path: Path, mode: str
) -> None:
    with scene(provider, tmp_path, mode) as there:
        before, old = there.token(), _copy(there, there.browser.jar)
        there.clock.ahead = HOUR - 50
        with refresh_in_flight(there):
            assert there.token(old) == before is not None
        assert there.refreshes == 1


@pytest.mark.requirement("R-refresh")
@pytest.mark.parametrize("mode", MODES)
def test_while_the_provider_is_slow_two_requests_of_a_session_wait_and_the_others_are_told_to_come_again(
    provider: StandIn, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The second one for as long as the provider takes; otherwise it goes as well.
    monkeypatch.setattr(turns, "WAIT", 30)
    with scene(provider, tmp_path, mode) as there, ThreadPoolExecutor(10) as pool:
        before, cookies = there.token(), there.browser.jar
        there.clock.ahead = HOUR + 1
        with refresh_in_flight(there):
            pages = [pool.submit(_copy(there, cookies).fetch, there.site.url + "/page") for _ in range(10)]
            refused, waiting = wait_for_all_but_one(pages)
            assert {(page.status, page.header("Retry-After")) for page in refused} == {(503, "2")}
            # They were told so by now, whereas one is still there.
            assert not waiting.done()
            for line in there.audit("refused"):
                assert "code=refresh_under_way" in line
        page = json.loads(waiting.result().body)
        assert page["environ"]["HTTP_X_ACCESS_TOKEN"] not in (before, None)
        assert there.refreshes == 1


def wait_for_all_but_one(pages: list[Any]) -> tuple[list[Any], Any]:
    """What the others brought, and the one that takes longer."""
    ready = [page.result() for page in islice(as_completed(pages), len(pages) - 1)]
    [waiting] = [page for page in pages if not page.done()]
    return ready, waiting


@pytest.mark.requirement("R-refresh")
@pytest.mark.parametrize("mode", MODES)
def test_where_no_application_is_handed_the_access_token_they_go_on_without_it(
    provider: StandIn, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAIT", 0)
    with scene(provider, tmp_path, mode, environ={"HTTP_X_NAME": "name"}) as there:
        before, old = there.see() or {}, _copy(there, there.browser.jar)
        there.clock.ahead = HOUR + 1
        with refresh_in_flight(there):
            seen = there.see(old)
            assert seen is not None and seen["HTTP_X_NAME"] == before["HTTP_X_NAME"]
            others = there.site.middleware._app

            def application(environ: dict[str, Any], start_response: Any) -> Any:
                asked = asks_for_the_token if environ["PATH_INFO"] == "/api" else others
                return asked(environ, start_response)

            there.site.middleware._app = application
            assert old.fetch(there.site.url + "/api").body == b"RefreshUnderWayError"
        assert there.refreshes == 1


def asks_for_the_token(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """An application that needs the access token of who is signed in."""
    answer = b""
    try:
        authorized_session(environ)
    except UnavailableError as error:
        answer = type(error).__name__.encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]


@pytest.mark.requirement("3l.5")
@pytest.mark.parametrize("mode", MODES)
def test_a_logout_beats_a_refresh_in_flight(provider: StandIn, tmp_path: Path, mode: str) -> None:
    with scene(provider, tmp_path, mode) as there:
        there.clock.ahead = HOUR - 50
        leaving = _copy(there, there.browser.jar)
        old = _copy(there, there.browser.jar)

        def while_signing_out(members: Any) -> Any:
            del provider.answers["token"]
            # The old token cannot be taken back at that moment; the new one can.
            provider.answers["revocation"] = Answer(b"", 503)
            page = leaving.navigate(f"{ORIGIN}/auth/oauth2/logout/", initiator=ORIGIN, follow=False)
            assert page.status == 303
            del provider.answers["revocation"]
            return members

        provider.answers["token"] = while_signing_out
        assert there.see() is None
        assert there.see(old) is None
        assert there.see() is None
        # What the provider gave out for a session that had ended was taken back there.
        assert [one.form["token_type_hint"] for one in provider.asked("/revoke")] == ["refresh_token"] * 2
        assert all(family.current is None for family in provider._refresh_tokens.values())


@pytest.mark.requirement("3l.2")
def test_a_refresh_that_took_too_long_overwrites_nothing_newer(provider: StandIn, tmp_path: Path) -> None:
    with scene(provider, tmp_path) as there:
        provider.rotates = False
        there.clock.ahead = HOUR - 50
        answers = iter(["slow", "fast"])

        def answer(members: Any) -> Any:
            which = next(answers)
            if which == "slow":
                # The lease of this one runs out under the eyes of another worker, which refreshes.
                there.another_worker()
                there.see(_copy(there, there.browser.jar))
                there.clock.ahead += lease.LEASE + 1
                there.see(_copy(there, there.browser.jar))
            provider._access_tokens.add(which)
            return {**members, "access_token": which, "id_token": None}

        provider.answers["token"] = answer
        provider.refreshes_id_token = False
        assert there.token() == "fast"
        there.sessions._backend._cache._entries.clear()  # type: ignore[attr-defined]
        assert there.token() == "fast"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("setting", ["end", "keep"])
def test_a_refused_refresh_token_ends_the_session_or_keeps_it(
    provider: StandIn, tmp_path: Path, mode: str, setting: str
) -> None:
    with scene(provider, tmp_path, mode, refresh_failure=setting) as there:
        provider.answers["token"] = Answer(b'{"error": "invalid_grant"}', 400)
        there.clock.ahead = HOUR - 50
        for _ in range(3):
            assert (there.see() is not None) == (setting == "keep")
        assert there.refreshes == 1
        [line] = there.audit("refresh_refused")
        assert "code=invalid_grant" in line


@pytest.mark.requirement("X4")
@pytest.mark.parametrize("userinfo", ["user-1", "somebody-else"])
@pytest.mark.parametrize("mode", MODES)
def test_a_refreshed_id_token_about_somebody_else_ends_the_session(
    provider: StandIn, tmp_path: Path, mode: str, userinfo: str
) -> None:
    with scene(provider, tmp_path, mode, refresh_failure="keep") as there:
        assert there.see() is not None
        provider.refreshed_claims["sub"] = "somebody-else"
        provider.userinfo["sub"] = userinfo
        there.clock.ahead = HOUR - 50
        assert there.see() is None
        assert there.see() is None
        [line] = there.audit("refresh_refused")
        assert "code=subject_changed" in line


@pytest.mark.requirement("X3", "N2.6.20")
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "other"},
        {"exp": 1},
        {"iat": None},
        {"azp": "other"},
        {"nonce": "of another sign-in"},
    ],
)
def test_a_refreshed_id_token_proves_what_the_first_one_did(
    provider: StandIn, tmp_path: Path, claims: dict[str, Any]
) -> None:
    with scene(provider, tmp_path) as there:
        provider.refreshed_claims.update(claims)
        there.clock.ahead = HOUR - 50
        assert there.see() is None
        assert there.audit("refresh_refused")


@pytest.mark.parametrize("mode", MODES)
def test_a_provider_that_is_down_keeps_nobody_out_and_is_asked_again_later(
    provider: StandIn, tmp_path: Path, mode: str
) -> None:
    with scene(provider, tmp_path, mode) as there:
        provider.rotates = False
        provider.answers["token"] = Answer(b"", 503)
        there.clock.ahead = HOUR - 50
        before = there.see()
        assert before is not None
        assert there.see() == before
        assert there.refreshes == 1
        assert there.audit("refresh_postponed")
        del provider.answers["token"]
        there.clock.ahead += token_refresh.RETRY + 1
        assert there.token() not in (before["HTTP_X_ACCESS_TOKEN"], None)
        assert there.refreshes == 2


def watch(there: Scene) -> WatchedStore:
    """A look at every call to the store from now on."""
    registry = there.sessions.registry
    assert registry is not None
    registry.store = watched = WatchedStore(registry.store)
    return watched


def test_who_does_not_refresh_asks_the_store_no_more_often_for_that(
    provider: StandIn, tmp_path: Path
) -> None:
    with scene(provider, tmp_path, revocation_sync="60s") as there:
        old = _copy(there, there.browser.jar)
        # Read shortly before the refresh is due, so that nothing else is a reason to ask the store.
        there.clock.ahead = HOUR - 70
        first, watched = there.token(old), watch(there)
        there.clock.ahead = HOUR - 50
        with refresh_in_flight(there):
            assert watched.taken() == ["replace"]
            for _ in range(2):
                assert there.token(old) == first is not None
                # Nor does one that has not seen who refreshes.
                there.another_worker()
            assert watched.taken() == []
        assert watched.taken() == ["replace"]
        for _ in range(2):
            assert there.token(old) not in (first, None)
            there.another_worker()
        assert watched.taken() == []


@pytest.mark.parametrize(("seconds", "failures"), [(60, 3), (0, 1)], ids=["by this request", "by the next"])
def test_new_tokens_that_the_store_does_not_take_are_written_down_later(
    provider: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, failures: int
) -> None:
    monkeypatch.setattr(refresh, "WRITE_TIMEOUT", seconds)
    monkeypatch.setattr(refresh, "POLL", 0.01)
    with scene(provider, tmp_path) as there:
        watched, left = watch(there), [StoreUnavailableError("the store is away")] * failures

        def fail() -> None:
            if left:
                raise left.pop()

        def answer(members: Any) -> Any:
            watched.before["replace"] = fail
            return members

        before = there.token()
        provider.answers["token"] = answer
        there.clock.ahead = HOUR - 50
        assert (there.see() is not None) == (seconds > 0)
        assert left == []
        assert there.token() in provider._access_tokens - {before}
        assert there.refreshes == 1
        # And on, with the refresh token that came with it.
        there.clock.ahead += HOUR
        assert there.see() is not None
        assert there.refreshes == 2
        assert there.audit("refresh_refused") == []


@pytest.mark.parametrize("mode", MODES)
def test_what_the_provider_says_of_the_person_is_read_again(
    provider: StandIn, tmp_path: Path, mode: str
) -> None:
    with scene(provider, tmp_path, mode) as there:
        provider.userinfo["name"] = "Jane Roe"
        there.clock.ahead = HOUR - 50
        seen = there.see()
        assert seen is not None and seen["HTTP_X_NAME"] == "Jane Roe"
        assert seen["REMOTE_USER"] == "jane"


def test_who_may_no_longer_enter_is_out_with_the_refresh(provider: StandIn, tmp_path: Path) -> None:
    provider.userinfo["email_verified"] = True
    with scene(provider, tmp_path, allow="email_domain:example.com") as there:
        provider.userinfo["email"] = "jane@elsewhere.example"
        there.clock.ahead = HOUR - 50
        assert there.see() is None
        assert "code=not_allowed" in there.audit("access_withdrawn")[0]


@pytest.mark.parametrize(
    ("says", "stays"),
    [(LEFT_OUT, True), (True, True), (False, False), ("true", False)],
    ids=["nothing", "yes", "no", "text"],
)
def test_a_username_that_is_an_address_stays_while_nothing_takes_its_proof_back(
    provider: StandIn, tmp_path: Path, says: object, stays: object
) -> None:
    provider.claims = {"email": "jane@example.com", "email_verified": True}
    provider.refreshes_id_token = False
    if says is not LEFT_OUT:
        provider.userinfo["email_verified"] = says
    by_address = {"username": "email", "email": "email", "name": "name"}
    with scene(provider, tmp_path, attribute_map=by_address) as there:
        assert there.see() is not None
        there.clock.ahead = HOUR
        assert (there.see() is not None) is stays
        assert there.refreshes == 1


@pytest.mark.requirement("R-kept-claims")
@pytest.mark.parametrize("mode", MODES)
def test_a_group_that_userinfo_gives_no_more_is_lost_and_one_of_the_id_token_stays(
    provider: StandIn, tmp_path: Path, mode: str
) -> None:
    provider.claims = {"department": "X", "acr": "gold", "amr": ["otp"]}
    provider.userinfo["groups"] = ["staff"]
    provider.refreshes_id_token = False
    handed_on = {
        "HTTP_X_GROUPS": "claims.groups",
        "HTTP_X_DEPARTMENT": "claims.department",
        "HTTP_X_AMR": "claims.amr",
        "HTTP_X_ACR": "acr",
    }
    with scene(provider, tmp_path, mode, environ=handed_on) as there:
        seen = there.see()
        assert seen is not None
        assert seen["HTTP_X_GROUPS"] == "staff"
        del provider.userinfo["groups"]
        # How somebody signed in is not for userinfo to say.
        provider.userinfo |= {"acr": "platinum", "amr": ["face"]}
        for hours in (1, 2):
            there.clock.ahead = hours * HOUR
            seen = there.see()
            assert seen is not None
            assert there.refreshes == hours
            assert "HTTP_X_GROUPS" not in seen
            assert (seen["HTTP_X_DEPARTMENT"], seen["HTTP_X_AMR"], seen["HTTP_X_ACR"]) == ("X", "otp", "gold")
        assert there.audit("claims_kept") == []


@pytest.mark.requirement("R-kept-claims")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", ["groups", "realm_access.roles", "entries[*].name"])
def test_mapped_groups_of_the_id_token_stay_where_a_refresh_brings_none(
    provider: StandIn, tmp_path: Path, mode: str, path: str
) -> None:
    provider.claims = {
        "groups": ["a,b", "staff"],
        "realm_access": {"roles": ["a,b", "staff"]},
        "entries": [{"name": "a,b"}, {"name": "staff"}],
    }
    provider.refreshes_id_token = False
    mapped = {"username": "preferred_username", "groups": path}
    keys = {"attribute_map": mapped, "allow": "group:staff", "environ": {"HTTP_X_GROUPS": "groups"}}
    if mode != "cookie":
        keys["group_sync"] = "always"
    if mode == "store":
        keys["directory"] = f"sqlite:///{tmp_path}/site.db"
    with scene(provider, tmp_path, mode, **keys) as there:
        for hours in (0, 1, 2):
            there.clock.ahead = hours * HOUR
            seen = there.see()
            assert seen is not None
            assert there.refreshes == hours
            assert seen["HTTP_X_GROUPS"] == "a%2Cb,staff"
            # The identity has them, and the claim they came from is not kept beside it.
            claims = there.site.app.seen[-1]["Identity"].claims
            assert path.startswith("entries") or path.partition(".")[0] not in claims


@pytest.mark.requirement("R-kept-claims")
def test_claims_by_which_allow_decides_and_that_nobody_says_anew_are_told_of_once(
    provider: StandIn, tmp_path: Path
) -> None:
    provider.claims = {"department": "X"}
    provider.refreshes_id_token = False
    allow = "claim:department=X email:jane@example.com"
    with scene(provider, tmp_path, allow=allow) as there:
        for hours in (1, 2):
            there.clock.ahead = hours * HOUR
            assert there.see() is not None
        (line,) = there.audit("claims_kept")
        assert "allow reads department, which stay what they were" in line
        assert "refresh_needs_id_token = true" in line


@pytest.mark.requirement("R-kept-claims")
@pytest.mark.parametrize("mode", MODES)
def test_a_refresh_without_an_id_token_ends_the_session_where_a_setting_says_so(
    provider: StandIn, tmp_path: Path, mode: str
) -> None:
    with scene(provider, tmp_path, mode, refresh_needs_id_token="true") as there:
        there.clock.ahead = HOUR
        assert there.see() is not None
        provider.refreshes_id_token = False
        there.clock.ahead = 2 * HOUR
        assert there.see() is None
        assert "code=refresh_without_id_token" in there.audit("refresh_refused")[0]


@pytest.mark.requirement("R-verified")
@pytest.mark.parametrize(
    "proof", [{"email": "eve@evil.example", "email_verified": True}, {"email_verified": True}]
)
def test_a_refresh_proves_no_address_by_what_is_said_of_another(
    provider: StandIn, tmp_path: Path, proof: dict[str, Any]
) -> None:
    provider.claims = {"email": "jane@example.com", "email_verified": True}
    by_address = {"username": "email", "email": "email", "name": "name"}
    with scene(provider, tmp_path, attribute_map=by_address) as there:
        assert there.see() is not None
        provider.refreshed_claims = {"email": "ceo@example.com", "email_verified": LEFT_OUT}
        del provider.userinfo["email"]
        provider.userinfo |= proof
        there.clock.ahead = HOUR
        assert there.see() is None
        assert "code=email_not_verified" in there.audit("access_withdrawn")[0]


def test_a_directory_that_is_away_costs_no_tokens(provider: StandIn, tmp_path: Path) -> None:
    with scene(provider, tmp_path, directory=f"sqlite:///{tmp_path}/users.db") as there:
        directory = there.site.middleware._directory
        assert directory is not None

        def away(*_: Any, **__: Any) -> Any:
            raise StoreUnavailableError("the directory is away")

        found, directory.find = directory.find, away  # type: ignore[method-assign]
        there.clock.ahead = HOUR - 50
        seen = there.token()
        directory.find = found  # type: ignore[method-assign]
        assert seen in provider._access_tokens
        assert there.audit("refresh_without_directory")
        there.clock.ahead += HOUR
        assert there.see() is not None
        assert there.refreshes == 2


@pytest.mark.requirement("N2.5.11")
def test_in_cookies_a_worker_that_comes_second_spends_no_token_twice(
    provider: StandIn, tmp_path: Path
) -> None:
    with scene(provider, tmp_path, "cookie and directory") as there:
        there.clock.ahead = HOUR - 50
        old = _copy(there, there.browser.jar)
        before = there.token(_copy(there, there.browser.jar))
        assert there.refreshes == 1
        # Another worker has no memory of what came of it.
        there.another_worker()
        assert there.token(old) not in (before, None)
        assert there.refreshes == 1
        # The response with the new tokens never reached that browser: once they should be there, it is over.
        there.clock.ahead += 60 + refresh.GRACE
        assert there.see(old) is None
        assert there.refreshes == 1
        assert "code=refresh_lost" in there.audit("refresh_refused")[0]


def test_in_cookies_who_comes_back_with_several_requests_to_several_workers_stays_signed_in(
    provider: StandIn, tmp_path: Path
) -> None:
    with scene(provider, tmp_path, "cookie and directory") as there:
        # The access token ended long ago.
        there.clock.ahead = 3 * HOUR
        old = _copy(there, there.browser.jar)
        assert there.see() is not None
        there.another_worker()
        # What came of it cannot be in this request, which left with the other.
        assert there.see(old) is not None
        assert there.refreshes == 1
        assert there.audit("refresh_refused") == []
        assert there.see() is not None


def test_two_sessions_with_one_refresh_token_stay_two(provider: StandIn, tmp_path: Path) -> None:
    # Some providers hand out the same one at each sign-in of a person.
    with scene(provider, tmp_path, "cookie", refresh_failure="keep") as there:
        provider.answers["token"] = lambda good: good | {"refresh_token": "the-same-each-time"}
        both = []
        for _ in range(2):
            browser = there.site.browser()
            browser.navigate(there.site.url + "/")
            current = there.sessions.resolve("; ".join(f"{one.name}={one.value}" for one in browser.jar))
            assert current is not None and current.session is not None
            due = RefreshSchedule(int(there.clock.wall()) // HOUR * HOUR, int(there.clock.wall()))
            session = replace(current.session, refresh_schedule=due)
            both.append(replace(current, session=session, cached=session))
        site = there.site.middleware._site()
        for current in both:
            seen = site.refresh(current).session
            assert seen is not None and current.session is not None
            assert seen.id == current.session.id


def test_memory_of_refreshes_is_bounded(provider: StandIn, tmp_path: Path) -> None:
    with scene(provider, tmp_path, "cookie") as there:
        recent = there.site.middleware._site()._refresher._recent
        recent.max_entries = 3
        for _ in range(5):
            there.clock.ahead += HOUR
            assert there.see() is not None
        assert len(recent) == 3


@pytest.mark.requirement("N2.8.1")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "fault", [None, Answer(b"", 503), Answer(b'{"error": "unsupported_token_type"}', 400)]
)
def test_signing_out_takes_the_tokens_back_as_far_as_that_can_be_done(
    provider: StandIn, tmp_path: Path, mode: str, fault: Answer | None
) -> None:
    with scene(provider, tmp_path, mode) as there:
        if fault is not None:
            provider.answers["revocation"] = fault
        page = there.browser.navigate(f"{ORIGIN}/auth/oauth2/logout/", initiator=ORIGIN, follow=False)
        assert page.status == 303
        [asked] = provider.asked("/revoke")
        assert asked.form["token_type_hint"] == "refresh_token"
        assert there.see() is None


@pytest.mark.requirement("N2.7.12")
@pytest.mark.parametrize("mode", ["cookie and directory", "store"])
def test_the_refresh_token_of_a_session_that_the_provider_ended_serves_nobody(
    provider: StandIn, tmp_path: Path, mode: str
) -> None:
    provider.sid = "there-1"
    with scene(provider, tmp_path, mode) as there:
        old = _copy(there, there.browser.jar)
        registry = there.sessions.registry
        assert registry is not None
        assert len(registry.end_by_sid(provider.issuer, "there-1", include_pending=True)) == 1
        there.clock.ahead = HOUR - 50
        assert there.see() is None
        assert there.see(old) is None
        assert there.refreshes == 0
        # What the store held of it is gone, and the browser is told to drop what it holds.
        assert list(registry.all()) == []
        assert there.site.session_cookie not in {cookie.name for cookie in there.browser.jar}


@pytest.mark.breaks_us
@pytest.mark.parametrize("mode", MODES)
def test_what_nobody_foresaw_keeps_nobody_out(
    provider: StandIn, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(provider, tmp_path, mode) as there:

        def broken(*_: Any, **__: Any) -> Any:
            raise ZeroDivisionError

        there.clock.ahead = HOUR - 50
        client = there.site.middleware._site()._clients.get("default")
        with monkeypatch.context() as patch:
            patch.setattr(client, "refresh", broken)
            assert there.see() is not None
        assert "code=unexpected" in there.audit("refresh_failed")[0]
        there.clock.ahead += lease.LEASE + 1
        assert there.see() is not None


def test_what_has_grown_out_of_a_cookie_is_cut_down_and_what_cannot_be_ends(
    provider: StandIn, tmp_path: Path
) -> None:
    with scene(provider, tmp_path, "cookie", session_max_bytes=3000) as there:
        provider.answers["token"] = lambda members: {**members, "access_token": "x" * 4000}
        provider.refreshes_id_token = False
        provider._access_tokens.add("x" * 4000)
        there.clock.ahead = HOUR - 50
        seen = there.see()
        assert seen is not None and "HTTP_X_ACCESS_TOKEN" not in seen
        assert there.audit("session_reduced")
        provider.answers["token"] = lambda members: {**members, "refresh_token": "y" * 4000}
        there.clock.ahead += HOUR
        assert there.see() is None
        assert "code=session_too_big" in there.audit("access_withdrawn")[0]


@pytest.mark.parametrize(
    ("caching", "closed"), [("public, max-age=3600", "private, max-age=3600"), ("s-maxage=60", "private")]
)
def test_new_tokens_come_home_with_a_response_that_everybody_might_keep(
    provider: StandIn, tmp_path: Path, caching: str, closed: str
) -> None:
    with scene(provider, tmp_path, "cookie", shared_caches="respect") as there:
        app = there.site.middleware._app

        def shared(environ: Any, start_response: Any) -> Any:
            def start(status: str, headers: Any, *rest: Any) -> Any:
                more = [("Cache-Control", caching), ("CDN-Cache-Control", "max-age=9")]
                return start_response(status, [*headers, *more], *rest)

            return app(environ, start)

        there.site.middleware._app = shared
        page = there.browser.fetch(there.site.url + "/style.css")
        assert page.all_headers("Cache-Control") == [caching]
        there.clock.ahead = HOUR - 50
        page = there.browser.fetch(there.site.url + "/style.css")
        assert page.all_headers("Set-Cookie")
        assert page.all_headers("Cache-Control") == [closed]
        assert page.all_headers("CDN-Cache-Control") == []
        # Another worker, which remembers nothing, is brought what came of it.
        there.another_worker()
        assert there.see() is not None
        assert there.refreshes == 1
        page = there.browser.fetch(there.site.url + "/style.css")
        assert page.all_headers("Cache-Control") == [caching]
