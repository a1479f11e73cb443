"""Audit lines that nobody can forge, and libraries that keep our secrets."""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.observe import MAX_VALUE, audit, has_hidden, new_id, new_reference, quiet_libraries

LIBRARIES = ("requests_oauthlib", "oauthlib", "urllib3")


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


def line(event: str, **fields: object) -> str:
    handler, logger = Lines(), logging.getLogger("oauth2_mw.audit")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        audit(event, **fields)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    [record] = handler.kept
    assert record.levelno == (logging.INFO if event in ("login", "logout") else logging.WARNING)
    return record.getMessage()


def value(shown: object) -> str:
    return line("e", f=shown).removeprefix("event=e f=")


# One event is one line


def test_what_asks_for_an_operators_eye_is_a_warning_and_routine_is_not() -> None:
    assert line("login") == "event=login"
    assert line("login_failed") == "event=login_failed"


def test_an_event_is_written_with_its_fields_in_order() -> None:
    assert (
        line("login", ref="1a2b3c4d", provider="corp", code=3)
        == "event=login ref=1a2b3c4d provider=corp code=3"
    )


def test_a_field_that_is_none_is_left_out() -> None:
    assert line("login", ref=None, provider="corp") == "event=login provider=corp"


@pytest.mark.parametrize(
    ("given_value", "shown"),
    [
        ("plain", "plain"),
        ("https://op.example/a?b", "https://op.example/a?b"),
        ("jane@x.example", "jane@x.example"),
        ("Jürgen", "Jürgen"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("back\\slash", r'"back\\slash"'),
        (("a", "b"), "a,b"),
        (["a", "b c"], '"a,b c"'),
        (frozenset("ba"), "a,b"),
        (7, "7"),
        (True, "True"),
        ("100% %s %(x)s {0}", '"100% %s %(x)s {0}"'),
    ],
)
def test_a_value_is_quoted_when_it_needs_to_be(given_value: object, shown: str) -> None:
    assert value(given_value) == shown


@pytest.mark.requirement("3i.1")
@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("a\r\nevent=login user=admin", r'"a\r\nevent=login user=admin"'),
        ("a\x1b[2Jb", r'"a\x1b[2Jb"'),
        ("a\x00b", r'"a\x00b"'),
        ("a\x85b", r'"a\x85b"'),
        ("a\u2028b", r'"a\u2028b"'),
        ("a\u202eb", r'"a\u202eb"'),
        ("a\u200bb", r'"a\u200bb"'),
        ("a\ufeffb", r'"a\ufeffb"'),
        ("a\ufe0fb", r'"a\ufe0fb"'),
        ("a\u3164b", r'"a\u3164b"'),
        ("a\u00a0b", r'"a\xa0b"'),
        ("a\ud800b", r'"a\ud800b"'),
        ("a\U000e0041b", r'"a\U000e0041b"'),
    ],
)
def test_what_starts_a_line_or_hides_is_escaped(hidden: str, shown: str) -> None:
    assert value(hidden) == shown


@pytest.mark.requirement("3h.10")
def test_a_long_value_is_cut() -> None:
    assert value("x" * MAX_VALUE) == "x" * MAX_VALUE
    assert value("x" * (MAX_VALUE + 1)) == f'"{"x" * (MAX_VALUE - 3)}..."'


def test_a_long_value_is_never_cut_inside_an_escape() -> None:
    assert re.fullmatch(r'"x*(\\x00)+\.\.\."', value("x" * 490 + "\0" * 400))


@pytest.mark.requirement("3i.1")
@given(st.text(alphabet=st.characters(codec=None), max_size=600))
def test_whatever_a_value_is_the_line_is_one_and_its_value_can_be_told_apart(text: str) -> None:
    shown = line("e", before=text, after="end")
    assert shown.isprintable()
    assert not has_hidden(shown)
    assert shown.splitlines() == [shown]
    match = re.fullmatch(r'event=e before=([^\s"=\\]+|"(?:[^"\\]|\\.)*") after=end', shown)
    assert match is not None
    assert len(match[1]) <= MAX_VALUE + 2


@given(st.text(max_size=100))
def test_two_values_that_differ_are_shown_differently(text: str) -> None:
    assert value(text) != value(text + "\u200b")


def test_nothing_is_built_when_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    class Untouchable:
        def __str__(self) -> str:
            raise AssertionError

    caplog.set_level(logging.ERROR, "oauth2_mw.audit")
    audit("e", f=Untouchable())
    caplog.set_level(logging.WARNING, "oauth2_mw.audit")
    audit("login", f=Untouchable())


def test_references_are_eight_hexadecimal_digits_and_differ() -> None:
    references = {new_reference() for _ in range(100)}
    assert len(references) == 100
    assert all(re.fullmatch("[0-9a-f]{8}", reference) for reference in references)


def test_an_id_is_never_taken_for_an_option() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{21}", one) for one in ids)
    assert len({one[1] for one in ids}) > 32


# Libraries that talk too much


@pytest.fixture
def everything_logged() -> Iterator[Callable[[], list[logging.LogRecord]]]:
    """Every library of ours at DEBUG, as an operator who looks for a fault sets it."""
    handler, root = Lines(), logging.getLogger()
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    root.addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield lambda: handler.kept
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    root.removeHandler(handler)


@pytest.mark.requirement("O5")
def test_a_token_request_at_debug_logs_no_secret(
    everything_logged: Callable[[], list[logging.LogRecord]],
) -> None:
    quiet_libraries()
    from oauthlib.oauth2 import WebApplicationClient
    from requests_oauthlib import OAuth2Session

    session = OAuth2Session(client=WebApplicationClient("app"), state="c4n4ry-state")
    session.authorization_url("https://op.example/authorize", state="c4n4ry-state")
    session.token = {"access_token": "c4n4ry-token", "token_type": "Bearer"}
    session._client.add_token("https://op.example/userinfo")
    session._client.parse_request_body_response('{"access_token": "c4n4ry-token", "token_type": "Bearer"}')
    assert "c4n4ry" not in "".join(record.getMessage() for record in everything_logged())


@pytest.mark.requirement("O5")
def test_every_logger_of_these_libraries_is_silent_at_debug(
    everything_logged: Callable[[], list[logging.LogRecord]],
) -> None:
    quiet_libraries()
    for library in LIBRARIES:
        package = importlib.import_module(library)
        for module in pkgutil.walk_packages(package.__path__, f"{library}.", onerror=lambda _: None):
            logging.getLogger(module.name).debug("c4n4ry")
        package_logger = logging.getLogger(library)
        package_logger.debug("c4n4ry")
    assert everything_logged() == []


def test_what_they_say_above_debug_is_still_heard(
    everything_logged: Callable[[], list[logging.LogRecord]],
) -> None:
    quiet_libraries()
    logging.getLogger("urllib3.connectionpool").warning("retrying")
    assert [record.getMessage() for record in everything_logged()] == ["retrying"]


def test_quieting_twice_changes_nothing_more() -> None:
    quiet_libraries()
    before = {name: list(logging.getLogger(name).filters) for name in logging.root.manager.loggerDict}
    quiet_libraries()
    assert {name: logging.getLogger(name).filters for name in before} == before


def test_quieting_twice_looks_at_no_file_again(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet_libraries()
    monkeypatch.setattr(os, "walk", lambda _: pytest.fail("walked again"))
    quiet_libraries()


def test_a_quieting_that_broke_off_is_made_up_for(
    everything_logged: Callable[[], list[logging.LogRecord]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in LIBRARIES:
        for name in (library, *(n for n in logging.root.manager.loggerDict if n.startswith(f"{library}."))):
            monkeypatch.setattr(logging.getLogger(name), "filters", [])

    def broken(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
        yield folder, [], ["__init__.py", "a.py"]
        raise OSError("gone")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="gone"):
        patch.setattr(os, "walk", broken)
        quiet_libraries()
    quiet_libraries()
    for name in ("urllib3", "urllib3.connectionpool", "oauthlib.oauth2.rfc6749.parameters"):
        logging.getLogger(name).debug("c4n4ry")
    assert everything_logged() == []


def test_levels_and_handlers_stay_as_the_operator_set_them() -> None:
    logger = logging.getLogger("oauthlib")
    before = (logger.level, logger.propagate, list(logger.handlers))
    quiet_libraries()
    assert (logger.level, logger.propagate, logger.handlers) == before
