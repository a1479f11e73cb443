"""What does not start, one rule a case: section, key, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.encoding import base64url
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import oauth, oidc, only_problem, problems, service

MAIN = "[oauth2_mw] "


def main(key: str, value: object) -> dict[str, object]:
    return service(**oidc(**{key: value}))


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        # public_url
        ("public_url", "", ["is missing", "https://app.example.com"]),
        ("public_url", "app.example.com", ["starts with https://"]),
        ("public_url", "ftp://app.example.com", ["starts with https://"]),
        ("public_url", "https:app.example.com", ["starts with https://"]),
        ("public_url", "https://", ["no host"]),
        ("public_url", "https://u:canary@app.example.com", ["user name or password"]),
        ("public_url", "https://app.example.com/#a", ["fragment"]),
        ("public_url", "https://app.example.com/?a", ["query"]),
        ("public_url", "https://app.example.com?", ["query"]),
        ("public_url", "https://app example.com", ["white space"]),
        ("public_url", "https://app.example.com/\x01", ["control characters"]),
        ("public_url", "https://app.example.com\\core", ["backslash"]),
        ("public_url", "https://bl\xe5.example.com", ["xn--"]),
        ("public_url", "https://app.example.com:0", ["1 to 65535"]),
        ("public_url", "https://app.example.com:", ["1 to 65535"]),
        ("public_url", "https://app.example.com:65536", ["host and port"]),
        ("public_url", "https://app.example.com:x", ["host and port"]),
        ("public_url", "https://app.example.com:443", ["leave it out"]),
        ("public_url", "https://[::1", ["host and port"]),
        ("public_url", "https://[x]", ["host and port"]),
        ("public_url", "https://-app.example.com", ["not a valid host name"]),
        ("public_url", "https://app..example.com", ["not a valid host name"]),
        ("public_url", "https://" + "a." * 130 + "example", ["not a valid host name"]),
        ("public_url", "https://127.1", ["IPv4"]),
        ("public_url", "https://2130706433", ["IPv4"]),
        ("public_url", "https://app.example.com/a//b", ["each segment"]),
        ("public_url", "https://app.example.com/a/../b", ["each segment"]),
        ("public_url", "https://app.example.com/a%20b", ["each segment"]),
        ("public_url", "https://app.example.com/a;b", ["each segment"]),
        ("public_url", "http://app.example.com", ["plain http", "insecure_http"]),
        ("public_url", "http://127.0.0.1.example.com", ["plain http"]),
        ("public_url", "http://localhost.example.com", ["plain http"]),
        # secret_keys
        ("secret_keys", "", ["is missing", "keygen"]),
        ("secret_keys", "short", ["key 1", "keygen"]),
        ("secret_keys", f"{text_key()} {text_key()}", ["key 2", "twice"]),
        ("secret_keys", f"{text_key()} {text_key(1)[:-2]}", ["key 2"]),
        ("secret_keys", base64url(bytes(32)), ["made up"]),
        ("secret_keys", "file:gone", ["cannot be read", "gone"]),
        ("secret_keys", "file:.", ["is a folder", "path of a file"]),
        ("client_secret", "file:.", ["is a folder", "path of a file"]),
        (
            "secret_keys",
            f"short {text_key()} {text_key()} long,",
            ["key 1", "key 3", "twice", "key 4", "commas"],
        ),
        ("metrics_peers", "0.0.0.0/0", ["is everybody", "machines that are meant"]),
        ("secret_keys", "file:", ["path of a file"]),
        ("secret_keys", "env:OAUTH2_TEST_NOT_SET", ["OAUTH2_TEST_NOT_SET is not set"]),
        # other settings of the service
        ("prefix", "/", ["root"]),
        ("prefix", "", ["root"]),
        ("prefix", "auth", ["starts with /"]),
        ("prefix", "/a//b", ["each segment"]),
        ("prefix", "/a/./b", ["each segment"]),
        ("prefix", "/a b", ["each segment"]),
        ("prefix", "/a%2fb", ["each segment"]),
        ("protect", "Required", ["did you mean required?"]),
        ("protect", "", ["nothing is written here", "required, optional or on-401"]),
        ("public_paths", "/static/ docs", ["'docs'", "start with /"]),
        ("public_paths", "/static/*", ["no wildcards"]),
        ("allow", "", ["write * for everybody"]),
        ("allow", "jane", ["FIELD:VALUE"]),
        ("allow", "* user:jane", ["must be alone"]),
        ("allow", 'group:"a', ["not closed"]),
        ("allow", "organization:A", ["need a directory"]),
        ("login_page", "maybe", ["true or false"]),
        ("session", "redis://:canary@", ["host"]),
        ("session", "redis://:canary/x@host", ["%2F"]),
        ("session", "redis+sentinel://u:canary@host", ["SERVICE"]),
        ("session", "valkey://:canary@host", ["write redis://"]),
        ("session", "sqlite://", ["in memory"]),
        ("session", "env:NO_SUCH_VARIABLE", ["cannot be read"]),
        ("session", "cookies", ["write cookie"]),
        ("session_lifetime", "0", ["out of range", "1s to 365d"]),
        ("session_lifetime", "366d", ["out of range"]),
        ("session_idle", "8 hours", ["8h"]),
        ("session_idle", "9h", ["longer than session_lifetime"]),
        ("session_max_bytes", "999", ["from 1000 to 7000"]),
        ("session_max_bytes", "7001", ["from 1000 to 7000"]),
        ("session_max_bytes", "4k", ["whole number"]),
        ("keep_tokens", "acess", ["did you mean access?"]),
        ("keep_tokens", "everything", ["any of id refresh access"]),
        ("cookie_name", "", ["cookie's name"]),
        ("cookie_name", "a b", ["cookie's name"]),
        ("cookie_name", "a=b", ["cookie's name"]),
        ("cookie_name", "a;b", ["cookie's name"]),
        ("cookie_name", "a" * 65, ["cookie's name"]),
        ("cookie_name", "__Host-a", ["added on https by itself"]),
        ("app_cookies", "a=b", ["not the name of a cookie", "trac_auth;Path=/trac"]),
        ("app_cookies", "session, trac_auth", ["commas"]),
        ("app_cookies", "session;", [";Path=/... and ;Domain=..."]),
        ("app_cookies", "session;Path=trac", [";Path=/... and ;Domain=..."]),
        ("app_cookies", "session;Secure", [";Path=/... and ;Domain=..."]),
        ("app_cookies", "session;Path=/;path=/a", ["once each"]),
        ("app_cookies", "session;Domain=a_b", [";Path=/... and ;Domain=..."]),
        ("app_cookies", "session;Domain=other.example", ["browsers take no cookie for that domain"]),
        ("app_cookies", "__Host-a;Path=/b", ["the path /"]),
        ("app_cookies", "session session", ["listed twice"]),
        ("app_cookies", "oauth2_mw", ["a cookie of ours"]),
        ("app_cookies", "__Host-oauth2_mw-a-b", ["a cookie of ours"]),
        ("app_logout_paths", "logout", ["no address of a logout", "/admin/logout/ POST:/logout"]),
        ("app_logout_paths", "post:/logout", ["method in capitals"]),
        ("app_logout_paths", "POST:logout", ["no address of a logout"]),
        ("app_logout_paths", "HEAD:/logout", ["signs nobody out"]),
        ("app_logout_paths", "/a//b", ["//"]),
        ("app_logout_paths", "/logout?all=1", ["query"]),
        ("app_logout_paths", "/auth/oauth2/logout/", ["an address of ours"]),
        ("keep_forms", "wiki", ["does not start with /"]),
        ("keep_forms", "/a//b", ["//"]),
        ("keep_forms", "/auth/oauth2/", ["an address of ours"]),
        ("keep_forms", "/auth/oauth2", ["an address of ours"]),
        ("directory", "users.db", ["not a database URL"]),
        *(
            (key, f"{scheme}://user:canary@host/db", ["SQLite and PostgreSQL", "write sqlite:///"])
            for key in ("directory", "session")
            for scheme in ("mysql", "mariadb+pymysql", "mssql+pyodbc", "oracle", "mongodb")
        ),
        ("directory", "sqlite://", ["forgets"]),
        ("directory", "sqlite:///:memory:", ["forgets"]),
        ("directory", "sqlite:///file:x?mode=memory&uri=true", ["forgets"]),
        ("directory", "file:gone", ["cannot be read"]),
        ("create_users", "false", ["needs a directory"]),
        ("link_by", "verified_email", ["needs a directory"]),
        ("personal_tokens", "/dav/", ["needs a directory, where they are kept"]),
        ("personal_tokens", "/dav/ x", ["does not start with /"]),
        ("personal_tokens", "dav", ["does not start with /"]),
        ("personal_token_lifetime", "367d", ["366d"]),
        ("personal_token_lifetime", "30d", ["means nothing without personal_tokens"]),
        ("personal_token_owner_seen", "30d", ["means nothing without personal_tokens"]),
        ("link_by", "email", ["none or verified_email"]),
        ("strip_authorization", "bearer", ["basic, all or none"]),
        ("keep_headers", "Remote-User", ["nobody else may"]),
        ("keep_headers", "X-Auth-Type", ["nobody else may"]),
        ("keep_headers", "OAuth2-MW-Identity", ["nobody else may"]),
        ("keep_headers", "X-Forwarded-Email X-Auth-Token", ["X-Auth-Token is not among", "leave it out"]),
        ("keep_headers", "X-Forwarded-Email,X-Forwarded-User", ["not the name of a header"]),
        ("shared_caches", "yes", ["refuse or respect"]),
        ("clear_site_data", "cache cookie", ["did you mean cookies?"]),
        ("clear_site_data", "*", ["any of cache cookies storage"]),
        ("trusted_peers", "proxy.example.com", ["is no address"]),
        ("revocation_sync", "61s", ["0s to 1m"]),
        ("refresh_timeout", "121s", ["1s to 2m"]),
        ("refresh_timeout", "0", ["1s to 2m"]),
        ("revocation_sync", "-1s", ["'-1s'"]),
        ("on_login", "a b", ["'a b' is not a name in a module: write package.module:callable"]),
        ("on_logout", "module", ["is not a name in a module"]),
        ("on_user_created", "a:b", ["needs a directory"]),
        ("signout_file", "sign-outs", ["means nothing without a directory"]),
        ("preload", "2", ["true or false"]),
        ("insecure_http", "", ["true or false"]),
        # a provider
        ("client_id", "", ["is missing"]),
        ("client_id", "a\nb", ["one line"]),
        ("client_id", "a\x00b", ["control characters"]),
        ("client_secret", "", ["is missing", "client_secret_basic needs it"]),
        ("client_secret", "file:gone", ["cannot be read", "gone"]),
        ("client_secret", "env:OAUTH2_TEST_NOT_SET", ["OAUTH2_TEST_NOT_SET is not set"]),
        ("client_secret", "env:not a name", ["environment variable"]),
        ("client_auth_method", "basic", ["here it is called client_secret_basic"]),
        ("client_auth_method", "magic", ["client_secret_basic, client_secret_post, none"]),
        ("client_auth_method", "client_secret_pots", ["did you mean client_secret_post?"]),
        ("client_auth_method", "client_secret_jwt", ["client_secret", "too short", "32 bytes"]),
        ("client_auth_method", "none", ["client_secret", "take one of the two out"]),
        ("client_key", "file:key.pem", ["not used with client_auth_method = client_secret_basic"]),
        ("client_key", "file:", ["path of a file"]),
        ("client_certificate", "env:APP_CRT", ["client_auth_method = private_key_jwt alone"]),
        ("client_certificate", "-----BEGIN CERTIFICATE-----", ["put it into a file", "file:PATH"]),
        ("client_assertion_audience", "token", ["issuer or token_endpoint"]),
        ("client_assertion_audience", "issuer", ["private_key_jwt or client_secret_jwt alone"]),
        ("client_assertion_algorithm", "HS256", ["'HS256' is not allowed here"]),
        ("client_assertion_algorithm", "PS256", ["client_auth_method = private_key_jwt alone"]),
        ("client_key", "-----BEGIN PRIVATE KEY-----\ncanary\n-----END", ["put it into a file", "file:PATH"]),
        ("scope", "profile email", ["openid is missing"]),
        ("scope", 'openid "x"', ["not a valid scope"]),
        ("scope", "openid,profile", ["separated by spaces"]),
        ("issuer", "id.example.com", ["starts with https://"]),
        ("issuer", "https://id.example.com?x", ["query"]),
        ("issuer", "https://id.example.com#x", ["fragment"]),
        ("issuer", "https://id.example.com/.well-known/openid-configuration", ["before /.well-known/"]),
        ("issuer", "http://id.example.com", ["plain http"]),
        ("issuer", "https://login.microsoftonline.com/common/v2.0", ["many tenants"]),
        ("authorization_endpoint", "/authorize", ["starts with https://"]),
        ("authorization_endpoint", "javascript:alert(1)", ["starts with https://"]),
        ("authorization_endpoint", "http://id.example.com/a", ["plain http"]),
        ("token_endpoint", "https://id.example.com/#a", ["fragment"]),
        ("token_endpoint", "http://id.example.com/t", ["plain http"]),
        ("userinfo_endpoint", "https://u@id.example.com/", ["user name or password"]),
        ("userinfo_endpoint", "http://id.example.com/u", ["plain http"]),
        ("logout_endpoint", "https://id.example.com:99999/", ["host and port"]),
        ("logout_endpoint", "http://id.example.com/l", ["plain http"]),
        ("jwks_uri", "http://[fe80::1]/", ["plain http"]),
        ("metadata_url", "http://id.example.com/m", ["plain http"]),
        ("metadata_url", "id.example.com/m", ["starts with https://"]),
        ("jwks_uri", "https://[fe80::1%25eth0]/", ["IPv6 zone"]),
        ("jwks_uri", "https://[1.2.3.4]/", ["host and port"]),
        ("jwks_uri", "https://[v1.x]/", ["host and port"]),
        ("attribute_map", "", ["leave the line out"]),
        ("attribute_map", "username=login", ["not valid JSON", "line 1, column 1"]),
        ("attribute_map", "[]", ["a list"]),
        ("attribute_map", "null", ["it is null"]),
        ("attribute_map", '"x"', ["a text"]),
        ("attribute_map", "[" * 100_000, ["nested too deeply"]),
        ("attribute_map", '{"username": 1}', ["'username' is neither a string nor a list of strings"]),
        ("attribute_map", '{"username": []}', ["neither a string nor a list"]),
        ("attribute_map", '{"username": ["login", 1]}', ["neither a string nor a list"]),
        (
            "attribute_map",
            '{"username": "login", "name": {"a": "b"}}',
            ["'name' is neither a string nor a list"],
        ),
        (
            "attribute_map",
            '{"username": "emails[*].value"}',
            ["username is one value", "emails[0]"],
        ),
        (
            "attribute_map",
            '{"username": ["login", "keys(users)"]}',
            ["username is one value", "'keys(users)'"],
        ),
        ("attribute_map", '{"username": "realm.*.name"}', ["'realm.*.name' is not a path", "roles[*].name"]),
        ("subject", "ids[*]", ["subject is one value", "emails[0].value"]),
        ("attribute_map", '{"username": "a", "username": "b"}', ["'username' is written twice"]),
        ("attribute_map", '{"login": "username"}', ["wrong way round", '{"username": "login"}']),
        ("attribute_map", '{"login": "username", "mail": "email"}', ["wrong way round"]),
        ("attribute_map", '{"username": "login", "mail": "m"}', ["'mail'; did you mean email?"]),
        ("attribute_map", '{"username": "login", "shoe": "s"}', ["'shoe'; the local fields are username"]),
        ("attribute_map", '{"email": "email"}', ['"username" is missing']),
        ("attribute_map", '{"username": "a..b"}', ["not a path"]),
        ("attribute_map", '{"username": ""}', ["not a path"]),
        ("subject", "a[", ["cannot read"]),
        ("subject", "email", ["can change"]),
        ("subject", "attributes.preferred_username", ["can change"]),
        ("organization", "A", ["needs a directory"]),
        ("always_update", "true", ["needs a directory"]),
        ("group_sync", "always", ["needs a directory"]),
        ("group_sync", "often", ["first, always or never"]),
        ("sync_logout", "both", ["true or false"]),
        ("username_prefix", "a\tb", ["control characters"]),
        ("username_transform", "upper", ["any of lower localpart ascii percent"]),
        ("pkce", "plain", ["S256 or off"]),
        ("pkce", "s256", ["did you mean S256?"]),
        ("algorithms", "HS256", ["client secret", "choose RS256"]),
        ("algorithms", "RS256 none", ["nobody signed"]),
        ("algorithms", "RS265", ["did you mean"]),
        ("algorithms", "ROT13", ["any of RS256"]),
        ("userinfo", "sometimes", ["when-needed, always or never"]),
        ("ui_locales", "browser en", ["browser stands for the languages of each person", "write it alone"]),
        ("access_token_lifetime", "0", ["out of range"]),
        ("access_token_lifetime", "3600.5", ["access_token_lifetime"]),
        ("trusted_audiences", "* app", ["* already stands for all", "write it alone"]),
        ("trusted_audiences", "a\u2028b\0", ["control characters"]),
        ("leeway", "301", ["0s to 5m"]),
        ("response_mode", "fragment", ["query or form_post"]),
        ("max_age", "soon", ["not a valid duration"]),
        ("prompt", "a\nb", ["one line"]),
        ("auth_params", "hd=example.com", ["not valid JSON"]),
        ("auth_params", '{"hd": 1}', ["not a string"]),
        ("auth_params", '{"": "x"}', ["name is empty"]),
        ("auth_params", '{"hd": "\\u0000"}', ["control characters"]),
        ("auth_params", '{"hd": "\\ud800"}', ["control characters"]),
        ("refresh_failure", "keep", ["needs keep_tokens"]),
        ("refresh_needs_id_token", "true", ["needs keep_tokens = id refresh"]),
        ("refresh_needs_id_token", "perhaps", ["true or false"]),
        ("refresh_failure", "stay", ["write end or keep"]),
        ("ca_bundle", "gone.pem", ["cannot be read"]),
        ("ca_bundle", ".", ["cannot be read"]),
        ("proxy", "proxy.example.com:3128", ["starts with https://"]),
        ("proxy", "http://u:canary@proxy.example.com/path", ["host and a port"]),
        ("trust_env", "perhaps", ["true or false"]),
        ("enabled", "perhaps", ["true or false"]),
        ("preset", "githup", ["did you mean github?"]),
        ("preset", "nothing-like-it", ["there are adfs"]),
        ("icon", "githup", ["did you mean github?"]),
        ("icon", "./gone.png", ["cannot be read"]),
    ],
)
def test_a_value_that_cannot_be_used_is_explained(
    tmp_path: Path, key: str, value: str, parts: list[str]
) -> None:
    found = problems(main(key, value), base=tmp_path)
    assert len(found) == 1, found
    assert found[0].startswith((f"{MAIN}{key}: ", f"{MAIN}client_secret: "))
    for part in parts:
        assert part in found[0]
    assert "canary" not in found[0]


@pytest.mark.parametrize(
    "name",
    """
    client_id client_secret redirect_uri response_type response_mode scope state nonce code_challenge
    code_challenge_method prompt max_age acr_values ui_locales request request_uri login_hint
    """.split(),
)
def test_a_parameter_of_ours_cannot_be_written_in_auth_params(name: str) -> None:
    assert f"auth_params: {name} cannot be set here" in only_problem(main("auth_params", {name: "x"}))


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000",
        "http://127.0.0.1:8000/core",
        "http://127.9.9.9",
        "http://[::1]:8000",
        "https://app.example.com:8443/a/b",
        "HTTPS://APP.example.com/Core/",
    ],
)
def test_a_public_url_on_loopback_or_over_https_is_fine(url: str) -> None:
    settings = Settings.from_mapping(main("public_url", url))
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    assert settings.public_url == f"{scheme.lower()}://{host.lower()}{slash}{path}".rstrip("/")


def test_insecure_http_lets_plain_http_through() -> None:
    settings = Settings.from_mapping(
        service(
            insecure_http="true",
            **oidc(
                public_url="http://app.example.com",
                issuer="http://id.example.com",
                logout_endpoint="http://x.example.com",
            ),
        )
    )
    assert not settings.secure


@pytest.mark.parametrize("key", ["public_urll", "Client_Id", "client-id", "secretkeys"])
def test_a_misspelt_key_is_recognised(key: str) -> None:
    found = problems(service(**oidc(**{key: "x"})))
    assert len(found) == 1
    assert f"{MAIN}{key}: unknown key; did you mean " in found[0]


def test_a_key_like_no_other_is_unknown() -> None:
    assert only_problem(main("zzz", "x")) == f"{MAIN}zzz: unknown key"


def test_a_key_of_the_service_has_no_place_in_a_provider() -> None:
    found = problems(service(**{"provider:corp": oidc(public_url="https://x.example.com", isuer="x")}))
    assert "[provider:corp] public_url: is a key of the whole service: move it to [oauth2_mw]" in found
    assert "[provider:corp] isuer: unknown key; did you mean issuer?" in found


def test_the_keys_of_a_key_file_are_told_by_their_line(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(
        f"# keys\nk1 2026-11-23T18:00:00Z {text_key()}\nk2 yesterday {text_key(1)}\n"
    )
    found = only_problem(main("secret_keys", "file:keys"), base=tmp_path)
    assert "keys, line 3: not-before" in found
    assert text_key(1) not in found


def test_a_form_as_answer_needs_https() -> None:
    keys = {**main("response_mode", "form_post"), "public_url": "http://localhost:8000"}
    assert "needs a public_url of https" in only_problem(keys)


def test_an_unknown_key_of_access_is_told() -> None:
    mapping = service(**oidc(), access={"rules": "public GET /x", "rule": ""})
    found = problems(mapping)
    assert "[access] rule: unknown key; did you mean rules?" in found


def test_empty_access_rules_mean_no_rules() -> None:
    Settings.from_mapping(service(**oidc(), access={"rules": ""}))


# Clients


def test_a_public_client_has_no_secret_and_cannot_do_without_pkce() -> None:
    found = problems(main("client_auth_method", "none") | {"pkce": "off"})
    assert [line.split(": ")[0] for line in found] == [f"{MAIN}client_secret", f"{MAIN}pkce"]


def test_a_public_client_with_pkce_is_fine() -> None:
    provider = Settings.from_mapping(service(**oidc(client_auth_method="none", client_secret=""))).providers[
        "default"
    ]
    assert provider.client_secret is None


def with_key(**more: object) -> dict[str, object]:
    return service(**oidc(**{"client_auth_method": "private_key_jwt", "client_secret": "", **more}))


def test_private_key_jwt_has_a_key_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("whether it is a key is not for the settings to know")
    settings = Settings.from_mapping(with_key(client_key="file:key.pem"), base=tmp_path)
    provider = settings.providers["default"]
    assert (provider.client_key, provider.client_secret) == (Secret.file(tmp_path / "key.pem"), None)


def test_a_key_may_be_a_jwk_or_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "-----BEGIN PRIVATE KEY-----")
    for client_key in ('{"kty": "OKP"}', "env:THE_KEY"):
        assert Settings.from_mapping(with_key(client_key=client_key)).providers["default"].client_key


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("", ["is missing: private_key_jwt needs it", "file:client-key.pem"]),
        ("file:gone.pem", ["cannot be read", "gone.pem"]),
        ("env:OAUTH2_TEST_NOT_SET", ["OAUTH2_TEST_NOT_SET is not set"]),
    ],
)
def test_private_key_jwt_needs_a_key_that_can_be_read(tmp_path: Path, key: str, parts: list[str]) -> None:
    found = only_problem(with_key(client_key=key), base=tmp_path)
    assert found.startswith(f"{MAIN}client_key: ")
    assert all(part in found for part in parts)


def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    found = only_problem(with_key(client_key="{}", client_certificate="file:gone.crt"), base=tmp_path)
    assert found.startswith(f"{MAIN}client_certificate: cannot be read: ")
    (tmp_path / "app.crt").write_text("whether it is a certificate is not for the settings to know")
    keys = {
        "client_key": "{}",
        "client_certificate": "file:app.crt",
        "client_assertion_audience": "token_endpoint",
        "client_assertion_algorithm": "PS256",
    }
    provider = Settings.from_mapping(with_key(**keys), base=tmp_path).providers["default"]
    assert provider.client_certificate == Secret.file(tmp_path / "app.crt")
    assert (provider.client_assertion_audience, provider.client_assertion_algorithm) == (
        "token_endpoint",
        "PS256",
    )


def test_private_key_jwt_takes_no_secret() -> None:
    found = only_problem(with_key(client_key="{}", client_secret="s3cret"))
    assert found.startswith(f"{MAIN}client_secret: is not used with client_auth_method = private_key_jwt")


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "client_secret_jwt", "none"])
def test_a_key_is_for_private_key_jwt_alone(method: str) -> None:
    secret = "" if method == "none" else "x" * 32
    found = only_problem(with_key(client_auth_method=method, client_secret=secret, client_key="{}"))
    assert found.startswith(f"{MAIN}client_key: is not used with client_auth_method = {method}")


def test_the_secret_of_client_secret_jwt_is_measured_in_bytes() -> None:
    def signed_with(secret: str) -> dict[str, object]:
        return with_key(client_auth_method="client_secret_jwt", client_secret=secret)

    assert Settings.from_mapping(signed_with("ü" * 16)).providers["default"].client_secret
    assert "is too short" in only_problem(signed_with("x" * 31))


@pytest.mark.parametrize("missing", ["authorization_endpoint", "token_endpoint", "userinfo_endpoint"])
def test_without_an_issuer_every_endpoint_is_needed(missing: str) -> None:
    found = only_problem(service(**oauth(**{missing: ""})))
    assert found.startswith(f"{MAIN}{missing}: is missing: without an issuer")


def test_without_issuer_and_endpoints_both_ways_are_named() -> None:
    found = only_problem(service(client_id="a", client_secret="b"))
    assert found.startswith(f"{MAIN}issuer: is missing")
    assert "authorization_endpoint, token_endpoint, userinfo_endpoint" in found


def test_a_broken_endpoint_is_not_called_missing_as_well() -> None:
    assert "starts with https://" in only_problem(service(**oauth(token_endpoint="x")))


def test_a_broken_issuer_does_not_make_the_endpoints_missing() -> None:
    assert len(problems(main("issuer", "x"))) == 1


def test_without_an_issuer_userinfo_must_be_asked() -> None:
    assert "only userinfo says who it is" in only_problem(service(**oauth(userinfo="never")))
    Settings.from_mapping(service(**oauth(userinfo="always")))
    assert Settings.from_mapping(service(**oidc(userinfo="never"))).providers["default"].userinfo == "never"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("jwks_uri", "https://id.example.com/j"),
        ("metadata_url", "https://id.example.com/m"),
        ("algorithms", "ES256"),
        ("max_age", "0"),
        ("acr_values", "a"),
        ("trusted_audiences", "*"),
        ("refresh_needs_id_token", "true"),
    ],
)
def test_what_is_checked_in_an_id_token_means_nothing_without_one(key: str, value: str) -> None:
    assert f"{key}: means nothing without an issuer" in only_problem(service(**oauth(**{key: value})))


def test_a_section_that_is_a_provider_by_accident_is_told_so() -> None:
    found = problems(service(sync_logout="false", **{"provider:corp": oidc(username_prefix="c:")}))
    assert any("sync_logout in [oauth2_mw] makes that section a provider" in line for line in found)


# Names


@pytest.mark.parametrize("name", ["callback", "default", "done"])
def test_a_name_that_is_a_url_of_ours_is_refused(name: str) -> None:
    assert f"[provider:{name}] the name {name} is taken" in only_problem(
        service(**{f"provider:{name}": oidc()})
    )


@pytest.mark.parametrize("name", ["", "Corp", "1corp", "-corp", "co_rp", "co.rp", "a" * 33, "corp "])
def test_a_name_that_does_not_fit_in_a_url_is_refused(name: str) -> None:
    assert "a small letter, then up to 31" in only_problem(service(**{f"provider:{name}": oidc()}))


# Several providers, and who may enter


def several(**prefixes: str) -> dict[str, object]:
    return service(
        **{
            f"provider:{name}": oidc(username_prefix=prefix, issuer=f"https://{name}.example.com")
            for name, prefix in prefixes.items()
        }
    )


def test_several_providers_without_a_directory_need_prefixes() -> None:
    found = problems(several(a="", b=""))
    assert [line.split(": ")[0] for line in found] == [
        "[provider:a] username_prefix",
        "[provider:b] username_prefix",
    ]
    assert "like a:" in found[0]


def test_prefixes_are_distinct() -> None:
    assert len(problems(several(a="x:", b="x:"))) == 2


def test_no_prefix_begins_another_or_names_could_meet() -> None:
    # "a" + "bc" and "ab" + "c" would be one name
    assert only_problem(several(a="a", b="ab")).startswith("[provider:a] username_prefix")


def test_distinct_prefixes_are_fine() -> None:
    assert len(Settings.from_mapping(several(a="a:", b="b:")).providers) == 2


def test_with_a_directory_no_prefix_is_needed(tmp_path: Path) -> None:
    assert (
        len(
            Settings.from_mapping(
                several(a="", b="") | {"directory": "sqlite:///u.db"}, base=tmp_path
            ).providers
        )
        == 2
    )


def test_a_provider_that_is_switched_off_needs_no_prefix() -> None:
    mapping = several(a="", b="")
    mapping["provider:b"] = oidc(enabled="false")
    assert list(Settings.from_mapping(mapping).providers) == ["a"]


def test_a_broken_prefix_is_reported_once() -> None:
    found = problems(several(a="a\tb", b="b:"))
    assert len(found) == 1


def test_a_provider_that_is_switched_off_still_has_its_keys_read() -> None:
    found = problems(
        service(**oidc(), **{"provider:off": {"enabled": "false", "isuer": "x", "leeway": "soon"}})
    )
    assert [line.split(": ")[0] for line in found] == ["[provider:off] isuer", "[provider:off] leeway"]


@pytest.mark.parametrize("directory", ["none", "sqlite:///u.db"])
def test_a_preset_that_anyone_can_join_needs_allow(tmp_path: Path, directory: str) -> None:
    mapping = service(preset="github", client_id="a", client_secret="b", directory=directory)
    found = only_problem(mapping, base=tmp_path)
    assert found.startswith(f"{MAIN}allow: is missing: anyone on earth can join GitHub")
    assert Settings.from_mapping(mapping | {"allow": "*"}, base=tmp_path).providers["default"].public


def test_a_broken_allow_is_not_called_missing_as_well() -> None:
    mapping = service(preset="github", client_id="a", client_secret="b", allow="jane")
    assert "not a valid term" in only_problem(mapping)


def test_a_public_preset_that_is_switched_off_needs_no_allow() -> None:
    Settings.from_mapping(service(**oidc(), **{"provider:gh": {"preset": "github", "enabled": "false"}}))


def test_an_instance_of_ones_own_is_not_public() -> None:
    mapping = service(preset="gitlab", issuer="https://git.example.com", client_id="a", client_secret="b")
    assert not Settings.from_mapping(mapping).providers["default"].public


@pytest.mark.parametrize("term", ["email:jane@example.com", "email_domain:example.com"])
def test_an_email_term_needs_an_email(term: str) -> None:
    mapping = main("attribute_map", {"username": "login"}) | {"allow": term}
    assert "no attribute_map maps email" in only_problem(mapping)


def test_a_group_term_needs_groups_or_a_directory(tmp_path: Path) -> None:
    mapping = main("attribute_map", {"username": "login"}) | {"allow": "group:staff"}
    assert "no attribute_map maps groups" in only_problem(mapping)
    Settings.from_mapping(mapping | {"directory": "sqlite:///u.db"}, base=tmp_path)


def test_an_organization_term_is_fine_with_a_directory(tmp_path: Path) -> None:
    Settings.from_mapping(
        service(**oidc(), allow="organization:A", directory="sqlite:///u.db"), base=tmp_path
    )


def test_what_needs_a_directory_is_fine_with_one(tmp_path: Path) -> None:
    mapping = service(
        **oidc(organization="A", always_update="true", group_sync="never"),
        create_users="false",
        directory="sqlite:///u.db",
    )
    assert not Settings.from_mapping(mapping, base=tmp_path).create_users


def test_a_broken_directory_does_not_make_other_keys_wrong(tmp_path: Path) -> None:
    found = only_problem(
        service(**oidc(organization="A"), directory="env:1", create_users="false"), base=tmp_path
    )
    assert "directory: after env:" in found


def test_a_directory_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oauth2_mw.settings.stores.find_spec", lambda _name: None)
    assert "pip install 'oauth2-mw[sql]'" in only_problem(main("directory", "postgresql://db/users"))


def test_a_providers_own_times_are_compared() -> None:
    found = only_problem(service(**{"provider:corp": oidc(session_lifetime="1h", session_idle="2h")}))
    assert found.startswith("[provider:corp] session_idle: is longer")


def test_a_providers_idle_time_is_compared_with_the_services_lifetime() -> None:
    found = only_problem(service(session_lifetime="1h", **{"provider:corp": oidc(session_idle="2h")}))
    assert found.startswith("[provider:corp] session_idle: is longer")


# [environ]


@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("REMOTE_EMAIL", "email"),
        ("HTTP_X_REMOTE_USER", "username"),
        ("HTTP_REMOTE_GROUPS", "groups"),
        ("kallithea.user", "claims.a.b[0]"),
        ("USER_ID", "id"),
        ("ID_TOKEN", "id_token"),
        ("ROLES", 'claims."https://acme.example/roles"'),
    ],
)
def test_plain_keys_of_the_environ(target: str, source: str) -> None:
    settings = Settings.from_mapping(service(**oidc(), environ={target: source}))
    assert dict(settings.environ) == {target: source}


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("REMOTE_USER", "always set by itself"),
        ("AUTH_TYPE", "always set by itself"),
        ("remote.user", "always set by itself"),
        ("PATH_INFO", "belongs to the server"),
        ("path.info", "belongs to the server"),
        ("SCRIPT_NAME", "belongs to the server"),
        ("REQUEST_METHOD", "belongs to the server"),
        ("SERVER_NAME", "belongs to the server"),
        ("REMOTE_ADDR", "belongs to the server"),
        ("CONTENT_LENGTH", "belongs to the server"),
        ("HTTPS", "belongs to the server"),
        ("wsgi.input", "belongs to the server"),
        ("wsgi_input", "belongs to the server"),
        ("oauth2_mw.identity", "belongs to the server or to us"),
        ("OAUTH2-MW-identity", "belongs to the server or to us"),
        ("HTTP_HOST", "request header"),
        ("HTTP_COOKIE", "request header"),
        ("HTTP_AUTHORIZATION", "request header"),
        ("HTTP-Host", "request header"),
        ("HTTP", "request header"),
        ("HTTP_X_", "beginning of a name"),
        ("HTTP_REMOTE_", "beginning of a name"),
        ("A B", "not a valid name"),
        ("1A", "not a valid name"),
        ("A\xe9", "not a valid name"),
        ("", "not a valid name"),
        ("A" * 101, "not a valid name"),
    ],
)
def test_a_target_that_means_something_else_is_refused(target: str, why: str) -> None:
    found = only_problem(service(**oidc(), environ={target: "email"}))
    assert why in found
    assert found.startswith("[environ] ")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("", "not a known source"),
        ("mail", "did you mean email?"),
        ("Email", "did you mean email?"),
        ("claims", "claims.PATH"),
        ("claims.", "not a path"),
        ("claims.a..b", "not a path"),
        ("refresh_token", "not a known source"),
        ("access_token", "add access to keep_tokens"),
    ],
)
def test_a_source_that_is_not_there_is_refused(source: str, why: str) -> None:
    assert why in only_problem(service(**oidc(), environ={"X": source}))


def test_the_access_token_can_be_handed_out_when_it_is_kept() -> None:
    Settings.from_mapping(service(**oidc(), keep_tokens="access", environ={"X": "access_token"}))


def test_the_id_token_cannot_be_handed_out_when_it_is_not_kept() -> None:
    assert "add id to keep_tokens" in only_problem(
        service(**oidc(), keep_tokens="none", environ={"X": "id_token"})
    )


def test_a_broken_keep_tokens_is_reported_once() -> None:
    assert "keep_tokens" in only_problem(service(**oidc(), keep_tokens="x", environ={"X": "id_token"}))


@pytest.mark.requirement("R-scrub")
@pytest.mark.parametrize("target", ["REMOTE_EMAIL", "HTTP_X_REMOTE_EMAIL", "Remote__Email"])
def test_no_header_is_kept_that_the_environ_section_writes(target: str) -> None:
    found = only_problem(service(**oidc(), keep_headers="Remote-Email", environ={target: "email"}))
    assert found.startswith("[oauth2_mw] keep_headers: Remote-Email cannot be told from")


def test_two_targets_that_servers_cannot_tell_apart_are_refused() -> None:
    found = only_problem(service(**oidc(), environ={"HTTP_X_USER": "username", "http-x-user": "email"}))
    assert "http-x-user: cannot be told from HTTP_X_USER" in found


@pytest.mark.parametrize(
    ("settings", "rules", "part"),
    [
        ({"public_paths": "/static/ /logout"}, "", "is public"),
        ({}, "public /logout", "is public"),
        ({}, "denied POST /logout", "is denied"),
    ],
)
def test_a_logout_of_the_application_that_could_not_end_a_session_is_explained(
    settings: dict[str, str], rules: str, part: str
) -> None:
    mapping = {**main("app_logout_paths", "POST:/logout"), **settings, "access": {"rules": rules}}
    (found,) = problems(mapping)
    assert "[oauth2_mw] app_logout_paths" in found
    assert part in found


def test_a_logout_of_the_application_may_be_behind_other_rules() -> None:
    rules = "denied GET /logout\noptional /logout"
    mapping = {**main("app_logout_paths", "POST:/logout"), "access": {"rules": rules}}
    assert Settings.from_mapping(mapping).app_logout_paths[0].method == "POST"


@pytest.mark.parametrize(
    ("settings", "rules", "part"),
    [
        ({"public_paths": "/open/"}, "", "/open/form is public, where no form needs a sign-in"),
        ({}, "public /open/", "/open/form is public, where no form needs a sign-in"),
        ({}, "denied POST /open/form", "/open/form is denied to everybody"),
    ],
)
def test_a_path_where_no_form_could_be_kept_is_explained(
    settings: dict[str, str], rules: str, part: str
) -> None:
    mapping = {**main("keep_forms", "/open/form /wiki/"), **settings, "access": {"rules": rules}}
    (found,) = problems(mapping)
    assert "[oauth2_mw] keep_forms" in found
    assert part in found


def test_forms_may_be_kept_behind_other_rules() -> None:
    rules = "denied GET /wiki/\noptional /wiki/"
    mapping = {**main("keep_forms", "/ /wiki/"), "access": {"rules": rules}}
    assert [path.text for path in Settings.from_mapping(mapping).keep_forms] == ["/", "/wiki/"]


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        (oidc(issuer="https://app.example.com"), "issuer"),
        (oauth(token_endpoint="https://app.example.com/token"), "token_endpoint"),
    ],
)
def test_no_provider_has_the_issuer_of_users_who_are_programs(keys: dict[str, Any], where: str) -> None:
    Settings.from_mapping(service(**keys))
    problem = only_problem(service(directory="sqlite:///users.db", **keys))
    assert problem.startswith(f"[oauth2_mw] {where}: its users have public_url for their issuer")


def test_what_was_meant_is_guessed_for_so_many_keys_as_anybody_reads() -> None:
    many = {f"publik_url{number}": "x" for number in range(150)}
    found = [problem for problem in problems(service(**oidc(), **many)) if "unknown key" in problem]
    assert len(found) == 150
    assert sum("did you mean public_url?" in problem for problem in found) == 100
