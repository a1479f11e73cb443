"""The checks that requirements name, and how each is switched off: ``breaks.tsv``.

A row is a requirement, a place, the line that is changed there, and what stands in its stead. The place is a file from
the root of the repository, and after ``::`` the qualified name of a function or class where the line stands more than
once in the file. The line is a whole line of the file, without its indentation. Several rows of one requirement are
several breaks: its tests must notice each by itself. Where two checks hold one rule, a row that begins with ``and``
belongs to the break above it.

A requirement that refuses nothing has the word ``promise`` in its row of ``requirements.tsv``. Every other one is a
refusal, and needs a break.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.mutation.copies import ROOT

TABLE = Path(__file__).with_name("breaks.tsv")
_HEAD = ("requirement", "place", "line", "instead")
#: In place of a requirement: the row belongs to the break above.
_AND = "and"


@dataclass(frozen=True, slots=True)
class Change:
    """A line, and what stands in its stead."""

    place: str
    line: str
    instead: str

    @property
    def path(self) -> str:
        return self.place.partition("::")[0]

    def apply(self, source: str) -> str:
        """Return the source of the file with that line changed.

        :raises ValueError: when the line is not there exactly once, or the result means the same or nothing.
        """
        lines = source.splitlines()
        first, last = self._span(source)
        found = [number for number in range(first, last) if lines[number].strip() == self.line]
        if len(found) != 1:
            raise ValueError(f"{self.place}: {len(found)} lines are {self.line!r}")
        at = found[0]
        indentation = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        lines[at] = indentation + self.instead
        changed = "\n".join(lines) + "\n"
        if self.path.endswith(".py"):
            try:
                same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source))
            except SyntaxError as error:
                raise ValueError(f"{self.place}: {self.instead!r} does not compile: {error.msg}") from None
            if same:
                raise ValueError(f"{self.place}: {self.instead!r} changes nothing")
        return changed

    def _span(self, source: str) -> tuple[int, int]:
        """The lines of the place, from nought, as a range."""
        name = self.place.partition("::")[2]
        if not name:
            return 0, len(source.splitlines())
        spans = [span for found, span in _definitions(ast.parse(source), "") if found == name]
        if len(spans) != 1:
            raise ValueError(f"{self.place}: {len(spans)} definitions have that name")
        return spans[0]


@dataclass(frozen=True, slots=True)
class Break:
    """One check that is switched off."""

    requirement: str
    changes: tuple[Change, ...]

    def files(self, root: Path = ROOT) -> dict[Path, str]:
        """The files that are changed, with their new content.

        :raises ValueError: when a line that is to be changed is not there.
        """
        found: dict[Path, str] = {}
        for change in self.changes:
            path = root / change.path
            if not path.is_file():
                raise ValueError(f"{change.path} is not there")
            found[path] = change.apply(found.get(path) or path.read_text(encoding="utf-8"))
        return found


def _definitions(node: ast.AST, outer: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            yield outer + child.name, (child.lineno - 1, child.end_lineno or child.lineno)
            yield from _definitions(child, f"{outer}{child.name}.")
        else:
            yield from _definitions(child, outer)


def read_breaks(path: Path = TABLE) -> list[Break]:
    """Return the breaks in the order of the table.

    :raises ValueError: when a line is not four fields, or an ``and`` follows no break.
    """
    found: list[Break] = []
    for number, row in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = row.split("\t")
        if number == 1:
            continue
        if len(fields) != len(_HEAD) or not all(field and field == field.strip() for field in fields):
            raise ValueError(f"{path.name}, line {number}: a break is {', '.join(_HEAD)}")
        requirement, change = fields[0], Change(*fields[1:])
        if requirement != _AND:
            found.append(Break(requirement, (change,)))
        elif found:
            found[-1] = replace(found[-1], changes=(*found[-1].changes, change))
        else:
            raise ValueError(f"{path.name}, line {number}: {_AND!r} follows no break")
    return found


def by_requirement(breaks: list[Break]) -> Mapping[str, list[Break]]:
    """The breaks of each requirement that has one."""
    found: dict[str, list[Break]] = {}
    for each in breaks:
        found.setdefault(each.requirement, []).append(each)
    return found
