"""The stand-in provider, as an OpenID provider and as one of plain OAuth 2.0."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.providers.standin import StandIn


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def plain() -> Iterator[StandIn]:
    with StandIn(oidc=False, userinfo={"id": 583231, "login": "octocat", "email": None}) as standin:
        yield standin
