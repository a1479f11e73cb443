"""The samples for frameworks that our own environment does not have: each serves whom the provider has signed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.processes import Child
from tests.support.hosts.servers import PREFIX, MakeSite, answers, ini_text, new_key
from tests.support.providers.standin import StandIn

from .known import APPS_PYTHON

Run = Callable[[str], AbstractContextManager[tuple[str, StandIn]]]


@pytest.fixture
def run(make_site: MakeSite, tmp_path: Path) -> Run:
    """Serve a sample as its first line says, for jane of the group ``admins``; yield its origin and the provider."""

    @contextmanager
    def run(sample: str) -> Iterator[tuple[str, StandIn]]:
        assert APPS_PYTHON.exists(), "the frameworks are not installed: run `make test-apps`"
        site = make_site()
        with StandIn() as provider:
            provider.userinfo = {"sub": "user-1", "preferred_username": "jane", "groups": ["admins"]}
            settings = {
                "public_url": site.public_url,
                "secret_keys": new_key(),
                "issuer": provider.issuer,
                "client_id": provider.client_id,
                "client_secret": provider.client_secret,
            }
            (tmp_path / "oauth2.ini").write_text(ini_text(settings), encoding="utf-8")
            descriptor = site.socket.fileno()
            options = ["--bind", f"fd://{descriptor}", "--no-control-socket"]
            application = f'samples.{sample}:make_app("oauth2.ini")'
            command: list[str | Path] = [APPS_PYTHON, "-m", "gunicorn", application, *options]
            with Child(sample, command, cwd=tmp_path, pass_fds=[descriptor]) as process:
                process.wait_until(lambda: answers(site.listens_at))
                yield site.origin, provider

    return run


def test_the_pyramid_sample_knows_who_it_is_and_what_they_may(run: Run) -> None:
    with run("pyramid_app") as (origin, provider):
        browser = Browser()
        assert browser.fetch(f"{origin}/salaries").status == 401
        assert browser.navigate(f"{origin}/salaries").visible_text == "Salaries, for jane"
        provider.userinfo = {"sub": "user-2", "preferred_username": "joe", "groups": ["staff"]}
        assert Browser().navigate(f"{origin}/salaries").status == 403


def test_the_bottle_sample_greets_a_person_and_signs_them_out(run: Run) -> None:
    with run("bottle_app") as (origin, _):
        browser = Browser()
        assert "Welcome, jane." in browser.navigate(f"{origin}/").visible_text
        assert browser.click("Sign out").url.startswith(f"{origin}{PREFIX}/logout/")
        assert browser.fetch(f"{origin}/", initiator=origin).status == 401


def test_the_dash_sample_answers_callbacks_until_the_session_ends(run: Run) -> None:
    call = {
        "output": "owner.children",
        "outputs": {"id": "owner", "property": "children"},
        "inputs": [{"id": "ask", "property": "n_clicks", "value": 1}],
        "changedPropIds": ["ask.n_clicks"],
    }
    with run("dash_app") as (origin, _):
        browser = Browser()
        page = browser.navigate(f"{origin}/")
        assert "_dash-renderer" in page.text
        layout = browser.fetch(f"{origin}/_dash-layout", initiator=origin)
        assert layout.json()["props"]["children"][0]["props"]["href"] == f"{origin}{PREFIX}/logout/"
        address = f"{origin}/_dash-update-component"
        answer = browser.fetch(address, method="POST", json=call, initiator=origin)
        assert "These are the figures of jane." in answer.text
        browser.navigate(f"{origin}{PREFIX}/logout/", initiator=origin, follow=False)
        refused = browser.fetch(address, method="POST", json=call, initiator=origin)
        assert refused.status == 401
        assert "login_url" in refused.json()
