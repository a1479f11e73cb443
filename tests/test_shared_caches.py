"""What a person's page says to caches: every spelling of the headers, and what becomes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.shared_caches import Headers, is_shared, parse_cache_control, personal_headers


def values(headers: Headers, name: str) -> list[str]:
    return [value for key, value in headers if key.lower() == name]


def cache_control(*lines: str, respect: bool = False) -> str:
    headers = [("cache-CONTROL", line) for line in lines]
    [value] = values(personal_headers(headers, respect=respect), "cache-control")
    return value


@pytest.mark.requirement("3i.4", "R-shared-caches")
@pytest.mark.parametrize(
    ("lines", "refused", "respected"),
    [
        ([], "private", "private"),
        ([""], "private", "private"),
        (["max-age=60"], "private, max-age=60", "private, max-age=60"),
        (["no-cache"], "private, no-cache", "private, no-cache"),
        (["private"], "private", "private"),
        (["Private, Max-Age=60"], "Private, Max-Age=60", "Private, Max-Age=60"),
        (["no-store"], "no-store", "no-store"),
        (["public"], "private", "public"),
        (["public, max-age=60"], "private, max-age=60", "public, max-age=60"),
        (["PUBLIC,max-age=60"], "private, max-age=60", "PUBLIC,max-age=60"),
        (["public, no-store"], "private, no-store", "public, no-store"),
        (["private, s-maxage=60"], "private", "private, s-maxage=60"),
        (["s-maxage=60, max-age=5"], "private, max-age=5", "s-maxage=60, max-age=5"),
        (["S-MaxAge = 60"], "private", "S-MaxAge = 60"),
        (['s-maxage="60"'], "private", 's-maxage="60"'),
        (["max-age=60", "public"], "private, max-age=60", "max-age=60, public"),
        (["max-age=60", "no-store"], "max-age=60, no-store", "max-age=60, no-store"),
        ([" ,, public\t, ,max-age=60 ,"], "private, max-age=60", " ,, public\t, ,max-age=60 ,"),
        (['private="set-cookie"'], "private", "private"),
        (['private="set-cookie", private'], "private", "private"),
        (['public, private="x"'], "private", 'public, private="x"'),
        (['no-cache="x, public"'], 'private, no-cache="x, public"', 'private, no-cache="x, public"'),
        (
            ['a="\\", private, \\"", b'],
            'private, a="\\", private, \\"", b',
            'private, a="\\", private, \\"", b',
        ),
        (
            ["public-ish, my-private=1"],
            "private, public-ish, my-private=1",
            "private, public-ish, my-private=1",
        ),
        (["public=1"], "private", "private"),
        (["s-maxage"], "private", "private"),
    ],
)
def test_what_becomes_of_cache_control(lines: list[str], refused: str, respected: str) -> None:
    assert cache_control(*lines) == refused
    assert cache_control(*lines, respect=True) == respected


@pytest.mark.requirement("3i.4")
@pytest.mark.parametrize("respect", [False, True])
@pytest.mark.parametrize(
    "lines",
    [
        ["public; max-age=60"],
        ["public max-age=60"],
        ["max-age="],
        ["=60"],
        ['no-cache="x'],
        ['no-cache="x', 'y", public'],
        ["public", "max-age=60;"],
        ["públic"],
        ["private, é"],
        ["public\x0b"],
        ['no-cache="x"y, public'],
    ],
)
def test_what_cannot_be_read_is_kept_by_nobody(lines: list[str], *, respect: bool) -> None:
    assert parse_cache_control(lines) is None
    assert cache_control(*lines, respect=respect) == "private, no-store"
    assert not is_shared([("Cache-Control", line) for line in lines])


@given(st.lists(st.text(st.sampled_from('private,public-s-maxage=06" \t\\;é'), max_size=40), max_size=3))
def test_no_text_opens_a_persons_page(lines: list[str]) -> None:
    value = cache_control(*lines)
    directives = parse_cache_control([value])
    assert directives is not None
    assert ("private", None) in directives or ("no-store", None) in directives
    assert {"public", "s-maxage"}.isdisjoint(name for name, _ in directives)
    assert cache_control(value) == value


def test_many_blanks_are_read_in_one_pass() -> None:
    assert parse_cache_control([" " * 100_000 + ";"]) is None
    assert parse_cache_control(["a" + " " * 100_000 + ";"]) is None


@pytest.mark.requirement("V34")
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "Cookie"),
        ([""], "Cookie"),
        (["Accept"], "Accept, Cookie"),
        (["Accept", "Accept-Encoding, Origin"], "Accept, Accept-Encoding, Origin, Cookie"),
        (["*"], "*"),
        (["Accept", " * "], "Accept,  * "),
        (["cookie"], "cookie"),
        (["Accept , COOKIE"], "Accept , COOKIE"),
        (["Accept", "Cookie"], "Accept, Cookie"),
        (["Cookie-Consent"], "Cookie-Consent, Cookie"),
    ],
)
def test_a_persons_page_varies_by_cookie(lines: list[str], expected: str) -> None:
    for respect in (False, True):
        headers = personal_headers([("vaRY", line) for line in lines], respect=respect)
        assert values(headers, "vary") == [expected]


@pytest.mark.requirement("3i.4")
@pytest.mark.parametrize(
    "name",
    [
        "CDN-Cache-Control",
        "Cloudflare-CDN-Cache-Control",
        "Edge-Control",
        "Surrogate-Control",
        "X-Accel-Expires",
        "surrogate-CONTROL",
    ],
)
def test_what_speaks_to_shared_caches_alone_goes_unless_it_is_respected(name: str) -> None:
    headers = [("Content-Type", "text/html"), (name, "max-age=9"), ("Expires", "0")]
    assert personal_headers(headers, respect=False) == [
        ("Content-Type", "text/html"),
        ("Expires", "0"),
        ("Cache-Control", "private"),
        ("Vary", "Cookie"),
    ]
    assert values(personal_headers(headers, respect=True), name.lower()) == ["max-age=9"]


def test_everything_else_stays_as_it_was_and_cookies_are_added() -> None:
    headers = [
        ("Set-Cookie", "a=1"),
        ("Content-Language", "nb"),
        ("X-Items", "1"),
        ("Set-Cookie", "b=2"),
        ("", ""),
    ]
    before = list(headers)
    assert personal_headers(headers, ["c=3", "d=4"], respect=False) == [
        *headers,
        ("Cache-Control", "private"),
        ("Vary", "Cookie"),
        ("Set-Cookie", "c=3"),
        ("Set-Cookie", "d=4"),
    ]
    assert headers == before


@pytest.mark.parametrize(("value", "shared"), [("public", True), ("s-maxage=1", True), ("max-age=1", False)])
def test_what_an_application_opens_to_shared_caches(value: str, *, shared: bool) -> None:
    assert is_shared([("Cache-Control", value)]) == shared
    assert not is_shared([("Content-Type", value)])
