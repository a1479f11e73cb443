"""The table of a run."""

from __future__ import annotations

from collections.abc import Mapping

from tests.soak.model import Row

_HEADINGS = (
    "fault",
    "times",
    "requests",
    "refused",
    "broken",
    "affected",
    "bystander",
    "public",
    "sync",
    "let in",
    "lost",
    "recovery",
)


def table(rows: Mapping[str, Row]) -> str:
    """Write what was counted as a table of reStructuredText; waits are the longest, in seconds.

    What the documentation allows stands behind a plus sign.
    """
    cells = [_HEADINGS, *(_cells(name, row) for name, row in rows.items())]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(line.rstrip() for line in [rule, lines[0], rule, *lines[1:], rule])


def _cells(name: str, row: Row) -> tuple[str, ...]:
    return (
        name,
        str(row.times or "-"),
        str(row.requests),
        str(row.refused),
        str(row.broken),
        f"{row.affected:.1f}",
        f"{row.bystander:.1f}",
        f"{row.public:.1f}",
        f"{row.public_sync:.1f}",
        _with_documented(row.let_in, row.let_in_documented),
        _with_documented(row.lost, row.lost_documented),
        f"{row.recovery:.1f}" if row.times else "-",
    )


def _with_documented(number: int, documented: int) -> str:
    return f"{number} + {documented}" if documented else str(number)
