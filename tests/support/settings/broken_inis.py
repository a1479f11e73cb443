"""Files as people really break them: what is written, and the words by which the first line of a refusal must help.

Each differs from a file that starts by what stands in its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tests.support.settings.keys import text_key

#: key -> value of the file that starts
GOOD: Mapping[str, str] = MappingProxyType(
    {
        "public_url": "https://app.example.com",
        "secret_keys": text_key(),
        "issuer": "https://id.example.com",
        "client_id": "app",
        "client_secret": "s3cret",
    }
)
NOTHING: Mapping[str, str | None] = MappingProxyType(dict.fromkeys(GOOD))


@dataclass(frozen=True)
class Broken:
    """One broken file, and what must be said about it first."""

    name: str
    cause: str
    cure: str
    #: keys of ``[oauth2_mw]`` that are others, or ``None`` for those that are left out
    keys: Mapping[str, str | None] = field(default_factory=dict)
    #: lines before and after those of ``[oauth2_mw]``
    before: str = ""
    after: str = ""
    header: str = "[oauth2_mw]"
    encoding: str = "utf-8"
    #: files that are there beside it
    files: Mapping[str, str] = field(default_factory=dict)
    #: how many problems there are: what follows from another one is none
    problems: int = 1

    def octets(self) -> bytes:
        """The file."""
        lines = [f"{key} = {value}" for key, value in {**GOOD, **self.keys}.items() if value is not None]
        return "\n".join([self.before + self.header, *lines, self.after, ""]).encode(self.encoding)


def one(key: str, value: str | None, cause: str, cure: str, *, name: str = "") -> Broken:
    """A file in which one key of ``[oauth2_mw]`` is another."""
    return Broken(name or f"{key} = {value}", cause, cure, keys={key: value})


def instead(key: str, line: str, cause: str, cure: str) -> Broken:
    """A file in which another line stands in the place of a key."""
    return Broken(line, cause, cure, keys={key: None}, after=line)


BROKEN: tuple[Broken, ...] = (
    # The file
    Broken("empty", "no provider is written", "client_id", keys=NOTHING, problems=3),
    Broken("no section", "before any section", "begin with [oauth2_mw]", header="# mine"),
    Broken(
        "file of oauth2-proxy",
        "before any section",
        "begin with [oauth2_mw]",
        header="provider = x",
        keys={"issuer": None, "secret_keys": None},
        after="oidc_issuer_url = https://id.example.com\ncookie_secret = x",
        problems=3,
    ),
    instead("client_id", "\tclient_id = app", "blanks are before it", "begin the line at its left edge"),
    Broken("section with a dash", "unknown section", "did you mean oauth2_mw?", header="[oauth2-mw]"),
    Broken("section in capitals", "unknown section", "did you mean oauth2_mw?", header="[OAUTH2_MW]"),
    Broken("DEFAULT", "unknown section", "write each in [oauth2_mw]", after="[DEFAULT]\nprefix = /sso"),
    Broken("section of others", "unknown section", "there are oauth2_mw", after="[logging]\nlevel = 1"),
    Broken(
        "provider in capitals",
        "unknown section",
        "did you mean provider:NAME",
        keys={"issuer": None, "client_id": None, "client_secret": None},
        after="[Provider: corp]\nissuer = https://id.example.com\nclient_id = app\nclient_secret = x",
    ),
    Broken(
        "provider with a dot",
        "unknown section",
        "there are oauth2_mw, environ, access, provider:NAME",
        keys={"issuer": None, "client_id": None, "client_secret": None},
        after="[provider.corp]\nissuer = https://id.example.com\nclient_id = app\nclient_secret = x",
    ),
    Broken(
        "all in DEFAULT",
        "unknown section",
        "write each in [oauth2_mw]",
        keys=NOTHING,
        header="[DEFAULT]\n" + "\n".join(f"{key} = {value}" for key, value in GOOD.items()) + "\n[oauth2_mw]",
    ),
    Broken(
        "NAME with a blank",
        "NAME is a small letter",
        "small letters, digits and -",
        after="[provider:My Corp]\nenabled = false",
    ),
    Broken("NAME taken", "is taken", "choose another", after="[provider:callback]\nenabled = false"),
    Broken("UTF-16", "not UTF-8", "save it as UTF-8", encoding="utf-16"),
    Broken("Latin 1", "not UTF-8 (line", "save it as UTF-8", encoding="latin-1", after="provider = Café"),
    Broken("key twice", "is written twice", "keep one", after="client_id = other"),
    Broken("section twice", "begins twice", "write its keys together", after="[oauth2_mw]\nprefix = /sso"),
    instead("client_id", "client_id: app", "neither a section nor a key", "= in the place of :"),
    instead("client_id", "client_id app", "neither a section nor a key", "write key = value"),
    instead("client_id", "OIDCClientID app", "neither a section nor a key", "here it is called client_id"),
    # Keys
    instead("client_id", "cleint_id = app", "unknown key", "did you mean client_id?"),
    instead("client_id", "Client ID = app", "unknown key", "did you mean client_id?"),
    instead(
        "secret_keys", "cookie_secret = 0123456789abcdef", "unknown key", "here it is called secret_keys"
    ),
    instead("issuer", "oidc_issuer_url = https://id.example.com", "unknown key", "here it is called issuer"),
    instead("client_id", "OAUTH2_PROXY_CLIENT_ID = app", "unknown key", "here it is called client_id"),
    instead("client_id", "--client-id = app", "unknown key", "did you mean client_id?"),
    instead("client_id", "AUTH_OAUTH2_CLIENT_ID = app", "unknown key", "here it is called client_id"),
    instead(
        "public_url", "redirect_url = https://a.example/cb", "unknown key", "here it is called public_url"
    ),
    Broken(
        "Service Provider", "unknown key", "here it is called provider", after="Service Provider = GitHub"
    ),
    Broken("email_domains", "unknown key", "here it is called allow", after="email_domains = example.com"),
    Broken("upstreams", "unknown key", "take it out", after="upstreams = http://127.0.0.1:8000"),
    Broken("cookie_domains", "unknown key", "take it out", after="cookie_domains = .example.com"),
    Broken(
        "global key at a provider",
        "key of the whole service",
        "move it to [oauth2_mw]",
        after="username_prefix = a-\n[provider:corp]\nenabled = false\npublic_url = https://app.example.com",
    ),
    Broken("rules outside [access]", "is a key of [access]", "move it there", after="rules = optional /"),
    # Addresses
    one("public_url", None, "is missing", "write the URL"),
    one("public_url", "app.example.com", "whole URL", "starts with https://"),
    one("public_url", "http://app.example.com", "plain http", "write https"),
    one("public_url", '"https://app.example.com"', "quote", "take them out"),
    one("public_url", "https://app.example.com # the proxy", "white space", "on a line of its own"),
    one("public_url", "https://app.example.com:443", "443 is the port of https", "leave it out"),
    one(
        "public_url",
        "https://a.example/auth/oauth2/login/callback/",
        "is the redirect URI",
        "write https://a.example,",
    ),
    one(
        "public_url",
        "https://a.example/oauth2/callback",
        "looks like a redirect URI",
        "the application alone",
    ),
    one("public_url", "https://app.example.com/?x=1", "a query", "scheme, host and mount alone"),
    one("public_url", "https://bücher.example", "not ASCII", "xn--"),
    one("issuer", "http://id.example.com", "plain http", "write https"),
    one("issuer", "id.example.com", "whole URL", "starts with https://"),
    one("issuer", "https://id.example.com/.well-known/openid-configuration", "issuer alone", "ends before"),
    one("issuer", "https://login.microsoftonline.com/common/v2.0", "many tenants", "write the one of yours"),
    one("issuer", None, "issuer: is missing", "write the OpenID Connect issuer"),
    one("prefix", "auth", "starts with /", "like /auth/oauth2"),
    # Secrets and files
    one("secret_keys", None, "is missing", "oauth2-mw keygen"),
    one("secret_keys", "changeme", "32 random bytes", "oauth2-mw keygen"),
    one("secret_keys", f"{text_key()}, {text_key(1)}", "not by commas", "take the comma out"),
    one("secret_keys", "file:no-such-keys", "No such file", "oauth2-mw keygen"),
    one("client_secret", None, "is missing", "client_auth_method = none"),
    one("client_secret", "env:NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE is not set", "write the value there"),
    one("client_secret", "file:secret.txt", "No such file", "write the value there"),
    Broken(
        "empty secret file",
        "is empty",
        "write the value there",
        keys={"client_secret": "file:s"},
        files={"s": "\n"},
    ),
    one("ca_bundle", "no-such.pem", "No such file", "certificates"),
    one("icon", "no-such.png", "cannot be read", "built-in"),
    # Words and numbers
    one("client_auth_method", "POST", "not allowed here", "here it is called client_secret_post"),
    one("client_auth_method", "client-secret-basic", "not allowed here", "did you mean client_secret_basic?"),
    one("enabled", "maybe", "neither true nor false", "write true or false"),
    one("session_lifetime", "8 hours", "not a valid duration", "8h"),
    one("scope", "openid,profile", "not by commas", "separated by spaces"),
    one("scope", "profile email", "openid is missing", "write openid profile email"),
    one("preset", "gogle", "gogle", "did you mean google?"),
    one("protect", "yes", "not allowed here", "write required, optional or on-401"),
    one("allow", "example.com", "not a valid term", "FIELD:VALUE"),
    one("allow", "user:jane or user:joe", "or is not written", "with a blank between them"),
    one("session", "redis", "not allowed here", "write cookie, or the URL"),
    one("directory", "users.db", "not a database URL", "sqlite:///users.db"),
    # JSON
    one("attribute_map", '{"username": "login",}', "line 1, column", "write an object like"),
    one("attribute_map", "{'username': 'login'}", "line 1, column", "write an object like"),
    one("attribute_map", '{"login": "username"}', "the wrong way round", '{"username": "login"}'),
    one("attribute_map", '{"email": "mail"}', '"username" is missing', "say which"),
    one("attribute_map", "username=login", "not valid JSON", "write an object like"),
    # What goes together
    Broken(
        "no userinfo",
        "userinfo_endpoint: is missing",
        "every endpoint is written",
        keys={
            "issuer": None,
            "authorization_endpoint": "https://id.example.com/authorize",
            "token_endpoint": "https://id.example.com/token",
        },
    ),
    Broken(
        "GitHub for all",
        "is missing: anyone on earth",
        "or * for everybody",
        keys={"issuer": None, "preset": "github"},
    ),
    one("create_users", "false", "needs a directory", "set directory"),
    Broken(
        "list", "does not start with /", "like /static/", keys={"public_paths": "static docs"}, problems=2
    ),
)
