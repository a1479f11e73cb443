"""The parts of a sign-in, put together without a server: the provider alone is a stand-in that is asked directly.

That real providers are understood is shown elsewhere, over sockets.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from webob import Request, Response

from oauth2_mw.credentials.credential_paths import CredentialPaths
from oauth2_mw.identity.admission import Admission
from oauth2_mw.provider.client import Authentication, Tokens
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cookie_cache import NO_SESSION, RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.web.http.peers import Peers
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.pages.pages import Pages
from oauth2_mw.web.signin.attempt import Attempts
from oauth2_mw.web.signin.callback import Callback
from oauth2_mw.web.signin.destinations import Destinations
from oauth2_mw.web.signin.login import Login
from tests.support.clock import Clock
from tests.support.settings.minimal import make_settings

ISSUER = "https://id.example"


@dataclass
class AskedProvider:
    """In the place of a client: keeps what it is asked, and answers what a test has said."""

    clock: Clock
    asked: list[tuple[str, Any]] = field(default_factory=list)
    #: raised by the call of that name
    errors: dict[str, Exception] = field(default_factory=dict)
    authentication: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "42", "preferred_username": "jane"})

    def _note(self, name: str, what: Any) -> None:
        self.asked.append((name, what))
        if name in self.errors:
            raise self.errors[name]

    def authorization_url(self, **parameters: Any) -> str:
        self._note("authorization_url", parameters)
        return f"{ISSUER}/authorize?" + urlencode({"state": parameters["state"]})

    def authorization_endpoint(self) -> str:
        return f"{ISSUER}/authorize"

    def check_issuer(self, iss: str | None) -> None:
        self._note("check_issuer", iss)

    def place(self) -> AbstractContextManager[None]:
        return nullcontext()

    def redeem(self, **parameters: Any) -> Authentication:
        self._note("redeem", parameters)
        # The provider takes its time.
        self.clock.now += 7
        found: dict[str, Any] = {
            "issuer": ISSUER,
            "subject": "42",
            "claims": self.claims,
            "tokens": Tokens("id", "refresh", "access", int(self.clock()) + 300),
            "sid": "sid-1",
            "issued_at": int(self.clock()) - 3,
        }
        return Authentication(**(found | self.authentication))


class SignInParts:
    """The login and callback URLs of one application, and one browser.

    :param keys: settings, as ``Settings.from_mapping`` takes them.
    """

    def __init__(self, clock: Clock, **keys: Any) -> None:
        self.settings = make_settings(**{"issuer": ISSUER, "keep_tokens": "id access refresh", **keys})
        self.clock = clock
        self.provider = AskedProvider(clock)
        self.sessions = SessionManager(self.settings, clocks=Clocks(clock, clock))
        urls = Urls(self.settings)
        providers = self.settings.providers
        form_post = [name for name, each in providers.items() if each.response_mode == "form_post"]
        self.attempts = Attempts(
            self.sessions.sealer, self.sessions.cookies, form_post=form_post, clock=clock
        )
        clients: Any = self._client
        destinations = Destinations(urls, self.sessions.sealer, self.attempts)
        self.login = Login(
            self.settings,
            self.attempts,
            urls,
            Pages(static_url=urls.static, site="app.example"),
            cookies=self.sessions.cookies,
            destinations=destinations,
            clients=clients,
            serving=CredentialPaths.of(self.settings),
        )
        self.callback = Callback(
            self.settings,
            self.sessions,
            self.attempts,
            destinations=destinations,
            login=self.login,
            clients=clients,
            admission=Admission(self.settings, None),
            peers=Peers(self.settings.trusted_peers),
            clock=clock,
        )
        self.jar: dict[str, str] = {}

    def _client(self, name: str) -> AskedProvider:
        self.provider.asked.append(("client", name))
        return self.provider

    # The browser

    def take(self, cookies: list[str]) -> None:
        """Do what ``Set-Cookie`` headers say."""
        for line in cookies:
            name, _, value = line.partition(";")[0].partition("=")
            self.jar[name] = value
            if "Max-Age=0" in line:
                del self.jar[name]

    def current(self) -> RequestSession:
        """What the browser's cookies stand for."""
        header = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        return self.sessions.resolve(header) or NO_SESSION

    @property
    def user(self) -> str | None:
        """Whom the application would see."""
        session = self.current().session
        return None if session is None else session.identity.username

    def begin(self, destination: str = "/deep?x=1", *, provider: str = "default") -> dict[str, str]:
        """Begin a sign-in, and return the answer that the provider would give."""
        response = self.login.begin(provider, destination, self.current())
        self.take(response.headers.getall("Set-Cookie"))
        return {"state": state_of(response), "code": "code-1"}

    def answer(self, params: dict[str, str], *, name: str = "default", **more: Any) -> Response:
        """Bring an answer to the callback, and keep the cookies of the response."""
        response = self.callback.answer(request(params, **more), self.current(), name=name)
        self.take(response.headers.getall("Set-Cookie"))
        return response


def request(params: dict[str, str], *, method: str = "GET", **environ: Any) -> Request:
    """A request with parameters: in its query, or as a form where it is a POST."""
    found = {"REQUEST_METHOD": method, "HTTP_USER_AGENT": "Mozilla/5.0", "REMOTE_ADDR": "192.0.2.1"}
    if method == "POST":
        body = urlencode(params).encode()
        found |= {
            "wsgi.input": BytesIO(body),  # type: ignore[dict-item]
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
        }
    else:
        found["QUERY_STRING"] = urlencode(params)
    return Request(found | environ)


def state_of(response: Response) -> str:
    """The ``state`` with which a response sends a browser to the provider."""
    assert response.status_int == 303
    return dict(parse_qsl(urlsplit(response.location or "").query))["state"]
