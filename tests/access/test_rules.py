"""Which rule decides about a path, and what it asks."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oauth2_mw.access.rules import AccessRules, Rule, compiled, public_rules
from oauth2_mw.access.terms import Person
from oauth2_mw.boundary import is_ambiguous_path
from oauth2_mw.settings.access_rules import AccessRule, parse_rules
from oauth2_mw.settings.grammar import PathRule


def public(*paths: str) -> AccessRules:
    return AccessRules(public_paths=tuple(map(PathRule.parse, paths)))


def is_public(*paths: str, path: str) -> bool:
    return public(*paths).find(path, "GET").effect == "public"


def rules(text: str, **keys: Any) -> AccessRules:
    return AccessRules(parse_rules(text), **keys)


def effect(judge: AccessRules, path: str, method: str = "GET") -> str:
    return judge.find(path, method).effect


def person(**changes: Any) -> Person:
    known: dict[str, Any] = {
        "provider": "corp",
        "username": "jane",
        "email": "jane@example.com",
        "groups": ("staff",),
        "organizations": ("DEFAULT",),
        "claims": {"level": 3, "nested": {"a": ["x"]}},
        "acr": "silver",
    }
    return Person(**{**known, **changes})


# Public paths


@pytest.mark.requirement("3g.3", "3g.7")
def test_without_rules_nothing_is_public() -> None:
    assert {effect(AccessRules(), path) for path in ("/", "", "/a", "/static/", "/a//b")} == {"required"}


@pytest.mark.requirement("3g.3", "3g.7", "R-subtree")
def test_a_subtree_is_public_below_its_slash() -> None:
    judge = public("/static/")
    assert effect(judge, "/static/") == effect(judge, "/static/css/site.css") == "public"
    for path in ("/static", "/staticx", "/STATIC/x", "/admin/static/", "/", ""):
        assert effect(judge, path) == "required", path


@pytest.mark.requirement("3g.3")
def test_an_exact_path_is_public_alone() -> None:
    judge = public("/health")
    assert effect(judge, "/health") == "public"
    for path in ("/health/", "/health/x", "/healthx", "/Health", "health", "/"):
        assert effect(judge, path) == "required", path


def test_several_rules_stand_beside_each_other() -> None:
    judge = public("/static/", "/health", "/media/", "/robots.txt")
    assert {effect(judge, path) for path in ("/static/a", "/media/b", "/health", "/robots.txt")} == {"public"}
    assert effect(judge, "/admin") == "required"


@pytest.mark.requirement("R-subtree")
def test_the_front_page_alone_can_be_public() -> None:
    judge = public("/$")
    assert effect(judge, "/") == "public"
    for path in ("", "/a", "//", "/$", "/index.html"):
        assert effect(judge, path) == "required", path


def test_a_rule_in_another_script_is_compared_as_the_server_spells_it() -> None:
    judge = public("/\u00f6ffentlich/", "/\u65e5\u672c")
    assert effect(judge, "/\u00f6ffentlich/x".encode().decode("latin-1")) == "public"
    assert effect(judge, "/\u65e5\u672c".encode().decode("latin-1")) == "public"
    assert effect(judge, "/\u00f6ffentlich/x") == "required"


ODD = [
    "/public/../admin",
    "/public/..",
    "/public/.",
    "/public//admin",
    "/public/..;/admin",
    "/public/\\..\\admin",
    "/public/%2e%2e/admin",
    "/public/\0/../admin",
    "/public/\xc0\xae\xc0\xae/admin",
    "/public/\xff",
    "/public/\xef\xbc\x8e\xef\xbc\x8e/admin",
    "//public/x",
    "http://x/public/",
    "public/",
]


@pytest.mark.requirement("3g.5", "W7")
@pytest.mark.parametrize("path", [*ODD, ""], ids=ascii)
def test_an_odd_path_is_never_public(path: str) -> None:
    assert effect(public("/public/"), path) == "required"


PARTS = st.sampled_from(
    ["a", "public", "health", "..", ".", "", ";", "%2e", "\\", "\xc3\xa9", "\xff", "..;x", " "]
)
PATHS = st.lists(PARTS, max_size=6).map(lambda parts: "/" + "/".join(parts)) | st.text(max_size=8)


@pytest.mark.requirement("3g.8", "W7")
@given(PATHS)
@example("/public/../admin")
def test_a_public_path_is_public_after_normalisation(path: str) -> None:
    if is_public("/public/", "/health", path=path):
        assert posixpath.normpath(path) == "/health" or (posixpath.normpath(path) + "/").startswith(
            "/public/"
        )


@given(st.text(max_size=10), st.text(alphabet="/.ab", max_size=10))
def test_a_rule_covers_itself_and_only_what_it_is_or_begins(text: str, path: str) -> None:
    try:
        rule = PathRule.parse(text)
    except ValueError:
        return
    assert is_public(text, path=rule.native)
    covered = path.startswith(rule.native) if rule.is_subtree else path == rule.native
    assert is_public(text, path=path) == (covered and not is_ambiguous_path(path))


# Rules


ALL = """
public     /static/ /favicon.ico
denied     /internal/
required   /admin/ if group:admins
required   GET /api/
required   /api/ if group:editors
delegated  /app-api/
optional   /
"""


@pytest.mark.requirement("R-subtree")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/static/x", "public"),
        ("/static", "optional"),
        ("/favicon.ico", "public"),
        ("/favicon.ico/", "optional"),
        ("/internal/", "denied"),
        ("/internal", "denied"),
        ("/internals", "optional"),
        ("/admin", "required"),
        ("/admin/users", "required"),
        ("/app-api", "delegated"),
        ("/app-api/v1", "delegated"),
        ("/", "optional"),
    ],
)
def test_the_first_rule_that_matches_decides(path: str, expected: str) -> None:
    assert effect(rules(ALL), path) == expected


@pytest.mark.requirement("R-subtree")
def test_what_no_rule_names_is_as_protect_says() -> None:
    assert effect(rules("public /a/"), "/b") == "required"
    assert effect(rules("public /a/", protect="optional"), "/b") == "optional"
    # The empty path is the root without its slash, which a lax rule does not cover.
    assert effect(rules("optional /"), "") == "required"
    assert effect(rules("denied /", protect="optional"), "") == "denied"


@pytest.mark.requirement("R-subtree")
def test_a_rule_with_a_condition_covers_the_path_without_its_slash() -> None:
    judge = rules("optional /wiki/ if group:staff\noptional /", protect="optional")
    assert judge.find("/wiki", "GET").has_conditions
    assert judge.find("/wiki/", "GET").has_conditions
    assert not judge.find("/wikis", "GET").has_conditions


def test_public_paths_come_first() -> None:
    judge = rules("denied /a/", public_paths=(PathRule.parse("/a/b"),))
    assert effect(judge, "/a/b") == "public"
    assert effect(judge, "/a/c") == "denied"


@pytest.mark.requirement("3g.4", "R-methods")
def test_a_rule_for_some_methods_is_about_no_other() -> None:
    judge = rules(ALL)
    assert not judge.find("/api/x", "GET").has_conditions
    assert not judge.find("/api/x", "HEAD").has_conditions
    for method in ("POST", "get", "Get", "GETX", "", "PROPFIND", "GET "):
        assert judge.find("/api/x", method).has_conditions, method


@pytest.mark.requirement("R-methods")
def test_head_is_covered_by_get_and_get_not_by_head() -> None:
    judge = rules("public HEAD /a\npublic GET /b")
    assert effect(judge, "/a", "HEAD") == effect(judge, "/b", "HEAD") == effect(judge, "/b") == "public"
    assert effect(judge, "/a") == "required"


@pytest.mark.requirement("R-methods")
def test_of_several_methods_each_must_let_a_request_pass() -> None:
    judge = rules("public GET /a\ndenied DELETE /a\nrequired POST /a if group:x\noptional /a")
    assert judge.find_all("/a", ("GET", "GET")).effect == "public"
    assert judge.find_all("/a", ("GET", "DELETE")).effect == "denied"
    assert judge.find_all("/a", ("DELETE", "GET")).effect == "denied"
    joined = judge.find_all("/a", ("GET", "POST"))
    assert joined.effect == "required"
    assert joined.has_conditions
    assert joined.text == "public GET /a and required POST /a if group:x"


@pytest.mark.requirement("R-methods")
@pytest.mark.parametrize("method", ["post", "Post", "pOST"])
def test_a_method_in_small_letters_is_no_way_round_a_rule(method: str) -> None:
    # Most applications read capitals; to those that do not, it is another method.
    judge = rules("denied POST /a\nrequired /a if group:x\noptional /")
    assert judge.find_all("/a", (method,)).effect == "denied"
    judge = rules("public POST /a\nrequired /a if group:x")
    assert judge.find_all("/a", (method,)).has_conditions


@pytest.mark.requirement("R-methods")
def test_whether_methods_count_at_all_is_known() -> None:
    assert rules("public GET /a").tells_methods_apart
    assert not rules("public /a").tells_methods_apart


# Odd paths


@pytest.mark.requirement("R-odd")
@pytest.mark.parametrize("path", ODD, ids=ascii)
@pytest.mark.parametrize(
    "strict", ["denied /admin/", "required /admin/ if group:x", "denied /x if user:jane", "required /admin/"]
)
def test_an_odd_path_is_refused_where_a_rule_is_stricter_than_the_last(strict: str, path: str) -> None:
    found = rules(f"public /public/\n{strict}\noptional /").find(path, "GET")
    assert found.effect == "denied"
    assert found.is_odd


@pytest.mark.requirement("R-odd")
@pytest.mark.parametrize("path", ODD, ids=ascii)
@pytest.mark.parametrize(
    ("text", "protect"),
    [
        ("public /public/\nrequired /", "optional"),
        ("public /public/\noptional /", "required"),
        ("optional /public/\nrequired /admin/", "required"),
        ("delegated /public/", "required"),
    ],
)
def test_an_odd_path_asks_for_a_sign_in_where_no_rule_is_stricter(text: str, protect: Any, path: str) -> None:
    found = rules(text, protect=protect).find(path, "GET")
    assert found.effect == "required"
    assert not found.has_conditions


@pytest.mark.requirement("R-odd")
def test_a_last_rule_with_a_condition_is_no_way_round_it() -> None:
    assert rules("required / if group:staff").find("/a//b", "GET").effect == "denied"


@pytest.mark.requirement("R-odd")
@pytest.mark.parametrize("path", ODD, ids=ascii)
@pytest.mark.parametrize("text", ["public /public/\ndenied /", "required /app/\ndenied /", "denied /"])
def test_an_odd_path_is_no_way_round_a_last_rule_that_lets_nobody_pass(text: str, path: str) -> None:
    assert rules(text).find(path, "GET").effect == "denied"
    assert rules(text, protect="optional").odd.effect == "denied"


@pytest.mark.requirement("R-odd")
@pytest.mark.parametrize("protect", ["required", "optional"])
@pytest.mark.parametrize(
    "text",
    ["required /$ if group:x", "required /$ if group:x\noptional /", "denied /$ if user:jane\nrequired /"],
)
def test_the_empty_path_is_no_way_round_a_rule_about_the_front_page(text: str, protect: Any) -> None:
    assert rules(text, protect=protect).find("", "GET").has_conditions


@pytest.mark.requirement("R-odd")
def test_the_empty_path_is_not_public_with_the_front_page() -> None:
    assert rules("public /$").find("", "GET").effect == "required"
    assert rules("public /$\noptional /", protect="optional").find("", "GET").effect == "optional"


READABLE = """
denied   /q/secret/
required /q/ if group:ops
denied   /admin/
optional /
"""


@pytest.mark.requirement("R-odd")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/q/a//b", "required /q/ if group:ops"),
        ("/q/;x/b", "required /q/ if group:ops"),
        ("/q/secret//x", "denied /q/secret/"),
        ("/q//secret/x", "denied /q/secret/"),
        ("/q/;a/secret;b/x", "denied /q/secret/"),
        ("/q/x/../secret", "denied /q/secret/"),
        ("/q/../admin/x", "denied /admin/"),
        ("/q/..;x/admin", "denied /admin/"),
        ("/q//..//..//admin", "denied /admin/"),
        ("/q/%2e%2e/admin/", "denied /admin/"),
        ("/q/%252e%252e/admin/", "denied /admin/"),
    ],
)
def test_in_odd_paths_every_reading_is_judged(path: str, expected: str) -> None:
    found = rules(READABLE, odd_paths=(PathRule.parse("/q/"),)).find(path, "GET")
    assert not found.is_odd
    assert expected in found.text
    assert found.effect == expected.split()[0]


@pytest.mark.requirement("R-odd")
@pytest.mark.parametrize(
    "path", ["/q/\\x", "/q/\0x", "/q/\xff", "/q/%5cx", "/q/%00", "/q/%ff", "/q/ /x", "/q/a?b"]
)
def test_what_no_program_may_read_stays_refused_in_odd_paths(path: str) -> None:
    assert rules(READABLE, odd_paths=(PathRule.parse("/q/"),)).find(path, "GET").is_odd


@pytest.mark.requirement("R-odd")
def test_odd_paths_open_no_other_subtree() -> None:
    judge = rules(READABLE, odd_paths=(PathRule.parse("/q/"),))
    assert judge.find("/other//x", "GET").is_odd
    assert judge.find("//q/x", "GET").is_odd


# Conditions


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ("signed-in", True),
        ("user:jane", True),
        ("user:Jane", False),
        ("group:staff", True),
        ("group:admins", False),
        ("group:admins or group:staff", True),
        ("group:admins and group:staff", False),
        ("group:admins and user:jane or user:jane", True),
        ("user:jane or group:admins and user:nobody", True),
        ("email:JANE@example.com", True),
        ("email_domain:example.com", True),
        ("email_domain:example.org", False),
        ("organization:DEFAULT", True),
        ("provider:corp", True),
        ("provider:other", False),
        ("acr:silver", True),
        ("acr:gold", False),
        ("via:session", True),
        ("via:token", False),
        ("claim:level=3", True),
        ("claim:nested.a[*]=x", True),
        ("claim:level=4", False),
    ],
)
def test_a_condition_reads_the_person(condition: str, passes: Any) -> None:
    found = rules(f"required / if {condition}").find("/", "GET")
    assert found.lets_pass(person()) is passes
    # The other way round with denied.
    assert rules(f"denied / if {condition}").find("/", "GET").lets_pass(person()) is not passes


def test_a_token_is_no_session() -> None:
    by_token = person(via="token")
    assert rules("required / if via:token").find("/", "GET").lets_pass(by_token)
    assert not rules("required / if via:session").find("/", "GET").lets_pass(by_token)


def test_an_address_that_does_not_count_meets_no_term() -> None:
    for condition in ("email:jane@example.com", "email_domain:example.com"):
        assert not rules(f"required / if {condition}").find("/", "GET").lets_pass(person(email=None))


def test_who_is_denied_by_a_condition_must_be_known() -> None:
    found = rules("denied /x if group:interns").find("/x", "GET")
    assert found.effect == "required"
    assert found.lets_pass(person())
    assert not found.lets_pass(person(groups=("interns",)))


def test_an_optional_rule_with_a_condition_asks_for_a_sign_in() -> None:
    assert effect(rules("optional /x if group:staff"), "/x") == "required"


def test_joined_rules_ask_for_all_that_each_asks() -> None:
    one = compiled(*parse_rules("required /x if group:staff"))
    other = compiled(*parse_rules("denied /y if group:interns"))
    both = one.joined(other)
    assert both.lets_pass(person())
    assert not both.lets_pass(person(groups=()))
    assert not both.lets_pass(person(groups=("staff", "interns")))
    assert [str(term) for term in both.terms()] == ["group:staff", "group:interns"]
    assert one.joined(one) == one


def test_the_joined_rule_is_odd_if_one_of_the_two_is() -> None:
    odd, plain = Rule("denied", is_odd=True), Rule("required")
    assert odd.joined(plain).is_odd
    assert plain.joined(odd).is_odd
    assert not plain.joined(Rule("public")).is_odd


# Against a reader that goes through the rules one by one


SEGMENTS = ("a", "b", "c", "A")
WRITTEN_PATHS = st.lists(st.sampled_from(SEGMENTS), max_size=3).flatmap(
    lambda segments: st.sampled_from(["", "/"]).map(
        lambda end: "/" + "/".join(segments) + (end if segments else "")
    )
)


@st.composite
def lines(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["public", "optional", "delegated", "required", "denied"]))
    methods = draw(st.sampled_from(["", "GET", "POST", "GET,POST", "HEAD", "DELETE"]))
    paths = draw(st.lists(WRITTEN_PATHS, min_size=1, max_size=3, unique=True))
    condition = draw(st.sampled_from(["", " if group:x", " if user:jane or group:y and acr:z"]))
    if kind == "public":
        condition = ""
        paths = ["/$" if path == "/" else path for path in paths]
    return " ".join(filter(None, [kind, methods, *paths])) + condition


def first_match(written: Sequence[AccessRule], path: str, method: str) -> Rule:
    for rule in written:
        if rule.methods and method not in rule.methods:
            continue
        for each in rule.paths:
            if each.is_subtree:
                if path.startswith(each.native) or (rule.is_strict and path + "/" == each.native):
                    return compiled(rule)
            elif path == each.native:
                return compiled(rule)
    return Rule("required", written=("protect = required",))


@pytest.mark.requirement("3g.4", "R-subtree", "R-methods")
@given(
    st.lists(lines(), max_size=8),
    st.lists(st.sampled_from(SEGMENTS), max_size=4).flatmap(
        lambda segments: st.sampled_from(["/" + "/".join(segments), "/".join(["", *segments, ""]), ""])
    ),
    st.sampled_from(["GET", "HEAD", "POST", "DELETE", "get", "X"]),
)
def test_the_tree_and_a_reader_of_one_rule_after_another_agree(
    written: list[str], path: str, method: str
) -> None:
    parsed = parse_rules("\n".join(written))
    if path == "//":
        return
    found, expected = AccessRules(parsed).find(path, method), first_match(parsed, path, method)
    if path == "":
        # Most applications take it for the front page, so that both must let it pass.
        front_page = first_match(parsed, "/", method)
        assert found.strictness == max(expected.strictness, front_page.strictness)
        assert {*found.requires} >= {*expected.requires, *front_page.requires}
        assert {*found.refuses} >= {*expected.refuses, *front_page.refuses}
    else:
        assert found == expected


def test_public_paths_are_rules_with_a_name() -> None:
    assert [rule.text for rule in public_rules((PathRule.parse("/a/"),))] == ["public_paths = /a/"]


# What a page of the application may ask beside a rule


@pytest.mark.parametrize(
    ("max_age", "auth_time", "fresh"),
    [
        (None, None, True),
        (None, 0, True),
        (300, None, False),
        (300, 1000, True),
        (300, 690, True),
        (300, 689, False),
        (0, 990, True),
        (0, 989, False),
    ],
)
def test_how_long_ago_the_provider_asked_the_person(
    max_age: int | None, auth_time: int | None, fresh: Any
) -> None:
    assert Rule("required", max_age=max_age).is_fresh(auth_time, now=1000, leeway=10) is fresh


def test_which_acr_would_let_a_person_pass() -> None:
    found = rules("required / if acr:gold or group:staff and acr:platinum or acr:gold").find("/", "GET")
    assert found.acr_values_for(person()) == ("gold", "platinum")
    assert found.acr_values_for(person(groups=())) == ("gold",)
    # Who passes without any needs none, and whom none helps gets none.
    assert rules("required / if acr:gold or user:jane").find("/", "GET").acr_values_for(person()) == ()
    assert rules("required / if acr:gold and user:bob").find("/", "GET").acr_values_for(person()) == ()


def test_which_scopes_would_let_a_token_pass() -> None:
    token = person(via="bearer", scopes=frozenset({"read"}))
    either = rules("required / if scope:write or scope:admin and group:staff").find("/", "GET")
    assert either.scopes_for(token) == ("admin",)
    assert either.scopes_for(person(via="bearer", groups=())) == ("write",)
    both = rules("required / if scope:b and scope:a and scope:read").find("/", "GET")
    assert both.scopes_for(token) == ("a", "b")
    # Whom none helps gets none.
    assert rules("required / if scope:write and user:bob").find("/", "GET").scopes_for(token) == ()
    assert rules("required / if via:session").find("/", "GET").scopes_for(token) == ()
    assert rules("denied / if scope:read").find("/", "GET").scopes_for(token) == ()


def test_a_rule_is_a_value() -> None:
    rule = Rule("required")
    assert rule == Rule("required")
    assert "is_plain" not in repr(rule)
    with pytest.raises(FrozenInstanceError):
        rule.effect = "public"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("rule", "plain"),
    [
        (Rule("required"), True),
        (Rule("optional"), False),
        (Rule("denied"), False),
        (Rule("required", requires=((),)), False),
        (Rule("required", refuses=((),)), False),
    ],
)
def test_a_plain_rule_asks_for_a_sign_in_alone(rule: Rule, plain: Any) -> None:
    assert rule.is_plain is plain


def test_no_rule_behind_one_for_every_method_is_kept() -> None:
    judge = rules("required GET /a\noptional /a\ndenied POST /b\nrequired /b")
    node = judge._root.children["a"]
    assert [methods for methods, _ in node.ends_here] == [{"GET", "HEAD"}, frozenset()]
    many = AccessRules([*parse_rules("optional /a"), *parse_rules("required GET /a")])
    assert len(many._root.children["a"].ends_here) == 1


# What is remembered


def test_a_path_that_was_asked_for_before_is_decided_alike_at_once() -> None:
    judge = rules("denied /a\npublic /b\nrequired /c if group:staff")
    for path in ("/a", "/b", "/c", "/c//d", "", "/other"):
        assert judge.recall(path) is None
        assert judge.find_for_all(path) == judge.find(path)
        assert judge.recall(path) == judge.find(path)


def test_invented_paths_do_not_fill_the_memory() -> None:
    judge = rules("public /b")
    for number in range(10_000):
        judge.find_for_all(f"/{number}")
    assert 0 < len(judge._remembered) <= 4096
    judge.find_for_all("/" + "x" * 300)
    assert judge.recall("/" + "x" * 300) is None
