"""One provider keeps a few threads at most, and is left alone while it does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import formatdate

import pytest

from oauth2_mw.errors import ProviderUnavailableError
from oauth2_mw.provider.http import call_gate
from oauth2_mw.provider.http.call_gate import MAX_FAILURES, MAX_PAUSE, CallGate
from oauth2_mw.provider.http.messages import Response
from tests.support.clock import Clock

URL = "https://op.example/token"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    yield clock


def answering(status: int, **headers: str) -> Callable[[], Response]:
    return lambda: Response(status, "", b"", headers, URL)


def silent() -> Response:
    raise ProviderUnavailableError("op.example fell silent")


def outcome(gate: CallGate, send: Callable[[], Response]) -> int | str:
    """The status of the response, or the code of the error."""
    try:
        return gate.call(send).status
    except ProviderUnavailableError as error:
        return error.code


def fail(gate: CallGate, send: Callable[[], Response] = silent) -> None:
    for _ in range(MAX_FAILURES):
        with pytest.raises(ProviderUnavailableError, match="fell silent"):
            gate.call(send)


def refused(gate: CallGate) -> ProviderUnavailableError:
    """What a call is refused with, while nothing is sent."""
    with pytest.raises(ProviderUnavailableError) as info:
        gate.call(lambda: pytest.fail("it was sent"))
    return info.value


@pytest.mark.requirement("R-calls")
def test_no_more_calls_are_under_way_than_there_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_gate, "MAX_WAIT", 0.05)
    gate, go_on, started = CallGate("corp", places=2), threading.Event(), threading.Semaphore(0)

    def slow() -> Response:
        started.release()
        assert go_on.wait(20)
        return answering(200)()

    with ThreadPoolExecutor() as threads:
        calls = [threads.submit(gate.call, slow) for _ in range(2)]
        assert all(started.acquire(timeout=20) for _ in calls)
        error = refused(gate)
        assert (error.code, error.status, error.retry_after) == ("provider_busy", 503, 5)
        assert "provider_calls" in error.detail
        with pytest.raises(ProviderUnavailableError, match="answers slowly"), gate.place():
            pytest.fail("there is no third place")
        go_on.set()
        assert {call.result().status for call in calls} == {200}
    assert gate.call(answering(200)).status == 200


@pytest.mark.requirement("R-calls")
def test_a_call_that_waits_gets_the_place_of_one_that_ends() -> None:
    gate, entered = CallGate(places=1), threading.Event()
    with ThreadPoolExecutor() as threads:
        with gate.place():

            def one_more() -> Response:
                entered.set()
                return gate.call(answering(200))

            waiting = threads.submit(one_more)
            assert entered.wait(20)
        assert waiting.result().status == 200


def test_calls_that_belong_together_share_a_place() -> None:
    gate = CallGate(places=1)
    for _ in range(2):
        with gate.place(), gate.place():
            assert gate.call(answering(200)).status == 200
            assert gate.call(answering(400)).status == 400


@pytest.mark.requirement("R-calls")
def test_after_several_failures_one_request_tries(clock: Clock) -> None:
    gate = CallGate("corp")
    fail(gate)
    error = refused(gate)
    assert error.code == "provider_paused"
    assert "provider corp" in error.detail
    assert "fell silent" in error.detail
    clock.now += 3
    with pytest.raises(ProviderUnavailableError, match=r"^op.example fell silent$"):
        gate.call(silent)
    assert refused(gate).code == "provider_paused"
    clock.now += 3
    gate.call(lambda: _while_another_is_refused(gate))
    assert gate.call(answering(200)).status == 200
    # From then on it counts anew.
    fail(gate)


def _while_another_is_refused(gate: CallGate) -> Response:
    with ThreadPoolExecutor() as threads:
        assert threads.submit(refused, gate).result().code == "provider_paused"
    return answering(200)()


@pytest.mark.requirement("R-calls")
def test_faults_of_the_provider_count_and_refusals_do_not(clock: Clock) -> None:
    gate = CallGate()
    for _ in range(3 * MAX_FAILURES):
        assert outcome(gate, answering(400)) == 400
        assert outcome(gate, answering(499)) == 499
    for _ in range(MAX_FAILURES - 1):
        assert outcome(gate, answering(500)) == 500
    # One answer in between, and they are not in a row.
    assert outcome(gate, answering(401)) == 401
    for _ in range(MAX_FAILURES):
        assert outcome(gate, answering(503)) == 503
    assert "HTTP 503" in refused(gate).detail


@pytest.mark.requirement("R-calls")
@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), (" 30 ", 30), ("3600", MAX_PAUSE), ("9" * 5000, MAX_PAUSE)],
)
def test_a_pause_that_is_asked_for_is_kept(clock: Clock, header: str, seconds: int) -> None:
    gate = CallGate("corp")
    assert gate.call(answering(429, **{"retry-after": header})).status == 429
    error = refused(gate)
    assert (error.code, error.retry_after) == ("provider_paused", seconds)
    clock.now += seconds - 1
    assert refused(gate).retry_after == 1
    clock.now += 1
    assert gate.call(answering(200)).status == 200


@pytest.mark.requirement("R-calls")
@pytest.mark.parametrize("later", [{}, {"retry-after": "1"}])
def test_no_answer_to_another_call_makes_a_pause_shorter(clock: Clock, later: dict[str, str]) -> None:
    gate = CallGate()

    def meanwhile() -> Response:
        gate.call(answering(429, **{"retry-after": "30"}))
        return answering(429, **later)()

    gate.call(meanwhile)
    assert refused(gate).retry_after == 30


@pytest.mark.requirement("R-calls")
def test_who_has_waited_for_a_place_keeps_a_pause_that_has_begun(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = CallGate()
    place = gate.place

    @contextmanager
    def late() -> Iterator[None]:
        monkeypatch.setattr(gate, "place", place)
        gate.call(answering(429, **{"retry-after": "30"}))
        with place():
            yield

    monkeypatch.setattr(gate, "place", late)
    assert refused(gate).retry_after == 30


def test_a_pause_may_be_written_as_a_date() -> None:
    gate = CallGate()
    gate.call(answering(429, **{"retry-after": formatdate(4_000_000_000, usegmt=True)}))
    assert refused(gate).retry_after == MAX_PAUSE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "soon",
        "-5",
        "0",
        "1.5",
        "٣",
        formatdate(0),
        "Thu, 01 Jan 1970 00:00:00",
        "Xyz, 99 Foo 10000 99:99:99 GMT",
        "Thu, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Thu, 01 Jan 2026 00:00:00 +99999999999999",
    ],
)
def test_without_a_pause_that_can_be_understood_there_is_none(header: str) -> None:
    gate = CallGate()
    gate.call(answering(429, **{"retry-after": header}))
    assert gate.call(answering(200)).status == 200


def test_a_refusal_that_says_nothing_of_a_pause_is_none(clock: Clock) -> None:
    gate = CallGate()
    gate.call(answering(503, **{"retry-after": "30"}))
    assert gate.call(answering(200)).status == 200
