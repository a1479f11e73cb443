"""Whose word about a request counts, and whom it came from."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.settings.peers import parse_peer
from oauth2_mw.web.http.peers import Peers
from tests.support.clock import Clock
from tests.support.hosts.guarded import guard
from tests.support.hosts.sign_in_parts import SignInParts
from tests.support.hosts.wsgi_call import call, environ_for

PEERS = Peers(map(parse_peer, "10.0.0.0/8 192.0.2.7 2001:db8:1::/48 unix".split()))
PROXY = {"REMOTE_ADDR": "10.0.0.1"}
JANE = "203.0.113.9"
FORGED = "198.51.100.66"


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        (JANE, JANE),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        (f"::ffff:{JANE}", JANE),
        (None, None),
        ("unix:", None),
        ("localhost", None),
        (f"{JANE}, 10.0.0.1", None),
        ("<b>", None),
    ],
)
@pytest.mark.requirement("R-peers")
def test_what_a_stranger_says_of_themselves_does_not_count(remote: str | None, shown: str | None) -> None:
    environ = {"HTTP_X_FORWARDED_FOR": FORGED, "HTTP_FORWARDED": f"for={FORGED}"}
    if remote is not None:
        environ["REMOTE_ADDR"] = remote
    assert not PEERS.is_trusted(environ)
    assert PEERS.client(environ) == shown


def test_without_the_setting_nobody_is_trusted() -> None:
    for remote in ("10.0.0.1", "127.0.0.1", "::1", ""):
        environ = {"REMOTE_ADDR": remote, "HTTP_X_FORWARDED_FOR": FORGED}
        assert not Peers(()).is_trusted(environ)
        assert Peers(()).client(environ) == (remote or None)


def test_a_unix_socket_is_trusted_where_it_is_named() -> None:
    environ = {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": JANE}
    assert PEERS.is_trusted(environ)
    assert PEERS.client(environ) == JANE
    # A server that says nothing of whom it serves has no Unix socket for that reason.
    assert not PEERS.is_trusted({})


@pytest.mark.parametrize("remote", ["10.255.0.1", "192.0.2.7", "::ffff:10.0.0.1", "2001:db8:1::5"])
def test_a_trusted_peer_is_known_in_every_spelling(remote: str) -> None:
    environ = {"REMOTE_ADDR": remote, "HTTP_X_FORWARDED_FOR": JANE}
    assert PEERS.is_trusted(environ)
    assert PEERS.client(environ) == JANE


@pytest.mark.requirement("R-peers")
@pytest.mark.parametrize(
    ("header", "client"),
    [
        (JANE, JANE),
        # The client is who the last trusted one was reached by; what is in front of that, it has said itself.
        (f"{FORGED}, {JANE}", JANE),
        (f"{FORGED},{JANE}", JANE),
        (f"{FORGED}, {JANE}, 10.0.0.2", JANE),
        (f"{FORGED}, 10.9.9.9, {JANE}, 10.0.0.2, 192.0.2.7", JANE),
        (f"{FORGED}, {JANE}:4711, 10.0.0.2:80", JANE),
        (f"{FORGED}, [2001:db8::1]:4711", "2001:db8::1"),
        (f"{FORGED}, [2001:db8::1]", "2001:db8::1"),
        (f"{FORGED}, 2001:db8::1", "2001:db8::1"),
        (f"{FORGED}, fe80::1%eth0", "fe80::1"),
        (f"{FORGED}, {JANE}, ::ffff:10.0.0.2", JANE),
        (f"{FORGED}, ::ffff:{JANE}", JANE),
        (f"{FORGED}, {JANE}, [2001:db8:1::9]:1", JANE),
        # all of them trusted: the one that began
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        # nothing that could be read, and so nobody
        ("", None),
        (f"{FORGED},", None),
        (f"{FORGED}, ", None),
        (f"{FORGED}, , 10.0.0.2", None),
        (f"{FORGED}, unknown", None),
        (f"{FORGED}, unix:", None),
        (f"{FORGED}, localhost, 10.0.0.2", None),
        (f"{FORGED}, {JANE}:", None),
        (f"{FORGED}, {JANE}:123456", None),
        (f"{FORGED}, {JANE} 10.0.0.2", None),
        (f"{FORGED}; {JANE}", None),
        (f'{FORGED}, "{JANE}"', None),
        (f"{FORGED}, 2001:db8::1]:80", None),
        (f"{FORGED}, 0313.0.113.9", None),
        (f"{FORGED}, 3405803785", None),
        (f"{FORGED}, {JANE}\x00", None),
        (f"{FORGED}, " + "9" * 20_000, None),
        (f"{FORGED}, " * 20_000 + JANE, JANE),
        # A chain that long is no chain of ours.
        (f"{FORGED}, " + ", ".join(["10.0.0.2"] * 17), None),
    ],
)
def test_the_client_is_the_last_hop_that_is_no_trusted_peer(header: str, client: str | None) -> None:
    assert PEERS.client(PROXY | {"HTTP_X_FORWARDED_FOR": header}) == client


@pytest.mark.requirement("R-peers")
@pytest.mark.parametrize(
    ("header", "client"),
    [
        (f"for={JANE}", JANE),
        (f"For={JANE};Proto=https;by=10.0.0.1", JANE),
        (f"proto=https; for={JANE}", JANE),
        (f'for="{JANE}:4711"', JANE),
        (f"for={JANE}:4711", JANE),
        ('for="[2001:db8::1]:4711"', "2001:db8::1"),
        ('for="[2001:db8::1]"', "2001:db8::1"),
        (f'for={JANE};host="app.example:443"', JANE),
        (f'host="app.example";for={JANE}', JANE),
        (f"for={FORGED}, for={JANE}", JANE),
        (f'for={FORGED}, for={JANE};by=x, for="10.0.0.2:1"', JANE),
        # a quote that the client leaves open takes nothing with it
        (f'for="{FORGED}, for={JANE}', JANE),
        (f'for={FORGED};x=", for={JANE}', JANE),
        # what a client says in Host, the proxy tells in quotes
        (f'for={JANE};host="a;for={FORGED}"', JANE),
        (f'host="a;for={FORGED}";for={JANE}', JANE),
        (f'host="a;for={FORGED}"', None),
        (f'for={JANE};host="a, for={FORGED}"', None),
        (f'for={JANE};host="a, for={FORGED}, b"', None),
        (f'for={JANE};host="a, for={FORGED};b=\\"c"', None),
        (f'for={JANE};host="a\\", for={FORGED};b=\\"c"', None),
        (f"for={FORGED}, for=unknown", None),
        (f"for={FORGED}, for=_gateway", None),
        (f"for={FORGED}, by=10.0.0.1", None),
        (f"for={FORGED}, for={JANE};for={FORGED}", None),
        (f"for={FORGED}, {JANE}", None),
        (f"for={FORGED}, for", None),
        (f"for={FORGED},", None),
        (f"for = {FORGED}", None),
        ("", None),
        (f"for={FORGED}, for={JANE};x=" + "a" * 1000, None),
        (f"for={FORGED}, for=" + '"\\' * 200, None),
    ],
)
def test_forwarded_is_read_as_the_standard_has_it(header: str, client: str | None) -> None:
    assert PEERS.client(PROXY | {"HTTP_FORWARDED": header}) == client


@pytest.mark.requirement("R-peers")
def test_of_two_headers_that_differ_neither_counts() -> None:
    both = PROXY | {"HTTP_X_FORWARDED_FOR": JANE, "HTTP_FORWARDED": f"for={JANE}"}
    assert PEERS.client(both) == JANE
    assert PEERS.client(both | {"HTTP_FORWARDED": f"for={FORGED}"}) is None
    assert PEERS.client(both | {"HTTP_X_FORWARDED_FOR": FORGED}) is None
    assert PEERS.client(both | {"HTTP_FORWARDED": "for=unknown"}) is None


@pytest.mark.requirement("R-peers")
def test_a_proxy_that_does_not_say_speaks_for_nobody() -> None:
    assert PEERS.client(PROXY) is None


hops = st.lists(st.ip_addresses(v=4).map(str), min_size=1, max_size=5)


@given(hops, st.lists(st.integers(0, 255).map("10.0.0.{}".format), max_size=5), st.text(max_size=50))
def test_whatever_a_client_sends_it_is_who_it_is(hops: list[str], proxies: list[str], sent: str) -> None:
    header = ", ".join([sent, *hops, JANE, *proxies])
    assert PEERS.client(PROXY | {"HTTP_X_FORWARDED_FOR": header}) == JANE
    header = ", ".join([sent, *(f"for={each}" for each in [*hops, JANE, *proxies])])
    assert PEERS.client(PROXY | {"HTTP_FORWARDED": header}) == JANE


@given(st.text(max_size=300))
def test_whatever_a_header_holds_the_address_is_one(header: str) -> None:
    for key in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"):
        client = PEERS.client(PROXY | {key: header})
        assert client is None or Peers(()).client({"REMOTE_ADDR": client}) == client


@pytest.mark.requirement("R-peers")
@pytest.mark.parametrize("trusted_peers", ["none", "192.0.2.1"])
def test_the_address_stands_in_the_session_and_in_the_audit_log(
    caplog: pytest.LogCaptureFixture, trusted_peers: str
) -> None:
    parts = SignInParts(Clock(), trusted_peers=trusted_peers)
    forwarded = {"HTTP_X_FORWARDED_FOR": f"{FORGED}, {JANE}"}
    shown = "192.0.2.1" if trusted_peers == "none" else JANE
    with caplog.at_level(logging.INFO, "oauth2_mw.audit"):
        parts.answer(parts.begin(), **forwarded)
    session = parts.current().session
    assert session is not None
    assert session.sign_in.remote_addr == shown
    assert f"address={shown}" in caplog.messages[-1]


def test_a_refusal_is_logged_with_the_address(caplog: pytest.LogCaptureFixture) -> None:
    middleware = guard(trusted_peers="10.0.0.0/8", access={"rules": "denied /internal/"})
    with caplog.at_level(logging.WARNING, "oauth2_mw.audit"):
        for accept in ("text/html", "application/json"):
            call(
                middleware,
                environ_for("/internal/", HTTP_ACCEPT=accept, HTTP_X_FORWARDED_FOR=JANE, **PROXY),
            )
    assert ["address=203.0.113.9" in message for message in caplog.messages] == [True, True]
