"""``app_cookies``: the application sees its own cookies only in requests of the person for whom it set them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.cookies import CookieError, SimpleCookie
from typing import Any

import pytest
from django.http import parse_cookie as django_cookies
from hypothesis import given
from hypothesis import strategies as st
from webob.cookies import parse_cookie as webob_cookies  # type: ignore[attr-defined]
from werkzeug.http import parse_cookie as werkzeug_cookies

from oauth2_mw.middleware import OAuth2Middleware
from tests.support.browser.jar import Browser
from tests.support.hosts.guarded import JANE, Guarded, guard, guarded, sign_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import ORIGIN

BOB = replace(JANE, id="u2", subject="43", username="bob")
LOGOUT = f"{ORIGIN}/auth/oauth2/logout/"


class App:
    """Sets the cookies that a test says, and keeps what it sees."""

    def __init__(self) -> None:
        self.sets: list[str] = []
        self.cookie: str | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.cookie = environ.get("HTTP_COOKIE")
        start_response("200 OK", [("Set-Cookie", line) for line in self.sets])
        return [b""]


class Shared:
    """One browser whose cookies of the application stay while people sign in and out of the middleware."""

    def __init__(self, listed: str = "session csrftoken", **settings: Any) -> None:
        self.app = App()
        self.middleware: OAuth2Middleware = guard(
            self.app, app_cookies=listed, protect="optional", public_paths="/public/", **settings
        )
        self.jar: dict[str, str] = {}
        self.person = ""

    def sign_in(self, identity: Any) -> None:
        self.person = sign_in(self.middleware, identity)

    def sign_out(self) -> None:
        self.person = ""

    def ask(self, *sets: str, path: str = "/") -> WsgiResponse:
        """One request, in whose answer the application sets cookies."""
        self.app.sets = list(sets)
        header = "; ".join(filter(None, (self.person, *(f"{k}={v}" for k, v in self.jar.items()))))
        response = call(self.middleware, environ_for(path, HTTP_COOKIE=header or None))
        for line in response.all_headers("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if not name.startswith("__Host-oauth2_mw") or "-o-" in name:
                self.jar[name] = value
        return response

    def seen(self) -> str | None:
        return self.app.cookie


@pytest.fixture
def shared() -> Shared:
    return Shared()


@pytest.mark.requirement("R-app-cookies")
def test_the_next_person_does_not_show_the_application_the_cookie_of_the_one_before(shared: Shared) -> None:
    shared.sign_in(JANE)
    shared.ask("session=janes; Path=/; HttpOnly")
    shared.ask()
    assert shared.seen() == "session=janes"
    shared.sign_in(BOB)
    shared.ask()
    assert shared.seen() is None
    shared.sign_out()
    shared.ask()
    assert shared.seen() is None
    shared.sign_in(JANE)
    shared.ask()
    assert shared.seen() == "session=janes"


@pytest.mark.requirement("R-app-cookies")
def test_a_cookie_that_is_set_for_the_next_person_does_not_adopt_another(shared: Shared) -> None:
    shared.sign_in(JANE)
    shared.ask("session=janes", "csrftoken=1")
    shared.sign_in(BOB)
    shared.ask("csrftoken=2")
    shared.ask()
    assert shared.seen() == "csrftoken=2"
    shared.jar["csrftoken"] = "1"
    shared.ask()
    assert shared.seen() is None


@pytest.mark.requirement("R-app-cookies")
@pytest.mark.parametrize("path", ["/", "/public/"])
def test_nobody_is_somebody_else(shared: Shared, path: str) -> None:
    shared.ask("session=anonymous", path=path)
    shared.ask(path=path)
    assert shared.seen() == "session=anonymous"
    shared.sign_in(JANE)
    shared.ask()
    assert shared.seen() is None
    shared.ask("session=janes")
    shared.sign_out()
    shared.ask(path=path)
    assert shared.seen() is None


def test_a_public_path_knows_nobody_whoever_is_signed_in(shared: Shared) -> None:
    shared.sign_in(JANE)
    shared.ask("session=janes")
    shared.ask(path="/public/")
    assert shared.seen() is None
    shared.ask()
    assert shared.seen() == "session=janes"


@pytest.mark.requirement("R-app-cookies")
def test_what_the_application_did_not_set_is_cut(shared: Shared) -> None:
    shared.sign_in(JANE)
    shared.jar = {"session": "planted", "theme": "dark"}
    shared.ask()
    assert shared.seen() == "theme=dark"
    shared.ask("session=janes")
    shared.jar["session"] = "planted"
    shared.ask()
    assert shared.seen() == "theme=dark"


def test_of_two_cookies_of_one_name_the_owners_stays(shared: Shared) -> None:
    shared.sign_in(JANE)
    shared.ask("session=janes")
    shared.person += "; session=planted"
    shared.ask()
    assert shared.seen() == "session=janes"


def test_answers_that_cross_leave_a_value_that_is_known(shared: Shared) -> None:
    shared.sign_in(JANE)
    shared.ask("session=1")
    shared.ask("session=2")
    for value, seen in (("2", "session=2"), ("1", "session=1")):
        shared.jar["session"] = value
        shared.ask()
        assert shared.seen() == seen
    shared.jar["session"] = "2"
    shared.ask("session=3")
    shared.jar["session"] = "1"
    shared.ask()
    assert shared.seen() is None


def test_a_late_answer_to_the_person_before_is_not_shown_to_the_next(shared: Shared) -> None:
    shared.sign_in(BOB)
    shared.ask("session=bobs")
    late = Shared()
    late.middleware = shared.middleware
    late.app = shared.app
    late.sign_in(JANE)
    late.ask("session=janes")
    shared.jar |= late.jar
    shared.ask()
    assert shared.seen() is None


def test_a_deletion_beside_it_does_not_push_out_a_value(shared: Shared) -> None:
    shared.sign_in(JANE)
    shared.ask(
        "session=1", "session=; Path=/old", "session=gone; Max-Age=0; Path=/older", 'session=""; Path=/a'
    )
    shared.jar["session"] = "1"
    shared.ask()
    assert shared.seen() == "session=1"


def test_cookies_of_one_name_on_two_paths_have_an_owner_each() -> None:
    shared = Shared("session;Path=/a session;Path=/b")
    shared.sign_in(JANE)
    shared.ask("session=a; Path=/a")
    for n in range(3):
        shared.ask(f"session=b{n}; Path=/b")
    for value in ("a", "b2", "b1"):
        shared.jar["session"] = value
        shared.ask()
        assert shared.seen() == f"session={value}"


@pytest.mark.requirement("R-app-cookies")
def test_an_owner_cookie_of_another_cookie_or_twice_says_nothing(shared: Shared) -> None:
    shared.sign_in(JANE)
    shared.ask("session=1", "csrftoken=1")
    session, csrf = (shared.middleware._sessions.cookies.owner_name(c) for c in listed(shared))
    jar = dict(shared.jar)
    shared.jar = {"session": "1", session: jar[csrf]}
    shared.ask()
    assert shared.seen() is None
    shared.jar = {"session": "1", session: jar[session]}
    shared.person += f"; {session}={jar[session]}"
    shared.ask()
    assert shared.seen() is None


@pytest.mark.parametrize("payload", [b"", b"[]", b"7", b"{}", b'["u", [], 3]', b"\xff"], ids=repr)
def test_an_owner_cookie_of_another_version_says_nothing(shared: Shared, payload: bytes) -> None:
    shared.sign_in(JANE)
    shared.ask("session=1")
    cookie = listed(shared)[0]
    name = shared.middleware._sessions.cookies.owner_name(cookie)
    shared.jar[name] = shared.middleware._sessions.app_cookies._sealer.seal("app-cookie", name, payload)
    shared.ask()
    assert shared.seen() is None
    shared.ask("session=2")
    shared.ask()
    assert shared.seen() == "session=2"


def test_an_application_that_fails_starts_its_answer_anew() -> None:
    told: list[Any] = []

    def start_response(_status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        told.append((headers, exc_info))

    app_cookies = SHARED.middleware._sessions.app_cookies
    error = (ValueError, ValueError("x"), None)

    def failing(_environ: Any, start: Any) -> Iterable[bytes]:
        start("200 OK", [("Set-Cookie", "session=1"), ("X-Own", "1")])
        start("500 Oops", [("set-cookie", "session=2")], error)
        return []

    app_cookies.around(failing)(environ_for("/"), start_response)
    assert [exc_info for _, exc_info in told] == [(), (error,)]
    for headers, _ in told:
        assert sum(name == "Set-Cookie" and "-o-" in value for name, value in headers) == 1


def listed(shared: Shared) -> Any:
    return shared.middleware._settings.app_cookies


OWNERS = "session session;Path=/a other;Path=/a other;Path=/b"


def owned(*headers: tuple[str, str]) -> list[str]:
    """The listed cookies for which owner cookies are set beside these headers, each with its path."""
    shared = Shared(OWNERS)
    cookies = shared.middleware._sessions.cookies
    names = {cookies.owner_name(each): f"{each.name} {each.path or '-'}" for each in listed(shared)}

    def app(_environ: Any, start: Any) -> Iterable[bytes]:
        start("200 OK", [*headers])
        return []

    sent = call(shared.middleware._sessions.app_cookies.around(app), environ_for("/")).headers
    return [names[value.partition("=")[0]] for name, value in sent if (name, value) not in headers]


@pytest.mark.parametrize(
    ("line", "owner"),
    [
        ("session=1", "session -"),
        ("session=1; Path=/a", "session /a"),
        ("session=1; path=/a", "session /a"),
        ("session=1; Path=/b", "session -"),
        ("session=1; Path=/; Path=/a", "session /a"),
        ("other=1; Path=/b", "other /b"),
        ("other=1; Path=/a", "other /a"),
        ("other=1", "other /a"),
    ],
)
def test_a_cookie_that_is_set_is_the_one_of_its_path_or_without_one(line: str, owner: str) -> None:
    assert owned(("Set-Cookie", line)) == [owner]


@pytest.mark.parametrize(
    ("line", "deletes"),
    [
        ("session=", True),
        ('session=""', True),
        ("session=1; Max-Age=0", True),
        ("session=1; max-age=00", True),
        ("session=1; Max-Age=-1", True),
        ("session=1; Max-Age=60; Max-Age=0", True),
        ("session=1; Max-Age=0; Max-Age=60", False),
        ("session=1; Max-Age=60", False),
        ("session=1; Max-Age=10", False),
        ("session=1; Version=0", False),
        ("session=1; Path=/a; Version=0", False),
    ],
)
def test_what_deletes_a_cookie_has_no_owner(line: str, *, deletes: bool) -> None:
    assert (owned(("Set-Cookie", line)) == []) is deletes


def test_whatever_stands_before_it_a_cookie_is_found_and_nothing_else_is_one() -> None:
    lines = [("Set-Cookie", "theme=dark"), ("Set-Cookie", "session="), ("set-cookie", "session=1")]
    assert owned(("X-Cookie", "session=1; Path=/a"), *lines) == ["session -"]


def test_what_follows_a_cookie_that_is_cut_stays(shared: Shared) -> None:
    shared.sign_in(JANE)
    shared.ask("session=janes")
    (owner,) = (each for each in shared.jar.items() if each[0] != "session")
    shared.jar = dict([owner, ("a", '"x session=1"'), ("session", "planted"), ("theme", "dark")])
    shared.ask()
    assert shared.seen() == "theme=dark"


@pytest.mark.parametrize("hide", ["true", "false"])
def test_the_application_sees_no_owner_cookie(hide: str) -> None:
    shared = Shared(hide_cookies=hide)
    shared.sign_in(JANE)
    response = shared.ask("session=1")
    (owner,) = (line for name, line in response.cookies.items() if "-o-" in name)
    assert owner.endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
    shared.ask()
    assert "-o-" not in (shared.seen() or "")


def test_an_application_that_sets_none_answers_as_before(shared: Shared) -> None:
    shared.sign_in(JANE)
    assert shared.ask("theme=dark").all_headers("Set-Cookie") == ["theme=dark"]


def test_an_application_without_the_setting_is_called_itself() -> None:
    app = App()
    assert guard(app)._app is app


# Whatever the header

LAX = [
    " session={}",
    "a=1 session={}",
    "a=1,session={}",
    '"session"={}',
    'a="x session={}"',
    "a=1\x85session={}",
]


@pytest.mark.requirement("R-app-cookies")
@pytest.mark.parametrize(
    "sent", [*LAX, "session ={}", "session\xa0={}", "\x0bsession={}", "session= {}", 'session="{}"']
)
def test_a_cookie_is_found_however_it_is_spelt(shared: Shared, sent: str) -> None:
    shared.sign_in(BOB)
    shared.person += "; " + sent.format("janes")
    shared.ask()
    assert "session" not in (shared.seen() or "")


def readings(header: str) -> Iterator[dict[Any, Any]]:
    """What applications make of a ``Cookie`` header, those that can make anything of it."""
    for read in (django_cookies, werkzeug_cookies, lambda text: dict(webob_cookies(text)), SimpleCookie):
        with suppress(CookieError, UnicodeDecodeError):
            yield dict(read(header))


@pytest.mark.requirement("R-app-cookies")
@given(st.lists(st.sampled_from([*'ab=;, \t"\\\x00\x85$', "session", "Path"]), max_size=14).map("".join))
def test_no_reading_of_any_header_has_a_cookie_that_was_not_set(header: str) -> None:
    call(SHARED.middleware, environ_for("/", HTTP_COOKIE=header))
    for reading in readings(SHARED.seen() or ""):
        assert not {"session", b"session"} & reading.keys()


SHARED = Shared()


# Ending them


def reads_once(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """An application that reads ``REMOTE_USER`` once, and trusts a cookie of its own from then on."""
    cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    user = cookies["session"].value if "session" in cookies else environ.get("REMOTE_USER", "nobody")
    body = f"This is {user}.".encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response("200 OK", [*headers, ("Set-Cookie", f"session={user}; Path=/; HttpOnly")])
    return [body]


@pytest.fixture
def trusting(provider: StandIn) -> Iterator[Guarded]:
    with guarded(issuer=provider.issuer, app_cookies="session") as site:
        site.middleware._app = site.middleware._sessions.app_cookies.around(reads_once)
        yield site


def become_bob(provider: StandIn) -> None:
    provider.claims = {"sub": "user-2"}
    provider.userinfo |= {"sub": "user-2", "preferred_username": "bob"}


def app_cookies_of(browser: Browser) -> list[str]:
    return sorted(cookie.name for cookie in browser.jar if cookie.name == "session" or "-o-" in cookie.name)


@pytest.mark.requirement("R-app-cookies")
def test_after_a_sign_out_nothing_of_them_is_left(trusting: Guarded, provider: StandIn) -> None:
    browser = trusting.browser()
    assert browser.navigate(ORIGIN + "/").text == "This is jane."
    assert len(app_cookies_of(browser)) == 2
    browser.navigate(LOGOUT)
    assert app_cookies_of(browser) == []
    become_bob(provider)
    assert browser.navigate(ORIGIN + "/").text == "This is bob."


@pytest.mark.requirement("R-app-cookies")
def test_they_are_deleted_when_another_person_signs_in(trusting: Guarded, provider: StandIn) -> None:
    browser = trusting.browser()
    browser.navigate(ORIGIN + "/")
    become_bob(provider)
    browser.navigate(f"{ORIGIN}/auth/oauth2/login/", stop_before=lambda url: url == ORIGIN + "/")
    assert app_cookies_of(browser) == []
    assert browser.navigate(ORIGIN + "/").text == "This is bob."


def test_they_stay_when_the_same_person_signs_in_again(trusting: Guarded) -> None:
    browser = trusting.browser()
    browser.navigate(ORIGIN + "/")
    before = app_cookies_of(browser)
    browser.navigate(f"{ORIGIN}/auth/oauth2/login/", stop_before=lambda url: url == ORIGIN + "/")
    assert app_cookies_of(browser) == before


@pytest.mark.requirement("R-app-cookies")
def test_a_sign_out_deletes_them_as_they_were_set() -> None:
    middleware = guard(
        public_url=f"{ORIGIN}/core",
        app_cookies="session trac_auth;Path=/trac wide;Domain=.app.example __Host-own",
    )
    cookies = middleware._sessions.cookies
    lines = cookies.expire_all(cookies.read(""))
    end = "; Secure; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
    assert [line for line in lines if not line.startswith("__Host-oauth2_mw")] == [
        f"session=; Path=/{end}",
        f"session=; Path=/core{end}",
        f"trac_auth=; Path=/trac{end}",
        f"wide=; Path=/; Domain=app.example{end}",
        f"wide=; Path=/core; Domain=app.example{end}",
        f"__Host-own=; Path=/{end}",
        f"__Host-own=; Path=/core{end}",
    ]
    assert sum("-o-" in line for line in lines) == 4
