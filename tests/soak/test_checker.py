"""What the soak would notice: each kind of wrong answer is handed to the checker, and what is right beside it."""

from __future__ import annotations

import pytest

from tests.soak.answers import page, signed_in, signed_out, suffered, wrong
from tests.soak.checker import LAST, Checker
from tests.soak.model import Session
from tests.soak.promises import AFTERMATH, BROKEN, LEFT, NOT_TOLD, PUBLIC_WAIT, REACHED, RESTART, TOLD, WAIT
from tests.soak.schedule import Kind, StoreName


@pytest.fixture
def checker() -> Checker:
    return Checker("redis")


@pytest.fixture
def ann(checker: Checker) -> Session:
    return signed_in(checker)


# Names


def test_the_own_name_is_right(checker: Checker, ann: Session) -> None:
    checker.judge(page(100, user="ann", session=ann))
    assert wrong(checker) == []


def test_another_name_is_noticed_with_what_came_before(checker: Checker, ann: Session) -> None:
    for moment in range(100, 150):
        checker.judge(page(moment, user="ann", session=ann))
    checker.judge(page(150, user="bob", session=ann))
    [violation] = checker.violations
    assert violation.what == "ann was let in as bob"
    assert len(violation.history) == LAST
    assert "150.00" in violation.history[-1]
    assert "bob" in violation.history[-1]
    assert checker.rows["none"].let_in == 1


def test_a_sign_in_as_somebody_else_is_noticed(checker: Checker) -> None:
    checker.judge(page(100, what="sign-in", user="bob"))
    assert wrong(checker) == ["ann was signed in as bob"]


def test_a_stranger_who_is_let_in_is_noticed(checker: Checker) -> None:
    checker.judge(page(100, 303, what="stranger", who="forger"))
    assert wrong(checker) == []
    checker.judge(page(101, what="stranger", who="forger", user="ann"))
    assert wrong(checker) == ["somebody without a session was let in as ann"]


# In after being out


@pytest.mark.parametrize("store", ["redis", "directory", "postgresql"])
def test_a_copy_that_serves_after_a_sure_sign_out_is_noticed(store: StoreName) -> None:
    checker = Checker(store)
    session = signed_in(checker)
    signed_out(checker, session, 100)
    # Another worker has read it a moment before.
    checker.judge(page(100.5, user="ann", session=session, who="thief"))
    checker.judge(page(102, 303, session=session, who="thief"))
    assert wrong(checker) == []
    checker.judge(page(101 + REACHED, user="ann", session=session, who="thief"))
    assert len(wrong(checker)) == 1
    assert wrong(checker)[0].startswith("let in by a session that was over")


def test_a_fault_of_the_store_excuses_no_copy_of_a_stored_session(checker: Checker, ann: Session) -> None:
    signed_out(checker, ann, 100)
    suffered(checker, "store stopped", began=120, ended=125)
    checker.judge(page(122, user="ann", session=ann, who="thief"))
    assert len(wrong(checker)) == 1


def test_a_directory_that_is_away_excuses_a_copy_until_it_is_back_and_is_read_again() -> None:
    checker = Checker("directory")
    session = signed_in(checker)
    signed_out(checker, session, 100)
    suffered(checker, "store stopped", began=120, ended=125)
    checker.judge(page(122, user="ann", session=session, who="thief"))
    assert wrong(checker) == []
    assert checker.rows["store stopped"].let_in_documented == 1
    checker.judge(page(126 + TOLD, user="ann", session=session, who="thief"))
    assert len(wrong(checker)) == 1


def test_a_directory_that_can_be_read_excuses_nothing() -> None:
    checker = Checker("directory")
    session = signed_in(checker)
    signed_out(checker, session, 100)
    suffered(checker, "store full", began=120, ended=125)
    checker.judge(page(122, user="ann", session=session, who="thief"))
    assert len(wrong(checker)) == 1


def test_a_sign_out_that_could_not_be_told_counts_once_the_directory_is_back() -> None:
    checker = Checker("directory")
    session = signed_in(checker)
    fault = checker.fault_begins("store killed", None, 98)
    signed_out(checker, session, 100, 200, " ... ".join(NOT_TOLD))
    checker.judge(page(101, user="ann", session=session, who="thief"))
    checker.fault_ends(fault, 103)
    checker.recovered(fault, 103)
    checker.judge(page(104, user="ann", session=session, who="thief"))
    assert wrong(checker) == []
    checker.judge(page(104 + TOLD, user="ann", session=session, who="thief"))
    assert len(wrong(checker)) == 1


def test_a_sign_out_that_is_not_told_though_nothing_is_wrong_is_noticed() -> None:
    checker = Checker("directory")
    signed_out(checker, signed_in(checker), 100, 200, " ".join(NOT_TOLD))
    assert wrong(checker) == ["a sign-out was not told to others, without a cause"]


def test_a_page_that_keeps_silent_about_copies_is_noticed() -> None:
    checker = Checker("directory")
    checker.fault_begins("store killed", None, 98)
    signed_out(checker, signed_in(checker), 100, 200, "You are signed out")
    assert wrong(checker) == ["a sign-out was answered 200"]


def test_cookies_alone_tell_nobody_and_that_is_counted() -> None:
    checker = Checker("cookies")
    session = signed_in(checker)
    signed_out(checker, session, 100)
    checker.judge(page(120, user="ann", session=session, who="thief"))
    assert wrong(checker) == []
    assert checker.rows["none"].let_in_documented == 1


def test_a_sign_out_that_was_refused_ends_nothing_for_sure(checker: Checker, ann: Session) -> None:
    checker.fault_begins("store stopped", None, 98)
    signed_out(checker, ann, 100, 503, "")
    checker.judge(page(110, user="ann", session=ann))
    checker.judge(page(111, 303, session=ann))
    assert wrong(checker) == ["503 without Retry-After"]


def test_who_is_in_after_everybody_was_revoked_is_noticed(checker: Checker, ann: Session) -> None:
    checker.revoking_everybody(100)
    checker.judge(page(100.5, 303, session=ann))
    checker.revoked_everybody(101)
    late = signed_in(checker, at=103, who="bob")
    assert wrong(checker) == []
    checker.judge(page(102 + REACHED, user="bob", session=late, who="bob"))
    assert wrong(checker) == []
    checker.judge(page(102 + REACHED, user="ann", session=ann))
    assert len(wrong(checker)) == 1
    # And whoever came afterwards may not be lost.
    checker.judge(page(103 + REACHED, 303, session=late, who="bob"))
    assert len(wrong(checker)) == 2


def test_who_is_disabled_and_in_is_noticed(checker: Checker, ann: Session) -> None:
    checker.disabling("ann", 100)
    checker.judge(page(100.5, 403, what="sign-in"))
    # Who is kept out is told so, and nothing else.
    checker.judge(page(100.6, 500, what="sign-in", who="ann"))
    assert wrong(checker) == ["an answer of 500"]
    checker.disabled("ann", 101)
    checker.judge(page(101.5, user="ann", session=ann))
    assert len(wrong(checker)) == 1
    checker.judge(page(102 + REACHED, user="ann", session=ann))
    signed_in(checker, at=102 + REACHED)
    assert wrong(checker)[2:] == ["ann signed in though disabled"]
    checker.enabling("ann", 120)
    checker.enabled("ann", 121)
    again = signed_in(checker, at=122 + REACHED)
    checker.judge(page(123 + REACHED, user="ann", session=again))
    assert len(wrong(checker)) == 3
    checker.judge(page(124 + REACHED, 403, what="sign-in"))
    checker.judge(page(125 + REACHED, 303, session=again))
    assert wrong(checker)[3:] == ["an answer of 403", "ann is signed in and was asked to sign in"]


def test_a_sign_in_that_says_no_to_somebody_who_may_is_noticed(checker: Checker) -> None:
    checker.judge(page(100, 403, what="sign-in"))
    assert wrong(checker) == ["an answer of 403"]


# Out though nobody signed out


@pytest.mark.parametrize("status", [302, 303, 401])
def test_a_person_who_is_lost_is_noticed_once(checker: Checker, ann: Session, status: int) -> None:
    checker.judge(page(100, status, session=ann))
    checker.judge(page(101, status, session=ann))
    assert wrong(checker) == ["ann is signed in and was asked to sign in"]
    assert checker.rows["none"].lost == 1


@pytest.mark.parametrize(
    "kind", ["store killed", "host reloaded", "keys rotated", "clock stepped", "store full"]
)
def test_no_such_fault_excuses_a_loss(checker: Checker, kind: Kind) -> None:
    session = signed_in(checker, refreshes=True)
    checker.fault_begins(kind, None, 99)
    checker.judge(page(100, 303, session=session))
    assert len(wrong(checker)) == 1


@pytest.mark.parametrize(
    ("kept", "broke_at", "lost"),
    [("refresh", 98.9, 0), ("id", 98.9, 1), ("refresh", None, 1), ("refresh", 98.9 - BROKEN, 1)],
)
def test_a_killed_worker_may_take_a_refresh_token_along_that_it_was_using(
    checker: Checker, kept: str, broke_at: float | None, lost: int
) -> None:
    session = signed_in(checker, refreshes=kept == "refresh", at=10)
    if broke_at is not None:
        suffered(checker, "worker killed", host="gthread", began=broke_at, ended=broke_at)
        checker.judge(page(broke_at, 0, session=session))
    suffered(checker, "host killed", host="sync", began=99, ended=103)
    checker.judge(page(100, 303, session=session))
    row = checker.rows["host killed"]
    assert (len(wrong(checker)), row.lost, row.lost_documented) == (lost, lost, 1 - lost)


@pytest.mark.parametrize(
    ("store", "began", "asked", "lost"),
    [
        ("sentinel", 101, 102, 0),
        ("sentinel", 98, 102, 1),
        ("sentinel", 101, 105 + LEFT, 1),
        ("redis", 101, 102, 1),
    ],
)
def test_a_worker_at_the_old_master_does_not_know_who_came_since(
    store: StoreName, began: float, asked: float, lost: int
) -> None:
    checker = Checker(store)
    session = signed_in(checker, at=began)
    suffered(checker, "store killed", began=100, ended=104)
    checker.judge(page(asked, 303, session=session))
    assert len(wrong(checker)) == lost


def test_a_tab_may_be_asked_to_sign_in_as_soon_as_another_one_signs_out(
    checker: Checker, ann: Session
) -> None:
    checker.signing_out(ann, 100)
    checker.judge(page(99.95, 303, session=ann))
    assert wrong(checker) == []


# Refused, broken, failed


@pytest.mark.parametrize("status", [200, 400, 404, 500, 502, 504])
def test_an_answer_that_nobody_foresaw_is_noticed(checker: Checker, ann: Session, status: int) -> None:
    checker.fault_begins("store stopped", None, 99)
    checker.judge(page(100, status, session=ann))
    assert wrong(checker) == [f"an answer of {status}"]


def test_a_refusal_has_a_cause_and_says_when_to_come_again(checker: Checker, ann: Session) -> None:
    suffered(checker, "store stopped", began=99, ended=104)
    checker.judge(page(100, 503, session=ann, retry_after="5"))
    checker.judge(page(104 + AFTERMATH - 1, 503, session=ann, retry_after="5"))
    assert wrong(checker) == []
    checker.judge(page(100, 503, session=ann))
    checker.judge(page(105 + AFTERMATH, 503, session=ann, retry_after="5"))
    assert wrong(checker) == ["503 without Retry-After", "refused without a cause"]


@pytest.mark.parametrize("kind", ["keys rotated", "clock stepped", "everybody revoked", "person disabled"])
def test_faults_that_nobody_notices_excuse_no_refusal(checker: Checker, ann: Session, kind: Kind) -> None:
    checker.fault_begins(kind, None, 99)
    checker.judge(page(100, 503, session=ann, retry_after="5"))
    assert wrong(checker) == ["refused without a cause"]


@pytest.mark.parametrize("kind", ["store killed", "store cut", "keys rotated"])
def test_only_a_worker_that_ends_breaks_connections(checker: Checker, ann: Session, kind: Kind) -> None:
    checker.fault_begins(kind, None, 99)
    checker.judge(page(100, 0, session=ann))
    assert wrong(checker) == ["a connection broke"]


@pytest.mark.parametrize("kind", ["worker killed", "host killed", "host reloaded"])
def test_a_worker_that_ends_may_break_connections(checker: Checker, ann: Session, kind: Kind) -> None:
    checker.fault_begins(kind, "gthread", 99)
    checker.judge(page(100, 0, session=ann))
    assert wrong(checker) == []


def test_a_public_path_is_open_whatever_happens_to_the_store(checker: Checker) -> None:
    checker.fault_begins("store stopped", None, 99)
    checker.judge(page(100, what="public"))
    assert wrong(checker) == []
    checker.judge(page(101, 503, what="public", retry_after="5"))
    checker.judge(page(102, 303, what="public"))
    checker.judge(page(103, what="public", user="ann"))
    assert wrong(checker) == [
        "a public path was refused",
        "a public path was answered 303",
        "somebody without a session was let in as ann",
    ]


# Waits


def test_who_waits_too_long_is_noticed(checker: Checker, ann: Session) -> None:
    checker.judge(page(100, user="ann", session=ann, ended=99 + WAIT))
    assert wrong(checker) == []
    checker.judge(page(100, user="ann", session=ann, ended=101 + WAIT))
    assert len(wrong(checker)) == 1


def test_a_public_path_that_waits_is_noticed_where_another_thread_is_free(checker: Checker) -> None:
    checker.fault_begins("store stopped", None, 99)
    late = 101 + PUBLIC_WAIT
    checker.judge(page(100, what="public", worker="sync", ended=late))
    assert wrong(checker) == []
    checker.judge(page(100, what="public", worker="gevent", ended=late))
    assert len(wrong(checker)) == 1


def test_who_asks_a_host_that_was_killed_waits_until_it_is_back_and_nobody_else_does(
    checker: Checker, ann: Session
) -> None:
    suffered(checker, "host killed", host="gthread", began=99, ended=120)
    checker.judge(page(100, user="ann", session=ann, ended=99 + RESTART))
    assert wrong(checker) == []
    checker.judge(page(100, user="ann", session=ann, ended=99 + RESTART, host="sync"))
    assert len(wrong(checker)) == 1
