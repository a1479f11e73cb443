"""The text of the settings, not yet converted: sections and keys of an INI file, a mapping or a PasteDeploy section.

INI files are read by :mod:`~oauth2_mw.settings.ini_file`.

The environment is merged into the same :class:`Document`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oauth2_mw.errors import Problem
from oauth2_mw.settings import other_products
from oauth2_mw.settings.fields import ACCESS, GLOBAL, PROVIDER
from oauth2_mw.settings.text import did_you_mean, shown

MAIN = "oauth2_mw"
PROVIDER_PREFIX = "provider:"
SECTIONS = (MAIN, "environ", "access")
_SECTION_NAMES = (*SECTIONS, "provider:NAME")
#: The section that problems of environment variables are reported under.
ENVIRONMENT = "environment"
_VARIABLE_PREFIX = "OAUTH2_MW_"
#: Problems after which nobody is told what an unknown key may have been meant to be.
_MOST_GUESSES = 100
#: What Kubernetes sets in every container for a Service whose name begins with ``oauth2-mw``, those of Docker links
#: included. No setting ends so.
_SERVICE_VARIABLE = re.compile(
    r"OAUTH2_MW_(?:[A-Z0-9_]+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
#: The settings that are written as JSON; in a mapping their values may be mappings.
_JSON_KEYS = ("attribute_map", "auth_params")
#: The setting of which a list has a line an item.
_LINES = "rules"


@dataclass(frozen=True, slots=True)
class RawValue:
    """The text of one key, and its origin."""

    text: str
    #: the folder from which relative paths in it are looked up
    base: Path
    #: for messages, if it was not written in the section itself: ``the environment variable X``
    origin: str = ""


@dataclass(slots=True)
class Document:
    """Sections in the order in which they are written, and the problems found so far."""

    sections: dict[str, dict[str, RawValue]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    #: section -> the keys for which something is written that cannot be read: that they are missing follows from that,
    #: and is no problem of its own
    meant: dict[str, set[str]] = field(default_factory=dict)

    def section(self, name: str) -> dict[str, RawValue]:
        """Return the keys of a section, which is added if it is missing."""
        return self.sections.setdefault(name, {})

    def add_problem(self, section: str, key: str, text: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(section, key, text))

    def add_meant(self, section: str, *keys: str) -> None:
        """Note that something was meant for these keys, and could not be read."""
        self.meant.setdefault(section, set()).update(keys)

    def add_unknown(self, section: str, key: str, known: Collection[str]) -> None:
        """Note a key that no setting has, and what it is called here if that can be told."""
        ours = {*GLOBAL, *PROVIDER, *ACCESS}
        if (found := other_products.equivalent(key, ours)) is not None:
            hint = f": {found}" if found.key in ("", *known) else f": {found}, in [{_section_of(found.key)}]"
            self.add_meant(section if found.key in known else _section_of(found.key), found.key)
        else:
            # Nobody reads so many guesses, and each compares the key with all names.
            hint = did_you_mean(key, known) if len(self.problems) < _MOST_GUESSES else ""
            self.add_meant(section, *(name for name in known if hint == f"; did you mean {name}?"))
        self.add_problem(section, key, f"unknown key{hint}")

    def add_section(self, name: str, keys: Iterable[str] = ()) -> bool:
        """Add a section, and return whether it is a known one; an unknown one is a problem.

        :param keys: those that are written in it, which are missing elsewhere if it is not known.
        """
        if name in SECTIONS or name.startswith(PROVIDER_PREFIX):
            self.section(name)
            return True
        self.add_meant(MAIN, *keys)
        hint = similar_section(name)
        if name == "DEFAULT":
            hint = (
                f": no key is handed on from it to other sections, write each in [{MAIN}] or where it belongs"
            )
        elif name.lower().replace(" ", "").startswith(PROVIDER_PREFIX):
            hint = "; did you mean provider:NAME, in lower case and without spaces?"
        self.add_problem(name, "", f"unknown section{hint or ': there are ' + ', '.join(_SECTION_NAMES)}")
        return False


def _section_of(key: str) -> str:
    return "access" if key in ACCESS else MAIN if key in GLOBAL else "provider:NAME"


def similar_section(name: str) -> str:
    """Return ``; did you mean X?`` if one of our sections looks like *name*, or an empty text."""
    return did_you_mean(name.partition(":")[0].strip() if ":" in name else name, _SECTION_NAMES)


def read_mapping(mapping: Mapping[Any, Any], base: Path) -> Document:
    """Read a mapping; sections are nested mappings, values may be more than text."""
    document = Document()
    for name, value in mapping.items():
        if not isinstance(name, str):
            document.add_problem(MAIN, "", f"the name {shown(repr(name))} is not a string")
        elif name in SECTIONS or name.startswith(PROVIDER_PREFIX):
            if isinstance(value, Mapping):
                document.add_section(name)
                for key, item in value.items():
                    _put(document, name, key, item, base)
            else:
                document.add_problem(name, "", "a section is a mapping of its keys")
        elif isinstance(value, Mapping) and name not in PROVIDER:
            document.add_section(name, map(str, value))
        else:
            _put(document, MAIN, name, value, base)
    return document


def _put(document: Document, section: str, key: object, value: Any, base: Path) -> None:
    if not isinstance(key, str):
        document.add_problem(section, "", f"the key {shown(repr(key))} is not a string")
        return
    if key in document.section(section):
        document.add_problem(section, key, "is written twice: keep one of them")
        return
    if value is None:
        return
    try:
        document.section(section)[key] = RawValue(_as_text(key, value), base)
    except (TypeError, ValueError, RecursionError):
        document.add_problem(section, key, f"a {type(value).__name__} is not allowed here: write it as text")


def _as_text(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Path)):
        return str(value)
    if isinstance(value, Mapping) and key in _JSON_KEYS:
        return json.dumps(dict(value), ensure_ascii=False)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        if key == _LINES:
            # An empty line ends a rule, so that none of them goes on in the next.
            return "\n\n".join(value)
        return " ".join(_as_word(key, item) for item in value)
    raise TypeError


def _as_word(key: str, item: str) -> str:
    """Return an item of a list as a word, in quotes if it holds white space; one of ``allow`` may be several terms."""
    is_joined = key == "allow" and re.search(r"\sand\s", item) is not None
    return item if is_joined or '"' in item or not re.search(r"\s", item) else f'"{item}"'


def read_inline(conf: Mapping[str, str], base: Path) -> Document:
    """Read the keys of a PasteDeploy section: ``client_id``, ``provider.corp.client_id``, ``environ.REMOTE_EMAIL``."""
    document = Document()
    for name, text in conf.items():
        first, dot, suffix = name.partition(".")
        if not dot and first in ("provider", "environ", "access") and "=" in text:
            document.add_problem(
                MAIN,
                name,
                "a colon ends a key here: write provider.NAME.KEY, environ.KEY and access.rules with dots",
            )
            continue
        if not dot:
            section, key = MAIN, name
        elif first == "provider":
            section_name, second, key = suffix.partition(".")
            section = PROVIDER_PREFIX + section_name
            if not (section_name and second and key):
                document.add_problem(MAIN, name, "write provider.NAME.KEY")
                continue
        elif first in ("environ", "access") and suffix:
            section, key = first, suffix
        else:
            hint = did_you_mean(first, ("provider", "environ", "access"))
            document.add_problem(
                MAIN, name, f"unknown key{hint or ': before a dot write provider, environ or access'}"
            )
            continue
        document.section(section)[key] = RawValue(text.strip(), base)
    return document


def apply_environment(document: Document, environ: Mapping[str, str], base: Path) -> None:
    """Let ``OAUTH2_MW_KEY`` and ``OAUTH2_MW_NAME__KEY`` win over what is written.

    Any other is a problem, but for those that Kubernetes sets for a Service.
    """
    places = {variable_name("", key): (MAIN, key) for key in (*GLOBAL, *PROVIDER)}
    places.update({variable_name("", key): ("access", key) for key in ACCESS})
    for section in document.sections:
        if section.startswith(PROVIDER_PREFIX):
            name = section.removeprefix(PROVIDER_PREFIX)
            places.update({variable_name(name, key): (section, key) for key in PROVIDER})
    for variable, text in environ.items():
        if not variable.startswith(_VARIABLE_PREFIX):
            continue
        place = places.get(variable)
        if place is None and _SERVICE_VARIABLE.fullmatch(variable):
            continue
        if place is None:
            hint = did_you_mean(variable, places)
            for meant, (section, key) in places.items():
                if hint == f"; did you mean {meant}?":
                    document.add_meant(section, key)
            hint = hint or ": it names no setting, or no provider that is written"
            document.add_problem(ENVIRONMENT, variable, f"unknown variable{hint}")
        else:
            section, key = place
            origin = f"the environment variable {variable}"
            document.section(section)[key] = RawValue(text.strip(), base, origin)


def variable_name(provider: str, key: str) -> str:
    """Return the environment variable of a key of ``[oauth2_mw]`` or ``[access]``, or of a named provider."""
    middle = f"{provider}__" if provider else ""
    return _VARIABLE_PREFIX + f"{middle}{key}".upper().replace("-", "_")
