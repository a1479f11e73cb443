"""A site whose sessions several workers could share, in each of the two ways: a module imports the fixture ``site``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.standin import StandIn


def settings(provider: StandIn, folder: Path, *, where: str = "directory", **more: Any) -> dict[str, Any]:
    """The settings of such a site; *where* is the setting that names the database."""
    return {"issuer": provider.issuer, where: f"sqlite:///{folder / 'shared.db'}", **more}


@pytest.fixture(params=["directory", "session"])
def site(request: pytest.FixtureRequest, provider: StandIn, tmp_path: Path) -> Iterator[Guarded]:
    """Sessions in cookies beside a directory, and in a store."""
    with guarded(**settings(provider, tmp_path, where=request.param)) as site:
        yield site
