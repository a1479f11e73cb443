"""The section of a PasteDeploy file that stands for us, read as PasteDeploy reads it, without PasteDeploy.

``app.ini#sso`` names it for commands; a server hands its keys over, and only its name has to be found.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from oauth2_mw.errors import ConfigError, Problem
from oauth2_mw.settings.document import MAIN
from oauth2_mw.settings.text import did_you_mean, shown

_KINDS = ("filter", "filter-app")
#: What PasteDeploy takes from a section for itself.
_OF_PASTEDEPLOY = ("use", "require", "next", "filter-with", "here", "__file__")
_ENTRY = "paste."
#: How a section says that it is ours: ``egg:`` in any spelling of a distribution's name, or a callable of ours.
_is_ours = re.compile(r"egg:oauth2[-_.]+mw(?:#.*)?|(?:call:)?oauth2_mw\.paste:.*", re.IGNORECASE).fullmatch
#: What stands behind ``#`` in ``egg:oauth2-mw#oauth2``, if anything does.
_ENTRY_POINTS = ("", "main", "oauth2", "oauth2_mw")
#: More than any file needs of sections that use another one.
_MAX_USES = 8


@dataclass(frozen=True, slots=True)
class Filter:
    """The keys of one section, as PasteDeploy hands them over."""

    path: Path
    #: as it stands in the file: ``filter:sso``
    section: str
    global_conf: Mapping[str, str] = field(default_factory=dict)
    local_conf: Mapping[str, str] = field(default_factory=dict)


def split_name(path: Path) -> tuple[Path, str] | None:
    """Return file and section of ``app.ini#sso``, or ``None`` for a path alone."""
    file, mark, name = str(path).rpartition("#")
    return (Path(file), name.strip()) if mark and file and not path.exists() else None


def read_filter(path: Path, name: str) -> Filter:
    """Return the section *name*, ``sso`` or ``filter:sso``, of a PasteDeploy file.

    :raises ConfigError: if there is none, it belongs to another package, or the file cannot be read.
    """
    found = _read(path, name, uses=0)
    entries = {key: text for key, text in found.local_conf.items() if key == "use" or key.startswith(_ENTRY)}
    if not any(map(_is_ours, entries.values())):
        uses = f"it uses {shown(next(iter(entries.values())))}" if entries else "it says nowhere what it uses"
        raise _error(path, found.section, f"this section is not ours: {uses}; ours has use = egg:oauth2-mw")
    for key, text in entries.items():
        if _is_ours(text) and not _can_be_loaded(key, text):
            raise _error(
                path,
                found.section,
                f"{key} = {text}: PasteDeploy finds no filter there; write use = egg:oauth2-mw",
            )
    keys = {
        key: text
        for key, text in found.local_conf.items()
        if key not in _OF_PASTEDEPLOY and not key.startswith(_ENTRY)
    }
    return replace(found, local_conf=keys)


def section_of(path: str | None, local_conf: Mapping[str, str]) -> str:
    """Return the name of the section with these keys, as messages write it: ``filter:sso``, or ``filter``.

    :param path: the file, if PasteDeploy said which it is.
    """
    if path is not None:
        for name in our_filters(Path(path)):
            try:
                found = read_filter(Path(path), name)
            except ConfigError:
                continue
            if dict(found.local_conf) == dict(local_conf):
                return found.section
    return "filter"


def our_filters(path: Path) -> list[str]:
    """Return the sections of a file that use this package, or one that does; none if it cannot be read."""
    try:
        parser = parse(path)
    except ConfigError:
        return []
    sections = [section for section in parser.sections() if section.partition(":")[0] in _KINDS]
    texts = {section: [text for _, text in parser.items(section, raw=True)] for section in sections}
    ours = {section for section in sections if any(map(_is_ours, texts[section]))}
    for _ in range(_MAX_USES):
        names = {_short(section) for section in ours}
        ours |= {
            section for section in sections if parser.get(section, "use", raw=True, fallback="") in names
        }
    return [section for section in sections if section in ours]


def other_filters(found: Filter) -> Iterator[Filter]:
    """Yield the other sections of ours in a section's file that an application of the file names."""
    path = Path(found.global_conf.get("__file__", found.path))
    others = [section for section in our_filters(path) if section != found.section]
    if not others:
        return
    parser = parse(path)
    named = {
        word
        for section in parser.sections()
        for key, text in parser.items(section, raw=True)
        if key != "use"
        for word in text.split()
    }
    for section in others:
        if _short(section) in named:
            try:
                yield read_filter(path, section)
            except ConfigError:
                # Whoever builds it is told.
                continue


def in_words_of(section: str, problems: Iterable[Problem]) -> list[Problem]:
    """Return *problems* as they are called in a section with the keys inline."""
    return [_in_words_of(section, problem) for problem in problems]


def _in_words_of(section: str, problem: Problem) -> Problem:
    text = (
        problem.text.replace("a section [provider:NAME]", "provider.NAME.KEY")
        .replace("[provider:NAME]", "provider.NAME.KEY")
        .replace(f"[{MAIN}]", f"[{section}]")
        .replace("[access] rules", "access.rules")
    )
    kind, _, name = problem.section.partition(":")
    if problem.section == MAIN:
        key = problem.key
    elif kind == "provider" and name:
        key = f"provider.{name}.{problem.key}" if problem.key else f"provider.{name}"
    elif kind in ("environ", "access"):
        key = f"{kind}.{problem.key}" if problem.key else kind
    else:
        return problem
    return Problem(section, key, text)


def _can_be_loaded(key: str, text: str) -> bool:
    """Return whether PasteDeploy makes a filter of an entry of ours."""
    if text.lower().startswith("egg:"):
        return text.partition("#")[2] in _ENTRY_POINTS
    # After call: it is the section that says of which kind the factory is.
    kind = "filter_factory" if key == "use" else key.removeprefix(_ENTRY)
    return text.rpartition(":")[2] == kind


def _read(path: Path, name: str, *, uses: int) -> Filter:
    parser = parse(path)
    section = _find(parser, path, name)
    global_conf = dict(parser.defaults())
    local_conf: dict[str, str] = {}
    wanted: dict[str, str] = {}
    try:
        for option in parser.options(section):
            word, _, rest = option.partition(" ")
            if word == "set" and rest:
                global_conf[rest.strip()] = parser.get(section, option)
            elif word == "get" and rest:
                wanted[rest.strip()] = parser.get(section, option)
            elif option not in parser.defaults():
                local_conf[option] = parser.get(section, option)
    except configparser.InterpolationError:
        raise _error(
            path, section, f"{option}: PasteDeploy interpolates here: write %% for a percent sign"
        ) from None
    for key, source in wanted.items():
        if source not in global_conf:
            raise _error(path, section, f"get {key} = {source}: there is no such key in [DEFAULT]")
        local_conf[key] = global_conf[source]
    used = local_conf.get("use", "")
    if used and not used.startswith(("egg:", "call:")):
        if uses == _MAX_USES:
            raise _error(path, section, "the sections use each other in a circle")
        file, _, inner = (
            used.removeprefix("config:").rpartition("#") if used.startswith("config:") else ("", "", used)
        )
        base = _read(path.parent / file if file else path, inner, uses=uses + 1)
        local_conf = {**base.local_conf, **{key: text for key, text in local_conf.items() if key != "use"}}
    return Filter(path, section, global_conf, local_conf)


def parse(path: Path) -> configparser.ConfigParser:
    """Return a file as PasteDeploy reads it.

    :raises ConfigError: if it cannot be read.
    """
    defaults = {"here": str(path.absolute().parent), "__file__": str(path.absolute())}
    parser = configparser.ConfigParser(defaults=defaults)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keeps case, as PasteDeploy does
    try:
        text = path.read_text(encoding="utf-8")
        if text.startswith("\ufeff"):
            raise _error(path, MAIN, "PasteDeploy cannot read a file with a byte order mark: save it without")
        parser.read_string(text, source=str(path))
    except OSError as error:
        raise _error(path, MAIN, f"the file cannot be read: {error.strerror or error}") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        lines = [number for number, _ in getattr(error, "errors", ())]
        what = (
            f"line {lines[0]} is neither a section nor a key: write key = value, and indent what continues a value"
            if lines
            else str(error).splitlines()[0]
        )
        raise _error(path, MAIN, f"PasteDeploy cannot read this file: {what}") from None
    return parser


def _find(parser: configparser.ConfigParser, path: Path, name: str) -> str:
    names = {section: _short(section) for section in parser.sections() if section.partition(":")[0] in _KINDS}
    for section, short in names.items():
        if name in (section, short):
            return section
    for section in parser.sections():
        if name in (section, _short(section)) and _is_ours(parser.get(section, "use", raw=True, fallback="")):
            raise _error(
                path,
                section,
                f"this is no filter: begin it with [filter:{_short(section)}], and name it in a pipeline",
            )
    known = ", ".join(short for short in names.values()) or "no filter at all"
    hint = did_you_mean(name, names.values()) or f": there is {known}"
    raise _error(path, f"filter:{name}", f"there is no such section{hint}")


def _short(section: str) -> str:
    return section.partition(":")[2].strip()


def _error(path: Path, section: str, text: str) -> ConfigError:
    return ConfigError([Problem(section, "", text)], source=str(path))
