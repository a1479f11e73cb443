"""Applications behind the middleware under real WSGI servers, as an operator starts them: two INI files."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from tests.support.browser.jar import Browser
from tests.support.hosts.processes import ROOT, Child, listening_socket

ServerName = Literal["gunicorn", "waitress"]
#: sections of keys and values; keys that stand alone belong to ``[oauth2_mw]``
SettingsMapping = Mapping[str, Any]

PREFIX = "/auth/oauth2"


class Site:
    """An address that an application will have: known before it runs, because providers want to hear of it first."""

    def __init__(self, mount: str = "", *, public_origin: str | None = None, prefix: str = PREFIX) -> None:
        """
        :param mount: where the application is mounted, like ``/core``.
        :param public_origin: what browsers see, when a proxy that ends TLS stands in front
            (``https://sso.example.com``); such a site is visited with :meth:`browser`.
        """
        self.socket = listening_socket()
        self.mount = mount
        self.prefix = prefix
        self.listens_at = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.origin = public_origin or self.listens_at
        self.public_url = self.origin + mount

    def url(self, path: str = "/") -> str:
        """A page of the application."""
        return self.public_url + path

    def own_url(self, path: str) -> str:
        """A page of the middleware: ``own_url("logout/")``."""
        return f"{self.public_url}{self.prefix}/{path}"

    @property
    def redirect_uri(self) -> str:
        return self.own_url("login/callback/")

    @property
    def post_logout_redirect_uri(self) -> str:
        return self.own_url("logout/done/")

    def browser(self) -> Browser:
        """A browser for which this site's name leads here."""
        return Browser(behind_tls={} if self.origin == self.listens_at else {self.origin: self.listens_at})

    def close(self) -> None:
        self.socket.close()


class Application:
    """The sample application behind the middleware, served; ``log`` is all it and its server printed."""

    def __init__(self, site: Site, folder: Path, server: ServerName, process: Child) -> None:
        self.site = site
        self.folder = folder
        self.server = server
        self.process = process

    @property
    def ini(self) -> Path:
        return self.folder / "oauth2.ini"

    @property
    def log(self) -> str:
        return self.process.output

    def url(self, path: str = "/") -> str:
        return self.site.url(path)

    def own_url(self, path: str) -> str:
        return self.site.own_url(path)


@contextmanager
def site(mount: str = "", *, public_origin: str | None = None, prefix: str = PREFIX) -> Iterator[Site]:
    """Reserve an address until the end of the ``with``."""
    reserved = Site(mount, public_origin=public_origin, prefix=prefix)
    try:
        yield reserved
    finally:
        reserved.close()


def new_key() -> str:
    """One value for ``secret_keys``."""
    return secrets.token_urlsafe(32)


def ini_text(settings: SettingsMapping) -> str:
    """The settings as an operator writes them; a value of several lines is indented."""
    alone = {key: value for key, value in settings.items() if not isinstance(value, Mapping)}
    sections = {
        "oauth2_mw": alone,
        **{key: value for key, value in settings.items() if isinstance(value, Mapping)},
    }
    lines = []
    for name, keys in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {written(value)}" for key, value in keys.items()]
        lines.append("")
    return "\n".join(lines)


def written(value: object) -> str:
    """One value of an INI."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("\n", "\n    ")


def paste_text(mount: str, app: str, pipeline: str) -> str:
    """The PasteDeploy file: the middleware as a filter in front of the application, mounted or at the root."""
    composite = f"""\
[composite:main]
paste.composite_factory = tests.support.hosts.urlmap:composite_factory
{mount} = protected
"""
    return f"""\
{composite if mount else ""}
[pipeline:{"protected" if mount else "main"}]
pipeline = {pipeline}

[filter:sso]
use = egg:oauth2-mw
config = %(here)s/oauth2.ini

[filter:worker]
paste.filter_factory = tests.support.hosts.sample_app:worker_factory

[app:sample]
paste.app_factory = {app}
"""


def write_files(
    folder: Path,
    site: Site,
    settings: SettingsMapping | None,
    *,
    mount: str,
    app: str,
    outermost: str = "",
) -> None:
    """Write ``oauth2.ini`` and ``app.ini``; ``public_url`` and ``secret_keys`` are filled in when missing.

    :param outermost: a filter of :func:`paste_text` before all others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = " ".join([*outermost.split(), *([] if settings is None else ["sso"]), "sample"])
    (folder / "app.ini").write_text(paste_text(mount, app, pipeline), encoding="utf-8")
    if settings is None:
        return
    complete = {"public_url": site.public_url, "secret_keys": new_key(), **settings}
    if site.prefix != PREFIX:
        complete.setdefault("prefix", site.prefix)
    (folder / "oauth2.ini").write_text(ini_text(complete), encoding="utf-8")


def command(
    server: ServerName, ini: Path, descriptor: int, *, mount: str, workers: int, python: str | Path
) -> list[str | Path]:
    """The command line of a server that takes over a listening socket."""
    if server == "waitress":
        return [python, ROOT / "tests/support/hosts/waitress_host.py", ini, str(descriptor), mount]
    return gunicorn(ini, [descriptor], workers=workers, python=python)


def gunicorn(
    ini: Path,
    descriptors: Sequence[int],
    *,
    workers: int,
    threads: int = 1,
    python: str | Path = sys.executable,
) -> list[str | Path]:
    """The command line of a gunicorn that takes over listening sockets."""
    options = [option for descriptor in descriptors for option in ("--bind", f"fd://{descriptor}")]
    options += ["--workers", str(workers), "--threads", str(threads), "--no-control-socket"]
    return [python, "-m", "gunicorn", "--paste", ini, *options, "--log-level", "info"]


@contextmanager
def serve(
    site: Site,
    folder: Path,
    settings: SettingsMapping | None,
    *,
    server: ServerName = "gunicorn",
    workers: int = 2,
    app: str = "tests.support.hosts.sample_app:app_factory",
    env: Mapping[str, str] | None = None,
    python: str | Path = sys.executable,
) -> Iterator[Application]:
    """Run the application at its site until the end of the ``with``.

    With ``settings = None`` the application stands there alone. Under gunicorn a mount is a composite in the
    PasteDeploy file; under waitress it is the server's ``url_prefix``.

    :raises ChildFailedError: when it does not start, with what it printed.
    """
    in_file = site.mount if server == "gunicorn" else ""
    write_files(folder, site, settings, mount=in_file, app=app)
    descriptor = site.socket.fileno()
    started = command(
        server, folder / "app.ini", descriptor, mount=site.mount, workers=workers, python=python
    )
    with Child(server, started, env=env, pass_fds=[descriptor]) as process:
        process.wait_until(lambda: answers(site.listens_at, site.mount))
        yield Application(site, folder, server, process)
        # Whatever a test does to it, it must not meet an exception that nobody foresaw.
        assert ": unexpected " not in process.output, process.output


def answers(listens_at: str, mount: str = "") -> bool:
    """Whether anything at all comes back: until then connections wait in the socket's queue."""
    parts = urlsplit(listens_at)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=1)
    try:
        connection.request("GET", mount + "/", headers={"Accept": "application/json"})
        connection.getresponse().read()
    except TimeoutError:
        return False
    finally:
        connection.close()
    return True


class Serve(Protocol):
    """The type of the fixture ``serve``."""

    def __call__(
        self,
        site: Site,
        settings: SettingsMapping | None,
        *,
        server: ServerName = "gunicorn",
        workers: int = 2,
        app: str = ...,
        env: Mapping[str, str] | None = None,
        python: str | Path = ...,
    ) -> Application: ...


class MakeSite(Protocol):
    """The type of the fixture ``make_site``."""

    def __call__(self, mount: str = "", *, public_origin: str | None = None, prefix: str = ...) -> Site: ...
