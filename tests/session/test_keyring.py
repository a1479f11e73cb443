"""The key ring: a new key takes over without anybody being logged out."""

from __future__ import annotations

import threading
from math import inf
from pathlib import Path

import pytest

from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.keyring import SEAL_DELAY, Key, Keyring
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.settings.grammar import KeyEntry, Secret, format_key_line
from oauth2_mw.settings.keys import format_ended_line
from tests.support.clock import Clock
from tests.support.settings.keys import raw_key as key
from tests.support.settings.keys import text_key

T0 = 1_800_000_000


def write(path: Path, *entries: tuple[str, int, bytes]) -> None:
    lines = (format_key_line(KeyEntry(kid, since, raw)) for kid, since, raw in entries)
    temporary = path.with_suffix(".new")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def sealer(path: Path, clock: Clock) -> Sealer:
    return Sealer(
        Keyring(Secret.file(path), sync=5, clocks=Clocks(clock, clock)), app_id="https://app.example"
    )


def test_a_first_key_seals_at_once(path: Path, clock: Clock) -> None:
    write(path, ("a", T0, key(0)))
    box = sealer(path, clock)
    assert box.open("p", "n", box.seal("p", "n", b"x")) == b"x"


def test_a_new_key_opens_at_once_and_seals_a_minute_later(path: Path, clock: Clock) -> None:
    write(path, ("a", T0 - 1000, key(0)))
    box = sealer(path, clock)
    first = box.keyring.sealing_key().id
    write(path, ("a", T0 - 1000, key(0)), ("b", T0, key(1)))
    clock.now = T0 + 59
    box.keyring.look()
    assert box.keyring.sealing_key().id == first
    clock.now = T0 + 60
    assert box.keyring.sealing_key().id != first
    assert len(box.keyring._ring.by_id) == 2


@pytest.mark.requirement("3c.3")
def test_a_worker_that_has_not_looked_yet_opens_what_a_new_key_sealed(path: Path, clock: Clock) -> None:
    write(path, ("a", T0 - 1000, key(0)))
    slow = sealer(path, clock)
    write(path, ("a", T0 - 1000, key(0)), ("b", T0 - 900, key(1)))
    fast = sealer(path, clock)
    assert slow.open("p", "n", fast.seal("p", "n", b"x")) == b"x"


def test_unknown_keys_make_the_ring_read_its_file_at_most_once_a_second(path: Path, clock: Clock) -> None:
    write(path, ("a", T0 - 1000, key(0)))
    box = sealer(path, clock)
    assert box.keyring.find(b"12345678") is None
    write(path, ("a", T0 - 1000, key(0)), ("b", T0 - 900, key(1)))
    sealed = sealer(path, clock).seal("p", "n", b"x")
    assert box.open("p", "n", sealed) is None
    clock.now += 1
    assert box.open("p", "n", sealed) == b"x"


def test_a_retired_key_opens_nothing_any_more(path: Path, clock: Clock) -> None:
    write(path, ("a", T0 - 1000, key(0)), ("b", T0, key(1)))
    box = sealer(path, clock)
    sealed = box.seal("p", "n", b"x")
    write(path, ("b", T0, key(1)))
    generation = box.keyring.generation
    box.keyring.look()
    assert box.open("p", "n", sealed) is None
    assert box.keyring.generation == generation + 1


@pytest.mark.parametrize("content", ["rubbish\n", "a 2026-01-01T00:00:00Z short\n"])
def test_a_broken_key_file_leaves_the_known_keys_in_force_and_is_told(
    path: Path, clock: Clock, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, ("a", T0 - 1000, key(0)))
    box = sealer(path, clock)
    sealed = box.seal("p", "n", b"x")
    path.write_text(content)
    with caplog.at_level("INFO", "oauth2_mw.audit"):
        box.keyring.look()
    assert box.open("p", "n", sealed) == b"x"
    assert "key_file_unusable" in caplog.text


def test_an_emptied_or_removed_key_file_leaves_the_known_keys_in_force(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, ("a", T0 - 1000, key(0)))
    box = sealer(path, clock)
    sealed = box.seal("p", "n", b"x")
    path.write_text("")
    box.keyring.look()
    path.unlink()
    clock.now += 5
    box.keyring.refresh()
    assert box.open("p", "n", sealed) == b"x"
    assert caplog.text.count("key_file_unusable") == 2


def test_sealing_looks_at_the_file_in_time_too(path: Path, clock: Clock) -> None:
    write(path, ("a", T0 - 1000, key(0)))
    box = sealer(path, clock)
    first = box.keyring.sealing_key().id
    write(path, ("b", T0 - 900, key(1)))
    clock.now += 4
    assert box.keyring.sealing_key().id == first
    clock.now += 1
    second = box.keyring.sealing_key().id
    assert second != first
    write(path, ("c", T0 - 800, key(2)))
    clock.now += 4
    assert box.keyring.sealing_key().id == second
    clock.now += 1
    assert box.keyring.sealing_key().id not in (first, second)


def test_an_unchanged_file_changes_nothing(path: Path, clock: Clock) -> None:
    write(path, ("a", T0 - 1000, key(0)))
    ring = sealer(path, clock).keyring
    ring.look()
    assert ring.generation == 0


def test_literal_keys_are_never_looked_for_again() -> None:
    ring = Keyring(Secret.literal(text_key()), sync=5)
    assert ring.next_look == float("inf")
    assert ring.find(b"12345678") is None
    assert ring.next_look == float("inf")


def test_of_literal_keys_the_first_seals() -> None:
    ring = Keyring(Secret.literal(f"{text_key(0)} {text_key(1)} {text_key(2)}"), sync=5)
    assert ring.sealing_key().id == Keyring(Secret.literal(text_key(0)), sync=5).sealing_key().id


def test_of_keys_that_are_all_too_new_the_oldest_seals(path: Path, clock: Clock) -> None:
    write(path, ("a", T0 + 2000, key(0)), ("b", T0 + 1000, key(1)), ("c", T0 + 3000, key(2)))
    oldest = Keyring(Secret.literal(text_key(1)), sync=5).sealing_key().id
    assert sealer(path, clock).keyring.sealing_key().id == oldest


def test_a_key_has_a_name_of_eight_octets_and_one_cipher_for_each_purpose() -> None:
    found = Keyring(Secret.literal(text_key()), sync=5).sealing_key()
    assert len(found.id) == 8
    assert found.aead("session") is found.aead("session")
    assert found.aead("session") is not found.aead("state")


def test_nobody_waits_for_a_look_that_another_request_takes(path: Path, clock: Clock) -> None:
    write(path, ("a", T0, key(0)))
    ring = sealer(path, clock).keyring
    with ring._reading:
        look = threading.Thread(target=ring.look, daemon=True)
        look.start()
        look.join(timeout=5)
        assert not look.is_alive()


def test_a_file_that_was_just_read_is_not_looked_at_before_its_time(path: Path, clock: Clock) -> None:
    write(path, ("a", T0 - 1000, key(0)))
    ring = sealer(path, clock).keyring
    write(path, ("b", T0 - 900, key(1)))
    clock.now += 4
    ring.refresh()
    assert ring.generation == 0
    clock.now += 1
    ring.refresh()
    assert ring.generation == 1


def test_an_unknown_key_is_looked_for_from_the_first_moment(path: Path, clock: Clock) -> None:
    clock.now = 0.0
    write(path, ("a", 0, key(0)))
    box = sealer(path, clock)
    write(path, ("a", 0, key(0)), ("b", 1, key(1)))
    assert len(box.keyring._ring.by_id) == 1
    box.keyring.find(b"12345678")
    assert len(box.keyring._ring.by_id) == 2


# What a key dates


def ring(source: Secret, clock: Clock) -> Keyring:
    return Keyring(source, sync=5, clocks=Clocks(clock, clock))


def test_a_key_of_a_file_has_sealed_until_the_next_one_took_over(path: Path, clock: Clock) -> None:
    entries = [("a", T0 - 9000, key(0)), ("b", T0 - 6000, key(1)), ("c", T0 - 3000, key(2))]
    for written in (entries, entries[::-1]):
        write(path, *written)
        keyring = ring(Secret.file(path), clock)
        until = [keyring.sealed_until(Key(raw).id) for _, _, raw in entries]
        assert until == [T0 - 6000 + SEAL_DELAY, T0 - 3000 + SEAL_DELAY, inf]


def test_nobody_knows_until_when_a_key_of_a_setting_has_sealed(clock: Clock) -> None:
    keyring = ring(Secret.literal(f"{text_key(1)} {text_key(2)}"), clock)
    assert [keyring.sealed_until(Key(key(number)).id) for number in (1, 2)] == [inf, inf]
    assert keyring.ended == 0


def test_a_file_says_up_to_when_sessions_have_ended_with_a_key(path: Path, clock: Clock) -> None:
    write(path, ("a", T0 - 1000, key(0)))
    keyring = ring(Secret.file(path), clock)
    assert keyring.ended == 0
    with path.open("a") as file:
        file.write(format_ended_line(T0 - 500) + "\n")
    keyring.look()
    assert keyring.ended == T0 - 500


def test_a_name_is_hashed_as_in_earlier_releases_so_that_what_they_listed_is_found() -> None:
    assert Key(key(1)).mac("session-index", "user:u1") == "YeV7OU-owMLUQm9fRbwdp3Zhhea_2pclbN-D97e2d1E"
    assert len({Key(key(n)).mac(purpose, text) for n in (1, 2) for purpose in "ab" for text in "cd"}) == 8
