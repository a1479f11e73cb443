"""Keys and sections of ours in places of a PasteDeploy file from which it hands nothing to the filter.

A server would start without them: with a rule less, for example.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from pathlib import Path

from oauth2_mw.errors import ConfigError, Problem
from oauth2_mw.settings.deployment import Filter, our_filters, parse
from oauth2_mw.settings.document import MAIN, PROVIDER_PREFIX
from oauth2_mw.settings.fields import ACCESS, GLOBAL, PROVIDER

_ALL = frozenset((*GLOBAL, *PROVIDER, *ACCESS))
#: Settings without ``_`` in their name that nobody else calls so, and that a start without them would pass over.
_TELLING = ("allow", "protect", "issuer", "preset", "rules")
_PREFIXES = ("provider.", "environ.", "access.")
_SET = "set "


def misplaced(found: Filter) -> list[Problem]:
    """Return what a file holds for a section in places from which it does not come there."""
    path = Path(found.global_conf.get("__file__", found.path))
    try:
        parser = parse(path)
    except ConfigError:
        parser = configparser.ConfigParser()
    options = parser.options(found.section) if parser.has_section(found.section) else []
    by_set = [option.removeprefix(_SET).strip() for option in options if option.startswith(_SET)]
    return [
        *(
            Problem(
                found.section,
                f"set {key}",
                f"set is for [DEFAULT], from which no filter reads: write {key} = ...",
            )
            for key in by_set
            if key in _ALL or key.startswith(_PREFIXES)
        ),
        *(
            Problem(
                "DEFAULT",
                key,
                "PasteDeploy hands a key of [DEFAULT] to no filter, not even one that is written there again: move it "
                f"to [{found.section}]",
            )
            for key in found.global_conf
            # Words that others may use there are passed over.
            if key not in found.local_conf and key not in by_set and _is_telling(key)
        ),
        *(
            Problem(
                found.section,
                "",
                f"the section {name} of this file is read by no filter: write config = %(__file__)s here, or its keys "
                "inline (provider.NAME.KEY, environ.KEY, access.rules)",
            )
            for name in _unread_sections(parser, path)
        ),
    ]


def _is_telling(key: str) -> bool:
    return (key in _ALL and ("_" in key or key in _TELLING)) or key.startswith(_PREFIXES)


def _unread_sections(parser: configparser.ConfigParser, path: Path) -> Iterator[str]:
    """Yield the sections that are ours, where no filter of the file names the file itself."""
    for section in our_filters(path):
        try:
            config = parser.get(section, "config", fallback="")
        except configparser.InterpolationError:
            continue
        if config and path.parent / config == path:
            return
    for name in parser.sections():
        if (
            name == MAIN
            or name.startswith(PROVIDER_PREFIX)
            or (name == "access" and parser.has_option(name, "rules"))
            or (
                name == "environ"
                and any(key.startswith(("REMOTE_", "HTTP_")) for key in parser.options(name))
            )
        ):
            yield name
