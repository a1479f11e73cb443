"""``trusted_peers``: whose word about a request counts, besides the client's own."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from oauth2_mw.settings.text import shown

Address = IPv4Address | IPv6Address
#: a network, a single address being one too, or the word for whoever connects over a Unix socket
Peer = IPv4Network | IPv6Network | str

UNIX = "unix"
#: The widest networks: a larger one would hold a good part of the internet, and so its attackers.
_LEAST_BITS = {4: 8, 6: 16}
_LOCAL = (IPv6Network("fc00::/7"), IPv6Network("fe80::/10"))
#: What no client on the internet has: loopback, link-local and private networks, and those behind a carrier's NAT
#: (RFC 6598). Those of examples in documents are none of them.
PRIVATE = (
    *map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
    *map(IPv4Network, ("127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10")),
    IPv6Network("::1/128"),
    *_LOCAL,
)
_MAPPED_BITS = 96
_BITS = re.compile(r"0|[1-9][0-9]{0,2}")
#: Characters of an address.
_MAX_ADDRESS = 64


def parse_address(text: str) -> Address | None:
    """Return an IP address without its zone, or ``None`` if it is none. One of IPv4 has one form (RFC 4291, 2.5.5.2).

    A server that listens on IPv6 may say ``::ffff:192.0.2.1``.
    """
    try:
        address = ip_address(text[:_MAX_ADDRESS].partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def parse_peer(text: str) -> Peer:
    """Return one word of ``trusted_peers`` or ``metrics_peers``.

    :raises ValueError: for a name, which others may point elsewhere; for a network that is not written as one, or that
        everybody could come from.
    """
    if text == UNIX:
        return UNIX
    written, slash, bits = text.partition("/")
    try:
        if "%" in text:
            raise ValueError
        address = ip_address(written)
    except ValueError:
        raise ValueError(
            f"{shown(text)} is no address: write one like 10.0.0.1, a network like 10.0.0.0/8, or {UNIX}; names are "
            "not looked up"
        ) from None
    if slash and (_BITS.fullmatch(bits) is None or int(bits) > address.max_prefixlen):
        raise ValueError(
            f"{shown(text)}: after / stands how many bits of the address count, up to {address.max_prefixlen}"
        )
    network = ip_network(text, strict=False)
    if network.network_address != address:
        raise ValueError(f"{shown(text)} has bits that do not count: write {network}, or the address alone")
    if isinstance(address, IPv6Address) and address.ipv4_mapped and network.prefixlen >= _MAPPED_BITS:
        network = ip_network(f"{address.ipv4_mapped}/{network.prefixlen - _MAPPED_BITS}")
    if network.network_address.is_unspecified or _is_too_wide(network):
        raise ValueError(f"{shown(text)} is everybody, or too many: name the machines that are meant alone")
    return network


def _is_too_wide(network: IPv4Network | IPv6Network) -> bool:
    is_local = isinstance(network, IPv6Network) and any(network.subnet_of(local) for local in _LOCAL)
    return network.prefixlen < _LEAST_BITS[network.version] and not is_local
