"""What operators read about us: audit lines that nobody can forge, and libraries that keep our secrets."""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

_audit_log = logging.getLogger("oauth2_mw.audit")

#: Characters of one value in an audit line, escapes included.
MAX_VALUE = 500
_CUT = "..."

# Characters without ink that ``str.isprintable`` lets pass: fillers, joiners, variation selectors, the empty
# Braille cell (Unicode, Default_Ignorable_Code_Point).
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_PLAIN = re.compile(r"[^\s\"'=\\]+")

# At DEBUG they log the Basic header, the code, the verifier and the tokens (requests-oauthlib, oauthlib), and
# paths with their queries (urllib3).
_TALKATIVE = ("requests_oauthlib", "oauthlib", "urllib3")


def has_hidden(text: str) -> bool:
    """Whether a reader of *text* cannot see all that is there, or sees it in another order.

    True for control, format, bidirectional, zero-width, private and unassigned characters, lone surrogates,
    line separators, and blanks other than the plain one.
    """
    return not text.isprintable() or _INVISIBLE.search(text) is not None


#: What happens all day. Everything else asks for an operator's eye, and is a warning: Python prints those even
#: where nobody has configured logging.
_ROUTINE = frozenset({"login", "login_restarted", "logout", "logout_by_provider", "signed_out_elsewhere"})


def audit(event: str, **fields: object) -> None:
    """Write one event as one line on the logger ``oauth2_mw.audit``: routine at INFO, the rest as a warning.

    The line is ``event=login_failed ref=1a2b3c4d detail="..."``. Fields that are ``None`` are left out, lists
    are joined by commas. What could start a new line or hide is escaped as in Python (``\\n``, ``\\u202e``).
    A value that is empty or holds a blank, a quote, ``=`` or a backslash is quoted; one of more than 500
    characters is cut.

    :param event: a stable word.
    :param fields: what an operator needs to know; never a secret.
    """
    level = logging.INFO if event in _ROUTINE else logging.WARNING
    if _audit_log.isEnabledFor(level):
        shown = {"event": event, **{name: value for name, value in fields.items() if value is not None}}
        _audit_log.log(level, "%s", " ".join(f"{name}={_shown(value)}" for name, value in shown.items()))


def new_reference() -> str:
    """Eight hexadecimal digits that lead from the page a person sees to the audit line of the event."""
    return secrets.token_hex(4)


def new_id() -> str:
    """128 random bits as 22 characters of base64url, which no command line takes for an option."""
    # The last of them is A, Q, g or w and so never a dash: it goes first.
    return secrets.token_urlsafe(16)[::-1]


def quiet_libraries() -> None:
    """Keep requests-oauthlib, oauthlib and urllib3 from logging at DEBUG, where they log secrets.

    Handlers and levels stay as the operator set them. Doing it again changes nothing.
    """
    for package in _TALKATIVE:
        whole = logging.getLogger(package)
        if _is_without_debug(whole):
            continue
        # A logger's filter sees only what is logged on that very logger, not what comes up from below. These
        # libraries need not be imported yet, so the loggers of their modules are found by file name.
        for name in _modules(package):
            if name != package:
                without_debug(logging.getLogger(name))
        # Last: it says of all below that they are done.
        without_debug(whole)


def without_debug(logger: logging.Logger) -> None:
    """Drop what is logged on *logger* itself at DEBUG. Doing it again changes nothing."""
    if not _is_without_debug(logger):
        logger.addFilter(_NoDebug())


def _is_without_debug(logger: logging.Logger) -> bool:
    return any(isinstance(found, _NoDebug) for found in logger.filters)


class _NoDebug(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG


def _modules(package: str) -> Iterator[str]:
    """The names of a package and all its modules, without importing any."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations if spec is not None else None) or ():
        for parent, _, files in os.walk(folder):
            above = ".".join((package, *Path(parent).relative_to(folder).parts))
            if "__init__.py" in files:
                yield above
            names = (file.removesuffix(".py") for file in files if file.endswith(".py"))
            yield from (f"{above}.{name}" for name in names if name != "__init__")


def _shown(value: object) -> str:
    if isinstance(value, (frozenset, set)):
        value = sorted(map(str, value))
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    if len(text) <= MAX_VALUE and _PLAIN.fullmatch(text) and not has_hidden(text):
        return text
    # Cut between escapes, never inside one.
    pieces = [_escaped(char) for char in text[:MAX_VALUE]]
    length = sum(map(len, pieces))
    if length > MAX_VALUE or len(text) > MAX_VALUE:
        while length > MAX_VALUE - len(_CUT):
            length -= len(pieces.pop())
        pieces.append(_CUT)
    return f'"{"".join(pieces)}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if has_hidden(char):
        return char.encode("unicode_escape").decode("ascii")
    return char
