"""A provider that lies, and what must come of it.

A :class:`Case` is one misbehaviour with its requirements: what the provider changes, and how the sign-in must
end. :func:`assert_refused` is the one judgement of all refusals, :func:`assert_signed_in` that of all sign-ins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.jose import Key, base64url, from_base64url, to_json
from tests.support.providers.standin import LEFT_OUT, Answer, Request, StandIn
from tests.support.settings.minimal import ORIGIN
from tests.support.stores.directory_file import count_users, empty_database

SECRET = "s3cret: %+&ü"
CALLBACK = f"{ORIGIN}/auth/oauth2/login/callback/"
START = "/deep?x=1"

DISCOVERY = "/.well-known/openid-configuration"
#: where the same is looked for after a 404
OAUTH_DISCOVERY = "/.well-known/oauth-authorization-server"
AUTHORIZE, TOKEN, JWKS, USERINFO = "/authorize", "/token", "/jwks", "/userinfo"
#: the calls of a first sign-in, in the order in which they must come
CALLS = (DISCOVERY, AUTHORIZE, TOKEN, JWKS, USERINFO)

Pairs = Iterable[tuple[str, str]]


@dataclass
class Hostile(StandIn):
    """The stand-in with the doors open that an honest provider keeps shut."""

    client_id: str = "app"
    client_secret: str = SECRET
    sends_iss: bool = True
    #: what follows the origin in the issuer
    suffix: str = ""
    #: makes what is sent as ID token out of the one that would be right
    forge: Callable[[str], str] | None = None
    #: makes the authorization response out of the right one
    respond: Callable[[dict[str, str]], Pairs] | None = None
    #: makes the ``state`` that comes back from the logout
    logout_state: Callable[[str], str | None] | None = None
    #: other path -> the usual path of what it answers
    moved: dict[str, str] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return self.url + self.suffix

    @property
    def calls(self) -> list[str]:
        """The paths that were called so far."""
        return [request.path for request in self.requests]

    def id_token(
        self, nonce: str | None, access_token: str, changes: Mapping[str, Any] = MappingProxyType({})
    ) -> str:
        token = super().id_token(nonce, access_token, changes)
        return token if self.forge is None else self.forge(token)

    def _route(self, request: Request) -> Answer:
        return super()._route(replace(request, path=self.moved.get(request.path, request.path)))

    def _authorize(self, query: Mapping[str, str]) -> Answer:
        answer = super()._authorize(query)
        if answer.status != 302:
            return answer
        right = dict(parse_qsl(urlsplit(dict(answer.headers)["Location"]).query))
        pairs = list((self.respond or dict.items)(right))
        if query.get("response_mode") == "form_post":
            return _self_posting_page(query["redirect_uri"], pairs)
        return Answer(status=302, headers=(("Location", f"{query['redirect_uri']}?{urlencode(pairs)}"),))

    def _end_session(self, request: Request) -> Answer:
        query = dict(request.query)
        if self.logout_state is not None:
            state = self.logout_state(query.pop("state"))
            query |= {} if state is None else {"state": state}
        return super()._end_session(replace(request, query=query))


def _self_posting_page(action: str, pairs: Pairs) -> Answer:
    """OAuth 2.0 Form Post Response Mode, section 2; the test presses the button."""
    inputs = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in pairs
    )
    html = f'<form method="post" action="{escape(action)}">{inputs}<button>Continue</button></form>'
    return Answer(html.encode(), content_type="text/html; charset=utf-8")


# A sign-in in front of such a provider


@dataclass
class Stage:
    """A browser, an application with a directory behind the middleware, and the provider."""

    provider: Hostile
    site: Guarded
    browser: Browser
    directory: str

    def sign_in(self, path: str = START) -> Page:
        """Open the application and go wherever that leads; the provider's form is sent, too."""
        page = self.browser.navigate(self.site.url + path)
        if page.url.startswith(self.provider.url) and page.forms:
            page = self.browser.submit()
        return page

    def users(self) -> int:
        """How many users the directory holds."""
        return count_users(self.directory)


@contextmanager
def stage(folder: Path, *, provider: Hostile | None = None, **settings: Any) -> Iterator[Stage]:
    """Set the stage.

    :param folder: where the directory lies.
    :param provider: one that listens already; by default a new one, that has told no lie yet.
    :param settings: of the middleware; ``None`` leaves one out.
    """
    directory = empty_database(folder / "users.db")
    with (
        nullcontext(provider) if provider else Hostile() as liar,
        guarded(
            **{"issuer": liar.issuer, "client_secret": SECRET, "directory": directory, **settings}
        ) as site,
    ):
        yield Stage(liar, site, site.browser(), directory)


# The two ways in which it can end


def assert_refused(there: Stage, page: Page, *, code: str, status: int = 400, until: str = JWKS) -> None:
    """Nobody got in: a page of ours, one audit line that it leads to, and nothing else anywhere.

    :param code: the stable word of the audit line.
    :param until: the provider's endpoint whose answer is the last one that we may ask for.
    """
    site = there.site
    assert page.status == status
    assert page.url.startswith(site.url)
    assert page.content_type == "text/html"
    assert page.header("Cache-Control") == "no-store"
    reference = re.search(r"\b[0-9a-f]{8}\b", page.visible_text)
    assert reference is not None, page.visible_text
    assert [line.split()[1] for line in site.audit] == [f"ref={reference[0]}"], site.audit
    assert f"code={code}" in site.audit[0].split(), site.audit
    assert "Traceback" not in page.text
    names = there.browser.jar.names(site.url)
    assert not [name for name in names if name.partition(".")[0] == site.session_cookie]
    assert there.users() == 0
    assert there.browser.fetch(site.url + "/whoami").status == 401
    assert site.app.calls == 0
    assert_no_call_after(there.provider, until)


def assert_no_call_after(provider: Hostile, until: str) -> None:
    """The provider was asked up to *until*, in the usual order, and for no code twice."""
    usual = [provider.moved.get(path, path).removeprefix(provider.suffix) for path in provider.calls]
    usual = [DISCOVERY if path == OAUTH_DISCOVERY + provider.suffix else path for path in usual]
    if usual.count(JWKS) == 2 and usual[-1] == JWKS:
        # For a signature that no key verifies: the provider may have changed its keys.
        usual.pop()
    assert usual[-1] == until, usual
    assert usual.count(TOKEN) <= 1
    assert list(dict.fromkeys(usual)) == list(CALLS[: CALLS.index(until) + 1])


def assert_signed_in(there: Stage, page: Page, *, user: str = "jane", path: str = START) -> None:
    """Somebody got in: the application sees the user, at the address that was asked for."""
    assert page.url == there.site.url + path, (page.status, there.site.audit)
    assert page.json()["user"] == user
    assert there.site.session_cookie in there.browser.jar.names(there.site.url)
    assert there.users() == 1
    assert [line.split()[0] for line in there.site.audit] == ["event=login"]


# Cases


Change = Callable[[Hostile], None]


@dataclass(frozen=True)
class Case:
    """One thing that a provider does, and what must come of it."""

    change: Change
    #: the audit line's code; ``None``: the sign-in must work
    code: str | None
    status: int
    until: str
    settings: Mapping[str, Any]

    def run(self, folder: Path) -> None:
        """Let the provider do it, and judge the end."""
        with stage(folder, **self.settings) as there:
            self.change(there.provider)
            page = there.sign_in()
            if self.code is None:
                assert_signed_in(there, page)
            else:
                assert_refused(there, page, code=self.code, status=self.status, until=self.until)


def refused(
    requirements: str,
    what: str,
    change: Change,
    code: str,
    *,
    status: int = 400,
    until: str = JWKS,
    **settings: Any,
) -> Any:
    """A parameter: *change* must end the sign-in.

    :param requirements: at most three ids of ``requirements.tsv``, between blanks.
    :param what: the lie, in a few words.
    """
    return _parameter(requirements, what, Case(change, code, status, until, settings))


#: By the authorization response: nothing is asked of the provider.
answer_refused = partial(refused, until=AUTHORIZE)
#: By the token response.
tokens_refused = partial(refused, status=502, until=TOKEN)
#: By an ID token of which no signature needs to be verified: no key is fetched.
refused_unread = partial(refused, until=TOKEN)
#: By the userinfo answer.
userinfo_refused = partial(refused, status=502, until=USERINFO)


def accepted(requirements: str, what: str, change: Change, **settings: Any) -> Any:
    """A parameter: *change* is allowed, and the sign-in must work."""
    return _parameter(requirements, what, Case(change, None, 200, USERINFO, settings))


def _parameter(requirements: str, what: str, case: Case) -> Any:
    ids = requirements.split()
    return pytest.param(case, id=f"{ids[0]} {what}", marks=pytest.mark.requirement(*ids))


# What a provider may do


def edited(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """*members* with *changes*: a value, ``LEFT_OUT``, or a function of the value that would be right."""
    new = {**members, **changes}
    for name, value in changes.items():
        if callable(value):
            new[name] = value(members.get(name))
    return {name: value for name, value in new.items() if value is not LEFT_OUT}


def nothing(provider: Hostile) -> None:
    """The provider does not lie."""


def both(*changes: Change) -> Change:
    """All of *changes*, in their order."""

    def change(provider: Hostile) -> None:
        for each in changes:
            each(provider)

    return change


def claims(**changes: Any) -> Change:
    """Claims of the ID token, under a good signature."""
    return forged(lambda provider, token: signed(provider, edited(claims_of(token), changes)))


def payload(make: Callable[[bytes], bytes]) -> Change:
    """The payload of the ID token as bytes, under a good signature."""
    return forged(lambda provider, token: provider.key.sign(make(to_json(claims_of(token)))))


def header(**changes: Any) -> Change:
    """Members of the ID token's header, under a good signature; ``None`` leaves one out."""

    def change(provider: Hostile) -> None:
        provider.header.update(changes)

    return change


def forged(make: Callable[[Hostile, str], str]) -> Change:
    """Any text as ID token, made of the right one."""

    def change(provider: Hostile) -> None:
        provider.forge = lambda token: make(provider, token)

    return change


def signed_by(key: Key, *published: Any) -> Change:
    """An ID token signed with *key*, which the metadata announces; in the key set stand *published*."""

    def change(provider: Hostile) -> None:
        provider.key = key
        provider.jwks = list(published) or None

    return change


def answered(name: str, value: Any) -> Change:
    """Another answer of an endpoint: see ``StandIn.answers``."""

    def change(provider: Hostile) -> None:
        provider.answers[name] = value

    return change


def members_of(name: str, **changes: Any) -> Change:
    """Other members in the JSON answer of an endpoint."""
    return answered(name, lambda right: edited(right, changes))


def responds(make: Callable[[dict[str, str]], Pairs]) -> Change:
    """Another authorization response."""

    def change(provider: Hostile) -> None:
        provider.respond = make

    return change


def response(**changes: Any) -> Change:
    """Other parameters in the authorization response."""
    return responds(lambda right: edited(right, changes).items())


# Tokens


def unsigned(alg: Any, signature: bytes = b"") -> Change:
    """The right claims under an algorithm that needs no key."""
    return forged(lambda _, token: sealed({"alg": alg}, claims_of(token), lambda _: signature))


def signed(provider: Hostile, members: dict[str, Any]) -> str:
    """A token of the provider with these claims."""
    return provider.key.sign(members, **provider.header)


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a token, whatever its signature."""
    members: dict[str, Any] = json.loads(from_base64url(token.split(".")[1]))
    return members


def sealed(head: Mapping[str, Any], body: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A compact JWS with a signature of any kind."""
    text = f"{base64url(to_json(dict(head)))}.{base64url(to_json(dict(body)))}"
    return f"{text}.{base64url(sign(text.encode()))}"


def with_signature(change: Callable[[bytes], bytes]) -> Change:
    """The right ID token with another signature."""

    def make(_provider: Hostile, token: str) -> str:
        text, _, signature = token.rpartition(".")
        return f"{text}.{base64url(change(from_base64url(signature)))}"

    return forged(make)
