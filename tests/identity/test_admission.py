"""Who enters, and as whom, where the rules and the directory both have a say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import AccessDeniedError, OAuth2Error
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.hooks import NO_HOOKS, Hooks
from oauth2_mw.identity.model import Identity, freeze, user_key
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings
from tests.support.settings.minimal import make_settings
from tests.support.settings.people import ISSUER, NOW


def settings(**keys: Any) -> Settings:
    return make_settings(issuer=ISSUER, directory="sqlite:////nowhere.db", **keys)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(Secret.literal(f"sqlite:///{tmp_path / 'users.db'}"))


def admit(found: Settings, directory: Directory | None, subject: str, username: str) -> Identity:
    return Admission(found, directory).admit(
        found.providers["default"],
        issuer=ISSUER,
        subject=subject,
        claims={"sub": subject, "preferred_username": username},
        now=NOW,
    )


@pytest.mark.requirement("3k.7")
def test_who_cannot_have_a_name_does_not_enter_by_a_rule_for_that_name(directory: Directory) -> None:
    everybody, jane_alone = settings(), settings(allow="user:jane")
    admit(everybody, directory, "1", "jane")
    eve = admit(everybody, directory, "2", "eve")
    with pytest.raises(AccessDeniedError) as refusal:
        admit(jane_alone, directory, "2", "jane")
    assert refusal.value.code == "not_allowed"
    assert "'eve'" in refusal.value.detail
    found = directory.get(eve.id)
    assert found is not None
    assert found.username == "eve"


def test_who_keeps_an_earlier_name_enters_by_a_rule_for_it(directory: Directory) -> None:
    everybody, both = settings(), settings(allow="user:jane user:eve")
    admit(everybody, directory, "1", "jane")
    admit(everybody, directory, "2", "eve")
    assert admit(both, directory, "2", "jane").username == "eve"


def test_a_person_whom_no_rule_lets_in_leaves_no_trace(directory: Directory) -> None:
    with pytest.raises(AccessDeniedError):
        admit(settings(allow="user:jane"), directory, "2", "eve")
    assert directory.find(ISSUER, "2") is None


def test_without_a_directory_nobody_is_a_member_of_anything() -> None:
    found = make_settings(issuer=ISSUER)
    assert admit(found, None, "1", "jane").organizations == ()


@pytest.mark.parametrize(
    ("auth_time", "expected"),
    [(NOW, NOW), (NOW + 0.5, NOW), (0, None), (True, None), ("1", None), (1e300, None), (None, None)],
)
def test_when_a_person_authenticated_is_a_date_or_unknown(auth_time: Any, expected: int | None) -> None:
    found = make_settings(issuer=ISSUER)
    claims = {"sub": "1", "preferred_username": "jane", "auth_time": auth_time}
    identity = Admission(found, None).admit(
        found.providers["default"], issuer=ISSUER, subject="1", claims=claims, now=NOW
    )
    assert identity.auth_time == expected


# What a sign-in leaves, with a directory and without

CLAIMS = {
    "sub": "1",
    "preferred_username": "jane",
    "name": "Jane Doe",
    "email": "jane@corp.example",
    "phone_number": "+49 30 1",
    "note": "fourth floor",
    "groups": ["admin", "staff"],
    "acr": "2",
    "auth_time": NOW - 5,
}
MAP = (
    '{"username": "preferred_username", "name": "name", "email": "email", "phone": "phone_number",'
    ' "comment": "note", "groups": "groups"}'
)


def enter(found: Settings, directory: Directory | None, *, subject: str = "1", **changes: Any) -> Identity:
    """Sign in with changed claims; ``None`` leaves one out."""
    claims = {
        name: value for name, value in (CLAIMS | {"sub": subject} | changes).items() if value is not None
    }
    return Admission(found, directory).admit(
        found.providers["default"], issuer=ISSUER, subject=subject, claims=claims, now=NOW
    )


def test_without_a_directory_a_person_is_what_the_provider_says() -> None:
    found = make_settings(issuer=ISSUER, attribute_map=MAP)
    assert enter(found, None) == Identity(
        id=user_key(ISSUER, "1"),
        provider="default",
        issuer=ISSUER,
        subject="1",
        username="jane",
        name="Jane Doe",
        email="jane@corp.example",
        phone="+49 30 1",
        comment="fourth floor",
        groups=("admin", "staff"),
        organizations=(),
        acr="2",
        auth_time=NOW - 5,
        claims=freeze({name: value for name, value in CLAIMS.items() if name != "groups"}),
    )


def test_the_first_sign_in_makes_the_user(directory: Directory) -> None:
    identity = enter(settings(attribute_map=MAP, organization="one two"), directory)
    assert identity.organizations == ("one", "two")
    assert (identity.name, identity.groups) == ("Jane Doe", ("admin", "staff"))
    user = directory.find(ISSUER, "1")
    assert user is not None
    assert user.id == identity.id
    assert user.phone == "+49 30 1"


def test_a_later_sign_in_brings_what_has_changed_and_takes_nothing_away(directory: Directory) -> None:
    found = settings(attribute_map=MAP)
    enter(found, directory)
    later = enter(found, directory, name="Jane Roe", email=None, phone_number="2", note=None)
    assert (later.name, later.email, later.phone, later.comment) == (
        "Jane Roe",
        "jane@corp.example",
        "2",
        "fourth floor",
    )
    last = enter(found, directory, name=None, email="j@corp.example", phone_number=None, note="fifth")
    assert (last.name, last.email, last.phone, last.comment) == ("Jane Roe", "j@corp.example", "2", "fifth")


@pytest.mark.parametrize(
    ("keys", "allow", "enters"),
    [
        # Judged is the user as this sign-in would leave it: by name, groups and organizations.
        ({}, "user:janet", True),
        ({}, "user:jane", False),
        ({"always_update": False}, "user:jane", True),
        ({"always_update": False}, "user:janet", False),
        ({}, "group:staff", True),
        ({}, "group:new", False),
        ({"group_sync": "always"}, "group:new", True),
        ({"group_sync": "always"}, "group:staff", False),
        ({"group_sync": "always", "always_update": False}, "group:new", True),
        ({}, "organization:DEFAULT", True),
        ({"organization": "other"}, "organization:other", False),
    ],
)
def test_judged_is_who_enters(
    directory: Directory, keys: dict[str, Any], allow: str, *, enters: bool
) -> None:
    enter(settings(attribute_map=MAP), directory)
    found = settings(attribute_map=MAP, allow=allow, **keys)
    changes: dict[str, Any] = {"preferred_username": "janet", "groups": ["new"]}
    if enters:
        enter(found, directory, **changes)
        return
    with pytest.raises(AccessDeniedError) as refusal:
        enter(found, directory, **changes)
    assert refusal.value.code == "not_allowed"
    user = directory.find(ISSUER, "1")
    assert user is not None
    assert (user.username, user.groups) == ("jane", ("admin", "staff"))


@pytest.mark.parametrize(
    ("verified", "enters"), [(True, True), (None, True), (False, False), ("true", False), (1, False)]
)
def test_an_address_that_the_provider_denies_opens_nothing(verified: Any, *, enters: bool) -> None:
    found = make_settings(issuer=ISSUER, attribute_map=MAP, allow="email_domain:corp.example")
    if enters:
        assert enter(found, None, email_verified=verified).email == "jane@corp.example"
        return
    with pytest.raises(AccessDeniedError) as refusal:
        enter(found, None, email_verified=verified)
    assert refusal.value.code == "not_allowed"


def test_the_address_that_the_directory_remembers_opens_nothing(directory: Directory) -> None:
    enter(settings(attribute_map=MAP), directory)
    with pytest.raises(AccessDeniedError):
        enter(settings(attribute_map=MAP, allow="email_domain:corp.example"), directory, email=None)


def test_rules_see_claims_and_provider() -> None:
    for allow, enters in (
        ("claim:acr=2", True),
        ("claim:acr=1", False),
        ("provider:default", True),
        ("provider:other", False),
    ):
        found = make_settings(
            issuer=ISSUER,
            attribute_map=MAP,
            allow=allow,
            directory="sqlite:////nowhere.db",
            **{"provider:other": {"issuer": "https://b.example", "client_id": "b", "client_secret": "s"}},
        )
        if enters:
            enter(found, None)
        else:
            with pytest.raises(AccessDeniedError):
                enter(found, None)


def test_a_username_that_is_an_address_must_be_verified() -> None:
    found = make_settings(issuer=ISSUER, attribute_map='{"username": "email", "email": "email"}')
    with pytest.raises(AccessDeniedError) as refusal:
        enter(found, None, email_verified=False)
    assert refusal.value.code == "email_not_verified"
    assert enter(found, None, email_verified=True).username == "jane@corp.example"


def test_strangers_stay_out_where_no_users_are_made(directory: Directory) -> None:
    with pytest.raises(AccessDeniedError):
        enter(settings(attribute_map=MAP, create_users=False), directory)
    assert directory.find(ISSUER, "1") is None


@pytest.mark.parametrize("create_users", [True, False])
def test_a_refresh_makes_no_user(directory: Directory, *, create_users: bool) -> None:
    found = settings(attribute_map=MAP, create_users=create_users)
    admission, default = Admission(found, directory), found.providers["default"]
    with pytest.raises(AccessDeniedError):
        admission.admit_again(default, issuer=ISSUER, subject="1", claims=CLAIMS, now=NOW)
    assert directory.find(ISSUER, "1") is None
    enter(settings(attribute_map=MAP), directory)
    again = admission.admit_again(
        default, issuer=ISSUER, subject="1", claims=CLAIMS | {"name": "Jane Roe"}, now=NOW
    )
    assert again.name == "Jane Roe"


def test_a_linked_person_is_the_user_under_the_issuer_and_subject_of_this_sign_in(
    directory: Directory,
) -> None:
    jane = enter(settings(attribute_map=MAP), directory)
    directory.link(jane.id, ISSUER, "77", now=NOW)
    linked = enter(settings(attribute_map=MAP), directory, subject="77")
    assert (linked.id, linked.issuer, linked.subject) == (jane.id, ISSUER, "77")


@pytest.mark.parametrize(
    ("acr", "auth_time", "expected"),
    [
        ("2", 5, ("2", 5)),
        ("2", 5.9, ("2", 5)),
        (2, "5", (None, None)),
        (["2"], [5], (None, None)),
        (None, None, (None, None)),
        ("2", 0, ("2", None)),
    ],
)
def test_how_and_when_a_person_signed_in_is_told_only_as_it_should_be_written(
    acr: Any, auth_time: Any, expected: tuple[str | None, int | None]
) -> None:
    identity = enter(make_settings(issuer=ISSUER, attribute_map=MAP), None, acr=acr, auth_time=auth_time)
    assert (identity.acr, identity.auth_time) == expected


# Groups, which are kept once


def test_the_claim_of_the_groups_is_kept_only_where_something_reads_it() -> None:
    for keys, kept in (
        ({}, False),
        ({"allow": "group:staff"}, False),
        ({"allow": "claim:groups=staff"}, True),
        ({"environ": {"HTTP_X_GROUPS": "groups"}}, False),
        ({"environ": {"HTTP_X_GROUPS": "claims.groups"}}, True),
    ):
        found = make_settings(issuer=ISSUER, attribute_map=MAP, **keys)
        identity = enter(found, None)
        assert identity.groups == ("admin", "staff")
        assert ("groups" in identity.claims) is kept, keys


@pytest.mark.parametrize(
    ("where", "group_sync", "known"),
    [
        ("", None, True),
        ("directory", "always", True),
        ("directory", "first", False),
        ("directory", "never", False),
    ],
)
def test_what_is_known_has_the_providers_groups_and_not_those_of_the_directory(
    directory: Directory, where: str, group_sync: str | None, *, known: bool
) -> None:
    keys = {"group_sync": group_sync} if group_sync else {}
    found = settings(attribute_map=MAP, **keys) if where else make_settings(issuer=ISSUER, attribute_map=MAP)
    used = directory if where else None
    identity = enter(found, used)
    claims = Admission(found, used).known_claims(found.providers["default"], identity)
    assert claims.get("groups") == (identity.groups if known else None)
    assert {**claims, "groups": ()} == {**identity.claims, "groups": ()}


def test_what_of_a_claim_cannot_be_used_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "oauth2_mw.audit"):
        enter(make_settings(issuer=ISSUER, attribute_map=MAP), None, name={"first": "Jane"})
    (line,) = caplog.messages
    assert "event=attribute_unusable" in line
    assert "name is left out" in line


def test_without_a_directory_nobody_takes_a_name_that_looks_like_anothers() -> None:
    with pytest.raises(OAuth2Error) as refused:
        enter(make_settings(issuer=ISSUER, attribute_map=MAP), None, preferred_username="\u0441\u0435\u043e")
    assert refused.value.code == "bad_username"


# Names outside ASCII


@pytest.mark.requirement("R-ascii")
def test_of_two_whose_names_are_one_in_ascii_the_second_does_not_get_it(directory: Directory) -> None:
    found = settings(username_transform="ascii")
    assert admit(found, directory, "1", "zoé").username == "zoe"
    with pytest.raises(AccessDeniedError):
        admit(found, directory, "2", "zoe")


def test_the_first_name_that_is_not_ascii_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    found = make_settings(issuer=ISSUER)
    admission = Admission(found, None)
    for subject, username in (("0", "jane"), ("1", "zoé"), ("1", "zoé"), ("2", "renée")):
        admission.admit(
            found.providers["default"],
            issuer=ISSUER,
            subject=subject,
            claims={"sub": subject, "preferred_username": username},
            now=NOW,
        )
    lines = [line for line in caplog.messages if "name_not_ascii" in line]
    assert len(lines) == 1
    assert "username=zo\\xe9" in lines[0] or "zoé" in lines[0] or "zo\\u00e9" in lines[0]
    assert "username_transform" in lines[0]


# Access tokens


def admit_token(
    found: Settings, directory: Directory | None, hooks: Hooks = NO_HOOKS, **claims: Any
) -> Identity:
    given = {"sub": "1", "preferred_username": "jane", **claims}
    return Admission(found, directory, hooks).admit_token(
        found.providers["default"], issuer=ISSUER, subject="1", claims=given, now=NOW
    )


def test_a_token_leaves_a_known_user_as_they_are(directory: Directory) -> None:
    always = settings(
        group_sync="always", attribute_map='{"username": "preferred_username", "groups": "groups"}'
    )
    before = admit(always, directory, "1", "jane")
    identity = admit_token(always, directory, preferred_username="eve", groups=["admins"], acr="gold", n=1)
    assert (identity.id, identity.username, identity.groups) == (before.id, "jane", ())
    assert (identity.acr, identity.claims["acr"], identity.claims["n"]) == (None, "gold", 1)
    user = directory.find(ISSUER, "1")
    assert user is not None
    assert (user.username, user.groups) == ("jane", ())


def test_a_token_adds_an_unknown_user_and_is_no_sign_in(directory: Directory) -> None:
    found = settings(personal_tokens="/")
    identity = admit_token(found, directory)
    assert (identity.username, identity.issuer, identity.subject) == ("jane", ISSUER, "1")
    with directory.database.reading() as connection:
        user, left = directory.user_and_last_sign_in(connection, found.public_url, identity.id)
    assert (user is not None, left) == (True, None)
    with pytest.raises(AccessDeniedError, match="create_users is off"):
        Admission(settings(create_users="false"), directory).admit_token(
            found.providers["default"],
            issuer=ISSUER,
            subject="2",
            claims={"sub": "2", "preferred_username": "bob"},
            now=NOW,
        )


def test_a_token_links_nobody(directory: Directory) -> None:
    found = settings(link_by="verified_email", allow="user:jane user:ada")
    proven: dict[str, Any] = {"email": "jane@example.com", "email_verified": True}
    Admission(found, directory).admit(
        found.providers["default"],
        issuer="https://other.example",
        subject="9",
        claims={"sub": "9", "preferred_username": "ada", **proven},
        now=NOW,
    )
    assert admit_token(found, directory, **proven).username == "jane"


def test_a_disabled_user_s_token_is_refused(directory: Directory) -> None:
    found = settings()
    jane = admit(found, directory, "1", "jane")
    directory.set_disabled(jane.id, disabled=True, now=NOW)
    with pytest.raises(AccessDeniedError) as refusal:
        admit_token(found, directory)
    assert refusal.value.code == "user_disabled"


def test_allow_and_the_application_judge_a_token_too(directory: Directory) -> None:
    admit(settings(), directory, "1", "jane")
    by_address = settings(allow="email:jane@example.com")
    for known in (directory, None):
        with pytest.raises(AccessDeniedError, match="email_verified"):
            admit_token(by_address, known, email="jane@example.com", email_verified=False)
        assert (
            admit_token(by_address, known, email="jane@example.com", email_verified=True).username == "jane"
        )
        asked: list[Identity] = []
        admit_token(settings(), known, Hooks(login=asked.append))
        assert [identity.username for identity in asked] == ["jane"]


@pytest.mark.parametrize(
    ("rule", "said", "known"),
    [
        ("denied /x if claim:level=3", {}, False),
        ("denied /x if claim:level=3", {"level": 1}, True),
        ("denied /x if claim:level=3", {"level": None}, True),
        ("denied /x if group:interns", {}, False),
        ("denied /x if group:interns", {"groups": []}, True),
        ("denied /x if email:a@example.com", {"email": "b@example.com"}, False),
        ("denied /x if email:a@example.com", {"email": "b@example.com", "email_verified": False}, True),
        ("denied /x if email:a@example.com", {"email_verified": True}, False),
        ("denied /x if claim:email_verified=false", {}, False),
        ("required /x if claim:level=3", {}, True),
        ("denied /x", {}, True),
    ],
)
def test_what_a_rule_denies_a_token_must_say(rule: str, said: dict[str, Any], known: Any) -> None:
    keys = {"attribute_map": '{"username": "preferred_username", "groups": "groups", "email": "email"}'}
    found = make_settings(issuer=ISSUER, access={"rules": rule}, **keys)
    if known:
        assert admit_token(found, None, **said).username == "jane"
        return
    with pytest.raises(AccessDeniedError) as refusal:
        admit_token(found, None, **said)
    assert refusal.value.code == "claims_unknown"


def test_where_every_address_is_proven_nothing_more_need_be_said(directory: Directory) -> None:
    rule = {"rules": "denied /x if email:a@example.com or group:interns"}
    keys = {"attribute_map": '{"username": "preferred_username", "groups": "groups", "email": "email"}'}
    found = settings(access=rule, email_verified="always", **keys)
    admit(found, directory, "1", "jane")
    # The groups of whom the directory knows are its own.
    assert admit_token(found, directory, email="b@example.com").username == "jane"
