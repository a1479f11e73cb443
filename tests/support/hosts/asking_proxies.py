"""Debian's nginx and Caddy as they ask at ``auth``, with the samples' configurations, on loopback and without root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.hosts.debian import find
from tests.support.hosts.nginx import nginx
from tests.support.hosts.processes import ROOT, Child
from tests.support.hosts.servers import answers

SAMPLES = ROOT / "samples" / "forward_auth"
_SERVER = """\
server {{
    listen 127.0.0.1:{port};
{sample}
}}
"""
_CADDYFILE = """\
{{
    admin off
    auto_https off
}}
{sample}
"""


@contextmanager
def asking_nginx(folder: Path, *, port: int, gateway: str, application: str) -> Iterator[Child]:
    """Run nginx until the end of the ``with``.

    :param gateway: where oauth2_mw listens.
    :raises ChildFailedError: when it does not start, with what it printed.
    """
    sample = _sample("nginx.conf", gateway, application)
    with nginx(folder, port=port, http=_SERVER.format(port=port, sample=sample)) as process:
        yield process


@contextmanager
def asking_caddy(folder: Path, *, port: int, gateway: str, application: str) -> Iterator[Child]:
    """Run Caddy until the end of the ``with``.

    :param gateway: where oauth2_mw listens.
    :raises ChildFailedError: when it does not start, with what it printed.
    """
    caddy = find("caddy", "usr/bin/caddy")
    folder.mkdir()
    sample = _replaced(_sample("Caddyfile", gateway, application), "app.example.com {", f"http://:{port} {{")
    configuration = folder / "Caddyfile"
    configuration.write_text(_CADDYFILE.format(sample=sample), encoding="utf-8")
    command: list[str | Path] = [caddy.executable, "run", "--adapter", "caddyfile", "--config", configuration]
    homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    with Child("caddy", command, env={**caddy.env, **homes}, cwd=folder) as process:
        process.wait_until(lambda: answers(f"http://127.0.0.1:{port}"))
        yield process


def _sample(name: str, gateway: str, application: str) -> str:
    """Return a configuration of the samples, with the addresses of this machine."""
    text = (SAMPLES / name).read_text(encoding="utf-8")
    text = _replaced(text, "127.0.0.1:8001", urlsplit(gateway).netloc)
    return _replaced(text, "127.0.0.1:8000", urlsplit(application).netloc)


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)
