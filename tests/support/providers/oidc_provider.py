"""npm ``oidc-provider``, a certified OpenID provider, as a person and as its administrator use it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.processes import Child
from tests.support.providers.clients import PASSWORD, SECRET, SECRETLESS, AuthMethod, Client
from tests.support.providers.control import control, pass_pages
from tests.support.providers.node import start_script
from tests.support.providers.plain_client import PlainClient

EventKind = Literal["refresh_granted", "refresh_refused", "revocation", "backchannel_logout"]
HoldStage = Literal["request", "response"]


class HeldRefreshes:
    """Refreshes of one client that wait at the provider."""

    def __init__(self, provider: OidcProvider, client: Client) -> None:
        self._provider = provider
        self._client = client

    def wait_for(self, number: int = 1) -> None:
        """Until that many have come."""

        def came() -> bool:
            waiting = control(self._provider.issuer, "GET", "/_test/hold")
            return bool(waiting.get(self._client.client_id, 0) >= number)

        self._provider.process.wait_until(came)

    def release(self) -> None:
        """Let them go on, and hold no more."""
        control(self._provider.issuer, "POST", "/_test/release", {"client_id": self._client.client_id})


class OidcProvider:
    """One running provider. Known logins: ``jane``, ``zoë`` and ``nobody``; the password is ``secret``."""

    def __init__(self, issuer: str, process: Child) -> None:
        self.issuer = issuer
        self.process = process
        self._numbers = itertools.count(1)

    def register(
        self,
        redirect_uris: Sequence[str],
        *,
        client_id: str | None = None,
        client_secret: str = SECRET,
        auth_method: AuthMethod = "client_secret_basic",
        post_logout_redirect_uris: Sequence[str] = (),
        claims_in_id_token: bool = False,
        pkce_optional: bool = False,
        refresh_tokens: bool = False,
        access_token_lifetime: int | None = None,
        backchannel_logout_uri: str | None = None,
        **metadata: Any,
    ) -> Client:
        """Register a client, or replace the one of this id.

        :param claims_in_id_token: profile, email and the other claims stand in the ID token; otherwise in
            userinfo alone.
        :param pkce_optional: take authorization requests without PKCE too.
        :param refresh_tokens: issue them also where ``offline_access`` is not asked for. Each can be used once; a
            second use takes everything that came of that sign-in with it.
        :param access_token_lifetime: seconds; by default an hour.
        :param backchannel_logout_uri: where logout tokens go, with ``sid``; ID tokens then carry theirs too.
        :param metadata: further client metadata (OpenID Connect Dynamic Client Registration, 2), such as ``jwks``,
            which ``private_key_jwt`` needs.
        """
        client = Client(client_id or f"app-{next(self._numbers)}", client_secret, auth_method)
        wanted = {
            "client_id": client.client_id,
            "redirect_uris": list(redirect_uris),
            "post_logout_redirect_uris": list(post_logout_redirect_uris),
            "token_endpoint_auth_method": auth_method,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "claims_in_id_token": claims_in_id_token,
            "pkce_optional": pkce_optional,
            "refresh_tokens": refresh_tokens,
            **metadata,
        }
        if access_token_lifetime is not None:
            wanted["access_token_lifetime"] = access_token_lifetime
        if backchannel_logout_uri is not None:
            wanted["backchannel_logout_uri"] = backchannel_logout_uri
            wanted["backchannel_logout_session_required"] = True
        if auth_method not in SECRETLESS:
            wanted["client_secret"] = client_secret
        control(self.issuer, "POST", "/_test/clients", wanted)
        return client

    def client_token(self, client: Client, *, resource: str | None = None, scope: str = "read") -> str:
        """An access token of the client alone (RFC 6749, section 4.4): for an API, signed if its name ends in /jwt."""
        form = {"grant_type": "client_credentials", "scope": scope}
        if resource is not None:
            form["resource"] = resource
        answer = PlainClient(client, "").post(f"{self.issuer}/token", form)
        assert answer.status == 200, answer.body
        return str(answer.json()["access_token"])

    def settings(self, client: Client) -> dict[str, str]:
        """The keys of the INI for a client of this provider."""
        return {"issuer": self.issuer, **client.settings}

    def add_account(self, login: str, *, password: str = PASSWORD, **claims: Any) -> None:
        """Add a person, or change one; ``sub`` is ``u-LOGIN`` unless it is given."""
        claims.setdefault("sub", f"u-{login}")
        control(
            self.issuer, "POST", "/_test/accounts", {"login": login, "password": password, "claims": claims}
        )

    def requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """What the provider was asked, oldest first: method, path, query, authorization, body, status."""
        found: list[dict[str, Any]] = control(self.issuer, "GET", "/_test/requests")
        return [entry for entry in found if path is None or entry["path"] == path]

    def forget_requests(self) -> None:
        control(self.issuer, "DELETE", "/_test/requests")

    # What became of refreshes, revocations and logouts

    def events(self, client: Client, kind: EventKind) -> list[dict[str, Any]]:
        """What happened to a client's tokens and sessions, oldest first.

        A refused refresh has ``error`` and ``detail``, a revocation ``token`` (``RefreshToken``, ``AccessToken`` or
        ``None``), a back-channel logout ``logout_token`` and ``status`` (``None``: nobody answered, ``error``).
        """
        found: list[dict[str, Any]] = control(self.issuer, "GET", "/_test/events")
        return [event for event in found if (event["client_id"], event["kind"]) == (client.client_id, kind)]

    @contextmanager
    def holding_refreshes(self, client: Client, stage: HoldStage = "response") -> Iterator[HeldRefreshes]:
        """Let a client's refreshes wait until the block ends.

        :param stage: ``request``: before anything has been done about them, so that one whose sender goes away has
            never happened; ``response``: with the new tokens issued and not yet sent.
        """
        control(self.issuer, "POST", "/_test/hold", {"client_id": client.client_id, "stage": stage})
        held = HeldRefreshes(self, client)
        try:
            yield held
        finally:
            held.release()

    def sids(self, client: Client, sub: str) -> list[str]:
        """The session ids under which that person is signed in at a client."""
        found = control(self.issuer, "GET", "/_test/sessions")
        return [s["sid"] for s in found if (s["client_id"], s["sub"]) == (client.client_id, sub)]

    def end_sessions(self, *, sid: str | None = None, sub: str | None = None) -> None:
        """End the provider session of that id, or all of a person; back-channel logouts are done by then."""
        control(self.issuer, "POST", "/_test/end", {"sid": sid} if sub is None else {"sub": sub})

    # What a person does

    def sign_in(
        self, browser: Browser, login: str = "jane", *, password: str = PASSWORD, deny: bool = False
    ) -> Page:
        """Drive the provider's pages until the browser is somewhere else; nothing to do when it already is.

        :param deny: sign in, and then refuse to share anything.
        """
        return pass_pages(
            browser,
            self.issuer,
            login={"login": login, "password": password},
            consent="abort" if deny else "consent",
        )

    def sign_out(self, browser: Browser) -> Page:
        """Answer the provider's question whether to sign out there too, and follow where it leads."""
        page = browser.submit("xsrf")
        if browser.origin == self.issuer and page.forms:
            page = browser.submit("xsrf")
        return page


@contextmanager
def oidc_provider(*, host: str = "localhost", port: int = 0) -> Iterator[OidcProvider]:
    """Start a provider whose issuer is ``http://HOST:PORT``; it listens on 127.0.0.1 alone.

    ``localhost`` makes it another site than an application at 127.0.0.1: cookies, SameSite and Fetch Metadata then
    behave as they do between a company's application and its provider.
    """
    env = {"PROVIDER_HOST": host, "PROVIDER_PORT": str(port)}
    with start_script("oidc-provider", "oidc_provider.mjs", env=env) as process:
        issuer = process.wait_for_line(r"^ready (\S+)")[1]
        yield OidcProvider(issuer, process)
