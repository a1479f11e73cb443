"""``oauth2-mw convert``: files of oauth2-proxy and mod_auth_openidc, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from oauth2_mw.cli.main import main
from oauth2_mw.settings.model import Settings

PROXY = """
## oauth2-proxy in front of the wiki
http_address = "127.0.0.1:4180"
upstreams = [ "http://127.0.0.1:8080/" ]
reverse_proxy = true
provider = "oidc"
provider_display_name = "Example Ltd"
oidc_issuer_url = "https://id.example.com/realms/staff"
client_id = "wiki"
client_secret = "a-secret-of-the-file"
redirect_url = "https://wiki.example.com/oauth2/callback"
scope = "openid profile email groups"
code_challenge_method = "S256"
email_domains = [ "example.com", "example.org" ]
allowed_groups = [ "wiki users" ]
cookie_secret = "OQINaROshtE9TcZkNAm-5Zs2Pv3xaWytBmc5W7sPX7w="
cookie_expire = "12h0m0s"
cookie_refresh = "1h"
cookie_secure = true
session_store_type = "redis"
redis_connection_url = "redis://127.0.0.1:6379/1"
skip_auth_routes = [ "^/static/", "GET=^/robots\\\\.txt$" ]
skip_provider_button = true
pass_user_headers = true
oidc_groups_claim = "roles"
"""
VARIABLES = """
# /etc/oauth2-proxy.env
OAUTH2_PROXY_PROVIDER=github
export OAUTH2_PROXY_CLIENT_ID="0123456789abcdef"
OAUTH2_PROXY_CLIENT_SECRET='a-secret,of the#file'
OAUTH2_PROXY_GITHUB_USERS=jane,joe
OAUTH2_PROXY_COOKIE_SECRET=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
OAUTH2_PROXY_REDIRECT_URL=https://example.com/wiki/oauth2/callback
OAUTH2_PROXY_EMAIL_DOMAINS=*
OAUTH2_PROXY_GITHUB_ORG=acme
"""
APACHE = """
<VirtualHost *:443>
    ServerName app.example.com
    OIDCProviderMetadataURL https://id.example.com/.well-known/openid-configuration
    OIDCClientID app
    OIDCClientSecret "a secret of the file"
    OIDCRedirectURI /protected/redirect_uri
    OIDCCryptoPassphrase never-to-be-shown
    OIDCScope "openid email profile"
    OIDCRemoteUserClaim email
    OIDCProviderTokenEndpointAuth client_secret_post
    OIDCAuthRequestParams prompt=login&hd=example.com
    OIDCPKCEMethod S256
    OIDCSessionMaxDuration 28800
    OIDCSessionInactivityTimeout 3600
    OIDCClaimPrefix "OIDC_CLAIM_"
    <Location />
        AuthType openid-connect
        Require valid-user
    </Location>
    <Location "/admin">
        AuthType openid-connect
        Require claim roles:admin
        Require claim "roles:main editor"
    </Location>
    <Location /health>
        Require all granted
    </Location>
</VirtualHost>
"""


def converted(tmp_path: Path, text: str) -> tuple[int, Path]:
    source = tmp_path / "theirs"
    source.write_text(text, encoding="utf-8")
    return main(["convert", str(source)]), tmp_path / "oauth2.ini"


def checked(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[Settings, str]:
    """The settings of a complete file, which a start takes as ``convert`` has printed them."""
    code, ini = converted(tmp_path, text)
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, ""), printed
    ini.write_text(printed.out, encoding="utf-8")
    assert main(["keygen", str(tmp_path / "keys")]) == 0
    assert main(["check", str(ini)]) == 0, capsys.readouterr()
    return Settings.from_ini(ini), printed.out


def test_a_file_of_oauth2_proxy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, printed = checked(tmp_path, PROXY, capsys)
    provider = settings.providers["default"]
    assert settings.public_url == "https://wiki.example.com"
    for line in (
        "callback_path = /oauth2/callback",
        "issuer = https://id.example.com/realms/staff",
        "provider = Example Ltd",
        "session_lifetime = 43200s",
        "session = redis://127.0.0.1:6379/1",
        "keep_tokens = id refresh",
        'allow = email_domain:example.com and group:"wiki users" email_domain:example.org and group:"wiki users"',
        'attribute_map = {"name": "name", "email": "email", "groups": "roles", "username": "preferred_username"}',
        "    public /static/",
        "    public GET /robots.txt",
        "HTTP_X_FORWARDED_EMAIL = email",
    ):
        assert f"\n{line}\n" in printed + "\n", line
    assert provider.client_id == "wiki"
    # Theirs, which nothing here is sealed with.
    assert "OQINaROshtE9" not in printed
    # What has no counterpart is said, and what the default does is not.
    assert "# upstreams: " in printed
    assert "code_challenge_method" not in printed


def test_a_file_of_its_variables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, printed = checked(tmp_path, VARIABLES, capsys)
    assert settings.public_url == "https://example.com"
    assert "\ncallback_path = /wiki/oauth2/callback\n" in printed
    assert "\nallow = user:jane user:joe group:acme\n" in printed
    assert "\nclient_secret = a-secret,of the#file\n" in printed
    assert "\npreset = github\n" in printed
    assert '"groups": "groups"' in printed
    assert '"username": "login"' in printed
    assert "AAAAAAAA" not in printed


def test_a_file_of_mod_auth_openidc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, printed = checked(tmp_path, APACHE, capsys)
    assert settings.public_url == "https://app.example.com"
    assert "\ncallback_path = /protected/redirect_uri\n" in printed
    for line in (
        "issuer = https://id.example.com",
        "client_secret = a secret of the file",
        "client_auth_method = client_secret_post",
        "prompt = login",
        'auth_params = {"hd": "example.com"}',
        "session_lifetime = 28800s",
        'attribute_map = {"name": "name", "email": "email", "username": "email"}',
        "    public /health /health/",
        '    required /admin /admin/ if claim:roles=admin or claim:roles="main editor"',
    ):
        assert f"\n{line}\n" in printed + "\n", line
    assert "never-to-be-shown" not in printed


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (PROXY.replace("redirect_url", "#"), "public_url"),
        (PROXY.replace("client_id", "#"), "client_id"),
        (PROXY.replace("client_secret", "#"), "client_secret"),
        (PROXY.replace("oidc_issuer_url", "#"), "authorization_endpoint"),
        # Who may enter is never lost in silence.
        (PROXY + 'authenticated_emails_file = "/etc/emails"\n', "authenticated_emails_file"),
        (VARIABLES + "OAUTH2_PROXY_GITHUB_TEAM=core\n", "github_team"),
        (APACHE.replace("roles:admin", "roles~^adm"), "Require"),
        (APACHE.replace("Require valid-user", "Require user jane"), "Require"),
        (APACHE.replace("<Location />", "<LocationMatch ^/x>"), "LocationMatch"),
        (APACHE.replace("OIDCClientSecret", "#"), "client_secret"),
        (APACHE.replace("/protected/redirect_uri", ""), "public_url"),
        (APACHE.replace("Require claim roles:admin", "Require\nRequire claim"), "Require"),
        (VARIABLES + "OAUTH2_PROXY_GITHUB_REPO=acme/wiki\n", "github_repo"),
        (PROXY + 'gitlab_projects = ["acme/wiki"]\n', "gitlab_project"),
        (PROXY + 'bitbucket_team = "acme"\n', "bitbucket_team"),
        (PROXY + 'bitbucket_repository = "acme/wiki"\n', "bitbucket_repository"),
        (PROXY + 'keycloak_groups = ["staff"]\n', "keycloak_group"),
        (PROXY + 'entra_id_allowed_tenants = ["1"]\n', "entra_id_allowed_tenant"),
        # Nor is what a section other than <Location> demands, whatever another one grants.
        (APACHE + "<Directory /srv>\nRequire claim groups:x\n</Directory>\n", "<Directory /srv>"),
        (
            APACHE
            + "<Directory /srv>\nRequire all granted\n</Directory>\n<Files a>\nRequire claim g:x\n</Files>\n",
            "<Files a>",
        ),
        (APACHE.replace("Require valid-user", "<Limit POST>\nRequire claim g:x\n</Limit>"), "<Limit POST>"),
        (APACHE + "<Location /health>\nRequire claim groups:x\n</Location>\n", "Require in /health"),
    ],
)
def test_what_is_needed_and_missing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, missing: str
) -> None:
    code, _ = converted(tmp_path, text)
    printed = capsys.readouterr()
    assert code == 1
    assert missing in printed.err
    assert "# MISSING: " in printed.out
    assert "[oauth2_mw]" in printed.out


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing = of = theirs",
        "providers:\n- id: one\n",
        'client_id = "a\nclient_secret = "SECRET-WORD"',
        'OIDCClientSecret "SECRET-WORD\n',
        'client_secret = "SECRET-WORD"\nclient_id = "a\\nallow = *"\n',
        'email_domains = ["example.com"]\ngithub_users = ["a\\n    public /"]\n',
        'redirect_url = "https://[zz]/callback"\n',
        APACHE.replace("OIDCRedirectURI /", "OIDCRedirectURI https://[zz]/"),
        pytest.param(f"client_id = {'9' * 5000}\n", id="number"),
        pytest.param(f"client_id = {'[' * 50_000}\n", id="deep"),
        # Behind the quote would be another term.
        """allowed_groups = ['a" email_domain:example.net group:"b c']\n""",
        APACHE.replace('"roles:main editor"', """'roles:a" or claim:x="y z'"""),
    ],
)
def test_what_cannot_be_read_is_refused_without_showing_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert converted(tmp_path, text)[0] == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "SECRET-WORD" not in printed.err
    assert "Traceback" not in printed.err


def test_a_location_in_which_something_else_is_demanded_is_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converted(tmp_path, APACHE.replace("Require claim roles:admin", "Require not claim roles:guest"))
    assert "    denied /admin /admin/\n" in capsys.readouterr().out


def test_what_passes_in_one_location_opens_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = APACHE.replace("<Location /health>", "<Location /health>\nOIDCUnAuthAction pass")
    settings, printed = checked(tmp_path, text, capsys)
    assert settings.protect == "required"
    assert "# OIDCUnAuthAction: it holds in /health alone there" in printed


def test_folders_that_ask_for_no_more_than_a_sign_in_are_behind_it_anyway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{APACHE}<Directory /srv>\n<IfModule x>\nRequire all granted\n</IfModule>\n</Directory>\n"
    _, printed = checked(tmp_path, text, capsys)
    assert "/srv" not in printed


@pytest.mark.parametrize("pattern", ["/static", "^/static", "^/a.b$", "^/(a|b)/", "GET=/x", "^/x/$"])
def test_a_pattern_that_no_path_says_stays_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    text = PROXY.replace('"^/static/"', f'"{pattern}"')
    _, printed = checked(tmp_path, text, capsys)
    assert printed.count("\n    public ") == 1
    assert "# skip_auth_routes: " in printed
