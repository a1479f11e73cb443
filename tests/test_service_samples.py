"""The samples for containers and systemd, as far as they can be tried without either."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path

import pytest

from oauth2_mw.cli.main import main
from oauth2_mw.settings.model import Settings
from tests.support.lowest import metadata

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"


def test_the_container_reads_its_secrets_from_the_files_that_compose_brings_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = (SAMPLES / "container" / "compose.yaml").read_text(encoding="utf-8")
    variables = dict(re.findall(r'^      (OAUTH2_MW_\w+): "(.*)"$', compose, re.MULTILINE))
    assert set(variables) == {"OAUTH2_MW_SECRET_KEYS", "OAUTH2_MW_CLIENT_SECRET", "OAUTH2_MW_DIRECTORY"}
    brought = dict(re.findall(r'- "\./([\w-]+):(/\S+):ro"', compose))
    main(["keygen", str(tmp_path / "keys")])
    (tmp_path / "client-secret").write_text("s3cret")
    for name, value in variables.items():
        for here, there in brought.items():
            value = value.replace(there, str(tmp_path / here))
        assert "/run/" not in value
        monkeypatch.setenv(name, value)
    settings = Settings.from_mapping(
        {"public_url": "https://app.example.com", "issuer": "https://id.example.com", "client_id": "app"}
    )
    assert settings.providers["default"].client_secret is not None
    assert variables["OAUTH2_MW_DIRECTORY"].startswith("sqlite:////srv/app/var/")


def test_the_image_holds_no_secret_and_runs_as_nobody_special() -> None:
    lines = [
        line.split()
        for line in (SAMPLES / "container" / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    words = [line[0] for line in lines]
    assert set(words) <= {"FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "EXPOSE", "CMD"}
    assert words.index("USER") < words.index("CMD")
    assert not {"keys", "client-secret", "."} & {
        name for line in lines if line[0] == "COPY" for name in line[1:-1]
    }
    started = json.loads(" ".join(next(line for line in lines if line[0] == "CMD")[1:]))
    assert started[started.index("--limit-request-field_size") + 1] == "16380"
    needed = (SAMPLES / "container" / "requirements.txt").read_text(encoding="utf-8").split()
    extras = metadata(str(ROOT / "setup.py"))["extras_require"]
    assert needed[0] == "oauth2-mw[sql]"
    assert set(needed[1:]) <= set(extras["demo"])


def test_the_service_checks_before_it_starts() -> None:
    unit = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(SAMPLES / "systemd" / "app.service", encoding="utf-8")
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    service = unit["Service"]
    assert service["ExecStartPre"].split()[:2] == ["/srv/app/.venv/bin/oauth2-mw", "check"]
    assert service["ExecStart"].startswith(f"{service['WorkingDirectory']}/.venv/bin/gunicorn --paste")
    assert service["User"] != "root"
