"""How a page becomes HTML: the templates, ours and the user's, and what may stand in them."""

from __future__ import annotations

import logging
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from oauth2_mw.settings.page_templates import OURS

if TYPE_CHECKING:
    from jinja2 import Environment

log = logging.getLogger(__name__)

# Control characters and lone surrogates are not allowed in HTML; the bidirectional overrides would let a name
# rearrange the words around it (UAX #9, section 2).
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)

# What href, src and action may hold: an http(s) address, or a path on our host, which "//x" and "/\x" leave.
_LINK = re.compile(r"(?:https?://[^\s/?#\\\"<>]|/(?![/\\]))[^\x00-\x20\x7f-\x9f\\\"<>\s]*")


class Renderer:
    """Fills in templates. Jinja2 is imported for the first one; a signed-in request does not need it.

    :param template_folder: templates that replace ours, by file name. They reach the one they replace with
        ``{% extends "oauth2_mw/NAME" %}``.
    :param shared: what every page is given.
    :raises ValueError: when ``template_folder`` is not a folder.
    """

    def __init__(self, template_folder: Path | None = None, **shared: object) -> None:
        if template_folder is not None and not template_folder.is_dir():
            raise ValueError(
                f"the template folder {str(template_folder)!r} is not a folder: create it or leave it out"
            )
        self._template_folder = template_folder
        self._shared = shared

    def render(self, template: str, **context: object) -> str:
        """Return the page that a template makes; ours, if one of the user's fails."""
        if self._template_folder is not None:
            from jinja2 import TemplateError

            try:
                return self._own.get_template(template).render(context)
            except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError):
                # Who needs the page shall have one: what happened to them matters more than how it is told.
                log.exception(
                    "the template %s of %s fails: ours takes its place", template, self._template_folder
                )
        return self._ours.get_template(template).render(context)

    @cached_property
    def _ours(self) -> Environment:
        return self._environment(None)

    @cached_property
    def _own(self) -> Environment:
        return self._environment(self._template_folder)

    def _environment(self, folder: Path | None) -> Environment:
        from jinja2 import (
            BaseLoader,
            ChoiceLoader,
            Environment,
            FileSystemLoader,
            PackageLoader,
            PrefixLoader,
            StrictUndefined,
        )

        templates = PackageLoader("oauth2_mw.web.pages", "templates")
        loaders: list[BaseLoader] = [templates, PrefixLoader({OURS.rstrip("/"): templates})]
        if folder is not None:
            loaders.insert(0, FileSystemLoader(folder))
        environment = Environment(
            loader=ChoiceLoader(loaders),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=printable,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.globals.update(self._shared)
        return environment


def link(url: str) -> str:
    """Return an address that a page may hold.

    :raises ValueError: if it is neither http(s) nor a path of our own host.
    """
    if _LINK.fullmatch(url) is None:
        raise ValueError(
            f"a page may only link to http(s) addresses and to paths of our own host, not {url[:80]!r}"
        )
    return url


def optional_link(url: str | None) -> str | None:
    """Return the same, or ``None`` for ``None``."""
    return None if url is None else link(url)


def printable(value: object) -> object:
    """Replace what may not stand in a page. Jinja2 calls this on each value before escaping it; ``Markup`` is ours."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return _UNPRINTABLE.sub("\ufffd", value)
    return value
