"""What a type checker sees of the package that is installed: the type of every name, without guessing."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.hosts.processes import ROOT


def test_a_type_checker_knows_the_type_of_every_name() -> None:
    # What WebOb and redis-py leave out of their own types is theirs.
    # An editable installation is an import hook, which it does not run: it looks for the package in the checkout.
    command = [sys.executable, "-m", "pyright", "--verifytypes", "oauth2_mw", "--ignoreexternal"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=300
    )
    assert "Type completeness score: 100%" in done.stdout, done.stdout + done.stderr
