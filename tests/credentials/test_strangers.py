"""What comes to nothing is bounded for each client, then for all; what comes to something is not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from oauth2_mw.credentials.strangers import MAX_OF_ALL, MAX_OF_ONE, PERIOD, Strangers
from oauth2_mw.errors import LoginTriesError, ProviderError, StoreUnavailableError
from oauth2_mw.settings.peers import parse_peer
from tests.support.clock import Clock

JANE, EVE = "203.0.113.7", "198.51.100.9"


def make(clock: Clock, *proxies: str) -> Strangers:
    return Strangers(map(parse_peer, proxies), clock=clock, refusal=LoginTriesError)


def fail(strangers: Strangers, address: str | None, times: int = 1) -> int:
    """Try in vain, and return how many of the tries were made."""
    made = 0
    for _ in range(times):
        with suppress(ProviderError, LoginTriesError), strangers.one_try(address):
            made += 1
            raise ProviderError("invalid_grant")
    return made


def refusal(strangers: Strangers, address: str | None) -> LoginTriesError:
    with pytest.raises(LoginTriesError) as caught:
        strangers.check(address)
    return caught.value


@pytest.mark.requirement("R-calls")
def test_one_client_may_fail_thirty_times_a_minute(clock: Clock) -> None:
    strangers = make(clock, "10.0.0.1")
    assert fail(strangers, EVE, 300) == MAX_OF_ONE == 30
    strangers.check(JANE)
    clock.now += PERIOD - 0.5
    error = refusal(strangers, EVE)
    assert (error.status, error.retry_after) == (429, 1)
    assert fail(strangers, EVE) == 0
    clock.now += 0.5
    assert fail(strangers, EVE, 300) == MAX_OF_ONE


@pytest.mark.requirement("R-calls")
def test_many_clients_meet_the_bound_for_all(clock: Clock) -> None:
    strangers = make(clock, "10.0.0.1")
    clients = [f"203.0.113.{number}" for number in range(200)]
    assert sum(fail(strangers, each, 2) for each in clients) == MAX_OF_ALL == 300
    assert "all clients" in refusal(strangers, EVE).detail
    # Whose own bound is met hears of that.
    clock.now += PERIOD - 1
    assert refusal(strangers, None).retry_after == 1
    clock.now += 1
    strangers.check(None)


@pytest.mark.requirement("R-calls")
def test_a_try_that_ends_well_does_not_count(clock: Clock) -> None:
    strangers = make(clock, "10.0.0.1")
    for _ in range(2 * MAX_OF_ALL):
        with strangers.one_try(JANE):
            pass
    fail(strangers, JANE, MAX_OF_ONE - 1)
    with strangers.one_try(JANE):
        refusal(strangers, JANE)
    assert fail(strangers, JANE, 2) == 1


@pytest.mark.requirement("R-calls")
def test_an_outage_is_no_failure_of_a_client(clock: Clock) -> None:
    strangers = make(clock, "10.0.0.1")
    for _ in range(2 * MAX_OF_ALL):
        with pytest.raises(StoreUnavailableError), strangers.one_try(JANE):
            raise StoreUnavailableError("the store is away")
    strangers.check(JANE)


@pytest.mark.requirement("R-calls")
def test_a_try_counts_before_it_has_ended(clock: Clock) -> None:
    strangers, all_wait = make(clock, "10.0.0.1"), threading.Barrier(MAX_OF_ONE, timeout=20)

    def in_vain(_: int) -> bool:
        try:
            with strangers.one_try(EVE):
                all_wait.wait()
                raise ProviderError("invalid_grant")
        except ProviderError:
            return True
        except LoginTriesError:
            return False

    with ThreadPoolExecutor(2 * MAX_OF_ONE) as threads:
        assert sum(threads.map(in_vain, range(10 * MAX_OF_ONE))) == MAX_OF_ONE


@pytest.mark.requirement("R-calls")
@pytest.mark.parametrize(
    ("address", "neighbour", "stranger"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
        ("203.0.113.7", "::ffff:203.0.113.7", "203.0.113.8"),
    ],
)
def test_a_network_of_ipv6_is_one_client(clock: Clock, address: str, neighbour: str, stranger: str) -> None:
    strangers = make(clock)
    fail(strangers, address, MAX_OF_ONE)
    refusal(strangers, neighbour)
    strangers.check(stranger)


@pytest.mark.requirement("R-calls")
@pytest.mark.parametrize(
    ("proxies", "address"),
    [
        ("", None),
        ("", "10.1.2.3"),
        ("", "127.0.0.1"),
        ("", "192.168.0.9"),
        ("", "172.31.255.1"),
        ("", "169.254.1.1"),
        ("", "100.64.0.1"),
        ("", "::1"),
        ("", "::ffff:10.0.0.1"),
        ("", "fd00::1"),
        ("", "fe80::1"),
        ("10.0.0.1 192.0.2.0/24", "10.0.0.1"),
        ("10.0.0.1 192.0.2.0/24", "192.0.2.200"),
        ("unix", None),
    ],
)
def test_what_may_be_a_proxy_meets_the_bound_for_all_alone(
    clock: Clock, proxies: str, address: str | None
) -> None:
    strangers = make(clock, *proxies.split())
    assert fail(strangers, address, 2 * MAX_OF_ALL) == MAX_OF_ALL


@pytest.mark.requirement("R-calls")
@pytest.mark.parametrize(
    ("proxies", "address"),
    [
        ("", "203.0.113.7"),
        ("", "2001:db8::1"),
        ("", "172.32.0.1"),
        ("10.0.0.1", "10.0.0.2"),
        ("unix", "192.168.0.9"),
    ],
)
def test_any_other_address_is_a_client(clock: Clock, proxies: str, address: str) -> None:
    strangers = make(clock, *proxies.split())
    assert fail(strangers, address, MAX_OF_ALL) == MAX_OF_ONE


def test_the_first_refusal_of_a_minute_is_told(clock: Clock) -> None:
    strangers = make(clock, "10.0.0.1")
    for _ in range(2):
        fail(strangers, EVE, MAX_OF_ONE)
        assert [refusal(strangers, EVE).is_repeated for _ in range(3)] == [False, True, True]
        clock.now += PERIOD


def test_what_ends_in_a_later_minute_takes_nothing_from_it(clock: Clock) -> None:
    strangers = make(clock, "10.0.0.1")
    with ExitStack() as slow:
        slow.enter_context(strangers.one_try(EVE))
        clock.now += PERIOD
        fail(strangers, EVE, MAX_OF_ONE)
    refusal(strangers, EVE)


def test_clients_are_forgotten_the_oldest_first(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    strangers = make(clock, "10.0.0.1")
    monkeypatch.setattr(strangers._of_one, "max_entries", 2)
    fail(strangers, EVE)
    fail(strangers, JANE, MAX_OF_ONE)
    clock.now += PERIOD
    # This one is the newest from now on.
    fail(strangers, EVE, MAX_OF_ONE)
    strangers.check("203.0.113.99")
    refusal(strangers, EVE)
