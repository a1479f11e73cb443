"""Every setting, declared once.

The readers, the error messages, the environment variables and the reference in the docs are made from this table. The
types of the values are in :mod:`~oauth2_mw.settings.model`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from oauth2_mw.settings import addresses, converters, forward_auth, other_products
from oauth2_mw.settings.access_rules import AccessRule, check_not_everything, parse_rules
from oauth2_mw.settings.allow_list import AllowList
from oauth2_mw.settings.app_cookies import AppCookie
from oauth2_mw.settings.app_logout import AppLogout
from oauth2_mw.settings.attribute_path import AttributePath
from oauth2_mw.settings.branding import Accent, Contact
from oauth2_mw.settings.converters import Convert, choice, choices, duration, integer, optional, plain, words
from oauth2_mw.settings.examples import EXAMPLES
from oauth2_mw.settings.forward_auth import ForwardAuthHeaders
from oauth2_mw.settings.grammar import PathRule, parse_bool
from oauth2_mw.settings.peers import parse_peer
from oauth2_mw.settings.proxy_headers import parse_kept_header
from oauth2_mw.settings.tenants import parse_tenant
from oauth2_mw.settings.text import shown

#: In ``[oauth2_mw]``, in each provider, in both (the provider's wins), or in ``[access]``.
Scope = Literal["global", "provider", "both", "access"]

DAY = 86400


@dataclass(frozen=True, slots=True)
class Field:
    """The declaration of one setting."""

    name: str
    convert: Convert
    #: one sentence or two, for the reference
    help: str
    _: KW_ONLY
    scope: Scope
    #: the text that is read when nothing is written, or ``None`` if what holds then depends on other settings
    default: str | None = ""
    #: the default in words, where *default* does not say it
    note: str = ""
    #: whether the value is kept out of every message
    secret: bool = False

    def read(self, text: str, base: Path) -> Any:
        """Convert a text.

        :param base: the folder from which relative paths are looked up.
        :raises ValueError: if it is not valid, with what to write instead.
        """
        return self.convert(text, base)


_service = partial(Field, scope="global")
_provider = partial(Field, scope="provider")
_both = partial(Field, scope="both")
_boolean = plain(parse_bool)
_line = optional(converters.line)
_url = optional(addresses.parse_endpoint)


def _allow(text: str, base: Path) -> AllowList:
    return AllowList.parse(text, base)


def _rules(text: str, _base: Path) -> tuple[AccessRule, ...]:
    return parse_rules(text)


def _public_path(text: str) -> PathRule:
    check_not_everything([text])
    return PathRule.parse(text)


def _subtree(text: str) -> PathRule:
    path = PathRule.parse(text)
    if not path.is_subtree:
        raise ValueError(f"{shown(text)} is one path alone: write a subtree, which ends in /")
    return path


FIELDS: tuple[Field, ...] = (
    # What a service has once
    _service(
        "public_url",
        optional(addresses.parse_public_url),
        "The URL under which browsers reach the application, mount included; every URL of ours is built from it.",
        note="required",
    ),
    _service(
        "secret_keys",
        converters.secret_keys,
        "The keys that seal cookies: base64url of 32 bytes each, newest first, or file:PATH to a key file that is read "
        "again when it changes; oauth2-mw keygen makes one.",
        note="required",
        secret=True,
    ),
    _service(
        "prefix",
        plain(addresses.parse_prefix),
        "The path under which our own URLs are.",
        default="/auth/oauth2",
    ),
    _service(
        "protect",
        choice("required", "optional", "on-401"),
        "Whether every path needs a signed-in person (required), or the application decides (optional); under on-401 "
        "its own 401 on a page that somebody opens becomes a sign-in.",
        default="required",
    ),
    _service(
        "public_paths",
        words(_public_path),
        "Paths of the application that need nobody; one that ends in / covers everything below it, and /$ is the "
        "front page alone. They are public rules, placed before all others. Nobody is handed on there, even who is "
        "signed in: an application with a session of its own may take that for a logout. An optional rule keeps "
        "nobody out either, and hands on who is there.",
    ),
    _service(
        "odd_paths",
        words(_subtree, none=True),
        "Subtrees of an application whose own paths hold //, ; or percent signs: a path there that programs could read "
        "in several ways is judged in each of them. Elsewhere it is refused where a rule asks for more than a sign-in.",
    ),
    _service(
        "keep_forms",
        words(PathRule.parse, none=True),
        "Paths of the application whose forms are kept when they meet a session that has run out: after the sign-in "
        "the person is asked whether to send them. One that ends in / covers everything below it. Passwords that are "
        "typed into these forms are kept too. See :ref:`kept-forms`.",
        note="none",
    ),
    _service(
        "keep_fragment",
        _boolean,
        "Keep what stands behind # in an address during a sign-in: a page with a script of ours takes the place of the "
        "redirect. Without JavaScript it is lost, as ever.",
        default="false",
    ),
    _service(
        "app_schemes",
        words(converters.auth_scheme),
        "The schemes of Authorization that delegated rules leave to the application.",
        default="Token Bearer",
    ),
    _both(
        "allow",
        _allow,
        "Who may enter at all: * for everybody, or terms of which one suffices, like email_domain:example.com "
        "group:staff user:jane email:jane@example.com organization:DEFAULT claim:address.country=NO; terms with and "
        "between them must all apply, like provider:corp and group:staff; a value with spaces needs quotes. file:PATH "
        "has such terms in a file, one line each, which is read again when it changes. A provider's own allow takes "
        "the place of the one in [oauth2_mw].",
        default=None,
        note="everybody whom a provider vouches for",
    ),
    _service(
        "login_page", _boolean, "Show the page with the buttons with one provider, too.", default="false"
    ),
    _service(
        "title",
        _line,
        "What our pages call the application.",
        note="the host of public_url",
    ),
    _service(
        "logo",
        _line,
        "The picture on our pages: an image file, as for icon.",
        note="none",
    ),
    _service(
        "accent",
        optional(Accent.parse, none=True),
        "The colour of buttons, like #0a5c2f; a second one is for dark screens, like #0a5c2f #7fd6a4. Each needs a "
        "contrast of 4.5:1 with its ground.",
        note="ours",
    ),
    _service(
        "contact",
        optional(Contact.parse, none=True),
        "Whom people ask for help: an e-mail address or an https URL, beside the reference number of a failure.",
        note="none",
    ),
    _service(
        "templates",
        lambda text, base: base / converters.line(text) if text not in ("", "none") else None,
        "A folder with Jinja2 templates that replace those of our pages. See :ref:`own-templates`.",
        note="none",
    ),
    _service(
        "session",
        converters.session,
        "Where sessions are kept: cookie, or the URL of a session store (or env:NAME, file:PATH): redis://, rediss://, "
        "redis+sentinel://, redis+cluster://, unix://, sqlite:// or postgresql://; a relative SQLite path is looked up "
        "from the folder of the INI file.",
        default="cookie",
        secret=True,
    ),
    _both("session_lifetime", duration(1, 365 * DAY), "How long a sign-in lasts at most.", default="8h"),
    _both(
        "session_idle", duration(1, 365 * DAY), "How long a sign-in lasts without a request.", default="1h"
    ),
    _service(
        "session_max_bytes",
        integer(1000, 7000),
        "What the session cookie may take; beyond it the access token, the ID token and unmapped claims are left out.",
        default="6000",
    ),
    _service(
        "keep_tokens",
        choices("id", "refresh", "access"),
        "Which of the provider's tokens the session keeps: any of id, refresh and access, or none. With refresh, "
        "tokens and what is known of the person are refreshed before the access token ends.",
        default="id",
    ),
    _service(
        "cookie_name",
        converters.cookie_name,
        "The name from which our cookies' names are made.",
        default="oauth2_mw",
    ),
    _service("hide_cookies", _boolean, "Cut our cookies from what the application sees.", default="true"),
    _service(
        "app_cookies",
        words(AppCookie.parse, none=True),
        "The application's own cookies that stand for a person, like session trac_auth;Path=/trac: it sees them only "
        "in requests of the person for whom it set them, and they are deleted at a sign-out and when another person "
        "signs in. ;Path= and ;Domain= as the application sets them. See :ref:`own-sessions`.",
        note="none",
    ),
    _service(
        "app_logout_paths",
        words(AppLogout.parse, none=True),
        "The application's own logout addresses, like /admin/logout/ POST:/logout: when it signs a person out there, "
        "our session ends too, and the browser goes on to the provider where sync_logout is on. Each is that path "
        "alone. See :ref:`own-logout`.",
        note="none",
    ),
    _service(
        "directory",
        converters.directory,
        "Where users are remembered: none, or the URL of a database, sqlite:// or postgresql:// (or env:NAME, "
        "file:PATH); a relative SQLite path is looked up from the folder of the INI file.",
        default="none",
        secret=True,
    ),
    _service(
        "create_users", _boolean, "Let unknown users in; false: only those in the directory.", default="true"
    ),
    _service(
        "link_by",
        choice("none", "verified_email"),
        "How accounts of several providers become one user: none leaves it to users link, verified_email links a first "
        "sign-in to the one user of another provider who has the same address, both verified.",
        default="none",
    ),
    _service(
        "strip_authorization",
        choice("basic", "all", "none"),
        "Which Authorization headers the application does not see: Basic ones, all of them, or none.",
        default="basic",
    ),
    _service(
        "personal_tokens",
        words(PathRule.parse, none=True),
        "Paths of the application where programs may use the tokens that people make at {prefix}/tokens/; one that "
        "ends in / covers everything below it, and / is everything. Needs a directory.",
        note="none",
    ),
    _service(
        "personal_token_lifetime",
        duration(1, 366 * DAY),
        "The longest life that a person may choose for a token.",
        default="90d",
    ),
    _service(
        "personal_token_owner_seen",
        duration(1, 366 * DAY),
        "A token sleeps when its owner has not signed in for so long, until they do.",
        default="90d",
    ),
    _service(
        "bearer_paths",
        words(PathRule.parse, none=True),
        "Paths of the application where access tokens of the providers serve, from programs that send them as Bearer; "
        "one that ends in / covers everything below it, and / is everything. Needs accept_tokens in a provider. See "
        ":ref:`access-tokens`.",
        note="none",
    ),
    _service(
        "keep_headers",
        words(parse_kept_header, none=True),
        "Headers by which proxies announce a user and that the application is to see all the same, from whoever sends "
        "them: the proxy in front must overwrite them.",
        note="none",
    ),
    _service(
        "shared_caches",
        choice("refuse", "respect"),
        "Whether the application may let shared caches, such as a proxy's, keep a signed-in person's pages: refuse "
        "makes them private whatever it says, respect takes its word for it.",
        default="refuse",
    ),
    _service(
        "clear_site_data",
        choices("cache", "cookies", "storage"),
        "What a sign-out has the browser forget of the application's origin (Clear-Site-Data): any of cookies, storage "
        "and cache, or none. cookies takes those of all hosts of the site; with cache Chromium is busy for seconds.",
        default="none",
    ),
    _service(
        "cors_origins",
        words(addresses.parse_origin, none=True),
        "Origins whose scripts may read our 401, 403 and 503 on the application's paths, like https://spa.example.com.",
        note="none",
    ),
    _service(
        "preflight",
        choice("answer", "pass", "refuse"),
        "What becomes of a preflight of a path that needs a sign-in, which browsers send without cookies: answered for "
        "cors_origins and refused for all others, passed to the application without anything that tells of a person, "
        "or refused like any other request.",
        default="answer",
    ),
    _service(
        "trusted_peers",
        words(parse_peer, none=True),
        "Proxies whose word counts: on where a request comes from (X-Forwarded-For or Forwarded) and on what {prefix}/"
        "auth is asked about. Addresses, networks like 10.0.0.0/8, and unix for whoever connects over a Unix socket.",
        note="none",
    ),
    _service(
        "audit_format",
        choice("logfmt", "json"),
        "How an audit line is written: logfmt, like event=login provider=corp, or one JSON object.",
        default="logfmt",
    ),
    _service(
        "ready_needs",
        choices("store", "directory", "providers"),
        "What {prefix}/health/ready counts among what this process needs to serve, any of store, directory and "
        "providers: while one gives no answer it says 503. None: what all hosts share takes none of them out.",
        default="none",
    ),
    _service(
        "metrics",
        choice("none", "prometheus"),
        "Whether this server counts and times what it does: prometheus, at {prefix}/metrics, for metrics_peers.",
        default="none",
    ),
    _service(
        "metrics_peers",
        words(parse_peer, none=True),
        "Who may read {prefix}/metrics, and the details of {prefix}/health/ready, by the client's address: written as "
        "in trusted_peers. Everybody else gets a 404.",
        note="none",
    ),
    _service(
        "forward_auth_headers",
        plain(ForwardAuthHeaders.parse),
        "The headers in which a proxy that asks at {prefix}/auth tells method, URI and host; without the third it asks "
        "about one host alone. X-Original-URL may stand for URI and host.",
        default=forward_auth.DEFAULT,
    ),
    _service(
        "revocation_sync",
        duration(0, 60),
        "How old the list of ended sessions and disabled users may be, and how often the key file is looked at; 0: "
        "asked anew for every request.",
        default="5s",
    ),
    _service(
        "provider_calls",
        integer(1, 100),
        "How many calls to one provider may be under way in a process; one more waits two seconds, and is then "
        "refused.",
        default="4",
    ),
    _service(
        "refresh_timeout",
        duration(1, 120),
        "How long a worker waits for the answer to a refresh token, longer than for any other: without it the session "
        "may be lost. Less than the time after which the server ends a worker (gunicorn: 30s).",
        default="25s",
    ),
    _service(
        "signout_file",
        lambda text, base: base / converters.line(text) if text not in ("", "none") else None,
        "A file, made with the mode 0600, for sign-outs that the directory did not take: they survive the worker. For "
        "sessions in cookies and a directory.",
        note="none",
    ),
    _service(
        "compatible",
        choice("none", "0.1", elsewhere={"0.1.0": "0.1"}),
        "The release before, while workers of it still share the directory, the store and the cookies: what it could "
        "not read is not written, and what it writes is read in its form. Taken out when the last of them has stopped. "
        "See :ref:`upgrading`.",
        default="none",
    ),
    _service(
        "on_login",
        optional(converters.dotted_name),
        "module:callable that is called with the Identity of somebody who may enter, before anything is written; what "
        "it raises refuses the sign-in.",
        note="none",
    ),
    _service(
        "on_user_created",
        optional(converters.dotted_name),
        "module:callable that is called with the Identity of a user whom a sign-in has added to the directory.",
        note="none",
    ),
    _service(
        "on_logout",
        optional(converters.dotted_name),
        "module:callable that is called with the Identity of somebody who has signed out in this browser.",
        note="none",
    ),
    _service(
        "preload",
        _boolean,
        "Load the libraries that talk to providers at start-up, and not at the first sign-in.",
        default="false",
    ),
    _service(
        "insecure_http",
        _boolean,
        "Accept plain http for public_url and endpoints off loopback, too: for closed test networks alone.",
        default="false",
    ),
    # The parameter table: what a provider has
    _provider("enabled", _boolean, "false: this provider does not exist.", default="true"),
    _provider(
        "provider",
        _line,
        "The provider's name on the login page.",
        note="the preset's name, the NAME of the section, or the host",
    ),
    _provider(
        "icon",
        _line,
        "The picture on the button: the name of a built-in icon, or an image file (PNG, SVG, WebP, JPEG; 64x64 "
        "recommended, at most 256 KiB).",
    ),
    _provider("client_id", _line, "The ID that the provider gave us.", note="required"),
    _provider(
        "client_secret",
        converters.secret,
        "The secret that the provider gave us: literal, env:NAME, or file:PATH (read again when it changes).",
        note="required unless client_auth_method is none or private_key_jwt",
        secret=True,
    ),
    _provider(
        "client_auth_method",
        choice(
            "client_secret_basic",
            "client_secret_post",
            "none",
            "client_secret_jwt",
            "private_key_jwt",
            elsewhere=other_products.AUTH_METHODS,
        ),
        "How we prove ourselves at the token endpoint: with the secret in the header (client_secret_basic) or in the "
        "body (client_secret_post), with a JWT that is signed with the secret (client_secret_jwt: HS256, at least 32 "
        "bytes) or with client_key (private_key_jwt), or not at all (none: a public client).",
        default="client_secret_basic",
    ),
    _provider(
        "client_key",
        converters.pem,
        "The private key for private_key_jwt, a PEM without a passphrase or a JWK: file:PATH (read again when it "
        "changes), env:NAME, or a JWK itself. RSA signs with RS256 (at least 2048 bits), P-256 with ES256, P-384 with "
        "ES384, P-521 with ES512, Ed25519 with EdDSA, unless client_assertion_algorithm or the alg of a JWK names "
        "another that fits; the kid of a JWK is sent along.",
        note="required with private_key_jwt",
        secret=True,
    ),
    _provider(
        "client_certificate",
        converters.pem,
        "The certificate of client_key, a PEM: file:PATH (read again when it changes) or env:NAME. Its SHA-256 "
        "thumbprint (x5t#S256) then stands in the assertion, by which some providers (Microsoft Entra, AD FS) know "
        "the key.",
        note="none",
        secret=True,
    ),
    _provider(
        "client_assertion_audience",
        choice("issuer", "token_endpoint"),
        "Whom an assertion of private_key_jwt or client_secret_jwt is for: the issuer, or the address of the token "
        "endpoint, for providers that take no other.",
        default="issuer",
    ),
    _provider(
        "client_assertion_algorithm",
        optional(lambda text: choice(*converters.ALGORITHMS)(text, Path())),
        "The algorithm with which client_key signs, where it can sign with several: an RSA key with RS256 or PS256.",
        note="the alg of a JWK, else RS256 for an RSA key",
    ),
    _provider(
        "scope",
        converters.scope,
        "What is asked for, separated by spaces.",
        default=None,
        note="openid profile email with an issuer, else empty",
    ),
    _provider(
        "authorization_endpoint",
        _url,
        "Where the browser is sent to sign in; a query string is kept.",
        note="from the issuer's metadata; required without an issuer",
    ),
    _provider(
        "token_endpoint",
        _url,
        "Where the code is redeemed.",
        note="from the issuer's metadata; required without an issuer",
    ),
    _provider(
        "userinfo_endpoint",
        _url,
        "Where the user's attributes are asked for.",
        note="from the issuer's metadata; required without an issuer",
    ),
    _provider(
        "userinfo",
        choice("when-needed", "always", "never"),
        "When userinfo is asked for, with an issuer: if the ID token lacks a claim that a setting refers to "
        "(when-needed), always, or never.",
        default="when-needed",
    ),
    _provider(
        "logout_endpoint",
        _url,
        "Where the browser is sent to sign out of the provider; see sync_logout.",
        note="from the issuer's metadata",
    ),
    _provider(
        "attribute_map",
        converters.attribute_map,
        "JSON object, local field -> provider's field: the local fields are username, name, email, phone, comment and "
        "groups; the provider's may be paths like a.b, a[0].b, a[*].b, keys(a) or a quoted segment, "
        "jmespath:EXPRESSION (an extra), or a list of them.",
        default=None,
        note="the standard claims with an issuer; username, name, email and phone without",
    ),
    _provider(
        "organization",
        words(),
        "The organizations that a user becomes a member of when a sign-in creates it; needs a directory.",
        default="DEFAULT",
    ),
    _provider(
        "always_update",
        _boolean,
        "Refresh name, username, email, phone and comment at each sign-in; false: only the first sets them; needs a "
        "directory.",
        default="true",
    ),
    _provider(
        "sync_logout",
        _boolean,
        "After our logout send the browser to the logout endpoint; false: sign out here alone.",
        default="true",
    ),
    _provider(
        "logout_request",
        choice("oidc", "plain"),
        "What is added to the logout endpoint: the parameters of OpenID Connect that its own query does not have yet "
        "(oidc), or nothing (plain).",
        default=None,
        note="oidc with an issuer, else plain",
    ),
    # What a provider has beside the parameter table
    _provider(
        "preset",
        _line,
        "The name of a built-in preset, or the path of an INI file with one; written keys win over it.",
    ),
    _provider(
        "issuer",
        optional(addresses.parse_issuer),
        "The OpenID Connect issuer; turns on discovery; endpoints that are written win. {tenantid} in that of "
        "Microsoft Entra stands for each of the tenants.",
    ),
    _provider(
        "tenants",
        lambda text, base: tuple(dict.fromkeys(words(parse_tenant)(text, base))),
        "The IDs of the tenants of Microsoft Entra that are let in, where the issuer holds {tenantid}. With more than "
        "one, users live in a directory, no e-mail address counts, and allow names tenants or people.",
        note="none",
    ),
    _provider("jwks_uri", _url, "The issuer's key set.", note="from the issuer's metadata"),
    _provider(
        "metadata_url",
        _url,
        "Where the issuer's metadata are read; the issuer in them is that of the setting all the same.",
        note="below the issuer, where OpenID Connect Discovery or RFC 8414 puts them",
    ),
    _provider(
        "subject",
        converters.subject,
        "Where the provider's unchanging name for a user stands.",
        note="sub with an issuer, id without",
    ),
    _provider(
        "same_users_as",
        _line,
        "The NAME of another provider that has the same users: the same issuer (or token endpoint's origin), and the "
        "same subject for each person.",
    ),
    _provider(
        "trusted_audiences",
        converters.trusted_audiences,
        "Further audiences, beside our client_id, that an ID token may name; * stands alone and trusts all of them, in "
        "tokens whose azp is our client_id.",
        note="none",
    ),
    _provider(
        "email_verified",
        choice("claim", "text", "always", "never"),
        'When an address counts as verified: claim (the claim email_verified is true), text (or the text "true"), '
        "always (every address of this provider is proven), never. An address that does not count is nobody's "
        "username.",
        default="claim",
    ),
    _provider(
        "username_prefix",
        converters.prefix_text,
        "Put before each user name; with several providers and no directory each needs one of its own.",
        note="none",
    ),
    _provider(
        "username_transform",
        choices("lower", "localpart", "ascii", "percent"),
        "What is done to each user name, in the order written: lower (lower case), localpart (the part before the @), "
        "ascii (accents are taken off, and what is no ASCII then is refused; needs a directory), percent (what is no "
        "ASCII is percent-encoded).",
        note="none",
    ),
    _provider(
        "group_sync",
        choice("first", "always", "never"),
        "When the provider's groups become the directory's: at the first sign-in, at each, or never.",
        default="first",
    ),
    _provider(
        "group_filter",
        words(),
        "Patterns like app-* of the provider's groups that are read; * stands for any text, ? for one character, a "
        "blank among them. Applied before anything is stored.",
        note="all",
    ),
    _provider("pkce", converters.pkce, "Proof Key for Code Exchange (RFC 7636).", default="S256"),
    _provider(
        "algorithms",
        converters.algorithms,
        "The algorithms with which ID tokens, and access tokens, may be signed.",
        note="RS256 and what the metadata allows of the asymmetric ones",
    ),
    _provider("leeway", duration(0, 300), "The difference between clocks that is forgiven.", default="60s"),
    _provider(
        "response_mode",
        choice("query", "form_post"),
        "How the provider's answer travels: in the address of our callback, or in a form that the browser sends to it "
        "(form_post, https only).",
        default="query",
    ),
    _provider(
        "callback_path",
        optional(addresses.parse_callback_path),
        "One more path of the application, outside prefix, that is this provider's callback: for a redirect URI that "
        "is registered already. The provider is then told this one.",
        note="the callback under prefix alone",
    ),
    _provider(
        "prompt", optional(converters.word_line), "Sent to the provider: login, consent, select_account ..."
    ),
    _provider(
        "max_age",
        optional(lambda text: duration(0, 365 * DAY)(text, Path())),
        "How long ago the person may have proved who they are; asked for, and checked in the ID token.",
    ),
    _provider("acr_values", words(converters.line), "Sent to the provider: how the person is to prove it."),
    _provider(
        "ui_locales",
        optional(converters.ui_locales),
        "Sent to the provider: languages, like nb en; or browser: those that the person's browser asks for.",
    ),
    _provider(
        "auth_params", converters.auth_params, "JSON object: further parameters of the authorization request."
    ),
    _provider(
        "access_token_lifetime",
        optional(lambda text: duration(1, 365 * DAY)(text, Path())),
        "How long an access token holds where the provider does not say (expires_in).",
    ),
    _provider(
        "accept_tokens",
        choices("jwt", "jwt-untyped", "introspection"),
        "Which access tokens of this provider serve on bearer_paths, any of: jwt (RFC 9068: they say that they are "
        "access tokens), jwt-untyped (and those that do not say so), introspection (the provider is asked about each, "
        "RFC 7662).",
        default="none",
    ),
    _provider(
        "token_audiences",
        words(converters.line),
        "The audiences one of which an access token must name; required with jwt and jwt-untyped.",
        note="none",
    ),
    _provider(
        "token_audience_claim",
        plain(AttributePath.parse),
        "Where the audience of an access token stands.",
        default="aud",
    ),
    _provider(
        "token_issuers",
        words(addresses.parse_issuer),
        "Further issuers that access tokens may name and that are this provider all the same, with its keys and its "
        "users; {tenantid} stands for the tenant of the issuer, or each of the tenants.",
        note="none",
    ),
    _provider(
        "token_scopes",
        converters.scope,
        "The scopes that an access token must have, all of them.",
        note="none",
    ),
    _provider(
        "introspection_endpoint",
        _url,
        "Where the provider is asked what an access token is worth.",
        note="from the issuer's metadata",
    ),
    _provider(
        "refresh_failure",
        choice("end", "keep"),
        "What happens to a session whose refresh token is refused: it ends, or goes on without being refreshed (keep).",
        default="end",
    ),
    _provider(
        "refresh_needs_id_token",
        _boolean,
        "End a session whose tokens are refreshed without a new ID token; false: what the last one proved stays.",
        default="false",
    ),
    _provider(
        "ca_bundle",
        lambda text, base: base / converters.line(text) if text not in ("", "none") else None,
        "A file of certificates with which this provider is verified, in place of the system's.",
        note="none",
    ),
    _provider(
        "proxy",
        optional(addresses.parse_proxy, none=True),
        "The proxy through which this provider is reached.",
        note="none",
        secret=True,
    ),
    _provider(
        "trust_env",
        _boolean,
        "Use the proxies and the certificate authorities that the environment names: HTTPS_PROXY, NO_PROXY, "
        "REQUESTS_CA_BUNDLE and the like.",
        default="false",
    ),
    # [access]
    Field(
        "rules",
        _rules,
        "One rule a line: EFFECT [METHOD,...] PATH [PATH ...] [if TERM [and|or TERM ...]]. The first one whose method "
        "and path match decides; where none does, protect. See :ref:`access-rules`.",
        scope="access",
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
    #: the text behind ``KEY =``
    example: str


_WHERE = {
    "global": "[oauth2_mw]",
    "provider": "provider",
    "both": "[oauth2_mw], provider",
    "access": "[access]",
}


#: What this version does not do, and so has no setting for.
NOT_THERE = (
    "This version has no ASGI middleware, no cookies for several hosts, no pushed authorization requests (PAR), no "
    "DPoP, no encrypted tokens (JWE), no registration of clients by itself, and no tls_client_auth."
)


def describe() -> Iterator[Row]:
    """Yield the reference of all settings in the order of the table, for the docs and the command line."""
    for field in FIELDS:
        yield Row(
            _WHERE[field.scope],
            field.name,
            field.note or field.default or "",
            field.help,
            EXAMPLES.get(field.name, ""),
        )
