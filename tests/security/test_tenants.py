"""Several tenants of Microsoft Entra: each speaks for its own people, and none for another's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from oauth2_mw.cli.directory import issuer_of
from oauth2_mw.cli.terminal import CommandError
from oauth2_mw.errors import ConfigError
from oauth2_mw.settings.warnings import warnings
from tests.support.browser.jar import Browser
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.entra import FOREIGN, ONE, TWO, Entra
from tests.support.providers.jose import rsa_key
from tests.support.providers.standin import LEFT_OUT, Answer
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import ORIGIN, make_settings

PREFIX = "/auth/oauth2"


@pytest.fixture
def entra() -> Iterator[Entra]:
    with Entra(client_id="app") as entra:
        yield entra


@pytest.fixture
def keys(entra: Entra, tmp_path: Path) -> dict[str, Any]:
    return entra.settings(ONE, TWO, directory=f"sqlite:///{tmp_path}/users.db", allow="*")


@pytest.fixture
def site(keys: dict[str, Any]) -> Iterator[Guarded]:
    with guarded(**keys) as site:
        yield site


def user_of(site: Guarded, browser: Browser | None = None) -> tuple[str, str] | None:
    """The issuer and subject of the person whom the application sees."""
    page = (browser or site.browser()).navigate(site.url + "/")
    if page.status != 200:
        return None
    identity = site.app.seen[-1]["Identity"]
    return identity.issuer, identity.subject


# Whose a token is


@pytest.mark.requirement("R-entra")
def test_each_tenants_people_are_its_own(entra: Entra, site: Guarded) -> None:
    """One subject in two tenants is two users."""
    found = []
    for tenant in (ONE, TWO):
        entra.tenant = tenant
        entra.userinfo["preferred_username"] = f"jane@{tenant}"
        found.append(user_of(site))
    assert found == [(entra.issuer_of(ONE), "user-1"), (entra.issuer_of(TWO), "user-1")]
    assert len({seen["identity"] for seen in site.app.seen if seen["identity"]}) == 2


FORGED: dict[str, Any] = {
    "a foreign tenant": {"tid": FOREIGN, "iss": FOREIGN},
    "a foreign tid": {"tid": FOREIGN},
    "a foreign iss": {"iss": FOREIGN},
    "the tid of the other tenant": {"tid": TWO},
    "the iss of the other tenant": {"iss": TWO},
    "no tid": {"tid": LEFT_OUT},
    "a null tid": {"tid": None},
    "tids": {"tid": [ONE]},
    "an upper-case tid": {"tid": ONE.upper()},
    "an upper-case tenant": {"tid": ONE.upper(), "iss": ONE.upper()},
    "the template": {"tid": "{tenantid}", "iss": "{tenantid}"},
    "all tenants": {"tid": "organizations", "iss": "organizations"},
    "no tenant": {"tid": "", "iss": ""},
    "a path": {"tid": f"../{ONE}", "iss": f"../{ONE}"},
    "a path behind": {"tid": f"{ONE}/x", "iss": f"{ONE}/x"},
    "a line behind": {"tid": f"{ONE}\n", "iss": ONE},
    "a UUID in braces": {"tid": f"{{{ONE}}}", "iss": ONE},
    "a UUID without hyphens": {"tid": ONE.replace("-", ""), "iss": ONE},
    "a URN": {"tid": f"urn:uuid:{ONE}", "iss": ONE},
}


def forged(entra: Entra, name: str) -> dict[str, Any]:
    """The claims of an attack, with the whole issuer in ``iss``."""
    claims = dict(FORGED[name])
    return claims | ({"iss": entra.issuer_of(claims["iss"])} if "iss" in claims else {})


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("name", FORGED)
def test_a_token_is_the_tenants_that_iss_and_tid_name_alike(entra: Entra, site: Guarded, name: str) -> None:
    entra.claims = forged(entra, name)
    assert user_of(site) is None
    assert site.app.calls == 0
    assert any("code=token_issuer" in line for line in site.audit)


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("iss", [None, [], 7, {}], ids=ascii)
def test_an_issuer_that_is_none_is_refused(entra: Entra, site: Guarded, iss: object) -> None:
    entra.claims = {"iss": iss}
    assert user_of(site) is None


@pytest.mark.requirement("R-entra")
def test_one_tenant_of_a_template_is_judged_like_many(entra: Entra) -> None:
    with guarded(**entra.settings(ONE, attribute_map='{"username": "oid"}')) as site:
        assert user_of(site) == (entra.issuer_of(ONE), "user-1")
        for name in FORGED:
            entra.claims = forged(entra, name)
            assert user_of(site) is None, name
        entra.claims, entra.tenant = {}, TWO
        assert user_of(site) is None


# Whose a key is


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    ("issuer", "signs"),
    [
        (None, True),
        ("{tenantid}", True),
        (ONE, True),
        (TWO, False),
        (FOREIGN, False),
        ("organizations", False),
        (ONE.upper(), False),
        (7, False),
        ([], False),
    ],
    ids=str,
)
def test_a_key_signs_for_the_issuer_alone_that_it_names(
    entra: Entra, site: Guarded, issuer: Any, *, signs: bool
) -> None:
    named = entra.issuer_of(issuer) if isinstance(issuer, str) else issuer
    entra.jwks = [entra.key.jwk(issuer=named)]
    assert (user_of(site) is not None) is signs


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    ("issuer", "signs"),
    [
        (None, True),
        ("{tenantid}", True),
        (ONE, True),
        (TWO, False),
        ("x{tenantid}", False),
        ("{tenantid}{tenantid}", False),
        ("", False),
        (7, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("preset", ["microsoft", None])
def test_a_key_signs_for_one_tenants_own_issuer_alike(
    entra: Entra, issuer: Any, preset: str | None, *, signs: bool
) -> None:
    """Keys of all tenants stand in one set, also where one tenant alone is written as the issuer."""
    entra.place = ONE
    entra.metadata = {"issuer": entra.issuer}
    entra.claims = {"sub": "user-1", "oid": "user-1"}
    named = entra.issuer_of(issuer) if isinstance(issuer, str) else issuer
    entra.jwks = [entra.key.jwk(issuer=named)]
    keys = {"preset": preset} if preset else {}
    mapped = {"username": "oid"}
    with guarded(
        issuer=entra.issuer, attribute_map=mapped, client_auth_method="client_secret_basic", **keys
    ) as site:
        assert (user_of(site) is not None) is signs


@pytest.mark.requirement("R-entra")
def test_of_one_key_under_two_issuers_that_of_the_token_counts(entra: Entra, site: Guarded) -> None:
    entra.jwks = [entra.key.jwk(issuer=entra.issuer_of(each)) for each in (TWO, ONE)]
    assert user_of(site) == (entra.issuer_of(ONE), "user-1")
    entra.tenant = FOREIGN
    assert user_of(site) is None


# Refreshes, signed userinfo, logouts


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("name", ["nobody else", "the other tenant", *FORGED])
def test_a_refresh_stays_with_the_tenant_of_the_sign_in(
    entra: Entra, keys: dict[str, Any], name: str
) -> None:
    if name in FORGED:
        entra.refreshed_claims = forged(entra, name)
    elif name == "the other tenant":
        entra.refreshed_claims = {"tid": TWO, "iss": entra.issuer_of(TWO)}
    clocks = ShiftedClocks()
    with guarded(**keys, keep_tokens="id refresh", session_idle="8h", clocks=clocks.clocks) as site:
        browser = site.browser()
        assert user_of(site, browser) is not None
        entra.denies = "access_denied"
        clocks.ahead = 3700
        assert (user_of(site, browser) is not None) is (name == "nobody else")
    assert len(entra.asked("/token")) == 2


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("name", ["nobody else", "no issuer", "another key", *FORGED])
def test_signed_userinfo_is_that_of_the_tenant_who_signed_the_person_in(
    entra: Entra, keys: dict[str, Any], name: str
) -> None:
    claims = {"sub": "user-1", "preferred_username": "jane", "iss": entra.issuer, "tid": ONE, "aud": "app"}
    if name in FORGED:
        claims |= forged(entra, name)
    if name in ("no issuer", "another key"):
        claims = {key: value for key, value in claims.items() if key not in ("iss", "tid")}
    key = entra.key
    if name == "another key":
        key = rsa_key(2)
        entra.jwks = [entra.key.jwk(), key.jwk(issuer=entra.issuer_of(TWO))]
    signed = key.sign({name: value for name, value in claims.items() if value is not LEFT_OUT})
    entra.answers["userinfo"] = Answer(signed.encode(), content_type="application/jwt")
    with guarded(**keys) as site:
        assert (user_of(site) is not None) is (name in ("nobody else", "no issuer"))


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("allow", [ONE, TWO])
def test_userinfo_names_no_other_tenant(entra: Entra, keys: dict[str, Any], allow: str) -> None:
    entra.userinfo["tid"] = TWO
    entra.refreshes_id_token = False
    clocks = ShiftedClocks()
    keys |= {"allow": f"claim:tid={allow}", "userinfo": "always", "keep_tokens": "id refresh"}
    with guarded(**keys, session_idle="8h", clocks=clocks.clocks) as site:
        browser = site.browser()
        assert (user_of(site, browser) is not None) is (allow == ONE)
        entra.denies = "access_denied"
        clocks.ahead = 3700
        assert (user_of(site, browser) is not None) is (allow == ONE)
    assert len(entra.asked("/token")) == (2 if allow == ONE else 1)


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("name", ["nobody else", "the other tenant", *FORGED])
def test_a_logout_token_ends_sessions_of_its_own_tenant_alone(entra: Entra, site: Guarded, name: str) -> None:
    browser = site.browser()
    assert user_of(site, browser) is not None
    claims = {"tid": ONE, "oid": "user-1", **(forged(entra, name) if name in FORGED else {})}
    if name == "the other tenant":
        claims |= {"tid": TWO, "iss": entra.issuer_of(TWO)}
    page = site.browser().post(
        f"{ORIGIN}{PREFIX}/backchannel-logout/", {"logout_token": entra.logout_token(**claims)}
    )
    assert page.status == (400 if name in FORGED else 200)
    entra.denies = "access_denied"
    assert (user_of(site, browser) is None) is (name == "nobody else")


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("tenant", [ONE, TWO, FOREIGN, "{tenantid}", "organizations", ONE.upper()])
def test_a_frame_ends_the_session_of_its_own_tenant_alone(
    entra: Entra, keys: dict[str, Any], tenant: str
) -> None:
    entra.sid = "session-1"
    with guarded(**keys) as site:
        browser = site.browser()
        assert user_of(site, browser) is not None
        query = urlencode({"iss": entra.issuer_of(tenant), "sid": "session-1"})
        browser.frame(f"{ORIGIN}{PREFIX}/frontchannel-logout/?{query}", initiator=entra.url)
        entra.denies = "access_denied"
        assert (user_of(site, browser) is None) is (tenant == ONE)


# Where a sign-in begins, and what comes back


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("tenant", [ONE, TWO, FOREIGN, "{tenantid}", "organizations", ONE.upper()])
def test_a_third_party_begins_a_sign_in_at_a_tenant_that_is_let_in(
    entra: Entra, site: Guarded, tenant: str
) -> None:
    query = urlencode({"iss": entra.issuer_of(tenant)})
    page = site.browser().navigate(f"{site.url}{PREFIX}/login/?{query}", follow=False)
    assert page.status == (303 if tenant in (ONE, TWO) else 400)


@pytest.mark.requirement("R-entra")
def test_who_is_signed_in_at_one_tenant_is_not_at_another(entra: Entra, site: Guarded) -> None:
    browser = site.browser()
    assert user_of(site, browser) is not None
    for tenant, location in ((ONE, ORIGIN + "/"), (TWO, entra.url)):
        query = urlencode({"iss": entra.issuer_of(tenant)})
        page = browser.navigate(f"{site.url}{PREFIX}/login/?{query}", follow=False)
        assert str(page.header("Location")).startswith(location)


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("tenant", [ONE, TWO, FOREIGN, "{tenantid}"])
def test_the_iss_of_the_answer_is_that_of_the_token(entra: Entra, keys: dict[str, Any], tenant: str) -> None:
    """RFC 9207: what the answer names, the token must prove."""

    entra.claims = {"iss": entra.issuer_of(ONE), "tid": ONE}
    entra.tenant, entra.sends_iss = tenant, True
    with guarded(**keys) as site:
        assert (user_of(site) is not None) is (tenant == ONE)


def test_a_tenant_that_is_let_in_no_more_has_no_sessions(entra: Entra, keys: dict[str, Any]) -> None:
    keys["secret_keys"] = text_key()
    with guarded(**keys) as site:
        browser = site.browser()
        assert user_of(site, browser) is not None
    entra.denies = "access_denied"
    for tenants, stays in ((f"{TWO} {ONE}", True), (f"{TWO} {FOREIGN}", False)):
        with guarded(**{**keys, "tenants": tenants}) as site:
            browser.behind_tls = {ORIGIN: site.loopback}
            assert (user_of(site, browser) is not None) is stays


# The metadata of all tenants


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("issuer", [ONE, TWO, FOREIGN, "organizations", "common"])
def test_the_metadata_are_those_of_the_template(entra: Entra, site: Guarded, issuer: str) -> None:
    entra.metadata = {"issuer": entra.issuer_of(issuer)}
    assert user_of(site) is None


def test_with_personal_accounts_the_metadata_are_those_of_all_accounts(
    entra: Entra, keys: dict[str, Any]
) -> None:
    consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"
    entra.place, entra.tenant = "common", consumers
    with guarded(**{**keys, "tenants": f"{ONE} {consumers}"}) as site:
        assert user_of(site) == (entra.issuer_of(consumers), "user-1")


# What bounds the trust

TEMPLATE = "https://login.microsoftonline.com/{tenantid}/v2.0"


def problems(**keys: Any) -> str:
    """What the start-up says of these settings."""
    settings = {
        "preset": "entra-multitenant",
        "tenants": f"{ONE} {TWO}",
        "directory": "sqlite:////tmp/never-made.db",
        "allow": "*",
        **keys,
    }
    try:
        make_settings(**settings)
    except ConfigError as error:
        return "\n".join(map(str, error.problems))
    return ""


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    "allow",
    [
        "*",
        f"claim:tid={ONE}",
        "user:jane@corp.example",
        f"claim:tid={ONE} and group:staff",
        f"group:staff and claim:tid={TWO} user:jane",
        "provider:other and group:staff user:jane",
    ],
)
def test_allow_may_name_tenants_or_people(allow: str) -> None:
    other = {"provider:other": {"issuer": "https://id.example", "client_id": "a", "client_secret": "s"}}
    assert not problems(allow=allow, **(other if "other" in allow else {}))


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    "allow",
    [
        None,
        "group:staff",
        "email_domain:corp.example",
        "email:jane@corp.example",
        "provider:default",
        "claim:roles=staff",
        f"claim:x.tid={ONE}",
        f"claim:tids={ONE}",
        f"claim:tid={ONE} group:staff",
        "user:jane email_domain:corp.example",
        "organization:DEFAULT",
        "provider:default and group:staff",
    ],
)
def test_allow_without_a_tenant_is_no_bound(allow: str | None) -> None:
    assert "[oauth2_mw] allow: " in problems(allow=allow)


@pytest.mark.requirement("R-entra")
def test_a_file_of_allow_names_tenants_too_also_when_it_changes(
    entra: Entra, keys: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "allow"
    file.write_text("group:staff\n", encoding="utf-8")
    assert "[oauth2_mw] allow: " in problems(allow=f"file:{file}")
    file.write_text(f"claim:tid={TWO}\n", encoding="utf-8")
    entra.claims = {"groups": ["staff"]}
    with guarded(**{**keys, "allow": f"file:{file}", "group_sync": "always"}) as site:
        assert user_of(site) is None
        file.write_text(f"claim:tid={TWO}\ngroup:staff\n", encoding="utf-8")
        assert user_of(site) is None
        file.write_text(f"claim:tid={ONE} and group:staff\n", encoding="utf-8")
        assert user_of(site) is not None


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"directory": None}, "tenants: more than one needs a directory"),
        ({"email_verified": "always"}, "email_verified: counts for no address"),
        ({"email_verified": "claim"}, "email_verified: counts for no address"),
        ({"email_verified": "text"}, "email_verified: counts for no address"),
        ({"attribute_map": '{"username": "email"}'}, "email_verified: with never nobody could sign in"),
        ({"attribute_map": '{"username": "upn_mail"}'}, "email_verified: username is read from the address"),
        ({"tenants": None}, "tenants: is missing"),
        ({"tenants": "*"}, "tenants: '*' is not the ID of a tenant"),
        ({"tenants": "common"}, "tenants: 'common' is not the ID of a tenant"),
        ({"tenants": f"{ONE},{TWO}"}, "tenants: "),
        ({"issuer": "https://login.microsoftonline.com/common/v2.0"}, "issuer: is for many tenants"),
        ({"issuer": f"https://login.microsoftonline.com/{ONE}/v2.0"}, "tenants: means nothing"),
        ({"issuer": "https://{tenantid}.example/v2.0"}, "issuer: {tenantid} stands for one whole segment"),
        (
            {"issuer": "https://id.example/x{tenantid}/v2.0"},
            "issuer: {tenantid} stands for one whole segment",
        ),
        ({"issuer": "https://id.example/{tenantid}/{tenantid}"}, "issuer: {tenantid} stands for one whole"),
        ({"issuer": "https://id.example/{tenant}/v2.0"}, "issuer: "),
        ({"issuer": "https://id.example/v2.0?t={tenantid}"}, "issuer: "),
    ],
    ids=str,
)
def test_trust_without_a_bound_is_refused_at_the_start(keys: dict[str, Any], why: str) -> None:
    assert f"[oauth2_mw] {why}" in problems(**keys)


def test_tenants_are_read_in_any_case_and_named_once() -> None:
    settings = make_settings(
        preset="entra-multitenant", tenants=f"{ONE.upper()} {ONE}", attribute_map='{"username": "oid"}'
    )
    provider = settings.providers["default"]
    assert provider.issuers == (TEMPLATE.replace("{tenantid}", ONE),)


def test_tenants_mean_nothing_without_an_issuer() -> None:
    endpoints = {
        f"{name}_endpoint": "https://id.example/x" for name in ("authorization", "token", "userinfo")
    }
    assert "tenants: means nothing without an issuer" in problems(preset=None, allow=None, **endpoints)


@pytest.mark.requirement("R-entra")
def test_two_providers_with_one_tenant_in_common_have_one_subject_space() -> None:
    one = {"preset": "microsoft", "issuer": TEMPLATE.replace("{tenantid}", ONE)}
    other = {"client_id": "b", "client_secret": "s", "username_prefix": "b:", "allow": "*", **one}
    assert "same_users_as: provider default has the issuer" in problems(**{"provider:b": other})
    assert not problems(**{"provider:b": {**other, "same_users_as": "default"}})
    foreign = {**other, "issuer": TEMPLATE.replace("{tenantid}", FOREIGN)}
    assert not problems(**{"provider:b": foreign})
    assert "same_users_as: that provider's users" in problems(
        **{"provider:b": {**foreign, "same_users_as": "default"}}
    )


@pytest.mark.requirement("R-entra")
def test_no_address_counts_where_there_are_several_tenants(entra: Entra, keys: dict[str, Any]) -> None:
    entra.claims = {"email": "jane@corp.example", "email_verified": True, "xms_edov": True}
    allow = "user:nobody email_domain:corp.example and user:jane"
    with guarded(**{**keys, "allow": allow}) as site:
        assert user_of(site) is None
        assert any("does not count" in line for line in site.audit)


def test_check_says_what_several_tenants_mean() -> None:
    settings = make_settings(
        preset="entra-multitenant",
        tenants=f"{ONE} {TWO}",
        directory="sqlite:////tmp/never-made.db",
        allow="*",
    )
    assert any("people of 2 tenants can sign in" in line for line in warnings(settings))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("required /a/ if group:admin", True),
        ("required /a/ if claim:roles=admin", True),
        (f"required /a/ if claim:tid={ONE} or group:admin", True),
        (f"required /a/ if claim:tid={ONE} and group:admin", False),
        ("required /a/ if user:jane", False),
        ("required /a/ if provider:partner and group:admin", False),
        ("denied /a/ if group:guest", False),
        ("required /a/", False),
    ],
)
def test_check_says_of_rules_what_each_tenant_can_say(rule: str, *, said: bool) -> None:
    keys: dict[str, Any] = {
        "preset": "entra-multitenant",
        "directory": "sqlite:////tmp/never-made.db",
        "allow": "*",
        "access": {"rules": rule},
        "provider:partner": {
            "issuer": "https://partner.example",
            "client_id": "app",
            "client_secret": "s" * 20,
        },
    }
    for tenants, several in ((f"{ONE} {TWO}", True), (ONE, False)):
        settings = make_settings(tenants=tenants, **keys)
        found = any("whom each tenant of provider default puts there" in line for line in warnings(settings))
        assert found is (said and several)


def test_personal_accounts_among_the_tenants_are_public() -> None:
    consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"
    assert "anyone on earth can join" in problems(tenants=consumers, allow=None)


def test_a_command_asks_which_tenant_is_meant() -> None:
    keys = {"preset": "entra-multitenant", "directory": "sqlite:////tmp/never-made.db", "allow": "*"}
    several = make_settings(tenants=f"{ONE} {TWO}", **keys)
    with pytest.raises(CommandError, match="an issuer for each tenant"):
        issuer_of(several, "default")
    issuer = TEMPLATE.replace("{tenantid}", TWO)
    assert issuer_of(several, issuer) == issuer
    assert issuer_of(make_settings(tenants=TWO, **keys), "default") == issuer
