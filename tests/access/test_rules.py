"""Which paths need nobody."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oauth2_mw.access.rules import PublicPaths
from oauth2_mw.boundary import is_ambiguous_path
from oauth2_mw.settings.grammar import PathRule


def covers(rule: PathRule, path: str) -> bool:
    """What one rule means: everything below it when it ends in a slash, otherwise that one path."""
    return path.startswith(rule.native) if rule.native.endswith("/") else path == rule.native


def public(*rules: str) -> PublicPaths:
    return PublicPaths(tuple(map(PathRule.parse, rules)))


@pytest.mark.requirement("3g.7")
def test_without_rules_nothing_is_public() -> None:
    judge = public()
    assert not any(map(judge, ["/", "", "/a", "/static/"]))


@pytest.mark.requirement("3g.3", "3g.7")
def test_a_subtree_is_public_below_its_slash() -> None:
    judge = public("/static/")
    assert judge("/static/")
    assert judge("/static/css/site.css")
    assert not judge("/static")
    assert not judge("/staticx")
    assert not judge("/STATIC/x")
    assert not judge("/admin/static/")


@pytest.mark.requirement("3g.3")
def test_an_exact_path_is_public_alone() -> None:
    judge = public("/health")
    assert judge("/health")
    assert not judge("/health/")
    assert not judge("/health/x")
    assert not judge("/healthx")
    assert not judge("/Health")
    assert not judge("health")


def test_several_rules_stand_beside_each_other() -> None:
    judge = public("/static/", "/health", "/media/", "/robots.txt")
    assert all(map(judge, ["/static/a", "/media/b", "/health", "/robots.txt"]))
    assert not judge("/admin")


def test_a_rule_in_another_script_is_compared_as_the_server_spells_it() -> None:
    judge = public("/\u00f6ffentlich/", "/\u65e5\u672c")
    assert judge("/\u00f6ffentlich/x".encode().decode("latin-1"))
    assert judge("/\u65e5\u672c".encode().decode("latin-1"))
    assert not judge("/\u00f6ffentlich/x")


@pytest.mark.requirement("3g.5", "W7")
@pytest.mark.parametrize(
    "path",
    [
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
        "",
    ],
    ids=ascii,
)
def test_an_odd_path_is_never_public(path: str) -> None:
    assert not public("/public/")(path)
    assert not public("/")(path)


def test_the_root_as_a_subtree_makes_every_ordinary_path_public() -> None:
    judge = public("/")
    assert judge("/")
    assert judge("/anything/at/all")


PARTS = st.sampled_from(
    ["a", "public", "health", "..", ".", "", ";", "%2e", "\\", "\xc3\xa9", "\xff", "..;x", " "]
)
PATHS = st.lists(PARTS, max_size=6).map(lambda parts: "/" + "/".join(parts)) | st.text(max_size=8)
RULES = ("/public/", "/health", "/public/a/", "/a/b")


@pytest.mark.requirement("3g.5", "W7")
@given(PATHS)
def test_the_fast_judge_agrees_with_the_rules_one_by_one(path: str) -> None:
    rules = tuple(map(PathRule.parse, RULES))
    assert PublicPaths(rules)(path) == (
        any(covers(rule, path) for rule in rules) and not is_ambiguous_path(path)
    )


@given(st.text(max_size=10), st.text(alphabet="/.ab", max_size=10))
def test_a_rule_covers_itself_and_only_what_it_is_or_begins(text: str, path: str) -> None:
    try:
        rule = PathRule.parse(text)
    except ValueError:
        return
    assert public(text)(rule.native)
    assert public(text)(path) == (covers(rule, path) and not is_ambiguous_path(path))


@pytest.mark.requirement("3g.8", "W7")
@given(PATHS)
@example("/public/../admin")
def test_a_public_path_is_public_after_normalisation(path: str) -> None:
    if public("/public/", "/health")(path):
        assert posixpath.normpath(path) == "/health" or (posixpath.normpath(path) + "/").startswith(
            "/public/"
        )
