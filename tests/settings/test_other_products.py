"""Words of other products, marks of other formats, and what follows from a mistake: what a file is told about them."""

from __future__ import annotations

import pytest

from oauth2_mw.settings import other_products
from oauth2_mw.settings.fields import ACCESS, GLOBAL, PROVIDER
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.warnings import warnings
from tests.support.settings.minimal import oidc, only_problem, problems, service

SETTINGS = {*GLOBAL, *PROVIDER, *ACCESS}


def test_what_is_said_to_be_the_same_is_a_setting() -> None:
    words = other_products._WORDS
    assert {found.key for found in words.values()} - {""} <= SETTINGS
    assert all(found.key or found.advice for found in words.values())


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("cookie_secret", "secret_keys"),
        ("--cookie-secret", "secret_keys"),
        ("OAUTH2_PROXY_COOKIE_SECRET", "secret_keys"),
        ("OAUTH2_PROXY_OIDC_ISSUER_URL", "issuer"),
        ("OIDCCryptoPassphrase", "secret_keys"),
        ("OIDCProviderMetadataURL", "issuer"),
        ("AUTH_OAUTH2", "enabled"),
        ("AUTH_OAUTH2_PROVIDER_USERINFO_ENDPOINT", "userinfo_endpoint"),
        ("AUTH_OAUTH2_ACCESS_TOKEN_METHOD", "client_auth_method"),
        ("AUTH_OAUTH2_USER_ATTR_MAP", "attribute_map"),
        ("AUTH_OAUTH2_LOGOUT_COMPLETELY", "sync_logout"),
        ("Service Provider", "provider"),
        ("User Info Endpoint", "userinfo_endpoint"),
        ("OIDC_OP_JWKS_ENDPOINT", "jwks_uri"),
        ("access_token_url", "token_endpoint"),
    ],
)
def test_a_word_of_another_product_is_told_by_ours(word: str, key: str) -> None:
    found = problems(service(**oidc(**{word: "canary"})))
    assert len(found) == 1
    assert f"unknown key: here it is called {key}" in found[0]
    assert "canary" not in found[0]


@pytest.mark.parametrize("word", ["POST", "post-data", "POST JSON", "GET", "body"])
def test_a_method_of_another_product_is_told_by_ours(word: str) -> None:
    line = only_problem(service(**oidc(client_auth_method=word)))
    assert "here it is called client_secret_post" in line


def test_a_misspelt_variable_is_not_missed_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_CLEINT_ID", "app")
    keys = oidc()
    del keys["client_id"]
    assert "did you mean OAUTH2_MW_CLIENT_ID?" in only_problem(service(**keys))


# Marks that are a part of a value


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("client_secret", '"canary"', "quotes"),
        ("client_secret", "'canary'", "quotes"),
        ("client_secret", "canary # the new one", "behind #"),
        ("client_id", "canary ; the new one", "behind ;"),
        ("client_id", '"canary"', "quotes"),
    ],
)
def test_quotes_and_comments_are_told_without_the_value(key: str, value: str, part: str) -> None:
    told = warnings(Settings.from_mapping(service(**oidc(**{key: value}))))
    (line,) = (line for line in told if line.startswith(f"[oauth2_mw] {key}: "))
    assert part in line
    assert "canary" not in line


def test_quotes_in_the_environment_are_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_CLIENT_SECRET", '"canary"')
    told = warnings(Settings.from_mapping(service(**oidc())))
    assert any("(the environment variable OAUTH2_MW_CLIENT_SECRET): the quotes" in line for line in told)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("client_secret", "a#b;c"),
        ("client_secret", "it's"),
        ("allow", 'group:"Domain Users"'),
        ("attribute_map", '{"username": "a"}'),
    ],
)
def test_what_belongs_to_a_value_is_left_alone(key: str, value: str) -> None:
    assert Settings.from_mapping(service(**oidc(**{key: value}))).doubts == ()


# All of a list


@pytest.mark.parametrize(
    ("key", "value", "wrong"),
    [
        ("public_paths", "static /ok/ docs", ["'static'", "'docs'"]),
        ("keep_tokens", "idd acces", ["'idd'", "'acces'"]),
        ("scope", 'openid "a b"', ["'\"a'", "'b\"'"]),
        ("algorithms", "HS256 none RS257", ["'HS256'", "none accepts", "'RS257'"]),
        ("allow", "jane user:joe group", ["'jane'", "'group'"]),
        ("trusted_peers", "proxy 10.0.0.1 other", ["'proxy'", "'other'"]),
        ("auth_params", '{"state": "x", "scope": "y"}', ["state cannot", "scope cannot"]),
        ("attribute_map", '{"username": "a[", "email": "b["}', ["username: ", "email: "]),
    ],
)
def test_every_item_that_is_wrong_is_told(key: str, value: str, wrong: list[str]) -> None:
    found = [line for line in problems(service(**oidc(**{key: value}))) if f"] {key}: " in line]
    assert len(found) == len(wrong), found
    for line, part in zip(found, wrong, strict=True):
        assert part in line
