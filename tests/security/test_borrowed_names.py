"""Whose name it is: text that nobody has proved is nobody's username, and no two people are one user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import ConfigError
from oauth2_mw.settings.warnings import warnings
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.standin import LEFT_OUT, Answer, StandIn
from tests.support.settings.minimal import make_settings

SECRET = "s3cret: %+&ü"
CEO = "ceo@corp.example"
BY_ADDRESS = '{"username": "email", "email": "email"}'


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn(client_id="app", client_secret=SECRET) as standin:
        yield standin


def shown(value: object) -> str:
    return "absent" if value is LEFT_OUT else ascii(value)


def signs_in(standin: StandIn, claims: dict[str, Any], **settings: Any) -> tuple[Guarded, str | None]:
    """What the application is told as ``REMOTE_USER`` when somebody with those claims signs in."""
    standin.userinfo = {
        "sub": "user-1",
        **{name: value for name, value in claims.items() if value is not LEFT_OUT},
    }
    with guarded(issuer=standin.issuer, client_secret=SECRET, **settings) as site:
        page = site.browser().navigate(site.url + "/")
        return site, site.app.seen[-1]["user"] if page.status == 200 else None


# An address that is not verified is nobody's name


@pytest.mark.requirement("R-verified")
@pytest.mark.parametrize(
    "verified",
    [False, LEFT_OUT, None, "true", "false", "", 1, 0, [], [True], {}, {"email": True}, "True", 1.0],
    ids=shown,
)
@pytest.mark.parametrize("directory", ["", "a directory"])
def test_an_address_is_a_username_only_while_it_is_verified(
    standin: StandIn, tmp_path: Path, verified: object, directory: str
) -> None:
    where = {"directory": f"sqlite:///{tmp_path / 'users.db'}"} if directory else {}
    site, user = signs_in(
        standin, {"email": CEO, "email_verified": verified}, attribute_map=BY_ADDRESS, **where
    )
    assert user is None
    assert site.app.calls == 0
    (line,) = (line for line in site.audit if "login_failed" in line)
    assert "code=email_not_verified" in line
    assert CEO not in line


def test_a_verified_address_is_a_username(standin: StandIn) -> None:
    _, user = signs_in(standin, {"email": CEO, "email_verified": True}, attribute_map=BY_ADDRESS)
    assert user == CEO


def test_who_comes_with_an_unverified_address_takes_no_name_from_its_owner(
    standin: StandIn, tmp_path: Path
) -> None:
    where = {"directory": f"sqlite:///{tmp_path / 'users.db'}", "attribute_map": BY_ADDRESS}
    _, thief = signs_in(standin, {"email": CEO, "email_verified": False}, **where)
    _, owner = signs_in(standin, {"sub": "user-2", "email": CEO, "email_verified": True}, **where)
    assert (thief, owner) == (None, CEO)


def test_no_rule_is_asked_about_an_unverified_name(standin: StandIn) -> None:
    _, user = signs_in(
        standin, {"email": CEO, "email_verified": False}, attribute_map=BY_ADDRESS, allow=f"user:{CEO}"
    )
    assert user is None


def test_the_page_says_what_the_person_can_do(standin: StandIn) -> None:
    standin.userinfo = {"sub": "user-1", "email": CEO, "email_verified": False}
    with guarded(issuer=standin.issuer, client_secret=SECRET, attribute_map=BY_ADDRESS) as site:
        page = site.browser().navigate(site.url + "/")
    assert page.status == 403
    assert "confirm" in page.text.lower()
    assert CEO not in page.text


def test_email_verified_is_asked_for_where_the_id_token_leaves_it_out(standin: StandIn) -> None:
    standin.claims = {"email": CEO}
    _, user = signs_in(standin, {"email": CEO, "email_verified": True}, attribute_map='{"username": "email"}')
    assert user == CEO


@pytest.mark.parametrize(
    ("verified", "user"), [("true", CEO), (True, CEO), ("True", None), ("1", None), (1, None)]
)
def test_text_counts_where_the_setting_says_so(standin: StandIn, verified: object, user: str | None) -> None:
    claims = {"email": CEO, "email_verified": verified}
    assert signs_in(standin, claims, attribute_map=BY_ADDRESS, email_verified="text")[1] == user


@pytest.mark.parametrize("verified", [LEFT_OUT, False, "x"], ids=shown)
def test_always_takes_the_providers_addresses_as_proven(standin: StandIn, verified: object) -> None:
    claims = {"email": CEO, "email_verified": verified}
    assert signs_in(standin, claims, attribute_map=BY_ADDRESS, email_verified="always")[1] == CEO


@pytest.mark.parametrize(
    "path", ["mail", "emails[0].value", '"https://acme.example/email"', "email_address", "contact.email"]
)
@pytest.mark.parametrize("verified", [None, "claim", "text", "never"])
def test_another_address_never_rides_on_the_word_about_email(path: str, verified: str | None) -> None:
    escaped = path.replace('"', '\\"')
    with pytest.raises(ConfigError, match="email_verified"):
        make_settings(
            issuer="https://id.example", attribute_map=f'{{"username": "{escaped}"}}', email_verified=verified
        )


def test_another_address_is_a_username_where_all_are_proven(standin: StandIn) -> None:
    _, user = signs_in(standin, {"mail": CEO}, attribute_map='{"username": "mail"}', email_verified="always")
    assert user == CEO


def test_never_and_a_username_that_is_an_address_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="email_verified"):
        make_settings(issuer="https://id.example", attribute_map=BY_ADDRESS, email_verified="never")


def test_without_an_issuer_email_verified_is_written() -> None:
    plain = {
        "authorization_endpoint": "https://id.example/a",
        "token_endpoint": "https://id.example/t",
        "userinfo_endpoint": "https://id.example/u",
    }
    with pytest.raises(ConfigError, match="email_verified"):
        make_settings(**plain, attribute_map=BY_ADDRESS)
    make_settings(**plain, attribute_map=BY_ADDRESS, email_verified="claim")


def test_an_address_as_text_alone_makes_no_username_suspicious(standin: StandIn) -> None:
    # The provider's own namespace: in most tenants of Entra it looks like an address, and email_verified is absent.
    claims = {"preferred_username": CEO, "email": CEO, "email_verified": False}
    assert signs_in(standin, claims)[1] == CEO


def test_never_lets_no_address_count_for_allow(standin: StandIn) -> None:
    claims = {"preferred_username": "jane", "email": CEO, "email_verified": True}
    allow = "email_domain:corp.example"
    assert signs_in(standin, claims, allow=allow)[1] == "jane"
    assert signs_in(standin, claims, allow=allow, email_verified="never")[1] is None


@pytest.mark.parametrize("verified", ["true", 1, "yes", [True], {}], ids=shown)
def test_what_is_neither_true_nor_absent_does_not_count_for_allow(standin: StandIn, verified: object) -> None:
    claims = {"preferred_username": "jane", "email": CEO, "email_verified": verified}
    assert signs_in(standin, claims, allow="email_domain:corp.example")[1] is None


@pytest.mark.parametrize(
    ("verified", "enters"), [(LEFT_OUT, True), (True, True), (False, False), ("true", False)], ids=shown
)
def test_an_address_from_another_claim_counts_for_allow_unless_something_speaks_against_it(
    standin: StandIn, verified: object, enters: object
) -> None:
    claims = {"preferred_username": "jane", "mail": CEO, "email_verified": verified}
    mapped = {"attribute_map": '{"username": "preferred_username", "email": "mail"}', "allow": f"email:{CEO}"}
    assert (signs_in(standin, claims, **mapped)[1] == "jane") is enters


@pytest.mark.parametrize("preset", ["google", "gitlab"])
def test_always_is_refused_where_anybody_can_register(preset: str) -> None:
    with pytest.raises(ConfigError, match="email_verified"):
        make_settings(preset=preset, allow="*", email_verified="always")


# An address and its proof come from one source


OTHER = "eve@evil.example"


def of_two_sources(
    standin: StandIn, id_token: dict[str, Any], userinfo: dict[str, Any], *, form: str = "plain", **keys: Any
) -> str | None:
    standin.claims = id_token
    if form == "signed":
        whose = {"iss": standin.issuer, "aud": "app"}
        standin.answers["userinfo"] = lambda good: Answer(
            standin.key.sign({**whose, **good}).encode(), content_type="application/jwt"
        )
    return signs_in(standin, userinfo, **{"attribute_map": BY_ADDRESS, **keys})[1]


@pytest.mark.requirement("R-verified")
@pytest.mark.parametrize("form", ["plain", "signed"])
@pytest.mark.parametrize(
    ("id_token", "userinfo"),
    [
        ({"email": CEO}, {"email": OTHER, "email_verified": True}),
        ({"email": CEO}, {"email_verified": True}),
        ({"email": CEO}, {"email": None, "email_verified": True}),
        ({"email": CEO}, {"email": CEO.upper(), "email_verified": True}),
        ({"email": CEO, "email_verified": None}, {"email": OTHER, "email_verified": True}),
        ({"email_verified": True}, {"email": CEO}),
        ({"email": None, "email_verified": True}, {"email": CEO}),
        ({"email_verified": True}, {"email": CEO, "email_verified": False}),
        ({"email": OTHER, "email_verified": True}, {"mail": CEO, "email_verified": True}),
    ],
    ids=str,
)
def test_a_proof_of_one_source_proves_no_address_of_the_other(
    standin: StandIn, id_token: dict[str, Any], userinfo: dict[str, Any], form: str
) -> None:
    assert of_two_sources(standin, id_token, userinfo, form=form) != CEO


@pytest.mark.requirement("R-verified")
@pytest.mark.parametrize(
    ("id_token", "userinfo"),
    [
        ({"email": CEO}, {"email": CEO, "email_verified": True}),
        ({"email_verified": True}, {"email": CEO, "email_verified": True}),
        ({"email": CEO, "email_verified": True}, {}),
        ({"email": CEO, "email_verified": True}, {"email": OTHER, "email_verified": False}),
        ({}, {"email": CEO, "email_verified": True}),
    ],
    ids=str,
)
def test_the_same_address_in_both_sources_is_one_address(
    standin: StandIn, id_token: dict[str, Any], userinfo: dict[str, Any]
) -> None:
    assert of_two_sources(standin, id_token, userinfo) == CEO


@pytest.mark.requirement("R-verified")
def test_text_of_one_source_proves_no_address_of_the_other(standin: StandIn) -> None:
    proof = {"email": OTHER, "email_verified": "true"}
    assert of_two_sources(standin, {"email": CEO}, proof, email_verified="text") is None


@pytest.mark.parametrize("verified", [False, "false", 0, [], {}], ids=ascii)
def test_what_speaks_against_an_address_does_so_whoever_sends_it(standin: StandIn, verified: object) -> None:
    named = '{"username": "preferred_username", "email": "email"}'
    userinfo = {"preferred_username": "jane", "email_verified": verified}
    allow = "email_domain:corp.example"
    assert of_two_sources(standin, {"email": CEO}, userinfo, attribute_map=named, allow=allow) is None


@pytest.mark.parametrize(
    ("proof", "proven"),
    [("email_verified", "email"), ("xms_edov", "email"), ("phone_number_verified", "phone_number")],
)
@pytest.mark.parametrize("value", [True, "true", "1", 1], ids=ascii)
def test_the_application_reads_no_proof_beside_what_it_does_not_prove(
    standin: StandIn, proof: str, proven: str, value: object
) -> None:
    standin.claims = {proven: "one"}
    standin.userinfo = {"sub": "user-1", "preferred_username": "jane", proven: "other", proof: value}
    with guarded(issuer=standin.issuer, client_secret=SECRET) as site:
        assert site.browser().navigate(site.url + "/").status == 200
        claims = site.app.seen[-1]["Identity"].claims
    assert claims[proven] == "one"
    assert proof not in claims


# Entra never says email_verified: the owner of a domain has verified the address, or xms_edov does not say so


def at_entra(
    standin: StandIn, id_token: dict[str, Any], more: dict[str, Any] | None = None, **settings: Any
) -> str | None:
    """The user whom preset microsoft makes of the address in an ID token, with *more* in userinfo."""
    standin.claims = {"oid": "user-1", **id_token}
    standin.userinfo = {"sub": "user-1", **(more or {})}
    settings = {"preset": "microsoft", "attribute_map": BY_ADDRESS, **settings}
    with guarded(issuer=standin.issuer, client_secret=SECRET, **settings) as site:
        page = site.browser().navigate(site.url + "/")
        return site.app.seen[-1]["user"] if page.status == 200 else None


@pytest.mark.requirement("R-verified")
@pytest.mark.parametrize("edov", [True, "1", 1, "true"], ids=ascii)
def test_entra_proves_an_address_by_xms_edov(standin: StandIn, edov: object) -> None:
    assert at_entra(standin, {"email": CEO, "xms_edov": edov}) == CEO
    # What the ID token proves needs no userinfo.
    assert not standin.asked("/userinfo")


@pytest.mark.requirement("R-verified")
@pytest.mark.parametrize(
    ("id_token", "userinfo"),
    [
        *(
            ({"email": CEO, "xms_edov": edov}, {})
            for edov in (False, "false", 0, "0", "", None, "True", 2, [True], {"email": True})
        ),
        ({"email": CEO, "xms_edov": True, "email_verified": False}, {}),
        ({"email": CEO, "xms_edov": True, "email_verified": "1"}, {}),
        ({"email": CEO, "xms_edov": True}, {"email": CEO, "email_verified": False}),
        ({"email": CEO, "xms_edov": True}, {"email": CEO, "xms_edov": False}),
        ({"email": CEO}, {"email": OTHER, "xms_edov": True}),
        ({"xms_edov": True}, {"email": CEO}),
        ({"email": CEO}, {}),
    ],
    ids=str,
)
def test_no_other_value_of_xms_edov_proves_an_address_nor_that_of_another_source(
    standin: StandIn, id_token: dict[str, Any], userinfo: dict[str, Any]
) -> None:
    assert at_entra(standin, id_token, userinfo, userinfo="always") is None


@pytest.mark.requirement("R-verified")
def test_xms_edov_is_entras_word_alone(standin: StandIn) -> None:
    assert at_entra(standin, {"email": CEO, "xms_edov": True}, preset="", subject="oid") is None


@pytest.mark.requirement("R-verified")
def test_the_address_of_a_github_profile_lets_nobody_in(standin: StandIn) -> None:
    standin.oidc = False
    standin.userinfo = {"id": 7, "login": "jane", "email": CEO}
    standin.emails = [{"email": CEO, "primary": False, "verified": False}]
    endpoints = {
        "authorization_endpoint": f"{standin.url}/authorize",
        "token_endpoint": f"{standin.url}/token",
        "userinfo_endpoint": f"{standin.url}/userinfo",
    }
    settings = {"preset": "github", "client_auth_method": "client_secret_basic", **endpoints}
    with guarded(client_secret=SECRET, allow="email_domain:corp.example", **settings) as site:
        assert site.browser().navigate(site.url + "/").status == 403
        standin.emails = [{"email": CEO, "primary": True, "verified": True}]
        assert site.browser().navigate(site.url + "/").status == 200


# Several paths, of which one leads to an address

NAME_OR_ADDRESS = '{"username": ["preferred_username", "email"], "email": "email", "groups": "roles"}'


@pytest.mark.requirement("R-verified")
@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({"preferred_username": "jane", "email": CEO, "email_verified": False}, "jane"),
        ({"email": CEO, "email_verified": True}, CEO),
        ({"email": CEO, "email_verified": False}, None),
        ({"email": CEO, "email_verified": None}, None),
        ({"preferred_username": None, "email": CEO}, None),
    ],
    ids=str,
)
def test_of_several_paths_that_which_is_read_decides(
    standin: StandIn, claims: dict[str, Any], user: str | None
) -> None:
    assert signs_in(standin, claims, attribute_map=NAME_OR_ADDRESS)[1] == user


def test_every_address_among_several_paths_is_checked_at_the_start() -> None:
    with pytest.raises(ConfigError, match="username is read from the address mail"):
        make_settings(attribute_map='{"username": ["preferred_username", "mail"], "email": "email"}')


def test_a_refusal_says_which_groups_came_from_where(
    standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    claims = {
        "preferred_username": "jane",
        "roles": [{"name": "staff"}, "app-b", 7],
        "email_verified": "true",
    }
    with caplog.at_level("INFO", "oauth2_mw.audit"):
        user = signs_in(standin, claims, attribute_map=NAME_OR_ADDRESS, allow="group:staff")[1]
    assert user is None
    lines = "\n".join(caplog.messages)
    assert "attribute_unusable" in lines
    assert "groups: 1 of 3 in roles are left out" in lines
    assert (
        "groups came from roles: app-b, 7; email_verified is a text 'true', not a JSON boolean"
        in lines.replace("\\'", "'")
    )


# Claims that several people may have


def test_check_warns_of_a_username_that_two_people_may_have() -> None:
    for claim in ("nickname", "name", "preferred_username"):
        settings = make_settings(issuer="https://id.example", attribute_map=f'{{"username": "{claim}"}}')
        assert any("username" in line and claim in line for line in warnings(settings)), claim


def test_with_a_directory_the_first_keeps_the_name(tmp_path: Path) -> None:
    settings = make_settings(issuer="https://id.example", directory=f"sqlite:///{tmp_path / 'users.db'}")
    assert not any("preferred_username" in line for line in warnings(settings))


def test_the_preset_auth0_does_not_make_jane_of_two_people(standin: StandIn) -> None:
    people = []
    for subject, domain in (("auth0|1", "a.example"), ("auth0|2", "b.example")):
        claims = {"sub": subject, "nickname": "jane", "email": f"jane@{domain}", "email_verified": True}
        people.append(signs_in(standin, claims, preset="auth0")[1])
    assert len(set(people)) == 2
    assert None not in people


def test_localpart_needs_one_domain() -> None:
    local = {"issuer": "https://id.example", "attribute_map": BY_ADDRESS, "username_transform": "localpart"}
    with pytest.raises(ConfigError, match="localpart"):
        make_settings(**local)
    with pytest.raises(ConfigError, match="localpart"):
        make_settings(**local, allow="email_domain:a.example email_domain:b.example")
    make_settings(**local, allow="email_domain:a.example")


@pytest.mark.requirement("R-ascii")
def test_ascii_needs_a_directory_and_a_prefix_that_is_ascii() -> None:
    keys = {"issuer": "https://id.example", "username_transform": "lower ascii"}
    with pytest.raises(ConfigError, match="ascii makes one name of zoe and zoé: set directory"):
        make_settings(**keys)
    found = make_settings(**keys, directory="sqlite:////nowhere.db")
    assert found.providers["default"].username_transform == ("lower", "ascii")
    for each in ("ascii", "percent"):
        with pytest.raises(ConfigError, match="username_prefix: is not ASCII"):
            make_settings(
                **{**keys, "username_transform": each},
                directory="sqlite:////nowhere.db",
                username_prefix="é:",
            )


# Names that look like another's

SEO = "\u0441\u0435\u043e"  # Cyrillic, and to the eye "ceo"


def named(
    standin: StandIn, subject: str, username: object, folder: Path | None
) -> tuple[Guarded, str | None]:
    where = {} if folder is None else {"directory": f"sqlite:///{folder / 'users.db'}"}
    return signs_in(standin, {"sub": subject, "preferred_username": username}, **where)


def says_why(site: Guarded, code: str) -> bool:
    (line,) = (line for line in site.audit if "event=login_failed" in line)
    return f"code={code} " in line and site.app.calls == 0


@pytest.mark.requirement("R-look-alike")
@pytest.mark.parametrize("username", [SEO, SEO.upper(), "\ua4da\ua4f0\ua4f3", "ce\u1d0f"], ids=ascii)
@pytest.mark.parametrize("directory", ["", "a directory"])
def test_a_name_of_another_alphabet_is_not_taken_for_the_latin_one(
    standin: StandIn, tmp_path: Path, username: str, directory: str
) -> None:
    folder = tmp_path if directory else None
    assert named(standin, "1", "ceo", folder)[1] == "ceo"
    site, user = named(standin, "2", username, folder)
    assert user is None
    assert says_why(site, "username_taken" if directory else "bad_username")


@pytest.mark.requirement("R-look-alike")
@pytest.mark.parametrize(
    ("username", "code"),
    [
        ("c\u0435o", "bad_username"),
        ("\uff43\uff45\uff4f", "bad_username"),
        ("ce\u200bo", "bad_username"),
        ("ce\u00ado", "bad_username"),
        ("ceo\u202e", "bad_username"),
        ("ceo ", "bad_username"),
        ({"ceo": 1}, "no_username"),
        (["ceo"], "no_username"),
        (True, "no_username"),
        (1.5, "no_username"),
        ("", "no_username"),
        (None, "no_username"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("directory", ["", "a directory"])
def test_a_name_that_hides_something_or_is_none_enters_nowhere(
    standin: StandIn, tmp_path: Path, username: object, code: str, directory: str
) -> None:
    site, user = named(standin, "2", username, tmp_path if directory else None)
    assert user is None
    assert says_why(site, code)


@pytest.mark.requirement("R-look-alike")
def test_with_a_directory_a_name_of_another_alphabet_waits_for_no_latin_one(
    standin: StandIn, tmp_path: Path
) -> None:
    assert named(standin, "1", "\u0438\u0432\u0430\u043d\u043e\u0432", tmp_path)[1] is not None
    assert named(standin, "2", SEO, tmp_path)[1] is not None
    site, user = named(standin, "3", "ceo", tmp_path)
    assert user is None
    assert says_why(site, "username_taken")
    # A rename is refused as well, and the old name stays.
    assert named(standin, "4", "jane", tmp_path)[1] == "jane"
    assert named(standin, "4", "CEO", tmp_path)[1] == "jane"
    # Who has a name keeps it, and may change its alphabet.
    assert named(standin, "2", SEO, tmp_path)[1] is not None
    assert named(standin, "2", "ceo", tmp_path)[1] == "ceo"


@pytest.mark.requirement("R-look-alike")
@pytest.mark.parametrize("username", ["CEO", "Ceo"])
def test_with_a_directory_two_names_that_differ_in_case_are_one(
    standin: StandIn, tmp_path: Path, username: str
) -> None:
    assert named(standin, "1", "ceo", tmp_path)[1] == "ceo"
    site, user = named(standin, "2", username, tmp_path)
    assert user is None
    assert says_why(site, "username_taken")


# Two providers, one subject space


def plain_oauth(name: str, **more: str) -> dict[str, str]:
    return {
        "client_id": name,
        "client_secret": "x",
        "authorization_endpoint": f"https://id.example/{name}/authorize",
        "token_endpoint": f"https://id.example/{name}/token",
        "userinfo_endpoint": f"https://id.example/{name}/user",
        "username_prefix": f"{name}:",
        **more,
    }


def two(first: dict[str, str], second: dict[str, str]) -> None:
    make_settings(client_id=None, client_secret=None, **{"provider:a": first, "provider:b": second})


def test_two_providers_do_not_share_their_subjects_unsaid() -> None:
    with pytest.raises(ConfigError, match="same_users_as"):
        two(plain_oauth("a"), plain_oauth("b"))
    two(plain_oauth("a"), plain_oauth("b", same_users_as="a"))
    two(plain_oauth("a", same_users_as="b"), plain_oauth("b"))


def test_two_subjects_of_one_issuer_are_never_the_same_users() -> None:
    first = {"issuer": "https://id.example", "client_id": "a", "client_secret": "x", "username_prefix": "a:"}
    second = {**first, "client_id": "b", "username_prefix": "b:", "subject": "oid"}
    with pytest.raises(ConfigError, match="same_users_as"):
        two(first, second)
    with pytest.raises(ConfigError, match="subject"):
        two(first, {**second, "same_users_as": "a"})


@pytest.mark.parametrize("other", ["b", "nobody", "callback", "Ä"])
def test_same_users_as_names_another_provider_of_the_same_issuer(other: str) -> None:
    with pytest.raises(ConfigError, match="same_users_as"):
        two(plain_oauth("a"), plain_oauth("b", same_users_as=other))


def test_same_users_as_needs_the_same_issuer() -> None:
    elsewhere = plain_oauth("b", same_users_as="a", token_endpoint="https://other.example/token")
    with pytest.raises(ConfigError, match="same_users_as"):
        two(plain_oauth("a"), elsewhere)


# allow, for each provider


def test_a_providers_own_allow_takes_the_place_of_the_global_one(standin: StandIn) -> None:
    named = {"issuer": standin.issuer, "client_id": "app", "client_secret": SECRET, "allow": "user:partner"}
    standin.userinfo = {"sub": "user-1", "preferred_username": "admin"}
    with guarded(
        client_id=None, client_secret=None, allow="user:admin", **{"provider:partner": named}
    ) as site:
        assert site.browser().navigate(site.url + "/").status == 403
    standin.userinfo = {"sub": "user-1", "preferred_username": "partner"}
    with guarded(
        client_id=None, client_secret=None, allow="user:admin", **{"provider:partner": named}
    ) as site:
        assert site.browser().navigate(site.url + "/").status == 200


@pytest.mark.parametrize(
    ("allow", "enters"),
    [
        ("provider:default", True),
        ("provider:default and group:staff", True),
        ("provider:default and group:admins", False),
        ("group:admins user:jane and group:staff", True),
        ("group:admins and user:jane group:nobody", False),
        ("user:jane and group:staff and provider:default", True),
    ],
)
def test_and_binds_closer_than_the_blank(standin: StandIn, allow: str, enters: object) -> None:
    claims = {"preferred_username": "jane", "groups": ["staff"]}
    _, user = signs_in(standin, claims, allow=allow)
    assert (user == "jane") is enters


@pytest.mark.parametrize(
    "allow",
    [
        "and",
        "user:jane and",
        "and user:jane",
        "user:jane and and group:x",
        "* and user:jane",
        "user:a or user:b",
        "provider:nobody",
        "user:jane, user:joan",
    ],
)
def test_a_sentence_that_cannot_be_read_is_a_problem(allow: str) -> None:
    with pytest.raises(ConfigError, match="allow"):
        make_settings(issuer="https://id.example", allow=allow)


def test_allow_can_be_a_file_that_is_read_again(standin: StandIn, tmp_path: Path) -> None:
    people = tmp_path / "people.txt"
    people.write_text("# who may enter\nuser:joan\n\ngroup:staff and user:jim  # both\n")
    standin.userinfo = {"sub": "user-1", "preferred_username": "jane"}
    with guarded(issuer=standin.issuer, client_secret=SECRET, allow=f"file:{people}") as site:
        assert site.browser().navigate(site.url + "/").status == 403
        people.write_text("user:jane\n")
        assert site.browser().navigate(site.url + "/").status == 200
        people.write_text("user:jane\nnonsense\n")
        assert site.browser().navigate(site.url + "/").status == 200
        people.unlink()
        assert site.browser().navigate(site.url + "/").status == 200


def test_a_file_that_cannot_be_read_is_a_problem_at_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="allow"):
        make_settings(issuer="https://id.example", allow=f"file:{tmp_path / 'absent'}")
    (tmp_path / "bad").write_text("nonsense\n")
    with pytest.raises(ConfigError, match="line 1"):
        make_settings(issuer="https://id.example", allow=f"file:{tmp_path / 'bad'}")


def test_check_says_that_a_star_lets_in_all_of_a_providers_people() -> None:
    named = {"issuer": "https://id.example", "client_id": "x", "client_secret": "x", "allow": "*"}
    settings = make_settings(client_id=None, client_secret=None, allow="user:jane", **{"provider:p": named})
    assert any("allow" in line and "provider p" in line for line in warnings(settings))


def test_a_public_preset_needs_an_allow_that_holds_for_it() -> None:
    google = {"preset": "google", "client_id": "x", "client_secret": "x"}
    with pytest.raises(ConfigError, match="allow"):
        make_settings(client_id=None, client_secret=None, **{"provider:g": google})
    make_settings(
        client_id=None, client_secret=None, **{"provider:g": {**google, "allow": "user:jane@example.com"}}
    )


def test_check_warns_of_a_missing_prefix_beside_a_directory(tmp_path: Path) -> None:
    one = {"issuer": "https://one.example", "client_id": "x", "client_secret": "x"}
    other = {"issuer": "https://two.example", "client_id": "x", "client_secret": "x"}
    settings = make_settings(
        client_id=None,
        client_secret=None,
        directory=f"sqlite:///{tmp_path / 'users.db'}",
        **{"provider:one": one, "provider:two": other},
    )
    assert any("username_prefix" in line for line in warnings(settings))
