"""A cookie store with the rules of RFC 6265bis: a cookie that no browser would keep is lost in tests too.

Left out, because no test lives by it: the public suffix list (a site is the last two labels of a name), and
how many cookies a browser keeps.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

SameSite = Literal["Strict", "Lax", "None", "Default"]

#: octets of name and value together, and of one attribute's value (RFC 6265bis, 5.6)
MAX_PAIR = 4096
MAX_ATTRIBUTE = 1024
#: seconds; no cookie lives longer (RFC 6265bis, 5.5)
MAX_LIFETIME = 400 * 24 * 3600

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True)
class Context:
    """Who causes a request: what decides over SameSite (RFC 6265bis, 5.2)."""

    #: the origin of the page that caused it; ``None``: the person did, with the address bar or a bookmark
    initiator: str | None = None
    method: str = "GET"
    #: whether it changes what the address bar shows
    top_level: bool = True

    def same_site(self, url: str) -> bool:
        return self.initiator is None or site(self.initiator) == site(url)


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie as a browser keeps it."""

    name: str
    value: str = field(repr=False)
    domain: str
    path: str
    host_only: bool
    secure: bool
    http_only: bool
    same_site: SameSite
    #: seconds since the epoch; ``None``: until the browser is closed
    expires: float | None
    created: int

    @property
    def key(self) -> tuple[str, str, bool, str]:
        return (self.name, self.domain, self.host_only, self.path)


def site(url: str) -> tuple[str, str]:
    """Scheme and registrable domain ("schemeful same-site"); of an address or one label, the whole host."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if not _is_address(host):
        host = ".".join(host.split(".")[-2:])
    return (parts.scheme, host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether the name stands for this machine."""
    if _is_address(host):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def domain_matches(host: str, domain: str) -> bool:
    """RFC 6265bis, 5.1.3."""
    return host == domain or (host.endswith("." + domain) and not _is_address(host))


def path_matches(request_path: str, cookie_path: str) -> bool:
    """RFC 6265bis, 5.1.4."""
    if request_path == cookie_path:
        return True
    return request_path.startswith(cookie_path) and (
        cookie_path.endswith("/") or request_path[len(cookie_path)] == "/"
    )


def default_path(request_path: str) -> str:
    """RFC 6265bis, 5.1.4."""
    if not request_path.startswith("/") or request_path.count("/") == 1:
        return "/"
    return request_path.rpartition("/")[0]


def parse_date(text: str) -> float | None:
    """A cookie's date by the forgiving rules of RFC 6265bis, 5.1.1: seconds since the epoch, or ``None``."""
    clock: tuple[int, int, int] | None = None
    day = month = year = None
    for token in re.split(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+", text):
        if clock is None and (found := re.match(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D|$)", token)):
            clock = (int(found[1]), int(found[2]), int(found[3]))
        elif day is None and (found := re.match(r"(\d{1,2})(?:\D|$)", token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := re.match(r"(\d{2,4})(?:\D|$)", token)):
            year = int(found[1])
    if clock is None or day is None or month is None or year is None:
        return None
    year += 1900 if 70 <= year <= 99 else 2000 if year <= 69 else 0
    if year < 1601:
        return None
    try:
        return datetime(year, month, day, *clock, tzinfo=UTC).timestamp()
    except ValueError:
        return None


class CookieJar:
    """The cookies of one browser profile."""

    def __init__(self, *, trust_loopback: bool = False, clock: Callable[[], float] = time.time) -> None:
        """
        :param trust_loopback: take ``Secure`` cookies from loopback http. Off, because not all browsers do,
            and nothing of ours may depend on it.
        :param clock: seconds since the epoch.
        """
        self._cookies: dict[tuple[str, str, bool, str], Cookie] = {}
        self._trust_loopback = trust_loopback
        self._clock = clock
        self._count = 0
        #: why cookies were not kept, newest last: for failure messages
        self.refused: list[str] = []

    def __iter__(self) -> Iterator[Cookie]:
        return iter([cookie for cookie in self._cookies.values() if not self._is_over(cookie)])

    def names(self, url: str) -> list[str]:
        """The names of what the person's own navigation to ``url`` would send."""
        return [cookie.name for cookie in self.matching(url, Context())]

    def get(self, name: str, url: str) -> Cookie | None:
        """The first cookie of this name that a navigation to ``url`` would send."""
        return next((cookie for cookie in self.matching(url, Context()) if cookie.name == name), None)

    def set(self, name: str, value: str, url: str) -> None:
        """Put a plain host-only cookie where the developer tools would, past every rule: for attacks."""
        parts = urlsplit(url)
        self._keep(
            Cookie(
                name,
                value,
                (parts.hostname or "").lower(),
                "/",
                True,
                False,
                False,
                "Lax",
                None,
                self._next(),
            )
        )

    def tamper(self, name: str, url: str, change: Callable[[str], str]) -> None:
        """Change a kept cookie's value as somebody with access to the browser profile could."""
        cookie = self.get(name, url)
        assert cookie is not None, f"no cookie {name} for {url}; there are {self.names(url)}"
        self._keep(replace(cookie, value=change(cookie.value)))

    def delete(self, name: str, url: str) -> None:
        cookie = self.get(name, url)
        if cookie is not None:
            del self._cookies[cookie.key]

    def clear(self) -> None:
        self._cookies.clear()

    def close_browser(self) -> None:
        """Forget what lives "until the browser is closed"."""
        self._cookies = {key: cookie for key, cookie in self._cookies.items() if cookie.expires is not None}

    def copy(self) -> CookieJar:
        """What a thief of the profile walks away with."""
        other = CookieJar(trust_loopback=self._trust_loopback, clock=self._clock)
        other._cookies = dict(self._cookies)
        other._count = self._count
        return other

    def to_json(self) -> list[dict[str, Any]]:
        """All cookies as JSON can tell them, for another process."""
        return [asdict(cookie) for cookie in self]

    @classmethod
    def from_json(cls, cookies: Iterable[Mapping[str, Any]]) -> Self:
        """The inverse of :meth:`to_json`."""
        jar = cls()
        for members in cookies:
            cookie = Cookie(**members)
            jar._cookies[cookie.key] = cookie
            jar._count = max(jar._count, cookie.created)
        return jar

    def header(self, url: str, context: Context) -> str | None:
        """The ``Cookie`` header of a request, or ``None`` (RFC 6265bis, 5.8.3)."""
        pairs = [
            f"{cookie.name}={cookie.value}" if cookie.name else cookie.value
            for cookie in self.matching(url, context)
        ]
        return "; ".join(pairs) or None

    def matching(self, url: str, context: Context) -> list[Cookie]:
        """The cookies that a request carries, in the order in which it carries them."""
        parts = urlsplit(url)
        found = [cookie for cookie in self if self._goes_with(cookie, parts, context)]
        return sorted(found, key=lambda cookie: (-len(cookie.path), cookie.created))

    def _goes_with(self, cookie: Cookie, parts: SplitResult, context: Context) -> bool:
        host = (parts.hostname or "").lower()
        if not (host == cookie.domain if cookie.host_only else domain_matches(host, cookie.domain)):
            return False
        if not path_matches(parts.path or "/", cookie.path):
            return False
        if cookie.secure and not self._is_secure(parts):
            return False
        if cookie.same_site == "None" or context.same_site(parts.geturl()):
            return True
        return cookie.same_site != "Strict" and context.top_level and context.method.upper() in SAFE_METHODS

    def store(self, url: str, line: str, context: Context) -> bool:
        """Take one ``Set-Cookie`` value, or drop it as silently as browsers do: ``refused`` tells why."""
        cookie = self._read(urlsplit(url), line)
        problem = cookie if isinstance(cookie, str) else self._problem(cookie, line, url, context)
        if problem is not None or isinstance(cookie, str):
            self.refused.append(f"{line.partition('=')[0][:80]} from {url}: {problem}")
            return False
        if self._is_over(cookie):
            self._cookies.pop(cookie.key, None)
        else:
            self._keep(cookie)
        return True

    def _read(self, parts: SplitResult, line: str) -> Cookie | str:
        """RFC 6265bis, 5.6; a sentence when the line is no cookie at all."""
        if _CONTROL.search(line):
            return "a control character"
        pair, *attributes = line.split(";")
        name, equals, value = pair.partition("=")
        if not equals:
            name, value = "", name
        name, value = name.strip(" \t"), value.strip(" \t")
        if not name and not value:
            return "neither name nor value"
        if len(name.encode("latin-1", "replace")) + len(value.encode("latin-1", "replace")) > MAX_PAIR:
            return f"longer than {MAX_PAIR} octets"
        host = (parts.hostname or "").lower()
        cookie = Cookie(
            name, value, host, default_path(parts.path), True, False, False, "Default", None, self._next()
        )
        max_age: float | None = None
        for attribute in attributes:
            key, _, text = (part.strip(" \t") for part in attribute.partition("="))
            if len(text) > MAX_ATTRIBUTE:
                continue
            match key.lower():
                case "expires":
                    date = parse_date(text)
                    cookie = cookie if date is None else replace(cookie, expires=date)
                case "max-age" if re.fullmatch(r"-?\d+", text):
                    max_age = self._clock() + min(int(text), MAX_LIFETIME) if int(text) > 0 else 0
                case "domain":
                    domain = text.removeprefix(".").lower()
                    cookie = replace(cookie, domain=domain or host, host_only=not domain)
                case "path":
                    path = text if text.startswith("/") else default_path(parts.path)
                    cookie = replace(cookie, path=path)
                case "secure":
                    cookie = replace(cookie, secure=True)
                case "httponly":
                    cookie = replace(cookie, http_only=True)
                case "samesite":
                    modes: dict[str, SameSite] = {"strict": "Strict", "lax": "Lax", "none": "None"}
                    cookie = replace(cookie, same_site=modes.get(text.lower(), "Default"))
        expires = cookie.expires if max_age is None else max_age
        if expires is not None:
            expires = min(expires, self._clock() + MAX_LIFETIME)
        if not cookie.host_only and cookie.domain == host and (_is_address(host) or "." not in host):
            cookie = replace(cookie, host_only=True)
        return replace(cookie, expires=expires)

    def _problem(self, cookie: Cookie, line: str, url: str, context: Context) -> str | None:
        """RFC 6265bis, 5.7: why a browser would not keep it."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        secure = self._is_secure(parts)
        if not cookie.host_only and ("." not in cookie.domain or not domain_matches(host, cookie.domain)):
            return f"the domain {cookie.domain} is not one of {host}"
        if cookie.secure and not secure:
            return "Secure over plain http"
        if not cookie.secure and not secure and self._hides_secure(cookie):
            return "a Secure cookie of this name stands"
        if cookie.same_site != "None" and not context.same_site(url) and not context.top_level:
            return f"SameSite={cookie.same_site} in a cross-site subrequest"
        if cookie.same_site == "None" and not cookie.secure:
            return "SameSite=None without Secure"
        prefixed = (cookie.name or cookie.value).lower()
        if prefixed.startswith(("__secure-", "__host-")):
            if not cookie.name:
                return "a prefix without a name"
            if not cookie.secure:
                return "a prefix without Secure"
        if prefixed.startswith("__host-"):
            path_written = re.search(r";[ \t]*path[ \t]*=[ \t]*/[ \t]*(;|$)", line, re.IGNORECASE)
            if not cookie.host_only or re.search(r";[ \t]*domain[ \t]*=[ \t]*[^;\s]", line, re.IGNORECASE):
                return "__Host- with a domain"
            if cookie.path != "/" or not path_written:
                return "__Host- without Path=/"
        return None

    def _hides_secure(self, new: Cookie) -> bool:
        return any(
            old.secure
            and old.name == new.name
            and (domain_matches(old.domain, new.domain) or domain_matches(new.domain, old.domain))
            and path_matches(new.path, old.path)
            for old in self
        )

    def _is_secure(self, parts: SplitResult) -> bool:
        return parts.scheme == "https" or (self._trust_loopback and is_loopback(parts.hostname or ""))

    def _is_over(self, cookie: Cookie) -> bool:
        return cookie.expires is not None and cookie.expires <= self._clock()

    def _keep(self, cookie: Cookie) -> None:
        old = self._cookies.get(cookie.key)
        self._cookies[cookie.key] = cookie if old is None else replace(cookie, created=old.created)

    def _next(self) -> int:
        self._count += 1
        return self._count
