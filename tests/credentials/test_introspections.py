"""A token that several requests bring at once is asked about once, if the first has its answer before the next asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from oauth2_mw.credentials.introspections import Introspections
from oauth2_mw.provider.tokens.access_token import AccessToken
from oauth2_mw.session.clocks import Clocks
from tests.support.clock import Clock


class Client:
    """A provider whose one place is taken when it is first asked for: *meanwhile* is what the other does there."""

    def __init__(self, token: AccessToken) -> None:
        self.meanwhile: Callable[[], object] | None = None
        self.asked = 0
        self._token = token

    @contextmanager
    def place(self) -> Iterator[None]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        yield

    def introspect(self, _text: str) -> AccessToken:
        self.asked += 1
        return self._token


def test_who_waits_for_a_place_finds_what_the_other_was_told(clock: Clock) -> None:
    token = AccessToken("https://corp.example", "7", {}, frozenset(), None, clock() + 300)
    client: Any = Client(token)
    answers = Introspections(
        "corp", lambda: client, proxies=(), sync=5, clocks=Clocks(wall=clock, monotonic=clock)
    )

    def read() -> AccessToken:
        return answers.read("opaque", b"key", address="203.0.113.7").token

    client.meanwhile = read
    assert read() is token
    assert client.asked == 1
