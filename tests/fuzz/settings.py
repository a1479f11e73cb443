"""What operators write: wrong settings are explained, right ones mean what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oauth2_mw.access.allow import check_allowed
from oauth2_mw.access.rules import AccessRules
from oauth2_mw.boundary import contains_control, is_ambiguous_path
from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.settings.allow_list import AllowList
from oauth2_mw.settings.attribute_path import Many
from oauth2_mw.settings.fields import FIELDS
from oauth2_mw.settings.grammar import (
    AllowTerm,
    AttributePath,
    PathRule,
    decode_key,
    format_key_line,
    parse_bool,
    parse_duration,
    parse_key_file,
    parse_secret_keys,
    split_terms,
)
from tests.fuzz.boundary import any_text
from tests.fuzz.provider import check_host

# The longest word of a key file that a message may show, a kid, has 32 characters.
_LONGEST_SHOWN = 32
_URLS = frozenset(
    "public_url issuer jwks_uri metadata_url authorization_endpoint token_endpoint userinfo_endpoint "
    "logout_endpoint".split()
)


def grammar(data: bytes) -> None:
    """Whatever is written is either explained in one line or read in a way that can be written again."""
    text = any_text(data)
    for check in (_attribute_path, _path_rule, _allow_term, _duration, _bool, _terms):
        try:
            check(text)
        except ValueError as error:
            _explained(error)


def _explained(error: ValueError) -> None:
    assert not isinstance(error, (UnicodeError, json.JSONDecodeError)), "nobody meant to raise this"
    assert str(error)
    assert not contains_control(str(error))


def _nested(path: AttributePath, value: Any) -> dict[str, Any]:
    """A document in which *value* stands at *path*."""
    for segment in reversed(path.segments):
        match segment:
            case str():
                value = {segment: value}
            case Many.KEYS:
                value = {value: None}
            case Many.ITEMS:
                value = [value]
            case _:
                value = [None] * segment + [value]
    assert isinstance(value, dict)
    return value


def _attribute_path(text: str) -> None:
    path = AttributePath.parse(text)
    assert path == AttributePath.parse(path.text)
    assert path.get({}) is None
    if max((segment for segment in path.segments if isinstance(segment, int)), default=0) < 100:
        document = _nested(path, "here")
        assert path.get(document) == (("here",) if path.leads_to_many else "here")
        assert list(document) == [path.root]


def _path_rule(text: str) -> None:
    rule = PathRule.parse(text)
    inside = rule.native + "x" if rule.is_subtree else rule.native
    judge = AccessRules(public_paths=(rule,))

    def is_public(path: str) -> bool:
        return judge.find(path, "GET").effect == "public"

    assert not is_ambiguous_path(inside), "a rule that no request can ever match"
    assert is_public(inside)
    assert is_public("/") == (text in ("/", "/$"))
    if text != "/":
        assert not is_public(rule.native.rstrip("/") + "-x")


def _allow_term(text: str) -> None:
    term = AllowTerm.parse(text)
    assert str(term)
    if term.field == "claim":
        path, wanted = term.claim()
        if max((segment for segment in path.segments if isinstance(segment, int)), default=0) < 100:
            assert _allowed(term, claims=_nested(path, wanted))
            assert _allowed(term, claims=_nested(path, [wanted]))
    elif term.field != "email":
        people: dict[str, dict[str, Any]] = {
            "user": {"username": term.value},
            "provider": {"provider": term.value},
            "group": {"groups": (term.value,)},
            "organization": {"organizations": (term.value,)},
            "email_domain": {"email": f"x@{term.value}"},
            "*": {},
        }
        assert _allowed(term, **people[term.field]) or len(term.value) > 253
    else:
        _allowed(term, email=term.value)
    assert not _allowed(term) or term.field == "*"


def _allowed(term: AllowTerm, **person: Any) -> bool:
    nobody: dict[str, Any] = {
        "provider": "",
        "username": "",
        "email": None,
        "email_counts": True,
        "groups": (),
        "organizations": (),
        "claims": {},
    }
    try:
        check_allowed(AllowList(((term,),)), **{**nobody, **person})
    except AccessDeniedError:
        return False
    return True


def _duration(text: str) -> None:
    assert 0 <= parse_duration(text) < 10**14


def _bool(text: str) -> None:
    assert parse_bool(text) in (True, False)


def _terms(text: str) -> None:
    words = split_terms(text)
    assert all(words)
    assert "".join("".join(words).split()) == "".join(text.split())


def key_file(data: bytes) -> None:
    """A key file is read as it was written, and no message about it shows a key."""
    text = any_text(data)
    for reader in (parse_key_file, parse_secret_keys, decode_key):
        try:
            found: Any = reader(text)
        except ValueError as error:
            _explained(error)
            assert all(word not in str(error) for word in text.split() if len(word) > _LONGEST_SHOWN)
            continue
        if reader is parse_key_file:
            assert len({entry.key for entry in found}) == len({entry.kid for entry in found}) == len(found)
            assert parse_key_file("\n".join(map(format_key_line, found))) == found
        else:
            keys = found if isinstance(found, tuple) else (found,)
            assert len(set(keys)) == len(keys)
            assert all(len(key) == 32 for key in keys)


def fields(data: bytes) -> None:
    """The name of a setting on the first line, its text below: it is read, or refused in one sentence."""
    name, _, text = any_text(data).partition("\n")
    for field in FIELDS:
        if field.name != name:
            continue
        try:
            value = field.read(text, Path("/nonexistent"))
            if name in _URLS and value is not None:
                check_host(value)
        except ValueError as error:
            _explained(error)
            assert not field.secret or len(text) < 16 or text not in str(error)
