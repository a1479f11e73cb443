"""Who may enter at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oauth2_mw.access.allow import check_allowed
from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.identity.verification import is_verified
from oauth2_mw.settings.allow_list import AllowList
from oauth2_mw.settings.grammar import AllowTerm
from tests.support.settings.providers import provider_settings


def allow_list(*terms: str) -> AllowList:
    return AllowList(tuple((AllowTerm.parse(term),) for term in terms))


def counts(verified: object) -> bool:
    """Whether an address counts that comes with this ``email_verified``."""
    return is_verified(provider_settings(), "email", {"email_verified": verified}) is not False


def may_enter(
    *terms: str,
    username: str = "jane",
    email: str | None = None,
    verified: object = None,
    groups: tuple[str, ...] = (),
    organizations: tuple[str, ...] = (),
    claims: dict[str, Any] | None = None,
) -> bool:
    try:
        check_allowed(
            allow_list(*terms),
            provider="default",
            username=username,
            email=email,
            email_counts=counts(verified),
            groups=groups,
            organizations=organizations,
            claims=claims or {},
        )
    except AccessDeniedError as error:
        assert error.code == "not_allowed"
        assert error.status == 403
        return False
    return True


# allow


def test_without_allow_everybody_enters() -> None:
    check_allowed(
        None,
        provider="default",
        username="x",
        email=None,
        email_counts=True,
        groups=(),
        organizations=(),
        claims={},
    )


def test_an_empty_allow_lets_nobody_in() -> None:
    assert not may_enter()


def test_the_star_lets_everybody_in() -> None:
    assert may_enter("*")


def test_one_term_of_allow_suffices() -> None:
    assert may_enter("group:staff", "user:jane")
    assert may_enter("user:jane", "group:staff")
    assert not may_enter("user:john", "group:staff")


@pytest.mark.requirement("3k.10")
@pytest.mark.parametrize("username", ["Jane", "jane ", "janet", "jan", "", "j\u0430ne"])
def test_a_user_is_named_exactly(username: str) -> None:
    assert may_enter("user:jane")
    assert not may_enter("user:jane", username=username)


@pytest.mark.requirement("3k.10")
@pytest.mark.parametrize("groups", [(), ("staffing",), ("staf",), ("Staff",), ("all staff",), ("staff,x",)])
def test_a_group_is_named_exactly(groups: tuple[str, ...]) -> None:
    assert may_enter("group:staff", groups=("other", "staff"))
    assert not may_enter("group:staff", groups=groups)


def test_an_organization_is_named_exactly() -> None:
    assert may_enter("organization:ACME", organizations=("DEFAULT", "ACME"))
    assert not may_enter("organization:ACME", organizations=("acme", "ACME2"), groups=("ACME",))


@pytest.mark.parametrize(
    "email",
    [
        "jane@example.com",
        "jane@EXAMPLE.com",
        "jane@Example.Com",
        "a.b+c@example.com",
        "j\u00e4ne@example.com",
    ],
)
def test_an_address_in_the_domain_enters(email: str) -> None:
    assert may_enter("email_domain:example.com", email=email)


@pytest.mark.requirement("3k.4")
@pytest.mark.parametrize(
    "email",
    [
        None,
        "",
        "@",
        "jane",
        "example.com",
        "jane@",
        "@example.com",
        "jane@evil@example.com",
        "jane@example.com@evil.example",
        "jane@example.com@",
        '"jane@x"@example.com',
        "jane@sub.example.com",
        "jane@notexample.com",
        "jane@example.com.evil.example",
        "jane@example.com.",
        "jane@.example.com",
        "jane@example.com ",
        "jane@ example.com",
        "jane@example.com\n",
        "jane\n@example.com",
        "jane\0@example.com",
        "jane@example.co",
        "jane@ex\u0430mple.com",
        "jane@ex\u00adample.com",
        "jane@\uff45xample.com",
        "jane@example\u3002com",
        "jane@example\uff0ecom",
        "jane@examp\u2113e.com",
        "jane@" + "a" * 300 + ".example.com",
        "jane\uff20example.com",
        "jane@example.com,evil.example",
        "jane@example.com>",
    ],
    ids=ascii,
)
def test_an_address_that_only_resembles_the_domain_does_not_enter(email: str | None) -> None:
    assert not may_enter("email_domain:example.com", email=email)


@pytest.mark.requirement("3k.4", "3k.6")
@pytest.mark.parametrize(
    ("domain", "email"),
    [("kelvin.example", "jane@\u212aelvin.example"), ("info.example", "jane@\u0130nfo.example")],
)
def test_a_letter_whose_small_form_is_another_letter_does_not_enter(domain: str, email: str) -> None:
    assert not may_enter(f"email_domain:{domain}", email=email)
    assert not may_enter(f"email:jane@{domain}", email=email)


@pytest.mark.requirement("3k.4")
def test_an_international_domain_is_compared_in_its_ascii_form() -> None:
    term = "email_domain:xn--mnchen-3ya.example"
    assert may_enter(term, email="jane@m\u00fcnchen.example")
    assert may_enter(term, email="jane@M\u00dcNCHEN.example")
    assert may_enter(term, email="jane@xn--mnchen-3ya.EXAMPLE")
    assert not may_enter(term, email="jane@munchen.example")


@pytest.mark.requirement("3k.4", "3k.6")
@pytest.mark.parametrize(
    ("domain", "email"),
    [
        ("strasse.example", "jane@stra\u00dfe.example"),
        ("munchen.example", "jane@mu\u0308nchen.example"),
        ("xn--mnchen-3ya.example", "jane@mu\u0308nchen.example"),
        ("fb.example", "jane@\U0001d41fb.example"),
    ],
)
def test_a_domain_that_the_old_idna_would_fold_into_another_does_not_enter(domain: str, email: str) -> None:
    assert not may_enter(f"email_domain:{domain}", email=email)


@pytest.mark.requirement("3k.4")
@pytest.mark.parametrize(
    "domain", ["a..\u00fc.example", "\u00fc" * 64 + ".example", "\u0378.example", ".\u00fc"]
)
def test_a_domain_that_is_none_does_not_enter(domain: str) -> None:
    assert not may_enter("email_domain:example.com", email=f"jane@{domain}")


def test_a_domain_longer_than_the_name_system_allows_does_not_enter() -> None:
    longest = ".".join(["a" * 61] * 4) + ".abcde"
    assert len(longest) == 253
    assert may_enter(f"email_domain:{longest}", email=f"jane@{longest}")
    assert not may_enter(f"email_domain:{longest}f", email=f"jane@{longest}f")


@pytest.mark.requirement("3k.1")
@pytest.mark.parametrize("verified", [False, "true", "True", "false", 1, 0, "", [], [True], {}, "yes"])
def test_an_address_that_is_not_verified_does_not_count(verified: object) -> None:
    assert not may_enter("email_domain:example.com", email="jane@example.com", verified=verified)
    assert not may_enter("email:jane@example.com", email="jane@example.com", verified=verified)


@pytest.mark.requirement("3k.1")
@pytest.mark.parametrize("verified", [True, None])
def test_an_address_that_is_verified_or_of_which_nothing_is_said_counts(verified: object) -> None:
    assert may_enter("email_domain:example.com", email="jane@example.com", verified=verified)


def test_terms_about_anything_but_addresses_need_no_verified_address() -> None:
    assert may_enter("user:jane", email="jane@example.com", verified=False)


@pytest.mark.requirement("3k.4")
def test_one_address_is_named_whatever_its_case() -> None:
    assert may_enter("email:Jane@Example.com", email="jAne@exAmple.com")
    assert not may_enter("email:jane@example.com", email="janet@example.com")
    assert not may_enter("email:jane@example.com", email="adam@example.com")
    assert not may_enter("email:jane@example.com", email="jane@a.example")
    assert not may_enter("email:jane@example.com", email="jane@sub.example.com")
    assert not may_enter("email:jane@example.com", email=None)


@pytest.mark.requirement("3k.4")
@pytest.mark.parametrize("email", [None, "jane", "jane@fa\u00df.example", "\u212aane@x.example"])
def test_an_address_in_allow_that_cannot_be_read_lets_nobody_in(email: str | None) -> None:
    assert not may_enter("email:jane@stra\u00dfe.example", email=email)
    assert not may_enter("email_domain:example.com", "email:jane@a..\u00fc", email=email)


@pytest.mark.parametrize("value", ["NO", ["SE", "NO"], ("NO",)])
def test_a_claim_equals_or_contains_the_value(value: Any) -> None:
    assert may_enter("claim:address.country=NO", claims={"address": {"country": value}})


@pytest.mark.requirement("3k.10")
@pytest.mark.parametrize(
    "value",
    [None, "", "no", "NO ", "NORWAY", "SE,NO", ["no"], [["NO"]], [{"NO": "NO"}], {"NO": "NO"}, True, 1, []],
)
def test_a_claim_of_another_value_or_type_does_not_enter(value: Any) -> None:
    assert not may_enter("claim:address.country=NO", claims={"address": {"country": value}})


@pytest.mark.requirement("3k.10")
@pytest.mark.parametrize(
    ("written", "value"),
    [("1", 1), ("-7", -7), ("true", True), ("false", False), ("1.0", 1.0), ("0.00001", 1e-05), ("1", "1")],
)
def test_a_number_or_boolean_equals_its_text(written: str, value: Any) -> None:
    assert may_enter(f"claim:tenant={written}", claims={"tenant": value})
    assert may_enter(f"claim:tenant={written}", claims={"tenant": ["0", value]})


@pytest.mark.requirement("3k.10")
@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(
            ("1", True),
            ("True", True),
            ("0", False),
            ("1", 1.0),
            ("1.0", 1),
            ("1e-05", 1e-05),
            ("None", None),
        ),
        *(
            ("null", None),
            ("[]", []),
            ("{}", {}),
            (str(2**300), 2**300),
            ("inf", float("inf")),
            ("nan", float("nan")),
        ),
    ],
)
def test_a_claim_of_another_form_never_equals_a_text(written: str, value: Any) -> None:
    assert not may_enter(f"claim:tenant={written}", claims={"tenant": value})
    assert not may_enter(f"claim:tenant={written}", claims={"tenant": [value]})


@pytest.mark.parametrize("path", ["roles[*].name", "keys(roles)"])
def test_a_claim_of_several_values_contains_the_value(path: str) -> None:
    roles: Any = (
        {"admin": {}, "staff": {}} if path.startswith("keys") else [{"name": "admin"}, {"name": "staff"}]
    )
    assert may_enter(f"claim:{path}=staff", claims={"roles": roles})
    assert not may_enter(f"claim:{path}=sta", claims={"roles": roles})
    assert not may_enter(f"claim:{path}=staff", claims={"roles": "staff"})


def test_a_missing_claim_does_not_enter() -> None:
    assert not may_enter("claim:tenant=x")


def test_a_quoted_path_may_contain_the_equals_sign() -> None:
    assert may_enter(
        'claim:"https://x.example/?a=b".roles=admin', claims={"https://x.example/?a=b": {"roles": ["admin"]}}
    )


def test_a_term_of_an_unknown_field_lets_nobody_in() -> None:
    with pytest.raises(AccessDeniedError):
        check_allowed(
            AllowList(((AllowTerm("tomorrow", "jane"),),)),
            provider="jane",
            username="jane",
            email=None,
            email_counts=True,
            groups=("jane",),
            organizations=("jane",),
            claims={},
        )


@pytest.mark.parametrize(
    ("provider", "enters"), [("corp", True), ("aaaa", False), ("zzzz", False), ("", False)]
)
def test_a_provider_is_named_exactly(provider: str, enters: object) -> None:
    person: dict[str, Any] = {"username": "x", "email": None, "groups": (), "organizations": (), "claims": {}}
    try:
        check_allowed(allow_list("provider:corp"), provider=provider, email_counts=True, **person)
    except AccessDeniedError:
        assert enters is False
    else:
        assert enters is True


def refusal(**person: Any) -> str:
    with pytest.raises(AccessDeniedError) as caught:
        check_allowed(
            allow_list("email_domain:example.com", "group:staff"),
            provider="default",
            **{
                "username": "jane",
                "email": None,
                "email_counts": True,
                "groups": (),
                "organizations": (),
                **person,
            },
            claims={},
        )
    return caught.value.detail


def test_the_log_says_which_terms_were_tried() -> None:
    assert (
        refusal() == "'jane' may not enter: no term of allow applies (email_domain:example.com group:staff)"
    )


def test_the_log_says_that_an_unverified_address_does_not_count() -> None:
    assert "the e-mail address is not verified" in refusal(email="jane@example.com", email_counts=False)


def test_the_log_shows_a_strange_name_on_one_line() -> None:
    assert refusal(username="j\n\u202e").startswith(r"'j\n\u202e' may not enter")


@given(st.text(), st.text())
def test_any_address_can_be_judged(local: str, domain: str) -> None:
    may_enter("email_domain:example.com", "email:jane@example.com", email=f"{local}@{domain}")


@pytest.mark.requirement("3k.4")
@given(st.text(), st.text())
def test_only_the_domain_itself_enters(local: str, domain: str) -> None:
    assume(domain.lower() != "example.com" and "@" not in domain)
    assert not may_enter("email_domain:example.com", email=f"{local}@{domain}")
    assert not may_enter("email_domain:example.com", email=local + domain + "example.com")
