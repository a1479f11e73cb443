"""One exchange with a provider as values: how long it may take, and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from oauth2_mw.errors import ProviderError


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a provider may keep a worker waiting, in seconds."""

    connect: float = 5.0
    #: between two pieces of an answer
    read: float = 10.0
    #: for a whole request with its retries and redirects, however steadily the bytes trickle
    total: float = 15.0

    def at_most(self, other: Timeouts) -> Timeouts:
        """The shorter of both, each for itself."""
        return Timeouts(
            connect=min(self.connect, other.connect),
            read=min(self.read, other.read),
            total=min(self.total, other.total),
        )


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, complete and within its bounds."""

    status: int
    #: lower case, without parameters; empty when there was none
    content_type: str
    body: bytes = field(repr=False)
    #: names in lower case
    headers: Mapping[str, str] = field(repr=False)
    #: where it came from, for messages
    url: str


def too_large(url: str, limit: int) -> ProviderError:
    """The error for a body that goes on beyond *limit* bytes."""
    return ProviderError(
        f"{url} sent more than {limit} bytes; the rest was not read", code="answer_too_large"
    )
