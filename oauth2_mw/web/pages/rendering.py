"""How a page becomes HTML: the templates, ours and the user's, and what every one of them may use."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from oauth2_mw.settings.page_templates import FILTERS, FUNCTIONS, OURS
from oauth2_mw.web.http.languages import best_language
from oauth2_mw.web.http.responses import Environ, Html
from oauth2_mw.web.pages import markup
from oauth2_mw.web.pages.catalogues import LANGUAGES, Catalogue, catalogue
from oauth2_mw.web.pages.values import translated

if TYPE_CHECKING:
    from jinja2 import Environment

log: logging.Logger = logging.getLogger(__name__)


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

    def render(self, template: str, catalogue: Catalogue, **context: object) -> str:
        """Return the page that a template makes; ours, if one of the user's fails.

        :param catalogue: of the language that it is to be in.
        """
        context |= {"language": catalogue.language, "direction": catalogue.direction}
        context |= dict(zip(FUNCTIONS, (catalogue.markup, catalogue.counted), strict=True))
        if self._template_folder is not None:
            try:
                return self._own.get_template(template).render(context)
            except Exception:
                # Who needs the page shall have one: what happened to them matters more than how it is told.
                log.exception(
                    "the template %s of %s fails: ours takes its place", template, self._template_folder
                )
        return self._ours.get_template(template).render(context)

    def page(self, template: str, *, script_url: str | None = None, **context: object) -> Html:
        def render(language: str) -> str:
            spoken = catalogue(language)
            said = {name: translated(name, value, spoken) for name, value in context.items()}
            return self.render(template, spoken, script_url=script_url, **said)

        def speak(environ: Environ) -> tuple[str, str]:
            language = best_language(environ, tuple(LANGUAGES))
            return language, render(language)

        return Html(render("en"), speak=speak, script=script_url)

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
            finalize=markup.printable,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.globals.update(self._shared)
        environment.filters.update({name: getattr(markup, name) for name in FILTERS})
        return environment
