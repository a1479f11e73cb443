"""Checks that one key alone cannot make: whether settings go together, and whether the files that they name exist.

Every problem is noted in the :class:`~oauth2_mw.settings.sections.Section` that it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from oauth2_mw.settings import client_checks
from oauth2_mw.settings.addresses import is_exposed, origin_of
from oauth2_mw.settings.claim_names import is_changing
from oauth2_mw.settings.document import MAIN
from oauth2_mw.settings.grammar import Secret, parse_key_file, parse_secret_keys
from oauth2_mw.settings.proxy_headers import bare_name
from oauth2_mw.settings.sections import Section
from oauth2_mw.settings.tenants import PLACEHOLDER, filled

PROVIDER_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
RESERVED_NAMES = ("callback", "default", "done")

_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
_URLS = (*_ENDPOINTS, "logout_endpoint", "jwks_uri", "metadata_url", "issuer", "introspection_endpoint")
#: Issuers of Microsoft Entra for many tenants: their metadata names another issuer for each.
_MANY_TENANTS = re.compile(r"https://login\.microsoftonline\.com/(?:common|organizations|consumers)/.*")
#: what means nothing without ID tokens
_OF_ID_TOKENS = (
    "jwks_uri",
    "metadata_url",
    "algorithms",
    "max_age",
    "acr_values",
    "tenants",
    "trusted_audiences",
    "refresh_needs_id_token",
)
#: how the redirect URIs of other products end
_CALLBACKS = ("/callback", "/redirect_uri", "/authorized", "/login/oauth2/code")
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
    _check_not_a_callback(main)
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
    if "forward_auth_headers" in main.written_keys and main["trusted_peers"] == ():
        main.add_problem(
            "forward_auth_headers",
            "means nothing without trusted_peers: write there who asks, or take this out",
        )
    if main["directory"] is None and main.is_valid("directory") and main["create_users"] is False:
        main.add_problem("create_users", "needs a directory: set directory, or take this out")
    _check_personal_tokens(main)
    if main["directory"] is None and main.is_valid("directory") and main["on_user_created"] is not None:
        main.add_problem("on_user_created", "needs a directory: set directory, or take this out")
    _check_signout_file(main)
    _check_ready_needs(main)
    if main["metrics"] == "prometheus" and main["metrics_peers"] == ():
        main.add_problem(
            "metrics",
            "needs metrics_peers: write the address from which Prometheus asks; a proxy would open them to all",
        )
    if main["session_idle"] is not None and "session_idle" in main.written_keys:
        check_idle(main, idle=main["session_idle"], lifetime=main["session_lifetime"])


def _check_not_a_callback(main: Section) -> None:
    """Check that nobody has pasted what is registered at a provider, from which other addresses would follow."""
    url, prefix = main["public_url"], main["prefix"]
    if url is None or prefix is None:
        return
    before, found, _ = f"{url}/".partition(f"{prefix}/login/")
    if found:
        main.add_problem(
            "public_url",
            f"is the redirect URI, which follows from it: write {before}, what stands before {prefix}",
        )
    elif url.endswith(_CALLBACKS):
        main.add_problem(
            "public_url",
            "looks like a redirect URI, which follows from it: write the address of the application alone (and "
            "callback_path for a redirect URI that is registered already)",
        )


def _check_ready_needs(main: Section) -> None:
    for need, key in (("store", "session"), ("directory", "directory")):
        if need in (main["ready_needs"] or ()) and main[key] is None and main.is_valid(key):
            main.add_problem("ready_needs", f"{need}: there is none to need; set {key}, or take {need} out")


def _check_signout_file(main: Section) -> None:
    path: Path | None = main["signout_file"]
    if path is None or not main.is_valid("signout_file", "directory", "session"):
        return
    if main["directory"] is None or main["session"] is not None:
        main.add_problem(
            "signout_file",
            "means nothing without a directory beside sessions in cookies, which tells the other workers: take it out",
        )
    elif not path.parent.is_dir():
        main.add_problem(
            "signout_file", f"the folder {path.parent} does not exist: make it, for the workers to write to"
        )
    elif path.is_symlink() or (path.exists() and (not path.is_file() or path.stat().st_mode & 0o077)):
        main.add_problem(
            "signout_file",
            f"{path} must be a regular file that its owner alone may read and write: chmod 600, or remove it",
        )


def _check_personal_tokens(main: Section) -> None:
    if main["personal_tokens"]:
        if main["directory"] is None and main.is_valid("directory"):
            main.add_problem(
                "personal_tokens", "needs a directory, where they are kept: set directory, or take this out"
            )
    elif main.is_valid("personal_tokens"):
        for key in ("personal_token_lifetime", "personal_token_owner_seen"):
            if key in main.written_keys and main.is_valid(key):
                main.add_problem(
                    key,
                    "means nothing without personal_tokens: say there where tokens serve, or take this out",
                )


def check_kept_headers(main: Section, targets: Iterable[str]) -> None:
    """Check that no header is kept under which we tell the application something ourselves."""
    own = {bare_name(target): target for target in targets}
    for header in main["keep_headers"] or ():
        if (target := own.get(bare_name(header))) is not None:
            main.add_problem(
                "keep_headers",
                f"{header} cannot be told from {target}, which [environ] writes: take one of the two out",
            )


def check_keys(main: Section, keys: Secret) -> None:
    """Check that the keys can be read, and are keys."""
    try:
        text = keys.value()
        if keys.path is None:
            parse_secret_keys(text)
        else:
            parse_key_file(text)
    except OSError as error:
        main.add_unreadable("secret_keys", error, missing="make it with oauth2-mw keygen, or check the path")
    except ValueError as error:
        where = f"{keys.path}, " if keys.path is not None else ""
        main.add_problem("secret_keys", f"{where}{error}")


def check_callback_paths(sections: Mapping[str, Section]) -> None:
    """Check that no two providers have one callback, where neither could tell whose an answer is.

    :param sections: the enabled providers by NAME.
    """
    names: dict[str, str] = {}
    for name, section in sections.items():
        path = section["callback_path"]
        if path is not None and names.setdefault(path, name) != name:
            section.add_problem(
                "callback_path", f"is that of provider {names[path]} already: each provider has its own"
            )


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
    client_checks.check_authentication(section)
    _check_pkce(section)
    _check_endpoints(section)
    _check_oidc(section)
    _check_dialect(section)
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
    path, prefix = section["callback_path"], main["prefix"]
    if path is not None and prefix is not None and f"{path}/".startswith(f"{prefix}/"):
        section.add_problem(
            "callback_path",
            "is under prefix, where our own URLs are: take it out, or write a path outside",
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
    kept = main["keep_tokens"]
    for key in ("refresh_failure", "refresh_needs_id_token"):
        # false is the default in words.
        if key not in section.written_keys or not section.is_valid(key) or section[key] is False:
            continue
        if main.is_valid("keep_tokens") and "refresh" not in kept:
            section.add_problem(
                key,
                f"needs keep_tokens = {' '.join((*kept, 'refresh'))} in [oauth2_mw]: write that, or take this out",
            )
    bundle = section["ca_bundle"]
    if bundle is not None:
        try:
            with bundle.open("rb") as stream:
                stream.read(1)
        except OSError as error:
            section.add_unreadable(
                "ca_bundle", error, missing="check the path of the file with the authority's certificates"
            )


def _meant(section: Section) -> str:
    """Return why a section that may not have been meant as a provider is one, or an empty text."""
    if (
        section.name != MAIN
        or {"issuer", "preset", *client_checks.PROOFS, *_ENDPOINTS} & section.written_keys
    ):
        return ""
    keys = ", ".join(sorted(section.written_keys))
    return f" ({keys} in [{MAIN}] makes that section a provider: move it to a [provider:NAME] if it was not meant)"


def _check_pkce(section: Section) -> None:
    """Check that something binds a code to the browser that began the sign-in (RFC 9700, section 4.5)."""
    if section["pkce"] is not False:
        return
    if section["client_auth_method"] == "none":
        section.add_problem(
            "pkce", "a client without a secret is protected by PKCE alone: take pkce = off out"
        )
    elif section["issuer"] is None and section.is_valid("issuer") and not _refuses_pkce(section):
        section.add_problem(
            "pkce",
            "without an issuer there is no nonce, and PKCE alone keeps a stolen code from signing its thief in: take "
            "pkce = off out, or write the issuer of an OpenID provider",
        )


def _refuses_pkce(section: Section) -> bool:
    return section.preset is not None and section.preset.refuses_pkce


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
            scope = " ".join(("openid", *section["scope"]))
            section.add_problem(
                "scope", f"openid is missing, and without it the issuer sends no ID token: write {scope}"
            )
        _check_tenants(section, issuer)
    elif section.is_valid("issuer"):
        if section["userinfo"] == "never":
            section.add_problem(
                "userinfo",
                "never lets nobody in without an issuer: only userinfo says who it is; take this out",
            )
        for key in _OF_ID_TOKENS:
            if key in section.written_keys and section[key] not in (None, ()) and section[key] is not False:
                section.add_problem(key, "means nothing without an issuer: there is no ID token to check")


def _check_dialect(section: Section) -> None:
    """Check that no setting asks for what a provider with words of its own does not know."""
    preset = section.preset
    if preset is None or preset.dialect is None:
        return
    name = section["provider"]
    if section["issuer"] is not None:
        section.add_problem("issuer", f"{name} knows no OpenID Connect: take it out")
    if section.is_valid("client_auth_method") and section["client_auth_method"] != "client_secret_post":
        section.add_problem("client_auth_method", f"{name} knows a client by its secret alone: take it out")
    if preset.refuses_pkce and section["pkce"]:
        section.add_problem("pkce", f"{name} knows no PKCE: take it out")
    if (
        preset.dialect == "wecom"
        and section.is_valid("auth_params")
        and "agentid" not in section["auth_params"]
    ):
        section.add_problem(
            "auth_params", f"agentid, the number of the app, is missing{section.example('auth_params')}"
        )


def _check_tenants(section: Section, issuer: str) -> None:
    if _MANY_TENANTS.fullmatch(issuer):
        section.add_problem(
            "issuer",
            "is for many tenants: write the one of yours, with its ID in place of the word; or for several tenants "
            f"{PLACEHOLDER} in its place, and their IDs in tenants",
        )
    elif PLACEHOLDER in issuer and not section["tenants"] and section.is_valid("tenants"):
        section.add_problem(
            "tenants",
            f"is missing: write the IDs of the tenants whose people can sign in, for which {PLACEHOLDER} stands; allow "
            "then says who of them may enter",
        )
    elif PLACEHOLDER not in issuer and section["tenants"]:
        section.add_problem(
            "tenants",
            f"means nothing where the issuer is that of one tenant: write {PLACEHOLDER} in place of its ID",
        )


def user_issuers(section: Section) -> frozenset[str]:
    """Return the first halves of its users' keys (see ``ProviderSettings.user_issuers``), as far as they are known."""
    if not section.is_valid("issuer", "tenants", "token_endpoint"):
        return frozenset()
    issuer, token_endpoint = section["issuer"], section["token_endpoint"]
    if issuer is None:
        return frozenset({origin_of(token_endpoint)} if token_endpoint else ())
    return frozenset(filled(issuer, tenant) for tenant in section["tenants"]) or frozenset({issuer})


def is_public(section: Section) -> bool:
    """Return whether anyone on earth can join the provider."""
    return section.preset is not None and not user_issuers(section).isdisjoint(section.preset.public)
