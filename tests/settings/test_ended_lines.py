"""``!ended MOMENT``: the line of a key file that says up to when sessions began which ended with a key."""

from __future__ import annotations

import pytest

from oauth2_mw.settings.keys import (
    KeyEntry,
    format_ended_line,
    format_key_line,
    parse_ended,
    parse_key_file,
    parse_secret_keys,
)
from tests.support.settings.keys import raw_key, text_key

FIRST, SECOND = KeyEntry("k1", 1_700_000_000, raw_key(1)), KeyEntry("k2", 1_700_000_100, raw_key(2))
#: 1_700_000_000
MOMENT = "2023-11-14T22:13:20Z"


def test_a_key_file_may_say_when_keys_ended_before_between_and_after_its_keys() -> None:
    lines = [format_key_line(FIRST), format_key_line(SECOND)]
    for place in range(3):
        text = "\n".join([*lines[:place], f"!ended {MOMENT}", *lines[place:]])
        assert parse_key_file(text) == (FIRST, SECOND)
        assert parse_ended(text) == 1_700_000_000


def test_the_latest_moment_counts_wherever_it_stands() -> None:
    lines = ["# !ended 2030-01-01T00:00:00Z", "", format_key_line(FIRST)]
    assert parse_ended("\n".join(lines)) == 0
    for moments in ((5, 7), (7, 5)):
        assert parse_ended("\n".join([*map(format_ended_line, moments), *lines])) == 7


def test_what_is_written_is_read() -> None:
    assert format_ended_line(1_700_000_000) == f"!ended {MOMENT}"
    assert parse_ended(f"  !ended\t{MOMENT} ") == 1_700_000_000


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("!ended", "the line is two words"),
        (f"!ended {MOMENT} {MOMENT}", "the line is two words"),
        ("!ended yesterday", "the moment"),
        (f"{MOMENT} !ended", "a line is three words"),
        (f"k3 {MOMENT} !ended", "a key is 32 random bytes"),
    ],
)
def test_a_line_of_another_shape_is_refused_by_its_number(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^line 2: {why}"):
        parse_key_file(f"{format_key_line(FIRST)}\n{line}\n")
    if line.startswith("!ended"):
        with pytest.raises(ValueError, match=f"^{why}"):
            parse_ended(line)


def test_keys_with_a_comma_between_are_told_so() -> None:
    with pytest.raises(ValueError, match="key 1: keys are separated by spaces, not by commas"):
        parse_secret_keys(f"{text_key(1)}, {text_key(2)}")
