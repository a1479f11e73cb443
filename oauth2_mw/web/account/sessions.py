"""The page where a person sees where they are signed in, and signs out what they do not know."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from webob import Response

from oauth2_mw.errors import RequestError
from oauth2_mw.observe import audit
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.model import Session
from oauth2_mw.session.registry import SessionInfo, SessionRegistry
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.csrf import FormTokens
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.pages.pages import Pages, SessionRow
from oauth2_mw.web.signout.logout import Logout

SESSIONS_QUERY = frozenset({"done"})
SESSIONS_FORM = frozenset({"csrf_token", "session", "others"})
#: What has just been done, by the word in the address that the browser is sent back to.
_MESSAGES = MappingProxyType(
    {
        "one": "That browser is signed out.",
        "others": "You are signed out everywhere else.",
        "gone": "That browser was signed out already.",
    }
)
_EXPIRED = "This page had been open for too long, and nothing was changed. Please try again."


class SessionsPage:
    """The page of one application."""

    def __init__(
        self,
        ledger: SessionRegistry,
        urls: Urls,
        pages: Pages,
        providers: Mapping[str, ProviderSettings],
        *,
        tokens: FormTokens,
        logout: Logout,
    ) -> None:
        self._ledger = ledger
        self._urls = urls
        self._pages = pages
        self._providers = providers
        self._tokens = tokens
        self._logout = logout

    def get(self, session: Session, done: str | None) -> Response:
        """``GET sessions/``: the sessions of the person whose session that is.

        :param done: the word that :meth:`post` sent the browser back with.
        """
        return self._show(session, message=_MESSAGES.get(done or ""))

    def post(self, session: Session, known: RequestSession, form: Mapping[str, str]) -> Response:
        """``POST sessions/``: end another session of that person, or all others; its own the usual way.

        :raises RequestError: when the form asks for neither.
        """
        if not self._tokens.fits(form.get("csrf_token", ""), session):
            audit(
                "logout_not_confirmed",
                user=session.identity.id,
                detail="the form of the sessions page carried no token of this session",
            )
            return self._show(session, message=_EXPIRED, status=400)
        wanted = form.get("session")
        if form.get("others") != "1" and not wanted:
            raise RequestError("the form names no session to end", code="bad_form")
        if wanted == session.id:
            return self._logout.sign_out(session, known, None)
        # Whoever else's session is named here is none of theirs, and not told from one that has ended.
        ending = [
            entry
            for entry in self._ledger.entries(session.identity.id)
            if entry.id != session.id and wanted in (None, "", entry.id)
        ]
        ended = [entry for entry in ending if self._ledger.end(entry.id, expires=entry.expires_at)]
        audit(
            "signed_out_elsewhere",
            user=session.identity.id,
            username=session.identity.username,
            count=len(ended),
        )
        done = "others" if not wanted else "one" if ended else "gone"
        return responses.redirect(self._urls.sessions(done=done))

    def _show(self, session: Session, *, message: str | None, status: int = 200) -> Response:
        html = self._pages.sessions(
            rows=self._rows(session),
            username=session.identity.username,
            action=self._urls.sessions(),
            logout_url=self._urls.logout(),
            token=self._tokens.make(session),
            home_url=self._urls.home,
            message=message,
        )
        # Whoever is signed out while the page lies open is sent to sign in, at any provider.
        plain_http = self._urls.leads_over_http(*self._providers.values())
        return responses.form_page(html, status=status, plain_http=plain_http)

    def _rows(self, session: Session) -> list[SessionRow]:
        """This browser first, the others as the ledger has them."""
        entries = self._ledger.entries(session.identity.id)
        rows = [_row(entry) for entry in entries if entry.id != session.id]
        origin = session.sign_in
        mine = SessionRow(
            session.id,
            origin.device,
            origin.remote_addr,
            session.created_at,
            session.last_used_at,
            current=True,
        )
        return [mine, *rows]


def _row(entry: SessionInfo) -> SessionRow:
    return SessionRow(
        entry.id, entry.device, entry.remote_addr, entry.created_at, entry.last_used_at, current=False
    )
