"""What a sign-in does not tell takes no group away, and does not let anybody pass whom a rule may deny."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.errors import AccessDeniedError, ProviderError
from oauth2_mw.identity.unknown_claims import (
    check_denials,
    check_denials_of_token,
    without_unknown_groups,
)
from oauth2_mw.settings.access_rules import parse_rules
from oauth2_mw.settings.attribute_path import AttributePath, FirstOf
from oauth2_mw.settings.model import ProviderSettings
from tests.support.settings.providers import provider_settings

MAP = {
    "username": AttributePath.parse("login"),
    "email": AttributePath.parse("mail.address"),
    "groups": FirstOf((AttributePath.parse("realm.roles"), AttributePath.parse("groups"))),
}


def provider(rules: str = "", **changes: Any) -> ProviderSettings:
    return provider_settings(**{"attribute_map": MAP, "rules": parse_rules(rules), **changes})


def is_refused(rule: str, *unknown: str, reads_groups: bool = True, **changes: Any) -> bool:
    """Whether a person is refused of whom those claims are unknown."""
    try:
        check_denials(provider(rule, **changes), frozenset(unknown), reads_groups=reads_groups)
    except ProviderError as refused:
        assert refused.code == "groups_unknown"
        return True
    return False


@pytest.mark.parametrize("unknown", ["realm", "groups"])
def test_groups_that_are_unknown_take_none_away(unknown: str) -> None:
    found = without_unknown_groups(provider(group_sync="always"), frozenset({unknown, "other"}))
    assert found == provider(group_sync="first")


@pytest.mark.parametrize("unknown", [set(), {"login", "roles", "mail"}])
def test_groups_that_are_known_are_taken_as_they_are(unknown: set[str]) -> None:
    assert without_unknown_groups(provider(group_sync="always"), frozenset(unknown)).group_sync == "always"


@pytest.mark.parametrize("sync", ["first", "never"])
def test_groups_that_no_sign_in_takes_away_stay_as_they_are(sync: str) -> None:
    assert without_unknown_groups(provider(group_sync=sync), frozenset({"groups"})).group_sync == sync


def test_without_a_map_of_groups_none_is_unknown() -> None:
    settings = provider(group_sync="always", attribute_map={"username": MAP["username"]})
    assert without_unknown_groups(settings, frozenset({"groups"})).group_sync == "always"
    assert not is_refused("denied /x if group:a", "groups", attribute_map={"username": MAP["username"]})


@pytest.mark.parametrize(
    ("rule", "unknown"),
    [
        ("denied /x if group:guests", "groups"),
        ("denied /x if group:guests", "realm"),
        ("denied /x if claim:plan.tier=free", "plan"),
        ("denied /x if email:joe@corp.example", "mail"),
        ("denied /x if email:joe@corp.example", "email_verified"),
        ("denied /x if email_domain:evil.example", "mail"),
        ("denied /x if user:joe or claim:plan=free", "plan"),
        ("required /y\ndenied /x if user:joe and group:guests", "groups"),
    ],
)
def test_nobody_passes_whom_a_rule_may_deny(rule: str, unknown: str) -> None:
    assert is_refused(rule, unknown)
    assert is_refused(rule, unknown, "another")
    assert not is_refused(rule, "another")
    assert not is_refused(rule)


@pytest.mark.parametrize(
    "rule",
    [
        "required /x if group:staff",
        "required /x if claim:groups=staff",
        "optional /x if email:jane@corp.example",
        "denied /x if user:joe",
        "denied /x",
    ],
)
def test_where_nothing_that_is_unknown_denies_nobody_is_refused(rule: str) -> None:
    assert not is_refused(rule, "groups", "realm", "mail", "email_verified", "login")


def test_what_the_directory_remembers_of_groups_is_known() -> None:
    assert not is_refused("denied /x if group:guests", "groups", reads_groups=False)
    assert is_refused("denied /x if claim:plan=free", "plan", reads_groups=False)


def test_the_refusal_names_the_rule_and_all_claims_that_are_unknown() -> None:
    settings = provider("denied /x if group:guests")
    with pytest.raises(ProviderError, match="a rule denies group:guests, and groups and realm may hold more"):
        check_denials(settings, frozenset({"realm", "groups"}), reads_groups=True)


# Access tokens, which hold less than a sign-in


def token_is_refused(rule: str, *claims: str, reads_groups: bool = True, **changes: Any) -> bool:
    """Whether an access token is refused that has those claims alone."""
    try:
        check_denials_of_token(
            provider(rule, **changes), dict.fromkeys(claims, "x"), reads_groups=reads_groups
        )
    except AccessDeniedError as refused:
        assert refused.code == "claims_unknown"
        return True
    return False


@pytest.mark.parametrize(
    ("rule", "enough"),
    [
        ("denied /x if group:guests", ["groups"]),
        ("denied /x if group:guests", ["realm"]),
        ("denied /x if claim:plan.tier=free", ["plan"]),
        ("denied /x if claim:email_verified=false", ["email_verified"]),
        ("denied /x if email:joe@corp.example", ["mail", "email_verified"]),
        ("denied /x if email_domain:evil.example", ["mail", "email_verified"]),
        ("denied /x if user:joe or claim:plan=free and claim:team=a", ["plan", "team"]),
    ],
)
@pytest.mark.parametrize("email_verified", ["claim", "text"])
def test_a_token_must_say_whatever_a_rule_denies_by(
    rule: str, enough: list[str], email_verified: str
) -> None:
    settings: dict[str, Any] = {"email_verified": email_verified}
    assert not token_is_refused(rule, *enough, "another", **settings)
    for one in enough:
        assert token_is_refused(rule, *({*enough} - {one}), "another", **settings)


@pytest.mark.parametrize("email_verified", ["always", "never"])
def test_a_token_need_not_say_whether_an_address_is_verified_where_that_is_settled(
    email_verified: str,
) -> None:
    settings: dict[str, Any] = {"email_verified": email_verified}
    assert not token_is_refused("denied /x if email:joe@corp.example", "mail", **settings)
    assert token_is_refused("denied /x if email:joe@corp.example", "email_verified", **settings)
    assert token_is_refused("denied /x if claim:email_verified=false", "mail", **settings)


@pytest.mark.parametrize(
    "rule", ["denied /x", "denied /x if user:joe", "required /x if group:a and claim:plan=x"]
)
def test_a_token_need_not_say_what_denies_nobody(rule: str) -> None:
    assert not token_is_refused(rule)


def test_a_token_need_not_name_groups_that_the_directory_remembers() -> None:
    assert not token_is_refused("denied /x if group:guests", reads_groups=False)
    without_groups: Any = {"username": MAP["username"]}
    assert not token_is_refused("denied /x if group:guests", attribute_map=without_groups)
