"""Our own URLs, reached from outside: whether ``public_url`` leads here, and what the way does to cookies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from oauth2_mw.cli.online.finding import Finding, failure
from oauth2_mw.cli.online.noting import NotingTransport
from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.http.messages import Response, Timeouts
from oauth2_mw.settings.model import Settings
from oauth2_mw.web.http.urls import Urls

_Failure = (ProviderError, ProviderUnavailableError)
#: bytes of a page that are read
_PAGE = 512 * 1024
#: bytes of a ``Cookie`` header that sign-ins under way take beside a session, and those of a session in a store
_SIGN_INS = 1600
_HANDLE = 512
_TRUST = "have a certificate that browsers trust, or pass this over if theirs do, by an authority of your own"
_START = "start the application with this file there, or correct public_url"


def check_service(settings: Settings, providers: Iterable[str], *, timeouts: Timeouts) -> Iterator[Finding]:
    """Yield what is found about the way from a browser to this service.

    :param providers: those at which a sign-in should begin.
    """
    bundles = {provider.ca_bundle for provider in settings.providers.values()}
    transport = NotingTransport(
        ca_bundle=bundles.pop() if len(bundles) == 1 else None,
        insecure_http=settings.insecure_http,
        timeouts=timeouts,
    )
    what, base = "public_url", f"{settings.public_url}{settings.prefix}"
    try:
        response = transport.get_json(f"{base}/health/", limit=_PAGE)
    except _Failure as error:
        found = failure(what, error)
        if "ca_bundle" in found.cure:
            yield replace(found, result="warning", cure=_TRUST)
        elif "TLS" in found.says:
            yield found
        else:
            # Many look before they start it for the first time.
            says = f"{base}/health/ cannot be reached from here: {found.says}"
            yield Finding(what, "warning", says, _START)
        return
    if not _is_ours(response):
        yield Finding(
            what,
            "problem",
            f"{base}/health/ is answered by something else (HTTP {response.status}, {_kind(response)})",
            f"{_START}; if it runs there, the proxy in front must hand on everything below {settings.prefix}",
        )
        return
    yield from _check_login(settings, providers, transport)
    yield _check_header_limit(settings, transport, base, usual=response.status)
    yield from transport.certificates(what)


def _is_ours(response: Response) -> bool:
    """Return whether a response has the headers that each of ours carries."""
    headers = response.headers
    return (
        headers.get("content-security-policy", "").startswith("default-src 'none'")
        and headers.get("cache-control") == "no-store"
        and headers.get("referrer-policy") == "no-referrer"
    )


def _kind(response: Response) -> str:
    return response.content_type or "no content"


def _check_login(
    settings: Settings, providers: Iterable[str], transport: NotingTransport
) -> Iterator[Finding]:
    urls = Urls(settings)
    for name in providers:
        what = f"public_url: login/{name}/"
        try:
            response = transport.get_json(str(urls.login(name)), limit=_PAGE, headers={"Accept": "text/html"})
        except _Failure as error:
            yield failure(what, error)
            continue
        location = response.headers.get("location", "")
        sent = parse_qs(urlsplit(location).query).get("redirect_uri", [""])[0]
        if not 300 <= response.status < 400:
            yield Finding(
                what,
                "warning",
                f"a sign-in does not begin there (HTTP {response.status})",
                "look for login_failed in the audit log of the server",
            )
        elif sent != urls.callback(name):
            yield Finding(
                what,
                "problem",
                f"the server that answers sends the redirect URI {sent[:200]!a}, and this file says "
                f"{urls.callback(name)}: it has other settings",
                "restart it with this file",
            )
        else:
            yield Finding(what, "ok", "a sign-in begins there, with the redirect URI of this file")
            yield _check_cookie(settings, response)


def _check_cookie(settings: Settings, response: Response) -> Finding:
    what, cookie = "public_url: cookies", response.headers.get("set-cookie", "")
    flags = {part.strip().lower() for part in cookie.split(";")[1:]}
    wanted = {"httponly", "samesite=lax", "path=/", *(["secure"] if settings.secure else [])}
    if not cookie:
        return Finding(
            what,
            "problem",
            "the cookie of a sign-in does not arrive: something on the way takes Set-Cookie out",
            "let the proxy in front hand Set-Cookie on, and store no page of ours",
        )
    prefix = "__Host-" if settings.secure else ""
    missing = sorted(wanted - flags)
    if not cookie.startswith(f"{prefix}{settings.cookie_name}"):
        missing.append(f"the name {prefix}{settings.cookie_name}...")
    if missing or any(flag.startswith("domain=") for flag in flags):
        return Finding(
            what,
            "problem",
            f"something on the way changes them: {', '.join(missing) or 'Domain is added'}",
            "take out what rewrites cookies in the proxy (proxy_cookie_path, proxy_cookie_domain, Header edit)",
        )
    return Finding(
        what, "ok", "they arrive as they were sent: HttpOnly, SameSite=Lax, the whole host's alone"
    )


def _check_header_limit(settings: Settings, transport: NotingTransport, base: str, *, usual: int) -> Finding:
    """Return whether a ``Cookie`` header as long as ours can become gets through.

    :param usual: the status that the request has without it.
    """
    what = "public_url: header limits"
    size = _SIGN_INS + (settings.session_max_bytes if settings.session is None else _HANDLE)
    filler = re.sub(r"[^A-Za-z0-9]", "", settings.cookie_name) or "c"
    cookies = "; ".join(f"{filler}-check-{n}={'x' * 3000}" for n in range(size // 3000 + 1))[:size]
    try:
        response = transport.get_json(f"{base}/health/", limit=_PAGE, headers={"Cookie": cookies})
        reached, says = response.status == usual, f"HTTP {response.status}"
    except _Failure as error:
        reached, says = False, error.detail
    if reached:
        return Finding(what, "ok", f"a Cookie header of {size} bytes gets through")
    return Finding(
        what,
        "problem",
        f"a Cookie header of {size} bytes, as long as ours can become, is refused: {says}",
        "let each server on the way take 16 KiB (large_client_header_buffers, LimitRequestFieldSize, "
        "limit_request_field_size, buffer-size), or keep sessions in a store",
    )
