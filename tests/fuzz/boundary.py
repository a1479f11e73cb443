"""The judges of paths, destinations and queries, against parsers that nobody here wrote."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes

import ada_url

from oauth2_mw import boundary
from oauth2_mw.errors import BadRequestError

ORIGIN = "https://app.example"
#: mount and the path of our own URLs
SITES = (("", "/auth/oauth2"), ("/core", "/core/auth/oauth2"))
KNOWN = frozenset({"code", "state", "next", "error_description"})
PROSE = frozenset({"error_description"})
LIMIT = 2000

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SIMPLE = re.compile(r"(?:/[a-z0-9_-]{1,20}){1,9}/?")


def any_text(data: bytes) -> str:
    """Every string of Python, lone surrogates included."""
    return data.decode("utf-8", "surrogateescape")


def path(data: bytes) -> None:
    """A path that is not ambiguous leads to the same place in the eyes of every program."""
    boundary.is_ambiguous_path(any_text(data))
    native = data.decode("latin-1")
    for info in (native, "/public/" + native):
        if boundary.is_ambiguous_path(info):
            assert not _SIMPLE.fullmatch(info), "an ordinary path is ambiguous"
            continue
        text = info.encode("latin-1").decode("utf-8")
        for seen in (posixpath.normpath(text), nginx(text), _whatwg(text), _whatwg(quote(text))):
            # A URL parser takes blanks off the end of what is no URL yet.
            assert seen.rstrip("/ ") == text.rstrip("/ "), f"{seen!a} is another path"


def nginx(text: str) -> str:
    """Return the path as nginx does with merge_slashes: slashes first, dot segments then."""
    kept: list[str] = []
    for segment in re.sub("/+", "/", text).split("/")[1:]:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


def _whatwg(reference: str) -> str:
    url = ada_url.URL(reference, ORIGIN + "/some/page")
    assert url.origin == ORIGIN
    assert not url.search
    assert not url.hash
    return unquote(url.pathname, errors="strict")


def destination(data: bytes) -> None:
    """What is accepted stays on our origin and inside the mount, and is accepted unchanged a second time."""
    value = any_text(data)
    for mount, own in SITES:
        built = boundary.safe_destination(value, origin=ORIGIN, mount=mount, own_prefix=own)
        if built is not None:
            check_destination(built, mount, own)
        elif _SIMPLE.fullmatch(value) and value.startswith(mount + "/"):
            assert (value + "/").startswith(own + "/"), "an ordinary destination is refused"


def check_destination(built: str, mount: str, own: str) -> None:
    """What holds of every destination, however it was asked for."""
    again = boundary.safe_destination(built, origin=ORIGIN, mount=mount, own_prefix=own)
    assert again == built, "it is judged otherwise the second time"
    assert re.fullmatch(r"/[!-~]*", built)
    assert not re.search(r"[\\#<>\"{}|^`]", built)
    assert len(built) <= boundary.MAX_DESTINATION
    for reference in (built, ORIGIN + built):
        url = ada_url.URL(reference, ORIGIN + "/some/page")
        assert url.origin == ORIGIN, "it leads to another origin"
        local, _, asked = built.partition("?")
        # The one character that browsers encode beyond RFC 3986.
        search = asked.replace("'", "%27")
        assert (url.pathname, url.search) == (local, search and f"?{search}"), (
            "a browser reads another address"
        )
    layer = built.partition("?")[0]
    for _ in range(6):
        assert layer.startswith(mount + "/"), "it leaves the mount"
        assert not layer.startswith("//")
        assert (posixpath.normpath(layer) + "/").startswith(mount + "/")
        assert not (posixpath.normpath(layer) + "/").startswith(own + "/"), "it leads to our own URLs"
        assert not _CONTROL.search(layer)
        layer = unquote(layer, errors="strict")


def query(data: bytes) -> None:
    """The standard library reads the same values from every query that is not refused, and nothing else is."""
    native = data.decode("latin-1")
    try:
        found = boundary.strict_query(native, allowed=KNOWN, limit=LIMIT, prose=PROSE)
    except BadRequestError as error:
        assert error.status == 400
        assert not _CONTROL.search(error.detail)
        found = None
    assert found == _expected(native), "the standard library reads otherwise"
    for mount, own in SITES:
        _whole_path(mount, own, *native.partition("?")[::2])


def _expected(native: str) -> dict[str, str] | None:
    if len(native) > LIMIT or native.count("&") > 49 or re.search("%(?![0-9a-fA-F]{2})", native):
        return None
    encoded = re.sub("[\x80-\xff]", lambda match: quote(match[0].encode("latin-1")), native)
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        return None
    pairs = [(name, re.sub("[\r\n\t]", " ", value) if name in PROSE else value) for name, value in pairs]
    if any(_CONTROL.search(text) for pair in pairs for text in pair):
        return None
    names = [name for name, _ in pairs if name in KNOWN]
    return dict(pair for pair in pairs if pair[0] in KNOWN) if len(set(names)) == len(names) else None


def _whole_path(mount: str, own: str, info: str, query_string: str) -> None:
    asked = boundary.browser_path(mount, info, query_string)
    assert asked.isascii()
    kept = boundary.asked_destination(asked, mount=mount, own_prefix=own)
    if kept is not None:
        url = ada_url.URL(ORIGIN + kept)
        assert (url.origin, url.pathname) == (ORIGIN, kept.partition("?")[0])
        assert unquote_to_bytes(url.pathname) == (mount + (info or "/")).encode("latin-1")
        assert boundary.asked_destination(kept, mount=mount, own_prefix=own) == kept
    built = boundary.safe_destination(asked, origin=ORIGIN, mount=mount, own_prefix=own)
    if built is None:
        return
    check_destination(built, mount, own)
    # In the absolute form of a request line (RFC 9112, section 3.2.2) it may be our own origin.
    local = info if mount else info.removeprefix(ORIGIN)
    octets = unquote_to_bytes(built.partition("?")[0])
    assert octets == (mount + (local or "/")).encode("latin-1"), "it leads elsewhere than the browser was"
