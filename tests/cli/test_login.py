"""``oauth2-mw login``: a sign-in from a terminal, what it shows, and what it does not take."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.support.hosts.operator import CommandResult, Operator
from tests.support.hosts.terminal import at_terminal
from tests.support.providers.standin import StandIn
from tests.support.settings.keys import text_key


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn() as provider:
        yield provider


ENDPOINTS = {
    "authorization_endpoint": "authorize",
    "token_endpoint": "token",
    "userinfo_endpoint": "userinfo",
}


class Person(Operator):
    """Somebody who types the command, and whose browser is a thread."""

    def __init__(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        provider: StandIn,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        super().__init__(folder, capsys)
        self.provider = provider
        #: what the browser does with the answer in place of handing it in
        self.browse: Callable[[str, dict[str, str]], object] = visit
        self.opened: list[str] = []
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(webbrowser, "open", self._open)

    def _open(self, url: str) -> bool:
        self.opened.append(url)
        redirect_uri = dict(parse_qsl(urlsplit(url).query))["redirect_uri"]
        params = self.provider.follow(url)
        threading.Thread(target=self.browse, args=(redirect_uri, params), daemon=True).start()
        return True

    def configure(self, **settings: str) -> None:
        known = {
            "secret_keys": text_key(),
            "issuer": self.provider.issuer,
            "client_id": self.provider.client_id,
            "client_secret": self.provider.client_secret,
        }
        self.write_ini(**{**known, **settings})

    def login(self, *words: str) -> CommandResult:
        return self.run("login", self.ini, *words, "--port", "0", "--timeout", "20s")


@pytest.fixture
def person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> Person:
    person = Person(tmp_path, capsys, provider, monkeypatch)
    person.configure()
    return person


def visit(redirect_uri: str, params: dict[str, str], *, form: bool = False) -> tuple[int, str]:
    """Hand an answer in as a browser does; status and page."""
    query = urlencode(params)
    request = (
        urllib.request.Request(redirect_uri, data=query.encode())
        if form
        else urllib.request.Request(f"{redirect_uri}?{query}" if query else redirect_uri)
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def table(answer: CommandResult, heading: str) -> dict[str, list[str]]:
    """The rows below a heading, by their first cell."""
    lines = answer.out.split(f"{heading}\t", 1)[1].splitlines()[1:]
    rows: dict[str, list[str]] = {}
    for line in lines:
        if "\t" not in line:
            break
        first, *others = line.split("\t")
        rows[first] = others
    return rows


def test_claims_their_sources_and_the_identity_are_shown(person: Person) -> None:
    person.provider.claims = {"acr": "gold"}
    answer = person.login()
    assert answer.code == 0, answer.err
    claims = table(answer, "claim")
    assert claims["sub"] == ["user-1", "ID token"]
    assert claims["acr"] == ["gold", "ID token"]
    assert claims["preferred_username"] == ["jane", "userinfo"]
    assert "nonce" not in claims
    assert table(answer, "field")["username"] == ["jane", "preferred_username"]
    assert "jane may enter" in answer.out
    assert "attribute_map reads all that fits.\n  no claim looks like groups: " in answer.out


def test_the_redirect_uri_is_told_before_the_browser_opens(person: Person) -> None:
    out = person.login().out
    asked = dict(parse_qsl(urlsplit(person.opened[0]).query))
    assert asked["redirect_uri"].startswith("http://127.0.0.1:")
    register, address = out.index(f"  {asked['redirect_uri']}\n"), out.index(f"  {person.opened[0]}\n")
    assert out.index("Register there as one more redirect URI:") < register < address
    assert asked["code_challenge_method"] == "S256"
    assert asked["state"]
    assert asked["nonce"]
    out = person.login("--localhost").out
    assert "  http://localhost:" in out


def test_neither_a_secret_nor_a_token_is_shown(person: Person, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    person.provider.userinfo["upstream_access_token"] = "canary"
    person.provider.userinfo["data"] = {"user": [{"id": 1, "refresh_token": "canary"}]}
    answer = person.login()
    told = answer.out + answer.err + caplog.text
    assert answer.code == 0
    assert "not shown, by their names: upstream_access_token" in answer.out
    (request,) = person.provider.asked("/token")
    for secret in (
        "canary",
        person.provider.client_secret,
        request.form["code"],
        request.form["code_verifier"],
    ):
        assert secret not in told
    assert "eyJ" not in told


def test_the_claims_alone_are_what_map_reads(person: Person) -> None:
    answer = person.login("--json")
    claims = json.loads(answer.out)
    assert claims["preferred_username"] == "jane"
    assert "Register there" in answer.err
    file = person.folder / "claims.json"
    file.write_text(answer.out)
    assert "jane may enter" in person.run("map", person.ini, "--claims", file).out


def test_userinfo_is_asked_for_what_no_setting_reads_yet(person: Person) -> None:
    person.provider.claims = dict(person.provider.userinfo)
    person.provider.userinfo["team"] = "blue"
    assert table(person.login(), "claim")["team"] == ["blue", "userinfo"]
    assert table(person.login(), "claim")["name"] == ["Jane Doe", "ID token and userinfo"]
    person.configure(userinfo="never")
    assert "team" not in table(person.login(), "claim")


@pytest.mark.requirement("R-verified")
@pytest.mark.parametrize(
    ("claims", "proposed", "says"),
    [
        ({"preferred_username": "jane"}, "preferred_username", "see that it is given to one person alone"),
        ({"login": "jane"}, "login", "see that it is given to one person alone"),
        ({"email": "jane@example.com", "email_verified": True}, "email", "has verified"),
        ({"email": "jane@example.com"}, "sub", "email is no username: email_verified is absent"),
        (
            {"email": "jane@example.com", "email_verified": "true"},
            "sub",
            "email is no username: email_verified is a text 'true', not a JSON boolean",
        ),
        ({"nickname": "jane"}, "sub", "nickname is no username: two people may have the same"),
    ],
)
def test_a_username_is_proposed_where_none_fits(
    person: Person, claims: dict[str, Any], proposed: str, says: str
) -> None:
    person.configure(attribute_map='{"username": "uid", "email": "email"}')
    person.provider.userinfo = {"sub": "user-1", **claims}
    answer = person.login()
    assert answer.code == 1
    assert "Nobody is signed in: " in answer.out
    (line,) = (line for line in answer.out.splitlines() if "attribute_map = {" in line)
    mapped = json.loads(line.partition(" = ")[2])
    assert mapped["username"] == proposed
    assert says in answer.out
    person.configure(attribute_map=json.dumps(mapped))
    assert person.login().code == 0


def test_the_other_fields_are_proposed_and_what_works_stays(person: Person) -> None:
    person.configure(
        attribute_map='{"username": "preferred_username", "name": ["nick", "preferred_username"]}'
    )
    person.provider.userinfo |= {
        "phone_number": "+1",
        "https://acme.example/roles": [{"name": "staff"}],
        "email_verified": True,
    }
    answer = person.login()
    (line,) = (line for line in answer.out.splitlines() if "attribute_map = {" in line)
    mapped = json.loads(line.partition(" = ")[2])
    assert mapped == {
        "username": "preferred_username",
        "name": ["nick", "preferred_username"],
        "email": "email",
        "phone": "phone_number",
        "groups": '"https://acme.example/roles"[*].name',
    }
    assert "email_verified is true" in answer.out
    person.configure(attribute_map=json.dumps(mapped))
    assert table(person.login(), "field")["groups"][0] == "staff"


def test_who_may_not_enter_is_told(person: Person) -> None:
    person.configure(allow="user:bob")
    answer = person.login()
    assert answer.code == 1
    assert "jane may not enter, because no term of allow applies (user:bob)" in answer.out


def test_a_provider_without_an_issuer_and_one_that_answers_with_a_form(person: Person) -> None:
    url = person.provider.url
    person.provider.oidc = False
    person.provider.userinfo = {"id": 4711, "login": "jane"}
    endpoints = {name: f"{url}/{path}" for name, path in ENDPOINTS.items()}
    person.configure(issuer="", attribute_map='{"username": "login"}', **endpoints)
    answer = person.login()
    assert answer.code == 0, answer.err
    assert table(answer, "claim")["id"] == ["4711", "userinfo"]
    person.provider.oidc = True
    person.configure(response_mode="form_post")
    person.browse = lambda uri, params: visit(uri, params, form=True)
    person.provider.userinfo = {"sub": "user-1", "preferred_username": "jane"}
    assert person.login().code == 0


# What is not taken


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"state": "another"}, 400, "belongs to another sign-in"),
        ({"state": ""}, 400, "came without state"),
    ],
)
def test_a_foreign_answer_is_told_and_the_own_one_is_still_taken(
    person: Person, change: dict[str, str], status: int, says: str
) -> None:
    seen: list[tuple[int, str]] = []

    def browse(redirect_uri: str, params: dict[str, str]) -> None:
        base = redirect_uri.rpartition("/")[0]
        seen.extend((visit(f"{base}/favicon.ico", {}), visit(redirect_uri, {**params, **change})))
        seen.append(visit(redirect_uri, params, form=True))
        visit(redirect_uri, params)

    person.browse = browse
    answer = person.login()
    assert answer.code == 0, answer.err
    assert [status for status, _ in seen] == [404, status, 405]
    assert "This is not the answer" in seen[1][1]
    assert says in answer.err
    assert len(person.provider.asked("/token")) == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"error": "access_denied", "error_description": "no thanks"}, "access_denied (no thanks)"),
        ({"error": "invalid_scope"}, "compare scope"),
        ({"iss": "https://other.example", "code": "x"}, "comes from issuer 'https://other.example'"),
        ({"code": "wrong"}, "invalid_grant"),
        ({}, "neither a code nor an error"),
    ],
)
def test_an_answer_that_signs_nobody_in_is_told(person: Person, answer: dict[str, str], says: str) -> None:
    person.browse = lambda uri, params: visit(uri, {"state": params["state"], **answer})
    result = person.login()
    assert result.code == 1
    assert result.err.startswith("nobody was signed in: ")
    assert says in result.err


@pytest.mark.parametrize(
    "change", [{"nonce": "another"}, {"aud": "another"}, {"iss": "https://other.example"}]
)
def test_an_id_token_that_proves_nothing_is_refused(person: Person, change: dict[str, str]) -> None:
    person.provider.claims = change
    answer = person.login()
    assert answer.code == 1
    assert "nobody was signed in: the ID token" in answer.err
    assert "claim\t" not in answer.out


def test_nobody_who_comes_back_is_told_in_time(person: Person) -> None:
    person.browse = lambda _uri, _params: None
    answer = person.run("login", person.ini, "--port", "0", "--timeout", "0s")
    assert answer.code == 1
    assert "nobody came back within 0s" in answer.err
    assert "register http://127.0.0.1:" in answer.err


def test_a_provider_that_is_down_is_told(person: Person) -> None:
    person.provider.answers["discovery"] = b"<html>"
    answer = person.login()
    assert answer.code == 1
    assert answer.err.startswith("nobody was signed in: ")
    assert person.opened == []


def test_a_connection_that_says_nothing_holds_nobody_up(person: Person) -> None:
    idle: list[socket.socket] = []

    def browse(redirect_uri: str, params: dict[str, str]) -> None:
        parts = urlsplit(redirect_uri)
        idle.append(socket.create_connection((parts.hostname or "", parts.port or 0)))
        visit(redirect_uri, params)

    person.browse = browse
    assert person.login().code == 0
    idle[0].close()


def test_ctrl_c_ends_the_wait_without_a_traceback(person: Person) -> None:
    with at_terminal("login", person.ini, "--port", "0", "--no-browser", cwd=person.folder) as terminal:
        terminal.wait_for("Open in a browser on this machine:\n")
        terminal.press("\x03")
        assert terminal.end() == 130
    assert "interrupted" in terminal.shown
    assert "Traceback" not in terminal.shown


def test_a_port_that_is_taken_is_told(person: Person) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = person.run("login", person.ini, "--port", port)
    assert answer.code == 1
    assert f"port {port} of this machine cannot be used" in answer.err
    assert "--port" in answer.err


@pytest.mark.parametrize("words", [("--port", "x"), ("--port", "65536"), ("--timeout", "soon")])
def test_an_option_that_cannot_be_used_ends_with_2(
    person: Person, words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        person.login(*words)
    assert ended.value.code == 2


def test_of_several_providers_one_is_named(person: Person) -> None:
    with person.ini.open("a") as file:
        file.write(
            f"username_prefix = a-\n[provider:corp]\nissuer = {person.provider.issuer}/other\nclient_id = x\n"
            "client_secret = y\nusername_prefix = b-\n"
        )
    answer = person.login()
    assert answer.code == 1
    assert "name one of default, corp" in answer.err
    assert "there is no enabled provider crop: there is default, corp" in person.login("crop").err
    assert person.login("default").code == 0
    assert person.login("--provider", "default").code == 0


def test_without_windows_the_address_is_printed_alone(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for words in ((), ("--no-browser",)):
        answer = person.run("login", person.ini, "--port", "0", "--timeout", "0s", *words)
        assert "Open in a browser on this machine:\n  http://" in answer.out
        assert person.opened == []
        monkeypatch.setenv("DISPLAY", ":0")


# Through the redirect URI that is registered already


def test_the_address_that_is_pasted_is_taken_when_it_is_the_right_one(
    person: Person, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    redirect_uri = "https://app.example/auth/oauth2/login/callback/"
    pasted: list[str] = []

    def browse(_uri: str, params: dict[str, str]) -> None:
        right = f"{redirect_uri}?{urlencode(params)}"
        wrong = f"{redirect_uri}?{urlencode({**params, 'state': 'another'})}"
        pasted.extend([f"https://other.example/?{urlencode(params)}", wrong, f"{right}&code=2", f" {right} "])

    def typed(_prompt: str) -> str:
        while not pasted:
            threading.Event().wait(0.01)
        return pasted.pop(0)

    person.browse = browse
    monkeypatch.setattr("builtins.input", typed)
    answer = person.login("--registered")
    assert answer.code == 0, answer.err
    assert f"copy the whole address, which begins with {redirect_uri}?" in answer.err
    assert "belongs to another sign-in" in answer.err
    assert "more than once" in answer.err
    assert dict(parse_qsl(urlsplit(person.opened[0]).query))["redirect_uri"] == redirect_uri
    assert f"The browser ends at {redirect_uri}" in answer.out


def test_an_answer_in_a_form_leaves_no_address(person: Person) -> None:
    person.configure(response_mode="form_post")
    answer = person.login("--registered")
    assert answer.code == 1
    assert "without --registered" in answer.err
