"""The environment wins, and says nothing that nobody hears."""

from __future__ import annotations

from pathlib import Path

import pytest

from oauth2_mw.settings.model import Settings
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
def test_the_switch_that_makes_oauthlib_careless_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", value)
    assert only_problem(service(**oidc())).startswith("[environment] OAUTHLIB_INSECURE_TRANSPORT: is set")
