"""``metrics``: what this server has counted, for ``metrics_peers``."""

from __future__ import annotations

from collections.abc import Callable

from webob import Request, Response

from oauth2_mw.errors import NotFoundError
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.forms import require_method
from oauth2_mw.web.http.readers import Readers


class MetricsPage:
    """The URL of one application at which its metrics are read.

    :param exposition: returns them, and their content type.
    """

    def __init__(self, readers: Readers, exposition: Callable[[], tuple[bytes, str]]) -> None:
        self._readers = readers
        self._exposition = exposition

    def answer(self, request: Request, _current: RequestSession) -> Response:
        """``metrics``: answer one of the readers; for everybody else there is no such URL.

        :raises NotFoundError: for everybody else.
        :raises MethodNotAllowedError: for anything but GET and HEAD.
        """
        if not self._readers.has(request.environ):
            raise NotFoundError("metrics are read by metrics_peers alone")
        require_method(request, "GET", "HEAD")
        return responses.asset(*self._exposition())
