"""Superset as ``samples/superset_config.py`` and ``samples/superset.ini`` set it up."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.hosts.processes import ROOT, Child, child_environment
from tests.support.hosts.samples import SAMPLES, settings_of
from tests.support.hosts.servers import Site, answers, ini_text, new_key

PYTHON = ROOT / ".venv-superset" / "bin" / "python"
#: Its own commands before its first start: a minute, most of it its database.
PREPARING = ("db upgrade", "init")


@contextmanager
def serving(site: Site, folder: Path, settings: Mapping[str, str]) -> Iterator[Child]:
    """Make it ready, and serve it until the end of the ``with``; *settings* say who the provider is."""
    assert PYTHON.exists(), "Superset is not installed: run `make test-apps`"
    shutil.copy(SAMPLES / "superset_config.py", folder)
    sections = settings_of("superset")
    sections["oauth2_mw"] |= {"public_url": site.public_url, "secret_keys": new_key(), **settings}
    (folder / "superset.ini").write_text(ini_text(sections), encoding="utf-8")
    env = {
        "FLASK_APP": "superset",
        "SUPERSET_CONFIG_PATH": str(folder / "superset_config.py"),
        "SUPERSET_HOME": str(folder),
        "SUPERSET_SECRET_KEY": secrets.token_urlsafe(42),
    }
    for words in PREPARING:
        command = [str(PYTHON.with_name("superset")), *words.split()]
        done = subprocess.run(
            command, env=child_environment(env), cwd=folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    options = ["--bind", f"fd://{site.socket.fileno()}", "--no-control-socket", "--timeout", "120"]
    started: list[str | Path] = [PYTHON, "-m", "gunicorn", "superset.app:create_app()", *options]
    with Child("superset", started, cwd=folder, env=env, pass_fds=[site.socket.fileno()]) as process:
        process.wait_until(lambda: answers(site.listens_at), deadline=120)
        yield process
