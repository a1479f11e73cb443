"""The fixtures that pytest has where this package is installed. Imported by pytest alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from oauth2_mw.testing import DevelopmentProvider


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", "oauth2_mw_provider(**fields): the fields of the DevelopmentProvider of this test."
    )


@pytest.fixture
def oauth2_mw_provider(request: pytest.FixtureRequest) -> DevelopmentProvider:
    """Return a provider in this process; ``@pytest.mark.oauth2_mw_provider(declines=True)`` sets its fields."""
    # Everybody's pytest loads this module: what it stands on is imported by those who use it.
    from oauth2_mw.testing import DevelopmentProvider

    fields: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("oauth2_mw_provider"))):
        fields |= mark.kwargs
    return DevelopmentProvider(**fields)


@pytest.fixture
def oauth2_mw_signed_in() -> Callable[..., Any]:
    """Return :func:`oauth2_mw.testing.signed_in`."""
    from oauth2_mw.testing import signed_in

    return signed_in


@pytest.fixture
def oauth2_mw_sign_in(oauth2_mw_provider: DevelopmentProvider) -> Callable[..., Any]:
    """Return :func:`oauth2_mw.testing.sign_in`; a client whose middleware has another provider gets this test's."""
    from oauth2_mw.testing import sign_in
    from oauth2_mw.testing.guarding import find_middleware

    def sign_in_here(client: Any, **options: Any) -> Any:
        middleware = find_middleware(client)
        if middleware is not None:
            oauth2_mw_provider.stand_in(middleware)
        return sign_in(client, **options)

    return sign_in_here
