"""One section, read: its values, which of them somebody wrote, and which could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oauth2_mw.boundary import contains_control
from oauth2_mw.errors import Problem
from oauth2_mw.settings import presets
from oauth2_mw.settings.document import MAIN, PROVIDER_PREFIX, Document, Written
from oauth2_mw.settings.fields import ACCESS, GLOBAL, PROVIDER, Field
from oauth2_mw.settings.presets import Preset
from oauth2_mw.settings.text import did_you_mean


@dataclass(slots=True)
class Section:
    """The values of one section, for whoever checks them and builds from them.

    A key that could not be read is ``None`` here and was complained of; :meth:`fine` tells it from a missing one.
    """

    name: str
    problems: list[Problem]
    values: dict[str, Any] = field(default_factory=dict)
    #: where the text of each key stands, presets included
    sources: dict[str, Written] = field(default_factory=dict)
    #: the keys that somebody wrote, presets not included
    written: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    preset: Preset | None = None

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def fine(self, *keys: str) -> bool:
        """Whether none of the keys was complained of."""
        return not self.broken.intersection(keys)

    def complain(self, key: str, text: str) -> None:
        """Note a problem of a key, and where the key comes from if not from the section itself."""
        source = self.sources.get(key)
        origin = f" (it comes from {source.origin})" if source is not None and source.origin else ""
        self.problems.append(Problem(self.name, key, text + origin))
        self.broken.add(key)

    def base(self, key: str) -> Path:
        """The folder from which a relative path in the key is looked up."""
        return self.sources[key].base

    def example(self, key: str) -> str:
        """``, like X`` when the preset knows what the key looks like."""
        example = self.preset.examples.get(key) if self.preset is not None else None
        return f", like {example}" if example else ""


def read_main(document: Document) -> Section:
    """The keys of ``[oauth2_mw]`` that a service has once; the unknown ones of the section are complained of here."""
    found = document.sections.get(MAIN, {})
    for key in found:
        if key not in GLOBAL and key not in PROVIDER:
            document.complain(MAIN, key, f"unknown key{did_you_mean(key, (*GLOBAL, *PROVIDER))}")
    section = Section(MAIN, document.problems, written=set(found) & set(GLOBAL))
    _read(section, GLOBAL, {key: text for key, text in found.items() if key in GLOBAL})
    return section


def read_default_provider(document: Document) -> Section | None:
    """The provider that stands in ``[oauth2_mw]`` itself, when any key of a provider does."""
    found = {
        key: text
        for key, text in document.sections.get(MAIN, {}).items()
        if key in PROVIDER and key not in GLOBAL
    }
    return _read_provider(document, MAIN, found) if found else None


def read_named_provider(document: Document, name: str) -> Section:
    """The provider of the section ``[provider:NAME]``."""
    section_name = PROVIDER_PREFIX + name
    found = {}
    for key, text in document.sections[section_name].items():
        if key in PROVIDER:
            found[key] = text
        elif key in GLOBAL:
            document.complain(section_name, key, f"is a key of the whole service: move it to [{MAIN}]")
        else:
            document.complain(section_name, key, f"unknown key{did_you_mean(key, PROVIDER)}")
    return _read_provider(document, section_name, found)


def read_access(document: Document) -> None:
    """The section ``[access]``, of which nothing can be used yet."""
    found = document.sections.get("access", {})
    section = Section("access", document.problems)
    for key in found:
        if key not in ACCESS:
            document.complain("access", key, f"unknown key{did_you_mean(key, ACCESS)}")
    _read(section, ACCESS, {key: text for key, text in found.items() if key in ACCESS})


def _read_provider(document: Document, name: str, found: dict[str, Written]) -> Section:
    section = Section(name, document.problems, written=set(found))
    texts = dict(found)
    if "preset" in found and found["preset"].text:
        preset = _read_preset(section, found["preset"])
        if preset is not None:
            section.preset = preset
            origin = f"the preset {preset.name}"
            for key, text in preset.values.items():
                if key not in PROVIDER or key == "preset":
                    section.complain("preset", f"{origin} holds {key}, which is not a key of a provider")
                else:
                    texts.setdefault(key, Written(text, preset.base, origin))
    _read(section, PROVIDER, texts)
    return section


def _read_preset(section: Section, written: Written) -> Preset | None:
    section.sources["preset"] = written
    try:
        return presets.read(written.text, written.base)
    except ValueError as error:
        section.complain("preset", str(error))
        return None


def _read(section: Section, fields: Mapping[str, Field], texts: Mapping[str, Written]) -> None:
    section.sources.update(texts)
    for name, declared in fields.items():
        source = texts.get(name, Written(declared.default or "", Path()))
        value = None
        try:
            if contains_control(source.text.translate(_LAYOUT)):
                raise ValueError("there are control characters in the value: take them out")
            if name in texts or declared.default is not None:
                value = declared.read(source.text, source.base)
        except ValueError as error:
            section.complain(name, str(error))
        section.values[name] = value


_LAYOUT = dict.fromkeys(map(ord, "\t\r\n"))
