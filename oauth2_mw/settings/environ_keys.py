"""The section ``[environ]``: keys of the WSGI environ that an application can read, and their sources."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from oauth2_mw.boundary import normalised_key
from oauth2_mw.errors import Problem
from oauth2_mw.settings.document import Document
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.text import did_you_mean, shown

#: The fields of an identity that a key may hold; ``claims`` only by path.
IDENTITY_SOURCES = tuple(
    "id provider issuer subject username name email phone comment groups organizations acr auth_time".split()
)
#: The tokens that a key may hold, and their names in ``keep_tokens``.
TOKEN_SOURCES: Mapping[str, str] = MappingProxyType({"access_token": "access", "id_token": "id"})
_TARGET = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_ALWAYS_OURS = {"REMOTE_USER", "AUTH_TYPE"}
#: Keys of servers (PEP 3333; RFC 3875, section 4.1), normalised: as targets they would be scrubbed.
_CGI = re.compile(
    r"CONTENT_(?:LENGTH|TYPE)|DOCUMENT_(?:ROOT|URI)|GATEWAY_INTERFACE|HTTPS|PATH_(?:INFO|TRANSLATED)|QUERY_STRING"
    r"|RAW_URI|REMOTE_(?:ADDR|HOST|IDENT|PORT)|REQUEST_[A-Z]+|SCRIPT_(?:FILENAME|NAME|URI|URL)|SERVER_[A-Z]+"
)
_OPTION = re.compile(r"(encoding|separator):(.*)")
_SEPARATOR = re.compile(r"[!-$&-/:-@\[-`{-~]")
_RESERVED = tuple("WSGI_ WSGIORG_ OAUTH2_MW_ UWSGI_ GUNICORN_ WAITRESS_ MOD_WSGI_ PASTE_ WERKZEUG_".split())
_HEADERS = ("HTTP_X_", "HTTP_REMOTE_")


#: Sources by which applications tell people or groups apart: without their accents two would be one.
_TELLING_APART = frozenset("id issuer subject username email groups organizations".split())


@dataclass(frozen=True, slots=True)
class EnvironForm:
    """How a value becomes the text of an environ key."""

    encoding: Literal["utf-8", "ascii", "percent"] = "utf-8"
    #: what stands between the items of a list, which are then not percent-encoded; ``None``: a comma, and they are
    separator: str | None = None


#: The form of a key for which the section names none.
PLAIN = EnvironForm()


def read(
    document: Document, keep_tokens: Collection[str]
) -> tuple[Mapping[str, str], Mapping[str, EnvironForm]]:
    """Return the checked section: target -> source, and target -> form where one is written.

    Problems go to the document.
    """
    outputs: dict[str, str] = {}
    forms: dict[str, EnvironForm] = {}
    seen: dict[str, str] = {}
    for target, written in document.sections.get("environ", {}).items():
        try:
            _check_target(target)
            name = normalised_key(target)
            if name in seen:
                raise ValueError(
                    f"cannot be told from {seen[name]}: servers and applications mix such names up"
                )
            seen[name] = target
            source, form = _parse(written.text)
            _check_source(source, keep_tokens)
            if form.encoding == "ascii" and source in _TELLING_APART:
                raise ValueError(
                    f"encoding:ascii could make one {source} of two: write encoding:percent (for the username itself "
                    "there is username_transform)"
                )
        except ValueError as error:
            document.problems.append(Problem("environ", target, str(error)))
        else:
            outputs[target] = source
            if form != PLAIN:
                forms[target] = form
    return MappingProxyType(outputs), MappingProxyType(forms)


def _parse(text: str) -> tuple[str, EnvironForm]:
    """Return source and form of ``groups separator:| encoding:percent``."""
    words = text.split()
    form = PLAIN
    seen: set[str] = set()
    while words and (option := _OPTION.fullmatch(words[-1])):
        name, value = option.groups()
        if name in seen:
            raise ValueError(f"{name}: is written twice: keep one of them")
        seen.add(name)
        if name == "encoding":
            form = replace(form, encoding=_encoding(value))
        elif _SEPARATOR.fullmatch(value):
            form = replace(form, separator=value)
        else:
            raise ValueError("separator: takes one punctuation mark, like separator:| (and not %)")
        words.pop()
    # A path may hold blanks between quotes.
    for _ in seen:
        text = text.rstrip().rpartition(" ")[0]
    return text.strip(), form


def _encoding(value: str) -> Literal["utf-8", "ascii", "percent"]:
    match value:
        case "utf-8" | "ascii" | "percent":
            return value
    raise ValueError("encoding: takes utf-8, ascii or percent")


def claim_paths(environ: Mapping[str, str]) -> tuple[AttributePath, ...]:
    """Return the paths of the claims that the section hands to the application."""
    paths = (source.partition("claims.") for source in environ.values())
    return tuple(AttributePath.parse(path) for before, mark, path in paths if mark and not before)


def _check_target(target: str) -> None:
    name = normalised_key(target)
    if _TARGET.fullmatch(target) is None:
        raise ValueError(
            "is not a valid name for an environ key: write letters, digits and _, like REMOTE_EMAIL"
        )
    if name in _ALWAYS_OURS:
        raise ValueError("is always set by itself: leave it out")
    if _CGI.fullmatch(name) or name.startswith(_RESERVED):
        raise ValueError("belongs to the server or to us: write a name of your own, like REMOTE_EMAIL")
    if name in ("HTTP_X", "HTTP_REMOTE"):
        raise ValueError("is only the beginning of a name: write one like HTTP_X_REMOTE_USER")
    if name == "HTTP" or (name.startswith("HTTP_") and not name.startswith(_HEADERS)):
        raise ValueError(
            "is a request header that means something else: begin it with HTTP_X_ or HTTP_REMOTE_"
        )


def _check_source(source: str, keep_tokens: Collection[str]) -> None:
    if source in IDENTITY_SOURCES:
        return
    if source in TOKEN_SOURCES:
        kind = TOKEN_SOURCES[source]
        if kind not in keep_tokens:
            raise ValueError(f"{source} is not kept: add {kind} to keep_tokens in [oauth2_mw]")
        return
    if source.startswith("claims."):
        AttributePath.parse(source.removeprefix("claims."))
        return
    if source == "claims":
        raise ValueError("all claims do not fit in a text: write claims.PATH, like claims.email")
    sources = (*IDENTITY_SOURCES, *TOKEN_SOURCES, "claims.PATH")
    hint = did_you_mean(source, sources) or f": there are {', '.join(sources)}"
    raise ValueError(f"{shown(source)} is not a known source{hint}")
