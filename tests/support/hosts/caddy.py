"""Debian's Caddy in front of an application, on loopback and without root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.hosts.debian import find
from tests.support.hosts.documented import replaced
from tests.support.hosts.processes import Child
from tests.support.hosts.servers import answers

_CADDYFILE = """\
{{
    admin off
    auto_https off
}}
{site}
"""


@contextmanager
def caddy(folder: Path, *, port: int, site: str) -> Iterator[Child]:
    """Run Caddy until the end of the ``with``.

    :param port: where it listens, once it does.
    :param site: what it does for ``app.example.com``.
    :raises ChildFailedError: when it does not start, with what it printed.
    """
    program = find("caddy", "usr/bin/caddy")
    folder.mkdir()
    configuration = folder / "Caddyfile"
    site = replaced(site, "app.example.com {", f"http://:{port} {{\n\tbind 127.0.0.1")
    configuration.write_text(_CADDYFILE.format(site=site), encoding="utf-8")
    command: list[str | Path] = [
        program.executable,
        "run",
        "--adapter",
        "caddyfile",
        "--config",
        configuration,
    ]
    homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    with Child("caddy", command, env={**program.env, **homes}, cwd=folder) as process:
        process.wait_until(lambda: answers(f"http://127.0.0.1:{port}"))
        yield process
