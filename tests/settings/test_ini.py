"""INI files and mappings: what they may look like, and what comes out of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import ConfigError
from oauth2_mw.settings.grammar import Secret, format_key_line, parse_key_file
from oauth2_mw.settings.model import Settings
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import oauth, oidc, only_problem, problems, service

SMALLEST = f"""
[oauth2_mw]
public_url = https://app.example.com/core/
secret_keys = {text_key()}
issuer = https://id.example.com
client_id = app
client_secret = s3cret
"""


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "oauth2.ini") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Settings.from_ini(path)
    assert caught.value.source == str(path)
    return [str(problem) for problem in caught.value.problems]


# What comes out


def test_the_smallest_file_gives_the_defaults_of_the_table(write: Write) -> None:
    settings = Settings.from_ini(write(SMALLEST))
    assert settings.public_url == "https://app.example.com/core"
    assert (settings.origin, settings.mount, settings.secure) == ("https://app.example.com", "/core", True)
    assert settings.prefix == "/auth/oauth2"
    assert settings.protect == "required"
    assert settings.public_paths == ()
    assert settings.allow is None
    assert not settings.login_page
    assert settings.session_max_bytes == 6000
    assert settings.keep_tokens == {"id"}
    assert settings.cookie_name == "oauth2_mw"
    assert settings.hide_cookies
    assert settings.directory is None
    assert settings.create_users
    assert settings.link_by == "none"
    assert settings.strip_authorization == "basic"
    assert settings.keep_headers == ()
    assert settings.shared_caches == "refuse"
    assert settings.clear_site_data == ()
    assert settings.revocation_sync == 5
    assert settings.refresh_timeout == 25
    assert not settings.insecure_http
    assert not settings.preload
    assert dict(settings.environ) == {}


def test_the_smallest_provider_gives_the_defaults_of_the_table(write: Write) -> None:
    provider = Settings.from_ini(write(SMALLEST)).providers["default"]
    assert provider.label == "id.example.com"
    assert provider.client_secret == Secret.literal("s3cret")
    assert provider.client_auth_method == "client_secret_basic"
    assert provider.scope == ("openid", "profile", "email")
    assert {local: path.text for local, path in provider.attribute_map.items()} == {
        "username": "preferred_username",
        "name": "name",
        "email": "email",
        "phone": "phone_number",
        "groups": "groups",
    }
    assert provider.subject.text == "sub"
    assert (provider.username_prefix, provider.username_transform) == ("", ())
    assert provider.icon is None
    assert provider.organization == ("DEFAULT",)
    assert provider.always_update
    assert provider.group_sync == "first"
    assert provider.sync_logout
    assert provider.pkce
    assert (provider.algorithms, provider.leeway) == (None, 60)
    assert provider.trusted_audiences == ()
    assert (provider.prompt, provider.max_age, provider.ui_locales) == (None, None, None)
    assert (provider.acr_values, dict(provider.auth_params)) == ((), {})
    assert (provider.session_lifetime, provider.session_idle) == (28800, 3600)
    assert (provider.ca_bundle, provider.proxy, provider.trust_env) == (None, None, False)
    assert (provider.quirk, provider.public) == (None, False)
    assert provider.is_oidc
    assert provider.user_issuers == ("https://id.example.com",)


def test_without_an_issuer_other_defaults_hold() -> None:
    provider = Settings.from_mapping(service(**oauth())).providers["default"]
    assert provider.scope == ()
    assert provider.subject.text == "id"
    assert {local: path.text for local, path in provider.attribute_map.items()} == {
        "username": "username",
        "name": "name",
        "email": "email",
        "phone": "phone",
    }
    assert provider.label == "id.example.com"
    assert not provider.is_oidc
    assert provider.user_issuers == ("https://id.example.com",)


def test_every_key_that_is_written_arrives(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("certificates")
    settings = Settings.from_mapping(
        service(
            prefix="/sso/",
            protect="optional",
            public_paths="/static/ /healthz",
            allow="email_domain:example.com and group:staff",
            login_page="yes",
            session_max_bytes="4000",
            keep_tokens="id access",
            cookie_name="app",
            hide_cookies="off",
            directory="postgresql://u:p@db/users",
            create_users="no",
            strip_authorization="all",
            keep_headers="X-Forwarded-Email Remote-Groups",
            shared_caches="respect",
            clear_site_data="storage cache",
            revocation_sync="60",
            preload="1",
            session_lifetime="2h",
            session_idle="30m",
            **oidc(
                provider="Example",
                icon="key",
                client_auth_method="client_secret_post",
                scope="openid groups",
                authorization_endpoint="https://id.example.com/a?x=1",
                token_endpoint="https://id.example.com/t",
                userinfo_endpoint="https://id.example.com/u",
                logout_endpoint="https://id.example.com/l",
                jwks_uri="https://id.example.com/j",
                metadata_url="https://id.example.com/m?appid=7",
                attribute_map='{"username": "login", "email": "emails[0].value", "groups": "realm_access.roles"}',
                email_verified="text",
                subject="oid",
                username_prefix="ex:",
                username_transform="lower localpart",
                organization="A B",
                always_update="false",
                group_sync="always",
                sync_logout="false",
                pkce="off",
                algorithms="ES256 EdDSA",
                leeway="0",
                trusted_audiences="crm 8123 crm",
                prompt="login",
                max_age="0",
                acr_values="a b",
                ui_locales="nb en",
                access_token_lifetime="1h",
                auth_params='{"hd": "example.com"}',
                ca_bundle="ca.pem",
                proxy="http://user:password@proxy.example.com:3128",
                trust_env="true",
            ),
        ),
        base=tmp_path,
    )
    assert settings.prefix == "/sso"
    assert settings.protect == "optional"
    assert [rule.text for rule in settings.public_paths] == ["/static/", "/healthz"]
    assert str(settings.allow) == "email_domain:example.com and group:staff"
    assert settings.login_page
    assert settings.session_max_bytes == 4000
    assert settings.keep_tokens == {"id", "access"}
    assert settings.cookie_name == "app"
    assert not settings.hide_cookies
    assert settings.directory == Secret.literal("postgresql://u:p@db/users")
    assert not settings.create_users
    assert settings.strip_authorization == "all"
    assert settings.keep_headers == ("X-Forwarded-Email", "Remote-Groups")
    assert settings.shared_caches == "respect"
    assert settings.clear_site_data == ("storage", "cache")
    assert settings.revocation_sync == 60
    assert settings.preload
    provider = settings.providers["default"]
    assert provider.label == "Example"
    assert provider.icon is not None
    assert provider.icon.content_type == "image/svg+xml"
    assert provider.client_auth_method == "client_secret_post"
    assert provider.scope == ("openid", "groups")
    assert provider.authorization_endpoint == "https://id.example.com/a?x=1"
    assert provider.token_endpoint == "https://id.example.com/t"
    assert provider.userinfo_endpoint == "https://id.example.com/u"
    assert provider.logout_endpoint == "https://id.example.com/l"
    assert provider.jwks_uri == "https://id.example.com/j"
    assert provider.metadata_url == "https://id.example.com/m?appid=7"
    assert provider.attribute_map["groups"].get({"realm_access": {"roles": ["r"]}}) == ["r"]
    assert provider.subject.text == "oid"
    assert (provider.username_prefix, provider.username_transform) == ("ex:", ("lower", "localpart"))
    assert provider.organization == ("A", "B")
    assert not provider.always_update
    assert provider.group_sync == "always"
    assert not provider.sync_logout
    assert not provider.pkce
    assert (provider.algorithms, provider.leeway) == (("ES256", "EdDSA"), 0)
    assert provider.trusted_audiences == ("crm", "8123")
    assert (provider.prompt, provider.max_age, provider.ui_locales) == ("login", 0, "nb en")
    assert provider.acr_values == ("a", "b")
    assert provider.access_token_lifetime == 3600
    assert dict(provider.auth_params) == {"hd": "example.com"}
    assert provider.ca_bundle == tmp_path / "ca.pem"
    assert provider.proxy == "http://user:password@proxy.example.com:3128"
    assert provider.trust_env
    assert (provider.session_lifetime, provider.session_idle) == (7200, 1800)


def test_no_repr_of_settings_shows_a_secret() -> None:
    settings = Settings.from_mapping(
        service(
            directory="postgresql://u:canary-db@db/users",
            **oidc(client_secret="canary-secret", proxy="http://u:canary-proxy@proxy.example.com:1"),
        )
    )
    assert "canary" not in repr(settings)
    assert text_key() not in repr(settings)


def test_settings_cannot_be_changed() -> None:
    settings = Settings.from_mapping(service(**oidc()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.protect = "optional"  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.providers["other"] = settings.providers["default"]  # type: ignore[index]


# How a file is read


def test_values_keep_their_case_their_percent_signs_and_their_hashes(write: Write) -> None:
    path = write(SMALLEST.replace("s3cret", "S3%(cret)s # ; = : %"))
    secret = Settings.from_ini(path).providers["default"].client_secret
    assert secret is not None
    assert secret.value() == "S3%(cret)s # ; = : %"


def test_lists_and_json_may_go_on_over_several_lines(write: Write) -> None:
    path = write(
        SMALLEST
        + """
attribute_map = {
    "username": "login",

    "name": "name"}
public_paths =
    /static/
    # a comment
    /healthz
"""
    )
    settings = Settings.from_ini(path)
    assert [rule.text for rule in settings.public_paths] == ["/static/", "/healthz"]
    assert set(settings.providers["default"].attribute_map) == {"username", "name"}


def test_a_file_may_begin_with_a_byte_order_mark_and_end_lines_with_crlf(tmp_path: Path) -> None:
    path = tmp_path / "oauth2.ini"
    path.write_bytes(b"\xef\xbb\xbf" + SMALLEST.strip().replace("\n", "\r\n").encode())
    assert Settings.from_ini(path).public_url == "https://app.example.com/core"


def test_relative_files_are_looked_up_from_the_files_own_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.txt").write_text("from a file\n")
    path = write(SMALLEST.replace("s3cret", "file:secret.txt") + "directory = sqlite:///users.db\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_ini(path.name)
    # A server may change its folder after it has read the settings.
    monkeypatch.chdir(elsewhere)
    secret = settings.providers["default"].client_secret
    assert secret is not None
    assert secret.value() == "from a file"
    assert settings.directory == Secret.literal(f"sqlite:///{tmp_path}/users.db")


def test_several_providers_keep_the_order_in_which_they_are_written(write: Write) -> None:
    path = write(
        SMALLEST
        + """
username_prefix = d:
[provider:zebra]
issuer = https://zebra.example.com
client_id = z
client_secret = z
username_prefix = z:
[provider:corp-2]
provider = Corp
issuer = https://corp.example.com
client_id = c
client_secret = c
username_prefix = c:
session_lifetime = 1h
"""
    )
    providers = Settings.from_ini(path).providers
    assert list(providers) == ["default", "zebra", "corp-2"]
    assert [provider.label for provider in providers.values()] == ["id.example.com", "zebra", "Corp"]
    assert [provider.session_lifetime for provider in providers.values()] == [28800, 28800, 3600]


def test_without_a_key_of_a_provider_the_main_section_is_none() -> None:
    settings = Settings.from_mapping(service(session_lifetime="2h", **{"provider:corp": oidc()}))
    assert list(settings.providers) == ["corp"]
    assert settings.providers["corp"].session_lifetime == 7200


def test_a_provider_that_is_switched_off_does_not_exist() -> None:
    settings = Settings.from_mapping(
        service(
            **oidc(),
            **{"provider:corp": {"enabled": "false", "icon": "./gone.png", "client_secret": "file:gone"}},
        )
    )
    assert list(settings.providers) == ["default"]


def test_every_provider_may_be_switched_off() -> None:
    settings = Settings.from_mapping(service(enabled="false"))
    assert dict(settings.providers) == {}


def test_the_service_has_idle_time_at_most_as_long_as_the_session() -> None:
    provider = Settings.from_mapping(service(session_lifetime="20m", **oidc())).providers["default"]
    assert (provider.session_lifetime, provider.session_idle) == (1200, 1200)


def test_a_provider_with_a_shorter_lifetime_has_a_shorter_idle_time() -> None:
    settings = Settings.from_mapping(
        service(session_idle="2h", **{"provider:corp": oidc(session_lifetime="30m")})
    )
    assert settings.providers["corp"].session_idle == 1800


def test_a_key_file_is_named_by_its_path(tmp_path: Path) -> None:
    entry = parse_key_file(f"k1 2026-11-23T18:00:00Z {text_key()}")[0]
    (tmp_path / "keys").write_text(format_key_line(entry))
    settings = Settings.from_mapping(service(**oidc(), secret_keys="file:keys"), base=tmp_path)
    assert settings.secret_keys.path == tmp_path / "keys"


def test_several_literal_keys_may_stand_on_several_lines(write: Write) -> None:
    path = write(SMALLEST.replace(text_key(), f"{text_key()}\n    {text_key(1)}"))
    assert Settings.from_ini(path).secret_keys.value().split() == [text_key(), text_key(1)]


def test_a_written_empty_value_means_nothing() -> None:
    provider = Settings.from_mapping(
        service(**oidc(prompt="", icon="", algorithms="", auth_params="", scope="openid", max_age=""))
    ).providers["default"]
    assert (provider.prompt, provider.icon, provider.algorithms, provider.max_age) == (None, None, None, None)


@pytest.mark.parametrize("key", ["ca_bundle", "proxy", "username_prefix", "username_transform"])
def test_none_is_a_word_for_nothing(key: str) -> None:
    provider = Settings.from_mapping(service(**oidc(**{key: "none"}))).providers["default"]
    assert not getattr(provider, key)


def test_no_token_need_be_kept() -> None:
    assert Settings.from_mapping(service(keep_tokens="none", **oidc())).keep_tokens == frozenset()


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("sqlite:////srv/users.db", "sqlite:////srv/users.db"),
        ("sqlite+pysqlite:///users.db?timeout=5", "sqlite+pysqlite:///{base}/users.db?timeout=5"),
        ("postgresql+psycopg://u@/users", "postgresql+psycopg://u@/users"),
    ],
)
def test_only_a_relative_sqlite_path_is_completed(tmp_path: Path, url: str, kept: str) -> None:
    settings = Settings.from_mapping(service(directory=url, **oidc()), base=tmp_path)
    assert settings.directory == Secret.literal(kept.format(base=tmp_path))


def test_the_directory_may_be_named_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("postgresql://u:p@db/users\n")
    settings = Settings.from_mapping(service(directory="file:db", **oidc()), base=tmp_path)
    assert settings.directory == Secret.file(tmp_path / "db")


# Mappings


def test_a_mapping_may_hold_more_than_text() -> None:
    settings = Settings.from_mapping(
        service(
            login_page=True,
            session_lifetime=7200,
            public_paths=["/static/", "/healthz"],
            allow=["group:Domain Users", 'group:"Other Users"', "user:jane"],
            **oidc(attribute_map={"username": "login", "groups": "g"}, scope=("openid", "x"), prompt=None),
            environ={"REMOTE_EMAIL": "email"},
        )
    )
    assert settings.login_page
    assert settings.allow is not None
    assert [str(term) for term in settings.allow.terms()] == [
        "group:Domain Users",
        "group:Other Users",
        "user:jane",
    ]
    assert settings.providers["default"].scope == ("openid", "x")
    assert settings.providers["default"].session_lifetime == 7200
    assert dict(settings.environ) == {"REMOTE_EMAIL": "email"}


def test_the_main_section_may_be_nested_too() -> None:
    settings = Settings.from_mapping({"oauth2_mw": service(), "provider:corp": oidc()})
    assert list(settings.providers) == ["corp"]


def test_a_mapping_gives_what_the_file_gives(write: Write) -> None:
    from_file = Settings.from_ini(write(SMALLEST))
    from_mapping = Settings.from_mapping(service(public_url="https://app.example.com/core", **oidc()))
    assert from_file == from_mapping


def test_a_path_object_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    settings = Settings.from_mapping(service(**oidc(ca_bundle=tmp_path / "ca.pem")))
    assert settings.providers["default"].ca_bundle == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        ({1: "x"}, "[oauth2_mw] the name '1' is not a string"),
        ({"environ": "x"}, "[environ] a section is a mapping of its keys"),
        ({"environ": {1: "email"}}, "[environ] the key '1' is not a string"),
        ({"leeway": 1.5}, "[oauth2_mw] leeway: a float is not allowed here"),
        ({"scope": ["openid", 1]}, "[oauth2_mw] scope: a list is not allowed here"),
        ({"client_id": {"a": "b"}}, "[oauth2_mw] client_id: a dict is not allowed here"),
        ({"attribute_map": {"username": {1, 2}}}, "[oauth2_mw] attribute_map: a dict is not allowed here"),
        ({"provders": {"a": "b"}}, "[provders] unknown section"),
        ({"oauth2_mw": {"issuer": "https://other.example.com"}}, "[oauth2_mw] issuer: is written twice"),
    ],
)
def test_a_mapping_that_cannot_be_understood_is_refused(mapping: dict[Any, Any], line: str) -> None:
    found = problems({**service(**oidc()), **mapping})
    assert any(problem.startswith(line) for problem in found), found


# Files that cannot be read


def test_a_file_that_is_not_there_is_one_problem(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.ini") == [
        "[oauth2_mw] the file cannot be read: No such file or directory: name an INI file"
    ]


def test_a_file_that_is_not_utf_8_is_told_by_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.ini"
    path.write_bytes(b"[oauth2_mw]\nprovider = K\xf8benhavn\n")
    assert refusal(path) == ["[oauth2_mw] the file is not UTF-8 (line 2): save it as UTF-8"]


def test_a_file_with_nuls_is_refused(write: Write) -> None:
    assert "NUL" in refusal(write("[oauth2_mw]\nprovider = a\x00b\n"))[0]


def test_a_file_without_a_section_is_one_problem(write: Write) -> None:
    assert refusal(write("client_id = x\n")) == [
        "[oauth2_mw] line 1 is before any section: begin with [oauth2_mw]"
    ]


def test_all_that_stands_twice_is_reported_at_once_and_the_rest_is_still_checked(write: Write) -> None:
    found = refusal(
        write(
            SMALLEST
            + "client_id = again\nclient_id = and again\n[environ]\n[oauth2_mw]\nissuer = x\n[environ]\nA = b\n"
        )
    )
    assert "[oauth2_mw] client_id: is written twice (line 8): keep one of them" in found
    assert "[oauth2_mw] client_id: is written twice (line 9): keep one of them" in found
    assert "[oauth2_mw] the section begins twice (line 11): write its keys together" in found
    assert "[environ] the section begins twice (line 13): write its keys together" in found
    assert len(found) == 4


def test_a_colon_is_no_delimiter(write: Write) -> None:
    found = refusal(write(SMALLEST + "prompt: login\nnonsense\n"))
    assert found == [
        "[oauth2_mw] line 8 is neither a section nor a key: write key = value, = in the place of :",
        "[oauth2_mw] line 9 is neither a section nor a key: write key = value",
    ]


@pytest.mark.parametrize(
    ("section", "hint"),
    [
        ("acess", "did you mean access?"),
        ("Environ", "did you mean environ?"),
        ("DEFAULT", "write each in [oauth2_mw] or where it belongs"),
        ("providers:corp", "did you mean provider:NAME?"),
        ("provider: corp", "small letter"),
        ("Provider:corp", "in lower case and without spaces"),
        ("corp", "there are"),
    ],
)
def test_an_unknown_section_is_refused(write: Write, section: str, hint: str) -> None:
    found = refusal(write(f"{SMALLEST}[{section}]\nenabled = false\n"))
    assert len(found) == 1
    assert hint in found[0]


def test_every_problem_is_in_the_one_message(write: Write) -> None:
    path = write("[oauth2_mw]\nclient_idd = x\nleeway = soon\n[environ]\nPATH_INFO = name\n")
    with pytest.raises(ConfigError) as caught:
        Settings.from_ini(path)
    text = str(caught.value)
    assert text.startswith(f"{len(caught.value.problems)} problems in {path}:\n")
    for part in (
        "client_idd: unknown key; did you mean client_id?",
        "leeway: 'soon'",
        "public_url: is missing",
        "PATH_INFO",
    ):
        assert part in text


@given(st.text(max_size=200))
def test_no_file_makes_the_reader_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.ini"
    path.write_bytes(text.encode("utf-8", "replace"))
    with pytest.raises(ConfigError):
        Settings.from_ini(path)


@given(st.text(alphabet="[]=:#; \n\x00abc_oauth2mw", max_size=120))
def test_no_arrangement_of_marks_makes_the_reader_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "marks.ini"
    path.write_text("[oauth2_mw]\n" + text)
    with pytest.raises(ConfigError):
        Settings.from_ini(path)


def test_a_service_without_any_provider_is_refused() -> None:
    assert "no provider is written" in only_problem(service())
