"""Requests with an access token of a provider through the whole middleware: whom they let in, and where they do not."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw import breaker, get_identity, require
from oauth2_mw.credentials import strangers
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.model import user_key
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.provider.http import call_gate
from tests.support.audit_lines import audit_lines
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import JANE, App, guard, sign_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.jose import base64url, rsa_key
from tests.support.providers.standin import LEFT_OUT, Answer, StandIn
from tests.support.settings.minimal import ORIGIN

API = "https://api.example"
REALM = f'Bearer realm="{ORIGIN}"'
OPAQUE = {"sub": "7", "token_type": "Bearer", "scope": "read", "preferred_username": "joe"}


@pytest.fixture
def audit() -> Iterator[list[str]]:
    with audit_lines() as lines:
        yield lines


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


class Site:
    """The middleware, called in this process, with a provider whose tokens serve below ``/api/``."""

    def __init__(self, provider: StandIn, *, rules: str = "", **keys: Any) -> None:
        self.provider = provider
        self.clocks = ShiftedClocks()
        self.app = App()
        settings = {
            "issuer": provider.issuer,
            "client_id": provider.client_id,
            "bearer_paths": "/api/",
            "accept_tokens": "jwt",
            "token_audiences": API,
            "attribute_map": '{"username": ["preferred_username", "sub"], "groups": "groups"}',
            **keys,
        }
        if rules:
            settings["access"] = {"rules": rules}
        self.middleware: OAuth2Middleware = guard(self.app, clocks=self.clocks.clocks, **settings)

    def token(self, **changes: Any) -> str:
        """A JWT of joe."""
        now = int(time.time())
        claims = {
            "iss": self.provider.issuer,
            "aud": API,
            "sub": "7",
            "client_id": "script",
            "scope": "read",
            "preferred_username": "joe",
            "iat": now,
            "exp": now + 300,
            **changes,
        }
        given = {name: value for name, value in claims.items() if value is not LEFT_OUT}
        return self.provider.key.sign(given, typ="at+jwt")

    def get(self, token: str | None = None, path: str = "/api/x", **keys: Any) -> WsgiResponse:
        header = None if token is None else f"Bearer {token}"
        keys = {"HTTP_AUTHORIZATION": header, "wsgi.input": io.BytesIO(keys.pop("body", b"")), **keys}
        return call(self.middleware, environ_for(path, **keys))

    def seen(self, token: str, path: str = "/api/x", **keys: Any) -> dict[str, Any]:
        """What the application saw of a request that it got."""
        answer = self.get(token, path, **keys)
        assert answer.status == 200, answer.text
        return json.loads(answer.text)

    def refused(self, *arguments: Any, status: int = 401, **keys: Any) -> WsgiResponse:
        """A request that the application did not get."""
        calls = self.app.calls
        answer = self.get(*arguments, **keys)
        assert (answer.status, self.app.calls) == (status, calls)
        assert answer.cookies == {}
        return answer

    def later(self, seconds: float) -> None:
        self.clocks.ahead += seconds

    @property
    def asked(self) -> int:
        """How often the provider was asked about a token."""
        return len(self.provider.asked("/introspect"))


def session(site: Site, **changes: Any) -> str:
    """The ``Cookie`` header of jane's browser, or of somebody else's."""
    return sign_in(site.middleware, replace(JANE, issuer=site.provider.issuer, **changes))


def introspecting(provider: StandIn, **keys: Any) -> Site:
    return Site(provider, **{"accept_tokens": "introspection", "token_audiences": None, **keys})


def codes(audit: list[str]) -> list[str]:
    return [line.partition("code=")[2].split()[0] for line in audit if "bearer_refused" in line]


# Who it is


def test_a_token_says_who_a_request_is(provider: StandIn, audit: list[str]) -> None:
    site = Site(provider, environ={"HTTP_X_CLIENT": "claims.client_id", "HTTP_X_TOKEN": "id_token"})
    seen = site.seen(site.token())
    assert (seen["user"], seen["auth_type"]) == ("joe", "OAuth2")
    assert seen["identity"] == user_key(provider.issuer, "7")
    assert seen["environ"]["HTTP_X_CLIENT"] == "script"
    assert site.app.seen[0]["Identity"].provider == "default"
    assert [line for line in audit if "event=bearer_accepted" in line and "client: 'script'" in line]


@pytest.mark.requirement("R-access-token")
def test_the_token_reaches_the_application_in_no_spelling(provider: StandIn) -> None:
    site = Site(provider)
    token = site.token()
    for spelling in ("REDIRECT_HTTP_AUTHORIZATION", "HTTP_Authorization", "Authorization"):
        seen = site.seen(token, **{spelling: f"Bearer {token}"})
        assert token not in json.dumps(seen)
    site = Site(provider, rules="public /api/open")
    assert token not in json.dumps(site.seen(token, "/api/open"))
    site = Site(provider, strip_authorization="none")
    assert site.seen(token)["environ"]["HTTP_AUTHORIZATION"] == f"Bearer {token}"
    site = Site(provider, strip_authorization="all")
    assert "HTTP_AUTHORIZATION" not in site.seen(token)["environ"]


def test_a_client_is_a_user_like_others(provider: StandIn) -> None:
    site = Site(provider, rules="required /api/ if user:script", allow="user:script")
    token = site.token(sub="script", preferred_username=LEFT_OUT)
    assert site.seen(token)["user"] == "script"
    assert site.seen(token)["identity"] == user_key(provider.issuer, "script")


def test_the_scheme_is_known_in_any_case(provider: StandIn) -> None:
    site = Site(provider)
    for scheme in ("bearer", "BEARER", " Bearer "):
        assert site.get(HTTP_AUTHORIZATION=f"{scheme} {site.token()}".replace("  ", " ")).status == 200


# Where it serves


@pytest.mark.requirement("R-access-token")
@pytest.mark.parametrize(
    "path", ["/", "/x", "/apix", "/api//x", "/api/../x", "/api;a/x", "//api/x", "/API/x"]
)
def test_it_serves_nowhere_else(provider: StandIn, path: str) -> None:
    site = Site(provider)
    answer = site.refused(site.token(), path)
    assert answer.header("WWW-Authenticate") is None


def test_under_another_mount_it_serves_nowhere(provider: StandIn) -> None:
    site = Site(provider)
    site.refused(site.token(), SCRIPT_NAME="/other")


@pytest.mark.requirement("R-access-token")
@pytest.mark.parametrize("page", ["sessions/", "tokens/", "whoami/", "logout/", "health/"])
def test_it_is_no_session(provider: StandIn, page: str, tmp_path: Path) -> None:
    site = Site(provider, bearer_paths="/", directory=f"sqlite:///{tmp_path / 'users.db'}")
    site.seen(site.token())
    with_token = site.get(site.token(), f"/auth/oauth2/{page}")
    without = site.get(None, f"/auth/oauth2/{page}", HTTP_AUTHORIZATION="Bearer x")
    assert with_token.status == without.status
    assert "joe" not in with_token.text
    assert not [name for name in with_token.cookies if "-a-" not in name]


def test_a_token_in_query_or_body_is_not_taken(provider: StandIn) -> None:
    site = Site(provider)
    token = site.token()
    answer = site.refused(None, QUERY_STRING=f"access_token={token}")
    assert answer.header("WWW-Authenticate") == REALM
    body = f"access_token={token}".encode()
    site.refused(
        None,
        REQUEST_METHOD="POST",
        CONTENT_TYPE="application/x-www-form-urlencoded",
        CONTENT_LENGTH=str(len(body)),
        body=body,
    )


def test_an_application_that_decides_by_itself_gets_no_wrong_token(provider: StandIn) -> None:
    site = Site(provider, protect="optional")
    assert site.seen(site.token())["user"] == "joe"
    site.refused("junk")
    assert site.get().status == 200


def test_where_the_application_has_tokens_of_its_own_they_are_its(provider: StandIn) -> None:
    site = Site(provider, rules="delegated /api/own", app_schemes="Token")
    assert site.seen(site.token(), "/api/own")["user"] == "joe"
    assert json.loads(site.get(path="/api/own", HTTP_AUTHORIZATION="Token abc").text)["user"] is None
    site = Site(provider, rules="delegated /api/own", strip_authorization="none")
    own = site.seen("own-token", "/api/own")
    assert (own["user"], own["environ"]["HTTP_AUTHORIZATION"]) == (None, "Bearer own-token")


def test_a_proxy_may_ask_about_a_token(provider: StandIn) -> None:
    site = Site(provider, trusted_peers="127.0.0.1", rules="required /api/ if scope:read")

    def ask(token: str, uri: str = "/api/x") -> WsgiResponse:
        told = {
            "HTTP_X_FORWARDED_METHOD": "GET",
            "HTTP_X_FORWARDED_URI": uri,
            "HTTP_X_FORWARDED_HOST": "app.example",
            "REMOTE_ADDR": "127.0.0.1",
        }
        return site.get(token, "/auth/oauth2/auth", **told)

    good = ask(site.token())
    assert (good.status, good.header("X-Auth-Request-User")) == (200, "joe")
    assert ask("junk").status == 401
    assert ask(site.token(scope="other")).status == 403
    assert ask(site.token(), "/x").status == 401
    assert site.app.calls == 0


# Errors of RFC 6750


def test_a_program_without_a_credential_is_offered_bearer(provider: StandIn, tmp_path: Path) -> None:
    assert Site(provider).refused().header("WWW-Authenticate") == REALM
    both = Site(
        provider,
        bearer_paths="/api/ /both/",
        personal_tokens="/both/ /dav/",
        directory=f"sqlite:///{tmp_path / 'users.db'}",
    )
    assert (both.refused(None, "/both/x").header("WWW-Authenticate") or "").startswith("Basic ")
    answer = both.refused("junk", "/both/x")
    assert answer.header("WWW-Authenticate") == f'{REALM}, error="invalid_token"'
    assert both.seen(both.token(), "/both/x")["user"] == "joe"
    for strip in ("basic", "all", "none"):
        site = Site(
            provider,
            personal_tokens="/dav/",
            strip_authorization=strip,
            directory=f"sqlite:///{tmp_path / 'users.db'}",
        )
        stray = site.refused("junk", "/dav/x").header("WWW-Authenticate") or ""
        assert stray == f'{REALM}, error="invalid_token"', strip
    omwpat = both.refused("omwpat_x", "/both/x")
    assert omwpat.header("WWW-Authenticate") == f'{REALM}, error="invalid_token"'


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer a b", "Bearer a, Bearer b", "Bearer ä", "bearer =a"]
)
def test_what_is_no_token_is_an_invalid_request(provider: StandIn, header: str, audit: list[str]) -> None:
    answer = Site(provider).refused(status=400, HTTP_AUTHORIZATION=header)
    assert answer.header("WWW-Authenticate") == f'{REALM}, error="invalid_request"'
    assert codes(audit) == ["token_unreadable"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "aud", "sub", "exp", "scope", "cnf", "typ", "alg", "kid"]), _JSON
)
#: what could be taken for a JWT, and is none of a provider
_LIKE_JWT = st.tuples(_CLAIMS, _CLAIMS, st.binary(max_size=20)).map(
    lambda parts: ".".join(
        base64url(each if isinstance(each, bytes) else json.dumps(each).encode()) for each in parts
    )
)


@given(token=st.text() | _LIKE_JWT, blanks=st.sampled_from([" ", "  ", "\t", ""]))
def test_whatever_is_sent_is_refused(token: str, blanks: str) -> None:
    app = App()
    middleware = guard(
        app,
        bearer_paths="/",
        accept_tokens="jwt-untyped",
        token_audiences=API,
        cors_origins="https://spa.example",
    )
    header = f"Bearer{blanks}{token}".encode("utf-8", "surrogatepass").decode("latin-1")
    answer = call(middleware, environ_for("/x", HTTP_AUTHORIZATION=header))
    assert (answer.status in (400, 401), app.calls) == (True, 0)
    assert (answer.header("WWW-Authenticate") or "").isprintable()


def test_a_long_token_is_not_looked_at(provider: StandIn) -> None:
    Site(provider).refused("x" * 20_000, status=400)


@pytest.mark.requirement("R-access-token")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": "https://other.example"}, "token_audience"),
        ({"iss": "https://other.example"}, "token_issuer"),
        ({"iss": LEFT_OUT}, "token_issuer"),
        ({"exp": 1}, "token_expired"),
        ({"cnf": {"jkt": "x"}}, "token_bound"),
    ],
)
def test_a_token_that_is_not_for_us_is_refused(
    provider: StandIn, audit: list[str], changes: dict[str, Any], code: str
) -> None:
    site = Site(provider)
    answer = site.refused(site.token(**changes))
    assert answer.header("WWW-Authenticate") == f'{REALM}, error="invalid_token"'
    assert answer.header("Content-Type") == "application/problem+json"
    assert json.loads(answer.text)["reference"] in audit[-1]
    assert codes(audit) == [code]


def test_a_refusal_is_in_the_log_once_and_never_holds_the_token(provider: StandIn, audit: list[str]) -> None:
    site = Site(provider)
    token = site.token(aud="https://other.example")
    answers = [site.refused(token) for _ in range(5)]
    assert len(codes(audit)) == 1
    assert token not in "".join(audit) + "".join(answer.text for answer in answers)
    site.later(6)
    site.refused(token)
    assert len(codes(audit)) == 2


def test_a_scope_that_every_token_needs_is_named(provider: StandIn, audit: list[str]) -> None:
    site = Site(provider, token_scopes="read write")
    assert site.seen(site.token(scope="write read more"))["user"] == "joe"
    answer = site.refused(site.token(), status=403)
    challenge = f'{REALM}, error="insufficient_scope", scope="read write"'
    assert answer.header("WWW-Authenticate") == challenge
    assert codes(audit) == ["token_scope"]


def test_a_wrong_token_is_not_saved_by_a_session(provider: StandIn) -> None:
    site = Site(provider)
    cookie = session(site)
    assert site.get(HTTP_COOKIE=cookie).status == 200
    site.refused("junk", HTTP_COOKIE=cookie)


@pytest.mark.requirement("R-access-token")
def test_a_token_and_a_session_of_two_people_are_refused(provider: StandIn, audit: list[str]) -> None:
    site = Site(provider)
    answer = site.refused(site.token(), HTTP_COOKIE=session(site))
    assert answer.header("WWW-Authenticate") == f'{REALM}, error="invalid_token"'
    assert codes(audit) == ["two_people"]
    joe = user_key(provider.issuer, "7")
    cookie = session(site, id=joe, subject="7", username="joe")
    seen = site.seen(site.token(), HTTP_COOKIE=f"a=b; {cookie}")
    assert (seen["user"], seen["cookie"]) == ("joe", "a=b")


# Rules


def test_rules_tell_the_ways_apart(provider: StandIn) -> None:
    site = Site(
        provider,
        rules="""
            required /api/programs if via:bearer
            required /api/people if via:session
            required /api/write if scope:write or user:ada
            required /api/both if scope:a and scope:b
            denied /api/no if via:bearer
        """,
    )
    token, cookie = site.token(), {"HTTP_COOKIE": session(site)}
    assert site.seen(token, "/api/programs")["user"] == "joe"
    assert site.get(None, "/api/programs", **cookie).status == 403
    assert site.get(None, "/api/people", **cookie).status == 200
    assert site.refused(token, "/api/people", status=403).header("WWW-Authenticate") is None
    assert site.refused(token, "/api/no", status=403).header("WWW-Authenticate") is None
    lacking = site.refused(token, "/api/write", status=403).header("WWW-Authenticate") or ""
    assert 'error="insufficient_scope", scope="write"' in lacking
    lacking = site.refused(site.token(scope="a"), "/api/both", status=403).header("WWW-Authenticate") or ""
    assert 'scope="b"' in lacking
    assert site.seen(site.token(scope="write"), "/api/write")["user"] == "joe"
    assert site.seen(site.token(scope="b a"), "/api/both")["user"] == "joe"
    assert site.get(None, "/api/write", **cookie).status == 403


def test_a_token_that_does_not_say_what_a_rule_denies_is_refused(provider: StandIn, audit: list[str]) -> None:
    site = Site(provider, rules="denied /api/no if claim:suspended=true or group:interns")
    site.refused(site.token(groups=[]), status=403)
    site.refused(site.token(suspended=False), status=403)
    assert codes(audit) == ["claims_unknown", "claims_unknown"]
    good = {"suspended": False, "groups": []}
    assert site.seen(site.token(**good), "/api/no")["user"] == "joe"
    site.refused(site.token(**{**good, "groups": ["interns"]}), "/api/no", status=403)
    site.refused(site.token(**{**good, "suspended": True}), "/api/no", status=403)


def test_allow_holds_for_tokens(provider: StandIn, audit: list[str]) -> None:
    site = Site(provider, allow="group:staff")
    answer = site.refused(site.token(), status=403)
    assert answer.header("WWW-Authenticate") is None
    site.refused(site.token(), status=403)
    assert codes(audit) == ["not_allowed"]
    assert "username=joe" in audit[-1]
    assert site.seen(site.token(groups=["staff"]))["user"] == "joe"


def test_a_token_that_names_nobody_is_refused(provider: StandIn, audit: list[str]) -> None:
    site = Site(provider, attribute_map='{"username": "preferred_username"}')
    site.refused(site.token(preferred_username=LEFT_OUT), status=403)
    assert codes(audit) == ["no_username"]
    assert "attribute_map" in audit[-1]


def test_a_name_that_is_an_unverified_address_is_nobodys(provider: StandIn, audit: list[str]) -> None:
    site = Site(provider, attribute_map='{"username": "email", "email": "email"}')
    site.refused(site.token(email="jane@example.com"), status=403)
    assert codes(audit) == ["email_not_verified"]
    good = site.token(email="jane@example.com", email_verified=True)
    assert site.seen(good)["user"] == "jane@example.com"


def test_require_judges_a_token_like_a_person(provider: StandIn) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        refusal = require(environ, group="staff")
        if refusal is not None:
            return refusal(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        identity = get_identity(environ)
        return [identity.username.encode() if identity else b""]

    site = Site(provider)
    site.middleware = guard(
        app,
        issuer=provider.issuer,
        bearer_paths="/api/",
        accept_tokens="jwt",
        token_audiences=API,
        attribute_map='{"username": "sub", "groups": "groups"}',
    )
    assert site.get(site.token()).status == 403
    assert site.get(site.token(groups=["staff"])).text == "7"


# The directory


@pytest.fixture
def users(provider: StandIn, tmp_path: Path) -> Site:
    return Site(provider, directory=f"sqlite:///{tmp_path / 'users.db'}")


def enter(site: Site, username: str = "joe", subject: str = "7", **claims: Any) -> Any:
    """A sign-in at the provider, as far as the directory is concerned."""
    settings = site.middleware._settings
    return Admission(settings, site.middleware._directory).admit(
        settings.providers["default"],
        issuer=site.provider.issuer,
        subject=subject,
        claims={"sub": subject, "preferred_username": username, **claims},
        now=int(time.time()),
    )


def test_a_user_stays_what_their_sign_in_made_them(users: Site) -> None:
    joe = enter(users, "joseph", groups=["staff"])
    seen = users.seen(users.token(groups=["admins"], preferred_username="ada"))
    assert (seen["user"], seen["identity"]) == ("joseph", joe.id)
    assert users.app.seen[0]["Identity"].groups == ("staff",)
    directory = users.middleware._directory
    assert directory is not None
    assert [user.username for user in directory.users()] == ["joseph"]


def test_a_user_needs_no_name_in_the_token(provider: StandIn, tmp_path: Path) -> None:
    site = Site(
        provider,
        directory=f"sqlite:///{tmp_path / 'users.db'}",
        attribute_map='{"username": "preferred_username"}',
    )
    enter(site)
    assert site.seen(site.token(preferred_username=LEFT_OUT))["user"] == "joe"


@pytest.mark.requirement("R-access-token")
def test_a_token_takes_nobodys_name(users: Site, audit: list[str]) -> None:
    enter(users, "jane", "1")
    users.refused(users.token(preferred_username="jane"), status=403)
    users.refused(users.token(preferred_username="JANE"), status=403)
    assert codes(audit) == ["username_taken", "username_taken"]


def test_the_first_token_of_a_user_adds_them(users: Site) -> None:
    seen = users.seen(users.token(groups=["staff"]))
    directory = users.middleware._directory
    assert directory is not None
    user = directory.find(users.provider.issuer, "7")
    assert user is not None
    assert (user.id, user.username, user.groups) == (seen["identity"], "joe", ("staff",))
    # No sign-in has happened, which is what keeps personal tokens awake.
    with directory.database.reading() as connection:
        assert directory.user_and_last_sign_in(connection, ORIGIN, user.id)[1] is None


def test_an_unknown_user_is_not_added_where_none_is(
    provider: StandIn, tmp_path: Path, audit: list[str]
) -> None:
    site = Site(provider, directory=f"sqlite:///{tmp_path / 'users.db'}", create_users="false")
    site.refused(site.token(), status=403)
    assert codes(audit) == ["user_unknown"]


@pytest.mark.requirement("R-access-token")
def test_a_disabled_user_is_out_within_revocation_sync(users: Site, audit: list[str]) -> None:
    joe = enter(users)
    token = users.token()
    users.seen(token)
    directory = users.middleware._directory
    assert directory is not None
    directory.set_disabled(joe.id, disabled=True, now=int(time.time()))
    users.later(6)
    users.refused(token, status=403)
    assert codes(audit) == ["user_disabled"]


def test_on_login_may_refuse_a_token(provider: StandIn, audit: list[str]) -> None:
    site = Site(provider, on_login=f"{__name__}:not_joe")
    site.refused(site.token(), status=403)
    assert codes(audit) == ["on_login"]
    assert site.seen(site.token(preferred_username="ada"))["user"] == "ada"


def not_joe(identity: Any) -> None:
    if identity.username == "joe":
        raise ValueError("not joe")


# Keys


def test_junk_does_not_make_us_call_the_provider_without_bound(provider: StandIn) -> None:
    site = Site(provider)
    site.seen(site.token())
    stranger = rsa_key(2)
    now = int(time.time())
    claims = {"iss": provider.issuer, "aud": API, "sub": "1", "iat": now, "exp": now + 9}
    for number in range(50):
        site.refused(stranger.sign(claims, typ="at+jwt", kid=f"k{number}"))
        site.refused(f"junk{number}")
        site.refused(stranger.sign({**claims, "iss": f"https://{number}.example"}, typ="at+jwt"))
    assert len(provider.asked("/jwks")) <= 2
    assert len(provider.requests) <= 3


def test_a_provider_that_is_down_is_a_503(provider: StandIn, audit: list[str]) -> None:
    site = Site(provider)
    token = site.token()
    provider.close()
    answer = site.refused(token, status=503)
    assert answer.header("Retry-After")
    assert "provider_unavailable" in audit[-1]


# Introspection


def test_the_provider_is_asked_once(provider: StandIn) -> None:
    site = introspecting(provider)
    provider.introspected["opaque"] = dict(OPAQUE)
    assert site.seen("opaque")["user"] == "joe"
    assert site.seen("opaque")["identity"] == user_key(provider.issuer, "7")
    site.later(29)
    site.seen("opaque")
    assert site.asked == 1
    asked = provider.asked("/introspect")[0]
    assert dict(asked.form) == {"token": "opaque", "token_type_hint": "access_token"}
    site.later(2)
    site.seen("opaque")
    assert site.asked == 2


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_the_client_proves_itself_as_configured(provider: StandIn, method: str) -> None:
    provider.auth_method = method
    site = introspecting(provider, client_auth_method=method)
    provider.introspected["opaque"] = dict(OPAQUE)
    assert site.seen("opaque")["user"] == "joe"
    wrong = introspecting(provider, client_auth_method=method, client_secret="wrong")
    wrong.refused("opaque", status=502)


def test_the_endpoint_that_is_written_is_asked(provider: StandIn) -> None:
    provider.metadata["introspection_endpoint"] = "https://elsewhere.example/introspect"
    site = introspecting(provider, introspection_endpoint=f"{provider.url}/introspect")
    provider.introspected["opaque"] = dict(OPAQUE)
    assert site.seen("opaque")["user"] == "joe"


@pytest.mark.requirement("R-access-token")
def test_a_provider_that_names_no_endpoint_opens_nothing(provider: StandIn, audit: list[str]) -> None:
    provider.metadata["introspection_endpoint"] = LEFT_OUT
    introspecting(provider).refused("opaque", status=502)
    assert "names no introspection_endpoint: set it" in audit[-1]


@pytest.mark.requirement("R-access-token")
def test_a_token_that_is_revoked_ends_within_six_syncs(provider: StandIn, audit: list[str]) -> None:
    site = introspecting(provider, revocation_sync="1s")
    provider.introspected["opaque"] = dict(OPAQUE)
    site.seen("opaque")
    del provider.introspected["opaque"]
    site.later(6.1)
    answer = site.refused("opaque")
    assert answer.header("WWW-Authenticate") == f'{REALM}, error="invalid_token"'
    assert codes(audit) == ["token_inactive"]


@pytest.mark.requirement("R-access-token")
def test_an_answer_is_not_remembered_beyond_its_end(provider: StandIn, audit: list[str]) -> None:
    site = introspecting(provider, leeway="0s")
    provider.introspected["opaque"] = {**OPAQUE, "exp": int(time.time()) + 3}
    site.seen("opaque")
    site.later(4)
    provider.introspected.clear()
    site.refused("opaque")
    assert codes(audit) == ["token_inactive"]


def test_zero_asks_every_time(provider: StandIn) -> None:
    site = introspecting(provider, revocation_sync="0")
    provider.introspected["opaque"] = dict(OPAQUE)
    for _ in range(3):
        site.seen("opaque")
    assert site.asked == 3


def test_an_inactive_token_is_remembered_for_five_seconds(provider: StandIn) -> None:
    site = introspecting(provider, revocation_sync="0")
    for _ in range(5):
        site.refused("gone")
    assert site.asked == 1
    site.later(5.1)
    site.refused("gone")
    assert site.asked == 2


def test_strangers_are_bounded(provider: StandIn, monkeypatch: pytest.MonkeyPatch, audit: list[str]) -> None:
    monkeypatch.setattr(strangers, "MAX_OF_ALL", 45)
    site = introspecting(provider, revocation_sync="1s")
    provider.introspected["opaque"] = dict(OPAQUE)
    site.seen("opaque")
    site.later(60 - site.clocks.monotonic() % 60)
    for number in range(40):
        site.get(f"wrong{number}", REMOTE_ADDR="93.184.216.34")
    assert site.asked == 31
    answer = site.refused("wrong99", REMOTE_ADDR="93.184.216.34", status=429)
    assert answer.header("Retry-After") == "60"
    assert answer.header("WWW-Authenticate") is None
    for number in range(40):
        site.get(f"other{number}", REMOTE_ADDR="10.0.0.1")
    assert site.asked == 46
    site.refused("new", REMOTE_ADDR="93.184.216.35", status=429)
    # Whose token served before is no stranger.
    site.seen("opaque", REMOTE_ADDR="93.184.216.34")
    site.later(60)
    site.refused("new", REMOTE_ADDR="93.184.216.34")
    assert "token_tries" in codes(audit)


@pytest.mark.requirement("R-access-token")
def test_a_provider_that_answers_with_errors_is_not_asked_without_bound(
    provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "MAX_OF_ALL", 5)
    site = introspecting(provider)
    site.later(60 - site.clocks.monotonic() % 60)
    provider.answers["introspection"] = Answer(b"{}", 404)
    for number in range(9):
        assert site.get(f"t{number}").status == (502 if number < 5 else 429)
    assert site.asked == 5


def test_requests_at_once_with_one_token_ask_as_few_times_as_may_be(provider: StandIn) -> None:
    site = introspecting(provider)
    provider.introspected["opaque"] = dict(OPAQUE)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: site.get("opaque").status, range(24)))
    assert set(answers) == {200}
    assert site.asked <= call_gate.PLACES


def test_no_more_than_some_calls_are_in_flight(provider: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_gate, "MAX_WAIT", 0.05)
    site = introspecting(provider)
    goes_on = threading.Event()

    def slow(answer: Any) -> Any:
        goes_on.wait(2.5)
        return answer

    provider.answers["introspection"] = slow
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(site.get, f"t{number}") for number in range(6)]
        finished = as_completed(asked, timeout=2)
        assert [next(finished).result().status for _ in range(2)] == [503, 503]
        goes_on.set()
        statuses = sorted(each.result().status for each in asked)
    assert statuses == [401, 401, 401, 401, 503, 503]


def test_the_tables_are_bounded_and_strangers_push_nobody_out(
    provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "MAX_OF_ALL", 1000)
    site = introspecting(provider)
    provider.introspected["opaque"] = dict(OPAQUE)
    site.seen("opaque")
    tokens = site.middleware._site().access_tokens
    monkeypatch.setattr(tokens._refused, "max_entries", 10)
    monkeypatch.setattr(tokens._users, "max_entries", 10)
    for number in range(30):
        site.get(f"wrong{number}")
    assert len(tokens._refused) == 10
    asked = site.asked
    site.seen("opaque")
    assert site.asked == asked


@pytest.mark.requirement("R-access-token")
@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Answer(b"busy", 500), 503, "provider_unavailable"),
        (Answer(b"busy", 429), 503, "provider_unavailable"),
        (Answer(b"{}", 404), 502, "introspection"),
        (Answer(b'{"error": "invalid_client"}', 401), 502, "invalid_client"),
        (Answer(b'{"error": "unsupported_token_type"}', 400), 401, "token_inactive"),
        (Answer(b"{}"), 502, "introspection"),
        (Answer(b'{"active": "true", "sub": "1"}'), 502, "introspection"),
        (Answer(b'{"active": 1, "sub": "1"}'), 502, "introspection"),
        (Answer(b"active=true&sub=1"), 502, "introspection"),
        (Answer(b"<html>", content_type="text/html"), 502, "introspection"),
        (Answer(b'{"active": true, "active": false}'), 502, "introspection"),
        (Answer(b"[true]"), 502, "introspection"),
        (Answer(b"x" * 300_000), 502, "answer_too_large"),
        (Answer(b'{"active": true}'), 401, "token_subject"),
    ],
)
def test_no_answer_of_the_provider_is_an_open_door(
    provider: StandIn, audit: list[str], answer: Answer, status: int, code: str
) -> None:
    site = introspecting(provider)
    provider.answers["introspection"] = answer
    refused = site.refused("opaque", status=status)
    assert json.loads(refused.text)["reference"] in audit[-1]
    assert f"code={code}" in audit[-1]


def test_a_provider_that_is_down_is_not_asked_again_at_once(
    provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = introspecting(provider)
    provider.introspected["opaque"] = dict(OPAQUE)
    provider.answers["introspection"] = Answer(b"busy", 503)
    for number in range(2 * call_gate.MAX_FAILURES):
        site.refused(f"t{number}", status=503)
    assert site.asked == call_gate.MAX_FAILURES
    del provider.answers["introspection"]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + breaker.PAUSE + 0.1)
    site.seen("opaque")


def test_a_jwt_of_another_issuer_is_not_shown_to_the_provider(provider: StandIn, audit: list[str]) -> None:
    site = introspecting(provider)
    provider.introspected[site.token()] = dict(OPAQUE)
    assert site.seen(site.token())["user"] == "joe"
    asked = site.asked
    site.refused(site.token(iss="https://other.example"))
    assert site.asked == asked
    assert codes(audit) == ["token_issuer"]


def test_a_provider_may_have_both_kinds(provider: StandIn) -> None:
    site = introspecting(provider, accept_tokens="jwt introspection", token_audiences=API)
    assert site.seen(site.token())["user"] == "joe"
    assert site.asked == 0
    provider.introspected["opaque"] = {**OPAQUE, "aud": API}
    assert site.seen("opaque")["user"] == "joe"
    # One that does not say that it is an access token is not read here, and the provider knows what it is.
    site.refused(provider.key.sign({"iss": provider.issuer}, typ="JWT"))
    assert site.asked == 2


def test_two_clients_of_one_issuer_are_told_apart_by_audience(provider: StandIn) -> None:
    other: Any = {
        "issuer": provider.issuer,
        "client_id": "other",
        "client_secret": "s3cret",
        "accept_tokens": "jwt",
        "token_audiences": "https://other-api.example",
        "same_users_as": "default",
        "attribute_map": '{"username": "sub"}',
        "username_prefix": "o-",
    }
    keys: dict[str, Any] = {"username_prefix": "d-", "provider:other": other}
    site = Site(provider, **keys)
    assert site.seen(site.token())["user"] == "d-joe"
    assert site.seen(site.token(aud="https://other-api.example"))["user"] == "o-7"
