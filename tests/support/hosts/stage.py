"""People at an application that runs on several hosts: who is signed in there, and what is told to whom."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.support.browser.cookie_jar import CookieJar
from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.deployment import Deployment, Host
from tests.support.hosts.load import user_of
from tests.support.hosts.processes import DEADLINE
from tests.support.hosts.sample_app import WORKER
from tests.support.providers.oidc_provider import OidcProvider


def wait_until(condition: Callable[[], object], *, deadline: float = DEADLINE, pause: float = 0.1) -> None:
    """Ask until it answers something true, with a *pause* of so many seconds after each question."""
    until = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < until, f"not within {deadline:.0f} seconds"
        time.sleep(pause)


def sleep_until(moment: float) -> None:
    """Until that second since the epoch has begun."""
    while (left := moment - time.time()) > 0:
        time.sleep(left)


def ask(jar: CookieJar, url: str) -> Page:
    """What a copy of these cookies is answered there; whatever it is, the cookies stay as they are."""
    return Browser(jar=jar.copy()).navigate(url, follow=False)


def pages_of(host: Host, jar: CookieJar) -> list[Page]:
    """The answers of a host to a copy of these cookies, asked until each of its workers has given one."""
    pages: list[Page] = []

    def all_answered() -> bool:
        pages.append(ask(jar, host.url("/")))
        return {int(page.header(WORKER) or 0) for page in pages} >= set(host.workers())

    wait_until(all_answered, pause=0)
    return pages


class Stage:
    """The hosts of one site, and the provider that knows its people."""

    def __init__(self, deployed: Deployment, provider: OidcProvider) -> None:
        self.site = deployed.site
        self.hosts = deployed.hosts
        self.deployed = deployed
        self.provider = provider

    def sign_in(self, login: str, section: str = "default") -> Browser:
        """A new browser of that person, who is sent to the provider of that section."""
        self.provider.add_account(login, preferred_username=login)
        browser = Browser()
        browser.navigate(self.site.own_url(f"login/{section}/"))
        page = self.provider.sign_in(browser, login)
        assert user_of(page) is not None, f"{page.status} {page.text}\n{browser.transcript}"
        return browser

    def sign_out(self, browser: Browser, host: Host | None = None) -> Page:
        """The first answer to somebody who typed the address of the logout, at that host or any."""
        url = self.site.own_url("logout/")
        if host is not None:
            url = host.url(url.removeprefix(self.site.public_url))
        return browser.navigate(url, follow=False)

    def ask(self, jar: CookieJar, url: str | None = None) -> Page:
        """What a copy of these cookies is answered."""
        return ask(jar, url or self.site.url("/"))

    def users(self, jar: CookieJar) -> set[str | None]:
        """Who the application is told of by each worker of each host."""
        return {user_of(page) for page in self.pages(jar)}

    def pages(self, jar: CookieJar) -> list[Page]:
        """The answers of all hosts, at least one of each worker."""
        return [page for host in self.hosts for page in pages_of(host, jar)]
