"""Forms that meet a session which has run out are kept, to be offered again after the sign-in.

What is sent again comes from a page of ours, and so from our own origin. So nothing is kept that did not: not another
site's form, which comes without our cookie and would be made a form of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple
from wsgiref.types import WSGIEnvironment

from oauth2_mw.access.path_set import PathSet
from oauth2_mw.audit import audit
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.identity.model import Identity
from oauth2_mw.sentences import Sentence, sentence, sentences
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.cookies import RequestCookies
from oauth2_mw.session.kept_forms import ID_LENGTH, KEPT_FOR, MOST, Keeping, KeptForm, KeptForms
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.settings.model import Settings
from oauth2_mw.web.http.urls import FORM, Urls
from oauth2_mw.web.signin.attempt import MAX_COOKIE_BYTES
from oauth2_mw.web.signin.challenge import NOT_TAKEN, Environ, requested_address
from oauth2_mw.web.signin.destinations import Destinations
from oauth2_mw.web.signin.sent_form import is_form, is_from_own_page, length_of, read_body

_KEPT = "What you have just sent is kept for ten minutes. Sign in, and you will be asked whether it is to be sent."
_NO_WAY_BACK = sentence("Its address cannot be kept.")
#: why there is nothing to send -> what the person reads
GONE = MappingProxyType(
    {
        "sent": sentence("This form has been sent already. It is not sent twice."),
        "gone": sentence(
            "This form is not kept any more, and it was not sent: forms are kept for ten minutes."
        ),
        "elsewhere": sentence("This form belongs to another address."),
        "foreign": sentence("Somebody else had sent this form. It was deleted, and nobody has seen it."),
    }
)
#: Characters: a longer one is left out, so that what is kept stays below what a store takes.
_MAX_REFERRER = 2048
#: Octets of cookies that a sign-in leaves for the attempts of other tabs.
_FOR_ATTEMPTS = 900
_find_id = re.compile(rf"[?&]{FORM}=([A-Za-z0-9_-]{{1,64}})(?:[&#]|\Z)").search


class Unkept(NamedTuple):
    """Why a form is not kept: for the log, and for the person."""

    detail: str
    message: str


@dataclass(frozen=True, slots=True)
class SentForm:
    """A form of a page of ours that met a session which has run out.

    :param session: that session.
    """

    session: Session
    content: KeptForm | Unkept


class Met(NamedTuple):
    """What becomes of a request that met a session which has run out."""

    #: without the mark that the session's cookie is to be deleted: the form may be sent once more
    current: RequestSession
    #: what the person is told of what they have sent
    told: str
    #: where the form is offered, if it is kept
    destination: str | None
    set_cookies: tuple[str, ...]


class FormKeeper:
    """The forms of one application that wait for their senders.

    :param settings: which has ``keep_forms``.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: SessionManager,
        urls: Urls,
        forms: KeptForms,
        *,
        destinations: Destinations,
    ) -> None:
        self._paths = PathSet(settings.keep_forms)
        self._mount = settings.mount
        self._sessions = sessions
        self._urls = urls
        self._forms = forms
        self._destinations = destinations

    # Keeping

    def read(self, environ: WSGIEnvironment, current: RequestSession) -> SentForm | None:
        """Read a form that may be kept, and put its body back; ``None`` for any other request.

        :param current: the request's cookies, which stand for no session.
        """
        if (
            environ.get("SCRIPT_NAME", "") not in ("", self._mount)
            or environ.get("PATH_INFO", "") not in self._paths
            or not is_form(environ)
            or not is_from_own_page(environ, origin=self._urls.origin)
        ):
            return None
        session = self._run_out(current)
        return None if session is None else SentForm(session, self._read(environ, session.identity))

    def _read(self, environ: WSGIEnvironment, identity: Identity) -> KeptForm | Unkept:
        length, longest = length_of(environ), f"{self._forms.longest:,} octets"
        if length is None or length > self._forms.longest:
            detail = f"it is longer than {longest}, or of unknown length"
            return _unkept(
                detail,
                sentence("Only forms of up to {count} octets are kept.", count=f"{self._forms.longest:,}"),
            )
        if requested_address(environ, self._urls, mount=self._mount, form_id="x" * ID_LENGTH) is None:
            return _unkept("no browser may be sent back to its address", _NO_WAY_BACK)
        body, referrer = read_body(environ, length), environ.get("HTTP_REFERER")
        if body is None:
            return _unkept("its body broke off, or took too long", sentence("It did not arrive whole."))
        return KeptForm(
            issuer=identity.issuer,
            subject=identity.subject,
            path=environ.get("PATH_INFO", ""),
            query=environ.get("QUERY_STRING", ""),
            content_type=environ["CONTENT_TYPE"],
            referrer=referrer if referrer is not None and len(referrer) <= _MAX_REFERRER else None,
            body=body,
            expires=int(self._sessions.now()) + KEPT_FOR,
        )

    def meet(self, environ: Environ, current: RequestSession, sent: SentForm | None) -> Met:
        """Keep a form if there is one, and say what becomes of the request.

        :param sent: what :meth:`read` returned.
        """
        if sent is None:
            if current.invalid and self._run_out(current) is not None:
                # The form of a page that is open may yet come.
                current = replace(current, invalid=False)
            return Met(current, NOT_TAKEN, None, ())
        current = replace(current, invalid=False)
        kept = self._keep(sent, current)
        destination = None
        if isinstance(kept, Keeping):
            address = requested_address(environ, self._urls, mount=self._mount, form_id=kept.id)
            provider = sent.session.identity.provider
            destination = self._destinations.keep(address, kept.cookies, provider=provider)
            if destination is None:
                kept = _unkept("its address does not fit into a cookie", _NO_WAY_BACK)
        if isinstance(kept, Unkept):
            audit("form_dropped", identity=sent.session.identity, detail=f"not kept: {kept.detail}")
            return Met(current, kept.message, None, ())
        audit("form_kept", identity=sent.session.identity, detail=environ.get("PATH_INFO", ""))
        return Met(replace(current, given_cookies=kept.cookies), _KEPT, destination, kept.set_cookies)

    def _keep(self, sent: SentForm, current: RequestSession) -> Keeping | Unkept:
        if isinstance(sent.content, Unkept):
            return sent.content
        try:
            kept = self._forms.keep(sent.content, sent.session, current.cookies)
        except StoreUnavailableError as error:
            return _unkept(error.detail, sentence("It cannot be kept at the moment."))
        match kept.outcome:
            case "taken":
                return Unkept("it was sent already", GONE["sent"])
            case "full":
                return _unkept(
                    f"{MOST} forms of this person wait", sentence("Too many of your forms wait already.")
                )
            case "no room":
                return _unkept(
                    "the browser's cookies have no room for it", sentence("It is too long to be kept.")
                )
        return kept

    def _run_out(self, current: RequestSession) -> Session | None:
        try:
            return self._sessions.run_out(current.cookies)
        except StoreUnavailableError:
            return None

    # The sign-in

    def settle(
        self, identity: Identity, destinations: Iterable[str], cookies: RequestCookies, *, session_bytes: int
    ) -> tuple[list[str], int]:
        """Delete what waits in this browser for somebody else, and what the cookies of a new session leave no room for.

        :param destinations: of the sign-ins that this browser has begun.
        :returns: ``Set-Cookie`` values, and how many octets of cookies the remaining forms take.
        """
        found = (_find_id(self._destinations.find(destination) or "") for destination in destinations)
        ids = dict.fromkeys([*(match[1] for match in found if match is not None), *self._forms.ids(cookies)])
        octets = self._sessions.cookies.form_bytes(cookies)
        has_room = session_bytes + octets + _FOR_ATTEMPTS <= MAX_COOKIE_BYTES
        expired: list[str] = []
        for form_id in ids:
            state = self._find(form_id, identity, cookies)
            of_cookie = self._forms.expire(form_id, cookies)
            if isinstance(state, str):
                expired += of_cookie
            elif of_cookie and not has_room:
                audit(
                    "form_dropped",
                    identity=identity,
                    detail="the cookies of the new session leave it no room",
                )
                expired += of_cookie
        return expired, octets if has_room else 0

    def _find(self, form_id: str, identity: Identity, cookies: RequestCookies) -> KeptForm | str:
        try:
            found = self._forms.find(form_id, identity, cookies)
        except StoreUnavailableError:
            # Whoever opens its page is looked at once more.
            return "gone"
        if found == "foreign":
            audit(
                "form_dropped", identity=identity, detail="it was somebody else's, who signed in here before"
            )
        return found


def _unkept(detail: str, reason: Sentence) -> Unkept:
    return Unkept(detail, sentences(NOT_TAKEN, reason))
