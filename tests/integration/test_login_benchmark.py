"""The benchmark of a whole login: both applications sign somebody in at the provider, over http and over TLS."""

from __future__ import annotations

import math

from benchmarks.login import login


def test_everybody_is_signed_in_and_both_ratios_come_of_it() -> None:
    found = login(calls=1, rounds=2)
    assert {figure.name: figure.goal for figure in found.figures} == {
        "login_cpu_over_authlib": 0.5,
        "login_cpu_over_authlib_tls": 0.5,
    }
    assert all(figure.least > 0 and math.isfinite(figure.median) for figure in found.figures)
    assert {name: len(values) for name, values in found.rounds.items()} == {
        "login": 2,
        "login, Authlib": 2,
        "login, TLS": 2,
        "login, Authlib, TLS": 2,
    }
