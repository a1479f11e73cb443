"""The settings as values, which every other package reads. Nothing outside this package reads raw strings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from oauth2_mw.settings import load
from oauth2_mw.settings.access_rules import AccessRule
from oauth2_mw.settings.addresses import origin_of
from oauth2_mw.settings.allow_list import AllowList
from oauth2_mw.settings.app_cookies import AppCookie
from oauth2_mw.settings.app_logout import AppLogout
from oauth2_mw.settings.attribute_path import AttributePath, Source, alternatives
from oauth2_mw.settings.branding import Accent, Contact
from oauth2_mw.settings.claim_names import username_addresses
from oauth2_mw.settings.environ_keys import EnvironForm, claim_paths
from oauth2_mw.settings.forward_auth import ForwardAuthHeaders
from oauth2_mw.settings.grammar import AllowTerm, PathRule, Secret
from oauth2_mw.settings.icons import Icon
from oauth2_mw.settings.peers import Peer
from oauth2_mw.settings.presets import DialectName, QuirkName
from oauth2_mw.settings.tenants import filled

Protect = Literal["required", "optional", "on-401"]
ClientAuthMethod = Literal[
    "client_secret_basic", "client_secret_post", "none", "client_secret_jwt", "private_key_jwt"
]
AssertionAudience = Literal["issuer", "token_endpoint"]
EmailVerified = Literal["claim", "text", "always", "never"]
Userinfo = Literal["when-needed", "always", "never"]
ResponseMode = Literal["query", "form_post"]
LogoutRequest = Literal["oidc", "plain"]
GroupSync = Literal["first", "always", "never"]
RefreshFailure = Literal["end", "keep"]
SiteData = Literal["cache", "cookies", "storage"]
TokenKind = Literal["id", "refresh", "access"]
AcceptedTokens = Literal["jwt", "jwt-untyped", "introspection"]
#: ``trusted_audiences = *``
ANY_AUDIENCE = ("*",)
#: ``ui_locales = browser``
BROWSER_LANGUAGES = "browser"


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One identity provider. What each setting means is said where it is declared, in ``fields``."""

    name: str
    #: the name on the login page
    label: str
    client_id: str
    client_secret: Secret | None
    client_auth_method: ClientAuthMethod
    client_key: Secret | None
    client_certificate: Secret | None
    client_assertion_audience: AssertionAudience
    client_assertion_algorithm: str | None
    scope: tuple[str, ...]
    #: may hold ``{tenantid}``; see :attr:`issuers`
    issuer: str | None
    #: the tenants that are let in where the issuer is a template, as UUIDs in lower case
    tenants: tuple[str, ...]
    authorization_endpoint: str | None
    token_endpoint: str | None
    userinfo_endpoint: str | None
    logout_endpoint: str | None
    jwks_uri: str | None
    metadata_url: str | None
    userinfo: Userinfo
    attribute_map: Mapping[str, Source]
    #: whether the map is written, in the file or in a preset, and not our own
    has_written_map: bool
    #: patterns of the groups that are read; empty for all
    group_filter: tuple[str, ...]
    subject: AttributePath
    same_users_as: str | None
    #: its own, or the one of all providers; ``None``: everybody whom the provider vouches for
    allow: AllowList | None
    #: those of the whole service
    rules: tuple[AccessRule, ...]
    trusted_audiences: tuple[str, ...]
    email_verified: EmailVerified
    username_prefix: str
    username_transform: tuple[str, ...]
    icon: Icon | None
    organization: tuple[str, ...]
    always_update: bool
    group_sync: GroupSync
    sync_logout: bool
    logout_request: LogoutRequest
    pkce: bool
    response_mode: ResponseMode
    #: compared with ``PATH_INFO``
    callback_path: str | None
    algorithms: tuple[str, ...] | None
    #: seconds
    leeway: int
    #: seconds, or ``None``
    access_token_lifetime: int | None
    prompt: str | None
    #: seconds
    max_age: int | None
    acr_values: tuple[str, ...]
    ui_locales: str | None
    auth_params: Mapping[str, str]
    #: seconds
    session_lifetime: int
    #: seconds
    session_idle: int
    accept_tokens: tuple[AcceptedTokens, ...]
    token_audiences: tuple[str, ...]
    token_audience_claim: AttributePath
    #: an issuer that access tokens may name -> the issuer of their users
    token_issuers: Mapping[str, str]
    token_scopes: tuple[str, ...]
    introspection_endpoint: str | None
    refresh_failure: RefreshFailure
    refresh_needs_id_token: bool
    ca_bundle: Path | None
    #: may hold a password
    proxy: str | None = field(repr=False)
    trust_env: bool
    #: the strategy of ``provider/quirks.py`` for what the data of a preset cannot express
    quirk: QuirkName | None
    #: the strategy of ``provider/dialects``; ``None`` for a provider that speaks as the specifications do
    dialect: DialectName | None
    #: whether it is known to take ``prompt=select_account``
    selects_account: bool
    #: whether anyone on earth can join it
    public: bool
    #: whether it promises that the username is one person's alone
    unique_usernames: bool

    @property
    def section(self) -> str:
        """The section of the INI in which it is written, for messages."""
        return "oauth2_mw" if self.name == "default" else f"provider:{self.name}"

    @property
    def is_oidc(self) -> bool:
        """Whether an ID token proves a sign-in (OpenID Connect), and not userinfo alone (OAuth 2.0)."""
        return self.issuer is not None

    @property
    def accepts_jwts(self) -> bool:
        """Whether access tokens are read here, and not by the provider alone."""
        return not {"jwt", "jwt-untyped"}.isdisjoint(self.accept_tokens)

    @property
    def can_ask_for_account(self) -> bool:
        """Whether a ``prompt`` makes the provider ask who the person is, even if it knows one already."""
        return self.is_oidc or self.selects_account

    @property
    def username_is_address(self) -> bool:
        """Whether usernames are, or may be, e-mail addresses, judged by the claims that they are read from."""
        return bool(username_addresses(self.attribute_map))

    @property
    def deciding_claims(self) -> frozenset[AttributePath]:
        """The claims by which ``allow`` and the rules decide, as far as the other settings let them."""
        found: set[Source | None] = set()
        for term in self.deciding_terms():
            match term.field:
                case "claim":
                    found.add(term.claim()[0])
                case "user":
                    found.add(self.attribute_map.get("username"))
                case "group":
                    found.add(self.attribute_map.get("groups"))
                case "email" | "email_domain" if self.email_verified != "never":
                    found.add(self.attribute_map.get("email"))
                    if self.email_verified != "always":
                        found.add(AttributePath.parse("email_verified"))
        return frozenset(alternatives(source)[0] for source in found if source is not None)

    def deciding_terms(self) -> Iterator[AllowTerm]:
        """Yield the terms of ``allow`` and of the rules."""
        if self.allow is not None:
            yield from self.allow.terms()
        for rule in self.rules:
            yield from rule.terms()

    def denying_terms(self) -> Iterator[AllowTerm]:
        """Yield the terms of the rules that keep out whom they fit."""
        for rule in self.rules:
            if rule.effect == "denied":
                yield from rule.terms()

    @property
    def claims_of_rules(self) -> frozenset[AttributePath]:
        """The claims that a rule reads at every request, so that a session must keep them."""
        found: set[AttributePath] = set()
        for rule in self.rules:
            for term in rule.terms():
                if term.field == "claim":
                    found.add(term.claim()[0])
                elif term.field in ("email", "email_domain"):
                    found.add(AttributePath.parse("email_verified"))
                    if (source := self.attribute_map.get("email")) is not None:
                        found.update(alternatives(source))
        return frozenset(found)

    @property
    def issuers(self) -> tuple[str, ...]:
        """The issuers whose ID tokens are accepted: one for each tenant of a template, and none without an issuer."""
        if self.issuer is None:
            return ()
        return tuple(filled(self.issuer, tenant) for tenant in self.tenants) or (self.issuer,)

    @property
    def user_issuers(self) -> tuple[str, ...]:
        """The first halves of its users' keys: its issuers, or without one the origin of the token endpoint."""
        return self.issuers or (origin_of(self.token_endpoint or ""),)

    def at(self, issuer: str | None) -> ProviderSettings:
        """Return these settings for the tenant alone whose issuer that is, or for all if it is none of theirs."""
        tenants = tuple(each for each in self.tenants if filled(self.issuer or "", each) == issuer)
        return dataclasses.replace(self, tenants=tenants) if tenants else self


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one application, checked (``oauth2_mw.Settings``). What each means is said in ``fields``.

    Where the same key is written in several places the environment wins (``OAUTH2_MW_CLIENT_ID``,
    ``OAUTH2_MW_<NAME>__CLIENT_ID``), then the written key, then the preset, then the default.
    """

    #: scheme, host and mount, without a trailing slash
    public_url: str
    secret_keys: Secret
    #: starts with a slash, ends without one
    prefix: str
    protect: Protect
    public_paths: tuple[PathRule, ...]
    odd_paths: tuple[PathRule, ...]
    keep_forms: tuple[PathRule, ...]
    keep_fragment: bool
    #: in their order
    rules: tuple[AccessRule, ...]
    #: in lower case
    app_schemes: tuple[str, ...]
    cors_origins: tuple[str, ...]
    preflight: Literal["answer", "pass", "refuse"]
    trusted_peers: tuple[Peer, ...]
    ready_needs: tuple[Literal["store", "directory", "providers"], ...]
    audit_format: Literal["logfmt", "json"]
    metrics: Literal["none", "prometheus"]
    metrics_peers: tuple[Peer, ...]
    forward_auth_headers: ForwardAuthHeaders
    allow: AllowList | None
    login_page: bool
    #: what the pages call the application
    title: str
    logo: Icon | None
    accent: Accent | None
    contact: Contact | None
    #: a folder
    templates: Path | None
    #: the URL of a session store, or ``None`` if sessions live in cookies
    session: Secret | None
    session_max_bytes: int
    keep_tokens: frozenset[TokenKind]
    cookie_name: str
    hide_cookies: bool
    app_cookies: tuple[AppCookie, ...]
    app_logout_paths: tuple[AppLogout, ...]
    #: the URL of a SQLite or PostgreSQL database
    directory: Secret | None
    create_users: bool
    link_by: Literal["none", "verified_email"]
    strip_authorization: Literal["basic", "all", "none"]
    #: where they serve; empty for nowhere
    personal_tokens: tuple[PathRule, ...]
    #: seconds
    personal_token_lifetime: int
    #: seconds
    personal_token_owner_seen: int
    #: where access tokens serve; empty for nowhere
    bearer_paths: tuple[PathRule, ...]
    #: names of headers
    keep_headers: tuple[str, ...]
    shared_caches: Literal["refuse", "respect"]
    clear_site_data: tuple[SiteData, ...]
    #: seconds
    revocation_sync: int
    provider_calls: int
    #: seconds
    refresh_timeout: int
    signout_file: Path | None
    #: the release whose workers still share the directory, the store and the cookies
    compatible: Literal["none", "0.1"]
    #: ``module:name`` or ``module.name``, as the next two
    on_login: str | None
    on_user_created: str | None
    on_logout: str | None
    insecure_http: bool
    preload: bool
    #: environ key -> source: ``email``, ``claims.a.b``, ``id_token``
    environ: Mapping[str, str]
    #: environ key -> the form of its value, where one is written
    environ_forms: Mapping[str, EnvironForm]
    #: the enabled ones by NAME, in the order in which they are written
    providers: Mapping[str, ProviderSettings]
    #: what is allowed in the texts and seldom meant, a sentence each
    doubts: tuple[str, ...] = field(repr=False, compare=False)

    @classmethod
    def from_ini(cls, path: str | Path) -> Settings:
        """Read an INI file and the environment.

        :param path: the file, or ``app.ini#sso``: the section of a filter in a PasteDeploy file. Relative paths inside
            it are looked up from its own folder.
        :raises ConfigError: with every problem found.
        """
        return cls._of(load.from_ini(path))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], *, base: str | Path = ".") -> Settings:
        """Read a mapping, sections as nested mappings (``{"public_url": ..., "provider:corp": {...}}``).

        The environment is read too.

        :param base: the folder from which relative paths are looked up.
        :raises ConfigError: with every problem found.
        """
        return cls._of(load.from_mapping(mapping, base=base))

    @classmethod
    def from_paste(cls, global_conf: Mapping[str, str], local_conf: Mapping[str, str]) -> Settings:
        """Read the section of a PasteDeploy filter, ``config = PATH``, keys inline or both, and the environment.

        :param global_conf: ``here`` is the folder from which relative paths are looked up; a setting of ours in it is a
            problem.
        :param local_conf: the keys of the filter's own section.
        :raises ConfigError: with every problem found.
        """
        return cls._of(load.from_paste(global_conf, local_conf))

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Settings:
        providers = {
            name: ProviderSettings(**_fields_of(ProviderSettings, provider))
            for name, provider in values["providers"].items()
        }
        return cls(**_fields_of(cls, {**values, "providers": MappingProxyType(providers)}))

    @property
    def secure(self) -> bool:
        """Whether browsers reach us over https, so that cookies carry ``Secure`` and the ``__Host-`` prefix."""
        return self.public_url.startswith("https://")

    @property
    def origin(self) -> str:
        """Scheme and authority of ``public_url``."""
        return origin_of(self.public_url)

    @property
    def environ_claims(self) -> tuple[AttributePath, ...]:
        """The claims that ``[environ]`` hands to the application."""
        return claim_paths(self.environ)

    @property
    def kept_claims(self) -> frozenset[str]:
        """The names of the claims that settings read after the sign-in: a session always keeps them."""
        read = {path for provider in self.providers.values() for path in provider.claims_of_rules}
        return frozenset(path.root for path in {*self.environ_claims, *read})

    @property
    def mount(self) -> str:
        """The path of ``public_url``: what ``SCRIPT_NAME`` may be. Empty at the root."""
        return urlsplit(self.public_url).path


def _fields_of(cls: type[Settings | ProviderSettings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that become fields: some keys are of use while settings are read, and no longer."""
    return {field.name: values[field.name] for field in dataclasses.fields(cls)}
