"""``oauth2-mw users``: users who are added, changed, handed out and deleted by hand."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.credentials.personal_tokens import PersonalTokens
from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.directory import Directory, User
from oauth2_mw.identity.hooks import Hooks
from oauth2_mw.identity.model import Identity
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings
from tests.support.clock import ShiftedClocks
from tests.support.hosts.operator import Operator
from tests.support.hosts.worker import Worker
from tests.support.settings.keys import text_key
from tests.support.settings.people import NOW, attributes, provider
from tests.support.stores.directory_file import empty_database

ISSUER = "https://id.example"
CORP = "https://corp.example"
VERIFIED: dict[str, Any] = {"email": "jane@x.example", "email_verified": True}


class Site(Operator):
    """An operator, and people who sign in."""

    log: pytest.LogCaptureFixture

    def write(self, *, corp: str = "", **settings: str) -> None:
        ini = self.write_ini(secret_keys=text_key(), **{"directory": "sqlite:///users.db", **settings})
        with ini.open("a") as file:
            file.write(f"[provider:corp]\nissuer = {CORP}\nclient_id = a\nclient_secret = b\n{corp}")

    def users(self, *words: object) -> Any:
        action = words[0] if words[0] not in ("groups", "organizations") else words[1]
        at = words.index(action) + 1
        return self.run("users", *words[:at], self.ini, *words[at:])

    def arrive(
        self, at: str = "corp", subject: str = "4711", /, *, hooks: Hooks | None = None, **claims: Any
    ) -> Identity:
        settings = Settings.from_ini(self.ini)
        admission = Admission(settings, self.directory, *([hooks] if hooks else []))
        issuer = settings.providers[at].user_issuers[0]
        found = {"preferred_username": "jane", **claims}
        return admission.admit(
            settings.providers[at], issuer=issuer, subject=subject, claims=found, now=int(time.time())
        )

    def is_refused(self, *words: Any, **claims: Any) -> str:
        with pytest.raises(AccessDeniedError) as caught:
            self.arrive(*words, **claims)
        return caught.value.code

    @property
    def directory(self) -> Directory:
        return Directory(Secret.literal(f"sqlite:///{self.folder / 'users.db'}"))

    def all(self) -> list[User]:
        return list(self.directory.users())


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Site:
    site = Site(tmp_path, capsys)
    site.log = caplog
    site.write(create_users="false")
    empty_database(tmp_path / "users.db")
    return site


@pytest.fixture
def jane(site: Site) -> User:
    found = attributes("jane", email="jane@x.example", groups=("staff",))
    return site.directory.record_sign_in(
        provider(issuer=CORP), CORP, "4711", found, create=True, now=int(time.time())
    )


# add


def test_the_first_of_all_can_be_added_before_anybody_has_signed_in(site: Site) -> None:
    (site.folder / "users.db").unlink()
    assert site.users("add", "nobody", "4711").code == 1
    assert not (site.folder / "users.db").exists()
    assert site.users("add", "corp", "4711").code == 0
    assert site.arrive().username == "jane"


def test_only_the_owner_of_the_folder_makes_the_directory(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site.folder / "users.db").unlink()
    owner = site.folder.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    result = site.users("add", "corp", "4711")
    assert result.code == 1
    assert "run this command as the owner of its folder" in result.err
    site.write(create_users="false", directory="sqlite:///nowhere/users.db")
    assert "its folder does not exist" in site.users("add", "corp", "4711").err


@pytest.mark.requirement("R-users-add")
@pytest.mark.parametrize("word", ["corp", CORP])
def test_whoever_was_added_enters_although_nobody_is_created(site: Site, word: str) -> None:
    assert site.is_refused() == "user_unknown"
    result = site.users("add", word, "4711")
    assert result.code == 0
    assert "event=user_added provider=corp" in site.log.text
    [waiting] = site.all()
    assert (waiting.username, waiting.organizations, waiting.has_signed_in) == ("", ("DEFAULT",), False)
    assert site.is_refused("corp", "4712") == "user_unknown"
    assert site.is_refused("default", "4711") == "user_unknown"
    identity = site.arrive(name="Jane Doe", groups=["staff"])
    assert (identity.id, identity.username, identity.name) == (waiting.id, "jane", "Jane Doe")
    [user] = site.all()
    assert (user.username, user.organizations, user.has_signed_in) == ("jane", ("DEFAULT",), True)
    assert site.users("show", "jane").code == 0
    assert site.arrive().id == waiting.id


@pytest.mark.requirement("R-users-add")
def test_the_first_sign_in_with_an_address_takes_the_place_that_waits_for_it(site: Site) -> None:
    result = site.users("add", "corp", "--email", "Jane@X.example")
    assert result.code == 0
    [waiting] = site.all()
    assert (waiting.issuer, waiting.subject, waiting.email) == (CORP, "", "jane@x.example")
    assert site.arrive("corp", "1", **VERIFIED).id == waiting.id
    user = site.directory.find(CORP, "1")
    assert user is not None
    assert (user.id, user.username) == (waiting.id, "jane")
    # One row, which one person takes.
    assert site.is_refused("corp", "2", preferred_username="joan", **VERIFIED) == "user_unknown"
    assert site.arrive("corp", "1", email="other@x.example").id == waiting.id


@pytest.mark.requirement("R-users-add")
@pytest.mark.parametrize("verified", [None, False, "true", 1, [True]])
def test_an_address_that_does_not_count_takes_no_place(site: Site, verified: object) -> None:
    site.users("add", "corp", "--email", "jane@x.example")
    claims: Any = {"email": "jane@x.example", "email_verified": verified}
    assert site.is_refused("corp", "1", **claims) == "user_unknown"
    assert [user.username for user in site.all()] == [""]


@pytest.mark.requirement("R-users-add")
def test_a_place_waits_at_one_provider_alone(site: Site) -> None:
    site.users("add", "corp", "--email", "jane@x.example")
    assert site.is_refused("default", "1", **VERIFIED) == "user_unknown"
    assert site.is_refused("corp", "1", email="jane@x.example.org", email_verified=True) == "user_unknown"


@pytest.mark.parametrize("verified", ["always", "never"])
@pytest.mark.requirement("R-users-add")
def test_no_place_waits_for_an_address_that_proves_nothing(site: Site, verified: str) -> None:
    site.write(corp=f"email_verified = {verified}\n")
    result = site.users("add", "corp", "--email", "jane@x.example")
    assert result.code == 1
    assert f"email_verified = {verified}" in result.err
    assert site.all() == []


@pytest.mark.requirement("R-users-add")
def test_a_place_is_not_taken_once_every_address_counts(site: Site) -> None:
    site.users("add", "corp", "--email", "jane@x.example")
    site.write(create_users="false", corp="email_verified = always\n")
    assert site.is_refused("corp", "1", **VERIFIED) == "user_unknown"


def test_with_text_the_word_true_counts_as_well(site: Site) -> None:
    site.write(create_users="false", corp="email_verified = text\n")
    site.users("add", "corp", "--email", "jane@x.example")
    assert site.arrive("corp", "1", email="jane@x.example", email_verified="true").username == "jane"


def test_a_disabled_user_who_never_came_stays_out(site: Site) -> None:
    site.users("add", "corp", "--email", "jane@x.example")
    [waiting] = site.all()
    site.users("disable", waiting.id)
    assert site.is_refused("corp", "1", **VERIFIED) == "user_disabled"
    assert site.directory.find(CORP, "1") is None


def test_a_place_gives_nobody_a_name_that_somebody_has(site: Site, jane: User) -> None:
    site.users("add", "corp", "2")
    assert site.is_refused("corp", "2", preferred_username="JANE") == "username_taken"
    assert site.is_refused("corp", "2", preferred_username="j\u0430ne") == "bad_username"
    assert site.arrive("corp", "2", preferred_username="joan").username == "joan"


def test_groups_that_were_given_before_the_first_sign_in_stay(site: Site) -> None:
    site.write(
        create_users="false", corp='attribute_map = {"username": "preferred_username", "groups": "groups"}\n'
    )
    site.users("add", "corp", "4711")
    site.users("add", "corp", "4712")
    site.users("groups", "add", "corp", "4711", "admins")
    assert site.arrive(groups=["staff"]).groups == ("admins",)
    assert site.arrive("corp", "4712", preferred_username="joan", groups=["staff"]).groups == ("staff",)
    assert site.arrive(groups=["staff"]).groups == ("admins",)


@pytest.mark.parametrize(("sync", "expected"), [("always", ("staff",)), ("never", ("admins",))])
def test_group_sync_decides_about_groups_that_were_given(
    site: Site, sync: str, expected: tuple[str, ...]
) -> None:
    mapped = 'attribute_map = {"username": "preferred_username", "groups": "groups"}\n'
    site.write(create_users="false", corp=f"{mapped}group_sync = {sync}\n")
    site.users("add", "corp", "4711")
    site.users("groups", "set", "corp", "4711", "admins")
    assert site.arrive(groups=["staff"]).groups == expected


def test_the_application_hears_of_the_user_at_the_first_sign_in(site: Site) -> None:
    created: list[str] = []
    site.users("add", "corp", "4711")
    hooks = Hooks(user_created=lambda identity: created.append(identity.username))
    site.arrive(hooks=hooks)
    site.arrive(hooks=hooks)
    assert created == ["jane"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["corp", "4711"], "signs in jane"),
        (["corp", "--email", "jane@x.example"], "has the address jane@x.example already"),
        (["corp", "--email", "jane"], "is not an e-mail address"),
        (["--email", "joan@x.example"], "write its NAME, one of default, corp"),
        (["crop", "4711"], "no enabled provider has the NAME or issuer crop"),
        (["https://app.example", "service:x"], "no enabled provider"),
        (["corp", ""], "the subject is empty"),
        (["corp", "x" * 256], "longer than 255"),
    ],
)
def test_who_cannot_be_added_is_told_why(site: Site, words: list[str], said: str) -> None:
    found = attributes("jane", email="jane@x.example")
    site.directory.record_sign_in(
        provider(issuer=CORP), CORP, "4711", found, create=True, now=NOW, proven="jane@x.example"
    )
    result = site.users("add", *words)
    assert result.code == 1
    assert said in result.err
    assert len(site.all()) == 1


def test_adding_twice_says_so(site: Site) -> None:
    for words in (["corp", "1"], ["corp", "--email", "jane@x.example"]):
        assert site.users("add", *words).code == 0
        assert "already" in site.users("add", *words).err
    assert len(site.all()) == 2


def test_with_one_provider_an_address_needs_no_name(site: Site) -> None:
    site.write_ini(secret_keys=text_key(), directory="sqlite:///users.db")
    assert site.users("add", "--email", "jane@x.example").code == 0
    assert site.all()[0].issuer == ISSUER


@pytest.mark.parametrize(
    "words", [[], ["corp"], ["corp", "1", "2"], ["corp", "1", "--email", "a@b.c"], ["corp", "--service", "x"]]
)
def test_an_addition_that_means_nothing_is_a_wrong_command_line(site: Site, words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        site.users("add", *words)
    assert caught.value.code == 2


def test_who_waits_is_shown_and_has_no_token(site: Site) -> None:
    site.users("add", "corp", "--email", "jane@x.example")
    [waiting] = site.all()
    assert f"waits for:      {CORP} jane@x.example" in site.users("show", waiting.id).out
    assert json.loads(site.users("show", waiting.id, "--json").out)["waiting"] is True
    assert waiting.id in site.users("list").out
    assert "has not signed in yet" in site.users("link", waiting.id, "corp", "9").err
    assert "the first sign-in gives the name" in site.users("rename", waiting.id, "jane").err
    site.write(personal_tokens="/dav/")
    made = site.run("tokens", "create", site.ini, "--user", waiting.id, "--name", "x")
    assert "has not signed in yet" in made.err


@pytest.mark.requirement("R-users-add")
def test_an_access_token_is_nobody_before_the_first_sign_in(site: Site) -> None:
    site.users("add", "corp", "4711")
    settings = Settings.from_ini(site.ini)
    admission = Admission(settings, site.directory)
    with pytest.raises(AccessDeniedError) as caught:
        admission.admit_token(settings.providers["corp"], issuer=CORP, subject="4711", claims={}, now=NOW)
    assert caught.value.code == "user_unknown"


# rename


def test_rename_gives_another_name_and_keeps_the_old_one(site: Site, jane: User) -> None:
    result = site.users("rename", "jane", "joan")
    assert result.code == 0
    assert "event=user_changed" in site.log.text
    assert "always_update" in result.out
    user = site.directory.get(jane.id)
    assert user is not None
    assert user.username == "joan"
    earlier = site.directory.find_by_name("jane")
    assert earlier is not None
    assert earlier.id == jane.id
    assert site.users("rename", "corp", "4711", "jane").code == 0


@pytest.mark.parametrize("name", ["bob", "BOB", "b\u043eb", "", " x", "a\tb", "j\u0430ne", "x" * 256])
def test_a_name_that_cannot_be_given_is_refused(site: Site, jane: User, name: str) -> None:
    site.directory.record_sign_in(provider(issuer=CORP), CORP, "2", attributes("bob"), create=True, now=NOW)
    assert site.users("rename", "jane", name).code == 1
    user = site.directory.get(jane.id)
    assert user is not None
    assert user.username == "jane"


# groups and organizations


@pytest.mark.parametrize("kind", ["groups", "organizations"])
def test_groups_and_organizations_are_set_added_and_removed(site: Site, jane: User, kind: str) -> None:
    def now() -> tuple[str, ...]:
        user = site.directory.get(jane.id)
        assert user is not None
        found: tuple[str, ...] = getattr(user, kind)
        return found

    assert site.users(kind, "set", "jane", "b", "a", "a").code == 0
    assert now() == ("a", "b")
    result = site.users(kind, "add", "jane", "c", "a")
    assert "event=user_changed" in site.log.text
    assert "sessions revoke" in result.out
    assert now() == ("a", "b", "c")
    assert site.users(kind, "remove", jane.id, "a", "nobody").code == 0
    assert now() == ("b", "c")
    assert site.users(kind, "add", "corp", "4711", "d").code == 0
    assert now() == ("b", "c", "d")
    assert site.users(kind, "set", "jane").code == 0
    assert now() == ()


@pytest.mark.parametrize("name", ["", " a", "x" * 256, "a\0b"])
def test_a_group_that_cannot_be_kept_is_refused(site: Site, jane: User, name: str) -> None:
    assert site.users("groups", "add", "jane", name).code == 1
    user = site.directory.get(jane.id)
    assert user is not None
    assert user.groups == ("staff",)


def test_a_word_that_is_a_provider_and_a_user_is_not_guessed(site: Site, jane: User) -> None:
    site.directory.record_sign_in(provider(issuer=CORP), CORP, "2", attributes("corp"), create=True, now=NOW)
    result = site.users("groups", "add", "corp", "4711", "admins")
    assert result.code == 1
    assert "is a provider and a name of a user" in result.err


def test_groups_that_the_provider_replaces_are_told(site: Site, jane: User) -> None:
    site.write(corp='attribute_map = {"username": "sub", "groups": "groups"}\ngroup_sync = always\n')
    assert "the next sign-in there replaces these groups" in site.users("groups", "set", "jane", "a").out


# export


def test_export_has_all_that_is_kept_and_no_secret(site: Site, jane: User) -> None:
    site.write(personal_tokens="/dav/")
    tokens = PersonalTokens(site.directory, app="https://app.example")
    paths = Settings.from_ini(site.ini).personal_tokens
    made = tokens.create(
        jane.id, name="phone", paths=tuple(path.text for path in paths), read_only=False, lifetime=3600
    )
    assert made is not None
    site.users("groups", "add", "jane", "admins")
    site.users("link", "jane", "default", "7")
    session = Worker(site.ini, ShiftedClocks()).sign_in(jane.id, "jane", "4711")
    result = site.users("export", "jane")
    assert result.code == 0
    assert "event=user_exported" in site.log.text
    kept = json.loads(result.out)
    assert kept["user"]["email"] == "jane@x.example"
    assert kept["groups"] == ["admins", "staff"]
    assert kept["organizations"] == ["DEFAULT"]
    assert kept["names"] == ["jane"]
    assert [link["subject"] for link in kept["links"]] == ["7"]
    assert [token["name"] for token in kept["tokens"]] == ["phone"]
    assert [each["username"] for each in kept["sessions"]] == ["jane"]
    for secret in (made.text, session, "digest"):
        assert secret not in result.out


@pytest.mark.parametrize("action", ["export", "delete"])
@pytest.mark.parametrize("word", ["john", "j\u043ean"])
def test_nobody_is_met_by_a_name_that_is_not_theirs_now(
    site: Site, jane: User, action: str, word: str
) -> None:
    site.users("rename", "jane", "john")
    site.users("rename", "john", "joan")
    result = site.users(action, word)
    assert (result.code, result.out) == (1, "")
    assert site.directory.get(jane.id) is not None


# delete


@pytest.mark.requirement("R-users-add")
def test_the_name_of_a_deleted_user_is_theirs_alone(site: Site, jane: User) -> None:
    site.write()
    site.users("link", "jane", "default", "7")
    assert site.users("delete", "jane").code == 0
    assert site.all() == []
    for name in ("jane", "JANE", "j\u0430ne"):
        assert site.is_refused("corp", "2", preferred_username=name) in ("username_taken", "bad_username")
    identity = site.arrive("corp", "4711")
    assert (identity.username, identity.id != jane.id) == ("jane", True)
    # By whichever of their sign-ins.
    site.users("delete", "jane")
    assert site.arrive("default", "7").username == "jane"


@pytest.mark.parametrize("words", [("delete", "jane"), ("add", "corp", "7"), ("add", "--service", "backup")])
def test_no_user_is_written_whom_the_release_beside_this_one_would_mistake(
    site: Site, jane: User, words: tuple[str, ...]
) -> None:
    site.write(compatible="0.1")
    answer = site.users(*words)
    assert (answer.code, "take compatible out" in answer.err) == (1, True)
    assert [user.id for user in site.all()] == [jane.id]


def test_nobody_is_renamed_to_the_name_of_a_deleted_user(site: Site, jane: User) -> None:
    site.directory.record_sign_in(provider(issuer=CORP), CORP, "2", attributes("bob"), create=True, now=NOW)
    site.users("delete", "jane")
    assert "a user who was deleted" in site.users("rename", "bob", "jane").err
    assert "belongs" in site.users("add", "--service", "jane").err
    # A refusal leaves the name to its owner.
    site.write()
    assert site.arrive("corp", "2", preferred_username="jane").username == "bob"
    assert site.arrive("corp", "4711").username == "jane"


def test_nothing_of_a_deleted_user_is_left(site: Site, jane: User) -> None:
    site.write(personal_tokens="/dav/")
    site.arrive(name="Jane Doe", email="jane@x.example")
    PersonalTokens(site.directory, app="https://other.example").create(
        jane.id, name="phone", paths=("/dav/",), read_only=False, lifetime=3600
    )
    Worker(site.ini, ShiftedClocks()).sign_in(jane.id, "jane", "4711")
    result = site.users("delete", "jane")
    assert "event=user_deleted user=" in site.log.text
    assert "ended 1 session" in result.out
    with sqlite3.connect(site.folder / "users.db") as rows:
        dump = "\n".join(rows.iterdump())
    # The digits alone may be those of a time.
    for text in ("jane", "'4711'", '"4711"', "Jane", "/dav/"):
        assert text not in dump


def test_the_sessions_of_a_deleted_user_end_on_every_worker(site: Site, jane: User) -> None:
    clock = ShiftedClocks()
    worker, other = Worker(site.ini, clock), Worker(site.ini, clock)
    cookie = worker.sign_in(jane.id, "jane", "4711")
    assert other.lets_in(cookie)
    site.users("delete", "jane")
    clock.ahead += 6
    assert not worker.lets_in(cookie)
    assert not other.lets_in(cookie)


def test_a_session_that_is_being_created_is_not_one_of_a_deleted_user(site: Site, jane: User) -> None:
    site.users("delete", "jane")
    with pytest.raises(AccessDeniedError, match="signed out"):
        # Whatever the provider's clock says.
        Worker(site.ini, ShiftedClocks()).sign_in(jane.id, "jane", "4711", issued_at=int(time.time()) + 600)


def test_deleting_somebody_unknown_says_so(site: Site) -> None:
    assert site.users("delete", "jane").code == 1
