"""What an SVG picture may not hold: anything that runs, or that loads something else (SVG 2, section 2.2).

We serve pictures from the application's own origin, where whoever opens one by its address would run its scripts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.parsers import expat

from oauth2_mw.settings.text import shown

# Names are compared without their prefix and without regard to case: prefixes are chosen freely.
_ELEMENTS = frozenset(
    "script foreignobject handler listener iframe frame object embed applet audio video link meta base import".split()
)
_ANIMATIONS = frozenset("animate animatecolor animatemotion animatetransform set discard".split())
_LINKS = frozenset("href src srcset action formaction base data poster ping background".split())
#: In its elements handlers and links work as in a page.
_XHTML = "http://www.w3.org/1999/xhtml"
_DOCTYPE = re.compile("<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
#: CSS that loads something, or whose escapes could spell that. A reference inside the picture, ``url(#name)``, is not.
_LOADING_CSS = re.compile(
    r"@import|\\|(?<![\w-])(?:-webkit-)?(?:image-set|image|src|expression)\(|-moz-binding|url\((?!\s*[\"']?\s*#)",
    re.IGNORECASE,
)


def check(text: str) -> None:
    """Check a picture, which is XML in UTF-8.

    :raises ValueError: if it is not well-formed, or holds what a picture does not need, with its name.
    """
    if doctype := _DOCTYPE.search(text):
        _refuse(doctype[0])
    inspector = _Inspector()
    parser = expat.ParserCreate("utf-8")
    parser.XmlDeclHandler = inspector.declaration
    parser.ProcessingInstructionHandler = inspector.instruction
    parser.StartElementHandler = inspector.start
    parser.EndElementHandler = inspector.end
    parser.CharacterDataHandler = inspector.characters
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise ValueError(f"the SVG is not well-formed XML: {error}") from None


class _Inspector:
    """Is told of each part of the picture in turn."""

    def __init__(self) -> None:
        self._open_styles = 0
        self._css: list[str] = []

    def declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        # Browsers would decode it as it says, and find other words in it than we do.
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8"):
            raise ValueError(f"the SVG says that it is in {shown(encoding)}: save it in UTF-8")

    def instruction(self, target: str, _data: str) -> None:
        if target.lower() == "xml-stylesheet":
            _refuse(f"<?{target}")

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        element = _local(tag)
        if element in _ELEMENTS:
            _refuse(f"<{tag}")
        for name, value in attributes.items():
            _check_attribute(name, value)
        if element in _ANIMATIONS:
            target = _local(attributes.get("attributeName", ""))
            if target in _LINKS or target.startswith("on"):
                _refuse(f"<{tag} that changes {target}")
        if element == "style":
            self._open_styles += 1

    def characters(self, text: str) -> None:
        if self._open_styles:
            self._css.append(text)

    def end(self, tag: str) -> None:
        if _local(tag) == "style":
            self._open_styles -= 1
            _check_css("".join(self._css))


def _local(name: str) -> str:
    return name.rpartition(":")[2].strip().lower()


def _check_attribute(name: str, value: str) -> None:
    local = _local(name)
    if (name == "xmlns" or name.startswith("xmlns:")) and value.strip() == _XHTML:
        _refuse("HTML")
    if local.startswith("on"):
        _refuse(f"{name}=")
    if local in _LINKS and not value.strip().startswith("#"):
        _refuse(f"{name}={shown(value)}")
    # Attributes of SVG itself have no prefix; among them are those that CSS is made of.
    if ":" not in name:
        _check_css(value)


def _check_css(text: str) -> None:
    if found := _LOADING_CSS.search(text):
        _refuse(shown(found[0]))


def _refuse(what: str) -> None:
    raise ValueError(
        f"the SVG contains {what}, which a picture does not need: take it out, or save it as a PNG"
    )
