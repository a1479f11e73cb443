"""``health/`` and ``health/ready``: whether this process lives, and whether it can serve, for what balances load.

What all hosts share takes none of them out by itself, or one outage would take out all at once: only what
``ready_needs`` names counts beside this host. Nobody waits here for a store, and no provider is called.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import copy_context
from math import inf
from typing import Literal

from webob import Request, Response

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings
from oauth2_mw.telemetry import DIRECTORY, STORE, LastCall
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.forms import require_method
from oauth2_mw.web.http.readers import Readers

State = Literal["up", "down", "unknown"]

#: Seconds for which what was found holds.
CACHED = 2.0
#: Seconds that a request waits for what a look finds; after :data:`PATIENCE` of them there is no answer.
WAIT = 0.15
PATIENCE = 1.0
#: Seconds for which a provider that gave no answer counts as away. It is asked by sign-ins alone, and with this host
#: taken out there would be none.
_MEMORY = 30.0


class Look:
    """Whether something answers, found out in a thread of its own.

    :param ask: asks it.
    """

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._looking = ProcessLock()
        self._thread: threading.Thread | None = None
        self._began = -inf
        self._found: State = "unknown"

    def begin(self) -> None:
        """Look anew, unless that is being done or was just done."""
        if time.monotonic() - self._began < CACHED or not self._looking.acquire(blocking=False):
            return
        self._began = time.monotonic()
        thread = threading.Thread(target=copy_context().run, args=(self._look,), daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # This process has too many threads already.
            self._looking.release()
            return
        self._thread = thread

    def state(self, *, wait: float) -> State:
        """Return what was found.

        :param wait: seconds for which a look that is under way is waited for.
        """
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(wait)
            if thread.is_alive() and time.monotonic() - self._began > PATIENCE:
                return "down"
        return self._found

    def _look(self) -> None:
        try:
            self._ask()
            self._found = "up"
        except StoreUnavailableError:
            self._found = "down"
        finally:
            self._looking.release()


class Health:
    """The URLs of one application at which it is asked how it does.

    :param readers: who is told the details.
    :param asks: ``store`` and ``directory`` -> what asks it, as far as there is one.
    :param last_calls: NAME of a provider -> what it was last asked came to.
    """

    def __init__(
        self,
        settings: Settings,
        readers: Readers,
        *,
        asks: Mapping[str, Callable[[], object]],
        last_calls: Mapping[str, LastCall],
    ) -> None:
        self._needs = settings.ready_needs
        self._secrets = [
            secret
            for provider in settings.providers.values()
            for secret in (provider.client_secret, provider.client_key)
            if secret is not None
        ]
        self._providers = tuple(settings.providers)
        self._readers = readers
        self._looks = {name: Look(ask) for name, ask in asks.items()}
        self._last_calls = last_calls

    def alive(self, request: Request, _current: RequestSession) -> Response:
        """``health/``: this process answers.

        :raises MethodNotAllowedError: for anything but GET and HEAD.
        """
        require_method(request, "GET", "HEAD")
        return responses.document({"alive": True})

    def ready(self, request: Request, _current: RequestSession) -> Response:
        """``health/ready``: whether this process can serve, and to ``metrics_peers`` how what it asks does.

        :raises MethodNotAllowedError: for anything but GET and HEAD.
        """
        require_method(request, "GET", "HEAD")
        tells = self._readers.has(request.environ)
        states = dict(self._states(self._looks if tells else [*{*self._looks} & {*self._needs}]))
        providers = {name: self._provider_state(name) for name in self._providers}
        needed = [states[need] == "up" for need in (STORE, DIRECTORY) if need in self._needs]
        if "providers" in self._needs:
            needed.append("down" not in providers.values())
        is_ready = all(needed) and all(map(_is_readable, self._secrets))
        details = {**states, "providers": providers} if tells else {}
        return responses.document({"ready": is_ready, **details}, status=200 if is_ready else 503)

    def _states(self, names: Iterable[str]) -> Iterator[tuple[str, State]]:
        looks = {name: self._looks[name] for name in names}
        until = time.monotonic() + WAIT
        for look in looks.values():
            look.begin()
        for name, look in looks.items():
            yield name, look.state(wait=max(0.0, until - time.monotonic()))

    def _provider_state(self, name: str) -> State:
        last = self._last_calls.get(name)
        if last is None or (not last.answered and time.monotonic() - last.at > _MEMORY):
            return "unknown"
        return "up" if last.answered else "down"


def _is_readable(secret: Secret) -> bool:
    try:
        secret.value()
    except OSError:
        return False
    return True
