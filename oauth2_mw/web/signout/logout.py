"""Signing out: here at once, and at the provider where ``sync_logout`` is on.

Another site must not be able to sign a person out by an image or a link, so only two requests do it without asking: a
form of our own with its token, and a navigation of which the browser says that it came from this application or was
typed (Fetch Metadata). Every other GET is answered by a page that asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from webob import Request, Response

from oauth2_mw.audit import audit
from oauth2_mw.errors import EndNotToldError
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.endpoints.end_session import logout_url
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.csrf import FormTokens
from oauth2_mw.web.http.forms import (
    form_destination,
    query_destination,
    read_form,
    read_query,
    require_method,
)
from oauth2_mw.web.http.urls import Location, Urls
from oauth2_mw.web.pages.pages import Pages
from oauth2_mw.web.signin.challenge import Environ, is_prefetch

_FORM = frozenset({"next", "csrf_token"})
_DONE_QUERY = frozenset({"state"})
#: The purpose for which the state of a provider's logout is sealed.
_STATE = "logout-state"


class Logout:
    """The logout URLs of one application.

    :param clients: returns the client of a provider, by its NAME.
    :param ended: revokes a session's tokens at the provider, and tells the application.
    :param forgotten: what the browser is told to forget when its session ends, ``cookies`` and ``storage``.
    :param clear_url: the image on the signed-out page that clears the browser's cache, if there is one.
    """

    def __init__(
        self,
        sessions: SessionManager,
        urls: Urls,
        pages: Pages,
        providers: Mapping[str, ProviderSettings],
        *,
        tokens: FormTokens,
        clients: Callable[[str], ProviderClient],
        ended: Callable[[Session], None],
        forgotten: Collection[str],
        clear_url: str | None,
    ) -> None:
        self._sessions = sessions
        self._urls = urls
        self._pages = pages
        self._providers = providers
        self._clients = clients
        self._ended = ended
        self._forgotten = forgotten
        self._clear_url = clear_url
        self._tokens = tokens

    def answer(self, request: Request, current: RequestSession) -> Response:
        """``logout/``: sign out a request that the person meant, else ask.

        :raises MethodNotAllowedError: for anything but GET, HEAD and POST.
        :raises BadRequestError: when the query or the form cannot be read.
        :raises StoreUnavailableError: when the session cannot be ended in its store.
        """
        if request.method == "POST":
            form = read_form(request, _FORM)
            destination = form_destination(request, form, self._urls)
        else:
            require_method(request, "GET", "HEAD", "POST")
            form = {}
            destination = query_destination(request, self._urls)
        session = current.session
        if session is None:
            return responses.redirect(self._destination_url(destination))
        if request.method == "POST":
            if not self._tokens.fits(form.get("csrf_token", ""), session):
                audit(
                    "logout_not_confirmed",
                    identity=session.identity,
                    detail="the form carried no token of this session",
                )
                return self._ask(session, destination, status=400)
        elif not is_meant(request.environ):
            return self._ask(session, destination, status=200)
        return self.sign_out(session, current, destination)

    def done(self, request: Request, current: RequestSession) -> Response:
        """``GET logout/done/``: back from the provider, whatever it sends along.

        Who is still signed in here, or is so again in another tab, is told and asked.

        :raises MethodNotAllowedError: for anything but GET and HEAD.
        :raises BadRequestError: when the query cannot be read.
        """
        require_method(request, "GET", "HEAD")
        state = read_query(request, _DONE_QUERY).get("state", "")
        destination = self._urls.destination(self._open_state(state))
        if current.session is not None:
            return self._ask(current.session, destination, status=200, heading="You are still signed in")
        if destination is not None:
            return responses.redirect(self._urls.to_destination(destination))
        return self._show_signed_out(None)

    # Asking

    def _ask(
        self, session: Session, destination: str | None, *, status: int, heading: str = "Sign out?"
    ) -> Response:
        provider = self._providers[session.identity.provider]
        html = self._pages.confirm_logout(
            action=self._urls.logout(),
            token=self._tokens.make(session),
            destination=destination,
            username=session.identity.username,
            provider=provider.label,
            home_url=self._urls.home,
            heading=heading,
        )
        return responses.form_page(html, status=status, plain_http=self._urls.leads_over_http(provider))

    def _open_state(self, text: str) -> str | None:
        """Return the destination in a ``state``, or ``None`` if it has none or is not ours."""
        payload = self._sessions.sealer.open(_STATE, "", text)
        try:
            destination = None if payload is None else json.loads(payload)
        except ValueError:
            # Made by another version of this package.
            return None
        return destination if isinstance(destination, str) else None

    # Signing out

    def sign_out(
        self, session: Session, current: RequestSession, destination: str | None, *, how: str | None = None
    ) -> Response:
        """End that session without asking, and go on to the provider where ``sync_logout`` is on.

        :param how: for the audit log, if not here.
        :raises StoreUnavailableError: when it could not be ended: whoever has the cookie still has the session, and the
            person can try again.
        """
        is_told = self.end(session, how=how)
        response = self._leave(session, destination) if is_told else self._show_not_told(session)
        return self._forget(response, current)

    def end(self, session: Session, *, how: str | None = None) -> bool:
        """End a session here. Return whether it has ended at all workers, or is yet to be told to the others.

        :param how: for the audit log, if not here.
        :raises StoreUnavailableError: as :meth:`sign_out`.
        """
        detail = None
        try:
            self._sessions.end(session)
        except EndNotToldError as error:
            # The browser forgets in any case. A copy of its cookie may serve elsewhere until the others are told.
            detail = (
                "the cookie was deleted, but other hosts could not be told; they are told when the directory answers, "
                f"and until then at most up to {_utc(session.expires_at)} a copy of the cookie may serve there: "
                f"{error.detail}"
            )
        audit("logout", identity=session.identity, how=how, detail=detail)
        self._ended(session)
        return detail is None

    def forgetting(self, current: RequestSession) -> list[tuple[str, str]]:
        """Return the headers with which a browser forgets a session that has ended."""
        return responses.what_is_kept(self._forget(responses.empty_ok(), current).headerlist)

    def _forget(self, response: Response, current: RequestSession) -> Response:
        responses.add_cookies(response, self._sessions.cookies.expire_all(current.cookies))
        return responses.clear_site_data(response, self._forgotten)

    def _leave(self, session: Session, destination: str | None) -> Response:
        provider = self._providers[session.identity.provider]
        if provider.sync_logout:
            location = self._provider_url(provider, session, destination)
            if location is not None:
                return responses.redirect(location)
            return self._show_signed_out(provider.label, destination=destination)
        return responses.redirect(self._destination_url(destination))

    def _show_not_told(self, session: Session) -> Response:
        provider = self._providers[session.identity.provider]
        html = self._pages.signed_out_here(
            until=session.expires_at,
            provider=provider.label,
            provider_url=self._provider_url(provider, session, None) if provider.sync_logout else None,
            login_url=self._urls.login(),
        )
        return responses.page(html)

    def _provider_url(
        self, provider: ProviderSettings, session: Session, destination: str | None
    ) -> Location | None:
        """Return where the person signs out at the provider, or ``None`` if that is not known or would be refused."""
        endpoint = self._clients(provider.name).logout_endpoint()
        if endpoint is None:
            return None
        url = logout_url(
            provider,
            endpoint,
            id_token=session.tokens.get("id_token"),
            redirect_uri=self._urls.logout_done,
            state=self._sessions.sealer.seal(_STATE, "", json.dumps(destination).encode()),
        )
        return None if url is None else self._urls.to_provider(url, endpoint=endpoint)

    def _destination_url(self, destination: str | None) -> Location:
        return self._urls.logout_done if destination is None else self._urls.to_destination(destination)

    def _show_signed_out(self, still_signed_in_at: str | None, *, destination: str | None = None) -> Response:
        html = self._pages.signed_out(
            login_url=self._urls.login(),
            still_signed_in_at=still_signed_in_at,
            next_url=None if destination is None else self._urls.to_destination(destination),
            clear_url=self._clear_url,
        )
        return responses.page(html)


def is_meant(environ: Environ) -> bool:
    """Return whether the browser says that the person opened this address, or a link of this application to it."""
    return (
        environ.get("HTTP_SEC_FETCH_SITE") in ("same-origin", "none")
        and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST") == "document"
        and not is_prefetch(environ)
    )


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
