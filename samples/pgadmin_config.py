"""pgAdmin's own settings behind the middleware. Its files lie in the folder that ``PGADMIN_FOLDER`` names."""

import os
from pathlib import Path

_folder = Path(os.environ["PGADMIN_FOLDER"])
_folder.mkdir(parents=True, exist_ok=True)

AUTHENTICATION_SOURCES = ["webserver"]
# It has no passwords of people from which it would make one.
MASTER_PASSWORD_REQUIRED = False
# Both would ask others on the internet.
SHOW_GRAVATAR_IMAGE = False
UPGRADE_CHECK_ENABLED = False

DATA_DIR = str(_folder)
LOG_FILE = str(_folder / "pgadmin.log")
SESSION_DB_PATH = str(_folder / "sessions")
SQLITE_PATH = str(_folder / "pgadmin.db")
STORAGE_DIR = str(_folder / "storage")
