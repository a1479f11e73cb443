"""Personal tokens on a real PostgreSQL server."""

from __future__ import annotations

import pytest

from tests.support.contracts.personal_tokens import PersonalTokenContract, parts
from tests.support.stores.postgres import postgres_server, postgres_url

__all__ = ["parts", "postgres_server", "postgres_url"]

pytestmark = pytest.mark.integration


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


class TestOnPostgreSQL(PersonalTokenContract):
    pass
