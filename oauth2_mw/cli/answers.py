"""What the options of ``oauth2-mw init`` say, one answer each, and what is wrong with an answer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Never

from oauth2_mw.boundary import contains_control
from oauth2_mw.cli.plan import Plan
from oauth2_mw.cli.prompts import ask
from oauth2_mw.cli.start import Application
from oauth2_mw.cli.terminal import printable
from oauth2_mw.settings import presets

#: The keys that a preset leaves to whoever uses it, and how they are asked for.
OF_PRESETS: Mapping[str, str] = {
    "issuer": "Issuer, the URL by which the provider names itself",
    "authorization_endpoint": "Authorization endpoint",
    "token_endpoint": "Token endpoint",
    "userinfo_endpoint": "Userinfo endpoint",
    "logout_endpoint": "Logout endpoint",
    "tenants": "Tenant ids of those who are let in",
    "scope": "Scope",
    "auth_params": "Further parameters of the authorization request, as a JSON object",
}
#: What stands in an example for one's own.
_PLACEHOLDERS = ("YOUR-", "TENANT-ID", "REGION")
_MAX_SECRET = 64 * 1024


def option_name(key: str) -> str:
    """Return the option that answers for a setting."""
    return f"--{key.replace('_', '-')}"


def refuse(options: argparse.Namespace, lines: list[str]) -> Never:
    """End as for any command line that is wrong: with 2."""
    options.parser.exit(2, "".join(f"oauth2-mw init: {printable(line)}\n" for line in lines))
    raise AssertionError("exit does not return")


def begin(options: argparse.Namespace, name: str) -> Plan:
    """Return the plan for a preset, with what ``--set`` says.

    :raises ValueError: if there is no such preset.
    """
    plan = Plan(options.ini, presets.read(name, options.ini.absolute().parent))
    if options.public_client:
        plan = plan.with_value("client_auth_method", "none")
    for text in options.set:
        key, mark, value = (part.strip() for part in text.partition("="))
        if not mark or not key or key in ("preset", "client_secret", "secret_keys") or hasattr(options, key):
            refuse(options, [f"--set {text}: write KEY=VALUE of a setting that has no option here"])
        plan = plan.with_value(key, value)
    wrong = {each.key: each.text for each in plan.problems() if each.key in plan.values}
    if wrong:
        refuse(options, [f"--set {key}: {text}" for key, text in wrong.items()])
    return plan


def value_problems(plan: Plan, key: str, text: str) -> Iterator[str]:
    """Yield what is wrong with the answer for a setting."""
    if not text:
        yield "an answer is needed here"
        return
    if key in plan.preset.examples and any(word in text for word in _PLACEHOLDERS):
        yield f"{text} is the example: write your own in the place of the capitals"
    yield from (each.text for each in plan.with_value(key, text).problems() if each.key == key)


def secret_problems(secret: str) -> Iterator[str]:
    """Yield what is wrong with a client secret. Nothing of it is shown."""
    if not secret:
        yield "the secret is empty; for a client that has none there is --public-client"
    elif len(secret.encode("utf-8", "surrogatepass")) > _MAX_SECRET:
        yield "the secret is longer than 64 KiB"
    elif contains_control(secret):
        yield "the secret is one line of text, and there are line breaks or control characters in it"


def ask_secret() -> str:
    """Return the client secret that somebody types.

    :raises CommandError: if there is nobody to answer any more.
    """
    return ask("Client secret (it is not shown)", problems=secret_problems, hidden=True)


def with_secret(options: argparse.Namespace, plan: Plan) -> Plan:
    """Return the plan with the secret that an option names, if one does.

    :raises ValueError: if it cannot be read, or cannot be one.
    """
    path = options.client_secret_file
    if path is None:
        return plan
    if str(path) == "-" and sys.stdin.isatty():
        return replace(plan, client_secret=ask_secret())
    try:
        data = sys.stdin.buffer.read(_MAX_SECRET + 1) if str(path) == "-" else path.read_bytes()
        secret = data.decode("utf-8-sig").strip()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("the secret is not UTF-8") from None
    for problem in secret_problems(secret):
        raise ValueError(problem)
    return replace(plan, client_secret=secret)


def with_application(plan: Plan, text: str) -> Plan:
    """Return the plan with the application that is wrapped; an empty text is none.

    :raises ValueError: if *text* names none.
    """
    return replace(plan, application=Application.parse(text) if text else None)


def from_options(options: argparse.Namespace) -> Plan:
    """Return the plan that the options make, or end with everything that is missing or wrong."""
    wrong: list[str] = []
    plan = None
    try:
        plan = begin(options, options.provider) if options.provider is not None else None
    except ValueError as error:
        wrong.append(f"--provider: {error}")
    missing = _missing(options, plan)
    if missing:
        why = "--yes asks nothing" if options.yes else "stdin is no terminal, so that nothing can be asked"
        wrong.insert(0, f"{why}; missing: {', '.join(missing)}")
    keys: tuple[str, ...] = ("public_url", *OF_PRESETS, "client_id", "allow", "directory")
    if plan is None:
        # What has the same meaning in every preset is judged all the same.
        keys = ("public_url", "client_id", "allow")
        plan = Plan(options.ini, presets.read("oidc", options.ini.absolute().parent))
    for key in keys:
        if (text := getattr(options, key)) is not None:
            wrong += [f"{option_name(key)}: {problem}" for problem in value_problems(plan, key, text.strip())]
            plan = plan.with_value(key, text.strip())
    try:
        plan = with_secret(options, plan)
    except ValueError as error:
        wrong.append(f"--client-secret-file: {error}")
    try:
        plan = with_application(plan, options.app or "")
    except ValueError as error:
        wrong.append(f"--app: {error}")
    if not wrong:
        wrong = [str(problem) for problem in plan.problems()]
    if wrong:
        refuse(options, wrong)
    return plan


def _missing(options: argparse.Namespace, plan: Plan | None) -> list[str]:
    """Return the options without which there is no configuration."""
    keys = [
        "provider",
        "public_url",
        *(plan.preset.examples if plan is not None else ()),
        "client_id",
        "allow",
    ]
    if plan is not None and plan.needs_directory:
        keys.append("directory")
    missing = [option_name(key) for key in keys if getattr(options, key) is None]
    if options.client_secret_file is None and (plan is None or plan.needs_secret):
        missing.append("--client-secret-file (or --public-client)")
    return missing
