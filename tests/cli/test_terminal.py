"""What commands print, and how they end when nobody reads it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator

import pytest

from oauth2_mw.cli.terminal import format_duration, format_time, print_table, printable, read_duration
from oauth2_mw.errors import StoreUnavailableError
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


def test_cells_cannot_make_others(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("one", "two"), [("a\tb\n", "c")])
    assert capsys.readouterr().out == "one\ttwo\na\\tb\\n\tc\n"


def test_on_a_terminal_columns_stand_under_their_headings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(
        ("id", "name", "since"), [("1", "測試", "now"), ("22", "Zoe\u0301", ""), ("333", "\x1b", "then")]
    )
    assert capsys.readouterr().out.splitlines() == [
        "id   name  since",
        "1    測試  now",
        "22   Zoe\u0301",
        r"333  \x1b  then",
    ]


def test_nothing_of_a_table_is_printed_before_its_first_row_is_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def away(number: int) -> tuple[str]:
        raise StoreUnavailableError(f"row {number} cannot be read")

    with pytest.raises(StoreUnavailableError):
        print_table(("name",), map(away, range(2)))
    assert capsys.readouterr().out == ""


def test_a_long_table_is_printed_as_its_rows_come(capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> Iterator[tuple[str]]:
        for number in range(10_000):
            yield (str(number),)
            if number == 5_000:
                assert "\n4999\n" in capsys.readouterr().out

    print_table(("number",), rows())
    assert capsys.readouterr().out.endswith("\n9999\n")


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
