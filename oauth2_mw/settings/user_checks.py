"""Checks of who becomes which user: names that are one person's, subjects that do not meet, and who may enter.

Every problem is noted in the :class:`~oauth2_mw.settings.sections.Section` that it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from oauth2_mw.settings.allow_list import AllowList, Alternative, names_tenant
from oauth2_mw.settings.attribute_path import AttributePath
from oauth2_mw.settings.checks import is_public, user_issuers
from oauth2_mw.settings.claim_names import EMAIL_CLAIM, username_addresses
from oauth2_mw.settings.sections import Section
from oauth2_mw.settings.text import shown


def check_username(section: Section, main: Section) -> None:
    """Check that the text which becomes the username is one person's: a proven address, or a name of their own."""
    if not section.is_valid("attribute_map", "email_verified", "username_transform"):
        return
    for path in username_addresses(section["attribute_map"]):
        _check_address(section, path)
    if "localpart" in section["username_transform"] and len(_allowed_domains(section["allow"])) != 1:
        section.add_problem(
            "username_transform",
            "localpart makes one name of jane@a.example and jane@b.example: let one domain in alone, with allow = "
            "email_domain:example.com, or take localpart out",
        )
    _check_ascii(section, main)
    if section["email_verified"] == "always" and is_public(section):
        section.add_problem(
            "email_verified",
            f"always is wrong for {section['provider']}, where anybody can register with any address: write claim",
        )
    is_shared = section.preset is not None and section.preset.unique_usernames is False
    username = section["attribute_map"].get("username")
    needs_directory = is_shared and username is not None and "attribute_map" not in section.written_keys
    if needs_directory and main["directory"] is None and main.is_valid("directory"):
        section.add_problem(
            "preset",
            f"{section['provider']} does not promise that {username.text} is one person's alone: set directory in "
            "[oauth2_mw], which gives a name to one user, or map another claim to username in attribute_map",
        )


def _check_ascii(section: Section, main: Section) -> None:
    transforms = section["username_transform"]
    if "ascii" in transforms and main["directory"] is None and main.is_valid("directory"):
        section.add_problem(
            "username_transform",
            "ascii makes one name of zoe and zoé: set directory in [oauth2_mw], which gives a name to one user, or "
            "write percent, which keeps them apart",
        )
    prefix = section["username_prefix"] or ""
    if not prefix.isascii() and not {"ascii", "percent"}.isdisjoint(transforms):
        section.add_problem(
            "username_prefix", "is not ASCII, which username_transform makes of the names behind it"
        )


def check_tenants(section: Section, main: Section) -> None:
    """Check what bounds the trust in several tenants: the administrators of each decide what its tokens say.

    With more than one no address counts, so ``email_verified`` is ``never``.
    """
    if not section.is_valid("tenants") or len(section["tenants"]) < 2:
        return
    if main["directory"] is None and main.is_valid("directory"):
        section.add_problem(
            "tenants",
            "more than one needs a directory, which gives a name to one user: set directory in [oauth2_mw]",
        )
    if "email_verified" in section.sources and section["email_verified"] in ("claim", "text", "always"):
        section.add_problem(
            "email_verified",
            "counts for no address where there is more than one tenant, because the administrators of each can write "
            "any address: take it out, or write never",
        )
    section.values["email_verified"] = "never"
    where = section if "allow" in section.sources else main
    if section["allow"] is None:
        if where.is_valid("allow"):
            section.add_problem(
                "allow",
                "is missing: with more than one tenant say who may enter, like claim:tid=TENANT-ID or user:NAME, or * "
                "for everybody in all of them",
            )
        return
    for alternative in section["allow"].alternatives():
        if not _is_elsewhere(alternative, section["name"]) and not names_tenant(alternative):
            where.add_problem(
                "allow",
                f"{' and '.join(map(str, alternative))} is what each tenant of provider {section['name']} can say of "
                "its people, and no address counts: join claim:tid=TENANT-ID to it with and, name people by user:, or "
                "write * for everybody in all tenants",
            )
    section.values["allow"] = replace(section["allow"], needs_tenant=True)


def _is_elsewhere(alternative: Alternative, name: str) -> bool:
    """Return whether an alternative is about the people of another provider."""
    return any(term.field == "provider" and term.value != name for term in alternative)


def _allowed_domains(allow: AllowList | None) -> set[str]:
    """Return the domains of the people whom *allow* lets in, with an empty one if it lets in others too."""
    alternatives = allow.alternatives() if allow is not None else ((),)
    domains = set()
    for alternative in alternatives:
        named = {term.value for term in alternative if term.field == "email_domain"}
        domains |= named or {""}
    return domains if domains != {""} else {"", "any"}


def _check_address(section: Section, path: AttributePath) -> None:
    mode, proves_all = section["email_verified"], "write always if every address of this provider is proven"
    if path.segments != EMAIL_CLAIM:
        if mode != "always":
            section.add_problem(
                "email_verified",
                f"username is read from the address {path.text}, of which no claim says that it is verified: "
                f"{proves_all}, or map another claim to username in attribute_map",
            )
    elif mode == "never":
        section.add_problem(
            "email_verified",
            "with never nobody could sign in, because username is read from the address: map another claim to "
            "username in attribute_map",
        )
    elif section["issuer"] is None and section.is_valid("issuer") and "email_verified" not in section.sources:
        section.add_problem(
            "email_verified",
            "is missing: username is read from the address, and without an issuer there is no standard claim for "
            f"whether it is verified; write claim if the provider sends email_verified, {proves_all}",
        )


def has_unique_usernames(section: Section) -> bool:
    """Return whether the provider promises that its username, as its preset maps it, is one person's alone."""
    preset = section.preset
    return (
        preset is not None and preset.unique_usernames is True and "attribute_map" not in section.written_keys
    )


def check_together(main: Section, enabled: Mapping[str, Section]) -> None:
    """Check the enabled providers beside each other, and ``allow`` beside the fields that they map."""
    if main["directory"] is None and main.is_valid("directory") and len(enabled) > 1:
        _check_prefixes(enabled)
    _check_subject_spaces(enabled)
    if main["directory"] is not None:
        _check_services(main, enabled)
    if main["link_by"] == "verified_email":
        _check_linking(main, enabled)
    _check_allow(main, main, enabled, enabled)
    for name, section in enabled.items():
        if "allow" in section.sources:
            _check_allow(section, main, enabled, {name: section})
        alternatives = section["allow"].alternatives() if section["allow"] is not None else ()
        if alternatives and is_public(section) and all(_is_elsewhere(each, name) for each in alternatives):
            (section if "allow" in section.sources else main).add_problem(
                "allow",
                f"lets nobody of provider {name} in, which anyone on earth can join: say who of them may enter, like "
                f"provider:{name} and user:NAME, or take the provider out",
            )


def _check_services(main: Section, enabled: Mapping[str, Section]) -> None:
    """Check that no sign-in leads to a user who is a program: their issuer is ``public_url``."""
    for section in enabled.values():
        if main["public_url"] in user_issuers(section):
            section.add_problem(
                "issuer" if section["issuer"] is not None else "token_endpoint",
                "its users have public_url for their issuer, which is that of the users who are programs: give the "
                "application or the provider another address",
            )


def _check_linking(main: Section, enabled: Mapping[str, Section]) -> None:
    if main["directory"] is None and main.is_valid("directory"):
        main.add_problem("link_by", "needs a directory: set directory, or take this out")
    for section in enabled.values():
        if section["email_verified"] == "always":
            section.add_problem(
                "email_verified",
                "always is wrong with link_by = verified_email: whoever this provider gives an address would sign in "
                "as the user of another who has it; write claim, or link_by = none",
            )


def _check_allow(
    where: Section, main: Section, enabled: Mapping[str, Section], concerned: Mapping[str, Section]
) -> None:
    """Check the terms of an ``allow`` beside the providers whose people it judges."""
    if where["allow"] is None or not main.is_valid("directory"):
        return
    mapped = {name for section in concerned.values() for name in section["attribute_map"]}
    has_directory = main["directory"] is not None
    for term in dict.fromkeys(where["allow"].terms()):
        field = term.field
        if field == "organization" and not has_directory:
            where.add_problem(
                "allow", "organization: terms need a directory: only there does a person have organizations"
            )
        elif field == "group" and not has_directory and concerned and "groups" not in mapped:
            where.add_problem("allow", "group: terms fit nobody: no attribute_map maps groups")
        elif field == "group" and not has_directory and concerned and not is_read(term.value, concerned):
            where.add_problem("allow", f"{term} fits nobody: group_filter leaves that group out")
        elif field in ("email", "email_domain") and concerned and "email" not in mapped:
            where.add_problem("allow", f"{field}: terms fit nobody: no attribute_map maps email")
        elif field == "provider" and term.value not in enabled:
            where.add_problem("allow", f"{term} fits nobody: no enabled provider has that NAME")
        elif field == "provider" and term.value not in concerned:
            where.add_problem(
                "allow", f"{term} fits nobody: this allow is for provider {', '.join(concerned)} alone"
            )


def is_read(group: str, concerned: Mapping[str, Section]) -> bool:
    """Return whether ``group_filter`` of any of the providers reads that group."""
    filters = [section["group_filter"] for section in concerned.values()]
    return any(not patterns or any(fnmatchcase(group, each) for each in patterns) for patterns in filters)


def _check_subject_spaces(enabled: Mapping[str, Section]) -> None:
    """Check that two providers have the same users only if a setting says so: a user is (issuer, subject)."""
    for section in enabled.values():
        if section["same_users_as"] is not None and section.is_valid("same_users_as"):
            _check_same_users(section, enabled.get(section["same_users_as"]))
    by_issuer: dict[str, list[set[str]]] = {}
    for name, section in enabled.items():
        named = {name} | {
            other
            for other in enabled
            if section["same_users_as"] == other or enabled[other]["same_users_as"] == name
        }
        for issuer in sorted(user_issuers(section)):
            groups = by_issuer.setdefault(issuer, [])
            joined = [group for group in groups if not named.isdisjoint(group)]
            by_issuer[issuer] = [group for group in groups if group not in joined] + [named.union(*joined)]
    for issuer, (first, *others) in by_issuer.items():
        for group in others:
            name, other_name = (next(each for each in enabled if each in names) for names in (group, first))
            enabled[name].add_problem(
                "same_users_as",
                f"provider {other_name} has the issuer {issuer} as well, so that one subject would be one user of "
                f"both: write same_users_as = {other_name} if they have the same users, or take one of them out",
            )


def _check_same_users(section: Section, other: Section | None) -> None:
    if other is None or other is section:
        section.add_problem("same_users_as", "is not the NAME of another provider that is enabled")
        return
    issuers, others = user_issuers(section), user_issuers(other)
    if issuers and others and issuers.isdisjoint(others):
        section.add_problem(
            "same_users_as",
            f"that provider's users are those of {' '.join(sorted(others))}, and these of {' '.join(sorted(issuers))}: "
            "take this out",
        )
    elif section.is_valid("subject") and other.is_valid("subject") and section["subject"] != other["subject"]:
        section.add_problem(
            "same_users_as",
            f"one person's subject is read from {section['subject'].text} here and from {other['subject'].text} there: "
            "give both the same subject",
        )


def _check_prefixes(enabled: Mapping[str, Section]) -> None:
    """Check that prefixes tell two people apart who have one name at two providers; no directory does it here."""
    for name, section in enabled.items():
        if not section.is_valid("username_prefix"):
            continue
        prefix = section["username_prefix"]
        others = [other["username_prefix"] for other in enabled.values() if other is not section]
        if not prefix:
            section.add_problem(
                "username_prefix",
                "is missing: several providers may each have a user of one name; give each provider a prefix of its "
                f"own, like {name}:, or set a directory",
            )
        elif any(other.startswith(prefix) for other in others):
            section.add_problem(
                "username_prefix",
                f"another provider's prefix begins with {shown(prefix)}: make them distinct",
            )
