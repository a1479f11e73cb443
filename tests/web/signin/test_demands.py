"""What a page may demand of a sign-in, which of it is asked for, and whether it came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from oauth2_mw.access.rules import Rule
from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.provider.demand import Demand
from oauth2_mw.settings.access_rules import parse_rules
from oauth2_mw.web.signin.step_up import check_met, demand_of, read_challenge
from tests.support.hosts.guarded import JANE
from tests.support.settings.providers import provider_settings

NOW = 1_800_000_000
LEEWAY = 60
ERROR = "insufficient_user_authentication"


def demanded(
    condition: str, *, max_age: int | None = None, auth_time: int | None = None, oidc: bool = True
) -> Demand | None:
    (rule,) = parse_rules(f"required /x if {condition}")
    provider = provider_settings(leeway=LEEWAY, **({} if oidc else {"issuer": None}))
    compiled = Rule("required", requires=(rule.condition or (),), max_age=max_age)
    person = replace(JANE, acr=None, auth_time=auth_time, groups=())
    return demand_of(compiled, person, provider, now=NOW)


# What a rule demands


@pytest.mark.requirement("R-step-up")
@pytest.mark.parametrize(
    ("condition", "acr_values"),
    [
        ("acr:gold", ("gold",)),
        ("acr:gold or acr:platinum", ("gold", "platinum")),
        ("group:staff and acr:gold or acr:silver", ("silver",)),
        ('acr:"a b" or acr:gold', ("gold",)),
    ],
)
def test_the_classes_are_asked_for_that_would_let_the_person_pass(
    condition: str, acr_values: tuple[str, ...]
) -> None:
    assert demanded(condition) == Demand(acr_values=acr_values)


@pytest.mark.requirement("R-step-up")
@pytest.mark.parametrize("condition", ["group:staff", "group:staff and acr:gold", 'acr:"a b"'])
def test_nothing_is_asked_for_that_would_not_let_the_person_pass(condition: str) -> None:
    assert demanded(condition) is None
    assert demanded(condition, max_age=60) is None


@pytest.mark.parametrize(
    ("auth_time", "is_asked"),
    [(NOW, False), (NOW - 300 - LEEWAY, False), (NOW - 301 - LEEWAY, True), (None, True)],
)
def test_who_may_pass_is_asked_anew_when_the_sign_in_is_too_old(
    auth_time: int | None, *, is_asked: bool
) -> None:
    found = demanded("signed-in", max_age=300, auth_time=auth_time)
    assert found == (Demand(max_age=300) if is_asked else None)


def test_who_may_pass_is_not_asked_for_more() -> None:
    assert demanded("signed-in") is None
    assert demanded("acr:gold or user:jane") is None


def test_a_class_and_an_age_are_asked_for_together() -> None:
    assert demanded("acr:gold", max_age=300) == Demand(acr_values=("gold",), max_age=300)


@pytest.mark.requirement("R-step-up")
def test_a_provider_without_an_issuer_is_asked_for_nothing() -> None:
    assert demanded("acr:gold", oidc=False) is None
    assert demanded("signed-in", max_age=300, oidc=False) is None


# What the application demands


def challenge(more: str) -> Demand | None:
    return read_challenge([("WWW-Authenticate", f'Bearer error="{ERROR}"{more}')])


@pytest.mark.parametrize(("length", "is_read"), [(500, True), (501, False)], ids=["longest", "one-too-many"])
def test_the_list_of_classes_has_a_limit(length: int, *, is_read: bool) -> None:
    assert (challenge(f', acr_values="{"a" * length}"') is not None) is is_read


def test_a_challenge_has_a_limit() -> None:
    start = f'Bearer error="{ERROR}", acr_values="a", x='
    longest = start + "x" * (4000 - len(start))
    assert read_challenge([("WWW-Authenticate", longest)]) == Demand(acr_values=("a",))
    assert read_challenge([("WWW-Authenticate", longest + "x")]) is None


def test_one_challenge_of_several_is_enough() -> None:
    demanding = ("WWW-Authenticate", f'Bearer error="{ERROR}", max_age=60')
    for other in (("WWW-Authenticate", "Basic"), ("WWW-Authenticate", "x" * 5000), ("X", demanding[1])):
        assert read_challenge([other, demanding]) == Demand(max_age=60)
        assert read_challenge([other]) is None
    assert read_challenge([]) is None


@pytest.mark.parametrize(
    ("seconds", "max_age"), [("0", 0), ("999999999", 999999999), ("1" * 10, None), ("٣", None)]
)
def test_an_age_is_a_number_of_seconds(seconds: str, max_age: int | None) -> None:
    assert challenge(f", acr_values=a, max_age={seconds}") == Demand(acr_values=("a",), max_age=max_age)


# Whether it came


def is_met(demand: Demand, **claims: Any) -> bool:
    try:
        check_met(demand, claims, provider_settings(leeway=LEEWAY), now=NOW)
    except AccessDeniedError as refused:
        assert refused.code == "step_up_not_met"
        return False
    return True


@pytest.mark.parametrize(("acr", "met"), [("gold", True), ("silver", True), ("bronze", False), ("", False)])
def test_one_of_the_classes_must_have_come(acr: str, *, met: bool) -> None:
    assert is_met(Demand(acr_values=("gold", "silver")), acr=acr) is met


@pytest.mark.requirement("R-step-up")
@pytest.mark.parametrize("acr", [None, "GOLD", "gold ", ["gold"], 1, {}])
def test_nothing_else_is_a_class(acr: Any) -> None:
    assert not is_met(Demand(acr_values=("gold",)), acr=acr)


@pytest.mark.parametrize(
    ("auth_time", "met"),
    [
        (NOW, True),
        (NOW - 300 - LEEWAY, True),
        (NOW - 301 - LEEWAY, False),
        (None, False),
        (str(NOW), False),
        ([NOW], False),
    ],
)
def test_the_sign_in_must_be_as_recent_as_it_was_asked_for(auth_time: Any, *, met: bool) -> None:
    assert is_met(Demand(max_age=300), auth_time=auth_time) is met


def test_both_must_have_come_where_both_were_asked_for() -> None:
    both = Demand(acr_values=("gold",), max_age=0)
    assert is_met(both, acr="gold", auth_time=NOW)
    assert not is_met(both, acr="gold", auth_time=NOW - LEEWAY - 1)
    assert not is_met(both, acr="silver", auth_time=NOW)


def test_a_sign_in_that_was_begun_for_nothing_brings_enough() -> None:
    assert is_met(Demand())
    assert is_met(Demand(max_age=0, asks_anew=True))


def test_the_refusal_says_what_came_in_its_place() -> None:
    for demand, claims, says in (
        (Demand(acr_values=("gold", "silver")), {"acr": "bronze"}, "gold or silver, .* answered 'bronze'"),
        (Demand(acr_values=("gold",)), {"acr": ["x"]}, "answered none"),
        (Demand(max_age=60), {"auth_time": NOW - 500}, "authenticated the person 500 seconds ago"),
        (Demand(max_age=60), {}, "does not say when"),
    ):
        with pytest.raises(AccessDeniedError, match=says):
            check_met(demand, claims, provider_settings(), now=NOW)
