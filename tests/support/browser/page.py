"""What a browser sees of a response: its text, links and forms."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

Attributes = list[tuple[str, str | None]]


def resolve(base: str, target: str) -> str:
    """The address that a browser goes to (WHATWG URL): tabs and line ends drop out, ``\\`` is a slash.

    With ``urljoin`` alone ``/\\evil.example`` would pass for a path of ours in a test and leave in life.
    """
    target = re.sub(r"[\t\r\n]", "", target.strip("".join(map(chr, range(0x21)))))
    path, mark, rest = re.fullmatch(r"([^?#]*)([?#]?)(.*)", target, re.DOTALL).groups()  # type: ignore[union-attr]
    path = re.sub(r"^(https?:)?/{2,}", r"\1//", path.replace("\\", "/"), flags=re.IGNORECASE)
    return urljoin(base, path + mark + rest)


@dataclass
class Form:
    """A form with the values that it is shown with."""

    action: str
    method: str
    id: str | None
    enctype: str
    #: what is sent, in document order; change it through :meth:`fill`
    fields: list[tuple[str, str]] = field(default_factory=list)
    #: (name, value, label) of each submit button; the first is the one that the Enter key presses
    buttons: list[tuple[str | None, str, str]] = field(default_factory=list)
    #: names of inputs that a person can type into
    typed: list[str] = field(default_factory=list)

    def value(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key == name), None)

    def fill(self, **values: str) -> Form:
        """Type into inputs; a name that the form has not is an error, as it would be for a person."""
        for name, value in values.items():
            assert any(key == name for key, _ in self.fields), f"no input {name!r} among {self.fields}"
            self.fields = [(key, value if key == name else old) for key, old in self.fields]
        return self


@dataclass(frozen=True)
class Page:
    """One response, as the end of a navigation or a fetch."""

    url: str
    method: str
    status: int
    reason: str
    headers: Sequence[tuple[str, str]]
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next(iter(self.all_headers(name)), None)

    def all_headers(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def location(self) -> str | None:
        """Where it redirects to, resolved."""
        target = self.header("Location")
        return None if target is None else resolve(self.url, target)

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def content_type(self) -> str:
        return (self.header("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AssertionError(f"{self.status} {self.url} is no JSON: {self.text[:2000]}") from error

    @property
    def html(self) -> Reader:
        reader = Reader(self.url)
        reader.feed(self.text)
        reader.close()
        return reader

    @property
    def forms(self) -> list[Form]:
        return self.html.forms

    @property
    def links(self) -> list[tuple[str, str]]:
        """(URL, text) of each link."""
        return self.html.links

    @property
    def title(self) -> str:
        return self.html.title

    @property
    def visible_text(self) -> str:
        """The words on the page, without markup."""
        return " ".join("".join(self.html.words).split())

    def form(self, containing: str = "") -> Form:
        """The first form whose action, id, inputs or buttons contain this text."""
        for form in self.forms:
            haystack = [form.action, form.id or "", *(name for name, _ in form.fields)]
            haystack += [part for button in form.buttons for part in button if part]
            if any(containing in part for part in haystack):
                return form
        raise AssertionError(
            f"no form containing {containing!r} at {self.status} {self.url}:\n{self.text[:2000]}"
        )

    def link(self, containing: str) -> str:
        """The URL of the first link whose text or address contains this text."""
        for url, text in self.links:
            if containing in text or containing in url:
                return url
        raise AssertionError(
            f"no link containing {containing!r} at {self.status} {self.url}:\n{self.text[:2000]}"
        )


class Reader(HTMLParser):
    """Collects links and forms; forgiving, as html.parser is."""

    def __init__(self, base: str) -> None:
        super().__init__(convert_charrefs=True)
        self.base = base
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self.title = ""
        self.words: list[str] = []
        self._form: Form | None = None
        self._link: tuple[str, list[str]] | None = None
        self._button: tuple[str | None, str, list[str]] | None = None
        self._area: tuple[str, list[str]] | None = None
        self._select: str | None = None
        self._selected: str | None = None
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        given = {key: value or "" for key, value in attrs}
        match tag:
            case "form":
                self._form = Form(
                    action=resolve(self.base, given.get("action") or self.base),
                    method=given.get("method", "get").upper(),
                    id=given.get("id"),
                    enctype=given.get("enctype", "application/x-www-form-urlencoded"),
                )
                self.forms.append(self._form)
            case "input" if self._form is not None and "disabled" not in given:
                self._input(self._form, given)
            case "button" if self._form is not None and given.get("type", "submit") == "submit":
                self._button = (given.get("name"), given.get("value", ""), [])
            case "textarea" if self._form is not None:
                self._area = (given.get("name", ""), [])
            case "select" if self._form is not None:
                self._select, self._selected = given.get("name", ""), None
            case "option" if self._select is not None and ("selected" in given or self._selected is None):
                self._selected = given.get("value", "")
            case "a" if "href" in given:
                self._link = (resolve(self.base, given["href"]), [])
            case "script" | "style" | "title":
                self._hidden.append(tag)

    def _input(self, form: Form, given: dict[str, str]) -> None:
        kind = given.get("type", "text").lower()
        name = given.get("name")
        if kind in ("submit", "image"):
            form.buttons.append((name, given.get("value", ""), given.get("value", "")))
        elif name and (kind not in ("checkbox", "radio") or "checked" in given):
            form.fields.append((name, given.get("value", "on" if kind in ("checkbox", "radio") else "")))
            if kind != "hidden":
                form.typed.append(name)

    def handle_endtag(self, tag: str) -> None:
        match tag:
            case "form":
                self._form = None
            case "button" if self._form is not None and self._button is not None:
                name, value, words = self._button
                self._form.buttons.append((name, value, " ".join("".join(words).split())))
                self._button = None
            case "textarea" if self._form is not None and self._area is not None:
                self._form.fields.append((self._area[0], "".join(self._area[1])))
                self._form.typed.append(self._area[0])
                self._area = None
            case "select" if self._form is not None and self._select is not None:
                if self._selected is not None:
                    self._form.fields.append((self._select, self._selected))
                self._select = None
            case "a" if self._link is not None:
                self.links.append((self._link[0], " ".join("".join(self._link[1]).split())))
                self._link = None
            case "script" | "style" | "title" if self._hidden:
                self._hidden.pop()
        self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            if self._hidden[-1] == "title":
                self.title += data
            return
        for collected in (self._link, self._area):
            if collected is not None:
                collected[1].append(data)
        if self._button is not None:
            self._button[2].append(data)
        self.words.append(data)
