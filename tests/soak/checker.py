"""What each answer may be, given what became of the session that asked and which faults there were."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tests.soak.excuses import is_unheard, is_unread
from tests.soak.model import Answer, Disabled, Fault, Row, Session, Violation
from tests.soak.promises import (
    AFTERMATH,
    BROKEN,
    NOT_TOLD,
    OF_STORE,
    OF_WORKERS,
    PUBLIC_WAIT,
    REACHED,
    RESTART,
    SIGN_IN_WAIT,
    SYNC,
    TOLD,
    UNNOTICED,
    WAIT,
)
from tests.soak.schedule import Kind, StoreName

#: How many answers of a person are told when something is wrong.
LAST = 25


@dataclass
class _State:
    faults: list[Fault] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    cut_offs: list[tuple[float, float]] = field(default_factory=list)
    disabled: dict[str, Disabled] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    histories: dict[str, deque[str]] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)


class Checker:
    """Judges answers, from any thread.

    :param store: where sessions live.
    """

    def __init__(self, store: StoreName) -> None:
        self._store = store
        self._state = _State()
        self._lock = threading.RLock()

    # What happens

    def fault_begins(self, kind: Kind, host: str | None, now: float) -> Fault:
        """Note that something begins to go wrong."""
        with self._lock:
            fault = Fault(kind, host, now)
            self._state.faults.append(fault)
            self._row(kind).times += 1
            return fault

    def fault_ends(self, fault: Fault, now: float) -> None:
        """Note that it is undone."""
        with self._lock:
            fault.ended = now
            if fault.kind in OF_STORE:
                for session in self._state.sessions:
                    if session.untold and session.out is None:
                        session.out = now + TOLD

    def recovered(self, fault: Fault, now: float) -> None:
        """Note that everybody is served again."""
        with self._lock:
            assert fault.ended is not None
            fault.recovery = now - fault.ended
            row = self._row(fault.kind)
            row.recovery = max(row.recovery, fault.recovery)

    def signed_in(self, answer: Answer, *, refreshes: bool) -> Session:
        """Note a sign-in that was answered with its owner's page."""
        with self._lock:
            session = Session(answer.who, answer.ended, refreshes)
            for began, ended in self._state.cut_offs:
                if answer.began <= ended + SYNC and answer.ended >= began:
                    session.may_end = answer.ended
            disabled = self._state.disabled.get(answer.who)
            if disabled is not None and disabled.may_keep_out(answer.began):
                session.may_end = answer.ended
                if disabled.keeps_out(answer.began, answer.ended):
                    self._violate(f"{answer.who} signed in though disabled", answer)
            self._state.sessions.append(session)
            return session

    def signing_out(self, session: Session, now: float) -> None:
        """Note that a sign-out is about to be sent: from here on the session may be out."""
        with self._lock:
            session.may_end = now if session.may_end is None else min(session.may_end, now)
            session.asked = now

    def revoking_everybody(self, now: float) -> None:
        """Note that a command is about to end every session that has begun before it."""
        with self._lock:
            for session in self._state.sessions:
                session.may_end = now if session.may_end is None else min(session.may_end, now)
            # Until it is known when it ends.
            self._state.cut_offs.append((now, float("inf")))

    def revoked_everybody(self, now: float) -> None:
        """Note that the command has been done."""
        with self._lock:
            began, _ = self._state.cut_offs.pop()
            self._state.cut_offs.append((began, now))
            for session in self._state.sessions:
                if session.began < began - SYNC:
                    session.asked = session.asked or began
                    session.out = session.out or now + REACHED

    def disabling(self, who: str, now: float) -> None:
        """Note that somebody is about to be disabled."""
        with self._lock:
            self._state.disabled[who] = Disabled(now)
            for session in self._of(who):
                session.may_end = now if session.may_end is None else min(session.may_end, now)

    def disabled(self, who: str, now: float) -> None:
        """Note that the command has been done."""
        with self._lock:
            self._state.disabled[who].since = now
            for session in self._of(who):
                session.asked = session.asked or now
                session.out = session.out or now + REACHED

    def enabling(self, who: str, now: float) -> None:
        """Note that the command is about to be given that lets somebody in again, by a new sign-in."""
        with self._lock:
            self._state.disabled[who].until = now

    def enabled(self, who: str, now: float) -> None:
        """Note that this command has been done."""
        with self._lock:
            self._state.disabled[who].enabled = now

    # What is answered

    def judge(self, answer: Answer) -> None:
        """Count an answer, and note what is wrong with it."""
        with self._lock:
            history = self._state.histories.setdefault(_whose(answer), deque(maxlen=LAST))
            history.append(str(answer))
            fault = self._fault_of(answer)
            row = self._row(fault.kind if fault else "none")
            self._count(row, answer, fault)
            self._judge_wait(answer)
            if answer.user is not None:
                self._judge_name(row, answer)
            elif answer.status in (0, 503):
                self._judge_refusal(row, answer)
            elif answer.what == "sign-out":
                self._judge_sign_out(row, answer)
            elif answer.what == "public":
                if answer.status != 200:
                    self._violate(f"a public path was answered {answer.status}", answer)
            elif answer.status in (302, 303, 401):
                self._judge_loss(row, answer)
            elif not self._may_fail(answer):
                self._violate(f"an answer of {answer.status}", answer)

    def note(self, what: str, history: Collection[str] = ()) -> None:
        """Note what is wrong beside the answers: a command that failed, a log, a worker that grows."""
        with self._lock:
            self._state.violations.append(Violation(what, list(history)))

    @property
    def rows(self) -> dict[str, Row]:
        """What was counted, by kind of fault; ``none``: the time without any."""
        with self._lock:
            return dict(self._state.rows)

    @property
    def violations(self) -> list[Violation]:
        """What is wrong."""
        with self._lock:
            return list(self._state.violations)

    @property
    def alive(self) -> list[Session]:
        """The sessions that nobody has begun to end."""
        with self._lock:
            return [session for session in self._state.sessions if session.may_end is None]

    # How it is judged

    def _judge_name(self, row: Row, answer: Answer) -> None:
        session = answer.session
        if answer.what == "sign-in":
            if answer.user != answer.who:
                row.let_in += 1
                self._violate(f"{answer.who} was signed in as {answer.user}", answer)
        elif session is None:
            row.let_in += 1
            self._violate(f"somebody without a session was let in as {answer.user}", answer)
        elif answer.user != session.owner:
            row.let_in += 1
            self._violate(f"{session.owner} was let in as {answer.user}", answer)
        elif session.out is not None and answer.began > session.out:
            if is_unheard(self._store, self._state.faults, session, answer):
                row.let_in_documented += 1
                return
            row.let_in += 1
            self._violate(f"let in by a session that was over at {session.out:.2f}", answer)
        elif self._store == "cookies" and session.asked is not None and answer.began > session.asked:
            row.let_in_documented += 1

    def _judge_refusal(self, row: Row, answer: Answer) -> None:
        if answer.status == 503:
            row.refused += 1
            if not answer.retry_after:
                self._violate("503 without Retry-After", answer)
        else:
            row.broken += 1
        covering = [fault for fault in self._covering(answer) if fault.kind not in UNNOTICED]
        if answer.status == 0:
            covering = [
                fault for fault in covering if fault.kind in OF_WORKERS or fault.kind == "host reloaded"
            ]
            if answer.session is not None and any(fault.kind in OF_WORKERS for fault in covering):
                answer.session.broke = answer.ended
        if answer.what == "public" and answer.status == 503:
            self._violate("a public path was refused", answer)
        elif not covering:
            self._violate("a connection broke" if answer.status == 0 else "refused without a cause", answer)

    def _judge_sign_out(self, row: Row, answer: Answer) -> None:
        session = answer.session
        assert session is not None
        if answer.status in (302, 303):
            # Without anything that workers share, the others never hear of it.
            if self._store != "cookies":
                session.out = session.out or answer.ended + REACHED
        elif answer.status == 200 and all(sentence in answer.note for sentence in NOT_TOLD):
            row.refused += 1
            session.untold = True
            faults = [fault for fault in self._covering(answer) if fault.kind in OF_STORE]
            if self._store != "directory" or not faults:
                self._violate("a sign-out was not told to others, without a cause", answer)
            elif all(fault.ended is not None for fault in faults):
                session.out = answer.ended + TOLD
        else:
            self._violate(f"a sign-out was answered {answer.status}", answer)

    def _judge_loss(self, row: Row, answer: Answer) -> None:
        session = answer.session
        if session is None or (session.may_end is not None and answer.ended >= session.may_end):
            return
        # It is told once.
        session.may_end = answer.began
        is_recent = session.broke is not None and answer.began < session.broke + BROKEN
        if session.refreshes and is_recent and self._store != "cookies":
            # The host was killed with the answer of the provider: the refresh token is used up (stores.rst).
            row.lost_documented += 1
            return
        if is_unread(self._store, self._state.faults, session, answer):
            row.lost_documented += 1
            return
        row.lost += 1
        self._violate(f"{session.owner} is signed in and was asked to sign in", answer)

    def _judge_wait(self, answer: Answer) -> None:
        bound = {"public": PUBLIC_WAIT, "sign-in": SIGN_IN_WAIT}.get(answer.what, WAIT)
        faults = self._covering(answer)
        if answer.what == "public" and answer.worker == "sync" and self._store_is_away(faults):
            # One request at a time: whoever comes stands behind one that waits.
            bound = WAIT
        if any(
            fault.kind in ("host killed", "host reloaded") and fault.host == answer.host for fault in faults
        ):
            bound = RESTART
        if answer.waited > bound:
            self._violate(f"an answer took {answer.waited:.1f} s, more than {bound:.0f}", answer)

    def _may_fail(self, answer: Answer) -> bool:
        """Return whether a page that says no is right: to who is disabled, or was ended on the way."""
        if answer.status not in (400, 403) or answer.what != "sign-in":
            return False
        disabled = self._state.disabled.get(answer.who)
        kept_out = disabled is not None and disabled.may_keep_out(answer.began)
        cut_off = any(
            answer.ended >= began and answer.began <= ended + SYNC for began, ended in self._state.cut_offs
        )
        return kept_out or cut_off

    def _covering(self, answer: Answer) -> list[Fault]:
        return [
            fault for fault in self._state.faults if fault.covers(answer.began, answer.ended, after=AFTERMATH)
        ]

    @staticmethod
    def _store_is_away(faults: Sequence[Fault]) -> bool:
        return any(fault.kind in OF_STORE for fault in faults)

    def _fault_of(self, answer: Answer) -> Fault | None:
        """Return the fault to which an answer is counted: the last one that was not over for long."""
        found = [
            fault for fault in self._state.faults if fault.covers(answer.began, answer.ended, after=SYNC)
        ]
        return found[-1] if found else None

    def _count(self, row: Row, answer: Answer, fault: Fault | None) -> None:
        row.requests += 1
        if fault is not None and fault.host is not None:
            is_bystander = fault.host != answer.host
            is_public = is_bystander and answer.what == "public"
        else:
            is_bystander = answer.what == "stranger"
            is_public = answer.what == "public"
        if is_public and answer.worker == "sync":
            row.public_sync = max(row.public_sync, answer.waited)
        elif is_public:
            row.public = max(row.public, answer.waited)
        elif is_bystander:
            row.bystander = max(row.bystander, answer.waited)
        else:
            row.affected = max(row.affected, answer.waited)

    def _of(self, who: str) -> list[Session]:
        return [session for session in self._state.sessions if session.owner == who]

    def _row(self, kind: str) -> Row:
        return self._state.rows.setdefault(kind, Row())

    def _violate(self, what: str, answer: Answer) -> None:
        self._state.violations.append(Violation(what, list(self._state.histories.get(_whose(answer), ()))))


def _whose(answer: Answer) -> str:
    """Return whose history an answer belongs to: what a thief is answered is part of the story of the session."""
    return answer.who if answer.session is None else answer.session.owner
