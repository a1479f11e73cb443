"""Faults, sessions, answers, and what is counted of them.

All moments are seconds of one clock that nobody sets, that of the process which asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tests.soak.promises import REACHED
from tests.soak.schedule import Kind

What = Literal["page", "public", "stranger", "sign-in", "sign-out"]


@dataclass
class Fault:
    """One fault, from its beginning to when it was undone."""

    kind: Kind
    #: the host that it is about; ``None``: the store, and so all of them
    host: str | None
    began: float
    #: when it was undone; ``None``: it lasts
    ended: float | None = None
    #: seconds after that until everybody was served at every host
    recovery: float | None = None

    def covers(self, began: float, ended: float, *, after: float) -> bool:
        """Return whether a time has to do with it: it lasts, or not everybody is served again since *after* seconds."""
        if ended < self.began:
            return False
        return self.ended is None or self.recovery is None or began <= self.ended + self.recovery + after


@dataclass
class Session:
    """What is known of one session; whoever has a copy of its cookies has it too."""

    owner: str
    began: float
    #: whether the application keeps a refresh token for it
    refreshes: bool
    #: from when on it may be out: somebody began to end it
    may_end: float | None = None
    #: from when on nobody may be let in by it
    out: float | None = None
    #: when its end was asked for
    asked: float | None = None
    #: whether its end could not be told to other workers yet
    untold: bool = False
    #: when one of its requests broke together with a worker
    broke: float | None = None


@dataclass
class Disabled:
    """When somebody was kept out. Between two moments nobody can say whether a command has reached everybody."""

    began: float
    #: when the command was done that keeps them out
    since: float | None = None
    #: when the command began that lets them in again, and when it was done
    until: float | None = None
    enabled: float | None = None

    def may_keep_out(self, moment: float) -> bool:
        """Return whether who comes at that moment may be told no."""
        return moment >= self.began - REACHED and (self.enabled is None or moment <= self.enabled + REACHED)

    def keeps_out(self, began: float, ended: float) -> bool:
        """Return whether a sign-in in that time must fail."""
        return (
            self.since is not None
            and began > self.since + REACHED
            and (self.until is None or ended < self.until)
        )


@dataclass(frozen=True)
class Answer:
    """An answer, or none: then the status is 0."""

    who: str
    what: What
    #: the name of the host that was asked, or nothing where the kernel chose one
    host: str
    #: ``sync``, ``gthread`` or ``gevent``
    worker: str
    began: float
    ended: float
    status: int
    #: whom the application was told of
    user: str | None = None
    #: whose cookies came with the request
    session: Session | None = None
    retry_after: str | None = None
    #: where it leads, or what it says
    note: str = ""
    #: the longest that a single request took, where it were several
    longest: float | None = None

    @property
    def waited(self) -> float:
        """Seconds of the longest wait."""
        return self.ended - self.began if self.longest is None else self.longest

    def __str__(self) -> str:
        where = f"{self.host or 'site'} ({self.worker})" if self.worker else self.host or "site"
        return (
            f"{self.began:9.2f} +{self.ended - self.began:.2f} s  {self.who}: {self.what} at {where}: {self.status} "
            f"{self.user or 'nobody'} {self.note}".rstrip()
        )


@dataclass(frozen=True)
class Violation:
    """Something that must not be."""

    what: str
    #: what the person was answered before, and who else had their session; the last of it is wrong
    history: Sequence[str]

    def __str__(self) -> str:
        return "\n    ".join([self.what, *self.history])


@dataclass
class Row:
    """What is counted for one kind of fault, or for the time without any."""

    times: int = 0
    requests: int = 0
    refused: int = 0
    broken: int = 0
    affected: float = 0.0
    bystander: float = 0.0
    #: public paths where another thread of the worker is free, and where a worker serves one request at a time
    public: float = 0.0
    public_sync: float = 0.0
    #: let in by a copy of an ended cookie, or as somebody else
    let_in: int = 0
    #: the same where deployment.rst says that it may be
    let_in_documented: int = 0
    #: asked to sign in though nobody had ended the session
    lost: int = 0
    lost_documented: int = 0
    recovery: float = 0.0
