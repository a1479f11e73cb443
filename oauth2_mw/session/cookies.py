"""Our cookies on the wire: their names, their attributes, and how a long value is spread over several.

The names and attributes are decided here alone, so that a cookie is always deleted with the attributes it was set
with (RFC 6265bis, section 4.1.3: a ``__Host-`` cookie is only replaced by one that is a ``__Host-`` cookie too).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from oauth2_mw.settings.app_cookies import AppCookie

#: Browsers drop a cookie whose name and value exceed so many octets (RFC 6265bis, section 5.6).
MAX_COOKIE = 4096
CHUNK_BYTES = 3800
#: Two chunks carry the largest ``session_max_bytes``.
MAX_CHUNKS = 2
#: A request that carries one of our cookies more often than this is not taken apart.
MAX_COPIES = 3

#: The number of cookies that carry a sealed text, and the text.
SealedText = tuple[int, str]

_EXPIRED = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
#: what stands between the cookies of a header
SEPARATORS = "; \t"
#: With what the names of other applications' cookies of this package begin where nobody chose another ``cookie_name``.
_FAMILY = "oauth2_mw"
#: What we seal, in base64url: its first octet is the version, and nonce and tag are never missing.
SEALED = r"A[Q-Za-f][A-Za-z0-9_-]{48,}"
#: The last characters of the names of cookies that keep a form.
FORM_SLOTS = "abcde"
#: Seconds for which a browser remembers at which provider it was signed in.
PROVIDER_KEPT_FOR = 365 * 86400


@dataclass(frozen=True, slots=True)
class RequestCookies:
    """The cookies of a request: those that are ours, and the rest of the header."""

    #: name -> its values, in the order of the header
    own: dict[str, list[str]] = field(repr=False)
    #: the ``Cookie`` header without our cookies; ``None`` if nothing is left of it
    other_header: str | None = field(repr=False)


class Cookies:
    """The names and attributes of one application's cookies.

    :param name: the setting ``cookie_name``.
    :param secure: whether browsers reach us over https.
    :param app_cookies: those that the application itself sets, and that end with our session.
    :param mount: the path of ``public_url``.
    """

    def __init__(
        self, name: str, *, secure: bool, app_cookies: Sequence[AppCookie] = (), mount: str = ""
    ) -> None:
        self.session: str = f"__Host-{name}" if secure else name
        self._prefix = f"{self.session}="
        self.attempt_prefix: str = f"{self.session}-a-"
        self._forms = {slot: f"{self.session}-f-{slot}" for slot in FORM_SLOTS}
        #: says at which provider this browser was signed in last
        self.provider: str = f"{self.session}-p"
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        self._paths = ("/", mount) if mount else ("/",)
        self._app_cookies = app_cookies
        # Secure is harmless to a cookie without it, and one with the prefix __Host- is not deleted otherwise.
        self._app_attributes = ("; Secure" if secure else "") + _EXPIRED
        self._chunks = (self.session, *(f"{self.session}.{n}" for n in range(1, MAX_CHUNKS)))
        # With chunks that are not read any more: they are deleted.
        stem = re.escape(name)
        self._is_sibling = re.compile(
            rf"[ \t]*(?!{re.escape(self.session)}-[ao]-)"
            rf"(?:__Host-)?(?:{stem}(?:-a-[a-h]|-o-[0-9a-f]{{8}})?|{_FAMILY}[A-Za-z0-9_-]*)"
            rf"(?:[ \t]*=[ \t]*\"?{SEALED}|\.[0-9]{{1,2}}[ \t]*=[ \t]*\"?[A-Za-z0-9_-]+)\"?[ \t]*"
        ).fullmatch
        # Where the family's name is part of ours, one look tells both.
        self._stem = _FAMILY if _FAMILY in name else name
        self._match_own = re.compile(
            rf"({re.escape(self.session)}(?:-a-[a-h]|-f-[{FORM_SLOTS}]|-p|\.[0-9]{{1,2}})?)[ \t]*="
        ).match

    def read(self, header: str) -> RequestCookies:
        """Take our cookies out of a ``Cookie`` header, and leave the others as they are."""
        own: dict[str, list[str]] = {}
        others: list[str] = []
        # Up to here the header is read; what lies between is the application's.
        done = kept = 0
        while (start := header.find(self.session, done)) >= 0:
            begin = header.rfind(";", done, start) + 1 or done
            end = header.find(";", start)
            if end < 0:
                end = len(header)
            done = end + 1
            # Only these two separate cookies: other blanks may belong to a value of the application's. A nameless
            # cookie "=__Host-x=..." does not begin with our name, and is not ours.
            if header[begin:start].strip(" \t"):
                continue
            match = self._match_own(header, start)
            if match is None:
                continue
            own.setdefault(match[1], []).append(header[match.end() : end].strip(" \t").strip('"'))
            others.append(header[kept:begin].strip(SEPARATORS))
            kept = done
        others.append(header[kept:].strip(SEPARATORS))
        return RequestCookies(own, self.without_siblings("; ".join(filter(None, others))) or None)

    def only(self, header: str) -> tuple[str, str | None] | None:
        """Return the value of the session cookie and the rest of a header, if no other cookie is or may be ours.

        ``None`` for any other header: it is to be read by :meth:`read`, which says the same of this one.
        """
        start = header.find(self._prefix)
        if start < 0:
            return None
        begin = start + len(self._prefix)
        end = header.find(";", begin)
        if end < 0:
            end = len(header)
        value = header[begin:end]
        others = None if value != value.strip(' \t"') else self.others(header, start, end)
        return None if others is None else (value, others or None)

    def others(self, header: str, start: int, end: int) -> str | None:
        """Return a header without its cookie from *start* to *end*, if no other cookie is or may be ours.

        ``None`` as well if these are not the ends of a cookie, as browsers write them.
        """
        if (start > 0 and header[start - 2 : start] != "; ") or header[end : end + 1] not in ("", ";"):
            return None
        others, after = header[:start].strip(SEPARATORS), header[end:].strip(SEPARATORS)
        if after:
            others = f"{others}; {after}" if others else after
        return None if self.may_hold_any(others) else others

    def may_hold_any(self, header: str) -> bool:
        """Return whether a cookie of ours or of a sibling may be in a ``Cookie`` header."""
        return self._stem in header or _FAMILY in header

    def without_siblings(self, header: str) -> str:
        """Return a ``Cookie`` header without what this package sealed for other applications of the host.

        Such a cookie is told by its name, which begins as ours does or with ``oauth2_mw``, and by the form of a sealed
        text. An application that saw it could hand it in at its neighbour.
        """
        if not self.may_hold_any(header):
            return header
        return ";".join(each for each in header.split(";") if not self._is_sibling(each)).strip(SEPARATORS)

    def session_values(self, cookies: RequestCookies) -> Iterator[SealedText]:
        """Yield the sealed texts that a request's session cookies may stand for.

        There are several only if a cookie of ours came twice, which a neighbouring host can bring about over http.
        """
        first_chunks = cookies.own.get(self.session, [])
        if len(first_chunks) > MAX_COPIES:
            return
        further_chunks = ""
        chunk_count = 1
        for name in self._chunks[1:]:
            values = cookies.own.get(name)
            if not values:
                break
            if len(values) > 1:
                return
            further_chunks += values[0]
            chunk_count += 1
        for value in first_chunks:
            yield chunk_count, value + further_chunks
            if chunk_count > 1:
                # Chunks left by an earlier, longer session do not hide a short one that stands alone.
                yield 1, value

    def session_names(self, cookies: RequestCookies) -> list[str]:
        """Return the names of a request's session cookies, including chunks that are not read any more."""
        further = f"{self.session}."
        return [name for name in cookies.own if name == self.session or name.startswith(further)]

    def attempts(self, cookies: RequestCookies) -> dict[str, str]:
        """Return the sealed text of each attempt by its slot, without those whose name came twice."""
        start = len(self.attempt_prefix)
        return {
            name[start:]: values[0]
            for name, values in cookies.own.items()
            if name.startswith(self.attempt_prefix) and len(values) == 1
        }

    def attempt_names(self, cookies: RequestCookies) -> list[str]:
        """Return the names of a request's attempt cookies."""
        return [name for name in cookies.own if name.startswith(self.attempt_prefix)]

    def session_bytes(self, cookies: RequestCookies) -> int:
        """Return how many octets of a request's header its session and its kept forms take."""
        return self.form_bytes(cookies) + _octets(cookies, self.session_names(cookies))

    def form_bytes(self, cookies: RequestCookies) -> int:
        """Return how many octets of a request's header its kept forms take."""
        return _octets(cookies, self.form_names(cookies))

    def form_names(self, cookies: RequestCookies) -> list[str]:
        """Return the names of a request's cookies that keep a form."""
        return [name for name in self._forms.values() if name in cookies.own]

    def forms(self, cookies: RequestCookies) -> dict[str, str]:
        """Return the text of each kept form by the name of its cookie, without those whose name came twice."""
        return {name: values[0] for name in self.form_names(cookies) if len(values := cookies.own[name]) == 1}

    def free_form_name(self, cookies: RequestCookies) -> str | None:
        """Return the name of a cookie that keeps no form yet, or ``None`` if all do."""
        return next((name for name in self._forms.values() if name not in cookies.own), None)

    def set_form(self, name: str, text: str, *, max_age: int) -> str:
        """Return the ``Set-Cookie`` value of a kept form.

        :param max_age: seconds.
        """
        return self._set(name, text) + f"; Max-Age={max_age}"

    def last_provider(self, cookies: RequestCookies) -> str | None:
        """Return what a request says of the provider at which its browser was signed in last: any text, or nothing."""
        values = cookies.own.get(self.provider, [])
        return values[0] if len(values) == 1 else None

    def set_last_provider(self, name: str) -> str:
        """Return the ``Set-Cookie`` value that remembers a provider. It is no secret, and outlives the session."""
        return self._set(self.provider, name) + f"; Max-Age={PROVIDER_KEPT_FOR}"

    def chunk_count(self, length: int) -> int:
        """Return how many cookies a sealed text of that many characters takes."""
        return -(-length // CHUNK_BYTES)

    def set_session(self, text: str, cookies: RequestCookies) -> list[str]:
        """Return the ``Set-Cookie`` values that store a sealed session and expire what is left of a longer one."""
        chunks = [text[start : start + CHUNK_BYTES] for start in range(0, len(text), CHUNK_BYTES)]
        if len(chunks) > MAX_CHUNKS:
            raise ValueError(f"a session of {len(text)} characters does not fit into {MAX_CHUNKS} cookies")
        named = dict(zip(self._chunks, chunks, strict=False))
        stale = [self.expire(name) for name in self.session_names(cookies) if name not in named]
        return [self._set(name, value) for name, value in named.items()] + stale

    def expire_session(self, cookies: RequestCookies) -> list[str]:
        """Return the ``Set-Cookie`` values that delete the session."""
        return [self.expire(name) for name in dict.fromkeys((self.session, *self.session_names(cookies)))]

    def expire_all(self, cookies: RequestCookies) -> list[str]:
        """Return the ``Set-Cookie`` values that delete what does not outlive a logout.

        That is the session, all attempts, kept forms, and the application's own cookies.
        """
        return [
            *self.expire_session(cookies),
            *map(self.expire, self.attempt_names(cookies)),
            *map(self.expire, self.form_names(cookies)),
            *self.expire_app_cookies(),
        ]

    def expire_app_cookies(self, cookies: Iterable[AppCookie] | None = None) -> list[str]:
        """Return the ``Set-Cookie`` values that delete cookies of the application, and what says whose they are.

        :param cookies: some of ``app_cookies``; by default all.
        """
        return [
            value
            for cookie in (self._app_cookies if cookies is None else cookies)
            for value in (*self._expire_app_cookie(cookie), self.expire(self.owner_name(cookie)))
        ]

    def _expire_app_cookie(self, cookie: AppCookie) -> Iterator[str]:
        domain = "" if cookie.domain is None else f"; Domain={cookie.domain}"
        for path in self._paths if cookie.path is None else (cookie.path,):
            yield f"{cookie.name}=; Path={path}{domain}{self._app_attributes}"

    def owner_name(self, cookie: AppCookie) -> str:
        """Return the name of our cookie that says whose a cookie of the application is."""
        listed = f"{cookie.name};{cookie.path};{cookie.domain}".encode()
        return f"{self.session}-o-{hashlib.sha256(listed).hexdigest()[:8]}"

    def set_owner(self, cookie: AppCookie, text: str) -> str:
        """Return the ``Set-Cookie`` value of that cookie of ours."""
        return self._set(self.owner_name(cookie), text)

    def set_attempt(self, slot: str, text: str, *, max_age: int, cross_site: bool = False) -> str:
        """Return the ``Set-Cookie`` value of one sign-in attempt.

        :param max_age: seconds.
        :param cross_site: whether the response comes as a form from the provider's site (``form_post``), with which
            browsers send only cookies that are ``SameSite=None``.
        """
        cookie = self._set(self.attempt_prefix + slot, text) + f"; Max-Age={max_age}"
        return cookie.replace("; SameSite=Lax", "; SameSite=None") if cross_site else cookie

    def _set(self, name: str, value: str) -> str:
        return f"{name}={value}{self._attributes}"

    def expire(self, name: str) -> str:
        """Return the ``Set-Cookie`` value that deletes a cookie of ours."""
        return f"{name}={self._attributes}{_EXPIRED}"


def replace_cookies(environ: dict[str, Any], header: str | None) -> None:
    """Let the application see another ``Cookie`` header than the one that came, or none."""
    if header is None:
        del environ["HTTP_COOKIE"]
    else:
        environ["HTTP_COOKIE"] = header


def _octets(cookies: RequestCookies, names: Iterable[str]) -> int:
    return sum(len(name) + len(value) + 3 for name in names for value in cookies.own[name])
