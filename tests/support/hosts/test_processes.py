"""Child processes of the tests are awaited with a deadline, explain their failures, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

from tests.support.hosts.processes import (
    Child,
    ChildFailedError,
    _ports_of,
    child_environment,
    free_port,
    listening_socket,
)

GRANDPARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("ready", child.pid, flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


def python(code: str) -> Child:
    return Child("a child", [sys.executable, "-c", code])


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie, which nobody has waited for yet, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ends_soon(pid: int) -> bool:
    until = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_alive(pid)


def test_a_line_of_output_tells_that_a_child_is_ready() -> None:
    with python("print('noise'); print('ready 42', flush=True); import time; time.sleep(600)") as child:
        assert child.wait_for_line(r"^ready (\d+)")[1] == "42"
        assert child.running
    assert not child.running


def test_a_child_that_ends_before_it_is_ready_is_explained_by_what_it_printed() -> None:
    with (
        python("import sys; sys.exit('the reason')") as child,
        pytest.raises(ChildFailedError, match="the reason"),
    ):
        child.wait_for_line("^ready")


def test_a_child_that_ends_while_it_is_asked_is_explained_too() -> None:
    with python("print('the reason')") as child, pytest.raises(ChildFailedError, match="ended"):
        child.wait_until(lambda: False)


def test_waiting_has_a_deadline() -> None:
    with (
        python("import time; time.sleep(600)") as child,
        pytest.raises(ChildFailedError, match="not ready within"),
    ):
        child.wait_for_line("^ready", deadline=0.05)


def test_a_refused_connection_means_not_yet() -> None:
    answers = iter([ConnectionRefusedError, None])

    def ready() -> bool:
        if error := next(answers):
            raise error
        return True

    with python("import time; time.sleep(600)") as child:
        child.wait_until(ready)


def test_what_a_child_prints_on_both_streams_is_kept() -> None:
    with python("import sys; print('one', flush=True); print('two', file=sys.stderr)") as child:
        assert child.wait() == 0
        assert set(child.output.split()) == {"one", "two"}


def test_stopping_reaches_the_children_of_a_child() -> None:
    with python(GRANDPARENT) as child:
        grandchild = int(child.wait_for_line(r"^ready (\d+)")[1])
        assert is_alive(grandchild)
    assert ends_soon(grandchild)


def test_a_child_that_ignores_being_asked_is_ended() -> None:
    child = python(STUBBORN)
    child.wait_for_line("^ready")
    child.stop(grace=0.1)
    assert ends_soon(child.pid)
    child.stop()


def test_a_crash_can_be_played() -> None:
    with python("print('ready', flush=True); import time; time.sleep(600)") as child:
        child.wait_for_line("^ready")
        child.kill()
        assert child.wait() == -signal.SIGKILL


def test_a_child_sees_little_of_the_shell_that_the_tests_run_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("OAUTH2_MW_CLIENT_ID", "of the developer")
    environment = child_environment({"GIVEN": "1"})
    assert environment["GIVEN"] == "1"
    assert environment["PATH"] == os.environ["PATH"]
    assert not {"https_proxy", "OAUTH2_MW_CLIENT_ID"} & environment.keys()


def test_no_port_is_given_to_two() -> None:
    given = [free_port() for _ in range(50)]
    assert len(set(given)) == 50
    assert max(given) < 32768 - 10_000
    of_two = [set(islice(_ports_of(worker), 2000)) for worker in ("gw0", "gw1")]
    assert not set.intersection(*of_two)


def test_ports_and_sockets_are_of_this_machine_alone() -> None:
    with listening_socket() as sock:
        host, port = sock.getsockname()
        assert host == "127.0.0.1"
        assert free_port() != port
        assert os.get_inheritable(sock.fileno())
