"""A provider signs somebody out by frames in their browser (OpenID Connect Front-Channel Logout 1.0).

Anybody can open the address. Who knows a session's ``sid`` may end that session, but only here: its tokens are revoked
at the provider only when its own cookie came along. Without a ``sid`` only the browser's own session can be meant, and
only inside a frame, because any link could lead here. Browsers send our cookie into a frame only where provider and
application are of one site (``SameSite=Lax``); a provider elsewhere has to send ``iss`` and ``sid``. The page is the
same whatever the request has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from webob import Request, Response

from oauth2_mw.audit import audit
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.settings.addresses import origin_of
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.forms import read_query, require_method
from oauth2_mw.web.pages.pages import Pages
from oauth2_mw.web.signout.provider_logout import audit_logout

_QUERY = frozenset({"iss", "sid"})


class FrontChannelLogout:
    """The front-channel logout URLs of one application.

    :param ended: revokes a session's tokens at the provider, and tells the application.
    :param forgotten: what a browser is told to forget with its session, as for :class:`Logout`.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        sessions: SessionManager,
        pages: Pages,
        providers: Mapping[str, ProviderSettings],
        *,
        ended: Callable[[Session], None],
        forgotten: Collection[str],
    ) -> None:
        self._registry = registry
        self._sessions = sessions
        self._pages = pages
        self._providers = providers
        self._ended = ended
        self._forgotten = forgotten

    def get(self, request: Request, current: RequestSession, *, name: str) -> Response:
        """``GET frontchannel-logout/NAME/``: answer a frame of the provider's logout page (sections 2 and 3).

        :param name: the provider's.
        :raises MethodNotAllowedError: for anything but GET.
        :raises BadRequestError: when the query cannot be read.
        :raises StoreUnavailableError: when the session could not be ended everywhere.
        """
        require_method(request, "GET")
        query = read_query(request, _QUERY)
        issuer, sid = query.get("iss") or None, query.get("sid") or None
        provider = self._providers[name]
        if issuer is not None and sid is not None and issuer in provider.issuers:
            ended = self._end_by_sid(name, issuer, sid)
        elif issuer is None and sid is None:
            ended = self._end_own(request, current, name)
        else:
            audit("logout_ignored", provider=name, detail="iss is another issuer's, or stands without sid")
            ended = []
        html = self._pages.framed_logout()
        response = responses.frameable_page(html, ancestors=_origins(provider))
        if current.session is not None and current.session.id in ended:
            self._ended(current.session)
            cookies = self._sessions.cookies
            expired = [*cookies.expire_session(current.cookies), *cookies.expire_app_cookies()]
            responses.add_cookies(response, expired)
            responses.clear_site_data(response, self._forgotten)
        return response

    def _end_by_sid(self, name: str, issuer: str, sid: str) -> list[str]:
        ended, is_remembered = self._registry.end_by_frame(issuer, sid)
        if not is_remembered:
            audit(
                "logout_ignored",
                provider=name,
                detail="more frames than are remembered: nobody is signed out who was signing in at this moment",
            )
        audit_logout(name, ended, how="frame")
        return [info.id for info in ended]

    def _end_own(self, request: Request, current: RequestSession, name: str) -> list[str]:
        session = current.session
        in_frame = request.environ.get("HTTP_SEC_FETCH_DEST") in ("iframe", "frame")
        if session is None or session.identity.provider != name or not in_frame:
            return []
        self._sessions.end(session)
        audit("logout_by_provider", identity=session.identity, count=1, how="frame")
        return [session.id]


def _origins(provider: ProviderSettings) -> list[str]:
    """Return the origins of the provider that the settings name: nothing is fetched for a frame."""
    urls = (provider.issuer, provider.authorization_endpoint, provider.logout_endpoint)
    return list(dict.fromkeys(origin_of(url) for url in urls if url is not None))
