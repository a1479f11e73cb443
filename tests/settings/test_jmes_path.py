"""JMESPath expressions in ``attribute_map``: read at the start, bounded, and conservative about what they read."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import ConfigError
from oauth2_mw.identity.mapping import map_claims, unusable_attributes
from oauth2_mw.identity.model import freeze
from oauth2_mw.settings.jmes_path import MAX_ITEMS, JmesPath
from oauth2_mw.settings.model import ProviderSettings
from tests.support.hosts.guarded import guarded
from tests.support.providers.standin import Answer, StandIn
from tests.support.settings.minimal import make_settings

GROUPS = "jmespath:memberships[?active].group.name"


def path(expression: str) -> JmesPath:
    return JmesPath.parse(f"jmespath:{expression}")


def provider(**mapped: str) -> ProviderSettings:
    pairs = ", ".join(f'"{name}": "{value}"' for name, value in {"username": "login", **mapped}.items())
    settings = make_settings(issuer="https://id.example", attribute_map=f"{{{pairs}}}")
    return settings.providers["default"]


MEMBERSHIPS = [
    {"active": True, "group": {"name": "staff"}},
    {"active": False, "group": {"name": "admins"}},
    {"active": True, "group": {}},
]


@pytest.mark.parametrize("made", [lambda claims: claims, freeze], ids=["fresh", "of a session"])
def test_an_expression_reads_groups(made: Any) -> None:
    claims = made({"login": "jane", "memberships": MEMBERSHIPS})
    assert map_claims(provider(groups=GROUPS), claims).groups == ("staff",)


def test_an_expression_stands_among_paths() -> None:
    mapped = '{"username": ["login", "jmespath:logins[0] || account"]}'
    source = make_settings(issuer="https://id.example", attribute_map=mapped).providers["default"]
    assert map_claims(source, {"account": "jane"}).username == "jane"
    assert map_claims(source, {"logins": ["joe"], "account": "jane"}).username == "joe"
    assert map_claims(source, {"login": "jim", "logins": ["joe"]}).username == "jim"


@pytest.mark.parametrize(
    ("expression", "reads"),
    [
        ("a.b.c", "a"),
        ("a || b.c", "a b"),
        ("[a, b][]", "a b"),
        ("{x: a, y: b.z}", "a b"),
        ("a[?b == c].d | [0]", "a"),
        ("sort_by(a, &b)[].c", "a"),
        ("contains(a, 'x') && b", "a b"),
        ("a[?starts_with(@, 'x')]", "a"),
        ("join(', ', a)", "a"),
        ("a[0:2]", "a"),
        ("!a && b", "a b"),
        ('"https://acme.example/roles"[*].n', "https://acme.example/roles"),
    ],
)
def test_which_claims_an_expression_reads(expression: str, reads: str) -> None:
    assert path(expression).roots == set(reads.split())


@pytest.mark.parametrize(
    "expression", ["@", "*", "values(@)", "*.a", "'x'", "`7`", "[a, @]", "a || @", "[*].a", "keys(@)"]
)
def test_an_expression_names_the_claims_that_it_reads(expression: str) -> None:
    with pytest.raises(ValueError, match="reads no claim by its name"):
        path(expression)


@pytest.mark.parametrize(
    "expression",
    ["", "a.", "a[", "nosuch(", "nosuch(a)", "a[?nosuch(b)]", "a b", "a[?", "'", "a" * 600, "a\x00", "((((a"],
)
def test_what_is_no_expression_is_refused_at_the_start(expression: str) -> None:
    mapped = json.dumps({"username": "login", "groups": f"jmespath:{expression}"})
    with pytest.raises(ConfigError, match="attribute_map"):
        make_settings(issuer="https://id.example", attribute_map=mapped)


def test_without_the_extra_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "jmespath":
            raise ImportError
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'oauth2-mw\[jmespath\]'"):
        provider(groups=GROUPS)


def test_the_extra_is_imported_where_it_is_used_alone() -> None:
    code = (
        "import sys; from tests.support.settings.minimal import make_settings; "
        "make_settings(issuer='https://id.example', attribute_map='{\"username\": \"login\"}'); "
        "print('jmespath' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("expression", "claims"),
    [
        ("length(a)", {"a": 7}),
        ("join(',', a)", {"a": [1, {}]}),
        ("sort(a)", {"a": [1, "x"]}),
        ("a[] | [*].[@,@,@,@][]", {"a": [1] * (MAX_ITEMS // 3)}),
    ],
)
def test_an_expression_that_fails_leaves_its_field_absent_and_says_so(
    expression: str, claims: dict[str, Any]
) -> None:
    source = provider(groups=f"jmespath:{expression}")
    claims = {"login": "jane", **claims}
    attributes = map_claims(source, claims)
    assert attributes.groups == ()
    (said,) = unusable_attributes(source, claims, attributes)
    assert said.startswith("groups: jmespath:")


@pytest.mark.parametrize("value", [None, "", [], {}, LookupError])
def test_what_is_empty_is_absent(value: Any) -> None:
    claims = {} if value is LookupError else {"a": value}
    assert path("a").get(claims) is None
    assert path("a").problem(claims) is None


@pytest.mark.parametrize("expression", ["email", "contact.mail", "email || login", "[login, userEmail][0]"])
def test_what_is_made_of_an_address_is_an_address_that_nothing_verifies(expression: str) -> None:
    with pytest.raises(ConfigError, match="of which no claim says that it is verified"):
        make_settings(issuer="https://id.example", attribute_map=f'{{"username": "jmespath:{expression}"}}')


def test_where_an_expression_decides_a_missing_claim_is_unknown() -> None:
    """The ID token has one of the two claims: what userinfo would say of the other decides as well."""
    mapped = '{"username": "preferred_username", "groups": "jmespath:[groups, roles][]"}'
    with StandIn(client_id="app", claims={"preferred_username": "jane", "roles": ["staff"]}) as standin:
        standin.userinfo = {"sub": "user-1", "groups": ["admins"]}
        with guarded(issuer=standin.issuer, attribute_map=mapped, allow="group:admins") as site:
            assert site.browser().navigate(site.url + "/").status == 200
            assert site.app.seen[-1]["Identity"].groups == ("admins", "staff")
        with guarded(issuer=standin.issuer, attribute_map=mapped, allow="group:staff") as site:
            standin.answers["userinfo"] = Answer(b"{}", 403)
            assert site.browser().navigate(site.url + "/").status == 502
