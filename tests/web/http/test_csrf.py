"""The token of a form: for one session, for an hour, and only if we made it."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest

from oauth2_mw.identity.model import Identity
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.keyring import Keyring
from oauth2_mw.session.model import Session
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.web.http.csrf import VALID_FOR, FormTokens
from tests.support.clock import Clock
from tests.support.settings.minimal import make_settings


def session(session_id: str) -> Session:
    identity = Identity("u", "default", "https://id.example", "s", "jane")
    return Session(session_id, identity, MappingProxyType({}), 0, 2_000_000_000, 0, 3600)


@pytest.fixture
def sealer(clock: Clock) -> Sealer:
    settings = make_settings(issuer="https://id.example")
    return Sealer(
        Keyring(settings.secret_keys, sync=5, clocks=Clocks(wall=clock)), app_id=settings.public_url
    )


@pytest.fixture
def tokens(sealer: Sealer, clock: Clock) -> FormTokens:
    return FormTokens(sealer, clock=clock)


def test_a_token_fits_the_session_that_it_was_made_for(tokens: FormTokens) -> None:
    assert tokens.fits(tokens.make(session("one")), session("one"))


def test_a_token_fits_no_other_session(tokens: FormTokens) -> None:
    assert not tokens.fits(tokens.make(session("one")), session("two"))


def test_a_token_is_valid_for_an_hour(tokens: FormTokens, clock: Clock) -> None:
    token = tokens.make(session("one"))
    clock.now += VALID_FOR - 1
    assert tokens.fits(token, session("one"))
    clock.now += 1
    assert not tokens.fits(token, session("one"))


@pytest.mark.parametrize("payload", [[], ["one"], ["one", "x"], [1, 9e9], {"one": 1}, None, "one"])
def test_what_another_version_sealed_fits_nobody(tokens: FormTokens, sealer: Sealer, payload: object) -> None:
    token = sealer.seal("form", "", json.dumps(payload).encode())
    assert not tokens.fits(token, session("one"))


def test_what_is_no_json_fits_nobody(tokens: FormTokens, sealer: Sealer) -> None:
    assert not tokens.fits(sealer.seal("form", "", b"\xff{"), session("one"))


def test_what_was_sealed_for_another_use_fits_nobody(tokens: FormTokens, sealer: Sealer) -> None:
    payload = json.dumps(["one", 9_999_999_999]).encode()
    assert not tokens.fits(sealer.seal("state", "", payload), session("one"))
