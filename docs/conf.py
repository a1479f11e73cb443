"""How Sphinx builds these pages (``make docs``). The reference of the settings is written by the package itself."""

from __future__ import annotations

import csv
import json
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# Before the import: the pages describe the code beside them, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import oauth2_mw
from oauth2_mw import audit
from oauth2_mw.settings import icons, page_templates, presets
from oauth2_mw.settings.fields import describe
from oauth2_mw.settings.proxy_headers import ANNOUNCERS

TESTS = Path(__file__).resolve().parents[1] / "tests"
RECORDINGS = TESTS / "presets"
COUNTERPARTS = TESTS / "integration" / "providers" / "counterparts.tsv"
SERVERS = TESTS / "integration" / "servers" / "servers.tsv"
APPLICATIONS = TESTS / "integration" / "applications" / "applications.tsv"

project = "oauth2_mw"
extensions = ["sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"oauth2_mw {oauth2_mw.__version__}"
html_show_copyright = False
html_show_sourcelink = False
exclude_patterns = ["_build"]
nitpicky = True
# Other projects' documentation would have to be fetched.
nitpick_ignore_regex = [("py:.*", r"(?!oauth2_mw\b).*")]
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
# Quotes are part of what is quoted.
smartquotes = False


class SettingsReference(SphinxDirective):
    """``.. settings-reference:: WHERE``: every key that the declaration table has there."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        where = self.arguments[0]
        rows = [row for row in describe() if row.where == where]
        if not rows:
            raise self.error(f"no setting is declared for {where}")
        reference = nodes.definition_list(classes=["settings"])
        for row in rows:
            entry = nodes.definition_list_item()
            self.set_source_info(entry)
            entry += nodes.term("", "", nodes.literal("", row.key), ids=[f"setting-{row.key}"])
            entry += nodes.classifier("", f"default: {row.default or 'nothing'}")
            example = f"{row.key} = {row.example}"
            block = nodes.literal_block(example, example, language="ini", classes=["example"])
            entry += nodes.definition("", nodes.paragraph("", "", *self._meaning(row.meaning)), block)
            reference += entry
        return [reference]

    def _meaning(self, text: str) -> list[nodes.Node]:
        """Return the text, in which nothing but a reference is markup."""
        found: list[nodes.Node] = []
        for part in re.split(r"(:ref:`[^`]*`)", text):
            if part.startswith(":ref:"):
                references, _ = self.parse_inline(part)
                found += references
            else:
                found.append(nodes.Text(part))
        return found


class ProviderTable(SphinxDirective):
    """``.. provider-table::``: what works with each preset, as the recordings say with which it is tried."""

    HEADER = ("preset", "sign-in", "groups", "refresh", "logout here", "logout there")

    def run(self) -> list[nodes.Node]:
        rows = []
        for path in sorted(RECORDINGS.glob("*.json")):
            self.env.note_dependency(str(path))
            rows.append(
                [preset_name(path.stem), *(nodes.Text("yes" if each else "no") for each in works_with(path))]
            )
        return [table(self.HEADER, rows)]


def works_with(path: Path) -> tuple[bool, ...]:
    """Return whether each column of that table after the first holds, as a recording says."""
    recording = json.loads(path.read_text(encoding="utf-8"))
    groups = bool(recording["expected"].get("groups")) or "groups" in recording
    return (True, groups, "refresh" in recording, True, recording["logout"] is not None)


class CounterpartTable(SphinxDirective):
    """``.. counterpart-table::``: what works with the providers of ``make test-providers``."""

    _HEADER = (
        "provider",
        "preset",
        "sign-in",
        "groups",
        "refresh",
        "logout here",
        "logout there",
        "back-channel",
    )

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(COUNTERPARTS))
        rows = []
        with COUNTERPARTS.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, dialect="excel-tab"):
                groups = "yes" if row["groups"] else "no"
                there = (row["logout there"], row["back-channel"])
                works = map(nodes.Text, ("yes", groups, row["refresh"], "yes", *there))
                rows.append([nodes.Text(row["counterpart"]), preset_name(row["preset"]), *works])
        return [table(self._HEADER, rows)]


class ServerTable(SphinxDirective):
    """``.. server-table::``: what works with the servers of ``make test-servers``."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(SERVERS))
        with SERVERS.open(encoding="utf-8", newline="") as file:
            (_, title, *checks), *rows = csv.reader(file, dialect="excel-tab")
        # None would be in the table where one of these did not hold.
        header = [title, "sign-in", *checks, "headers", "paths"]
        written = [[server, "yes", *works, "yes", "yes"] for _, server, *works in rows]
        return [table(header, [[nodes.Text(cell) for cell in row] for row in written])]


class ApplicationTable(SphinxDirective):
    """``.. application-table:: [SAMPLE]``: what the applications of ``make test-apps``, or one, know of a person."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(APPLICATIONS))
        with APPLICATIONS.open(encoding="utf-8", newline="") as file:
            (_, *header), *rows = csv.reader(file, dialect="excel-tab")
        if self.arguments:
            rows = [row for row in rows if row[0] == self.arguments[0]]
            if not rows:
                raise self.error(f"there is no sample {self.arguments[0]}")
        return [table(header, [self._cells(*row) for row in rows])]

    def _cells(self, sample: str, title: str, *works: str) -> list[nodes.Node]:
        named: list[nodes.Node] = [nodes.Text(title)]
        if not self.arguments:
            named, _ = self.parse_inline(f":doc:`{title} <applications/{sample}>`")
        return [*named, *map(nodes.Text, works)]


def preset_name(name: str) -> nodes.Node:
    """Return the name of a preset, which is a link to what the page says of it if it is built in."""
    literal = nodes.literal("", name)
    return literal if "." in name else nodes.reference("", "", literal, refid=f"preset-{name}")


def table(header: Sequence[str], rows: Sequence[Sequence[nodes.Node]]) -> nodes.table:
    """Return a table of what works with what."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in header), cols=len(header))
    head = table_row([nodes.Text(each) for each in header])
    group += [nodes.thead("", head), nodes.tbody("", *map(table_row, rows))]
    return nodes.table("", group, classes=["providers"])


def table_row(cells: Sequence[nodes.Node]) -> nodes.row:
    """Return a row of a table."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


class Presets(SphinxDirective):
    """``.. presets::``: the built-in presets, each with a link to its page."""

    def run(self) -> list[nodes.Node]:
        listed = nodes.bullet_list(classes=["presets"])
        for name in presets.names():
            entry = nodes.list_item("", ids=[f"preset-{name}"])
            entry += self.parse_text_to_nodes(f"``{name}``: :doc:`providers/{name}`")
            listed += entry
        return [listed]


class PresetPage(SphinxDirective):
    """``.. preset:: NAME``: what is known of a provider, what to write and what to register there."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        preset = presets.read(self.arguments[0], Path())
        label = preset.values.get("provider", "any other provider of that kind")
        about: list[nodes.Node] = [nodes.paragraph("", f"The preset for {label}. In oauth2.ini:")]
        about.append(ini(self._sections(preset)))
        if preset.public:
            public = f"Anyone on earth can join {', '.join(preset.public)}: without allow it does not start."
            about.append(nodes.paragraph("", public))
        about.append(nodes.paragraph("", "Addresses to register, for the public_url above:"))
        addresses = nodes.field_list()
        for title, path in (
            ("redirect URI", "login/callback/"),
            ("post-logout redirect URI", "logout/done/"),
            ("back-channel logout URI", "backchannel-logout/"),
        ):
            address = nodes.literal("", f"https://app.example.com/auth/oauth2/{path}")
            addresses += field(title, address)
        notes = nodes.field_list()
        for title, text in preset.notes.items():
            notes += field(title, *linked(text))
        about += [addresses, notes, ini(f"# What the preset says\n{self._keys(preset)}")]
        recording = RECORDINGS / f"{preset.name}.json"
        if recording.exists():
            self.env.note_dependency(str(recording))
            answers = zip(ProviderTable.HEADER[1:], works_with(recording), strict=True)
            told = ", ".join(f"{what} {'yes' if works else 'no'}" for what, works in answers)
            about.append(nodes.paragraph("", f"What works: {told}."))
        return about

    @staticmethod
    def _sections(preset: presets.Preset) -> str:
        lines = [
            "[oauth2_mw]",
            "public_url = https://app.example.com",
            "secret_keys = file:keys",
            f"preset = {preset.name}",
            *(f"{key} = {example}" for key, example in preset.examples.items()),
            "client_id = CLIENT-ID",
            "client_secret = file:client-secret",
        ]
        if preset.public:
            lines.append("allow = user:jane")
        if preset.unique_usernames is False:
            # It gives a name to one person only.
            lines.append("directory = sqlite:///users.db")
        return "\n".join(lines)

    @staticmethod
    def _keys(preset: presets.Preset) -> str:
        return "\n".join(f"{key} = {' '.join(value.split())}" for key, value in preset.values.items())


def field(title: str, *content: nodes.Node) -> nodes.field:
    """Return a title with what belongs to it."""
    return nodes.field(
        "", nodes.field_name("", title), nodes.field_body("", nodes.paragraph("", "", *content))
    )


def ini(text: str) -> nodes.literal_block:
    """Return lines of an INI file."""
    return nodes.literal_block(text, text, language="ini")


def linked(text: str) -> list[nodes.Node]:
    """Return a text in which a whole word that is an address is a link."""
    words = re.split(r"(?<!\S)(https://\S+/\S+)(?!\S)", text)
    return [
        nodes.reference("", word, refuri=word) if number % 2 else nodes.Text(word)
        for number, word in enumerate(words)
    ]


class BuiltInIcons(SphinxDirective):
    """``.. built-in-icons::``: their names, in one paragraph."""

    def run(self) -> list[nodes.Node]:
        paragraph = nodes.paragraph()
        for number, name in enumerate(icons.names()):
            paragraph += nodes.Text(", " if number else "")
            paragraph += nodes.literal("", name)
        paragraph += nodes.Text(".")
        return [paragraph]


class Table(SphinxDirective):
    """What is written as a table."""

    def _table(self, rows: Sequence[Sequence[str]], widths: str) -> list[nodes.Node]:
        lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
        for first, *others in rows:
            lines += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
        return self.parse_text_to_nodes("\n".join(lines))


class ProxyHeaders(Table):
    """``.. proxy-headers::``: the headers by which proxies announce a user."""

    def run(self) -> list[nodes.Node]:
        rows = [("whose", "headers", "source")]
        for announcer in ANNOUNCERS:
            names = ", ".join(f"``{header}``" for header in announcer.headers)
            rows.append((announcer.label, names, announcer.source))
        return self._table(rows, "20 50 30")


class AuditEvents(Table):
    """``.. audit-events::``: the events of the audit log as they are declared, below what their fields mean."""

    def run(self) -> list[nodes.Node]:
        fields = [("field", "what it says"), *((f"``{name}``", text) for name, text in audit.FIELDS.items())]
        events = [("event", "level", "fields", "what happened")]
        for event in audit.EVENTS.values():
            level, names = logging.getLevelName(event.level), ", ".join(event.fields)
            events.append((f"``{event.name}``", level, names, event.meaning))
        return [*self._table(fields, "15 85"), *self._table(events, "20 10 20 50")]


class Marks(Table):
    """``.. marks::``: whose marks are on the buttons, where their drawings are from, and what their owners allow."""

    def run(self) -> list[nodes.Node]:
        with (Path(__file__).parent / "marks.tsv").open(encoding="utf-8", newline="") as lines:
            first, *rows = csv.reader(lines, delimiter="\t")
        return self._table([first, *rows], "12 46 10 32")


class PageTemplates(Table):
    """``.. page-templates::``: every template of ours, and the variables that it has beside those of all pages."""

    def run(self) -> list[nodes.Node]:
        shared = page_templates.variables("base.html")
        rows = [("template", "variables"), ("every page", _words(shared))]
        rows += [
            (f"``{name}``", _words(page_templates.variables(name) - shared))
            for name in page_templates.names()
        ]
        return self._table(rows, "25 75")


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"``{name}``" for name in sorted(names)) or "none"


def setup(app: Sphinx) -> None:
    """Make the directives known."""
    app.add_directive("settings-reference", SettingsReference)
    app.add_directive("presets", Presets)
    app.add_directive("preset", PresetPage)
    app.add_directive("provider-table", ProviderTable)
    app.add_directive("counterpart-table", CounterpartTable)
    app.add_directive("server-table", ServerTable)
    app.add_directive("application-table", ApplicationTable)
    app.add_directive("built-in-icons", BuiltInIcons)
    app.add_directive("audit-events", AuditEvents)
    app.add_directive("proxy-headers", ProxyHeaders)
    app.add_directive("page-templates", PageTemplates)
    app.add_directive("marks", Marks)
