"""The real flow without a network, and what goes wrong in it when a test says so."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.test import Client as DjangoClient
from flask import Flask, request
from webtest import TestApp as Client

from oauth2_mw import OAuth2Middleware
from oauth2_mw.testing import DevelopmentProvider, sign_in
from tests.support.hosts.guarded import App, guard
from tests.support.lowest import metadata
from tests.support.settings.minimal import make_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)


def test_webtest_signs_in_and_stays_signed_in() -> None:
    provider = DevelopmentProvider(users={"jane": {"groups": ["staff"]}, "john": {}})
    app = App()
    client = Client(provider.protect(app))
    client.get("/", status=401)
    page = sign_in(client, destination="/reports")
    assert (page.status_int, page.json["user"], page.json["path"]) == (200, "jane", "/reports")
    assert app.seen[-1]["Identity"].groups == ("staff",)
    assert client.get("/").json["user"] == "jane"
    assert sign_in(client, username="john").json["user"] == "john"
    assert ("POST", "https://provider.example/token") in provider.requests


def test_flask_signs_in() -> None:
    flask = Flask(__name__)
    flask.add_url_rule("/", view_func=lambda: f"Hello, {request.remote_user}")
    flask.wsgi_app = DevelopmentProvider().protect(flask.wsgi_app)  # type: ignore[assignment,method-assign]
    client = flask.test_client()
    assert sign_in(client).text == "Hello, jane"
    assert client.get("/").text == "Hello, jane"


def test_an_application_that_is_behind_the_middleware_needs_no_provider_of_the_test() -> None:
    flask = Flask(__name__)
    flask.add_url_rule("/", view_func=lambda: f"Hello, {request.remote_user}")
    settings = make_settings(issuer="https://id.example", allow="group:staff")
    flask.wsgi_app = OAuth2Middleware(flask.wsgi_app, settings)  # type: ignore[method-assign]
    client = flask.test_client()
    assert sign_in(client, username="joe", groups=["staff"]).text == "Hello, joe"
    stranger = flask.test_client()
    assert sign_in(stranger, username="eve", groups=["guests"]).status_code == 403


@pytest.mark.parametrize(
    "keys",
    [
        {"login_page": "true"},
        {"public_url": "http://localhost/core"},
        {"algorithms": "RS256", "userinfo": "always"},
        {"prefix": "/sso"},
        {"client_auth_method": "client_secret_post"},
        {
            "issuer": None,
            "authorization_endpoint": "https://id.example/login/oauth/authorize?a=b",
            "token_endpoint": "https://id.example/login/oauth/access_token",
            "userinfo_endpoint": "https://id.example/user",
            "attribute_map": {"username": "login"},
        },
    ],
)
def test_settings_are_those_of_the_application(keys: dict[str, Any]) -> None:
    users = {"jane": {"login": "jane"}}
    client = Client(DevelopmentProvider(users=users).protect(App(), **keys))
    assert sign_in(client).json["user"] == "jane"


def test_https_needs_a_client_that_keeps_such_cookies() -> None:
    app = DevelopmentProvider().protect(guard(login_page=False))
    with pytest.raises(ValueError, match="extra_environ"):
        sign_in(Client(app))
    assert sign_in(Client(app, extra_environ={"wsgi.url_scheme": "https"})).json["user"] == "jane"


def test_one_of_several_providers_is_chosen_by_its_name() -> None:
    keys = {
        f"provider:{name}": {
            "issuer": f"https://{name}.example",
            "client_id": "app",
            "client_secret": "s3cret",
            "username_prefix": f"{name}:",
        }
        for name in ("corp", "other")
    }
    settings = make_settings(public_url="http://localhost", client_id=None, client_secret=None, **keys)
    app = App()
    client = Client(DevelopmentProvider().protect(app, settings))
    sign_in(client, at="other")
    assert app.seen[-1]["Identity"].provider == "other"
    with pytest.raises(ValueError, match="corp, other"):
        sign_in(client, at="none")


# Faults


def test_it_declines() -> None:
    client = Client(DevelopmentProvider(declines=True).protect(App()))
    page = sign_in(client)
    assert page.status_int == 403
    client.get("/", status=401)


@pytest.mark.parametrize("fault", [{"down": True}, {"slow": True}, {"slow": 60}])
def test_it_is_away_without_keeping_the_test_waiting(fault: dict[str, Any]) -> None:
    began = time.monotonic()
    assert sign_in(Client(DevelopmentProvider(**fault).protect(App()))).status_int == 503
    assert time.monotonic() - began < 5


def test_a_fault_may_end() -> None:
    provider = DevelopmentProvider(down=True)
    client = Client(provider.protect(App()))
    assert sign_in(client).status_int == 503
    provider.down, provider.slow = False, 0.01
    assert sign_in(client).json["user"] == "jane"


@pytest.mark.parametrize(("fails", "status"), [(False, 200), (True, 401)])
def test_a_refresh_succeeds_or_fails(*, fails: bool, status: int) -> None:
    provider = DevelopmentProvider(expires_in=1, refresh_fails=fails)
    client = Client(provider.protect(App(), keep_tokens="id access refresh"))
    sign_in(client)
    assert client.get("/", status="*").status_int == status


def test_a_refresh_is_of_the_same_sign_in_however_late_it_is() -> None:
    client = Client(DevelopmentProvider(expires_in=1).protect(App(), keep_tokens="id access refresh"))
    began = time.time()
    with time_machine.travel(began, tick=False) as clock:
        sign_in(client)
        for minutes in (1, 2):
            clock.move_to(began + 60 * minutes)
            assert client.get("/", status="*").status_int == 200


# Mistakes


def test_an_unknown_user_is_an_error_that_names_the_known() -> None:
    with pytest.raises(ValueError, match="jane"):
        sign_in(Client(DevelopmentProvider().protect(App())), username="root")


def test_a_client_without_the_middleware_is_an_error() -> None:
    with pytest.raises(ValueError, match="protect"):
        sign_in(Client(App()))


def test_settings_and_keys_at_once_are_an_error() -> None:
    with pytest.raises(TypeError):
        DevelopmentProvider().protect(App(), {}, protect="optional")


# Django's client goes through no application of WSGI; pytest has fixtures


def test_the_django_client_is_told_apart() -> None:
    client = DjangoClient()
    client.app = guard()
    with pytest.raises(TypeError, match="signed_in_environ"):
        sign_in(client)


PYTEST_FILE = """
import pytest
from webtest import TestApp as Client

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REMOTE_USER"].encode("latin-1")]

def test_signed_in(oauth2_mw_signed_in):
    assert Client(oauth2_mw_signed_in(app, username="jane")).get("/").text == "jane"

def test_sign_in(oauth2_mw_provider, oauth2_mw_sign_in):
    assert oauth2_mw_sign_in(Client(oauth2_mw_provider.protect(app))).text == "jane"
    assert oauth2_mw_provider.requests

@pytest.mark.oauth2_mw_provider(declines=True, users={"eve": {}})
def test_fault(oauth2_mw_provider, oauth2_mw_sign_in):
    assert oauth2_mw_sign_in(Client(oauth2_mw_provider.protect(app))).status_int == 403
"""


def test_the_plugin_has_fixtures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    [entry] = metadata(str(ROOT / "setup.py"))["entry_points"]["pytest11"]
    name, _, module = entry.partition(" = ")
    # Under one name, whether pytest finds it or is told of it, it is loaded once.
    assert name == module == "oauth2_mw.testing.plugin"
    (tmp_path / "test_it.py").write_text(PYTEST_FILE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        module,
        "--strict-markers",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_imports_little() -> None:
    code = "import sys, oauth2_mw.testing.plugin; sys.exit('oauth2_mw.middleware' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60, cwd=ROOT)
    assert done.returncode == 0
