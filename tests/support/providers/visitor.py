"""A browser at an application that is guarded as a preset says, with the recorded provider of that name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings import presets
from oauth2_mw.settings.model import Settings
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.dialects import provider_of
from tests.support.providers.recorded import RecordedProvider, RecordedWorld, Recording
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN

PREFIX = "/auth/oauth2"


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
        #: what the application was called with last, if it was
        self.environ: WSGIEnvironment | None = None
        self.answers: list[WsgiResponse] = []

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
        self.answers.append(answer)
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
