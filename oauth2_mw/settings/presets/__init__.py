"""Presets: default keys for known providers, in an INI file each.

A file has the section ``[provider]`` with the keys of a provider and six more: ``public``, the issuers that anyone on
earth can join; ``quirk``, a named strategy for what data cannot express; ``dialect``, for a provider that speaks OAuth
2.0 with words of its own; ``usernames``, whether they are one person's alone (``unique``) or not (``shared``);
``refuses = pkce`` for a provider that answers PKCE with an error, or knows none; ``accounts = select`` for one that
lets the person choose an account (``prompt=select_account``); and ``groups_scope``, what is asked for beside ``scope``
where a setting reads the claim ``groups``. It may have ``[example]``: examples of keys that every user must write. The
comment at its top says where to register a client, what to set there, and what the provider's tokens look like, under
the labels of :data:`NOTES`.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast, get_args

from oauth2_mw.settings.text import did_you_mean, shown, split_words

_SUFFIX = ".ini"
#: The strategies of ``provider/quirks.py`` for what data cannot express.
QuirkName = Literal["adfs", "apple", "discord", "entra", "github", "hydra", "lemonldap", "ok-flag", "okta"]
_QUIRKS = get_args(QuirkName)
#: The strategies of ``provider/dialects`` for providers that speak OAuth 2.0 with words of their own.
DialectName = Literal["dingtalk", "feishu", "wechat", "wecom"]
_DIALECTS = get_args(DialectName)
#: The labels of the comment at the top of a preset, each followed by a colon.
NOTES = ("Register", "Set there", "Token", "Documentation")


_USERNAMES = MappingProxyType({"unique": True, "shared": False, "": None})


@dataclass(frozen=True, slots=True)
class Preset:
    """The content of a preset file."""

    name: str
    #: the folder from which relative paths in it are looked up
    base: Path
    values: Mapping[str, str]
    examples: Mapping[str, str]
    #: the comment at the top of the file, by its labels
    notes: Mapping[str, str]
    #: issuers (or origins of token endpoints) that anyone on earth can join
    public: tuple[str, ...]
    quirk: QuirkName | None
    #: ``None`` for one that speaks as the specifications do
    dialect: DialectName | None
    #: whether the provider promises that its username is one person's alone, or does not (``None``: nobody has said)
    unique_usernames: bool | None
    #: whether the provider answers PKCE with an error, or knows none: ``pkce = off`` is not the operator's choice then
    refuses_pkce: bool
    #: whether it takes ``prompt=select_account``
    selects_account: bool
    #: what is asked for in addition where a setting reads the claim ``groups``, or an empty text
    groups_scope: str


def names() -> tuple[str, ...]:
    """Return the names of the built-in presets."""
    file_names = (entry.name for entry in files(__name__).iterdir() if entry.name.endswith(_SUFFIX))
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in file_names))


def read(name: str, base: Path) -> Preset:
    """Read a preset.

    :param name: of a built-in one, or the path of a file (with a ``/``, or ending in ``.ini``), relative to *base*.
    :raises ValueError: if it does not exist, or is not valid.
    """
    if "/" in name or name.endswith(_SUFFIX):
        path = base / name
        try:
            return _parse(path.read_text(encoding="utf-8-sig"), name, path.parent)
        except OSError as error:
            raise ValueError(f"the preset {shown(name)} cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise ValueError(f"the preset {shown(name)} is not UTF-8: save it as UTF-8") from None
    built_in = names()
    if name not in built_in:
        hint = did_you_mean(name, built_in) or f": there are {' '.join(built_in)}"
        raise ValueError(f"there is no preset {shown(name)}{hint}")
    return _parse((files(__name__) / f"{name}{_SUFFIX}").read_text(encoding="utf-8"), name, base)


def _parse(text: str, name: str, base: Path) -> Preset:
    parser = configparser.ConfigParser(
        delimiters=("=",), interpolation=None, strict=True, default_section="\x00default"
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keeps case
    try:
        parser.read_string(text, source=name)
    except configparser.Error as error:
        raise ValueError(f"the preset cannot be read: {' '.join(error.message.split())}") from None
    others = set(parser.sections()) - {"provider", "example"}
    if others or not parser.has_section("provider"):
        raise ValueError(
            f"the preset {shown(name)} has the sections [provider] and, if need be, [example] alone"
        )
    values = dict(parser["provider"])
    public = tuple(split_words(values.pop("public", "")))
    quirk = values.pop("quirk", "").strip()
    if quirk and quirk not in _QUIRKS:
        raise ValueError(f"the preset names the quirk {shown(quirk)}; there are {', '.join(_QUIRKS)}")
    dialect = values.pop("dialect", "").strip()
    if dialect and dialect not in _DIALECTS:
        raise ValueError(f"the preset names the dialect {shown(dialect)}; there are {', '.join(_DIALECTS)}")
    usernames = values.pop("usernames", "").strip()
    if usernames not in _USERNAMES:
        raise ValueError("usernames in a preset is unique or shared")
    refuses = values.pop("refuses", "").strip()
    if refuses not in ("", "pkce"):
        raise ValueError("refuses in a preset is pkce, or left out")
    accounts = values.pop("accounts", "").strip()
    if accounts not in ("", "select"):
        raise ValueError("accounts in a preset is select, or left out")
    groups_scope = values.pop("groups_scope", "").strip()
    examples = dict(parser["example"]) if parser.has_section("example") else {}
    return Preset(
        name=name,
        base=base,
        values=MappingProxyType(values),
        examples=MappingProxyType(examples),
        notes=MappingProxyType(_read_notes(text)),
        public=public,
        quirk=cast(QuirkName, quirk) if quirk else None,
        dialect=cast(DialectName, dialect) if dialect else None,
        unique_usernames=_USERNAMES[usernames],
        refuses_pkce=refuses == "pkce",
        selects_account=accounts == "select",
        groups_scope=groups_scope,
    )


def _read_notes(text: str) -> dict[str, str]:
    notes: dict[str, list[str]] = {}
    lines: list[str] = []
    for comment in takewhile(lambda line: line.startswith("#"), text.splitlines()):
        line = comment.removeprefix("#").strip()
        label, _, rest = line.partition(":")
        if label in NOTES:
            lines = notes[label] = [rest.strip()] if rest else []
        else:
            lines.append(line)
    return {label: " ".join(lines) for label, lines in notes.items()}
