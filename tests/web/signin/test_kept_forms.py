"""``keep_forms``: a form that meets a session which has run out is kept, offered, and sent once; no other form is."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.kept_forms import MAX_IN_COOKIE, MAX_STORED, MOST
from oauth2_mw.web.signin.challenge import NOT_TAKEN
from oauth2_mw.web.signin.sent_form import read_body
from tests.support.clock import Clock, ShiftedClocks
from tests.support.hosts.guarded import JANE, Guarded, guard, guarded, sign_in, signed_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import ORIGIN
from tests.support.stores.watched_store import WatchedStore

EVIL = "https://evil.example"
BOB = replace(JANE, id="u2", subject="43", username="bob")
TYPE = "application/x-www-form-urlencoded"
BODY = b"headline=hello&secret=hunter2"
BY_A_PERSON = {
    "HTTP_SEC_FETCH_SITE": "same-origin",
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_SEC_FETCH_DEST": "document",
    "HTTP_ACCEPT": "text/html",
}
#: what a browser sends with a form of a page of the application
FORM = {
    **BY_A_PERSON,
    "REQUEST_METHOD": "POST",
    "HTTP_ORIGIN": ORIGIN,
    "HTTP_REFERER": f"{ORIGIN}/edit/form",
    "CONTENT_TYPE": TYPE,
}


class App:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.got.append(dict(environ))
        self.bodies.append(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"saved"]


class Stage:
    """A browser with a session that has run out, and the application that it posts to."""

    def __init__(self, folder: Path | None, **settings: Any) -> None:
        self.app = App()
        self.clock = ShiftedClocks()
        if folder is not None:
            settings = {"session": f"sqlite:///{folder}/sessions.db", **settings}
        settings = {"keep_forms": "/edit/ /send", "session_idle": "10m", **settings}
        self.middleware = guard(self.app, clocks=self.clock.clocks, **settings)
        registry: Any = self.middleware._sessions.registry
        if registry is not None:
            registry.store._clock = registry.store.forms._clock = self.clock.wall
        self.cookies: dict[str, str] = {}
        self.sign_in()
        self.clock.ahead = 601

    def sign_in(self, identity: Any = JANE) -> None:
        kept = {name: value for name, value in self.cookies.items() if "-f-" in name}
        pairs = (pair.partition("=") for pair in sign_in(self.middleware, identity).split("; "))
        self.cookies = {name: value for name, _, value in pairs} | kept

    def take(self, answer: WsgiResponse) -> WsgiResponse:
        for name, line in answer.cookies.items():
            self.cookies.pop(name, None)
            if "Max-Age=0" not in line:
                self.cookies[name] = line.partition(";")[0].partition("=")[2]
        return answer

    def ask(self, path: str = "/edit/7", **keys: Any) -> WsgiResponse:
        header = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return self.take(call(self.middleware, environ_for(path, **{"HTTP_COOKIE": header or None, **keys})))

    def post(self, path: str = "/edit/7", *, body: bytes = BODY, **keys: Any) -> WsgiResponse:
        length = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        return self.ask(path, **{**FORM, **length, **keys})

    def kept_id(self, answer: WsgiResponse) -> str | None:
        """The id of the form that an answer leads to."""
        found = re.search(r"oauth2_mw_form(?:=|%3D)([A-Za-z0-9_-]{38})", answer.text)
        return None if found is None else found[1]

    def keep(self, path: str = "/edit/7", **keys: Any) -> str:
        form_id = self.kept_id(self.post(path, **keys))
        assert form_id is not None
        return form_id

    def offer(self, form_id: str, path: str = "/edit/7", *, query: str = "") -> WsgiResponse:
        parameter = f"{query}&oauth2_mw_form={form_id}".lstrip("&")
        return self.ask(path, **BY_A_PERSON, QUERY_STRING=parameter)

    def send(
        self, form_id: str, token: str, path: str = "/edit/7", *, query: str = "", **keys: Any
    ) -> WsgiResponse:
        """Press the button of the form's page."""
        parameter = f"{query}&oauth2_mw_form={form_id}".lstrip("&")
        return self.post(
            path,
            body=b"csrf_token=" + token.encode(),
            **{"QUERY_STRING": parameter, "HTTP_REFERER": f"{ORIGIN}{path}?{parameter}", **keys},
        )


def token_of(page: WsgiResponse) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


@pytest.fixture(params=["cookie", "store"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    return Stage(tmp_path if request.param == "store" else None)


@pytest.fixture
def stored(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def cookie() -> Stage:
    return Stage(None)


# What is kept, offered and sent


def test_a_form_is_kept_offered_after_the_sign_in_and_sent_once(stage: Stage) -> None:
    answer = stage.post(QUERY_STRING="draft=1")
    form_id = stage.kept_id(answer)
    assert (answer.status, form_id is None) == (401, False)
    assert "kept for ten minutes" in answer.text
    assert NOT_TAKEN not in answer.text
    assert form_id is not None
    stage.sign_in()
    page = stage.offer(form_id, query="draft=1")
    assert page.status == 200
    assert stage.app.got == []
    for shown in (f"{ORIGIN}/edit/7?draft=1<", "headline", "secret"):
        assert shown in page.text
    for hidden in ("hello", "hunter2"):
        assert hidden not in page.text
    assert f'action="{ORIGIN}/edit/7?draft=1&amp;oauth2_mw_form={form_id}"' in page.text
    assert page.header("Cross-Origin-Opener-Policy") == "same-origin"
    sent = stage.send(form_id, token_of(page), query="draft=1")
    assert (sent.status, sent.text) == (200, "saved")
    assert stage.app.bodies == [BODY]
    (got,) = stage.app.got
    assert got["REMOTE_USER"] == "jane"
    for key, value in {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": TYPE,
        "CONTENT_LENGTH": str(len(BODY)),
        "PATH_INFO": "/edit/7",
        "QUERY_STRING": "draft=1",
        "HTTP_REFERER": f"{ORIGIN}/edit/form",
        "HTTP_ORIGIN": ORIGIN,
        "HTTP_SEC_FETCH_SITE": "same-origin",
    }.items():
        assert got[key] == value
    assert not any("-f-" in name for name in stage.cookies)


@pytest.mark.parametrize(
    ("content_type", "body", "names"),
    [
        (TYPE, b"a+b=1&%C3%A5=2&a+b=3&=4&flag", ["a b", "å", "flag"]),
        (TYPE, b"", []),
        ("text/plain", b"first=1\r\nsecond=2\r\n", ["first"]),
        (
            "multipart/form-data; boundary=----X",
            b'------X\r\nContent-Disposition: form-data; name="a%22b"\r\n\r\n1\r\n------X\r\nContent-Disposition: '
            b'form-data; name="file"; filename="; name=&quot;x.txt"\r\nContent-Type: text/plain\r\n\r\nhello\r\n'
            b"------X--\r\n",
            ['a"b', "file"],
        ),
    ],
)
def test_every_kind_of_form_arrives_octet_by_octet(
    stage: Stage, content_type: str, body: bytes, names: list[str]
) -> None:
    form_id = stage.keep(body=body, CONTENT_TYPE=content_type)
    stage.sign_in()
    page = stage.offer(form_id)
    address, *shown = re.findall(r"<li><bdi>(.*?)</bdi></li>", page.text)
    assert address == f"{ORIGIN}/edit/7"
    assert [name.replace("&#34;", '"') for name in shown] == names
    stage.send(form_id, token_of(page))
    assert stage.app.bodies == [body]
    assert stage.app.got[0]["CONTENT_TYPE"] == content_type


def test_a_server_that_tells_the_raw_address_does_not_tell_of_ours(stage: Stage) -> None:
    form_id = stage.keep(RAW_URI="/edit/7", REQUEST_URI="/edit/7")
    stage.sign_in()
    page = stage.offer(form_id)
    raw = f"/edit/7?oauth2_mw_form={form_id}"
    stage.send(form_id, token_of(page), RAW_URI=raw, REQUEST_URI=raw)
    assert form_id not in str(stage.app.got[0])


def test_a_server_that_has_no_raw_address_to_tell_gets_the_form_as_well(stage: Stage) -> None:
    form_id = stage.keep()
    stage.sign_in()
    token = token_of(stage.offer(form_id))
    body = b"csrf_token=" + token.encode()
    length = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    header = "; ".join(f"{name}={value}" for name, value in stage.cookies.items())
    environ = environ_for("/edit/7", **{**FORM, **length, "HTTP_COOKIE": header})
    environ |= {"QUERY_STRING": f"oauth2_mw_form={form_id}", "RAW_URI": None, "REQUEST_URI": ""}
    assert call(stage.middleware, environ).text == "saved"


def test_the_largest_form_is_kept(stored: Stage, cookie: Stage) -> None:
    for stage, longest in ((stored, MAX_STORED), (cookie, MAX_IN_COOKIE)):
        body = b"x" * longest
        form_id = stage.keep(body=body)
        stage.sign_in()
        stage.send(form_id, token_of(stage.offer(form_id)))
        assert stage.app.bodies == [body]


def test_an_application_that_asks_for_sign_ins_itself_gets_the_form_as_well(tmp_path: Path) -> None:
    stage = Stage(tmp_path, protect="on-401")
    inner = stage.app

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "REMOTE_USER" in environ:
            return inner(environ, start_response)
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("401 Unauthorized", [])
        return []

    stage.middleware._app = app
    form_id = stage.keep()
    stage.sign_in()
    stage.send(form_id, token_of(stage.offer(form_id)))
    assert inner.bodies == [BODY]


def test_a_script_that_asks_meanwhile_leaves_the_form_its_chance(stage: Stage) -> None:
    answer = stage.ask("/edit/poll", HTTP_ACCEPT="application/json", HTTP_SEC_FETCH_MODE="cors")
    assert (answer.status, answer.all_headers("Set-Cookie")) == (401, [])
    assert stage.keep()


def test_who_is_signed_out_while_the_page_is_open_finds_the_form_again(stage: Stage) -> None:
    form_id = stage.keep()
    stage.sign_in()
    token = token_of(stage.offer(form_id))
    stage.cookies = {name: value for name, value in stage.cookies.items() if "-f-" in name}
    answer = stage.send(form_id, token)
    assert (answer.status, stage.kept_id(answer)) == (401, form_id)
    assert "still kept" in answer.text
    stage.sign_in()
    stage.send(form_id, token_of(stage.offer(form_id)))
    assert stage.app.bodies == [BODY]


# What is not kept


CROSS_SITE = [
    {"HTTP_SEC_FETCH_SITE": "cross-site"},
    {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": EVIL},
    {"HTTP_SEC_FETCH_SITE": "same-site"},
    {"HTTP_SEC_FETCH_SITE": "none"},
    {"HTTP_SEC_FETCH_SITE": ""},
    {"HTTP_SEC_FETCH_SITE": "same-origin, cross-site"},
    {"HTTP_ORIGIN": EVIL},
    {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": None},
    {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": "null"},
    {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": EVIL},
    {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": f"{ORIGIN}.evil.example"},
    {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": ORIGIN.replace("https", "http")},
    {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": f"{ORIGIN}:444"},
    {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": f"{ORIGIN}/"},
    {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": ORIGIN.upper()},
]


@pytest.mark.requirement("R-kept-form")
@pytest.mark.parametrize("changes", CROSS_SITE)
def test_a_form_of_another_site_is_never_kept(stage: Stage, changes: dict[str, Any]) -> None:
    answer = stage.post(**changes)
    assert (answer.status, stage.kept_id(answer)) == (401, None)
    assert NOT_TAKEN in answer.text
    assert not any("-f-" in name for name in stage.cookies)


@pytest.mark.requirement("R-kept-form")
def test_a_form_without_a_session_is_never_kept(stage: Stage) -> None:
    stage.cookies = {}
    assert stage.kept_id(stage.post()) is None


@pytest.mark.requirement("R-kept-form")
def test_a_form_with_a_cookie_that_was_tampered_with_is_never_kept(stage: Stage) -> None:
    ((name, value),) = stage.cookies.items()
    for changed in (value[:-4] + ("AAAA" if not value.endswith("AAAA") else "BBBB"), value[:40], "", "x"):
        stage.cookies = {name: changed}
        assert stage.kept_id(stage.post()) is None


@pytest.mark.requirement("R-kept-form")
def test_the_form_of_a_session_that_was_ended_is_never_kept(stage: Stage) -> None:
    header = "; ".join(f"{name}={value}" for name, value in stage.cookies.items())
    stage.clock.ahead = 0
    current = stage.middleware._sessions.resolve(header)
    assert current is not None
    assert current.session is not None
    stage.middleware._sessions.end(current.session)
    for ahead in (0, 601, 8 * 3600):
        stage.clock.ahead = ahead
        assert stage.kept_id(stage.post(HTTP_COOKIE=header)) is None


@pytest.mark.requirement("R-kept-form")
def test_the_form_of_a_user_who_was_signed_out_everywhere_is_never_kept(stored: Stage) -> None:
    registry = stored.middleware._sessions.registry
    assert registry is not None
    registry.end_user(JANE.id, moment=int(stored.clock.wall()))
    assert stored.kept_id(stored.post()) is None


@pytest.mark.requirement("R-kept-form")
def test_the_form_of_a_user_who_is_disabled_is_never_kept(tmp_path: Path) -> None:
    stage = Stage(None, directory=f"sqlite:///{tmp_path}/users.db")
    directory = stage.middleware._directory
    assert directory is not None
    identity = directory.record_sign_in(
        stage.middleware._settings.providers["default"],
        JANE.issuer,
        JANE.subject,
        JANE,  # type: ignore[arg-type]
        create=True,
        now=int(stage.clock.wall()),
    )
    stage.clock.ahead = 0
    stage.sign_in(replace(JANE, id=identity.id))
    stage.clock.ahead = 601
    header = "; ".join(f"{name}={value}" for name, value in stage.cookies.items())
    assert stage.kept_id(stage.post())
    directory.set_disabled(identity.id, disabled=True, now=int(stage.clock.wall()))
    stage.clock.ahead += 70
    assert stage.kept_id(stage.post(HTTP_COOKIE=header)) is None


@pytest.mark.requirement("R-kept-form")
def test_a_session_that_ran_out_over_an_hour_ago_is_no_proof(stage: Stage) -> None:
    stage.clock.ahead = 600 + 3590
    assert stage.kept_id(stage.post(body=b"in=time"))
    stage.clock.ahead = 600 + 3602
    assert stage.kept_id(stage.post()) is None


@pytest.mark.requirement("R-kept-form")
def test_a_session_that_ended_with_a_revoked_key_is_no_proof(stage: Stage) -> None:
    assert stage.keep(body=b"before")
    stage.middleware._sessions._keyring._ring.ended = int(stage.clock.wall()) - 601
    assert stage.kept_id(stage.post()) is None


@pytest.mark.requirement("R-kept-form")
@pytest.mark.parametrize("other", [{"cookie_name": "other"}, {"public_url": f"{ORIGIN}/mount"}])
def test_the_session_of_another_application_is_no_proof(
    stage: Stage, tmp_path: Path, other: dict[str, str]
) -> None:
    stored = stage.middleware._sessions.registry is not None
    # Their keys are the same.
    neighbour = Stage(tmp_path if stored else None, **other)
    ((name, _),), ((_, value),) = neighbour.cookies.items(), stage.cookies.items()
    neighbour.cookies = {name: value}
    assert neighbour.kept_id(neighbour.post()) is None


@pytest.mark.requirement("R-kept-form")
def test_two_sessions_in_one_request_are_no_proof(cookie: Stage) -> None:
    cookie.clock.ahead = 0
    ((name, jane),) = cookie.cookies.items()
    cookie.sign_in(BOB)
    bob = cookie.cookies[name]
    cookie.clock.ahead = 601
    assert cookie.kept_id(cookie.post(HTTP_COOKIE=f"{name}={jane}; {name}={bob}")) is None
    assert cookie.kept_id(cookie.post(HTTP_COOKIE=f"{name}={jane}; {name}={jane}"))


@pytest.mark.requirement("R-kept-form")
@pytest.mark.parametrize(
    "changes",
    [
        {"REQUEST_METHOD": "PUT"},
        {"REQUEST_METHOD": "post"},
        {"REQUEST_METHOD": "GET"},
        {"HTTP_X_HTTP_METHOD_OVERRIDE": "DELETE"},
        {"HTTP_X_METHOD_OVERRIDE": "POST"},
        {"HTTP_X_HTTP_METHOD": "PATCH"},
        {"CONTENT_TYPE": "application/json"},
        {"CONTENT_TYPE": "text/plain\r\nx: y"},
        {"CONTENT_TYPE": "text/plain; " + "x" * 300},
        {"CONTENT_TYPE": None},
        {"HTTP_CONTENT_ENCODING": "gzip"},
        {"HTTP_SEC_FETCH_MODE": "cors", "HTTP_SEC_FETCH_DEST": "empty"},
        {"HTTP_X_REQUESTED_WITH": "XMLHttpRequest"},
        {"SCRIPT_NAME": "/elsewhere"},
    ],
)
def test_only_the_form_of_a_person_is_kept(stage: Stage, changes: dict[str, Any]) -> None:
    answer = stage.post(**changes)
    # Under a mount that public_url does not name no sign-in begins that could bring it back.
    status = 503 if "SCRIPT_NAME" in changes else 401
    assert (answer.status, stage.kept_id(answer)) == (status, None)


@pytest.mark.requirement("R-kept-form")
@pytest.mark.parametrize(
    "path",
    r"/ /edited /send/ /send/x /Edit/7 //edit/7 /x/../edit/7 /edit/..;/x /edit\7 /edit/%2e".split(),
)
def test_only_at_its_paths_is_a_form_kept(stage: Stage, path: str) -> None:
    assert stage.kept_id(stage.post(path)) is None


@pytest.mark.requirement("R-kept-form-limits")
@pytest.mark.parametrize(
    "changes",
    [
        {"CONTENT_LENGTH": str(len(BODY) + 1)},
        {"CONTENT_LENGTH": ""},
        {"CONTENT_LENGTH": "-1"},
        {"CONTENT_LENGTH": "1e3"},
        {"CONTENT_LENGTH": "9" * 30},
        {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
        {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
    ],
)
def test_a_form_that_is_not_whole_is_not_kept(stage: Stage, changes: dict[str, Any]) -> None:
    answer = stage.post(**changes)
    assert (answer.status, stage.kept_id(answer)) == (401, None)
    assert NOT_TAKEN in answer.text


class Broken(io.RawIOBase):
    def read(self, _size: int = -1) -> bytes:
        raise OSError("the client is gone")


class Endless(io.RawIOBase):
    asked = 0

    def read(self, size: int = -1) -> bytes:
        self.asked += max(size, 0)
        return b"x" * size


@pytest.mark.requirement("R-kept-form-limits")
def test_a_body_that_breaks_off_or_has_no_end_is_a_page_as_well(stage: Stage) -> None:
    broken: dict[str, Any] = {"wsgi.input": Broken()}
    assert stage.kept_id(stage.post(**broken)) is None
    endless = Endless()
    longest = stage.middleware._site()._forms._forms.longest  # type: ignore[union-attr]
    without_end: dict[str, Any] = {"wsgi.input": endless, "CONTENT_LENGTH": str(longest + 1)}
    answer = stage.post(**without_end)
    assert (answer.status, stage.kept_id(answer)) == (401, None)
    # No more than is read and dropped of any refused request.
    assert endless.asked <= longest + 1


class Slow(io.BytesIO):
    """Hands out five octets at a time, each time after so many seconds."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__(BODY)
        self.clock, self.seconds = clock, seconds

    def read(self, size: int | None = -1) -> bytes:
        self.clock.now += self.seconds
        return super().read(5 if size is None or size < 0 else min(size, 5))


def test_an_application_reads_all_of_a_body_that_was_too_slow_to_be_kept() -> None:
    clock = Clock()
    for read_all in (True, False):
        environ: dict[str, Any] = {"wsgi.input": Slow(clock, 2)}
        assert read_body(environ, len(BODY), monotonic=clock) is None
        body = environ["wsgi.input"]
        assert (body.read(len(BODY)) if read_all else b"".join(body)) == BODY
        assert body.read(1) == b""
    environ = {"wsgi.input": Slow(clock, 1)}
    assert read_body(environ, len(BODY) - 3, monotonic=clock) is None
    # What follows the body is not the application's.
    assert environ["wsgi.input"].read() == BODY[:-3]


def test_an_application_reads_what_came_of_a_body_that_broke_off() -> None:
    environ: dict[str, Any] = {"wsgi.input": io.BytesIO(BODY)}
    assert read_body(environ, len(BODY) + 1) is None
    assert environ["wsgi.input"].read() == BODY


@pytest.mark.requirement("R-kept-form-limits")
def test_a_form_that_is_too_long_is_not_kept_and_the_person_reads_why(
    stored: Stage, cookie: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    for stage, words, longest in (
        (stored, "1,048,576 octets", MAX_STORED),
        (cookie, "2,000 octets", MAX_IN_COOKIE),
    ):
        answer = stage.post(body=b"x" * (longest + 1))
        assert stage.kept_id(answer) is None
        assert NOT_TAKEN in answer.text
        assert words in answer.text
        assert "event=form_dropped" in caplog.text
        caplog.clear()


@pytest.mark.requirement("R-kept-form-limits")
def test_a_person_has_so_many_forms_and_loses_none_of_them(stage: Stage) -> None:
    ids = [stage.keep(body=b"n=%d" % number) for number in range(MOST)]
    assert len(set(ids)) == MOST
    answer = stage.post(body=b"n=one-more")
    assert stage.kept_id(answer) is None
    assert "Too many" in answer.text
    assert stage.keep(body=b"n=0") == ids[0]
    stage.sign_in()
    for form_id in ids:
        stage.send(form_id, token_of(stage.offer(form_id)))
    assert stage.app.bodies == [b"n=%d" % number for number in range(MOST)]


def test_the_cookies_of_forms_leave_room_for_a_sign_in(cookie: Stage) -> None:
    kept = [cookie.kept_id(cookie.post(body=b"%d" % n + b"x" * 1900)) for n in range(MOST)]
    assert kept[0] is not None
    assert kept[-1] is None
    assert sum(len(name) + len(value) for name, value in cookie.cookies.items()) < 6700


def test_a_page_with_a_long_address_costs_no_form(stored: Stage) -> None:
    form_id = stored.keep(body=b"x" * MAX_STORED, HTTP_REFERER=f"{ORIGIN}/edit/?" + "\xe5" * 20_000)
    stored.sign_in()
    stored.send(form_id, token_of(stored.offer(form_id)))
    assert len(stored.app.bodies[0]) == MAX_STORED
    assert "HTTP_REFERER" not in stored.app.got[0]


def test_a_form_without_a_referrer_gets_none(stage: Stage) -> None:
    form_id = stage.keep(HTTP_REFERER=None)
    stage.sign_in()
    stage.send(form_id, token_of(stage.offer(form_id)))
    assert "HTTP_REFERER" not in stage.app.got[0]


def test_a_form_whose_page_nobody_would_come_back_to_is_not_kept(
    cookie: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    answer = cookie.post(QUERY_STRING="x" * 2500)
    assert "kept for ten minutes" not in answer.text
    assert NOT_TAKEN in answer.text
    assert "address cannot be kept" in answer.text
    assert not any("-f-" in name for name in cookie.cookies)
    assert "event=form_dropped" in caplog.text


def test_a_form_that_is_sent_once_more_is_kept_from_then_on(stage: Stage) -> None:
    form_id = stage.keep()
    stage.clock.ahead += 590
    assert stage.keep() == form_id
    assert sum("-f-" in name for name in stage.cookies) <= 1
    stage.clock.ahead += 590
    stage.sign_in()
    stage.send(form_id, token_of(stage.offer(form_id)))
    assert stage.app.bodies == [BODY]


@pytest.mark.requirement("R-kept-form-limits")
def test_a_form_is_forgotten_after_ten_minutes(stage: Stage) -> None:
    form_id = stage.keep()
    stage.sign_in()
    token = token_of(stage.offer(form_id))
    stage.clock.ahead += 602
    stage.sign_in()
    page = stage.offer(form_id)
    assert (page.status, "ten minutes" in page.text) == (410, True)
    assert stage.send(form_id, token).status == 410
    assert stage.app.got == []


@pytest.mark.parametrize("call_name", ["read", "forms.keep", "moments"])
def test_a_store_that_is_away_keeps_nothing_and_the_person_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_name: str
) -> None:
    stage = Stage(tmp_path)
    registry = stage.middleware._sessions.registry
    assert registry is not None
    watched = WatchedStore(registry.store)

    def away() -> None:
        raise StoreUnavailableError("the store is away")

    watched.before[call_name] = away
    monkeypatch.setattr(registry, "store", watched)
    answer = stage.post()
    assert (answer.status, stage.kept_id(answer)) == (401, None)


def test_while_the_store_is_away_a_form_is_neither_offered_nor_sent(
    stored: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    form_id = stored.keep()
    stored.sign_in()
    token = token_of(stored.offer(form_id))
    registry = stored.middleware._sessions.registry
    assert registry is not None
    watched = WatchedStore(registry.store)
    watched.away = True
    with monkeypatch.context() as patch:
        patch.setattr(registry, "store", watched)
        stored.clock.ahead += 60
        assert stored.offer(form_id).status == 503
        assert stored.send(form_id, token).status == 503
    assert stored.app.got == []
    stored.clock.ahead += 60
    assert stored.send(form_id, token).text == "saved"


# Whose it is


@pytest.mark.requirement("R-kept-form-owner")
def test_another_person_neither_sees_nor_sends_a_form_and_it_is_gone(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    form_id = stage.keep()
    forms = {name: value for name, value in stage.cookies.items() if "-f-" in name}
    stage.sign_in(BOB)
    page = stage.offer(form_id)
    assert (page.status, "Somebody else" in page.text) == (410, True)
    for hidden in ("headline", "hunter2", "/edit/7<", "csrf_token"):
        assert hidden not in page.text
    assert "event=form_dropped" in caplog.text
    assert not any("-f-" in name for name in stage.cookies)
    stage.sign_in()
    assert stage.offer(form_id).status == 410
    if not forms:
        return
    # Whoever kept a copy of the cookie is its owner, or gets nothing.
    stage.sign_in(BOB)
    stage.cookies |= forms
    assert stage.offer(form_id).status == 410


@pytest.mark.requirement("R-kept-form-owner")
@pytest.mark.parametrize("changes", [{"issuer": "https://other.example"}, {"subject": "42 "}])
def test_a_person_is_issuer_and_subject(stage: Stage, changes: dict[str, Any]) -> None:
    form_id = stage.keep()
    identity = replace(JANE, **changes)
    stage.middleware._sessions._issuers["default"] = (JANE.issuer, identity.issuer)
    stage.sign_in(identity)
    assert stage.offer(form_id).status == 410


@pytest.mark.requirement("R-kept-form-owner")
def test_another_person_cannot_send_it_past_its_page(stage: Stage) -> None:
    form_id = stage.keep()
    stage.sign_in()
    token = token_of(stage.offer(form_id))
    stage.sign_in(BOB)
    assert stage.send(form_id, token).status == 410
    assert stage.app.got == []


@pytest.mark.requirement("R-kept-form-owner")
@pytest.mark.parametrize("form_id", ["", "x", "A" * 38, "A" * 37 + "%", "../" * 13, "A" * 4000, "a%00", "å"])
def test_an_id_that_was_made_up_leads_to_nothing(stage: Stage, form_id: str) -> None:
    kept = stage.keep()
    stage.sign_in()
    for made_up in (form_id, kept[:-1] + ("A" if kept[-1] != "A" else "B"), kept + "A", kept.swapcase()):
        page = stage.offer(made_up.encode().decode("latin-1"))
        assert page.status == 410
        assert "hunter2" not in page.text
    assert stage.offer(kept).status == 200


@pytest.mark.requirement("R-kept-form-owner")
def test_a_form_cookie_that_was_tampered_with_is_no_form(cookie: Stage) -> None:
    form_id = cookie.keep()
    cookie.sign_in()
    ((name, value),) = [pair for pair in cookie.cookies.items() if "-f-" in pair[0]]
    for changed in (
        value[:-6] + "AAAAAA",
        value.replace(".", "", 1),
        value.partition(".")[0] + ".",
        ".",
        "a.b",
    ):
        cookie.cookies[name] = changed
        assert cookie.offer(form_id).status == 410
    cookie.cookies[name] = value
    assert cookie.offer(form_id).status == 200


# Once


@pytest.mark.requirement("R-kept-form-once")
def test_a_form_is_sent_once(stage: Stage) -> None:
    form_id = stage.keep()
    before = dict(stage.cookies)
    stage.sign_in()
    token = token_of(stage.offer(form_id))
    cookies = dict(stage.cookies)
    assert stage.send(form_id, token).text == "saved"
    # The second click left with the cookies of the first, and so does a reload of the page before it.
    stage.cookies = cookies
    second = stage.send(form_id, token)
    assert (second.status, "sent already" in second.text) == (410, True)
    assert stage.offer(form_id).status == 410
    # Neither does the form itself, reloaded in another tab, come back.
    stage.cookies = before
    assert stage.kept_id(stage.post()) is None
    assert stage.app.bodies == [BODY]


@pytest.mark.requirement("R-kept-form-once")
def test_of_many_clicks_at_once_one_reaches_the_application(stage: Stage) -> None:
    form_id = stage.keep()
    stage.sign_in()
    token = token_of(stage.offer(form_id))
    header = "; ".join(f"{name}={value}" for name, value in stage.cookies.items())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: stage.send(form_id, token, HTTP_COOKIE=header).status, range(16)))
    assert sorted(answers) == [200, *[410] * 15]
    assert stage.app.bodies == [BODY]


@pytest.mark.requirement("R-kept-form-once")
def test_of_two_workers_one_sends_it(stored: Stage, tmp_path: Path) -> None:
    keys = stored.middleware._settings.secret_keys.value()
    other = Stage(tmp_path, secret_keys=keys)
    other.clock = stored.clock
    form_id = stored.keep()
    stored.sign_in()
    token = token_of(stored.offer(form_id))
    other.middleware._sessions.clocks = stored.middleware._sessions.clocks
    other.cookies = dict(stored.cookies)
    assert stored.send(form_id, token).status == 200
    assert other.send(form_id, token).status == 410
    assert len(stored.app.got) + len(other.app.got) == 1


def test_the_same_form_once_more_is_the_same_form(stage: Stage) -> None:
    assert stage.keep() == stage.keep()
    assert stage.keep(body=b"other") != stage.keep()
    assert stage.keep(QUERY_STRING="x=1") != stage.keep()


# Its page


@pytest.mark.requirement("R-kept-form")
@pytest.mark.parametrize("changes", CROSS_SITE)
def test_only_its_own_page_sends_it(stage: Stage, changes: dict[str, Any]) -> None:
    form_id = stage.keep()
    stage.sign_in()
    answer = stage.send(form_id, token_of(stage.offer(form_id)), **changes)
    assert answer.status == 400
    assert stage.app.got == []
    assert stage.offer(form_id).status == 200


@pytest.mark.requirement("R-kept-form")
@pytest.mark.parametrize("token", ["", "x", "of another session"])
def test_without_the_token_of_its_page_nothing_is_sent(stage: Stage, token: str) -> None:
    form_id = stage.keep()
    stage.sign_in()
    if token == "of another session":
        token = token_of(stage.offer(form_id))
        stage.sign_in()
    answer = stage.send(form_id, token)
    assert (answer.status, stage.app.got) == (400, [])
    stage.send(form_id, token_of(answer))
    assert stage.app.bodies == [BODY]


@pytest.mark.requirement("R-kept-form")
def test_at_another_address_nothing_is_offered_or_sent(stage: Stage) -> None:
    form_id = stage.keep()
    stage.sign_in()
    token = token_of(stage.offer(form_id))
    assert stage.offer(form_id, "/edit/8").status == 410
    assert stage.send(form_id, token, "/edit/8").status == 410
    assert stage.app.got == []
    # Another query is not sent either: it is that of the form.
    stage.send(form_id, token, query="evil=1")
    assert [got["QUERY_STRING"] for got in stage.app.got] == [""]


@pytest.mark.requirement("R-kept-form")
def test_the_rules_hold_for_the_form_and_what_they_refuse_is_not_used_up(tmp_path: Path) -> None:
    stage = Stage(tmp_path, access={"rules": "required POST /edit/ if group:staff"})
    form_id = stage.keep()
    stage.sign_in(replace(JANE, groups=()))
    refused = stage.send(form_id, token_of(stage.offer(form_id)))
    assert (refused.status, stage.app.got) == (403, [])
    stage.sign_in()
    stage.send(form_id, token_of(stage.offer(form_id)))
    assert stage.app.bodies == [BODY]


def test_the_page_of_a_form_is_for_a_signed_in_person(stage: Stage) -> None:
    form_id = stage.keep()
    stage.cookies = {name: value for name, value in stage.cookies.items() if "-f-" in name}
    answer = stage.offer(form_id)
    assert (answer.status, stage.kept_id(answer)) == (401, form_id)
    assert "headline" not in answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_another_method_is_refused_there(stage: Stage, method: str) -> None:
    form_id = stage.keep()
    stage.sign_in()
    answer = stage.ask(QUERY_STRING=f"oauth2_mw_form={form_id}", REQUEST_METHOD=method, **BY_A_PERSON)
    assert (answer.status, stage.app.got) == (405, [])


def test_two_ids_in_one_address_are_refused(stage: Stage) -> None:
    form_id = stage.keep()
    stage.sign_in()
    assert stage.offer(form_id, query=f"oauth2_mw_form={form_id}").status == 400


def test_elsewhere_the_parameter_is_the_applications_own(stage: Stage) -> None:
    stage.sign_in()
    stage.ask("/other", QUERY_STRING="oauth2_mw_form=x")
    stage.ask("/edit/7", QUERY_STRING="q=oauth2_mw_form%3Dx&q=oauth2_mw_form")
    assert [got["QUERY_STRING"] for got in stage.app.got] == [
        "oauth2_mw_form=x",
        "q=oauth2_mw_form%3Dx&q=oauth2_mw_form",
    ]


def test_without_the_setting_nothing_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path, keep_forms="none")
    assert stage.kept_id(stage.post()) is None


def test_the_body_that_is_kept_can_be_read_by_nobody_else(stored: Stage, tmp_path: Path) -> None:
    stored.keep()
    octets = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"kept_forms" in octets
    for secret in (b"hunter2", b"headline", b"/edit/7", JANE.issuer.encode()):
        assert secret not in octets


def test_the_audit_log_tells_what_became_of_a_form(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "oauth2_mw.audit")
    form_id = stage.keep()
    stage.sign_in()
    stage.send(form_id, token_of(stage.offer(form_id)))
    lines = [record.getMessage() for record in caplog.records if record.name == "oauth2_mw.audit"]
    assert [re.sub(" ref=[0-9a-f]{8} ", " ", line) for line in lines] == [
        f"event={event} provider=default user=u1 username=jane detail=/edit/7"
        for event in ("form_kept", "form_sent")
    ]


# The whole way, at a provider


@pytest.fixture(params=["cookie", "store", "directory"])
def walk(
    request: pytest.FixtureRequest, provider: StandIn, tmp_path: Path
) -> Iterator[tuple[Guarded, ShiftedClocks]]:
    clock = ShiftedClocks()
    kept = {"store": "session", "directory": "directory"}.get(request.param)
    keys = {} if kept is None else {kept: f"sqlite:///{tmp_path}/kept.db"}
    with guarded(
        clocks=clock.clocks, issuer=provider.issuer, keep_forms="/edit/", session_idle="10m", **keys
    ) as site:
        registry: Any = site.middleware._sessions.registry
        if registry is not None:
            registry.store._clock = registry.store.forms._clock = clock.wall
        yield site, clock


def test_a_person_comes_back_from_the_provider_and_sends_the_form(
    walk: tuple[Guarded, ShiftedClocks],
) -> None:
    site, clock = walk
    browser = signed_in(site)
    clock.ahead = 601
    kept = browser.post(f"{site.url}/edit/7?x=1", {"headline": "hello"}, initiator=ORIGIN)
    # No redirect: an application's policy may forbid its forms to lead to a provider.
    assert (kept.status, "kept for ten minutes" in kept.visible_text) == (401, True)
    page = browser.click("Continue with")
    assert "Send your form?" in page.visible_text
    assert page.url.startswith(f"{site.url}/edit/7?x=1&oauth2_mw_form=")
    before = site.app.calls
    answer = browser.submit(button="Send it")
    assert answer.status == 200
    assert site.app.calls == before + 1
    seen = site.app.seen[-1]
    assert (seen["user"], seen["path"], seen["query"]) == ("jane", "/edit/7", "x=1")
    assert browser.reload().status == 410
    assert site.app.calls == before + 1


@pytest.mark.requirement("R-kept-form-owner")
def test_the_sign_in_of_another_person_deletes_the_form_wherever_it_leads(
    walk: tuple[Guarded, ShiftedClocks], provider: StandIn
) -> None:
    site, clock = walk
    browser = signed_in(site)
    clock.ahead = 601
    body = {"headline": "hello"}
    # So long an address waits in the store.
    query = "" if site.middleware._sessions.registry is None else "?" + "x" * 3500
    browser.post(f"{site.url}/edit/7{query}", body, initiator=ORIGIN)
    left = browser.click("Continue with", follow=False)
    assert (left.status, (left.location or "").startswith(provider.issuer)) == (303, True)
    site.audit.clear()
    provider.claims = {"sub": "user-2"}
    provider.userinfo |= {"sub": "user-2", "preferred_username": "bob"}
    other = browser.tab()
    assert other.navigate(f"{site.url}/other").status == 200
    dropped = [line for line in site.audit if "form_dropped" in line]
    assert [("it was somebody else's" in line) for line in dropped] == [True]
    assert not any("-f-" in name for name in browser.jar.names(site.url))


def test_a_rule_that_asks_for_a_stronger_sign_in_leads_back_to_the_form(
    provider: StandIn, tmp_path: Path
) -> None:
    clock = ShiftedClocks()
    with guarded(
        clocks=clock.clocks,
        issuer=provider.issuer,
        keep_forms="/edit/",
        session_idle="10m",
        access={"rules": "required POST /edit/ if acr:mfa"},
    ) as site:
        browser = signed_in(site)
        clock.ahead = 601
        browser.post(f"{site.url}/edit/7?x=1", {"headline": "hello"}, initiator=ORIGIN)
        assert "Send your form?" in browser.click("Continue with").visible_text
        provider.claims = {"acr": "mfa"}
        before = site.app.calls
        page = browser.submit(button="Send it")
        assert ("Send your form?" in page.visible_text, site.app.calls) == (True, before)
        assert browser.submit(button="Send it").status == 200
        (seen,) = site.app.seen[before:]
        assert (seen["path"], seen["query"]) == ("/edit/7", "x=1")
        assert "oauth2_mw_form" not in str(seen)


def test_a_new_session_that_needs_the_room_gets_it(provider: StandIn) -> None:
    clock = ShiftedClocks()
    with guarded(
        clocks=clock.clocks,
        issuer=provider.issuer,
        keep_forms="/edit/",
        session_idle="10m",
        session_max_bytes=7000,
    ) as site:
        browser = signed_in(site)
        clock.ahead = 601
        browser.post(f"{site.url}/edit/7", {"headline": "x" * 1500}, initiator=ORIGIN, follow=False)
        provider.claims = {"groups": [f"group-{number:04}-{'x' * 20}" for number in range(80)]}
        site.audit.clear()
        assert browser.tab().navigate(f"{site.url}/other").status == 200
        assert any("leave it no room" in line for line in site.audit)
