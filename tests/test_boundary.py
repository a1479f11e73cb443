"""The judges of bytes from outside: what they let pass, what they refuse, and what an oracle says to it."""

from __future__ import annotations

import math
import posixpath
import re
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

import ada_url
import pytest
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from oauth2_mw.boundary import (
    MAX_ASKED,
    asked_destination,
    browser_path,
    contains_control,
    is_ambiguous_path,
    normalised_key,
    numeric_date,
    path_readings,
    safe_destination,
    strict_query,
)
from oauth2_mw.errors import BadRequestError
from tests.fuzz.boundary import nginx
from tests.support.browser.protected_targets import PROTECTED_TARGETS

ORIGIN = "https://app.example"


def native(text: str) -> str:
    """As PEP 3333 spells it."""
    return text.encode("utf-8").decode("latin-1")


def path_info(target: str) -> str:
    """What a server makes of a request target: the query cut off, the path percent-decoded once."""
    return unquote_to_bytes(target.partition("?")[0].encode("utf-8")).decode("latin-1")


# Names of environ keys


@pytest.mark.parametrize(
    "key", ["REMOTE_USER", "Remote-User", "remote.user", "rEMOTE\u00a0USER", "REMOTE USER", "_remote--user_"]
)
def test_keys_that_servers_take_for_one_are_the_same_normalised(key: str) -> None:
    assert normalised_key(key) == "REMOTE_USER"


# The path judge


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a",
        "/a/",
        "/a/b.css",
        "/.well-known/x",
        "/a/..b",
        "/a/...b/c",
        "/~jane/a b/c",
        "/a:b@c,d=e&f+g!$'()*",
    ],
)
def test_an_ordinary_path_is_not_ambiguous(path: str) -> None:
    assert not is_ambiguous_path(path)


@pytest.mark.parametrize("path", ["/stra\u00dfe/", "/\u65e5\u672c\u8a9e", "/caf\u00e9.html", "/\U0001f600"])
def test_a_path_in_any_script_is_not_ambiguous(path: str) -> None:
    assert not is_ambiguous_path(native(path))


@pytest.mark.requirement("3g.5", "W7")
@pytest.mark.parametrize(
    "path", ["//", "//a", "/a//", "/a//b", "/.", "/..", "/./a", "/../a", "/a/.", "/a/..", "/a/./b", "/a/../b"]
)
def test_empty_and_dot_segments_are_ambiguous(path: str) -> None:
    assert is_ambiguous_path(path)


@pytest.mark.requirement("3g.5", "W7")
@pytest.mark.parametrize("segment", ["...", "....", ".. ", ". ", " ", " ..", ". .", ".. ."])
def test_a_segment_that_some_file_systems_trim_to_dots_is_ambiguous(segment: str) -> None:
    assert is_ambiguous_path(f"/a/{segment}/b")
    assert is_ambiguous_path(f"/a/{segment}")


@pytest.mark.requirement("3g.5", "W7")
@pytest.mark.parametrize("mark", [";", "\\", "%", "?", "#", *map(chr, range(0x20)), "\x7f"])
def test_a_character_that_another_program_may_act_on_is_ambiguous(mark: str) -> None:
    assert is_ambiguous_path(f"/a{mark}b")
    assert is_ambiguous_path(f"/a/{mark}")
    assert is_ambiguous_path(native(f"/\u00e9/{mark}"))


@pytest.mark.requirement("3g.5", "W6")
@pytest.mark.parametrize(
    "octets",
    [b"/\xff", b"/a\xc3", b"/\xc0\xae\xc0\xae/", b"/\xe0\x80\xaf", b"/\xed\xa0\x80", b"/\xf4\x90\x80\x80"],
    ids=["lone", "cut", "overlong dot", "overlong slash", "surrogate", "beyond Unicode"],
)
def test_octets_that_are_not_utf8_are_ambiguous(octets: bytes) -> None:
    assert is_ambiguous_path(octets.decode("latin-1"))


@pytest.mark.requirement("3g.5")
@pytest.mark.parametrize(
    "text",
    [
        "\uff0e\uff0e",
        "\uff0f",
        "\u2024\u2024",
        "\u2026",
        "\ufe52",
        "\uff05",
        "\uff1b",
        "\uff3c",
        "e\u0301",
        "\u212a",
    ],
)
def test_text_that_normalisation_would_change_is_ambiguous(text: str) -> None:
    assert is_ambiguous_path(native(f"/public/{text}/admin"))


@pytest.mark.requirement("3g.5")
@pytest.mark.parametrize(
    "text", ["\x85", "\u2028", "\u202e", "\u200b", "\u00ad", "\ufeff", "\ue000", "\u3000"]
)
def test_invisible_text_is_ambiguous(text: str) -> None:
    assert is_ambiguous_path(native(f"/public/a{text}b"))


@pytest.mark.requirement("3g.10", "3g.5")
@pytest.mark.parametrize(
    "path", ["", "*", "a", "public/x", "http://evil.example/public/x", " /public/", "\u20ac"]
)
def test_what_does_not_start_with_a_slash_is_ambiguous(path: str) -> None:
    assert is_ambiguous_path(path)


@pytest.mark.requirement("3g", "W7")
@pytest.mark.parametrize("target", PROTECTED_TARGETS)
def test_no_spelling_of_a_protected_path_is_public(target: str) -> None:
    path = path_info(target)
    assert is_ambiguous_path(path) or not path.startswith("/public/")


@pytest.mark.requirement("3g.6")
@pytest.mark.parametrize("target", ["/public/", "/public/?x=/admin", "/public/x", "/public/%61?../admin"])
def test_what_lies_below_the_public_subtree_is_public(target: str) -> None:
    path = path_info(target)
    assert path.startswith("/public/")
    assert not is_ambiguous_path(path)


def whatwg(path: str) -> str:
    """As a browser does it, for the text and for its percent-encoded form: the shorter of the two."""
    raw = ada_url.URL(path.encode("latin-1").decode("utf-8"), ORIGIN)
    encoded = ada_url.URL(quote(path.encode("latin-1")), ORIGIN)
    assert raw.origin == encoded.origin == ORIGIN
    return min(raw.pathname, encoded.pathname, key=len)


NATIVE_SEGMENTS = [
    native(text) for text in ("\u00e9", "\uff0e\uff0e", "\u2025", "\u65e5", "\u200b", "..\u200d")
]
SEGMENTS = st.one_of(
    st.sampled_from(["a", "b.css", "~", "..a", "a..", "a b", "-", "_"]),
    st.sampled_from(["..", ".", "", "...", ".. ", "..;", "%2e%2e", "\\..", *NATIVE_SEGMENTS]),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=6),
    st.text(st.characters(max_codepoint=0xFF), max_size=3),
)


@pytest.mark.requirement("3g.8", "W7")
@given(st.lists(SEGMENTS, max_size=4).map("/".join))
@settings(max_examples=300)
def test_whatever_is_public_stays_inside_its_subtree_however_it_is_normalised(rest: str) -> None:
    path = "/public/" + rest
    event("ambiguous" if is_ambiguous_path(path) else "plain")
    if is_ambiguous_path(path):
        return
    assert (posixpath.normpath(path) + "/").startswith("/public/")
    assert nginx(unquote(path, "latin-1")).startswith("/public/")
    assert whatwg(path).startswith("/public/")


@given(st.text())
def test_the_path_judge_never_fails(path: str) -> None:
    assert is_ambiguous_path(path) in (True, False)


# Destinations


def at_root(value: str | None) -> str | None:
    return safe_destination(value, origin=ORIGIN, mount="", own_prefix="/auth/oauth2")


def at_core(value: str | None) -> str | None:
    return safe_destination(value, origin=ORIGIN, mount="/core", own_prefix="/core/auth/oauth2")


@pytest.mark.parametrize(
    ("value", "built"),
    [
        ("/", "/"),
        ("/page", "/page"),
        ("/page/?x=1&y=a%20b", "/page/?x=1&y=a%20b"),
        ("/page?next=https://evil.example//x", "/page?next=https://evil.example//x"),
        ("/caf%C3%A9/a%20b", "/caf%C3%A9/a%20b"),
        ("/%70age", "/page"),
        ("/a%23b%3Fc", "/a%23b%3Fc"),
        ("/100%25", "/100%25"),
        ("/a;v=1/b:c@d", "/a;v=1/b:c@d"),
        ("/a(b)'c", "/a(b)'c"),
        ("/page?", "/page"),
        ("/page?a?b", "/page?a?b"),
        ('/page?a[0]="<x>"', "/page?a%5B0%5D=%22%3Cx%3E%22"),
        ("/page?sale=100%", "/page?sale=100%25"),
        ("/..a/.b/c..", "/..a/.b/c.."),
        ("/%EF%BC%A1", "/%EF%BC%A1"),
    ],
)
def test_a_local_path_is_built_anew(value: str, built: str) -> None:
    assert at_root(value) == built


@pytest.mark.parametrize(
    ("value", "built"),
    [
        (f"{ORIGIN}/page?x=1", "/page?x=1"),
        (f"{ORIGIN}/", "/"),
        (ORIGIN, "/"),
        (f"{ORIGIN}?x=1", "/?x=1"),
        (f"{ORIGIN}#top", "/"),
    ],
)
def test_an_absolute_url_of_our_own_origin_becomes_a_path(value: str, built: str) -> None:
    assert at_root(value) == built


def test_the_fragment_is_dropped() -> None:
    assert at_root("/page?x=1#part?y=2") == "/page?x=1"


@pytest.mark.parametrize(
    ("value", "built"),
    [
        ("/core", "/core/"),
        ("/core?x=1", "/core/?x=1"),
        ("/core/", "/core/"),
        ("/core/page", "/core/page"),
        (f"{ORIGIN}/core/page", "/core/page"),
        ("/%63ore/page", "/core/page"),
    ],
)
def test_a_destination_below_the_mount_is_taken(value: str, built: str) -> None:
    assert at_core(value) == built


@pytest.mark.requirement("3d")
@pytest.mark.parametrize(
    "value",
    ["/", "/page", "/corex", "/CORE/x", "/core%2", "/core.", "/core;x", ORIGIN, f"{ORIGIN}/other/core/"],
)
def test_a_destination_outside_the_mount_is_refused(value: str) -> None:
    assert at_core(value) is None


@pytest.mark.requirement("3d.5")
@pytest.mark.parametrize(
    "path",
    [
        "/auth/oauth2",
        "/auth/oauth2/",
        "/auth/oauth2/login/",
        "/auth/oauth2/logout/?next=/",
        "/auth/oauth2/login/callback/?code=a&state=b",
        "/auth/oauth2/no-such-page",
        "/auth/%6fauth2/login/",
        "/auth%2Foauth2/login/",
        "/auth/%256fauth2/login/",
    ],
)
def test_our_own_endpoints_are_no_destination(path: str) -> None:
    assert at_root(path) is None
    assert at_core("/core" + path) is None
    assert at_root(ORIGIN + path) is None


@pytest.mark.requirement("3d.5")
@pytest.mark.parametrize(
    ("path", "is_own"),
    [
        ("/core/done", True),
        ("/core/done?code=a", True),
        ("/core/%64one", True),
        ("/core/%2564one", True),
        ("/core/done/", False),
        ("/core/done2", False),
    ],
)
def test_an_endpoint_of_our_own_elsewhere_is_no_destination(path: str, *, is_own: bool) -> None:
    built = safe_destination(
        path, origin=ORIGIN, mount="/core", own_prefix="/core/auth/oauth2", own_paths={"/core/done"}
    )
    assert built == (None if is_own else path)


def test_a_path_that_only_starts_like_our_own_is_a_destination() -> None:
    assert at_root("/auth/oauth2x") == "/auth/oauth2x"
    assert at_root("/auth/") == "/auth/"


SLASHES = ["//", "///", "////", "/////"]
BACKSLASHES = [
    "\\",
    "\\\\",
    "/\\",
    "\\/",
    "/\\/",
    "\\/\\",
    "//\\",
    "\\\\/",
    "/\\\\",
    "/a\\b",
    "/a/\\evil.example",
]
BLANKS = [
    "\t",
    "\r",
    "\n",
    "\v",
    "\f",
    "\0",
    " ",
    "\x01",
    "\x1f",
    "\x7f",
    "\x80",
    "\x85",
    "\xa0",
    "\u2028",
    "\ufeff",
]

#: What must never become a ``Location``, by family.
HOSTILE = [
    "",
    # scheme-relative
    *(f"{slashes}evil.example{rest}" for slashes in SLASHES for rest in ("", "/", "/page", "/..")),
    "//app.example",
    "//app.example/page",
    "//app.example@evil.example/",
    "//app.example:443/",
    "//",
    "///",
    # backslashes
    *(f"{slashes}evil.example" for slashes in BACKSLASHES),
    "https:\\\\evil.example",
    "https:/\\evil.example",
    "https://app.example\\@evil.example",
    "https://app.example\\.evil.example/",
    "//evil.example\\@app.example",
    "/page?x=\\",
    # blanks and controls before, between, after
    *(f"{blank}//evil.example" for blank in BLANKS),
    *(f"/{blank}/evil.example" for blank in BLANKS),
    *(f"/{blank}evil.example" for blank in BLANKS),
    *(f"/page{blank}" for blank in BLANKS),
    "/page\r\nSet-Cookie: a=b",
    "/page?x=\r\nSet-Cookie: a=b",
    "/page%0d%0aSet-Cookie:%20a=b",
    "/page%0a",
    "/page%00",
    "/page%7f",
    "/page%C2%85",
    "/page%E2%80%A8",
    "/page%250d%250a",
    # missing and wrong slashes after the scheme
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:////evil.example",
    "https:page",
    "https:/page",
    "https:",
    "https://",
    "http:",
    ":",
    "://evil.example",
    # other hosts
    "https://evil.example",
    "https://evil.example/https://app.example/",
    "https://evil.example?https://app.example",
    "https://evil.example#https://app.example",
    "https://app.example.evil.example/",
    "https://app.exampleevil.example/",
    "https://app.example-evil.example/",
    "https://evilapp.example/",
    "https://www.app.example/",
    "https://example/",
    "https://app.example./",
    "https://app.example../",
    "https://.app.example/",
    "https://app.example%2eevil.example/",
    "https://app.example%00.evil.example/",
    "https://app.example,evil.example/",
    "https://app.example;evil.example/",
    "https://app.example&evil.example/",
    "https://app.example%23.evil.example/",
    # userinfo
    "https://app.example@evil.example",
    "https://app.example@evil.example/",
    "https://app.example:443@evil.example/",
    "https://app.example%40evil.example/",
    "https://user@app.example/",
    "https://user:secret@app.example/",
    "https://@app.example/",
    "https://evil.example@app.example/",
    # ports
    "https://app.example:443/",
    "https://app.example:8443/",
    "https://app.example:/",
    "https://app.example:80/",
    "https://app.example:443evil.example/",
    # schemes
    "http://app.example/",
    "HTTP://app.example/",
    "ftp://app.example/",
    "wss://app.example/",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "\x01javascript:alert(1)",
    "javascript://app.example/%0aalert(1)",
    "javascript:https://app.example/",
    "data:text/html,x",
    "DATA:text/html;base64,eA==",
    "vbscript:msgbox(1)",
    "blob:https://app.example/1",
    "file:///etc/passwd",
    "mailto:jane@app.example",
    "about:blank",
    "view-source:https://app.example/",
    # another spelling of our own origin: exactly means exactly
    "HTTPS://app.example/",
    "https://APP.example/",
    "https://app%2eexample/",
    # percent-encoded, once to four times
    "/%2fevil.example",
    "%2f%2fevil.example",
    "/%2Fevil.example",
    "/%252fevil.example",
    "/%25252fevil.example",
    "/%2525252fevil.example",
    "/%5cevil.example",
    "/%255cevil.example",
    "/%25255cevil.example",
    "/%09/evil.example",
    "/%2509/evil.example",
    "/page%252525252e",
    "%2fpage",
    "%68ttps://evil.example",
    # dot segments
    "/.",
    "/..",
    "/./",
    "/../",
    "/.//evil.example",
    "/..//evil.example",
    "/./%2fevil.example",
    "/%2e%2e//evil.example",
    "/%2e/%2fevil.example",
    "/page/..//evil.example",
    "/page/../../evil.example",
    "/page/%2e%2e/x",
    "/page/%2E%2E/x",
    "/page/.%2e/x",
    "/page/%252e%252e/x",
    "/page/%25252e%25252e/x",
    "/page/..;/x",
    "/page/..%3b/x",
    "/page/..%20/x",
    "/page/..%3f",
    "/page/..%23",
    "/page//x",
    "/page%2f%2fx",
    f"{ORIGIN}//evil.example",
    f"{ORIGIN}/../x",
    f"{ORIGIN}/%2fevil.example",
    f"{ORIGIN}/\\evil.example",
    # names that look or fold alike
    "https://\u0430pp.example/",
    "https://\uff41pp.example/",
    "https://app.\u00adexample/",
    "https://app\u3002example/",
    "https://xn--pp-7kc.example/",
    "//\u2025evil.example",
    "/\uff0fevil.example",
    "/\u2215evil.example",
    "/%EF%BC%8Fevil.example",
    "/%EF%BC%8F%EF%BC%8Fevil.example",
    "/page/%EF%BC%8E%EF%BC%8E/x",
    "/page/%E2%80%A5/x",
    "/page%EF%BC%BCx",
    "/\u202eelpmaxe.live",
    "/caf\u00e9",
    # addresses
    "https://2130706433/",
    "https://0x7f000001/",
    "https://017700000001/",
    "https://127.1/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::1/",
    "https://]/",
    "https://[app.example]/",
    "//[::1]/",
    "//127.0.0.1",
    # not UTF-8, broken escapes, surrogates
    "/%ff",
    "/%c0%ae%c0%ae/x",
    "/%ed%a0%80",
    "/%25ff",
    "/page%",
    "/page%2",
    "/page%zz",
    "/%u002fevil.example",
    "/\ud800",
    # relative, and what is no path
    "page",
    "page/x",
    "./page",
    "../page",
    "?x=1",
    "#top",
    "evil.example",
    "@evil.example",
    ".evil.example",
    ";/page",
    "*",
]


def test_the_corpus_is_large_and_says_nothing_twice() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE)
    assert len(HOSTILE) >= 150


@pytest.mark.requirement("3d", "W2", "W3")
@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_hostile_destination_is_refused(value: str) -> None:
    assert at_root(value) is None
    assert at_core(value) is None


@pytest.mark.requirement("3d", "W2", "W3")
@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_hostile_tail_never_leads_off_the_mount(value: str) -> None:
    for lead in ("/core", "/core/", f"{ORIGIN}/core", f"{ORIGIN}/core/page?"):
        agrees_with_the_oracle(lead + value)


@pytest.mark.requirement("3d.1")
def test_an_over_long_destination_is_refused() -> None:
    longest = "/" + "a" * 2047
    assert at_root(longest) == longest
    assert at_root(longest + "a") is None


@pytest.mark.requirement("3d.1")
def test_a_destination_that_grows_too_long_by_encoding_is_refused() -> None:
    assert at_root("/?" + '"' * 1000) is None


def test_no_destination_stays_none() -> None:
    assert at_root(None) is None


@pytest.mark.requirement("3d.4")
@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_a_dot_segment_is_found_below_any_number_of_encodings(times: int) -> None:
    value = ".."
    for _ in range(times):
        value = value.replace("%", "%25").replace(".", "%2e")
    assert at_root(f"/page/{value}/x") is None


@pytest.mark.requirement("3d.4")
def test_what_is_still_encoded_after_three_decodings_is_refused() -> None:
    assert at_root("/%252561") == "/%252561"
    assert at_root("/%25252561") is None


def agrees_with_the_oracle(value: str) -> bool:
    """Whether ``value`` is accepted below ``/core``; what is accepted must satisfy a browser's URL parser."""
    built = at_core(value)
    if built is None:
        return False
    assert re.fullmatch(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@/%-]*(\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?", built)
    for url in (
        ada_url.URL(built, ORIGIN),
        ada_url.URL(ORIGIN + built),
        ada_url.URL(built, f"{ORIGIN}/core/a/b?c"),
    ):
        assert url.origin == ORIGIN
        assert url.pathname == built.partition("?")[0]
        assert url.pathname.startswith("/core/")
        assert not url.pathname.startswith("/core/auth/oauth2/")
        assert (url.username, url.password, url.hash) == ("", "", "")
    assert urlsplit(built).netloc == ""
    assert at_core(built) == built
    return True


PIECES = st.one_of(
    st.sampled_from(
        [
            "/",
            "//",
            "\\",
            "..",
            ".",
            "%2e",
            "%2f",
            "%5c",
            "%25",
            "%",
            ";",
            "?",
            "#",
            "@",
            ":",
            "&",
            "=",
            " ",
            "\t",
        ]
    ),
    st.sampled_from(
        ["a", "core", "auth/oauth2", "evil.example", "https:", ORIGIN, "%C3%A9", "%EF%BC%8F", "%ff", "%0a"]
    ),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=4),
    st.text(max_size=2),
)
LEADS = st.sampled_from(
    ["", "/core", "/core/", "/core/page?", "/", ORIGIN, f"{ORIGIN}/core/", "https://", "//"]
)


@pytest.mark.requirement("3d.7", "W2", "W3")
@given(LEADS, st.lists(PIECES, max_size=8).map("".join))
@settings(max_examples=600)
@example("/core/", "page%252e")
def test_every_accepted_destination_is_ours_in_a_browser(lead: str, rest: str) -> None:
    event("accepted" if agrees_with_the_oracle(lead + rest) else "refused")


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8).map(
            lambda text: "x" + text
        ),
        max_size=4,
    ),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=30),
)
def test_a_deep_link_survives_the_way_through_the_login(segments: list[str], query: str) -> None:
    info = native("/" + "/".join(segments))
    assume("\\" not in query and not is_ambiguous_path(info))
    kept = at_core(browser_path("/core", info, query))
    assert kept is not None
    path, _, kept_query = kept.partition("?")
    assert unquote_to_bytes(path).decode("latin-1") == "/core" + info
    if "#" not in query and "%" not in query:
        assert unquote_to_bytes(kept_query).decode("latin-1") == query


# The path as the browser sees it


@pytest.mark.parametrize(
    ("info", "query", "seen"),
    [
        ("/page", "", "/core/page"),
        ("/page", "x=1&y=a%20b", "/core/page?x=1&y=a%20b"),
        (native("/caf\u00e9"), "", "/core/caf%C3%A9"),
        ("/a b?c#d%e", "", "/core/a%20b%3Fc%23d%25e"),
        ("/a;b=c:d@e", "", "/core/a;b=c:d@e"),
        ("/page", native('q=\u00e9"<>#'), "/core/page?q=%C3%A9%22%3C%3E%23"),
        ("", "", "/core"),
    ],
)
def test_the_browsers_path_is_encoded_again(info: str, query: str, seen: str) -> None:
    assert browser_path("/core", info, query) == seen


@pytest.mark.requirement("3d.15")
@pytest.mark.parametrize(
    "info", ["//evil.example/x", "/\\evil.example", "/\t/evil.example", "http://evil.example/x", ""]
)
def test_a_request_for_a_hostile_path_leaves_no_destination(info: str) -> None:
    assert at_root(browser_path("", info, "")) is None


def test_an_over_long_path_or_query_leaves_no_destination() -> None:
    assert at_root(browser_path("", "/" + "a" * 100_000, "")) is None
    assert at_root(browser_path("", "/page", "a" * 100_000)) is None
    assert len(browser_path("", "/" + "a" * 100_000, "a" * 100_000)) < 17_000


@given(st.text(), st.text())
def test_any_path_and_query_can_be_judged(info: str, query: str) -> None:
    built = at_core(browser_path("/core", info, query))
    assert built is None or built.startswith("/core/")


# What this browser has asked of us itself


def asked_at(
    mount: str, info: str, query: str = "", *, script_name: str = "", raw_uris: tuple[str, ...] = ()
) -> str | None:
    """The destination that a request leaves, checked as a browser would read it after our origin."""
    seen = browser_path(mount, info, query, script_name=script_name, raw_uris=raw_uris)
    own = f"{mount}/auth/oauth2"
    built = asked_destination(seen, mount=mount, own_prefix=own, own_paths={f"{mount}/old/callback"})
    if built is not None:
        assert re.fullmatch(r"/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*(\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?", built)
        url = ada_url.URL(ORIGIN + built)
        assert url.origin == ORIGIN
        assert url.pathname == built.partition("?")[0]
        assert url.pathname.startswith(mount + "/")
        assert (url.username, url.password, url.hash) == ("", "", "")
        # The browser asks for the same once more: the same application sees the same path.
        octets = unquote_to_bytes(url.pathname)
        assert octets == (mount + (info or "/")).encode("latin-1")
        assert not (info == "/auth/oauth2" or info.startswith("/auth/oauth2/") or info == "/old/callback")
        again = asked_destination(built, mount=mount, own_prefix=own, own_paths={f"{mount}/old/callback"})
        assert again == built
    return built


@pytest.mark.requirement("R-destination")
@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/a%2Fb//c?x=%ff", "/a%2Fb//c?x=%ff"),
        ("/a%2fb", "/a%2fb"),
        ("//evil.example/x", "//evil.example/x"),
        ("/%2Fevil.example", "/%2Fevil.example"),
        ("/caf%E9", "/caf%E9"),
        ("/%80%92?q=%A4", "/%80%92?q=%A4"),
        ("/%C3%A4", "/%C3%A4"),
        ("/%ed%a0%80/%c0%ae", "/%ed%a0%80/%c0%ae"),
        ("/page%EF%BC%8Fx", "/page%EF%BC%8Fx"),
        ("/a;b=c/%3B/a%5Cb", "/a;b=c/%3B/a%5Cb"),
        ("/100%25", "/100%25"),
        ("/%252e%252e/x", "/%252e%252e/x"),
        ("/x?a=%zz&b=100%&c=//x?y", "/x?a=%zz&b=100%&c=//x?y"),
        ('/x"<>?a="', "/x%22%3C%3E?a=%22"),
        ("/", "/"),
    ],
)
@pytest.mark.parametrize("key", [0, 1])
def test_what_a_browser_asked_for_keeps_its_octets(target: str, kept: str, key: int) -> None:
    query = target.partition("?")[2]
    raw_uris = ("http://app.example" + target,) * key + (target,)
    assert asked_at("", path_info(target), query, raw_uris=raw_uris) == kept
    assert asked_at("/core", path_info(target), query, raw_uris=raw_uris) == "/core" + kept
    raw_uris = tuple(f"/core{raw_uri}" for raw_uri in raw_uris)
    assert (
        asked_at("/core", path_info(target), query, script_name="/core", raw_uris=raw_uris) == "/core" + kept
    )


@pytest.mark.requirement("R-destination")
@pytest.mark.parametrize(
    "raw_uri",
    [
        "",
        "*",
        "/other",
        "/a/c",
        "/a/b/",
        "//a/b",
        "/a%252Fb",
        "a%2Fb",
        "http://app.example/a%2Fb",
        "https://evil.example/a/b",
        "/core/a%2Fb",
        "/\u20ac/a%2Fb",
        "/a%2Fb#c",
        "/a%2F" + "b" * 100_000,
    ],
)
def test_a_raw_address_that_is_not_what_the_application_routes_on_is_passed_over(raw_uri: str) -> None:
    assert asked_at("", "/a/b", "x", raw_uris=(raw_uri,)) == "/a/b?x"
    assert asked_at("", "/a/b", "x", raw_uris=(raw_uri, "/a%2Fb")) == "/a%2Fb?x"
    if raw_uri != "/core/a%2Fb":
        assert asked_at("/core", "/a/b", "x", script_name="/core", raw_uris=(raw_uri,)) == "/core/a/b?x"


@pytest.mark.parametrize("raw_uri", ["/c%6Fre/a%2Fb", "/core%2Fa%2Fb", "/a%2Fb"])
def test_a_raw_address_begins_with_the_mount_to_the_letter(raw_uri: str) -> None:
    assert asked_at("/core", "/a/b", script_name="/core", raw_uris=(raw_uri,)) == "/core/a/b"


@pytest.mark.requirement("R-destination")
@pytest.mark.parametrize(
    "target",
    [
        "/..",
        "/.",
        "/../x",
        "/a/../../x",
        "/a/..//evil.example",
        "/%2e%2e/x",
        "/a/%2E./x",
        "/a%2F..%2Fb",
        "/a/..%2fauth/oauth2/logout/",
        "/a/..;/x",
        "/a/..%5Cx",
        "/a%5C..%5C..%5Cx",
        "/a/.. /x",
        "/auth/oauth2",
        "/auth/oauth2/",
        "/auth/oauth2/logout/",
        "/auth%2Foauth2/logout/",
        "/%61uth/oauth2/login/",
        "/old/callback",
        "/old%2Fcallback",
        "/page%0d%0aSet-Cookie:%20a=b",
        "/page%00",
        "/%09/evil.example",
        "/page%7f",
        "http://evil.example/x",
        "https://app.example@evil.example/",
        "evil.example",
        "*",
        "@evil.example/",
        ".evil.example/",
        ":8443/",
        "\\evil.example",
    ],
)
def test_a_request_to_which_no_browser_may_be_sent_back_leaves_no_destination(target: str) -> None:
    """Dots that browsers resolve, our own endpoints, controls, and what is no path."""
    info = path_info(target)
    for raw_uri in ("", target):
        assert asked_at("", info, raw_uris=(raw_uri,)) is None
        assert asked_at("/core", info, raw_uris=(raw_uri,)) is None
        assert asked_at("/core", info, script_name="/core", raw_uris=(f"/core{raw_uri}",)) is None


@pytest.mark.requirement("R-destination", "3d")
@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_hostile_request_is_sent_back_to_itself_or_nowhere(value: str) -> None:
    info = value.encode("utf-8", "surrogatepass").decode("latin-1")
    for path in (info, path_info(value.encode("ascii", "replace").decode())):
        for mount in ("", "/core"):
            asked_at(mount, path, raw_uris=(value,))
            asked_at(mount, path, info.partition("?")[2], script_name=mount, raw_uris=(mount + value,))


@given(LEADS, st.lists(PIECES, max_size=8).map("".join), st.text(max_size=20))
@settings(max_examples=600)
def test_every_request_is_sent_back_to_itself_or_nowhere(lead: str, rest: str, query: str) -> None:
    target = (lead + rest).encode("utf-8", "replace").decode("latin-1")
    for script_name in ("", "/core"):
        info = unquote_to_bytes(target.partition("?")[0].encode("latin-1")).decode("latin-1")
        info = info.removeprefix(script_name)
        kept = asked_at("/core", info, native(query), script_name=script_name, raw_uris=(target,))
        event("kept" if kept is not None else "lost")


def test_of_several_raw_addresses_the_first_that_fits_counts() -> None:
    assert asked_at("", "/a/b", raw_uris=("/a%2Fb", "/a/b")) == "/a%2Fb"
    assert asked_at("", "/a/b", raw_uris=("/a/b", "/a%2Fb")) == "/a/b"


def test_the_mount_itself_is_its_front_page() -> None:
    assert asked_at("/core", "") == "/core/"
    assert asked_at("/core", "", "a=b") == "/core/?a=b"
    assert asked_at("", "") == "/"


def test_what_is_not_encoded_was_asked_by_no_browser() -> None:
    assert asked_destination("/core/\u00e9", mount="/core", own_prefix="/core/auth/oauth2") is None


def test_an_address_of_8192_characters_is_the_longest_that_is_kept() -> None:
    assert MAX_ASKED == 8192
    longest = "/" + "a" * (MAX_ASKED - 3)
    assert asked_at("", longest, "x") == longest + "?x"
    assert asked_at("", longest, "xy") is None
    assert asked_at("", "/", '"' * (MAX_ASKED // 3 + 1)) is None
    assert asked_at("", "/" + "a" * 100_000, "x", raw_uris=("/" + "a" * 100_000,)) is None
    # Cut, it would be another address.
    assert asked_at("", "/" + "a" * MAX_ASKED) is None
    # As it was encoded it is too long, and decoded it is not what was asked for.
    assert asked_at("", "/" + "a" * 3000, raw_uris=("/" + "%61" * 3000,)) is None


@given(st.text())
def test_the_judge_of_what_was_asked_never_fails(value: str) -> None:
    built = asked_destination(value, mount="/core", own_prefix="/core/auth/oauth2")
    assert built is None or built.startswith("/core/")


# Controls and header values


@pytest.mark.parametrize(
    "character",
    ["\0", "\t", "\n", "\r", "\x1f", "\x7f", "\x80", "\x85", "\x9f", "\u2028", "\u2029", "\ud800", "\udfff"],
)
def test_a_control_character_is_found(character: str) -> None:
    assert contains_control(f"a{character}b")


@pytest.mark.parametrize("text", ["", "a b~", "\u00a0\u00e9", "\u2027\u202a", "\ue000", "\U0001f600"])
def test_other_characters_are_no_controls(text: str) -> None:
    assert not contains_control(text)


# Queries and forms

KNOWN = frozenset({"code", "state", "error_description"})


def read(query: str, *, limit: int = 2000) -> dict[str, str]:
    return strict_query(query, allowed=KNOWN, limit=limit, prose=frozenset({"error_description"}))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {}),
        ("code=a&state=b", {"code": "a", "state": "b"}),
        ("code=a%20b+c%2B", {"code": "a b c+"}),
        ("code", {"code": ""}),
        ("code=", {"code": ""}),
        ("code=a=b", {"code": "a=b"}),
        ("%63ode=a", {"code": "a"}),
        ("&&code=a&", {"code": "a"}),
        ("code=%C3%A9", {"code": "\u00e9"}),
        (native("code=\u00e9"), {"code": "\u00e9"}),
        ("code=a;state=b", {"code": "a;state=b"}),
        ("CODE=a", {}),
    ],
)
def test_a_query_is_read(query: str, found: dict[str, str]) -> None:
    assert read(query) == found


def test_unknown_parameters_are_dropped_however_often_they_come() -> None:
    assert read("utm=1&code=a&utm=2") == {"code": "a"}


@pytest.mark.requirement("W9", "N2.1.2")
@pytest.mark.parametrize("query", ["code=a&code=b", "code=a&code=a", "code=a&%63ode=b", "code&code"])
def test_a_known_parameter_given_twice_is_refused(query: str) -> None:
    with pytest.raises(BadRequestError, match="'code' is given more than once"):
        read(query)


@pytest.mark.requirement("W6")
@pytest.mark.parametrize(
    "query", ["code=%ff", "%ff=a", "x=%c0%ae", "code=\xff", "code=%ed%a0%80", "x=\u20ac"]
)
def test_a_query_that_is_not_utf8_is_refused(query: str) -> None:
    with pytest.raises(BadRequestError, match="not UTF-8"):
        read(query)


@pytest.mark.parametrize("query", ["code=%", "code=%2", "x=%zz", "%=a", "code=%2&a"])
def test_broken_percent_encoding_is_refused(query: str) -> None:
    with pytest.raises(BadRequestError, match="two hexadecimal digits"):
        read(query)


@pytest.mark.requirement("W4")
@pytest.mark.parametrize(
    "query", ["code=%00", "code=a\0", "%00=a", "x=%0d%0a", "code=%7f", "code=%C2%85", "error_description=%00"]
)
def test_a_control_character_in_a_query_is_refused(query: str) -> None:
    with pytest.raises(BadRequestError, match="control character"):
        read(query)


def test_a_sentence_for_people_may_have_lines() -> None:
    assert read("error_description=No.%0d%0aTrace:%091") == {"error_description": "No.  Trace: 1"}


@pytest.mark.requirement("3h")
def test_an_over_long_query_is_refused() -> None:
    assert read("code=" + "a" * 95, limit=100) == {"code": "a" * 95}
    with pytest.raises(BadRequestError, match="longer than the 100 octets"):
        read("code=" + "a" * 96, limit=100)


def test_too_many_parameters_are_refused() -> None:
    assert read("&".join(["x=1"] * 49 + ["code=a"])) == {"code": "a"}
    with pytest.raises(BadRequestError, match="more than the 50"):
        read("&".join(["x=1"] * 51))


@given(st.text())
def test_a_query_is_read_or_refused_and_never_fails(query: str) -> None:
    try:
        found = read(query)
    except BadRequestError as error:
        assert error.status == 400
    else:
        assert set(found) <= KNOWN
        assert not any(map(contains_control, found.values()))


@given(st.dictionaries(st.sampled_from(sorted(KNOWN)), st.text(st.characters(exclude_categories=["C", "Z"]))))
def test_a_well_formed_query_is_read_as_it_was_written(fields: dict[str, str]) -> None:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
    assert read(query, limit=100_000) == fields


@pytest.mark.parametrize("value", [1, 0.5, 1_700_000_000.5, 253402300799])
def test_a_numeric_date_is_a_number_of_seconds(value: float) -> None:
    assert numeric_date(value) == value


@pytest.mark.parametrize(
    "value", [None, "1", True, [1], {}, 0, -0.5, math.inf, math.nan, 1e300, 253402300799.5, 10**400]
)
def test_anything_else_is_no_numeric_date(value: object) -> None:
    assert numeric_date(value) is None


# Readings of an odd path


@pytest.mark.requirement("R-odd")
@pytest.mark.parametrize(
    ("path", "readings"),
    [
        ("/a//b", {"/a//b", "/a/b"}),
        ("//", {"//", "/"}),
        ("/a/../b", {"/a/../b", "/b"}),
        ("/a/b/..", {"/a/b/..", "/a/"}),
        ("/a/./b/.", {"/a/./b/.", "/a/b/"}),
        ("/../../a", {"/../../a", "/a"}),
        ("/a;x/b;y", {"/a;x/b;y", "/a/b"}),
        ("/a/..;/b", {"/a/..;/b", "/a/../b", "/b"}),
        ("/a//../b", {"/a//../b", "/a/../b", "/a/b", "/b"}),
        ("/%2e%2e/a", {"/%2e%2e/a", "/../a", "/a"}),
        ("/a%252fb", {"/a%252fb", "/a%2fb", "/a/b"}),
        ("/\u00e9//".encode().decode("latin-1"), {"/\xc3\xa9//", "/\xc3\xa9/"}),
    ],
)
def test_every_reading_of_an_odd_path_is_found(path: str, readings: set[str]) -> None:
    assert path_readings(path) == readings


@pytest.mark.requirement("R-odd")
@pytest.mark.parametrize(
    "path",
    [
        "",
        "a//b",
        "/a\\b",
        "/\x00//",
        "/\x7f",
        "/\xff//",
        "/a//b?c",
        "/a#b",
        "/. ./a",
        "/a/... /b",
        "/.../x",
        "/%00",
        "/%5c",
        "/\xef\xbc\x8e",
        "/\u00b5//".encode().decode("latin-1"),
        "/a/ /b",
        "/%ff//",
        "/a//%3fb",
        "/%" + "25" * 70 + "2e",
    ],
    ids=ascii,
)
def test_what_is_odd_in_another_way_has_no_readings(path: str) -> None:
    assert path_readings(path) == frozenset()


@pytest.mark.requirement("R-odd")
def test_a_path_with_more_than_64_readings_has_none() -> None:
    assert len(path_readings("/%" + "25" * 62 + "41")) == 64
    assert path_readings("/%" + "25" * 63 + "41") == frozenset()


@given(st.lists(st.sampled_from(["a", "..", ".", "", ";", "b;c", "%2e", "%25"]), max_size=12))
def test_the_readings_of_a_reading_are_among_those_of_the_path(parts: list[str]) -> None:
    readings = path_readings("/" + "/".join(parts))
    assert all(path_readings(reading) <= readings for reading in readings)
