"""What a run of mutation testing leaves behind: the table in the documentation, and what is known of survivors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.fingerprint import fingerprint
from tests.security.core import CORE

GOAL = 90.0
#: Modules of which every survivor is explained; those of the others are counted.
EXPLAINED = frozenset(
    {
        "encoding",
        "session/sealing",
        "provider/jose/jws",
        "provider/tokens/claim_checks",
        "provider/tokens/id_token",
        "provider/tokens/logout_token",
        "provider/tokens/userinfo",
        "provider/tokens/validator",
        "web/signin/attempt",
        "boundary",
    }
)
SURVIVORS = Path(__file__).with_name("survivors.tsv")
PAGE = Path(__file__).parents[2] / "docs" / "security.rst"
BEGIN = ".. mutation score: begin\n"
END = ".. mutation score: end\n"
HEAD = ("Module", "Faults", "Noticed", "Score", "Measured", "Of")
_ROW = re.compile(r"``(\S+)`` +(\d+) +(\d+) +\S+ % +(\S+, \S+) +([0-9a-f]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Score:
    """The result of one module."""

    module: str
    mutants: int
    killed: int
    #: the day, and the version
    measured: str
    #: the fingerprint of the module and its tests then
    of: str

    @property
    def percent(self) -> float:
        return 100 * self.killed / self.mutants if self.mutants else 100.0


def explanations(path: Path = SURVIVORS) -> dict[str, dict[str, str]]:
    """Module -> description of a survivor -> why it does no harm.

    :raises ValueError: when a line is not three fields.
    """
    found: dict[str, dict[str, str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        fields = line.split("\t")
        if len(fields) != 3 or not all(field and field == field.strip() for field in fields):
            raise ValueError(f"{path.name}, line {number}: module, survivor and reason, with tabs between")
        module, description, reason = fields
        found.setdefault(module, {})[description] = reason
    return found


def read_scores(text: str) -> dict[str, Score]:
    """The scores of a page."""
    table = text.partition(BEGIN)[2].partition(END)[0]
    rows = (Score(row[1], int(row[2]), int(row[3]), row[4], row[5]) for row in _ROW.finditer(table))
    return {row.module: row for row in rows}


def stale(page: Path = PAGE) -> list[str]:
    """The modules of the core that have no score, or have changed since: they or their tests."""
    scores = read_scores(page.read_text(encoding="utf-8"))
    return [module for module in CORE if module not in scores or scores[module].of != fingerprint(module)]


def with_score(text: str, score: Score) -> str:
    """The page with that score in its table; the rows of other modules stay as they were measured."""
    rows = read_scores(text)
    rows[score.module] = score
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the table")
    ordered = sorted(rows.values(), key=lambda each: each.module)
    return before + begin + "\n" + table(ordered) + "\n" + end + after


def table(scores: list[Score]) -> str:
    """The scores in reStructuredText."""
    cells = [
        (
            f"``{each.module}``",
            str(each.mutants),
            str(each.killed),
            f"{each.percent:.1f} %",
            each.measured,
            each.of,
        )
        for each in scores
    ]
    widths = [max(map(len, column)) for column in zip(HEAD, *cells, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (HEAD, *cells)
    ]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule, ""])


def publish(score: Score, page: Path = PAGE) -> None:
    """Write a score into the documentation."""
    page.write_text(with_score(page.read_text(encoding="utf-8"), score), encoding="utf-8")
