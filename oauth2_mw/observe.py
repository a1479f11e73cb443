"""Help for the log: text that hides nothing, references and ids, and libraries that must not log secrets."""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

# Characters without ink that ``str.isprintable`` lets pass: fillers, joiners, variation selectors, the empty
# Braille cell (Unicode, Default_Ignorable_Code_Point).
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

# At DEBUG they log the Basic header, the code, the verifier and the tokens (requests-oauthlib, oauthlib), and
# paths with their queries (urllib3, which warns of a malformed header with the whole address).
_LOGS_SECRETS = ("requests_oauthlib", "oauthlib", "urllib3")
_QUERY = re.compile(r"\?[^\s)]*")


def has_hidden(text: str) -> bool:
    """Return whether a reader of *text* cannot see all of it, or sees it in another order.

    That is so for control, format, bidirectional, zero-width, private and unassigned characters, lone surrogates,
    line separators, and blanks other than the plain one.
    """
    return not text.isprintable() or _INVISIBLE.search(text) is not None


def new_reference() -> str:
    """Return eight hexadecimal digits that lead from the page a person sees to the line in the audit log."""
    return secrets.token_hex(4)


def new_id() -> str:
    """Return 128 random bits as 22 characters of base64url that no command line takes for an option."""
    # The last character is A, Q, g or w, never a dash: it goes first.
    return secrets.token_urlsafe(16)[::-1]


def quiet_libraries() -> None:
    """Keep requests-oauthlib, oauthlib and urllib3 from logging at DEBUG, where they log secrets, and queries at all.

    Handlers and levels stay as the operator set them. Calling it again changes nothing.
    """
    for package in _LOGS_SECRETS:
        logger = logging.getLogger(package)
        if _is_without_debug(logger):
            continue
        # A logger's filter applies to that logger alone, not to those below it. These libraries need not be imported
        # yet, so the loggers of their modules are found by file name.
        for name in _modules(package):
            if name != package:
                _quiet(logging.getLogger(name))
        # Last: the filter on the package says that all its modules have theirs.
        _quiet(logger)


def without_debug(logger: logging.Logger) -> None:
    """Drop what is logged on *logger* itself at DEBUG. Calling it again changes nothing."""
    if not _is_without_debug(logger):
        logger.addFilter(_NoDebug())


def _quiet(logger: logging.Logger) -> None:
    without_debug(logger)
    if not any(isinstance(each, _NoQuery) for each in logger.filters):
        logger.addFilter(_NoQuery())


def _is_without_debug(logger: logging.Logger) -> bool:
    return any(isinstance(each, _NoDebug) for each in logger.filters)


class _NoDebug(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG


class _NoQuery(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "?" in text:
            record.msg, record.args = _QUERY.sub("?[hidden]", text), ()
        return True


def _modules(package: str) -> Iterator[str]:
    """Yield the names of a package and all its modules, without importing any."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations if spec is not None else None) or ():
        for parent, _, files in os.walk(folder):
            above = ".".join((package, *Path(parent).relative_to(folder).parts))
            if "__init__.py" in files:
                yield above
            names = (file.removesuffix(".py") for file in files if file.endswith(".py"))
            yield from (f"{above}.{name}" for name in names if name != "__init__")
