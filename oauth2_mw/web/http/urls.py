"""Every address that this package sends out: our own URLs, and each ``Location``.

Our own start with ``public_url``, whatever a request's ``Host`` says. A :data:`Location` is made only here, from a path
that the destination validator passed or from an endpoint of a configured provider; the type checker enforces it.
"""

from __future__ import annotations

from typing import NewType
from urllib.parse import quote, urlencode, urlsplit

from oauth2_mw.boundary import asked_destination, safe_destination, safe_fragment
from oauth2_mw.errors import ProviderError
from oauth2_mw.settings.model import ProviderSettings, Settings

Location = NewType("Location", str)

#: The provider that is written in ``[oauth2_mw]`` itself; its URLs have no name in them.
DEFAULT = "default"
#: ``prompt`` in a link to our login by which the person chooses an account (OpenID Connect Core, section 3.1.2.1).
SELECT_ACCOUNT = "select_account"

#: The parameter, beside the application's own, in the address at which a kept form is offered and sent.
FORM = "oauth2_mw_form"


def without_fragment(destination: str) -> str:
    """Return a destination without what stands behind ``#``."""
    return destination.partition("#")[0]


def form_ids(query: str) -> list[str]:
    """Return the values of that parameter in a query string, as they stand there."""
    return [part.partition("=")[2] for part in query.split("&") if part.startswith(f"{FORM}=")]


def own_path(page: str, *, mount: str, destination: str | None) -> str:
    """Return the path of one of our own URLs as it is by default, where no middleware says what it is.

    :param page: ``login`` or ``logout``.
    :param mount: ``SCRIPT_NAME``.
    """
    prefix = quote(mount, encoding="latin-1") + "/auth/oauth2"
    kept = safe_destination(destination, origin="http://localhost", mount=mount, own_prefix=prefix)
    return f"{prefix}/{page}/" + (f"?next={quote(kept)}" if kept is not None else "")


class Urls:
    """The addresses of one application."""

    def __init__(self, settings: Settings) -> None:
        self.public_url: str = settings.public_url
        self.base: str = settings.public_url + settings.prefix
        #: scheme, host and port of ``public_url``
        self.origin: str = settings.origin
        self._origin = self.origin
        self._mount = settings.mount
        #: the path of ``public_url`` itself, where a sign-in without a destination ends
        self.home_path: str = settings.mount + "/"
        self._prefix = settings.prefix
        self._own_prefix = settings.mount + settings.prefix
        #: NAME -> ``PATH_INFO`` of a callback outside ``prefix``
        self._callback_paths = {
            name: provider.callback_path
            for name, provider in settings.providers.items()
            if provider.callback_path is not None
        }
        #: those callbacks as a browser sees them
        self._own_paths = frozenset(settings.mount + path for path in self._callback_paths.values())
        #: the path of the sessions page, as a browser sees it
        self.sessions_path: str = self._own_prefix + "/sessions/"
        #: the path of the tokens page, and of what is shown there after one more sign-in
        self.tokens_path: str = self._own_prefix + "/tokens/"
        self.tokens_again: str = self.tokens_path + "?again=1"
        self._keeps_fragments = settings.keep_fragment
        self._pages = (self.sessions_path, self.tokens_path, self.tokens_again)

    # Our own URLs

    @property
    def home(self) -> str:
        """The URL of the application's front page."""
        return self.public_url + "/"

    def login(
        self,
        name: str | None = None,
        *,
        destination: str | None = None,
        sealed: str | None = None,
        login_hint: str | None = None,
        another_account: bool = False,
    ) -> Location:
        """Return the URL where a sign-in starts: at the provider of that *name*, or at the page with the buttons.

        :param sealed: the destination, if it is one that may not travel openly; it takes the place of *destination*.
        :param another_account: whether the person is to choose who they are.
        """
        path = f"{self.base}/login/" if name is None else f"{self.base}/login/{name}/"
        plain = self._unless_home(self.destination(destination)) if sealed is None else None
        prompt = SELECT_ACCOUNT if another_account else None
        fragment = self._fragment(destination) if sealed is None else None
        query = self._query(next=plain, asked=sealed, fragment=fragment, login_hint=login_hint, prompt=prompt)
        return Location(path + query)

    def initiated_login(
        self, name: str | None, *, issuer: str, destination: str | None, login_hint: str | None
    ) -> Location:
        """Return the URL where a sign-in starts that a third party begins (OpenID Connect Core, section 4)."""
        parameters = self._query(
            iss=issuer, target_link_uri=self._unless_home(destination), login_hint=login_hint
        )
        return Location(self.login(name) + parameters)

    def callback(self, name: str) -> str:
        """Return the redirect URI to register at a provider. Each has its own (RFC 9700, section 4.4.2.2)."""
        path = self._callback_paths.get(name)
        return self._provider_url(name, "login/callback") if path is None else self.public_url + path

    def callback_suffixes(self) -> dict[str, str]:
        """Return what stands for each callback outside ``prefix``: ``PATH_INFO`` -> our own path after ``prefix``."""
        own = len(self.base)
        return {
            path: self._provider_url(name, "login/callback")[own:]
            for name, path in self._callback_paths.items()
        }

    def logout(self, *, destination: str | None = None) -> str:
        """Return the URL where signing out starts."""
        return f"{self.base}/logout/" + self._query(next=self._unless_home(destination))

    @property
    def logout_done(self) -> Location:
        """The post-logout redirect URI to register at a provider."""
        return Location(f"{self.base}/logout/done/")

    def backchannel_logout(self, name: str) -> str:
        """Return the back-channel logout URI to register at a provider."""
        return self._provider_url(name, "backchannel-logout")

    def frontchannel_logout(self, name: str) -> str:
        """Return the front-channel logout URI to register at a provider."""
        return self._provider_url(name, "frontchannel-logout")

    def sessions(self, *, done: str | None = None) -> Location:
        """Return the URL of the page where a person sees where they are signed in.

        :param done: a word for what has just been done there.
        """
        return Location(f"{self.base}/sessions/" + self._query(done=done))

    def tokens(self, *, done: str | None = None) -> Location:
        """Return the URL of the page where a person makes and revokes tokens for their programs.

        :param done: a word for what has just been done there.
        """
        return Location(f"{self.base}/tokens/" + self._query(done=done))

    def icon(self, name: str) -> str:
        """Return the URL of a provider's icon."""
        return f"{self.base}/icon/{name}"

    @property
    def static(self) -> str:
        """The URL of the folder of static files, with a trailing slash."""
        return f"{self.base}/static/"

    @property
    def fragment_script(self) -> str:
        """The URL of the script that hands on what stands behind ``#``."""
        return f"{self.static}fragment.js"

    def _provider_url(self, name: str, path: str) -> str:
        return f"{self.base}/{path}/" if name == DEFAULT else f"{self.base}/{path}/{name}/"

    def _unless_home(self, destination: str | None) -> str | None:
        return None if destination == self.home_path else destination

    @staticmethod
    def _query(**parameters: str | None) -> str:
        present = {name: value for name, value in parameters.items() if value is not None}
        return "?" + urlencode(present, safe="/", quote_via=quote) if present else ""

    def leads_over_http(self, *providers: ProviderSettings) -> bool:
        """Return whether a redirect to one of *providers* and back may be over plain http.

        That is so on loopback, and where ``insecure_http`` allows it.
        """
        urls = [self.public_url]
        for provider in providers:
            urls += filter(None, (provider.issuer, provider.authorization_endpoint, provider.logout_endpoint))
        return any(url.startswith("http:") for url in urls)

    def is_mount_in_path_info(self, path: str) -> bool:
        """Return whether *path*, a ``PATH_INFO``, is one of our own that still begins with the mount."""
        is_own = path.startswith(self._own_prefix + "/") or path in self._own_paths
        return bool(self._mount) and is_own

    # Destinations
    #
    # One is a path that the strict judge passed; or, if it is what this browser asked for and only the other judge
    # passed it, an absolute URL of our origin.

    def destination(self, value: str | None) -> str | None:
        """Return the local path that *value* names, rebuilt, or ``None`` if it leads out of this application.

        Two pages are the only ones of our own URLs to which a person may return: the sessions and the tokens.
        """
        for page in self._pages:
            if value in (page, self._origin + page):
                return page
        return safe_destination(
            value,
            origin=self._origin,
            mount=self._mount,
            own_prefix=self._own_prefix,
            own_paths=self._own_paths,
        )

    def asked_destination(self, value: str) -> str | None:
        """Return the destination that stands for what a browser has just asked of us.

        :param value: path and query, as :func:`~oauth2_mw.boundary.browser_path` returns them.
        """
        asked = asked_destination(
            value, mount=self._mount, own_prefix=self._own_prefix, own_paths=self._own_paths
        )
        return asked if asked is None or asked == self.destination(asked) else self._origin + asked

    def with_fragment(self, destination: str | None, fragment: str | None) -> str | None:
        """Return a destination with what is to stand behind ``#`` there, if that is kept and may stand there.

        :param destination: ``None`` is the start page, if there is something to stand behind it.
        """
        kept = self._fragment(f"#{fragment}") if fragment else None
        if kept is None:
            return destination
        return f"{without_fragment(destination or self.home_path)}#{kept}"

    def _fragment(self, destination: str | None) -> str | None:
        if destination is None or not self._keeps_fragments:
            return None
        return safe_fragment(destination.partition("#")[2])

    @staticmethod
    def must_be_sealed(destination: str) -> bool:
        """Return whether a destination counts only while it comes from us."""
        return not destination.startswith("/")

    def to_destination(self, destination: str | None) -> Location:
        """Return the way back into the application.

        The destination is judged once more: an older version may have sealed it.
        """
        fragment = self._fragment(destination)
        if fragment is not None:
            return Location(f"{self.to_destination(without_fragment(destination or ''))}#{fragment}")
        if destination is not None and destination.startswith(self._origin + "/"):
            asked = self.asked_destination(destination[len(self._origin) :])
            if asked is not None:
                return Location(self._origin + asked.removeprefix(self._origin))
        return Location(self._origin + (self.destination(destination) or self.home_path))

    def with_slash(self, path_suffix: str, query: str) -> Location:
        """Return one of our own URLs with its trailing slash.

        :param path_suffix: what follows ``prefix``, one of the fixed names.
        :param query: the raw query string.
        """
        quoted = quote(query, safe="=&%+-._~:/?@!$'()*,;")
        return Location(f"{self.base}{path_suffix}/" + (f"?{quoted}" if quoted else ""))

    @staticmethod
    def to_provider(url: str, *, endpoint: str) -> Location:
        """Return the way to a provider. *url* must be its configured *endpoint* with a query.

        :raises ProviderError: when it is anything else.
        """
        same = urlsplit(url)[:3] == urlsplit(endpoint)[:3]  # scheme, host and path
        if not (same and url.isascii() and url.isprintable() and " " not in url and "\\" not in url):
            raise ProviderError(f"the address built for {endpoint!r} leads elsewhere", code="bad_endpoint")
        return Location(url)
