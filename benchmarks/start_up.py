"""What importing, constructing and remembering cost, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.figures import Figure, Section, ratios

_SETTINGS = """{
    "public_url": "https://app.example", "secret_keys": "FL9BPkFxvGWLCCcEkVJqIcv0-wfGKfNpDMnRyXsyXlw",
    "issuer": "https://id.example", "client_id": "bench", "client_secret": "bench",
}"""
_OURS = f"""
import oauth2_mw
oauth2_mw.OAuth2Middleware(lambda environ, start_response: [], {_SETTINGS})
"""
_RESIDENT = """
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmRSS:")))
"""
#: sessions that a worker remembers when its memory is measured; it never remembers more
REMEMBERED = 2000
_BUSY = f"""
from benchmarks.variants import guard, sign_in
from benchmarks.limits import COOKIE
middleware = guard()
for _ in range({REMEMBERED}):
    assert middleware._sessions.resolve(f"theme=dark; {{COOKIE}}={{sign_in(middleware._sessions)}}").session
"""


def start_up(*, calls: int, rounds: int) -> Section:
    """Measure the processor time of a start beside ``import webob``, and the memory that a worker takes more."""
    rounds = max(rounds // 3, 3)
    ours, webob, memory = [], [], []
    for _ in range(rounds):
        ours.append(_seconds(_OURS))
        webob.append(_seconds("import webob"))
    for _ in range(3):
        memory.append((_kibibytes(_BUSY) - _kibibytes("")) / 1024)
    figures = [
        Figure.of("import_over_webob", ratios(ours, webob)),
        Figure.of("memory_mib_per_worker", memory),
    ]
    return Section(figures, {"start, s": ours, "import webob, s": webob, "memory, MiB": memory})


def _seconds(code: str) -> float:
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _kibibytes(code: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", code + _RESIDENT], check=True, capture_output=True, text=True
    )
    return int(done.stdout)
