"""The page that offers a kept form after the sign-in, and the form that is sent from it, once.

The person sees the form's address and the names of its fields, and sends it; until then nothing has happened.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from webob import Request, Response

from oauth2_mw.audit import audit
from oauth2_mw.errors import BadRequestError, StoreUnavailableError
from oauth2_mw.sentences import sentence
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.kept_forms import KeptForm, KeptForms
from oauth2_mw.session.model import Session
from oauth2_mw.settings.model import Settings
from oauth2_mw.shared_caches import beginning, personal_headers
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.csrf import FormTokens
from oauth2_mw.web.http.form_fields import field_names
from oauth2_mw.web.http.forms import read_form, require_method
from oauth2_mw.web.http.urls import FORM, Location, Urls, form_ids
from oauth2_mw.web.pages.pages import Pages
from oauth2_mw.web.signin.challenge import Environ, requested_address
from oauth2_mw.web.signin.kept_forms import GONE
from oauth2_mw.web.signin.sent_form import is_from_own_page

_STILL_KEPT = sentence(
    "Sign in once more to send your form, if it is still kept: forms are kept for ten minutes."
)
_EXPIRED = "This page had been open for too long, and nothing was sent. Please send the form now."
_FIELDS = frozenset({"csrf_token"})


class FormOffer:
    """The pages of one application about the forms that wait for their senders.

    :param settings: which has ``keep_forms``.
    """

    def __init__(
        self, settings: Settings, urls: Urls, pages: Pages, forms: KeptForms, *, form_tokens: FormTokens
    ) -> None:
        self._mount = settings.mount
        self._providers = settings.providers
        self._urls = urls
        self._pages = pages
        self._forms = forms
        self._form_tokens = form_tokens

    def still_kept(self, environ: Environ) -> tuple[str | None, str]:
        """Return the destination of a request for a form's page without a session, and what the person is told."""
        return requested_address(environ, self._urls, mount=self._mount), _STILL_KEPT

    def answer(
        self,
        environ: WSGIEnvironment,
        current: RequestSession,
        session: Session,
        app: WSGIApplication,
        *,
        unavailable: Callable[[StoreUnavailableError, Environ], Response],
    ) -> tuple[Response, None] | tuple[None, WSGIApplication]:
        """Show the page that offers a form; or make the request the form's, to be sent to what is returned.

        :param environ: changed to the form's if that is to be sent.
        :param app: the application, which gets the form once.
        :param unavailable: answers it when the store cannot be used at that moment.
        :raises BadRequestError, MethodNotAllowedError: for a request that no page of ours makes.
        :raises StoreUnavailableError: when the store cannot be used.
        """
        request = Request({"REQUEST_METHOD": "GET", **environ})
        require_method(request, "GET", "HEAD", "POST")
        form_id, *more = form_ids(environ.get("QUERY_STRING", ""))
        if more:
            raise BadRequestError(f"{FORM} is given more than once", code="bad_form")
        found: KeptForm | str = self._forms.find(form_id, session.identity, current.cookies)
        if not isinstance(found, str) and found.path != environ.get("PATH_INFO", ""):
            # The rules of another path would judge it.
            found = "elsewhere"
        if isinstance(found, str):
            return self._gone(found, form_id, session, current), None
        if request.method != "POST":
            return self._offer(environ, form_id, found, session), None
        if not is_from_own_page(environ, origin=self._urls.origin):
            raise BadRequestError(
                "a kept form was to be sent from elsewhere than from its page",
                code="not_our_form",
                message="This form can only be sent from its own page.",
            )
        if not self._form_tokens.fits(read_form(request, _FIELDS).get("csrf_token", ""), session):
            audit("form_dropped", identity=session.identity, detail="not sent: no token of this session")
            page = self._offer(
                environ, form_id, found, session, message=_EXPIRED, status=HTTPStatus.BAD_REQUEST
            )
            return page, None
        offered_at = self._address(environ)
        _put_back(environ, found)
        # Whatever does not let it pass leads back to the page that offers it.
        environ["HTTP_REFERER"] = offered_at

        def once(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            # Asked when all else lets the request pass: what a rule refuses can be sent later.
            try:
                taken = self._forms.take(form_id, session.identity, current.cookies)
            except StoreUnavailableError as error:
                return unavailable(error, environ)(environ, start_response)
            if isinstance(taken, str):
                return self._gone(taken, form_id, session, current)(environ, start_response)
            environ.pop("HTTP_REFERER", None)
            if taken.referrer is not None:
                environ["HTTP_REFERER"] = taken.referrer
            audit("form_sent", identity=session.identity, detail=taken.path)
            expired = self._forms.expire(form_id, current.cookies)
            if expired:
                finish = partial(personal_headers, cookies=expired, respect=False)
                start_response = beginning(start_response, finish)
            return app(environ, start_response)

        return None, once

    def _gone(self, reason: str, form_id: str, session: Session, current: RequestSession) -> Response:
        if reason == "foreign":
            audit("form_dropped", identity=session.identity, detail="it was somebody else's")
        html = self._pages.form_gone(message=GONE[reason], home_url=self._urls.home)
        expired = [] if reason == "elsewhere" else self._forms.expire(form_id, current.cookies)
        return responses.add_cookies(self._form_page(html, status=HTTPStatus.GONE), expired)

    def _offer(
        self,
        environ: Environ,
        form_id: str,
        form: KeptForm,
        session: Session,
        *,
        message: str | None = None,
        status: int = HTTPStatus.OK,
    ) -> Response:
        asked = {**environ, "QUERY_STRING": form.query}
        html = self._pages.kept_form(
            action=self._address(asked, form_id),
            address=self._address(asked),
            names=field_names(form.content_type, form.body),
            expires=form.expires,
            token=self._form_tokens.make(session),
            home_url=self._urls.home,
            message=message,
        )
        return self._form_page(html, status=status)

    def _address(self, environ: Environ, form_id: str | None = None) -> Location:
        return self._urls.to_destination(
            requested_address(environ, self._urls, mount=self._mount, form_id=form_id)
        )

    def _form_page(self, html: str, *, status: int) -> Response:
        # The application answers the form, and may send the browser anywhere.
        plain_http = self._urls.leads_over_http(*self._providers.values())
        return responses.form_page(html, status=status, plain_http=plain_http)


def _put_back(environ: WSGIEnvironment, form: KeptForm) -> None:
    """Make a request the one that was kept: its method, type, length, body and query."""
    environ["REQUEST_METHOD"] = "POST"
    environ["CONTENT_TYPE"] = form.content_type
    environ["CONTENT_LENGTH"] = str(len(form.body))
    environ["wsgi.input"] = io.BytesIO(form.body)
    environ["QUERY_STRING"] = form.query
    for key in ("HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_ENCODING"):
        environ.pop(key, None)
    for key in ("RAW_URI", "REQUEST_URI"):
        if environ.get(key):
            environ[key] = environ[key].partition("?")[0] + (f"?{form.query}" if form.query else "")
