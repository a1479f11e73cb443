"""The main job, live: a provider, gunicorn, an application that reads REMOTE_USER, and one real sign-in.

Run it with ``make demo``; ``make demo ONCE=1`` ends after the transcript.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

# The provider's own libraries announce their future at length, and see to it that nobody filters it.
with contextlib.redirect_stderr(io.StringIO()):
    from oidc_provider_mock import User, run_server_in_thread

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VAR = HERE / "var"
JANE = User(
    sub="248289761001",
    claims={
        "preferred_username": "jane",
        "name": "Jané Doe",
        "email": "jane@example.com",
        "groups": ["staff", "admins"],
    },
)


class DemoError(Exception):
    """A step of the demonstration did not do what it shows."""


def say(text: str = "") -> None:
    """Print a line at once, whoever reads it."""
    print(text, flush=True)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def gunicorn(public_url: str, issuer: str) -> Iterator[None]:
    """The application behind the middleware, as an operator starts it."""
    environ = {**os.environ, "OAUTH2_MW_PUBLIC_URL": public_url, "OAUTH2_MW_ISSUER": issuer}
    command = [
        *(sys.executable, "-m", "gunicorn", "--paste", "samples/demo/app.ini"),
        *("--bind", f"127.0.0.1:{urlsplit(public_url).port}", "--workers", "2", "--no-control-socket"),
        *("--log-level", "warning"),
    ]
    say("$ " + " ".join(["gunicorn", *command[3:]]))
    server = subprocess.Popen(command, cwd=ROOT, env=environ)
    try:
        wait_for(server, public_url)
        yield
    finally:
        server.terminate()
        server.wait(timeout=20)


def wait_for(server: subprocess.Popen[bytes], public_url: str) -> None:
    """Return when the server answers; raise :class:`DemoError` when it has ended or takes too long."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise DemoError(f"gunicorn ended with code {server.returncode}")
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", urlsplit(public_url).port or 80), 1),
        ):
            return
        time.sleep(0.1)
    raise DemoError("gunicorn did not answer within a minute")


class Browser:
    """An HTTP client that follows nothing by itself, so that each step can be shown."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Accept"] = "text/html"

    def step(self, method: str, url: str, data: dict[str, str] | None = None) -> requests.Response:
        """One request, told in two lines."""
        response = self._session.request(method, url, data=data, allow_redirects=False, timeout=30)
        say(f"  {method} {shorten(url)}")
        line = f"      {response.status_code}"
        if location := response.headers.get("Location"):
            line += f" -> {shorten(location)}"
        if response.cookies:
            line += "   sets " + ", ".join(sorted(name_of(cookie.name) for cookie in response.cookies))
        say(line)
        return response


def shorten(url: str) -> str:
    """A URL without the long values of its query."""
    return re.sub(r"=([^&]{24})[^&]+", r"=\1...", url)


def name_of(cookie: str) -> str:
    """A cookie by name; an attempt's random id is cut."""
    return re.sub(r"(-a-.{4}).*", r"\1...", cookie)


def sign_in(browser: Browser, public_url: str) -> str:
    """One sign-in from the application's page and back to it; the page that the application then answers."""
    response = browser.step("GET", public_url + "/reports?year=2026")
    if response.status_code == 401:
        link = re.search(r'href="([^"]+/login/default/[^"]*)"', response.text)
        if link is None:
            raise DemoError("the login page has no button")
        response = browser.step("GET", unescape(link[1]))
    authorization_url = response.headers["Location"]
    browser.step("GET", authorization_url)
    say("      (Jane chooses her account)")
    response = browser.step("POST", authorization_url, {"sub": JANE.sub})
    for _ in range(5):
        if "Location" not in response.headers:
            break
        response = browser.step("GET", urljoin(response.url, response.headers["Location"]))
    if response.status_code != 200 or not response.url.endswith("/reports?year=2026"):
        raise DemoError(f"the sign-in ended at {response.url} with {response.status_code}")
    return response.text


def show_result(page: str) -> None:
    """What the application saw, and what the directory keeps."""
    from oauth2_mw.identity.directory import Directory
    from oauth2_mw.settings.grammar import Secret

    told = {key: unescape(value) for key, value in re.findall(r"<tr><th>(REMOTE_[A-Z_]+)<td>(.*)", page)}
    say()
    say("What the application sees:")
    for key in ("REMOTE_USER", "REMOTE_USER_ID", "REMOTE_NAME", "REMOTE_EMAIL", "REMOTE_GROUPS"):
        say(f"  {key:14} = {told.get(key)}")
    if told.get("REMOTE_USER") != "jane":
        raise DemoError("REMOTE_USER is not jane")
    say()
    say("The row in the directory (samples/demo/var/users.db):")
    rows = list(Directory(Secret.literal(f"sqlite:///{VAR / 'users.db'}")).users())
    for row in rows:
        say(f"  id            {row.id}")
        say(f"  issuer        {row.issuer}")
        say(f"  subject       {row.subject}")
        for field in ("username", "name", "email", "groups", "organizations"):
            say(f"  {field:13} {getattr(row, field)}")
    if [row.username for row in rows] != ["jane"]:
        raise DemoError("the directory does not hold jane alone")


def main() -> int:
    """Run the demonstration; 0 only if the sign-in worked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the transcript")
    once: bool = parser.parse_args().once
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    logging.getLogger("oidc_provider_mock").setLevel(logging.ERROR)
    # The provider's own library asks for this on loopback without TLS.
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shutil.rmtree(VAR, ignore_errors=True)
    VAR.mkdir()
    keygen = [sys.executable, "-m", "oauth2_mw.cli", "keygen", "samples/demo/var/keys"]
    subprocess.run(keygen, cwd=ROOT, check=True)
    try:
        with run_server_in_thread(user_claims=[JANE]) as provider:
            issuer = f"http://localhost:{provider.server_port}"
            public_url = f"http://localhost:{free_port()}"
            say(f"identity provider  {issuer}")
            say(f"application        {public_url}")
            with gunicorn(public_url, issuer):
                say()
                say("One sign-in, step by step:")
                show_result(sign_in(Browser(), public_url))
                say()
                say("The sign-in worked.")
                if not once:
                    say(f"Now open {public_url}/ in a browser (the account: {JANE.sub}). Ctrl-C ends.")
                    signal.pause()
    except DemoError as error:
        say(f"FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say()
    return 0


if __name__ == "__main__":
    sys.exit(main())
