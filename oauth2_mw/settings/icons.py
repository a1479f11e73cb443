"""The pictures on the login page's buttons, read and checked once, at start-up."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from oauth2_mw.settings import svg
from oauth2_mw.settings.text import did_you_mean, shown

MAX_BYTES = 256 * 1024
_SVG_TYPE = "image/svg+xml"
#: A declaration and comments may precede the root element.
_SVG_START = re.compile(r"\s*(?:<\?xml\b[^>]*\?>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*<svg[\s/>]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Icon:
    """A provider's picture on the login page, read and checked at start-up."""

    content_type: str
    data: bytes = field(repr=False)


def names() -> tuple[str, ...]:
    """Return the names of the built-in icons."""
    # Looked up through the root package: the folder belongs to a layer above this one, and is data.
    folder = files("oauth2_mw") / "web" / "pages" / "static" / "icons"
    return tuple(
        sorted(entry.name.removesuffix(".svg") for entry in folder.iterdir() if entry.name.endswith(".svg"))
    )


def load(text: str, base: Path) -> Icon:
    """Read a built-in icon by its name, or an image file by its path, relative to *base*.

    :raises ValueError: if it does not exist, or is not an image that browsers show.
    """
    if "/" in text or "." in text:
        return _check(_read(base / text, text))
    built_in = names()
    if text not in built_in:
        hint = (
            did_you_mean(text, built_in)
            or f": there are {' '.join(built_in)}; a file's name has a dot or a slash in it"
        )
        raise ValueError(f"there is no built-in icon {shown(text)}{hint}")
    return Icon(
        _SVG_TYPE, (files("oauth2_mw") / "web" / "pages" / "static" / "icons" / f"{text}.svg").read_bytes()
    )


def _read(path: Path, text: str) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(
            f"the icon {shown(text)} cannot be read: {error.strerror or error}; check the path, or write the name of a "
            "built-in icon"
        ) from None
    if not data:
        raise ValueError(f"the icon {shown(text)} is empty")
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"the icon {shown(text)} is larger than {MAX_BYTES // 1024} KiB: 64x64 pixels are enough"
        )
    return data


def _check(data: bytes) -> Icon:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Icon("image/png", data)
    if data.startswith(b"\xff\xd8\xff"):
        return Icon("image/jpeg", data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Icon("image/webp", data)
    try:
        drawing = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        drawing = ""
    if "<svg" in drawing:
        svg.check(drawing)
    if _SVG_START.match(drawing) is None:
        raise ValueError("the icon's content is not a PNG, SVG (in UTF-8), WebP or JPEG")
    return Icon(_SVG_TYPE, data)
