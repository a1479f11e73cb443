"""The page where a person sees where they are signed in, and signs out the browsers that they do not recognise."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from webob import Request, Response

from oauth2_mw.audit import audit
from oauth2_mw.errors import BadRequestError
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.model import Session
from oauth2_mw.session.registry import SessionInfo, SessionRegistry
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.csrf import FormTokens
from oauth2_mw.web.http.forms import read_form, read_query, require_method
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.pages.account import SessionRow
from oauth2_mw.web.pages.pages import Pages
from oauth2_mw.web.signin.login import Login
from oauth2_mw.web.signout.logout import Logout

_QUERY = frozenset({"done"})
_FORM = frozenset({"csrf_token", "session", "others"})
#: What has just been done, by the parameter ``done`` of the address that the browser is sent back to.
_MESSAGES = MappingProxyType(
    {
        "one": "That browser is signed out.",
        "others": "You are signed out everywhere else.",
        "gone": "That browser was signed out already.",
    }
)
_EXPIRED = "This page had been open for too long, and nothing was changed. Please try again."


class SessionsPage:
    """The sessions page of one application."""

    def __init__(
        self,
        registry: SessionRegistry,
        urls: Urls,
        pages: Pages,
        providers: Mapping[str, ProviderSettings],
        *,
        tokens: FormTokens,
        login: Login,
        logout: Logout,
        has_tokens_page: bool,
    ) -> None:
        self._registry = registry
        self._urls = urls
        self._pages = pages
        self._providers = providers
        self._tokens = tokens
        self._login = login
        self._logout = logout
        self._tokens_url = urls.tokens() if has_tokens_page else None

    def answer(self, request: Request, current: RequestSession) -> Response:
        """``sessions/``: show the sessions of the signed-in person, or end some of them.

        :raises MethodNotAllowedError: for anything but GET, HEAD and POST.
        :raises BadRequestError: when the query or the form cannot be read, or the form names no session.
        """
        require_method(request, "GET", "HEAD", "POST")
        session = current.session
        if session is None:
            return self._login.challenge(request.environ, current, self._urls.sessions_path)
        if request.method == "POST":
            return self._post(session, current, read_form(request, _FORM))
        done = read_query(request, _QUERY).get("done", "")
        return self._show(session, message=_MESSAGES.get(done))

    def _post(self, session: Session, current: RequestSession, form: Mapping[str, str]) -> Response:
        """End another session of that person, or all others; the present one by the usual sign-out."""
        if not self._tokens.fits(form.get("csrf_token", ""), session):
            audit(
                "logout_not_confirmed",
                identity=session.identity,
                detail="the form of the sessions page carried no token of this session",
            )
            return self._show(session, message=_EXPIRED, status=400)
        session_id = form.get("session")
        if form.get("others") != "1" and not session_id:
            raise BadRequestError("the form names no session to end", code="bad_form")
        if session_id == session.id:
            return self._logout.sign_out(session, current, None)
        # Another person's session is answered like one that has ended.
        others = [
            info
            for info in self._registry.find_by_user(session.identity.id)
            if info.id != session.id and session_id in (None, "", info.id)
        ]
        ended = [info for info in others if self._registry.end(info.id, expires=info.expires_at)]
        audit("signed_out_elsewhere", identity=session.identity, count=len(ended))
        done = "others" if not session_id else "one" if ended else "gone"
        return responses.redirect(self._urls.sessions(done=done))

    def _show(self, session: Session, *, message: str | None, status: int = 200) -> Response:
        html = self._pages.account.sessions(
            rows=self._rows(session),
            username=session.identity.username,
            action=self._urls.sessions(),
            logout_url=self._urls.logout(),
            token=self._tokens.make(session),
            tokens_url=self._tokens_url,
            home_url=self._urls.home,
            message=message,
        )
        # Who is signed out while the page is open is sent to sign in, at any provider.
        plain_http = self._urls.leads_over_http(*self._providers.values())
        return responses.form_page(html, status=status, plain_http=plain_http)

    def _rows(self, session: Session) -> list[SessionRow]:
        """Return this browser's session, then the others as the registry has them."""
        sign_in = session.sign_in
        own = SessionRow(
            session.id,
            sign_in.device,
            sign_in.remote_addr,
            self._label(session.identity.provider),
            session.created_at,
            session.last_used_at,
            current=True,
        )
        others = self._registry.find_by_user(session.identity.id)
        return [own, *(self._row(info) for info in others if info.id != session.id)]

    def _row(self, info: SessionInfo) -> SessionRow:
        return SessionRow(
            info.id,
            info.device,
            info.remote_addr,
            self._label(info.provider),
            info.created_at,
            info.last_used_at,
            current=False,
        )

    def _label(self, name: str) -> str:
        # A provider that is no longer configured goes by its NAME.
        provider = self._providers.get(name)
        return name if provider is None else provider.label
