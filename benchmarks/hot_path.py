"""What a signed-in request costs, as ratios to what it must cost, to what others take, and to itself as things grow.

A null application is called in the same process with and without a filter in front of it; what a filter adds is the
difference.
"""

from __future__ import annotations

import statistics
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, Section, ratios
from benchmarks.growth import SIZES, growth_variants
from benchmarks.peers import peer_variants
from benchmarks.rounds import measure
from benchmarks.variants import Variant, limit_variants, request_variants

#: name, what is compared, with what, the goal, and whether it is the least that is wanted rather than the most
_GOALS = (
    ("opened_over_limit", "opened", "opened limit", 1.15, False),
    ("new_header_over_limit", "new header", "opened limit", 2.0, False),
    ("sealed_over_limit", "sealed", "sealed limit", 1.3, False),
    ("public_over_limit", "public", "opened limit", 0.5, False),
    ("anonymous_over_limit", "anonymous", "anonymous limit", 1.5, False),
    ("repoze_who_over_ours", "repoze.who", "opened", 25, True),
    ("beaker_encrypted_over_ours", "Beaker, encrypted", "opened", 70, True),
    ("repoze_who_over_ours_sealed", "repoze.who", "sealed", 4, True),
    ("beaker_encrypted_over_ours_sealed", "Beaker, encrypted", "sealed", 11, True),
    ("flask_session_over_ours", "Flask, session", "opened", 1, True),
)
#: the most that a request may cost at the largest size, in times of the smallest
_MOST_GROWTH = 1.2
#: What a request would take without the filter, where that is not the null application alone.
_WITHOUT = {"new header": "null, new header", "Flask, session": "Flask alone"}
_NOTHING = frozenset({"null", *_WITHOUT.values()})


def hot_path(*, calls: int, rounds: int) -> Section:
    """Measure each kind of request beside its limit and the others."""
    added, timings = _added({**limit_variants(), **request_variants(), **peer_variants()}, calls, rounds)
    print(f"{'':20}{'added, us (min)':>18}{'(median)':>12}")
    for name, values in added.items():
        print(f"{name:20}{min(values):18.2f}{statistics.median(values):12.2f}")
    figures = [
        Figure.of(name, ratios(added[one], added[other]), goal, is_floor=is_floor)
        for name, one, other, goal, is_floor in _GOALS
        if one in added
    ]
    return Section(figures, timings)


def growth(*, calls: int, rounds: int) -> Section:
    """Measure the opened request at three sizes, a decade apart, of what an installation grows by."""
    with TemporaryDirectory() as folder:
        null = {"null": limit_variants()["null"]}
        added, timings = _added({**null, **growth_variants(folder)}, calls, rounds)
    figures, curves = [], {}
    for kind, sizes in SIZES.items():
        grown = {size: ratios(added[f"{size} {kind}"], added[f"{sizes[0]} {kind}"]) for size in sizes}
        curves[kind] = [(size, statistics.median(values)) for size, values in grown.items()]
        figures.append(Figure.of(f"growth_{kind}", grown[sizes[-1]], _MOST_GROWTH))
    return Section(figures, timings, curves)


def _added(
    measured: dict[str, Variant], calls: int, rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    timings = measure(measured, calls=calls, rounds=rounds)
    return {
        name: [one - other for one, other in zip(values, timings[_WITHOUT.get(name, "null")], strict=True)]
        for name, values in timings.items()
        if name not in _NOTHING
    }, timings
