"""The audit log: every call names a declared event and its fields, and no value can forge a line."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from logging.handlers import BufferingHandler
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.audit import EVENTS, FIELDS, MAX_VALUE, OF_REQUESTS, audit
from oauth2_mw.identity.model import Identity
from oauth2_mw.observe import has_hidden
from oauth2_mw.telemetry import Observer, enter, reference
from tests.support.source import nodes_of, trees

# The declarations


def calls() -> Iterator[tuple[str, str, list[str]]]:
    """(event, place, fields) of every call in the package; an event may be chosen between two literals."""
    for module, tree in trees().items():
        for node in nodes_of(tree):
            if isinstance(node, ast.Call) and "audit" in (
                getattr(node.func, "id", None),
                getattr(node.func, "attr", None),
            ):
                [event] = node.args
                # ``**fields`` has no name: it could not be checked here.
                names = [str(keyword.arg) for keyword in node.keywords]
                fields = " ".join(names).replace("identity", "provider user username").split()
                for name in [event.body, event.orelse] if isinstance(event, ast.IfExp) else [event]:
                    yield ast.literal_eval(name), f"{module}:{node.lineno}", fields


def test_every_call_names_a_declared_event_and_fields_that_it_declares() -> None:
    for event, place, fields in calls():
        assert event in EVENTS, place
        assert set(fields) <= set(EVENTS[event].fields), place


def test_every_declared_event_and_field_is_written_somewhere() -> None:
    written: dict[str, set[str]] = {}
    for event, _, fields in calls():
        written.setdefault(event, set()).update(fields)
    for name, declared in EVENTS.items():
        # Of a request they are written by themselves.
        by_itself = {*OF_REQUESTS} if declared.is_of_request else set()
        assert written[name] | by_itself == set(declared.fields), name
    assert written.keys() == EVENTS.keys()


def test_calls_and_declarations_have_their_fields_in_the_order_of_a_line() -> None:
    declared = [(name, "declaration", list(event.fields)) for name, event in EVENTS.items()]
    for event, place, fields in [*calls(), *declared]:
        assert fields == sorted(fields, key=list(FIELDS).index), (event, place)


def test_an_event_with_a_user_has_the_username_too() -> None:
    for event in EVENTS.values():
        # Whom nothing is to be kept of has no name in the log either.
        is_named = "username" in event.fields or event.name == "user_deleted"
        assert ("user" in event.fields) == is_named, event.name


def line(event: str, **fields: Any) -> str:
    handler, logger = BufferingHandler(capacity=10_000), logging.getLogger("oauth2_mw.audit")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        audit(event, **fields)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    [record] = handler.buffer
    assert record.levelno == (logging.INFO if event in ("login", "logout") else logging.WARNING)
    return record.getMessage()


def value(shown: object) -> str:
    return line("e", f=shown).removeprefix("event=e f=")


# One event is one line


def test_what_asks_for_an_operators_eye_is_a_warning_and_routine_is_not() -> None:
    assert line("login") == "event=login"
    assert line("login_failed") == "event=login_failed"


def test_the_fields_of_a_line_are_in_one_order_whatever_the_call_says() -> None:
    text = line("login_failed", detail="x", provider="corp", code=3, ref="1a2b3c4d")
    assert text == "event=login_failed ref=1a2b3c4d code=3 provider=corp detail=x"


def test_an_event_and_a_field_that_nobody_declared_are_logged_all_the_same() -> None:
    assert line("new", colour="red", detail="x") == "event=new detail=x colour=red"


def test_an_identity_says_who_it_is_by_which_provider() -> None:
    identity = Identity("4711", "corp", "https://op.example", "1", "jane")
    assert line("login", identity=identity) == "event=login provider=corp user=4711 username=jane"


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


# In a request


def observed(audit_format: Literal["logfmt", "json"] = "logfmt") -> dict[str, str]:
    """Begin a request whose lines are written so, and return its environ."""
    environ = {"REMOTE_ADDR": "203.0.113.9"}
    enter((Observer(lambda environ: environ["REMOTE_ADDR"], audit_format), environ, ""))
    return environ


def test_every_line_of_a_request_has_its_client_and_one_reference() -> None:
    observed()
    first, second = line("login_failed", code="x"), line("refused", code="y")
    assert re.fullmatch("event=login_failed ref=[0-9a-f]{8} code=x address=203.0.113.9", first)
    assert second.split()[1] == first.split()[1] == f"ref={reference()}"
    observed()
    assert line("refused").split()[1] != first.split()[1]


def test_what_is_about_this_host_has_no_client() -> None:
    observed()
    assert line("key_file_unusable", detail="x") == "event=key_file_unusable detail=x"


def test_without_a_request_each_reference_is_another() -> None:
    assert reference() != reference()


def test_a_line_can_be_one_json_object() -> None:
    observed("json")
    identity = Identity("4711", "corp", "https://op.example", "1", "jane")
    text = line("login_failed", identity=identity, count=3, detail='a\nb\u202e"', dropped=["x", "y"])
    read = json.loads(text)
    assert text.isascii()
    assert text.isprintable()
    assert datetime.fromisoformat(read.pop("time")).tzinfo == UTC
    assert list(read.items()) == [
        ("level", "WARNING"),
        ("event", "login_failed"),
        ("ref", reference()),
        ("provider", "corp"),
        ("user", "4711"),
        ("username", "jane"),
        ("address", "203.0.113.9"),
        ("count", 3),
        ("dropped", ["x", "y"]),
        ("detail", 'a\nb\u202e"'),
    ]


@given(st.text(alphabet=st.characters(codec=None), max_size=600))
def test_whatever_a_value_is_its_object_is_one_line(text: str) -> None:
    observed("json")
    shown = line("e", detail=text, dropped=frozenset({text}))
    assert shown.isascii()
    assert shown.isprintable()
    read = json.loads(shown)
    assert read["detail"] == (text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 3] + "...")
    assert read["dropped"] == [read["detail"]]
