"""What is known about providers: one INI file each, data and no code. Keys that somebody writes win over it.

A file has the section ``[provider]`` with the keys of a provider and two more, ``public`` (the issuers whose users
are anyone on earth) and ``quirk`` (a named strategy for what data cannot express), and may have ``[example]``: for
a key that every user must write, what it looks like.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast, get_args

from oauth2_mw.settings.text import did_you_mean, shown

_SUFFIX = ".ini"
#: The strategies of ``provider/quirks.py`` for what data cannot express.
QuirkName = Literal["github", "ok-flag", "unwrap-data"]
_QUIRKS = get_args(QuirkName)


@dataclass(frozen=True, slots=True)
class Preset:
    """The content of one file."""

    name: str
    #: the folder from which relative paths in it are looked up
    base: Path
    values: Mapping[str, str]
    examples: Mapping[str, str]
    #: issuers (or origins of token endpoints) that anyone on earth can join
    public: tuple[str, ...]
    quirk: QuirkName | None


def names() -> tuple[str, ...]:
    """The built-in presets."""
    found = (entry.name for entry in files(__name__).iterdir() if entry.name.endswith(_SUFFIX))
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in found))


def read(name: str, base: Path) -> Preset:
    """Read a preset.

    :param name: of a built-in one, or the path of a file (with a ``/``, or ending in ``.ini``), relative to *base*.
    :raises ValueError: when there is none of that name, or the file is none.
    """
    if "/" in name or name.endswith(_SUFFIX):
        path = base / name
        try:
            return _parse(path.read_text(encoding="utf-8-sig"), name, path.parent)
        except OSError as error:
            raise ValueError(f"the preset {shown(name)} cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise ValueError(f"the preset {shown(name)} is not UTF-8: save it as UTF-8") from None
    known = names()
    if name not in known:
        hint = did_you_mean(name, known) or f": there are {' '.join(known)}"
        raise ValueError(f"there is no preset {shown(name)}{hint}")
    return _parse((files(__name__) / f"{name}{_SUFFIX}").read_text(encoding="utf-8"), name, base)


def _parse(text: str, name: str, base: Path) -> Preset:
    parser = configparser.ConfigParser(
        delimiters=("=",), interpolation=None, strict=True, default_section="\x00default"
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
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
    public = tuple(values.pop("public", "").split())
    quirk = values.pop("quirk", "").strip()
    if quirk and quirk not in _QUIRKS:
        raise ValueError(f"the preset names the quirk {shown(quirk)}; there are {', '.join(_QUIRKS)}")
    examples = dict(parser["example"]) if parser.has_section("example") else {}
    return Preset(
        name=name,
        base=base,
        values=MappingProxyType(values),
        examples=MappingProxyType(examples),
        public=public,
        quirk=cast(QuirkName, quirk) if quirk else None,
    )
