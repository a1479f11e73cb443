"""The token that a form of ours carries, so that no other site can send it for a person (RFC 6749, section 10.12).

It is sealed, names one session and is valid for an hour. Nothing is stored for it, and it ends with its session.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from oauth2_mw.session.model import Session
from oauth2_mw.session.sealing import Sealer

_PURPOSE = "form"
#: Seconds for which a page with a form may lie open.
VALID_FOR = 3600


class FormTokens:
    """Makes and checks the tokens of one application's forms."""

    def __init__(self, sealer: Sealer, *, clock: Callable[[], float] = time.time) -> None:
        self._sealer = sealer
        self._clock = clock

    def make(self, session: Session) -> str:
        """Return a token for the forms of a page that is shown to *session*."""
        payload = json.dumps([session.id, int(self._clock()) + VALID_FOR]).encode()
        return self._sealer.seal(_PURPOSE, "", payload)

    def fits(self, token: str, session: Session) -> bool:
        """Return whether *token* was made for that session and has not expired."""
        payload = self._sealer.open(_PURPOSE, "", token)
        if payload is None:
            return False
        try:
            match json.loads(payload):
                case [str(session_id), int(valid_until)]:
                    return session_id == session.id and self._clock() < valid_until
        except ValueError:
            pass
        return False
