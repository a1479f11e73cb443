"""The parts of the soak that are not the checker: the list of faults, growth, the relay, the table, the clock."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.soak.answers import page, signed_in, suffered
from tests.soak.checker import Checker
from tests.soak.growth import Growth, Sample, sample_of
from tests.soak.model import Row
from tests.soak.relay import Relay
from tests.soak.report import table
from tests.soak.schedule import KINDS, STORES, StoreName, schedule
from tests.support.hosts.listening import listening
from tests.support.hosts.processes import child_environment

# Which faults follow each other


@pytest.mark.parametrize("store", STORES)
def test_a_seed_gives_the_same_list_again_with_each_fault_once_in_a_round(store: StoreName) -> None:
    number = len(KINDS[store])
    faults = list(islice(schedule(store, 7), 3 * number))
    assert faults == list(islice(schedule(store, 7), 3 * number))
    assert faults != list(islice(schedule(store, 8), 3 * number))
    for round_ in range(3):
        kinds = [fault.kind for fault in faults[round_ * number : (round_ + 1) * number]]
        assert sorted(kinds) == sorted(KINDS[store])


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_revoked_soon_after_a_clock_was_ahead(seed: int) -> None:
    kinds = [fault.kind for fault in islice(schedule("redis", seed), 3 * len(KINDS["redis"]))]
    for place, kind in enumerate(kinds):
        if kind == "everybody revoked":
            assert "clock stepped" not in kinds[max(0, place - 3) : place]


# Growth


def worker(memory: list[float], descriptors: list[int]) -> Growth:
    growth = Growth()
    for sample in map(Sample, memory, descriptors):
        growth.add(1, sample)
    return growth


def test_a_worker_that_warms_up_and_stays_so_is_right() -> None:
    assert worker([40, 50, 60, 62, *[64] * 16], [10, 20, 30, *[34] * 17]).problems == []


def test_a_worker_that_grows_in_memory_is_noticed() -> None:
    [problem] = worker([60 + 3 * number for number in range(40)], [20] * 40).problems
    assert "MiB" in problem


def test_a_worker_that_keeps_descriptors_is_noticed() -> None:
    [problem] = worker([60] * 40, [20 + 3 * number for number in range(40)]).problems
    assert "descriptors" in problem


def test_of_a_worker_that_was_killed_soon_nothing_is_said() -> None:
    assert worker([60, 600, 6000], [20, 200, 2000]).problems == []


def test_a_process_is_looked_at_as_long_as_it_is_there() -> None:
    sample = sample_of(os.getpid())
    assert sample is not None
    assert sample.memory > 5
    with Path(os.devnull).open("rb"):
        more = sample_of(os.getpid())
    assert more is not None
    assert more.descriptors == sample.descriptors + 1
    assert sample_of(2**22 + 1) is None


# The line to the store


@pytest.fixture
def relay() -> Iterator[Relay]:
    """To a server that repeats what it hears."""

    def repeat(connection: socket.socket) -> None:
        while said := connection.recv(100):
            connection.sendall(said)
        connection.close()

    with listening() as (port, accept):
        accept(repeat)
        with Relay(("127.0.0.1", port)) as relay:
            yield relay


def connected(relay: Relay) -> socket.socket:
    return socket.create_connection(("127.0.0.1", relay.port), timeout=10)


def asked(connection: socket.socket) -> bytes:
    connection.sendall(b"hello")
    return connection.recv(100)


def test_what_is_said_is_heard_on_the_other_side_at_once_or_late(relay: Relay) -> None:
    with connected(relay) as connection:
        assert asked(connection) == b"hello"
        relay.delay = 0.05
        began = time.monotonic()
        assert asked(connection) == b"hello"
        assert time.monotonic() - began >= 0.1


def test_a_cut_line_breaks_what_is_there_and_what_comes_until_it_is_mended(relay: Relay) -> None:
    with connected(relay) as connection:
        assert asked(connection) == b"hello"
        relay.cut()
        assert connection.recv(100) == b""
    with connected(relay) as connection:
        assert heard(connection) == b""
    relay.mend()
    with connected(relay) as connection:
        assert asked(connection) == b"hello"


def heard(connection: socket.socket) -> bytes:
    try:
        return connection.recv(100)
    except ConnectionError:
        return b""


# The table


def test_the_table_says_what_the_documentation_allows_apart() -> None:
    rows = {
        "none": Row(requests=5),
        "store cut": Row(times=2, requests=10, lost=1, lost_documented=3, affected=1.26),
    }
    lines = table(rows).splitlines()
    assert lines[0] == lines[2] == lines[-1]
    assert lines[3].split() == "none - 5 0 0 0.0 0.0 0.0 0.0 0 0 -".split()
    assert lines[4].split() == "store cut 2 10 0 0 1.3 0.0 0.0 0.0 0 1 + 3 0.0".split()


def test_waits_are_counted_for_whom_they_concern() -> None:
    checker = Checker("redis")
    ann = signed_in(checker)
    suffered(checker, "host killed", host="gthread", began=99, ended=104)
    checker.judge(page(100, user="ann", session=ann, ended=103))
    checker.judge(page(100, user="ann", session=ann, ended=102, host="sync"))
    checker.judge(page(100, what="public", ended=101, host="gevent", worker="gevent"))
    checker.judge(page(100, what="public", ended=101.5, host="sync", worker="sync"))
    checker.judge(page(100, what="public", ended=109))
    row = checker.rows["host killed"]
    assert (row.times, row.requests) == (1, 5)
    assert (row.affected, row.bystander, row.public, row.public_sync) == (9, 2, 1, 1.5)


def test_what_is_noted_beside_the_answers_is_wrong_too() -> None:
    checker = Checker("redis")
    checker.note("a worker grew", ["from 60 to 600 MiB"])
    assert str(checker.violations[0]) == "a worker grew\n    from 60 to 600 MiB"


# The clock


def test_the_clock_of_a_host_can_be_put_forward_while_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    file.write_bytes(struct.pack("d", 0.0))
    program = "import time\nwhile input():\n print(time.time(), flush=True)\n"
    env = child_environment(
        {"PYTHONPATH": str(Path(__file__).parent / "clock"), "SOAK_CLOCK": str(file), "PYTHONSAFEPATH": "1"}
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def ahead() -> float:
            assert child.stdin is not None
            assert child.stdout is not None
            print("now", file=child.stdin, flush=True)
            return float(child.stdout.readline()) - time.time()

        assert abs(ahead()) < 5
        with file.open("r+b") as open_file:
            open_file.write(struct.pack("d", 3600.0))
        assert 3590 < ahead() < 3605
        print(file=child.stdin, flush=True)
