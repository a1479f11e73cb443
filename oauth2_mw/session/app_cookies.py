"""The application's own cookies, each of which it sees only in requests of the person for whom it set it.

Some applications look at ``REMOTE_USER`` once and trust a cookie of their own from then on, which outlives our session
and would show the next person in that browser as the one before. So for every cookie of ``app_cookies`` a sealed cookie
of ours, its *owner cookie*, says for whom the application set it, and with which values. A cookie that fits none is cut
from the request. There is an owner cookie for each of them: with one for all, a cookie that the application sets for
the next person would adopt what it had set for the one before.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oauth2_mw.encoding import base64url
from oauth2_mw.session.cookies import Cookies
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.settings.app_cookies import AppCookie

_PURPOSE = "app-cookie"
#: Values of a cookie that are taken for its owner's: answers cross, and a browser may keep either of two.
_REMEMBERED = 2
#: What browsers take from both ends of a name and of a value.
_BLANKS = " \t"
#: Where a name begins: after a character that is not of a token (RFC 9110, section 5.6.2).
_BEGINNING = r"(?<![!#$%&'*+.^_`|~0-9A-Za-z-])"


class _Owner(NamedTuple):
    """For whom the application set a cookie."""

    #: the id of a user, or ``None`` where nobody was signed in
    user: str | None
    #: hashes of its values, latest first
    values: tuple[str, ...] = ()


class AppCookies:
    """The cookies of one application that ``app_cookies`` lists."""

    def __init__(self, listed: Sequence[AppCookie], cookies: Cookies, sealer: Sealer) -> None:
        self._listed = listed
        self._cookies = cookies
        self._sealer = sealer
        self._by_name: dict[str, list[AppCookie]] = defaultdict(list)
        for cookie in listed:
            self._by_name[cookie.name].append(cookie)
        self._owner_names = {cookies.owner_name(cookie): cookie for cookie in listed}
        names = "|".join(map(re.escape, self._by_name))
        #: finds a listed name where a lax parser would see a further cookie: after a blank, a comma, a quotation mark
        self._is_hidden_in = re.compile(rf"{_BEGINNING}(?:{names})[\s\"]*=").search

    def around(self, app: WSGIApplication) -> WSGIApplication:
        """Return an application that sees of the listed cookies only those of the person who asks.

        Without a listed cookie that is *app* itself.
        """
        if not self._listed:
            return app

        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            identity = environ.get("oauth2_mw.identity")
            user = None if identity is None else identity.id
            header = environ.pop("HTTP_COOKIE", None)
            owners = self._owners(header)
            if header is not None and (visible := self._visible(header, owners, user)):
                environ["HTTP_COOKIE"] = visible
            return app(environ, self._noting(start_response, owners, user))

        return guarded

    def expire_foreign(self, header: str | None, user: str) -> list[str]:
        """Return the ``Set-Cookie`` values that delete what the application set for anybody but *user*.

        :param header: the ``Cookie`` header of the browser in which they have just signed in.
        """
        owners = self._owners(header)
        foreign = [each for each in self._listed if each not in owners or owners[each].user != user]
        return self._cookies.expire_app_cookies(foreign)

    # Reading

    def _owners(self, header: str | None) -> dict[AppCookie, _Owner]:
        """Return the owners that a request names. One that is named twice, which we never do, is nobody's."""
        texts: dict[AppCookie, list[str]] = defaultdict(list)
        for name, value, _ in _pairs(header or ""):
            if name in self._owner_names:
                texts[self._owner_names[name]].append(value)
        owners = {}
        for cookie, values in texts.items():
            owner = self._open(cookie, values[0]) if len(values) == 1 else None
            if owner is not None:
                owners[cookie] = owner
        return owners

    def _open(self, cookie: AppCookie, text: str) -> _Owner | None:
        payload = self._sealer.open(_PURPOSE, self._cookies.owner_name(cookie), text)
        try:
            return None if payload is None else _Owner(*json.loads(payload))
        except (ValueError, TypeError):
            # Made by another version of this package.
            return None

    def _visible(self, header: str, owners: dict[AppCookie, _Owner], user: str | None) -> str:
        """Return a ``Cookie`` header without the listed cookies that are not *user*'s, and without owner cookies."""
        kept = []
        for name, value, pair in _pairs(header):
            if name in self._owner_names:
                continue
            if name in self._by_name:
                digest = _digest(value)
                own = (owners[each] for each in self._by_name[name] if each in owners)
                if not any(owner.user == user and digest in owner.values for owner in own):
                    continue
            elif self._is_hidden_in(pair):
                continue
            kept.append(pair)
        return "; ".join(kept)

    # Noting

    def _noting(
        self, start_response: StartResponse, owners: dict[AppCookie, _Owner], user: str | None
    ) -> StartResponse:
        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            headers = [*headers, *self._owner_headers(headers, owners, user)]
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        return start

    def _owner_headers(
        self, headers: list[tuple[str, str]], owners: dict[AppCookie, _Owner], user: str | None
    ) -> Iterator[tuple[str, str]]:
        """Yield a ``Set-Cookie`` of ours for each listed cookie that the application sets."""
        noted: dict[AppCookie, _Owner] = {}
        for header, line in headers:
            if header.lower() != "set-cookie":
                continue
            (name, value, _), *attributes = _pairs(line)
            if name not in self._by_name or _deletes(value, attributes):
                continue
            cookie = self._meant(name, attributes)
            before = noted.get(cookie) or owners.get(cookie)
            earlier = before.values if before is not None and before.user == user else ()
            values = dict.fromkeys((_digest(value), *earlier))
            noted[cookie] = _Owner(user, tuple(values)[:_REMEMBERED])
        for cookie, owner in noted.items():
            payload = json.dumps(owner, separators=(",", ":")).encode()
            sealed = self._sealer.seal(_PURPOSE, self._cookies.owner_name(cookie), payload)
            yield "Set-Cookie", self._cookies.set_owner(cookie, sealed)

    def _meant(self, name: str, attributes: list[tuple[str, str, str]]) -> AppCookie:
        """Return the listed cookie of that name and path; or of that name alone, and then without a path if any is."""
        path = next((value for key, value, _ in reversed(attributes) if key.lower() == "path"), None)
        same_name = self._by_name[name]
        return min(same_name, key=lambda each: (each.path != path, each.path is not None))


def _pairs(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and text of each pair of a ``Cookie`` or ``Set-Cookie`` header."""
    for pair in text.split(";"):
        pair = pair.strip(_BLANKS)
        name, _, value = pair.partition("=")
        yield name.strip(), value.strip(_BLANKS), pair


def _digest(value: str) -> str:
    return base64url(hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()[:16])


def _deletes(value: str, attributes: list[tuple[str, str, str]]) -> bool:
    """Return whether a ``Set-Cookie`` deletes: it would push out a value that the same answer may set."""
    ages = [each for key, each, _ in attributes if key.lower() == "max-age"]
    return value in ("", '""') or (bool(ages) and re.fullmatch(r"-\d+|0+", ages[-1]) is not None)
