"""What is made in one step is what the constructor makes."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from oauth2_mw.identity.model import Identity
from oauth2_mw.session.assembly import assembler
from oauth2_mw.session.model import Session

JANE = Identity("u1", "corp", "https://id.example", "42", "jane", groups=("staff",))
SESSION = Session("s1", JANE, {}, 1000, 2000, 1100, 80)


def assembled(made: Any) -> Any:
    """The same, made in one step."""
    return assembler(type(made))(*(getattr(made, each.name) for each in fields(made)))


@pytest.mark.parametrize("made", [JANE, SESSION], ids=["identity", "session"])
def test_what_is_made_in_one_step_is_what_the_constructor_makes(made: Any) -> None:
    other = assembled(made)
    assert type(other) is type(made)
    assert other == made
    assert repr(other) == repr(made)
    assert replace(other) == copy.copy(other) == made


def test_what_is_made_in_one_step_is_hashed_and_kept_as_any_other() -> None:
    jane = replace(JANE, claims=())  # type: ignore[arg-type]  # what can be hashed, and pickled
    other = assembled(jane)
    assert hash(other) == hash(jane)
    assert pickle.loads(pickle.dumps(other)) == jane  # noqa: S301 (our own)


@pytest.mark.parametrize("made", [JANE, SESSION], ids=["identity", "session"])
def test_what_is_made_in_one_step_is_frozen(made: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        assembled(made).id = "u2"
    with pytest.raises(FrozenInstanceError):
        del assembled(made).id


def test_a_value_for_each_field_is_wanted() -> None:
    with pytest.raises(TypeError):
        assembler(Identity)("u1")
