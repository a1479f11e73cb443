"""Real programs against real servers behind the middleware: what each says without a token, and that it works with one.

CalDAV with Radicale, PyPI's ``caldav`` and Debian's Thunderbird, ``hg`` with hgweb, ``git`` with dulwich's server,
``pip`` with pypiserver, WsgiDAV with Debian's ``cadaver`` and ``litmus``, and ``curl``. The servers and the programs in
Python live in an environment of their own, `.venv-programs`.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.browser.jar import Browser
from tests.support.browser.personal_tokens import make_token
from tests.support.hosts.debian import find
from tests.support.hosts.processes import ROOT, Child, child_environment, free_port
from tests.support.hosts.thunderbird import thunderbird
from tests.support.providers.standin import StandIn
from tests.support.settings.keys import text_key

BIN = ROOT / ".venv-programs" / "bin"
PROJECT = ROOT / "tests" / "integration" / "programs_project" / "project.py"
#: seconds
DEADLINE = 60

INI = """
[oauth2_mw]
public_url = {origin}
secret_keys = {key}
issuer = {issuer}
client_id = {client_id}
client_secret = {client_secret}
directory = sqlite:///users.db
personal_tokens = /dav/ /hg/ /git/ /files/ /simple/ /packages/

[access]
rules =
    public   /.well-known/caldav
    required /
"""

CALENDAR = """
import sys
import caldav

with caldav.DAVClient(url=sys.argv[1], username=sys.argv[2], password=sys.argv[3]) as client:
    calendar = client.principal().make_calendar(name="work")
    calendar.save_event(
        "BEGIN:VCALENDAR\\nVERSION:2.0\\nPRODID:-//x//y//EN\\nBEGIN:VEVENT\\nUID:1\\nDTSTAMP:20260101T000000Z\\n"
        "DTSTART:20260101T100000Z\\nDTEND:20260101T110000Z\\nSUMMARY:Breakfast\\nEND:VEVENT\\nEND:VCALENDAR\\n"
    )
    (calendar,) = client.principal().calendars()
    (event,) = calendar.events()
    print(client.principal().url, calendar.name, event.data)
"""

#: Begins a script for Thunderbird: a calendar of the address in the first argument.
ADD_CALENDAR = """
const { cal } = ChromeUtils.importESModule("resource:///modules/calendar/calUtils.sys.mjs");
const addCalendar = () => {
    const calendar = cal.manager.createCalendar("caldav", Services.io.newURI(args[0]));
    calendar.name = "work";
    calendar.setProperty("cache.enabled", false);
    cal.manager.registerCalendar(calendar);
    return calendar;
};
"""
#: Ends at the window that asks for a password.
AWAIT_PROMPT = "addCalendar(); await new Promise(() => {});"
#: Further arguments: the realm, the username, the token.
KEEP_EVENT = """
const { CalEvent } = ChromeUtils.importESModule("resource:///modules/CalEvent.sys.mjs");
const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
login.init(new URL(args[0]).origin, null, args[1], args[2], args[3], "", "");
await Services.logins.addLoginAsync(login);
const calendar = addCalendar();
const QueryInterface = ChromeUtils.generateQI(["calIObserver"]);
await new Promise(onLoad => calendar.addObserver({ QueryInterface, onLoad }));
await calendar.addItem(new CalEvent(
    "BEGIN:VEVENT\\r\\nUID:2\\r\\nDTSTAMP:20260101T000000Z\\r\\nDTSTART:20260101T180000Z\\r\\n" +
    "DTEND:20260101T190000Z\\r\\nSUMMARY:Supper\\r\\nEND:VEVENT\\r\\n"
));
const items = await calendar.getItemsAsArray(Ci.calICalendar.ITEM_FILTER_ALL_ITEMS, 0, null, null);
return items.map(item => item.title);
"""


@dataclass
class Servers:
    """Where they are, and how a person gets a token for them."""

    origin: str
    folder: Path

    def token(self, **more: str) -> str:
        """Sign in, and make a token by its form with some fields *more*."""
        return make_token(Browser(), self.origin, **more)

    def at(self, path: str, token: str | None = None) -> str:
        """The address of a path, with the credential in it as programs take it."""
        if token is None:
            return self.origin + path
        return self.origin.replace("://", f"://jane:{token}@") + path


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    assert (BIN / "python").exists(), "the programs are not installed: run `make test-programs`"
    folder, port = tmp_path_factory.mktemp("programs"), free_port()
    (folder / "packages").mkdir()
    (folder / "packages" / "tiny-1.0-py3-none-any.whl").write_bytes(wheel())
    origin = f"http://127.0.0.1:{port}"
    with StandIn() as provider:
        ini = INI.format(
            origin=origin,
            key=text_key(),
            issuer=provider.issuer,
            client_id=provider.client_id,
            client_secret=provider.client_secret,
        )
        (folder / "oauth2.ini").write_text(ini, encoding="utf-8")
        with serving(folder, port, folder / "oauth2.ini"):
            yield Servers(origin, folder)


@contextmanager
def serving(folder: Path, port: int, *ini: Path) -> Iterator[None]:
    """Run the servers, behind the middleware if there is an INI file, until the end of the ``with``."""
    with Child("programs", [BIN / "python", PROJECT, folder, str(port), *ini], cwd=folder) as process:
        process.wait_for_line(r"^ready")
        yield


def wheel() -> bytes:
    """The smallest package that pip installs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("tiny.py", "")
        info = "tiny-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return file.getvalue()


def run(
    *command: object, cwd: Path, env: Mapping[str, str] | None = None, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program that can ask nobody for a password.

    :param typed: what it finds on its standard input.
    """
    quiet = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "HGRCPATH": "",
        "HOME": str(cwd),
        # No other index than the one that is named.
        "PIP_CONFIG_FILE": os.devnull,
    }
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**child_environment(), **quiet, **(env or {})},
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
    )


def test_curl_comes_in_with_a_token_as_password_and_as_bearer(servers: Servers, tmp_path: Path) -> None:
    token, url = servers.token(), servers.at("/dav/jane/")
    refused = run("curl", "-sSi", url, cwd=tmp_path)
    assert refused.stdout.startswith("HTTP/1.1 401")
    challenge = f'www-authenticate: basic realm="{servers.origin}", charset="utf-8"'
    assert [line for line in refused.stdout.lower().splitlines() if "authenticate" in line] == [challenge]
    assert "login_url" in refused.stdout
    methods = ["-X", "PROPFIND", "-H", "Depth: 0"]
    assert run("curl", "-sSi", *methods, "-u", f"jane:{token}", url, cwd=tmp_path).stdout.startswith(
        "HTTP/1.1 207"
    )
    bearer = f"Authorization: Bearer {token}"
    assert run("curl", "-sSi", *methods, "-H", bearer, url, cwd=tmp_path).stdout.startswith("HTTP/1.1 207")
    wrong = run("curl", "-sSi", "-u", f"joe:{token}", url, cwd=tmp_path)
    assert "The username is not that of the token's owner." in wrong.stdout


def test_a_calendar_client_finds_and_changes_its_calendar(servers: Servers, tmp_path: Path) -> None:
    python, url = BIN / "python", servers.at("/dav/")
    refused = run(python, "-c", CALENDAR, url, "jane", "no token", cwd=tmp_path)
    assert refused.returncode == 1
    assert "AuthorizationError" in refused.stdout
    done = run(python, "-c", CALENDAR, url, "jane", servers.token(), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"{servers.origin}/dav/jane/ work" in done.stdout
    assert "SUMMARY:Breakfast" in done.stdout


@pytest.mark.requirement("R-basic")
def test_thunderbird_asks_for_a_password_and_keeps_an_event_with_a_token(
    servers: Servers, tmp_path: Path
) -> None:
    token, url = servers.token(), servers.at("/dav/jane/thunderbird/")
    made = run("curl", "-sSi", "-X", "MKCALENDAR", "-u", f"jane:{token}", url, cwd=tmp_path)
    assert made.stdout.startswith("HTTP/1.1 201")
    with thunderbird(tmp_path / "stranger") as program:
        program.run(ADD_CALENDAR + AWAIT_PROMPT, url)
        asked = program.dismiss_prompt()
    assert asked == "http://127.0.0.1 is requesting your username and password."
    with thunderbird(tmp_path / "jane") as program:
        assert program.run(ADD_CALENDAR + KEEP_EVENT, url, servers.origin, "jane", token) == ["Supper"]
    stored = servers.folder / "dav" / "collection-root" / "jane" / "thunderbird" / "2.ics"
    assert "SUMMARY:Supper" in stored.read_text(encoding="utf-8")


def test_hg_clones_and_pushes(servers: Servers, tmp_path: Path) -> None:
    hg = BIN / "hg"
    refused = run(hg, "clone", servers.at("/hg/"), "x", "-y", cwd=tmp_path)
    assert refused.returncode != 0
    assert "authorization" in refused.stdout
    assert "Traceback" not in refused.stdout
    url = servers.at("/hg/", servers.token())
    assert run(hg, "clone", url, "here", cwd=tmp_path).returncode == 0
    here = tmp_path / "here"
    (here / "a.txt").write_text("a")
    assert run(hg, "commit", "-A", "-m", "first", "-u", "jane", cwd=here).returncode == 0
    pushed = run(hg, "push", url, cwd=here)
    assert pushed.returncode == 0, pushed.stdout
    assert run(hg, "clone", url, "there", cwd=tmp_path).returncode == 0
    assert (tmp_path / "there" / "a.txt").read_text() == "a"


def test_git_pushes_and_clones(servers: Servers, tmp_path: Path) -> None:
    refused = run("git", "clone", servers.at("/git/"), "x", cwd=tmp_path)
    assert refused.returncode != 0
    assert "could not read Username" in refused.stdout
    url = servers.at("/git/", servers.token())
    assert run("git", "init", "-b", "main", "here", cwd=tmp_path).returncode == 0
    here = tmp_path / "here"
    (here / "a.txt").write_text("a")
    assert run("git", "add", "a.txt", cwd=here).returncode == 0
    author = ["-c", "user.name=jane", "-c", "user.email=jane@example.com"]
    assert run("git", *author, "commit", "-m", "first", cwd=here).returncode == 0
    pushed = run("git", "push", url, "main", cwd=here)
    assert pushed.returncode == 0, pushed.stdout
    cloned = run("git", "clone", "-b", "main", url, "there", cwd=tmp_path)
    assert cloned.returncode == 0, cloned.stdout
    assert (tmp_path / "there" / "a.txt").read_text() == "a"


def test_a_reading_token_fetches_with_hg_and_pushes_nothing(servers: Servers, tmp_path: Path) -> None:
    url = servers.at("/hg/", servers.token(read_only="1"))
    assert run(BIN / "hg", "clone", url, "here", cwd=tmp_path).returncode == 0
    here = tmp_path / "here"
    (here / "b.txt").write_text("b")
    assert run(BIN / "hg", "commit", "-A", "-m", "second", "-u", "jane", cwd=here).returncode == 0
    pushed = run(BIN / "hg", "push", url, cwd=here)
    assert pushed.returncode != 0
    assert "403" in pushed.stdout


def test_pip_downloads_a_package(servers: Servers, tmp_path: Path) -> None:
    pip = [BIN / "python", "-m", "pip", "--disable-pip-version-check", "--no-input", "download"]
    refused = run(*pip, "--no-deps", "--index-url", servers.at("/simple/"), "tiny", cwd=tmp_path)
    assert refused.returncode != 0
    assert not (tmp_path / "tiny-1.0-py3-none-any.whl").exists()
    url = servers.at("/simple/", servers.token())
    done = run(*pip, "--no-deps", "--index-url", url, "tiny", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "tiny-1.0-py3-none-any.whl").exists()


def cadaver(servers: Servers, *commands: str, cwd: Path) -> str:
    """Return what ``cadaver`` prints, which finds a token in `.netrc` in *cwd*, or asks for a name and a password."""
    program = find("cadaver", "usr/bin/cadaver")
    typed = "".join(f"{command}\n" for command in (f"open {servers.at('/files/')}", *commands))
    return run(program.executable, cwd=cwd, env=program.env, typed=typed).stdout


def test_a_file_client_keeps_files_in_a_folder(servers: Servers, tmp_path: Path) -> None:
    refused = cadaver(servers, cwd=tmp_path)
    assert f"Authentication required for {servers.origin} on server" in refused
    assert "Could not authenticate to server: rejected Basic challenge" in refused
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login jane password {servers.token()}\n")
    (tmp_path / "a.txt").write_text("a")
    commands = ["mkcol reports", "put a.txt reports/a.txt", "ls reports", "get reports/a.txt b.txt"]
    done = cadaver(servers, *commands, "delete reports/a.txt", "ls reports", "rmcol reports", cwd=tmp_path)
    assert done.count("succeeded") == len(commands) + 2, done
    assert "a.txt    " in done
    assert "collection is empty" in done
    assert (tmp_path / "b.txt").read_text() == "a"


def test_a_reading_token_lists_files_and_makes_no_folder(servers: Servers, tmp_path: Path) -> None:
    token = servers.token(read_only="1")
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login jane password {token}\n")
    done = cadaver(servers, "mkcol reports", "ls", cwd=tmp_path)
    assert "Creating `reports': failed:\n403 Forbidden" in done
    assert "Listing collection `/files/': collection is empty" in done


def litmus(origin: str, *credential: str, cwd: Path) -> list[tuple[str, str]]:
    """Let ``litmus`` try the WebDAV server. Return how many tests of each of its parts have passed; all must."""
    program = find("litmus", "usr/bin/litmus")
    usr = program.executable.parents[1]
    env = {**program.env, "TESTROOT": str(usr / "libexec/litmus"), "HTDOCS": str(usr / "share/litmus/htdocs")}
    printed = run(
        program.executable, "--keep-going", f"{origin}/files/", *credential, cwd=cwd, env=env
    ).stdout
    passed = re.findall(r"summary for `(\w+)': of \d+ tests run: (\d+) passed, 0 failed", printed)
    assert sum(int(count) for _, count in passed) == 104, printed
    return passed


def test_a_webdav_server_passes_litmus_with_the_middleware_as_without(
    servers: Servers, tmp_path: Path
) -> None:
    (tmp_path / "packages").mkdir()
    port = free_port()
    with serving(tmp_path, port):
        without = litmus(f"http://127.0.0.1:{port}", cwd=tmp_path)
    assert litmus(servers.origin, "jane", servers.token(), cwd=tmp_path) == without
