"""What one key cannot know: whether the settings go together, and whether what they name is there.

Everything that stops a start is complained of in a :class:`~oauth2_mw.settings.sections.Section`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from oauth2_mw.settings.addresses import is_exposed, origin_of
from oauth2_mw.settings.document import MAIN
from oauth2_mw.settings.grammar import Secret, parse_key_file, parse_secret_keys
from oauth2_mw.settings.secret import MIN_SHARED_SECRET
from oauth2_mw.settings.sections import Section
from oauth2_mw.settings.text import shown

PROVIDER_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
RESERVED_NAMES = ("callback", "default", "done")

_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
#: what a client proves itself with -> what helps whoever left it out
_PROOFS: Mapping[str, str] = MappingProxyType(
    {
        "client_secret": "a public client has client_auth_method = none",
        "client_key": "like file:client-key.pem",
    }
)
_URLS = (*_ENDPOINTS, "logout_endpoint", "jwks_uri", "issuer")
#: Claims that change hands or can be chosen, and so never tell who somebody is.
_CHANGING = re.compile(
    r"e?mail|preferred_username|upn|unique_name|name|nickname|login|phone|phone_number", re.IGNORECASE
)
#: Issuers of Microsoft Entra that stand for many: their metadata names another issuer for each tenant.
_MANY_TENANTS = re.compile(r"https://login\.microsoftonline\.com/(?:common|organizations|consumers)/.*")
_NEEDS_DIRECTORY = ("organization", "always_update", "group_sync")
_EXPOSED = "plain http outside this machine can be read and changed on its way: write https"


def check_name(section: Section, name: str) -> None:
    """The NAME of a provider, which stands in URLs."""
    if name in RESERVED_NAMES:
        section.complain("", f"the name {name} is taken by a URL of ours: choose another")
    elif PROVIDER_NAME.fullmatch(name) is None:
        section.complain("", "a provider's NAME is a small letter, then up to 31 small letters, digits and -")


def check_main(main: Section) -> None:
    """The settings that a service has once."""
    if main["public_url"] is None and main.fine("public_url"):
        main.complain(
            "public_url",
            "is missing: write the URL under which browsers reach the application, like https://app.example.com",
        )
    if (
        main.fine("public_url", "insecure_http")
        and not main["insecure_http"]
        and is_exposed(main["public_url"])
    ):
        main.complain("public_url", f"{_EXPOSED} (on a closed test network: insecure_http = true)")
    if main["secret_keys"] is not None:
        check_keys(main, main["secret_keys"])
    elif main.fine("secret_keys"):
        main.complain("secret_keys", "is missing: make a key file with oauth2-mw keygen and write file:PATH")
    if main["directory"] is None and main.fine("directory") and main["create_users"] is False:
        main.complain("create_users", "needs a directory: set directory, or take this out")
    if main["session_idle"] is not None and "session_idle" in main.written:
        check_idle(main, idle=main["session_idle"], lifetime=main["session_lifetime"])


def check_keys(main: Section, keys: Secret) -> None:
    """Whether the keys can be read, and are keys."""
    try:
        text = keys.value()
        if keys.path is None:
            parse_secret_keys(text)
        else:
            parse_key_file(text)
    except OSError as error:
        main.complain("secret_keys", f"cannot be read: {error}")
    except ValueError as error:
        where = f"{keys.path}, " if keys.path is not None else ""
        main.complain("secret_keys", f"{where}{error}")


def check_idle(section: Section, *, idle: int, lifetime: int | None) -> None:
    """A session that may be idle for longer than it lives was meant otherwise."""
    if lifetime is not None and idle > lifetime:
        section.complain(
            "session_idle", "is longer than session_lifetime: make it shorter, or that one longer"
        )


def check_provider(section: Section, main: Section) -> None:
    """One provider that is enabled."""
    if section["client_id"] is None and section.fine("client_id"):
        section.complain("client_id", f"is missing: write the ID that the provider gave you{_meant(section)}")
    _check_authentication(section)
    _check_endpoints(section)
    _check_oidc(section)
    if main.fine("insecure_http") and not main["insecure_http"]:
        for key in _URLS:
            if section[key] is not None and is_exposed(section[key]):
                section.complain(key, f"{_EXPOSED} (on a closed test network: insecure_http = true)")
    plain = main["public_url"] is not None and main["public_url"].startswith("http://")
    if section["response_mode"] == "form_post" and plain:
        # The form comes from the provider's site, and browsers send a cookie along with it over https alone.
        section.complain(
            "response_mode", "form_post needs a public_url of https: take it out, or serve over https"
        )
    subject = section["subject"]
    if subject is not None and _CHANGING.fullmatch(str(subject.segments[-1])):
        section.complain(
            "subject", f"{subject.text} can change or be given to another person: write sub, id or oid"
        )
    if main["directory"] is None and main.fine("directory"):
        for key in _NEEDS_DIRECTORY:
            if key in section.written and section.fine(key):
                section.complain(key, "needs a directory: set directory in [oauth2_mw], or take this out")
    if main["allow"] is None and main.fine("allow") and is_public(section):
        main.complain(
            "allow",
            f"is missing: anyone on earth can join {section['provider']}; say who may enter, like "
            "email_domain:example.com or user:jane, or * for everybody",
        )
    if "refresh_failure" in section.written and section.fine("refresh_failure") and main.fine("keep_tokens"):
        kept = main["keep_tokens"]
        if "refresh" not in kept:
            section.complain(
                "refresh_failure",
                f"needs keep_tokens = {' '.join((*kept, 'refresh'))} in [oauth2_mw]: write that, or take this out",
            )
    bundle = section["ca_bundle"]
    if bundle is not None:
        try:
            with bundle.open("rb") as stream:
                stream.read(1)
        except OSError as error:
            section.complain("ca_bundle", f"cannot be read: {error}")


def _meant(section: Section) -> str:
    """For a section that is a provider by accident: why it is one."""
    if section.name != MAIN or {"issuer", "preset", *_PROOFS, *_ENDPOINTS} & section.written:
        return ""
    keys = ", ".join(sorted(section.written))
    return f" ({keys} in [{MAIN}] makes that section a provider: move it to a [provider:NAME] if it was not meant)"


def _check_authentication(section: Section) -> None:
    if not section.fine("client_auth_method", "client_secret", "client_key"):
        return
    method = section["client_auth_method"]
    proof = {"none": None, "private_key_jwt": "client_key"}.get(method, "client_secret")
    for key in _PROOFS:
        if key == proof:
            _check_proof(section, key, method)
        elif section[key] is not None:
            section.complain(key, f"is not used with client_auth_method = {method}: take one of the two out")
    if method == "none" and section["pkce"] is False:
        section.complain("pkce", "a client without a secret is protected by PKCE alone: take pkce = off out")


def _check_proof(section: Section, key: str, method: str) -> None:
    """The secret or key that the method needs. Whether a key can be used, the provider package checks."""
    if section[key] is None:
        section.complain(key, f"is missing: {method} needs it ({_PROOFS[key]})")
        return
    try:
        text = section[key].value()
    except OSError as error:
        section.complain(key, f"cannot be read: {error}")
        return
    if method == "client_secret_jwt" and len(text.encode("utf-8", "surrogatepass")) < MIN_SHARED_SECRET:
        section.complain(
            key,
            f"is too short: client_secret_jwt signs with it, which takes {MIN_SHARED_SECRET} bytes or more; have the "
            "provider make a longer one, or take another client_auth_method",
        )


def _check_endpoints(section: Section) -> None:
    if section["issuer"] is not None or not section.fine("issuer"):
        return
    missing = [key for key in _ENDPOINTS if section[key] is None and section.fine(key)]
    if len(missing) == len(_ENDPOINTS):
        example = section.example("issuer") or ", like https://id.example.com"
        section.complain(
            "issuer",
            f"is missing: write the OpenID Connect issuer{example}; or, for a provider without one, "
            f"{', '.join(_ENDPOINTS)}",
        )
        return
    for key in missing:
        section.complain(
            key, f"is missing: without an issuer every endpoint is written{section.example(key)}"
        )


def _check_oidc(section: Section) -> None:
    issuer = section["issuer"]
    if issuer is not None:
        if section["scope"] is not None and "openid" not in section["scope"]:
            section.complain("scope", "openid is missing: without it the issuer sends no ID token")
        if _MANY_TENANTS.fullmatch(issuer):
            section.complain(
                "issuer", "is for many tenants: write the one of yours, with its ID in place of the word"
            )
    elif section.fine("issuer"):
        for key in ("jwks_uri", "algorithms", "max_age", "acr_values"):
            if key in section.written and section[key] not in (None, ()):
                section.complain(key, "means nothing without an issuer: there is no ID token to check")


def is_public(section: Section) -> bool:
    """Whether the provider is one that anyone on earth can join."""
    preset = section.preset
    if preset is None or not section.fine("issuer", "token_endpoint"):
        return False
    issuer, token_endpoint = section["issuer"], section["token_endpoint"]
    return (issuer or (token_endpoint and origin_of(token_endpoint))) in preset.public


def check_together(main: Section, enabled: Mapping[str, Section]) -> None:
    """The enabled providers beside each other, and ``allow`` beside what they can say of a person."""
    if main["directory"] is None and main.fine("directory") and len(enabled) > 1:
        _check_prefixes(enabled)
    if not main.fine("allow", "directory"):
        return
    mapped = {name for section in enabled.values() for name in section["attribute_map"]}
    for field in {term.field for term in main["allow"] or ()}:
        if field == "organization" and main["directory"] is None:
            main.complain(
                "allow", "organization: terms need a directory: only there does a person have organizations"
            )
        elif field == "group" and main["directory"] is None and enabled and "groups" not in mapped:
            main.complain("allow", "group: terms fit nobody: no attribute_map maps groups")
        elif field in ("email", "email_domain") and enabled and "email" not in mapped:
            main.complain("allow", f"{field}: terms fit nobody: no attribute_map maps email")


def _check_prefixes(enabled: Mapping[str, Section]) -> None:
    """Two people may have one name at two providers; where nothing remembers who had it first, prefixes do."""
    for name, section in enabled.items():
        if not section.fine("username_prefix"):
            continue
        prefix = section["username_prefix"]
        others = [other["username_prefix"] for other in enabled.values() if other is not section]
        if not prefix:
            section.complain(
                "username_prefix",
                "is missing: several providers may each have a user of one name; give each provider a prefix of its "
                f"own, like {name}:, or set a directory",
            )
        elif any(other.startswith(prefix) for other in others):
            section.complain(
                "username_prefix",
                f"another provider's prefix begins with {shown(prefix)}: make them distinct",
            )
