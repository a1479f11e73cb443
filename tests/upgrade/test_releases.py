"""Where the releases before come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.hosts.processes import ROOT
from tests.upgrade.releases import GIT, ShallowCloneError, build


@pytest.mark.deep
def test_a_shallow_clone_is_an_error_that_says_so(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    sender = f"{' '.join(GIT)} upload-pack"
    subprocess.run(
        ["git", "clone", "-q", "--depth=1", f"--upload-pack={sender}", f"file://{ROOT}", clone], check=True
    )
    with pytest.raises(ShallowCloneError, match="git fetch --unshallow"):
        build("0.1.0", repository=clone, into=tmp_path / "build")
    assert not list(tmp_path.glob("build/*"))
