"""The curves of growth as a picture for the documentation: plain SVG, written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 320, 50, 110, 20, 40
_COLOURS = ("#1b6ca8", "#c0392b", "#1e8449", "#7d3c98", "#b9770e", "#34495e")
_HIGHEST = 1.5


def growth_plot(curves: Mapping[str, Sequence[tuple[int, float]]], *, goal: float) -> str:
    """Return a picture of how many times the smallest a request costs at each size.

    :param curves: what grows -> its sizes, and how many times the smallest each costs.
    :param goal: the most that it may cost.
    """
    last = max(size for points in curves.values() for size, _ in points)

    def place(size: int, times: float) -> str:
        x = _LEFT + log10(size) / log10(last) * (_WIDTH - _LEFT - _RIGHT)
        y = _TOP + (1 - min(times, _HIGHEST) / _HIGHEST) * (_HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    def line(points: Sequence[tuple[int, float]], style: str) -> str:
        return f'<polyline fill="none" {style} points="{" ".join(place(*point) for point in points)}"/>'

    def text(at: str, words: str, style: str = "") -> str:
        x, _, y = at.partition(",")
        return f'<text x="{x}" y="{y}" {style}>{words}</text>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        "<title>What an opened request costs at several sizes, in times of the smallest</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        line([(1, goal), (last, goal)], 'stroke="#888888" stroke-dasharray="4 4"'),
        line([(1, _HIGHEST), (1, 0), (last, 0)], 'stroke="#222222"'),
    ]
    for times in (0.0, 0.5, 1.0, goal, _HIGHEST):
        parts.append(text(place(1, times), f"{times:g}", 'text-anchor="end" dx="-6" dy="4"'))
    size = 1
    while size <= last:
        parts.append(text(place(size, 0), f"{size:,}", 'text-anchor="middle" dy="18"'))
        size *= 10
    for number, (kind, points) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(line(points, f'stroke="{colour}" stroke-width="2"'))
        label = f"{_WIDTH - _RIGHT + 16},{_TOP + 20 + 20 * number}"
        parts.append(text(label, kind, f'fill="{colour}"'))
    return "\n".join([*parts, "</svg>"]) + "\n"
