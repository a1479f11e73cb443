"""pgAdmin 4, whose users are those whom the provider signs in. From the project's root::

    export PGADMIN_FOLDER=/var/lib/pgadmin
    gunicorn --timeout 120 'samples.pgadmin_app:make_app("pgadmin.ini", "samples/pgadmin_config.py")'

``pgadmin.ini`` has the settings, ``pgadmin_config.py`` pgAdmin's own. At its first start pgAdmin makes its database,
for which gunicorn may have to wait.
"""

from __future__ import annotations

import builtins
import os
import secrets
import sys
from importlib.util import find_spec

from oauth2_mw import OAuth2Middleware, Settings
from samples.plain_names import plain_names


def make_app(ini: str, configuration: str) -> OAuth2Middleware:
    """pgAdmin behind the middleware.

    :param ini: the file with ``[oauth2_mw]``.
    :param configuration: pgAdmin's own, as in ``pgadmin_config.py``.
    """
    os.environ["CONFIG_DISTRO_FILE_PATH"] = configuration
    # It wants an administrator with a password of its own, whom nobody here can be.
    os.environ["PGADMIN_SETUP_EMAIL"] = "nobody@example.com"
    os.environ["PGADMIN_SETUP_PASSWORD"] = secrets.token_urlsafe()
    builtins.SERVER_MODE = True  # type: ignore[attr-defined]  # as pgAdmin4.wsgi says it
    package = find_spec("pgadmin4")
    assert package is not None, "pgadmin4 is not installed"
    # Its modules import each other by names that begin inside the package.
    sys.path[:0] = package.submodule_search_locations or []
    from pgAdmin4 import app

    return OAuth2Middleware(plain_names(app), Settings.from_ini(ini))
