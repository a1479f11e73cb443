"""The grammar of ``[access] rules``: who may pass where, a rule a line.

::

    EFFECT [METHOD,...] PATH [PATH ...] [if TERM [and|or TERM ...]]

A line that begins with no effect goes on the one above; an empty line ends a rule. ``and`` binds closer than ``or``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from oauth2_mw.settings.grammar import AllowTerm, PathRule, check_fits_somebody, split_terms
from oauth2_mw.settings.text import did_you_mean, shown

Effect = Literal["public", "optional", "delegated", "required", "denied"]
#: from the laxest to the strictest
EFFECTS: tuple[Effect, ...] = get_args(Effect)
#: Alternatives, one of which suffices; each is terms that must all apply.
Condition = tuple[tuple[AllowTerm, ...], ...]

#: Fields of terms that rules have beside those of ``allow``, and the word that is a term by itself.
RULE_FIELDS = ("acr", "via", "scope")
SIGNED_IN = "signed-in"
VIA = ("session", "bearer", "token")
# RFC 6749, section 3.3
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

# RFC 9110, section 9.1; methods are compared with their case.
_METHODS = re.compile(r"[A-Z][A-Z0-9-]*(?:,[A-Z][A-Z0-9-]*)*")
_TERM = re.compile(r"[a-z_-]+:.*|signed-in", re.DOTALL)
_QUOTED = re.compile(r'"([^"]+)"')


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One rule as it is written."""

    effect: Effect
    #: the methods that it is about, ``HEAD`` beside ``GET``; empty for all
    methods: frozenset[str]
    paths: tuple[PathRule, ...]
    #: ``None``: nothing more is asked
    condition: Condition | None
    #: the rule on one line, for messages
    text: str

    def terms(self) -> Iterator[AllowTerm]:
        """Yield every term of the condition."""
        for alternative in self.condition or ():
            yield from alternative

    def covers_methods_of(self, other: AccessRule) -> bool:
        """Return whether every method that the other rule is about is one of this rule's."""
        return not self.methods or bool(other.methods and other.methods <= self.methods)

    def covers_path(self, path: PathRule) -> bool:
        """Return whether everything at *path* is covered by this rule too."""
        return any(self._covers(own, path) for own in self.paths)

    @property
    def is_strict(self) -> bool:
        """Whether a subtree of the rule covers its own path without the slash too, as an application may read it."""
        return self.effect in ("required", "denied", "delegated") or self.condition is not None

    def _covers(self, own: PathRule, path: PathRule) -> bool:
        if not own.is_subtree:
            return path.native == own.native and not path.is_subtree
        without_slash = own.native.rstrip("/")
        return path.native.startswith(own.native) or (self.is_strict and path.native == without_slash)


def default_effect(protect: str | None) -> Effect:
    """Return what holds under a value of ``protect`` where no rule matches."""
    return "required" if protect == "required" else "optional"


def parse_rules(text: str) -> tuple[AccessRule, ...]:
    """Parse the setting.

    :raises ValueError: with every rule that is not valid, and what to write instead.
    """
    rules: list[AccessRule] = []
    problems: list[str] = []
    for number, line in enumerate(_joined(text), start=1):
        try:
            rules.append(_parse(line))
        except ValueError as error:
            problems.append(f"rule {number} ({shown(line)}): {error}")
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(rules)


def _joined(text: str) -> list[str]:
    """Return a rule an item, with what goes on in further lines joined to it."""
    rules: list[str] = []
    may_go_on = False
    for line in text.splitlines():
        words = line.split()
        if not words:
            may_go_on = False
        elif not words[0].startswith("#"):
            if may_go_on and words[0] not in EFFECTS:
                rules[-1] += " " + line.strip()
            else:
                rules.append(line.strip())
            may_go_on = True
    return rules


def _parse(line: str) -> AccessRule:
    words = split_terms(line)
    for word in words:
        if word.startswith("#"):
            raise ValueError(f"{shown(word)}: a comment is a line of its own")
        if word.startswith(",") or word.endswith(","):
            raise ValueError(
                f"{shown(word)}: words are separated by blanks, and methods by a comma alone, like GET,PUT"
            )
    if words[0] not in EFFECTS:
        raise ValueError(f"begins with none of {', '.join(EFFECTS)}{did_you_mean(words[0], EFFECTS)}")
    effect = words[0]
    end = words.index("if") if "if" in words else len(words)
    places, terms = words[1:end], words[end + 1 :]
    condition = None if end == len(words) else _parse_condition(terms)
    methods: frozenset[str] = frozenset()
    if places and not places[0].startswith("/"):
        methods, places = _parse_methods(places[0]), places[1:]
    if not places:
        raise ValueError("names no path: write paths of the application, like /admin/")
    if effect == "public":
        if condition is not None:
            raise ValueError(
                "public hands on nobody's identity, so that no condition can hold: write required, or take if out"
            )
        check_not_everything(places)
    return AccessRule(effect, methods, tuple(map(_parse_path, places)), condition, " ".join(words))


def _parse_path(word: str) -> PathRule:
    if _TERM.fullmatch(word) is not None:
        raise ValueError(f"{shown(word)} is a term: write if before it")
    if not word.startswith("/") and (hint := did_you_mean(word, EFFECTS)):
        raise ValueError(f"{shown(word)} is no path{hint}")
    return PathRule.parse(word)


def check_not_everything(paths: Sequence[str]) -> None:
    """Refuse to make everything public.

    :raises ValueError: if ``/`` is among the paths.
    """
    if "/" in paths:
        raise ValueError(
            "/ would make every path public: write /$ for the front page alone, or optional / if the application is to "
            "decide by itself"
        )


def _parse_methods(word: str) -> frozenset[str]:
    if _METHODS.fullmatch(word) is None:
        hint = f": write {word.upper()}" if _METHODS.fullmatch(word.upper()) else ""
        what = (
            "methods are written in capitals, with commas between them"
            if hint
            else "is no path and no method"
        )
        raise ValueError(f"{shown(word)} {what}{hint}{did_you_mean(word, EFFECTS)}")
    methods = frozenset(word.split(","))
    return methods | {"HEAD"} if "GET" in methods else methods


def _parse_condition(words: Sequence[str]) -> Condition:
    if not words:
        raise ValueError("if is followed by no term")
    alternatives: list[tuple[AllowTerm, ...]] = [()]
    for position, word in enumerate(words):
        if position % 2 == 0:
            alternatives[-1] += (_parse_term(word),)
        elif word == "or":
            alternatives.append(())
        elif word != "and":
            raise ValueError(f"{shown(word)}: write and, or or, between two terms")
    if len(words) % 2 == 0:
        raise ValueError(f"ends with {words[-1]}: a term follows it")
    for alternative in alternatives:
        check_fits_somebody(alternative)
        _check_fits_credential(alternative)
    return tuple(alternatives)


def _check_fits_credential(terms: Sequence[AllowTerm]) -> None:
    """Check terms that must all apply to one request, which has one credential.

    :raises ValueError: if two of them never apply to the same.
    """
    ways = list(dict.fromkeys(term for term in terms if term.field == "via"))
    scope = next((term for term in terms if term.field == "scope"), None)
    if len(ways) > 1:
        raise ValueError(f"{ways[0]} and {ways[1]} never hold for one request: make two alternatives")
    if scope is not None and ways and ways[0].value != "bearer":
        raise ValueError(f"{ways[0]} and {scope} never hold for one request: access tokens alone have scopes")


def _parse_term(word: str) -> AllowTerm:
    if word in ("and", "or", "if"):
        raise ValueError(f"{shown(word)} stands where a term is expected")
    quoted = _QUOTED.fullmatch(word)
    text = word if quoted is None else quoted[1]
    if text == SIGNED_IN:
        return AllowTerm(SIGNED_IN, "")
    if text == "*":
        raise ValueError(f"* is a term of allow: write {SIGNED_IN} for everybody who is signed in")
    term = AllowTerm.parse(text, further=RULE_FIELDS)
    if term.field == "via" and term.value not in VIA:
        raise ValueError(f"{shown(text)}: write via:session, via:bearer or via:token")
    if term.field == "scope" and _SCOPE.fullmatch(term.value) is None:
        raise ValueError(
            f"{shown(text)}: write one scope, ASCII without blanks, quotes and backslashes; several have a term each"
        )
    return term
