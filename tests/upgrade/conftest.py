"""Two releases side by side: the one before on one host, this one on the other, with everything shared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.hosts.deployment import APP, Deployment, Host
from tests.support.hosts.processes import ROOT
from tests.support.hosts.servers import new_key, site, write_files
from tests.support.hosts.stage import Stage
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.providers.oidc_provider import oidc_provider as start_oidc_provider
from tests.support.stores.postgres import PostgresServer, postgres_server
from tests.support.stores.redis_servers import RedisServer
from tests.upgrade.releases import build

__all__ = ["postgres_server"]


@dataclass(frozen=True)
class Mode:
    """Where the sessions and the users are."""

    name: str
    directory: str | None = None
    session: str | None = None


MODES = (
    Mode("cookies"),
    Mode("cookies-sqlite", directory="sqlite"),
    Mode("cookies-postgresql", directory="postgresql"),
    Mode("redis", session="redis"),
    Mode("redis-sqlite", directory="sqlite", session="redis"),
    Mode("postgresql", directory="postgresql", session="postgresql"),
)


@pytest.fixture(scope="session")
def oidc_provider() -> Iterator[OidcProvider]:
    with start_oidc_provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Pair(Stage):
    """The two hosts. Neither runs before it is begun."""

    def __init__(self, deployed: Deployment, provider: OidcProvider, folder: Path, codes: list[Path]) -> None:
        super().__init__(deployed, provider)
        self.before, self.after = self.hosts
        self._folder = folder
        self._codes = dict(zip((self.before.name, self.after.name), codes, strict=True))

    def start(self, host: Host) -> None:
        host.begin()
        host.wait_until_ready()

    def ini(self, host: Host) -> Path:
        return self._folder / host.name / "oauth2.ini"

    def code(self, host: Host) -> Path:
        """The folder that the package of a host is imported from."""
        return self._codes[host.name]


@pytest.fixture
def urls(mode: Mode, tmp_path: Path, redis: RedisServer, postgres_server: PostgresServer) -> dict[str, str]:
    """The settings that name what the hosts share."""
    made = {
        "sqlite": lambda: f"sqlite:///{tmp_path / 'shared.db'}",
        "postgresql": postgres_server.new_database,
        "redis": lambda: redis.url,
    }
    kinds = {"directory": mode.directory, "session": mode.session}
    places = {kind: made[kind]() for kind in set(kinds.values()) if kind is not None}
    return {key: places[kind] for key, kind in kinds.items() if kind is not None}


@pytest.fixture
def pair(
    urls: dict[str, str], tmp_path: Path, oidc_provider: OidcProvider, more: dict[str, Any]
) -> Iterator[Pair]:
    """0.1.0 and this release, the latter with ``compatible``."""
    with ExitStack() as stack:
        shared_site = stack.enter_context(site())
        client = oidc_provider.register([shared_site.redirect_uri], refresh_tokens=True, **more)
        settings = {
            **oidc_provider.settings(client),
            "secret_keys": new_key(),
            "revocation_sync": "1s",
            "keep_tokens": "refresh",
            "scope": "openid profile email offline_access",
            "prompt": "consent",
            **urls,
        }
        hosts, codes = [], [build("0.1.0"), ROOT]
        for name, code in zip(("before", "after"), codes, strict=True):
            own = settings if name == "before" else {**settings, "compatible": "0.1"}
            write_files(
                tmp_path / name, shared_site, own, mount=shared_site.mount, app=APP, outermost="worker"
            )
            host = Host(name, shared_site, tmp_path / name, workers=2, threads=1, code=code)
            stack.callback(host.close_for_good)
            hosts.append(host)
        running = Deployment(shared_site, hosts)
        yield Pair(running, oidc_provider, tmp_path, codes)
        assert ": unexpected " not in running.log, running.log
