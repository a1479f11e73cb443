"""What one rule of ``[access] rules`` covers of another: methods, paths, and a subtree without its slash."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from oauth2_mw.settings.access_rules import AccessRule, parse_rules
from oauth2_mw.settings.grammar import PathRule


def parsed(text: str) -> AccessRule:
    (rule,) = parse_rules(text)
    return rule


@pytest.mark.parametrize(
    ("methods", "others", "covers"),
    [
        ("", "", True),
        ("", "GET", True),
        ("GET", "", False),
        ("GET", "GET", True),
        ("GET", "HEAD", True),
        ("HEAD", "GET", False),
        ("GET,PUT", "PUT", True),
        ("PUT,GET", "GET,PUT", True),
        ("PUT", "GET,PUT", False),
        ("PUT", "DELETE", False),
    ],
)
def test_a_rule_covers_the_methods_that_it_is_about(methods: str, others: str, *, covers: bool) -> None:
    rule, other = parsed(f"required {methods} /x"), parsed(f"required {others} /x")
    assert rule.covers_methods_of(other) is covers


@pytest.mark.parametrize(
    ("rule", "path", "covers"),
    [
        ("required /b", "/b", True),
        ("required /b", "/b/", False),
        ("required /b", "/b/c", False),
        ("required /b", "/a", False),
        ("required /b", "/c", False),
        ("required /a /b", "/b", True),
        ("required /b/", "/b/", True),
        ("required /b/", "/b/c", True),
        ("required /b/", "/b/c/", True),
        ("required /b/", "/a", False),
        ("required /b/", "/bb", False),
        ("required /b/", "/c", False),
        ("required /b/c/", "/b/", False),
        ("required /", "/a", True),
        ("required /$", "/", False),
        ("required /$", "/$", True),
        ("required /$", "/a", False),
    ],
)
def test_a_rule_covers_its_paths_and_what_is_below_its_subtrees(
    rule: str, path: str, *, covers: bool
) -> None:
    assert parsed(rule).covers_path(PathRule.parse(path)) is covers


@pytest.mark.parametrize(
    ("rule", "covers"),
    [
        ("required /b/", True),
        ("denied /b/", True),
        ("delegated /b/", True),
        ("optional /b/ if user:jane", True),
        ("optional /b/", False),
        ("public /b/", False),
    ],
)
def test_a_strict_rule_covers_a_subtree_without_its_slash_too(rule: str, *, covers: bool) -> None:
    assert parsed(rule).covers_path(PathRule.parse("/b")) is covers


def test_a_rule_is_never_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        parsed("denied /x").effect = "public"  # type: ignore[misc]  # frozen
