"""The provider signs somebody out by frames in their browser (OpenID Connect Front-Channel Logout 1.0).

Anybody can open the address. Who knows a session's ``sid`` may end that session, here alone: its tokens are taken back
at the provider only when its own cookie came along. Without a ``sid`` only the browser's own session can be meant, and
only inside a frame, for any link could lead here. Browsers send our cookie into a frame only where provider and
application are of one site (``SameSite=Lax``); a provider elsewhere has to send ``iss`` and ``sid``. Whatever came of
it, the page is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from webob import Request, Response

from oauth2_mw.observe import audit
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.settings.addresses import origin_of
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.web.failures import only
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.forms import read_query
from oauth2_mw.web.pages.pages import Pages

_QUERY = frozenset({"iss", "sid"})


class FrontChannelLogout:
    """The front-channel logout URLs of one application.

    :param revoke: takes a session's tokens back at the provider.
    """

    def __init__(
        self,
        ledger: SessionRegistry,
        sessions: SessionManager,
        pages: Pages,
        providers: Mapping[str, ProviderSettings],
        *,
        revoke: Callable[[Session], None],
    ) -> None:
        self._ledger = ledger
        self._sessions = sessions
        self._pages = pages
        self._providers = providers
        self._revoke = revoke

    def get(self, request: Request, known: RequestSession, *, name: str) -> Response:
        """Answer what a provider's logout page shows in a frame (sections 2 and 3).

        :param name: the provider's.
        :raises MethodNotAllowed: for anything but GET.
        :raises RequestError: when the query cannot be read.
        :raises StoreUnavailable: when the session could not be ended everywhere.
        """
        only(request, "GET")
        query = read_query(request, _QUERY)
        issuer, sid = query.get("iss") or None, query.get("sid") or None
        provider = self._providers[name]
        if issuer is not None and sid is not None and issuer == provider.issuer:
            ended = self._end_by_sid(name, issuer, sid)
        elif issuer is None and sid is None:
            ended = self._end_own(request, known, name)
        else:
            audit("logout_ignored", provider=name, detail="iss is another issuer's, or stands without sid")
            ended = []
        cookies: list[str] = []
        if known.session is not None and known.session.id in ended:
            self._revoke(known.session)
            cookies = self._sessions.cookies.expire_session(known.cookies)
        html = self._pages.framed_logout()
        return responses.framed(html, ancestors=_origins(provider), cookies=cookies)

    def _end_by_sid(self, name: str, issuer: str, sid: str) -> list[str]:
        ended = self._ledger.end_by_sid(issuer, sid)
        users = sorted({entry.user_id for entry in ended})
        audit("logout_by_provider", provider=name, how="frame", count=len(ended), user=users or None)
        return [entry.id for entry in ended]

    def _end_own(self, request: Request, known: RequestSession, name: str) -> list[str]:
        session = known.session
        in_frame = request.environ.get("HTTP_SEC_FETCH_DEST") in ("iframe", "frame")
        if session is None or session.identity.provider != name or not in_frame:
            return []
        self._sessions.end(session)
        audit("logout_by_provider", provider=name, how="frame", count=1, user=session.identity.id)
        return [session.id]


def _origins(provider: ProviderSettings) -> list[str]:
    """Where the provider may show its logout page, as far as it is written down: nothing is fetched for a frame."""
    written = (provider.issuer, provider.authorization_endpoint, provider.logout_endpoint)
    return list(dict.fromkeys(origin_of(url) for url in written if url is not None))
