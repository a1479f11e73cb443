"""What templates are given: texts of a bounded length, moments and periods, said in the reader's language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from oauth2_mw.sentences import Sentence, sentence
from oauth2_mw.web.pages.catalogues import Catalogue

#: Characters of a name; a page is not the place for whatever length a provider sends.
NAME_LIMIT = 120
#: Characters of one sentence or hint.
TEXT_LIMIT = 600
#: Values of templates that are texts of ours. In all others only a ``Sentence`` is one.
_TEXTS = frozenset({"message", "heading", "hints"})


def translated(name: str, value: object, spoken: Catalogue) -> object:
    """Return a value of a template with the texts of ours in it in that language; names stay as they are."""
    if isinstance(value, Sentence) or (name in _TEXTS and isinstance(value, str)):
        return spoken.say(value)
    if isinstance(value, Period):
        return value.said(spoken)
    if isinstance(value, list | tuple):
        return [translated(name, part, spoken) for part in value]
    if isinstance(value, dict):
        return {key: translated(key, part, spoken) for key, part in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Period:
    """A time span in seconds, told in the longest unit of which it is a whole number."""

    seconds: int

    def said(self, spoken: Catalogue) -> str:
        unit = next(unit for unit in (86400, 3600, 60, 1) if self.seconds % unit == 0)
        count = self.seconds // unit
        match unit:
            case 86400:
                return spoken.counted("{count} day", "{count} days", count)
            case 3600:
                return spoken.counted("{count} hour", "{count} hours", count)
            case 60:
                return spoken.counted("{count} minute", "{count} minutes", count)
        return spoken.counted("{count} second", "{count} seconds", count)


def device(words: str | None) -> str:
    """Return a browser and its system, as ``signin.device`` has noted them, as a text."""
    if not words:
        return sentence("Unknown browser")
    browser, on, system = cut(words, NAME_LIMIT).rpartition(" on ")
    return sentence("{browser} on {system}", browser=browser, system=system) if on else system


def optional_name(text: str | None) -> str | None:
    return cut(text, NAME_LIMIT) if text else None


def optional_text(text: str | None) -> str | None:
    return cut(text, TEXT_LIMIT) if text else None


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
