"""What the rules of an INI file make of a request, and the line on which each of them stands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from oauth2_mw.access.rules import AccessRules, Rule
from oauth2_mw.cli.claims import Visitor
from oauth2_mw.cli.terminal import printable
from oauth2_mw.identity.person import shown_person
from oauth2_mw.settings.access_rules import EFFECTS
from oauth2_mw.settings.deployment import split_name
from oauth2_mw.settings.model import Settings
from oauth2_mw.web.signin.step_up import demand_of


def compiled_rules(settings: Settings) -> AccessRules:
    """Return the rules as the middleware compiles them."""
    return AccessRules(
        settings.rules,
        public_paths=settings.public_paths,
        protect=settings.protect,
        odd_paths=settings.odd_paths,
    )


def outcome(rule: Rule, visitor: Visitor | None, settings: Settings) -> str:
    """Return what happens to a request that *rule* decides.

    :param visitor: ``None`` for somebody who is not signed in.
    """
    if rule.is_odd and rule.effect == "denied":
        return (
            "refused with 404: the rule is stricter than the last one or than a sign-in, and this path may lead to it; "
            "if the application has such paths, name their subtree in odd_paths"
        )
    match rule.effect:
        case "public":
            return "passes: nobody needs to be signed in, and the application is told of nobody"
        case "denied":
            return "refused with 403, whoever asks"
    delegated = (
        f"; with an Authorization of {' '.join(settings.app_schemes)} it passes as nobody"
        if rule.effect == "delegated"
        else ""
    )
    if visitor is None:
        if rule.effect == "optional":
            return "passes as nobody: the application decides"
        return f"is asked to sign in (a program gets 401){delegated}"
    identity = visitor.identity
    name = printable(identity.username)
    if visitor.barred:
        outcome = "passes as nobody" if rule.effect == "optional" else "does not pass"
        return f"{outcome}: {name} cannot sign in, {visitor.barred}{delegated}"
    provider = settings.providers.get(identity.provider)
    known = shown_person(identity, rule.terms())
    person = visitor.person(provider)
    if rule.has_conditions and not rule.lets_pass(person):
        if scopes := rule.scopes_for(person) if visitor.via == "bearer" else ():
            return f"the access token of {name} is refused with 403: it needs the scope {' '.join(scopes)}{delegated}"
        demand = None
        if provider is not None and visitor.via == "session":
            demand = demand_of(rule, identity, provider, now=time.time())
        if demand is not None:
            wanted = printable(" or ".join(demand.acr_values))
            return (
                f"{name} is sent to sign in once more for acr {wanted}, and refused with 403 without it, as programs "
                f"are ({known}){delegated}"
            )
        return f"{name} is refused with 403 ({known}){delegated}"
    return f"passes as {name}{f' ({known})' if known else ''}{delegated}"


def rule_lines(ini: Path, settings: Settings) -> dict[str, int]:
    """Return the number of the line on which each text begins that a decision may name, as far as it is in the file."""
    lines = {}
    rules = [rule.text for rule in settings.rules]
    file, own = split_name(ini) or (ini, "")
    inline = own if ":" in own else f"filter:{own}"
    for section, key, number, written in _written(file):
        words = written.split()
        text = " ".join(words)
        if own and section == f"[{inline}]":
            section, key = ("[access]", "rules") if key == "access.rules" else ("[oauth2_mw]", key)
        match section, key:
            case "[access]", "rules" if words and words[0] in EFFECTS:
                if rules and f"{rules[0]} ".startswith(f"{text} "):
                    lines[rules.pop(0)] = number
            case "[oauth2_mw]", "public_paths":
                lines.update({f"public_paths = {word}": number for word in words})
            case "[oauth2_mw]", "protect":
                lines[f"protect = {text}"] = number
    return lines


def _written(ini: Path) -> Iterator[tuple[str, str, int, str]]:
    """Yield section, key, number and value of each line that is no comment."""
    section = key = ""
    lines = ini.read_text(encoding="utf-8-sig").replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith(("#", ";")):
            continue
        if line.startswith("["):
            section, key = line.partition("]")[0] + "]", ""
        elif line[:1].strip():
            key, _, line = line.partition("=")
        yield section, key.strip(), number, line
