"""No secret leaves its place: every flow at DEBUG, and a search for what was secret in it.

A secret may stand where the protocol itself puts it: in ``Set-Cookie``, in the address that sends a browser
to the provider (``state``, ``nonce``, ``id_token_hint``), and in the form that carries the logout token.
"""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus, urlencode, urlsplit

import pytest
import requests

from oauth2_mw.api import authorized_session
from oauth2_mw.identity.admission import Admission
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.cookies import RequestCookies
from oauth2_mw.session.model import Session
from oauth2_mw.session.stored_sessions import Handle
from oauth2_mw.web.signin.attempt import Attempt, State
from tests.support.hosts.guarded import App
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers import recorded
from tests.support.providers.recorded import RecordedWorld, Reply
from tests.support.providers.standin import LEFT_OUT, Answer, StandIn
from tests.support.providers.visitor import Visitor
from tests.support.settings import minimal
from tests.support.settings.keys import raw_key, text_key
from tests.support.settings.minimal import make_settings

CLIENT_SECRET = "canary client: %&+/ä"
PREFIX = "/auth/oauth2"
TYPED = {
    "HTTP_SEC_FETCH_SITE": "none",
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_SEC_FETCH_DEST": "document",
    "HTTP_ACCEPT": "text/html",
}


class Watched:
    """An application behind the middleware, one browser, and everything secret that passed between them."""

    def __init__(self, provider: StandIn, **keys: Any) -> None:
        self.provider = provider
        self.middleware = OAuth2Middleware(
            App(), make_settings(**{"issuer": provider.issuer, "client_secret": CLIENT_SECRET, **keys})
        )
        self.jar: dict[str, str] = {}
        self.replies: list[WsgiResponse] = []
        self._shown: list[str] = []
        self._secrets = {
            "client secret": CLIENT_SECRET,
            "key": text_key(),
            "key, as hexadecimal digits": raw_key(0).hex(),
        }
        self._tokens = 0
        provider.answers.setdefault("token", lambda good: good)
        answer = provider.answers["token"]
        provider.answers["token"] = lambda good: self._note_tokens(good, answer)

    def get(self, path: str, query: str = "", **keys: Any) -> WsgiResponse:
        """One request of the browser."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        environ = environ_for(path, **{**TYPED, "QUERY_STRING": query, "HTTP_COOKIE": cookie or None, **keys})
        reply = call(self.middleware, environ)
        for name, line in reply.cookies.items():
            value = line.partition(";")[0].partition("=")[2]
            if "Max-Age=0" in line:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value
                self._note(f"cookie {name}", value)
        self._show(reply)
        return reply

    def start(self, path: str = "/deep") -> str:
        """Begin a sign-in; the query with which the provider's answer comes back."""
        url = self.get(path).header("Location") or ""
        for name, values in parse_qs(urlsplit(url).query).items():
            if name in ("state", "nonce"):
                self._note(name, values[0])
        answer = self.provider.follow(url)
        if "code" in answer:
            self._note("code", answer["code"])
        return urlencode(answer)

    def post_logout_token(self, token: str) -> WsgiResponse:
        """What the provider sends when somebody signs out there."""
        self._note("logout token of the provider", token)
        body = urlencode({"logout_token": token}).encode()
        environ = environ_for(
            f"{PREFIX}/backchannel-logout/",
            REQUEST_METHOD="POST",
            CONTENT_TYPE="application/x-www-form-urlencoded",
            CONTENT_LENGTH=str(len(body)),
            **{"wsgi.input": io.BytesIO(body)},
        )
        reply = call(self.middleware, environ)
        self._show(reply)
        return reply

    def sign_in(self) -> WsgiResponse:
        """There and back."""
        return self.get(f"{PREFIX}/login/callback/", self.start())

    def assert_nothing_is_told(self, log: str) -> None:
        """No secret in the log, in a page or in a header."""
        for request in self.provider.asked("/token"):
            self._note("verifier", request.form.get("code_verifier", ""))
            self._note("Authorization", request.headers.get("Authorization", "").removeprefix("Basic "))
        assert log
        everything = "\n".join([log, *self._shown])
        for name, secret in self._secrets.items():
            for spelling in {secret, quote(secret), quote_plus(secret), ascii(secret)[1:-1]}:
                assert spelling not in everything, f"{name} is told"

    def _note(self, name: str, secret: str) -> None:
        if secret:
            self._secrets[f"{name} {len(self._secrets)}"] = secret

    def _note_tokens(self, good: Any, answer: Any) -> Any:
        for name in ("access_token", "refresh_token", "id_token"):
            if name in good:
                self._note(name, good[name])
        return answer(good) if callable(answer) else answer

    def _show(self, reply: WsgiResponse) -> None:
        """Keep what must not hold a secret: all but ``Set-Cookie`` and the way to the provider."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', reply.text)
        if token is not None:
            self._note("logout token", token[1])
        self._shown.append(reply.text.replace(token[0], "") if token else reply.text)
        for name, value in reply.headers:
            to_provider = name == "Location" and value.startswith(self.provider.url)
            if name != "Set-Cookie" and not to_provider:
                self._shown.append(f"{name}: {value}")


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn(client_id="app", client_secret=CLIENT_SECRET, sends_iss=True) as provider:
        yield provider


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    logging.getLogger("tests").debug("the log is on")
    return caplog


@pytest.mark.requirement("3i")
@pytest.mark.parametrize(
    "keys", [{}, {"keep_tokens": "id access", "client_auth_method": "client_secret_post"}]
)
def test_a_sign_in_tells_nobody_its_secrets(
    provider: StandIn, log: pytest.LogCaptureFixture, keys: dict[str, str]
) -> None:
    provider.auth_method = keys.get("client_auth_method", provider.auth_method)
    watched = Watched(provider, **keys)
    assert watched.sign_in().status == 303
    assert watched.get("/deep").status == 200
    watched.assert_nothing_is_told(log.text)


@pytest.mark.requirement("3i")
@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("token", Answer(b"<html>login</html>", content_type="text/html")),
        ("token", Answer(b"", 500)),
        ("token", {"error": "invalid_grant"}),
        ("token", []),
        ("token", lambda good: {**good, "token_type": "mac"}),
        ("token", lambda good: {**good, "expires_in": "never"}),
        ("token", lambda good: {**good, "id_token": good["id_token"] + "A"}),
        ("token", lambda good: {**good, "id_token": None}),
        ("token", lambda good: {**good, "access_token": good["access_token"] + "\n"}),
        ("userinfo", {"sub": "another"}),
        ("userinfo", b"\xff"),
        ("userinfo", Answer(b"{}", 403)),
        ("jwks", {"keys": []}),
        ("jwks", b"not JSON"),
    ],
)
def test_a_provider_that_misbehaves_makes_us_tell_nothing(
    provider: StandIn, log: pytest.LogCaptureFixture, what: str, answer: Any
) -> None:
    provider.answers[what] = answer
    watched = Watched(provider)
    assert watched.sign_in().status >= 400
    assert provider.asked("/token")
    watched.assert_nothing_is_told(log.text)


@pytest.mark.requirement("3i")
def test_a_provider_that_repeats_the_code_in_its_error_does_not_make_us_repeat_it(
    provider: StandIn, log: pytest.LogCaptureFixture
) -> None:
    watched = Watched(provider)
    answer = watched.start()
    code = parse_qs(answer)["code"][0]
    provider.answers["token"] = {"error": "invalid_grant", "error_description": f"the code {code} is unknown"}
    assert watched.get(f"{PREFIX}/login/callback/", answer).status == 502
    watched.assert_nothing_is_told(log.text)


@pytest.mark.requirement("3i")
@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "other"},
        {"aud": ["app", "x"]},
        {"exp": 1},
        {"at_hash": "x"},
        {"sub": LEFT_OUT},
        {"iss": "x"},
    ],
)
def test_an_id_token_that_proves_nothing_is_not_quoted(
    provider: StandIn, log: pytest.LogCaptureFixture, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    watched = Watched(provider)
    assert watched.sign_in().status == 400
    watched.assert_nothing_is_told(log.text)


@pytest.mark.requirement("3i")
@pytest.mark.parametrize(
    "change", ["&code=second", "&x=%ff", "&error=access_denied", "&iss=https://evil.example"]
)
def test_a_malformed_answer_is_not_quoted(
    provider: StandIn, log: pytest.LogCaptureFixture, change: str
) -> None:
    watched = Watched(provider)
    assert watched.get(f"{PREFIX}/login/callback/", watched.start() + change).status >= 400
    watched.assert_nothing_is_told(log.text)


@pytest.mark.requirement("3i")
def test_an_answer_that_fits_no_attempt_is_not_quoted(
    provider: StandIn, log: pytest.LogCaptureFixture
) -> None:
    watched = Watched(provider)
    answer = watched.start()
    watched.jar.clear()
    first = watched.get(f"{PREFIX}/login/callback/", answer)
    answer = urlencode(provider.follow(first.header("Location") or ""))
    watched.jar.clear()
    assert watched.get(f"{PREFIX}/login/callback/", answer).status == 400
    watched.assert_nothing_is_told(log.text)


@pytest.mark.requirement("3i")
def test_a_provider_that_is_gone_is_named_without_what_was_to_be_sent(
    provider: StandIn, log: pytest.LogCaptureFixture
) -> None:
    watched = Watched(provider)
    answer = watched.start()
    provider.close()
    assert watched.get(f"{PREFIX}/login/callback/", answer).status == 503
    watched.assert_nothing_is_told(log.text)


@pytest.mark.breaks_us
@pytest.mark.requirement("3i")
def test_the_traceback_of_a_bug_of_ours_holds_no_secret(
    provider: StandIn, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Admission, "admit", fail)
    watched = Watched(provider)
    assert watched.sign_in().status == 500
    assert "Traceback" in log.text
    watched.assert_nothing_is_told(log.text)


@pytest.mark.requirement("3i")
def test_a_logout_with_its_question_tells_nobody_its_secrets(
    provider: StandIn, log: pytest.LogCaptureFixture
) -> None:
    watched = Watched(provider)
    watched.sign_in()
    assert watched.get(f"{PREFIX}/logout/", "next=/bye", HTTP_SEC_FETCH_SITE="cross-site").status == 200
    assert watched.get(f"{PREFIX}/logout/", "next=/bye").status == 303
    assert watched.get(f"{PREFIX}/logout/done/", "state=unknown").status == 200
    watched.assert_nothing_is_told(log.text)


@pytest.mark.requirement("3i")
def test_a_logout_when_the_provider_is_gone_tells_nobody_its_secrets(
    provider: StandIn, log: pytest.LogCaptureFixture
) -> None:
    watched = Watched(provider)
    watched.sign_in()
    watched.middleware._site()._clients._clients.clear()
    provider.close()
    assert watched.get(f"{PREFIX}/logout/").status == 200
    watched.assert_nothing_is_told(log.text)


@pytest.mark.requirement("3i")
@pytest.mark.parametrize("where", ["directory", "session"])
def test_a_logout_by_the_provider_tells_nobody_its_secrets(
    provider: StandIn, log: pytest.LogCaptureFixture, tmp_path: Path, where: str
) -> None:
    provider.sid = "session-1"
    watched = Watched(provider, **{where: f"sqlite:///{tmp_path / 'shared.db'}"})
    watched.sign_in()
    assert watched.get(f"{PREFIX}/sessions/").status == 200
    for changes, status in (({"aud": "another"}, 400), ({"sid": 7}, 400), ({}, 200), ({}, 200)):
        assert watched.post_logout_token(provider.logout_token(**changes)).status == status
    frame = urlencode({"iss": provider.issuer, "sid": "session-1"})
    assert watched.get(f"{PREFIX}/frontchannel-logout/", frame, HTTP_SEC_FETCH_DEST="iframe").status == 200
    watched.assert_nothing_is_told(log.text)


@pytest.mark.requirement("O5", "3i")
def test_an_application_that_uses_the_access_token_does_not_see_it_logged(
    provider: StandIn, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests.Session, "request", lambda *_, **__: None)
    watched = Watched(provider, keep_tokens="id access")
    watched.sign_in()

    def use(environ: dict[str, Any], start_response: Any) -> Any:
        authorized_session(environ).get("https://127.0.0.1/resource")
        return App()(environ, start_response)

    watched.middleware._app = use
    assert watched.get("/").status == 200
    watched.assert_nothing_is_told(log.text)


# A secret in an address


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedWorld]:
    with recorded.recorded_world(tmp_path_factory.mktemp("providers")) as world:
        yield world


@pytest.mark.requirement("R-dialects", "3i")
@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"errcode": 40125, "errmsg": f"invalid appsecret {minimal.CLIENT_SECRET}"},
        {"errcode": minimal.CLIENT_SECRET, "errmsg": quote_plus(minimal.CLIENT_SECRET)},
        Reply(302, {}),
        Reply(503, {}),
        Reply(200, b"<html>"),
        Reply(200, b"x" * 300_000),
    ],
)
@pytest.mark.parametrize("name", ["wechat", "wecom"])
def test_a_secret_in_an_address_is_told_nowhere(
    world: RecordedWorld, log: pytest.LogCaptureFixture, tmp_path: Path, name: str, answer: Any
) -> None:
    visitor = Visitor(world, recorded.read(name), tmp_path, keep_tokens="id access refresh")
    if answer is not None:
        visitor.provider.replaced["token_endpoint"] = answer
    assert (visitor.sign_in().status == 303) == (answer is None)
    assert any(quote_plus(minimal.CLIENT_SECRET) in query for query in visitor.provider.queries)
    visitor.visit()
    told = [log.text, *(reply.text for reply in visitor.answers)]
    told += [f"{name}: {value}" for reply in visitor.answers for name, value in reply.headers]
    secret = minimal.CLIENT_SECRET
    for spelling in {secret, quote(secret), quote_plus(secret), ascii(secret)[1:-1]}:
        assert spelling not in "\n".join(told)


# What a debugger or an error tracker would show


@pytest.mark.requirement("3i")
def test_a_session_shown_by_a_debugger_holds_no_token(provider: StandIn) -> None:
    watched = Watched(provider)
    watched.sign_in()
    session = None

    def keep(environ: dict[str, Any], start_response: Any) -> Any:
        nonlocal session
        session = environ["oauth2_mw.session"]
        return App()(environ, start_response)

    watched.middleware._app = keep
    watched.get("/")
    assert isinstance(session, Session)
    assert session.tokens["id_token"] not in repr(session)


@pytest.mark.requirement("3i")
def test_an_attempt_shown_by_a_debugger_holds_no_seed() -> None:
    attempt = Attempt(State("abcdefghijkl", int(time.time()), "default", 0), b"canary seed", "/")
    assert "canary" not in repr(attempt)


@pytest.mark.requirement("3i")
def test_cookies_shown_by_a_debugger_hold_no_value() -> None:
    assert "canary" not in repr(RequestCookies({"__Host-oauth2_mw": ["canary"]}, "app=1"))


@pytest.mark.requirement("3i")
def test_a_handle_shown_by_a_debugger_holds_no_key() -> None:
    assert "canary" not in repr(Handle("id", b"canary", 60, 60))
