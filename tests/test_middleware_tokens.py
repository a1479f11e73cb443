"""Requests with a personal token through the whole middleware: whom they let in, and where they are refused."""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.credentials import token_requests
from oauth2_mw.credentials.token_text import TokenText
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.model import Identity
from tests.support.audit_lines import audit_lines
from tests.support.hosts.guarded import sign_in
from tests.support.hosts.token_site import DAY, TokenSite, basic, bearer
from tests.support.stores.database import statements

XHR = {"HTTP_X_REQUESTED_WITH": "XMLHttpRequest"}
#: as Thunderbird 153 sends its calendar's requests
CALENDAR = {
    "HTTP_SEC_FETCH_SITE": "cross-site",
    "HTTP_SEC_FETCH_MODE": "no-cors",
    "HTTP_SEC_FETCH_DEST": "empty",
}


@pytest.fixture
def site(tmp_path: Path) -> TokenSite:
    return TokenSite(tmp_path)


@pytest.fixture
def audit() -> Iterator[list[str]]:
    with audit_lines() as lines:
        yield lines


def refused(
    site: TokenSite, audit: list[str], code: str, *arguments: Any, status: int = 401, **keys: Any
) -> Any:
    """Ask, see that the application is not, and return the answer."""
    calls, lines = site.app.calls, len(audit)
    answer = site.get(*arguments, **keys)
    assert answer.status == status
    assert site.app.calls == calls
    assert f"code={code}" in audit[lines]
    # Whoever knows the owner knows the provider.
    assert "user=" not in audit[lines] or re.search(r" provider=(default|:service) ", audit[lines])
    assert answer.cookies == {}
    return answer


# Who it is


@pytest.mark.parametrize("header", [bearer, basic])
def test_a_token_is_its_owner(site: TokenSite, header: Any) -> None:
    answer = site.get("/dav/x", header(site.make()))
    assert answer.status == 200
    (seen,) = site.app.seen
    assert (seen["user"], seen["auth_type"], seen["identity"]) == ("jane", "OAuth2", site.jane.id)
    assert answer.cookies == {}
    assert answer.header("Cache-Control") == "private"


def test_what_the_application_learns_is_what_the_last_sign_in_left(tmp_path: Path) -> None:
    site = TokenSite(tmp_path, environ={"REMOTE_EMAIL": "email", "REMOTE_TEAM": "claims.team"})
    token = site.make()
    site.sign_in(email="jane@corp.example", team="blue", acr="gold")
    site.get("/dav/x", bearer(token))
    seen = site.app.seen[-1]
    assert (seen["environ"]["REMOTE_EMAIL"], seen["environ"]["REMOTE_TEAM"]) == ("jane@corp.example", "blue")
    identity = seen["Identity"]
    assert (identity.id, identity.subject, identity.acr, identity.auth_time) == (
        site.jane.id,
        "1",
        None,
        None,
    )


@pytest.mark.parametrize("username", ["jane", "Jane", "JANE"])
def test_the_username_may_be_written_in_capitals(site: TokenSite, username: str) -> None:
    assert site.get("/dav/x", basic(site.make(), username)).status == 200


def test_a_username_may_have_a_colon(tmp_path: Path) -> None:
    site = TokenSite(tmp_path, username_prefix="corp:")
    assert site.get("/dav/x", basic(site.make(), "corp:jane")).status == 200


def test_another_username_is_refused(site: TokenSite, audit: list[str]) -> None:
    token = site.make()
    for username in ("joe", "", "jane2", "x:jane"):
        refused(site, audit, "token_username", "/dav/x", basic(token, username))


# Where it serves


@pytest.mark.parametrize("path", ["/dav/", "/dav/a/b", "/dav", "/feed"])
def test_a_token_serves_below_its_paths(site: TokenSite, path: str) -> None:
    assert site.get(path, bearer(site.make())).status == 200


@pytest.mark.requirement("R-omwpat")
@pytest.mark.parametrize(
    "path", ["/", "", "/davx", "/feed/x", "/DAV/x", "/dav//x", "/dav/../x", "/x/../dav/y"]
)
@pytest.mark.parametrize("rules", ["", "delegated /", "optional /"])
def test_elsewhere_it_is_refused_before_the_application_hears_of_it(
    tmp_path: Path, audit: list[str], path: str, rules: str
) -> None:
    site = TokenSite(tmp_path, rules=rules)
    token = site.make()
    for header in (
        bearer(token),
        basic(token),
        f"Token {token.text}",
        token.text,
        f"Bearer {token.text[:20]}",
    ):
        refused(site, audit, "token_not_here", path, header)


@pytest.mark.requirement("R-omwpat")
def test_without_the_setting_tokens_serve_nowhere(tmp_path: Path, audit: list[str]) -> None:
    token = TokenSite(tmp_path).make()
    for keys in ({"personal_tokens": "none"}, {"personal_tokens": "none", "directory": "none"}):
        refused(TokenSite(tmp_path, **keys), audit, "token_not_here", "/dav/x", bearer(token))


def test_a_public_path_serves_everybody_and_hands_no_token_on(tmp_path: Path) -> None:
    site = TokenSite(tmp_path, rules="public /.well-known/caldav")
    token = site.make()
    assert site.get("/.well-known/caldav", basic(token)).status == 200
    (seen,) = site.app.seen
    assert seen["user"] is None
    assert token.text not in repr(seen)


def test_a_path_under_another_script_is_not_below_its_paths(site: TokenSite, audit: list[str]) -> None:
    refused(site, audit, "token_not_here", "/dav/x", bearer(site.make()), SCRIPT_NAME="/elsewhere")


def test_a_token_may_serve_for_less_than_all_tokens_do(site: TokenSite, audit: list[str]) -> None:
    token = site.make(paths="/dav/own/")
    assert site.get("/dav/own/x", bearer(token)).status == 200
    for path in ("/dav/x", "/feed"):
        answer = refused(site, audit, "token_not_here", path, bearer(token), status=403)
        assert answer.header("WWW-Authenticate").endswith('error="insufficient_scope"')


def test_a_path_that_is_no_rule_any_more_serves_nowhere(site: TokenSite, audit: list[str]) -> None:
    token = site.make(paths="/dav//x /feed")
    assert site.get("/feed", bearer(token)).status == 200
    refused(site, audit, "token_not_here", "/dav/x", bearer(token), status=403)


@pytest.mark.requirement("R-token-life")
def test_a_reading_token_only_reads(site: TokenSite, audit: list[str]) -> None:
    token = site.make(read_only=True)
    for method in ("GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"):
        assert site.get("/dav/x", bearer(token), REQUEST_METHOD=method).status == 200
    for method in ("PUT", "POST", "DELETE", "MKCOL", "LOCK", "PROPPATCH", "MOVE", "get"):
        refused(site, audit, "token_read_only", "/dav/x", bearer(token), status=403, REQUEST_METHOD=method)
    for header in ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_METHOD_OVERRIDE"):
        refused(site, audit, "token_read_only", "/dav/x", bearer(token), status=403, **{header: "delete"})


# What the application sees of it


@pytest.mark.requirement("R-omwpat")
@pytest.mark.parametrize("strip", ["basic", "all", "none"])
@pytest.mark.parametrize(
    "key", ["Authorization", "AUTHORIZATION", "HTTP_Authorization", "REDIRECT_HTTP_AUTHORIZATION"]
)
def test_the_application_sees_no_token_in_any_spelling(tmp_path: Path, strip: str, key: str) -> None:
    site = TokenSite(tmp_path, strip_authorization=strip)
    token = site.make()
    for header in (bearer(token), basic(token)):
        assert site.get("/dav/x", header, **{key: header}).status == 200
        assert site.get("/dav/x", header, **{key: "Basic am9lOnB3"}).status == 200
    assert all("AUTHORIZATION" not in name.upper() for seen in site.app.seen for name in seen["environ"])
    cookie = sign_in(site.middleware, site.jane)
    for header in (bearer(token), basic(token), f"Token {token.text}", f"x {token.text}", "Bearer omwpat_"):
        site.get("/x", None, **{key: header, "HTTP_COOKIE": cookie})
        assert "omwpat" not in repr(site.app.seen[-1])


@pytest.mark.requirement("R-omwpat")
def test_a_token_is_known_in_every_spelling_of_basic(site: TokenSite, audit: list[str]) -> None:
    text = site.make().text
    pairs = [
        f"jane:{text}",
        f"{text}:",
        f"{text}:x-oauth-basic",
        f"x:y:{text}",
        f"é:{text}",
        f"ab:{text}",
        text,
    ]
    for pair in pairs:
        for encode in (b64encode, urlsafe_b64encode):
            code = encode(pair.encode()).decode()
            for header in (
                f"Basic {code}",
                f"basic   {code}",
                f"BASIC {code.rstrip('=')}",
                f"Basic {code[:9]}\t{code[9:]}",
                f"Basic {'-'.join(code[i : i + 4] for i in range(0, 8, 4))} {code[8:]}",
            ):
                refused(site, audit, "token_not_here", "/x", header)


def test_what_is_no_token_is_left_to_others(tmp_path: Path) -> None:
    site = TokenSite(tmp_path, rules="delegated /dav/", strip_authorization="none")
    for header in ("Bearer abc", "Token abc", "Bearer omwpat", "Token b213cGF0"):
        assert site.get("/dav/x", header).status == 200
        assert site.app.seen[-1]["user"] is None
        assert site.app.seen[-1]["environ"]["HTTP_AUTHORIZATION"] == header


def test_our_cookies_are_hidden_and_none_is_set(site: TokenSite) -> None:
    cookie = sign_in(site.middleware, site.jane)
    answer = site.get("/dav/x", bearer(site.make()), HTTP_COOKIE=f"theme=dark; {cookie}")
    assert answer.status == 200
    assert site.app.seen[-1]["cookie"] == "theme=dark"
    assert answer.cookies == {}


def test_a_token_opens_none_of_our_own_addresses(site: TokenSite) -> None:
    token = site.make()
    for name in ("sessions/", "tokens/"):
        answer = site.get(f"/auth/oauth2/{name}", bearer(token))
        assert answer.status == 401
    logout = site.get("/auth/oauth2/logout/", bearer(token), REQUEST_METHOD="POST")
    assert logout.status != 401
    assert site.get("/dav/x", bearer(token)).status == 200


@pytest.mark.requirement("R-websocket")
def test_a_page_of_another_origin_opens_no_websocket_with_a_token(tmp_path: Path, audit: list[str]) -> None:
    site = TokenSite(tmp_path, cors_origins="https://spa.example")
    keys: dict[str, Any] = {"HTTP_UPGRADE": "websocket", "HTTP_ORIGIN": "https://evil.example"}
    refused(site, audit, "foreign_origin", "/dav/x", bearer(site.make()), status=403, **keys)
    # Browsers send along what a person has once typed into their own box.
    refused(site, audit, "token_cross_site", "/dav/x", basic(site.make()), **keys)
    keys["HTTP_ORIGIN"] = "https://spa.example"
    assert site.get("/dav/x", bearer(site.make()), **keys).status == 200


# One request, one person


def test_a_cookie_and_a_token_of_different_people_are_refused(site: TokenSite, audit: list[str]) -> None:
    joe = sign_in(site.middleware, site.sign_in("joe", "2"))
    answer = refused(site, audit, "two_people", "/dav/x", bearer(site.make()), HTTP_COOKIE=joe)
    assert "different people" in answer.text
    dead = joe.replace("=", "=x")
    assert site.get("/dav/x", bearer(site.make()), HTTP_COOKIE=dead).status == 200


@pytest.mark.parametrize("condition", ["via:token", "signed-in and via:token", "group:x or via:token"])
def test_a_rule_may_ask_for_a_token(tmp_path: Path, condition: str) -> None:
    site = TokenSite(tmp_path, rules=f"required /dav/ if {condition}")
    assert site.get("/dav/x", bearer(site.make())).status == 200
    assert site.get("/dav/x", None, HTTP_COOKIE=sign_in(site.middleware, site.jane)).status == 403


def test_rules_hold_for_a_token_as_for_its_owner(tmp_path: Path, audit: list[str]) -> None:
    rules = """
    denied   /dav/none/
    required /dav/admin/ if group:admins
    required /dav/team/ if claim:team=blue
    required /dav/mail/ if email_domain:corp.example
    required /dav/acr/ if acr:gold
    required /dav/web/ if via:session
    """
    site = TokenSite(tmp_path, rules=rules, group_sync="always")
    token = site.make()

    def statuses() -> dict[str, int]:
        site.later(6)
        return {
            name: site.get(f"/dav/{name}/x", bearer(token)).status
            for name in ("none", "admin", "team", "mail", "acr", "web", "any")
        }

    nobody = {"none": 403, "admin": 403, "team": 403, "mail": 403, "acr": 403, "web": 403, "any": 200}
    assert statuses() == nobody
    assert "does not let 'jane' pass" in audit[-2]
    site.sign_in(groups=["admins"], team="blue", email="jane@corp.example", email_verified=True, acr="gold")
    assert statuses() == nobody | {"admin": 200, "team": 200, "mail": 200}
    site.sign_in(team="blue", email="jane@corp.example", email_verified=False)
    assert statuses() == nobody | {"team": 200}


def test_allow_holds_for_a_token_as_for_its_owner(tmp_path: Path, audit: list[str]) -> None:
    allowed = tmp_path / "allow.txt"
    allowed.write_text("user:jane\n")
    site = TokenSite(tmp_path, allow=f"file:{allowed}")
    token = site.make()
    assert site.get("/dav/x", bearer(token)).status == 200
    allowed.write_text("user:joe\nemail:jane@example.com\n")
    site.later(6)
    refused(site, audit, "not_allowed", "/dav/x", bearer(token), status=403)
    assert " provider=default " in audit[-1]


# When it ends


@pytest.mark.requirement("R-token-life")
def test_a_token_ends_when_its_time_is_over(site: TokenSite, audit: list[str]) -> None:
    token = site.make(lifetime=3600)
    site.later(3500)
    assert site.get("/dav/x", bearer(token)).status == 200
    site.later(100)
    refused(site, audit, "token_ran_out", "/dav/x", bearer(token))


def test_a_revoked_token_ends_within_revocation_sync(site: TokenSite, audit: list[str]) -> None:
    token = site.make()
    assert site.get("/dav/x", bearer(token)).status == 200
    assert site.middleware._tokens is not None
    assert site.middleware._tokens.end(token.id) is not None
    site.later(5)
    refused(site, audit, "token_wrong", "/dav/x", bearer(token))


@pytest.mark.requirement("R-token-life")
def test_the_token_of_a_disabled_user_ends_within_revocation_sync(site: TokenSite, audit: list[str]) -> None:
    token = site.make()
    assert site.get("/dav/x", bearer(token)).status == 200
    directory = site.middleware._directory
    assert directory is not None
    directory.set_disabled(site.jane.id, disabled=True, now=1)
    site.later(5)
    refused(site, audit, "token_owner_out", "/dav/x", bearer(token))


@pytest.mark.requirement("R-token-life")
def test_a_token_sleeps_when_its_owner_was_not_seen_until_they_are(site: TokenSite, audit: list[str]) -> None:
    token = site.make(lifetime=366 * DAY)
    site.later(90 * DAY - 3600)
    assert site.get("/dav/x", bearer(token)).status == 200
    assert any(line.startswith("event=token_sleeps_soon") for line in audit)
    site.later(3600)
    answer = refused(site, audit, "token_asleep", "/dav/x", basic(token))
    assert "signs in here in a browser" in answer.text
    assert audit[-1].startswith("event=token_asleep")
    site.sign_in()
    site.later(5)
    assert site.get("/dav/x", basic(token)).status == 200


def test_a_refresh_that_the_provider_grants_keeps_a_token_awake(site: TokenSite) -> None:
    token = site.make(lifetime=366 * DAY)
    site.later(89 * DAY)
    admission = Admission(site.middleware._settings, site.middleware._directory)
    admission.note_seen(site.jane, now=int(site.clocks.wall()))
    site.later(89 * DAY)
    assert site.get("/dav/x", bearer(token)).status == 200


def test_a_token_sleeps_while_the_provider_of_the_last_sign_in_is_away(
    tmp_path: Path, audit: list[str]
) -> None:
    token = TokenSite(tmp_path).make()
    # Jane is somebody else there: as the owner of the token she has not signed in.
    other = TokenSite(tmp_path, issuer="https://new.example", username_prefix="new:")
    refused(other, audit, "token_asleep", "/dav/x", bearer(token))


# Programs that belong to nobody


def service(site: TokenSite, name: str = "backup") -> Identity:
    directory = site.middleware._directory
    assert directory is not None
    user = directory.add_service("https://app.example", name, now=1)
    assert user is not None
    return Identity(user.id, ":service", user.issuer, user.subject, user.username)


def test_the_token_of_a_service_never_sleeps(tmp_path: Path) -> None:
    site = TokenSite(tmp_path, rules="required /dav/ if user:backup and provider:default or user:backup")
    owner = service(site)
    token = site.make(owner, lifetime=366 * DAY)
    site.later(365 * DAY)
    assert site.get("/dav/x", basic(token, "backup")).status == 200
    seen = site.app.seen[-1]
    assert (seen["user"], seen["Identity"]) == ("backup", owner)


def test_a_service_comes_in_only_where_allow_and_the_rules_let_it(tmp_path: Path, audit: list[str]) -> None:
    site = TokenSite(tmp_path, allow="user:jane user:backup", rules="required /dav/own/ if provider:default")
    refused(site, audit, "not_allowed", "/dav/x", bearer(site.make(service(site, "ci"))), status=403)
    assert " provider=:service " in audit[-1]
    token = site.make(service(site))
    assert site.get("/dav/x", bearer(token)).status == 200
    assert site.get("/dav/own/x", bearer(token)).status == 403


def test_a_disabled_service_stays_out(site: TokenSite, audit: list[str]) -> None:
    owner = service(site)
    token = site.make(owner)
    directory = site.middleware._directory
    assert directory is not None
    directory.set_disabled(owner.id, disabled=True, now=1)
    refused(site, audit, "token_owner_out", "/dav/x", bearer(token))


# Wrong ones, and what they cost


def test_a_wrong_token_asks_the_database_once_a_minute(site: TokenSite, audit: list[str]) -> None:
    site.make()
    wrong = TokenText.make()
    with statements() as seen:
        refused(site, audit, "token_wrong", "/dav/x", bearer(wrong))
    assert seen
    lines = len(audit)
    with statements() as seen:
        for _ in range(5):
            site.later(11)
            assert site.get("/dav/x", basic(wrong)).status == 401
    assert seen == {}
    # It is in the log already.
    assert len(audit) == lines
    site.later(6)
    with statements() as seen:
        refused(site, audit, "token_wrong", "/dav/x", bearer(wrong))
    assert seen


def test_a_mistyped_token_asks_the_database_nothing(site: TokenSite, audit: list[str]) -> None:
    text = site.make().text
    with statements() as seen:
        for wrong in (
            text[:-1],
            text + "x",
            text[:-1] + "!",
            "omwpat_",
            text.upper().replace("OMWPAT", "omwpat"),
        ):
            refused(site, audit, "token_wrong", "/dav/x", f"Bearer {wrong}")
    assert seen == {}


def test_no_more_wrong_tokens_are_remembered_than_fit(
    site: TokenSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = site.middleware._token_requests._cache
    monkeypatch.setattr(cache, "max_entries", 10)
    for number in range(50):
        site.get("/dav/x", f"Bearer omwpat_{number}")
    assert len(cache) == 10


def test_a_personal_token_has_no_scopes(tmp_path: Path, audit: list[str]) -> None:
    site = TokenSite(
        tmp_path,
        rules="required /dav/ if scope:read",
        bearer_paths="/api/",
        accept_tokens="jwt",
        token_audiences="https://api.example",
    )
    answer = site.get("/dav/x", bearer(site.make()))
    assert (answer.status, answer.header("WWW-Authenticate"), site.app.calls) == (403, None, 0)
    assert "code=path_not_allowed" in audit[-1]


def test_no_refusal_tells_the_token(site: TokenSite, audit: list[str]) -> None:
    token, wrong = site.make(lifetime=1), TokenText.make()
    site.later(2)
    for header in (bearer(token), basic(token), basic(token, "joe"), bearer(wrong), f"Token {token.text}"):
        for path in ("/dav/x", "/x"):
            answer = site.get(path, header)
            assert answer.status == 401
            assert "omwpat_" not in answer.text + repr(answer.headers)
    assert "omwpat_" not in repr(audit)


@pytest.mark.parametrize(
    "header",
    ["Token {}", "{}", "Bearer", "Basic {}", "Digest username={}", "Bearer {} x", "Basic !{}", "Bearer,{}"],
)
def test_another_scheme_is_refused(site: TokenSite, header: str) -> None:
    answer = site.get("/dav/x", header.format(site.make().text))
    assert answer.status == 401
    assert site.app.calls == 0


def test_a_database_that_is_gone_is_a_refusal(site: TokenSite, tmp_path: Path) -> None:
    token = site.make()
    (tmp_path / "users.db").unlink()
    (tmp_path / "users.db").mkdir()
    answer = site.get("/dav/x", bearer(token))
    assert answer.status == 503
    assert answer.header("Retry-After") == "5"
    assert site.app.calls == 0


# What is on record


def test_the_first_use_is_on_record_and_the_last_at_most_once_a_minute(
    site: TokenSite, audit: list[str]
) -> None:
    token = site.make()
    for _ in range(10):
        assert site.get("/dav/x", bearer(token)).status == 200
        site.later(20)
    (line,) = [line for line in audit if "token_used_first" in line]
    assert f" provider=default user={site.jane.id} username=jane token={token.id} " in f"{line} "
    assert site.middleware._tokens is not None
    (stored,) = site.middleware._tokens.of_user(site.jane.id)
    assert stored.used_at is not None
    assert stored.used_at - stored.created_at in range(179, 182)


def test_a_use_that_cannot_be_noted_is_served_all_the_same(
    site: TokenSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = site.make()
    assert site.get("/dav/x", bearer(token)).status == 200
    site.later(61)
    assert site.get("/feed", bearer(token)).status == 200
    monkeypatch.setattr(token_requests, "_NOTED_EVERY", 0)
    (tmp_path / "users.db").unlink()
    (tmp_path / "users.db").mkdir()
    assert site.get("/dav/x", bearer(token)).status == 200


# The challenge


def challenge(site: TokenSite, path: str = "/dav/x", **keys: Any) -> str | None:
    answer = site.get(path, None, **keys)
    assert answer.status == 401
    assert len(answer.all_headers("WWW-Authenticate")) <= 1
    return answer.header("WWW-Authenticate")


BASIC = 'Basic realm="https://app.example", charset="UTF-8"'


@pytest.mark.requirement("R-basic")
def test_programs_are_offered_basic_alone_where_tokens_serve(site: TokenSite) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "PROPFIND", "POST", "PUT"):
        for path in ("/dav/", "/dav/a", "/feed"):
            assert challenge(site, path, REQUEST_METHOD=method) == BASIC
    answer = site.get("/dav/x", None, HTTP_ACCEPT="*/*")
    assert json.loads(answer.text)["login_url"].startswith("https://app.example/auth/oauth2/login/")


@pytest.mark.requirement("R-basic")
def test_elsewhere_nobody_is_offered_basic(site: TokenSite) -> None:
    for path in ("/", "/x", "/dav//x", "/davx", "/auth/oauth2/sessions/"):
        assert not (challenge(site, path) or "").startswith("Basic")


@pytest.mark.requirement("R-basic")
@pytest.mark.parametrize(
    "headers",
    [
        XHR,
        {"HTTP_X_REQUESTED_WITH": "xmlhttprequest"},
        {"HTTP_ORIGIN": "https://app.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_SEC_FETCH_MODE": "cors", "REQUEST_METHOD": "PROPFIND"},
        {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_COOKIE": "a=b"},
        {"HTTP_SEC_FETCH_SITE": "none", "HTTP_REFERER": "https://app.example/"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
        {
            "HTTP_SEC_FETCH_SITE": "cross-site",
            "HTTP_SEC_FETCH_MODE": "no-cors",
            "HTTP_SEC_FETCH_DEST": "image",
        },
        {**CALENDAR, "REQUEST_METHOD": "GET"},
        {**CALENDAR, "REQUEST_METHOD": "POST"},
        {**CALENDAR, "REQUEST_METHOD": "PUT", **XHR},
        {"HTTP_SEC_FETCH_MODE": "no-cors"},
    ],
)
def test_no_page_gets_a_browser_to_ask_for_a_password(site: TokenSite, headers: dict[str, str]) -> None:
    answer = site.get("/dav/x", None, **headers)
    assert answer.status == 401
    assert not (answer.header("WWW-Authenticate") or "").startswith("Basic")


@pytest.mark.requirement("R-basic")
def test_a_person_is_sent_to_sign_in(site: TokenSite) -> None:
    for headers in (
        {"HTTP_ACCEPT": "text/html"},
        {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document", "HTTP_SEC_FETCH_SITE": "none"},
    ):
        answer = site.get("/dav/x", None, **headers)
        assert "Sign in" in answer.text
        assert not (answer.header("WWW-Authenticate") or "").startswith("Basic")


@pytest.mark.parametrize(
    "headers",
    [
        {**CALENDAR, "REQUEST_METHOD": "PROPFIND"},
        {**CALENDAR, "REQUEST_METHOD": "PUT", "HTTP_ORIGIN": "null"},
        {"HTTP_SEC_FETCH_SITE": "none", "HTTP_SEC_FETCH_MODE": "no-cors", "HTTP_SEC_FETCH_DEST": "empty"},
        {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_SEC_FETCH_MODE": "cors", "REQUEST_METHOD": "HEAD"},
    ],
)
def test_a_calendar_that_is_built_on_a_browser_is_offered_basic(
    site: TokenSite, headers: dict[str, str]
) -> None:
    assert challenge(site, **headers) == BASIC
    assert site.get("/dav/x", basic(site.make()), **headers).status == 200


@pytest.mark.requirement("R-basic")
@pytest.mark.parametrize("where", ["cross-site", "same-site"])
def test_what_a_page_of_another_site_sends_along_is_refused(
    site: TokenSite, audit: list[str], where: str
) -> None:
    token = site.make()
    for mode in ("navigate", "no-cors", "cors"):
        answer = refused(
            site,
            audit,
            "token_cross_site",
            "/dav/x",
            basic(token),
            HTTP_SEC_FETCH_SITE=where,
            HTTP_SEC_FETCH_MODE=mode,
        )
        assert answer.header("WWW-Authenticate") is None
    assert site.get("/dav/x", bearer(token), HTTP_SEC_FETCH_SITE=where).status == 200
    for origin in ("https://evil.example", "null"):
        refused(site, audit, "token_cross_site", "/dav/x", basic(token), HTTP_ORIGIN=origin)
    assert site.get("/dav/x", basic(token), HTTP_ORIGIN="https://app.example").status == 200
    for own in ("same-origin", "none"):
        assert site.get("/dav/x", basic(token), HTTP_SEC_FETCH_SITE=own).status == 200


@pytest.mark.requirement("R-basic")
def test_a_wrong_token_is_challenged_in_its_own_scheme(site: TokenSite) -> None:
    wrong = TokenText.make()
    answer = site.get("/dav/x", bearer(wrong))
    assert answer.all_headers("WWW-Authenticate") == [
        'Bearer realm="https://app.example", error="invalid_token"'
    ]
    assert site.get("/dav/x", basic(wrong)).all_headers("WWW-Authenticate") == [BASIC]
    assert site.get("/dav/x", basic(wrong), **XHR).all_headers("WWW-Authenticate") == []
    assert site.get("/x", basic(wrong)).all_headers("WWW-Authenticate") == []
