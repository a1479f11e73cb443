"""The providers that others wrote and that ``make test-providers`` starts, each in the same few words."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.processes import Child
from tests.support.providers.canaille import canaille
from tests.support.providers.emulate import emulated
from tests.support.providers.glewlwyd import glewlwyd
from tests.support.providers.lemonldap import lemonldap

#: what each does: a row a provider, of which the documentation makes a table
TABLE = Path(__file__).parents[2] / "integration" / "providers" / "counterparts.tsv"


class Counterpart(Protocol):
    """One running provider. It knows Jane Roe, whose address is jane@example.com."""

    @property
    def origin(self) -> str: ...

    @property
    def process(self) -> Child: ...

    def register(
        self, redirect_uri: str, post_logout_redirect_uri: str, backchannel_logout_uri: str
    ) -> dict[str, str]:
        """Register an application, and return the keys of its INI that tell of this provider and the client."""
        ...

    def sign_in(self, browser: Browser) -> Page:
        """Do what Jane does at the provider's pages until the browser is back at the application."""
        ...

    def remembers(self, browser: Browser) -> bool:
        """Whether Jane is signed in there, in that browser."""
        ...

    def sign_out(self, browser: Browser) -> Page:
        """Answer the provider's question whether to sign out there too, if it has one, and follow where it leads."""
        ...


#: each takes a folder of its own
START: Mapping[str, Callable[[Path], AbstractContextManager[Counterpart]]] = MappingProxyType(
    {
        "glewlwyd": glewlwyd,
        "lemonldap": lemonldap,
        "canaille": canaille,
        **{name: emulated(name) for name in ("google", "microsoft", "okta", "apple")},
    }
)


@dataclass(frozen=True)
class Expected:
    """What works with a counterpart."""

    name: str
    #: the name that people know
    title: str
    #: a built-in one, or the path of a file beside the table
    preset: str
    #: ``REMOTE_USER``, once Jane has signed in; ``sub``: the subject, which is another one each time
    user: str
    groups: tuple[str, ...]
    #: whether it remembers who has signed in there
    single_sign_on: bool
    refresh: bool
    logout_there: bool
    backchannel: bool


def expected() -> list[Expected]:
    """Every row of the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [
            Expected(
                name=row["name"],
                title=row["counterpart"],
                preset=str(TABLE.parent / row["preset"]) if row["preset"].endswith(".ini") else row["preset"],
                user=row["user"],
                groups=tuple(row["groups"].split()),
                single_sign_on=row["single sign-on"] == "yes",
                refresh=row["refresh"] == "yes",
                logout_there=row["logout there"] == "yes",
                backchannel=row["back-channel"] == "yes",
            )
            for row in csv.DictReader(file, dialect="excel-tab")
        ]
