"""INI files: UTF-8, case kept, ``=`` the only delimiter, no interpolation, and nothing twice.

What configparser would refuse at the first fault, or join in silence, is told line by line, all of it at once.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

from oauth2_mw.settings import other_products
from oauth2_mw.settings.document import (
    MAIN,
    PROVIDER_PREFIX,
    SECTIONS,
    Document,
    RawValue,
    similar_section,
)
from oauth2_mw.settings.fields import ACCESS, GLOBAL, PROVIDER

#: Prefix for a name that was already there; no file can hold it.
_DUPLICATE = "\x00"
_HEADER = re.compile(r"\[([^\]]+)\]")
#: the beginning of a line that sets a key
_KEY = re.compile(r"([a-z_]+)\s*=\s*(.*)", re.DOTALL)
_KNOWN = frozenset({*GLOBAL, *PROVIDER, *ACCESS})


def read_ini(path: Path, *, has_others: bool = False) -> Document:
    """Read an INI file: case kept, ``=`` the only delimiter, no interpolation, nothing twice.

    :param has_others: whether the file is PasteDeploy's, with sections beside ours that are none of our business.
    """
    document = Document()
    try:
        octets = path.read_bytes()
    except OSError as error:
        cure = (
            "name an INI file"
            if isinstance(error, (FileNotFoundError, IsADirectoryError))
            else "let this user read it"
        )
        document.add_problem(MAIN, "", f"the file cannot be read: {error.strerror or error}: {cure}")
        return document
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = octets.count(b"\n", 0, error.start) + 1
        document.add_problem(MAIN, "", f"the file is not UTF-8 (line {number}): save it as UTF-8")
        return document
    if "\x00" in text:
        document.add_problem(MAIN, "", "there are NUL characters in the file: save it as UTF-8 text")
        return document
    parser = _parse(_without_others(text) if has_others else text, document)
    for name in parser.sections():
        if name.startswith(_DUPLICATE) or not document.add_section(name, parser.options(name)):
            continue
        for key, value in parser.items(name):
            if key.startswith(_DUPLICATE):
                continue
            for each, text in _indented(document, name, key, value):
                document.section(name).setdefault(each, RawValue(text, path.parent))
    return document


def _without_others(text: str) -> str:
    """Return *text* with empty lines for the sections that do not even look like ours."""
    kept = []
    is_other = False
    for line in text.splitlines():
        if header := _HEADER.match(line):
            name = header[1]
            is_ours = name in SECTIONS or name.lower().replace(" ", "").startswith(PROVIDER_PREFIX)
            is_other = not is_ours and (name == "DEFAULT" or not similar_section(name))
        kept.append("" if is_other else line)
    return "\n".join(kept)


def _parse(text: str, document: Document) -> configparser.ConfigParser:
    """Parse *text*; what is written twice is reported and renamed, so that one run finds all problems."""
    lines = text.replace("\r\n", "\n").split("\n")
    #: lines that were put before the first
    added = 0
    while True:
        parser = configparser.ConfigParser(
            delimiters=("=",), interpolation=None, strict=True, default_section=_DUPLICATE + "default"
        )
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # keeps case
        try:
            parser.read_string("\n".join(lines))
        except configparser.DuplicateOptionError as error:
            number = error.lineno or 1
            document.add_problem(
                error.section, error.option, f"is written twice (line {number - added}): keep one of them"
            )
            lines[number - 1] = f"{_DUPLICATE}{number} ={lines[number - 1].partition('=')[2]}"
        except configparser.DuplicateSectionError as error:
            number = error.lineno or 1
            document.add_problem(
                error.section,
                "",
                f"the section begins twice (line {number - added}): write its keys together",
            )
            lines[number - 1] = f"[{_DUPLICATE}{number}]"
        except configparser.MissingSectionHeaderError as error:
            document.add_problem(MAIN, "", f"line {error.lineno} is before any section: begin with [{MAIN}]")
            if not _is_of_others(lines):
                return configparser.ConfigParser()
            lines.insert(0, f"[{MAIN}]")
            added = 1
        except configparser.ParsingError as error:
            for number, _ in error.errors:
                section, key, cure = _broken_line(lines, number)
                document.add_meant(section, key)
                document.add_problem(
                    section, "", f"line {number - added} is neither a section nor a key: write {cure}"
                )
            return parser
        else:
            return parser


def _is_of_others(lines: list[str]) -> bool:
    """Return whether lines without any section are the file of another product, whose words can be told by ours."""
    words = {re.split(r"[\s:=]", line.strip(), maxsplit=1)[0] for line in lines}
    return not any(map(_HEADER.match, lines)) and any(
        other_products.equivalent(word, _KNOWN) for word in words - _KNOWN
    )


def _indented(document: Document, section: str, key: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield a key and its value, and those of further keys that blanks at the beginning of a line have joined to it."""
    kept: list[str] = []
    for number, line in enumerate(value.split("\n")):
        found = _KEY.match(line) if number else None
        if found is None or found[1] not in _KNOWN:
            kept.append(line)
            continue
        yield key, "\n".join(kept)
        document.add_problem(
            section,
            found[1],
            f"blanks are before it, so that it goes on with the value of {key}: begin the line at its left edge",
        )
        key, kept = found[1], [found[2]]
    yield key, "\n".join(kept)


def _broken_line(lines: list[str], number: int) -> tuple[str, str, str]:
    """Return the section of a line that is no key, the key that seems to be meant, and what to write instead."""
    headers = (_HEADER.match(line) for line in reversed(lines[: number - 1]))
    section = next((header[1] for header in headers if header), MAIN)
    word = re.split(r"[\s:]", lines[number - 1].strip(), maxsplit=1)[0]
    if section not in SECTIONS and not section.startswith(PROVIDER_PREFIX):
        section = MAIN
    if word in _KNOWN:
        return (
            section,
            word,
            f"key = value, = in the place of {':' if ':' in lines[number - 1] else 'a blank'}",
        )
    if (found := other_products.equivalent(word, _KNOWN)) is not None:
        return section, found.key, f"key = value; {found}"
    cure = ", = in the place of :" if ":" in lines[number - 1] else ""
    return section, "", f"key = value{cure}"
