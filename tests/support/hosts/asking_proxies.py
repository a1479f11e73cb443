"""Debian's nginx and Caddy as they ask at ``auth``, with the samples' configurations, on loopback and without root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.hosts.caddy import caddy
from tests.support.hosts.documented import replaced
from tests.support.hosts.nginx import nginx
from tests.support.hosts.processes import ROOT, Child

SAMPLES = ROOT / "samples" / "forward_auth"
_SERVER = """\
server {{
    listen 127.0.0.1:{port};
{sample}
}}
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
    with caddy(folder, port=port, site=_sample("Caddyfile", gateway, application)) as process:
        yield process


def _sample(name: str, gateway: str, application: str) -> str:
    """Return a configuration of the samples, with the addresses of this machine."""
    text = (SAMPLES / name).read_text(encoding="utf-8")
    text = replaced(text, "127.0.0.1:8001", urlsplit(gateway).netloc)
    return replaced(text, "127.0.0.1:8000", urlsplit(application).netloc)
