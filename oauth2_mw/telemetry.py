"""Whose request is being worked for, and what the calls to other servers came to.

The middleware says at the beginning of a request by which observer it is seen (:data:`enter`). Whatever works for it
further down, a store or the client of a provider, says what it asks of whom by :func:`calling`, and knows nothing of
metrics, spans and addresses. Without a request, as in a command, nothing is observed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from oauth2_mw.errors import UnavailableError
from oauth2_mw.observe import new_reference
from oauth2_mw.tracing import end_span, start_span

#: Peers beside the providers, which are called by their NAME.
STORE = "store"
DIRECTORY = "directory"
#: From this status on a server has not answered what it was asked (RFC 9110, section 15.6).
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class LastCall:
    """What the latest call to a peer came to."""

    answered: bool
    #: monotonic time
    at: float


class Metrics(Protocol):
    """What counts."""

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """Count an audit event."""

    def count(self, metric: str, *labels: str) -> None:
        """Add one to a counter."""

    def called(self, peer: str, operation: str, *, seconds: float, answered: bool) -> None:
        """Note what a call to another server came to."""

    def exposition(self) -> tuple[bytes, str]:
        """Return what was counted as text, and its content type."""


@dataclass(frozen=True, slots=True)
class Observer:
    """What observes the requests of one application.

    :param client: returns the address of a request's client, or ``None`` if it cannot be known.
    """

    client: Callable[[Mapping[str, Any]], str | None]
    audit_format: Literal["logfmt", "json"] = "logfmt"
    #: ``None`` if nothing is counted
    metrics: Metrics | None = None
    #: peer -> its latest call; there are no more than peers
    last_calls: dict[str, LastCall] = field(default_factory=dict)

    def called(self, peer: str, operation: str, *, seconds: float, answered: bool) -> None:
        """Note what a call to another server came to."""
        self.last_calls[peer] = LastCall(answered, time.monotonic())
        if self.metrics is not None:
            self.metrics.called(peer, operation, seconds=seconds, answered=answered)


#: A request: its observer, its environ, and its reference, which is empty until somebody asks for it.
_CURRENT: ContextVar[tuple[Observer, Mapping[str, Any], str] | None] = ContextVar(
    "oauth2_mw_request", default=None
)
#: Say which request this thread works for now. ``None`` once the application has been called, so that nothing holds the
#: environ any longer.
enter: Callable[[tuple[Observer, Mapping[str, Any], str] | None], object] = _CURRENT.set
#: Return the request that is being worked for, if there is one.
current_request: Callable[[], tuple[Observer, Mapping[str, Any], str] | None] = _CURRENT.get


def ensure(observer: Observer, environ: Mapping[str, Any]) -> None:
    """Say which request this thread works for, in case nobody has said so yet."""
    current = _CURRENT.get()
    if current is None or current[0] is not observer or current[1] is not environ:
        enter((observer, environ, ""))


def reference() -> str:
    """Return the reference of the request that is being worked for: its pages and all its audit lines bear one."""
    current = _CURRENT.get()
    if current is None:
        return new_reference()
    observer, environ, known = current
    if not known:
        known = new_reference()
        enter((observer, environ, known))
    return known


def count(metric: str, *labels: str) -> None:
    """Add one to a counter, if the application of this request counts."""
    current = _CURRENT.get()
    if current is not None and current[0].metrics is not None:
        current[0].metrics.count(metric, *labels)


@dataclass(slots=True)
class Call:
    """One call to another server, while it lasts."""

    #: the HTTP status of its answer, if it is one of HTTP
    status: int | None = None


@contextmanager
def calling(
    peer: str,
    operation: str,
    attributes: Mapping[str, str | int],
    *,
    failures: tuple[type[Exception], ...] = (UnavailableError,),
) -> Iterator[Call]:
    """Observe a call to another server for as long as the context lasts.

    :param peer: the NAME of a provider, :data:`STORE` or :data:`DIRECTORY`.
    :param operation: what is asked, such as ``token`` or ``read``: one of few words.
    :param attributes: of a span, by the semantic conventions of OpenTelemetry; never a secret.
    :param failures: the exceptions which say that there was no answer.
    """
    call, current = Call(), _CURRENT.get()
    if current is None:
        yield call
        return
    answered, began, raised = True, time.perf_counter(), None
    span = start_span(peer, operation, attributes)
    try:
        yield call
    except failures as error:
        answered, raised = False, type(error)
        raise
    finally:
        answered = answered and (call.status or 0) < _SERVER_ERROR
        if span is not None:
            end_span(span, answered=answered, status=call.status, error=raised)
        current[0].called(peer, operation, seconds=time.perf_counter() - began, answered=answered)
