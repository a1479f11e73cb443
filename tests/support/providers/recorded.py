"""A provider that answers with what its documentation shows, at the addresses that its documentation names.

Its real names are kept: the middleware is told of a proxy, which leads every connection here, and of the authority that
signed this server's certificate. So a preset is tried as it stands, and nothing leaves the machine.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from oauth2_mw.provider.discovery.metadata_cache import WELL_KNOWN
from tests.support.hosts.certificates import self_signed
from tests.support.providers.jose import Key, at_hash, base64url, ec_key, rsa_key
from tests.support.settings.minimal import CLIENT_SECRET

FOLDER = Path(__file__).parents[2] / "presets"
#: Claims that say when: a token keeps the time between them, and is issued now.
_TIMES = ("iat", "nbf", "exp")


@dataclass(frozen=True)
class Recording:
    """What one provider answers: a file of ``tests/presets``, whose README says what its members are."""

    name: str
    members: Mapping[str, Any] = field(repr=False)

    @property
    def client_id(self) -> str:
        return str(self.members["client_id"])

    @property
    def addresses(self) -> Mapping[str, Any]:
        """The endpoints and how they are used, in the words of OpenID Connect Discovery."""
        addresses: Mapping[str, Any] = self.members.get("metadata") or self.members["endpoints"]
        return addresses

    @property
    def hosts(self) -> set[str]:
        """The hosts that the client calls."""
        called = [
            url for name, url in self.addresses.items() if name == "issuer" or name.endswith("_endpoint")
        ]
        called += [self.addresses.get("jwks_uri", ""), *self.members.get("more", {})]
        return {host for url in called if (host := urlsplit(url).hostname)}

    def changed(self, changes: Mapping[str, Any]) -> Recording:
        """The same answers with other values of some of their members."""
        return Recording(
            self.name,
            {
                name: {**value, **changes[name]} if name in changes else value
                for name, value in self.members.items()
            },
        )


def names() -> list[str]:
    """The providers of which there is a recording."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read(name: str) -> Recording:
    return Recording(name, json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Reply:
    """An answer that is not HTTP 200, or not JSON."""

    status: int
    #: what is sent as JSON, or the octets of a page
    content: Any


@dataclass
class RecordedProvider:
    """One client's provider for one sign-in: it checks what the client sends, and answers what was recorded."""

    recording: Recording
    #: the addresses that were called, in their order, without their queries
    calls: list[str] = field(default_factory=list)
    #: their queries
    queries: list[str] = field(default_factory=list)
    #: answers that take the place of the good ones, by the name of the endpoint
    replaced: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._request: dict[str, str] = {}
        self._code = self._access_token = ""
        self._started = time.time()
        algorithms = self.recording.addresses.get("id_token_signing_alg_values_supported", ["RS256"])
        self._key: Key = ec_key() if "RS256" not in algorithms else rsa_key()

    def note(self, url: str) -> None:
        """Remember a call."""
        address, _, query = url.partition("?")
        self.calls.append(address)
        self.queries.append(query)

    @property
    def _metadata_issuer(self) -> str:
        """The issuer; of all tenants of Entra, with the word for them that its documentation has in the addresses."""
        return str(self.recording.addresses["issuer"]).replace("{tenantid}", "organizations")

    def authorize(self, location: str) -> dict[str, str]:
        """What comes back for an authorization request, whose parameters are kept."""
        address, _, query = location.partition("?")
        assert address == self.recording.addresses["authorization_endpoint"]
        self._request = dict(parse_qsl(query))
        assert self._request["response_type"] == "code"
        assert self._request["client_id"] == self.recording.client_id
        methods = self.recording.addresses.get("code_challenge_methods_supported", ["S256"])
        assert self._request.get("code_challenge_method") == ("S256" if "S256" in methods else None)
        scopes = set(self._request.get("scope", "").split())
        supported = set(self.recording.addresses.get("scopes_supported", scopes))
        assert set(self.recording.members["scope"].split()) <= scopes <= supported
        assert self._request.get("response_mode") == self.recording.members.get("response_mode")
        self._code = secrets.token_urlsafe()
        return {"code": self._code, "state": self._request["state"]}

    @property
    def scope(self) -> str:
        """What was asked for."""
        return self._request["scope"]

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: str) -> Any:
        """The JSON that is answered, or a :class:`Reply`; ``None``: 404."""
        self.note(url)
        addresses, members = self.recording.addresses, self.recording.members
        if method == "POST":
            assert url == addresses["token_endpoint"]
            return self._token(headers, dict(parse_qsl(body, strict_parsing=True)))
        if "metadata" in members and url == self._metadata_issuer.rstrip("/") + WELL_KNOWN:
            return members["metadata"]
        if url == addresses.get("jwks_uri"):
            return {"keys": [self._key.jwk(issuer=addresses["issuer"])]}
        if headers.get("Authorization") != f"Bearer {self._access_token}":
            return None
        if url == addresses.get("userinfo_endpoint"):
            return members.get("userinfo")
        return members.get("more", {}).get(url)

    def _token(self, headers: Mapping[str, str], form: Mapping[str, str]) -> dict[str, Any]:
        self._check_client(headers.get("Authorization"), form)
        members = self.recording.members
        if form["grant_type"] == "refresh_token":
            assert form["refresh_token"] == members["token"]["refresh_token"]
            return self._signed(members["refresh"], nonce=None)
        assert form["grant_type"] == "authorization_code"
        assert self._code
        assert (form["code"], form["redirect_uri"]) == (self._code, self._request["redirect_uri"])
        self._code = ""
        challenge = self._request.get("code_challenge")
        assert challenge == (
            base64url(hashlib.sha256(form["code_verifier"].encode()).digest()) if challenge else None
        )
        return self._signed(members["token"], nonce=self._request.get("nonce"))

    def _check_client(self, authorization: str | None, form: Mapping[str, str]) -> None:
        """Check that the client authenticated in a way that the documentation names, and in no other."""
        # OpenID Connect Discovery, section 3: the method that a provider has which names none.
        methods = self.recording.addresses.get(
            "token_endpoint_auth_methods_supported", ["client_secret_basic"]
        )
        if authorization is None:
            assert "client_secret_post" in methods
            sent = form["client_id"], form["client_secret"]
        else:
            assert "client_secret_basic" in methods
            assert "client_secret" not in form
            client_id, _, secret = b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            sent = unquote_plus(client_id), unquote_plus(secret)
        assert sent == (self.recording.client_id, CLIENT_SECRET)

    def _signed(self, response: Mapping[str, Any], *, nonce: str | None) -> dict[str, Any]:
        """The response with an ID token of ours in the place of the recorded one, which has been cut."""
        self._access_token = response["access_token"]
        if "id_token" not in response:
            return dict(response)
        claims = dict(self.recording.members["id_token"])
        recorded = claims["iat"]
        claims |= {name: claims[name] - recorded + int(time.time()) for name in _TIMES if name in claims}
        if "auth_time" in claims:
            claims["auth_time"] += int(self._started) - recorded
        claims.pop("nonce", None)
        if nonce is not None:
            claims["nonce"] = nonce
        if "at_hash" in claims:
            claims["at_hash"] = at_hash(response["access_token"])
        return {**response, "id_token": self._key.sign(claims)}


@dataclass
class RecordedWorld:
    """All providers behind one proxy; a test says which of them answers."""

    certificate: Path
    proxy: str = ""
    provider: RecordedProvider | None = None
    #: what went wrong while a request was answered
    errors: list[BaseException] = field(default_factory=list)

    def open(self, provider: RecordedProvider) -> None:
        """From now on that provider answers."""
        self.provider = provider
        self.errors.clear()


class _Handler(BaseHTTPRequestHandler):
    """A proxy (RFC 9110, section 9.3.6) that is itself the host to which it leads."""

    protocol_version = "HTTP/1.1"
    timeout = 5
    world: RecordedWorld
    context: ssl.SSLContext
    host = ""

    def do_CONNECT(self) -> None:
        self.host = self.path.partition(":")[0]
        self.send_response(200)
        self.end_headers()
        self.connection = self.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
        self.close_connection = False

    def do_GET(self) -> None:
        self._answer("")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _answer(self, body: str) -> None:
        assert self.world.provider is not None
        url = f"https://{self.host}{self.path}"
        try:
            found = self.world.provider.answer(self.command, url, dict(self.headers), body)
        except (AssertionError, KeyError) as error:
            self.world.errors.append(error)
            found = None
        reply = found if isinstance(found, Reply) else Reply(404 if found is None else 200, found)
        is_page = isinstance(reply.content, bytes)
        answer = reply.content if is_page else json.dumps(reply.content).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/html" if is_page else "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is nobody's fault."""


@contextmanager
def recorded_world(folder: Path) -> Iterator[RecordedWorld]:
    """Serve the providers of all recordings.

    :param folder: where the certificate is written.
    """
    hosts = sorted({host for name in names() for host in read(name).hosts})
    world = RecordedWorld(self_signed(folder / "providers.pem", *hosts))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.certificate)
    handler = type("Handler", (_Handler,), {"world": world, "context": context})
    with _Server(("127.0.0.1", 0), handler) as server:
        world.proxy = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        thread.start()
        try:
            yield world
        finally:
            server.shutdown()
            thread.join()
