"""The deployment files of ``samples/paste`` and their application ``greeter``, served by gunicorn as they say."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from oauth2_mw.cli.main import main
from tests.support.browser.jar import Browser
from tests.support.hosts.processes import ROOT, Child
from tests.support.hosts.servers import MakeSite, Site, answers
from tests.support.providers.standin import StandIn

OWN_PYTHON = ROOT / ".venv-apps" / "bin" / "python"
#: What the samples say of an installation that is not this one.
HOST, PROVIDER = "https://app.example.com", "https://id.example.com"

Run = Callable[[str], AbstractContextManager[tuple[Site, StandIn]]]


@pytest.fixture
def run(make_site: MakeSite, tmp_path: Path) -> Run:
    """Serve a sample for jane of the group ``staff``, and yield its site and the provider."""

    @contextmanager
    def run(name: str) -> Iterator[tuple[Site, StandIn]]:
        assert OWN_PYTHON.exists(), "Paste is not installed: run `make test-apps`"
        site = make_site()
        folder = tmp_path / "paste"
        shutil.copytree(ROOT / "samples" / "paste", folder)
        with StandIn(client_id="app") as provider:
            provider.userinfo = {"sub": "user-1", "preferred_username": "jane", "groups": ["staff"]}
            text = (folder / name).read_text(encoding="utf-8")
            text = text.replace(HOST, site.origin).replace(PROVIDER, provider.issuer)
            (folder / name).write_text(text, encoding="utf-8")
            secret = folder / "client-secret"
            secret.write_text(provider.client_secret, encoding="utf-8")
            secret.chmod(0o600)
            assert main(["keygen", str(folder / "keys")]) == 0
            descriptor = site.socket.fileno()
            options = ["--bind", f"fd://{descriptor}", "--no-control-socket"]
            command: list[str | Path] = [OWN_PYTHON, "-m", "gunicorn", "--paste", name, *options]
            with Child(name, command, cwd=folder, pass_fds=[descriptor]) as process:
                process.wait_until(lambda: answers(site.listens_at))
                yield site, provider

    return run


def test_in_a_pipeline_the_rules_judge_the_path_that_the_application_sees(run: Run) -> None:
    with run("pipeline.ini") as (site, _):
        browser = Browser()
        assert browser.fetch(site.url("/core/static/x")).text == "Wiki: nobody\n"
        assert browser.fetch(site.url("/core/")).status == 401
        assert browser.navigate(site.url("/core/page")).text == "Wiki: jane\n"
        assert browser.navigate(site.url("/core/admin/")).status == 403
        assert browser.navigate(site.url("/core/auth/oauth2/whoami/")).json()["username"] == "jane"


def test_behind_one_middleware_a_urlmap_has_one_session_and_one_set_of_rules(run: Run) -> None:
    with run("urlmap.ini") as (site, provider):
        browser = Browser()
        assert browser.fetch(site.url("/status")).text == "Status: nobody\n"
        assert browser.navigate(site.url("/shop/basket")).text == "Shop: jane\n"
        asked = len(provider.requests)
        assert browser.navigate(site.url("/page")).text == "Wiki: jane\n"
        assert len(provider.requests) == asked
        assert browser.navigate(site.url("/shop/admin/")).status == 403
        # What names another application to the urlmap than to the rules reaches neither.
        for path in ("//shop/admin/", "/x/../shop/admin/", "/shop//admin/", "/shop/%61dmin/"):
            assert status_of(site, path) in (401, 404), path


def test_two_middlewares_at_two_mounts_do_not_take_each_others_sessions(run: Run) -> None:
    with run("mounts.ini") as (site, provider):
        browser = Browser()
        assert browser.navigate(site.url("/wiki/page")).text == "Wiki: jane\n"
        assert browser.fetch(site.url("/shop/basket")).status == 401
        provider.userinfo = {"sub": "user-2", "preferred_username": "joe", "groups": ["staff"]}
        assert browser.navigate(site.url("/shop/basket")).text == "Shop: joe\n"
        assert browser.navigate(site.url("/wiki")).text == "Wiki: jane\n"
        browser.navigate(site.url("/shop/auth/oauth2/logout/"), initiator=site.origin, follow=False)
        assert browser.fetch(site.url("/shop/basket")).status == 401
        assert browser.fetch(site.url("/wiki/page")).text == "Wiki: jane\n"
        assert browser.fetch(site.url("/status")).text == "Status: nobody\n"
        provider.userinfo = {"sub": "user-3", "preferred_username": "ann", "groups": []}
        assert Browser().navigate(site.url("/shop/")).status == 403


def status_of(site: Site, path: str) -> int:
    """Ask for a path octet by octet, as nobody."""
    connection = HTTPConnection(urlsplit(site.listens_at).netloc, timeout=10)
    connection.request("GET", path, headers={"Accept": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status
