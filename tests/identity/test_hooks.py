"""The hooks of an application: what it is told of who signs in and out, and what becomes of its errors."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import ConfigError
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.model import Settings
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import App, Guarded, guarded, is_signed_in, signed_in
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import make_settings

MODULE = """
calls = []
fails = None

def _note(name, identity):
    calls.append((name, identity))
    if name == fails:
        raise RuntimeError("the application is \\n at fault")

def login(identity): _note("login", identity)
def created(identity): _note("created", identity)
class Out:
    @staticmethod
    def logout(identity): _note("logout", identity)
number = 7
"""
HOOKS = {"on_login": "the_hooks:login", "on_logout": "the_hooks:Out.logout"}


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of the application."""
    (tmp_path / "the_hooks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("the_hooks")
    del sys.modules["the_hooks"]


def called(hooks: Any) -> list[tuple[str, str]]:
    return [(name, identity.username) for name, identity in hooks.calls]


@pytest.fixture
def told(provider: StandIn, hooks: Any, tmp_path: Path) -> Iterator[Guarded]:
    """An application with a directory that has all three."""
    with guarded(
        issuer=provider.issuer,
        directory=f"sqlite:///{tmp_path}/users.db",
        on_user_created="the_hooks.created",
        **HOOKS,
    ) as site:
        yield site


def users(site: Guarded) -> int:
    directory = site.middleware._directory
    assert directory is not None
    return len(list(directory.users()))


@pytest.mark.requirement("R-hooks")
def test_the_application_is_told_once_of_each(told: Guarded, hooks: Any) -> None:
    browser = signed_in(told)
    assert called(hooks) == [("login", "jane"), ("created", "jane")]
    assert hooks.calls[0][1].email == "jane@example.com"
    # The directory gives its own id to whom it has just added.
    assert hooks.calls[0][1] == replace(hooks.calls[1][1], id=hooks.calls[0][1].id)
    browser.navigate(told.url + "/again")
    assert len(hooks.calls) == 2
    browser.navigate(f"{told.url}/auth/oauth2/logout/", initiator=told.url)
    assert called(hooks)[2:] == [("logout", "jane")]
    # The second sign-in creates nobody.
    signed_in(told)
    assert called(hooks)[3:] == [("login", "jane")]


@pytest.mark.requirement("R-hooks")
@pytest.mark.parametrize("directory", [True, False])
def test_an_error_in_on_login_refuses_the_sign_in_and_nothing_is_written(
    provider: StandIn, hooks: Any, tmp_path: Path, *, directory: bool
) -> None:
    hooks.fails = "login"
    keys = {"directory": f"sqlite:///{tmp_path}/users.db"} if directory else {}
    with guarded(issuer=provider.issuer, **HOOKS, **keys) as site:
        browser = site.browser()
        page = browser.navigate(site.url + "/deep")
        assert page.status == 403
        assert "<bdi>jane</bdi>" in page.text
        assert "at fault" not in page.text
        assert page.link("Try again").endswith("?next=/deep")
        assert not is_signed_in(browser, site)
        assert site.session_cookie not in browser.jar.names(site.url)
        (line,) = site.audit
        assert "event=login_failed" in line
        assert "code=on_login" in line
        assert "RuntimeError: the application is" in line
        if directory:
            assert users(site) == 0


@pytest.mark.requirement("R-hooks")
@pytest.mark.parametrize("fails", ["created", "logout"])
def test_an_error_in_the_others_is_logged_and_nothing_more(
    told: Guarded, hooks: Any, fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.fails = fails
    browser = signed_in(told)
    browser.navigate(f"{told.url}/auth/oauth2/logout/", initiator=told.url)
    assert not is_signed_in(browser, told)
    assert users(told) == 1
    (line,) = [line for line in told.audit if "event=hook_failed" in line]
    assert "username=jane" in line
    assert "RuntimeError: the application is" in line
    assert [record for record in caplog.records if record.exc_info and "failed" in record.getMessage()]


def test_whom_a_rule_or_the_directory_refuses_the_application_does_not_hear_of(
    provider: StandIn, hooks: Any, tmp_path: Path
) -> None:
    with guarded(issuer=provider.issuer, allow="user:bob", **HOOKS) as site:
        assert site.browser().navigate(site.url + "/").status == 403
    with guarded(
        issuer=provider.issuer, create_users=False, directory=f"sqlite:///{tmp_path}/users.db", **HOOKS
    ) as site:
        assert site.browser().navigate(site.url + "/").status == 403
    assert hooks.calls == []


def test_a_refresh_is_no_sign_in(provider: StandIn, hooks: Any) -> None:
    clocks = ShiftedClocks()
    with guarded(issuer=provider.issuer, keep_tokens="refresh", clocks=clocks.clocks, **HOOKS) as site:
        browser = signed_in(site)
        clocks.ahead = 3590
        browser.navigate(site.url + "/")
        assert len(provider.asked("/token")) == 2
    assert called(hooks) == [("login", "jane")]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("the_hooks:gone", "gone"),
        ("the_hooks:number", "it is not callable but int"),
        ("no_such_module:hook", "No module named 'no_such_module'"),
    ],
)
def test_what_cannot_be_used_stops_the_start(hooks: Any, name: str, reason: str) -> None:
    settings: Settings = make_settings(issuer="https://id.example", on_login=name, on_logout=name)
    with pytest.raises(ConfigError) as caught:
        OAuth2Middleware(App(), settings)
    # Both at once, by section and key.
    assert [(each.section, each.key) for each in caught.value.problems] == [
        ("oauth2_mw", "on_login"),
        ("oauth2_mw", "on_logout"),
    ]
    assert reason in str(caught.value)
