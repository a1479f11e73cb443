"""oauth2-proxy's configuration as ours: its options, by the names of its file, are those of version 7."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from types import MappingProxyType
from urllib.parse import urlsplit

from oauth2_mw.cli.draft import Draft
from oauth2_mw.cli.foreign_files import Entry
from oauth2_mw.cli.terminal import CommandError, printable
from oauth2_mw.settings.fields import FIELDS
from oauth2_mw.settings.other_products import equivalent

_OURS = frozenset(field.name for field in FIELDS)
#: their provider -> our preset, where there is one; an OpenID provider needs none
_PRESETS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("google", "github", "gitlab", "gitea", "adfs", "facebook", "linkedin", "bitbucket"), ""
        ),
        "nextcloud": "",
        "keycloak-oidc": "keycloak",
        "azure": "microsoft",
        "entra-id": "microsoft",
        "oidc": "oidc",
    }
)
#: option -> our setting with the same value
_SAME: Mapping[str, str] = MappingProxyType(
    {
        "client_id": "client_id",
        "client_secret": "client_secret",
        "oidc_issuer_url": "issuer",
        "oidc_jwks_url": "jwks_uri",
        "login_url": "authorization_endpoint",
        "redeem_url": "token_endpoint",
        "profile_url": "userinfo_endpoint",
        "provider_display_name": "provider",
        "scope": "scope",
        "prompt": "prompt",
        "acr_values": "acr_values",
        "redis_connection_url": "session",
        "oidc_extra_audiences": "trusted_audiences",
        "provider_ca_files": "ca_bundle",
    }
)
_CLAIMS = MappingProxyType(
    {"user_id_claim": "username", "oidc_email_claim": "email", "oidc_groups_claim": "groups"}
)
#: the request headers by which it tells an application who is there
_HEADERS = MappingProxyType(
    {"X-Forwarded-User": "username", "X-Forwarded-Email": "email", "X-Forwarded-Groups": "groups"}
)
#: options that need nothing here, with these values
_NEEDLESS = MappingProxyType(
    {
        "code_challenge_method": ("S256",),
        "skip_provider_button": ("true",),
        "session_store_type": ("cookie", "redis"),
        "oidc_email_claim": ("email",),
        "oidc_groups_claim": ("groups",),
        "pass_user_headers": ("false",),
        "pass_access_token": ("false",),
        "cookie_refresh": ("0", "0s"),
        "skip_auth_preflight": ("false",),
    }
)
#: options that say who may enter, one of which suffices -> their common name; the others must hold beside them
_ALTERNATIVES = MappingProxyType(
    {
        **dict.fromkeys(("github_org", "github_user"), "github"),
        **dict.fromkeys(("allowed_group", "allowed_role", "gitlab_group"), "groups"),
    }
)


def convert_oauth2_proxy(entries: Iterable[Entry]) -> Draft:
    """Return our settings for those of an oauth2-proxy."""
    draft = Draft()
    options = {_singular(entry.name): entry for entry in entries if entry.values}
    options.setdefault("provider", Entry("provider", ("google",)))
    who: dict[str, list[str]] = {}
    for name, entry in options.items():
        if name in _NEEDLESS and all(value in _NEEDLESS[name] for value in entry.values):
            continue
        if name in _SAME:
            draft.main[_SAME[name]] = " ".join(entry.values)
        elif name in _CLAIMS:
            draft.attributes[_CLAIMS[name]] = entry.values[0]
        elif name in _WHO:
            who.setdefault(_ALTERNATIVES.get(name, name), []).extend(_WHO[name](entry.values, draft))
        elif name in _OTHERS:
            _OTHERS[name](entry.values, draft)
        else:
            _note(draft, entry.name)
    _allow(who, draft)
    if draft.attributes:
        draft.attributes.setdefault(
            "username", _USERNAME.get(options["provider"].values[0], "preferred_username")
        )
    return draft


#: the claim that is the username where the file names only others
_USERNAME = MappingProxyType({"github": "login", "google": "email"})


def _singular(name: str) -> str:
    """Return the name under which an option is known: variables and files have some in the plural."""
    names = (name, name.removesuffix("s"), f"{name}s")
    return next((each for each in names if each in _SAME or each in _WHO or each in _OTHERS), name)


def _note(draft: Draft, name: str) -> None:
    found = equivalent(name, _OURS)
    draft.notes[name] = str(found) if found is not None else "nothing here is known to be the same"


def _allow(who: Mapping[str, list[str]], draft: Draft) -> None:
    """Whoever enters there is of one of the domains *and* in one of the groups."""
    demands = [terms for terms in (*who.values(),) if terms]
    if demands:
        draft.main["allow"] = " ".join(" and ".join(each) for each in product(*demands))
    elif "email_domain" in who:
        draft.main["allow"] = "*"


def _domains(values: tuple[str, ...], draft: Draft) -> list[str]:
    if "*" in values:
        return []
    for value in values:
        if not re.fullmatch(r"[\w-]+(\.[\w-]+)+", value):
            draft.lost["email_domains"] = "allow takes whole domains: write each of them"
    return [f"email_domain:{value}" for value in values]


def term_value(text: str) -> str:
    """Return the value of a term, in quotes where it holds a blank.

    :raises CommandError: if it holds a quote itself, behind which the rest would be other terms.
    """
    if '"' in text:
        raise CommandError(f"{printable(text)}: no term of allow and rules holds a double quote: take it out")
    return f'"{text}"' if text.split() != [text] else text


def _groups(values: tuple[str, ...], _draft: Draft) -> list[str]:
    return [f"group:{term_value(value)}" for value in values]


def _github(values: tuple[str, ...], draft: Draft) -> list[str]:
    draft.attributes["groups"] = "groups"
    return _groups(values, draft)


def _users(values: tuple[str, ...], _draft: Draft) -> list[str]:
    return [f"user:{term_value(value)}" for value in values]


def _unsayable(advice: str, name: str) -> Callable[[tuple[str, ...], Draft], list[str]]:
    def lose(_values: tuple[str, ...], draft: Draft) -> list[str]:
        draft.lost[name] = advice
        return []

    return lose


#: options that say who may enter -> the terms of which one must hold
_WHO: Mapping[str, Callable[[tuple[str, ...], Draft], list[str]]] = MappingProxyType(
    {
        "email_domain": _domains,
        "allowed_group": _groups,
        "allowed_role": _groups,
        "gitlab_group": _groups,
        "github_org": _github,
        "github_user": _users,
        "github_team": _unsayable("write group:ORGANIZATION/TEAM into allow", "github_team"),
        "github_repo": _unsayable("write the people of that repository into allow", "github_repo"),
        "gitlab_project": _unsayable("write the groups of these projects into allow", "gitlab_project"),
        "bitbucket_team": _unsayable("write the people of that team into allow", "bitbucket_team"),
        "bitbucket_repository": _unsayable(
            "write the people of that repository into allow", "bitbucket_repository"
        ),
        "keycloak_group": _unsayable("write group: before each of them into allow", "keycloak_group"),
        "entra_id_allowed_tenant": _unsayable(
            "write their ids into tenants, and claim:tid= before each into allow", "entra_id_allowed_tenant"
        ),
        "google_group": _unsayable(
            "Google's groups are in no token: write others into allow", "google_group"
        ),
        "authenticated_emails_file": _unsayable(
            "write allow = file:PATH, with email: before each address of that file",
            "authenticated_emails_file",
        ),
        "htpasswd_file": _unsayable("there are no passwords here", "htpasswd_file"),
    }
)


def _provider(values: tuple[str, ...], draft: Draft) -> None:
    name = values[0]
    if name not in _PRESETS:
        draft.notes["provider"] = (
            "there is no preset for it: write issuer, or the endpoints and attribute_map"
        )
    elif name != "oidc":
        draft.main["preset"] = _PRESETS[name] or name


def _redirect(values: tuple[str, ...], draft: Draft) -> None:
    redirect_to(values[0], draft)


def redirect_to(url: str, draft: Draft) -> None:
    """Set ``public_url`` and ``callback_path`` so that a redirect URI and all paths stay what they are.

    :raises CommandError: if it is no URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise CommandError(f"the redirect URI {printable(url)} is no URL: {error}") from None
    draft.main["public_url"] = f"{parts.scheme}://{parts.netloc}"
    draft.main["callback_path"] = parts.path
    draft.notes["public_url"] = (
        "where a server mounts the application, add the mount, and take it off callback_path and the paths of rules"
    )


def _secret_file(values: tuple[str, ...], draft: Draft) -> None:
    draft.main["client_secret"] = f"file:{values[0]}"


def _expire(values: tuple[str, ...], draft: Draft) -> None:
    units = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"([0-9]{1,9})([hms])", values[0])
    if parts and "".join(map("".join, parts)) == values[0]:
        draft.main["session_lifetime"] = f"{sum(int(number) * units[unit] for number, unit in parts)}s"
    else:
        draft.notes["cookie_expire"] = "here it is called session_lifetime; write 8h, 7d or the like"


def _refresh(_values: tuple[str, ...], draft: Draft) -> None:
    draft.keep("refresh")


def _headers(_values: tuple[str, ...], draft: Draft) -> None:
    for header, source in _HEADERS.items():
        _tell(draft, header, source)


def _access_token(_values: tuple[str, ...], draft: Draft) -> None:
    draft.keep("access")
    _tell(draft, "X-Forwarded-Access-Token", "access_token")


def _tell(draft: Draft, header: str, source: str) -> None:
    draft.environ[f"HTTP_{header.upper().replace('-', '_')}"] = source


def _preflight(_values: tuple[str, ...], draft: Draft) -> None:
    draft.main["preflight"] = "pass"


def _login_page(_values: tuple[str, ...], draft: Draft) -> None:
    draft.main["login_page"] = "true"


def _tenant(values: tuple[str, ...], draft: Draft) -> None:
    draft.main.setdefault("issuer", f"https://login.microsoftonline.com/{values[0]}/v2.0")


def _public(values: tuple[str, ...], draft: Draft) -> None:
    """Patterns there are paths here: a pattern is one where it is anchored and holds nothing but a path."""
    for value in values:
        found = re.fullmatch(r"(?:([A-Z]+)=)?\^(/(?:[\w./~-]|\\[.-])*)(\$?)", value)
        path = re.sub(r"\\(.)", r"\1", found[2]) if found is not None else ""
        is_read = found is not None and "." not in re.sub(r"\\.", "", found[2])
        # Without an end it is all that begins so; a path here is one, or all below one that ends in a slash.
        if found is None or not is_read or (path != "/" and bool(found[3]) == path.endswith("/")):
            draft.notes["skip_auth_routes"] = (
                "some are patterns, and here there are paths, of which one that ends in / covers what is below it: "
                "write them as public rules in [access]"
            )
        else:
            exact = "$" if found[3] and path.endswith("/") else ""
            draft.rules.append(" ".join(filter(None, ("public", found[1], path + exact))))


_OTHERS: Mapping[str, Callable[[tuple[str, ...], Draft], None]] = MappingProxyType(
    {
        "provider": _provider,
        "redirect_url": _redirect,
        "client_secret_file": _secret_file,
        "cookie_expire": _expire,
        "cookie_refresh": _refresh,
        "pass_user_headers": _headers,
        "pass_access_token": _access_token,
        "skip_auth_preflight": _preflight,
        "skip_provider_button": _login_page,
        "azure_tenant": _tenant,
        "skip_auth_routes": _public,
        "skip_auth_regex": _public,
    }
)
