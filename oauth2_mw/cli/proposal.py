"""Which claims fit which local field: a proposal for ``attribute_map``, with the reasons."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from oauth2_mw.cli.claims import visitor_of
from oauth2_mw.errors import OAuth2Error
from oauth2_mw.identity.verification import shown_verification
from oauth2_mw.settings.attribute_path import AttributePath, Source
from oauth2_mw.settings.converters import LOCAL_FIELDS
from oauth2_mw.settings.model import ProviderSettings, Settings

#: What providers call the fields that no rule is about, the standard name first (OpenID Connect Core, section 5.1).
_USUAL = {
    "name": ("name", "display_name", "displayName", "global_name"),
    "email": ("email", "mail", "email_address", "emails[0].value"),
    "phone": ("phone_number", "mobile", "phone"),
    "comment": (),
    "groups": ("groups", '"cognito:groups"', "realm_access.roles", "roles", "memberOf"),
}
_GROUP_LIKE = re.compile("group|role|team", re.IGNORECASE)
_PLAIN = re.compile(r"[^.\[\]\"\\\s=()*:/]+")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one local field may be read from."""

    field: str
    source: Source
    reason: str
    #: whether it is what ``attribute_map`` has already
    is_present: bool = False


def propose(
    provider: ProviderSettings, settings: Settings, claims: Mapping[str, Any]
) -> tuple[list[Proposal], list[str]]:
    """Return a proposal for each field that some claim fits, and sentences about claims that do not fit.

    What the present ``attribute_map`` reads stays where it works.
    """
    doubts: list[str] = []
    proposals = []
    if (username := _username(provider, settings, claims, doubts)) is not None:
        proposals.append(username)
    for field in LOCAL_FIELDS[1:]:
        if (found := _other(provider, field, claims)) is not None:
            proposals.append(found)
        elif field == "groups":
            doubts.append(
                "no claim looks like groups: if there are to be some, write a scope that brings them, or have the "
                "provider send them"
            )
    return proposals, doubts


def as_setting(proposals: list[Proposal]) -> str:
    """Return the value of ``attribute_map`` that stands for them."""
    paths = {each.field: _paths(each.source) for each in proposals}
    return json.dumps(paths)


def _paths(source: Source) -> str | list[str]:
    return source.text if isinstance(source, AttributePath) else [path.text for path in source.paths]


def _username(
    provider: ProviderSettings, settings: Settings, claims: Mapping[str, Any], doubts: list[str]
) -> Proposal | None:
    present = provider.attribute_map.get("username")
    if present is not None and _is_accepted(present, provider, settings, claims):
        return Proposal("username", present, "as it is", is_present=True)
    for path, reason in _names(provider, settings, claims, doubts):
        if _is_accepted(path, provider, settings, claims):
            return Proposal("username", path, reason)
    return None


def _names(
    provider: ProviderSettings, settings: Settings, claims: Mapping[str, Any], doubts: list[str]
) -> Iterator[tuple[AttributePath, str]]:
    """Yield what may be a username, the best first, and note what may not."""
    for name in ("preferred_username", "login", "username", "user_name"):
        if not isinstance(claims.get(name), str):
            continue
        own = (
            "the directory gives it to one user alone"
            if settings.directory is not None
            else "see that it is given to one person alone, or set a directory"
        )
        yield AttributePath.parse(name), f"the provider's own name for the person: {own}"
    if "email" in claims:
        if claims.get("email_verified") is True:
            yield AttributePath.parse("email"), "an address that the provider has verified"
        else:
            doubts.append(
                f"email is no username: email_verified is {shown_verification(claims)}, so that the address may be "
                "anybody's"
            )
    doubts += [
        f"{name} is no username: two people may have the same"
        for name in ("nickname", "name")
        if name in claims
    ]
    yield provider.subject, "it never changes, and is one person's alone"


def _is_accepted(
    source: Source, provider: ProviderSettings, settings: Settings, claims: Mapping[str, Any]
) -> bool:
    """Return whether a sign-in takes the username that is read from there."""
    tried = replace(provider, attribute_map=MappingProxyType({**provider.attribute_map, "username": source}))
    try:
        visitor_of(claims, tried, settings)
    except OAuth2Error:
        return False
    return True


def _other(provider: ProviderSettings, field: str, claims: Mapping[str, Any]) -> Proposal | None:
    present = provider.attribute_map.get(field)
    fits = _is_list_of_texts if field == "groups" else _is_text
    if present is not None and fits(present.get(claims)):
        return Proposal(field, present, "as it is", is_present=True)
    for text in _USUAL[field]:
        path = AttributePath.parse(text)
        if fits(path.get(claims)):
            reason = "the usual claim for it"
            if field == "email":
                reason += f"; email_verified is {shown_verification(claims)}"
            return Proposal(field, path, reason)
    if field == "groups":
        return next(_group_like(claims), None)
    return None


def _group_like(claims: Mapping[str, Any]) -> Iterator[Proposal]:
    """Yield what may be groups by its name and shape."""
    for name, value in claims.items():
        if not _GROUP_LIKE.search(name) or not value:
            continue
        text = name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)
        for path in (text, f"{text}[*].name", f"keys({text})"):
            try:
                parsed = AttributePath.parse(path)
            except ValueError:
                break
            if _is_list_of_texts(parsed.get(claims)):
                yield Proposal("groups", parsed, "its name and its values look like groups")
                break


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(map(_is_text, value))
