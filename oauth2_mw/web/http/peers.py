"""Who sent a request: the client's address, as far as trusted proxies have told it.

A proxy stands between, so that ``REMOTE_ADDR`` is the proxy's, and each adds whom it has the request from at the end of
``X-Forwarded-For`` or ``Forwarded`` (RFC 7239). What stands further in front came from outside, and may be invented.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from oauth2_mw.settings.peers import UNIX, Address, Peer, parse_address

#: Proxies in a row that are looked at.
_MAX_HOPS = 16
#: Characters of one hop.
_MAX_LENGTH = 500
# RFC 7239, section 4. Blanks around the signs, and addresses without quotes, are common.
_PAIR = r"([\w!#$%&'*+.^`|~-]+)=(\"(?:[^\"\\]|\\.)*+\"|[\w!#$%&'*+.^`|~:\[\]-]*+)"
_ELEMENT = re.compile(rf"{_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*+", re.ASCII)
_PARAMETER = re.compile(_PAIR, re.ASCII)
# Some proxies add the port. An IPv6 address with one has brackets.
_HOP = re.compile(r"(?:([^:\[\]]+)|\[([^\[\]]+)\])(?::[0-9]{1,5})?")


class Peers:
    """Those whose word about a request counts.

    :param trusted: the setting ``trusted_peers``.
    """

    def __init__(self, trusted: Iterable[Peer]) -> None:
        trusted = frozenset(trusted)
        self._trusts_unix = UNIX in trusted
        self._networks = [each for each in trusted if isinstance(each, (IPv4Network, IPv6Network))]

    def is_trusted(self, environ: Mapping[str, Any]) -> bool:
        """Return whether the one who has connected to the server is trusted.

        Over a Unix socket ``REMOTE_ADDR`` is there, and empty.
        """
        remote = environ.get("REMOTE_ADDR")
        if remote == "":
            return self._trusts_unix
        address = parse_address(remote or "")
        return address is not None and self._is_trusted(address)

    def client(self, environ: Mapping[str, Any]) -> str | None:
        """Return the address of the client, as addresses are usually written, or ``None`` if it cannot be known.

        That is the last hop that is no trusted peer, or the first of all if all are trusted.
        """
        if not self.is_trusted(environ):
            address = parse_address(environ.get("REMOTE_ADDR") or "")
        else:
            told = {self._last_stranger(environ[key], read) for key, read in _READERS if key in environ}
            # Where two differ, one is the client's own, and nobody knows which.
            address = told.pop() if len(told) == 1 else None
        return None if address is None else str(address)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _last_stranger(self, header: str, read: Callable[[str], Address | None]) -> Address | None:
        address = None
        # What is left of too many hops is none.
        for text in reversed(header.rsplit(",", _MAX_HOPS)):
            address = read(text.strip(" \t")) if len(text) <= _MAX_LENGTH else None
            if address is None or not self._is_trusted(address):
                break
        return address


def _hop(text: str) -> Address | None:
    """Read an item of ``X-Forwarded-For``."""
    bare = parse_address(text)
    hop = _HOP.fullmatch(text) if bare is None else None
    return bare if hop is None else parse_address(hop[1] or hop[2])


def _element(text: str) -> Address | None:
    """Read an element of ``Forwarded``. One whose quotes hold a comma has been cut there, and is unreadable."""
    parameters = _PARAMETER.findall(text) if _ELEMENT.fullmatch(text) else []
    nodes = [value.strip('"') for name, value in parameters if name.lower() == "for"]
    return _hop(nodes[0]) if len(nodes) == 1 else None


_READERS = (("HTTP_X_FORWARDED_FOR", _hop), ("HTTP_FORWARDED", _element))
