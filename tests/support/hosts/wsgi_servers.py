"""The servers of ``make test-servers``, each started as ``docs/deployment.rst`` configures it.

What a page leaves to the operator (the port, where files lie, certificates) is filled in; nothing else is changed but
the number of processes.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.support.hosts.caddy import caddy
from tests.support.hosts.certificates import self_signed
from tests.support.hosts.debian import find
from tests.support.hosts.documented import block, command, replaced, said
from tests.support.hosts.nginx import nginx
from tests.support.hosts.processes import ROOT, Child, free_port
from tests.support.hosts.raw_client import RawClient
from tests.support.hosts.servers import SettingsMapping, answers, ini_text, new_key, paste_text

#: What the servers need stays away from what we need.
OWN_VENV = ROOT / ".venv-servers"
MOUNT = "/core"

_PROJECT = """\
from pathlib import Path

from tests.support.hosts.server_app import make

application = make(Path(__file__).parent)


def app_factory(global_conf):
    return application
"""
_APACHE = """\
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile apache.pid
ErrorLog /dev/stderr
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {modules}/mod_wsgi.so
WSGISocketPrefix {folder}/wsgi
{site}
"""
_LOCATION = """\
server {{
    listen 127.0.0.1:{port};
    large_client_header_buffers 4 16k;
    client_max_body_size 64m;
    proxy_buffer_size 16k;
    proxy_buffers 8 16k;
{location}
}}
"""


@dataclass(frozen=True)
class Start:
    """How a server is started."""

    command: list[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)


Server = Callable[[Path, int], Start]
Front = Callable[[Path, int, int], AbstractContextManager[Child]]


def _program(name: str) -> Path:
    return OWN_VENV / "bin" / name


def _gunicorn(*options: str, env: Mapping[str, str] | None = None) -> Server:
    def start(folder: Path, port: int) -> Start:
        name, *words = command("gunicorn")
        words[words.index("127.0.0.1:8000")] = f"127.0.0.1:{port}"
        return Start([_program(name), *words, "--workers", "1", "--no-control-socket", *options], env or {})

    return start


def _granian(folder: Path, port: int) -> Start:
    name, *words = command("granian")
    words[words.index("8000")] = str(port)
    return Start([_program(name), *words])


def _script(name: str, port_written: str, *options: str) -> Server:
    """A server that is started by a few lines of Python."""

    def start(folder: Path, port: int) -> Start:
        arguments = ", ".join((port_written.replace("8000", str(port)), *options))
        text = replaced(block(name), port_written, arguments)
        (folder / name).write_text(text, encoding="utf-8")
        return Start([_program("python"), name])

    return start


def _uwsgi(protocol: str, *in_place_of_paste: str) -> Server:
    def start(folder: Path, port: int) -> Start:
        text = replaced(block("uwsgi.ini"), "127.0.0.1:8000", f"127.0.0.1:{port}")
        text = replaced(text, "http-socket =", f"{protocol} =")
        if in_place_of_paste:
            text = replaced(text, "ini-paste = /etc/app/app.ini", "\n".join(in_place_of_paste))
        text = text.replace("/etc/app", str(folder))
        (folder / "uwsgi.ini").write_text(text, encoding="utf-8")
        return Start([_program("uwsgi"), "--ini", "uwsgi.ini"])

    return start


def _mod_wsgi(alias: str) -> Server:
    """Apache with Debian's mod_wsgi, which is made for Debian's Python: the environment must be of that version."""

    def start(folder: Path, port: int) -> Start:
        apache = find("apache2-bin", "usr/sbin/apache2", "libapache2-mod-wsgi-py3")
        modules = apache.executable.parents[1] / "lib" / "apache2" / "modules"
        version = sysconfig.get_python_version()
        module = modules / f"mod_wsgi.so-{version}"
        assert module.exists(), f"Debian's mod_wsgi is made for another Python than {version}"
        site = replaced(block("apache.conf"), "/srv/app/.venv", OWN_VENV.resolve())
        site = replaced(site, "WSGIScriptAlias / /srv/app/wsgi.py", alias)
        site = replaced(site, "/srv/app", folder)
        text = _APACHE.format(folder=folder, port=port, modules=modules, site=site)
        (folder / "apache.conf").write_text(text, encoding="utf-8")
        words: list[str | Path] = [apache.executable, "-f", folder / "apache.conf", "-D", "FOREGROUND"]
        if os.geteuid() == 0:
            # mod_wsgi runs nothing as root, and nobody else may read what root has installed for itself.
            folder.chmod(0o777)
            words = [
                *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
                *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
                *words,
            ]
        libraries = [str(sysconfig.get_config_var("LIBDIR")), *apache.env.values()]
        return Start(words, {"LD_LIBRARY_PATH": os.pathsep.join(libraries)})

    return start


def _nginx_tls(folder: Path, port: int, behind: int) -> AbstractContextManager[Child]:
    certificate = self_signed(folder / "certificate.pem", "app.example.com")
    text = replaced(block("nginx.conf"), "listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
    text = replaced(
        text, "# ssl_certificate ...", f"ssl_certificate {certificate};\nssl_certificate_key {certificate};"
    )
    return nginx(folder / "nginx", port=port, http=replaced(text, ":8000", f":{behind}"))


def _nginx_location(name: str) -> Front:
    def start(folder: Path, port: int, behind: int) -> AbstractContextManager[Child]:
        location = replaced(block(name), ":8000", f":{behind}")
        if "uwsgi_params" in location:
            etc = find("nginx", "usr/sbin/nginx").executable.parents[2] / "etc" / "nginx"
            location = replaced(location, "include ", f"include {etc}/")
        text = _LOCATION.format(port=port, location=location)
        return nginx(folder / "nginx", port=port, http=text)

    return start


def _caddy(folder: Path, port: int, behind: int) -> AbstractContextManager[Child]:
    return caddy(folder / "caddy", port=port, site=replaced(block("Caddyfile"), ":8000", f":{behind}"))


@dataclass(frozen=True)
class Setup:
    """A server, and what stands in front of it."""

    server: Server
    front: Front | None = None
    mount: str = ""
    tls: bool = False


_SYNC = _gunicorn()
SETUPS: Mapping[str, Setup] = MappingProxyType(
    {
        "gunicorn-sync": Setup(_SYNC),
        "gunicorn-gthread": Setup(_gunicorn("--threads", "4")),
        "gunicorn-gevent": Setup(_gunicorn("--worker-class", "gevent")),
        "uwsgi": Setup(_uwsgi("http-socket")),
        "uwsgi-nginx": Setup(_uwsgi("socket"), _nginx_location("nginx-uwsgi.conf")),
        "waitress": Setup(_script("serve_waitress.py", "127.0.0.1:8000")),
        "cheroot": Setup(_script("serve_cheroot.py", '"127.0.0.1", 8000')),
        "granian": Setup(_granian),
        "mod_wsgi": Setup(_mod_wsgi("WSGIScriptAlias / /srv/app/wsgi.py")),
        "nginx-tls": Setup(_SYNC, _nginx_tls, tls=True),
        "nginx-cuts": Setup(_SYNC, _nginx_location("nginx-cuts.conf"), mount=MOUNT),
        "nginx-keeps": Setup(
            _gunicorn(env={"SCRIPT_NAME": MOUNT}), _nginx_location("nginx-keeps.conf"), mount=MOUNT
        ),
        "caddy": Setup(_SYNC, _caddy),
        "uwsgi-mount": Setup(
            _uwsgi("http-socket", said("mount = /core=wsgi.py"), said("manage-script-name = true")),
            mount=MOUNT,
        ),
        "waitress-mount": Setup(
            _script("serve_waitress.py", '"127.0.0.1:8000"', said('url_prefix="/core"')), mount=MOUNT
        ),
        "mod_wsgi-mount": Setup(_mod_wsgi(said("WSGIScriptAlias /core /srv/app/wsgi.py")), mount=MOUNT),
    }
)


@dataclass(frozen=True)
class Running:
    """A server that listens, with the application behind the middleware."""

    folder: Path
    client: RawClient
    public_url: str
    mount: str
    process: Child

    def target(self, path: str) -> str:
        """Return what a request line asks for, below the mount."""
        return self.mount + path


@contextmanager
def started(setup: Setup, folder: Path, settings: SettingsMapping | None) -> Iterator[Running]:
    """Run a server, and what stands in front of it, until the end of the ``with``.

    :param settings: what ``oauth2.ini`` says beside ``public_url`` and ``secret_keys``; ``None``: the application is
        there alone.
    :raises ChildFailedError: when one does not start, with what it printed.
    """
    behind = free_port()
    with ExitStack() as stack:
        port = behind if setup.front is None else free_port()
        host = "app.example.com" if setup.tls else f"127.0.0.1:{port}"
        public_url = f"{'https' if setup.tls else 'http'}://{host}{setup.mount}"
        _write_project(folder)
        if settings is None:
            _take_out_the_middleware(folder)
        else:
            complete = {"public_url": public_url, "secret_keys": new_key(), **settings}
            (folder / "oauth2.ini").write_text(ini_text(complete), encoding="utf-8")
        start = setup.server(folder, behind)
        process = stack.enter_context(Child(str(start.command[0]), start.command, env=start.env, cwd=folder))
        if setup.front is None:
            process.wait_until(lambda: answers(f"http://127.0.0.1:{port}"))
        else:
            stack.enter_context(setup.front(folder, port, behind))
        client = RawClient(port, host, tls=setup.tls)
        process.wait_until(lambda: client.send(setup.mount + "/").status in (200, 303, 401, 404))
        yield Running(folder, client, public_url, setup.mount, process)


def _write_project(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "yourproject").mkdir()
    (folder / "yourproject" / "wsgi.py").write_text(_PROJECT, encoding="utf-8")
    (folder / "wsgi.py").write_text(replaced(block("wsgi.py"), "/etc/app", folder), encoding="utf-8")
    (folder / "app.ini").write_text(
        paste_text("", "yourproject.wsgi:app_factory", "sso sample"), encoding="utf-8"
    )


def _take_out_the_middleware(folder: Path) -> None:
    (folder / "wsgi.py").write_text("from yourproject.wsgi import application\n", encoding="utf-8")
    (folder / "app.ini").write_text(
        paste_text("", "yourproject.wsgi:app_factory", "sample"), encoding="utf-8"
    )
