"""``oauth2-mw access``: what happens to a request, and which line decides."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from oauth2_mw.identity.directory import Directory
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.grammar import Secret
from tests.support.browser.protected_targets import PROTECTED_TARGETS, RAW_TARGETS
from tests.support.hosts.guarded import JANE, App, sign_in
from tests.support.hosts.operator import Operator
from tests.support.hosts.token_site import TokenSite
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.settings.keys import text_key
from tests.support.settings.people import NOW, attributes, provider
from tests.support.stores.directory_file import empty_database

ODD = "the path can be read in several ways"
RULES = """
[access]
# who may pass where
rules =
    public     /static/
    denied     /internal/
    required   /admin/
        if group:admins or claim:level=3
    denied     DELETE /api/
    delegated  /app-api/
    required   /mail/ if email_domain:example.com and acr:gold
    optional   /
"""


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    operator = Operator(tmp_path, capsys)
    ini = operator.write_ini(secret_keys=text_key(), directory="sqlite:///users.db", callback_path="/sso")
    with ini.open("a") as file:
        file.write(RULES)
    return operator


def line_of(operator: Operator, text: str) -> int:
    lines = operator.ini.read_text().splitlines()
    return next(
        number for number, line in enumerate(lines, start=1) if " ".join(line.split()).startswith(text)
    )


@pytest.mark.parametrize(
    ("arguments", "rule", "outcome"),
    [
        (("/static/a.css",), "public /static/", "passes: nobody needs to be signed in"),
        (("/internal/x",), "denied /internal/", "refused with 403, whoever asks"),
        (("/admin/users",), "required /admin/", "is asked to sign in (a program gets 401)"),
        (("/admin",), "required /admin/", "is asked to sign in"),
        (("/%61dmin/?next=/static/",), "required /admin/", "is asked to sign in"),
        (("/wiki", "--anonymous"), "optional /", "passes as nobody: the application decides"),
        (("/api/x", "--method", "DELETE"), "denied DELETE /api/", "refused with 403, whoever asks"),
        (("/api/x", "--method", "PUT"), "optional /", "passes as nobody"),
        (("/api/x", "--method", "delete"), "denied DELETE /api/", "refused with 403, whoever asks"),
        (("/app-api/",), "delegated /app-api/", "with an Authorization of token bearer it passes as nobody"),
    ],
)
def test_what_happens_and_the_line_that_decides(
    operator: Operator, arguments: tuple[str, ...], rule: str, outcome: str
) -> None:
    answer = operator.run("access", operator.ini, *arguments)
    assert answer.code == 0
    assert f"decided by line {line_of(operator, rule)}: {rule}" in answer.out
    assert outcome in answer.out


def test_what_no_rule_is_about_is_decided_by_protect(operator: Operator) -> None:
    answer = operator.run("access", operator.ini, "")
    assert "decided by protect = required" in answer.out


def test_the_line_is_that_of_the_file_whatever_stands_between(operator: Operator) -> None:
    text = operator.ini.read_text().replace(
        "[oauth2_mw]", "[oauth2_mw]\nprotect = optional\npublic_paths = /a /b\n  /c"
    )
    text = text.replace(
        "    denied     /internal/", "# said\x0c\u2028 by us\n; twice\n\n    denied     /internal/"
    )
    text = text.replace("    optional   /\n", "    required   /login\n")
    operator.ini.write_bytes(text.replace("\n", "\r\n").encode())
    lines = text.split("\n")
    for path, rule, written in (
        ("/internal/", "denied /internal/", "    denied     /internal/"),
        ("/admin/", "required /admin/ if group:admins or claim:level=3", "    required   /admin/"),
        ("/c", "public_paths = /c", "  /c"),
        ("/nothing", "protect = optional", "protect = optional"),
    ):
        out = operator.run("access", operator.ini, path).out
        assert f"decided by line {lines.index(written) + 1}: {rule}\n" in out


def test_rules_of_the_environment_have_no_line(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_RULES", "denied /a/\nrequired /admin/")
    assert "decided by required /admin/\n" in operator.run("access", operator.ini, "/admin/").out


@pytest.mark.parametrize("path", ["/\udcff", "/%ff", "/\udcc3/x"])
def test_octets_that_are_no_text_are_an_odd_path(operator: Operator, path: str) -> None:
    answer = operator.run("access", operator.ini, path)
    assert answer.code == 0
    assert "refused with 404" in answer.out


def test_who_may_not_enter_at_all_is_told(operator: Operator, tmp_path: Path) -> None:
    text = operator.ini.read_text().replace("[oauth2_mw]", "[oauth2_mw]\nallow = group:staff user:bob")
    operator.ini.write_text(text)
    file = claims_file(tmp_path, {"preferred_username": "jane", "groups": ["admins"]})
    barred = "jane cannot sign in, because no term of allow applies (group:staff user:bob)"
    for path, outcome in (("/admin/", "does not pass"), ("/wiki", "passes as nobody")):
        assert f"{outcome}: {barred}" in operator.run("access", operator.ini, path, "--claims", file).out
    assert "passes: nobody needs" in operator.run("access", operator.ini, "/static/", "--claims", file).out
    assert "cannot sign in" not in operator.run("access", operator.ini, "/static/", "--claims", file).out


def test_an_address_that_is_no_name_is_told(operator: Operator, tmp_path: Path) -> None:
    text = operator.ini.read_text().replace(
        "[oauth2_mw]",
        '[oauth2_mw]\nattribute_map = {"username": "email", "email": "email", "groups": "groups"}',
    )
    operator.ini.write_text(text)
    file = claims_file(tmp_path, {"email": "jane@example.com", "email_verified": False})
    answer = operator.run("access", operator.ini, "/admin/", "--claims", file)
    assert answer.code == 1
    assert "email_verified is false" in answer.err


@pytest.mark.parametrize("path", ["/auth/oauth2", "/auth/oauth2/login/", "/sso"])
def test_our_own_urls_are_told(operator: Operator, path: str) -> None:
    assert "This is our own URL" in operator.run("access", operator.ini, path).out


@pytest.mark.requirement("R-odd")
@pytest.mark.parametrize("path", ["/static//x", "/a/../admin", "/static/%2e%2e/admin", "/a;b", "/%ff"])
def test_an_odd_path_is_explained(operator: Operator, path: str) -> None:
    answer = operator.run("access", operator.ini, path)
    assert "decided by the path can be read in several ways" in answer.out
    assert "refused with 404" in answer.out
    assert "odd_paths" in answer.out


@pytest.mark.parametrize("target", PROTECTED_TARGETS, ids=ascii)
def test_every_target_is_explained(operator: Operator, target: str) -> None:
    answer = operator.run("access", operator.ini, target)
    assert answer.code == 0
    assert "decided by" in answer.out


# Against the middleware, over every target

CORPUS_RULES = """
[access]
rules =
    public     /public/
    denied     /internal/
    required   /admin/ if group:admins
    delegated  /app-api/
    optional   /
"""
CLAIMS = {"preferred_username": "jane", "groups": ["staff"]}
#: What the command says -> the status of a program that asks the middleware, and whom the application is told of.
OUTCOMES = {
    "passes: nobody needs": (200, None),
    "passes as nobody": (200, None),
    "passes as jane": (200, "jane"),
    "is asked to sign in": (401, None),
    "refused with 403, whoever asks": (403, None),
    "jane is refused with 403": (403, None),
    "refused with 404": (404, None),
}


@pytest.mark.requirement("R-odd", "3g")
@pytest.mark.parametrize("groups", [None, ("staff",), ("admins",)], ids=str)
def test_every_target_is_explained_as_the_middleware_treats_it(
    operator: Operator, tmp_path: Path, groups: tuple[str, ...] | None
) -> None:
    ini = operator.write_ini(secret_keys=text_key(), protect="required")
    ini.write_text(ini.read_text() + CORPUS_RULES)
    written = {
        number: " ".join(line.split()) for number, line in enumerate(ini.read_text().splitlines(), start=1)
    }
    app = App()
    middleware = OAuth2Middleware(app, ini)
    who: tuple[object, ...] = ("--anonymous",)
    keys = {}
    if groups is not None:
        who = ("--claims", claims_file(tmp_path, {**CLAIMS, "groups": groups}))
        keys["HTTP_COOKIE"] = sign_in(middleware, replace(JANE, groups=groups))
    rules_named: set[str] = set()
    for target in (*RAW_TARGETS, b"/public/x", b"/internal/x", b"/app-api/x"):
        told = operator.run("access", ini, os.fsdecode(target), *who).out
        native = unquote_to_bytes(target.partition(b"#")[0].partition(b"?")[0]).decode("latin-1")
        app.seen.clear()
        status = call(middleware, environ_for(native, **keys)).status
        user = app.seen[0]["user"] if app.seen else None
        (outcome,) = (words for words in OUTCOMES if f"  {words}" in told)
        assert OUTCOMES[outcome] == (status, user), (target, told)
        # A rule is named by its line, and in the words that stand there.
        decided = re.findall("^  decided by (?:line ([0-9]+): )?(.+)$", told, re.MULTILINE)
        assert decided, target
        for number, text in decided:
            assert written[int(number)] == text if number else text == ODD, (target, told)
        rules_named.update(text for _, text in decided)
    assert rules_named == {
        "public /public/",
        "denied /internal/",
        "required /admin/ if group:admins",
        "delegated /app-api/",
        "optional /",
        "protect = required",
        ODD,
    }


def test_the_rule_to_which_an_odd_path_may_lead_is_named(operator: Operator) -> None:
    out = operator.run("access", operator.ini, "/static//x").out
    assert f"decided by line {line_of(operator, 'denied /internal/')}: denied /internal/\n" in out


def claims_file(folder: Path, claims: object) -> Path:
    path = folder / "claims.json"
    path.write_text(json.dumps(claims))
    return path


@pytest.mark.parametrize(
    ("path", "claims", "outcome"),
    [
        ("/admin/", {"groups": ["admins"]}, "passes as jane (groups: admins; level: absent)"),
        ("/admin/", {"level": 3}, "passes as jane (groups: none; level: 3)"),
        ("/admin/", {"groups": ["staff"], "level": 2}, "jane is refused with 403 (groups: staff; level: 2)"),
        ("/mail/", {"email": "jane@example.com", "acr": "gold"}, "passes as jane"),
        ("/mail/", {"email": "jane@example.com", "acr": "gold", "email_verified": False}, "refused with 403"),
        ("/mail/", {"email": "jane@example.com", "acr": 3}, "is sent to sign in once more for acr gold"),
        ("/mail/", {"email": "jane@example.org"}, "is refused with 403"),
        ("/wiki", {}, "passes as jane"),
    ],
)
def test_somebody_with_claims(
    operator: Operator, tmp_path: Path, path: str, claims: dict[str, object], outcome: str
) -> None:
    file = claims_file(tmp_path, {"preferred_username": "jane", **claims})
    assert outcome in operator.run("access", operator.ini, path, "--claims", file).out


def test_somebody_in_the_directory(operator: Operator, tmp_path: Path) -> None:
    directory = Directory(Secret.literal(empty_database(tmp_path / "users.db")))
    known = provider(name="default", issuer="https://id.example")
    directory.record_sign_in(
        known, "https://id.example", "1", attributes("jane", groups=("admins",)), create=True, now=NOW
    )
    assert (
        "passes as jane (groups: admins"
        in operator.run("access", operator.ini, "/admin/", "--user", "jane").out
    )
    answer = operator.run("access", operator.ini, "/mail/", "--user", "jane")
    assert "jane is refused with 403" in answer.out
    assert (
        "A sign-in alone tells what acr, email_domain reads: write its claims into --claims FILE"
        in answer.out
    )
    assert "A sign-in" not in operator.run("access", operator.ini, "/wiki", "--user", "jane").out
    (jane,) = directory.users()
    directory.set_disabled(jane.id, disabled=True, now=NOW)
    answer = operator.run("access", operator.ini, "/admin/", "--user", "jane")
    assert "does not pass: jane cannot sign in, being disabled" in answer.out
    answer = operator.run("access", operator.ini, "/admin/", "--user", "nobody")
    assert answer.code == 1
    assert "there is no user nobody" in answer.err


def test_what_the_last_sign_in_left_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = "required /mail/ if email_domain:example.com and claim:level=3"
    site = TokenSite(tmp_path, rules=rules)
    site.sign_in("joe", "2", email="joe@example.com", level=3)
    operator = Operator(tmp_path, capsys)
    ini = operator.write_ini(
        secret_keys=text_key(), directory="sqlite:///users.db", personal_tokens="/dav/", provider="Corp"
    )
    with ini.open("a") as file:
        file.write(f"[access]\nrules = {rules}\n")
    answer = operator.run("access", ini, "/mail/", "--user", "joe")
    assert "passes as joe (email_verified: absent; level: 3)" in answer.out
    assert "A sign-in alone" not in answer.out
    answer = operator.run("access", ini, "/mail/", "--user", "joe", "--provider", "nobody")
    assert "there is no enabled provider nobody" in answer.err


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "is not JSON"), ("[]", "claims are a JSON object"), ("[" * 100_000, "is not JSON")],
)
def test_claims_that_are_none_are_told(operator: Operator, tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "claims.json").write_text(content)
    answer = operator.run("access", operator.ini, "/", "--claims", tmp_path / "claims.json")
    assert answer.code == 1
    assert says in answer.err


def test_a_provider_that_is_not_there_is_told(operator: Operator, tmp_path: Path) -> None:
    file = claims_file(tmp_path, {})
    answer = operator.run("access", operator.ini, "/", "--claims", file, "--provider", "corp")
    assert answer.code == 1
    assert "there is no enabled provider corp" in answer.err


def test_claims_without_a_name_are_told(operator: Operator, tmp_path: Path) -> None:
    answer = operator.run("access", operator.ini, "/", "--claims", claims_file(tmp_path, {}))
    assert answer.code == 1
    assert "username" in answer.err


def test_in_odd_paths_every_line_that_decides_is_named(operator: Operator) -> None:
    text = operator.ini.read_text().replace("[oauth2_mw]", "[oauth2_mw]\nodd_paths = /admin/")
    operator.ini.write_text(text)
    answer = operator.run("access", operator.ini, "/admin//../internal/x")
    assert f"line {line_of(operator, 'required /admin/')}: " in answer.out
    assert f"line {line_of(operator, 'denied /internal/')}: " in answer.out
    assert "refused with 403, whoever asks" in answer.out


# Programs


@pytest.fixture
def programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    operator = Operator(tmp_path, capsys)
    ini = operator.write_ini(
        secret_keys=text_key(),
        directory="sqlite:///users.db",
        bearer_paths="/api/",
        personal_tokens="/dav/",
        accept_tokens="jwt",
        token_audiences="https://api.example",
    )
    with ini.open("a") as file:
        file.write(
            "[access]\nrules =\n  required /api/gold /dav/gold if acr:gold\n"
            "  required /api/ if scope:write or via:session\n  required /dav/ if via:token\n"
        )
    return operator


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        (("/api/x",), "passes as jane"),
        (("/api/x", "--via", "bearer"), "of jane is refused with 403: it needs the scope write"),
        (("/api/x", "--via", "bearer", "--scope", "read write"), "passes as jane"),
        (("/api//x", "--via", "bearer"), "refused with 404"),
        (
            ("/x", "--via", "bearer"),
            "no access token is looked at here: the path is below none of bearer_paths",
        ),
        (("/api/gold",), "passes as jane"),
        (("/api/gold", "--via", "bearer"), "jane is refused with 403"),
        (("/dav/gold", "--via", "token"), "jane is refused with 403"),
        (("/dav/x", "--via", "token"), "passes as jane"),
        (("/dav/x",), "jane is refused with 403"),
        (("/x", "--via", "token"), "refused with 401: the path is below none of personal_tokens"),
    ],
)
def test_programs_are_told_apart(
    programs: Operator, tmp_path: Path, arguments: tuple[str, ...], outcome: str
) -> None:
    file = claims_file(tmp_path, {"preferred_username": "jane", "acr": "gold"})
    answer = programs.run("access", programs.ini, *arguments, "--claims", file)
    assert answer.code == 0
    assert outcome in answer.out


def test_a_program_is_somebody_and_its_scopes_are_of_its_token(programs: Operator, tmp_path: Path) -> None:
    answer = programs.run("access", programs.ini, "/api/x", "--via", "bearer")
    assert (answer.code, "write --user NAME or --claims FILE" in answer.err) == (1, True)
    file = claims_file(tmp_path, {"preferred_username": "jane"})
    answer = programs.run("access", programs.ini, "/api/x", "--scope", "a", "--claims", file)
    assert (answer.code, "write --via bearer" in answer.err) == (1, True)
