"""Which request a proxy asks about: told in headers that count from trusted peers alone, and once.

A client can send the same headers. A proxy that forgets to overwrite one passes the client's on, so that nothing here
has a default: what is missing, comes twice or is of another host is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from oauth2_mw.boundary import is_ambiguous_path, normalised_key, path_readings
from oauth2_mw.errors import ForwardAuthError, OddPathError
from oauth2_mw.settings.addresses import DEFAULT_PORTS
from oauth2_mw.settings.forward_auth import ORIGINAL_URL
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.proxy_headers import environ_key
from oauth2_mw.settings.text import shown
from oauth2_mw.web.http.peers import Peers
from oauth2_mw.web.http.urls import Urls

# RFC 9110, section 9.1; without the comma that would join two.
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}")
# Servers join the values of a repeated header by commas. The proxy's own value begins with a slash, or with a scheme.
_TWO_URIS = re.compile(r",(?:[/\s]|(?:https?|wss?):|[a-z][a-z0-9+.-]*://)", re.IGNORECASE)

_CURE = "have the proxy write it over whatever the client sent, and see forward_auth_headers"


@dataclass(frozen=True, slots=True)
class OriginalRequest:
    """The request of a browser or program, which the proxy holds until it is answered."""

    method: str
    #: what ``PATH_INFO`` would be here: below the mount, percent-decoded once, octets read as Latin-1
    path: str
    query: str
    #: path and query as they came to the proxy
    uri: str


class OriginalRequests:
    """Reads what proxies tell.

    :param peers: whose word counts.
    """

    def __init__(self, settings: Settings, urls: Urls, peers: Peers) -> None:
        self._headers = settings.forward_auth_headers
        self._peers = peers
        self._scheme, _, self._host = settings.origin.partition("://")
        self._mount = settings.mount
        self._odd_paths = tuple(path.native for path in settings.odd_paths)
        self._own_path = settings.prefix
        self._callbacks = frozenset(urls.callback_suffixes())

    def read(self, environ: Mapping[str, Any]) -> OriginalRequest:
        """Return the request that a proxy asks about.

        :raises ForwardAuthError: when the proxy is not trusted, or what it tells cannot be believed.
        :raises OddPathError: when programs could disagree on where the path leads.
        """
        if not self._peers.is_trusted(environ):
            raise ForwardAuthError(
                f"{shown(environ.get('REMOTE_ADDR'))} asks about a request and is not among trusted_peers: if it is "
                "the proxy, name it there"
            )
        told = _Told(environ)
        method = told.one(self._headers.method)
        if _METHOD.fullmatch(method) is None:
            raise ForwardAuthError(f"{self._headers.method} is {shown(method)}, which is not one method")
        uri = self._uri(told)
        path, _, query = uri.partition("?")
        if _TWO_URIS.search(uri):
            raise ForwardAuthError(f"what follows {shown(path)} looks like a second address; {_CURE}")
        return OriginalRequest(method, self._below_mount(path), query, uri)

    def _uri(self, told: _Told) -> str:
        """Return path and query, as they were asked of the host of ``public_url``."""
        headers = self._headers
        if not told.has(ORIGINAL_URL):
            if headers.host is not None:
                self._check_host(headers.host, told.one(headers.host))
            return told.one(headers.uri)
        # The whole address in one header stands for both, and nothing else may say otherwise.
        if headers.uri.lower() != ORIGINAL_URL.lower() and told.has(headers.uri):
            raise ForwardAuthError(f"{headers.uri} and {ORIGINAL_URL} are both there; {_CURE}")
        if headers.host is not None and told.has(headers.host):
            self._check_host(headers.host, told.one(headers.host))
        scheme, _, rest = told.one(ORIGINAL_URL).partition("://")
        host, slash, path = rest.partition("/")
        if scheme.lower() != self._scheme:
            raise ForwardAuthError(
                f"{ORIGINAL_URL} begins with {shown(scheme)}, and not with {self._scheme}://"
            )
        self._check_host(ORIGINAL_URL, host)
        return slash + path

    def _check_host(self, header: str, host: str) -> None:
        """Check that *host*, with a port or without, is the one of ``public_url``."""
        if host.lower().removesuffix(f":{DEFAULT_PORTS[self._scheme]}") != self._host:
            raise ForwardAuthError(
                f"{header} names the host {shown(host)}, and public_url {self._host}: each host has its own settings"
            )

    def _below_mount(self, raw_path: str) -> str:
        """Return ``PATH_INFO`` for a path whose octets are percent-encoded."""
        path = unquote_to_bytes(raw_path.encode("latin-1", "replace")).decode("latin-1")
        if not path.startswith("/") or not f"{path}/".startswith(f"{self._mount}/"):
            raise ForwardAuthError(
                f"{shown(raw_path)} is not below the path of public_url: have the proxy tell the address as it came"
            )
        path = path[len(self._mount) :]
        if self._is_odd(path):
            error = OddPathError(
                f"a proxy asks about {shown(path)}, which programs read in several ways; if the application behind it "
                "has such paths, name their subtree in odd_paths"
            )
            error.status = 403
            raise error
        if f"{path}/".startswith(f"{self._own_path}/") or path in self._callbacks:
            raise ForwardAuthError(
                f"{shown(path)} is an address of ours: have the proxy pass it on here without asking"
            )
        return path

    def _is_odd(self, path: str) -> bool:
        """Return whether nobody can say where a path leads. In ``odd_paths`` each of its readings is judged."""
        if not path or not is_ambiguous_path(path):
            return False
        return not (path.startswith(self._odd_paths) and path_readings(path))


class _Told:
    """The headers of a request, under names that servers could take for one another."""

    def __init__(self, environ: Mapping[Any, Any]) -> None:
        self._values: dict[str, list[str]] = {}
        for key, value in environ.items():
            if isinstance(key, str) and isinstance(value, str):
                self._values.setdefault(normalised_key(key), []).append(value)

    def has(self, header: str) -> bool:
        return environ_key(header) in self._values

    def one(self, header: str) -> str:
        """Return the value of a header.

        :raises ForwardAuthError: when it is missing, or there more than once.
        """
        values = self._values.get(environ_key(header), [])
        if len(values) != 1:
            raise ForwardAuthError(f"{header} is {'there more than once' if values else 'missing'}; {_CURE}")
        return values[0]
