"""Texts for people: English where they are written, and in the reader's language on our pages.

The English text is the key of its translations (``web/pages/locales``). What is marked here, and what stands as a
literal behind ``message=``, is found by ``tools/catalogues.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Self


class Sentence(str):
    """An English text, with what a translation needs: the text as it was written, and what is filled in.

    :param written: the text, with placeholders like ``{provider}``.
    :param values: what is filled in; none of it is translated.
    """

    __slots__ = ("then", "values", "written")

    written: str
    values: Mapping[str, object]
    #: a text that follows
    then: Self | None

    def __new__(cls, written: str, values: Mapping[str, object], then: Self | None = None) -> Self:
        text = written.format(**values) if values else written
        made = super().__new__(cls, text if then is None else f"{text} {then}")
        made.written, made.values, made.then = written, MappingProxyType(dict(values)), then
        return made


def sentence(written: str, **values: object) -> Sentence:
    """Return a text for people."""
    return Sentence(written, values)


def sentences(first: Sentence, then: Sentence) -> Sentence:
    """Return two texts, one after the other."""
    return Sentence(first.written, first.values, then)
