"""What personal tokens promise on every database. The tests of each database inherit it and bring the ``url``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oauth2_mw.credentials.personal_tokens import MAX_TOKENS, PersonalTokens
from oauth2_mw.credentials.token_text import TokenText
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.last_sign_ins import LastSignIn
from oauth2_mw.identity.model import User, freeze
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql.personal_tokens import LISTED_FOR, NOTED_EVERY
from oauth2_mw.sql.purge import PURGE_EVERY
from tests.support.clock import Clock
from tests.support.settings.people import ISSUER, NOW, attributes, provider
from tests.support.stores.database import Rows

APP = "https://app.example"
LEFT = LastSignIn(
    APP, "corp", ISSUER, "1", freeze({"email": "jane@corp.example", "a": {"b": [1, None]}}), NOW
)
DAY = 86400


class Parts:
    """The directory of a test, the tokens in it, and the time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock(NOW)
        self.directory = Directory(Secret.literal(url))
        self.tokens = PersonalTokens(self.directory, app=APP, clock=self.clock)
        self.jane = self.sign_in().id

    def sign_in(self, subject: str = "1", username: str = "jane", left: LastSignIn | None = LEFT) -> User:
        return self.directory.record_sign_in(
            provider(), ISSUER, subject, attributes(username), create=True, now=int(self.clock.now), left=left
        )

    def try_to_make(self) -> TokenText | None:
        return self.tokens.create(self.jane, name="x", paths=("/",), read_only=False, lifetime=DAY)

    def make(self, user_id: str | None = None, *, name: str = "phone", lifetime: int = DAY) -> TokenText:
        made = self.tokens.create(
            user_id or self.jane, name=name, paths=("/dav/", "/feed"), read_only=True, lifetime=lifetime
        )
        assert made is not None
        return made


@pytest.fixture
def parts(url: str) -> Parts:
    return Parts(url)


class PersonalTokenContract:
    def test_a_token_leads_to_its_owner_and_what_their_last_sign_in_left(self, parts: Parts) -> None:
        made = parts.make()
        found = parts.tokens.look_up(made)
        assert found is not None
        assert found.owner is not None
        assert (found.owner.id, found.owner.username) == (parts.jane, "jane")
        assert found.last_sign_in == LEFT
        token = found.token
        assert (token.id, token.name, token.paths, token.read_only) == (
            made.id,
            "phone",
            ("/dav/", "/feed"),
            True,
        )
        assert (token.created_at, token.expires_at, token.used_at) == (NOW, NOW + DAY, None)

    def test_a_later_sign_in_leaves_its_own(self, parts: Parts) -> None:
        made = parts.make()
        later = replace(LEFT, claims=freeze({"email": "\x00\ud800"}), seen_at=NOW + 5)
        parts.sign_in(left=later)
        found = parts.tokens.look_up(made)
        assert found is not None
        assert found.last_sign_in == later

    @pytest.mark.parametrize("claims", ["", "{", "[]", "1"])
    def test_what_this_package_has_not_written_counts_for_nothing(self, parts: Parts, claims: str) -> None:
        made = parts.make()
        assert parts.tokens.owner_seen_at(parts.jane) == NOW
        rows = Rows(parts.url)
        rows.run("UPDATE oauth2_mw_last_sign_ins SET claims = :claims", claims=claims)
        rows.close()
        found = parts.tokens.look_up(made)
        assert found is not None
        assert found.last_sign_in is None
        assert parts.tokens.owner_seen_at(parts.jane) is None

    def test_a_user_may_be_seen_again_without_anything_new(self, parts: Parts) -> None:
        made = parts.make()
        parts.directory.note_seen(APP, parts.jane, now=NOW + 7)
        parts.directory.note_seen("https://other.example", parts.jane, now=NOW + 9)
        found = parts.tokens.look_up(made)
        assert found is not None
        assert found.last_sign_in == replace(LEFT, seen_at=NOW + 7)

    def test_another_application_of_the_directory_has_sign_ins_and_tokens_of_its_own(
        self, parts: Parts
    ) -> None:
        made = parts.make()
        parts.sign_in(left=replace(LEFT, app="https://other.example", seen_at=NOW + 9))
        found = parts.tokens.look_up(made)
        assert found is not None
        assert found.last_sign_in == LEFT
        other = PersonalTokens(parts.directory, app="https://other.example", clock=parts.clock)
        assert other.look_up(made) is None
        assert other.all() == []
        assert other.of_user(parts.jane) == []
        assert other.end(made.id) is None
        assert not other.note_use(made.id)

    def test_what_no_sign_in_has_left_is_not_there(self, parts: Parts) -> None:
        joe = parts.sign_in("2", "joe", left=None)
        found = parts.tokens.look_up(parts.make(joe.id))
        assert found is not None
        assert found.last_sign_in is None

    def test_a_token_with_another_secret_is_none(self, parts: Parts) -> None:
        made = parts.make()
        other = TokenText.make()
        assert parts.tokens.look_up(other) is None
        assert parts.tokens.look_up(replace(other, id=made.id)) is None

    def test_the_database_does_not_hold_the_token(self, parts: Parts) -> None:
        made = parts.make()
        rows = Rows(parts.url)
        held = repr(rows.everything(["personal_tokens"]))
        rows.close()
        assert made.id in held
        assert made.digest in held
        assert made.text[23:55] not in held
        assert made.text not in repr(made)

    def test_tokens_are_listed_the_newest_first(self, parts: Parts) -> None:
        first = parts.make(name="first")
        parts.clock.now += 1
        second = parts.make(name="second")
        joe = parts.sign_in("2", "joe")
        parts.clock.now += 1
        third = parts.make(joe.id, name="third")
        assert [token.id for token in parts.tokens.of_user(parts.jane)] == [second.id, first.id]
        assert [owned.token.id for owned in parts.tokens.all()] == [third.id, second.id, first.id]

    def test_a_use_is_noted_once_a_minute(self, parts: Parts) -> None:
        made = parts.make()
        assert parts.tokens.note_use(made.id)
        parts.clock.now += NOTED_EVERY - 1
        assert not parts.tokens.note_use(made.id)
        parts.clock.now += 1
        assert parts.tokens.note_use(made.id)
        (token,) = parts.tokens.of_user(parts.jane)
        assert token.used_at == NOW + NOTED_EVERY
        assert not parts.tokens.note_use("another")

    def test_a_token_is_ended_by_its_owner_or_an_operator_alone(self, parts: Parts) -> None:
        made = parts.make()
        joe = parts.sign_in("2", "joe")
        assert parts.tokens.end(made.id, user_id=joe.id) is None
        assert parts.tokens.look_up(made) is not None
        ended = parts.tokens.end(made.id, user_id=parts.jane)
        assert ended is not None
        assert ended.name == "phone"
        assert parts.tokens.look_up(made) is None
        assert parts.tokens.end(made.id) is None
        assert parts.tokens.end(parts.make().id) is not None

    def test_all_tokens_of_a_user_end_in_every_application(self, parts: Parts) -> None:
        other = PersonalTokens(parts.directory, app="https://other.example", clock=parts.clock)
        there = other.create(parts.jane, name="x", paths=("/",), read_only=False, lifetime=DAY)
        assert there is not None
        joe = parts.sign_in("2", "joe")
        his, hers = parts.make(joe.id), parts.make()
        assert parts.tokens.end_all_of(parts.jane) == 2
        assert other.look_up(there) is None
        assert parts.tokens.look_up(hers) is None
        assert parts.tokens.look_up(his) is not None

    def test_nobody_has_more_tokens_than_anyone_needs(self, parts: Parts) -> None:
        for _ in range(MAX_TOKENS):
            parts.make()
        assert parts.try_to_make() is None
        parts.clock.now += DAY
        # Those have run out.
        assert parts.try_to_make() is not None

    def test_what_ran_out_long_ago_is_removed_by_those_who_make_others(self, parts: Parts) -> None:
        parts.make(name="old")
        parts.clock.now += DAY + LISTED_FOR
        assert [owned.token.name for owned in parts.tokens.all()] == ["old"]
        parts.clock.now += 1
        for _ in range(PURGE_EVERY):
            parts.tokens.end(parts.make(name="new").id)
        assert parts.tokens.all() == []
