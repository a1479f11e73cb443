"""A client that treats cookies, redirects and request headers as a browser does, and tells each step it took.

It goes nowhere but to this machine. ``behind_tls`` plays the proxy that ends TLS in front of an application:
pages of an https origin are fetched over plain http from a loopback address, with the ``Host`` that a proxy
hands on.
"""

from __future__ import annotations

import http.client
import json as json_text
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote, urldefrag, urlencode, urlsplit

from urllib3.filepost import encode_multipart_formdata

from tests.support.browser.cookie_jar import Context, CookieJar, is_loopback
from tests.support.browser.page import Form, Page, resolve
from tests.support.browser.request import Request, form_action, origin_of, request_headers, source_allows

MAX_REDIRECTS = 20
#: seconds for one request
TIMEOUT = 30.0

Stop = str | Callable[[str], bool]


class BrowserError(AssertionError):
    """What a browser would show a page of its own for. The message carries the steps so far."""


@dataclass(frozen=True)
class Step:
    """One request and what came of it. Cookies are told by name."""

    method: str
    url: str
    status: int
    cookies_sent: tuple[str, ...]
    cookies_set: tuple[str, ...]
    location: str | None

    def __str__(self) -> str:
        arrow = f" -> {self.location}" if self.location else ""
        cookies = f" sets {', '.join(self.cookies_set)}" if self.cookies_set else ""
        return f"{self.status} {self.method} {self.url}{arrow}{cookies}"


class Browser:
    """One browser profile with one tab; ``tab()`` opens another one on the same cookies."""

    def __init__(
        self,
        *,
        jar: CookieJar | None = None,
        behind_tls: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """
        :param jar: the cookies; by default none yet.
        :param behind_tls: https origin -> the loopback http origin that really serves it.
        :param headers: sent with every request, after (and instead of) the browser's own.
        """
        self.jar = CookieJar() if jar is None else jar
        self.behind_tls = dict(behind_tls or {})
        self.headers = dict(headers or {})
        self.steps: list[Step] = []
        #: what the tab shows
        self.page: Page | None = None

    def tab(self) -> Browser:
        """Another tab: the same cookies, a page and steps of its own."""
        return Browser(jar=self.jar, behind_tls=self.behind_tls, headers=self.headers)

    @property
    def transcript(self) -> str:
        return "\n".join(str(step) for step in self.steps)

    @property
    def origin(self) -> str | None:
        """The origin of the page that the tab shows."""
        return None if self.page is None else origin_of(self.page.url)

    # What a person does

    def navigate(
        self,
        url: str,
        *,
        initiator: str | None = None,
        follow: bool = True,
        stop_before: Stop | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """Open an address.

        :param initiator: the origin of the page whose link leads there; by default the person typed it.
        :param follow: whether redirects are followed.
        :param stop_before: a redirect to an address that starts so is not followed; its response is shown.
        """
        request = Request("GET", url, Context(initiator), "navigate", headers=headers, referrer=initiator)
        return self._show(self._run(request, follow=follow, stop_before=stop_before))

    def click(self, link: str, *, follow: bool = True, stop_before: Stop | None = None) -> Page:
        """Follow a link of the page: the first whose text or address contains ``link``."""
        page = self._current()
        request = Request(
            "GET",
            page.link(link),
            Context(origin_of(page.url)),
            "navigate",
            referrer=page.url,
            referrer_policy=self._referrer_policy(),
        )
        return self._show(self._run(request, follow=follow, stop_before=stop_before))

    def submit(
        self,
        form: Form | str = "",
        /,
        *,
        button: str | None = None,
        follow: bool = True,
        stop_before: Stop | None = None,
        **values: str,
    ) -> Page:
        """Fill a form of the page and send it.

        :param form: the form, or a text that it contains; by default the first.
        :param button: name, value or label of the button to press; by default the first.
        :param values: what is typed.
        """
        page = self._current()
        chosen = page.form(form) if isinstance(form, str) else form
        pairs = [*chosen.fill(**values).fields, *_pressed(chosen, button)]
        url, body, headers = chosen.action, None, {}
        if chosen.method == "POST":
            body, content_type = _encoded(chosen, pairs)
            headers = {"Content-Type": content_type}
        else:
            url = resolve(url, "?" + urlencode(pairs))
        request = Request(
            chosen.method,
            url,
            Context(origin_of(page.url), chosen.method),
            "navigate",
            body,
            headers,
            referrer=page.url,
            referrer_policy=self._referrer_policy(),
        )
        allowed = form_action(page)
        self._check_form_action(allowed, page.url, url)
        return self._show(
            self._run(request, follow=follow, stop_before=stop_before, form_action=(allowed, page.url))
        )

    def post(
        self, url: str, fields: Mapping[str, str], *, initiator: str | None = None, follow: bool = True
    ) -> Page:
        """Send a form that a page of ``initiator`` makes up: an attacker's, or one without HTML at hand."""
        request = Request(
            "POST",
            url,
            Context(initiator, "POST"),
            "navigate",
            urlencode(fields).encode(),
            {"Content-Type": "application/x-www-form-urlencoded"},
            referrer=initiator,
        )
        return self._show(self._run(request, follow=follow))

    def reload(self) -> Page:
        return self.navigate(self._current().url)

    def frame(self, url: str, *, initiator: str) -> Page:
        """What a frame in a page of ``initiator`` loads. The tab keeps its page.

        The response is handed out even where a policy forbids to show it: it has been loaded by then.
        """
        context = Context(initiator, top_level=False)
        return self._run(Request("GET", url, context, "navigate", referrer=initiator), follow=True)

    # What a page's script does

    def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        initiator: str | None = None,
        credentials: Literal["same-origin", "include", "omit"] = "same-origin",
        follow: bool = True,
    ) -> Page:
        """``fetch()`` from the page that is shown, or from one of ``initiator``. The tab keeps its page.

        The response is handed out even where CORS would hide it from the script: tests judge the server.
        """
        url = resolve(self.page.url if self.page else url, url)
        source = initiator or self.origin or origin_of(url)
        given = dict(headers or {})
        if json is not None:
            body = json_text.dumps(json).encode()
            given.setdefault("Content-Type", "application/json")
        request = Request(
            method.upper(),
            url,
            Context(source, method, top_level=False),
            "cors",
            body,
            given,
            credentials == "include" or (credentials == "same-origin" and source == origin_of(url)),
            referrer=self.page.url if self.page and initiator is None else source,
        )
        return self._run(request, follow=follow)

    # How it is done

    def _current(self) -> Page:
        assert self.page is not None, "the tab shows no page yet"
        return self.page

    def _show(self, page: Page) -> Page:
        self.page = page
        return page

    def _referrer_policy(self) -> str:
        policy = self._current().header("Referrer-Policy") or "strict-origin-when-cross-origin"
        return policy.rpartition(",")[2].strip().lower()

    def _run(
        self,
        request: Request,
        *,
        follow: bool,
        stop_before: Stop | None = None,
        form_action: tuple[list[str] | None, str] = (None, ""),
    ) -> Page:
        chain = [request.url]
        while True:
            page = self._send(request, chain)
            target = page.location
            if page.status not in (301, 302, 303, 307, 308) or target is None or not follow:
                return page
            if stop_before is not None and _stops(stop_before, target):
                return page
            if len(chain) > MAX_REDIRECTS:
                raise self._error(f"more than {MAX_REDIRECTS} redirects")
            self._check_form_action(form_action[0], form_action[1], target)
            fragment = urldefrag(request.url).fragment
            if fragment and not urldefrag(target).fragment:
                target = f"{target}#{fragment}"
            method, body, headers = request.method, request.body, dict(request.headers or {})
            if (page.status in (301, 302) and method == "POST") or (page.status == 303 and method != "HEAD"):
                method, body = "GET", None
                headers.pop("Content-Type", None)
            chain.append(target)
            request = replace(
                request,
                method=method,
                url=target,
                context=replace(request.context, method=method),
                body=body,
                headers=headers,
            )

    def _send(self, request: Request, chain: Sequence[str]) -> Page:
        parts = urlsplit(request.url)
        if parts.scheme not in ("http", "https"):
            raise self._error(f"a browser opens no {request.url!r}")
        served_by = urlsplit(self.behind_tls.get(origin_of(request.url), request.url))
        if served_by.scheme != "http" or not is_loopback(served_by.hostname or ""):
            raise self._error(f"{request.url} is not served by this machine")
        # Chromium percent-encodes what may not stand in a request line; what is encoded already stays.
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._[]|^\\")
        if parts.query:
            target += "?" + quote(parts.query, safe="/%:@!$&()*+,;=~-._[]|^\\?{}`'")
        headers = request_headers(request, chain)
        if origin_of(request.url) in self.behind_tls:
            headers["X-Forwarded-Proto"] = "https"
        if request.credentials and (cookies := self.jar.header(request.url, request.context)):
            headers["Cookie"] = cookies
        for name, value in {**self.headers, **(request.headers or {})}.items():
            known = next((known for known in headers if known.lower() == name.lower()), name)
            headers[known] = value
        connection = http.client.HTTPConnection(
            served_by.hostname or "", served_by.port or 80, timeout=TIMEOUT
        )
        try:
            connection.request(request.method, target, body=request.body, headers=headers)
            response = connection.getresponse()
            page = Page(
                request.url,
                request.method,
                response.status,
                response.reason,
                response.getheaders(),
                response.read(),
            )
        except (OSError, http.client.HTTPException) as error:
            raise self._error(f"{request.method} {request.url}: {type(error).__name__}: {error}") from error
        finally:
            connection.close()
        set_cookies = page.all_headers("Set-Cookie") if request.credentials else []
        for line in set_cookies:
            self.jar.store(request.url, line, request.context)
        self.steps.append(
            Step(
                request.method,
                request.url,
                page.status,
                tuple(re.findall(r"(?:^|; )([^=;]+)=", headers.get("Cookie", ""))),
                tuple(line.partition("=")[0].strip() for line in set_cookies),
                page.header("Location"),
            )
        )
        return page

    def _check_form_action(self, allowed: list[str] | None, page_url: str, target: str) -> None:
        """Chromium applies ``form-action`` to the redirects behind a form too: a login must survive it."""
        if allowed is not None and not any(source_allows(source, page_url, target) for source in allowed):
            raise self._error(f"the page's form-action {allowed} blocks {target}")

    def _error(self, what: str) -> BrowserError:
        refused = "".join(f"\ncookie refused: {line}" for line in self.jar.refused[-10:])
        return BrowserError(f"{what}. Steps so far:\n{self.transcript or '(none)'}{refused}")


def _stops(stop: Stop, target: str) -> bool:
    return target.startswith(stop) if isinstance(stop, str) else stop(target)


def _encoded(form: Form, pairs: list[tuple[str, str]]) -> tuple[bytes, str]:
    """The body of a form that is posted, and its type."""
    if form.enctype == "multipart/form-data":
        return encode_multipart_formdata(pairs)
    assert form.enctype == "application/x-www-form-urlencoded", f"enctype {form.enctype}"
    return urlencode(pairs).encode(), form.enctype


def _pressed(form: Form, button: str | None) -> list[tuple[str, str]]:
    """The name and value of the button that is pressed, if it has a name."""
    for name, value, label in form.buttons:
        if button is None or button in (name, value, label):
            return [(name, value)] if name else []
    assert button is None, f"no button {button!r} among {form.buttons}"
    return []
