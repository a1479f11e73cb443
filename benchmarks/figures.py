"""What comes of a measurement: ratios with their goals, and the rounds that they were made from."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure over all rounds, mostly how many times one thing costs another."""

    name: str
    least: float
    median: float
    goal: float | None = None
    #: whether the figure is to be at least the goal, and not at most
    is_floor: bool = False

    @classmethod
    def of(
        cls, name: str, values: list[float], goal: float | None = None, *, is_floor: bool = False
    ) -> Figure:
        """Return the figure of the values of several rounds."""
        return cls(name, min(values), statistics.median(values), goal, is_floor)

    @property
    def is_met(self) -> bool:
        """Whether the figure is as wanted."""
        if self.goal is None:
            return True
        return self.median >= self.goal if self.is_floor else self.median <= self.goal

    def __str__(self) -> str:
        wanted = "" if self.goal is None else f"{'>=' if self.is_floor else '<='}{self.goal:6g}"
        missed = "" if self.is_met else "  missed"
        return f"{self.name:36}{self.least:8.2f}{self.median:10.2f}{wanted:>10}{missed}"


@dataclass(frozen=True, slots=True)
class Section:
    """What one part of the benchmark has found."""

    figures: list[Figure]
    #: what was measured -> its value in each round
    rounds: dict[str, list[float]]
    #: what growth is by -> (size, how many times the smallest) for each size
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


def ratios(one: list[float], other: list[float]) -> list[float]:
    """Return how many times one thing costs another in each of the rounds in which both were measured."""
    return [a / b for a, b in zip(one, other, strict=True)]
