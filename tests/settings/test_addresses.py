"""Which hosts are this machine, the same under every version of Python."""

from __future__ import annotations

import pytest

from oauth2_mw.settings.addresses import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1"])
def test_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "0:0:0:0:0:ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "128.0.0.1",
        "0.0.0.0",
        "::",
        "localhost.example",
        "",
    ],
)
def test_what_may_lead_elsewhere_is_not(host: str) -> None:
    assert not is_loopback(host)
