"""Debian's nginx in front of an application, on loopback and without root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.hosts.debian import find
from tests.support.hosts.processes import Child
from tests.support.hosts.servers import answers

# One process alone: as root nginx would otherwise work as a user who may not write here.
_CONFIGURATION = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{http}
}}
"""
_CACHE = """\
proxy_cache_path cache keys_zone=pages:1m;
server {{
    listen 127.0.0.1:{port};
    large_client_header_buffers 4 16k;
    location / {{
        proxy_pass {application};
        proxy_set_header Host $http_host;
        proxy_buffer_size 16k;
        proxy_buffers 8 16k;
        proxy_cache pages;
        {ignore_vary}
        add_header X-Cache $upstream_cache_status always;
    }}
}}
"""


@contextmanager
def nginx(folder: Path, *, port: int, http: str) -> Iterator[Child]:
    """Run nginx until the end of the ``with``.

    :param port: where it listens, once it does.
    :param http: what stands inside ``http { }``.
    :raises ChildFailedError: when it does not start, with what it printed.
    """
    program = find("nginx", "usr/sbin/nginx")
    folder.mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(http=http), encoding="utf-8")
    command: list[str | Path] = [program.executable, "-e", "stderr", "-p", folder, "-c", configuration]
    with Child("nginx", command, env=program.env, cwd=folder) as process:
        process.wait_until(lambda: answers(f"http://127.0.0.1:{port}"))
        yield process


@contextmanager
def caching_proxy(folder: Path, *, port: int, application: str, obeys_vary: bool) -> Iterator[Child]:
    """Run nginx until the end of the ``with``. ``X-Cache`` says whether a response comes from its cache.

    :param application: the origin behind it.
    :param obeys_vary: some caches of content delivery networks do not.
    :raises ChildFailedError: when it does not start, with what it printed.
    """
    ignore_vary = "" if obeys_vary else "proxy_ignore_headers Vary;"
    cache = _CACHE.format(port=port, application=application, ignore_vary=ignore_vary)
    with nginx(folder, port=port, http=cache) as process:
        yield process
