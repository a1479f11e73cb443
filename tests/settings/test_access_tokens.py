"""The settings about access tokens: what must go together, and what ``check`` warns of."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.warnings import warnings
from tests.support.settings.minimal import oauth, oidc, only_problem, problems, service

JWT = {"accept_tokens": "jwt", "token_audiences": "https://api.example"}
BEARER = {"bearer_paths": "/api/"}
ASKED = {"accept_tokens": "introspection", "introspection_endpoint": "https://id.example.com/introspect"}


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ({"accept_tokens": "jwt"}, ["token_audiences: is missing: jwt takes the tokens that are for"]),
        ({"accept_tokens": "jwt-untyped"}, ["token_audiences: is missing: jwt-untyped takes"]),
        ({"accept_tokens": "jwts"}, ["accept_tokens:", "did you mean jwt"]),
        ({"accept_tokens": "opaque"}, ["write any of jwt jwt-untyped introspection"]),
        ({"token_audiences": "a"}, ["token_audiences: means nothing without accept_tokens = jwt or"]),
        ({"token_issuers": "https://a.example"}, ["token_issuers: means nothing without accept_tokens"]),
        ({"token_scopes": "a"}, ["token_scopes: means nothing without accept_tokens"]),
        (
            {"token_audience_claim": "client_id"},
            ["token_audience_claim: means nothing without accept_tokens"],
        ),
        (
            {**JWT, "introspection_endpoint": "https://id.example.com/i"},
            ["introspection_endpoint: means nothing without accept_tokens = introspection"],
        ),
        ({**JWT, "token_scopes": "a,b"}, ["token_scopes:", "separated by spaces"]),
        ({**JWT, "token_issuers": "id.example.com"}, ["token_issuers:"]),
        ({**JWT, "token_audience_claim": "a..b"}, ["token_audience_claim:"]),
        (
            {**ASKED, "introspection_endpoint": "http://id.example.com/i"},
            ["introspection_endpoint: plain http outside this machine"],
        ),
        (
            {**ASKED, "client_auth_method": "none", "client_secret": None},
            ["accept_tokens: introspection needs a client that proves itself"],
        ),
    ],
)
def test_what_does_not_go_together_is_told(keys: dict[str, Any], parts: list[str]) -> None:
    given = {name: value for name, value in oidc(**keys).items() if value is not None}
    problem = only_problem(service(**BEARER, **{"provider:corp": given, "provider:b": oidc(**OTHER, **JWT)}))
    assert problem.startswith("[provider:corp] ")
    assert all(part in problem for part in parts), problem


#: a second provider, so that one without tokens is no problem of ``bearer_paths``
OTHER = {"issuer": "https://b.example.com"}


@pytest.fixture(autouse=True)
def _directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_DIRECTORY", "sqlite:////nowhere/users.db")


def test_without_an_issuer_there_are_no_keys() -> None:
    found = problems(service(**BEARER, **{"provider:corp": oauth(**JWT)}))
    assert found == [
        "[provider:corp] accept_tokens: jwt needs an issuer, whose keys tell its tokens: write it, or introspection"
    ]
    problem = only_problem(service(**BEARER, **{"provider:corp": oauth(accept_tokens="introspection")}))
    assert "[provider:corp] introspection_endpoint: is missing: without an issuer" in problem
    settings = Settings.from_mapping(service(**BEARER, **{"provider:corp": oauth(**ASKED)}))
    assert settings.providers["corp"].accept_tokens == ("introspection",)


def test_paths_need_tokens() -> None:
    problem = only_problem(service(**BEARER, **{"provider:corp": oidc()}))
    assert problem.startswith("[oauth2_mw] bearer_paths: needs accept_tokens in a provider")
    assert "does not start with /" in only_problem(
        service(bearer_paths="api", **{"provider:corp": oidc(**JWT)})
    )
    off = {"provider:corp": oidc(), "provider:b": oidc(**OTHER, **JWT, enabled="false")}
    assert problems(service(**BEARER, **off))


def test_one_provider_alone_is_asked_about_tokens_that_do_not_say_whose_they_are() -> None:
    both = {"provider:corp": oidc(**ASKED), "provider:b": oidc(**OTHER, **ASKED)}
    problem = only_problem(service(**BEARER, **both))
    assert problem.startswith(
        "[provider:b] accept_tokens: introspection is written for provider corp already"
    )


def test_no_further_issuer_is_another_provider() -> None:
    other = oidc(**OTHER, **JWT, token_issuers="https://id.example.com")
    problem = only_problem(service(**BEARER, **{"provider:corp": oidc(), "provider:b": other}))
    assert problem == "[provider:b] token_issuers: https://id.example.com is provider corp: take it out here"


def test_no_signed_token_has_two_providers_to_choose_from() -> None:
    same = {"same_users_as": "corp", **JWT}
    both = {"provider:corp": oidc(**JWT), "provider:b": oidc(**same)}
    assert only_problem(service(**BEARER, **both)).startswith(
        f"[provider:b] token_audiences: {JWT['token_audiences']} is an audience of provider corp already"
    )
    for good in (oidc(**{**same, "token_audiences": "another"}), oidc(**OTHER, **JWT)):
        Settings.from_mapping(service(**BEARER, **{"provider:corp": oidc(**JWT), "provider:b": good}))


def warned(**keys: Any) -> list[str]:
    return [
        line for line in warnings(Settings.from_mapping(service(**keys))) if "username_prefix" not in line
    ]


def test_check_warns_of_what_is_seldom_meant() -> None:
    assert any("serve nowhere" in line for line in warned(**{"provider:corp": oidc(**JWT)}))
    open_to_all = warned(**BEARER, **{"provider:corp": oidc(**ASKED)})
    assert any("those for other applications too" in line for line in open_to_all)
    good = warned(**BEARER, **{"provider:corp": oidc(**JWT)})
    assert not any("token" in line for line in good)


@pytest.mark.parametrize("path", ["/", "/api/", "/api/x", "/api"])
def test_check_warns_where_a_bearer_is_left_to_the_application(path: str) -> None:
    keys: dict[str, Any] = {"access": {"rules": f"delegated {path}"}, "strip_authorization": "none"}
    provider = {"provider:corp": oidc(**JWT)}
    assert any("leaves a Bearer to the application" in line for line in warned(**BEARER, **keys, **provider))
    no_bearer = warned(**BEARER, **keys, **provider, app_schemes="Token")
    assert not any("leaves a Bearer" in line for line in no_bearer)


def test_elsewhere_it_is_the_applications() -> None:
    keys: dict[str, Any] = {"access": {"rules": "delegated /other/"}, "strip_authorization": "none"}
    assert not any(
        "leaves a Bearer" in line for line in warned(**BEARER, **keys, **{"provider:c": oidc(**JWT)})
    )
