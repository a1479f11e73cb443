"""Our cookies on the wire: their names, their attributes, and how a value too long for one cookie is cut.

The names and attributes are decided here alone, so that a cookie is always deleted with the attributes it was set
with (RFC 6265bis, section 4.1.3: a ``__Host-`` cookie is only replaced by one that is a ``__Host-`` cookie too).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

#: Browsers drop a cookie whose name and value exceed 4096 octets (RFC 6265bis, section 5.6).
CHUNK_BYTES = 3800
#: Two chunks carry the largest ``session_max_bytes``; what a browser may have left from elsewhere is expired too.
MAX_CHUNKS = 2
#: A request that carries more copies of one of our cookies than this is not worth untangling.
MAX_COPIES = 3

_is_slot = re.compile("[a-h]").fullmatch


@dataclass(frozen=True, slots=True)
class RequestCookies:
    """Those cookies of a request that are ours, and what is left of the header without them."""

    #: name -> the values sent under it, in the order of the header
    own: dict[str, list[str]] = field(repr=False)
    #: the ``Cookie`` header as the application may see it; ``None``: no cookie is left
    other_header: str | None = field(repr=False)


class Cookies:
    """Names and writes the cookies of one application.

    :param name: the setting ``cookie_name``.
    :param secure: whether browsers reach us over https.
    """

    def __init__(self, name: str, *, secure: bool) -> None:
        self.session = f"__Host-{name}" if secure else name
        self.attempt_prefix = f"{self.session}-a-"
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        self._chunks = (self.session, *(f"{self.session}.{n}" for n in range(1, MAX_CHUNKS)))
        self._chunk_names = frozenset(self._chunks)
        self._stale = re.compile(re.escape(self.session) + r"\.\d{1,2}")

    def _is_ours(self, name: str) -> bool:
        return (
            name in self._chunk_names
            or (name.startswith(self.attempt_prefix) and bool(_is_slot(name[len(self.attempt_prefix) :])))
            or self._stale.fullmatch(name) is not None
        )

    def read(self, header: str) -> RequestCookies:
        """Take our cookies out of a ``Cookie`` header; the others are handed on as they came."""
        return self._read_one(header) or self._read_any(header)

    def _read_one(self, header: str) -> RequestCookies | None:
        """The usual header, which names us once: found by hand, without taking the others apart."""
        name = self.session
        start = header.find(name)
        if (
            start < 0
            or not header.startswith("=", start + len(name))
            or not (start == 0 or header.startswith("; ", start - 2))
            or header.find(name, start + 1) >= 0
        ):
            return None
        end = header.find("; ", start)
        value = header[start + len(name) + 1 : end if end >= 0 else None]
        if ";" in value:
            return None
        before, after = header[: max(start - 2, 0)], header[end + 2 :] if end >= 0 else ""
        rest = f"{before}; {after}" if before and after else before or after
        return RequestCookies({name: [value.strip(" \t").strip('"')]}, rest or None)

    def _read_any(self, header: str) -> RequestCookies:
        ours: dict[str, list[str]] = {}
        rest: list[str] = []
        for pair in header.split(";"):
            # Only what separates cookies: other blanks may be octets of an application's own value.
            pair = pair.strip(" \t")
            # A nameless cookie "=__Host-x=..." does not begin with our name; it never becomes ours.
            name, separator, value = pair.partition("=") if pair.startswith(self.session) else ("", "", "")
            if separator and self._is_ours(name := name.rstrip(" \t")):
                ours.setdefault(name, []).append(value.lstrip(" \t").strip('"'))
            elif pair:
                rest.append(pair)
        return RequestCookies(ours, "; ".join(rest) or None)

    def session_values(self, sent: RequestCookies) -> Iterator[tuple[int, str]]:
        """The joined session texts that a request may mean, each with its number of chunks.

        More than one only when a cookie of ours was sent twice, as a neighbouring host can bring about over http.
        """
        first = sent.own.get(self.session, [])
        if len(first) > MAX_COPIES:
            return
        rest = ""
        count = 1
        for name in self._chunks[1:]:
            values = sent.own.get(name)
            if not values:
                break
            if len(values) > 1:
                return
            rest += values[0]
            count += 1
        for value in first:
            yield count, value + rest
            if count > 1:
                # Chunks left by an earlier, longer session do not hide a short one that stands alone.
                yield 1, value

    def session_names(self, sent: RequestCookies) -> list[str]:
        """The names of all session cookies of a request, chunks that nothing reads any more included."""
        return [name for name in sent.own if not name.startswith(self.attempt_prefix)]

    def attempts(self, sent: RequestCookies) -> dict[str, str]:
        """Slot -> sealed text. A name sent twice is left out: it proves nothing."""
        start = len(self.attempt_prefix)
        return {
            name[start:]: values[0]
            for name, values in sent.own.items()
            if name.startswith(self.attempt_prefix) and len(values) == 1
        }

    def attempt_names(self, sent: RequestCookies) -> list[str]:
        """The names of all attempt cookies of a request."""
        return [name for name in sent.own if name.startswith(self.attempt_prefix)]

    def session_bytes(self, sent: RequestCookies) -> int:
        """How much of a request's header its session takes."""
        return sum(
            len(name) + len(value) + 3 for name in self.session_names(sent) for value in sent.own[name]
        )

    def chunk_count(self, length: int) -> int:
        """How many cookies a sealed text of that many characters takes."""
        return -(-length // CHUNK_BYTES)

    def set_session(self, text: str, sent: RequestCookies) -> list[str]:
        """``Set-Cookie`` values that store a session text and expire what is left of a longer one."""
        chunks = [text[start : start + CHUNK_BYTES] for start in range(0, len(text), CHUNK_BYTES)]
        if len(chunks) > MAX_CHUNKS:
            raise ValueError(f"a session of {len(text)} characters does not fit into {MAX_CHUNKS} cookies")
        named = dict(zip(self._chunks, chunks, strict=False))
        stale = [self.expire(name) for name in self.session_names(sent) if name not in named]
        return [self._set(name, value) for name, value in named.items()] + stale

    def expire_session(self, sent: RequestCookies) -> list[str]:
        """``Set-Cookie`` values that end the session on the browser."""
        return [self.expire(name) for name in dict.fromkeys((self.session, *self.session_names(sent)))]

    def expire_all(self, sent: RequestCookies) -> list[str]:
        """The same, with the attempts of that browser: what was begun before a logout does not outlive it."""
        return [*self.expire_session(sent), *map(self.expire, self.attempt_names(sent))]

    def set_attempt(self, slot: str, text: str, *, max_age: int, cross_site: bool = False) -> str:
        """The ``Set-Cookie`` value of one sign-in attempt.

        :param max_age: seconds.
        :param cross_site: whether the answer comes as a form of the provider's site (``form_post``): a cookie that
            is not ``SameSite=None`` stays behind then.
        """
        cookie = self._set(self.attempt_prefix + slot, text) + f"; Max-Age={max_age}"
        return cookie.replace("; SameSite=Lax", "; SameSite=None") if cross_site else cookie

    def _set(self, name: str, value: str) -> str:
        return f"{name}={value}{self._attributes}"

    def expire(self, name: str) -> str:
        """The ``Set-Cookie`` value that deletes a cookie of ours."""
        return f"{name}={self._attributes}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
