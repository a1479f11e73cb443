"""Whole requests, and what the application sees of them."""

from __future__ import annotations

import io
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import ada_url

from oauth2_mw.errors import ProviderError
from oauth2_mw.identity.environ import EnvironWriter, Scrubber
from oauth2_mw.identity.mapping import map_claims
from oauth2_mw.identity.model import Identity, freeze
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.provider.http.documents import DocumentError, read_object
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.session.cookies import Cookies
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.proxy_headers import ANNOUNCERS
from tests.fuzz.session import expand
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.providers.fixed_transport import FixedTransport
from tests.support.settings.minimal import make_settings
from tests.support.settings.providers import provider_settings

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
ENVIRON = {
    "REMOTE_EMAIL": "email",
    "HTTP_X_REMOTE_GROUPS": "groups",
    "MY_ROLE": "claims.role",
    "MY_ROLES": "claims.roles",
}

_HEADERS = [header for announcer in ANNOUNCERS for header in announcer.headers]

# Who somebody is


def _says_who(key: str) -> bool:
    """Whether a server or an application could take *key* for the identity, decided in another way than ours."""
    words = "".join(mark if mark.isascii() and mark.isalnum() else " " for mark in key.upper()).split()
    while words[1:] and words[0] in ("HTTP", "X", "REDIRECT"):
        del words[0]
    name = "_".join(words)
    exact = {header.upper().replace("-", "_").removeprefix("X_") for header in _HEADERS}
    stems = tuple(stem.removesuffix("*") for stem in exact if stem.endswith("*"))
    return (
        name in exact | {"REMOTE_USER", "AUTH_TYPE", "MY_ROLE", "MY_ROLES"}
        or name.startswith("OAUTH2_MW")
        or name.startswith(stems)
    )


@cache
def _scrubber(strip: Any) -> Scrubber:
    """One that lives as long as a process and remembers what it has seen."""
    return Scrubber(ENVIRON, strip)


def scrub(data: bytes) -> None:
    """Lines ``KEY=value``: no key that says who somebody is stays, every other one does."""
    given = dict(line.partition("=")[::2] for line in data.decode("latin-1").split("\n"))
    for strip in ("basic", "all", "none"):
        environ, fresh = dict(given), dict(given)
        _scrubber(strip)(environ)
        Scrubber(ENVIRON, strip)(fresh)
        assert environ == fresh, "the verdict depends on what came before"
        for key, value in given.items():
            header = re.sub("[^0-9A-Z]+", "_", key.upper()).strip("_")
            credentials = header in ("HTTP_AUTHORIZATION", "AUTHORIZATION", "REDIRECT_HTTP_AUTHORIZATION")
            if credentials and strip != "none":
                gone = strip == "all" or value.lstrip().lower().startswith("basic")
            else:
                gone = _says_who(key) and not key.startswith("wsgi.")
            assert (key not in environ) == gone, f"{key!a} is judged wrongly"
        _scrubber(strip)(environ)
        assert environ == fresh


def writer(data: bytes) -> None:
    """A provider's claims: what reaches the environ is one line of text each, and lists can be told apart."""
    try:
        claims = read_object(data)
        mapped = map_claims(_provider(), claims)
        person = Identity(
            id="u1",
            provider="default",
            issuer="https://op.example",
            subject="1",
            username=mapped.username,
            name=mapped.name,
            email=mapped.email,
            groups=mapped.groups,
            claims=freeze(claims),
        )
        keys = EnvironWriter({**ENVIRON, "MY_COMMENT": "claims.comment"}).plain(person, {})
    except DocumentError:
        return
    except ProviderError as error:
        assert error.detail.isprintable()
        return
    assert keys["REMOTE_USER"].encode("latin-1").decode("utf-8") == mapped.username
    assert keys["AUTH_TYPE"] == "OAuth2"
    for value in keys.values():
        text = value.encode("latin-1").decode("utf-8")
        assert text
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", text)
    groups = keys.get("HTTP_X_REMOTE_GROUPS")
    listed = groups.encode("latin-1").decode("utf-8").split(",") if groups is not None else []
    assert [unquote(group.replace("%2C", ",")) for group in listed] == [
        unquote(group.replace("%", "%25")) for group in mapped.groups
    ], "a group is told wrongly"


@cache
def _provider() -> Any:
    paths = {"username": "login", "email": "email", "name": "name", "groups": "groups"}
    return provider_settings(
        attribute_map=MappingProxyType({field: AttributePath.parse(path) for field, path in paths.items()}),
        username_transform=("lower", "localpart"),
    )


# The whole middleware

#: What the provider always answers, at every endpoint.
_ANSWER = {"access_token": "at", "token_type": "Bearer", "id": 7, "login": "jane", "groups": ["staff"]}
_PROVIDER = {
    "authorization_endpoint": "https://id.example/authorize?a=b",
    "token_endpoint": "https://id.example/token",
    "userinfo_endpoint": "https://id.example/user",
    "logout_endpoint": "https://id.example/logout",
    "attribute_map": '{"username": "login", "groups": "groups"}',
    "client_id": "app",
    "client_secret": "s3cret",
}


class App:
    """Keeps what it was asked last."""

    def __init__(self) -> None:
        self.environ: dict[str, Any] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.environ = environ
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    def forget(self) -> None:
        self.environ = None


class Service:
    """One application behind the middleware, whose provider is never far away."""

    def __init__(self, *, mount: str, protect: str) -> None:
        self.app = App()
        self.mount = mount
        self.required = protect == "required"
        self.settings = make_settings(
            public_url=f"https://app.example{mount}",
            protect=protect,
            public_paths="/public/ /robots.txt",
            client_id=None,
            client_secret=None,
            **{
                "provider:corp": {**_PROVIDER, "username_prefix": "c-"},
                "provider:post": {
                    **_PROVIDER,
                    "username_prefix": "p-",
                    "response_mode": "form_post",
                    "same_users_as": "corp",
                },
            },
        )
        self.middleware = OAuth2Middleware(self.app, self.settings)
        site = self.middleware._site()
        for name in self.settings.providers:
            fixed = FixedTransport(_json_answer())
            client = site._clients.get(name)
            for transport in (client._transport, client._refresh_transport):
                vars(transport).update(get_json=fixed.get_json, post_form=fixed.post_form)
        self.site = site
        sessions = self.middleware._sessions
        person = Identity("u1", "corp", "https://id.example", "7", "jane", groups=("staff",))
        cookie = sessions.create(self.settings.providers["corp"], person, {}, sessions.cookies.read(""))[0]
        self.session = cookie.partition("=")[2].partition(";")[0]

    def names(self, text: str) -> Mapping[str, str]:
        """What *text* may name; an attempt is begun for an input that names one."""
        found = {"@session@": self.session}
        for provider in self.settings.providers:
            if f"@state.{provider}@" in text or f"@attempt.{provider}@" in text:
                nothing = self.middleware._sessions.cookies.read("")
                _, state, cookies = self.site._login._attempts.begin(provider, f"{self.mount}/page", nothing)
                found[f"@state.{provider}@"] = state
                found[f"@attempt.{provider}@"] = cookies[0].partition(";")[0]
        return found

    def environ(self, text: str) -> dict[str, Any]:
        """``GET /path?query``, lines ``KEY=value``, an empty line, a body."""
        head, _, body = text.partition("\n\n")
        request, *lines = head.split("\n")
        method, _, target = request.partition(" ")
        path, _, query = target.partition("?")
        octets = body.encode("latin-1")
        environ = environ_for(
            unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
            REQUEST_METHOD=method or "GET",
            QUERY_STRING=query,
            CONTENT_LENGTH=str(len(octets)),
            **{"wsgi.input": io.BytesIO(octets)},
        )
        fixed = ("wsgi.", "REQUEST_METHOD", "PATH_INFO", "QUERY_STRING")
        written = (line.partition("=")[::2] for line in lines)
        return environ | {key: value for key, value in written if key and not key.startswith(fixed)}


def _json_answer() -> Response:
    return Response(
        status=200,
        content_type="application/json",
        body=json.dumps(_ANSWER).encode(),
        headers=MappingProxyType({}),
        url="https://id.example/",
    )


@cache
def _services() -> tuple[Service, ...]:
    return (Service(mount="", protect="required"), Service(mount="/core", protect="optional"))


def begin_anew() -> None:
    """Forget the applications, and with them what they remember of paths and cookies."""
    _services.cache_clear()


def middleware(data: bytes) -> None:
    """Any request at all: never a fault of ours, nobody unknown gets in, nothing leads astray."""
    text = data.decode("latin-1")
    for service in _services():
        names = service.names(text)
        environ = service.environ(expand(text, names))
        path, script = environ["PATH_INFO"], environ.get("SCRIPT_NAME", "")
        header = environ.get("HTTP_COOKIE", "")
        signed_in = names["@session@"] in header
        live = any(
            f"@state.{name}@" in names
            and names[f"@state.{name}@"] in text_of(environ)
            and names[f"@attempt.{name}@"] in header
            for name in service.settings.providers
        )
        service.app.forget()
        answer = call(service.middleware, environ)
        for name, value in answer.headers:
            assert not _CONTROL.search(name + value), "a header holds a control character"
            (name + value).encode("latin-1")
        body = b"".join(answer.iterable)
        cookies = service.middleware._sessions.cookies
        sets_session = not answer.cookies.get(cookies.session, f"{cookies.session}=;").startswith(
            f"{cookies.session}=;"
        )
        if service.app.environ is not None:
            inside = re.match(r"/public/|/robots\.txt\Z", posixpath.normpath(path) + "/" * path.endswith("/"))
            public = script in ("", service.mount) and inside and re.match(r"/public/|/robots\.txt\Z", path)
            assert signed_in or public or not service.required, "the application is asked without a session"
            _check_application(service.app.environ, cookies, signed_in=signed_in)
            assert not sets_session or signed_in
            continue
        assert answer.status != 500, "a fault of ours"
        misplaced = script not in ("", service.mount)
        assert answer.status < 500 or live or misplaced, "the provider is blamed and was never asked"
        assert live or not sets_session, "a session without an attempt"
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("X-Content-Type-Options") == "nosniff"
        policy = answer.header("Content-Security-Policy") or ""
        framed = answer.status == 401 and "frame-ancestors *" in policy and b"<form" not in body
        assert framed or "frame-ancestors 'none'" in policy
        assert b"<xss" not in body.lower(), "request text reaches a page"
        location = answer.header("Location")
        if location is not None:
            url = ada_url.URL(location, "https://elsewhere.example")
            assert url.origin == "https://app.example" or (
                url.origin == "https://id.example" and url.pathname in ("/authorize", "/logout")
            ), "it leads astray"
            assert url.origin != "https://app.example" or url.pathname.startswith(f"{service.mount}/")


def text_of(environ: Mapping[str, Any]) -> str:
    """Where a state can stand: the query or the form."""
    stream = environ["wsgi.input"]
    return f"{environ['QUERY_STRING']}\n{stream.getvalue().decode('latin-1')}"


def _check_application(environ: Mapping[str, Any], cookies: Cookies, *, signed_in: bool) -> None:
    identity = environ.get("oauth2_mw.identity")
    assert (identity is not None) <= signed_in
    if identity is None:
        ours = ("oauth2_mw.urls", "oauth2_mw.request", "oauth2_mw.hidden_credential")
        theirs = [key for key in environ if _says_who(key) and key not in ours]
        assert not theirs, "somebody else says who it is"
    else:
        assert environ["REMOTE_USER"] == identity.username == "jane"
    assert not cookies.read(environ.get("HTTP_COOKIE", "")).own, "the application sees a cookie of ours"
