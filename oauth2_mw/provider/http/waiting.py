"""What a thread does while it waits for a provider.

Somebody may have to tell others every few seconds that they are still at it. There is no other thread for that: the one
that waits does it, between two reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: The longest time in seconds for which a thread waits before it does what there is to do meanwhile.
SLICE = 3.0

_MEANWHILE: ContextVar[Callable[[], None] | None] = ContextVar("oauth2_mw_meanwhile", default=None)


@contextmanager
def while_waiting(work: Callable[[], None]) -> Iterator[None]:
    """Have this thread call *work* before it sends a request, and every :data:`SLICE` while it waits for the answer.

    What *work* raises ends the request.
    """
    token = _MEANWHILE.set(work)
    try:
        yield
    finally:
        _MEANWHILE.reset(token)


def meanwhile() -> Callable[[], None] | None:
    """Return what this thread has to do while it waits, if there is anything."""
    return _MEANWHILE.get()
