"""What the application sees of a request: nobody's word on who is signed in but ours."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.boundary import normalised_key
from oauth2_mw.errors import ConfigError, ProviderError
from oauth2_mw.identity.environ import AUTH_TYPE, EnvironWriter, Scrubber
from oauth2_mw.identity.model import Identity, freeze
from oauth2_mw.settings.proxy_headers import ANNOUNCERS, environ_key
from tests.support.settings.minimal import make_settings

TARGETS = ("REMOTE_USER", "HTTP_X_REMOTE_USER", "REMOTE_EMAIL", "HTTP_X_HOST", "MY_GROUPS")

#: The environ of an ordinary request, as gunicorn and others make it.
ORDINARY: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/page",
    "QUERY_STRING": "a=1",
    "RAW_URI": "/page?a=1",
    "REQUEST_URI": "/page?a=1",
    "CONTENT_TYPE": "text/plain",
    "CONTENT_LENGTH": "0",
    "SERVER_NAME": "app",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "x",
    "GATEWAY_INTERFACE": "CGI/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_HOST": "localhost",
    "REMOTE_PORT": "1",
    "REMOTE_IDENT": "x",
    "PATH_TRANSLATED": "/x",
    "HTTPS": "on",
    "DOCUMENT_ROOT": "/x",
    "REQUEST_SCHEME": "https",
    "SCRIPT_FILENAME": "/x",
    "SERVER_ADDR": "127.0.0.1",
    "SERVER_ADMIN": "x",
    "SERVER_SIGNATURE": "x",
    "HTTP_HOST": "app.example",
    "HTTP_COOKIE": "a=b",
    "HTTP_ACCEPT": "*/*",
    "HTTP_ACCEPT_LANGUAGE": "en",
    "HTTP_ACCEPT_CHARSET": "x",
    "HTTP_ACCEPT_ENCODING": "gzip",
    "HTTP_CACHE_CONTROL": "no-cache",
    "HTTP_USER_AGENT": "x",
    "HTTP_FORWARDED": "for=x",
    "HTTP_X_FORWARDED_FOR": "x",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_REQUEST_ID": "1",
    "HTTP_X_REQUESTED_WITH": "x",
    "HTTP_AUTHORIZATION": "Bearer x",
    "SSL_CLIENT_S_DN": "x",
    "REDIRECT_STATUS": "200",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "https",
    "wsgi.input": object(),
    "wsgi.errors": object(),
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.file_wrapper": object(),
    "gunicorn.socket": object(),
    "paste.config": {},
}


def scrubbed(
    environ: Mapping[Any, Any], *, targets: tuple[str, ...] = TARGETS, strip: Any = "basic"
) -> dict[Any, Any]:
    """What is left by a scrubber that has seen nothing before, and by one that knows every ordinary name."""
    fresh, used = dict(environ), dict(environ)
    Scrubber(targets, strip)(fresh)
    scrubber = Scrubber(targets, strip)
    scrubber(dict(ORDINARY))
    scrubber(dict(environ))
    scrubber(used)
    assert fresh == used
    return fresh


# The scrub

PROXY_HEADERS = [header for announcer in ANNOUNCERS for header in announcer.headers]

#: Headers of applications' own APIs that begin or end like those of a proxy.
APPLICATION_HEADERS = (
    "X-Auth-Token X-Auth-Key X-Auth-User X-Auth-Email X-Subject-Token X-Access-Token X-User-Id X-Token "
    "X-Goog-Resource-State X-Goog-Channel-Token X-Goog-Api-Client X-Amzn-Trace-Id X-Amz-Date X-MS-Client-Request-Id "
    "X-MS-Version X-Forwarded-For X-Forwarded-Host X-Forwarded-Prefix X-OIDC-Nonce Remote-Control X-Kubernetes-User "
    "Tailscale-Version Cf-Connecting-Ip Cf-Access-Client-Id X-Consumer X-Shib X-Authentik X-Vouch-Success X-Pomerium"
).split()

LOOK_ALIKES = [
    "REMOTE_USER",
    "Remote_User",
    "remote_user",
    "REMOTE-USER",
    "REMOTE.USER",
    "REMOTE USER",
    "X_REMOTE_USER",
    "HTTP_REMOTE_USER",
    "HTTP_REMOTE-USER",
    "HTTP_REMOTE.USER",
    "HTTP_Remote_User",
    "HTTP_X_REMOTE_USER",
    "HTTP_X-REMOTE-USER",
    "HTTP_X_REMOTE.USER",
    "REDIRECT_REMOTE_USER",
    "REDIRECT_HTTP_X_REMOTE_USER",
    "AUTH_TYPE",
    "HTTP_AUTH_TYPE",
    "HTTP_X_AUTH_TYPE",
    "HTTP_X_FORWARDED_USER",
    "HTTP_X_FORWARDED-USER",
    "HTTP_X_FORWARDED_EMAIL",
    "HTTP_X_FORWARDED_GROUPS",
    "HTTP_X_FORWARDED_PREFERRED_USERNAME",
    "HTTP_X_FORWARDED_ACCESS_TOKEN",
    "HTTP_X_AUTH_REQUEST_USER",
    "HTTP_X_AUTH_REQUEST_EMAIL",
    "HTTP_X_AUTH_REQUEST_ACCESS_TOKEN",
    "HTTP_X_AUTH_REQUEST_ANYTHING",
    "HTTP_OIDC_CLAIM_SUB",
    "HTTP_OIDC-CLAIM.SUB",
    "OIDC_CLAIM_SUB",
    "OIDC_access_token",
    "OAUTH2_MW_SECRET_KEYS",
    "HTTP_OAUTH2_MW_IDENTITY",
    "HTTP_OAUTH2-MW-IDENTITY",
    "HTTP_X_OAUTH2_MW_USER",
    "oauth2_mw.identity",
    "oauth2_mw.session",
    "oauth2-mw.identity",
    "REMOTE_EMAIL",
    "HTTP_REMOTE_EMAIL",
    "HTTP_REMOTE-EMAIL",
    "HTTP_X_REMOTE_EMAIL",
    "X_REMOTE_EMAIL",
    "HTTP_X_HOST",
    "X_HOST",
    "MY_GROUPS",
    "REMOTE_USER_",
    "_REMOTE_USER",
    "REMOTE__USER",
    "HTTP__REMOTE_USER",
    "HTTP_X__REMOTE__USER__",
    "X_HTTP__X_REMOTE_USER",
    "HTTP_MY_GROUPS",
    "HTTP_MY-GROUPS",
    "HTTP_X_MY_GROUPS",
]


@pytest.mark.requirement("3e.1")
@pytest.mark.parametrize("key", LOOK_ALIKES)
def test_a_look_alike_of_an_identity_is_deleted(key: str) -> None:
    assert scrubbed({**ORDINARY, key: "admin"}) == ORDINARY


@pytest.mark.requirement("3e.1")
def test_a_second_request_with_the_same_look_alike_is_cleaned_too() -> None:
    scrubber = Scrubber(TARGETS, "basic")
    for _ in range(3):
        environ = {**ORDINARY, **dict.fromkeys(LOOK_ALIKES, "admin")}
        scrubber(environ)
        assert environ == ORDINARY


@pytest.mark.requirement("3e.1")
def test_without_targets_the_usual_names_are_deleted_all_the_same() -> None:
    environ = {"REMOTE_USER": "a", "HTTP_X_FORWARDED_USER": "a", "REMOTE_COUNTRY": "kept"}
    assert scrubbed(environ, targets=()) == {"REMOTE_COUNTRY": "kept"}


@pytest.mark.requirement("R-scrub")
@pytest.mark.parametrize("header", PROXY_HEADERS)
def test_a_header_by_which_a_proxy_announces_a_user_is_deleted(header: str) -> None:
    key = environ_key(header.replace("*", "Anything"))
    for spelling in (key, f"{key}_", key.replace("_", "__"), key.replace("_", "."), key.lower()):
        assert scrubbed({**ORDINARY, spelling: "admin"}, targets=()) == ORDINARY


@pytest.mark.requirement("R-scrub")
@pytest.mark.parametrize("header", APPLICATION_HEADERS)
def test_no_header_of_an_application_is_deleted(header: str) -> None:
    environ = {**ORDINARY, environ_key(header): "kept"}
    assert scrubbed(environ, targets=()) == environ


@pytest.mark.requirement("R-scrub")
def test_a_header_can_be_kept_and_other_spellings_of_it_cannot() -> None:
    scrubber = Scrubber((), "basic", keep_headers=["X-Forwarded-Email"])
    for _ in range(2):
        environ = {
            "HTTP_X_FORWARDED_EMAIL": "kept",
            "HTTP_X_FORWARDED.EMAIL": "a",
            "HTTP_FORWARDED_EMAIL": "a",
            "HTTP_X_FORWARDED_USER": "a",
        }
        scrubber(environ)
        assert environ == {"HTTP_X_FORWARDED_EMAIL": "kept"}


@pytest.mark.requirement("R-scrub")
def test_what_we_write_ourselves_is_never_kept() -> None:
    environ = {"HTTP_REMOTE_EMAIL": "mallory"}
    Scrubber(["REMOTE_EMAIL"], "basic", keep_headers=["Remote-Email"])(environ)
    assert environ == {}


@pytest.mark.requirement("3e.4")
@pytest.mark.parametrize("strip", ["basic", "none"])
def test_an_ordinary_request_is_left_as_it_is(strip: str) -> None:
    assert scrubbed(ORDINARY, strip=strip) == ORDINARY


@pytest.mark.requirement("3e.4")
@pytest.mark.parametrize("key", [key for key in ORDINARY if key != "HTTP_AUTHORIZATION"])
def test_a_target_never_costs_the_application_a_standard_key(key: str) -> None:
    bare = normalised_key(key).removeprefix("HTTP_").removeprefix("X_")
    left = scrubbed(ORDINARY, targets=(f"HTTP_X_{bare}",), strip="none")
    custom = {"HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_REQUEST_ID", "HTTP_X_REQUESTED_WITH"}
    custom |= {"SSL_CLIENT_S_DN", "REDIRECT_STATUS", "gunicorn.socket", "paste.config"}
    assert key in left or key in custom


def test_keys_that_are_no_text_are_left_alone() -> None:
    environ: dict[Any, Any] = {**ORDINARY, 1: "a", b"REMOTE_USER": "b", None: "c", ("REMOTE_USER",): "d"}
    assert scrubbed(environ) == environ


@pytest.mark.requirement("3e.1")
def test_what_stands_behind_a_key_that_is_no_text_is_judged_too() -> None:
    assert scrubbed({1: "a", "REMOTE_USER": "admin", None: "b", "HTTP_X_REMOTE_USER": "admin"}) == {
        1: "a",
        None: "b",
    }


def test_an_empty_environ_is_left_empty() -> None:
    assert scrubbed({}) == {}


@given(
    st.text(st.sampled_from("ht_xHTX-. ")),
    st.sampled_from(["remote{}user", "auth{}type", "remote{}email", "oidc{}claim", "oauth2{}mw{}identity"]),
    st.lists(
        st.characters(max_codepoint=0xFF).filter(lambda c: not (c.isascii() and c.isalnum())),
        min_size=2,
        max_size=2,
    ),
    st.integers(min_value=0),
)
@pytest.mark.requirement("3e.1")
def test_no_spelling_of_a_guarded_name_gets_through(
    lead: str, name: str, between: list[str], case: int
) -> None:
    key = "".join(
        letter.upper() if case >> position & 1 else letter
        for position, letter in enumerate(name.format(*between))
    )
    environ = {key: "admin", f"HTTP_{key}": "admin", f"HTTP_X-{key}": "admin", lead + "kept": "x"}
    expected = {lead + "kept": "x"}
    # Characters whose capital is another or several are letters of another name.
    assert scrubbed(environ) == expected or any(len(c.upper()) > 1 for c in between)


@given(st.dictionaries(st.text(), st.text()))
def test_whatever_is_left_carries_no_guarded_name(environ: dict[str, str]) -> None:
    left = scrubbed(environ)
    assert left.items() <= environ.items()
    assert not any(normalised_key(key) in ("REMOTE_USER", "HTTP_REMOTE_USER", "AUTH_TYPE") for key in left)


@pytest.mark.requirement("3h.3")
def test_the_memory_of_names_is_bounded() -> None:
    scrubber = Scrubber((), "basic")
    scrubber({"Y" * 128: "", "Y" * 129: ""})
    assert {key for key in scrubber._harmless if "Y" in key} == {"Y" * 128}
    scrubber({f"HTTP_X_{number}": "" for number in range(10_000)})
    assert len(scrubber._harmless) == 4096


@pytest.mark.requirement("3e.1")
def test_a_scrubber_whose_memory_is_full_still_judges() -> None:
    scrubber = Scrubber((), "basic")
    scrubber({f"HTTP_X_{number}": "" for number in range(10_000)})
    environ = {"HTTP_NEW": "kept", "REMOTE_USER": "admin", "HTTP_" + "Z" * 200: "kept"}
    scrubber(environ)
    assert environ == {"HTTP_NEW": "kept", "HTTP_" + "Z" * 200: "kept"}


@pytest.mark.requirement("3e.1")
def test_threads_share_a_scrubber() -> None:
    scrubber = Scrubber(TARGETS, "basic")
    wrong: list[dict[str, Any]] = []

    def work(number: int) -> None:
        for turn in range(200):
            fresh = {f"HTTP_X_{number}_{turn}": "x", f"HTTP_SHARED_{turn}": "x"}
            environ = {**ORDINARY, **fresh, "HTTP_REMOTE.USER": "admin"}
            scrubber(environ)
            if environ != {**ORDINARY, **fresh}:
                wrong.append(environ)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Authorization

BASIC = [
    "Basic eDp5",
    "basic eDp5",
    "BASIC eDp5",
    " Basic eDp5",
    "\tbasic eDp5",
    "Basic",
    "Basic\teDp5",
    "\xa0Basic eDp5",
]


@pytest.mark.parametrize("value", BASIC)
def test_a_leftover_basic_header_is_deleted(value: str) -> None:
    assert scrubbed({"HTTP_AUTHORIZATION": value, "HTTP_HOST": "x"}) == {"HTTP_HOST": "x"}


@pytest.mark.parametrize("value", ["Bearer basic", "Digest username=x", "Negotiate x", "Bas", ""])
def test_an_authorization_header_of_another_scheme_is_kept(value: str) -> None:
    assert scrubbed({"HTTP_AUTHORIZATION": value}) == {"HTTP_AUTHORIZATION": value}


@pytest.mark.parametrize(
    "key", ["Authorization", "HTTP_Authorization", "http-authorization", "REDIRECT_HTTP_AUTHORIZATION"]
)
def test_another_spelling_of_the_header_is_judged_each_time(key: str) -> None:
    scrubber = Scrubber((), "basic")
    for value, left in [("Bearer x", 1), ("Basic x", 0), ("Bearer x", 1)]:
        environ = {key: value}
        scrubber(environ)
        assert len(environ) == left


def test_every_authorization_header_can_be_deleted() -> None:
    environ = {"HTTP_AUTHORIZATION": "Bearer x", "http.authorization": "Bearer x", "HTTP_HOST": "x"}
    assert scrubbed(environ, strip="all") == {"HTTP_HOST": "x"}


def test_every_authorization_header_can_be_kept() -> None:
    environ = {"HTTP_AUTHORIZATION": "Basic x", "Authorization": "Basic x"}
    assert scrubbed(environ, strip="none") == environ


@pytest.mark.parametrize("strip", ["basic", "all"])
def test_other_headers_with_a_similar_name_are_kept(strip: str) -> None:
    environ = {"HTTP_PROXY_AUTHORIZATION": "Basic x", "HTTP_X_AUTHORIZATION": "Basic x"}
    assert scrubbed(environ, strip=strip) == environ


# The identity

JANE = Identity(
    id="k1",
    provider="corp",
    issuer="https://id.example",
    subject="248289761001",
    username="jane",
    name="Jane D\u00f6e",
    email="jane@corp.example",
    groups=("staff", "a,b", "100%"),
    organizations=("DEFAULT",),
    acr="urn:mfa",
    auth_time=1700000000,
)


def plain(environ_map: Mapping[str, str], identity: Identity = JANE, **tokens: str) -> dict[str, str]:
    return EnvironWriter(environ_map).plain(identity, tokens)


def with_claims(**claims: Any) -> Identity:
    return replace(JANE, claims=freeze(claims))


def one(value: Any) -> str | None:
    """The plain form of a claim."""
    return plain({"X_ONE": "claims.one"}, with_claims(one=value)).get("X_ONE")


def test_remote_user_and_auth_type_are_always_written() -> None:
    assert (
        plain({})
        == {"REMOTE_USER": "jane", "AUTH_TYPE": AUTH_TYPE}
        == {"REMOTE_USER": "jane", "AUTH_TYPE": "OAuth2"}
    )


def test_each_field_of_the_identity_is_a_source() -> None:
    fields = {
        "id": "k1",
        "provider": "corp",
        "issuer": "https://id.example",
        "subject": "248289761001",
        "username": "jane",
        "name": "Jane D\xc3\xb6e",
        "email": "jane@corp.example",
        "groups": "staff,a%2Cb,100%25",
        "organizations": "DEFAULT",
        "acr": "urn:mfa",
        "auth_time": "1700000000",
    }
    written = plain({f"X_{field.upper()}": field for field in fields})
    assert written == {
        "REMOTE_USER": "jane",
        "AUTH_TYPE": "OAuth2",
        **{f"X_{field.upper()}": value for field, value in fields.items()},
    }


def test_an_absent_field_leaves_its_key_out() -> None:
    sources = {"X_PHONE": "phone", "X_COMMENT": "comment", "X_CLAIM": "claims.none", "X_TOKEN": "id_token"}
    assert plain(sources) == plain({})


def test_an_empty_field_leaves_its_key_out() -> None:
    nobody = replace(JANE, name="", groups=(), organizations=("",))
    assert plain({"X_NAME": "name", "X_GROUPS": "groups", "X_ORG": "organizations"}, nobody) == plain({})


def test_tokens_are_sources() -> None:
    sources = {"HTTP_X_TOKEN": "access_token", "X_ID": "id_token"}
    written = plain(sources, access_token="at", id_token="it")
    assert (written["HTTP_X_TOKEN"], written["X_ID"]) == ("at", "it")


def test_a_claim_deep_inside_is_a_source() -> None:
    identity = with_claims(realm_access={"roles": ["a", "b"]}, emails=[{"value": "x@y.example"}])
    written = plain({"X_ROLES": "claims.realm_access.roles", "X_MAIL": "claims.emails[0].value"}, identity)
    assert (written["X_ROLES"], written["X_MAIL"]) == ("a,b", "x@y.example")


@pytest.mark.parametrize("source", ["nickname", "claims", "refresh_token", "Email", ""])
def test_an_unknown_source_is_explained(source: str) -> None:
    with pytest.raises(ValueError, match=r"is not a source; write one of .*username.*, or claims\.PATH"):
        EnvironWriter({"X_ONE": source})


@pytest.mark.requirement("3e.4")
def test_the_map_cannot_overwrite_the_identity_itself() -> None:
    assert plain({"REMOTE_USER": "email", "AUTH_TYPE": "acr"}) == plain({})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (" text ", " text "),
        (5, "5"),
        (-5, "-5"),
        (2**63, "9223372036854775808"),
        (2**256 - 1, str(2**256 - 1)),
        (2**256, None),
        (1.5, "1.5"),
        (1e-7, "0.0000001"),
        (1e15, "1000000000000000.0"),
        (1e16, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, "true"),
        (False, "false"),
        (None, None),
        ("", None),
        ({"a": 1}, None),
        ([], None),
        (["a", "b"], "a,b"),
        (["a,b", "c%2C"], "a%2Cb,c%252C"),
        ([1, True, "x", 0.5], "1,true,x,0.5"),
        (["", "a", ""], "a"),
        ([""], None),
        (["a", None], None),
        (["a", {"b": 1}], None),
        (["a", ["b"]], None),
    ],
)
def test_a_claim_has_a_plain_form_or_its_key_is_left_out(value: Any, text: str | None) -> None:
    assert one(value) == text


@pytest.mark.requirement("3e.3")
@pytest.mark.parametrize(
    "character", ["\0", "\t", "\r", "\n", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\ud800"], ids=ascii
)
def test_a_control_character_leaves_the_key_out(character: str) -> None:
    assert one(f"a{character}b") is None
    assert one(["good", f"a{character}b"]) is None


@pytest.mark.requirement("3e.3")
@pytest.mark.parametrize("username", ["", "jane\n", "ja\0ne", "jane\x85", "\ud800"], ids=ascii)
def test_a_username_that_cannot_be_written_is_refused(username: str) -> None:
    with pytest.raises(ProviderError, match="cannot be handed on as REMOTE_USER") as caught:
        plain({}, replace(JANE, username=username))
    assert caught.value.code == "bad_username"


@pytest.mark.requirement("3e.3")
def test_two_groups_and_one_group_with_a_comma_look_different() -> None:
    assert one(["a", "b"]) != one(["a,b"]) != one(["a%2Cb"])


@given(st.text(min_size=1))
@pytest.mark.requirement("3e.3")
def test_a_plain_value_is_latin1_and_decodes_to_what_it_was(value: str) -> None:
    text = one(value)
    if text is not None:
        assert text.encode("latin-1").decode("utf-8") == value
        assert not any(character < " " or character == "\x7f" for character in text)


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_a_list_can_be_taken_apart_again(items: list[str]) -> None:
    text = one(items)
    assert text is not None
    parts = [
        part.replace("%2C", ",").replace("%25", "%")
        for part in text.encode("latin-1").decode("utf-8").split(",")
    ]
    assert parts == items


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_any_claim_can_be_asked_for(value: Any) -> None:
    text = one(value)
    assert text is None or text != ""


# Forms


def formed(value: str, identity: Identity = JANE) -> str | None:
    """What a key holds that is written so in ``[environ]``."""
    found = make_settings(issuer="https://id.example", environ={"X_ONE": value})
    return EnvironWriter(found.environ, found.environ_forms).plain(identity, {}).get("X_ONE")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("name encoding:utf-8", "Jane D\xc3\xb6e"),
        ("name encoding:ascii", "Jane Doe"),
        ("name encoding:percent", "Jane D%C3%B6e"),
        ("username encoding:percent", "jane"),
        ("groups separator:|", "staff|a,b|100%"),
        ("groups   separator:;   encoding:percent", "staff;a,b;100%25"),
        ("groups encoding:percent", "staff,a%2Cb,100%25"),
        ("groups separator:,", None),
        ("phone encoding:percent", None),
    ],
)
def test_a_key_has_the_form_that_is_written(written: str, text: str | None) -> None:
    assert formed(written) == text


def test_percent_encoding_is_undone_by_decoding() -> None:
    name = "50% Zoé, +&\u20ac"
    text = formed("name encoding:percent", replace(JANE, name=name))
    assert text is not None
    assert text.isascii()
    assert unquote(text) == name


@pytest.mark.requirement("R-ascii")
@pytest.mark.parametrize(
    ("written", "changes"),
    [
        ("name encoding:ascii", {"name": "Łukasz"}),
        ("claims.roles encoding:ascii", {"claims": freeze({"roles": ["admín", "x"]})}),
        ("claims.roles encoding:ascii separator:|", {"claims": freeze({"roles": ["admín", "x"]})}),
        ("groups separator:|", {"groups": ("a|b", "c")}),
        ("groups encoding:percent", {"groups": ("a\u0085b", "c")}),
        ("name encoding:percent", {"name": "a\u0085b"}),
        ("name encoding:ascii", {"name": "a\nb"}),
    ],
)
def test_what_has_no_such_form_leaves_its_key_out(written: str, changes: dict[str, Any]) -> None:
    assert formed(written, replace(JANE, **changes)) is None


def test_a_path_with_blanks_keeps_them() -> None:
    identity = with_claims(**{"https://x/y  z": ["a", "b"]})
    assert formed('claims."https://x/y  z" separator:|', identity) == "a|b"
    roles = replace(JANE, claims=freeze({"roles": ["a%b", "c,d"]}))
    assert formed("claims.roles encoding:ascii", roles) == "a%25b,c%2Cd"


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("name encoding:latin-1", "encoding: takes utf-8, ascii or percent"),
        ("name encoding:", "encoding: takes utf-8, ascii or percent"),
        ("groups separator:", "one punctuation mark"),
        ("groups separator:%", "one punctuation mark"),
        ("groups separator:ab", "one punctuation mark"),
        ("groups separator:a", "one punctuation mark"),
        ("groups separator:| separator:;", "is written twice"),
        ("separator:| groups", "is not a known source"),
        *(
            (f"{field} encoding:ascii", f"could make one {field} of two")
            for field in ("username", "email", "groups")
        ),
    ],
)
def test_a_form_that_cannot_be_is_told(written: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        make_settings(issuer="https://id.example", environ={"X_ONE": written})
