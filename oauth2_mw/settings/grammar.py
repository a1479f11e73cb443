"""The grammar of settings: rules about paths, terms of ``allow``.

A text that is not valid raises ``ValueError`` with a message that says what to write instead and repeats no secret.
Words, secrets, keys and paths into claims are parsed in modules of their own and can be imported from here too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from oauth2_mw.boundary import contains_control, is_ambiguous_path
from oauth2_mw.settings.attribute_path import AttributePath, path_length
from oauth2_mw.settings.keys import KeyEntry, decode_key, format_key_line, parse_key_file, parse_secret_keys
from oauth2_mw.settings.secret import Secret
from oauth2_mw.settings.text import parse_bool, parse_duration, shown, split_terms

__all__ = [
    "AllowTerm",
    "AttributePath",
    "KeyEntry",
    "PathRule",
    "Secret",
    "decode_key",
    "format_key_line",
    "parse_bool",
    "parse_duration",
    "parse_key_file",
    "parse_secret_keys",
    "split_terms",
]

# Rules about our own paths

_ODD_IN_RULE = {
    "*": "there are no wildcards: a rule that ends in / covers everything below it",
    "?": "the query is never looked at",
    "#": "a server never sees the fragment",
    "%": "write the path as the application sees it, decoded",
    ";": "paths with ; are always protected",
    "\\": "paths with a backslash are always protected",
}


@dataclass(frozen=True, slots=True)
class PathRule:
    """A path of the application. It covers everything below it if it ends in ``/``, otherwise itself alone.

    ``/$`` is the path ``/`` alone.
    """

    text: str
    #: as in ``PATH_INFO``: the UTF-8 octets read as Latin-1 (PEP 3333)
    native: str = field(repr=False)

    @property
    def is_subtree(self) -> bool:
        """Whether everything below the path is covered."""
        return self.text.endswith("/")

    @classmethod
    def parse(cls, text: str) -> PathRule:
        """Parse a rule.

        :raises ValueError: if no ordinary request has such a path; those are always protected.
        """
        if not text.startswith("/"):
            raise ValueError(
                f"{shown(text)} does not start with /: rules are paths of the application, like /static/"
            )
        if text == "/$":
            return cls(text, "/")
        if "$" in text:
            raise ValueError(
                f"{shown(text)} contains $: /$ is the front page alone; every other path without / at its end is "
                "itself alone already"
            )
        for mark, why in _ODD_IN_RULE.items():
            if mark in text:
                raise ValueError(f"{shown(text)} contains {mark}: {why}")
        if contains_control(text) or any(character.isspace() for character in text):
            raise ValueError(f"{shown(text)} contains white space or control characters")
        if ",/" in text:
            raise ValueError(f"{shown(text)} contains ,/: paths are separated by blanks, not by commas")
        if "//" in text:
            raise ValueError(f"{shown(text)} contains //, and such paths are always protected")
        if any(segment in (".", "..") for segment in text.split("/")):
            raise ValueError(
                f"{shown(text)} contains . or .. as a segment, and such paths are always protected"
            )
        if unicodedata.normalize("NFKC", text) != text:
            raise ValueError(
                f"{shown(text)} is not in its normal form (NFKC), and such paths are always protected"
            )
        native = text.encode("utf-8").decode("latin-1")
        if is_ambiguous_path(native):
            raise ValueError(
                f"{shown(text)} contains a segment of dots alone or an invisible character, and such paths are always "
                "protected"
            )
        return cls(text, native)


# Who may enter

ALLOW_FIELDS = ("email_domain", "email", "group", "user", "organization", "provider", "claim")
_NEXT_TERM = re.compile(rf"[,\s](?:{'|'.join(ALLOW_FIELDS)}):")
#: The fields of which a person has one value.
_SINGLE_FIELDS = ("user", "email", "email_domain", "provider", "acr")
_HOST_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*")


@dataclass(frozen=True, slots=True)
class AllowTerm:
    """A term of ``allow``, one of which is enough to let a person in: ``*``, or ``FIELD:VALUE``."""

    #: one of :data:`ALLOW_FIELDS`, or ``*``
    field: str
    #: the value to match, addresses and domains in lower case; ``PATH=VALUE`` for a claim; empty for ``*``
    value: str

    def __str__(self) -> str:
        return "*" if self.field == "*" else f"{self.field}:{self.value}"

    def claim(self) -> tuple[AttributePath, str]:
        """Return the path and the value of a ``claim:`` term."""
        end = path_length(self.value)
        return AttributePath.parse(self.value[:end]), self.value[end + 1 :]

    @classmethod
    def parse(cls, text: str, *, further: tuple[str, ...] = ()) -> AllowTerm:
        """Parse a term; a value with spaces is in quotes, like ``group:"Domain Users"``.

        :param further: fields of rules, which ``allow`` has not: there ``*`` is no term.
        :raises ValueError: if it is not valid.
        """
        if text == "*":
            return cls("*", "")
        name, colon, operand = text.partition(":")
        if not colon or name not in (*ALLOW_FIELDS, *further):
            forms = f"* or FIELD:VALUE, with {', '.join(ALLOW_FIELDS)} for FIELD"
            if further:
                forms = f"signed-in or FIELD:VALUE, with {', '.join((*ALLOW_FIELDS, *further))} for FIELD"
            raise ValueError(f"{shown(text)} is not a valid term: write {forms}")
        start = 0
        if name == "claim":
            end = path_length(operand)
            if not operand.startswith("=", end):
                raise ValueError(f"{shown(text)}: write claim:PATH=VALUE, like claim:address.country=NO")
            AttributePath.parse(operand[:end])
            start = end + 1
        value = operand[start:]
        if len(value) > 2 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if not value or value.isspace() or contains_control(value):
            raise ValueError(f"{shown(text)} has no value that a person could match")
        if value.count('"') > 1 or '\\"' in value or value[0] == value[-1] == "'":
            raise ValueError(
                f'{shown(text)}: double quotes stand around a whole value, like group:"Domain Users"'
            )
        if _NEXT_TERM.search(value) is not None:
            raise ValueError(
                f"{shown(text)} holds another term: terms are separated by blanks, outside of quotes"
            )
        return cls(name, operand[:start] + cls._normal(name, value))

    @staticmethod
    def _normal(name: str, value: str) -> str:
        if name == "email_domain":
            value = value.lower()
            if _DOMAIN.fullmatch(value) is None:
                raise ValueError(
                    f"{shown(value)} is not a valid domain: write email_domain:example.com, in ASCII, without @"
                )
        elif name == "email":
            value = value.lower()
            if value.count("@") != 1 or value[0] == "@" or value[-1] == "@":
                raise ValueError(f"{shown(value)} is not a valid address: write email:jane@example.com")
        return value


def check_fits_somebody(terms: Iterable[AllowTerm]) -> None:
    """Check terms that must all apply to one person.

    :raises ValueError: if two of them never apply to the same.
    """
    found: dict[str, AllowTerm] = {}
    for term in terms:
        if term.field not in _SINGLE_FIELDS:
            continue
        other = found.setdefault(term.field, term)
        if other != term:
            raise ValueError(
                f"{other} and {term} never hold for one person: take one out, or make two alternatives"
            )
