"""``check --online`` at real providers: what each of them lets a stranger know about a client of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from oauth2_mw.cli.online import Finding, check_online
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings
from oauth2_mw.sql import Database
from tests.support.hosts.listening import listening
from tests.support.providers.clients import Client
from tests.support.providers.dot_provider import DotProvider
from tests.support.settings.keys import text_key
from tests.support.stores.postgres import PostgresServer, postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

#: nobody listens there
URL = "http://127.0.0.1:9"
CALLBACK = f"{URL}/auth/oauth2/login/callback/"


class Provider(Protocol):
    """What the providers here have in common."""

    def register(self, redirect_uris: Sequence[str]) -> Client: ...

    def settings(self, client: Client) -> dict[str, str]: ...


@pytest.fixture(params=["oidc_provider", "github"])
def provider(request: pytest.FixtureRequest) -> Provider:
    found: Provider = request.getfixturevalue(request.param)
    return found


def look(folder: Path, keys: Mapping[str, str]) -> list[Finding]:
    settings = Settings.from_mapping(
        {"public_url": URL, "secret_keys": text_key(), "allow": "*", **keys}, base=folder
    )
    return [*check_online(settings, folder / "oauth2.ini")]


def results(found: list[Finding]) -> dict[str, Finding]:
    """Those that are not in order, but that nobody runs the application."""
    return {
        each.what.removeprefix("provider default: "): each
        for each in found
        if each.result != "ok" and each.what != "public_url"
    }


def test_a_client_that_is_registered_is_in_order(provider: Provider, tmp_path: Path) -> None:
    found = look(tmp_path, provider.settings(provider.register([CALLBACK])))
    assert results(found) == {}, found
    assert {"redirect URI", "client", "clock"} <= {each.what.rpartition(": ")[2] for each in found}


def test_a_wrong_secret_is_told(provider: Provider, tmp_path: Path) -> None:
    keys = provider.settings(provider.register([CALLBACK]))
    found = results(look(tmp_path, {**keys, "client_secret": "canary"}))
    assert set(found) == {"client"}
    assert found["client"].result == "problem"
    assert "client_secret" in found["client"].cure
    assert "canary" not in str(found)


def test_a_wrong_client_id_is_told(provider: Provider, tmp_path: Path) -> None:
    keys = provider.settings(provider.register([CALLBACK]))
    found = results(look(tmp_path, {**keys, "client_id": "no-such-client"}))
    assert found["client"].result == "problem"
    assert "client_id" in found["client"].cure
    assert any("client_id" in each.cure for what, each in found.items() if what != "client")


def test_a_redirect_uri_that_is_not_registered_is_told(provider: Provider, tmp_path: Path) -> None:
    keys = provider.settings(provider.register(["http://127.0.0.1:9/other/"]))
    found = results(look(tmp_path, keys))
    assert set(found) == {"redirect URI"}
    assert "seems not to be registered" in found["redirect URI"].says
    assert f"register exactly {CALLBACK}" in found["redirect URI"].cure


def test_a_provider_that_signs_a_person_in_first_tells_of_the_secret_alone(
    dot_provider: DotProvider, tmp_path: Path
) -> None:
    keys = dot_provider.settings(dot_provider.register([CALLBACK]))
    found = results(look(tmp_path, keys))
    assert set(found) == {"redirect URI"}
    assert found["redirect URI"].result == "unknown"
    found = results(look(tmp_path, {**keys, "client_secret": "canary"}))
    assert found["client"].result == "problem"


def test_a_postgresql_directory_in_all_its_states(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    with listening() as (port, _):
        pass
    keys = {"issuer": f"http://127.0.0.1:{port}", "client_id": "app", "client_secret": "x"}

    def state(url: str) -> Finding:
        return next(each for each in look(tmp_path, {**keys, "directory": url}) if each.what == "directory")

    assert "not migrated" in state(postgres_url).says
    with Database(Secret.literal(postgres_url)).writing():
        pass
    assert state(postgres_url).result == "ok"
    absent = state(postgres_url.rpartition("/")[0] + "/no_such_database")
    assert absent.result == "problem"
    assert "no_such_database" in absent.says + absent.cure
