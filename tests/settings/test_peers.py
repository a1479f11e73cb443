"""``trusted_peers``: addresses and networks of proxies, and nothing that strangers could come from."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.settings.peers import parse_address, parse_peer
from tests.support.settings.minimal import make_settings, oidc, only_problem, service


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("172.16.0.0/12", "172.16.0.0/12"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("::1", "::1/128"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("fd00::/8", "fd00::/8"),
        ("fc00::/7", "fc00::/7"),
        ("fe80::/10", "fe80::/10"),
        # one address has one form
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ],
)
def test_an_address_is_a_network_of_one(text: str, network: str) -> None:
    assert parse_peer(text) == ip_network(network)


def test_unix_is_a_word_of_its_own() -> None:
    assert make_settings(**oidc(), trusted_peers="unix ::1").trusted_peers == ("unix", ip_network("::1"))
    assert make_settings(**oidc(), trusted_peers="none").trusted_peers == ()


@pytest.mark.requirement("R-peers")
@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("proxy", "is no address"),
        ("proxy.example.com", "names are not looked up"),
        ("localhost", "is no address"),
        ("*", "is no address"),
        ("all", "is no address"),
        ("unix:", "is no address"),
        ("UNIX", "is no address"),
        ("10.0.0.1:8000", "is no address"),
        ("[::1]", "is no address"),
        ("fe80::1%eth0", "is no address"),
        ("fe80::/10%eth0", "is no address"),
        ("010.0.0.1", "is no address"),
        ("10.1", "is no address"),
        ("167772161", "is no address"),
        ("10.0.0.0-10.0.0.9", "is no address"),
        ("10.0.0.*", "is no address"),
        ("/8", "is no address"),
        ("10.0.0.0/", "how many bits"),
        ("10.0.0.0/33", "up to 32"),
        ("10.0.0.0/08", "how many bits"),
        ("10.0.0.0/-8", "how many bits"),
        ("10.0.0.0/8/8", "how many bits"),
        ("10.0.0.0/255.0.0.0", "how many bits"),
        ("10.0.0.0/0.255.255.255", "how many bits"),
        ("::1/129", "up to 128"),
        ("10.0.0.1/8", "write 10.0.0.0/8"),
        ("2001:db8::1/32", "write 2001:db8::/32"),
        ("0.0.0.0/0", "is everybody"),
        ("::/0", "is everybody"),
        ("::ffff:0:0/96", "is everybody"),
        ("0.0.0.0", "is everybody"),
        ("::", "is everybody"),
        ("::ffff:0.0.0.0", "is everybody"),
        ("10.0.0.0/0", "bits that do not count"),
        ("0.0.0.0/1", "too many"),
        ("128.0.0.0/1", "too many"),
        ("::ffff:128.0.0.0/97", "too many"),
        ("192.0.0.0/7", "too many"),
        ("::/1", "too many"),
        ("2000::/3", "too many"),
        ("2000::/15", "too many"),
    ],
)
def test_who_could_be_anybody_is_not_trusted(text: str, part: str) -> None:
    found = only_problem(service(**oidc(), trusted_peers=f"10.0.0.1 {text}"))
    assert found.startswith("[oauth2_mw] trusted_peers: ")
    assert part in found


@given(st.ip_addresses())
def test_every_address_is_read_as_it_is_written(address: object) -> None:
    read = parse_address(str(address))
    assert read in (ip_address(str(address)), getattr(ip_address(str(address)), "ipv4_mapped", None))


@given(st.text(max_size=100))
def test_whatever_is_written_there_is_a_network_or_a_sentence(text: str) -> None:
    try:
        peer = parse_peer(text)
    except ValueError as error:
        assert str(error).isascii()
    else:
        assert peer == "unix" or ip_address("203.0.113.9") not in peer
