"""The folder of metrics: what an operator is warned of before the counts of two runs are added up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oauth2_mw.settings.metrics_folder import FOLDER, folder_warning
from oauth2_mw.settings.warnings import warnings
from tests.support.settings.minimal import make_settings


def warned(folder: Path) -> str | None:
    return folder_warning({FOLDER: str(folder)})


@pytest.mark.requirement("R-prometheus")
def test_a_folder_that_is_not_named_or_not_there_is_said(tmp_path: Path) -> None:
    assert "is not set" in (folder_warning({}) or "")
    assert "is missing" in (warned(tmp_path / "none") or "")
    assert warned(tmp_path) is None


@pytest.mark.requirement("R-prometheus")
def test_a_file_that_is_older_than_the_server_is_said(tmp_path: Path) -> None:
    # The test is the worker, and what has started it the server.
    (tmp_path / f"counter_{os.getpid()}.db").touch()
    (tmp_path / "counter_999999999.db").touch()
    assert warned(tmp_path) is None
    os.utime(tmp_path / "counter_999999999.db", (1_000_000_000, 1_000_000_000))
    assert "older than the server" in (warned(tmp_path) or "")


def test_without_a_worker_that_lives_nothing_is_known(tmp_path: Path) -> None:
    old = tmp_path / "counter_999999999.db"
    old.touch()
    os.utime(old, (1_000_000_000, 1_000_000_000))
    (tmp_path / "notes.db").touch()
    assert warned(tmp_path) is None


def test_check_warns_where_metrics_are_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "none"))
    on = make_settings(issuer="https://id.example", metrics="prometheus", metrics_peers="10.0.0.1")
    off = make_settings(issuer="https://id.example")
    assert [any(FOLDER in line for line in warnings(each)) for each in (on, off)] == [True, False]
