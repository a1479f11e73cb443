"""What some providers do that data cannot express."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.client import Authentication
from oauth2_mw.provider.quirks import QUIRKS
from oauth2_mw.settings import presets
from oauth2_mw.settings.grammar import AttributePath
from tests.support.providers.sign_in import client_for
from tests.support.providers.sign_in import sign_in as authenticate
from tests.support.providers.standin import Answer, StandIn
from tests.support.settings.providers import oauth2_settings


def sign_in(plain: StandIn, quirk: str, **changes: Any) -> Authentication:
    return authenticate(plain, client_for(oauth2_settings(plain, quirk=quirk, **changes)))


def test_the_names_that_presets_may_use() -> None:
    assert set(QUIRKS) == {"github", "unwrap-data", "ok-flag", "hydra", "lemonldap", "okta"}


def test_every_built_in_preset_asks_for_a_quirk_that_exists() -> None:
    asked = {presets.read(name, Path()).quirk for name in presets.names()}
    assert {"github", None} <= asked <= {None, *QUIRKS}


# github


def test_github_gives_a_hidden_address_when_asked_for_it(plain: StandIn) -> None:
    plain.emails = [
        {"email": "other@example.com", "primary": False, "verified": True},
        {"email": "octocat@example.com", "primary": True, "verified": True},
    ]
    claims = sign_in(plain, "github").claims
    assert (claims["email"], claims["email_verified"]) == ("octocat@example.com", True)
    (request,) = plain.asked("/userinfo/emails")
    assert request.headers["Authorization"].startswith("Bearer ")


def test_github_is_not_asked_for_a_public_address(plain: StandIn) -> None:
    plain.userinfo["email"] = "public@example.com"
    assert sign_in(plain, "github").claims["email"] == "public@example.com"
    assert not plain.asked("/userinfo/emails")


def test_a_query_of_the_userinfo_endpoint_is_not_repeated_below_it(plain: StandIn) -> None:
    plain.emails = []
    with pytest.raises(ProviderError):  # the stand-in takes a query for a misplaced access token
        sign_in(plain, "github", userinfo_endpoint=f"{plain.url}/userinfo?x=y")
    sign_in(plain, "github", userinfo_endpoint=f"{plain.url}/userinfo")
    assert not plain.asked("/userinfo/emails")[0].query


@pytest.mark.parametrize(
    "emails",
    [
        None,
        [],
        {},
        "text",
        ["text"],
        [{"email": "a@example.com", "primary": True, "verified": False}],
        [{"email": "a@example.com", "primary": False, "verified": True}],
        [{"email": "a@example.com", "primary": True}],
        [{"email": "a@example.com", "primary": 1, "verified": "true"}],
    ],
)
def test_an_unproven_address_is_no_address(plain: StandIn, emails: Any) -> None:
    plain.answers["emails"] = emails
    assert sign_in(plain, "github").claims.get("email") is None


@pytest.mark.parametrize("status", [401, 403, 404])
def test_github_gives_no_address_without_its_scope(plain: StandIn, status: int) -> None:
    plain.answers["emails"] = Answer(b"{}", status)
    assert sign_in(plain, "github").claims.get("email") is None


def test_a_provider_that_fails_half_way_fails_the_sign_in(plain: StandIn) -> None:
    plain.answers["emails"] = Answer(b"{}", 500)
    with pytest.raises(ProviderUnavailableError):
        sign_in(plain, "github")
    plain.answers["emails"] = b"<html>"
    with pytest.raises(ProviderError):
        sign_in(plain, "github")


# Wrappers


def test_wrapped_claims_are_unwrapped(plain: StandIn) -> None:
    plain.answers["userinfo"] = {"code": 0, "msg": "ok", "data": {"id": "u1", "name": "Jane"}}
    assert sign_in(plain, "unwrap-data").claims == {"id": "u1", "name": "Jane"}


@pytest.mark.parametrize(
    "answer", [{"code": 20005, "msg": "x\ny", "data": {"id": 1}}, {"code": 0}, {"code": 0, "data": ["id"]}]
)
def test_a_wrapped_error_is_an_error(plain: StandIn, answer: Any) -> None:
    plain.answers["userinfo"] = answer
    with pytest.raises(ProviderError) as refusal:
        sign_in(plain, "unwrap-data")
    assert refusal.value.code == "userinfo"
    assert refusal.value.detail.isprintable()


def test_an_ok_flag_that_is_true_passes(plain: StandIn) -> None:
    plain.answers["userinfo"] = {"ok": True, "sub": "U1"}
    assert sign_in(plain, "ok-flag", subject=AttributePath.parse("sub")).subject == "U1"


@pytest.mark.parametrize("ok", [{"ok": False, "error": "invalid_auth"}, {"ok": "true"}, {}])
def test_an_ok_flag_that_is_not_true_is_an_error(plain: StandIn, ok: Any) -> None:
    plain.answers["userinfo"] = {**ok, "id": 1}
    with pytest.raises(ProviderError):
        sign_in(plain, "ok-flag")
