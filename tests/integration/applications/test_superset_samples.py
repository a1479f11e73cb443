"""Superset as ``samples/superset_config.py`` and ``samples/superset.ini`` set it up: two people at one browser."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.chromium import sign_in_at_oidc_provider
from tests.support.hosts.processes import ROOT, Child
from tests.support.hosts.servers import MakeSite, Site, answers, new_key
from tests.support.providers.oidc_provider import OidcProvider

OWN_PYTHON = ROOT / ".venv-superset" / "bin" / "python"
#: Superset's own commands before its first start: a minute and a half, most of it its database
PREPARING = ("db upgrade", "init")


@pytest.fixture
def served(oidc_provider: OidcProvider, make_site: MakeSite, tmp_path: Path) -> Iterator[Site]:
    assert OWN_PYTHON.exists(), "Superset is not installed: run `make test-apps`"
    site = make_site()
    client = oidc_provider.register(
        [site.redirect_uri], post_logout_redirect_uris=[site.post_logout_redirect_uri]
    )
    oidc_provider.add_account("bob", sub="u-bob", preferred_username="bob", groups=["analysts"])
    shutil.copy(ROOT / "samples" / "superset_config.py", tmp_path)
    text = (ROOT / "samples" / "superset.ini").read_text(encoding="utf-8")
    for sample, own in {
        "https://superset.example.com": site.public_url,
        "https://id.example.com": oidc_provider.issuer,
        "client_id = superset": f"client_id = {client.client_id}\nscope = openid profile email groups",
        "file:client-secret": client.client_secret,
        "file:keys": new_key(),
    }.items():
        assert sample in text
        text = text.replace(sample, own)
    (tmp_path / "superset.ini").write_text(text, encoding="utf-8")
    env = {
        "SUPERSET_CONFIG_PATH": str(tmp_path / "superset_config.py"),
        "SUPERSET_HOME": str(tmp_path),
        "SUPERSET_SECRET_KEY": secrets.token_urlsafe(42),
    }
    for words in PREPARING:
        command: list[str | Path] = [OWN_PYTHON.with_name("superset"), *words.split()]
        subprocess.run(
            command,
            env={**os.environ, **env, "FLASK_APP": "superset"},
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    descriptor = site.socket.fileno()
    options = ["--bind", f"fd://{descriptor}", "--no-control-socket", "--timeout", "120"]
    serving: list[str | Path] = [OWN_PYTHON, "-m", "gunicorn", "superset.app:create_app()", *options]
    with Child("superset", serving, cwd=tmp_path, env=env, pass_fds=[descriptor]) as process:
        process.wait_until(lambda: answers(site.listens_at), deadline=120)
        yield site


def shown(page: Page, site: Site) -> dict[str, Any]:
    """What Superset knows of the person."""
    answer = page.request.get(site.url("/api/v1/me/roles/"))
    assert answer.status == 200, answer.text()
    result: dict[str, Any] = answer.json()["result"]
    return {
        "name": result["firstName"],
        "email": result["email"],
        "username": result["username"],
        "roles": set(result["roles"]),
    }


@pytest.mark.requirement("R-app-cookies")
@pytest.mark.requirement("R-app-logout")
def test_superset_knows_name_address_and_roles_and_its_own_button_signs_out(
    served: Site, chromium_page: Page
) -> None:
    page = chromium_page
    assert page.request.get(served.url("/health")).text() == "OK"
    assert page.request.get(served.url("/api/v1/me/")).status == 401

    page.goto(served.url("/"))
    sign_in_at_oidc_provider(page)
    page.wait_for_url("**/superset/welcome/")
    assert shown(page, served) == {
        "name": "Jane Roe",
        "email": "jane@example.com",
        "username": "jane",
        "roles": {"Admin"},
    }

    page.get_by_text("Settings", exact=True).hover()
    page.get_by_role("link", name="Logout").click()
    # The provider asks; then it leads back to where Superset wanted to go, which needs a sign-in.
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("input[name=login]")).to_be_visible()
    assert {cookie["name"] for cookie in page.context.cookies(served.public_url)} & {
        "session",
        "oauth2_mw",
    } == set()

    sign_in_at_oidc_provider(page, "bob")
    page.wait_for_url("**/superset/welcome/")
    bob = shown(page, served)
    assert (bob["username"], bob["roles"]) == ("bob", {"Alpha"})
