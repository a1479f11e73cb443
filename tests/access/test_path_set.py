"""Sets of paths at which something is granted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.access.path_set import PathSet
from oauth2_mw.settings.grammar import PathRule


def paths(*texts: str, odd: str = "") -> PathSet:
    return PathSet(map(PathRule.parse, texts), odd_paths=map(PathRule.parse, odd.split()))


@pytest.mark.parametrize("path", ["/dav/", "/dav/a", "/dav/a/b", "/dav", "/feed"])
def test_a_subtree_and_an_exact_path_are_in_the_set(path: str) -> None:
    assert path in paths("/dav/", "/feed")


@pytest.mark.parametrize("path", ["/", "", "/da", "/davx", "/feed/", "/feed/x", "/DAV/", "dav/", "/x/dav/"])
def test_what_lies_beside_them_is_not(path: str) -> None:
    assert path not in paths("/dav/", "/feed")


def test_the_root_is_everything_and_the_front_page_is_itself() -> None:
    for path in ("/", "", "/x", "/x/y"):
        assert path in paths("/")
        assert (path in paths("/$")) == (path in ("/", ""))


@pytest.mark.parametrize(
    "path", ["/dav//x", "/dav/../x", "/x/../dav/y", "/dav/;x", "/dav/%2e", "/dav/\\", "/dav/\x00"]
)
def test_a_path_that_can_be_read_in_several_ways_is_in_no_set(path: str) -> None:
    assert path not in paths("/dav/", "/")


def test_in_odd_paths_every_reading_must_be_in_the_set() -> None:
    inside = paths("/dav/", odd="/dav/")
    assert "/dav//x" in inside
    assert "/dav/a/../b" in inside
    assert "/dav/../x" not in inside
    assert "/dav/\\x" not in inside
    assert "/x//dav/y" not in inside


def test_an_empty_set_has_nothing_in_it() -> None:
    assert [path for path in ("/", "", "/x", "//") if path in paths()] == []


@given(st.text(st.characters(max_codepoint=255)) | st.text("/dav.;%", max_size=12).map("/dav".__add__))
def test_nothing_outside_a_subtree_is_in_it(path: str) -> None:
    assert (path in paths("/dav/")) <= (path == "/dav" or path.startswith("/dav/"))
