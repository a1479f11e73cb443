"""The first ten minutes, as somebody new has them: a wheel in an empty environment, four commands and a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.chromium import sign_in_at_oidc_provider
from tests.support.hosts.processes import ROOT, Child, child_environment, free_port
from tests.support.hosts.terminal import at_terminal
from tests.support.providers.oidc_provider import OidcProvider

HELLO = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [("Hello, " + environ["REMOTE_USER"] + "\\n").encode("latin-1")]
"""
#: What a wheel is built from.
SOURCES = ("setup.py", "pyproject.toml", "README.rst", "LICENSE", "oauth2_mw", "tools")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The ``bin`` of a virtual environment with the wheel, what it asks for, and gunicorn."""
    folder = tmp_path_factory.mktemp("new")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    # pip may have been told where packages come from.
    variables = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip: list[str | Path] = [
        folder / "venv" / "bin" / "python",
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", folder, source], check=True, env=variables, timeout=300
    )
    (wheel,) = folder.glob("oauth2_mw-*.whl")
    subprocess.run([*pip, "install", wheel, "gunicorn"], check=True, env=variables, timeout=300)
    yield folder / "venv" / "bin"
    shutil.rmtree(folder)


def run(program: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *words], cwd=cwd, env=empty(), capture_output=True, text=True, check=False, timeout=60
    )


def empty() -> Mapping[str, str]:
    """An environment in which this checkout is nowhere."""
    return {name: text for name, text in child_environment().items() if name != "PYTHONPATH"}


def test_a_wheel_brings_what_it_needs_and_nothing_else(environment: Path) -> None:
    listed = subprocess.run(
        [environment / "python", "-m", "pip", "list", "--format", "json"],
        env=empty(),
        capture_output=True,
        text=True,
        check=True,
    )
    names = {each["name"].lower() for each in json.loads(listed.stdout)}
    assert "oauth2-mw" in names
    assert not names & {"sqlalchemy", "redis", "flask", "django", "pytest", "pastedeploy"}


def test_from_a_wheel_to_somebody_who_is_signed_in(
    environment: Path, tmp_path: Path, oidc_provider: OidcProvider, chromium_page: Page
) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    program = environment / "oauth2-mw"
    port, login_port = free_port(), free_port()
    public_url = f"http://127.0.0.1:{port}"
    loopback = f"http://127.0.0.1:{login_port}/callback"

    # A configuration, and what it says is to be registered.
    with at_terminal("init", cwd=tmp_path, program=program, PYTHONPATH="") as terminal:
        terminal.answer("Provider: ", "oidc")
        terminal.answer("mount included: ", public_url)
        told = terminal.wait_for("Client ID: ")
        uris = {
            name.strip(): url
            for name, _, url in (line.rpartition("  ") for line in told.splitlines())
            if url.startswith(public_url)
        }
        client = oidc_provider.register(
            [uris["redirect URI"], loopback],
            post_logout_redirect_uris=[uris["post-logout redirect URI"]],
        )
        terminal.press(f"{client.client_id}\n")
        terminal.answer("(it is not shown): ", client.client_secret)
        terminal.answer("like https://id.example.com: ", oidc_provider.issuer)
        terminal.answer("Allow: ", "email_domain:example.com")
        terminal.answer("Application: ", "hello:app")
        command = terminal.wait_for("Ask the provider now").splitlines()[-1].strip()
        terminal.press("y\n")
        asked = terminal.wait_for("Sign in now")
        terminal.press("n\n")
        assert terminal.end() == 0, terminal.shown
    assert client.client_secret not in terminal.shown
    assert "oauth2.ini: no problem found.\n" in asked
    assert "Online, as far as it shows" in asked

    # A sign-in from the terminal, in a browser.
    words = ("login", "oauth2.ini", "--no-browser", "--port", login_port)
    with at_terminal(*words, cwd=tmp_path, program=program, PYTHONPATH="") as terminal:
        assert f"  {loopback}\n" in terminal.wait_for("Open in a browser on this machine:\n")
        chromium_page.goto(terminal.wait_for("\n").strip())
        sign_in_at_oidc_provider(chromium_page)
        expect(chromium_page.locator("body")).to_contain_text("The terminal has the answer.")
        assert terminal.end() == 0, terminal.shown
    assert "jane may enter, by allow: email_domain:example.com" in terminal.shown
    assert client.client_secret not in terminal.shown
    assert "eyJ" not in terminal.shown

    # The application, started with the command that was printed.
    start, *arguments = command.split()
    assert start == "gunicorn"
    with Child("gunicorn", [environment / start, *arguments], cwd=tmp_path, env=empty()) as child:
        child.wait_for_line("Booting worker")
        online = run(program, "check", "--online", cwd=tmp_path)
        assert online.returncode == 0, online.stdout + online.stderr
        chromium_page.goto(f"{public_url}/deep/link?a=1")
        if chromium_page.locator("input[name=login]").count():
            sign_in_at_oidc_provider(chromium_page)
        elif chromium_page.locator("button[value=consent]").count():
            chromium_page.click("button[value=consent]")
        chromium_page.wait_for_url(f"{public_url}/deep/link?a=1")
        expect(chromium_page.locator("body")).to_contain_text("Hello, jane")

        # Through the redirect URI that is registered, and the application that refuses the answer.
        registered = ("login", "oauth2.ini", "--no-browser", "--registered")
        with at_terminal(*registered, cwd=tmp_path, program=program, PYTHONPATH="") as terminal:
            terminal.wait_for("Open in a browser on this machine:\n")
            chromium_page.goto(terminal.wait_for("\n").strip())
            chromium_page.wait_for_url(f"{uris['redirect URI']}?*")
            expect(chromium_page.locator("body")).to_contain_text("was not started in this browser")
            terminal.answer("(it is not shown): ", chromium_page.url)
            assert terminal.end() == 0, terminal.shown
        assert "jane may enter" in terminal.shown
