"""The configuration files of oauth2-proxy and mod_auth_openidc, as far as they can be read."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oauth2_mw.cli.terminal import CommandError

Product = Literal["oauth2-proxy", "mod_auth_openidc"]

_DIRECTIVE = re.compile(
    r"^\s*(?:OIDC[A-Z]\w*\s|AuthType\s+(?:openid-connect|oauth20)\b)", re.IGNORECASE | re.MULTILINE
)
_VARIABLE = re.compile(r"^\s*(?:export\s+)?OAUTH2_PROXY_(\w+)=(.*)$", re.MULTILINE)
#: variables with commas between their items
_LISTS = frozenset(
    (
        "email_domain allowed_group allowed_role gitlab_group github_user google_group skip_auth_route "
        "skip_auth_regex oidc_extra_audience"
    ).split()
)
#: Apache's sections that say nothing of which requests are meant
_TRANSPARENT = frozenset("virtualhost ifmodule ifdefine ifversion iffile ifdirective ifsection macro".split())


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting of another product, as it is written there."""

    name: str
    values: tuple[str, ...]
    #: the path of the ``<Location>`` around it, ``~`` and any other section of Apache's, or an empty text
    location: str = ""


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """What a file says, in its order."""

    product: Product
    entries: tuple[Entry, ...]


def read_foreign(path: Path) -> ForeignFile:
    """Read a file of one of the two products; which one, its content says.

    :raises CommandError: if it is neither's, or cannot be read.
    :raises OSError: if it is not there.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not UTF-8: save it as UTF-8") from None
    if _DIRECTIVE.search(text):
        return ForeignFile("mod_auth_openidc", tuple(_directives(path, text)))
    if _VARIABLE.search(text):
        return ForeignFile("oauth2-proxy", tuple(_variables(path, text)))
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CommandError(
            f"{path} is neither a configuration of oauth2-proxy (TOML, or OAUTH2_PROXY_... variables; its YAML is not "
            f"read) nor one of mod_auth_openidc (OIDC... directives): as TOML it fails: {error}"
        ) from None
    except (ValueError, RecursionError):
        # Python reads no number of more than 4300 digits, and no depth.
        raise CommandError(f"{path} holds a number that is too long, or is nested too deeply") from None
    entries = tuple(
        Entry(key.replace("-", "_").lower(), tuple(_texts(value))) for key, value in written.items()
    )
    if not entries:
        raise CommandError(f"{path} holds no setting of oauth2-proxy or mod_auth_openidc")
    return ForeignFile("oauth2-proxy", entries)


def _texts(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list) else (value,):
        yield str(item).lower() if isinstance(item, bool) else str(item)


def _variables(path: Path, text: str) -> Iterator[Entry]:
    for found in _VARIABLE.finditer(text):
        name, value = found[1].lower(), " ".join(_words(path, found[2]))
        parts = value.split(",") if name.removesuffix("s") in _LISTS else [value]
        yield Entry(name, tuple(part.strip() for part in parts if part.strip()))


def _directives(path: Path, text: str) -> Iterator[Entry]:
    within = [""]
    for line in re.sub(r"\\\n", " ", text).splitlines():
        stripped = line.strip()
        if opened := re.match(r"<(\w+)\s*(.*?)>?$", stripped):
            name, what = opened[1], opened[2].strip()
            if name.lower().startswith("require"):
                yield Entry(name, (), within[-1])
            elif name.lower() in _TRANSPARENT:
                within.append(within[-1])
            elif name.lower() == "location" and not what.startswith("~"):
                within.append(" ".join(_words(path, what)))
            else:
                within.append(f"~ {name} {what}")
        elif closed := re.match(r"</(\w+)", stripped):
            if not closed[1].lower().startswith("require") and len(within) > 1:
                within.pop()
        elif stripped and not stripped.startswith(("#", "<")):
            name, *values = _words(path, stripped)
            yield Entry(name, tuple(values), within[-1])


def _words(path: Path, line: str) -> Sequence[str]:
    """Return the words of a line, quotes taken off."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.escape = ""
    try:
        return list(lexer)
    except ValueError:
        # The line itself may hold a secret.
        raise CommandError(
            f"{path}: a quote is opened and not closed in the line of {line.split()[0]}"
        ) from None
