"""What a browser sends back to us: cookies and the state parameter, genuine, spoilt and made up.

Our own sealed texts are different at every start, so inputs name them: ``@session@`` stands for the cookie value of a
live session, and so on. Nothing else may ever sign anybody in.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from oauth2_mw.identity.model import Identity
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cookies import MAX_CHUNKS, MAX_COPIES, Cookies
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.web.signin.attempt import SLOTS, Attempts
from tests.support.settings.minimal import make_settings

NOW = 1_800_000_000
COOKIE = "__Host-oauth2_mw"
_PURPOSES = ("session", "attempt", "state")


@cache
def sessions() -> SessionManager:
    settings = make_settings(issuer="https://id.example", cookie_name="oauth2_mw")
    return SessionManager(settings, clocks=Clocks(wall=lambda: float(NOW)))


def identity(subject: str, **more: Any) -> Identity:
    """Somebody whom the provider of these tests vouches for."""
    return Identity(subject, "default", "https://id.example", subject, "jane", **more)


@cache
def genuine() -> Mapping[str, str]:
    """What inputs may name -> what it stands for."""
    found = sessions()
    provider = found._settings.providers["default"]
    nothing = found.cookies.read("")
    values = [
        cookie.partition("=")[2].partition(";")[0]
        for person in (identity("short"), identity("long", comment="x" * 3600))
        for cookie in found.create(provider, person, {}, nothing)
    ]
    _, state, cookies = attempts().begin("default", "/page?x=1", nothing)
    name, _, value = cookies[0].partition("=")
    return {
        "@session@": values[0],
        "@long.0@": values[1],
        "@long.1@": values[2],
        "@state@": state,
        "@attempt.name@": name,
        "@attempt@": value.partition(";")[0],
    }


@cache
def attempts() -> Attempts:
    return Attempts(sessions().sealer, sessions().cookies, clock=lambda: float(NOW))


def expand(text: str, names: Mapping[str, str]) -> str:
    """*text* with what it names."""
    for name, value in names.items():
        text = text.replace(name, value)
    return text


def cookies(data: bytes) -> None:
    """A ``Cookie`` header: ours are found, the others are handed on, and only a genuine one signs in."""
    header = expand(data.decode("latin-1"), genuine())
    for secure in (True, False):
        _read(Cookies("oauth2_mw", secure=secure), header)
    current = sessions().resolve(header)
    if current is None:
        assert COOKIE not in header
        return
    assert current.remaining_cookies == sessions().cookies.read(header).other_header
    if current.session is not None:
        subject = current.session.identity.subject
        needed = {"short": ["@session@"], "long": ["@long.0@", "@long.1@"]}[subject]
        assert all(genuine()[name] in header for name in needed), "a session out of nothing"
        assert not current.invalid
        assert current.environ["REMOTE_USER"] == "jane"


def _pairs(header: str) -> list[str]:
    return [pair.strip(" \t") for pair in header.split(";") if pair.strip(" \t")]


def _read(reader: Cookies, header: str) -> None:
    cookies = reader.read(header)
    pairs = _pairs(header)
    others = _pairs(cookies.other_header or "")
    assert all(pair in pairs for pair in others)
    siblings = [pair for pair in pairs if not reader.without_siblings(pair)]
    assert len(others) + sum(map(len, cookies.own.values())) + len(siblings) >= len(pairs)
    ours = re.compile(re.escape(reader.session) + r"(?:\.[0-9]{1,2}|-a-[a-h])?[ \t]*=")
    assert not any(ours.match(pair) for pair in others), "the application sees a cookie of ours"
    again = reader.read(cookies.other_header or "")
    assert not again.own
    assert _pairs(again.other_header or "") == others
    assert {*reader.session_names(cookies), *reader.attempt_names(cookies)} == set(cookies.own)
    values = list(reader.session_values(cookies))
    assert len(values) <= 2 * MAX_COPIES
    for count, text in values:
        assert 1 <= count <= MAX_CHUNKS
        assert len(text) <= len(header)
    for name in cookies.own:
        assert name.startswith(reader.session)
    for cookie in (*reader.expire_session(cookies), *map(reader.expire, cookies.own)):
        assert cookie.isascii()
        assert cookie.isprintable()


def sealing(data: bytes) -> None:
    """Nothing opens but what was sealed; two bytes of input are a place in a sealed text and what to change there."""
    sealer = sessions().sealer
    raw = data.decode("utf-8", "surrogateescape")
    for purpose in _PURPOSES:
        assert sealer.open(purpose, COOKIE, raw) is None, "something opens that nobody sealed"
    text = sealer.seal("session", COOKIE, data)
    assert sealer.open("session", COOKIE, text) == data
    assert sealer.open("attempt", COOKIE, text) is None
    assert sealer.open("session", COOKIE + "x", text) is None
    octets = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    before = bytes(octets)
    for place, change in zip(data[::2], data[1::2], strict=False):
        octets[place % len(octets)] ^= change
    changed = base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
    expected = data if bytes(octets) == before else None
    assert sealer.open("session", COOKIE, changed) == expected


def attempt(data: bytes) -> None:
    """A state parameter on the first line, a ``Cookie`` header on the second: only a genuine pair is an attempt."""
    first, _, second = data.decode("latin-1").partition("\n")
    text, header = (expand(part, genuine()) for part in (first, second))
    state = attempts().open_state(text)
    assert (state is not None) == (text == genuine()["@state@"]), "a state that nobody sealed"
    cookies = sessions().cookies.read(header)
    if state is not None:
        found = attempts().find(state, cookies)
        if found is not None:
            assert f"{genuine()['@attempt.name@']}=" in header, "an attempt of another browser"
            assert genuine()["@attempt@"] in header
            assert found.destination == "/page?x=1"
    for cookie in attempts().expire_unusable(cookies):
        assert cookie.isascii()
        assert cookie.isprintable()
    attempts().is_login_loop(cookies)


def other_version(data: bytes) -> None:
    """What another version of this package may have sealed under the same keys: nothing, or of the right kind.

    For a session *data* is the whole payload; for an attempt too, and its first item is the payload of the state.
    """
    # Neither a provider nor any version of ours brings deeper ones or longer numbers there.
    if data.count(b"[") + data.count(b"{") > 100 or re.search(rb"[0-9]{19}|[0-9][eE]", data):
        return
    _other_session(data)
    sealer = sessions().sealer
    try:
        first = json.dumps(json.loads(data)[0]).encode()
    except (ValueError, TypeError, KeyError, IndexError):
        first = data
    state = attempts().open_state(sealer.seal("state", "", first))
    if state is not None and state.slot in SLOTS:
        assert [*map(type, (state.id, state.started, state.provider, state.restarts))] == [str, int, str, int]
        name = f"{COOKIE}-a-{state.slot}"
        cookies = sessions().cookies.read(f"{name}={sealer.seal('attempt', name, data)}")
        found = attempts().find(state, cookies)
        if found is not None:
            assert type(found.destination) is str
            assert type(found.seed) is bytes
            found.is_pending(NOW)
        attempts().expire_unusable(cookies)
        attempts().is_login_loop(cookies)


def _other_session(data: bytes) -> None:
    sealed = sessions().sealer.seal("session", COOKIE, bytes([1]) + data)
    current = sessions().resolve(f"{COOKIE}={sealed}")
    assert current is not None
    if current.session is not None:
        sessions().renewal.set_cookies(current)
        assert json.loads(current.session.to_payload())
        environ = dict(current.environ)
        assert environ.pop("oauth2_mw.session") is current.session
        assert environ.pop("oauth2_mw.identity") is current.session.identity
        assert all(type(value) is str for value in environ.values())
