"""The catalogues of our pages: collects the English texts, judges the translations and compiles them.

``python tools/catalogues.py update`` writes every text into every ``.po`` file, those that are new without a
translation; ``compile`` judges them and writes the ``.mo`` files, which are kept beside them so that the package runs
from its source; ``check`` only judges. A package is built only of good ones. This needs Babel, which the package does
not.
"""

from __future__ import annotations

import ast
import re
import string
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

PACKAGE = Path(__file__).parents[1] / "oauth2_mw"
TEMPLATES = PACKAGE / "web" / "pages" / "templates"
LOCALES = PACKAGE / "web" / "pages" / "locales"
#: What answers programs alone, in English.
_FOR_PROGRAMS = ("credentials/", "web/token_gate.py")
#: A text, or one in the singular and in the plural.
Text = str | tuple[str, str]
#: Calls that mark a text in a module.
_MARKERS = ("sentence", "Sentence")
#: Keywords behind which a text for a person stands.
_KEYWORDS = ("message", "heading")
#: What a class of ``errors`` says.
_ATTRIBUTES = ("title", "message", "hints")


def texts() -> dict[Text, str]:
    """Return every text with a file that has it."""
    found: dict[Text, str] = {}
    for path in sorted(TEMPLATES.glob("*.html")):
        for _, function, said, _ in babel_extract(BytesIO(path.read_bytes()), ("_", "ngettext"), (), {}):
            parts = [said] if isinstance(said, str) else [part or "" for part in said or ()]
            found.setdefault((parts[0], parts[1]) if function == "ngettext" else parts[0], path.name)
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(_FOR_PROGRAMS):
            for text in _texts_of_module(ast.parse(path.read_text(encoding="utf-8"))):
                found.setdefault(text, place)
    return found


def _texts_of_module(tree: ast.Module) -> Iterator[Text]:
    constants = dict(_assigned(tree.body))
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _MARKERS:
                yield from _literals(first, constants)
            case ast.Call(
                func=ast.Attribute(attr="counted"),
                args=[ast.Constant(value=one), ast.Constant(value=other), _],
            ):
                yield str(one), str(other)
            case ast.ClassDef(name=name, body=body) if name.endswith("Error"):
                for attribute, value in _assigned(body):
                    if attribute in _ATTRIBUTES:
                        yield from _literals(value, constants)
            case ast.arguments(kwonlyargs=arguments, kw_defaults=defaults):
                for argument, default in zip(arguments, defaults, strict=True):
                    if argument.arg in _KEYWORDS:
                        yield from _literals(default, constants)
            case ast.keyword(arg=name, value=value) if name in _KEYWORDS:
                yield from _literals(value, constants)


def _assigned(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _literals(node: ast.AST | None, constants: dict[str, ast.expr]) -> Iterator[str]:
    """Yield the texts that an expression may be, those of the module's constants in it included."""
    match node:
        case ast.Constant(value=str(text)) if text:
            yield text
        case ast.Name(id=name) if name.isupper():
            yield from _literals(constants.get(name), constants)
        case ast.Tuple(elts=parts):
            for part in parts:
                yield from _literals(part, constants)
        case ast.Dict(values=values):
            for value in values:
                yield from _literals(value, constants)
        case ast.IfExp(body=one, orelse=other):
            yield from _literals(one, constants)
            yield from _literals(other, constants)
        case ast.Subscript(value=value):
            yield from _literals(value, constants)
        case ast.Call(func=ast.Attribute(attr="get", value=value)):
            yield from _literals(value, constants)
        case ast.Call(func=ast.Name(id="MappingProxyType"), args=[value]):
            yield from _literals(value, constants)


class _Catalogue(Catalog):
    """A catalogue whose header says what programs read, and neither when nor by whom it was written."""

    def __init__(self, like: Catalog) -> None:
        super().__init__(like.locale, header_comment=f"# The texts of the pages: {like.locale_identifier}")
        self.fuzzy = False
        self._plurals = like.num_plurals, like.plural_expr

    def _headers(self) -> list[tuple[str, str]]:
        count, form = self._plurals
        return [
            ("Language", self.locale_identifier or ""),
            ("Plural-Forms", f"nplurals={count}; plural={form};"),
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit"),
        ]

    mime_headers = property(_headers)


def read(path: Path) -> Catalog:
    """Read a ``.po`` file."""
    with path.open("rb") as stream:
        return read_po(stream, locale=path.stem.replace("-", "_"), abort_invalid=True)


def problems(path: Path, wanted: Iterable[Text]) -> Iterator[str]:
    """Yield what is wrong with a catalogue, with its line."""
    catalogue = read(path)
    missing = set(wanted)
    for message in catalogue:
        if not message.id:
            continue
        key = tuple(message.id) if isinstance(message.id, list | tuple) else message.id
        where = f"{path.name}, line {message.lineno}, {key!r}"
        if key not in missing:
            yield f"{where}: no page says this; take it out, or run update"
        missing.discard(key)
        strings = message.string if isinstance(message.string, list | tuple) else [message.string]
        said = [text or "" for text in strings]
        if not all(said):
            yield f"{where}: is not translated"
        elif message.fuzzy:
            yield f"{where}: is fuzzy: look at it, and take the mark out"
        elif isinstance(key, tuple) and len(said) != catalogue.num_plurals:
            yield f"{where}: has {len(said)} forms and not {catalogue.num_plurals}"
        else:
            yield from (f"{where}: {text}" for text in _differences(message, said))
    yield from (f"{path.name}: {key!r} is missing; run update" for key in sorted(missing, key=str))


def _differences(message: Message, said: Sequence[str]) -> Iterator[str]:
    ids = message.id if isinstance(message.id, list | tuple) else (message.id,)
    wanted = _placeholders(ids[-1])
    for number, text in enumerate(said):
        try:
            found = _placeholders(text)
        except ValueError as error:
            yield f"cannot be filled in: {error}"
            continue
        # A form for one number alone, such as the Arabic dual, need not say it.
        if found != wanted and not (number < len(said) - 1 and [*found, "count"] == wanted):
            yield f"the placeholders are {' '.join(found) or 'none'}, and in English {' '.join(wanted) or 'none'}"
        if re.search("[<>&]", text):
            yield "holds HTML"


def _placeholders(text: str) -> list[str]:
    return sorted(
        name if not (form or conversion) else f"{name}!"
        for _, name, form, conversion in string.Formatter().parse(text)
        if name is not None
    )


def compiled(catalogue: Catalog) -> bytes:
    """Return a catalogue as gettext reads it: the same bytes whenever and by whichever Babel it is compiled."""
    bare = _Catalogue(catalogue)
    for message in catalogue:
        if message.id:
            bare.add(message.id, message.string)
    stream = BytesIO()
    write_mo(stream, bare)
    return stream.getvalue()


def all_problems() -> list[str]:
    """Return what is wrong with the catalogues, compiled ones included."""
    wanted = texts()
    found: list[str] = []
    for path in sorted(LOCALES.glob("*.po")):
        found += problems(path, wanted)
        mo = path.with_suffix(".mo")
        if not mo.is_file() or mo.read_bytes() != compiled(read(path)):
            found.append(f"{mo.name} is not what {path.name} says: run python tools/catalogues.py compile")
    return found


def update() -> None:
    """Write every text into every catalogue, in the order of the files, and take out what is no longer said."""
    wanted = texts()
    for path in sorted(LOCALES.glob("*.po")):
        write(renewed(read(path), wanted), path)


def renewed(old: Catalog, wanted: Mapping[Text, str]) -> Catalog:
    """Return a catalogue with the texts that are said, and the translations that it has of them."""
    new = _Catalogue(old)
    for text, place in wanted.items():
        known = old.get(text[0] if isinstance(text, tuple) else text)
        new.add(text, known.string if known is not None else "", locations=[(place, 0)])
    return new


def write(catalogue: Catalog, path: Path) -> None:
    """Write a ``.po`` file."""
    with path.open("wb") as stream:
        write_po(stream, catalogue, width=120, omit_header=False, include_lineno=False)


def main(words: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    match words:
        case ["update"]:
            update()
        case ["compile"]:
            for path in LOCALES.glob("*.po"):
                path.with_suffix(".mo").write_bytes(compiled(read(path)))
        case ["check"]:
            pass
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    found = all_problems()
    sys.stdout.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
