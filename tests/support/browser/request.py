"""What a browser says with a request (Fetch Metadata, ``Origin``, ``Referer``), and where forms may go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urldefrag, urlsplit

from tests.support.browser.cookie_jar import SAFE_METHODS, Context, is_loopback, site
from tests.support.browser.page import Page

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ACCEPT_PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@dataclass(frozen=True)
class Request:
    """One request that a page or a person causes."""

    method: str
    url: str
    context: Context
    mode: Literal["navigate", "cors", "no-cors", "same-origin"]
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    credentials: bool = True
    referrer: str | None = None
    referrer_policy: str = "strict-origin-when-cross-origin"


def origin_of(url: str) -> str:
    """Scheme and authority, as ``Origin`` tells them."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def request_headers(request: Request, chain: Sequence[str]) -> dict[str, str]:
    """The headers that the browser writes itself, all but ``Cookie``.

    :param chain: every address on the way of redirects, this one included.
    """
    parts = urlsplit(request.url)
    headers = {
        "Host": parts.netloc.rpartition("@")[2],
        "User-Agent": USER_AGENT,
        "Accept": ACCEPT_PAGE if request.mode == "navigate" else "*/*",
        "Accept-Language": "en-US,en;q=0.5",
        "Connection": "close",
    }
    if request.mode == "navigate":
        headers["Upgrade-Insecure-Requests"] = "1"
    if parts.scheme == "https" or is_loopback(parts.hostname or ""):
        headers["Sec-Fetch-Site"] = _fetch_site(request.context.initiator, chain)
        headers["Sec-Fetch-Mode"] = request.mode
        window = "document" if request.context.top_level else "iframe"
        headers["Sec-Fetch-Dest"] = window if request.mode == "navigate" else "empty"
        if request.mode == "navigate" and request.context.top_level:
            headers["Sec-Fetch-User"] = "?1"
    if referrer := _referrer_header(request):
        headers["Referer"] = referrer
    if origin := _origin_header(request):
        headers["Origin"] = origin
    if request.method in ("POST", "PUT", "PATCH") and request.body is None:
        headers["Content-Length"] = "0"
    return headers


def _fetch_site(initiator: str | None, chain: Sequence[str]) -> str:
    """``Sec-Fetch-Site`` (Fetch Metadata, 2.3): the worst relation of the initiator to any address passed."""
    if initiator is None:
        return "none"
    relation = "same-origin"
    for url in chain:
        if origin_of(url) == initiator:
            continue
        if site(url) != site(initiator):
            return "cross-site"
        relation = "same-site"
    return relation


def _referrer_header(request: Request) -> str | None:
    if request.referrer is None or request.referrer_policy == "no-referrer":
        return None
    full = urldefrag(request.referrer).url
    if origin_of(full) == origin_of(request.url):
        return full
    downgrade = full.startswith("https:") and request.url.startswith("http:")
    if request.referrer_policy == "same-origin" or downgrade:
        return None
    return full if request.referrer_policy == "unsafe-url" else origin_of(full) + "/"


def _origin_header(request: Request) -> str | None:
    """``Origin`` (Fetch, 3.2): with every unsafe method, and with every cross-origin ``fetch()``."""
    source = request.context.initiator
    if request.mode == "cors" and source is not None:
        return source if request.method not in SAFE_METHODS or source != origin_of(request.url) else None
    if request.method in SAFE_METHODS:
        return None
    if source is None or request.referrer_policy == "no-referrer":
        return "null"
    if request.referrer_policy == "same-origin" and source != origin_of(request.url):
        return "null"
    return source


def form_action(page: Page) -> list[str] | None:
    """The sources of the page's ``form-action`` directive (CSP Level 3, 6.4.1), or ``None``."""
    for policy in page.all_headers("Content-Security-Policy"):
        for directive in policy.split(";"):
            name, *sources = directive.split() or [""]
            if name.lower() == "form-action":
                return sources
    return None


def source_allows(source: str, page_url: str, target: str) -> bool:
    """Whether one CSP source lets a form of ``page_url`` go to ``target``."""
    if source == "'self'":
        return origin_of(target) == origin_of(page_url)
    if source.endswith(":"):
        return target.startswith(source)
    if source == "*":
        return target.startswith(("http:", "https:"))
    return origin_of(target) == origin_of(source) and urlsplit(target).path.startswith(urlsplit(source).path)
