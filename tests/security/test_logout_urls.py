"""Whatever comes to the URLs of logouts: no fault of ours, and no session that ends by it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.middleware import OAuth2Middleware
from tests.support.hosts.guarded import App
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import make_settings

PREFIX = "/auth/oauth2"
FORM = "application/x-www-form-urlencoded"
TYPED = {
    "HTTP_ACCEPT": "text/html",
    "HTTP_SEC_FETCH_SITE": "none",
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_SEC_FETCH_DEST": "document",
}


@dataclass
class Stage:
    """Somebody is signed in, and stays it."""

    provider: StandIn
    app: App
    middleware: OAuth2Middleware
    cookie: str

    def ask(self, **keys: Any) -> WsgiResponse:
        return call(self.middleware, environ_for(**keys))

    def is_signed_in(self) -> bool:
        return self.ask(path="/", HTTP_COOKIE=self.cookie).status == 200


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with StandIn(client_id="app", client_secret="s3cret", sid="session-1") as provider:
        app = App()
        folder = tmp_path_factory.mktemp("sessions")
        settings = make_settings(
            issuer=provider.issuer, client_secret="s3cret", session=f"sqlite:///{folder / 'sessions.db'}"
        )
        middleware = OAuth2Middleware(app, settings)
        begun = call(middleware, environ_for("/", **TYPED))
        (attempt,) = (line.partition(";")[0] for line in begun.cookies.values())
        answer = urlencode(provider.follow(begun.header("Location") or ""))
        signed_in = call(
            middleware,
            environ_for(f"{PREFIX}/login/callback/", QUERY_STRING=answer, HTTP_COOKIE=attempt, **TYPED),
        )
        name = middleware._sessions.cookies.session
        stage = Stage(provider, app, middleware, signed_in.cookies[name].partition(";")[0])
        assert stage.is_signed_in()
        yield stage


NATIVE = st.text(st.characters(max_codepoint=255), max_size=40)
WORDS = st.sampled_from(["", "session-1", "forged", "1", "\x00", "ü", "https://evil.example", "x" * 300])


@pytest.mark.requirement("3a.11", "N2.7.11")
@given(
    path=st.sampled_from(
        ["backchannel-logout/", "backchannel-logout/default/", "frontchannel-logout/", "sessions/"]
    ),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", ""]),
    query=st.one_of(NATIVE, st.dictionaries(st.sampled_from(["iss", "sid", "done"]), WORDS).map(urlencode)),
    body=st.one_of(
        st.binary(max_size=60),
        st.dictionaries(
            st.sampled_from(["logout_token", "csrf_token", "session", "others"]), st.one_of(WORDS, NATIVE)
        ).map(lambda fields: urlencode(fields).encode()),
    ),
    content_type=st.sampled_from([FORM, "", "application/json", "\xff"]),
    dest=st.sampled_from([None, "document", "empty"]),
    with_cookie=st.booleans(),
)
def test_no_request_to_a_logout_url_ends_a_session(
    stage: Stage,
    *,
    path: str,
    method: str,
    query: str,
    body: bytes,
    content_type: str,
    dest: str | None,
    with_cookie: bool,
) -> None:
    calls = stage.app.calls
    answer = stage.ask(
        path=f"{PREFIX}/{path}",
        REQUEST_METHOD=method,
        QUERY_STRING=query,
        CONTENT_TYPE=content_type,
        CONTENT_LENGTH=str(len(body)),
        HTTP_COOKIE=stage.cookie if with_cookie else None,
        HTTP_SEC_FETCH_DEST=dest,
        **{"wsgi.input": io.BytesIO(body)},
    )
    assert answer.status < 500
    assert answer.header("Cache-Control") == "no-store"
    for name, value in answer.headers:
        assert not re.search("[\x00-\x1f\x7f]", name + value)
    assert stage.app.calls == calls
    assert stage.is_signed_in()


@given(
    changes=st.dictionaries(
        st.sampled_from(["iss", "aud", "sub", "sid", "iat", "exp", "jti", "events", "nonce"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), NATIVE, st.lists(NATIVE, max_size=2)),
        min_size=1,
    )
)
def test_whatever_a_signed_token_says_is_a_token_or_none(stage: Stage, changes: dict[str, Any]) -> None:
    """About somebody else: a ``sid`` of ``null`` leaves the subject alone to say whose sessions end."""
    token = stage.provider.logout_token(**{"sub": "somebody-else", "sid": "another", **changes})
    body = urlencode({"logout_token": token}).encode()
    answer = stage.ask(
        path=f"{PREFIX}/backchannel-logout/",
        REQUEST_METHOD="POST",
        CONTENT_TYPE=FORM,
        CONTENT_LENGTH=str(len(body)),
        **{"wsgi.input": io.BytesIO(body)},
    )
    assert answer.status in (200, 400)
    assert stage.is_signed_in()
