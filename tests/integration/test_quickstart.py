"""The README's quickstart and the tutorial, taken from their pages as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.browser.jar import Browser
from tests.support.hosts.processes import Child, free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.rst").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.rst").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def block(name: str, page: str = README) -> str:
    """The content of a named code block."""
    found = re.search(rf"\.\. code-block:: \w+\n   :name: {re.escape(name)}\n\n((?:   .*\n|\n)+)", page)
    assert found is not None, f"the page has no block named {name}"
    return re.sub(r"^   ", "", found[1], flags=re.MULTILINE)


def command(beginning: str, page: str = README) -> list[str]:
    """A command of the page, as words; what stands between shells is the test's own."""
    found = re.search(rf"^   \$ \.venv/bin/({re.escape(beginning)}.*)$", page, re.MULTILINE)
    assert found is not None, f"the page has no command {beginning}"
    words = found[1].removesuffix(" &").split()
    return [str(BIN / words[0]), *words[1:]]


def test_the_quickstart_works_as_it_stands(tmp_path: Path) -> None:
    # Its two ports may be taken on this machine; nothing else is changed.
    provider_port, app_port = str(free_port()), str(free_port())

    def with_free_ports(text: str) -> str:
        return text.replace("9400", provider_port).replace("8000", app_port)

    for name in ("hello.py", "oauth2.ini", "app.ini"):
        (tmp_path / name).write_text(with_free_ports(block(name)), encoding="utf-8")
    for beginning in ("oauth2-mw keygen", "oauth2-mw check"):
        subprocess.run(command(beginning), cwd=tmp_path, check=True, timeout=60)
    provider = [with_free_ports(word) for word in command("oidc-provider-mock")]
    server = [with_free_ports(word) for word in command("gunicorn --paste")]
    browser = Browser()
    with (
        Child("provider", provider, cwd=tmp_path) as provider_child,
        Child("gunicorn", server, cwd=tmp_path) as child,
    ):
        provider_child.wait_for_line("running on")
        child.wait_for_line("Booting worker")
        browser.navigate(f"http://localhost:{app_port}/deep/link?a=1")
        page = browser.submit(sub="jane")
        assert page.text == "Hello, jane\n"
        assert page.url == f"http://localhost:{app_port}/deep/link?a=1"


def run(beginning: str, folder: Path) -> str:
    """Run a command of the tutorial to its end, and return what it prints."""
    done = subprocess.run(
        command(beginning, TUTORIAL), cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tutorial_leads_to_two_providers(tmp_path: Path) -> None:
    ports = {port: str(free_port()) for port in ("9400", "9401", "8000")}

    def with_free_ports(text: str) -> str:
        for port, free in ports.items():
            text = text.replace(port, free)
        return text

    def write(name: str, block_name: str) -> None:
        (tmp_path / name).write_text(with_free_ports(block(block_name, TUTORIAL)), encoding="utf-8")

    def started(beginning: str) -> list[str]:
        return [with_free_ports(word) for word in command(beginning, TUTORIAL)]

    home = f"http://localhost:{ports['8000']}/"
    write("wiki.py", "wiki.py")
    write("app.ini", "app.ini")
    run("oauth2-mw keygen", tmp_path)
    with (
        Child("corp", started("oidc-provider-mock --port 9400"), cwd=tmp_path) as corp,
        Child("partner", started("oidc-provider-mock --port 9401"), cwd=tmp_path) as partner,
    ):
        corp.wait_for_line("running on")
        partner.wait_for_line("running on")

        write("oauth2.ini", "one.ini")
        assert f"{home}auth/oauth2/login/callback/corp/" in run("oauth2-mw check", tmp_path)
        with Child("gunicorn", started("gunicorn --paste"), cwd=tmp_path) as child:
            child.wait_for_line("Booting worker")
            browser = Browser()
            browser.navigate(home)
            assert browser.submit(sub="jane").text == "Hello, jane of corp\n"

        write("oauth2.ini", "two.ini")
        assert f"{home}auth/oauth2/login/callback/partner/" in run("oauth2-mw check", tmp_path)
        with Child("gunicorn", started("gunicorn --paste"), cwd=tmp_path) as child:
            child.wait_for_line("Booting worker")
            for name, greeting in (("corp", "jane"), ("partner", "partner:jane")):
                browser = Browser()
                browser.navigate(f"{home}auth/oauth2/login/{name}/")
                assert browser.submit(sub="jane").text == f"Hello, {greeting} of {name}\n"
        listed = run("oauth2-mw users list", tmp_path)
        assert "partner:jane" in listed


def test_the_tutorial_puts_nginx_in_front_as_the_page_of_deployment_does() -> None:
    deployment = (ROOT / "docs" / "deployment.rst").read_text(encoding="utf-8")
    proven = {line.strip() for line in block("nginx.conf", deployment).splitlines()}
    shown = {line.strip() for line in block("wiki.conf", TUTORIAL).splitlines()}
    assert shown - proven == {"server_name wiki.example.com;"}
    # What a header line needs is said to every server alike.
    last = re.findall(r"^   \$ \.venv/bin/(gunicorn .*)$", TUTORIAL, re.MULTILINE)[-1]
    assert "--limit-request-field_size 16380" in last
