"""Several PostgreSQL hosts in one URL, and the pool of connections that a URL asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from oauth2_mw.errors import ConfigError
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database, DatabaseAdministration, address, engine


def arguments(url: str) -> dict[str, object]:
    """What the driver is given."""
    made = engine.create(address.parse(url))
    given = made.dialect.create_connect_args(made.url)[1]
    # SQLAlchemy 1.4 calls it as psycopg2 once did.
    names = {"database": "dbname"}
    return {names.get(key, key): value for key, value in given.items() if key != "context"}


@pytest.mark.parametrize(
    ("url", "given"),
    [
        (
            "postgresql://jane:pw@a:1,b:2/sso",
            {"user": "jane", "password": "pw", "dbname": "sso", "host": "a,b", "port": "1,2"},
        ),
        ("postgresql://a,b/sso", {"dbname": "sso", "host": "a,b", "port": ","}),
        ("postgres://[2001:db8::1]:5,b/sso", {"dbname": "sso", "host": "2001:db8::1,b", "port": "5,"}),
        (
            "postgresql://jane@/sso?host=a:1&host=b:2",
            {"user": "jane", "dbname": "sso", "host": "a,b", "port": "1,2"},
        ),
        ("postgresql://jane@/sso?host=a,b", {"user": "jane", "dbname": "sso", "host": "a,b", "port": ","}),
        ("postgresql://a,b", {"host": "a,b", "port": ","}),
        (
            "postgresql://a,b/sso?sslmode=require",
            {"dbname": "sso", "host": "a,b", "port": ",", "sslmode": "require"},
        ),
    ],
)
def test_several_hosts_are_written_as_libpq_has_them(url: str, given: dict[str, object]) -> None:
    found = arguments(url)
    found = {**found, "port": found.get("port", ",")}
    assert found == {**given, "target_session_attrs": "read-write"}


def test_a_password_with_a_comma_is_no_second_host() -> None:
    url = "postgresql://jane:a,b@db.example/sso"
    assert arguments(url) == {"user": "jane", "password": "a,b", "dbname": "sso", "host": "db.example"}


@pytest.mark.parametrize("value", ["any", "primary", "read-write"])
def test_what_is_written_about_the_server_counts(value: str) -> None:
    assert arguments(f"postgresql://a,b/sso?target_session_attrs={value}")["target_session_attrs"] == value


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://a,b/sso?target_session_attrs=standby", "read-write, primary, any"),
        ("postgresql://a/sso?target_session_attrs=read-only", "read-write, primary, any"),
        ("postgresql://a,b/sso?host=c", "in one place"),
        ("postgresql://a,b/sso?x=1&port=5", "in one place"),
        ("postgresql://a,:5/sso", "host1:5432,host2:5432"),
        ("postgresql://a:1,b:x/sso", "host1:5432,host2:5432"),
        ("postgresql+pg8000://a,b/sso", "which pg8000 cannot"),
        ("postgresql://a/sso?pool_size=0", "pool_size than 1 to 100"),
        ("postgresql://a/sso?pool_size=many", "pool_size"),
        ("postgresql://a/sso?pool_size=5&pool_size=6", "pool_size"),
        ("postgresql://a/sso?max_overflow=101", "max_overflow than 0 to 100"),
        ("sqlite:////tmp/users.db?pool_timeout=0", "pool_timeout than 1 to 60"),
    ],
)
def test_what_cannot_be_meant_is_refused_without_the_url(
    url: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "find_spec", lambda _: object())
    with pytest.raises(ConfigError) as caught:
        Database(Secret.literal(url))
    assert words in str(caught.value)
    assert "//" not in str(caught.value).replace("sqlite:////absolute", "")


@pytest.mark.parametrize(("url", "name"), [("a:1,b:2", "a,b"), ("a,[::1]", "a,::1")])
def test_messages_name_all_hosts(url: str, name: str) -> None:
    assert address.name(address.parse(f"postgresql://jane:canary@{url}/sso")) == f"postgresql://{name}/sso"


def test_the_url_says_how_many_connections_a_process_keeps(tmp_path: Path) -> None:
    for url in ("postgresql://a/sso", f"sqlite:///{tmp_path}/users.db"):
        made = engine.create(address.parse(f"{url}?pool_size=7&max_overflow=2&pool_timeout=3"))
        pool = made.pool
        assert (pool.size(), pool._max_overflow, pool._timeout) == (7, 2, 3)  # type: ignore[attr-defined]
        assert not {*address.POOL} & {*made.url.query}
        assert address.most_connections(address.parse(f"{url}?pool_size=7&max_overflow=2")) == 9
        assert address.most_connections(address.parse(url)) == 10


def test_sqlite_gives_as_many_as_are_wanted(tmp_path: Path) -> None:
    assert (
        DatabaseAdministration(Database(Secret.literal(f"sqlite:///{tmp_path}/users.db"))).most_connections()
        is None
    )
