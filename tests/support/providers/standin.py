"""A provider of our own that behaves well until it is told not to.

It speaks OpenID Connect and plain OAuth 2.0 over a real loopback socket, and checks what a client sends (client
authentication, redirect URI, PKCE, one use of a code or a refresh token), so that our own mistakes show. Any of its
answers can be replaced: see :attr:`StandIn.answers`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from tests.support.hosts.wsgi_thread import serve
from tests.support.providers.jose import Key, at_hash, base64url, rsa_key
from tests.support.settings.minimal import CLIENT_SECRET

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

#: the value of a claim or metadata member that is to be left out
LEFT_OUT = object()


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. A body in pieces is sent piece by piece."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Request:
    """A request that the stand-in received."""

    method: str
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Attempt:
    """What an authorization request asked for; kept under its code."""

    redirect_uri: str
    nonce: str | None
    challenge: str | None
    scope: str


@dataclass
class Family:
    """The tokens that follow from one sign-in."""

    scope: str
    auth_time: int
    #: the refresh token that may be used; ``None`` once one was used twice or revoked
    current: str | None = None
    access_tokens: set[str] = field(default_factory=set)


@dataclass
class StandIn:
    """The provider. Use it as a context manager; it listens in between.

    ``with StandIn() as provider: ...`` and then, per test, change the fields below.
    """

    client_id: str = "client"
    client_secret: str = CLIENT_SECRET
    #: how the client must authenticate: ``client_secret_basic``, ``client_secret_post`` or ``none``
    auth_method: str = "client_secret_basic"
    #: whether it is an OpenID provider; otherwise plain OAuth 2.0 with userinfo alone
    oidc: bool = True
    key: Key = field(default_factory=rsa_key)
    #: the keys that are published; by default the public half of :attr:`key`
    jwks: list[Any] | None = None
    #: changes to the ID token's claims
    claims: dict[str, Any] = field(default_factory=dict)
    #: changes to the claims of those ID tokens that come for a refresh token
    refreshed_claims: dict[str, Any] = field(default_factory=dict)
    #: whether a refresh is answered with an ID token, too
    refreshes_id_token: bool = True
    #: whether a refresh token serves once; the second use ends all tokens of that sign-in
    rotates: bool = True
    #: the session that ID tokens and logout tokens name
    sid: str | None = None
    #: what the logout page shows in a frame, once ``iss`` and ``sid`` are added; ``None``: there is no such page
    frontchannel_logout_uri: str | None = None
    #: changes to the ID token's header
    header: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "user-1",
            "preferred_username": "jane",
            "name": "Jane Doe",
            "email": "jane@example.com",
        }
    )
    #: what ``/userinfo/emails`` answers, as GitHub's ``/user/emails``; ``None``: 404
    emails: list[Any] | None = None
    #: what further paths answer to an access token: an :class:`Answer` or any JSON value
    resources: dict[str, Any] = field(default_factory=dict)
    #: a token -> what its introspection says of it
    introspected: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: changes to the metadata document
    metadata: dict[str, Any] = field(default_factory=dict)
    #: whether the token endpoint answers form-encoded instead of JSON
    form_encoded: bool = False
    #: whether errors of the token endpoint come with HTTP 200, as GitHub's do
    errors_with_200: bool = False
    #: whether the authorization response carries ``iss`` (RFC 9207)
    sends_iss: bool = False
    #: the redirect URIs that are registered; ``None``: any
    registered: set[str] | None = None
    #: an error that the authorization endpoint answers instead of a code
    denies: str | None = None
    #: replaced answers, by name: ``discovery``, ``jwks``, ``token``, ``userinfo``, ``emails``, ``revocation``,
    #: ``introspection``. A value is an :class:`Answer`, bytes, any JSON value, or a function that makes one of these
    #: from the well-behaved value.
    answers: dict[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    #: the name that its address has: ``localhost`` is another site than an application at 127.0.0.1
    host: str = "127.0.0.1"
    #: a file with a certificate and its key: it then speaks https
    certificate: Path | None = None
    url: str = ""

    def __post_init__(self) -> None:
        self._open = ExitStack()
        self._codes: dict[str, Attempt] = {}
        #: every refresh token that was ever given out
        self._refresh_tokens: dict[str, Family] = {}
        self._access_tokens: set[str] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.url = self._open.enter_context(serve(self, certificate=self.certificate)).replace(
            "127.0.0.1", self.host
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening: from now on every connection is refused."""
        self._open.close()

    @property
    def issuer(self) -> str:
        return self.url

    @property
    def token_response(self) -> Any:
        """The replaced answer of the token endpoint."""
        return self.answers.get("token")

    @token_response.setter
    def token_response(self, answer: Any) -> None:
        self.answers["token"] = answer

    def asked(self, path: str) -> list[Request]:
        """The requests to *path* so far."""
        return [request for request in self.requests if request.path == path]

    def follow(self, authorization_url: str) -> dict[str, str]:
        """What a browser would do with an authorization URL: the parameters that come back to the redirect URI."""
        parts = urlsplit(authorization_url)
        answer = self._authorize(dict(parse_qsl(parts.query)))
        assert answer.status == 302, answer.body
        return dict(parse_qsl(urlsplit(dict(answer.headers)["Location"]).query))

    # The WSGI application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = _read(environ)
        self.requests.append(request)
        answer = self._route(request)
        start_response(f"{answer.status} Stand-in", [("Content-Type", answer.content_type), *answer.headers])
        return [answer.body] if isinstance(answer.body, bytes) else answer.body

    def _route(self, request: Request) -> Answer:
        routes: dict[str, Callable[[Request], Answer]] = {
            "/.well-known/openid-configuration": lambda _: self._answer("discovery", self._metadata()),
            "/jwks": lambda _: self._answer("jwks", {"keys": self._published()}),
            "/authorize": lambda request: self._authorize(request.query),
            "/token": self._token,
            "/userinfo": self._userinfo,
            "/userinfo/emails": self._emails,
            "/end_session": self._end_session,
            "/revoke": self._revoke,
            "/introspect": self._introspect,
        }
        route = routes.get(request.path)
        if route is None and request.path in self.resources:
            return self._resource(request)
        return route(request) if route else Answer(b"{}", 404)

    def _resource(self, request: Request) -> Answer:
        if not self._is_bearer(replace(request, query={})):
            return Answer(b"{}", 401)
        found = self.resources[request.path]
        return found if isinstance(found, Answer) else Answer(json.dumps(found).encode())

    def _answer(self, name: str, good: Any, *, status: int = 200) -> Answer:
        answer = good
        if name in self.answers:
            answer, status = self.answers[name], 200
        if callable(answer):
            answer = answer(good)
        if isinstance(answer, Answer):
            return answer
        if isinstance(answer, bytes):
            return Answer(answer, status)
        if name == "token" and self.form_encoded and isinstance(answer, dict):
            return Answer(urlencode(answer).encode(), status, "application/x-www-form-urlencoded")
        return Answer(json.dumps(answer).encode(), status)

    def _metadata(self) -> dict[str, Any]:
        members = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "end_session_endpoint": f"{self.url}/end_session",
            "revocation_endpoint": f"{self.url}/revoke",
            "introspection_endpoint": f"{self.url}/introspect",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.key.alg],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": [self.auth_method],
            "authorization_response_iss_parameter_supported": self.sends_iss,
        }
        return _changed(members, self.metadata)

    def _published(self) -> list[Any]:
        return [self.key.jwk()] if self.jwks is None else self.jwks

    def _authorize(self, query: Mapping[str, str]) -> Answer:
        redirect_uri = query.get("redirect_uri", "")
        if (
            query.get("client_id") != self.client_id
            or query.get("response_type") != "code"
            or not redirect_uri
        ):
            return Answer(b"unknown client, response type or redirect URI", 400, "text/plain")
        if self.registered is not None and redirect_uri not in self.registered:
            return Answer(b"redirect_uri did not match any that is registered", 400, "text/plain")
        back = {"state": query["state"]} if "state" in query else {}
        if self.denies:
            back["error"] = self.denies
        else:
            back["code"] = self.issue_code(query)
        if self.sends_iss:
            back["iss"] = self.issuer
        mark = "&" if urlsplit(redirect_uri).query else "?"
        return Answer(status=302, headers=(("Location", f"{redirect_uri}{mark}{urlencode(back)}"),))

    def issue_code(self, query: Mapping[str, str]) -> str:
        """A code for an authorization request with these parameters."""
        if "code_challenge" in query and query.get("code_challenge_method") != "S256":
            raise AssertionError("PKCE without S256")
        code = secrets.token_urlsafe()
        self._codes[code] = Attempt(
            query["redirect_uri"], query.get("nonce"), query.get("code_challenge"), query.get("scope", "")
        )
        return code

    def _token(self, request: Request) -> Answer:
        with self._lock:
            error = self._token_error(request)
            members = self._tokens(request.form) if error is None else {}
        if error is None:
            return self._answer("token", members)
        status = 200 if self.errors_with_200 else 401 if error == "invalid_client" else 400
        return self._answer(
            "token", {"error": error, "error_description": f"{error} at the stand-in"}, status=status
        )

    def _tokens(self, form: Mapping[str, str]) -> dict[str, Any]:
        access_token = secrets.token_urlsafe()
        self._access_tokens.add(access_token)
        if form["grant_type"] == "refresh_token":
            family = self._refresh_tokens[form["refresh_token"]]
        else:
            attempt = self._codes.pop(form["code"])
            family = Family(attempt.scope, int(time.time()))
        family.access_tokens.add(access_token)
        members: dict[str, Any] = {
            "access_token": access_token,
            "token_type": "bearer" if self.form_encoded else "Bearer",
            "expires_in": 3600,
            "scope": family.scope,
        }
        if self.rotates or family.current is None:
            family.current = members["refresh_token"] = secrets.token_urlsafe()
            self._refresh_tokens[family.current] = family
        if self.oidc and form["grant_type"] == "authorization_code":
            members["id_token"] = self.id_token(attempt.nonce, access_token)
        elif self.oidc and self.refreshes_id_token:
            changes = {"auth_time": family.auth_time, **self.refreshed_claims}
            members["id_token"] = self.id_token(None, access_token, changes)
        return members

    def _token_error(self, request: Request) -> str | None:
        """What is wrong with a token request, in the words of RFC 6749, section 5.2."""
        errors = {"authorization_code": self._code_error, "refresh_token": self._refresh_error}
        grant_type = request.form.get("grant_type", "")
        if request.method != "POST" or request.query or grant_type not in errors:
            return "invalid_request"
        if not self._is_client(request):
            return "invalid_client"
        return errors[grant_type](request.form)

    def _code_error(self, form: Mapping[str, str]) -> str | None:
        attempt = self._codes.get(form.get("code", ""))
        if attempt is None or attempt.redirect_uri != form.get("redirect_uri"):
            return "invalid_grant"
        verifier = form.get("code_verifier")
        if (verifier is None) != (attempt.challenge is None):
            return "invalid_grant"
        if verifier is not None and attempt.challenge != base64url(
            hashlib.sha256(verifier.encode()).digest()
        ):
            return "invalid_grant"
        return None

    def _refresh_error(self, form: Mapping[str, str]) -> str | None:
        if "scope" in form:
            return "invalid_scope"
        token = form.get("refresh_token", "")
        family = self._refresh_tokens.get(token)
        if family is None:
            return "invalid_grant"
        if family.current != token:
            # Two hold it, and one of them is a thief (RFC 9700, section 4.14.2).
            self._end(family)
            return "invalid_grant"
        return None

    def _end(self, family: Family) -> None:
        family.current = None
        self._access_tokens -= family.access_tokens

    def _revoke(self, request: Request) -> Answer:
        """RFC 7009; what is no token of ours is fine, too."""
        if request.method != "POST" or request.query or "token" not in request.form:
            return Answer(b'{"error": "invalid_request"}', 400)
        if not self._is_client(request):
            return Answer(b'{"error": "invalid_client"}', 401)
        if "revocation" not in self.answers:
            with self._lock:
                token = request.form["token"]
                self._access_tokens.discard(token)
                if token in self._refresh_tokens:
                    self._end(self._refresh_tokens[token])
        return self._answer("revocation", b"")

    def _introspect(self, request: Request) -> Answer:
        """RFC 7662: what :attr:`introspected` says of a token; any other is not active."""
        if request.method != "POST" or request.query or "token" not in request.form:
            return Answer(b'{"error": "invalid_request"}', 400)
        if not self._is_client(request):
            return Answer(b'{"error": "invalid_client"}', 401)
        known = self.introspected.get(request.form["token"])
        return self._answer(
            "introspection", {"active": False} if known is None else {"active": True, **known}
        )

    def _is_client(self, request: Request) -> bool:
        """Whether the client authenticated, by the expected method and no other (RFC 6749, section 2.3)."""
        header, form = request.headers.get("Authorization"), request.form
        if self.auth_method == "client_secret_basic":
            if header is None or not header.startswith("Basic ") or "client_secret" in form:
                return False
            client_id, _, secret = b64decode(header.removeprefix("Basic ")).decode("ascii").partition(":")
            return self._is_secret(unquote_plus(client_id), unquote_plus(secret))
        if header is not None:
            return False
        if self.auth_method == "none":
            return form.get("client_id") == self.client_id and "client_secret" not in form
        return self._is_secret(form.get("client_id", ""), form.get("client_secret", ""))

    def _is_secret(self, client_id: str, secret: str) -> bool:
        return client_id == self.client_id and hmac.compare_digest(
            secret.encode(), self.client_secret.encode()
        )

    def id_token(
        self, nonce: str | None, access_token: str, changes: Mapping[str, Any] = MappingProxyType({})
    ) -> str:
        """A signed ID token, with :attr:`claims`, *changes* and :attr:`header` applied."""
        now = int(time.time())
        members = {
            "iss": self.issuer,
            "aud": self.client_id,
            "sub": self.userinfo.get("sub"),
            "sid": LEFT_OUT if self.sid is None else self.sid,
            "iat": now,
            "exp": now + 300,
            "auth_time": now,
            "nonce": LEFT_OUT if nonce is None else nonce,
            "at_hash": at_hash(
                access_token, "sha512" if self.key.alg == "EdDSA" else f"sha{self.key.alg[2:]}"
            ),
        }
        return self.key.sign(_changed(members, {**self.claims, **changes}), **self.header)

    def logout_token(self, *, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A signed logout token (OpenID Connect Back-Channel Logout, section 2.4).

        :param header: changes to the header; ``None`` leaves a member out.
        :param changes: of the claims; ``LEFT_OUT`` leaves one out.
        """
        now = int(time.time())
        members = {
            "iss": self.issuer,
            "aud": self.client_id,
            "sub": self.userinfo.get("sub"),
            "sid": LEFT_OUT if self.sid is None else self.sid,
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_urlsafe(),
            "events": {LOGOUT_EVENT: {}},
        }
        return self.key.sign(_changed(members, changes), **{"typ": "logout+jwt", **(header or {})})

    def _userinfo(self, request: Request) -> Answer:
        if not self._is_bearer(request):
            return Answer(b"{}", 401, headers=(("WWW-Authenticate", 'Bearer error="invalid_token"'),))
        return self._answer("userinfo", self.userinfo)

    def _emails(self, request: Request) -> Answer:
        if not self._is_bearer(request):
            return Answer(b"{}", 401)
        return self._answer("emails", self.emails, status=404 if self.emails is None else 200)

    def _is_bearer(self, request: Request) -> bool:
        """Whether an access token of ours is in the header, and in no other place (RFC 6750, section 2)."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme == "Bearer" and token in self._access_tokens and not request.query

    def _end_session(self, request: Request) -> Answer:
        target = request.query.get("post_logout_redirect_uri")
        if target is not None and "state" in request.query:
            target += "?" + urlencode({"state": request.query["state"]})
        if self.frontchannel_logout_uri is not None:
            return self._logout_page(self.frontchannel_logout_uri, target)
        if target is None:
            return Answer(b"signed out", content_type="text/plain")
        return Answer(status=302, headers=(("Location", target),))

    def _logout_page(self, framed: str, target: str | None) -> Answer:
        """The client's address in a frame (OpenID Connect Front-Channel Logout 1.0, section 3), and the way back."""
        parameters = {"iss": self.issuer} | ({} if self.sid is None else {"sid": self.sid})
        mark = "&" if urlsplit(framed).query else "?"
        frame = f'<iframe src="{escape(f"{framed}{mark}{urlencode(parameters)}")}"></iframe>'
        back = "" if target is None else f'<a href="{escape(target)}">Continue</a>'
        page = f"<!doctype html><title>Signed out</title><h1>Signed out</h1>{frame}{back}"
        return Answer(page.encode(), content_type="text/html; charset=utf-8")


def _changed(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not LEFT_OUT}


def _read(environ: WSGIEnvironment) -> Request:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    return Request(
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"],
        query=_unique(environ.get("QUERY_STRING", "")),
        form=_unique(body.decode("ascii")),
        headers={**headers, "Content-Type": environ.get("CONTENT_TYPE", "")},
    )


def _unique(text: str) -> dict[str, str]:
    """Form fields; a name that comes twice is a mistake of the client (RFC 6749, section 3.2)."""
    pairs = parse_qsl(text, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), f"repeated: {pairs}"
    return dict(pairs)
