"""Who may enter at all, as it is written in ``allow``: terms with ``and`` between them, and files of such lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oauth2_mw.settings.converters import ItemsError
from oauth2_mw.settings.grammar import AllowTerm, Secret, check_fits_somebody, split_terms
from oauth2_mw.settings.text import shown

log: logging.Logger = logging.getLogger(__name__)

#: Terms that must all apply.
Alternative = tuple[AllowTerm, ...]
EVERYBODY: Alternative = (AllowTerm("*", ""),)


@dataclass(frozen=True, slots=True)
class AllowList:
    """The alternatives of ``allow``, one of which is enough to let a person in."""

    written: tuple[Alternative, ...]
    files: tuple[AllowFile, ...] = ()
    #: whether only those alternatives hold that say which tenant, or who, is meant
    needs_tenant: bool = False

    @classmethod
    def parse(cls, text: str, base: Path) -> AllowList:
        """Parse the setting: alternatives are separated by white space, ``and`` binds closer.

        :param base: the folder from which ``file:PATH`` is looked up.
        :raises ValueError: if it is not valid, with what to write instead.
        """
        words = split_terms(text)
        names = [word for word in words if word.startswith("file:")]
        if names and "and" in words:
            raise ValueError("and does not join files: write the whole line into the file")
        written = parse_alternatives([word for word in words if word not in names])
        if not written and not names:
            raise ValueError(
                "nothing is written here: write * for everybody, or terms like email_domain:example.com"
            )
        if EVERYBODY in written and (len(written) > 1 or names):
            raise ValueError(
                "* lets everybody in and must be alone: take it out, or take the other terms out"
            )
        return cls(written, tuple(AllowFile(name, base) for name in names))

    @property
    def is_everybody(self) -> bool:
        """Whether everybody may enter whom the provider vouches for."""
        return self.written == (EVERYBODY,)

    def alternatives(self) -> tuple[Alternative, ...]:
        """Return the alternatives that hold now."""
        if not self.files:
            return self.written
        found = (*self.written, *(each for file in self.files for each in file.alternatives()))
        # The start has refused any other, but a file may have changed since.
        return tuple(filter(names_tenant, found)) if self.needs_tenant else found

    def terms(self) -> Iterator[AllowTerm]:
        """Yield every term that holds now."""
        for alternative in self.alternatives():
            yield from alternative

    def __str__(self) -> str:
        return " ".join(" and ".join(map(str, alternative)) for alternative in self.alternatives())


def names_tenant(alternative: Alternative) -> bool:
    """Return whether an alternative says which tenant, or which user, is meant, or lets everybody in.

    Every tenant has administrators of its own: they decide which groups and addresses their tokens name.
    """
    return any(
        term.field in ("*", "user") or (term.field == "claim" and term.claim()[0].segments == ("tid",))
        for term in alternative
    )


class AllowFile:
    """A file with an alternative a line, read again when it changes; ``#`` begins a comment."""

    def __init__(self, name: str, base: Path) -> None:
        """
        :param name: ``file:PATH``.
        :raises ValueError: if the file cannot be read or a line is not valid.
        """
        self._file = Secret.parse(name, base)
        try:
            self._text = self._file.fresh_value()
        except OSError as error:
            raise ValueError(f"the file cannot be read: {error}") from None
        self._alternatives = _parse_lines(self._text)

    def alternatives(self) -> tuple[Alternative, ...]:
        """Return the alternatives; a file that is gone or not valid any more leaves the last ones in force."""
        try:
            text = self._file.fresh_value()
            if text != self._text:
                self._alternatives, self._text = _parse_lines(text), text
        except (OSError, ValueError) as error:
            log.warning("allow: %s keeps its last valid content: %s", self._file.path, error)
        return self._alternatives


def parse_alternatives(words: list[str]) -> tuple[Alternative, ...]:
    """Parse terms with ``and`` between some of them.

    :raises ValueError: with every term that is not valid, or if ``and`` does not stand between two terms.
    """
    alternatives: list[list[AllowTerm]] = []
    wrong: list[str] = []
    is_joined = False
    for number, word in enumerate(words):
        if word == "or":
            raise ValueError("or is not written: terms with a blank between them are alternatives")
        if word == "and":
            if not alternatives or is_joined or number == len(words) - 1:
                raise ValueError("and stands between two terms, like provider:corp and group:staff")
            is_joined = True
            continue
        if not is_joined:
            alternatives.append([])
        is_joined = False
        try:
            alternatives[-1].append(_parse_term(word))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ItemsError(wrong)
    if any(len(each) > 1 and EVERYBODY[0] in each for each in alternatives):
        raise ValueError("* lets everybody in and is not joined to another term")
    for each in alternatives:
        check_fits_somebody(each)
    return tuple(map(tuple, alternatives))


def _parse_term(word: str) -> AllowTerm:
    if word.startswith(",") or word.endswith(","):
        raise ValueError(f"{shown(word)}: terms are separated by blanks, not by commas")
    is_quoted = len(word) > 2 and word[0] == word[-1] == '"' and '"' not in word[1:-1]
    return AllowTerm.parse(word[1:-1] if is_quoted else word)


def _parse_lines(text: str) -> tuple[Alternative, ...]:
    alternatives: list[Alternative] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            found = parse_alternatives([*split_terms(_without_comment(line))])
            if len(found) > 1:
                raise ValueError("a line is one term, or several with and between them")
            if EVERYBODY in found:
                raise ValueError("* is written in the settings, not in a file")
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        alternatives += found
    return tuple(alternatives)


def _without_comment(line: str) -> str:
    is_quoted = False
    for position, character in enumerate(line):
        if character == '"':
            is_quoted = not is_quoted
        elif character == "#" and not is_quoted and line[position - 1 : position] in ("", " ", "\t"):
            return line[:position]
    return line
