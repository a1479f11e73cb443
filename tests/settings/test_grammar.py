"""What may be written in a setting, and what is said when it may not."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.settings.grammar import (
    AllowTerm,
    AttributePath,
    KeyEntry,
    PathRule,
    Secret,
    decode_key,
    format_key_line,
    parse_bool,
    parse_duration,
    parse_key_file,
    parse_secret_keys,
    split_terms,
)
from oauth2_mw.settings.text import did_you_mean, shown

KEY = bytes.fromhex("9d4f1c0be7a25386d1f0b97e2c4a68531be09d77f4c8a1365e02cb94af6d7813")
OTHER = bytes(reversed(KEY))
DISTINCT = bytes(dict.fromkeys(KEY))


def text_of(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def refused(parse: Callable[[str], object], text: str, *parts: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    for part in parts:
        assert part in str(caught.value)


# Words


@pytest.mark.parametrize("word", ["true", "yes", "on", "y", "t", "1", "TRUE", "Yes", " on "])
def test_the_words_of_pastedeploy_mean_yes(word: str) -> None:
    assert parse_bool(word) is True


@pytest.mark.parametrize("word", ["false", "no", "off", "n", "f", "0", "FALSE", "No"])
def test_the_words_of_pastedeploy_mean_no(word: str) -> None:
    assert parse_bool(word) is False


@pytest.mark.parametrize("word", ["", "2", "maybe", "ja", "truee"])
def test_any_other_word_is_no_boolean(word: str) -> None:
    refused(parse_bool, word, "write true or false")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("8h", 28800), ("7d", 604800), ("0", 0), (" 5s ", 5)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1.5h", "8 h", "8H", "1w", "١", "1e3", "9999999999"])
def test_a_malformed_duration_is_refused(text: str) -> None:
    refused(parse_duration, text, "90, 90s, 15m, 8h or 7d")


def test_words_are_split_at_white_space_outside_quotes() -> None:
    assert split_terms(' a\tgroup:"x y"\n "b c" ') == ("a", 'group:"x y"', '"b c"')


def test_the_first_and_the_last_word_are_whole() -> None:
    assert split_terms("ab cd") == ("ab", "cd")
    assert split_terms("ab") == ("ab",)
    assert split_terms(" ") == ()


def test_an_open_quote_is_refused() -> None:
    refused(split_terms, 'a "b', "not closed")


def test_a_message_shows_a_value_quoted_on_one_line_and_not_long() -> None:
    assert shown("a\nb\u202e") == r"'a\nb\u202e'"
    assert shown(["x"]) == "\"['x']\""
    assert shown("x" * 200) == repr("x" * 200)
    assert shown("x" * 201) == repr("x" * 197 + "...")


def test_a_slip_of_the_pen_is_put_right_and_another_word_is_not() -> None:
    known = ("client_id", "client_secret", "Issuer")
    assert did_you_mean("client-secrte", known) == "; did you mean client_secret?"
    assert did_you_mean("ISUER", known) == "; did you mean Issuer?"
    assert did_you_mean("colour", known) == ""


# Secrets


def test_a_literal_secret_is_itself(tmp_path: Path) -> None:
    secret = Secret.parse("s3cret # not a comment", tmp_path)
    assert secret.value() == "s3cret # not a comment"
    assert secret.path is None


def test_a_secret_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", " from-env\n")
    assert Secret.parse("env:A_SECRET", tmp_path).value() == "from-env"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_an_environment_variable_that_is_not_set_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("A_SECRET", raising=False)
    if value is not None:
        monkeypatch.setenv("A_SECRET", value)
    with pytest.raises(OSError, match="A_SECRET is not set"):
        Secret.parse("env:A_SECRET", tmp_path).value()


@pytest.mark.parametrize("text", ["env:", "env:1A", "env:A B", "env:A=B"])
def test_env_needs_the_name_of_a_variable(tmp_path: Path, text: str) -> None:
    refused(lambda value: Secret.parse(value, tmp_path), text, "env:OAUTH2_SECRET")


@pytest.mark.parametrize("text", ["file:", "file:  ", "file:a\nb"])
def test_file_needs_a_path(tmp_path: Path, text: str) -> None:
    refused(lambda value: Secret.parse(value, tmp_path), text, "file:client-secret.txt")


def test_a_secret_file_is_looked_up_from_the_base_and_loses_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("in a file\n")
    secret = Secret.parse("file:s", tmp_path)
    assert secret.value() == "in a file"
    assert secret.path == tmp_path / "s"


def test_a_secret_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("old")
    secret = Secret.file(path)
    assert secret.value() == "old"
    path.write_text("newer")
    assert secret.value() == "newer"


def test_a_replaced_secret_file_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    path, fresh = tmp_path / "s", tmp_path / "t"
    path.write_text("one")
    secret = Secret.file(path)
    assert secret.value() == "one"
    fresh.write_text("two")
    os.utime(fresh, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    fresh.replace(path)
    assert secret.value() == "two"


def test_a_secret_file_that_is_put_back_from_earlier_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("newer")
    secret = Secret.file(path)
    assert secret.value() == "newer"
    path.write_text("older")
    os.utime(path, (1, 1))
    assert secret.value() == "older"


def test_a_secret_file_has_at_most_64_kib(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("x" * 65_536)
    assert len(Secret.file(path).value()) == 65_536
    path.write_text("x" * 65_537)
    with pytest.raises(OSError, match="64 KiB"):
        Secret.file(path).value()


def test_whoever_has_to_know_is_told_that_a_secret_file_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    path.write_text("good")
    secret = Secret.file(path)
    assert secret.fresh_value() == "good"
    path.unlink()
    assert secret.value() == "good"
    with pytest.raises(OSError, match="No such file"):
        secret.fresh_value()
    monkeypatch.setenv("A_SECRET", "from-env")
    assert Secret.env("A_SECRET").fresh_value() == "from-env"
    assert Secret.literal("text").fresh_value() == "text"


def test_an_unchanged_secret_file_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("one")
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    secret = Secret.file(path)
    assert secret.value() == "one"
    path.write_text("two")
    os.utime(path, ns=times)
    assert secret.value() == "one"


@pytest.mark.parametrize("damage", ["gone", "emptied", "not text", "huge"])
def test_a_secret_file_that_cannot_be_read_any_more_keeps_its_last_value(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "s"
    path.write_text("good")
    secret = Secret.file(path)
    assert secret.value() == "good"
    path.unlink()
    if damage == "emptied":
        path.write_text("\n")
    elif damage == "not text":
        path.write_bytes(b"\xff\xfe")
    elif damage == "huge":
        path.write_text("x" * 70_000)
    assert secret.value() == "good"


@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "No such file"), (b"", "empty"), (b"\xff", "UTF-8"), (b"x" * 70_000, "64 KiB")],
)
def test_a_secret_file_that_never_could_be_read_is_an_error(
    tmp_path: Path, content: bytes | None, what: str
) -> None:
    path = tmp_path / "s"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OSError, match=what):
        Secret.file(path).value()


def test_a_directory_is_no_secret_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"regular|directory"):
        Secret.file(tmp_path).value()


def test_a_pipe_under_the_name_of_a_secret_does_not_hold_up_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s")
    errors: list[BaseException] = []

    def read() -> None:
        try:
            Secret.file(tmp_path / "s").value()
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert "regular" in str(errors[0])


def test_no_repr_shows_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "canary")
    (tmp_path / "s").write_text("canary")
    for secret in (Secret.literal("canary"), Secret.env("A_SECRET"), Secret.file(tmp_path / "s")):
        assert secret.value() == "canary"
        assert "canary" not in f"{secret!r} {secret}"
        assert not hasattr(secret, "__dict__")


def test_a_repr_says_where_a_secret_comes_from() -> None:
    assert repr(Secret.env("A")) == "Secret(env:A)"
    assert repr(Secret.file("/a/b")) == "Secret(file:/a/b)"


def test_the_error_of_an_unreadable_secret_does_not_carry_it(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"canary\xff")
    with pytest.raises(OSError) as caught:
        Secret.file(tmp_path / "s").value()
    assert "canary" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_secrets_are_equal_when_they_come_from_the_same_place(tmp_path: Path) -> None:
    assert Secret.literal("a") == Secret.literal("a")
    assert Secret.literal("a") != Secret.literal("b")
    assert Secret.literal("A") != Secret.env("A")
    assert Secret.env("A") != Secret.literal("A")
    assert Secret.literal("a") != "a"
    assert len({Secret.file(tmp_path), Secret.file(tmp_path)}) == 1


# Paths into claims

CLAIMS = {
    "email": "a@b",
    "address": {"country": "NO", "null": None},
    "emails": [{"value": "first"}, {"value": "second"}],
    "https://acme.example/roles": ["x"],
    'quo"te\\d': 1,
    "cognito:groups": ["g"],
    "matrix": [[1, 2], [3]],
    "zero": 0,
    "empty": "",
    "roles": {"admin": {"org": "a"}, "staff": None},
    "rows": [{"tags": [{"n": "x"}, {"n": None}]}, {"tags": "no list"}, 7, {"tags": [{"n": "y"}]}],
    "nulls": [None, {"value": None}],
    "tuple": ("a",),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("email", "a@b"),
        ("address.country", "NO"),
        ("emails[1].value", "second"),
        ('"https://acme.example/roles"', ["x"]),
        ('"https://acme.example/roles"[0]', "x"),
        ('"quo\\"te\\\\d"', 1),
        ("cognito:groups", ["g"]),
        ("matrix[0][1]", 2),
        ("zero", 0),
        ("tuple[0]", "a"),
        ('address."country"', "NO"),
        ("emails[*].value", ("first", "second")),
        ("emails[*]", ({"value": "first"}, {"value": "second"})),
        ("rows[*].tags[*].n", ("x", "y")),
        ("matrix[*][*]", (1, 2, 3)),
        ("matrix[*][0]", (1, 3)),
        ("tuple[*]", ("a",)),
        ("keys(roles)", ("admin", "staff")),
        ("keys(rows[*])", ("tags", "tags", "tags")),
        ("keys(roles.admin)", ("org",)),
    ],
)
def test_a_path_finds_its_value(text: str, value: object) -> None:
    assert AttributePath.parse(text).get(CLAIMS) == value


@pytest.mark.parametrize(
    "text",
    [
        "missing",
        "empty",
        "email.x",
        "email[0]",
        "address.null",
        "address.null.x",
        "emails.value",
        "emails[2]",
        "email[*]",
        "roles[*]",
        "emails[*].missing",
        "nulls[*].value",
        "missing[*].value",
        "keys(email)",
        "keys(emails)",
        "keys(missing)",
        "address[0]",
    ],
)
def test_what_is_missing_null_empty_or_of_another_type_is_absent(text: str) -> None:
    assert AttributePath.parse(text).get(CLAIMS) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a[",
        "a[]",
        "a[x]",
        "a[-1]",
        "a[0",
        "[0]",
        "a b",
        '"',
        '""',
        '"a',
        "a]",
        'a"b"',
        "a[**]",
        "a.*",
        "*",
        "keys()",
        "keys(a",
        "keys(a).b",
        "keys(keys(a))",
        "a.keys(b)",
        "count(a)",
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    refused(AttributePath.parse, text)


def test_a_claim_named_by_a_url_needs_quotes_and_the_message_says_so() -> None:
    refused(AttributePath.parse, "https://acme.example/roles", "needs quotes")


def test_a_path_is_at_most_twenty_steps_deep() -> None:
    AttributePath.parse(".".join("a" * 20))
    refused(AttributePath.parse, ".".join("a" * 21), "deeper than 20")
    refused(AttributePath.parse, "a" + "[0]" * 20, "deeper than 20")


def test_a_path_has_at_most_512_characters() -> None:
    assert AttributePath.parse("a" * 512).get({"a" * 512: 1}) == 1


@pytest.mark.parametrize("text", ["a" * 513, "a\nb", "a\u2028b"])
def test_a_path_is_one_short_line(text: str) -> None:
    refused(AttributePath.parse, text, "512")


def test_the_root_of_a_path_is_the_name_of_the_claim() -> None:
    assert AttributePath.parse('"https://acme.example/roles"[0].x').root == "https://acme.example/roles"


@given(st.lists(st.text(min_size=1, max_size=8).filter(str.isprintable), min_size=1, max_size=20))
def test_any_claim_can_be_reached_by_quoted_segments(names: list[str]) -> None:
    text = ".".join('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in names)
    claims: Any = "found"
    for name in reversed(names):
        claims = {name: claims}
    assert AttributePath.parse(text).get(claims) == "found"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@given(st.text(alphabet='ab.[]01"\\ =', max_size=12), st.dictionaries(st.sampled_from("ab"), json_values))
def test_no_text_and_no_claims_make_a_path_fail_otherwise(text: str, claims: dict[str, Any]) -> None:
    try:
        path = AttributePath.parse(text)
    except ValueError:
        return
    path.get(claims)
    assert AttributePath.parse(path.text) == path


# Rules about paths


def test_a_rule_is_kept_as_pep_3333_spells_paths() -> None:
    assert PathRule.parse("/static/").native == "/static/"
    assert PathRule.parse("/bl\xe5b\xe6r/").native == "/bl\xe5b\xe6r/".encode().decode("latin-1")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "start with /"),
        ("static/", "start with /"),
        ("http://x/static/", "start with /"),
        ("/static/*", "no wildcards"),
        ("/a?b", "query"),
        ("/a#b", "fragment"),
        ("/a%20b", "decoded"),
        ("/a;b", "always protected"),
        ("/a\\b", "always protected"),
        ("/a//b", "contains //"),
        ("/a/../b", "as a segment"),
        ("/a/.", "as a segment"),
        ("/a b", "white space"),
        ("/a\x00", "control"),
        ("/\ufb01n", "NFKC"),
        ("/a/.../b", "dots alone"),
        ("/a\u200bb", "invisible"),
        ("/\ud800", "control"),
    ],
)
def test_a_rule_that_no_ordinary_request_could_meet_is_refused(text: str, why: str) -> None:
    refused(PathRule.parse, text, why)


# Who may enter


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("*", "*", ""),
        ("email_domain:Example.COM", "email_domain", "example.com"),
        ("email:Jane@Example.com", "email", "jane@example.com"),
        ("group:staff", "group", "staff"),
        ('group:"Domain Users"', "group", "Domain Users"),
        ('group:"x"', "group", "x"),
        ('group:x y"', "group", 'x y"'),
        ('group:!x"', "group", '!x"'),
        ('group:"x', "group", '"x'),
        ('group:"xy', "group", '"xy'),
        ("group:xyx", "group", "xyx"),
        ("group:!x!", "group", "!x!"),
        ("user:jane", "user", "jane"),
        ("user:a:b", "user", "a:b"),
        ("organization:DEFAULT", "organization", "DEFAULT"),
        ("claim:a.b=c=d", "claim", "a.b=c=d"),
        ('claim:"x=y"."z"="1 2"', "claim", '"x=y"."z"=1 2'),
    ],
)
def test_a_term_is_a_field_and_a_value(text: str, field: str, value: str) -> None:
    term = AllowTerm.parse(text)
    assert (term.field, term.value) == (field, value)
    assert AllowTerm(term.field, term.value) == term


def test_a_claim_term_says_where_and_what() -> None:
    path, value = AllowTerm.parse('claim:"x=y".z=1=2').claim()
    assert path.get({"x=y": {"z": "v"}}) == "v"
    assert value == "1=2"


def test_a_term_is_shown_as_it_is_written() -> None:
    assert [str(AllowTerm.parse(text)) for text in ("*", "group:staff", "claim:a=b")] == [
        "*",
        "group:staff",
        "claim:a=b",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "FIELD:VALUE"),
        ("jane", "FIELD:VALUE"),
        ("domain:example.com", "FIELD:VALUE"),
        ("Group:staff", "FIELD:VALUE"),
        ("group:", "no value that a person could match"),
        ('group:" "', "no value that a person could match"),
        ("group:a\x00", "no value that a person could match"),
        ("email_domain:@example.com", "without @"),
        ("email_domain:ex ample", "without @"),
        ("email_domain:bl\xe5.no", "in ASCII"),
        ("email:jane", "email:jane@example.com"),
        ("email:@example.com", "email:jane@example.com"),
        ("email:jane@", "email:jane@example.com"),
        ("email:a@b@c", "email:jane@example.com"),
        ("claim:", "not a path"),
        ("claim:a", "claim:PATH=VALUE"),
        ("claim:a=", "no value that a person could match"),
        ("claim:" + "a" * 600 + "=b", "512"),
    ],
)
def test_what_is_no_term_is_refused(text: str, why: str) -> None:
    refused(AllowTerm.parse, text, why)


# Keys


@given(st.binary(min_size=32, max_size=32))
def test_every_random_key_can_be_written_and_read(key: bytes) -> None:
    try:
        assert decode_key(text_of(key)) == key
    except ValueError as error:
        # hypothesis likes keys that nobody would draw
        assert "made up" in str(error)


def test_a_key_may_carry_its_padding() -> None:
    assert decode_key(text_of(KEY) + "=") == KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        text_of(KEY)[:-1],
        text_of(KEY) + "A",
        text_of(KEY) + "==",
        KEY.hex(),
        text_of(KEY).replace(text_of(KEY)[0], "+", 1),
        text_of(KEY)[:-1] + " ",
        text_of(KEY) + "\n",
        "é" * 43,
    ],
)
def test_what_does_not_spell_32_bytes_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="32 random bytes") as caught:
        decode_key(text)
    assert not text.strip() or text.strip() not in str(caught.value)


def test_a_key_has_one_spelling() -> None:
    text = text_of(KEY)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = text[:-1] + alphabet[alphabet.index(text[-1]) + 1]
    refused(decode_key, twin, "bits that belong to no byte")


@pytest.mark.parametrize(
    "key",
    [
        bytes(32),
        b"\xff" * 32,
        bytes(range(32)),
        bytes(range(0, 64, 2)),
        bytes(number * 37 % 256 for number in range(32)),
        b"correct horse battery staple, OK",
        b" ~!#$%&()*+,-./0123456789:;<=>?@",
        KEY[:8] * 4,
        DISTINCT[:15] * 2 + DISTINCT[:2],
    ],
)
def test_a_key_that_nobody_drew_at_random_is_refused(key: bytes) -> None:
    refused(decode_key, text_of(key), "made up")


@pytest.mark.parametrize(
    "key", [DISTINCT[:16] * 2, b"\x1fabcdefghijklmnopqrstuvwxyz12345", b"\x7fabcdefghijklmnopqrstuvwxyz12345"]
)
def test_a_key_that_chance_may_just_have_drawn_is_taken(key: bytes) -> None:
    assert decode_key(text_of(key)) == key


def test_literal_keys_are_separated_by_white_space_newest_first() -> None:
    assert parse_secret_keys(f"\n {text_of(KEY)}\n\t{text_of(OTHER)} ") == (KEY, OTHER)


def test_no_key_at_all_is_refused() -> None:
    refused(parse_secret_keys, " \n", "no key", "keygen")


def test_a_broken_key_is_counted_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="key 2:") as caught:
        parse_secret_keys(f"{text_of(KEY)} hunter2")
    assert "hunter2" not in str(caught.value)


def test_the_same_key_twice_is_refused() -> None:
    refused(parse_secret_keys, f"{text_of(KEY)} {text_of(KEY)}=", "key 2", "twice")


def key_file(*lines: str) -> str:
    return "\n".join(lines) + "\n"


LINE = f"k1 2026-11-23T18:00:00Z {text_of(KEY)}"


def test_a_key_file_is_kid_not_before_and_key() -> None:
    text = key_file(
        "# two keys", "", f"  {LINE}  ", f"k-2_ 1970-01-01T00:00:01Z {text_of(OTHER)}", "  # the end"
    )
    assert parse_key_file(text) == (KeyEntry("k1", 1795456800, KEY), KeyEntry("k-2_", 1, OTHER))
    backwards = key_file(*reversed(text.splitlines()))
    assert parse_key_file(backwards) == (KeyEntry("k-2_", 1, OTHER), KeyEntry("k1", 1795456800, KEY))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("k2", "three words"),
        (f"{LINE} # newest", "three words"),
        (f"k.2 2026-11-23T18:00:00Z {text_of(OTHER)}", "the kid is"),
        (f"{'k' * 33} 2026-11-23T18:00:00Z {text_of(OTHER)}", "the kid is"),
        (f"k2 2026-11-23 {text_of(OTHER)}", "moment in UTC"),
        (f"k2 2026-11-23T18:00:00+01:00 {text_of(OTHER)}", "moment in UTC"),
        (f"k2 2026-13-23T18:00:00Z {text_of(OTHER)}", "moment in UTC"),
        (f"k2 2026-11-23T18:00:61Z {text_of(OTHER)}", "moment in UTC"),
        (f"k2 2026-1-2T3:4:5Z {text_of(OTHER)}", "moment in UTC"),
        ("k2 2026-11-23T18:00:00Z short", "32 random bytes"),
        (f"k1 2026-11-23T18:00:00Z {text_of(OTHER)}", "kid k1 is written twice"),
        (f"k2 2026-11-23T18:00:00Z {text_of(KEY)}", "another kid"),
    ],
)
def test_a_broken_line_of_a_key_file_is_told_by_its_number(line: str, why: str) -> None:
    refused(parse_key_file, key_file("# keys", LINE, line), "line 3:", why)


def test_a_key_file_without_a_key_is_refused() -> None:
    refused(parse_key_file, "# nothing\n", "no key")


kids = st.text(alphabet="abcXYZ019_-", min_size=1, max_size=32)
moments = st.integers(min_value=0, max_value=253_402_300_799)


@given(kids, moments)
def test_a_line_that_we_write_is_read_as_it_was(kid: str, moment: int) -> None:
    entry = KeyEntry(kid, moment, KEY)
    assert parse_key_file(format_key_line(entry)) == (entry,)


def test_no_repr_shows_a_key() -> None:
    assert repr(KEY) not in repr(KeyEntry("k", 0, KEY))
    assert "key=" not in repr(KeyEntry("k", 0, KEY))


@given(st.text(max_size=60))
def test_no_text_makes_the_parsers_fail_otherwise(text: str) -> None:
    for parse in (
        parse_bool,
        parse_duration,
        split_terms,
        PathRule.parse,
        AllowTerm.parse,
        parse_secret_keys,
        parse_key_file,
    ):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)
    try:
        Secret.parse(text, Path("/nowhere"))
    except ValueError as error:
        assert str(error)
