"""A real browser: Debian's Chromium where it is installed, otherwise the one that npm carries, which needs no root."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Page, Playwright, expect, sync_playwright

from tests.support.hosts.debian import find, one_at_a_time
from tests.support.hosts.processes import DEADLINE, ROOT, child_environment
from tests.support.providers.clients import PASSWORD
from tests.support.providers.node import MODULES, start_script

DEBIAN = Path("/usr/bin/chromium")
#: inside ``node_modules``, so that ``npm ci`` takes away what an older package left there
UNPACKED = MODULES / ".chromium"
PICTURES = ROOT / "build" / "screenshots"

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No name but this machine's resolves, and no proxy is asked: nothing leaves.
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)

#: The package's own names folders of the service that it was made for: without fonts there is no text on a page.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{0}</dir><cachedir>{0}/cache</cachedir></fontconfig>
"""


@dataclass(frozen=True)
class Installation:
    """Where a Chromium is, and what it wants to be started with."""

    name: str
    executable: Path
    flags: tuple[str, ...] = FLAGS
    env: Mapping[str, str] = field(default_factory=dict)


def debian() -> Installation:
    """``apt install chromium``."""
    return Installation("debian", DEBIAN)


def from_npm() -> Installation:
    """``@sparticuz/chromium``, unpacked at its first use (four seconds, 200 MB)."""
    with one_at_a_time():
        if not UNPACKED.is_dir():
            _unpack()
    return Installation(
        "npm",
        UNPACKED / "chromium",
        # Its own default flags would switch web security off; these two are what its build needs.
        (*FLAGS, "--single-process", "--no-zygote"),
        {"LD_LIBRARY_PATH": str(UNPACKED / "al2023" / "lib"), "FONTCONFIG_PATH": str(UNPACKED / "fonts")},
    )


def _unpack() -> None:
    MODULES.mkdir(exist_ok=True)
    # Under another name first: an interrupted unpacking must not look like a browser.
    partial = Path(tempfile.mkdtemp(prefix=".chromium-", dir=MODULES))
    try:
        with start_script("unpack chromium", "unpack_chromium.mjs", env={"TMPDIR": str(partial)}) as process:
            process.wait_for_line("^unpacked into")
            process.wait()
        (partial / "fonts" / "fonts.conf").write_text(FONTS.format(UNPACKED / "fonts"), encoding="utf-8")
        partial.chmod(0o755)
        partial.rename(UNPACKED)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def installation() -> Installation:
    """Debian's if there is one; ``TEST_CHROMIUM=npm`` asks for the other."""
    if os.environ.get("TEST_CHROMIUM") == "npm" or not DEBIAN.exists():
        return from_npm()
    return debian()


def complete() -> Installation:
    """Debian's, fetched where it is not installed: npm's is built without a back/forward cache."""
    program = find("chromium", "usr/lib/chromium/chromium")
    return Installation("complete", program.executable, env=program.env)


def _launch(playwright: Playwright, **options: Any) -> Browser:
    """Start it; once more if it has fallen before it began, which a Chromium in one process does now and then."""
    try:
        return playwright.chromium.launch(**options)
    except Error as error:
        if "SIGSEGV" not in str(error):
            raise
    return playwright.chromium.launch(**options)


@contextmanager
def chromium(found: Installation, *, ignore_default_args: Sequence[str] = ()) -> Iterator[Browser]:
    """Start it headless; profiles are Playwright's temporary ones.

    :param ignore_default_args: what Playwright is not to start it with.
    """
    env: dict[str, str | float | bool] = {**child_environment(), **found.env}
    # Its own five seconds are short on a busy machine.
    expect.set_options(timeout=DEADLINE * 1000)
    with sync_playwright() as playwright:
        browser = _launch(
            playwright,
            executable_path=found.executable,
            args=list(found.flags),
            env=env,
            ignore_default_args=list(ignore_default_args),
        )
        try:
            yield browser
        finally:
            browser.close()


def sign_in_at_oidc_provider(page: Page, login: str = "jane", *, password: str = PASSWORD) -> None:
    """Fill the forms of npm ``oidc-provider`` as it shows them to somebody whom it does not know yet."""
    page.fill("input[name=login]", login)
    page.fill("input[name=password]", password)
    page.click("button[value=login]")
    page.click("button[value=consent]")


def picture(page: Page, name: str) -> Path:
    """Keep what the page looks like once nothing on it changes any more, as ``build/screenshots/NAME.png``."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path, full_page=True, animations="disabled")
    return path
