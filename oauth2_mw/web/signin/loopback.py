"""A provider's answer at a port of one's own machine, for a sign-in that no web application began (RFC 8252, 7.3)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from webob import Request

from oauth2_mw.errors import BadRequestError, NotFoundError, OAuth2Error, StateError
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.web.http import responses
from oauth2_mw.web.signin.callback import read_answer

_PAGE = "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>oauth2-mw login</title><p>{}</p></html>"
_TAKEN = "The terminal has the answer. This page can be closed."
_NOT_TAKEN = "This is not the answer that the terminal waits for."


class LoopbackAnswer:
    """A WSGI application that takes the one answer that carries *state*, and no other.

    :param path: of the redirect URI.
    :param refused: is told of a request that is not taken.
    """

    def __init__(
        self,
        provider: ProviderSettings,
        *,
        path: str,
        state: str,
        refused: Callable[[OAuth2Error], None],
    ) -> None:
        self._provider = provider
        self._path = path
        self._state = state
        self._refused = refused
        #: the parameters of the answer, once the browser has its page
        self.params: Mapping[str, str] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a browser."""
        try:
            params = self._read(Request(environ))
        except OAuth2Error as error:
            # Browsers ask for favicon.ico.
            if not isinstance(error, NotFoundError):
                self._refused(error)
            return responses.page(_PAGE.format(_NOT_TAKEN), status=error.status)(environ, start_response)
        page: Iterable[bytes] = responses.page(_PAGE.format(_TAKEN))(environ, start_response)
        return self._told(page, params)

    def _read(self, request: Request) -> Mapping[str, str]:
        if request.environ.get("PATH_INFO") != self._path:
            raise NotFoundError("only the redirect URI is answered here")
        params = read_answer(request, self._provider)
        check_state(params, self._state)
        if self.params is not None:
            raise BadRequestError("a second answer came, and is not read")
        return params

    def _told(self, page: Iterable[bytes], params: Mapping[str, str]) -> Iterator[bytes]:
        try:
            yield from page
        finally:
            # Only now: who waits for it may end this process.
            self.params = params


def check_state(params: Mapping[str, str], state: str) -> None:
    """Check that an answer belongs to the sign-in that was begun with *state* (RFC 6749, section 10.12).

    :raises StateError: ``state_missing`` or ``state_foreign``.
    """
    given = params.get("state", "")
    if not given:
        raise StateError("an answer came without state, and was not used", code="state_missing")
    if not hmac.compare_digest(given.encode(), state.encode()):
        raise StateError(
            "an answer came that belongs to another sign-in, and was not used", code="state_foreign"
        )
