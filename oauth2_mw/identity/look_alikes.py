"""Letters that a reader takes for a Latin one, and names that are written in them.

The pairs are the single letters among the confusables of Unicode Technical Standard 39 (section 4) that stand for a
Latin letter, of alphabets in use today; those that only resemble one, as the Cyrillic letter ghe does an r, are left
out. What Unicode calls compatible (full-width letters and the like) needs no list.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from unicodedata import category, decimal, name, normalize

#: letter -> those of other alphabets, or of phonetics, that look like it
_LOOK_ALIKES: Mapping[str, str] = MappingProxyType(
    {
        "a": "\u0251\u0391\u03b1\u0410\u0430\u13aa\u15c5\ua4ee",
        "b": "\u0392\u0412\u13cf\u13f4\u1472\u15af\u15f7\ua4d0\ua7b4",
        "c": "\u0421\u0441\u13df\u1d04\u2ca4\u2ca5\ua4da\uabaf",
        "d": "\u0501\u13a0\u13e7\u146f\u15de\u15ea\ua4d2\ua4d3",
        "e": "\u0395\u0415\u0435\u13ac\ua4f0\uab32",
        "f": "\u15b4\ua4dd",
        "g": "\u0261\u050c\u0581\u13c0\u13f3\ua4d6",
        "h": "\u0397\u041d\u04bb\u0570\u13bb\u13c2\u157c\u2c8e\ua4e7",
        "i": "\u0131\u0269\u026a\u0399\u03b9\u0406\u0456\u13a5\u2c92\ua4f2\ua647\uab75",
        "j": "\u037f\u03f3\u0408\u0458\u13ab\u148d\ua4d9",
        "k": "\u039a\u041a\u13e6\u2c94\ua4d7",
        "l": "\u0196\u01c0\u04c0\u04cf\u13de\u14aa\u2cd0\ua4e1",
        "m": "\u039c\u041c\u13b7\u15f0\u2c98\ua4df",
        "n": "\u039d\u0578\u2c9a\ua4e0",
        "o": "\u039f\u03bf\u041e\u043e\u0555\u0585\u10ff\u1d0f\u1d11\u2c9e\u2c9f\ua4f3\uab3d",
        "p": "\u03a1\u03c1\u0420\u0440\u13e2\u146d\u2ca2\u2ca3\ua4d1",
        "q": "\u051b\u0566",
        "r": "\u13a1\u13d2\u1587\ua4e3",
        "s": "\u01bd\u0405\u0455\u054f\u13d5\u13da\ua4e2\ua731\uabaa",
        "t": "\u03a4\u0422\u13a2\u2ca6\ua4d4",
        "u": "\u03c5\u054d\u057d\u144c\u1d1c\ua4f4\uab4e\uab52",
        "v": "\u03bd\u0474\u0475\u13d9\u142f\u1d20\ua4e6\uaba9",
        "w": "\u026f\u051c\u051d\u13b3\u13d4\u1d21\ua4ea\uab83",
        "x": "\u03a7\u0425\u0445\u1541\u157d\u2cac\ua4eb\ua7b3",
        "y": "\u028f\u03a5\u03b3\u0423\u0443\u04ae\u04af\u10e7\u13a9\u13bd\u2ca8\ua4ec\uab5a",
        "z": "\u0396\u13c3\u1d22\ua4dc\uab93",
    }
)
_LATIN_LETTERS = MappingProxyType(
    {ord(char): letter for letter, chars in _LOOK_ALIKES.items() for char in chars}
)
#: Letters of the list that are ordinary ones of a language with Latin letters: the Turkish i without a dot.
_ORDINARY = frozenset("\u0131")


def as_latin(text: str) -> str:
    """Return *text* with Latin letters and digits in place of those that look or count like one.

    Accents are kept, as marks of their own (Unicode form NFKD).
    """
    latin = normalize("NFKD", text).translate(_LATIN_LETTERS)
    return "".join(char if char.isascii() else str(decimal(char, char)) for char in latin)


def looks_latin(text: str) -> bool:
    """Return whether *text* is written in other letters or digits and all of them can be taken for Latin ones."""
    foreign = False
    for char in normalize("NFKD", text):
        if char.isascii() or category(char)[0] not in "LN":
            continue
        latin = as_latin(char)
        if latin.isascii():
            foreign = foreign or char not in _ORDINARY
        elif not name(char, "").startswith("LATIN "):
            return False
    return foreign
