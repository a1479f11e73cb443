"""Limits: what hostile bytes, numbers and hordes may cost, and what is never asked of the network."""

from __future__ import annotations

import ast
import io
import re
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from oauth2_mw.errors import ConfigError, ProviderUnavailableError
from oauth2_mw.identity.environ import Scrubber
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.http.documents import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_MEMBERS,
    MAX_TEXT,
    DocumentError,
    read_json,
)
from oauth2_mw.provider.http.messages import Timeouts
from oauth2_mw.session.keyring import Keyring
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.web.signin.attempt import LocalReplayCache
from tests.support.hosts.guarded import Guarded, guard, guarded, sign_in
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.providers.standin import Answer, StandIn
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import ORIGIN, make_settings
from tests.support.settings.providers import oidc_settings
from tests.support.source import trees

HTML = "text/html,*/*;q=0.8"
COOKIE = "__Host-oauth2_mw"
PREFIX = "/auth/oauth2"


class Counted(io.RawIOBase):
    """A body without an end, which counts what is taken of it."""

    taken = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "read without a limit"
        self.taken += size
        return b"a" * size


# Bytes before they are parsed


@pytest.mark.requirement("3h", "V35")
@pytest.mark.parametrize("length", ["16385", "99999999999", "", None, "-1", "1e9", "0x10", "\u0661"])
def test_a_form_is_read_to_a_limit_that_is_known_before(length: str | None) -> None:
    body = Counted()
    environ = environ_for(f"{PREFIX}/logout/", REQUEST_METHOD="POST", CONTENT_LENGTH=length)
    environ["wsgi.input"] = body
    assert call(guard(), environ).status in (303, 400)
    assert body.taken <= 16 * 1024


@pytest.mark.requirement("V35")
@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data; boundary=x", "application/json", "text/plain", "application/octet-stream"],
)
def test_a_body_of_another_kind_is_not_read(content_type: str) -> None:
    body = Counted()
    environ = environ_for(
        f"{PREFIX}/logout/", REQUEST_METHOD="POST", CONTENT_LENGTH="100", CONTENT_TYPE=content_type
    )
    environ["wsgi.input"] = body
    assert call(guard(), environ).status == 400
    assert body.taken == 0


@pytest.mark.requirement("3h", "3a.9")
@pytest.mark.parametrize("name", ["code", "state", "error_description", "next", "x"])
@pytest.mark.parametrize("path", [f"{PREFIX}/login/callback/", f"{PREFIX}/login/", f"{PREFIX}/logout/done/"])
def test_a_megabyte_in_a_query_is_refused_by_its_length(path: str, name: str) -> None:
    environ = environ_for(path, QUERY_STRING=f"{name}=" + "A" * 1_000_000)
    middleware = guard()
    call(middleware, environ_for(path))
    started = time.process_time()
    assert call(middleware, environ).status == 400
    assert time.process_time() - started < 0.1


@pytest.mark.requirement("3h", "3h.9")
@pytest.mark.parametrize(
    "header",
    [
        "; ".join(f"{COOKIE}-a-{number:012}=A" for number in range(20_000)),
        "; ".join([f"{COOKIE}=A"] * 20_000),
        "; ".join(f"{COOKIE}.{number}=A" for number in range(20_000)),
        "; ".join(f"c{number}=A" for number in range(20_000)) + f"; {COOKIE}=A",
        f"{COOKIE}=" + "A" * 2_000_000,
        ";" * 1_000_000 + COOKIE,
        "=" * 1_000_000 + COOKIE,
        f"{COOKIE}" * 50_000,
        '"' * 1_000_000 + COOKIE,
    ],
    ids=range(9),
)
def test_a_header_full_of_cookies_costs_little(header: str) -> None:
    middleware = guard()
    call(middleware, environ_for("/", HTTP_COOKIE=f"{COOKIE}=x"))
    started = time.process_time()
    assert call(middleware, environ_for("/", HTTP_COOKIE=header)).status == 401
    assert time.process_time() - started < 2


@pytest.mark.requirement("3h.9")
def test_of_a_thousand_copies_of_a_session_few_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    middleware = guard()
    backend = middleware._sessions._backend
    really_open, opened = backend.open, []

    def open_(chunk_count: int, sealed: str) -> Any:
        opened.append(sealed)
        return really_open(chunk_count, sealed)

    monkeypatch.setattr(backend, "open", open_)
    header = "; ".join([sign_in(middleware)] * 1000)
    assert call(middleware, environ_for("/", HTTP_COOKIE=header)).status == 401
    assert len(opened) <= 3


# Documents


@pytest.mark.requirement("3h.2")
@pytest.mark.parametrize(
    "body",
    [
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" * 500_000,
        b'{"a":' * 200_000,
        b"[" + b"1," * MAX_ITEMS + b"1]",
        b"{" + b",".join(b'"%d":1' % n for n in range(MAX_MEMBERS + 1)) + b"}",
        b'"' + b"a" * (MAX_TEXT + 1) + b'"',
        b"1" * 100_000,
        b"-" + b"9" * 4301,
        b'{"a":1,"a":1}',
        b"NaN",
    ],
    ids=range(10),
)
def test_a_document_beyond_a_bound_is_refused_quickly(body: bytes) -> None:
    started = time.process_time()
    with pytest.raises(DocumentError):
        read_json(body)
    assert time.process_time() - started < 1


@pytest.mark.requirement("3h.8")
@pytest.mark.parametrize("number", [5001, 50_000])
def test_a_list_of_groups_beyond_the_bound_admits_nobody(
    site: Guarded, provider: StandIn, number: int
) -> None:
    provider.userinfo["groups"] = ["g"] * number
    started = time.process_time()
    assert site.browser().navigate(site.url + "/").status == 502
    assert time.process_time() - started < 5
    assert site.app.calls == 0


@pytest.mark.requirement("3h.1", "O4")
def test_a_provider_that_sends_a_byte_a_second_is_left(provider: StandIn) -> None:
    """The clock of the whole request runs on, however often a byte arrives."""
    over = threading.Event()

    def drip() -> Iterator[bytes]:
        while not over.wait(0.05):
            yield b" "

    provider.answers["discovery"] = Answer(drip())
    client = ProviderClient(
        oidc_settings(provider), redirect_uri=ORIGIN, timeouts=Timeouts(connect=1, read=1, total=0.5)
    )
    started = time.monotonic()
    try:
        with pytest.raises(ProviderUnavailableError):
            client.authorization_url(state="s", nonce="n", code_verifier="v" * 43)
    finally:
        over.set()
    assert time.monotonic() - started < 3


# Memory


@pytest.mark.deep
@pytest.mark.requirement("3h.3")
def test_a_horde_of_anything_leaves_a_bounded_memory(tmp_path: Path) -> None:
    used = LocalReplayCache()
    scrub = Scrubber({"REMOTE_USER": "username"}, "basic")
    file = tmp_path / "keys"
    file.write_text(f"a 2020-01-01T00:00:00Z {text_key()}\n")
    ring = Keyring(Secret.file(file), sync=5)
    middleware = guard()

    def horde(numbers: range) -> None:
        for number in numbers:
            used.consume(f"attempt-{number}", expires=2_000_000_000)
            scrub({f"HTTP_X_{number}": "1"})
            ring.find(number.to_bytes(8, "big"))
            if number % 500 == 0:
                for path in (f"{PREFIX}/static/{number}.css", f"/{number}"):
                    call(middleware, environ_for(path, HTTP_COOKIE=f"{COOKIE}={number}", HTTP_ACCEPT="*/*"))

    # More than each of the memories holds: what comes after only takes the place of something else.
    horde(range(21_000))
    tracemalloc.start()
    try:
        horde(range(21_000, 42_000))
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # An entry of theirs takes more than 60 bytes; the largest of them keeps 20,000 and only renews them.
    assert grown < 6 * 1024 * 1024


# Expressions


def expressions() -> Iterator[Any]:
    """Every regular expression of the package, with the ways in which its module uses it."""
    for module, tree in trees().items():
        if not any(isinstance(node, ast.Import) and node.names[0].name == "re" for node in tree.body):
            continue
        nodes = list(ast.walk(tree))
        #: ``re.compile(...)`` by its call, and ``re.match(...)`` and the like by their function
        patterns: dict[int, ast.expr] = {}
        for node in nodes:
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="re")) as function, args=[pattern, *_]):
                    patterns[id(node if function.attr == "compile" else function)] = pattern
        names = {
            target.id: patterns[id(node.value)]
            for node in nodes
            if isinstance(node, ast.Assign) and id(node.value) in patterns
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for use in nodes:
            if not isinstance(use, ast.Attribute) or use.attr not in METHODS:
                continue
            named = names.get(use.value.id) if isinstance(use.value, ast.Name) else None
            found = named or patterns.get(id(use)) or patterns.get(id(use.value))
            if isinstance(found, ast.Constant):
                yield pytest.param(
                    found.value, use.attr, id=f"{Path(module).stem} {use.attr} {found.value!a}"
                )


METHODS = ("match", "fullmatch", "search", "sub", "finditer", "findall", "split")
EXPRESSIONS = list(expressions())
PUMPS = [
    "a",
    "/",
    ".",
    "/.",
    "/a",
    ". ",
    " ",
    "-",
    "0",
    "0.",
    "%2",
    '"',
    "\\",
    "[",
    "é",
    "a@",
    ":",
    "A1_",
    ";",
    "=",
    "\x00",
]


@pytest.mark.requirement("3h.6")
@pytest.mark.parametrize(("pattern", "method"), EXPRESSIONS)
def test_no_expression_takes_more_than_linear_time(pattern: str | bytes, method: str) -> None:
    # What is found is looked for from every place of the text in turn.
    apply = getattr(re.compile(pattern), method if method in ("match", "fullmatch") else "search")
    for pump in PUMPS:
        for lead, tail in (("", ""), ("/", "\x00"), ("a", "!"), ('"', "\n")):
            text: Any = lead + pump * 20_000 + tail
            started = time.process_time()
            apply(text.encode() if isinstance(pattern, bytes) else text)
            assert time.process_time() - started < 1, (pump, lead, tail)


def test_the_expressions_of_the_package_are_found() -> None:
    assert len(EXPRESSIONS) >= 20


# The network


@pytest.mark.requirement("3f.13")
@pytest.mark.parametrize(
    "icon",
    [
        "https://evil.example/x.svg",
        "//evil.example/x.svg",
        "http://127.0.0.1/x.png",
        "javascript:alert(1)",
        "data:image/svg+xml,<svg/>",
        "file:///etc/passwd",
        "../../../etc/passwd",
    ],
)
def test_a_picture_is_a_file_or_a_name_and_never_an_address(icon: str) -> None:
    with pytest.raises(ConfigError):
        make_settings(issuer="https://id.example", icon=icon)


@pytest.fixture
def svg(tmp_path: Path) -> Path:
    picture = tmp_path / "corp.svg"
    picture.write_text('<svg xmlns="http://www.w3.org/2000/svg"><circle r="1"/></svg>')
    return picture


@pytest.mark.requirement("3j.1", "3f.13")
def test_a_picture_is_served_as_one_and_may_do_nothing(svg: Path) -> None:
    middleware = guard(icon=str(svg))
    svg.unlink()
    answer = call(middleware, environ_for(f"{PREFIX}/icon/default"))
    assert (answer.status, answer.header("Content-Type")) == (200, "image/svg+xml")
    policy = answer.header("Content-Security-Policy") or ""
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer.header("X-Content-Type-Options") == "nosniff"


@pytest.mark.requirement("3j.1")
@pytest.mark.parametrize("inside", ["<script>alert(1)</script>", "<foreignObject/>"])
def test_a_picture_that_acts_is_refused_at_the_start(svg: Path, inside: str) -> None:
    svg.write_text(svg.read_text().replace("<circle", inside + "<circle"))
    with pytest.raises(ConfigError, match="icon"):
        guard(icon=str(svg))


@pytest.mark.requirement("3f")
def test_a_sign_in_visits_what_is_configured_and_nothing_else(site: Guarded, provider: StandIn) -> None:
    """Other hosts would end the test: nothing may leave this machine."""
    bait = provider.url + "/bait"
    provider.metadata = {
        "registration_endpoint": bait,
        "request_object_endpoint": bait,
        "check_session_iframe": bait,
        "op_policy_uri": bait,
        "introspection_endpoint": bait,
        "signed_metadata": "x.y.z",
        "mtls_endpoint_aliases": {"token_endpoint": bait},
        "service_documentation": "https://evil.example/",
    }
    provider.answers["token"] = lambda good: {**good, "token_endpoint": bait, "userinfo_endpoint": bait}
    site.browser().navigate(site.url + "/")
    visited = {request.path for request in provider.requests}
    assert visited == {"/.well-known/openid-configuration", "/authorize", "/token", "/jwks", "/userinfo"}


@pytest.mark.requirement("3f.2", "3f.10")
@pytest.mark.parametrize("name", ["token", "userinfo"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_request_with_credentials_is_not_sent_on(
    site: Guarded, provider: StandIn, name: str, status: int
) -> None:
    with StandIn() as elsewhere:
        target = (("Location", f"{elsewhere.url}/{name}"),)
        provider.answers[name] = Answer(status=status, headers=target)
        assert site.browser().navigate(site.url + "/").status == 502
        assert elsewhere.requests == []
    assert len(provider.asked(f"/{name}")) == 1


@pytest.mark.requirement("3f.9", "3f.3")
@pytest.mark.parametrize("name", ["discovery", "jwks"])
def test_another_port_of_the_same_host_is_another_place(site: Guarded, provider: StandIn, name: str) -> None:
    with StandIn() as elsewhere:
        provider.answers[name] = Answer(status=302, headers=(("Location", f"{elsewhere.url}/x"),))
        assert site.browser().navigate(site.url + "/").status in (502, 503)
        assert elsewhere.requests == []


# Logs


@pytest.mark.requirement("3h.10")
def test_one_bad_request_writes_one_short_line(site: Guarded) -> None:
    app = site.middleware
    for keys in (
        {"QUERY_STRING": "state=" + "A" * 500 + "&code=" + "B" * 4000},
        {"QUERY_STRING": "state=" + "A" * 600},
        {"QUERY_STRING": "error=" + "x" * 9000 + "&state=x"},
        {"QUERY_STRING": "%zz" * 3000},
        {"QUERY_STRING": "state=x&" + "&".join(f"p{n}=1" for n in range(2000))},
        {"QUERY_STRING": "state=x", "HTTP_USER_AGENT": "x" * 50_000, "HTTP_COOKIE": "x=" + "y" * 50_000},
    ):
        before = len(site.audit)
        assert call(app, environ_for(f"{PREFIX}/login/callback/", **keys)).status == 400
        (line,) = site.audit[before:]
        assert len(line) < 1000
        assert line.isprintable()


@pytest.mark.requirement("3h.10")
def test_an_ordinary_request_without_a_session_writes_nothing(site: Guarded) -> None:
    for path in ("/", "/a", f"{PREFIX}/nothing", f"{PREFIX}/static/x"):
        call(site.middleware, environ_for(path, HTTP_ACCEPT="*/*"))
    assert site.audit == []


@pytest.mark.requirement("3i.1")
@pytest.mark.parametrize(
    "text", ["a\r\nevent=login user=root", "a\x1b[2Jb", "a\u2028b", "a\u202eb", "a\x85b", 'a" b="c']
)
def test_what_a_provider_calls_a_person_stays_on_one_line(provider: StandIn, text: str) -> None:
    provider.denies = "server_error"
    with guarded(issuer=provider.issuer) as site:
        browser = site.browser()
        page = browser.navigate(site.url + "/", stop_before=ORIGIN)
        browser.navigate((page.location or "") + "&error_description=" + quote(text))
        (line,) = site.audit
        assert line.isprintable()
        assert line.isascii() or "\u202e" not in line
        assert line.count("event=") == 1 or 'detail="' in line.partition("event=login user")[0]
