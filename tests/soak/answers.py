"""Answers as tests of the checker hand them to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.soak.checker import Checker
from tests.soak.model import Answer, Session
from tests.soak.schedule import Kind

PAGE = Answer(who="ann", what="page", host="gthread", worker="gthread", began=100.0, ended=100.1, status=200)


def page(began: float, status: int = 200, **fields: Any) -> Answer:
    """A page that came at once; *fields* are other ones of its."""
    return replace(PAGE, **{"began": began, "ended": began + 0.1, "status": status, **fields})


def signed_in(checker: Checker, *, at: float = 90.0, refreshes: bool = False, who: str = "ann") -> Session:
    """Let somebody sign in."""
    answer = page(at, what="sign-in", host="", who=who, user=who)
    checker.judge(answer)
    return checker.signed_in(answer, refreshes=refreshes)


def wrong(checker: Checker) -> list[str]:
    """What the checker has found."""
    return [violation.what for violation in checker.violations]


def suffered(checker: Checker, kind: Kind, *, host: str | None = None, began: float, ended: float) -> None:
    """Let something go wrong and be mended, with everybody served again at once."""
    fault = checker.fault_begins(kind, host, began)
    checker.fault_ends(fault, ended)
    checker.recovered(fault, ended)


def signed_out(checker: Checker, session: Session, at: float, status: int = 303, note: str = "") -> None:
    """Let somebody sign out, and be answered that."""
    checker.signing_out(session, at)
    checker.judge(page(at, status, what="sign-out", session=session, note=note, who=session.owner))
