"""How a provider's answer comes back to a terminal: to a port of this machine, or pasted from the browser."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from oauth2_mw.boundary import strict_query
from oauth2_mw.cli.prompts import ask
from oauth2_mw.cli.terminal import CommandError, format_duration, printable
from oauth2_mw.errors import OAuth2Error
from oauth2_mw.provider.endpoints.authorization_response import PARAMETERS, PROSE, with_standard_code
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.web.http.forms import MAX_QUERY
from oauth2_mw.web.signin.loopback import LoopbackAnswer, check_state

_PATH = "/callback"
#: Seconds that a connection may say nothing: browsers open some that they never use.
_IDLE = 10
#: Seconds between two looks at what has come.
_TICK = 0.2


class _Handler(WSGIRequestHandler):
    timeout = _IDLE

    def log_message(self, *_args: object) -> None:
        """Say nothing: an address holds a code."""

    def get_stderr(self) -> Any:
        return sys.stderr


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # Windows would let two listen at one port.
    allow_reuse_address = os.name == "posix"

    def handle_error(self, *_args: object) -> None:
        """Say nothing: a browser that hangs up, or a connection that it does not use, is nobody's affair."""

    def server_bind(self) -> None:
        # Without the look-up of a name that the server in the standard library makes.
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()
        self.setup_environ()


class LoopbackPort:
    """A port of this machine that waits for one answer (RFC 8252, section 7.3).

    :param port: 0 takes any that is free.
    :param host: what the redirect URI calls this machine.
    """

    def __init__(self, provider: ProviderSettings, *, port: int, host: str, state: str) -> None:
        try:
            self._server = _Server(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise CommandError(
                f"port {port} of this machine cannot be used ({error.strerror}): --port takes another one"
            ) from None
        self._server.timeout = _TICK
        self.port: int = self._server.server_port
        self.redirect_uri: str = f"http://{host}:{self.port}{_PATH}"
        self._answer = LoopbackAnswer(provider, path=_PATH, state=state, refused=_tell)
        self._server.set_app(self._answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.server_close()

    def explain(self, say: Callable[[str], None]) -> None:
        """Say what has to be registered."""
        say("Register there as one more redirect URI:")
        say(f"  {self.redirect_uri}")
        say(
            "(--port and --localhost take another one; --registered takes the application's own, where no address of "
            "this machine may be registered)"
        )

    def wait(self, *, seconds: int) -> Mapping[str, str]:
        """Return the parameters of the answer.

        :raises CommandError: if none comes in time.
        """
        deadline = time.monotonic() + seconds
        while self._answer.params is None:
            if time.monotonic() > deadline:
                raise CommandError(
                    f"nobody came back within {format_duration(seconds)}; if the provider has shown an error about the "
                    f"redirect URI, register {self.redirect_uri} there; --timeout waits for longer"
                )
            self._server.handle_request()
        return self._answer.params


class PastedAddress:
    """The application's own redirect URI, whose address somebody copies out of the browser.

    The application refuses the answer, which belongs to no sign-in of its own, and leaves the code unused.
    """

    def __init__(self, provider: ProviderSettings, *, redirect_uri: str, state: str) -> None:
        if provider.response_mode == "form_post":
            raise CommandError(
                f"provider {provider.name} answers with a form, which leaves nothing in the address (response_mode = "
                "form_post): sign in without --registered"
            )
        self.redirect_uri = redirect_uri
        self._state = state

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def explain(self, say: Callable[[str], None]) -> None:
        """Say what will be seen."""
        say(
            f"The browser ends at {self.redirect_uri}, at a page that says that the sign-in was not begun there, or at "
            "none if the application does not run. Copy its whole address."
        )

    def wait(self, *, seconds: int) -> Mapping[str, str]:  # noqa: ARG002, a person takes the time that they need
        """Return the parameters in the address that somebody pastes."""
        is_terminal = sys.stdin.isatty()
        address = ask(
            "The address (it is not shown)" if is_terminal else "The address",
            problems=self._problems,
            hidden=is_terminal,
        )
        return self._read(address)

    def _problems(self, address: str) -> list[str]:
        try:
            self._read(address)
        except OAuth2Error as error:
            return [printable(error.detail)]
        return []

    def _read(self, address: str) -> Mapping[str, str]:
        if not address.startswith(f"{self.redirect_uri}?"):
            raise CommandError(f"copy the whole address, which begins with {self.redirect_uri}?")
        query = urlsplit(address).query
        params = strict_query(query, allowed=PARAMETERS, limit=MAX_QUERY, prose=PROSE)
        check_state(params, self._state)
        return with_standard_code(params)


def open_browser(url: str) -> bool:
    """Open a browser if there is one with windows, and return whether there is.

    Without windows Python would start one in the terminal itself.
    """
    has_windows = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    return has_windows and webbrowser.open(url)


def _tell(error: OAuth2Error) -> None:
    print(f"  {printable(error.detail)}", file=sys.stderr)
