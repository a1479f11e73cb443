"""Every setting, declared once.

The readers, the error messages, the environment variables and the reference in the docs are made from this table. The
types of the values are in :mod:`~oauth2_mw.settings.model`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

from oauth2_mw.settings import addresses, converters
from oauth2_mw.settings.converters import Convert, choice, choices, duration, integer, optional, plain, words
from oauth2_mw.settings.grammar import AttributePath, PathRule, parse_bool
from oauth2_mw.settings.text import shown

#: In ``[oauth2_mw]``, in each provider, in both (the provider's wins), or in ``[access]``.
Scope = Literal["global", "provider", "both", "access"]

DAY = 86400
_NOT_YET = "not available yet in this version"


@dataclass(frozen=True, slots=True)
class Field:
    """The declaration of one setting."""

    name: str
    scope: Scope
    convert: Convert
    #: one sentence or two, for the reference
    help: str
    _: KW_ONLY
    #: the text that is read when nothing is written, or ``None`` if what holds then depends on other settings
    default: str | None = ""
    #: the default in words, where *default* does not say it
    note: str = ""
    #: whether the value is kept out of every message
    secret: bool = False
    #: the words that a later version will accept, or ``*`` for every value but the default
    later: str = ""

    def read(self, text: str, base: Path) -> Any:
        """Convert a text.

        :param base: the folder from which relative paths are looked up.
        :raises ValueError: if it is not valid, with what to write instead.
        """
        value = self.convert(text, base)
        if self.later == "*" and value != self.convert(self.default or "", base):
            raise ValueError(f"{_NOT_YET}: leave it out")
        chosen = value if isinstance(value, tuple) else (value,)
        for word in self.later.split():
            if word in chosen:
                raise ValueError(f"{shown(word)} is {_NOT_YET}: leave it out")
        return value


_boolean = plain(parse_bool)
_line = optional(converters.line)


def _url(name: str, help_: str, **more: Any) -> Field:
    return Field(name, "provider", optional(addresses.parse_endpoint), help_, **more)


FIELDS: tuple[Field, ...] = (
    # What a service has once
    Field(
        "public_url",
        "global",
        optional(addresses.parse_public_url),
        "The URL under which browsers reach the application, mount included; every URL of ours is built from it.",
        note="required",
    ),
    Field(
        "secret_keys",
        "global",
        converters.secret_keys,
        "The keys that seal cookies: base64url of 32 bytes each, newest first, or file:PATH to a key file that is read "
        "again when it changes; oauth2-mw keygen makes one.",
        note="required",
        secret=True,
    ),
    Field(
        "prefix",
        "global",
        plain(addresses.parse_prefix),
        "The path under which our own URLs are.",
        default="/auth/oauth2",
    ),
    Field(
        "protect",
        "global",
        choice("required", "optional", "on-401"),
        "Whether every path needs a signed-in person (required), or the application decides (optional).",
        default="required",
        later="on-401",
    ),
    Field(
        "public_paths",
        "global",
        words(PathRule.parse),
        "Paths of the application that need nobody; one that ends in / covers everything below it.",
    ),
    Field(
        "allow",
        "global",
        converters.allow,
        "Who may enter at all: * for everybody, or terms of which one suffices, like email_domain:example.com "
        "group:staff user:jane email:jane@example.com organization:DEFAULT claim:address.country=NO; a value with "
        "spaces needs quotes.",
        default=None,
        note="everybody whom a provider vouches for",
    ),
    Field(
        "login_page",
        "global",
        _boolean,
        "Show the page with the buttons with one provider, too.",
        default="false",
    ),
    Field(
        "session",
        "global",
        converters.session,
        "Where sessions are kept: cookie, or the URL of a session store (or env:NAME, file:PATH): redis://, rediss://, "
        "redis+sentinel://, redis+cluster://, or a SQLAlchemy URL; a relative SQLite path is looked up from the folder "
        "of the INI file.",
        default="cookie",
        secret=True,
    ),
    Field(
        "session_lifetime",
        "both",
        duration(1, 365 * DAY),
        "How long a sign-in lasts at most.",
        default="8h",
    ),
    Field(
        "session_idle",
        "both",
        duration(1, 365 * DAY),
        "How long a sign-in lasts without a request.",
        default="1h",
    ),
    Field(
        "session_max_bytes",
        "global",
        integer(1000, 7000),
        "What the session cookie may take; beyond it the access token, the ID token and unmapped claims are left out.",
        default="6000",
    ),
    Field(
        "keep_tokens",
        "global",
        choices("id", "refresh", "access"),
        "Which of the provider's tokens the session keeps: any of id, refresh and access, or none. With refresh, "
        "tokens and what is known of the person are refreshed before the access token ends.",
        default="id",
    ),
    Field(
        "cookie_name",
        "global",
        converters.cookie_name,
        "The name from which our cookies' names are made.",
        default="oauth2_mw",
    ),
    Field(
        "hide_cookies", "global", _boolean, "Cut our cookies from what the application sees.", default="true"
    ),
    Field(
        "app_cookies",
        "global",
        words(none=True),
        "The application's own session cookies, which end with our session.",
        note="none",
        later="*",
    ),
    Field(
        "directory",
        "global",
        converters.directory,
        "Where users are remembered: a SQLAlchemy URL (or env:NAME, file:PATH), or none; a relative SQLite path is "
        "looked up from the folder of the INI file.",
        default="none",
        secret=True,
    ),
    Field(
        "create_users",
        "global",
        _boolean,
        "Let unknown users in; false: only those in the directory.",
        default="true",
    ),
    Field(
        "link_by",
        "global",
        choice("none", "verified_email"),
        "How accounts of several providers become one user.",
        default="none",
        later="verified_email",
    ),
    Field(
        "strip_authorization",
        "global",
        choice("basic", "all", "none"),
        "Which Authorization headers the application does not see: Basic ones, all of them, or none.",
        default="basic",
    ),
    Field(
        "cors_origins",
        "global",
        words(none=True),
        "Origins whose scripts may read our answers.",
        note="none",
        later="*",
    ),
    Field(
        "trusted_peers",
        "global",
        words(none=True),
        "Proxies whose forwarded URL is believed.",
        note="none",
        later="*",
    ),
    Field(
        "revocation_sync",
        "global",
        duration(1, 60),
        "How old the list of ended sessions and disabled users may be, and how often the key file is looked at.",
        default="5s",
    ),
    Field(
        "on_login",
        "global",
        _line,
        "module:callable that is called at a sign-in.",
        later="*",
    ),
    Field(
        "on_logout",
        "global",
        _line,
        "module:callable that is called at a sign-out.",
        later="*",
    ),
    Field(
        "preload",
        "global",
        _boolean,
        "Load the libraries that talk to providers at start-up, and not at the first sign-in.",
        default="false",
    ),
    Field(
        "insecure_http",
        "global",
        _boolean,
        "Accept plain http for public_url and endpoints off loopback, too: for closed test networks alone.",
        default="false",
    ),
    # The parameter table: what a provider has
    Field("enabled", "provider", _boolean, "false: this provider does not exist.", default="true"),
    Field(
        "provider",
        "provider",
        _line,
        "The provider's name on the login page.",
        note="the preset's name, the NAME of the section, or the host",
    ),
    Field(
        "icon",
        "provider",
        _line,
        "The picture on the button: the name of a built-in icon, or an image file (PNG, SVG, WebP, JPEG; 64x64 "
        "recommended, at most 256 KiB).",
    ),
    Field(
        "client_id",
        "provider",
        _line,
        "The ID that the provider gave us.",
        note="required",
    ),
    Field(
        "client_secret",
        "provider",
        converters.secret,
        "The secret that the provider gave us: literal, env:NAME, or file:PATH (read again when it changes).",
        note="required unless client_auth_method is none or private_key_jwt",
        secret=True,
    ),
    Field(
        "client_auth_method",
        "provider",
        choice("client_secret_basic", "client_secret_post", "none", "client_secret_jwt", "private_key_jwt"),
        "How we prove ourselves at the token endpoint: with the secret in the header (client_secret_basic) or in the "
        "body (client_secret_post), with a JWT that is signed with the secret (client_secret_jwt: HS256, at least 32 "
        "bytes) or with client_key (private_key_jwt), or not at all (none: a public client).",
        default="client_secret_basic",
    ),
    Field(
        "client_key",
        "provider",
        converters.client_key,
        "The private key for private_key_jwt, a PEM without a passphrase or a JWK: file:PATH (read again when it "
        "changes), env:NAME, or a JWK itself. RSA signs with RS256 (at least 2048 bits), P-256 with ES256, P-384 with "
        "ES384, P-521 with ES512, Ed25519 with EdDSA; a JWK may name another alg that fits, like PS256, and its kid is "
        "sent along.",
        note="required with private_key_jwt",
        secret=True,
    ),
    Field(
        "scope",
        "provider",
        converters.scope,
        "What is asked for, separated by spaces.",
        default=None,
        note="openid profile email with an issuer, else empty",
    ),
    _url(
        "authorization_endpoint",
        "Where the browser is sent to sign in; a query string is kept.",
        note="from the issuer's metadata; required without an issuer",
    ),
    _url(
        "token_endpoint",
        "Where the code is redeemed.",
        note="from the issuer's metadata; required without an issuer",
    ),
    _url(
        "userinfo_endpoint",
        "Where the user's attributes are asked for.",
        note="from the issuer's metadata; required without an issuer",
    ),
    _url(
        "logout_endpoint",
        "Where the browser is sent to sign out of the provider; see sync_logout.",
        note="from the issuer's metadata",
    ),
    Field(
        "attribute_map",
        "provider",
        converters.attribute_map,
        "JSON object, local field -> provider's field: the local fields are username, name, email, phone, comment and "
        "groups; the provider's may be paths like a.b, a[0].b or a quoted segment.",
        default=None,
        note="the standard claims with an issuer; username, name, email and phone without",
    ),
    Field(
        "organization",
        "provider",
        words(),
        "The organizations that a user becomes a member of when a sign-in creates it; needs a directory.",
        default="DEFAULT",
    ),
    Field(
        "always_update",
        "provider",
        _boolean,
        "Refresh name, username, email, phone and comment at each sign-in; false: only the first sets them; needs a "
        "directory.",
        default="true",
    ),
    Field(
        "sync_logout",
        "provider",
        _boolean,
        "After our logout send the browser to the logout endpoint; false: sign out here alone.",
        default="true",
    ),
    # What a provider has beside the parameter table
    Field(
        "preset",
        "provider",
        _line,
        "The name of a built-in preset, or the path of an INI file with one; written keys win over it.",
    ),
    Field(
        "issuer",
        "provider",
        optional(addresses.parse_issuer),
        "The OpenID Connect issuer; turns on discovery; endpoints that are written win.",
    ),
    _url("jwks_uri", "The issuer's key set.", note="from the issuer's metadata"),
    Field(
        "subject",
        "provider",
        optional(AttributePath.parse),
        "Where the provider's unchanging name for a user stands.",
        note="sub with an issuer, id without",
    ),
    Field(
        "username_prefix",
        "provider",
        converters.prefix_text,
        "Put before each user name; with several providers and no directory each needs one of its own.",
        note="none",
    ),
    Field(
        "username_transform",
        "provider",
        choices("lower", "localpart"),
        "What is done to each user name, in the order written: lower (lower case), localpart (the part before the @).",
        note="none",
    ),
    Field(
        "group_sync",
        "provider",
        choice("first", "always", "never"),
        "When the provider's groups become the directory's: at the first sign-in, at each, or never.",
        default="first",
    ),
    Field("pkce", "provider", converters.pkce, "Proof Key for Code Exchange (RFC 7636).", default="S256"),
    Field(
        "algorithms",
        "provider",
        converters.algorithms,
        "The algorithms with which ID tokens may be signed.",
        note="RS256 and what the metadata allows of the asymmetric ones",
    ),
    Field(
        "leeway",
        "provider",
        duration(0, 300),
        "The difference between clocks that is forgiven.",
        default="60s",
    ),
    Field(
        "response_mode",
        "provider",
        choice("query", "form_post"),
        "How the provider's answer travels: in the address of our callback, or in a form that the browser sends to it "
        "(form_post, https only).",
        default="query",
    ),
    Field(
        "prompt",
        "provider",
        _line,
        "Sent to the provider: login, consent, select_account ...",
    ),
    Field(
        "max_age",
        "provider",
        optional(lambda text: duration(0, 365 * DAY)(text, Path())),
        "How long ago the person may have proved who they are; asked for, and checked in the ID token.",
    ),
    Field(
        "acr_values",
        "provider",
        words(converters.line),
        "Sent to the provider: how the person is to prove it.",
    ),
    Field("ui_locales", "provider", _line, "Sent to the provider: languages, like nb en."),
    Field(
        "auth_params",
        "provider",
        converters.auth_params,
        "JSON object: further parameters of the authorization request.",
    ),
    Field(
        "refresh_failure",
        "provider",
        choice("end", "keep"),
        "What happens to a session whose refresh token is refused: it ends, or goes on without being refreshed (keep).",
        default="end",
    ),
    Field(
        "ca_bundle",
        "provider",
        lambda text, base: base / converters.line(text) if text not in ("", "none") else None,
        "A file of certificates with which this provider is verified, in place of the system's.",
        note="none",
    ),
    Field(
        "proxy",
        "provider",
        optional(addresses.parse_proxy, none=True),
        "The proxy through which this provider is reached.",
        note="none",
        secret=True,
    ),
    Field(
        "trust_env",
        "provider",
        _boolean,
        "Use the proxies and the netrc of the environment.",
        default="false",
    ),
    # [access]
    Field(
        "rules",
        "access",
        optional(str),
        "One rule a line: EFFECT [METHOD,...] PATH [if FIELD:VALUE].",
        later="*",
    ),
)

GLOBAL = {field.name: field for field in FIELDS if field.scope in ("global", "both")}
PROVIDER = {field.name: field for field in FIELDS if field.scope in ("provider", "both")}
ACCESS = {field.name: field for field in FIELDS if field.scope == "access"}


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of the reference."""

    #: ``[oauth2_mw]``, ``provider``, ``[oauth2_mw], provider`` or ``[access]``
    where: str
    key: str
    default: str
    meaning: str


_WHERE = {
    "global": "[oauth2_mw]",
    "provider": "provider",
    "both": "[oauth2_mw], provider",
    "access": "[access]",
}


def describe() -> Iterator[Row]:
    """Yield the reference of all settings in the order of the table, for the docs and the command line."""
    for field in FIELDS:
        meaning = field.help
        if field.later:
            which = "" if field.later == "*" else f"{', '.join(field.later.split())}: "
            meaning = f"{meaning} ({which}{_NOT_YET})"
        yield Row(_WHERE[field.scope], field.name, field.note or field.default or "", meaning)
