"""For which claims userinfo is asked: those that somebody reads."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.settings.model import Settings
from oauth2_mw.web.clients import ProviderClients
from oauth2_mw.web.http.urls import Urls
from tests.support.providers.sign_in import sign_in
from tests.support.providers.standin import Answer, StandIn
from tests.support.settings.minimal import make_settings

MAP = {"username": "sub", "phone": "phone_number", "groups": "groups"}
ALL = {"preferred_username": "jane", "name": "Jane", "email": "jane@example.com"}


def settings_for(provider: StandIn, **keys: Any) -> Settings:
    return make_settings(
        issuer=provider.issuer,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        **keys,
    )


def asks(claims: dict[str, Any], **keys: Any) -> bool:
    with StandIn() as provider:
        provider.claims = claims
        settings = settings_for(provider, **keys)
        sign_in(provider, ProviderClients(settings, Urls(settings)).get("default"))
        return bool(provider.asked("/userinfo"))


@pytest.mark.requirement("R-needed")
@pytest.mark.parametrize(
    ("claims", "keys", "expected"),
    [
        (ALL, {}, False),
        ({**ALL, "email": ""}, {}, True),
        ({**ALL, "name": None}, {}, True),
        ({**ALL, "preferred_username": None}, {}, True),
        ({}, {"attribute_map": MAP}, True),
        ({"phone_number": "1", "groups": []}, {"attribute_map": MAP}, False),
        ({"phone_number": "1"}, {"attribute_map": MAP}, True),
        (ALL, {"preset": "keycloak"}, True),
        ({**ALL, "phone_number": "1", "realm_access": {"roles": []}}, {"preset": "keycloak"}, False),
        (ALL, {"environ": {"X_DEPARTMENT": "claims.department"}}, True),
        ({**ALL, "department": "X"}, {"environ": {"X_DEPARTMENT": "claims.department"}}, False),
        (ALL, {"environ": {"X_GROUPS": "groups"}}, True),
        (ALL, {"allow": "group:staff"}, True),
        (ALL, {"allow": "email_domain:example.com"}, True),
        ({**ALL, "email_verified": True}, {"allow": "email_domain:example.com"}, False),
        (ALL, {"allow": "email_domain:example.com", "email_verified": "always"}, False),
        (ALL, {"allow": "user:jane"}, False),
        (ALL, {"userinfo": "always"}, True),
        ({}, {"userinfo": "never"}, False),
    ],
)
def test_userinfo_is_asked_for_what_somebody_reads(
    claims: dict[str, Any], keys: dict[str, Any], *, expected: bool
) -> None:
    assert asks(claims, **keys) == expected


def test_who_has_a_name_gets_in_although_userinfo_refuses() -> None:
    with StandIn() as provider:
        provider.claims = {"preferred_username": "jane"}
        provider.answers["userinfo"] = Answer(b"", 403)
        settings = settings_for(provider)
        user = sign_in(provider, ProviderClients(settings, Urls(settings)).get("default"))
        assert user.claims["preferred_username"] == "jane"
        assert len(provider.asked("/userinfo")) == 1
