"""What comes of the claims of a sign-in: the identity, whether it may enter, and what the rules say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from oauth2_mw.access.rules import AccessRules
from oauth2_mw.access.terms import Person, holds
from oauth2_mw.cli.claims import Visitor, visitor_of
from oauth2_mw.cli.decisions import compiled_rules, outcome, rule_lines
from oauth2_mw.cli.terminal import print_table, printable
from oauth2_mw.errors import OAuth2Error, TokenError
from oauth2_mw.identity.mapping import Attributes, unusable_attributes
from oauth2_mw.identity.model import Identity
from oauth2_mw.identity.verification import is_verified, shown_verification
from oauth2_mw.provider.claim_sources import with_verification
from oauth2_mw.provider.tokens.claim_checks import read_subject
from oauth2_mw.settings.attribute_path import Source, alternatives
from oauth2_mw.settings.converters import LOCAL_FIELDS
from oauth2_mw.settings.model import ProviderSettings, Settings

#: Claims about the token, which nobody maps (RFC 7519, section 4.1; OpenID Connect Core, section 2).
_OF_THE_TOKEN = frozenset(
    "iss aud exp iat nbf jti azp nonce at_hash c_hash s_hash auth_time sid acr amr typ".split()
)
#: Characters of a value that is shown.
_MAX_SHOWN = 120
_ABSENT = "-"


def print_arrival(
    claims: Mapping[str, Any], provider: ProviderSettings, settings: Settings, *, ini: Path
) -> bool:
    """Print it, and return whether the person may enter."""
    claims = with_verification(claims, provider.quirk)
    visitor, refusal = None, ""
    try:
        visitor = visitor_of(claims, provider, settings)
    except OAuth2Error as error:
        refusal = error.detail
    print(f"Provider {provider.name} ({printable(provider.label)})")
    identity = visitor.identity if visitor is not None else None
    print_table(("field", "value", "read from"), _rows(claims, provider, identity))
    for sentence in unusable_attributes(provider, claims, _attributes(identity)):
        print(f"  not used: {printable(sentence)}")
    if unread := sorted(set(claims) - _read(provider, settings) - _OF_THE_TOKEN):
        print(f"  claims that no setting reads: {', '.join(map(printable, unread))}")
    if visitor is None:
        print(f"Nobody is signed in: {printable(refusal)}")
        return False
    print(_entry(visitor, provider))
    if visitor.barred:
        return False
    for line in _rule_lines(visitor, settings, ini):
        print(line)
    return True


def shown_value(value: Any) -> str:
    """Return a claim as JSON, on one line and cut."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def _attributes(identity: Identity | None) -> Attributes:
    if identity is None:
        # The username alone is known to be missing.
        return Attributes("", _ABSENT, _ABSENT, _ABSENT, _ABSENT)
    return Attributes(**{field: getattr(identity, field) for field in LOCAL_FIELDS})


def _rows(
    claims: Mapping[str, Any], provider: ProviderSettings, identity: Identity | None
) -> Iterator[tuple[str, str, str]]:
    try:
        yield "subject", read_subject(provider.subject, claims), provider.subject.text
    except TokenError:
        why = f"{provider.subject.text} is absent or no identifier, and a sign-in without it is refused"
        yield "subject", _ABSENT, why
    for field in LOCAL_FIELDS:
        source = provider.attribute_map.get(field)
        if source is None:
            yield field, _ABSENT, "not mapped"
            continue
        value = source.get(claims)
        if identity is not None:
            value = getattr(identity, field)
            value = ", ".join(value) if isinstance(value, tuple) else value
        yield field, shown_value(value) if value else _ABSENT, _origin(field, source, claims, provider)
    if identity is not None and identity.organizations:
        yield "organizations", ", ".join(identity.organizations), "organization"


def _origin(field: str, source: Source, claims: Mapping[str, Any], provider: ProviderSettings) -> str:
    """Return which path a field is read from, and which others have no value."""
    paths = alternatives(source)
    if source.get(claims) is None:
        names = " and ".join(path.text for path in paths)
        return f"{names} {'is' if len(paths) == 1 else 'are'} absent"
    chosen = source.chosen(claims)
    before = [path.text for path in paths[: paths.index(chosen)]]
    text = f"{chosen.text} ({', '.join(before)}: absent)" if before else chosen.text
    if field != "email":
        return text
    counts = is_verified(provider, field, claims)
    verdict = (
        "counts nowhere" if counts is False else "counts" if counts else "counts for allow and rules alone"
    )
    return f"{text}; email_verified is {shown_verification(claims)}: it {verdict}"


def _read(provider: ProviderSettings, settings: Settings) -> set[str]:
    """Return the names of the claims that some setting reads."""
    terms = (term.claim()[0] for term in provider.deciding_terms() if term.field == "claim")
    mapped = (path for source in provider.attribute_map.values() for path in alternatives(source))
    paths = (provider.subject, *mapped, *settings.environ_claims, *terms)
    return {root for path in paths for root in path.roots} | {"email_verified", "sub"}


def _entry(visitor: Visitor, provider: ProviderSettings) -> str:
    name = printable(visitor.identity.username)
    if visitor.barred:
        return f"{name} may not enter, {visitor.barred}"
    if provider.allow is None:
        return f"{name} may enter: without allow everybody may for whom {provider.name} vouches"
    terms = printable(" or ".join(_fitting(visitor.person(provider), provider)))
    return f"{name} may enter, by allow: {terms}"


def _fitting(person: Person, provider: ProviderSettings) -> Iterator[str]:
    for alternative in provider.allow.alternatives() if provider.allow is not None else ():
        if holds((alternative,), person):
            yield " and ".join(map(str, alternative))


def _rule_lines(visitor: Visitor, settings: Settings, ini: Path) -> Iterator[str]:
    """Yield each rule, and what happens to the person at its paths."""
    rules, lines = compiled_rules(settings), rule_lines(ini, settings)
    for written in settings.rules:
        where = f"line {lines[written.text]}: " if written.text in lines else ""
        yield f"  {where}{written.text}"
        method = min(written.methods, default="GET")
        for path in written.paths:
            rule = rules.find_all(path.native, [method])
            others = "" if written.text in rule.written else f" (decided by {rule.text})"
            yield f"    {method} {printable(path.text)}: {outcome(rule, visitor, settings)}{others}"
    rule = AccessRules(protect=settings.protect).find("/")
    yield f"  where no rule is: {rule.text}: {outcome(rule, visitor, settings)}"
