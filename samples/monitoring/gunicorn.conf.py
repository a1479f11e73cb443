"""Gunicorn with ``metrics = prometheus``: several workers count into one folder.

Start: ``gunicorn -c samples/monitoring/gunicorn.conf.py --paste samples/demo/app.ini``
"""

import os
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

# On a disk in memory, where there is one. prometheus_client reads the variable when it is imported, in the workers.
FOLDER = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", "/run/app/metrics"))
FOLDER.mkdir(parents=True, exist_ok=True)

workers = 2


def on_starting(_server: Any) -> None:
    """Empty the folder: what another run has counted is no count of this one. A reload leaves it alone."""
    for file in FOLDER.glob("*.db"):
        file.unlink()


def child_exit(_server: Any, worker: Any) -> None:
    """Forget what a worker that has ended was in; what it has counted stays."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
