"""Who enters, and as whom, where the rules and the directory both have a say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.model import Identity
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
