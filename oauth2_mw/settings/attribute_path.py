"""Paths into a provider's claims: ``a.b``, ``a[0].b``, ``a[*].b``, ``keys(a)``, ``"https://acme.example/roles"``.

A text that is not valid raises ``ValueError`` with a message that says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from oauth2_mw.boundary import contains_control
from oauth2_mw.settings.text import shown

_MAX_DEPTH = 20
#: characters, of a path or an expression
MAX_PATH_LENGTH = 512
_KEYS = re.compile(r"keys\((.*)\)")
_INDEX = re.compile(r"\[([0-9]{1,4}|\*)\]")
_PLAIN_SEGMENT = re.compile(r"[^.\[\]\"\\\s=()*]+")
_QUOTED_SEGMENT = re.compile(r'"((?:[^"\\]|\\["\\])+)"')
_ESCAPED = re.compile(r'\\(["\\])')


class Many(Enum):
    """A step of a path that leads to several values."""

    #: to each item of a list
    ITEMS = "[*]"
    #: to the name of each member of an object
    KEYS = "keys"


#: The name of a member, the index of an item, or a step to several values.
Segment: TypeAlias = str | int | Many


@dataclass(frozen=True, slots=True)
class AttributePath:
    """A path into the provider's claims."""

    text: str
    segments: tuple[Segment, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> AttributePath:
        """Parse a path.

        :raises ValueError: if it is not valid, or deeper than 20 steps.
        """
        if len(text) > MAX_PATH_LENGTH or contains_control(text):
            raise ValueError("a path into the provider's claims is one line of at most 512 characters")
        keys = _KEYS.fullmatch(text)
        inner = keys[1] if keys is not None else text
        segments, end = _read_path(inner)
        if end != len(inner):
            raise ValueError(
                f"{shown(text)}: cannot read {shown(inner[end:])}; a segment with dots, brackets, spaces or = "
                'needs quotes, like "https://acme.example/roles"'
            )
        return cls(text, (*segments, Many.KEYS) if keys is not None else segments)

    @property
    def root(self) -> str:
        """The name of the first claim on the path."""
        return str(self.segments[0])

    @property
    def roots(self) -> frozenset[str]:
        """The names of all claims that are read."""
        return frozenset({self.root})

    @property
    def leads_to_many(self) -> bool:
        """Whether the value is a list whose items the path collects."""
        return any(isinstance(segment, Many) for segment in self.segments)

    def get(self, claims: Mapping[str, Any]) -> Any | None:
        """Return the value at this path, or ``None`` if it is absent.

        Absent is what is missing, null, an empty text, or beyond a value of another type. A path to several values
        collects those that are there in a tuple, and is absent if there are none.
        """
        values: list[Any] = [claims]
        for segment in self.segments:
            values = [found for value in values for found in _step(value, segment) if found not in (None, "")]
        if self.leads_to_many:
            return tuple(values) or None
        return values[0] if values else None

    def is_settled(self, claims: Mapping[str, Any]) -> bool:
        """Return whether no further claim could change the value."""
        return self.get(claims) is not None

    def problem(self, claims: Mapping[str, Any]) -> str | None:  # noqa: ARG002, as JmesPath has it
        """Return why there is no value although there should be one, or ``None``."""
        return None

    def chosen(self, claims: Mapping[str, Any]) -> AttributePath:  # noqa: ARG002, as FirstOf has it
        """Return this path: of several, the one that :meth:`FirstOf.get` reads its value from."""
        return self


@dataclass(frozen=True, slots=True)
class FirstOf:
    """Several paths, of which the first that has a value counts."""

    paths: tuple[AttributePath, ...]

    @property
    def text(self) -> str:
        """The paths as they are written, for messages."""
        return " or ".join(path.text for path in self.paths)

    def get(self, claims: Mapping[str, Any]) -> Any | None:
        """Return the value of the first path that has one."""
        return self.chosen(claims).get(claims)

    def chosen(self, claims: Mapping[str, Any]) -> AttributePath:
        """Return the first path that has a value, or the first of all if none has one."""
        return next((path for path in self.paths if path.get(claims) is not None), self.paths[0])


#: Where ``attribute_map`` reads a local field from.
Source: TypeAlias = AttributePath | FirstOf


def alternatives(source: Source) -> tuple[AttributePath, ...]:
    """Return the paths that *source* may read its value from, in their order."""
    return source.paths if isinstance(source, FirstOf) else (source,)


def path_length(text: str) -> int:
    """Return the length of the path that *text* begins with, before ``=`` or its end.

    :raises ValueError: if it begins with none.
    """
    if text.startswith("keys("):
        return len("keys(") + _read_path(text[len("keys(") :])[1] + len(")")
    return _read_path(text)[1]


def _step(value: Any, segment: Segment) -> tuple[Any, ...]:
    match segment:
        case str():
            return (value.get(segment),) if isinstance(value, Mapping) else ()
        case int():
            return tuple(value[segment : segment + 1]) if isinstance(value, (list, tuple)) else ()
        case Many.ITEMS:
            return tuple(value) if isinstance(value, (list, tuple)) else ()
        case _:
            return tuple(value) if isinstance(value, Mapping) else ()


def _read_path(text: str) -> tuple[tuple[Segment, ...], int]:
    """Return the segments of the path that *text* begins with, and its length."""
    segments: list[Segment] = []
    position = 0
    while True:
        if text.startswith('"', position):
            match = _QUOTED_SEGMENT.match(text, position)
            if match is None:
                raise ValueError(
                    f"{shown(text)}: a quoted segment needs a closing quote and something between"
                )
            segments.append(_ESCAPED.sub(r"\1", match[1]))
        else:
            match = _PLAIN_SEGMENT.match(text, position)
            if match is None:
                raise ValueError(
                    f"{shown(text)} is not a path into the provider's claims: write it like email, address.country, "
                    'emails[0].value, roles[*].name, keys(roles), or in quotes "https://acme.example/roles"'
                )
            if "://" in match[0]:
                raise ValueError(
                    f'{shown(text)}: a segment that is a URL needs quotes, like "https://acme.example/roles"'
                )
            segments.append(match[0])
        position = match.end()
        while index := _INDEX.match(text, position):
            segments.append(Many.ITEMS if index[1] == "*" else int(index[1]))
            position = index.end()
        if len(segments) > _MAX_DEPTH:
            raise ValueError(f"{shown(text)} is deeper than {_MAX_DEPTH} steps")
        if not text.startswith(".", position):
            return tuple(segments), position
        position += 1
