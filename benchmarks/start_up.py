"""What importing and constructing cost, in processes of their own, against importing WebOb."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.rounds import Ratio

_OURS = """
import oauth2_mw
oauth2_mw.OAuth2Middleware(lambda environ, start_response: [], {
    "public_url": "https://app.example", "secret_keys": "FL9BPkFxvGWLCCcEkVJqIcv0-wfGKfNpDMnRyXsyXlw",
    "issuer": "https://id.example", "client_id": "bench", "client_secret": "bench",
})
"""


def measure_start_up(rounds: int) -> Ratio:
    """Return how many times the processor time of ``import webob`` a process takes that constructs the middleware."""
    ours, webob = [], []
    for _ in range(rounds):
        ours.append(_seconds(_OURS))
        webob.append(_seconds("import webob"))
    return Ratio.of(ours, webob)


def _seconds(code: str) -> float:
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
