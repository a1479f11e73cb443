"""Session cookies that came under our name and were sealed by somebody else: most likely a neighbour on the host.

Where two applications have one ``cookie_name``, each overwrites the cookie of the other, and people have to sign in
again whenever they go from one to the other. Nobody sees that at a start, because neither knows of the other.
"""

from __future__ import annotations

import logging
import re
from math import inf

from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cookies import CHUNK_BYTES, SEALED

log: logging.Logger = logging.getLogger(__name__)

#: Seconds between two warnings: it is in every request of such a browser.
PAUSE = 3600
_is_sealed = re.compile(SEALED).fullmatch


class ForeignCookies:
    """Tells the log of them.

    :param name: the name of the session cookie.
    """

    def __init__(self, name: str, clocks: Clocks) -> None:
        self._name = name
        self._monotonic = clocks.monotonic
        self._quiet_until = -inf

    def note(self, chunk_count: int, sealed: str) -> None:
        """Warn, at most once an hour, of a text that could not be opened, if this package sealed it and it is whole."""
        now = self._monotonic()
        if now < self._quiet_until or chunk_count > 1 or len(sealed) >= CHUNK_BYTES or not _is_sealed(sealed):
            return
        self._quiet_until = now + PAUSE
        log.warning(
            "a session cookie came that was not sealed here: if all workers have the same secret_keys, public_url and "
            "session, and none has changed lately, another application on this host has the same cookie_name, and each "
            "signs people out of the other: give each its own (the cookie is called %s)",
            self._name,
        )
