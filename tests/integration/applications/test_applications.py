"""Real applications behind the middleware, each as its sample has it: what ``applications.tsv`` says is so."""

from __future__ import annotations

import csv
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.support.browser.jar import Browser
from tests.support.browser.personal_tokens import make_token
from tests.support.hosts.samples import settings_of
from tests.support.hosts.servers import Site
from tests.support.hosts.servers import site as reserve_site
from tests.support.providers.standin import StandIn

from .known import KNOWN, MEMBERS, Known, Visitor

TABLE = Path(__file__).with_name("applications.tsv")


def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, dialect="excel-tab"))


@dataclass(frozen=True)
class Visited:
    """A running application, and the provider that says who comes."""

    works: Mapping[str, str]
    app: Known
    site: Site
    provider: StandIn

    def sign_in(self, name: str, *groups: str, browser: Browser | None = None) -> Visitor:
        """Sign somebody in, in a browser of theirs or in *browser*."""
        self.provider.userinfo = {
            "sub": name,
            "preferred_username": name,
            "name": f"{name} Doe",
            "email": f"{name.replace('é', 'e')}@example.com",
            "groups": list(groups),
        }
        visitor = Visitor(self.site, browser or Browser())
        visitor.get("/")
        return visitor


@pytest.fixture(scope="module", params=rows(), ids=lambda row: row["sample"])
def visited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    works = request.param
    app = KNOWN[works["sample"]]
    folder = tmp_path_factory.mktemp(works["sample"])
    with StandIn() as provider, reserve_site() as site:
        settings = {
            "issuer": provider.issuer,
            "client_id": provider.client_id,
            "client_secret": provider.client_secret,
        }
        if "personal_tokens" not in settings_of(app.sample)["oauth2_mw"]:
            settings |= {"directory": "sqlite:///users.db", "group_sync": "always", "personal_tokens": "/"}
        with app.serving(site, folder, settings):
            yield Visited(works, app, site, provider)


def test_every_application_that_has_a_sample_is_in_the_table() -> None:
    assert {row["sample"] for row in rows()} == KNOWN.keys()


def name_right(visited: Visited) -> None:
    said = visited.app.says(visited.sign_in("zoé"))
    assert "zoé" in said


def address(visited: Visited) -> None:
    assert "zoe@example.com" in visited.app.shows(visited.sign_in("zoé", MEMBERS))


def groups(visited: Visited) -> None:
    # Whom it has not seen before: Trac remembers for some seconds what somebody may.
    assert visited.app.admits(visited.sign_in("ada", MEMBERS))
    assert not visited.app.admits(visited.sign_in("bob"))


def own_button(visited: Visited) -> None:
    jane = visited.sign_in("jane", MEMBERS)
    visited.app.log_out(jane)
    # A provider that remembers nobody would have let her in again at once: what is asked is what a script is told.
    assert "end_session" in jane.browser.transcript


def second_person(visited: Visited) -> None:
    jane = visited.sign_in("jane", MEMBERS)
    assert "jane" in visited.app.says(jane)
    # Her session has run out, and nothing else has been tidied up.
    jane.browser.jar.delete("oauth2_mw", visited.site.public_url)
    bob = visited.sign_in("bob", browser=jane.browser)
    said = visited.app.says(bob)
    assert "bob" in said
    assert "jane" not in said
    assert not (visited.works["groups"] == "yes" and visited.app.admits(bob))


def programs(visited: Visited) -> None:
    jane = visited.sign_in("jane")
    token = make_token(jane.browser, visited.site.public_url)
    credential = b64encode(f"jane:{token}".encode()).decode()
    program = Visitor(
        visited.site, Browser(headers={"Authorization": f"Basic {credential}"}), is_program=True
    )
    assert "jane" in visited.app.says(program)


CHECKS: Mapping[str, Callable[[Visited], None]] = MappingProxyType(
    {
        "name right": name_right,
        "e-mail": address,
        "groups": groups,
        "own button": own_button,
        "second person": second_person,
        "programs": programs,
    }
)


@pytest.mark.parametrize("column", CHECKS)
def test_what_the_table_says(visited: Visited, column: str) -> None:
    if visited.works[column] == "yes":
        CHECKS[column](visited)
        return
    assert visited.works[column] == "no"
    assert visited.works["why not"]
    with pytest.raises(AssertionError):
        CHECKS[column](visited)
