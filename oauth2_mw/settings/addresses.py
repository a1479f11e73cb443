"""Reading URLs and paths, checked once, so that nothing built from them needs checking again.

No message repeats the URL: one that was written wrongly may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from oauth2_mw.boundary import is_ambiguous_path
from oauth2_mw.settings.tenants import PLACEHOLDER

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_BRACKETED = re.compile(r"(?:[^\[\]]*@)?\[[^\[\]]*\](?::[0-9]*)?")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
_PASSWORD = re.compile(r"://[^/?#\s]*@|[?&](?:password|passwd|pwd)=", re.IGNORECASE)
#: white space of any script and control characters
_BLANK = re.compile(r"[\x00-\x20\x7f\s]")
#: The characters of a URL (RFC 3986); all others are percent-encoded.
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
#: what a placeholder is read as while the rest of an issuer is checked
_ANY_TENANT = "any-tenant"
DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_public_url(text: str) -> str:
    """Return ``public_url`` in one spelling: scheme and host in lower case, no slash at the end.

    :raises ValueError: if it is not an http or https URL with at most a path.
    """
    parts = _split(text)
    if "?" in text:
        raise ValueError("a query (?) is not allowed here: write scheme, host and mount alone")
    if parts.port is not None and parts.port == DEFAULT_PORTS[parts.scheme]:
        raise ValueError(f"{parts.port} is the port of {parts.scheme} anyway: leave it out, as browsers do")
    path = parts.path.rstrip("/")
    if path:
        _check_path(path)
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def parse_origin(text: str) -> str:
    """Return an origin as browsers spell it (RFC 6454, section 6.2).

    :raises ValueError: if it is not scheme, host and, where it is not the scheme's own, port.
    """
    if text in ("*", "null"):
        raise ValueError(f"{text} stands for anybody: write each origin, like https://spa.example.com")
    origin = parse_public_url(text)
    if origin != text.lower() or urlsplit(origin).path:
        raise ValueError(
            "an origin is scheme, host and port, without a slash after it, like https://spa.example.com"
        )
    return origin


def parse_prefix(text: str) -> str:
    """Return ``prefix``, which starts with a slash and ends without one.

    :raises ValueError: if it is the root, or a segment would need encoding.
    """
    path = text.rstrip("/")
    if not path:
        raise ValueError(
            "the prefix cannot be the root, where the application is: write a path like /auth/oauth2"
        )
    if not path.startswith("/"):
        raise ValueError("the prefix starts with /, like /auth/oauth2")
    _check_path(path)
    return path


def parse_callback_path(text: str) -> str:
    """Return ``callback_path`` unchanged: it is compared as it is written.

    :raises ValueError: if it is the root, a URL, or a path that could be read in two ways.
    """
    if not text.startswith("/"):
        raise ValueError(
            "this is a path of the application below public_url, without scheme and host, like /oidc/callback"
        )
    if text == "/":
        raise ValueError("the callback cannot be the front page: write a path like /oidc/callback")
    _check_path(text.removesuffix("/"))
    if is_ambiguous_path(text):
        raise ValueError("there is a segment of dots alone in the path")
    return text


def _check_path(path: str) -> None:
    for segment in path[1:].split("/"):
        if segment in ("", ".", "..") or _SEGMENT.fullmatch(segment) is None:
            raise ValueError(
                "each segment of the path is made of letters, digits, - . _ ~ and is not . or .."
            )


def parse_endpoint(text: str) -> str:
    """Return an endpoint of a provider; a query is kept (RFC 6749, section 3.1).

    :raises ValueError: if it is not an http or https URL.
    """
    _split(text)
    return text


def parse_issuer(text: str) -> str:
    """Return an issuer unchanged, because it is compared byte by byte (OpenID Connect Discovery, section 4.3).

    :raises ValueError: if it is not an http or https URL, or has a query, which an issuer never has (section 2); and if
        the placeholder of a tenant is anything but one whole segment of its path.
    """
    parts = _split(text.replace(PLACEHOLDER, _ANY_TENANT))
    if text.count(PLACEHOLDER) != parts.path.split("/").count(_ANY_TENANT) or text.count(PLACEHOLDER) > 1:
        raise ValueError(f"{PLACEHOLDER} stands for one whole segment of the path, once")
    if "?" in text:
        raise ValueError("an issuer has no query (?): it is the URL before /.well-known/openid-configuration")
    if "/.well-known/" in text:
        raise ValueError("write the issuer alone: it ends before /.well-known/")
    return text


def parse_proxy(text: str) -> str:
    """Return the URL of a proxy; it may hold a user name and a password.

    :raises ValueError: if it is not an http or https URL with host and port alone.
    """
    parts = _split(text, userinfo=True)
    if parts.path not in ("", "/") or "?" in text:
        raise ValueError("a proxy is a scheme, a host and a port, like http://proxy.example.com:3128")
    return text


def _split(text: str, *, userinfo: bool = False) -> SplitResult:
    if _BLANK.search(text) is not None:
        raise ValueError("there is white space or a control character in the URL")
    if not text.isascii():
        raise ValueError("the URL is not ASCII: write the host in its xn-- form, and %-encode the rest")
    if _URL_CHARACTERS.fullmatch(text) is None:
        raise ValueError(
            "there is a character in the URL that is not allowed there, like a backslash, quote or brace"
        )
    try:
        parts = urlsplit(text)
        port = parts.port
        if "[" in parts.netloc:
            # The standard library ignores what is before or after the brackets.
            if _BRACKETED.fullmatch(parts.netloc) is None:
                raise ValueError
            ipaddress.IPv6Address(parts.hostname or "")
    except ValueError:
        raise ValueError("the URL cannot be read: look at its host and port") from None
    if parts.scheme not in DEFAULT_PORTS or not text[len(parts.scheme) :].startswith("://"):
        raise ValueError("write a whole URL that starts with https:// (or http:// on loopback)")
    if "#" in text:
        raise ValueError("a fragment (#) is not allowed here: leave it out")
    if "@" in parts.netloc and not userinfo:
        raise ValueError("a user name or password (before @) is not allowed here: leave it out")
    if parts.netloc.endswith(":") or port == 0:
        raise ValueError("a colon after the host needs a port behind it, 1 to 65535")
    check_host(parts.hostname or "", bracketed="[" in parts.netloc)
    return parts


def check_host(host: str, *, bracketed: bool) -> None:
    """Check a host name (lower case) or an IP address.

    :param bracketed: whether it was in brackets, as IPv6 addresses are; the caller has read it as one.
    :raises ValueError: if it is not valid.
    """
    if not host:
        raise ValueError("the URL has no host")
    if bracketed:
        if "%" in host:
            raise ValueError("an IPv6 zone (%) is not allowed in a URL")
        return
    if len(host) > 253 or _HOST.fullmatch(host) is None:
        raise ValueError("the host is not a valid host name: letters, digits, - and dots")
    if host.rpartition(".")[2].isdigit():
        # Programs disagree about 127.1 and 2130706433; only the dotted form of four is the same to all.
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError("the host ends in a number and is not an IPv4 address of four numbers") from None


def is_loopback(host: str) -> bool:
    """Return whether *host* (lower case, without brackets) is this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # Versions of Python disagree about ::ffff:127.0.0.1, and so do systems about where it leads.
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def is_exposed(url: str) -> bool:
    """Return whether a checked *url* sends its bytes in the clear over a network: http, and not to this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def origin_of(url: str) -> str:
    """Return scheme and authority of a checked URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def may_hold_password(text: str) -> bool:
    """Return whether there may be a password in the URL of a database or a store."""
    return _PASSWORD.search(text) is not None
