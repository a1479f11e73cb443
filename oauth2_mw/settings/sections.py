"""A section with its values converted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oauth2_mw.boundary import contains_control
from oauth2_mw.errors import Problem
from oauth2_mw.settings import presets
from oauth2_mw.settings.added_marks import added_marks
from oauth2_mw.settings.converters import ItemsError
from oauth2_mw.settings.document import MAIN, PROVIDER_PREFIX, Document, RawValue
from oauth2_mw.settings.fields import ACCESS, GLOBAL, PROVIDER, Field
from oauth2_mw.settings.presets import Preset

#: White space that a value on several lines may hold.
_LAYOUT = dict.fromkeys(map(ord, "\t\r\n"))


@dataclass(slots=True)
class Section:
    """The values of one section, and their problems.

    The value of a key that could not be read is ``None``, like that of a missing one: :meth:`is_valid` tells which.
    """

    name: str
    problems: list[Problem]
    values: dict[str, Any] = field(default_factory=dict)
    #: the text of each key, presets included
    sources: dict[str, RawValue] = field(default_factory=dict)
    #: the keys that are written, presets not included
    written_keys: set[str] = field(default_factory=set)
    #: the keys with a problem
    invalid_keys: set[str] = field(default_factory=set)
    preset: Preset | None = None

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def is_valid(self, *keys: str) -> bool:
        """Return whether none of the keys has a problem."""
        return not self.invalid_keys.intersection(keys)

    def add_problem(self, key: str, text: str) -> None:
        """Note a problem of a key, with its origin if that is not the section itself."""
        source = self.sources.get(key)
        origin = f" (it comes from {source.origin})" if source is not None and source.origin else ""
        self.problems.append(Problem(self.name, key, text + origin))
        self.invalid_keys.add(key)

    def add_unreadable(self, key: str, error: OSError, *, missing: str = "check the path") -> None:
        """Note that what a key names cannot be read.

        :param missing: what to do where there is no such file.
        """
        if isinstance(error, FileNotFoundError):
            cure = missing
        elif isinstance(error, IsADirectoryError):
            cure = "it is a folder: write the path of a file in it"
        elif isinstance(error, PermissionError):
            cure = "make the user of the server its owner (chown)"
        else:
            cure = "write the value there"
        self.add_problem(key, f"cannot be read: {error}: {cure}")

    def base(self, key: str) -> Path:
        """Return the folder from which a relative path in the key is looked up."""
        return self.sources[key].base

    def example(self, key: str) -> str:
        """Return ``, like X`` if the preset has an example of the key, or an empty text."""
        example = self.preset.examples.get(key) if self.preset is not None else None
        return f", like {example}" if example else ""


def read_main(document: Document) -> Section:
    """Read the keys of ``[oauth2_mw]`` that a service has once, and note unknown ones as problems."""
    texts = document.sections.get(MAIN, {})
    for key in texts:
        if key in ACCESS:
            document.add_problem(MAIN, key, "is a key of [access]: move it there")
        elif key not in GLOBAL and key not in PROVIDER:
            document.add_unknown(MAIN, key, (*GLOBAL, *PROVIDER))
    section = Section(MAIN, document.problems, written_keys=set(texts) & set(GLOBAL))
    _read(section, GLOBAL, {key: text for key, text in texts.items() if key in GLOBAL})
    return section


def read_default_provider(document: Document) -> Section | None:
    """Read the provider in ``[oauth2_mw]`` itself, or return ``None`` if no key of a provider is there or was meant."""
    texts = {
        key: text
        for key, text in document.sections.get(MAIN, {}).items()
        if key in PROVIDER and key not in GLOBAL
    }
    is_meant = not document.meant.get(MAIN, set()).isdisjoint(PROVIDER.keys() - GLOBAL.keys())
    if not texts and (not is_meant or any(name.startswith(PROVIDER_PREFIX) for name in document.sections)):
        return None
    return _read_provider(document, MAIN, texts)


def read_named_provider(document: Document, name: str) -> Section:
    """Read the section ``[provider:NAME]``."""
    section_name = PROVIDER_PREFIX + name
    texts = {}
    for key, text in document.sections[section_name].items():
        if key in PROVIDER:
            texts[key] = text
        elif key in GLOBAL:
            document.add_problem(section_name, key, f"is a key of the whole service: move it to [{MAIN}]")
        else:
            document.add_unknown(section_name, key, tuple(PROVIDER))
    return _read_provider(document, section_name, texts)


def read_access(document: Document) -> Section:
    """Read the section ``[access]``, and note unknown keys as problems."""
    texts = document.sections.get("access", {})
    section = Section("access", document.problems)
    for key in texts:
        if key not in ACCESS:
            document.add_unknown("access", key, tuple(ACCESS))
    _read(section, ACCESS, {key: text for key, text in texts.items() if key in ACCESS})
    return section


def _read_provider(document: Document, name: str, texts: dict[str, RawValue]) -> Section:
    section = Section(name, document.problems, written_keys=set(texts))
    if "preset" in texts and texts["preset"].text:
        preset = _read_preset(section, texts["preset"])
        if preset is not None:
            section.preset = preset
            origin = f"the preset {preset.name}"
            for key, text in preset.values.items():
                if key not in PROVIDER or key == "preset":
                    section.add_problem("preset", f"{origin} holds {key}, which is not a key of a provider")
                else:
                    texts.setdefault(key, RawValue(text, preset.base, origin))
    _read(section, PROVIDER, texts)
    return section


def _read_preset(section: Section, value: RawValue) -> Preset | None:
    section.sources["preset"] = value
    try:
        return presets.read(value.text, value.base)
    except ValueError as error:
        section.add_problem("preset", str(error))
        return None


def _read(section: Section, fields: Mapping[str, Field], texts: Mapping[str, RawValue]) -> None:
    section.sources.update(texts)
    for name, declared in fields.items():
        source = texts.get(name, RawValue(declared.default or "", Path()))
        value = None
        try:
            if contains_control(source.text.translate(_LAYOUT)):
                raise ValueError("there are control characters in the value: take them out")
            if name in texts or declared.default is not None:
                value = declared.read(source.text, source.base)
        except ValueError as error:
            for text in error.texts if isinstance(error, ItemsError) else (str(error),):
                section.add_problem(name, text + added_marks(source.text))
        section.values[name] = value
