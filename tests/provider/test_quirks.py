"""What some providers do that data cannot express."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.client import Authentication
from oauth2_mw.provider.quirks import QUIRKS
from oauth2_mw.settings import presets
from oauth2_mw.settings.allow_list import AllowList
from oauth2_mw.settings.grammar import AttributePath
from tests.support.providers.sign_in import client_for
from tests.support.providers.sign_in import sign_in as authenticate
from tests.support.providers.standin import Answer, StandIn
from tests.support.settings.providers import oauth2_settings


def sign_in(plain: StandIn, quirk: str, **changes: Any) -> Authentication:
    return authenticate(plain, client_for(oauth2_settings(plain, quirk=quirk, **changes)))


def test_the_names_that_presets_may_use() -> None:
    assert set(QUIRKS) == {
        "adfs",
        "apple",
        "discord",
        "entra",
        "github",
        "ok-flag",
        "hydra",
        "lemonldap",
        "okta",
    }


def test_every_built_in_preset_asks_for_a_quirk_that_exists() -> None:
    asked = {presets.read(name, Path()).quirk for name in presets.names()}
    assert {"github", None} <= asked <= {None, *QUIRKS}


# github

EMAIL = frozenset({AttributePath.parse("email")})
PRIMARY = {"email": "octocat@example.com", "primary": True, "verified": True}


def at_github(plain: StandIn, **changes: Any) -> Mapping[str, Any]:
    """The claims of a sign-in that wishes for an address."""
    return authenticate(
        plain, client_for(oauth2_settings(plain, quirk="github", **changes), wishes=EMAIL)
    ).claims


@pytest.mark.parametrize("shown", [None, "octocat@example.com", "public@example.com", "other@example.com"])
def test_github_is_asked_which_address_is_verified(plain: StandIn, shown: str | None) -> None:
    plain.userinfo["email"] = shown
    plain.emails = [{"email": "other@example.com", "primary": False, "verified": True}, PRIMARY]
    claims = at_github(plain)
    assert (claims["email"], claims["email_verified"]) == ("octocat@example.com", True)
    (request,) = plain.asked("/userinfo/emails")
    assert request.headers["Authorization"].startswith("Bearer ")


def test_the_profiles_address_counts_where_it_is_verified_and_no_primary_is(plain: StandIn) -> None:
    plain.userinfo["email"] = "other@example.com"
    plain.emails = [
        {"email": "third@example.com", "primary": False, "verified": True},
        {"email": "other@example.com", "primary": False, "verified": True},
        {"email": "octocat@example.com", "primary": True, "verified": False},
    ]
    claims = at_github(plain)
    assert (claims["email"], claims["email_verified"]) == ("other@example.com", True)


def test_github_is_not_asked_for_an_address_that_nothing_reads(plain: StandIn) -> None:
    plain.emails = [PRIMARY]
    plain.userinfo["email"] = "public@example.com"
    assert sign_in(plain, "github").claims["email_verified"] is False
    assert not plain.asked("/userinfo/emails")


def test_a_query_of_the_userinfo_endpoint_is_not_repeated_below_it(plain: StandIn) -> None:
    plain.emails = []
    with pytest.raises(ProviderError):  # the stand-in takes a query for a misplaced access token
        at_github(plain, userinfo_endpoint=f"{plain.url}/userinfo?x=y")
    at_github(plain, userinfo_endpoint=f"{plain.url}/userinfo")
    assert not plain.asked("/userinfo/emails")[0].query


@pytest.mark.parametrize("shown", [None, "a@example.com"])
@pytest.mark.parametrize(
    "emails",
    [
        None,
        [],
        {},
        "text",
        ["text"],
        [{"email": "a@example.com", "primary": True, "verified": False}],
        [{"email": "b@example.com", "primary": False, "verified": True}],
        [{"email": "a@example.com", "primary": True}],
        [{"email": "a@example.com", "primary": 1, "verified": "true"}],
        [{"email": ["a@example.com"], "primary": True, "verified": True}],
        [{"primary": True, "verified": True}],
    ],
)
def test_an_unproven_address_is_no_verified_address(plain: StandIn, emails: Any, shown: str | None) -> None:
    plain.userinfo["email"] = shown
    plain.answers["emails"] = emails
    claims = at_github(plain)
    assert (claims.get("email"), claims.get("email_verified")) == (shown, None if shown is None else False)


@pytest.mark.parametrize("answer", [Answer(b"{}", status) for status in (401, 403, 404, 500)] + [b"<html>"])
def test_an_address_that_cannot_be_asked_for_ends_only_a_sign_in_that_it_decides(
    plain: StandIn, answer: Answer | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    plain.userinfo["email"] = "public@example.com"
    plain.answers["emails"] = answer
    assert at_github(plain)["email_verified"] is False
    assert "event=userinfo_unusable " in caplog.text
    settings = oauth2_settings(
        plain, quirk="github", allow=AllowList.parse("email:public@example.com", Path())
    )
    with pytest.raises((ProviderError, ProviderUnavailableError)):
        authenticate(plain, client_for(settings, wishes=EMAIL))


# Wrappers


def test_an_ok_flag_that_is_true_passes(plain: StandIn) -> None:
    plain.answers["userinfo"] = {"ok": True, "sub": "U1"}
    assert sign_in(plain, "ok-flag", subject=AttributePath.parse("sub")).subject == "U1"


@pytest.mark.parametrize("ok", [{"ok": False, "error": "invalid_auth"}, {"ok": "true"}, {}])
def test_an_ok_flag_that_is_not_true_is_an_error(plain: StandIn, ok: Any) -> None:
    plain.answers["userinfo"] = {**ok, "id": 1}
    with pytest.raises(ProviderError):
        sign_in(plain, "ok-flag")
