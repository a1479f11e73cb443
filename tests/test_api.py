"""What an application calls."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import oauth2_mw
from oauth2_mw.errors import OAuth2Error
from tests.support.hosts.guarded import guard
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.settings.minimal import ORIGIN
from tests.test_middleware import JANE, App, sign_in


def seen_by_the_application(**keys: Any) -> dict[str, Any]:
    """The environ of a signed-in request."""
    app = App()
    middleware = guard(app, **keys)
    call(middleware, environ_for("/", HTTP_COOKIE=sign_in(middleware, access_token="at-1")))
    return app.environ


def test_the_identity_is_there_when_somebody_is_signed_in_and_none_otherwise() -> None:
    assert oauth2_mw.get_identity(seen_by_the_application()) == JANE
    assert oauth2_mw.get_identity({}) is None


def test_the_urls_start_with_public_url_and_keep_only_destinations_of_ours() -> None:
    environ = seen_by_the_application()
    assert oauth2_mw.login_url(environ) == f"{ORIGIN}/auth/oauth2/login/"
    assert (
        oauth2_mw.login_url(environ, destination="/a?b=c") == f"{ORIGIN}/auth/oauth2/login/?next=/a%3Fb%3Dc"
    )
    assert oauth2_mw.logout_url(environ, destination="/bye") == f"{ORIGIN}/auth/oauth2/logout/?next=/bye"
    assert oauth2_mw.logout_url(environ, destination="//evil.example") == f"{ORIGIN}/auth/oauth2/logout/"


def test_a_request_that_did_not_come_through_says_so() -> None:
    with pytest.raises(OAuth2Error, match="did not come through"):
        oauth2_mw.login_url({})


def test_an_authorized_session_sends_the_access_token() -> None:
    session = oauth2_mw.authorized_session(seen_by_the_application(keep_tokens="id access"))
    assert session.token["access_token"] == "at-1"


@pytest.mark.parametrize("keep", ["id", None])
def test_without_a_kept_access_token_there_is_no_authorized_session(keep: str | None) -> None:
    environ = seen_by_the_application(keep_tokens=keep)
    with pytest.raises(OAuth2Error, match="keep_tokens"):
        oauth2_mw.authorized_session(environ)
    with pytest.raises(OAuth2Error, match="signed in"):
        oauth2_mw.authorized_session({})


def test_every_public_name_is_there_and_no_other() -> None:
    for name in oauth2_mw.__all__:
        assert getattr(oauth2_mw, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = oauth2_mw.nonsense


def test_preload_imports_what_the_first_sign_in_needs() -> None:
    code = """
import sys
from oauth2_mw import OAuth2Middleware, Settings
OAuth2Middleware(lambda environ, start_response: [], Settings.from_mapping({
    "public_url": "https://app.example", "secret_keys": "FL9BPkFxvGWLCCcEkVJqIcv0-wfGKfNpDMnRyXsyXlw",
    "issuer": "https://id.example", "client_id": "app", "client_secret": "s", "preload": "true"}))
heavy = {"webob", "jwt", "requests", "urllib3", "oauthlib", "requests_oauthlib", "jinja2"}
print(sorted(heavy - set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_hot_path_imports_no_web_jwt_or_http_library() -> None:
    code = """
import sys
from oauth2_mw import OAuth2Middleware, Settings
OAuth2Middleware(lambda environ, start_response: [], Settings.from_mapping({
    "public_url": "https://app.example", "secret_keys": "FL9BPkFxvGWLCCcEkVJqIcv0-wfGKfNpDMnRyXsyXlw",
    "issuer": "https://id.example", "client_id": "app", "client_secret": "s"}))
heavy = {"webob", "jwt", "requests", "urllib3", "oauthlib", "requests_oauthlib", "jinja2", "sqlalchemy"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
