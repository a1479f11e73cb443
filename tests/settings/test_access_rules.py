"""``[access] rules``: what may be written, and what is said about anything else."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.settings.access_rules import AccessRule, parse_rules
from oauth2_mw.settings.grammar import AllowTerm
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.warnings import warnings
from tests.support.settings.minimal import make_settings as settings_without_provider
from tests.support.settings.minimal import oauth, oidc, service
from tests.support.settings.minimal import problems as problems_of


def parsed(text: str) -> AccessRule:
    (rule,) = parse_rules(text)
    return rule


def make_settings(**keys: Any) -> Settings:
    return settings_without_provider(**{"issuer": "https://id.example", **keys})


def problems(**keys: Any) -> list[str]:
    return problems_of(service(**oidc(**keys)))


def test_a_rule_has_an_effect_and_paths() -> None:
    rule = parsed("public /static/ /favicon.ico")
    assert rule.effect == "public"
    assert [path.text for path in rule.paths] == ["/static/", "/favicon.ico"]
    assert rule.methods == frozenset()
    assert rule.condition is None
    assert rule.text == "public /static/ /favicon.ico"


def test_a_rule_may_name_methods() -> None:
    assert parsed("required PUT,DELETE /x").methods == {"PUT", "DELETE"}
    assert parsed("required GET /x").methods == {"GET", "HEAD"}
    assert parsed("required VERSION-CONTROL,M-SEARCH /x").methods == {"VERSION-CONTROL", "M-SEARCH"}


def test_and_binds_closer_than_or() -> None:
    condition = parsed("required /x if group:a and user:b or acr:c or signed-in").condition
    assert condition == (
        (AllowTerm("group", "a"), AllowTerm("user", "b")),
        (AllowTerm("acr", "c"),),
        (AllowTerm("signed-in", ""),),
    )


@pytest.mark.parametrize("text", ['group:"Domain Users"', '"group:Domain Users"'])
def test_a_value_with_blanks_is_in_quotes(text: str) -> None:
    rule = parsed(f"required /x if {text} and via:session")
    assert rule.condition == ((AllowTerm("group", "Domain Users"), AllowTerm("via", "session")),)


def test_a_line_without_an_effect_goes_on_the_one_above() -> None:
    one, other = parse_rules("required /a/\n   /b/\n   if group:x\n# a comment\n   or group:y\noptional /")
    assert one.text == "required /a/ /b/ if group:x or group:y"
    assert other.text == "optional /"


def test_an_empty_line_ends_a_rule() -> None:
    with pytest.raises(ValueError, match=r"rule 2 \('/b/'\): begins with none of public, optional"):
        parse_rules("required /a/\n\n/b/")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("deny /x", "begins with none of public, optional, delegated, required, denied"),
        ("require /x", "did you mean required?"),
        ("Required /x", "did you mean required?"),
        ("/x", "begins with none of"),
        ("required", "names no path: write paths of the application, like /admin/"),
        ("required if user:a", "names no path"),
        ("required GET", "names no path"),
        ("public /", "write /$ for the front page alone, or optional /"),
        ("public GET /x /", "write /$ for the front page alone"),
        ("public /x if user:jane", "public hands on nobody's identity"),
        ("required get /x", "'get' methods are written in capitals, with commas between them: write GET"),
        ("required Get,put /x", "write GET,PUT"),
        ("required GET, PUT /x", "'GET,': words are separated by blanks, and methods by a comma alone"),
        ("required GET PUT /x", "'PUT' does not start with /"),
        ("required /a, /b", "'/a,': words are separated by blanks"),
        ("required /x if group:a, user:b", "'group:a,': words are separated by blanks"),
        ("required /x if ,group:a", "',group:a': words are separated by blanks"),
        ("required !x /y", "'!x' is no path and no method"),
        ("required /x user:jane", "'user:jane' is a term: write if before it"),
        ("required /x signed-in", "'signed-in' is a term: write if before it"),
        ("required /x if", "if is followed by no term"),
        ("required /x if user:a user:b", "'user:b': write and, or or, between two terms"),
        ("required /x if user:a and", "ends with and: a term follows it"),
        ("required /x if user:a or", "ends with or: a term follows it"),
        ("required /x if and user:a", "'and' stands where a term is expected"),
        ("required /x if user:a and or user:b", "'or' stands where a term is expected"),
        ("required /x if user:a if user:b", "'if': write and, or or, between two terms"),
        ("required /x if *", "* is a term of allow: write signed-in"),
        ("required /x if role:a", "'role:a' is not a valid term: write signed-in or FIELD:VALUE"),
        ("required /x if user:", "has no value that a person could match"),
        ("required /x if acr:", "has no value that a person could match"),
        ("required /x if via:cookie", "write via:session, via:bearer or via:token"),
        ("required /x if scope:", "has no value"),
        ('required /x if scope:"read write"', "write one scope"),
        ("required /x if scope:\\a", "write one scope"),
        ("required /x if via:bearer and via:token", "via:bearer and via:token never hold for one request"),
        ("required /x if via:token and scope:read", "via:token and scope:read never hold for one request"),
        (
            "required /x if scope:read and via:session",
            "via:session and scope:read never hold for one request",
        ),
        ("required /x if claim:a", "write claim:PATH=VALUE"),
        ('required /x if group:"a', "a double quote is opened and not closed"),
        ("required /a$", "contains $: /$ is the front page alone"),
        ("required /$/", "contains $"),
        ("required /x*", "there are no wildcards"),
        ("required /a//b", "contains //"),
        ("required /a/../b", "contains . or .. as a segment"),
        ("required /a;b", "contains ;"),
        ("required /a/,/b/", "paths are separated by blanks, not by commas"),
        ("public /a/\nrequierd /b/", "'requierd' is no path; did you mean required?"),
        ("required /a/ # mine", "'#': a comment is a line of its own"),
        ("required /a/ if group:x #mine", "'#mine': a comment is a line of its own"),
        ("denied /a/ if group:x,group:y", "holds another term: terms are separated by blanks"),
        ("denied /a/ if group:'x'", "double quotes stand around a whole value"),
        ('denied /a/ if group:Domain" "Users', "double quotes stand around a whole value"),
        (r'denied /a/ if group:"a\"b"', "double quotes stand around a whole value"),
        ("required /a/ if user:a and user:b", "user:a and user:b never hold for one person"),
        ("required /a/ if group:x or acr:a and acr:b", "acr:a and acr:b never hold for one person"),
    ],
)
def test_what_is_not_valid_is_told_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_rules(text)
    assert says in str(caught.value)
    assert str(caught.value).startswith("rule 1 (")


def test_every_rule_that_is_not_valid_is_told() -> None:
    with pytest.raises(ValueError) as caught:
        parse_rules("deny /x\noptional /y\nrequired")
    assert "rule 1 ('deny /x')" in str(caught.value)
    assert "rule 3 ('required')" in str(caught.value)


def test_allow_has_no_fields_of_rules() -> None:
    for term in ("acr:a", "via:session", "signed-in"):
        assert "is not a valid term" in problems(allow=term)[0]


# In the settings


def test_a_list_has_a_rule_an_item() -> None:
    rules = make_settings(access={"rules": ["required /a/ if group:x", "optional /"]}).rules
    assert [rule.text for rule in rules] == ["required /a/ if group:x", "optional /"]
    assert "rule 2 ('/b/')" in problems(access={"rules": ["required /a/", "/b/"]})[0]


def test_rules_in_a_file(tmp_path: Any) -> None:
    text = ["[oauth2_mw]", *(f"{key} = {value}" for key, value in service(**oidc()).items())]
    rules = [
        "[access]",
        "rules =",
        "    public  /static/",
        "    required /admin/",
        "        if group:a",
        "    optional /",
    ]
    (tmp_path / "oauth2.ini").write_text("\n".join([*text, *rules]))
    found = Settings.from_ini(tmp_path / "oauth2.ini").rules
    assert [rule.text for rule in found] == ["public /static/", "required /admin/ if group:a", "optional /"]


@pytest.mark.requirement("R-subtree")
@pytest.mark.parametrize("paths", ["/", "/static/ /"])
def test_not_everything_can_be_public(paths: str) -> None:
    (found,) = problems(public_paths=paths)
    assert found.startswith("[oauth2_mw] public_paths: / would make every path public: write /$")


@pytest.mark.parametrize(
    ("rules", "keys", "says"),
    [
        (
            "required /a/\ndenied /a/b",
            {},
            "rule 2 (denied /a/b) is never reached for /a/b, about which rule 1",
        ),
        ("required /a/\ndenied /a", {}, "never reached for /a, about which rule 1"),
        ("optional /\ndenied /a/", {}, "never reached for /a/, about which rule 1 (optional /)"),
        ("required /a\nrequired GET /a", {}, "rule 2 (required GET /a) is never reached for /a"),
        ("required GET,POST /a/\ndenied POST /a/x", {}, "rule 2 (denied POST /a/x) is never reached"),
        (
            "required GET /a/\nrequired POST,PUT /a/\ndenied HEAD,GET,PUT /a/x",
            {},
            "about which rule 1 (required GET /a/) and rule 2 (required POST,PUT /a/) decide already",
        ),
        (
            "required /x if group:a",
            {"group_filter": "b*"},
            "group:a is never known: group_filter leaves that",
        ),
        ("denied /static/x", {"public_paths": "/static/"}, "about which public_paths decides already"),
        ("required /x if organization:ACME", {}, "organization:ACME needs a directory"),
        ("required /x if via:token", {}, "via:token needs personal tokens: say in personal_tokens"),
        ("required /x if via:bearer", {}, "via:bearer needs access tokens: say in bearer_paths"),
        ("required /x if scope:read", {}, "scope:read is of access tokens: say in bearer_paths"),
        ("required /x if provider:nobody", {}, "there is no enabled provider nobody"),
        (
            "delegated /x",
            {"strip_authorization": "all"},
            "sees no such Authorization under strip_authorization = all",
        ),
        (
            "required /x if email:a@b.example",
            {"attribute_map": '{"username": "sub"}'},
            "never holds: map email",
        ),
        (
            "required /x if email_domain:b.example",
            {"email_verified": "never"},
            "take email_verified = never out",
        ),
        ("required /x if group:a", {"attribute_map": '{"username": "sub"}'}, "is never known: map groups"),
        ("delegated /x", {"app_schemes": "Basic"}, "under strip_authorization = basic"),
    ],
)
def test_rules_that_mean_nothing_are_told(rules: str, keys: dict[str, Any], says: str) -> None:
    (found,) = problems(access={"rules": rules}, **keys)
    assert says in found
    assert found.startswith("[access] rules: ")


def test_with_every_provider_switched_off_nothing_needs_to_be_known() -> None:
    make_settings(enabled=False, access={"rules": "required /x if group:a and acr:b and email:a@b.example"})


def test_acr_needs_an_issuer() -> None:
    (found,) = problems_of(service(**oauth(access={"rules": "required /x if acr:gold"})))
    assert "acr:gold is in ID tokens alone, and no provider has an issuer" in found


@pytest.mark.parametrize(
    "rules",
    [
        "required /a\ndenied /a/",
        "required GET /a\ndenied /a",
        "required /a/b\ndenied /a/",
        "public /a/\nrequired /a",
        "required /a/ if group:x\noptional /a-b/",
        "public /$\nrequired /",
        "required GET /a/\ndenied GET,POST /a/",
    ],
)
def test_rules_beside_each_other_are_all_reached(rules: str) -> None:
    assert len(make_settings(access={"rules": rules}).rules) == 2


def test_a_thousand_rules_are_read() -> None:
    lines = "\n".join(f"required /app/{number}/ if group:g{number}" for number in range(1000))
    assert len(make_settings(access={"rules": lines}).rules) == 1000


@pytest.mark.requirement("R-public-paths")
@pytest.mark.parametrize(
    ("rule", "protect"),
    [
        ("denied /admin/", "required"),
        ("required /admin/ if group:x", "required"),
        ("required /admin/", "optional"),
    ],
)
def test_a_public_path_inside_a_stricter_rule_is_an_error(rule: str, protect: str) -> None:
    (found,) = problems(access={"rules": rule}, public_paths="/admin/static/", protect=protect)
    assert found.startswith("[oauth2_mw] public_paths: /admin/static/ lies inside rule 1")
    assert "write it as a public rule above that one" in found


def test_a_public_path_inside_what_holds_anyway_is_none() -> None:
    for rule in ("required /", "optional /", "required /admin/", "denied /other/"):
        make_settings(access={"rules": rule}, public_paths="/admin/static/")


@pytest.mark.requirement("R-public-paths")
def test_a_public_rule_above_the_stricter_one_is_meant() -> None:
    make_settings(access={"rules": "public /admin/static/\nrequired /admin/ if group:x"})


# Warnings


def said(**keys: Any) -> list[str]:
    return [line for line in warnings(make_settings(**keys)) if line.startswith("rules:")]


def test_without_rules_nothing_is_said_about_them() -> None:
    assert said() == []


def test_that_the_case_of_paths_counts_is_said_once() -> None:
    (line,) = said(access={"rules": "required /a/\nrequired /b/"})
    assert "compared with their case" in line


@pytest.mark.requirement("R-methods")
@pytest.mark.parametrize(
    ("rules", "protect", "behind"),
    [
        ("denied POST /a/", "required", "protect = required"),
        ("required GET /a/ if group:x\noptional /", "required", "optional /"),
        ("required GET /a/ if group:x", "required", "protect = required"),
        ("required DELETE /a\noptional /a", "required", "optional /a"),
        ("required DELETE /a", "optional", "protect = optional"),
    ],
)
def test_a_laxer_rule_behind_one_for_some_methods_is_said(rules: str, protect: str, behind: str) -> None:
    _, line = said(access={"rules": rules}, protect=protect)
    assert line.endswith(f"for all others {behind} is laxer")


@pytest.mark.parametrize(
    "rules", ["public GET /a/", "required GET /a/\ndenied /a/", "required GET /a/ if group:x\ndenied /a/"]
)
def test_a_rule_for_some_methods_before_a_stricter_one_is_no_matter(rules: str) -> None:
    assert len(said(access={"rules": rules})) == 1


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"access": {"rules": "denied /auth/oauth2/ /x"}}, "/auth/oauth2/ is under prefix = /auth/oauth2"),
        ({"access": {"rules": "public /sso"}, "prefix": "/sso"}, "/sso is under prefix = /sso"),
        ({"public_paths": "/auth/oauth2/icon/"}, "/auth/oauth2/icon/ is under prefix"),
        ({"public_paths": "/sso", "callback_path": "/sso"}, "/sso is a callback_path"),
    ],
)
def test_a_rule_about_our_own_urls_is_said(keys: dict[str, Any], says: str) -> None:
    assert f"rules: {says}" in said(**keys)[0]
    assert said(public_paths="/auth/ /auth/oauth2x /sso/", callback_path="/sso") == []


@pytest.mark.requirement("R-odd")
@pytest.mark.parametrize("text", ["/a", "/$", "/a/ /b"])
def test_odd_paths_are_subtrees(text: str) -> None:
    (found,) = problems(odd_paths=text)
    assert "is one path alone: write a subtree, which ends in /" in found


def test_rules_outside_their_section_are_told_where_to_go() -> None:
    assert problems(rules="denied /x") == ["[oauth2_mw] rules: is a key of [access]: move it there"]


def test_groups_that_never_follow_the_provider_are_said(tmp_path: Any) -> None:
    keys: dict[str, Any] = {"access": {"rules": "required /a/ if group:x"}, "directory": "sqlite:///users.db"}
    assert "group:x reads the directory's groups" in said(**keys)[-1]
    assert len(said(**keys, group_sync="always")) == 1
