"""Servers that programs talk to, one application behind our middleware: ``python project.py FOLDER PORT [INI]``.

``/dav/`` is Radicale, ``/hg/`` Mercurial's hgweb, ``/git/`` dulwich's server, ``/files/`` WsgiDAV, ``/simple/`` and
``/packages/`` are pypiserver; three of them are our samples. Without an INI file they stand there without the
middleware, and everybody is jane. It runs in an environment of its own, `.venv-programs`. Prints "ready" once it
listens; ends when its standard input is closed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pypiserver
import waitress
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

from oauth2_mw import OAuth2Middleware, Settings
from samples import hgweb_app, radicale_app, wsgidav_app


class Applications:
    """All of them, by the first segment of the path."""

    def __init__(self, folder: Path) -> None:
        self._by_segment: dict[str, WSGIApplication] = {
            "dav": _radicale(folder / "dav"),
            "hg": _hgweb(folder / "hg"),
            "git": _git(folder / "git"),
            "files": _wsgidav(folder / "files"),
        }
        self._rest: WSGIApplication = pypiserver.app(
            roots=[folder / "packages"], authenticate=[], password_file="."
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        segment, slash, rest = environ.get("PATH_INFO", "").removeprefix("/").partition("/")
        application = self._by_segment.get(segment)
        if application is None:
            return self._rest(environ, start_response)
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + "/" + segment
        environ["PATH_INFO"] = slash + rest
        return application(environ, start_response)


def _radicale(folder: Path) -> WSGIApplication:
    configuration = folder.with_suffix(".conf")
    configuration.write_text(f"[storage]\nfilesystem_folder = {folder}\n[logging]\nlevel = error\n")
    return radicale_app.application(str(configuration))


def _hgweb(folder: Path) -> WSGIApplication:
    subprocess.run([Path(sys.executable).with_name("hg"), "init", folder], check=True)
    (folder / ".hg" / "hgrc").write_text("[web]\nallow-push = *\npush_ssl = false\n")
    return hgweb_app.application(str(folder))


def _git(folder: Path) -> Any:
    folder.mkdir()
    return make_wsgi_chain(DictBackend({"/": Repo.init_bare(folder)}))


def _wsgidav(folder: Path) -> WSGIApplication:
    folder.mkdir()
    return wsgidav_app.application(str(folder), mount="/files")


def _as_jane(app: WSGIApplication) -> WSGIApplication:
    """What a server does that signs people in by itself: WsgiDAV serves nobody without a name."""

    def named(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["REMOTE_USER"] = "jane"
        return app(environ, start_response)

    return named


def _end_with_the_tests() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    folder, port, *ini = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    threading.Thread(target=_end_with_the_tests, daemon=True).start()
    everything: WSGIApplication = Applications(folder)
    app = OAuth2Middleware(everything, Settings.from_ini(ini[0])) if ini else _as_jane(everything)
    server = waitress.create_server(app, host="127.0.0.1", port=port, threads=4)
    print("ready", flush=True)
    server.run()
