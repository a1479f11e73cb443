"""The templates that replace those of our pages, judged at start-up: the setting ``templates``.

A file has the name of the template that it replaces. One whose name starts with ``_`` is there for the others to
include. Jinja2 is imported only if there are any.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from oauth2_mw.settings.text import did_you_mean, shown

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.nodes import Template

#: Before the name of a template of ours, for one that replaces it and is made of it.
OURS = "oauth2_mw/"
#: What every template may call, and apply.
FUNCTIONS = ("_", "ngettext")
FILTERS = ("clock", "code", "isolated", "moment", "strong", "utc")


def problems(folder: Path) -> Iterator[str]:
    """Yield what keeps a folder's templates from being used, with file and line."""
    if not folder.is_dir():
        yield f"{folder} is not a folder: make it, or take this out"
        return
    ours = _our_templates()
    sources: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.name not in ours and not path.name.startswith("_"):
            hint = did_you_mean(path.name, ours) or f": there are {' '.join(sorted(ours))}"
            yield (
                f"{path} replaces no template of ours{hint}; the name of one that the others include starts with _"
            )
            continue
        try:
            sources[path.name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            yield f"{path} cannot be read as UTF-8: {error}"
    if sources:
        yield from _faults(folder, sources, ours)


def names() -> tuple[str, ...]:
    """Return the names of our templates."""
    return tuple(sorted(_our_templates()))


def variables(name: str) -> frozenset[str]:
    """Return the names that a template of ours is given, and so the one that replaces it.

    :raises KeyError: if there is none of that name.
    """
    return _variables(_environment(), name, _our_templates())


def _our_templates() -> dict[str, str]:
    # Looked up through the root package: the folder belongs to a layer above this one, and is data.
    folder = files("oauth2_mw") / "web" / "pages" / "templates"
    return {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir()}


def _environment() -> Environment:
    from jinja2 import Environment

    environment = Environment(autoescape=True)
    environment.globals.update(dict.fromkeys(FUNCTIONS, str))
    environment.filters.update(dict.fromkeys(FILTERS, str))
    return environment


def _faults(folder: Path, sources: dict[str, str], ours: dict[str, str]) -> Iterator[str]:
    from jinja2 import TemplateSyntaxError
    from jinja2.meta import find_referenced_templates

    environment = _environment()
    partials = frozenset(variable for name in ours for variable in _variables(environment, name, ours))
    for name, source in sources.items():
        try:
            tree = environment.parse(source)
            environment.compile(source)
        except TemplateSyntaxError as error:
            yield f"{folder / name}, line {error.lineno}: {error.message}"
            continue
        known = _variables(environment, name, ours) if name in ours else partials
        yield from (f"{folder / name}, {text}" for text in _unknown_names(tree, known))
        for other in find_referenced_templates(tree):
            if other is not None and other not in sources and other.removeprefix(OURS) not in ours:
                line = source[: source.find(other)].count("\n") + 1
                yield f"{folder / name}, line {line}: there is no template {shown(other)}"


def _variables(environment: Environment, name: str, ours: dict[str, str]) -> frozenset[str]:
    from jinja2.meta import find_referenced_templates, find_undeclared_variables

    tree = environment.parse(ours[name])
    found = frozenset(find_undeclared_variables(tree))
    others = (_variables(environment, other, ours) for other in find_referenced_templates(tree) if other)
    return found.union(*others)


def _unknown_names(tree: Template, known: frozenset[str]) -> Iterator[str]:
    from jinja2.meta import find_undeclared_variables
    from jinja2.nodes import Name

    unknown = find_undeclared_variables(tree) - known
    for name in sorted(unknown):
        line = next(node.lineno for node in tree.find_all(Name) if node.name == name)
        hint = did_you_mean(name, known) or f": there are {' '.join(sorted(known))}"
        yield f"line {line}: this page has no variable {shown(name)}{hint}"
