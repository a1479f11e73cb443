"""How our pages look and whom they name: the settings ``accent`` and ``contact``.

A colour is measured against the grounds of ``oauth2_mw.css`` (WCAG 2.2, success criterion 1.4.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from oauth2_mw.settings import addresses
from oauth2_mw.settings.text import shown

#: Red, green and blue, from 0 to 255.
_Colour = tuple[int, int, int]

#: The contrast that text needs (WCAG 2.2, success criterion 1.4.3).
LEAST_CONTRAST = 4.5
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
#: The ground of a page's card by day and by night, and what stands on a button of the accent.
_LIGHT, _DARK = _WHITE, (0x18, 0x1C, 0x23)
_ON_DARK_ACCENT = "#0d1730"
_HEX = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE)
_MAILBOX = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Accent:
    """The colour of buttons and marks on light ground and on dark, as ``#rrggbb``."""

    light: str
    dark: str

    @classmethod
    def parse(cls, text: str) -> Accent:
        """Read one colour or two, like ``#0a5c2f`` or ``#0a5c2f #7fd6a4``; without the second the first is lightened.

        :raises ValueError: if one is no colour, or text in it could not be read on its ground.
        """
        colours = [_colour(word) for word in text.split()]
        if len(colours) > 2:
            raise ValueError("there are more than two colours: write one for light ground and one for dark")
        light = colours[0]
        _check(light, _LIGHT, "light", "darker")
        if len(colours) == 1:
            return cls(_text(light), _text(_towards(light, _WHITE, ground=_DARK)))
        _check(colours[1], _DARK, "dark", "lighter")
        return cls(_text(light), _text(colours[1]))

    def stylesheet(self) -> str:
        """Return the CSS that puts it in the place of ours."""
        return (
            f"{_rules(self.light, _LIGHT, towards=_BLACK, on_accent='#ffffff')}\n"
            f"@media (prefers-color-scheme: dark) {{\n"
            f"{_rules(self.dark, _DARK, towards=_WHITE, on_accent=_ON_DARK_ACCENT)}}}\n"
        )


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom a person asks for help: where a link leads, and what it reads."""

    url: str
    text: str

    @classmethod
    def parse(cls, text: str) -> Contact:
        """Read an e-mail address, a ``mailto:`` URL with one, or an ``https`` URL.

        :raises ValueError: if it is something else.
        """
        mailbox = text[7:] if text.lower().startswith("mailto:") else text
        if _MAILBOX.fullmatch(mailbox):
            return cls(f"mailto:{mailbox}", mailbox)
        if text.startswith("https://"):
            return cls(addresses.parse_endpoint(text), text.removeprefix("https://").rstrip("/"))
        raise ValueError(
            f"{shown(text)} is neither an e-mail address nor an https URL: write one like help@example.com or "
            "https://help.example.com/"
        )


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.2, *contrast ratio*)."""
    return _contrast(_colour(one), _colour(other))


def _contrast(one: _Colour, other: _Colour) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: _Colour) -> float:
    shares = [part / 255 for part in colour]
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _colour(word: str) -> _Colour:
    if _HEX.fullmatch(word) is None:
        raise ValueError(f"{shown(word)} is not a colour: write it like #0a5c2f")
    digits = word[1:] if len(word) == 7 else "".join(digit * 2 for digit in word[1:])
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def _text(colour: _Colour) -> str:
    return "#" + bytes(colour).hex()


def _check(colour: _Colour, ground: _Colour, name: str, cure: str) -> None:
    ratio = _contrast(colour, ground)
    if ratio < LEAST_CONTRAST:
        # Cut and not rounded: 4.46 is not enough, and must not read as 4.5.
        raise ValueError(
            f"{_text(colour)} has a contrast of {int(ratio * 100) / 100}:1 on {name} ground, {_text(ground)}, and text "
            f"needs {LEAST_CONTRAST}:1: write a {cure} colour"
        )


def _mixed(colour: _Colour, other: _Colour, share: float) -> _Colour:
    """Return a colour with some share, from 0 to 1, of another."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _towards(colour: _Colour, end: _Colour, *, ground: _Colour) -> _Colour:
    """Return the first colour on the way to *end*, which is far from *ground*, in which text can be read on it."""
    steps = (_mixed(colour, end, step / 50) for step in range(50))
    return next((step for step in steps if _contrast(step, ground) >= LEAST_CONTRAST), end)


def _rules(accent: str, ground: _Colour, *, towards: _Colour, on_accent: str) -> str:
    colour = _colour(accent)
    tinted = _mixed(ground, colour, 0.1)
    values = {
        "accent": accent,
        "accent-hover": _text(_mixed(colour, towards, 0.2)),
        "on-accent": on_accent,
        "calm": _text(_towards(colour, towards, ground=tinted)),
        "calm-ground": _text(tinted),
    }
    return ":root {\n" + "".join(f"  --{name}: {value};\n" for name, value in values.items()) + "}\n"
