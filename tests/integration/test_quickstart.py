"""The README's quickstart, taken from the README as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.browser.jar import Browser
from tests.support.hosts.processes import Child, free_port

README = (Path(__file__).parents[2] / "README.rst").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def block(name: str) -> str:
    """The content of a named code block."""
    found = re.search(rf"\.\. code-block:: \w+\n   :name: {re.escape(name)}\n\n((?:   .*\n|\n)+)", README)
    assert found is not None, f"the README has no block named {name}"
    return re.sub(r"^   ", "", found[1], flags=re.MULTILINE)


def command(beginning: str) -> list[str]:
    """A command of the README, as words; what stands between shells is the test's own."""
    found = re.search(rf"^   \$ \.venv/bin/({re.escape(beginning)}.*)$", README, re.MULTILINE)
    assert found is not None, f"the README has no command {beginning}"
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
