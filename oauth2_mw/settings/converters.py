"""Converters: from the text of one setting to its value, without reading a file or another setting.

A converter takes the text and the folder from which relative paths are looked up, and raises ``ValueError`` with
what to write instead. Where a setting is optional, an empty text means that it is not set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from oauth2_mw.boundary import contains_control
from oauth2_mw.encoding import json_type
from oauth2_mw.settings import jmes_path
from oauth2_mw.settings.attribute_path import AttributePath, FirstOf, Source
from oauth2_mw.settings.grammar import Secret, parse_duration
from oauth2_mw.settings.text import did_you_mean, shown, split_words

T = TypeVar("T")
Convert = Callable[[str, Path], Any]

#: The asymmetric JWS algorithms of RFC 7518 and RFC 8037, and the newer name of EdDSA (RFC 9864).
ALGORITHMS = tuple("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519".split())
#: The fields of an identity that an ``attribute_map`` may fill.
LOCAL_FIELDS = ("username", "name", "email", "phone", "comment", "groups")
#: Parameters of the authorization request -> the setting that decides each.
_SET_PARAMS = {
    "client_id": "client_id",
    "client_secret": "client_secret",
    "redirect_uri": "public_url",
    "response_mode": "response_mode",
    "scope": "scope",
    "code_challenge": "pkce",
    "code_challenge_method": "pkce",
    "prompt": "prompt",
    "max_age": "max_age",
    "acr_values": "acr_values",
    "ui_locales": "ui_locales",
}
#: Parameters of the authorization request that are made anew for each sign-in.
_FRESH_PARAMS = "response_type state nonce login_hint request request_uri".split()
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_INTEGER = re.compile(r"[0-9]{1,9}")


# Lists


class ItemsError(ValueError):
    """Items of a list that are not valid, with a text for each."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__("; ".join(texts))
        self.texts: tuple[str, ...] = tuple(texts)


def each_word(text: str, read: Callable[[str], T]) -> tuple[T, ...]:
    """Return what *read* makes of each word of a list.

    :raises ItemsError: with every word that is not valid.
    """
    values: list[T] = []
    wrong: list[str] = []
    for word in text.split():
        try:
            values += map(read, split_words(word))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ItemsError(wrong)
    return tuple(values)


# Makers of converters


def choice(*words: str, elsewhere: Mapping[str, str] = MappingProxyType({})) -> Convert:
    """Make a converter for one of *words*.

    :param elsewhere: what other products write, in small letters -> the word for it here.
    """

    def convert(text: str, _base: Path) -> str:
        if text in words:
            return text
        hint = did_you_mean(text, words) or f": write {_either(words)}"
        if meant := elsewhere.get(re.sub(r"[\s-]", "_", text.lower())):
            hint = f": here it is called {meant}"
        raise ValueError(f"{_describe(text)}{hint}")

    return convert


def choices(*words: str, empty: str = "none") -> Convert:
    """Make a converter for any of *words*, separated by white space; the word *empty* means none of them."""

    def convert(text: str, _base: Path) -> tuple[str, ...]:
        return () if text.split() == [empty] else tuple(dict.fromkeys(each_word(text, check)))

    def check(word: str) -> str:
        if word not in words:
            hint = did_you_mean(word, words) or f": write any of {' '.join(words)}"
            raise ValueError(f"{_describe(word)}{hint}")
        return word

    return convert


def duration(least: int, most: int) -> Convert:
    """Make a converter for a time span between *least* and *most* seconds."""

    def convert(text: str, _base: Path) -> int:
        seconds = parse_duration(text)
        if not least <= seconds <= most:
            raise ValueError(f"{shown(text)} is out of range: from {_span(least)} to {_span(most)}")
        return seconds

    return convert


def integer(least: int, most: int) -> Convert:
    """Make a converter for a whole number between *least* and *most*."""

    def convert(text: str, _base: Path) -> int:
        if _INTEGER.fullmatch(text) is None or not least <= int(text) <= most:
            raise ValueError(f"{_describe(text)}: write a whole number from {least} to {most}")
        return int(text)

    return convert


def plain(inner: Callable[[str], Any]) -> Convert:
    """Make a converter of *inner*."""
    return lambda text, _base: inner(text)


def optional(inner: Callable[[str], Any], *, none: bool = False) -> Convert:
    """Make a converter of *inner* that returns ``None`` for an empty text, with *none* for the word ``none`` too."""

    def convert(text: str, _base: Path) -> Any:
        return None if not text or (none and text == "none") else inner(text)

    return convert


def words(inner: Callable[[str], Any] = str, *, none: bool = False) -> Convert:
    """Make a converter that applies *inner* to each word; with *none* the one word ``none`` means no words."""

    def convert(text: str, _base: Path) -> tuple[Any, ...]:
        return () if none and text.split() == ["none"] else each_word(text, inner)

    return convert


def auth_scheme(text: str) -> str:
    """Return the name of an authentication scheme (RFC 9110, section 11.1) in lower case."""
    if _TOKEN.fullmatch(text) is None:
        raise ValueError(
            f"{shown(text)} is not the name of an authentication scheme: write one like Token or Bearer"
        )
    return text.lower()


def _either(options: Iterable[str]) -> str:
    *others, last = options
    return f"{', '.join(others)} or {last}" if others else last


def _describe(text: str) -> str:
    return f"{shown(text)} is not allowed here" if text else "nothing is written here"


def _span(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


# Converters


def dotted_name(text: str) -> str:
    """Return the name of something in a Python module: ``module:name`` or ``module.name``.

    :raises ValueError: for anything else.
    """
    parts = text.replace(":", ".", 1).split(".")
    if len(parts) < 2 or not all(map(str.isidentifier, parts)):
        raise ValueError(f"{shown(text)} is not a name in a module: write package.module:callable")
    return text


def line(text: str) -> str:
    """Return one line of text."""
    if contains_control(text):
        raise ValueError("there are control characters or a line break in the value: write it on one line")
    return text


def word_line(text: str) -> str:
    """Return words of which none holds a comma, with one space between them, as the provider is to read them."""
    if "," in text:
        raise ValueError(f"{shown(text)}: words are separated by spaces, not by commas: take the commas out")
    return " ".join(split_words(line(text)))


def ui_locales(text: str) -> str:
    """Return languages as the provider is to read them, or ``browser`` for those of the person."""
    languages = word_line(text)
    if "browser" in languages.split() and languages != "browser":
        raise ValueError("browser stands for the languages of each person: write it alone")
    return languages


def pkce(text: str, base: Path) -> bool:
    """Whether Proof Key for Code Exchange is used; its method ``plain`` is not offered (RFC 9700, section 2.1.1)."""
    method: str = choice("S256", "off")(text, base)
    return method == "S256"


def prefix_text(text: str, _base: Path) -> str:
    """Return the text that is put before user names."""
    return "" if text == "none" else line(text)


def secret(text: str, base: Path) -> Secret | None:
    """Return a secret: literal, ``env:NAME`` or ``file:PATH``."""
    return Secret.parse(line(text), base) if text else None


def pem(text: str, base: Path) -> Secret | None:
    """Return a key or certificate. A literal PEM is refused, because a value does not keep its lines."""
    if "-----BEGIN" in text:
        raise ValueError("a PEM is not allowed here itself: put it into a file and write file:PATH")
    return secret(text, base)


def secret_keys(text: str, base: Path) -> Secret | None:
    """Return the keys that seal cookies; literal ones may be on several lines."""
    return Secret.parse(" ".join(text.split()), base) if text else None


def session(text: str, base: Path) -> Secret | None:
    """Return the URL of a session store, which may hold a password, or ``None`` for ``cookie``."""
    if text == "cookie":
        return None
    if "://" not in text and not text.startswith(("env:", "file:")):
        # Not shown: a URL whose scheme is missing may hold a password all the same.
        raise ValueError("this is not allowed here: write cookie, or the URL of a session store")
    return secret(text, base)


def directory(text: str, base: Path) -> Secret | None:
    """Return a database URL, which may hold a password, or ``None`` for ``none``."""
    return None if text == "none" else secret(text, base)


def cookie_name(text: str, _base: Path) -> str:
    """Return a name for our cookies, a token (RFC 6265, section 4.1.1) to which prefixes and suffixes are added."""
    if _COOKIE_NAME.fullmatch(text) is None:
        raise ValueError(f"{_describe(text)}: a cookie's name is 1 to 64 letters, digits, - and _")
    if text.lower().startswith(("__host-", "__secure-")):
        raise ValueError("leave the prefix __Host- out: it is added on https by itself")
    return text


def scope(text: str, _base: Path) -> tuple[str, ...]:
    """Return the scopes (RFC 6749, section 3.3)."""
    return each_word(text, _scope_token)


def _scope_token(token: str) -> str:
    if _SCOPE_TOKEN.fullmatch(token) is None:
        raise ValueError(f"{shown(token)} is not a valid scope: write ASCII without quotes and backslashes")
    if "," in token:
        raise ValueError(f"{shown(token)}: scopes are separated by spaces, not by commas")
    return token


def trusted_audiences(text: str, _base: Path) -> tuple[str, ...]:
    """Return further audiences of ID tokens; ``*``, for any, stands alone."""
    names = tuple(dict.fromkeys(map(line, split_words(text))))
    if "*" in names and len(names) > 1:
        raise ValueError("* already stands for all audiences: write it alone, or leave it out")
    return names


def algorithms(text: str, _base: Path) -> tuple[str, ...] | None:
    """Return the JWS algorithms for ID tokens, which must be asymmetric, or ``None`` for an empty text."""
    return tuple(dict.fromkeys(each_word(text, _algorithm))) or None


def _algorithm(name: str) -> str:
    if name.lower() == "none":
        raise ValueError("none accepts tokens that nobody signed, and is never allowed: take it out")
    if name.upper().startswith("HS"):
        raise ValueError(
            f"{shown(name)} is signed with the client secret, which proves no issuer, and is not allowed: choose RS256 "
            "or another asymmetric one for this client at the provider, and write that"
        )
    if name not in ALGORITHMS:
        hint = did_you_mean(name, ALGORITHMS) or f": write any of {' '.join(ALGORITHMS)}"
        raise ValueError(f"{shown(name)} is not supported{hint}")
    return name


# Converters of paths and JSON objects


def subject(text: str, _base: Path) -> AttributePath | None:
    """Return the path to the subject, which is one value."""
    return _single("subject", AttributePath.parse(text)) if text else None


def attribute_map(text: str, _base: Path) -> Mapping[str, Source]:
    """Return local field -> path into the provider's claims, or several of which the first counts, from JSON."""
    example = '{"username": "login", "email": "email"}'
    written = _json_object(text, example=example)
    for name, value in written.items():
        if not isinstance(value, str) and not (
            isinstance(value, list) and value and all(isinstance(item, str) for item in value)
        ):
            raise ValueError(
                f"the value of {shown(name)} is neither a string nor a list of strings: write a path in double "
                f"quotes, like {example}, or several in brackets"
            )
    unknown = [name for name in written if name not in LOCAL_FIELDS]
    if unknown and any(written[name] in LOCAL_FIELDS for name in unknown):
        swapped = {value: name for name, value in written.items() if isinstance(value, str)}
        turned = json.dumps(swapped, ensure_ascii=contains_control("".join(written)))
        raise ValueError(
            f"the map is written the wrong way round: each entry is local field, then provider's field; write {turned}"
        )
    if unknown:
        hints = ", ".join(shown(name) + did_you_mean(name, LOCAL_FIELDS) for name in unknown)
        raise ValueError(f"unknown local field: {hints}; the local fields are {', '.join(LOCAL_FIELDS)}")
    if "username" not in written:
        raise ValueError("\"username\" is missing: say which of the provider's fields is the user's name")
    sources: dict[str, Source] = {}
    wrong: list[str] = []
    for name, paths in written.items():
        try:
            sources[name] = _source(name, paths)
        except ValueError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        raise ItemsError(wrong)
    return MappingProxyType(sources)


def _source(name: str, written: str | list[str]) -> Source:
    if isinstance(written, str):
        return _path(name, written)
    paths = dict.fromkeys(_path(name, path) for path in written)
    return FirstOf(tuple(paths)) if len(paths) > 1 else next(iter(paths))


def _path(name: str, text: str) -> AttributePath:
    if text.startswith(jmes_path.PREFIX):
        return jmes_path.JmesPath.parse(text)
    return _single(name, AttributePath.parse(text))


def _single(name: str, path: AttributePath) -> AttributePath:
    if path.leads_to_many and name != "groups":
        raise ValueError(
            f"{name} is one value, and {shown(path.text)} leads to a list: write a path without [*] and keys(), like "
            "emails[0].value"
        )
    return path


def auth_params(text: str, _base: Path) -> Mapping[str, str]:
    """Return further parameters of the authorization request, from JSON."""
    if not text:
        return MappingProxyType({})
    example = '{"hd": "example.com"}'
    written = _json_object(text, example=example)
    if wrong := [problem for name, value in written.items() if (problem := _param_problem(name, value))]:
        raise ItemsError(wrong)
    return MappingProxyType(written)


def _param_problem(name: str, value: Any) -> str:
    if not isinstance(value, str):
        example = '{"hd": "example.com"}'
        return f"the value of {shown(name)} is not a string: write it in double quotes, like {example}"
    if name in _SET_PARAMS:
        return f"{name} cannot be set here: the setting {_SET_PARAMS[name]} decides it"
    if name in _FRESH_PARAMS:
        return f"{name} cannot be set here: it is made anew for each sign-in"
    if not name or contains_control(name) or contains_control(value):
        return "a name is empty, or it or its value contains control characters"
    return ""


def _json_object(text: str, *, example: str) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in items]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise _DuplicateNameError(f"{shown(twice)} is written twice: keep one")
        return dict(items)

    if not text:
        raise ValueError(
            f"nothing is written here: leave the line out, or write a JSON object like {example}"
        )
    try:
        members = json.loads(text, object_pairs_hook=pairs)
    except _DuplicateNameError:
        raise
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(
            f"it is not valid JSON ({error.msg}, {where}): write an object like {example}"
        ) from None
    except RecursionError:
        raise ValueError(f"it is nested too deeply: write an object like {example}") from None
    if not isinstance(members, dict):
        raise ValueError(f"it is {json_type(members)}, not an object: write it like {example}")
    return members


class _DuplicateNameError(ValueError):
    """A JSON object has two members of one name, of which ``json`` would keep the last."""
