"""``app_logout_paths``: the application's own logout ends our session too, when the browser vouches for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from wsgiref.types import WSGIApplication

import pytest

from tests.support.browser.jar import Browser
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import Guarded, guard, guarded, is_signed_in, sign_in, signed_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import ORIGIN
from tests.support.stores.watched_store import WatchedStore

OUT = f"{ORIGIN}/logout"
EVIL = "https://evil.example"
#: what a browser sends with a form of a page of the application, with a link of it, and with a script's request
FORM = {
    "REQUEST_METHOD": "POST",
    "HTTP_SEC_FETCH_SITE": "same-origin",
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_SEC_FETCH_DEST": "document",
    "HTTP_ORIGIN": ORIGIN,
    "HTTP_ACCEPT": "text/html",
}
LINK = {**FORM, "REQUEST_METHOD": "GET", "HTTP_ORIGIN": None}
SCRIPT = {**FORM, "HTTP_SEC_FETCH_MODE": "cors", "HTTP_SEC_FETCH_DEST": "empty", "HTTP_ACCEPT": "*/*"}


class App:
    """Answers as a test says."""

    def __init__(self) -> None:
        self.status = "302 Found"
        self.headers = [("Location", "/bye"), ("Set-Cookie", "session=; Path=/; Max-Age=0")]
        self.calls = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls += 1
        start_response(self.status, [("Content-Type", "text/plain"), *self.headers])
        return [b"the application's"]


class Asked:
    """A middleware with somebody signed in, and what becomes of them."""

    def __init__(self, paths: str = "/logout", **settings: Any) -> None:
        self.app = App()
        self.middleware = guard(self.app, **{"app_logout_paths": paths, "sync_logout": "false", **settings})
        self.cookie = sign_in(self.middleware)

    def ask(self, path: str = "/logout", **keys: Any) -> WsgiResponse:
        return call(self.middleware, environ_for(path, HTTP_COOKIE=self.cookie, **keys))

    @property
    def is_signed_in(self) -> bool:
        current = self.middleware._sessions.resolve(self.cookie)
        return current is not None and current.session is not None


@pytest.fixture
def asked() -> Asked:
    return Asked()


# When it ends


@pytest.mark.parametrize("how", [FORM, LINK, SCRIPT, {**LINK, "HTTP_SEC_FETCH_SITE": "none"}])
def test_the_applications_own_logout_ends_our_session(asked: Asked, how: dict[str, Any]) -> None:
    asked.ask(**how)
    assert asked.app.calls == 1
    assert not asked.is_signed_in


def test_a_browser_without_fetch_metadata_vouches_by_the_origin(asked: Asked) -> None:
    response = asked.ask(REQUEST_METHOD="POST", HTTP_ORIGIN=ORIGIN, HTTP_ACCEPT="text/html")
    assert response.header("Location") == f"{ORIGIN}/bye"
    assert not asked.is_signed_in


@pytest.mark.requirement("R-app-logout")
@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
        {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": EVIL},
        {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": EVIL},
        {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": "null"},
        {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": None},
        {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": ORIGIN.upper()},
        {"HTTP_SEC_FETCH_SITE": ""},
    ],
)
@pytest.mark.parametrize("how", [FORM, SCRIPT])
def test_nobody_is_signed_out_for_whom_the_browser_does_not_vouch(
    asked: Asked, how: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert asked.ask(**{**how, **changes}).status == 302
    assert asked.app.calls == 1
    assert asked.is_signed_in


@pytest.mark.requirement("R-app-logout")
@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": None},
        {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": ORIGIN},
        {"HTTP_SEC_FETCH_MODE": "cors", "HTTP_SEC_FETCH_DEST": "empty"},
        {"HTTP_SEC_FETCH_MODE": "no-cors", "HTTP_SEC_FETCH_DEST": "image"},
        {"HTTP_SEC_FETCH_DEST": "iframe"},
        {"HTTP_SEC_FETCH_MODE": None},
        {"HTTP_SEC_PURPOSE": "prefetch"},
        {"HTTP_SEC_PURPOSE": "prefetch;prerender"},
        {"HTTP_X_SEC_PURPOSE": "prefetch"},
        {"HTTP_PURPOSE": "prefetch"},
        {"HTTP_X_PURPOSE": "preview"},
        {"HTTP_X_MOZ": "prefetch"},
        {"HTTP_NEXT_ROUTER_PREFETCH": "1"},
    ],
)
def test_a_get_signs_out_as_a_page_in_a_window_alone(asked: Asked, changes: dict[str, Any]) -> None:
    assert asked.ask(**{**LINK, **changes}).text == "the application's"
    assert asked.is_signed_in


@pytest.mark.requirement("R-app-logout")
@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "405 Not Allowed", "500 Error"])
@pytest.mark.parametrize("how", [FORM, LINK, SCRIPT])
def test_nobody_is_signed_out_whom_the_application_keeps(
    asked: Asked, how: dict[str, Any], status: str
) -> None:
    asked.app.status, asked.app.headers = status, []
    response = asked.ask(**how)
    assert response.status == int(status[:3])
    assert response.text == "the application's"
    assert response.all_headers("Set-Cookie") == []
    assert asked.is_signed_in


@pytest.mark.requirement("R-app-logout")
@pytest.mark.parametrize(
    ("paths", "path", "how"),
    [
        ("/logout", "/logout/", FORM),
        ("/logout", "/logout/all", FORM),
        ("/logout/", "/logout", FORM),
        ("/logout/", "/logout/all", FORM),
        ("POST:/logout", "/logout", LINK),
        ("GET:/logout", "/logout", FORM),
        ("/logout", "/Logout", FORM),
        ("/logout", "/logout", {**FORM, "REQUEST_METHOD": "HEAD"}),
        ("/logout", "/logout", {**FORM, "REQUEST_METHOD": "OPTIONS"}),
    ],
)
def test_only_that_path_and_method_sign_out(paths: str, path: str, how: dict[str, Any]) -> None:
    asked = Asked(paths)
    asked.ask(path, **how)
    assert asked.app.calls == 1
    assert asked.is_signed_in


@pytest.mark.parametrize(
    ("paths", "path", "how"),
    [
        ("/admin/logout/ POST:/logout", "/admin/logout/", LINK),
        ("/admin/logout/ POST:/logout", "/logout", FORM),
        ("DELETE:/api/session", "/api/session", {**SCRIPT, "REQUEST_METHOD": "DELETE"}),
        ("/ud/å", "/ud/å".encode().decode("latin-1"), FORM),
    ],
)
def test_each_address_counts(paths: str, path: str, how: dict[str, Any]) -> None:
    asked = Asked(paths)
    asked.ask(path, **how)
    assert not asked.is_signed_in


def test_without_a_session_the_application_answers_as_ever() -> None:
    asked = Asked(protect="optional")
    asked.cookie = ""
    assert asked.ask(**FORM).text == "the application's"


# Where it leads


@pytest.mark.parametrize(
    ("location", "destination"),
    [
        ("/bye", f"{ORIGIN}/bye"),
        ("bye?x=1", f"{ORIGIN}/bye?x=1"),
        (f"{ORIGIN}/bye", f"{ORIGIN}/bye"),
        (f"{EVIL}/", f"{ORIGIN}/auth/oauth2/logout/done/"),
        ("//evil.example/", f"{ORIGIN}/auth/oauth2/logout/done/"),
        ("http://[", f"{ORIGIN}/auth/oauth2/logout/done/"),
        ("javascript:alert(1)", f"{ORIGIN}/auth/oauth2/logout/done/"),
        ("/auth/oauth2/logout/", f"{ORIGIN}/auth/oauth2/logout/done/"),
    ],
)
@pytest.mark.parametrize("how", [FORM, LINK])
def test_a_navigation_goes_where_our_logout_would(
    asked: Asked, how: dict[str, Any], location: str, destination: str
) -> None:
    asked.app.headers = [("Location", location)]
    response = asked.ask(**how)
    assert (response.status, response.header("Location")) == (303, destination)


def test_the_path_that_redirects_is_below_the_mount() -> None:
    asked = Asked(public_url=f"{ORIGIN}/core")
    asked.app.headers = [("Location", "bye")]
    assert asked.ask(**FORM, SCRIPT_NAME="/core").header("Location") == f"{ORIGIN}/core/bye"


def test_a_page_of_the_application_is_no_destination(asked: Asked) -> None:
    asked.app.status, asked.app.headers = "200 OK", [("Location", "/bye")]
    assert asked.ask(**FORM).header("Location") == f"{ORIGIN}/auth/oauth2/logout/done/"


def test_what_the_application_has_the_browser_forget_is_forgotten_first(asked: Asked) -> None:
    asked.app.headers += [("Clear-Site-Data", '"storage"'), ("X-Other", "1")]
    response = asked.ask(**FORM)
    first, *ours = response.all_headers("Set-Cookie")
    assert first == "session=; Path=/; Max-Age=0"
    assert any(line.startswith("__Host-oauth2_mw=;") for line in ours)
    assert response.header("Clear-Site-Data") == '"storage"'
    assert response.header("X-Other") is None


def test_an_answer_to_a_script_passes_and_the_browser_forgets_the_session() -> None:
    asked = Asked(app_cookies="session", clear_site_data="storage")
    asked.app.status, asked.app.headers = "200 OK", [("Set-Cookie", "session=anew"), ("X-Other", "1")]
    response = asked.ask(**SCRIPT)
    assert (response.status, response.text, response.header("X-Other")) == (200, "the application's", "1")
    assert "Max-Age=0" in response.cookies["__Host-oauth2_mw"]
    assert "Max-Age=0" in response.cookies["session"]
    assert all("Max-Age=0" in line for name, line in response.cookies.items() if "-o-" in name)
    assert response.header("Clear-Site-Data") == '"storage"'
    assert (response.header("Cache-Control"), response.header("Vary")) == ("private", "Cookie")


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden"])
def test_a_cookie_that_is_due_is_renewed_for_whoever_stays_signed_in_alone(status: str) -> None:
    clock = ShiftedClocks()
    asked = Asked(session_idle="1h", clocks=clock.clocks)
    clock.ahead = 1800
    asked.app.status, asked.app.headers = status, []
    lines = asked.ask(**SCRIPT).all_headers("Set-Cookie")
    assert len(lines) == 1
    assert ("Max-Age=0" in lines[0]) == (status == "200 OK")


def test_a_frame_of_the_application_is_no_way_to_the_provider(asked: Asked) -> None:
    response = asked.ask(**{**FORM, "HTTP_SEC_FETCH_DEST": "iframe"})
    assert (response.status, response.header("Location")) == (302, "/bye")
    assert not asked.is_signed_in


# In a browser, with a provider


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def site(provider: StandIn, app: App) -> Iterator[Guarded]:
    with guarded(issuer=provider.issuer, app_logout_paths="/logout", app_cookies="session") as site:
        site.middleware._app = AtLogout(site.app, app)
        yield site


class AtLogout:
    """One application for ``/logout``, and another one for all else."""

    def __init__(self, others: WSGIApplication, at_logout: WSGIApplication) -> None:
        self.others = others
        self.at_logout = at_logout

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        chosen = self.at_logout if environ["PATH_INFO"] == "/logout" else self.others
        return chosen(environ, start_response)


def test_the_person_signs_out_at_the_provider_too_and_ends_where_the_application_says(
    site: Guarded, provider: StandIn
) -> None:
    browser = signed_in(site)
    page = browser.post(OUT, {}, initiator=ORIGIN, follow=False)
    assert (page.location or "").startswith(f"{provider.url}/")
    assert "id_token_hint" in parse_qs(urlsplit(page.location or "").query)
    assert not is_signed_in(browser, site)
    assert site.audit[-1].startswith("event=logout ")
    assert " how=application" in site.audit[-1]


def test_another_sites_form_signs_nobody_out(site: Guarded) -> None:
    browser = signed_in(site)
    browser.post(OUT, {}, initiator=EVIL, follow=False)
    assert is_signed_in(browser, site)
    browser.navigate(OUT, initiator=EVIL, follow=False)
    assert is_signed_in(browser, site)


@pytest.mark.parametrize("kind", ["form", "script"])
def test_a_store_that_is_away_is_no_sign_out(provider: StandIn, tmp_path: Path, app: App, kind: str) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    with guarded(issuer=provider.issuer, session=url, app_logout_paths="/logout") as site:
        site.middleware._app = AtLogout(site.app, app)
        browser = signed_in(site)
        registry = site.middleware._sessions.registry
        assert registry is not None
        registry.store = watched = WatchedStore(registry.store)
        watched.away = True
        page = leave(browser, kind)
        assert page.status == 503
        # What the application has ended has ended.
        assert page.all_headers("Set-Cookie") == ["session=; Path=/; Max-Age=0"]
        watched.away = False
        assert is_signed_in(browser, site)
        leave(browser, kind)
        assert not is_signed_in(browser, site)


def leave(browser: Browser, kind: str) -> Any:
    if kind == "form":
        return browser.post(OUT, {}, initiator=ORIGIN, follow=False)
    return browser.fetch(OUT, method="POST", initiator=ORIGIN, follow=False)
