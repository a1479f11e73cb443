"""Every preset signs somebody in, and out, at what its provider's documentation shows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
import time_machine

from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings import presets
from oauth2_mw.settings.model import Settings
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers import recorded
from tests.support.providers.dialects import provider_of
from tests.support.providers.recorded import RecordedProvider, RecordedWorld, Recording
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN

PREFIX = "/auth/oauth2"
FIELDS = ("subject", "name", "email", "phone", "groups")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedWorld]:
    with recorded.recorded_world(tmp_path_factory.mktemp("providers")) as world:
        yield world


class Visitor:
    """A browser at an application whose settings are the preset and what its user must write."""

    def __init__(self, world: RecordedWorld, recording: Recording, folder: Path, **more: str) -> None:
        self._world = world
        self.recording = recording
        self.provider: RecordedProvider = provider_of(recording)
        world.open(self.provider)
        preset = presets.read(recording.name, Path())
        settings = {
            "public_url": ORIGIN,
            "secret_keys": text_key(),
            "preset": recording.name,
            "client_id": recording.client_id,
            "client_secret": CLIENT_SECRET,
            "proxy": world.proxy,
            "ca_bundle": str(world.certificate),
            **({"allow": "*"} if preset.public else {}),
            **({"directory": f"sqlite:///{folder}/users.db"} if preset.unique_usernames is False else {}),
            **recording.members["settings"],
            **more,
        }
        self._middleware = OAuth2Middleware(self._application, Settings.from_mapping(settings))
        self._cookies: dict[str, str] = {}
        self.environ: WSGIEnvironment | None = None

    def _application(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        self.environ = environ
        start_response("200 OK", [])
        return [b"hello"]

    def visit(self, path: str = "/", **keys: Any) -> WsgiResponse:
        self.environ = None
        header = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        answer = call(
            self._middleware, environ_for(path, HTTP_COOKIE=header, HTTP_ACCEPT="text/html", **keys)
        )
        for name, text in answer.cookies.items():
            value = text.partition("=")[2].partition(";")[0]
            self._cookies.pop(name, None)
            if "Max-Age=0" not in text:
                self._cookies[name] = value
        assert self._world.errors == []
        return answer

    def sign_in(self) -> WsgiResponse:
        """Go to the provider and come back; return the answer to that."""
        request = self.visit().header("Location") or ""
        parameters = dict(parse_qsl(urlsplit(request).query))
        query = urlencode({**self.provider.authorize(request), **self.recording.members.get("callback", {})})
        path = f"{PREFIX}/login/callback/"
        assert parameters["redirect_uri"] == ORIGIN + path
        if parameters.get("response_mode") != "form_post":
            return self.visit(path, QUERY_STRING=query)
        form = {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(query)),
            "wsgi.input": io.BytesIO(query.encode()),
        }
        return self.visit(path, **form)

    def sign_out(self) -> str:
        """Where a link of the application to the logout leads."""
        fetched = {"SITE": "same-origin", "MODE": "navigate", "DEST": "document"}
        headers = {f"HTTP_SEC_FETCH_{name}": value for name, value in fetched.items()}
        return self.visit(f"{PREFIX}/logout/", **headers).header("Location") or ""


def test_a_code_under_another_name_is_no_longer_than_one_under_its_own(
    world: RecordedWorld, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    visitor = Visitor(world, recorded.read("dingtalk"), tmp_path)
    request = dict(parse_qsl(urlsplit(visitor.visit().header("Location") or "").query))
    query = urlencode({"authCode": "x" * 4097, "state": request["state"]})
    assert visitor.visit(f"{PREFIX}/login/callback/", QUERY_STRING=query).status == 400
    assert "code=too_long " in caplog.text


def test_every_preset_is_tried() -> None:
    assert list(presets.names()) == recorded.names()


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize("name", recorded.names())
def test_a_preset_signs_in_and_out_as_its_provider_documents(
    world: RecordedWorld, name: str, tmp_path: Path
) -> None:
    recording = recorded.read(name)
    visitor = Visitor(world, recording, tmp_path)
    answer = visitor.sign_in()
    assert answer.status == 303, answer.text
    assert visitor.visit().status == 200
    assert visitor.environ is not None
    identity = visitor.environ["oauth2_mw.identity"]
    found = {name: getattr(identity, name) for name in FIELDS}
    expected = {"groups": [], **recording.members["expected"]}
    assert {"REMOTE_USER": visitor.environ["REMOTE_USER"], **found} == {
        **dict.fromkeys(FIELDS),
        **expected,
        "groups": tuple(expected["groups"]),
    }
    secret = quote_plus(CLIENT_SECRET)
    is_in_address = any(secret in query for query in visitor.provider.queries)
    assert is_in_address == (recording.members.get("dialect") in ("wechat", "wecom"))
    location = visitor.sign_out()
    logout = recording.members["logout"]
    if logout is None:
        assert location in ("", f"{ORIGIN}{PREFIX}/logout/done/")
    else:
        address, _, query = location.partition("?")
        assert address == logout["address"]
        assert sorted(key for key, _ in parse_qsl(query)) == sorted(logout["parameters"])
    assert visitor.visit().status == 303


REFRESHES = [name for name in recorded.names() if "refresh" in recorded.read(name).members]


@pytest.mark.parametrize("name", REFRESHES)
def test_a_preset_refreshes_as_its_provider_documents(
    world: RecordedWorld, name: str, tmp_path: Path
) -> None:
    recording = recorded.read(name)
    long = {"session_lifetime": "365d", "session_idle": "365d", "keep_tokens": "id refresh"}
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        visitor = Visitor(world, recording, tmp_path, **long, **recording.members["refresh_settings"])
        assert visitor.sign_in().status == 303
        assert visitor.visit().status == 200
        address = recording.addresses.get("refresh_endpoint", recording.addresses["token_endpoint"])
        before = visitor.provider.calls.count(address)
        token = recording.members["token"]
        clock.shift(int(token.get("expires_in") or token["expireIn"]))
        assert visitor.visit().status == 200
        assert visitor.provider.calls.count(address) == before + 1
        assert visitor.environ is not None
        assert visitor.environ["REMOTE_USER"] == recording.members["expected"]["REMOTE_USER"]


REFUSED = [
    pytest.param(name, case, id=f"{name}-{number}")
    for name in recorded.names()
    for number, case in enumerate(recorded.read(name).members.get("refused", ()))
]


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize(("name", "case"), REFUSED)
def test_a_preset_refuses_what_its_provider_does_not_vouch_for(
    world: RecordedWorld, name: str, case: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {member: value for member, value in case.items() if member != "code"}
    visitor = Visitor(world, recorded.read(name).changed(changes), tmp_path)
    assert visitor.sign_in().status >= 400
    assert f"code={case['code']} " in caplog.text
    assert visitor.visit().status == 303
