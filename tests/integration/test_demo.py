"""``make demo ONCE=1``: one command, one real sign-in, told step by step."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_signs_in_and_tells_each_step() -> None:
    done = subprocess.run(
        [sys.executable, "samples/demo/demo.py", "--once"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        r"303 -> http://localhost:\d+/oauth2/authorize",
        r"sets oauth2_mw-a-",
        r"GET http://localhost:\d+/auth/oauth2/login/callback/\?",
        r"303 -> http://localhost:\d+/reports\?year=2026   sets oauth2_mw\b",
        r"REMOTE_USER    = jane",
        r"subject       248289761001",
        r"REMOTE_GROUPS  = admins,staff",
        r"groups        \(",
        r"organizations \('DEFAULT',\)",
        r"The sign-in worked\.",
    ):
        assert re.search(line, done.stdout), f"{line} is not in\n{done.stdout}"
