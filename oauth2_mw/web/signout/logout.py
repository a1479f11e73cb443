"""Signing out: here at once, and at the provider when Sync Logout says so.

Another site must not be able to sign a person out by an image or a link, so only two requests do it without asking: a
form of our own with its token, and a navigation that the browser vouches came from this application or was typed
(Fetch Metadata). Every other GET is answered by a page that asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from webob import Response

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.observe import audit
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.csrf import FormTokens
from oauth2_mw.web.http.urls import Location, Urls
from oauth2_mw.web.pages.pages import Pages
from oauth2_mw.web.signin.challenge import Environ, is_ahead

_STATE = "logout-state"
#: Characters of an ID token that still fit into an address.
_MOST_HINT = 3000


class Logout:
    """The logout URLs of one application.

    :param endpoint_of: the logout endpoint of a provider, or ``None`` when it has none or cannot be asked.
    :param revoke: takes a session's tokens back at the provider.
    """

    def __init__(
        self,
        sessions: SessionManager,
        urls: Urls,
        pages: Pages,
        providers: Mapping[str, ProviderSettings],
        *,
        tokens: FormTokens,
        endpoint_of: Callable[[str], str | None],
        revoke: Callable[[Session], None],
    ) -> None:
        self._sessions = sessions
        self._urls = urls
        self._pages = pages
        self._providers = providers
        self._endpoint_of = endpoint_of
        self._revoke = revoke
        self._tokens = tokens

    def get(self, environ: Environ, known: RequestSession, destination: str | None) -> Response:
        """``GET logout/``: sign out when the browser vouches for the request, else ask."""
        session = known.session
        if session is None:
            return responses.redirect(self._after(destination), cookies=self._forget(known))
        if (
            environ.get("HTTP_SEC_FETCH_SITE") in ("same-origin", "none")
            and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
            and environ.get("HTTP_SEC_FETCH_DEST") == "document"
            and not is_ahead(environ)
        ):
            return self.sign_out(session, known, destination)
        return self._ask(session, destination, status=200)

    def post(self, known: RequestSession, form: Mapping[str, str], destination: str | None) -> Response:
        """``POST logout/``: sign out when the form carries the token of this session."""
        session = known.session
        if session is None:
            return responses.redirect(self._after(destination), cookies=self._forget(known))
        if not self._tokens.fits(form.get("csrf_token", ""), session):
            audit(
                "logout_not_confirmed",
                user=session.identity.id,
                detail="the form carried no token of this session",
            )
            return self._ask(session, destination, status=400)
        return self.sign_out(session, known, destination)

    def done(self, params: Mapping[str, str]) -> Response:
        """``GET logout/done/``: back from the provider. Whatever it sends along, the person is signed out here."""
        wanted = self._opened(params.get("state", ""))
        destination = self._urls.destination(wanted) if isinstance(wanted, str) else None
        if destination is not None:
            return responses.redirect(self._urls.to_destination(destination))
        return self._signed_out(None)

    # Asking

    def _ask(self, session: Session, destination: str | None, *, status: int) -> Response:
        provider = self._providers[session.identity.provider]
        html = self._pages.confirm_logout(
            action=self._urls.logout(),
            token=self._tokens.make(session),
            destination=destination,
            username=session.identity.username,
            provider=provider.label,
            home_url=self._urls.home,
        )
        return responses.form_page(html, status=status, plain_http=self._urls.leads_over_http(provider))

    def _opened(self, state: str) -> Any:
        """What was sealed for the way back; ``None`` for anything else, another version's included."""
        payload = self._sessions.sealer.open(_STATE, "", state)
        try:
            return None if payload is None else json.loads(payload)
        except ValueError:
            return None

    # Doing

    def sign_out(self, session: Session, known: RequestSession, destination: str | None) -> Response:
        """End that session here, and go on to the provider where Sync Logout says so.

        For a request that the person meant: nothing is asked any more.

        :raises StoreUnavailable: when the session lives in a store, and that cannot be told.
        """
        who = session.identity
        detail = None
        try:
            self._sessions.end(session)
        except StoreUnavailableError as error:
            if not self._sessions.in_cookies:
                # It goes on for whoever has the cookie, and so this was no sign-out; the person can try again.
                raise
            # The browser forgets in any case; a copy of its cookie may serve elsewhere until it ends by itself.
            detail = f"the cookie was deleted, but other hosts could not be told: {error.detail}"
        audit("logout", user=who.id, username=who.username, provider=who.provider, detail=detail)
        self._revoke(session)
        cookies = self._sessions.cookies.expire_all(known.cookies)
        provider = self._providers[who.provider]
        if not provider.sync_logout:
            return responses.redirect(self._after(destination), cookies=cookies)
        endpoint = self._endpoint_of(provider.name)
        if endpoint is None and destination is None:
            return self._signed_out(provider.label, cookies=cookies)
        if endpoint is None:
            return responses.redirect(self._after(destination), cookies=cookies)
        return responses.redirect(
            self._at_provider(provider, endpoint, session, destination), cookies=cookies
        )

    def _at_provider(
        self, provider: ProviderSettings, endpoint: str, session: Session, destination: str | None
    ) -> Location:
        if not provider.is_oidc:
            return self._urls.to_provider(endpoint, endpoint=endpoint)
        # OpenID Connect RP-Initiated Logout 1.0, section 2.
        params = {
            "client_id": provider.client_id,
            "post_logout_redirect_uri": self._urls.logout_done,
            "state": self._sessions.sealer.seal(_STATE, "", json.dumps(destination).encode()),
        }
        # It is a recommendation; an address too long for a server on the way would end the logout.
        id_token = session.tokens.get("id_token")
        if id_token is not None and len(id_token) <= _MOST_HINT:
            params["id_token_hint"] = id_token
        parts = urlsplit(endpoint)
        query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *params.items()])
        return self._urls.to_provider(urlunsplit(parts._replace(query=query)), endpoint=endpoint)

    def _after(self, destination: str | None) -> Location:
        return self._urls.logout_done if destination is None else self._urls.to_destination(destination)

    def _forget(self, known: RequestSession) -> list[str]:
        return self._sessions.cookies.expire_session(known.cookies) if known.invalid else []

    def _signed_out(self, still_signed_in_at: str | None, *, cookies: list[str] | None = None) -> Response:
        html = self._pages.signed_out(login_url=self._urls.login(), still_signed_in_at=still_signed_in_at)
        return responses.page(html, cookies=cookies or ())
