"""Sessions: the cache of opened ones is bounded and never outlives a key, a limit or a logout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.identity.model import Identity, freeze
from oauth2_mw.session.cookies import MAX_COPIES
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.settings.grammar import KeyEntry, format_key_line
from tests.support.hosts.guarded import new_session
from tests.support.settings.keys import raw_key
from tests.support.settings.minimal import make_settings

JANE = Identity("u1", "default", "https://id.example", "42", "jane")


def make_sessions(**keys: Any) -> SessionManager:
    return SessionManager(make_settings(issuer="https://id.example", **keys))


def header(sessions: SessionManager, identity: Identity = JANE, **tokens: str) -> str:
    return new_session(sessions, identity, tokens)


def signed_in(sessions: SessionManager, cookie: str) -> bool:
    current = sessions.resolve(cookie)
    return current is not None and current.session is not None


def test_a_cookie_seen_before_is_not_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = make_sessions()
    cookie = header(sessions)
    assert signed_in(sessions, cookie)
    monkeypatch.setattr(sessions.sealer, "open", lambda *_: pytest.fail("opened again"))
    assert signed_in(sessions, cookie)
    for beside in (f"a=1; {cookie}", f"{cookie};b", f"{cookie}; {cookie}", cookie.replace("=", '="') + '"'):
        assert signed_in(sessions, beside)
    assert sessions.remaining_cookies(cookie) is None
    assert sessions.remaining_cookies("a=1") == "a=1"


@pytest.mark.requirement("3h.3")
def test_the_cache_is_bounded_in_entries_and_in_bytes() -> None:
    sessions = make_sessions()
    sessions._cache.max_entries = 10
    for number in range(50):
        assert signed_in(sessions, f"other={number}; {header(sessions)}")
    assert len(sessions._cache) == 10
    sessions._cache.max_cost = 20_000
    for number in range(50):
        assert signed_in(sessions, f"more={number}{'x' * 1000}; {header(sessions)}")
    assert 0 < len(sessions._cache) < 10


@pytest.mark.requirement("3h.3")
def test_one_cookie_in_many_headers_is_remembered_once() -> None:
    sessions = make_sessions()
    cookie = header(sessions)
    for number in range(50):
        assert signed_in(sessions, f"other={number}; {cookie}")
    assert len(sessions._cache) == 1
    cost = sessions._cache._cost
    assert signed_in(sessions, f"other={'x' * 6000}; {cookie}")
    assert cost + 12_000 < sessions._cache._cost < cost + 18_000


def test_nobody_waits_for_the_cache() -> None:
    """Least of all a process that was forked while another thread wrote to it: the lock stays taken there."""
    sessions = make_sessions()
    cookie = header(sessions)
    with sessions._cache._lock:
        assert signed_in(sessions, cookie)
    assert len(sessions._cache) == 0
    assert signed_in(sessions, cookie)
    assert len(sessions._cache) == 1


def test_a_crowd_of_copies_costs_few_openings(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = make_sessions()
    name, opened = sessions.cookies.session, []
    monkeypatch.setattr(sessions.sealer, "open", lambda *what: opened.append(what))
    assert not signed_in(sessions, f"{name}=a; {name}=b; {name}=c; {name}.1=d")
    assert len(opened) == MAX_COPIES + 1


@pytest.mark.requirement("3c.3")
def test_a_retired_key_ends_its_sessions_in_the_cache_too(tmp_path: Path) -> None:
    path = tmp_path / "keys"

    def write(*numbers: int) -> None:
        lines = [format_key_line(KeyEntry(f"k{n}", 1_700_000_000 + n, raw_key(n))) for n in numbers]
        (tmp_path / "new").write_text("\n".join(lines) + "\n")
        (tmp_path / "new").replace(path)

    write(1)
    sessions = make_sessions(secret_keys=f"file:{path}")
    old = header(sessions)
    assert signed_in(sessions, old)
    write(1, 2)
    sessions._keyring.next_look = 0
    assert signed_in(sessions, old)
    new = header(sessions)
    write(2)
    sessions._keyring.next_look = 0
    assert not signed_in(sessions, old)
    assert signed_in(sessions, new)


@pytest.mark.requirement("3c.12")
@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x01{}", b"\x01[]", b"\x01null", b"\x01\xff", b"\x02{}"])
def test_a_payload_of_another_shape_is_no_session(payload: bytes) -> None:
    sessions = make_sessions()
    text = sessions.sealer.seal("session", sessions.cookies.session, payload)
    current = sessions.resolve(f"{sessions.cookies.session}={text}")
    assert current is not None
    assert current.session is None
    assert current.invalid


@pytest.mark.requirement("3c.7")
def test_a_session_cut_short_or_carried_on_signs_nobody_in() -> None:
    sessions = make_sessions(keep_tokens="id")
    cookie = header(sessions, id_token="x" * 3000)
    name = sessions.cookies.session
    first, second = (part.partition("=")[2] for part in cookie.split("; "))
    assert signed_in(sessions, cookie)
    assert not signed_in(sessions, f"{name}={first}")
    assert not signed_in(sessions, f"{name}={second}; {name}.1={first}")
    assert not signed_in(sessions, f"{name}={first}; {name}.1={second[:-4]}")
    assert not signed_in(sessions, f"{name}={first}; {name}.1={second}AAAA")


def test_what_was_signed_in_comes_back_as_it_was() -> None:
    sessions = make_sessions()
    identity = Identity(
        id="u1",
        provider="default",
        issuer="https://id.example",
        subject="42",
        username="jané",
        name="Jané",
        email="j@example.com",
        phone="+1",
        comment="c",
        groups=("a", "b"),
        organizations=("ACME",),
        acr="loa2",
        auth_time=0,
        claims=freeze({"a": {"b": [1, {"c": None}]}, "t": True}),
    )
    current = sessions.resolve(header(sessions, identity, id_token="t"))
    assert current is not None
    assert current.session is not None
    assert current.session.identity == identity
    assert current.session.tokens == {"id_token": "t"}
    with pytest.raises(TypeError):
        current.session.identity.claims["a"]["b"] = 1
