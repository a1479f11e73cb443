"""Workers of one INI file in this process, each with its own memory, which grows old by a clock of the test."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from oauth2_mw.identity.model import Identity
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.model import SignInDetails
from oauth2_mw.settings.model import Settings
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import App, new_session
from tests.support.hosts.wsgi_call import call, environ_for

ISSUER = "https://id.example"


class Worker:
    """A middleware as one worker of a server has it."""

    def __init__(self, ini: Path, clock: ShiftedClocks) -> None:
        self.settings = Settings.from_ini(ini)
        self._middleware = OAuth2Middleware(App(), self.settings, clocks=clock.clocks)

    def sign_in(self, user_id: str, username: str, subject: str = "1", **details: Any) -> str:
        """Sign somebody in, and return the ``Cookie`` header of their browser from then on."""
        identity = Identity(user_id, "default", ISSUER, subject, username)
        sign_in = SignInDetails(**{"issued_at": int(time.time()), **details})
        return new_session(self._middleware._sessions, identity, {"id_token": "canary-token"}, sign_in)

    def lets_in(self, cookie: str) -> bool:
        """Whether the application is asked for who comes with that cookie."""
        return call(self._middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 200
