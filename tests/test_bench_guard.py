"""The guard that counts what a request costs: the same each time, and a request that became dearer is an error."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.guard import count, count_all, main

VERSION = "{}.{}".format(*sys.version_info[:2])


def plain(_environ: dict[str, Any], _start: object) -> object:
    return None


def dearer(environ: dict[str, Any], start: object) -> object:
    return [plain(environ, start) for _ in range(3)]


def test_the_same_request_costs_the_same_each_time() -> None:
    assert count(plain, {}) == count(plain, {})
    assert count(plain, {})["calls"] == 1
    assert count(dearer, {})["instructions"] > count(plain, {})["instructions"] * 3
    assert sys.gettrace() is None or "coverage" in sys.modules


def test_a_request_that_became_dearer_is_an_error_until_it_is_written_down(tmp_path: Path) -> None:
    path = tmp_path / "counted.json"
    assert main([], path=path) == 0
    assert main(["--write"], path=path) == 0
    assert main([], path=path) == 0
    written = json.loads(path.read_text())
    written[VERSION]["opened"]["instructions"] *= 0.9
    path.write_text(json.dumps(written))
    assert main([], path=path) == 1


def test_what_is_remembered_is_not_opened_again() -> None:
    """What is opened takes several times what is remembered, whatever stands beside the cookie."""
    counted = {name: numbers["instructions"] for name, numbers in count_all().items()}
    assert counted["opened"] < counted["new header"] < counted["sealed"] / 2
