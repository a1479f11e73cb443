"""``oauth2-mw map``: the identity that a set of claims gives, and what it may do."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.support.hosts.operator import CommandResult, Operator
from tests.support.settings.keys import text_key

MAP = '{"username": ["login", "preferred_username"], "name": "name", "email": "email", "groups": "realm_access.roles"}'
CLAIMS = {
    "sub": "4711",
    "preferred_username": "jane",
    "name": "Jane Doe",
    "email": "jane@example.com",
    "realm_access": {"roles": ["staff"]},
}


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    operator = Operator(tmp_path, capsys)
    operator.write_ini(secret_keys=text_key(), attribute_map=MAP, allow="group:staff user:bob")
    return operator


def mapped(operator: Operator, claims: object, *words: object) -> CommandResult:
    """What the command says of claims in a file."""
    file = operator.folder / "claims.json"
    file.write_text(json.dumps(claims), encoding="utf-8")
    return operator.run("map", operator.ini, "--claims", file, *words)


def rows(answer: CommandResult) -> dict[str, tuple[str, str]]:
    """The table: field -> its value, and where it is from."""
    cells = [line.split("\t") for line in answer.out.splitlines() if "\t" in line]
    return {field: (value, origin) for field, value, origin in cells}


def test_the_identity_and_the_path_of_each_field(operator: Operator) -> None:
    answer = mapped(operator, CLAIMS)
    assert answer.code == 0
    assert rows(answer) == {
        "field": ("value", "read from"),
        "subject": ("4711", "sub"),
        "username": ("jane", "preferred_username (login: absent)"),
        "name": ("Jane Doe", "name"),
        "email": (
            "jane@example.com",
            "email; email_verified is absent: it counts for allow and rules alone",
        ),
        "phone": ("-", "not mapped"),
        "comment": ("-", "not mapped"),
        "groups": ("staff", "realm_access.roles"),
    }
    assert "jane may enter, by allow: group:staff\n" in answer.out


@pytest.mark.parametrize(
    ("verified", "says"), [(True, "is true: it counts"), (False, "is false: it counts nowhere")]
)
def test_what_an_address_counts_for(operator: Operator, verified: object, says: str) -> None:
    answer = mapped(operator, {**CLAIMS, "email_verified": verified})
    assert rows(answer)["email"] == ("jane@example.com", f"email; email_verified {says}")


def test_what_is_missing_and_what_cannot_be_used(operator: Operator) -> None:
    answer = mapped(
        operator,
        {"sub": "4711", "login": "bob", "name": {"first": "Bob"}, "realm_access": {"roles": [{}]}, "team": 1},
    )
    assert answer.code == 0
    table = rows(answer)
    assert table["email"] == ("-", "email is absent")
    assert table["name"] == ("-", "name")
    assert "not used: name is left out: name is an object that cannot be used" in answer.out
    assert "not used: groups: 1 of 1 in realm_access.roles are left out" in answer.out
    assert "claims that no setting reads: team\n" in answer.out
    assert "bob may enter, by allow: user:bob\n" in answer.out


def test_who_has_no_name_is_not_signed_in(operator: Operator) -> None:
    answer = mapped(operator, {"sub": "4711", "name": "Jane", "email": "jane@example.com"})
    assert answer.code == 1
    assert rows(answer)["username"] == ("-", "login and preferred_username are absent")
    assert rows(answer)["name"] == ("Jane", "name")
    assert "not used" not in answer.out
    assert "Nobody is signed in: " in answer.out
    assert "The claims sent: 'sub', 'name', 'email'" in answer.out


def test_a_subject_that_is_missing_is_told(operator: Operator) -> None:
    answer = mapped(operator, {**CLAIMS, "sub": ["4711"]})
    value, why = rows(answer)["subject"]
    assert value == "-"
    assert "a sign-in without it is refused" in why


def test_who_may_not_enter_is_told_with_the_terms(operator: Operator) -> None:
    answer = mapped(operator, {**CLAIMS, "realm_access": {"roles": ["sales"]}})
    assert answer.code == 1
    assert "jane may not enter, because no term of allow applies (group:staff user:bob)" in answer.out
    assert "where no rule is" not in answer.out


@pytest.mark.requirement("R-verified")
def test_an_address_that_nothing_proves_is_no_name(operator: Operator) -> None:
    operator.write_ini(secret_keys=text_key(), attribute_map='{"username": "email", "email": "email"}')
    answer = mapped(operator, CLAIMS)
    assert answer.code == 1
    assert "Nobody is signed in: " in answer.out
    assert "email_verified is absent" in answer.out
    assert mapped(operator, {**CLAIMS, "email_verified": True}).code == 0


def test_a_name_in_letters_that_look_latin_needs_a_directory(operator: Operator) -> None:
    claims = {**CLAIMS, "preferred_username": "јаnе"}
    assert "can be taken for Latin ones" in mapped(operator, claims).out
    operator.write_ini(
        secret_keys=text_key(), attribute_map=MAP, directory="sqlite:///users.db", organization="HQ Lab"
    )
    assert "can be taken for Latin ones" not in mapped(operator, claims).out
    assert rows(mapped(operator, CLAIMS))["organizations"] == ("HQ, Lab", "organization")


def test_the_rules_with_their_lines_and_what_they_make_of_the_person(operator: Operator) -> None:
    with operator.ini.open("a") as file:
        file.write(
            "[access]\nrules =\n"
            "    public   GET /static/\n"
            "    required GET /admin/ if group:admins\n"
            "    denied   /static/secret\n"
        )
    text = operator.ini.read_text().splitlines()
    answer = mapped(operator, CLAIMS)
    line = text.index("    required GET /admin/ if group:admins") + 1
    assert f"  line {line}: required GET /admin/ if group:admins\n" in answer.out
    assert "    GET /admin/: jane is refused with 403 (groups: staff)\n" in answer.out
    assert "    GET /static/secret: passes: nobody needs" in answer.out
    assert "(decided by public GET /static/)" in answer.out
    assert "  where no rule is: protect = required: passes as jane\n" in answer.out


def test_without_allow_everybody_may_enter(operator: Operator) -> None:
    operator.write_ini(secret_keys=text_key(), attribute_map=MAP)
    assert "without allow everybody may for whom default vouches" in mapped(operator, CLAIMS).out


def test_claims_come_from_stdin_too(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + json.dumps(CLAIMS).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    answer = operator.run("map", operator.ini, "--claims", "-")
    assert answer.code == 0
    assert "jane may enter" in answer.out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"sub": "1",\n "name": }', "is not JSON: line 2, column 10: Expecting value"),
        (b"[]", "claims are a JSON object"),
        (b"[" * 100_000, "is not JSON"),
        (b'{\n"name": "\xff"}', "is not UTF-8: look at line 2"),
        (b"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "this is a token, and claims are what stands in it"),
        (b"", "is not JSON: line 1, column 1"),
        (b'{"sub": ' + b"9" * 5000 + b"}", "a number is too long"),
    ],
    ids=["syntax", "list", "deep", "latin", "token", "empty", "number"],
)
def test_what_is_no_claims_is_told_by_its_line(operator: Operator, content: bytes, says: str) -> None:
    file = operator.folder / "claims.json"
    file.write_bytes(content)
    answer = operator.run("map", operator.ini, "--claims", file)
    assert answer.code == 1
    assert f"{file}" in answer.err
    assert says in answer.err
    assert "eyJ" not in answer.err


def test_a_file_or_a_provider_that_is_not_there_is_told(operator: Operator) -> None:
    answer = operator.run("map", operator.ini, "--claims", operator.folder / "none.json")
    assert answer.code == 1
    assert "none.json: No such file" in answer.err
    answer = mapped(operator, CLAIMS, "--provider", "corp")
    assert answer.code == 1
    assert "there is no enabled provider corp: there is default" in answer.err


def test_what_could_steer_a_terminal_is_escaped(operator: Operator) -> None:
    answer = mapped(operator, {**CLAIMS, "name": "Jane\x1b[2J", "\u202eclaim": 1, "login": "a\x1bb"})
    assert "\x1b" not in answer.out
    assert "\u202e" not in answer.out
