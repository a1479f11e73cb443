"""Forms that are kept while their senders sign in again: sealed, for one person, for minutes, and to be sent once.

They wait in the session store, in the directory's database, or where there is neither in cookies of the browser.
A form's id is made of what was sent and of the session that had run out: to send the same once more, by a reload
or a second click, keeps nothing new, and what was sent does not come back.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, Protocol

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.encoding import pair_hash
from oauth2_mw.identity.model import Identity
from oauth2_mw.session.cookies import MAX_COOKIE, Cookies, RequestCookies
from oauth2_mw.session.model import Session
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.session.stores import FormStore
from oauth2_mw.session.stores.record import EXPIRY_GRACE

#: Seconds.
KEPT_FOR = 600
#: Of one person.
MOST = 5
#: Octets of a form, in a store and in a cookie.
MAX_STORED = 1024 * 1024
MAX_IN_COOKIE = 2000
#: Octets that the session and the forms may take of a request's header: a sign-in needs some as well.
_ROOM = 6600
#: Forms that one process remembers to have been sent, where no store does.
_MAX_SENT = 20_000

_PURPOSE, _OWNER = "kept-form", "kept-form-owner"
_OWNER_CHARACTERS = 16
#: Characters of an id: whose the form is, and what was sent.
ID_LENGTH = _OWNER_CHARACTERS + 22
_is_id = re.compile(rf"[A-Za-z0-9_-]{{{ID_LENGTH}}}").fullmatch


@dataclass(frozen=True, slots=True)
class KeptForm:
    """A form as it was sent."""

    #: whose it is
    issuer: str
    subject: str
    #: ``PATH_INFO`` and ``QUERY_STRING``, native strings (PEP 3333)
    path: str
    query: str = field(repr=False)
    content_type: str
    #: the page that it was on, if the browser said so
    referrer: str | None = field(repr=False)
    body: bytes = field(repr=False)
    #: in seconds since the epoch
    expires: int

    def is_of(self, identity: Identity) -> bool:
        """Return whether it is that person's."""
        return (self.issuer, self.subject) == (identity.issuer, identity.subject)

    def to_payload(self) -> bytes:
        """Return the octets that are sealed."""
        head = [
            self.expires,
            self.issuer,
            self.subject,
            self.path,
            self.query,
            self.content_type,
            self.referrer,
        ]
        return json.dumps(head, separators=(",", ":")).encode("ascii") + b"\n" + self.body

    @classmethod
    def from_payload(cls, payload: bytes) -> KeptForm | None:
        """Return the form that :meth:`to_payload` was called on, or ``None`` if another version sealed it."""
        head, _, body = payload.partition(b"\n")
        try:
            fields = json.loads(head)
        except ValueError:
            return None
        match fields:
            case [
                int(expires),
                str(issuer),
                str(subject),
                str(path),
                str(query),
                str(content_type),
                str() | None as referrer,
            ]:
                return cls(issuer, subject, path, query, content_type, referrer, body, expires)
        return None


@dataclass(frozen=True, slots=True)
class Keeping:
    """What became of a form that was to be kept."""

    outcome: Literal["kept", "taken", "full", "no room"]
    id: str
    #: the request's cookies together with that of the form, if it got one
    cookies: RequestCookies
    #: ``Set-Cookie`` values
    set_cookies: tuple[str, ...] = ()


class _Shelf(Protocol):
    """Where sealed forms wait. A form that was taken is an empty text."""

    longest: int

    def keep(self, form_id: str, sealed: str, *, expires: int, cookies: RequestCookies) -> Keeping: ...

    def read(self, form_id: str, cookies: RequestCookies) -> str | None: ...

    def take(self, form_id: str, cookies: RequestCookies) -> str | None: ...

    def drop(self, form_id: str) -> None: ...


class KeptForms:
    """The kept forms of one application.

    :param store: that of the sessions, or the directory's; ``None`` if forms wait in cookies.

    Every method but :meth:`ids` and :meth:`expire` raises :class:`~oauth2_mw.errors.StoreUnavailableError` when the
    store cannot be used.
    """

    def __init__(
        self,
        sealer: Sealer,
        cookies: Cookies,
        *,
        store: FormStore | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sealer = sealer
        self._cookies = cookies
        self._clock = clock
        self._shelf: _Shelf = _CookieShelf(cookies, clock) if store is None else _StoreShelf(store, clock)
        #: octets of a form
        self.longest: int = self._shelf.longest

    def keep(self, form: KeptForm, session: Session, cookies: RequestCookies) -> Keeping:
        """Keep a form, unless the same was sent before; one that waits is kept anew.

        :param session: that of the browser, which has run out.
        """
        key = self._sealer.keyring.sealing_key()
        owner = key.mac(_OWNER, pair_hash(form.issuer, form.subject))[:_OWNER_CHARACTERS]
        digest = sha256(form.body).hexdigest()
        sent = json.dumps([session.id, form.path, form.query, form.content_type, digest])
        form_id = (owner + key.mac(_PURPOSE, sent))[:ID_LENGTH]
        sealed = self._sealer.seal(_PURPOSE, form_id, form.to_payload())
        return self._shelf.keep(form_id, sealed, expires=form.expires, cookies=cookies)

    def find(
        self, form_id: str, identity: Identity, cookies: RequestCookies
    ) -> KeptForm | Literal["sent", "gone", "foreign"]:
        """Return a form that waits for that person, or why there is none. Another person's is forgotten, unseen."""
        return self._opened(form_id, identity, self._shelf.read, cookies)

    def take(
        self, form_id: str, identity: Identity, cookies: RequestCookies
    ) -> KeptForm | Literal["sent", "gone", "foreign"]:
        """Return a form as :meth:`find` does, to one of all callers."""
        found = self.find(form_id, identity, cookies)
        return found if isinstance(found, str) else self._opened(form_id, identity, self._shelf.take, cookies)

    def _opened(
        self,
        form_id: str,
        identity: Identity,
        read: Callable[[str, RequestCookies], str | None],
        cookies: RequestCookies,
    ) -> KeptForm | Literal["sent", "gone", "foreign"]:
        sealed = read(form_id, cookies) if _is_id(form_id) else None
        if not sealed:
            return "gone" if sealed is None else "sent"
        payload = self._sealer.open(_PURPOSE, form_id, sealed)
        form = None if payload is None else KeptForm.from_payload(payload)
        if form is None or form.expires <= self._clock():
            return "gone"
        if not form.is_of(identity):
            self._shelf.drop(form_id)
            return "foreign"
        return form

    def ids(self, cookies: RequestCookies) -> list[str]:
        """Return the ids of the forms that wait in a browser's cookies."""
        return [text.partition(".")[0] for text in self._cookies.forms(cookies).values()]

    def expire(self, form_id: str, cookies: RequestCookies) -> list[str]:
        """Return the ``Set-Cookie`` values that delete a form's cookie, if the browser has one."""
        return [
            self._cookies.expire(name)
            for name, text in self._cookies.forms(cookies).items()
            if text.startswith(f"{form_id}.")
        ]


class _StoreShelf:
    """Forms in a store. The first characters of an id say whose it is."""

    longest = MAX_STORED

    def __init__(self, store: FormStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def keep(self, form_id: str, sealed: str, *, expires: int, cookies: RequestCookies) -> Keeping:
        outcome = self._store.keep(*_parts(form_id), sealed, expires=expires, most=MOST)
        return Keeping(outcome, form_id, cookies)

    def read(self, form_id: str, _cookies: RequestCookies) -> str | None:
        return self._store.read(*_parts(form_id))

    def take(self, form_id: str, _cookies: RequestCookies) -> str | None:
        # For as long as the session that had run out could keep it once more.
        return self._store.take(*_parts(form_id), expires=int(self._clock()) + EXPIRY_GRACE)

    def drop(self, form_id: str) -> None:
        self._store.drop(*_parts(form_id))


class _CookieShelf:
    """Forms in the browser's cookies, each after its id and a full stop.

    Each process remembers which ones it has sent; across processes the deletion of the cookie decides.
    """

    longest = MAX_IN_COOKIE

    def __init__(self, cookies: Cookies, clock: Callable[[], float]) -> None:
        self._cookies = cookies
        self._clock = clock
        #: id -> until when it is remembered, in seconds since the epoch
        self._sent: BoundedCache[str, int] = BoundedCache(
            max_entries=_MAX_SENT, is_expired=lambda expires: expires < clock()
        )

    def keep(self, form_id: str, sealed: str, *, expires: int, cookies: RequestCookies) -> Keeping:
        if self._sent.get(form_id) is not None:
            return Keeping("taken", form_id, cookies)
        texts = self._cookies.forms(cookies).items()
        # Sent once more it is kept from now on.
        same = next((name for name, text in texts if text.startswith(f"{form_id}.")), None)
        name, value = same or self._cookies.free_form_name(cookies), f"{form_id}.{sealed}"
        if name is None:
            return Keeping("full", form_id, cookies)
        octets = len(name) + len(value)
        others = RequestCookies({**cookies.own, name: []}, cookies.other_header)
        if octets > MAX_COOKIE or self._cookies.session_bytes(others) + octets > _ROOM:
            return Keeping("no room", form_id, cookies)
        added = RequestCookies({**cookies.own, name: [value]}, cookies.other_header)
        set_cookie = self._cookies.set_form(name, value, max_age=expires - int(self._clock()))
        return Keeping("kept", form_id, added, (set_cookie,))

    def read(self, form_id: str, cookies: RequestCookies) -> str | None:
        return "" if self._sent.get(form_id) is not None else self._text(form_id, cookies)

    def take(self, form_id: str, cookies: RequestCookies) -> str | None:
        text = self._text(form_id, cookies)
        if text is None:
            return None
        return text if self._sent.add(form_id, int(self._clock()) + EXPIRY_GRACE) else ""

    def drop(self, form_id: str) -> None:
        """Leave it to the caller, who expires the cookie."""

    def _text(self, form_id: str, cookies: RequestCookies) -> str | None:
        texts = (text.partition(".") for text in self._cookies.forms(cookies).values())
        return next((sealed for text_id, _, sealed in texts if text_id == form_id), None)


def _parts(form_id: str) -> tuple[str, str]:
    return form_id[:_OWNER_CHARACTERS], form_id[_OWNER_CHARACTERS:]
