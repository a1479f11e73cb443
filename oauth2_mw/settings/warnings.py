"""Warnings about settings that are allowed and seldom meant."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path

from oauth2_mw.boundary import normalised_key
from oauth2_mw.settings import presets
from oauth2_mw.settings.access_rules import AccessRule
from oauth2_mw.settings.allow_list import AllowList, names_tenant
from oauth2_mw.settings.attribute_path import alternatives
from oauth2_mw.settings.grammar import AllowTerm, Secret
from oauth2_mw.settings.metrics_folder import folder_warning
from oauth2_mw.settings.model import ANY_AUDIENCE, ProviderSettings, Settings
from oauth2_mw.settings.rule_checks import about_own_urls, laxer_for_other_methods

#: Claims that are chosen freely: two people of one provider may have the same.
_NICKNAMES = frozenset({"nickname", "name", "display_name", "displayName", "given_name"})
#: The largest ``session_max_bytes`` beside which the usual servers have room for the application's own cookies.
_MAX_BYTES = 6000


def warnings(settings: Settings) -> tuple[str, ...]:
    """Return the warnings, a sentence each."""
    return tuple(_warnings(settings))


def _warnings(settings: Settings) -> Iterator[str]:
    yield from settings.doubts
    several = len(settings.providers) > 1
    for name, provider in settings.providers.items():
        groups = [str(term) for term in _terms(provider.allow) if term.field == "group"]
        if groups and settings.directory is not None and provider.group_sync == "first":
            yield (
                f"allow: {' '.join(groups)} reads the directory's groups, which under group_sync = first (provider "
                f"{name}) never follow the provider's: write group_sync = always, or keep them by hand"
            )
        public = next((each for each in provider.user_issuers if each in _public_issuers()), None)
        if provider.allow is None and not provider.public and public:
            yield f"provider {name}: anyone on earth can join {public}; write allow to say who may enter"
        if (
            provider.allow is not None
            and provider.allow.is_everybody
            and provider.allow is not settings.allow
        ):
            yield f"allow of provider {name}: * lets in all of its people, whatever allow in [oauth2_mw] says"
        if provider.trusted_audiences == ANY_AUDIENCE:
            yield (
                f"trusted_audiences of provider {name}: * accepts ID tokens that other applications may use too, as "
                "long as azp says that they were issued to this client"
            )
        if provider.accept_tokens and not settings.bearer_paths:
            yield (
                f"accept_tokens of provider {name}: its access tokens serve nowhere; say in bearer_paths where they "
                "are to, or take it out"
            )
        if "introspection" in provider.accept_tokens and not provider.token_audiences:
            yield (
                f"token_audiences of provider {name} is missing: every access token that it calls active opens "
                "bearer_paths, those for other applications too"
            )
        if provider.tenants:
            yield (
                f"tenants of provider {name}: people of {len(provider.tenants)} tenants can sign in, and the "
                "administrators of each decide what its tokens say of them"
            )
        if _leaves_metadata_endpoint_bare(provider):
            yield (
                f"logout_request of provider {name} is plain and logout_endpoint is missing: that of the metadata "
                "is then called without parameters, which some providers (Amazon Cognito) refuse; write it as a whole"
            )
        deciding = ", ".join(sorted(path.text for path in provider.deciding_claims))
        refreshes = "refresh" in settings.keep_tokens and provider.is_oidc
        if deciding and refreshes and not provider.refresh_needs_id_token:
            yield (
                f"allow or a rule reads {deciding} of provider {name}: if a refresh brings no ID token, what the last "
                "one said holds for up to session_lifetime; refresh_needs_id_token = true ends the session instead"
            )
        if several and settings.directory is not None and not provider.username_prefix:
            yield (
                f"username_prefix of provider {name} is missing: whoever comes first from any provider takes a name, "
                "and who has it elsewhere is refused"
            )
        if (shared := _shared_name(settings, provider)) is not None:
            yield (
                f"username of provider {name} is read from {shared}, which two people may share: map a claim that is "
                "one person's alone, or set a directory, which gives a name to one user"
            )
        if not provider.pkce and not provider.is_oidc:
            yield (
                f"provider {name} refuses PKCE and sends no nonce, so nothing binds a code to the browser that began "
                "the sign-in: who steals a code before it is used signs in as the person whose it is"
            )
        if provider.dialect in ("wechat", "wecom"):
            yield (
                f"provider {name} takes client_secret in the address of a request, which is sent over TLS and logged "
                "nowhere here: see that no proxy on the way opens it and keeps addresses"
            )
        for key, secret in (("client_secret", provider.client_secret), ("client_key", provider.client_key)):
            if secret is not None and _open_to_all(secret):
                yield f"{key} of provider {name}: every user of this machine can read {secret.path}"
    if settings.metrics == "prometheus" and (text := folder_warning(os.environ)) is not None:
        yield text
    if settings.compatible != "none":
        yield (
            f"compatible: {settings.compatible} is for the time of an upgrade; take it out when the last worker of "
            "that release has stopped"
        )
        if settings.keep_forms:
            yield (
                f"keep_forms: workers of {settings.compatible} cannot bring a kept form back; write it when the last "
                "of them has stopped"
            )
    if _open_to_all(settings.secret_keys):
        yield f"secret_keys: every user of this machine can read {settings.secret_keys.path}"
    yield from _rule_warnings(settings)
    for target in settings.environ:
        if normalised_key(target).startswith("HTTP_X_FORWARDED_") and not normalised_key(target).endswith(
            "_USER"
        ):
            yield f"[environ] {target}: applications take that header for the proxy's word about the connection"
    for header in settings.keep_headers:
        yield (
            f"keep_headers: whoever sends {header} tells the application who they are, unless the proxy in front "
            "overwrites it in every request"
        )
    if "refresh" in settings.keep_tokens and settings.session is None and settings.directory is None:
        yield (
            "keep_tokens: with refresh and sessions in cookies alone, two workers may use one refresh token at a time, "
            "which many providers take for theft, and end the sign-in: write a directory, or a store in session"
        )
    if settings.session is None and settings.session_max_bytes > _MAX_BYTES:
        yield (
            f"session_max_bytes: with {settings.session_max_bytes} a Cookie header may grow longer than servers take "
            "by default: 8190 octets in gunicorn (limit_request_field_size) and Apache (LimitRequestFieldSize), 8k in "
            "nginx (large_client_header_buffers), 4096 of all headers in uWSGI (buffer-size): let each take 16k, or "
            "keep sessions in a store"
        )
    if settings.link_by == "verified_email":
        yield (
            "link_by: with verified_email each provider decides by its word alone who signs in as a user of another: "
            "it must send email_verified = true only for an address that the person has shown to be theirs"
        )
    if "OAUTHLIB_INSECURE_TRANSPORT" in os.environ:
        yield (
            "OAUTHLIB_INSECURE_TRANSPORT is set, by which oauthlib takes plain http in all of this process: nothing "
            "of oauth2_mw depends on it; unset it unless the application needs it"
        )
    if settings.insecure_http:
        yield "insecure_http: passwords and sessions may cross the network in the clear"
    if not settings.providers:
        yield "no provider is enabled: protected paths answer 503"


def _rule_warnings(settings: Settings) -> Iterator[str]:
    paths = [*settings.public_paths, *(path for rule in settings.rules for path in rule.paths)]
    callbacks = [each.callback_path for each in settings.providers.values() if each.callback_path is not None]
    for sentence in about_own_urls(paths, settings.prefix, callbacks):
        yield f"rules: {sentence}, about which no rule decides: take it out"
    if not settings.rules:
        return
    yield (
        "rules: paths are compared with their case; where the application takes /Admin/ for /admin/, a rule about one "
        "says nothing of the other"
    )
    for rule, behind in laxer_for_other_methods(settings.rules, settings.protect):
        yield f"rules: {rule.text} names some methods alone, and for all others {behind} is laxer"
    yield from _tenant_warnings(settings)
    yield from _bearer_warnings(settings)
    groups = {str(term) for rule in settings.rules for term in rule.terms() if term.field == "group"}
    for name, provider in settings.providers.items():
        if groups and settings.directory is not None and provider.group_sync == "first":
            yield (
                f"rules: {' '.join(sorted(groups))} reads the directory's groups, which under group_sync = first "
                f"(provider {name}) never follow the provider's: write group_sync = always, or keep them by hand"
            )


def _bearer_warnings(settings: Settings) -> Iterator[str]:
    """Yield the delegated rules by which the application gets what could be a provider's token."""
    bearer = AccessRule("required", frozenset(), settings.bearer_paths, None, "")
    for rule in settings.rules:
        if rule.effect != "delegated" or "bearer" not in settings.app_schemes:
            continue
        if any(bearer.covers_path(path) for path in rule.paths) or any(
            map(rule.covers_path, settings.bearer_paths)
        ):
            yield (
                f"rules: {rule.text} leaves a Bearer to the application, where bearer_paths takes it for a provider's "
                "token: the application gets it, and nobody's identity; write app_schemes without Bearer if that is "
                "not meant"
            )


def _tenant_warnings(settings: Settings) -> Iterator[str]:
    """Yield the rules that let pass whom each tenant of a provider can name: ``allow`` may not."""
    several = [name for name, provider in settings.providers.items() if len(provider.tenants) > 1]
    for rule in settings.rules:
        anybodys = [
            alternative
            for alternative in rule.condition or ()
            if {term.field for term in alternative} & {"group", "claim"} and not names_tenant(alternative)
            if not any(term.field == "provider" and term.value not in several for term in alternative)
        ]
        if several and anybodys and rule.effect != "denied":
            yield (
                f"rules: {rule.text} lets pass whom each tenant of provider {' and '.join(several)} puts there: join "
                "claim:tid=TENANT-ID to it with and"
            )


def _leaves_metadata_endpoint_bare(provider: ProviderSettings) -> bool:
    is_plain = provider.logout_request == "plain" and provider.sync_logout
    return is_plain and provider.is_oidc and provider.logout_endpoint is None


def _terms(allow: AllowList | None) -> Iterable[AllowTerm]:
    return () if allow is None else allow.terms()


def _shared_name(settings: Settings, provider: ProviderSettings) -> str | None:
    """Return the claim that usernames are read from if its provider does not promise that it is unique."""
    username = provider.attribute_map.get("username")
    if username is None or provider.unique_usernames:
        return None
    for path in alternatives(username):
        if "localpart" in provider.username_transform or str(path.segments[-1]) in _NICKNAMES:
            return path.text
        if settings.directory is None and path.segments == ("preferred_username",):
            return path.text
    return None


@cache
def _public_issuers() -> Collection[str]:
    return {issuer for name in presets.names() for issuer in presets.read(name, Path()).public}


def _open_to_all(secret: Secret) -> bool:
    try:
        return secret.path is not None and bool(secret.path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
