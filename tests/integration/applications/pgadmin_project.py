"""pgAdmin as it stands, with the authentication source that reads ``REMOTE_USER`` once, when its session begins."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CONFIGURATION = """
AUTHENTICATION_SOURCES = ["webserver"]
DATA_DIR = {folder!r}
LOG_FILE = {folder!r} + "/pgadmin.log"
MASTER_PASSWORD_REQUIRED = False
SHOW_GRAVATAR_IMAGE = False
SESSION_DB_PATH = {folder!r} + "/sessions"
SQLITE_PATH = {folder!r} + "/pgadmin.db"
STORAGE_DIR = {folder!r} + "/storage"
UPGRADE_CHECK_ENABLED = False
"""


def app_factory(_global_conf: Mapping[str, Any]) -> Any:
    """PasteDeploy's ``app_factory``; pgAdmin's files are where ``PGADMIN_FOLDER`` says."""
    folder = Path(os.environ["PGADMIN_FOLDER"])
    folder.mkdir(exist_ok=True)
    configuration = folder / "configuration.py"
    configuration.write_text(CONFIGURATION.format(folder=str(folder)), encoding="utf-8")
    os.environ["CONFIG_DISTRO_FILE_PATH"] = str(configuration)
    # It wants an administrator with a password of its own, whom nobody here can be.
    os.environ["PGADMIN_SETUP_EMAIL"] = "nobody@example.com"
    os.environ["PGADMIN_SETUP_PASSWORD"] = "not used by anybody"
    builtins.SERVER_MODE = True  # type: ignore[attr-defined]  # as pgAdmin4.wsgi says it
    package = find_spec("pgadmin4")
    assert package is not None
    # Its modules import each other by names that begin inside the package.
    sys.path[:0] = package.submodule_search_locations or []
    from pgAdmin4 import app

    return app
