"""From a provider's claims to the local fields of a user."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oauth2_mw.boundary import contains_control
from oauth2_mw.errors import ProviderError
from oauth2_mw.identity.group_origin import shown_groups
from oauth2_mw.identity.mapping import (
    Attributes,
    map_claims,
    unusable_attributes,
    with_groups,
    without_groups,
)
from oauth2_mw.settings.access_rules import parse_rules
from oauth2_mw.settings.attribute_path import FirstOf, Source
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.jmes_path import JmesPath
from oauth2_mw.settings.model import ProviderSettings
from tests.support.settings.providers import provider_settings

DEFAULT_MAP = {field: field for field in ("username", "name", "email", "phone", "comment", "groups")}


def provider(
    attribute_map: dict[str, str] | None = None, *, prefix: str = "", transform: tuple[str, ...] = ()
) -> ProviderSettings:
    paths = DEFAULT_MAP if attribute_map is None else attribute_map
    return provider_settings(
        name="corp",
        attribute_map={field: AttributePath.parse(path) for field, path in paths.items()},
        username_prefix=prefix,
        username_transform=transform,
    )


def mapped(claims: dict[str, Any], **options: Any) -> Attributes:
    return map_claims(provider(**options), {"username": "jane", **claims})


def username(value: Any, **options: Any) -> str:
    return map_claims(provider(**options), {"username": value}).username


def refusal(claims: dict[str, Any], **options: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        map_claims(provider(**options), claims)
    return caught.value


# The map


def test_each_local_field_is_read_from_its_path() -> None:
    settings = provider(
        {
            "username": "login",
            "name": "profile.full",
            "email": "emails[0].value",
            "phone": "phone",
            "comment": "bio",
            "groups": '"https://acme.example/roles"',
        }
    )
    claims = {
        "login": "jane",
        "profile": {"full": "Jane Doe"},
        "emails": [{"value": "jane@corp.example"}],
        "phone": "+1 555",
        "bio": "hello",
        "https://acme.example/roles": ["staff"],
    }
    assert map_claims(settings, claims) == Attributes(
        username="jane",
        name="Jane Doe",
        email="jane@corp.example",
        phone="+1 555",
        comment="hello",
        groups=("staff",),
    )


def test_a_field_that_is_not_mapped_is_absent() -> None:
    claims = {"username": "jane", "name": "Jane", "email": "jane@corp.example", "groups": ["a"]}
    assert map_claims(provider({"username": "username"}), claims) == Attributes(username="jane")


@pytest.mark.parametrize(
    "value", [None, "", " ", "\t\n", True, False, 1.5, {"a": "b"}, ["a"], b"x"], ids=repr
)
@pytest.mark.parametrize("field", ["name", "email", "phone", "comment"])
def test_what_is_no_text_is_absent(field: str, value: Any) -> None:
    assert getattr(mapped({field: value}), field) is None


@pytest.mark.parametrize("field", ["name", "phone", "comment"])
def test_a_text_loses_the_blanks_around_it(field: str) -> None:
    assert getattr(mapped({field: " a b \n"}), field) == "a b"


@pytest.mark.requirement("3k.1")
def test_an_address_is_taken_exactly_as_it_came_or_not_at_all() -> None:
    assert mapped({"email": "Jane@Corp.example"}).email == "Jane@Corp.example"
    assert mapped({"email": " jane@corp.example"}).email is None
    assert mapped({"email": "jane@corp.example\n"}).email is None


@pytest.mark.requirement("3e.3")
@pytest.mark.parametrize("field", ["name", "email", "phone", "comment"])
@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x85", "\u2028", "\ud800"], ids=ascii)
def test_a_text_with_control_characters_is_absent(field: str, character: str) -> None:
    assert getattr(mapped({field: f"a{character}b"}), field) is None


def test_a_comment_may_have_lines() -> None:
    assert mapped({"comment": "one\r\n\ttwo"}).comment == "one\r\n\ttwo"
    assert mapped({"name": "one\ntwo"}).name is None


@pytest.mark.parametrize(
    ("value", "text"), [(4711, "4711"), (0, "0"), (2**64 - 1, str(2**64 - 1)), (2**64, None)]
)
def test_a_whole_number_is_a_phone_number(value: int, text: str | None) -> None:
    assert mapped({"phone": value}).phone == text


@pytest.mark.parametrize("field", ["name", "email", "comment"])
def test_a_number_is_no_name_email_or_comment(field: str) -> None:
    assert getattr(mapped({field: 4711}), field) is None


# Groups


@pytest.mark.requirement("3k.10")
@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (None, ()),
        ([], ()),
        ("staff", ("staff",)),
        ("staff admin", ("staff admin",)),
        ("staff,admin", ("staff,admin",)),
        ("", ()),
        (["b", "a"], ("b", "a")),
        (("b", "a"), ("b", "a")),
        (["a", "b", "a"], ("a", "b")),
        (["a", 1, None, True, ["b"], {"c": "d"}, "", 0.5], ("a", "1", "true", "0.5")),
        ({"a": "b"}, ()),
        (1, ("1",)),
        (True, ("true",)),
        (["a\n", "b\0", "c"], ("c",)),
        (["A", "a "], ("A", "a ")),
    ],
)
def test_groups_are_a_list_of_names_or_one_name(value: Any, groups: tuple[str, ...]) -> None:
    assert mapped({"groups": value}).groups == groups


def test_groups_are_bounded_and_that_is_said() -> None:
    names = [f"g{number}" for number in range(6000)]
    assert mapped({"groups": names}).groups == tuple(names[:2000])
    assert unusable(groups=names) == [
        "groups: after 2000 the others in groups are left out; group_filter says which are read"
    ]


def test_of_too_many_groups_those_that_decide_stay() -> None:
    """A rule that denies a group must find it, wherever in the list the provider puts it."""
    names = [f"g{number}" for number in range(2001)]
    settings = replace(provider(), rules=parse_rules("denied /x if group:g2000 or user:g1999"))
    found = map_claims(settings, {"username": "jane", "groups": names}).groups
    assert found == ("g2000", *names[:1999])
    as_many_as_fit = ("g2000", *names[1:2000])[::-1]
    assert map_claims(settings, {"username": "jane", "groups": as_many_as_fit}).groups == as_many_as_fit


@pytest.mark.parametrize(
    ("value", "path"),
    [([{"name": "b"}, {"name": "a"}, {}], "groups[*].name"), ({"b": {}, "a": {}}, "keys(groups)")],
)
def test_groups_are_read_out_of_objects(value: Any, path: str) -> None:
    assert mapped({"groups": value}, attribute_map={**DEFAULT_MAP, "groups": path}).groups == ("b", "a")


def test_a_filter_says_which_groups_are_read_however_many_there_are() -> None:
    names = [*(f"g{number}" for number in range(6000)), "app-a", "APP-b", "staff", "staff2", "app-"]
    settings = replace(provider(), group_filter=("app-*", "staff"))
    assert map_claims(settings, {"username": "jane", "groups": names}).groups == ("app-a", "staff", "app-")


# Groups, which a session keeps once

CLAIMS = {"username": "jane", "bio": "hello", "groups": ["a", "b"], "realm": {"roles": ["a", "b"]}}


@pytest.mark.parametrize(
    ("path", "restored"),
    [("groups", {"groups": ("a", "b")}), ("realm.roles", {"realm": {"roles": ("a", "b")}})],
)
def test_groups_leave_the_claims_and_are_put_back_where_they_were(
    path: str, restored: dict[str, Any]
) -> None:
    settings = provider({"username": "username", "comment": "bio", "groups": path})
    rest = {name: value for name, value in CLAIMS.items() if name not in restored}
    kept = without_groups(settings, CLAIMS, read=[AttributePath.parse("bio")])
    assert kept == rest
    assert with_groups(settings, kept, ("a", "b")) == {**rest, **restored}
    assert with_groups(settings, kept, ()) == rest


@pytest.mark.parametrize(
    "source",
    [
        None,
        AttributePath.parse("realm.roles[0]"),
        AttributePath.parse("keys(groups)"),
        FirstOf((AttributePath.parse("groups"), AttributePath.parse("roles"))),
    ],
)
def test_groups_that_could_not_be_put_back_stay_where_they_are(source: Source | None) -> None:
    paths: dict[str, Source] = {"username": AttributePath.parse("username")}
    settings = replace(provider(), attribute_map=paths if source is None else {**paths, "groups": source})
    assert without_groups(settings, CLAIMS, read=()) == CLAIMS
    assert with_groups(settings, {"username": "jane"}, ("a",)) == {"username": "jane"}


@pytest.mark.parametrize(
    ("comment", "subject", "read"),
    [("groups[0]", "sub", "bio"), ("bio", "groups", "bio"), ("bio", "sub", "groups[1]")],
)
def test_groups_that_something_else_reads_stay_where_they_are(comment: str, subject: str, read: str) -> None:
    settings = replace(
        provider({"username": "username", "comment": comment, "groups": "groups"}),
        subject=AttributePath.parse(subject),
    )
    assert without_groups(settings, CLAIMS, read=[AttributePath.parse(read)]) == CLAIMS
    assert with_groups(settings, CLAIMS, ("c",)) == CLAIMS


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ((), "none"),
        (("staff", "a\n\u00e4"), "staff, a\\n\\xe4"),
        (("g",) * 40, ", ".join("g" * 40)),
        (("g",) * 41, ", ".join("g" * 40) + ", ..."),
        (("x" * 40, "y" * 41), "x" * 40 + ", " + "y" * 40),
    ],
)
def test_a_message_shows_where_groups_came_from_and_not_too_many(names: tuple[str, ...], shown: str) -> None:
    assert shown_groups(provider(), names, {}) == f"groups came from groups: {shown}"


def test_a_message_says_that_no_groups_are_mapped() -> None:
    assert shown_groups(provider({"username": "username"}), ("staff",), {}) == "no groups are mapped"


# Several paths for one field


def test_of_several_paths_the_first_that_has_a_value_counts() -> None:
    settings = replace(
        provider(),
        attribute_map={
            "username": FirstOf((AttributePath.parse("upn"), AttributePath.parse("login"))),
            "groups": FirstOf((AttributePath.parse("roles"), AttributePath.parse("keys(apps)"))),
        },
    )
    apps = {"apps": {"a": 1}}
    assert map_claims(settings, {"login": "jane", "upn": None, **apps}) == Attributes("jane", groups=("a",))
    assert map_claims(settings, {"login": "jane", "upn": "j", "roles": "r", **apps}) == Attributes(
        "j", groups=("r",)
    )
    with pytest.raises(ProviderError, match="upn or login"):
        map_claims(settings, {"mail": "jane"})


# What is there and cannot be used


def unusable(attribute_map: dict[str, str] | None = None, **claims: Any) -> list[str]:
    settings, all_claims = provider(attribute_map), {"username": "jane", **claims}
    return [*unusable_attributes(settings, all_claims, map_claims(settings, all_claims))]


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("name", {"first": "J"}, "name is left out: name is an object that cannot be used"),
        ("name", ["J"], "name is left out: name is a list that cannot be used"),
        ("email", 7, "email is left out: email is a number that cannot be used"),
        ("email", " a@b ", "email is left out: email is a text that cannot be used"),
        ("phone", False, "phone is left out: phone is true or false that cannot be used"),
        (
            "groups",
            ["a", {"name": "s3cret"}, None, "b\n"],
            "groups: 2 of 4 in groups are left out, the first is an object that cannot be used; a path such as "
            "roles[*].name or keys(roles) reads names out of objects",
        ),
        ("groups", "a,b", "groups: groups is one text with commas, and counts as one group"),
    ],
)
def test_what_is_there_and_cannot_be_used_is_said(field: str, value: Any, what: str) -> None:
    assert unusable(**{field: value}) == [what]


@pytest.mark.parametrize("has_written_map", [True, False])
def test_what_is_to_be_had_elsewhere_is_said_of_a_map_that_somebody_wrote(*, has_written_map: bool) -> None:
    claims = {"username": "jane", "_claim_names": {"groups": "src1"}}
    settings = replace(provider(), has_written_map=has_written_map)
    told = [*unusable_attributes(settings, claims, map_claims(settings, claims))]
    elsewhere = "groups: _claim_names says that groups is to be had elsewhere, which is not followed"
    assert told == ([elsewhere] if has_written_map else [])


def test_an_expression_that_cannot_be_evaluated_is_said() -> None:
    settings = replace(
        provider(), attribute_map={**provider().attribute_map, "name": JmesPath.parse("jmespath:sum(name)")}
    )
    claims = {"username": "jane", "name": "Jane"}
    assert [*unusable_attributes(settings, claims, map_claims(settings, claims))] == [
        "name: jmespath:sum(name): it cannot be evaluated with these claims (JMESPathTypeError)"
    ]


def test_all_that_cannot_be_used_is_said() -> None:
    assert [line.partition(":")[0] for line in unusable(name=None, email=7, phone=False, groups=[{}])] == [
        "email is left out",
        "phone is left out",
        "groups",
    ]


def test_of_one_group_that_is_a_text_nothing_is_said() -> None:
    assert unusable(groups="staff") == []


@pytest.mark.parametrize("value", [None, "", [], ["", None]])
def test_of_what_is_absent_nothing_is_said(value: Any) -> None:
    assert unusable(name=value if value != ["", None] else None, groups=value) == []


# The username


@pytest.mark.parametrize(
    "value",
    [
        "jane",
        "Jane Doe",
        "jane@corp.example",
        "o'neil",
        "j\u00e4ne",
        "jose\u0301",
        "\u5f20\u4f1f",
        "a",
        "x" * 255,
    ],
)
def test_a_username_is_taken_as_it_is(value: str) -> None:
    assert username(value) == value


def test_a_whole_number_is_a_username() -> None:
    assert username(583231) == "583231"


def test_a_prefix_is_put_in_front() -> None:
    assert username("jane", prefix="corp-") == "corp-jane"


def test_the_transformations_apply_in_order_and_the_prefix_last() -> None:
    options: dict[str, Any] = {"prefix": "Corp-", "transform": ("localpart", "lower")}
    assert username("Jane@Corp.Example", **options) == "Corp-jane"


def test_lower_makes_small_letters() -> None:
    assert username("J\u00c4NE", transform=("lower",)) == "j\u00e4ne"


@pytest.mark.parametrize(
    ("value", "local"), [("jane@corp.example", "jane"), ("jane", "jane"), ("jane@", "jane")]
)
def test_localpart_is_what_stands_before_the_at_sign(value: str, local: str) -> None:
    assert username(value, transform=("localpart",)) == local


@pytest.mark.requirement("3k.4")
@pytest.mark.parametrize("value", ["jane@evil@corp.example", "@corp.example", "@", "jane@@corp.example"])
def test_localpart_refuses_what_has_none_or_several(value: str) -> None:
    error = refusal({"username": value}, transform=("localpart",), prefix="corp-")
    assert error.code == "bad_username"
    assert "username_transform leaves nothing of it" in error.detail


@pytest.mark.parametrize(
    ("value", "name"),
    [("zoé", "zoe"), ("zoe\u0301", "zoe"), ("Jürgen Ångström", "Jurgen Angstrom"), ("jane", "jane")],
)
def test_ascii_takes_accents_off(value: str, name: str) -> None:
    assert username(value, transform=("ascii",)) == name


@pytest.mark.requirement("R-ascii")
@pytest.mark.parametrize(
    "value", ["Łukasz", "straße", "søren", "иван", "zo\u0435", "李", "jane\u0131", "é\u200d"]
)
def test_ascii_refuses_what_is_left(value: str) -> None:
    error = refusal({"username": value}, transform=("ascii",), prefix="corp:")
    assert error.code == "bad_username"
    assert value not in error.detail


def test_ascii_names_its_cure() -> None:
    assert "write percent" in refusal({"username": "Łukasz"}, transform=("ascii",)).detail


@pytest.mark.parametrize(
    ("value", "name"), [("zoé", "zo%C3%A9"), ("100%", "100%25"), ("a b@c'\"", "a b@c'\"")]
)
def test_percent_encodes_what_ascii_does_not_have(value: str, name: str) -> None:
    assert username(value, transform=("percent",)) == name


@given(st.text())
def test_percent_keeps_two_names_apart(value: str) -> None:
    try:
        name = username(value, transform=("percent",))
    except ProviderError:
        return
    assert name.isascii()
    assert unquote(name) == value


@pytest.mark.parametrize("value", [None, "", True, False, 1.5, 2**64, ["jane"], {"a": "jane"}])
def test_a_missing_username_is_refused(value: Any) -> None:
    assert refusal({"username": value}).code == "no_username"


def test_the_log_names_the_path_and_the_claims_and_no_value() -> None:
    error = refusal(
        {"sub": "secret-1", "email": "secret-2", "login": None}, attribute_map={"username": "login"}
    )
    assert error.code == "no_username"
    assert error.detail == (
        "provider corp: no username: attribute_map reads it from 'login', which is missing, empty or neither a text "
        "nor a whole number. The claims sent: 'sub', 'email', 'login'. "
        "Map username to one of them, or ask for a scope that brings it"
    )


def test_the_log_of_a_missing_username_says_when_there_were_no_claims() -> None:
    assert "The claims sent: none." in refusal({}).detail


def test_strange_and_many_claim_names_stay_on_one_short_line() -> None:
    detail = refusal({f"a\n\u202e{number}" + "x" * 100: 1 for number in range(100)}).detail
    assert detail.isascii()
    assert "\n" not in detail
    assert ", ...." in detail
    assert len(detail) < 4000


def test_of_the_names_of_claims_as_many_are_shown_as_a_line_holds() -> None:
    names = [f"{number:02}" + "x" * 40 for number in range(41)]
    listed = ", ".join(f"'{name[:40]}'" for name in names[:40])
    assert f"The claims sent: {listed}. " in refusal(dict.fromkeys(names[:40])).detail
    assert f"The claims sent: {listed}, .... " in refusal(dict.fromkeys(names)).detail


def test_a_map_without_a_username_says_so() -> None:
    error = refusal({"sub": "x"}, attribute_map={})
    assert error.code == "no_username"
    assert "attribute_map names no claim for username" in error.detail


@pytest.mark.requirement("3k.6")
@pytest.mark.parametrize(
    "value",
    [
        "ja\0ne",
        "jane\n",
        "jane\r\nx",
        "jane\x7f",
        "jane\x85",
        "admin\u200b",
        "admin\u200d",
        "\ufeffadmin",
        "ad\u00admin",
        "ad\u2060min",
        "\u202eadmin",
        "\u2066admin",
        "\u200eadmin",
        "admin\u2028",
        "admin\u00a0",
        "ad\u3000min",
        "ad\ud800min",
        "ad\ue000min",
        "ad\u034fmin",
        "admin\ufe0f",
        "admin\u3164",
        "admin\u115f",
        "admin\u2800",
        "admin\U000e0101",
        "admin\U000e0061",
    ],
    ids=ascii,
)
def test_a_username_with_invisible_characters_is_refused(value: str) -> None:
    error = refusal({"username": value})
    assert error.code == "bad_username"
    assert "control, formatting or invisible characters" in error.detail


@pytest.mark.requirement("3k.6")
@pytest.mark.parametrize(
    "value",
    ["\uff21\uff24\uff2d\uff29\uff2e", "\u24d0dmin", "\u00aadmin", "\ufb01n", "admin\u00b2", "\u212aelvin"],
)
def test_a_username_in_compatibility_letters_is_refused(value: str) -> None:
    error = refusal({"username": value})
    assert error.code == "bad_username"
    assert "compatibility characters" in error.detail


@pytest.mark.requirement("3k.6")
def test_a_sign_that_a_transformation_makes_a_letter_is_refused() -> None:
    assert "compatibility" in refusal({"username": "\u212aelvin"}, transform=("lower",)).detail


@pytest.mark.requirement("3k.6")
@pytest.mark.parametrize("value", [" jane", "jane ", " "])
def test_a_username_with_blanks_around_it_is_refused(value: str) -> None:
    for prefix in ("", "corp-"):
        error = refusal({"username": value}, prefix=prefix)
        assert error.code == "bad_username"
        assert "starts or ends with a blank" in error.detail


def test_an_over_long_username_is_refused_prefix_included() -> None:
    assert len(username("x" * 253, prefix="c-")) == 255
    error = refusal({"username": "x" * 254}, prefix="c-")
    assert error.code == "bad_username"
    assert "longer than 255 characters" in error.detail


def test_a_refused_username_is_not_quoted() -> None:
    assert "jane" not in refusal({"username": "jane\0"}).detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(DEFAULT_MAP, JSON)))
def test_any_claims_are_mapped_or_refused(claims: dict[str, Any]) -> None:
    try:
        found = map_claims(provider(), claims)
    except ProviderError as error:
        assert error.code in ("no_username", "bad_username")
        return
    texts = [found.username, found.name, found.email, found.phone, *found.groups]
    assert not any(text == "" or contains_control(text) for text in texts if text is not None)
    assert found.username.isprintable()


@given(
    st.text(
        st.characters(categories=["L", "N"], exclude_characters="\u3164\u115f\u1160\uffa0"),
        min_size=1,
        max_size=40,
    )
)
@pytest.mark.requirement("3k.6")
def test_letters_and_digits_are_a_username_unless_they_fold_into_others(value: str) -> None:
    assume(value.isprintable())
    try:
        assert username(value) == value
    except ProviderError as error:
        assert "compatibility" in error.detail


def test_what_was_mapped_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Attributes("jane").username = "eve"  # type: ignore[misc]
