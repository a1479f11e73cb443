"""What a worker may not know while the store is away, by docs/deployment.rst and docs/stores.rst."""

from __future__ import annotations

from collections.abc import Iterable

from tests.soak.model import Answer, Fault, Session
from tests.soak.promises import GRACE, LEFT, OF_MASTER, OF_STORE, TOLD
from tests.soak.schedule import StoreName


def is_unheard(store: StoreName, faults: Iterable[Fault], session: Session, answer: Answer) -> bool:
    """Return whether a worker may not have heard that a session has ended, because the directory was away since."""
    return (
        store == "directory"
        and session.asked is not None
        and any(
            fault.kind != "store full" and fault.began - GRACE < session.asked
            for fault in faults
            if fault.kind in OF_STORE and fault.covers(answer.began, answer.began, after=TOLD)
        )
    )


def is_unread(store: StoreName, faults: Iterable[Fault], session: Session, answer: Answer) -> bool:
    """Return whether a worker may still read from a master that was replaced before the session began."""
    return store == "sentinel" and any(
        fault.kind in OF_MASTER and fault.began <= session.began
        for fault in faults
        if fault.covers(answer.began, answer.began, after=LEFT)
    )
