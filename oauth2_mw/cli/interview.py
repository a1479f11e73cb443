"""The questions of ``oauth2-mw init`` to a person at a terminal. What an option says is not asked."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from oauth2_mw.cli.answers import (
    OF_PRESETS,
    ask_secret,
    begin,
    value_problems,
    with_application,
    with_secret,
)
from oauth2_mw.cli.plan import Plan
from oauth2_mw.cli.prompts import ask
from oauth2_mw.cli.start import APP_HELP
from oauth2_mw.cli.terminal import print_table, printable
from oauth2_mw.settings import presets

_HINT_WIDTH = 76
_WIDTH = 100


def ask_plan(options: argparse.Namespace) -> Plan:
    """Ask everything that the options leave open.

    :raises CommandError: if there is nobody to answer any more.
    """
    print("Each question has an option too: oauth2-mw init --help. Ctrl-C ends this, and nothing is written.")
    plan = _ask_preset(options)
    plan = _ask_value(options, plan, "public_url", "Public URL of the application, mount included")
    print_registration(plan)
    plan = _ask_value(options, plan, "client_id", "Client ID")
    plan = _ask_secret(options, plan)
    if plan.needs_directory:
        question = "Database of users, which says whose a name is"
        plan = _ask_value(options, plan, "directory", question, default="sqlite:///users.db")
    elif options.directory is not None:
        plan = _ask_value(options, plan, "directory", "Database of users")
    for key, what in OF_PRESETS.items():
        example = plan.preset.examples.get(key)
        if example is not None or getattr(options, key) is not None:
            plan = _ask_value(options, plan, key, f"{what}, like {example}" if example else what)
    if options.allow is None:
        print("Who may enter: * is everybody; or terms like email_domain:example.com group:staff user:jane")
    plan = _ask_value(options, plan, "allow", "Allow")
    return _ask_application(options, plan)


def print_registration(plan: Plan) -> None:
    """Print where a client is registered, and what is entered there."""
    for name in ("Register", "Set there", "Documentation"):
        text = f"{name}: {plan.preset.notes[name]}"
        print(textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False))
    for name, url in plan.to_register():
        print(f"  {name:<24}  {url}")
    if plan.is_oidc and not plan.tells_of_logouts:
        print("  (the last two answer once there is a directory or a session store)")


def _ask_preset(options: argparse.Namespace) -> Plan:
    if options.provider is None:
        print_table(("provider", "name", "where to register"), map(_preset_row, presets.names()))
        print("oidc is any other OpenID Connect provider, oauth2 any other provider.")

    def problems(name: str) -> Iterable[str]:
        try:
            begin(options, name)
        except ValueError as error:
            yield str(error)

    return begin(options, _answer("Provider", options.provider, problems))


def _preset_row(name: str) -> tuple[str, str, str]:
    preset = presets.read(name, Path())
    hint = textwrap.shorten(preset.notes["Register"], _HINT_WIDTH, placeholder=" ...")
    return name, preset.values.get("provider", ""), hint


def _ask_value(
    options: argparse.Namespace, plan: Plan, key: str, question: str, *, default: str = ""
) -> Plan:
    def problems(text: str) -> Iterable[str]:
        return value_problems(plan, key, text)

    return plan.with_value(key, _answer(question, getattr(options, key), problems, default=default))


def _answer(
    question: str, given: str | None, problems: Callable[[str], Iterable[str]], *, default: str = ""
) -> str:
    """Return what an option says, or ask."""
    if given is not None:
        wrong = list(problems(given.strip()))
        if not wrong:
            return given.strip()
        for sentence in wrong:
            print(f"  {printable(sentence)}", file=sys.stderr)
    return ask(question, problems=lambda text: map(printable, problems(text)), default=default)


def _ask_secret(options: argparse.Namespace, plan: Plan) -> Plan:
    if not plan.needs_secret:
        return plan
    try:
        plan = with_secret(options, plan)
    except ValueError as error:
        print(f"  {printable(str(error))}", file=sys.stderr)
    if plan.client_secret is not None:
        return plan
    return replace(plan, client_secret=ask_secret())


def _ask_application(options: argparse.Namespace, plan: Plan) -> Plan:
    if options.app is None:
        print(f"The application: {APP_HELP}. Leave it empty to wrap it yourself.")

    def problems(text: str) -> Iterable[str]:
        try:
            with_application(plan, text)
        except ValueError as error:
            yield str(error)

    return with_application(plan, _answer("Application", options.app, problems))
