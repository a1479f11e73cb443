"""What the user directory promises on every database. The tests of each database inherit it and bring the ``url``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

import pytest

from oauth2_mw.errors import AccessDeniedError, LoginError, ProviderError, StoreUnavailableError
from oauth2_mw.identity import users
from oauth2_mw.identity.administration import Administration
from oauth2_mw.identity.directory import Directory, Link, User
from oauth2_mw.identity.user_filter import EVERYBODY, UserFilter
from oauth2_mw.identity.users import PAGE
from oauth2_mw.settings.grammar import Secret
from tests.support.settings.people import ISSUER, NOW, attributes, provider
from tests.support.stores.database import Rows, statements

OTHER = "https://other.example"

TABLES = ("users", "usernames", "memberships", "groups", "used_attempts", "revocations", "links")


@pytest.fixture
def directory(url: str) -> Directory:
    directory = Directory(Secret.literal(url))
    assert directory.find(ISSUER, "nobody") is None
    return directory


@pytest.fixture
def rows(url: str, directory: Directory) -> Iterator[Rows]:
    rows = Rows(url)
    yield rows
    rows.close()


@pytest.fixture
def nothing_written(rows: Rows) -> Callable[[], Any]:
    """A block that leaves the database as it was."""

    @contextmanager
    def unchanged() -> Iterator[None]:
        before = rows.everything(TABLES)
        yield
        assert rows.everything(TABLES) == before

    return unchanged


def sign_in(
    directory: Directory,
    subject: str = "1",
    username: str = "jane",
    *,
    issuer: str = ISSUER,
    settings: dict[str, Any] | None = None,
    create: bool = True,
    now: int = NOW,
    proven: str | None = None,
    links: bool = False,
    is_sign_in: bool = True,
    **others: Any,
) -> User:
    return directory.record_sign_in(
        provider(**(settings or {})),
        issuer=issuer,
        subject=subject,
        attributes=attributes(username, **others),
        create=create,
        now=now,
        proven=proven,
        links=links,
        is_sign_in=is_sign_in,
    )


#: A sign-in whose provider has verified the address.
PROVEN: dict[str, Any] = {"email": "jane@corp.example", "proven": "jane@corp.example"}


def refusal(error: type[LoginError], directory: Directory, *arguments: Any, **options: Any) -> LoginError:
    with pytest.raises(error) as caught:
        sign_in(directory, *arguments, **options)
    return caught.value


class DirectoryContract:
    # Who is who

    def test_the_first_sign_in_adds_the_user(self, directory: Directory) -> None:
        user = sign_in(directory, name="Jane", email="j@x.example", phone="1", comment="c", groups=("b", "a"))
        assert user == User(
            id=user.id,
            issuer=ISSUER,
            subject="1",
            username="jane",
            name="Jane",
            email="j@x.example",
            phone="1",
            comment="c",
            groups=("a", "b"),
            organizations=("DEFAULT",),
            disabled=False,
            created=True,
        )

    def test_a_user_is_found_by_issuer_and_subject_and_by_id(self, directory: Directory) -> None:
        user = sign_in(directory, groups=("a",))
        found = directory.find(ISSUER, "1")
        assert found is not None
        assert found == directory.get(user.id)
        assert (found.id, found.groups, found.created) == (user.id, ("a",), False)

    def test_an_unknown_user_is_not_found(self, directory: Directory) -> None:
        assert directory.find(ISSUER, "2") is None
        assert directory.get("no such id") is None

    def test_ids_are_random_and_say_nothing(self, directory: Directory) -> None:
        user = sign_in(directory)
        assert len(user.id) == 22
        assert user.id not in (user.subject, user.username)

    def test_a_later_sign_in_is_the_same_user(self, directory: Directory) -> None:
        first = sign_in(directory)
        second = sign_in(directory, now=NOW + 1)
        assert (second.id, second.created) == (first.id, False)

    @pytest.mark.requirement("3k.5")
    def test_subjects_that_a_collation_would_merge_are_different_users(self, directory: Directory) -> None:
        subjects = [
            "abc",
            "ABC",
            "Abc",
            "abc ",
            " abc",
            "ａｂｃ",
            "caf\u00e9",
            "cafe\u0301",
            "cafe",
            "ss",
            "ß",
            "i",
            "ı",
        ]
        ids = {sign_in(directory, subject, f"user{n}").id for n, subject in enumerate(subjects)}
        assert len(ids) == len(subjects)
        found = [directory.find(ISSUER, subject) for subject in subjects]
        assert [user.subject for user in found if user is not None] == subjects

    @pytest.mark.requirement("3k.1")
    def test_the_same_subject_at_two_issuers_is_two_users(self, directory: Directory) -> None:
        one = sign_in(directory, "1", "jane", issuer="https://a.example")
        other = sign_in(directory, "1", "joan", issuer="https://b.example")
        assert one.id != other.id

    @pytest.mark.requirement("3k.1")
    def test_issuer_and_subject_are_not_run_together(self, directory: Directory) -> None:
        one = sign_in(directory, "/x/1", "jane", issuer="https://op.example")
        other = sign_in(directory, "/1", "joan", issuer="https://op.example/x")
        assert one.id != other.id

    @pytest.mark.requirement("3k.1", "3k.9")
    def test_an_email_address_links_nobody(self, directory: Directory) -> None:
        one = sign_in(directory, "1", "jane", email="jane@x.example")
        other = sign_in(directory, "2", "joan", email="jane@x.example")
        assert one.id != other.id

    @pytest.mark.requirement("3k.7")
    def test_a_user_who_was_deleted_and_comes_back_gets_a_new_id(
        self, directory: Directory, rows: Rows
    ) -> None:
        before = sign_in(directory)
        rows.run("DELETE FROM oauth2_mw_users")
        after = sign_in(directory, username="jane2")
        assert after.created
        assert after.id != before.id

    @pytest.mark.requirement("3l.3")
    def test_a_first_sign_in_that_is_overtaken_by_another_is_the_second_of_that_user(
        self, directory: Directory, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        faster = sign_in(directory, name="Jane", now=NOW)
        look = directory._users.lock
        seen: list[Any] = []

        def too_early(*arguments: Any) -> Any:
            seen.append(None if not seen else look(*arguments))
            return seen[-1]

        monkeypatch.setattr(directory._users, "lock", too_early)
        user = sign_in(directory, name="Jane Doe", now=NOW + 1)
        assert (user.id, user.name, user.created) == (faster.id, "Jane Doe", False)
        assert rows.count("users") == 1

    def test_a_user_who_is_deleted_during_the_sign_in_is_not_signed_in(
        self, directory: Directory, nothing_written: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another sign-in of the same person was faster, and before we saw it the user was gone."""
        monkeypatch.setattr(directory._users, "add", lambda *_: False)
        monkeypatch.setattr(directory._sign_ins._first_sign_ins, "add", lambda *_, **__: False)
        with nothing_written(), pytest.raises(StoreUnavailableError, match="deleted from the directory"):
            sign_in(directory)

    def test_without_create_an_unknown_user_is_refused(
        self, directory: Directory, nothing_written: Callable[[], Any]
    ) -> None:
        with nothing_written():
            assert refusal(AccessDeniedError, directory, create=False).code == "user_unknown"

    def test_without_create_a_known_user_signs_in(self, directory: Directory) -> None:
        user = sign_in(directory)
        assert sign_in(directory, create=False).id == user.id

    @pytest.mark.parametrize("subject", ["", "x" * 256, "a\0b", "a\ud800b"])
    def test_a_subject_that_no_database_takes_is_refused(
        self, directory: Directory, subject: str, nothing_written: Callable[[], Any]
    ) -> None:
        with nothing_written():
            assert refusal(ProviderError, directory, subject).code == "bad_subject"
        assert directory.find(ISSUER, subject) is None

    # What a sign-in changes

    def test_always_update_refreshes_what_the_sign_in_brought(self, directory: Directory) -> None:
        sign_in(directory, name="Jane", email="a@x.example", phone="1", comment="c")
        user = sign_in(directory, "1", "janet", name="Janet", email="b@x.example", phone="2", comment="d")
        assert (user.username, user.name, user.email) == ("janet", "Janet", "b@x.example")
        assert (user.phone, user.comment) == ("2", "d")
        assert user == directory.find(ISSUER, "1")

    def test_an_absent_value_overwrites_nothing(self, directory: Directory) -> None:
        before = sign_in(directory, name="Jane", email="a@x.example", phone="1", comment="c")
        after = sign_in(directory)
        fields = ("name", "email", "phone", "comment")
        assert [getattr(after, field) for field in fields] == [getattr(before, field) for field in fields]

    def test_without_always_update_only_the_first_sign_in_sets_attributes(self, directory: Directory) -> None:
        once = {"always_update": False}
        sign_in(directory, name="Jane", settings=once)
        user = sign_in(directory, "1", "janet", name="Janet", email="b@x.example", settings=once)
        assert (user.username, user.name, user.email) == ("jane", "Jane", None)

    def test_groups_are_set_at_the_first_sign_in_only(self, directory: Directory) -> None:
        sign_in(directory, groups=("staff",))
        assert sign_in(directory, groups=("admin",)).groups == ("staff",)

    @pytest.mark.requirement("3k.10")
    def test_group_sync_always_replaces_the_groups_and_an_absent_claim_empties_them(
        self, directory: Directory
    ) -> None:
        always = {"group_sync": "always", "always_update": False}
        assert sign_in(directory, groups=("staff", "dev"), settings=always).groups == ("dev", "staff")
        assert sign_in(directory, groups=("dev", "ops"), settings=always).groups == ("dev", "ops")
        assert sign_in(directory, groups=(), settings=always).groups == ()

    def test_group_sync_never_sets_none(self, directory: Directory) -> None:
        never = {"group_sync": "never"}
        assert sign_in(directory, groups=("staff",), settings=never).groups == ()
        assert sign_in(directory, groups=("staff",), settings=never).groups == ()

    def test_who_was_added_by_a_token_has_not_signed_in(self, directory: Directory, rows: Rows) -> None:
        once = {"always_update": False}
        added = sign_in(directory, "1", "1", groups=("x",), settings=once, is_sign_in=False)
        assert (added.created, added.has_signed_in) == (True, False)
        again = sign_in(directory, "1", "2", groups=("y",), settings=once, is_sign_in=False)
        assert (again.username, again.groups, again.has_signed_in) == ("1", ("x",), False)
        first = sign_in(directory, "1", "jane", email="a@x.example", groups=("staff",), settings=once)
        assert (first.username, first.email, first.groups) == ("jane", "a@x.example", ("staff",))
        assert (first.id, first.created, first.has_signed_in) == (added.id, False, True)
        assert rows.run("SELECT last_sign_in FROM oauth2_mw_users") == [(NOW,)]
        later = sign_in(directory, "1", "joan", groups=("ops",), settings=once)
        assert (later.username, later.groups) == ("jane", ("staff",))
        always = {"always_update": True, "group_sync": "always"}
        token = sign_in(directory, "1", "joan", groups=("ops",), settings=always, is_sign_in=False)
        assert (token.username, token.groups) == ("jane", ("staff",))

    def test_groups_that_differ_in_case_are_different(self, directory: Directory) -> None:
        assert sign_in(directory, groups=("Staff", "staff", "staff")).groups == ("Staff", "staff")

    def test_a_thousand_groups_are_kept(self, directory: Directory) -> None:
        groups = tuple(f"group-{number:04}" for number in range(1000))
        assert sign_in(directory, groups=groups).groups == groups

    def test_a_new_user_joins_the_organizations_of_the_provider(self, directory: Directory) -> None:
        user = sign_in(directory, settings={"organization": ("Red", "Blue")})
        assert user.organizations == ("Blue", "Red")

    def test_a_known_user_is_not_moved_to_another_organization(self, directory: Directory) -> None:
        sign_in(directory, settings={"organization": ("Red",)})
        assert sign_in(directory, settings={"organization": ("Blue",)}).organizations == ("Red",)

    def test_the_times_of_a_user_are_written_down(self, directory: Directory, rows: Rows) -> None:
        times = "SELECT created_at, updated_at, last_sign_in FROM oauth2_mw_users"
        sign_in(directory)
        assert rows.run(times) == [(NOW, NOW, NOW)]
        sign_in(directory, now=NOW + 5)
        assert rows.run(times) == [(NOW, NOW, NOW + 5)]
        sign_in(directory, name="Jane", now=NOW + 9)
        assert rows.run(times) == [(NOW, NOW + 9, NOW + 9)]

    def test_a_clock_that_was_put_back_undoes_nothing(self, directory: Directory, rows: Rows) -> None:
        sign_in(directory)
        sign_in(directory, name="Jane", now=NOW - 100)
        assert rows.run("SELECT updated_at, last_sign_in FROM oauth2_mw_users") == [(NOW, NOW)]

    def test_times_after_2038_are_kept(self, directory: Directory, rows: Rows) -> None:
        sign_in(directory, now=2**33)
        assert rows.run("SELECT last_sign_in FROM oauth2_mw_users") == [(2**33,)]

    @pytest.mark.parametrize("field", ["name", "email", "phone", "comment"])
    @pytest.mark.parametrize("value", ["a\0b", "a\udc00b"])
    def test_a_value_that_no_database_takes_is_refused(
        self, directory: Directory, field: str, value: str, nothing_written: Callable[[], Any]
    ) -> None:
        with nothing_written():
            assert refusal(ProviderError, directory, **{field: value}).code == "bad_attribute"

    @pytest.mark.parametrize("group", ["", "x" * 256, "a\0b", "a\udc00b"])
    def test_a_group_that_no_database_takes_is_refused(
        self, directory: Directory, group: str, nothing_written: Callable[[], Any]
    ) -> None:
        with nothing_written():
            assert refusal(ProviderError, directory, groups=("staff", group)).code == "bad_attribute"

    def test_text_of_every_kind_is_kept_as_it_is(self, directory: Directory) -> None:
        name = 'O\'Brien; DROP TABLE "users" -- %s :x 測試 😀 \\ \n'
        sign_in(directory, name=name)
        found = directory.find(ISSUER, "1")
        assert found is not None
        assert found.name == name

    # Names

    @pytest.mark.requirement("3k.6", "R-look-alike")
    @pytest.mark.parametrize(
        "wanted", ["jane", "JANE", "Jane", "ｊａｎｅ", "\ua4d9\ua4ee\ua4e0\ua4f0", "j\u0251ne"], ids=ascii
    )
    def test_a_first_sign_in_whose_name_is_taken_is_refused(
        self, directory: Directory, wanted: str, nothing_written: Callable[[], Any]
    ) -> None:
        sign_in(directory, "1", "jane")
        with nothing_written():
            error = refusal(AccessDeniedError, directory, "2", wanted)
        assert error.code == "username_taken"
        assert "belongs to somebody else" in error.message
        assert directory.find(ISSUER, "2") is None

    @pytest.mark.requirement("R-look-alike")
    def test_a_refused_rename_takes_no_name_from_anybody(self, directory: Directory) -> None:
        alike = "\ua4d9\ua4ee\ua4e0\ua4f0"
        sign_in(directory, "1", "jane")
        sign_in(directory, "2", "joan")
        assert sign_in(directory, "2", alike).username == "joan"
        assert sign_in(directory, "1", alike).username == alike

    @pytest.mark.requirement("3k.6")
    def test_a_name_is_taken_for_every_provider(self, directory: Directory) -> None:
        sign_in(directory, "1", "jane", issuer="https://a.example")
        error = refusal(AccessDeniedError, directory, "1", "jane", issuer="https://b.example")
        assert error.code == "username_taken"

    @pytest.mark.requirement("3k.7")
    def test_a_name_given_up_by_a_rename_is_given_to_nobody_else(self, directory: Directory) -> None:
        sign_in(directory, "1", "jane")
        sign_in(directory, "1", "janet")
        assert refusal(AccessDeniedError, directory, "2", "Jane").code == "username_taken"

    @pytest.mark.requirement("3k.7")
    def test_the_name_of_a_deleted_user_is_given_to_nobody_else(
        self, directory: Directory, rows: Rows
    ) -> None:
        sign_in(directory, "1", "jane")
        rows.run("DELETE FROM oauth2_mw_users")
        assert refusal(AccessDeniedError, directory, "2", "jane").code == "username_taken"

    def test_a_rename_back_to_an_own_earlier_name_is_allowed(self, directory: Directory) -> None:
        sign_in(directory, "1", "jane")
        sign_in(directory, "1", "janet")
        assert sign_in(directory, "1", "Jane").username == "Jane"

    def test_a_rename_onto_a_taken_name_keeps_the_old_one_and_the_sign_in_goes_on(
        self, directory: Directory, caplog: pytest.LogCaptureFixture
    ) -> None:
        sign_in(directory, "1", "jane")
        joan = sign_in(directory, "2", "joan")
        with caplog.at_level(logging.INFO, "oauth2_mw.audit"):
            user = sign_in(directory, "2", "JANE", name="Joan")
        assert (user.id, user.username, user.name) == (joan.id, "joan", "Joan")
        [line] = caplog.messages
        assert line.startswith(f"event=rename_refused provider=corp user={joan.id} username=joan wanted=JANE")

    @pytest.mark.requirement("3k.6")
    def test_a_rename_onto_a_name_that_cannot_be_used_keeps_the_old_one(
        self, directory: Directory, caplog: pytest.LogCaptureFixture
    ) -> None:
        sign_in(directory, "1", "jane")
        with caplog.at_level(logging.INFO, "oauth2_mw.audit"):
            assert sign_in(directory, "1", "jane\u200b").username == "jane"
        assert [message.split()[0] for message in caplog.messages] == ["event=rename_refused"]

    @pytest.mark.requirement("3k.6")
    @pytest.mark.parametrize(
        "username", ["", "x" * 256, "jane\u200b", "jane\u202e", "a\0b", "j\nx", " jane", "jаne"]
    )
    def test_a_first_sign_in_with_a_name_that_hides_something_is_refused(
        self, directory: Directory, username: str, nothing_written: Callable[[], Any]
    ) -> None:
        with nothing_written():
            assert refusal(AccessDeniedError, directory, "1", username).code == "bad_username"

    def test_a_name_of_the_greatest_length_is_kept(self, directory: Directory) -> None:
        assert sign_in(directory, "1", "測" * 255).username == "測" * 255

    def test_a_user_is_found_by_every_name_that_was_ever_theirs(self, directory: Directory) -> None:
        sign_in(directory, "1", "jane")
        user = sign_in(directory, "1", "janet")
        found = [directory.find_by_name(name) for name in ("janet", "JANE", "ｊａｎｅ")]
        assert [other and other.id for other in found] == [user.id] * 3
        assert directory.find_by_name("joan") is None

    def test_the_name_of_a_user_who_is_gone_finds_nobody(self, directory: Directory, rows: Rows) -> None:
        sign_in(directory, "1", "jane")
        rows.run("DELETE FROM oauth2_mw_users")
        assert directory.find_by_name("jane") is None

    # Links

    def test_a_linked_sign_in_is_one_of_the_user(self, directory: Directory) -> None:
        jane = sign_in(directory, groups=("staff",))
        assert directory.link(jane.id, OTHER, "77", now=NOW) == directory.get(jane.id)
        again = sign_in(directory, "77", "jane", issuer=OTHER, groups=("admin",))
        assert again == directory.get(jane.id)
        assert (again.issuer, again.subject, again.groups) == (ISSUER, "1", ("staff",))

    def test_a_linked_pair_is_found_as_the_user(self, directory: Directory) -> None:
        jane = sign_in(directory)
        directory.link(jane.id, OTHER, "77", now=NOW)
        assert directory.find(OTHER, "77") == directory.find(ISSUER, "1") == directory.get(jane.id)

    def test_the_links_of_a_user_are_listed(self, directory: Directory) -> None:
        jane = sign_in(directory)
        directory.link(jane.id, OTHER, "77", now=NOW + 1)
        directory.link(jane.id, OTHER, "7", now=NOW)
        assert directory.links(jane.id) == [Link(OTHER, "7", NOW), Link(OTHER, "77", NOW + 1)]
        assert directory.links("somebody else") == []

    @pytest.mark.requirement("R-users-add")
    def test_whoever_is_waited_for_is_found_unless_the_pair_signs_somebody_in(
        self, directory: Directory, rows: Rows
    ) -> None:
        address = "jane@corp.example"
        waiting, _ = Administration(directory).add_address(OTHER, address, organizations=(), now=NOW)
        jane = sign_in(directory)
        directory.link(jane.id, OTHER, "77", now=NOW)
        assert directory.find(OTHER, "1", counted=address) == waiting
        assert directory.find(OTHER, "77", counted=address) == directory.get(jane.id)
        assert directory.find(ISSUER, "2", counted=address) is None
        assert directory.find(OTHER, "1", counted="joan@corp.example") is None
        directory.unlink(OTHER, "77")
        assert directory.find(OTHER, "77", counted=address) == waiting
        directory.link(jane.id, OTHER, "78", now=NOW)
        rows.run("DELETE FROM oauth2_mw_users WHERE id = :id", id=jane.id)
        assert directory.find(OTHER, "78", counted=address) == waiting

    def test_a_linked_sign_in_refreshes_what_always_update_says(self, directory: Directory) -> None:
        jane = sign_in(directory, name="Jane")
        directory.link(jane.id, OTHER, "77", now=NOW)
        once = {"always_update": False}
        kept = sign_in(directory, "77", "jane.doe", issuer=OTHER, name="J. Doe", settings=once)
        assert (kept.username, kept.name) == ("jane", "Jane")
        changed = sign_in(directory, "77", "jane.doe", issuer=OTHER, name="J. Doe")
        assert (changed.username, changed.name) == ("jane.doe", "J. Doe")
        assert directory.find(ISSUER, "1") == changed

    def test_a_linked_sign_in_needs_no_create_users(self, directory: Directory) -> None:
        jane = sign_in(directory)
        directory.link(jane.id, OTHER, "77", now=NOW)
        assert sign_in(directory, "77", "jane", issuer=OTHER, create=False).id == jane.id

    @pytest.mark.requirement("3k.8")
    def test_a_linked_sign_in_of_a_disabled_user_is_refused(self, directory: Directory) -> None:
        jane = sign_in(directory)
        directory.link(jane.id, OTHER, "77", now=NOW)
        directory.set_disabled(jane.id, disabled=True, now=NOW)
        error = refusal(AccessDeniedError, directory, "77", "jane", issuer=OTHER)
        assert error.code == "user_disabled"

    def test_a_pair_that_is_a_user_is_not_linked(
        self, directory: Directory, nothing_written: Callable[[], Any]
    ) -> None:
        jane = sign_in(directory)
        joan = sign_in(directory, "2", "joan")
        with nothing_written():
            assert directory.link(jane.id, ISSUER, "2", now=NOW) == directory.get(joan.id)
            assert directory.link(jane.id, ISSUER, "1", now=NOW) == directory.get(jane.id)

    def test_a_pair_that_is_linked_is_not_linked_to_another(
        self, directory: Directory, nothing_written: Callable[[], Any]
    ) -> None:
        jane = sign_in(directory)
        joan = sign_in(directory, "2", "joan")
        directory.link(jane.id, OTHER, "77", now=NOW)
        with nothing_written():
            assert directory.link(joan.id, OTHER, "77", now=NOW + 1) == directory.get(jane.id)
            assert directory.link(jane.id, OTHER, "77", now=NOW + 1) == directory.get(jane.id)

    def test_nothing_is_linked_to_somebody_unknown(
        self, directory: Directory, nothing_written: Callable[[], Any]
    ) -> None:
        with nothing_written():
            assert directory.link("no such id", OTHER, "77", now=NOW) is None

    @pytest.mark.parametrize("subject", ["", "x" * 256, "a\0b", "a\ud800b"])
    def test_a_pair_that_no_sign_in_could_have_is_not_linked(
        self, directory: Directory, subject: str
    ) -> None:
        jane = sign_in(directory)
        with pytest.raises(ProviderError) as caught:
            directory.link(jane.id, OTHER, subject, now=NOW)
        assert caught.value.code == "bad_subject"

    @pytest.mark.requirement("3k.7")
    def test_a_link_to_a_user_who_was_deleted_makes_nobody_that_user(
        self, directory: Directory, rows: Rows
    ) -> None:
        jane = sign_in(directory)
        joan = sign_in(directory, "2", "joan")
        for subject in ("7", "77"):
            directory.link(jane.id, OTHER, subject, now=NOW)
        rows.run("DELETE FROM oauth2_mw_users WHERE id = :id", id=jane.id)
        assert directory.find(OTHER, "77") is None
        new = sign_in(directory, "77", "janet", issuer=OTHER)
        assert (new.created, new.issuer) == (True, OTHER)
        assert new.id != jane.id
        assert directory.link(joan.id, OTHER, "7", now=NOW) == directory.get(joan.id)
        assert sign_in(directory, "7", "joan", issuer=OTHER).id == joan.id

    @pytest.mark.requirement("3k.7")
    def test_an_unlinked_pair_signs_nobody_else_in(self, directory: Directory) -> None:
        jane = sign_in(directory)
        directory.link(jane.id, OTHER, "77", now=NOW)
        directory.link(jane.id, OTHER, "7", now=NOW)
        assert directory.unlink(OTHER, "77") == jane.id
        assert directory.links(jane.id) == [Link(OTHER, "7", NOW)]
        assert directory.find(OTHER, "77") is None
        new = sign_in(directory, "77", "janet", issuer=OTHER)
        assert (new.created, new.id == jane.id) == (True, False)
        assert sign_in(directory, "7", "jane", issuer=OTHER).id == jane.id

    def test_an_unlinked_pair_can_be_linked_to_another(self, directory: Directory) -> None:
        jane = sign_in(directory)
        joan = sign_in(directory, "2", "joan")
        directory.link(jane.id, OTHER, "77", now=NOW)
        directory.unlink(OTHER, "77")
        assert directory.link(joan.id, OTHER, "77", now=NOW) == directory.get(joan.id)
        assert sign_in(directory, "77", "joan", issuer=OTHER).id == joan.id

    @pytest.mark.parametrize("pair", [(ISSUER, "1"), (OTHER, "78"), (ISSUER, "77")])
    def test_a_pair_that_is_not_linked_is_not_unlinked(
        self, directory: Directory, nothing_written: Callable[[], Any], pair: tuple[str, str]
    ) -> None:
        jane = sign_in(directory)
        directory.link(jane.id, OTHER, "77", now=NOW)
        with nothing_written():
            assert directory.unlink(*pair) is None

    def test_a_link_to_a_user_who_was_deleted_can_be_taken_away(
        self, directory: Directory, rows: Rows
    ) -> None:
        jane = sign_in(directory)
        directory.link(jane.id, OTHER, "77", now=NOW)
        rows.run("DELETE FROM oauth2_mw_users")
        assert directory.unlink(OTHER, "77") == jane.id
        assert rows.count("links") == 0

    @pytest.mark.parametrize("subject", ["", "x" * 256, "a\0b", "a\ud800b"])
    def test_a_pair_that_no_sign_in_could_have_is_not_unlinked(
        self, directory: Directory, subject: str
    ) -> None:
        with pytest.raises(ProviderError) as caught:
            directory.unlink(OTHER, subject)
        assert caught.value.code == "bad_subject"

    # Disabled users

    @pytest.mark.requirement("3k.8")
    def test_a_disabled_user_is_refused(
        self, directory: Directory, nothing_written: Callable[[], Any]
    ) -> None:
        user = sign_in(directory)
        assert directory.set_disabled(user.id, disabled=True, now=NOW)
        with nothing_written():
            assert refusal(AccessDeniedError, directory, name="Jane", now=NOW + 1).code == "user_disabled"

    @pytest.mark.requirement("3k.8")
    def test_a_disabled_user_is_known_as_one_with_the_time(self, directory: Directory) -> None:
        user = sign_in(directory)
        assert directory.disabled_users().read() == frozenset()
        directory.set_disabled(user.id, disabled=True, now=NOW)
        assert directory.disabled_users().read() == {user.id}
        found = directory.find(ISSUER, "1")
        assert found is not None
        assert (found.disabled, found.disabled_since) == (True, NOW)

    @pytest.mark.requirement("3k.8")
    def test_the_disabled_users_are_listed_by_their_ids(self, directory: Directory) -> None:
        users = [sign_in(directory, subject, f"user-{subject}") for subject in ("1", "2", "3")]
        assert directory.disabled_users().read() == frozenset()
        for user in users[:2]:
            directory.set_disabled(user.id, disabled=True, now=NOW)
        assert directory.disabled_users().read() == {user.id for user in users[:2]}
        directory.set_disabled(users[0].id, disabled=False, now=NOW)
        assert directory.disabled_users().read() == {users[1].id}

    def test_whom_release_0_1_disables_or_enables_is_out_or_in(
        self, directory: Directory, rows: Rows
    ) -> None:
        jane, joan = (sign_in(directory, subject, f"user-{subject}") for subject in ("1", "2"))
        directory.set_disabled(joan.id, disabled=True, now=NOW)
        worker = directory.disabled_users(always_whole=True)
        assert worker.read() == {joan.id}
        # Neither is written down among the changes.
        rows.run("UPDATE oauth2_mw_users SET disabled_at = :now WHERE id = :id", now=NOW, id=jane.id)
        rows.run("UPDATE oauth2_mw_users SET disabled_at = NULL WHERE id = :id", id=joan.id)
        assert worker.read() == {jane.id}
        # Nor is it forgotten when workers start without that release beside them.
        assert directory.disabled_users().read() == {jane.id}

    def test_an_enabled_user_signs_in_again(self, directory: Directory) -> None:
        user = sign_in(directory)
        directory.set_disabled(user.id, disabled=True, now=NOW)
        assert directory.set_disabled(user.id, disabled=False, now=NOW)
        assert not sign_in(directory).disabled
        assert directory.disabled_users().read() == frozenset()

    def test_nobody_unknown_can_be_disabled(self, directory: Directory) -> None:
        assert not directory.set_disabled("no such id", disabled=True, now=NOW)

    # Lists

    def test_all_users_are_listed_over_several_pages(self, directory: Directory, rows: Rows) -> None:
        fill(rows, PAGE * 2)
        sign_in(directory, groups=("staff",))
        listed = list(directory.users())
        assert len({user.id for user in listed}) == len(listed) == PAGE * 2 + 1
        assert [user.groups for user in listed if user.username == "jane"] == [("staff",)]

    def test_an_empty_directory_lists_nobody(self, directory: Directory) -> None:
        assert list(directory.users()) == []

    # Failure

    def test_a_failure_in_the_middle_leaves_nothing_behind(self, directory: Directory, rows: Rows) -> None:
        rows.run("ALTER TABLE oauth2_mw_groups RENAME TO elsewhere")
        with pytest.raises(StoreUnavailableError):
            sign_in(directory, groups=("staff",))
        rows.run("ALTER TABLE elsewhere RENAME TO oauth2_mw_groups")
        assert {table: rows.count(table) for table in TABLES} == dict.fromkeys(TABLES, 0)

    def test_the_text_of_a_failure_names_no_person(self, directory: Directory, rows: Rows) -> None:
        rows.run("ALTER TABLE oauth2_mw_groups RENAME TO elsewhere")
        with pytest.raises(StoreUnavailableError) as caught:
            sign_in(directory, "subject-7", "jane-7", email="mail-7", groups=("group-7",))
        for word in ("subject-7", "jane-7", "mail-7", "group-7"):
            assert word not in str(caught.value)
        assert caught.value.__cause__ is None
        rows.run("ALTER TABLE elsewhere RENAME TO oauth2_mw_groups")

    # Links by a verified address

    @pytest.mark.requirement("R-link")
    def test_a_verified_address_links_a_first_sign_in_to_its_one_user(
        self, directory: Directory, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "oauth2_mw.audit")
        jane = sign_in(directory, groups=("staff",), **PROVEN)
        assert directory.find_by_address(OTHER, "jane@corp.example") == directory.get(jane.id)
        again = sign_in(directory, "77", "jane.doe", issuer=OTHER, links=True, create=False, **PROVEN)
        assert (again.id, again.issuer, again.subject, again.groups) == (jane.id, ISSUER, "1", ("staff",))
        assert directory.links(jane.id) == [Link(OTHER, "77", NOW)]
        (line,) = [record.getMessage() for record in caplog.records]
        assert f"event=user_linked provider=corp user={jane.id}" in line
        # From then on it is the user's own, whatever becomes of the address.
        assert sign_in(directory, "77", "jane", issuer=OTHER, links=True).id == jane.id

    @pytest.mark.requirement("R-link")
    def test_nothing_links_without_the_setting(self, directory: Directory) -> None:
        sign_in(directory, **PROVEN)
        assert sign_in(directory, "77", "jane.doe", issuer=OTHER, **PROVEN).created

    @pytest.mark.requirement("R-link")
    @pytest.mark.parametrize("proven", [None, "joan@corp.example"])
    def test_an_address_that_the_new_sign_in_does_not_prove_links_nobody(
        self, directory: Directory, proven: str | None
    ) -> None:
        sign_in(directory, **PROVEN)
        email: dict[str, Any] = {"email": "jane@corp.example", "proven": proven}
        assert sign_in(directory, "77", "joan", issuer=OTHER, links=True, **email).created

    @pytest.mark.requirement("R-link")
    @pytest.mark.parametrize("proven", [None, "joan@corp.example"])
    def test_an_address_that_was_never_proven_of_the_user_links_nobody(
        self, directory: Directory, proven: str | None
    ) -> None:
        """Otherwise a stranger who has written jane's address into an account would become her beforehand."""
        sign_in(directory, email="jane@corp.example", proven=proven)
        assert directory.find_by_address(OTHER, "jane@corp.example") is None
        assert sign_in(directory, "77", "joan", issuer=OTHER, links=True, **PROVEN).created

    @pytest.mark.requirement("R-link")
    def test_an_address_that_changed_without_a_proof_is_no_longer_proven(self, directory: Directory) -> None:
        sign_in(directory, **PROVEN)
        sign_in(directory, email="joan@corp.example")
        assert directory.find_by_address(OTHER, "jane@corp.example") is None
        assert directory.find_by_address(OTHER, "joan@corp.example") is None
        sign_in(directory, email="joan@corp.example", proven="joan@corp.example")
        assert directory.find_by_address(OTHER, "joan@corp.example") is not None
        sign_in(directory)
        assert directory.find_by_address(OTHER, "joan@corp.example") is not None
        sign_in(directory, email="joan@corp.example")
        assert directory.find_by_address(OTHER, "joan@corp.example") is None

    @pytest.mark.requirement("R-link")
    def test_what_always_update_does_not_write_proves_nothing_else(self, directory: Directory) -> None:
        once = {"always_update": False}
        sign_in(directory, email="jane@corp.example", settings=once)
        joan: dict[str, Any] = {"email": "joan@corp.example", "proven": "joan@corp.example"}
        sign_in(directory, settings=once, **joan)
        assert directory.find_by_address(OTHER, "joan@corp.example") is None
        assert directory.find_by_address(OTHER, "jane@corp.example") is None
        sign_in(directory, settings=once, **PROVEN)
        assert directory.find_by_address(OTHER, "jane@corp.example") is not None
        # The provider has given her another address: whoever has that one now is somebody else.
        sign_in(directory, settings=once, **joan)
        assert directory.find_by_address(OTHER, "jane@corp.example") is None

    @pytest.mark.requirement("R-link")
    @pytest.mark.parametrize(
        "second", [PROVEN, {"email": "jane@corp.example"}, {"email": "Jane@CORP.example"}]
    )
    def test_an_address_of_two_users_links_nobody(self, directory: Directory, second: dict[str, Any]) -> None:
        sign_in(directory, **PROVEN)
        sign_in(directory, "2", "joan", **second)
        assert directory.find_by_address(OTHER, "jane@corp.example") is None
        assert sign_in(directory, "77", "eve", issuer=OTHER, links=True, **PROVEN).created

    @pytest.mark.requirement("R-link")
    def test_a_link_that_was_undone_is_not_made_again_by_an_address(self, directory: Directory) -> None:
        jane = sign_in(directory, **PROVEN)
        linked = {"issuer": OTHER, "links": True, **PROVEN}
        assert sign_in(directory, "77", "janet", **linked).id == jane.id
        assert directory.unlink(OTHER, "77") == jane.id
        assert directory.links(jane.id) == []
        assert directory.unlink(OTHER, "77") is None
        assert directory.find_by_address(OTHER, "jane@corp.example", subject="77") is None
        assert sign_in(directory, "77", "eve", **linked).created
        # An administrator who links it again has the last word.
        assert directory.unlink(OTHER, "78") is None
        directory.link(jane.id, OTHER, "78", now=NOW)
        directory.unlink(OTHER, "78")
        directory.link(jane.id, OTHER, "78", now=NOW)
        assert sign_in(directory, "78", "jane", issuer=OTHER).id == jane.id

    @pytest.mark.requirement("R-link")
    def test_two_subjects_of_one_issuer_are_two_people_whatever_their_address(
        self, directory: Directory
    ) -> None:
        """Who comes to the firm after jane is given her address, and not her account."""
        jane = sign_in(directory, **PROVEN)
        assert sign_in(directory, "2", "jane2", links=True, **PROVEN).created
        directory.link(jane.id, OTHER, "77", now=NOW)
        assert sign_in(directory, "78", "jane3", issuer=OTHER, links=True, **PROVEN).created

    @pytest.mark.requirement("R-link")
    def test_a_pair_that_is_linked_counts_as_one_of_its_issuer(self, directory: Directory) -> None:
        jane = sign_in(directory, **PROVEN)
        assert sign_in(directory, "77", "jane", issuer=OTHER, links=True, **PROVEN).id == jane.id
        assert directory.find_by_address(OTHER, "jane@corp.example") is None
        assert directory.find_by_address("https://third.example", "jane@corp.example") is not None

    @pytest.mark.requirement("R-link")
    def test_a_disabled_user_is_not_got_round_by_another_provider(
        self, directory: Directory, nothing_written: Callable[[], Any]
    ) -> None:
        jane = sign_in(directory, **PROVEN)
        directory.set_disabled(jane.id, disabled=True, now=NOW)
        with nothing_written():
            error = refusal(AccessDeniedError, directory, "77", "joan", issuer=OTHER, links=True, **PROVEN)
        assert error.code == "user_disabled"

    def test_a_user_who_was_there_before_addresses_were_proven_is_linked_after_a_sign_in(
        self, directory: Directory, rows: Rows
    ) -> None:
        jane = sign_in(directory, email="Jane@corp.example")
        rows.run("UPDATE oauth2_mw_users SET email_key = lower(email), email_proven_at = NULL")
        assert directory.find_by_address(OTHER, "jane@corp.example") is None
        assert sign_in(directory, **PROVEN).id == jane.id
        assert directory.find_by_address(OTHER, "jane@corp.example") is not None

    def test_an_address_that_an_older_release_has_changed_since_links_nobody(
        self, directory: Directory, rows: Rows
    ) -> None:
        sign_in(directory, **PROVEN)
        rows.run("UPDATE oauth2_mw_users SET email = 'eve@evil.example'")
        assert directory.find_by_address(OTHER, "jane@corp.example") is None

    def test_an_address_of_another_length_than_addresses_have_is_kept_and_links_nobody(
        self, directory: Directory
    ) -> None:
        """PostgreSQL takes no text into an index that is longer than a third of a page."""
        address = f"{token_hex(5000)}@corp.example"
        assert sign_in(directory, email=address, proven=address).email == address
        assert sign_in(directory, email=address, proven=address).email == address
        assert directory.find_by_address(OTHER, address) is None

    # Size

    @pytest.mark.deep
    def test_with_a_hundred_thousand_users_every_look_up_uses_an_index(
        self, directory: Directory, rows: Rows, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = sign_in(directory, groups=("staff",))
        directory.set_disabled(user.id, disabled=True, now=NOW)
        fill(rows, 100_000)
        with statements() as seen:
            directory.find(ISSUER, "1")
            directory.get(user.id)
            directory.find_by_name("jane")
            directory.find_by_address(OTHER, "jane@corp.example")
            directory.link(user.id, OTHER, "77", now=NOW)
            directory.links(user.id)
            directory.unlink(OTHER, "77")
            directory.link(user.id, OTHER, "77", now=NOW)
            directory.set_disabled(user.id, disabled=False, now=NOW)
            sign_in(directory, "1", "Jane", groups=("dev",), settings={"group_sync": "always"})
            sign_in(directory, "77", "jane", issuer=OTHER)
            sign_in(directory, "2", "joan")
            directory.disabled_users().read()
            # A page of 500 is so large a part of 100,000 that PostgreSQL may read all groups for it.
            monkeypatch.setattr(users, "PAGE", 5)
            for matching in (
                EVERYBODY,
                UserFilter(group="staff"),
                UserFilter(organization="DEFAULT", group="staff"),
                UserFilter(organization="DEFAULT"),
                UserFilter(issuers=(ISSUER, OTHER), since=1),
            ):
                next(directory.users(matching, after="i5"), None)
            directory.which({user.id}, UserFilter(issuers=(ISSUER,), organization="DEFAULT", group="staff"))
        plans = rows.plans(seen)
        assert len(plans) >= 12
        # The table of the one key has one row.
        large = {statement: plan for statement, plan in plans.items() if "_name_keys" not in statement}
        assert {statement: plan for statement, plan in large.items() if self.reads_everything(plan)} == {}

    def reads_everything(self, plan: str) -> bool:
        """Whether the plan goes through a whole table."""
        raise NotImplementedError


def fill(rows: Rows, number: int) -> None:
    """Add that many users, and as many rows to every other table of the directory."""
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number}) "  # noqa: S608
    for table, values in (
        (
            "users",
            f"'i' || i, 'k' || i, '{ISSUER}', 's' || i, 'u' || i, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 'm' || i, 0",
        ),
        ("usernames", "'u' || i, 'i' || i"),
        ("memberships", "'i' || i, 'DEFAULT'"),
        ("groups", "'i' || i, 'staff'"),
        ("links", f"'l' || i, 'i' || i, '{ISSUER}', 'l' || i, 0"),
        ("user_changes", "i + 9, 'i' || i, 0, 0"),
        ("deleted_names", "'h' || i, 'h' || i"),
    ):
        rows.run(f"INSERT INTO oauth2_mw_{table} {numbers} SELECT {values} FROM n")  # noqa: S608
    rows.run("ANALYZE")
