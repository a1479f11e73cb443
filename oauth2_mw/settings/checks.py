"""Checks that one key alone cannot make: whether settings go together, and whether the files that they name exist.

Every problem is noted in the :class:`~oauth2_mw.settings.sections.Section` that it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from oauth2_mw.settings.addresses import is_exposed, origin_of
from oauth2_mw.settings.allow_list import AllowList
from oauth2_mw.settings.claim_names import EMAIL_CLAIM, is_address, is_changing
from oauth2_mw.settings.document import MAIN
from oauth2_mw.settings.grammar import AttributePath, Secret, parse_key_file, parse_secret_keys
from oauth2_mw.settings.secret import MIN_SHARED_SECRET
from oauth2_mw.settings.sections import Section
from oauth2_mw.settings.text import shown

PROVIDER_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
RESERVED_NAMES = ("callback", "default", "done")

_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
#: setting by which a client authenticates -> advice for an operator who left it out
_PROOFS: Mapping[str, str] = MappingProxyType(
    {
        "client_secret": "a public client has client_auth_method = none",
        "client_key": "like file:client-key.pem",
    }
)
_URLS = (*_ENDPOINTS, "logout_endpoint", "jwks_uri", "issuer")
#: Issuers of Microsoft Entra for many tenants: their metadata names another issuer for each.
_MANY_TENANTS = re.compile(r"https://login\.microsoftonline\.com/(?:common|organizations|consumers)/.*")
_NEEDS_DIRECTORY = ("organization", "always_update", "group_sync")
_EXPOSED = "plain http outside this machine can be read and changed on its way: write https"


def check_name(section: Section, name: str) -> None:
    """Check the NAME of a provider, which is part of URLs."""
    if name in RESERVED_NAMES:
        section.add_problem("", f"the name {name} is taken by a URL of ours: choose another")
    elif PROVIDER_NAME.fullmatch(name) is None:
        section.add_problem(
            "", "a provider's NAME is a small letter, then up to 31 small letters, digits and -"
        )


def check_main(main: Section) -> None:
    """Check the settings that a service has once."""
    if main["public_url"] is None and main.is_valid("public_url"):
        main.add_problem(
            "public_url",
            "is missing: write the URL under which browsers reach the application, like https://app.example.com",
        )
    if (
        main.is_valid("public_url", "insecure_http")
        and not main["insecure_http"]
        and is_exposed(main["public_url"])
    ):
        main.add_problem("public_url", f"{_EXPOSED} (on a closed test network: insecure_http = true)")
    if main["secret_keys"] is not None:
        check_keys(main, main["secret_keys"])
    elif main.is_valid("secret_keys"):
        main.add_problem(
            "secret_keys", "is missing: make a key file with oauth2-mw keygen and write file:PATH"
        )
    if main["directory"] is None and main.is_valid("directory") and main["create_users"] is False:
        main.add_problem("create_users", "needs a directory: set directory, or take this out")
    if main["session_idle"] is not None and "session_idle" in main.written_keys:
        check_idle(main, idle=main["session_idle"], lifetime=main["session_lifetime"])


def check_keys(main: Section, keys: Secret) -> None:
    """Check that the keys can be read, and are keys."""
    try:
        text = keys.value()
        if keys.path is None:
            parse_secret_keys(text)
        else:
            parse_key_file(text)
    except OSError as error:
        main.add_problem("secret_keys", f"cannot be read: {error}")
    except ValueError as error:
        where = f"{keys.path}, " if keys.path is not None else ""
        main.add_problem("secret_keys", f"{where}{error}")


def check_idle(section: Section, *, idle: int, lifetime: int | None) -> None:
    """Check that no session may be idle for longer than it lives."""
    if lifetime is not None and idle > lifetime:
        section.add_problem(
            "session_idle", "is longer than session_lifetime: make it shorter, or that one longer"
        )


def check_provider(section: Section, main: Section) -> None:
    """Check a provider that is enabled."""
    if section["client_id"] is None and section.is_valid("client_id"):
        section.add_problem(
            "client_id", f"is missing: write the ID that the provider gave you{_meant(section)}"
        )
    _check_authentication(section)
    _check_endpoints(section)
    _check_oidc(section)
    if main.is_valid("insecure_http") and not main["insecure_http"]:
        for key in _URLS:
            if section[key] is not None and is_exposed(section[key]):
                section.add_problem(key, f"{_EXPOSED} (on a closed test network: insecure_http = true)")
    plain = main["public_url"] is not None and main["public_url"].startswith("http://")
    if section["response_mode"] == "form_post" and plain:
        # The form comes from the provider's site, and browsers send a cookie along with it over https alone.
        section.add_problem(
            "response_mode", "form_post needs a public_url of https: take it out, or serve over https"
        )
    subject = section["subject"]
    if subject is not None and is_changing(subject):
        section.add_problem(
            "subject",
            f"{subject.text} is a name or an address, which can change or be given to another person: write the "
            "identifier that never changes, like sub, id or oid",
        )
    if main["directory"] is None and main.is_valid("directory"):
        for key in _NEEDS_DIRECTORY:
            if key in section.written_keys and section.is_valid(key):
                section.add_problem(key, "needs a directory: set directory in [oauth2_mw], or take this out")
    has_allow = section["allow"] is not None or main["allow"] is not None
    if not has_allow and section.is_valid("allow") and main.is_valid("allow") and is_public(section):
        main.add_problem(
            "allow",
            f"is missing: anyone on earth can join {section['provider']}; say who may enter, like "
            "email_domain:example.com or user:jane, or * for everybody",
        )
    if (
        "refresh_failure" in section.written_keys
        and section.is_valid("refresh_failure")
        and main.is_valid("keep_tokens")
    ):
        kept = main["keep_tokens"]
        if "refresh" not in kept:
            section.add_problem(
                "refresh_failure",
                f"needs keep_tokens = {' '.join((*kept, 'refresh'))} in [oauth2_mw]: write that, or take this out",
            )
    bundle = section["ca_bundle"]
    if bundle is not None:
        try:
            with bundle.open("rb") as stream:
                stream.read(1)
        except OSError as error:
            section.add_problem("ca_bundle", f"cannot be read: {error}")


def check_username(section: Section, main: Section) -> None:
    """Check that the text which becomes the username is one person's: a proven address, or a name of their own."""
    if not section.is_valid("attribute_map", "email_verified", "username_transform"):
        return
    path = section["attribute_map"].get("username")
    if path is not None and (path == section["attribute_map"].get("email") or is_address(path)):
        _check_address(section, path)
    if "localpart" in section["username_transform"] and len(_allowed_domains(section["allow"])) != 1:
        section.add_problem(
            "username_transform",
            "localpart makes one name of jane@a.example and jane@b.example: let one domain in alone, with allow = "
            "email_domain:example.com, or take localpart out",
        )
    if section["email_verified"] == "always" and is_public(section):
        section.add_problem(
            "email_verified",
            f"always is wrong for {section['provider']}, where anybody can register with any address: write claim",
        )
    is_shared = section.preset is not None and section.preset.unique_usernames is False
    needs_directory = is_shared and path is not None and "attribute_map" not in section.written_keys
    if needs_directory and main["directory"] is None and main.is_valid("directory"):
        section.add_problem(
            "preset",
            f"{section['provider']} does not promise that {path.text} is one person's alone: set directory in "
            "[oauth2_mw], which gives a name to one user, or map another claim to username in attribute_map",
        )


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


def _meant(section: Section) -> str:
    """Return why a section that may not have been meant as a provider is one, or an empty text."""
    if section.name != MAIN or {"issuer", "preset", *_PROOFS, *_ENDPOINTS} & section.written_keys:
        return ""
    keys = ", ".join(sorted(section.written_keys))
    return f" ({keys} in [{MAIN}] makes that section a provider: move it to a [provider:NAME] if it was not meant)"


def _check_authentication(section: Section) -> None:
    if not section.is_valid("client_auth_method", "client_secret", "client_key"):
        return
    method = section["client_auth_method"]
    proof = {"none": None, "private_key_jwt": "client_key"}.get(method, "client_secret")
    for key in _PROOFS:
        if key == proof:
            _check_proof(section, key, method)
        elif section[key] is not None:
            section.add_problem(
                key, f"is not used with client_auth_method = {method}: take one of the two out"
            )
    if method == "none" and section["pkce"] is False:
        section.add_problem(
            "pkce", "a client without a secret is protected by PKCE alone: take pkce = off out"
        )


def _check_proof(section: Section, key: str, method: str) -> None:
    """Check the secret or key that the method needs. Whether a key can be used is for the provider package to check."""
    if section[key] is None:
        section.add_problem(key, f"is missing: {method} needs it ({_PROOFS[key]})")
        return
    try:
        text = section[key].value()
    except OSError as error:
        section.add_problem(key, f"cannot be read: {error}")
        return
    if method == "client_secret_jwt" and len(text.encode("utf-8", "surrogatepass")) < MIN_SHARED_SECRET:
        section.add_problem(
            key,
            f"is too short: client_secret_jwt signs with it, which takes {MIN_SHARED_SECRET} bytes or more; have the "
            "provider make a longer one, or take another client_auth_method",
        )


def _check_endpoints(section: Section) -> None:
    if section["issuer"] is not None or not section.is_valid("issuer"):
        return
    missing = [key for key in _ENDPOINTS if section[key] is None and section.is_valid(key)]
    if len(missing) == len(_ENDPOINTS):
        example = section.example("issuer") or ", like https://id.example.com"
        section.add_problem(
            "issuer",
            f"is missing: write the OpenID Connect issuer{example}; or, for a provider without one, "
            f"{', '.join(_ENDPOINTS)}",
        )
        return
    for key in missing:
        section.add_problem(
            key, f"is missing: without an issuer every endpoint is written{section.example(key)}"
        )


def _check_oidc(section: Section) -> None:
    issuer = section["issuer"]
    if issuer is not None:
        if section["scope"] is not None and "openid" not in section["scope"]:
            section.add_problem("scope", "openid is missing: without it the issuer sends no ID token")
        if _MANY_TENANTS.fullmatch(issuer):
            section.add_problem(
                "issuer", "is for many tenants: write the one of yours, with its ID in place of the word"
            )
    elif section.is_valid("issuer"):
        for key in ("jwks_uri", "algorithms", "max_age", "acr_values"):
            if key in section.written_keys and section[key] not in (None, ()):
                section.add_problem(key, "means nothing without an issuer: there is no ID token to check")


def has_unique_usernames(section: Section) -> bool:
    """Return whether the provider promises that its username, as its preset maps it, is one person's alone."""
    preset = section.preset
    return (
        preset is not None and preset.unique_usernames is True and "attribute_map" not in section.written_keys
    )


def is_public(section: Section) -> bool:
    """Return whether anyone on earth can join the provider."""
    preset = section.preset
    if preset is None or not section.is_valid("issuer", "token_endpoint"):
        return False
    issuer, token_endpoint = section["issuer"], section["token_endpoint"]
    return (issuer or (token_endpoint and origin_of(token_endpoint))) in preset.public


def check_together(main: Section, enabled: Mapping[str, Section]) -> None:
    """Check the enabled providers beside each other, and ``allow`` beside the fields that they map."""
    if main["directory"] is None and main.is_valid("directory") and len(enabled) > 1:
        _check_prefixes(enabled)
    _check_subject_spaces(enabled)
    _check_allow(main, main, enabled, enabled)
    for name, section in enabled.items():
        if "allow" in section.sources:
            _check_allow(section, main, enabled, {name: section})


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
        elif field in ("email", "email_domain") and concerned and "email" not in mapped:
            where.add_problem("allow", f"{field}: terms fit nobody: no attribute_map maps email")
        elif field == "provider" and term.value not in enabled:
            where.add_problem("allow", f"{term} fits nobody: no enabled provider has that NAME")


def _check_subject_spaces(enabled: Mapping[str, Section]) -> None:
    """Check that two providers have the same users only if a setting says so: a user is (issuer, subject)."""
    for section in enabled.values():
        if section["same_users_as"] is not None and section.is_valid("same_users_as"):
            _check_same_users(section, enabled.get(section["same_users_as"]))
    by_issuer: dict[str, list[set[str]]] = {}
    for name, section in enabled.items():
        issuer = _user_issuer(section)
        if issuer is None:
            continue
        groups = by_issuer.setdefault(issuer, [])
        named = {name} | {
            other
            for other in enabled
            if section["same_users_as"] == other or enabled[other]["same_users_as"] == name
        }
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
    issuer, others = _user_issuer(section), _user_issuer(other)
    if issuer is not None and others is not None and issuer != others:
        section.add_problem(
            "same_users_as",
            f"that provider's users are those of {others}, and these of {issuer}: take this out",
        )
    elif section.is_valid("subject") and other.is_valid("subject") and section["subject"] != other["subject"]:
        section.add_problem(
            "same_users_as",
            f"one person's subject is read from {section['subject'].text} here and from {other['subject'].text} there: "
            "give both the same subject",
        )


def _user_issuer(section: Section) -> str | None:
    """Return the first half of a user's key (see ``ProviderSettings.user_issuer``), or ``None`` if it is not known."""
    if not section.is_valid("issuer", "token_endpoint"):
        return None
    token_endpoint = section["token_endpoint"]
    return section["issuer"] or (origin_of(token_endpoint) if token_endpoint else None)


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
