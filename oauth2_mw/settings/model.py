"""The settings as values, which every other package reads. Nothing outside this package reads raw strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from oauth2_mw.settings.grammar import AllowTerm, AttributePath, PathRule, Secret

Protect = Literal["required", "optional"]
ClientAuthMethod = Literal[
    "client_secret_basic", "client_secret_post", "none", "client_secret_jwt", "private_key_jwt"
]
ResponseMode = Literal["query", "form_post"]
GroupSync = Literal["first", "always", "never"]
RefreshFailure = Literal["end", "keep"]
TokenKind = Literal["id", "refresh", "access"]

#: bytes; what HS256 needs of a client secret for ``client_secret_jwt`` (RFC 7518, section 3.2)
MIN_SHARED_SECRET = 32


@dataclass(frozen=True, slots=True)
class Icon:
    """A provider's picture on the login page, read and checked at start-up."""

    content_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One identity provider. Keys and meanings are those of the parameter table in the README."""

    name: str
    label: str
    client_id: str
    client_secret: Secret | None
    client_auth_method: ClientAuthMethod
    #: the private key of ``private_key_jwt``: a PEM or a JWK
    client_key: Secret | None
    scope: tuple[str, ...]
    issuer: str | None
    authorization_endpoint: str | None
    token_endpoint: str | None
    userinfo_endpoint: str | None
    logout_endpoint: str | None
    #: RFC 7517 key set; with an issuer it comes from the metadata unless written.
    jwks_uri: str | None
    #: local field -> where it stands in the provider's claims
    attribute_map: Mapping[str, AttributePath]
    subject: AttributePath
    username_prefix: str
    #: names of transformations, applied in order
    username_transform: tuple[str, ...]
    icon: Icon | None
    organization: tuple[str, ...]
    always_update: bool
    group_sync: GroupSync
    sync_logout: bool
    pkce: bool
    response_mode: ResponseMode
    #: JWS algorithms that are accepted; ``None``: RS256 and what the metadata allows of the asymmetric ones
    algorithms: tuple[str, ...] | None
    #: seconds of clock difference that are forgiven
    leeway: int
    prompt: str | None
    #: seconds; ``None``: not asked for
    max_age: int | None
    acr_values: tuple[str, ...]
    ui_locales: str | None
    #: further parameters of the authorization request
    auth_params: Mapping[str, str]
    #: seconds
    session_lifetime: int
    session_idle: int
    refresh_failure: RefreshFailure
    ca_bundle: Path | None
    #: may carry a password
    proxy: str | None = field(repr=False)
    trust_env: bool
    #: a named strategy in ``provider/quirks.py`` for what data cannot express, or ``None``
    quirk: str | None
    #: a preset that anyone on earth can join
    public: bool

    @property
    def section(self) -> str:
        """The section of the INI in which it is written, for messages."""
        return "oauth2_mw" if self.name == "default" else f"provider:{self.name}"

    @property
    def is_oidc(self) -> bool:
        """Whether sign-ins are proven by an ID token (OpenID Connect) and not by userinfo alone (OAuth 2.0)."""
        return self.issuer is not None

    @property
    def user_issuer(self) -> str:
        """The first half of a user's key: the issuer, or without one the origin of the token endpoint."""
        if self.issuer is not None:
            return self.issuer
        parts = urlsplit(self.token_endpoint or "")
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an ``OAuth2Middleware`` needs, checked. ``oauth2_mw.Settings`` is this with its constructors."""

    #: scheme, host and mount, without a trailing slash
    public_url: str
    secret_keys: Secret
    #: starts with a slash, ends without one
    prefix: str
    protect: Protect
    public_paths: tuple[PathRule, ...]
    #: ``None``: everybody whom a provider vouches for
    allow: tuple[AllowTerm, ...] | None
    login_page: bool
    #: the URL of a session store; ``None``: sessions live in cookies
    session: Secret | None
    session_max_bytes: int
    keep_tokens: frozenset[TokenKind]
    cookie_name: str
    hide_cookies: bool
    #: a SQLAlchemy URL, or ``None``
    directory: Secret | None
    create_users: bool
    link_by: Literal["none", "verified_email"]
    strip_authorization: Literal["basic", "all", "none"]
    #: seconds
    revocation_sync: int
    insecure_http: bool
    preload: bool
    #: environ key -> source, checked: ``email``, ``claims.a.b``, ``id_token``
    environ: Mapping[str, str]
    #: by NAME, in the order in which they are written; only the enabled ones
    providers: Mapping[str, ProviderSettings]

    @property
    def secure(self) -> bool:
        """Whether browsers reach us over https, so that cookies carry ``Secure`` and the ``__Host-`` prefix."""
        return self.public_url.startswith("https://")

    @property
    def origin(self) -> str:
        """Scheme and authority of ``public_url``."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def environ_claims(self) -> tuple[AttributePath, ...]:
        """The claims that ``[environ]`` hands to the application."""
        prefix = "claims."
        sources = (source for source in self.environ.values() if source.startswith(prefix))
        return tuple(AttributePath.parse(source.removeprefix(prefix)) for source in sources)

    @property
    def mount(self) -> str:
        """The path of ``public_url``: what ``SCRIPT_NAME`` may be. Empty at the root."""
        return urlsplit(self.public_url).path
