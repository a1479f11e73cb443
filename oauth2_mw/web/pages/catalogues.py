"""What our pages say in the languages that we have: gettext catalogues, chosen by ``Accept-Language``."""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from oauth2_mw.sentences import Sentence
from oauth2_mw.web.pages.markup import Markup, filled

#: Language tag (RFC 5646) -> the name of the language in itself.
LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "en": "English",
        "de": "Deutsch",
        "fr": "Français",
        "es": "Español",
        "pt": "Português",
        "zh-Hans": "简体中文",
        "ja": "日本語",
        "ru": "Русский",
        "ar": "العربية",
    }
)
_RIGHT_TO_LEFT = frozenset({"ar"})
#: Where no space stands between sentences.
_WITHOUT_SPACES = frozenset({"zh-Hans", "ja"})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The texts of one language."""

    language: str
    translations: gettext.NullTranslations

    @property
    def direction(self) -> str:
        """``ltr`` or ``rtl``, as HTML's ``dir`` takes it."""
        return "rtl" if self.language in _RIGHT_TO_LEFT else "ltr"

    def say(self, text: str) -> str:
        """Return a text in this language; one that is not in the catalogue, such as a name, as it is."""
        if not isinstance(text, Sentence):
            return self.translations.gettext(text) if text else text
        said = self.translations.gettext(text.written)
        said = said.format(**text.values) if text.values else said
        if text.then is None:
            return said
        return f"{said}{'' if self.language in _WITHOUT_SPACES else ' '}{self.say(text.then)}"

    def markup(self, written: str, **values: object) -> Markup:
        """Return a text for a template, escaped; of the values, ``Markup`` alone stays as it is."""
        return filled(self.translations.gettext(written), values)

    def counted(self, one: str, other: str, count: int, **values: object) -> Markup:
        """Return a text that depends on a number, which is ``{count}`` in it."""
        return filled(self.translations.ngettext(one, other, count), {"count": count, **values})


@cache
def catalogue(language: str) -> Catalogue:
    """Return the catalogue of one of :data:`LANGUAGES`."""
    if language == "en":
        return Catalogue(language, gettext.NullTranslations())
    file = files("oauth2_mw.web.pages") / "locales" / f"{language}.mo"
    with file.open("rb") as stream:
        return Catalogue(language, gettext.GNUTranslations(stream))
