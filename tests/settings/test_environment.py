"""The environment wins, and says nothing that nobody hears."""

from __future__ import annotations

from pathlib import Path

import pytest

from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.warnings import warnings
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import oidc, only_problem, service


def test_a_variable_wins_over_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_PUBLIC_URL", "https://other.example.com")
    monkeypatch.setenv("OAUTH2_MW_CLIENT_ID", "other")
    settings = Settings.from_mapping(service(**oidc()))
    assert settings.public_url == "https://other.example.com"
    assert settings.providers["default"].client_id == "other"


def test_a_named_providers_keys_have_its_name_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_CORP_2__CLIENT_SECRET", "from the environment")
    monkeypatch.setenv("OAUTH2_MW_CORP_2__SESSION_LIFETIME", "30m")
    provider = Settings.from_mapping(service(**{"provider:corp-2": oidc()})).providers["corp-2"]
    assert provider.client_secret is not None
    assert provider.client_secret.value() == "from the environment"
    assert provider.session_lifetime == 1800


def test_rules_may_come_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_RULES", "denied /internal/\n  /private/\noptional /")
    for mapping in (service(**oidc()), service(**oidc(access={"rules": "public /x"}))):
        rules = Settings.from_mapping(mapping).rules
        assert [rule.text for rule in rules] == ["denied /internal/ /private/", "optional /"]
    monkeypatch.setenv("OAUTH2_MW_RULES", "deny /internal/")
    found = only_problem(service(**oidc()))
    assert found.startswith("[access] rules: rule 1 ('deny /internal/')")
    assert "it comes from the environment variable OAUTH2_MW_RULES" in found


def test_a_variable_wins_over_a_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_SCOPE", "read:user")
    mapping = service(preset="github", client_id="a", client_secret="b", allow="*")
    assert Settings.from_mapping(mapping).providers["default"].scope == ("read:user",)


def test_the_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in service(**oidc()).items():
        monkeypatch.setenv(f"OAUTH2_MW_{key.upper()}", value)
    assert list(Settings.from_mapping({}).providers) == ["default"]


def test_a_relative_file_in_a_variable_is_looked_up_from_the_base(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(f"k1 2026-11-23T18:00:00Z {text_key()}")
    monkeypatch.setenv("OAUTH2_MW_SECRET_KEYS", "file:keys")
    assert Settings.from_mapping(service(**oidc()), base=tmp_path).secret_keys.path == tmp_path / "keys"


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("OAUTH2_MW_CLIENTID", "did you mean OAUTH2_MW_CLIENT_ID?"),
        ("OAUTH2_MW_CORP__CLIENT_IDD", "did you mean OAUTH2_MW_CORP__CLIENT_ID?"),
        ("OAUTH2_MW_client_id", "did you mean OAUTH2_MW_CLIENT_ID?"),
        ("OAUTH2_MW_", "unknown variable"),
        ("OAUTH2_MW_ZZZZZ", "names no setting"),
    ],
)
def test_a_variable_that_matches_nothing_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, variable: str, hint: str
) -> None:
    monkeypatch.setenv(variable, "canary")
    found = only_problem(service(**{"provider:corp": oidc()}))
    assert found.startswith(f"[environment] {variable}: unknown variable")
    assert hint in found
    assert "canary" not in found


def test_a_variable_of_a_provider_that_is_not_written_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_OTHER__CLIENT_ID", "x")
    assert "OAUTH2_MW_OTHER__CLIENT_ID: unknown variable" in only_problem(
        service(**{"provider:corp": oidc()})
    )


def test_a_wrong_value_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_LEEWAY", "soon")
    found = only_problem(service(**oidc()))
    assert found.startswith("[oauth2_mw] leeway: 'soon'")
    assert found.endswith("(it comes from the environment variable OAUTH2_MW_LEEWAY)")


def test_a_variable_with_bytes_that_are_no_text_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_PROVIDER", "\udcff")
    assert "control characters" in only_problem(service(**oidc()))


def test_other_variables_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_CLIENT_ID", "x")
    monkeypatch.setenv("OAUTH2_MWX", "x")
    Settings.from_mapping(service(**oidc()))


@pytest.mark.parametrize("value", ["1", "0", ""])
def test_the_switch_that_makes_oauthlib_careless_is_warned_about(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    settings = Settings.from_mapping(service(**oidc()))
    assert not any("OAUTHLIB" in sentence for sentence in warnings(settings))
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", value)
    settings = Settings.from_mapping(service(**oidc()))
    assert [sentence for sentence in warnings(settings) if "OAUTHLIB_INSECURE_TRANSPORT is set" in sentence]


@pytest.mark.parametrize("service_name", ["", "APP_", "A_B_2_", "CORP_"])
def test_what_kubernetes_sets_for_a_service_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, service_name: str
) -> None:
    start = f"OAUTH2_MW_{service_name}"
    for name, value in {
        "SERVICE_HOST": "10.0.0.11",
        "SERVICE_PORT": "8000",
        "SERVICE_PORT_HTTP": "8000",
        "SERVICE_PORT_HTTP_METRICS": "9000",
        "PORT": "tcp://10.0.0.11:8000",
        "PORT_8000_TCP": "tcp://10.0.0.11:8000",
        "PORT_8000_TCP_PROTO": "tcp",
        "PORT_8000_TCP_PORT": "8000",
        "PORT_8000_TCP_ADDR": "10.0.0.11",
        "PORT_53_UDP": "udp://10.0.0.11:53",
        "PORT_9_SCTP_ADDR": "10.0.0.11",
    }.items():
        monkeypatch.setenv(start + name, value)
    named = {"provider:corp": oidc(username_prefix="c-"), **service()}
    assert Settings.from_mapping(named).providers["corp"].client_id == "app"


@pytest.mark.parametrize(
    "name",
    [
        "HOST",
        "SERVICE",
        "PORT_8000",
        "PORT_TCP",
        "SERVICE_HOST_X",
        "PORTS",
        "REPORT",
        "PORT_80_TCP_X",
        "PORT_",
    ],
)
def test_what_only_looks_like_it_is_a_mistake(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"OAUTH2_MW_{name}", "x")
    assert "unknown variable" in only_problem(service(**oidc()))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PUBLIC_PATHS", "/static/, /favicon.ico"),
        ("PUBLIC_PATHS", "/static/ , /favicon.ico"),
        ("PUBLIC_PATHS", "/static/ ,/favicon.ico"),
        ("KEEP_TOKENS", "id, access"),
        ("SCOPE", "openid, email"),
        ("ALGORITHMS", "RS256, ES256"),
        ("ACR_VALUES", "a, b"),
        ("ORGANIZATION", "DEFAULT, Staff"),
        ("USERNAME_TRANSFORM", "localpart, lower"),
        ("UI_LOCALES", "nb, en"),
        ("UI_LOCALES", "nb,en"),
        ("PROMPT", "login, consent"),
        ("PROMPT", "login,consent"),
        ("ALLOW", "email:a@example.com, email:b@example.com"),
        ("ALLOW", "email:a@example.com ,email:b@example.com"),
        ("CORS_ORIGINS", "https://a.example, https://b.example"),
        ("TRUSTED_PEERS", "10.0.0.1, 10.0.0.2"),
        ("APP_COOKIES", "a, b"),
    ],
)
def test_a_comma_after_a_word_of_a_list_is_an_error_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    monkeypatch.setenv(f"OAUTH2_MW_{key}", value)
    found = only_problem(service(**oidc(), directory="sqlite:///x.db"))
    assert f"[oauth2_mw] {key.lower()}:" in found
    assert "not by commas" in found


def test_a_comma_between_keys_is_an_error_that_shows_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_SECRET_KEYS", f"{text_key(1)}, {text_key(2)}")
    found = only_problem(service(**oidc()))
    assert "not by commas" in found
    assert text_key(1) not in found


def test_words_that_a_provider_reads_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_UI_LOCALES", " nb   en ")
    monkeypatch.setenv("OAUTH2_MW_PUBLIC_PATHS", "/a,b /c,d/")
    settings = Settings.from_mapping(service(**oidc()))
    assert settings.providers["default"].ui_locales == "nb en"
    assert [rule.text for rule in settings.public_paths] == ["/a,b", "/c,d/"]
