"""What the login makes of a page that asks for more, without a server: begun once, and not under a strange mount."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.errors import MountNotNamedError
from oauth2_mw.provider.demand import Demand
from tests.support.clock import Clock
from tests.support.hosts.sign_in_parts import SignInParts, state_of

NOW = 1_800_000_000
NAVIGATION = {"HTTP_ACCEPT": "text/html", "PATH_INFO": "/deep"}
GOLD = Demand(acr_values=("gold",))


@pytest.fixture
def parts(clock: Clock) -> SignInParts:
    """Somebody is signed in."""
    parts = SignInParts(clock)
    parts.answer(parts.begin())
    return parts


@pytest.mark.parametrize(
    ("demand", "got"),
    [(Demand(max_age=300), {"auth_time": NOW}), (GOLD, {"auth_time": NOW, "acr": "gold"})],
)
def test_what_a_page_asks_for_and_has_just_got_is_not_asked_for_again(
    parts: SignInParts, demand: Demand, got: dict[str, Any]
) -> None:
    first = parts.login.step_up(NAVIGATION, parts.current(), demand, "/deep")
    assert first is not None
    parts.take(first.headers.getall("Set-Cookie"))
    parts.provider.claims |= got
    parts.answer({"state": state_of(first), "code": "code-2"})
    assert parts.login.step_up(NAVIGATION, parts.current(), demand, "/deep") is None
    other = Demand(acr_values=("other",))
    assert parts.login.step_up(NAVIGATION, parts.current(), other, "/deep") is not None


@pytest.mark.requirement("R-mount-named")
def test_nothing_more_is_asked_for_under_a_mount_that_public_url_does_not_name(parts: SignInParts) -> None:
    del parts.provider.asked[:]
    with pytest.raises(MountNotNamedError, match="names no mount"):
        parts.login.step_up(NAVIGATION | {"SCRIPT_NAME": "/core"}, parts.current(), GOLD, "/deep")
    assert parts.provider.asked == []
