"""Who may read how this process does: ``metrics_peers``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from oauth2_mw.settings.peers import Peer
from oauth2_mw.web.http.peers import Peers

#: What proxies add to the requests that they pass on.
_FORWARDING = frozenset({"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"})


class Readers:
    """Those who may read it, judged by the client's address.

    :param peers: who says whose a request is.
    :param allowed: the setting.
    """

    def __init__(self, peers: Peers, allowed: Iterable[Peer]) -> None:
        self._peers = peers
        self._allowed = Peers(allowed)

    def has(self, environ: Mapping[str, Any]) -> bool:
        """Return whether a request is of one of them.

        One that comes through a proxy is nobody's if the proxy is not trusted, or does not say whose it is: it would
        open to the world what the proxy itself may read.
        """
        if self._peers.is_trusted(environ):
            client = self._peers.client(environ)
        elif _FORWARDING.isdisjoint(environ):
            client = environ.get("REMOTE_ADDR")
        else:
            return False
        return self._allowed.is_trusted({"REMOTE_ADDR": client})
