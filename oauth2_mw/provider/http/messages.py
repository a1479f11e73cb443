"""Requests to a provider and its responses as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from oauth2_mw.errors import ProviderError, ProviderUnavailableError


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a provider may keep a worker waiting, in seconds."""

    connect: float = 5.0
    #: between two pieces of a response
    read: float = 10.0
    #: for a whole request with its retries and redirects, however steadily the bytes trickle
    total: float = 15.0

    def at_most(self, other: Timeouts) -> Timeouts:
        """Return the shorter of both timeouts of each kind."""
        return Timeouts(
            connect=min(self.connect, other.connect),
            read=min(self.read, other.read),
            total=min(self.total, other.total),
        )


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    #: how many bytes of the response's body are accepted
    limit: int
    #: added to *url* when the request is sent, and nowhere else: it may hold secrets
    query: str = field(default="", repr=False)
    #: what it asks for, in one word
    operation: str = "token"


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response, within its limits."""

    status: int
    #: in lower case, without parameters; empty if the response has none
    content_type: str
    body: bytes = field(repr=False)
    #: names are in lower case
    headers: Mapping[str, str] = field(repr=False)
    #: the address that was asked
    url: str
    #: when the certificate of the server ends, in seconds since the epoch; ``None`` over plain http
    certificate_ends: int | None = None

    def check_available(self) -> None:
        """Raise ProviderUnavailableError for a fault on the provider's side: 429 and 5xx (RFC 9110, section 15.6)."""
        if self.status == 429 or self.status >= 500:
            failure = ProviderUnavailableError(
                f"{self.url} was answered with HTTP {self.status}: the provider has a fault of its own"
            )
            failure.is_sent = True
            raise failure


def too_large(url: str, limit: int) -> ProviderError:
    """Return the error for a body of more than *limit* bytes."""
    return ProviderError(
        f"{url} sent more than {limit} bytes; the rest was not read", code="answer_too_large"
    )
