"""mod_auth_openidc's directives as our settings: those of version 2.4."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from urllib.parse import parse_qsl

from oauth2_mw.cli.draft import Draft
from oauth2_mw.cli.foreign_files import Entry
from oauth2_mw.cli.from_oauth2_proxy import redirect_to, term_value
from oauth2_mw.settings.fields import FIELDS
from oauth2_mw.settings.other_products import equivalent

_OURS = frozenset(field.name for field in FIELDS)
#: directive, in small letters -> our setting with the same value
_SAME: Mapping[str, str] = MappingProxyType(
    {
        "oidcproviderissuer": "issuer",
        "oidcproviderauthorizationendpoint": "authorization_endpoint",
        "oidcprovidertokenendpoint": "token_endpoint",
        "oidcprovideruserinfoendpoint": "userinfo_endpoint",
        "oidcproviderjwksuri": "jwks_uri",
        "oidcproviderendsessionendpoint": "logout_endpoint",
        "oidcclientid": "client_id",
        "oidcscope": "scope",
        "oidcresponsemode": "response_mode",
        "oidcidtokensignedresponsealg": "algorithms",
        "oidccabundlepath": "ca_bundle",
    }
)
#: directives that need nothing here, with these values
_NEEDLESS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "oidcresponsetype": ("code",),
        "oidcpkcemethod": ("s256",),
        "oidcresponsemode": ("query",),
        "oidcunauthaction": ("auth",),
        "oidcsslvalidateserver": ("on",),
        "oidccachetype": ("shm", "redis"),
        "oidcsessiontype": ("server-cache", "client-cookie"),
    }
)
_WELL_KNOWN = "/.well-known/openid-configuration"
_METHODS = ("client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none")


def convert_mod_auth_openidc(entries: Iterable[Entry]) -> Draft:
    """Return our settings for the directives of a file."""
    draft = Draft()
    listed = [*entries]
    hosts = [entry.values[0] for entry in listed if entry.name.lower() == "servername" and entry.values]
    for entry in listed:
        name, value = entry.name.lower(), " ".join(entry.values)
        if not name.startswith("oidc") or not value or value.lower() in _NEEDLESS.get(name, ()):
            continue
        section = entry.location.removeprefix("~ ")
        if section and name == "oidcunauthaction":
            # Of one section it would be an open door to all others.
            draft.notes[entry.name] = f"it holds in {section} alone there: write optional PATH in [access]"
            continue
        if section:
            draft.notes[entry.name] = f"it holds in {section} alone there; here it holds everywhere"
        if name in _SAME:
            draft.main[_SAME[name]] = value
        elif name in _OTHERS:
            _OTHERS[name](value, draft)
        else:
            found = equivalent(entry.name, _OURS)
            draft.notes[entry.name] = (
                str(found) if found is not None else "nothing here is known to be the same"
            )
    redirects = (entry.values for entry in listed if entry.name.lower() == "oidcredirecturi")
    redirect = next((values[0] for values in redirects if values), "")
    if redirect.startswith("/") and hosts:
        redirect = f"https://{hosts[0]}{redirect}"
    if "://" in redirect:
        redirect_to(redirect, draft)
    _locations(listed, draft)
    return draft


def _metadata(value: str, draft: Draft) -> None:
    if value.endswith(_WELL_KNOWN):
        draft.main.setdefault("issuer", value.removesuffix(_WELL_KNOWN))
    else:
        draft.main["metadata_url"] = value


def _secret(value: str, draft: Draft) -> None:
    if value.startswith("exec:"):
        draft.notes["OIDCClientSecret"] = (
            "write what that program prints into a file, and client_secret = file:PATH"
        )
    else:
        draft.main["client_secret"] = value


def _user(value: str, draft: Draft) -> None:
    claim, *pattern = value.split()
    if pattern or "@" in claim:
        draft.notes["OIDCRemoteUserClaim"] = (
            "attribute_map has the claim alone; nothing is added or cut out (see username_transform)"
        )
    draft.attributes["username"] = claim.partition("@")[0]


def _method(value: str, draft: Draft) -> None:
    if value in _METHODS:
        draft.main["client_auth_method"] = value
    else:
        draft.notes["OIDCProviderTokenEndpointAuth"] = f"here it is one of {', '.join(_METHODS)}"


def _parameters(value: str, draft: Draft) -> None:
    parameters = dict(parse_qsl(value, keep_blank_values=True))
    for name in ("prompt", "max_age", "acr_values", "ui_locales"):
        if name in parameters:
            draft.main[name] = parameters.pop(name)
    if parameters:
        draft.main["auth_params"] = json.dumps(parameters)


def _pkce(value: str, draft: Draft) -> None:
    if value.lower() == "none":
        draft.main["pkce"] = "off"
    else:
        draft.notes["OIDCPKCEMethod"] = "here it is S256, or off"


def _longest(value: str, draft: Draft) -> None:
    # 0 there: as long as the ID token.
    if value != "0":
        draft.main["session_lifetime"] = f"{value}s"


def _idle(value: str, draft: Draft) -> None:
    draft.main["session_idle"] = f"{value}s"


def _unauthenticated(value: str, draft: Draft) -> None:
    if value.lower() == "pass":
        draft.main["protect"] = "optional"
    else:
        draft.notes["OIDCUnAuthAction"] = "programs get 401 and people a sign-in, by themselves"


def _redis(value: str, draft: Draft) -> None:
    draft.main["session"] = f"redis://{value}"


def _redis_password(_value: str, draft: Draft) -> None:
    draft.notes["OIDCRedisCachePassword"] = "write session = file:PATH, of a file with redis://:PASSWORD@HOST"


def _nothing(_value: str, _draft: Draft) -> None:
    """Looked at elsewhere."""


_OTHERS: Mapping[str, Callable[[str, Draft], None]] = MappingProxyType(
    {
        "oidcprovidermetadataurl": _metadata,
        "oidcclientsecret": _secret,
        "oidcremoteuserclaim": _user,
        "oidcprovidertokenendpointauth": _method,
        "oidcauthrequestparams": _parameters,
        "oidcpkcemethod": _pkce,
        "oidcsessionmaxduration": _longest,
        "oidcsessioninactivitytimeout": _idle,
        "oidcunauthaction": _unauthenticated,
        "oidcrediscacheserver": _redis,
        "oidcrediscachepassword": _redis_password,
        "oidcredirecturi": _nothing,
    }
)


def _locations(entries: Iterable[Entry], draft: Draft) -> None:
    """What a location demands becomes a rule, the longest path first: there the last location that matches decides."""
    demands: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for entry in entries:
        if entry.name.lower() == "require" and entry.values:
            demands[entry.location].append(entry.values)
        elif entry.name.lower().startswith("require"):
            draft.lost[f"<{entry.name}> in {entry.location or 'the file'}"] = "write a rule of [access]"
    for path, required in sorted(demands.items(), key=lambda item: -len(item[0])):
        rule = _rule(path, required, draft)
        if rule:
            draft.rules.append(rule)


def _rule(path: str, required: list[tuple[str, ...]], draft: Draft) -> str:
    """Return the rule of a location, or an empty text where it needs none. One of what it requires must hold there."""
    words = [(first.lower(), *others) for first, *others in required]
    if path.startswith("~"):
        # A folder whose readers need only be signed in, or not even that, is behind a sign-in here anyway.
        if path.lower().startswith("~ location") or not {*words} <= {("valid-user",), ("all", "granted")}:
            draft.lost[f"<{path[2:]}>"] = "write a rule of [access]: rules have paths, and no patterns"
        return ""
    where = "/" if path in ("", "/") else f"{path.rstrip('/')} {path.rstrip('/')}/"
    if {*words} == {("all", "granted")}:
        return f"public {where}" if where != "/" else ""
    terms = []
    for first, *others in words:
        claims = [each.partition(":") for each in others]
        if first == "valid-user":
            return f"required {where}" if where != "/" else ""
        if first != "claim" or not all(colon and value and "~" not in name for name, colon, value in claims):
            draft.lost[f"Require in {path or 'the file'}"] = "write a rule of [access]: required PATH if TERM"
            return f"denied {where}"
        terms += [f"claim:{name}={term_value(value)}" for name, _, value in claims]
    return f"required {where} if {' or '.join(terms)}"
