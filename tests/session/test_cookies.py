"""Our cookies: which are ours, how they are cut, and that they are deleted as they were set."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oauth2_mw.session.cookies import CHUNK_BYTES, MAX_CHUNKS, Cookies, RequestCookies
from oauth2_mw.session.keyring import Keyring
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.settings.app_cookies import AppCookie
from oauth2_mw.settings.grammar import Secret
from tests.support.settings.keys import text_key

SECURE = Cookies("oauth2_mw", secure=True)
PLAIN = Cookies("sso", secure=False)
ID = "a"


def test_names_carry_the_host_prefix_on_https_and_not_on_http() -> None:
    assert SECURE.session == "__Host-oauth2_mw"
    assert PLAIN.session == "sso"
    assert SECURE.attempt_prefix + ID == f"__Host-oauth2_mw-a-{ID}"


def test_our_cookies_are_told_from_the_others() -> None:
    cookies = SECURE.read(f"x=1; __Host-oauth2_mw=S; y=2; __Host-oauth2_mw.1=T; __Host-oauth2_mw-a-{ID}=A; z")
    assert cookies.other_header == "x=1; y=2; z"
    assert cookies.own == {
        "__Host-oauth2_mw": ["S"],
        "__Host-oauth2_mw.1": ["T"],
        f"__Host-oauth2_mw-a-{ID}": ["A"],
    }
    assert SECURE.attempts(cookies) == {ID: "A"}
    assert SECURE.session_names(cookies) == ["__Host-oauth2_mw", "__Host-oauth2_mw.1"]


def test_the_provider_that_was_used_last_outlives_the_session_and_is_no_part_of_it() -> None:
    assert SECURE.set_last_provider("corp") == (
        "__Host-oauth2_mw-p=corp; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=31536000"
    )
    assert PLAIN.set_last_provider("corp") == "sso-p=corp; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000"
    cookies = SECURE.read("x=1; __Host-oauth2_mw-p=corp; y=2")
    assert cookies.other_header == "x=1; y=2"
    assert SECURE.last_provider(cookies) == "corp"
    assert SECURE.session_names(cookies) == []
    assert not any("-p=" in value for value in SECURE.expire_all(cookies))


@pytest.mark.parametrize(
    "header",
    ["", "__Host-oauth2_mw-p=a; __Host-oauth2_mw-p=b", "__Host-oauth2_mw-p.1=a", "__Host-oauth2_mw-pp=a"],
)
def test_a_provider_that_is_named_twice_or_otherwise_is_not_remembered(header: str) -> None:
    assert SECURE.last_provider(SECURE.read(header)) is None


@pytest.mark.requirement("W8", "K6")
@pytest.mark.parametrize(
    "header", ["=__Host-oauth2_mw=S", "__host-oauth2_mw=S", "x__Host-oauth2_mw=S", "__Host-oauth2_mwx=S"]
)
def test_a_nameless_or_differently_spelt_cookie_is_not_ours(header: str) -> None:
    assert SECURE.read(header).own == {}


@pytest.mark.parametrize("end", ["", "i", "A", "ab", "a.1", "a\n"])
def test_only_an_attempts_own_names_are_ours(end: str) -> None:
    header = f"{SECURE.attempt_prefix}{end}=A"
    assert SECURE.read(header).own == {}
    assert SECURE.read(header).other_header == header


def test_what_was_read_is_never_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        SECURE.read("x=1").other_header = None  # type: ignore[misc]  # frozen


def test_no_repr_shows_a_cookie() -> None:
    cookies = SECURE.read("__Host-oauth2_mw=canary; other=canary")
    assert "canary" not in repr(cookies)


@pytest.mark.parametrize(
    ("header", "octets"),
    [("x=1", 0), ("__Host-oauth2_mw=", 19), ("__Host-oauth2_mw=abc; x=1", 22), ("sso.1=b; sso=a", 0)],
)
def test_a_session_takes_its_name_its_value_and_what_separates_it(header: str, octets: int) -> None:
    cookies = SECURE.read(header)
    assert SECURE.session_bytes(cookies) == octets


def test_all_chunks_and_copies_of_a_session_are_counted() -> None:
    assert PLAIN.session_bytes(PLAIN.read("sso=ab; sso.1=c; sso=d; sso-a-a=x")) == len(
        "sso=ab; sso.1=c; sso=d; "
    )


def test_nothing_is_left_of_a_header_that_was_ours_alone() -> None:
    assert SECURE.read("__Host-oauth2_mw=S").other_header is None


@given(st.text(max_size=200))
def test_any_header_can_be_read(header: str) -> None:
    cookies = SECURE.read(header)
    list(SECURE.session_values(cookies))
    SECURE.attempts(cookies)


def test_chunks_are_joined_in_order() -> None:
    cookies = SECURE.read("__Host-oauth2_mw.1=B; __Host-oauth2_mw=A")
    assert list(SECURE.session_values(cookies)) == [(2, "AB"), (1, "A")]


def test_a_chunk_without_the_first_is_no_session() -> None:
    assert list(SECURE.session_values(SECURE.read("__Host-oauth2_mw.1=B"))) == []


@pytest.mark.requirement("3c.6", "W8")
def test_a_cookie_sent_twice_is_tried_both_ways_and_a_crowd_not_at_all() -> None:
    assert list(PLAIN.session_values(PLAIN.read("sso=A; sso=B"))) == [(1, "A"), (1, "B")]
    assert len(list(PLAIN.session_values(PLAIN.read("; ".join(["sso=A"] * 3))))) == 3
    assert list(PLAIN.session_values(PLAIN.read("; ".join(["sso=A"] * 4)))) == []
    assert list(PLAIN.session_values(PLAIN.read("sso=A; sso.1=B; sso.1=C"))) == []
    assert PLAIN.attempts(PLAIN.read(f"sso-a-{ID}=A; sso-a-{ID}=B")) == {}


@pytest.mark.requirement("3c.7", "K3")
@given(st.integers(1, CHUNK_BYTES * MAX_CHUNKS))
def test_what_is_written_can_be_read_back(length: int) -> None:
    text = ("0123456789" * (length // 10 + 1))[:length]
    pairs = [cookie.split(";")[0] for cookie in SECURE.set_session(text, RequestCookies({}, None))]
    assert all(len(pair) <= 4096 for pair in pairs)
    assert (len(pairs), text) in list(SECURE.session_values(SECURE.read("; ".join(pairs))))
    assert SECURE.chunk_count(length) == len(pairs)


@pytest.mark.requirement("W10", "3c.8")
def test_a_text_too_long_for_its_cookies_is_never_written() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        SECURE.set_session("x" * (CHUNK_BYTES * MAX_CHUNKS + 1), RequestCookies({}, None))
    assert len(SECURE.set_session("x" * 7600, RequestCookies({}, None))) == 2
    with pytest.raises(ValueError, match="does not fit"):
        SECURE.set_session("x" * 7601, RequestCookies({}, None))


@pytest.mark.requirement("3c.7")
def test_chunks_of_a_longer_session_are_expired() -> None:
    cookies = SECURE.read("__Host-oauth2_mw=A; __Host-oauth2_mw.1=B; __Host-oauth2_mw.7=C")
    written = SECURE.set_session("short", cookies)
    assert [cookie.partition("=")[0] for cookie in written] == [
        "__Host-oauth2_mw",
        "__Host-oauth2_mw.1",
        "__Host-oauth2_mw.7",
    ]
    assert all("Max-Age=0" in cookie for cookie in written[1:])


@pytest.mark.requirement("3c.15", "K2", "K5")
def test_cookies_are_deleted_with_the_attributes_they_were_set_with() -> None:
    for cookies in (SECURE, PLAIN):
        request = cookies.read(f"{cookies.session}=x")
        for written in (
            *cookies.set_session("x", request),
            *cookies.expire_session(request),
            cookies.set_attempt(ID, "x", max_age=3600),
            cookies.expire(cookies.attempt_prefix + ID),
        ):
            assert "; Path=/; HttpOnly; SameSite=Lax" in written
            assert ("; Secure" in written) == (cookies is SECURE)
            assert "Domain" not in written


@pytest.mark.parametrize(
    ("header", "rest"),
    [
        ("__Host-oauth2_mw=S;x=1", "x=1"),
        ("__Host-oauth2_mw=S;", None),
        ("x=1; __Host-oauth2_mw=S;y=2; z", "x=1; y=2; z"),
        ("x=1;__Host-oauth2_mw=S", "x=1"),
    ],
)
def test_a_separator_without_its_blank_ends_a_cookie_as_well(header: str, rest: str | None) -> None:
    cookies = SECURE.read(header)
    assert cookies.own == {"__Host-oauth2_mw": ["S"]}
    assert cookies.other_header == rest


def pair_by_pair(cookies: Cookies, header: str) -> tuple[dict[str, list[str]], list[str]]:
    """Read a header the slow way: our cookies, and the others."""
    own: dict[str, list[str]] = {}
    others = []
    for pair in header.split(";"):
        pair = pair.strip(" \t")
        name, separator, value = pair.partition("=")
        name = name.rstrip(" \t")
        if separator and re.fullmatch(re.escape(cookies.session) + r"(-a-[a-h]|\.[0-9]{1,2})?", name):
            own.setdefault(name, []).append(value.lstrip(" \t").strip('"'))
        elif pair:
            others.append(pair)
    return own, others


def only_agrees(cookies: Cookies, header: str) -> None:
    """The short way says what the long one says, or nothing."""
    only = cookies.only(header)
    if only is not None:
        read = cookies.read(header)
        assert (read.own, read.other_header) == ({cookies.session: [only[0]]}, only[1])


OURS = "__Host-oauth2_mw"
PAIRS = st.sampled_from(
    ["a=1", "b=", "c", "theme=dark", 'q="x y"', "=x", f"{OURS}x=1", f"x{OURS}=1", f"={OURS}=1", f"v={OURS}=S"]
    + [
        f"{OURS}{end}"
        for end in ("", "=S", "=", '="S"', "= S", "=S=T", " =S", ".1=T", ".12=T", ".123=T", "-a-a=A")
    ]
    + [f"{OURS}{end}" for end in ("-a-z=A", "-o-0a1b2c3d=O", f"=S{OURS}=", "=S\t", "\t=\tS")]
)


@given(st.lists(st.tuples(PAIRS, st.sampled_from(["; ", ";", " ;\t", ";;", "; ; "])), max_size=8))
def test_one_scan_reads_a_header_as_pair_by_pair(pairs: list[tuple[str, str]]) -> None:
    header = "".join(pair + separator for pair, separator in pairs)
    cookies = SECURE.read(header)
    rest = pair_by_pair(SECURE, cookies.other_header or "")
    assert ((cookies.own, rest[1])) == pair_by_pair(SECURE, header)
    assert not rest[0]
    assert cookies.other_header != ""
    only_agrees(SECURE, header)


@given(st.text('so=; .x1"', max_size=24))
@example("xx=; y")
@example("sso=a; x=sso")
@example("sso=;sso.1=a")
def test_whatever_stands_around_our_name_one_scan_reads_the_same(header: str) -> None:
    cookies = PLAIN.read(header)
    own, others = pair_by_pair(PLAIN, header)
    assert cookies.own == own
    assert pair_by_pair(PLAIN, cookies.other_header or "") == ({}, others)
    only_agrees(PLAIN, header)


@pytest.mark.parametrize("before", ["", "a=1; ", "theme=dark; v=x; "])
@pytest.mark.parametrize("after", ["", "; a=1", ";a=1", "; "])
def test_a_session_among_cookies_of_the_application_is_read_the_short_way(before: str, after: str) -> None:
    header = f"{before}{OURS}=S{after}"
    assert SECURE.only(header) == ("S", SECURE.read(header).other_header)


@pytest.mark.parametrize(
    "header",
    [
        "a=1",
        f"x{OURS}=S",
        f"a=1;{OURS}=S",
        f"a=1 {OURS}=S",
        f"{OURS}=S; {OURS}=T",
        f"{OURS}=S; {OURS}.1=T",
        f"{OURS}-a-a=A; {OURS}=S",
        f'{OURS}="S"',
        f"{OURS}= S",
        f"{OURS}=S; oauth2_mw_wiki=AU{'x' * 60}",
    ],
)
def test_any_other_header_is_read_the_long_way(header: str) -> None:
    assert SECURE.only(header) is None


@pytest.mark.parametrize("before", ["a=1;", "a=1 ", "x"])
def test_what_does_not_begin_as_a_cookie_of_a_browser_leaves_no_others(before: str) -> None:
    assert SECURE.others(f"{before}{OURS}=S", len(before), len(f"{before}{OURS}=S")) is None


@pytest.mark.parametrize("after", ["T", " ", "\t; a=1", '"', ",a=1"])
def test_what_does_not_end_as_a_cookie_of_a_browser_leaves_no_others(after: str) -> None:
    assert SECURE.others(f"{OURS}=S{after}", 0, len(f"{OURS}=S")) is None


def test_what_is_not_ours_keeps_its_octets() -> None:
    others = "a=1;;b=\t2 ; c=\x1f\xe4 "
    assert SECURE.read(f"{others}; {OURS}=S").other_header == others.rstrip(" ")
    assert SECURE.read(f"{OURS}=S;{others}").other_header == others.rstrip(" ")


def test_a_jar_of_fifty_cookies_gives_ours_from_its_end() -> None:
    jar = [f"cookie{number}={'v' * 150}" for number in range(50)]
    cookies = SECURE.read("; ".join([*jar, f"{OURS}=S"]))
    assert (cookies.own, cookies.other_header) == ({OURS: ["S"]}, "; ".join(jar))
    cookies = SECURE.read("; ".join([f"{OURS}=S", *jar[:20], f"{OURS}=T", *jar[20:], f"{OURS}=U"]))
    assert (cookies.own, cookies.other_header) == ({OURS: ["S", "T", "U"]}, "; ".join(jar))


# What was sealed for others

SIBLINGS = (
    "__Host-oauth2_mw_wiki",
    "oauth2_mw",
    "oauth2_mw-wiki",
    "__Host-oauth2_mw_wiki-a-c",
    "oauth2_mw2-o-0a1b2c3d",
)


@pytest.mark.requirement("R-siblings")
@pytest.mark.parametrize("name", SIBLINGS)
@pytest.mark.parametrize("form", ["{}={}", '{}="{}"', " {} = {}", "\t{}={}\t"])
@pytest.mark.parametrize("header", ["x=1;{};y=2", "x=1;{};__Host-oauth2_mw=S; y=2", "x=1;{0};{0}; y=2"])
def test_what_we_seal_for_other_applications_is_cut(name: str, form: str, header: str) -> None:
    keyring = Keyring(Secret.literal(text_key(7)), sync=5)
    sealed = Sealer(keyring, app_id="https://app.example/wiki").seal("session", name, b"{}")
    rest = SECURE.read(header.format(form.format(name, sealed))).other_header
    assert rest is not None
    assert rest.replace(" ", "") == "x=1;y=2"


@pytest.mark.requirement("R-siblings")
def test_a_further_chunk_of_a_sibling_is_cut_with_it() -> None:
    assert SECURE.read("__Host-oauth2_mw_wiki.1=abc-_9; x=1").other_header == "x=1"


@pytest.mark.parametrize(
    "cookie",
    [
        "oauth2_mw_theme=dark",
        f"theme={'A' + 'Q' * 60}",
        f"xoauth2_mw={'A' + 'Q' * 60}",
        f"oauth2_mw_x={'AQ' * 10}",
        f"oauth2_mw_x=A{'Q' * 60}.sig",
        f"oauth2_mw_x=e{'Q' * 60}",
        f"{OURS}-o-0a1b2c3d=A{'Q' * 60}",
        f"oauth2_mw x=A{'Q' * 60}",
    ],
)
def test_what_others_set_stays(cookie: str) -> None:
    for header in (cookie, f"a=1; {cookie}", f"{cookie}; {OURS}=S"):
        assert cookie in (SECURE.read(header).other_header or "")


# The application's own cookies

HOST_ONLY = AppCookie("session", path=None, domain=None)
ELSEWHERE = AppCookie("trac_auth", path="/trac", domain="corp.example")
EXPIRED = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


def test_a_cookie_of_the_application_is_deleted_at_the_root_and_at_the_mount() -> None:
    cookies = Cookies("sso", secure=False, app_cookies=[HOST_ONLY], mount="/app")
    assert cookies.expire_app_cookies()[:2] == [
        f"session=; Path=/; {EXPIRED}",
        f"session=; Path=/app; {EXPIRED}",
    ]
    without_mount = Cookies("sso", secure=False, app_cookies=[HOST_ONLY])
    assert without_mount.expire_app_cookies()[:-1] == [f"session=; Path=/; {EXPIRED}"]


def test_a_cookie_of_the_application_is_deleted_where_it_was_set() -> None:
    cookies = Cookies("sso", secure=True, app_cookies=[ELSEWHERE], mount="/app")
    assert cookies.expire_app_cookies()[:-1] == [
        f"trac_auth=; Path=/trac; Domain=corp.example; Secure; {EXPIRED}"
    ]


def test_with_a_cookie_of_the_application_goes_what_says_whose_it_is() -> None:
    cookies = Cookies("sso", secure=True, app_cookies=[HOST_ONLY, ELSEWHERE])
    for cookie in (HOST_ONLY, ELSEWHERE):
        owner = cookies.owner_name(cookie)
        assert cookies.set_owner(cookie, "text").startswith(f"{owner}=text; Path=/; HttpOnly")
        assert cookies.expire_app_cookies([cookie])[-1] == cookies.expire(owner)
        assert cookies.expire(owner) in cookies.expire_app_cookies()
    assert cookies.expire_app_cookies([]) == []


def test_what_says_whose_a_cookie_is_has_a_name_of_its_own_for_each() -> None:
    cookies = [
        AppCookie(name, path=path, domain=domain)
        for name in ("session", "other")
        for path in (None, "/", "/app")
        for domain in (None, "corp.example")
    ]
    names = {SECURE.owner_name(cookie) for cookie in cookies}
    assert len(names) == len(cookies)
    assert all(name.startswith("__Host-oauth2_mw-o-") for name in names)


def test_a_logout_deletes_the_session_its_attempts_and_the_application_s_cookies() -> None:
    cookies = Cookies("sso", secure=False, app_cookies=[HOST_ONLY])
    request = cookies.read("sso=S; sso.1=T; sso-a-a=A; sso-a-b=B; session=x")
    deleted = {value.partition("=")[0] for value in cookies.expire_all(request)}
    assert deleted == {"sso", "sso.1", "sso-a-a", "sso-a-b", "session", cookies.owner_name(HOST_ONLY)}
