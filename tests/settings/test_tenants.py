"""Issuers for several tenants: what names a tenant, and whom a template speaks for."""

from __future__ import annotations

import pytest

from oauth2_mw.settings.tenants import (
    CONSUMERS,
    filled,
    is_tenant,
    metadata_issuer,
    parse_tenant,
    speaks_for,
)
from tests.support.providers.entra import ONE, TWO

TEMPLATE = "https://op.example/{tenantid}/v2.0"
NO_TENANTS = [
    "",
    "common",
    "organizations",
    "{tenantid}",
    f"{ONE} ",
    f"{ONE}\n",
    f"../{ONE}",
    f"{ONE}/x",
    f"{{{ONE}}}",
    f"urn:uuid:{ONE}",
    ONE.replace("-", ""),
    ONE[:-1],
    f"{ONE}0",
    "g" + ONE[1:],
]


@pytest.mark.parametrize("text", NO_TENANTS, ids=repr)
def test_nothing_but_a_uuid_names_a_tenant(text: str) -> None:
    assert not is_tenant(text)
    with pytest.raises(ValueError, match="is not the ID of a tenant"):
        parse_tenant(text)
    assert not speaks_for(TEMPLATE, filled(TEMPLATE, text))


@pytest.mark.parametrize("value", [None, 7, [ONE], {ONE: 1}, ONE.encode()], ids=repr)
def test_what_is_no_text_names_no_tenant(value: object) -> None:
    assert not is_tenant(value)


def test_a_tenant_is_written_in_any_case_and_named_in_small_letters() -> None:
    assert parse_tenant(ONE.upper()) == ONE
    assert is_tenant(ONE)
    assert not is_tenant(ONE.upper())
    assert not speaks_for(TEMPLATE, filled(TEMPLATE, ONE.upper()))


@pytest.mark.parametrize(
    "template", [TEMPLATE, "{tenantid}", "{tenantid}/v2.0", "https://op.example/{tenantid}"]
)
def test_a_template_speaks_for_every_tenant_and_for_nobody_beside(template: str) -> None:
    for tenant in (ONE, TWO):
        issuer = filled(template, tenant)
        assert tenant in issuer
        assert speaks_for(template, issuer)
        for other in (f"{issuer}x", f"x{issuer}", issuer[1:], issuer[:-1], issuer + issuer, template, ""):
            assert not speaks_for(template, other)


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    "other", ["https://oa.example/{}/v2.0", "https://oz.example/{}/v2.0", "https://op.example/{}/v1.0"]
)
def test_a_template_speaks_for_no_other_host_with_a_tenant_in_the_same_place(other: str) -> None:
    assert not speaks_for(TEMPLATE, other.format(ONE))


@pytest.mark.parametrize("template", [f"{TEMPLATE}{{tenantid}}", "{tenantid}{tenantid}"])
def test_a_template_with_two_places_speaks_for_nobody_that_names_two_tenants(template: str) -> None:
    assert not speaks_for(template, template.replace("{tenantid}", ONE, 1).replace("{tenantid}", TWO))


@pytest.mark.parametrize(
    "other", ["https://op.example/", "https://op.example/v2.0", "https://OP.example", ""]
)
def test_what_is_no_template_speaks_for_itself_alone(other: str) -> None:
    assert speaks_for("https://op.example", "https://op.example")
    assert not speaks_for("https://op.example", other)


def test_the_metadata_are_those_of_all_accounts_where_personal_ones_may_come_in() -> None:
    assert metadata_issuer(TEMPLATE, [ONE, CONSUMERS]) == "https://op.example/common/v2.0"
    assert metadata_issuer(TEMPLATE, [ONE, TWO]) == "https://op.example/organizations/v2.0"
