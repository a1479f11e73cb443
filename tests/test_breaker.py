"""The breaker: after no answer one tries, and the others are refused at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oauth2_mw.breaker import PAUSE, Breaker, NoAnswerError


def hang(breaker: Breaker) -> None:
    with pytest.raises(TimeoutError), breaker.attempt():
        breaker.open("it hangs")
        raise TimeoutError


def is_refused(breaker: Breaker) -> bool:
    try:
        with breaker.attempt():
            return False
    except NoAnswerError as error:
        assert str(error) == "it hangs"
        return True


@pytest.fixture
def shift(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def by(seconds: float) -> None:
        now[0] += seconds

    return by


def test_while_there_are_answers_everybody_asks() -> None:
    breaker = Breaker()
    with breaker.attempt():
        assert not is_refused(breaker)


def test_after_no_answer_nobody_asks_for_a_while(shift: Callable[[float], None]) -> None:
    breaker = Breaker()
    hang(breaker)
    assert is_refused(breaker)
    shift(PAUSE - 0.01)
    assert is_refused(breaker)
    shift(0.01)
    assert not is_refused(breaker)
    assert not is_refused(breaker)


def test_one_tries_and_the_others_are_refused(shift: Callable[[float], None]) -> None:
    breaker = Breaker()
    hang(breaker)
    shift(PAUSE)
    with breaker.attempt():
        assert is_refused(breaker)
    assert not is_refused(breaker)


def test_a_try_in_vain_is_followed_by_a_pause(shift: Callable[[float], None]) -> None:
    breaker = Breaker()
    hang(breaker)
    shift(PAUSE)
    hang(breaker)
    assert is_refused(breaker)
    shift(PAUSE)
    assert not is_refused(breaker)


def test_an_answer_that_is_an_error_is_an_answer(shift: Callable[[float], None]) -> None:
    breaker = Breaker()
    hang(breaker)
    shift(PAUSE)
    with pytest.raises(ValueError, match="no"), breaker.attempt():
        raise ValueError("no")
    assert not is_refused(breaker)
