"""The way out to a provider: the challenge, the login page, and the redirect with which an attempt begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from webob import Request, Response

from oauth2_mw.credentials.credential_paths import CredentialPaths
from oauth2_mw.errors import (
    BadRequestError,
    LoginLoopError,
    MountNotNamedError,
    MountNotStrippedError,
    OAuth2Error,
    SwitchedOffError,
)
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.demand import NO_DEMAND, Demand
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.cookies import Cookies
from oauth2_mw.session.model import SessionRef
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.text import shown
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.forms import LoginLink, login_link, require_method
from oauth2_mw.web.http.languages import accepted_languages
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.pages.pages import LoginButton, Pages
from oauth2_mw.web.signin.attempt import Attempt, Attempts
from oauth2_mw.web.signin.challenge import (
    NOT_TAKEN,
    Environ,
    is_foreign_frame,
    is_navigation,
    is_top_level,
    program_challenge,
    sends,
    unauthorized,
)
from oauth2_mw.web.signin.destinations import LOST, Destinations


class SignInFailedError(Exception):
    """A failure on the way in, and what the page about it needs to know.

    :param destination: where the person wanted to go.
    :param attempt: the attempt that failed; ``None`` before one is begun.
    :param cookies: ``Set-Cookie`` values that close the attempt.
    """

    def __init__(
        self,
        error: Exception,
        *,
        destination: str | None = None,
        attempt: Attempt | None = None,
        cookies: Iterable[str] = (),
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.destination = destination
        self.attempt = attempt
        self.cookies = cookies


class Login:
    """The login URLs of one application, and the challenge for its own.

    :param clients: returns the client of a provider, by its NAME.
    :param serving: where other credentials than a session serve.
    """

    def __init__(
        self,
        settings: Settings,
        attempts: Attempts,
        urls: Urls,
        pages: Pages,
        *,
        cookies: Cookies,
        destinations: Destinations,
        clients: Callable[[str], ProviderClient],
        serving: CredentialPaths,
    ) -> None:
        self._settings = settings
        self._attempts = attempts
        self._urls = urls
        self._pages = pages
        self._cookies = cookies
        self._destinations = destinations
        self._clients = clients
        self._serving = serving

    def challenge(
        self,
        environ: Environ,
        current: RequestSession,
        destination: str | None,
        *,
        told: str = NOT_TAKEN,
    ) -> Response:
        """Answer a request that needs a session and has none.

        :param destination: where the person wanted to go.
        :param told: what they read if they have sent something.
        :raises SignInFailedError: when no sign-in can begin.
        """
        kept = destination
        try:
            if not self._settings.providers:
                raise SwitchedOffError("no provider is enabled")
            if self._urls.is_mount_in_path_info(environ.get("PATH_INFO", "")):
                raise MountNotStrippedError(
                    f"PATH_INFO begins with {self._settings.mount + self._settings.prefix!r}: have the server set "
                    f"SCRIPT_NAME, or strip the mount {self._settings.mount!r} in front of it"
                )
            if not is_navigation(environ):
                challenge = program_challenge(environ, self._urls, self._serving)
                return unauthorized(self._urls, destination, challenge=challenge)
            self._check_mount(environ)
            if is_foreign_frame(environ):
                # No attempt would come back from there, and most providers refuse to be framed.
                html = self._pages.framed_login(url=self._urls.to_destination(destination))
                return responses.frameable_page(html, ancestors=["*"], status=401)
            if self._attempts.is_login_loop(current.cookies):
                raise LoginLoopError(
                    "three sign-ins within a minute left no session: is its cookie dropped on the way, or does another "
                    "application on this host have the same cookie_name?"
                )
            names = list(self._settings.providers)
            kept = self._destinations.keep(destination, current.cookies, provider=_only(names))
            message = LOST if kept is None else told if sends(environ) else None
            if message is None and len(names) == 1 and not self._settings.login_page:
                if self._must_ask_for_fragment(environ, kept):
                    return self._ask_for_fragment(names[0], kept)
                return self.begin(names[0], kept, current, languages=accepted_languages(environ))
            # Not a 200: to monitors and caches that would be the application's own page.
            return self._offer(names, kept, current, message=message, status=401)
        except Exception as error:
            raise SignInFailedError(error, destination=kept) from error

    def _must_ask_for_fragment(self, environ: Environ, destination: str | None) -> bool:
        """Return whether a browser is asked for what stands behind ``#``, which it sends to no server."""
        return (
            self._settings.keep_fragment
            and not sends(environ)
            and is_top_level(environ)
            and self._destinations.fits_into_link(destination)
        )

    def _ask_for_fragment(self, name: str, destination: str | None) -> Response:
        html = self._pages.going_on(
            url=self._destinations.login_url(name, destination), script_url=self._urls.fragment_script
        )
        return responses.page(html, status=401)

    def step_up(
        self, environ: Environ, current: RequestSession, demand: Demand, destination: str | None
    ) -> Response | None:
        """Begin the sign-in that a page asks for; ``None`` where it cannot begin, or has just been to no avail.

        :param destination: of that page.
        :raises ProviderUnavailableError: as :meth:`begin` does.
        :raises MountNotNamedError: where its answer would not come back here.
        """
        session = current.session
        if session is None or not is_navigation(environ) or is_foreign_frame(environ):
            return None
        name = session.identity.provider
        if not self._settings.providers[name].is_oidc:
            return None
        is_met = not demand.acr_values or session.identity.acr in demand.acr_values
        was_in_vain = is_met and self._attempts.has_just_met(
            demand, current.cookies, signed_in_at=session.created_at
        )
        if was_in_vain or self._attempts.is_login_loop(current.cookies):
            return None
        self._check_mount(environ)
        kept = self._destinations.keep(destination, current.cookies, provider=name)
        return self.begin(name, kept, current, languages=accepted_languages(environ), demand=demand)

    def _check_mount(self, environ: Environ) -> None:
        """Refuse to begin a sign-in whose answer would not come back here.

        :raises MountNotNamedError: where the server has another mount than ``public_url``.
        """
        script_name, mount = environ.get("SCRIPT_NAME", ""), self._settings.mount
        if script_name in ("", mount):
            return
        named = f"ends in the mount {mount!r}" if mount else "names no mount"
        raise MountNotNamedError(
            f"the server says SCRIPT_NAME = {shown(script_name)}, and public_url {named}, so that the provider's "
            "answer would go to another application: write the address at which browsers find this one, like "
            f"public_url = {shown(self._urls.origin + '/' + script_name.strip('/'))}, or correct SCRIPT_NAME"
        )

    def answer(self, request: Request, current: RequestSession, *, name: str | None = None) -> Response:
        """``login/`` and ``login/NAME/``: begin a sign-in, at a provider of the person's choice if several are left.

        A third party may begin it as well, by GET or POST (OpenID Connect Core, section 4): ``iss`` says at which
        provider. Whoever is signed in there already goes on to the destination.

        :param name: of the only provider that is meant.
        :raises MethodNotAllowedError: for anything but GET, HEAD, and a third party's POST.
        :raises BadRequestError: when the query or form cannot be read, or no such provider has that issuer.
        """
        require_method(request, "GET", "HEAD", "POST")
        link = login_link(request, self._urls)
        if not self._settings.providers:
            raise SwitchedOffError("no provider is enabled")
        names = self._names(name, link.issuer)
        if not is_top_level(request.environ):
            # A picture on some page would begin attempts until no server reads this browser's cookies any more.
            return unauthorized(self._urls, link.destination)
        if link.issuer is not None:
            if request.method == "POST":
                # The form of another site comes without the session's cookie, which is SameSite=Lax.
                return responses.redirect(
                    self._urls.initiated_login(
                        name, issuer=link.issuer, destination=link.destination, login_hint=link.login_hint
                    )
                )
            user = None if current.session is None else current.session.identity
            if user is not None and user.provider in names and user.issuer == link.issuer:
                return responses.redirect(self._urls.to_destination(link.destination))
        require_method(request, "GET", "HEAD")
        destination = self._wanted(link)
        try:
            return self._begin_or_offer(names, destination, link, request, current, name=name)
        except OAuth2Error as error:
            raise SignInFailedError(error, destination=destination) from error

    def wanted(self, request: Request) -> str | None:
        """Return the destination that a link to our login names, as far as it can be read."""
        if request.method not in ("GET", "HEAD"):
            return None
        try:
            return self._wanted(login_link(request, self._urls))
        except BadRequestError:
            return None

    def _wanted(self, link: LoginLink) -> str | None:
        if link.sealed is None:
            return self._urls.with_fragment(link.destination, link.fragment)
        destination = self._destinations.open(link.sealed)
        return None if destination is None else self._urls.with_fragment(destination, link.fragment)

    def _begin_or_offer(
        self,
        names: list[str],
        destination: str | None,
        link: LoginLink,
        request: Request,
        current: RequestSession,
        *,
        name: str | None,
    ) -> Response:
        if destination is not None or link.sealed is not None:
            destination = self._destinations.keep(destination, current.cookies, provider=_only(names))
        # What a link says may be nobody's wish; what this browser asked of us is the person's.
        is_lost = link.sealed is not None and destination is None
        offers = self._settings.login_page and name is None and link.issuer is None
        if len(names) == 1 and not (offers or is_lost):
            return self.begin(
                names[0],
                destination,
                current,
                login_hint=link.login_hint,
                languages=accepted_languages(request.environ),
                demand=Demand(another_account=link.another_account),
            )
        return self._offer(
            names,
            destination,
            current,
            message=LOST if is_lost else None,
            login_hint=link.login_hint,
            another_account=link.another_account,
        )

    def _names(self, name: str | None, issuer: str | None) -> list[str]:
        """Return the providers at which a sign-in may begin.

        :raises BadRequestError: ``unknown_issuer``.
        """
        names = [
            each.name
            for each in self._settings.providers.values()
            if name in (None, each.name) and issuer in (None, *each.issuers)
        ]
        if not names:
            raise BadRequestError(
                f"iss is {shown(issuer)}, which is the issuer of no provider here", code="unknown_issuer"
            )
        return names

    def _offer(
        self,
        names: list[str],
        destination: str | None,
        current: RequestSession,
        *,
        message: str | None = None,
        login_hint: str | None = None,
        another_account: bool = False,
        status: int = 200,
    ) -> Response:
        """Show the page with the buttons of some providers, the one that this browser used last before the others.

        :param message: what there is to say first.
        :param status: 401 for a page that stands in the place of another.
        """
        last = self._cookies.last_provider(current.cookies) if len(names) > 1 else None
        buttons = [
            LoginButton(
                self._settings.providers[name].label,
                self._destinations.login_url(
                    name, destination, login_hint=login_hint, another_account=another_account
                ),
                self._urls.icon(name) if self._settings.providers[name].icon is not None else None,
                last_used=name == last,
            )
            for name in sorted(names, key=lambda name: name != last)
        ]
        script = self._urls.fragment_script if self._settings.keep_fragment else None
        html = self._pages.login(buttons=buttons, message=message, script_url=script)
        return responses.page(html, status=status)

    def begin(
        self,
        provider: str,
        destination: str | None,
        current: RequestSession,
        *,
        restarts: int = 0,
        login_hint: str | None = None,
        languages: tuple[str, ...] = (),
        previous_session: SessionRef | None = None,
        demand: Demand = NO_DEMAND,
    ) -> Response:
        """Redirect the browser to a provider.

        :param restarts: how often this sign-in has been begun anew.
        :param previous_session: that of the attempt before, where the request has come without the session's cookie.
        :param languages: those that the person reads, for the provider's pages.
        :param login_hint: who is about to sign in, for the provider's form (OpenID Connect Core, section 3.1.2.1).
        :param demand: what is asked for beyond the provider's settings.
        :raises ProviderUnavailableError: when the provider's metadata is needed and cannot be fetched.
        """
        try:
            attempt, state, cookies = self._attempts.begin(
                provider,
                destination or self._urls.home_path,
                current.cookies,
                restarts=restarts,
                previous_session=current.session.ref if current.session is not None else previous_session,
                demand=demand,
            )
            client = self._clients(provider)
            url = client.authorization_url(
                state=state,
                nonce=attempt.nonce,
                code_verifier=attempt.code_verifier,
                login_hint=login_hint,
                languages=languages,
                # A sign-in that begins anew by itself has shown the person nothing yet.
                interactive=restarts > 0,
                demand=demand,
            )
            location = self._urls.to_provider(url, endpoint=client.authorization_endpoint())
        except OAuth2Error as error:
            error.provider = provider
            raise
        return responses.redirect(location, cookies=cookies)


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None
