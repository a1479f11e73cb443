"""What commands print, and how they end when nobody reads it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from argparse import ArgumentTypeError

import pytest

from oauth2_mw.cli.terminal import format_duration, format_time, printable, read_duration, row
from tests.support.hosts.processes import ROOT, child_environment


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Jane Doé 測試 😀", "Jane Doé 測試 😀"),
        ("a\tb\r\n\x00", r"a\tb\r\n\x00"),
        ("\x1b[2J\x9b\x7f", r"\x1b[2J\x9b\x7f"),
        ("\u202e\u200b\u2028\ufe0f", r"\u202e\u200b\u2028\ufe0f"),
        ("a\udcff", r"a\udcff"),
        (r"\x1b", r"\\x1b"),
    ],
)
def test_what_is_printed_holds_nothing_but_what_it_shows(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_the_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert printable("é測") == r"é\u6e2c"


def test_cells_cannot_make_others() -> None:
    assert row("a\tb", "c") == "a\\tb\tc"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1s"), (90, "90s"), (60, "1m"), (5400, "90m"), (28800, "8h"), (86400, "1d"), (0, "0s")],
)
def test_spans_are_written_as_settings_are(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text
    assert read_duration(text) == seconds


def test_a_span_ends_at_a_year() -> None:
    assert read_duration("366d") == 366 * 86400
    with pytest.raises(ArgumentTypeError):
        read_duration("367d")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00Z"), (253402300799, "9999-12-31T23:59:59Z"), (2**40, "9999-12-31T23:59:59Z")],
)
def test_moments_are_written_as_key_files_have_them(seconds: int, text: str) -> None:
    assert format_time(seconds) == text


def test_a_reader_who_has_seen_enough_is_no_failure_to_talk_about() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "oauth2_mw.cli", "settings"],
        env=child_environment({}),
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
