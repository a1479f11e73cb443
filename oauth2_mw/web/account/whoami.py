"""Who is signed in, for the scripts of a single-page application."""

from __future__ import annotations

from webob import Request, Response

from oauth2_mw.audit import audit
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.telemetry import reference
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.forms import require_method
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.signin.challenge import unauthorized


class WhoAmI:
    """The URL ``whoami/`` of one application."""

    def __init__(self, urls: Urls) -> None:
        self._urls = urls

    def answer(self, request: Request, current: RequestSession) -> Response:
        """``GET whoami/``: say who is signed in and until when, or where to sign in. It does not count as use.

        :raises MethodNotAllowedError: for anything but GET and HEAD.
        """
        require_method(request, "GET", "HEAD")
        if request.environ.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site"):
            audit(
                "refused",
                ref=reference(),
                code="foreign_origin",
                detail="a page of another origin asked whoami/",
            )
            return responses.problem(
                403, detail="Only this application's own pages may ask.", reference=reference()
            )
        session = current.session
        if session is None:
            return unauthorized(self._urls, None)
        identity = session.identity
        return responses.document(
            {
                "username": identity.username,
                "name": identity.name,
                "email": identity.email,
                "groups": identity.groups,
                "expires": session.expires_at,
                "idle_expires": min(session.expires_at, session.last_used_at + session.idle_timeout),
                "logout_url": self._urls.logout(),
            }
        )
