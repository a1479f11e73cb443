"""The WSGI callable with sessions that need something: a refresh, a new cookie, or to be forgotten."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw import middleware as module
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.identity.model import Identity
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.model import RefreshSchedule
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import JANE, guard, sign_in
from tests.support.hosts.token_site import TokenSite, bearer
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for

COOKIE = "__Host-oauth2_mw"
PUBLIC = ("Cache-Control", "public")


class App:
    """Keeps the last environ, and answers with the headers that a test has set."""

    def __init__(self, *headers: tuple[str, str]) -> None:
        self.headers = headers
        self.environ: dict[str, Any] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.environ = environ
        start_response("200 OK", [("Content-Type", "text/plain"), *self.headers])
        return [b""]


def get(middleware: OAuth2Middleware, cookie: str | None = None, **more: Any) -> WsgiResponse:
    return call(middleware, environ_for("/", HTTP_COOKIE=cookie, **more))


class Refreshing:
    """In the place of the site: a refresh gives what a test has said."""

    def __init__(self, middleware: OAuth2Middleware, answer: Any) -> None:
        self.asked: list[RequestSession] = []
        self.answer = answer
        self._site = middleware._site()
        middleware._built = (os.getpid(), self)  # type: ignore[assignment]

    def refresh(self, current: RequestSession) -> RequestSession:
        self.asked.append(current)
        return self.answer(current)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._site, name)


def due(middleware: OAuth2Middleware, identity: Identity = JANE) -> str:
    """The cookie of a session whose tokens are due for a refresh."""
    sessions = middleware._sessions
    cookie = sign_in(middleware, identity, refresh_token="refresh")
    current = sessions.resolve(cookie)
    assert current is not None
    assert current.session is not None
    session = replace(current.session, refresh_schedule=RefreshSchedule(1, 2))
    updated = sessions.replace(current, session)
    assert updated is not None
    sealed = sessions._backend.renew(updated.cached)
    assert sealed is not None
    return "; ".join(line.partition(";")[0] for line in sessions.cookies.set_session(sealed, current.cookies))


# What the application is given


def test_the_application_is_given_the_session_and_its_urls() -> None:
    app = App()
    middleware = guard(app)
    get(middleware, sign_in(middleware))
    assert app.environ["oauth2_mw.session"].identity is app.environ["oauth2_mw.identity"]
    assert app.environ["oauth2_mw.urls"].logout() == "https://app.example/auth/oauth2/logout/"


def test_where_a_sign_in_is_optional_nobody_is_given_the_urls_alone() -> None:
    app = App()
    get(guard(app, protect="optional"))
    assert app.environ["oauth2_mw.urls"].logout() == "https://app.example/auth/oauth2/logout/"
    assert "oauth2_mw.session" not in app.environ


def test_cookies_that_are_not_ours_are_nobodys() -> None:
    app = App()
    assert get(guard(app), "a=1").status == 401
    assert get(guard(app, protect="optional"), "a=1").status == 200
    assert app.environ["HTTP_COOKIE"] == "a=1"


# A cookie that stands for no session


@pytest.mark.parametrize(("headers", "expired"), [((PUBLIC,), False), ((), True)])
def test_a_cookie_that_stands_for_nothing_is_expired_unless_everybody_would_keep_the_response(
    headers: tuple[tuple[str, str], ...], *, expired: bool
) -> None:
    answer = get(guard(App(*headers), protect="optional"), f"{COOKIE}=rubbish")
    assert (COOKIE in answer.cookies) is expired
    if expired:
        assert "Max-Age=0" in answer.cookies[COOKIE]
    assert answer.header("Cache-Control") == ("private" if expired else "public")
    assert answer.header("Vary") == "Cookie"


# A cookie that has fallen behind


def behind(*headers: tuple[str, str], **keys: Any) -> WsgiResponse:
    """The response to a request whose session's cookie is to be renewed."""
    clock = ShiftedClocks()
    middleware = guard(App(*headers), clocks=clock.clocks, session_idle="1h", **keys)
    cookie = sign_in(middleware)
    clock.ahead += 8 * 60
    return get(middleware, cookie)


def test_a_renewal_waits_for_a_response_that_nobody_else_may_keep() -> None:
    answer = behind(PUBLIC, shared_caches="respect")
    assert COOKIE not in answer.cookies
    assert answer.header("Cache-Control") == "public"
    answer = behind(shared_caches="respect")
    assert COOKIE in answer.cookies
    assert answer.header("Cache-Control") == "private"


def test_a_renewal_closes_a_response_where_shared_caches_are_refused() -> None:
    answer = behind(PUBLIC)
    assert COOKIE in answer.cookies
    assert answer.header("Cache-Control") == "private"


def test_a_renewal_leaves_what_the_application_says_to_its_own_caches() -> None:
    own = ("CDN-Cache-Control", "no-store")
    answer = behind(own, shared_caches="respect")
    assert COOKIE in answer.cookies
    assert answer.header("CDN-Cache-Control") == "no-store"


# Tokens that are refreshed


def refreshed(current: RequestSession) -> RequestSession:
    assert current.session is not None
    session = replace(current.session, tokens={"refresh_token": "new"}, refresh_schedule=None)
    environ = {**current.environ, "oauth2_mw.session": session}
    return replace(current, session=session, environ=environ, needs_new_cookie=True)


def test_tokens_that_are_due_are_refreshed_before_the_application_is_asked() -> None:
    app = App()
    middleware = guard(app, keep_tokens="refresh")
    site = Refreshing(middleware, refreshed)
    assert get(middleware, due(middleware)).status == 200
    assert len(site.asked) == 1
    assert app.environ["oauth2_mw.session"].tokens == {"refresh_token": "new"}
    get(middleware, sign_in(middleware))
    assert len(site.asked) == 1


def test_a_session_that_ended_with_the_refresh_lets_nobody_in() -> None:
    app = App()
    middleware = guard(app, keep_tokens="refresh")
    Refreshing(middleware, lambda current: current.without_session())
    answer = get(middleware, due(middleware))
    assert answer.status == 401
    assert app.environ == {}
    assert "Max-Age=0" in answer.cookies[COOKIE]


def test_new_tokens_come_home_with_a_response_that_everybody_might_have_kept() -> None:
    middleware = guard(App(PUBLIC), keep_tokens="refresh", shared_caches="respect")
    Refreshing(middleware, refreshed)
    answer = get(middleware, due(middleware))
    assert COOKIE in answer.cookies
    assert answer.header("Cache-Control") == "private"


@pytest.mark.parametrize(
    "keys", [{"PATH_INFO": "/admin/"}, {"HTTP_UPGRADE": "websocket", "HTTP_ORIGIN": "https://evil.example"}]
)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_new_tokens_come_home_with_a_refusal(keys: dict[str, str], accept: str) -> None:
    app = App()
    middleware = guard(app, keep_tokens="refresh", access={"rules": "required /admin/ if group:admins"})
    Refreshing(middleware, refreshed)
    answer = get(middleware, due(middleware), HTTP_ACCEPT=accept, **keys)
    assert answer.status == 403
    assert app.environ == {}
    assert COOKIE in answer.cookies
    assert answer.header("Cache-Control") == "no-store"


def test_a_request_with_a_personal_token_refreshes_no_session(tmp_path: Path) -> None:
    # It would get new tokens that no response brings home.
    site = TokenSite(tmp_path, keep_tokens="refresh")
    refreshing = Refreshing(site.middleware, refreshed)
    cookie = due(site.middleware, site.jane)
    assert site.get("/dav/x", bearer(site.make()), HTTP_COOKIE=cookie).status == 200
    assert refreshing.asked == []


def test_without_a_cookie_to_bring_home_the_response_stays_as_open_as_it_was() -> None:
    class LogsOut(App):
        def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            middleware._sessions.end(environ["oauth2_mw.session"])
            return super().__call__(environ, start_response)

    middleware = guard(LogsOut(PUBLIC), keep_tokens="refresh", shared_caches="respect")
    Refreshing(middleware, refreshed)
    answer = get(middleware, due(middleware))
    assert COOKIE not in answer.cookies
    assert answer.header("Cache-Control") == "public"


# Where it is mounted


@pytest.mark.parametrize("script", ["/a", "/cor", "/core/", "/z"])
def test_a_script_name_that_is_another_is_never_ours(script: str) -> None:
    app = App()
    middleware = guard(app, public_url="https://app.example/core", public_paths="/open")
    for path in ("/open", "/auth/oauth2/health/"):
        assert call(middleware, environ_for(path, SCRIPT_NAME=script)).status == 401
    assert app.environ == {}
    assert call(middleware, environ_for("/open", SCRIPT_NAME="/core")).status == 200


def test_a_callback_outside_the_prefix_is_ours_where_the_application_is_mounted() -> None:
    app = App()
    middleware = guard(
        app, public_url="https://app.example/core", callback_path="/old/done", protect="optional"
    )
    assert call(middleware, environ_for("/old/done", SCRIPT_NAME="/core")).status == 400
    assert call(middleware, environ_for("/old/done", SCRIPT_NAME="/other")).status == 401
    assert app.environ == {}
    for path in ("/old/done/", "/old"):
        assert call(middleware, environ_for(path, SCRIPT_NAME="/core")).status == 200
        assert app.environ["PATH_INFO"] == path


# How it starts


@pytest.mark.parametrize("other", [-1, 1])
def test_a_site_that_another_process_built_is_not_used(other: int) -> None:
    middleware = guard(App())
    first = middleware._site()
    assert middleware._site() is first
    middleware._built = (os.getpid() + other, first)
    second = middleware._site()
    assert second is not first
    assert middleware._site() is second


@pytest.mark.parametrize("preload", [True, False])
def test_what_the_first_sign_in_needs_is_imported_at_the_start_if_that_is_wished_for(
    monkeypatch: pytest.MonkeyPatch, *, preload: bool
) -> None:
    imported: list[str] = []
    monkeypatch.setattr(module, "import_module", imported.append)
    guard(App(), preload=preload)
    assert ("oauth2_mw.web.site" in imported) is preload
    assert ("jwt" in imported) is preload


def test_libraries_that_log_secrets_are_kept_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []
    monkeypatch.setattr(module, "quiet_libraries", lambda: calls.append(None))
    guard(App())
    assert calls == [None]


def test_a_server_that_names_no_method_means_get() -> None:
    assert get(guard(App()), REQUEST_METHOD=None).status == 401


# Other applications of the host


@pytest.mark.requirement("R-siblings")
@pytest.mark.parametrize("path", ["/", "/open", "/optional"])
@pytest.mark.parametrize("is_signed_in", [True, False])
def test_the_application_never_sees_a_session_of_its_neighbour(path: str, *, is_signed_in: bool) -> None:
    app = App()
    rules = "public /open\noptional /optional\nrequired /"
    middleware = guard(app, cookie_name="wiki", access={"rules": rules})
    neighbours = sign_in(guard(App(), public_url="https://app.example/other"))
    own = sign_in(middleware) if is_signed_in else ""
    header = "; ".join(filter(None, ("theme=dark", neighbours, own)))
    answer = call(middleware, environ_for(path, HTTP_COOKIE=header))
    if path == "/" and not is_signed_in:
        assert answer.status == 401
    else:
        assert app.environ["HTTP_COOKIE"] == "theme=dark"


def test_a_sibling_stays_where_no_cookie_of_ours_is_hidden() -> None:
    app = App()
    middleware = guard(app, cookie_name="wiki", hide_cookies="false")
    neighbours = sign_in(guard(App(), public_url="https://app.example/other"))
    call(middleware, environ_for("/", HTTP_COOKIE=f"{neighbours}; {sign_in(middleware)}"))
    assert neighbours in app.environ["HTTP_COOKIE"]


# A program that keeps the cookie that somebody copied into it

IDLE = {"session_idle": "1h", "session_lifetime": "8h"}


def keeping(tmp_path: Path, clock: ShiftedClocks, key: str) -> list[OAuth2Middleware]:
    """Two workers with a directory or a store."""
    url = f"sqlite:///{tmp_path}/it.db"
    return [guard(App(), clocks=clock.clocks, **IDLE, **{key: url}) for _ in range(2)]


@pytest.mark.requirement("R-copied-cookie")
@pytest.mark.parametrize("key", ["directory", "session"])
def test_a_session_in_use_lives_on_though_its_cookie_is_never_renewed(tmp_path: Path, key: str) -> None:
    clock = ShiftedClocks()
    workers = keeping(tmp_path, clock, key)
    cookie = sign_in(workers[0])
    for step in range(10):
        clock.ahead += 40 * 60
        assert get(workers[step % 2], cookie).status == 200
    clock.ahead += 90 * 60
    assert [get(worker, cookie).status for worker in workers] == [401, 401]


@pytest.mark.requirement("R-copied-cookie")
@pytest.mark.parametrize("key", ["directory", "session"])
def test_a_session_ends_with_its_lifetime_however_it_is_used(tmp_path: Path, key: str) -> None:
    clock = ShiftedClocks()
    workers = keeping(tmp_path, clock, key)
    cookie = sign_in(workers[0])
    for _ in range(11):
        clock.ahead += 40 * 60
        assert get(workers[0], cookie).status == 200
    clock.ahead += 41 * 60
    assert [get(worker, cookie).status for worker in workers] == [401, 401]


@pytest.mark.requirement("R-copied-cookie")
def test_a_session_that_nobody_has_used_is_not_revived(tmp_path: Path) -> None:
    clock = ShiftedClocks()
    workers = keeping(tmp_path, clock, "directory")
    cookie = sign_in(workers[0])
    clock.ahead += 61 * 60
    assert [get(worker, cookie).status for worker in workers] == [401, 401]


@pytest.mark.requirement("R-copied-cookie")
def test_a_session_that_was_ended_is_not_revived_by_its_use(tmp_path: Path) -> None:
    clock = ShiftedClocks()
    workers = keeping(tmp_path, clock, "directory")
    cookie = sign_in(workers[0])
    clock.ahead += 40 * 60
    assert get(workers[0], cookie).status == 200
    registry = workers[1]._sessions.registry
    assert registry is not None
    registry.end_user(JANE.id, moment=int(clock.wall()))
    clock.ahead += 40 * 60
    assert [get(worker, cookie).status for worker in workers] == [401, 401]


def test_without_a_directory_or_store_the_cookie_alone_counts() -> None:
    clock = ShiftedClocks()
    middleware = guard(App(), clocks=clock.clocks, **IDLE)
    cookie = sign_in(middleware)
    for status in (200, 401):
        clock.ahead += 40 * 60
        assert get(middleware, cookie).status == status


def test_a_directory_that_is_away_revives_nobody_and_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ShiftedClocks()
    workers = keeping(tmp_path, clock, "directory")
    cookie = sign_in(workers[0])
    clock.ahead += 40 * 60
    assert get(workers[0], cookie).status == 200

    def fail(*_: Any, **__: Any) -> None:
        raise StoreUnavailableError("the database is away")

    registry = workers[0]._sessions.registry
    assert registry is not None
    monkeypatch.setattr(registry, "read", fail)
    clock.ahead += 40 * 60
    assert get(workers[0], cookie).status == 401
