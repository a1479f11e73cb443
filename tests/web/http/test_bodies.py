"""The body of a refused request: read, as far as that is worth it, and dropped."""

from __future__ import annotations

import io
from typing import Any

import pytest

from oauth2_mw.web.http.bodies import LIMIT, PATIENCE, drop_body
from tests.support.clock import Clock


class Stream(io.BytesIO):
    """A body that says how much of it was read, and may take its time."""

    def __init__(self, size: int, *, clock: Clock | None = None, seconds: float = 0) -> None:
        super().__init__(b"x" * size)
        self.sizes: list[int] = []
        self._clock = clock
        self._seconds = seconds

    def read(self, size: int | None = -1, /) -> bytes:
        self.sizes.append(-1 if size is None else size)
        if self._clock is not None:
            self._clock.now += self._seconds
        return super().read(size)


TERMINATED = {"wsgi.input_terminated": True}


def drop(
    stream: Any, environ: dict[str, Any] | None = None, *, clock: Clock | None = None, **keys: Any
) -> None:
    drop_body({"wsgi.input": stream, **(environ or {}), **keys}, monotonic=clock or Clock())


@pytest.mark.requirement("R-body")
@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 1_000_000, LIMIT])
def test_a_body_is_read_to_its_end_in_pieces(size: int) -> None:
    stream = Stream(size + 100)
    drop(stream, CONTENT_LENGTH=str(size))
    assert stream.tell() == size
    assert max(stream.sizes, default=0) <= 65536


@pytest.mark.requirement("R-body")
@pytest.mark.parametrize("length", [str(LIMIT + 1), "999999999999999"])
def test_of_a_long_one_no_more_than_the_limit_is_read(length: str) -> None:
    stream = Stream(LIMIT + 10)
    drop(stream, CONTENT_LENGTH=length)
    assert stream.tell() == LIMIT


@pytest.mark.requirement("R-body")
@pytest.mark.parametrize("expect", ["100-continue", "100-Continue", " 100-continue "])
def test_a_client_that_waits_for_leave_is_not_given_it(expect: str) -> None:
    stream = Stream(10)
    drop(stream, CONTENT_LENGTH="10", HTTP_EXPECT=expect)
    assert stream.sizes == []


@pytest.mark.requirement("R-body")
@pytest.mark.parametrize("length", ["", None, "-1", "1e3", "abc", "10, 10", "\u0663", "9" * 30])
def test_without_a_length_nothing_is_read(length: str | None) -> None:
    stream = Stream(10)
    drop(stream, {} if length is None else {"CONTENT_LENGTH": length})
    assert stream.sizes == []


@pytest.mark.requirement("R-body")
def test_where_the_server_ends_the_body_it_is_read_without_a_length() -> None:
    stream = Stream(100_000)
    drop(stream, TERMINATED)
    assert stream.tell() == 100_000
    stream = Stream(LIMIT + 100)
    drop(stream, TERMINATED)
    assert stream.tell() == LIMIT
    # A length that is none stays none.
    stream = Stream(10)
    drop(stream, TERMINATED, CONTENT_LENGTH="x")
    assert stream.sizes == []


@pytest.mark.requirement("R-body")
def test_a_slow_one_is_left_after_a_while() -> None:
    clock = Clock()
    stream = Stream(LIMIT, clock=clock, seconds=PATIENCE / 2)
    drop(stream, clock=clock, CONTENT_LENGTH=str(LIMIT))
    assert len(stream.sizes) == 2


def test_a_client_that_is_gone_does_no_harm() -> None:
    class Gone(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("client disconnected")

    drop(Gone(), CONTENT_LENGTH="5")
    stream = Stream(3)
    drop(stream, CONTENT_LENGTH="10")
    assert stream.sizes == [10, 7]
