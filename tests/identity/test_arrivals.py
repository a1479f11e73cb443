"""What the application hears of who arrives, what is judged anew, and what becomes of groups that could not be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import AccessDeniedError, ProviderError
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.hooks import Hooks
from oauth2_mw.identity.last_sign_ins import LastSignIn
from oauth2_mw.identity.model import Identity
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings
from tests.support.settings.minimal import make_settings
from tests.support.settings.people import ISSUER, NOW

MAP = '{"username": "preferred_username", "email": "email", "groups": "groups"}'
JANE = {"sub": "1", "preferred_username": "jane", "groups": ["staff"]}


class Told:
    """An application that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.of: list[tuple[str, Identity]] = []

    @property
    def names(self) -> list[tuple[str, str]]:
        return [(what, identity.username) for what, identity in self.of]

    @property
    def hooks(self) -> Hooks:
        return Hooks(
            login=lambda identity: self.of.append(("login", identity)),
            user_created=lambda identity: self.of.append(("created", identity)),
        )


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(Secret.literal(f"sqlite:///{tmp_path / 'users.db'}"))


def settings(**keys: Any) -> Settings:
    return make_settings(issuer=ISSUER, directory="sqlite:////nowhere.db", attribute_map=MAP, **keys)


def arrive(
    found: Settings,
    directory: Directory | None,
    *,
    subject: str = "1",
    hooks: Hooks | None = None,
    unknown: frozenset[str] = frozenset(),
    **changes: Any,
) -> Identity:
    return Admission(found, directory, hooks or Hooks()).admit(
        found.providers["default"],
        issuer=ISSUER,
        subject=subject,
        claims=JANE | {"sub": subject} | changes,
        now=NOW,
        unknown=unknown,
    )


# What the application is told


def test_the_application_hears_of_a_new_user_once_and_of_every_sign_in(directory: Directory) -> None:
    told = Told()
    first = arrive(settings(), directory, hooks=told.hooks)
    assert told.names == [("login", "jane"), ("created", "jane")]
    assert told.of[1][1] == first
    arrive(settings(), directory, hooks=told.hooks)
    assert told.names[2:] == [("login", "jane")]


def test_without_a_directory_nobody_is_made_a_user(directory: Directory) -> None:
    told = Told()
    arrive(make_settings(issuer=ISSUER, attribute_map=MAP), None, hooks=told.hooks)
    assert told.names == [("login", "jane")]


def test_the_application_does_not_hear_of_whom_the_directory_refuses(directory: Directory) -> None:
    told = Told()
    with pytest.raises(AccessDeniedError) as refusal:
        arrive(settings(create_users=False), directory, hooks=told.hooks)
    assert (refusal.value.code, refusal.value.username) == ("user_unknown", "jane")
    jane = arrive(settings(), directory)
    directory.set_disabled(jane.id, disabled=True, now=NOW)
    with pytest.raises(AccessDeniedError) as refusal:
        arrive(settings(), directory, hooks=told.hooks)
    assert refusal.value.code == "user_disabled"
    assert told.of == []


def test_a_proven_address_alone_makes_nobody_another_user(directory: Directory) -> None:
    proven: dict[str, Any] = {"email": "jane@corp.example", "email_verified": True}
    found, told = settings(), Told()
    jane = Admission(found, directory).admit(
        found.providers["default"],
        issuer="https://other.example",
        subject="9",
        claims=JANE | {"sub": "9"} | proven,
        now=NOW,
    )
    bob = arrive(found, directory, hooks=told.hooks, preferred_username="bob", groups=[], **proven)
    assert bob.id != jane.id
    assert [(identity.username, identity.groups) for _, identity in told.of] == [("bob", ())] * 2
    # Where addresses do link people, who is known by their own pair stays who they are.
    again = arrive(settings(link_by="verified_email"), directory, preferred_username="bob", **proven)
    assert again.id == bob.id


# Judged is who enters, whatever happens meanwhile


def test_who_becomes_a_user_while_they_sign_in_is_judged_as_that_user(directory: Directory) -> None:
    open_to_all, staff_alone = settings(), settings(allow="group:staff")

    def meanwhile(_identity: Identity) -> None:
        arrive(open_to_all, directory, groups=["guests"])

    with pytest.raises(AccessDeniedError) as refusal:
        arrive(staff_alone, directory, hooks=Hooks(login=meanwhile))
    assert refusal.value.code == "not_allowed"
    user = directory.find(ISSUER, "1")
    assert user is not None
    assert user.groups == ("guests",)


def test_who_is_refused_reads_where_to_ask_for_approval() -> None:
    keys = {"attribute_map": '{"username": "login", "groups": "groups"}', "allow": "group:acme"}
    found = make_settings(preset="github", issuer=None, **keys)
    with pytest.raises(AccessDeniedError) as refusal:
        Admission(found, None).admit(
            found.providers["default"], issuer=ISSUER, subject="1", claims={"login": "jane"}, now=NOW
        )
    assert "/settings/connections/applications/" in refusal.value.message
    with pytest.raises(AccessDeniedError) as refusal:
        arrive(make_settings(issuer=ISSUER, attribute_map=MAP, allow="group:acme"), None)
    assert refusal.value.message == AccessDeniedError.message


# Groups that could not be read

GROUPS = frozenset({"groups"})
DENIES = {"rules": "denied /x if group:interns"}


@pytest.mark.parametrize(
    ("group_sync", "known", "refused"),
    [
        ("first", False, True),
        ("always", False, True),
        ("first", True, False),
        ("always", True, True),
    ],
)
def test_while_groups_cannot_be_read_a_rule_that_denies_one_refuses_whose_groups_it_would_read(
    directory: Directory, group_sync: str, *, known: bool, refused: bool
) -> None:
    found = settings(access=DENIES, group_sync=group_sync)
    if known:
        arrive(found, directory)
    if not refused:
        assert arrive(found, directory, unknown=GROUPS).groups == ("staff",)
        return
    with pytest.raises(ProviderError) as caught:
        arrive(found, directory, unknown=GROUPS)
    assert caught.value.code == "groups_unknown"


@pytest.mark.parametrize("group_sync", ["first", "always"])
def test_who_first_came_while_groups_could_not_be_read_gets_them_at_the_next_sign_in(
    directory: Directory, group_sync: str
) -> None:
    found = settings(group_sync=group_sync)
    first = arrive(found, directory, unknown=GROUPS, groups=["guests"])
    # They are what this one is judged by.
    assert arrive(settings(group_sync=group_sync, allow="group:staff"), directory).groups == ("staff",)
    user = directory.get(first.id)
    assert user is not None
    assert (user.groups, user.has_signed_in) == (("staff",), True)
    # That was their first: what they have now stays where nothing brings it anew.
    later = arrive(found, directory, groups=["guests"]).groups
    assert later == (("guests",) if group_sync == "always" else ("staff",))


@pytest.mark.parametrize(
    ("group_sync", "said", "groups"),
    [
        ("always", ["admins"], ("admins",)),
        ("always", None, ("staff",)),
        ("first", ["admins"], ("staff",)),
    ],
)
def test_until_their_first_sign_in_a_token_says_what_groups_a_user_is_in_where_they_are_always_read(
    directory: Directory, group_sync: str, said: list[str] | None, groups: tuple[str, ...]
) -> None:
    found = settings(group_sync=group_sync)
    admission, default = Admission(found, directory), found.providers["default"]

    def admit_token(**more: Any) -> Identity:
        claims = {"sub": "1", "preferred_username": "jane", **more}
        return admission.admit_token(default, issuer=ISSUER, subject="1", claims=claims, now=NOW)

    assert admit_token(groups=["staff"]).groups == ("staff",)
    assert admit_token(**({} if said is None else {"groups": said})).groups == groups
    arrive(found, directory)
    assert admit_token(groups=["admins"]).groups == ("staff",)


# What a sign-in leaves for personal tokens


def left(found: Settings, directory: Directory, user_id: str) -> LastSignIn | None:
    with directory.database.reading() as connection:
        return directory.user_and_last_sign_in(connection, found.public_url, user_id)[1]


def test_a_refresh_that_says_nothing_new_is_noted_where_personal_tokens_are_judged_by_it(
    directory: Directory,
) -> None:
    found = settings(personal_tokens="/api/")
    jane = arrive(found, directory)
    first = left(found, directory, jane.id)
    assert first is not None
    assert first.seen_at == NOW
    Admission(found, directory).note_seen(jane, now=NOW + 60)
    assert left(found, directory, jane.id) == replace(first, seen_at=NOW + 60)
    # Where none are taken, and without a directory, there is nothing to note.
    Admission(settings(), directory).note_seen(jane, now=NOW + 120)
    Admission(found, None).note_seen(jane, now=NOW + 120)
    assert left(found, directory, jane.id) == replace(first, seen_at=NOW + 60)


def test_without_personal_tokens_a_sign_in_leaves_nothing(directory: Directory) -> None:
    assert left(settings(), directory, arrive(settings(), directory).id) is None
