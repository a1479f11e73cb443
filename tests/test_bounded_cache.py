"""The bounded cache: how much it holds, what goes first, and who waits for whom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.bounded_cache import BoundedCache


def cache_of_texts(*, max_entries: int = 3, max_cost: float = 100) -> BoundedCache[str, str]:
    return BoundedCache(
        max_entries=max_entries, max_cost=max_cost, cost=lambda key, value: len(key) + len(value)
    )


def test_the_oldest_entry_goes_when_there_are_too_many() -> None:
    cache = cache_of_texts()
    for key in "abcd":
        cache.put(key, "x")
    assert [cache.get(key) for key in "abcd"] == [None, "x", "x", "x"]


def test_the_oldest_entries_go_when_they_cost_too_much() -> None:
    cache = cache_of_texts(max_cost=10)
    for key in "abc":
        cache.put(key, "xx")
    cache.put("d", "xxxx")
    assert [cache.get(key) for key in "abcd"] == [None, None, "xx", "xxxx"]


def test_an_entry_that_costs_too_much_alone_is_not_kept() -> None:
    cache = cache_of_texts(max_cost=10)
    cache.put("a", "x" * 10)
    assert len(cache) == 0
    cache.put("a", "x" * 9)
    assert len(cache) == 1


def test_a_value_put_again_keeps_its_age() -> None:
    cache = cache_of_texts(max_entries=2)
    for key in ("a", "b", "a", "c"):
        cache.put(key, "x")
    assert [cache.get(key) for key in "abc"] == [None, "x", "x"]


def test_the_latest_of_two_values_is_kept_as_the_youngest_entry() -> None:
    cache = cache_of_texts(max_entries=2)
    cache.put("a", "2")
    cache.put("b", "x")
    assert cache.put_latest("a", "1", latest=max) == "2"
    assert cache.put_latest("c", "1", latest=max) == "1"
    assert [cache.get(key) for key in "abc"] == ["2", None, "1"]


def test_an_entry_is_added_once() -> None:
    cache = cache_of_texts()
    assert cache.add("a", "1")
    assert not cache.add("a", "2")
    assert cache.get("a") == "1"


def test_of_many_threads_one_adds_an_entry() -> None:
    cache: BoundedCache[int, int] = BoundedCache(max_entries=1000)
    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(lambda number: cache.add(number % 50, number), range(1000))) == 50


def test_an_entry_is_forgotten() -> None:
    cache = cache_of_texts(max_cost=4)
    cache.put("a", "xxx")
    cache.pop("a")
    cache.pop("a")
    assert cache.get("a") is None
    cache.put("b", "xxx")
    assert cache.get("b") == "xxx"


def test_expired_entries_at_the_old_end_go_with_the_next_write() -> None:
    now = 0
    cache: BoundedCache[str, int] = BoundedCache(max_entries=10, is_expired=lambda expires: expires < now)
    for key, expires in (("a", 1), ("b", 5), ("c", 1)):
        cache.put(key, expires)
    now = 2
    assert not cache.add("a", 9)
    assert cache.add("d", 9)
    assert [cache.get(key) for key in "abcd"] == [None, 5, 1, 9]


def test_who_must_not_wait_puts_nothing_while_another_thread_writes() -> None:
    cache = cache_of_texts()
    with cache._lock:
        cache.put_unless_busy("a", "x")
    assert len(cache) == 0
    cache.put_unless_busy("a", "x")
    assert cache.get("a") == "x"


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.text("x", max_size=12), st.integers(0, 4))))
def test_whatever_is_written_stays_within_bounds(writes: list[tuple[str, str, int]]) -> None:
    cache = cache_of_texts(max_cost=20)
    for key, value, way in writes:
        match way:
            case 0:
                cache.put(key, value)
            case 1:
                cache.put_unless_busy(key, value)
            case 2:
                cache.put_latest(key, value, latest=max)
            case 3:
                cache.add(key, value)
            case _:
                cache.pop(key)
        cost = sum(len(key) + len(value) for key, value in cache._entries.items())
        assert cache._cost == cost <= 20
        assert len(cache) <= 3
