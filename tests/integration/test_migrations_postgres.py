"""A role that may not create tables: it is said what to do, and another one does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.identity.directory import Directory
from oauth2_mw.settings.grammar import Secret
from tests.support.hosts.operator import Operator
from tests.support.settings.keys import text_key
from tests.support.settings.people import NOW, attributes, provider
from tests.support.stores.database import Rows
from tests.support.stores.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

ISSUER = "https://id.example"


@pytest.fixture
def urls(postgres_server: PostgresServer) -> dict[str, str]:
    """Of the owner of the tables to come, and of a role that may only use them."""
    url = postgres_server.new_database()
    name = url.partition("@/")[2].partition("?")[0]
    urls = {each: url.replace("postgres:@", f"{each}_{name}:@") for each in ("owner", "app")}
    owner, app = (f"{each}_{name}" for each in urls)
    run = Runner(url)
    run(f"CREATE ROLE {owner} LOGIN")
    run(f"CREATE ROLE {app} LOGIN")
    run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    run(f"GRANT CREATE ON SCHEMA public TO {owner}")
    # As docs/upgrading.rst has it.
    run(f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}")
    run(f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON SEQUENCES TO {app}")
    return urls


class Runner:
    """Runs SQL in one database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, statement: str) -> None:
        rows = Rows(self._url)
        rows.run(statement)
        rows.close()


def sign_in(url: str) -> str:
    directory = Directory(Secret.literal(url))
    return directory.record_sign_in(
        provider(), ISSUER, "1", attributes("jane"), create=True, now=NOW
    ).username


@pytest.mark.parametrize("by_hand", [False, True])
def test_the_owner_migrates_and_the_application_goes_on(
    urls: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    by_hand: bool,  # noqa: FBT001
) -> None:
    with pytest.raises(StoreUnavailableError, match="run oauth2-mw migrate INI"):
        sign_in(urls["app"])
    operator = Operator(tmp_path, capsys)
    operator.write_ini(secret_keys=text_key(), directory=urls["app"])
    refused = operator.run("migrate", operator.ini)
    assert (refused.code, "permission denied" in refused.err) == (1, True)
    if by_hand:
        printed = operator.run("migrate", operator.ini, "--dry-run")
        assert printed.code == 0
        Runner(urls["owner"])(printed.out.partition("BEGIN;\n")[2].removesuffix("COMMIT;\n"))
    else:
        monkeypatch.setenv("OAUTH2_MW_DIRECTORY", urls["owner"])
        assert operator.run("migrate", operator.ini).code == 0
        monkeypatch.delenv("OAUTH2_MW_DIRECTORY")
    assert sign_in(urls["app"]) == "jane"
    assert "nothing to migrate" in operator.run("migrate", operator.ini).out
