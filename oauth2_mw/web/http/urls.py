"""Every address that leaves this package: our own URLs, and each ``Location``.

All of them start with ``public_url``, whatever a request's ``Host`` says. A :data:`Location` is made here alone, from a
path that the destination validator passed or from an endpoint of a configured provider; the type checker holds the
rest of the package to it.
"""

from __future__ import annotations

from typing import NewType
from urllib.parse import quote, urlencode, urlsplit

from oauth2_mw.boundary import safe_destination
from oauth2_mw.errors import ProviderError
from oauth2_mw.settings.model import ProviderSettings, Settings

Location = NewType("Location", str)

#: The provider that is written in ``[oauth2_mw]`` itself and keeps the nameless URLs.
DEFAULT = "default"


class Urls:
    """The addresses of one application."""

    def __init__(self, settings: Settings) -> None:
        self.public_url = settings.public_url
        self.base = settings.public_url + settings.prefix
        self._origin = settings.origin
        self._mount = settings.mount
        #: the path of ``public_url`` itself, where a sign-in without a destination ends
        self.home_path = settings.mount + "/"
        self._prefix = settings.prefix
        self._own_prefix = settings.mount + settings.prefix
        #: the path of the page with a person's sessions, as a browser sees it
        self.sessions_path = self._own_prefix + "/sessions/"

    # Our own URLs

    @property
    def home(self) -> str:
        """The application's front page."""
        return self.public_url + "/"

    def login(
        self, name: str | None = None, *, destination: str | None = None, login_hint: str | None = None
    ) -> Location:
        """Where a sign-in starts: the page with the buttons, or straight at one provider."""
        path = f"{self.base}/login/" if name is None else f"{self.base}/login/{name}/"
        return Location(path + self._query(next=self._worth_saying(destination), login_hint=login_hint))

    def callback(self, name: str) -> str:
        """The redirect URI to register at a provider. Each provider has its own (RFC 9700, section 4.4.2.2)."""
        return self._for(name, "login/callback")

    def logout(self, *, destination: str | None = None) -> str:
        """Where signing out starts."""
        return f"{self.base}/logout/" + self._query(next=self._worth_saying(destination))

    @property
    def logout_done(self) -> Location:
        """The post-logout redirect URI to register at a provider."""
        return Location(f"{self.base}/logout/done/")

    def backchannel_logout(self, name: str) -> str:
        """The back-channel logout URI to register at a provider."""
        return self._for(name, "backchannel-logout")

    def frontchannel_logout(self, name: str) -> str:
        """The front-channel logout URI to register at a provider."""
        return self._for(name, "frontchannel-logout")

    def sessions(self, *, done: str | None = None) -> Location:
        """The page where a person sees where they are signed in.

        :param done: a word for what has just been done there.
        """
        return Location(f"{self.base}/sessions/" + self._query(done=done))

    def icon(self, name: str) -> str:
        """A provider's picture."""
        return f"{self.base}/icon/{name}"

    @property
    def static(self) -> str:
        """The folder of the pages' style sheet, with a trailing slash."""
        return f"{self.base}/static/"

    def _for(self, name: str, path: str) -> str:
        """One of the URLs that every provider has of its own."""
        return f"{self.base}/{path}/" if name == DEFAULT else f"{self.base}/{path}/{name}/"

    def _worth_saying(self, destination: str | None) -> str | None:
        return None if destination == self.home_path else destination

    @staticmethod
    def _query(**parameters: str | None) -> str:
        written = {name: value for name, value in parameters.items() if value is not None}
        return "?" + urlencode(written, safe="/", quote_via=quote) if written else ""

    def leads_over_http(self, *providers: ProviderSettings) -> bool:
        """Whether the way from here to one of *providers* and back may be plain http.

        That is so on loopback, and where ``insecure_http`` says so.
        """
        addresses = [self.public_url]
        for each in providers:
            addresses += filter(None, (each.issuer, each.authorization_endpoint, each.logout_endpoint))
        return any(address.startswith("http:") for address in addresses)

    def mount_is_left(self, path: str) -> bool:
        """Whether a ``PATH_INFO`` is one of our own with the mount before it, which the server should have taken."""
        return self._own_prefix != self._prefix and path.startswith(self._own_prefix + "/")

    # Judging and building destinations

    def destination(self, value: str | None) -> str | None:
        """The local path that *value* asks for, built anew; ``None`` when it leads out of this application.

        Of our own URLs a person may come back to one alone: the page with their sessions.
        """
        if value in (self.sessions_path, self._origin + self.sessions_path):
            return self.sessions_path
        return safe_destination(value, origin=self._origin, mount=self._mount, own_prefix=self._own_prefix)

    def to_destination(self, destination: str | None) -> Location:
        """Back into the application. The path is judged once more: it may have been sealed by an older version."""
        return Location(self._origin + (self.destination(destination) or self.home_path))

    def with_slash(self, rest: str, query: str) -> Location:
        """The same address of ours with its trailing slash.

        :param rest: what follows ``prefix``, one of the fixed names.
        :param query: the raw query string.
        """
        kept = quote(query, safe="=&%+-._~:/?@!$'()*,;")
        return Location(f"{self.base}{rest}/" + (f"?{kept}" if kept else ""))

    @staticmethod
    def to_provider(url: str, *, endpoint: str) -> Location:
        """To a provider: *url* must be its configured *endpoint* with a query.

        :raises ProviderError: when it is anything else.
        """
        built, configured = urlsplit(url), urlsplit(endpoint)
        same = (built.scheme, built.netloc, built.path) == (
            configured.scheme,
            configured.netloc,
            configured.path,
        )
        if not (same and url.isascii() and url.isprintable() and " " not in url and "\\" not in url):
            raise ProviderError(f"the address built for {endpoint!r} leads elsewhere", code="bad_endpoint")
        return Location(url)
