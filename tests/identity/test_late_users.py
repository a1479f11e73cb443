"""A token whose user is added while it is judged."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.directory import Directory
from tests.identity.test_arrivals import arrive, directory, settings
from tests.support.settings.people import ISSUER, NOW

__all__ = ["directory"]


def test_a_token_changes_nothing_of_whom_a_sign_in_has_just_added(
    directory: Directory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = settings(group_sync="always")
    arrive(found, directory, groups=["staff"])
    find, asked = directory.find, list[str]()

    def not_yet(issuer: str, subject: str, *, counted: str | None = None) -> Any:
        asked.append(subject)
        return None if len(asked) == 1 else find(issuer, subject, counted=counted)

    monkeypatch.setattr(directory, "find", not_yet)
    claims = {"sub": "1", "preferred_username": "other", "groups": ["admins"]}
    identity = Admission(found, directory).admit_token(
        found.providers["default"], issuer=ISSUER, subject="1", claims=claims, now=NOW
    )
    assert (identity.username, identity.groups) == ("jane", ("staff",))
