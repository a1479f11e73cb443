"""New keys under load: two hosts share a key file that changes while people work, and nobody notices.

The new keys are dated back, so that they seal at once instead of a minute after they were written.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from pathlib import Path

import pytest

from oauth2_mw.session.keyring import Key
from oauth2_mw.settings.grammar import KeyEntry, format_key_line
from tests.support.browser.cookie_jar import CookieJar
from tests.support.browser.jar import Browser
from tests.support.hosts.deployment import Deploy, Deployment
from tests.support.hosts.load import Load, Profile, Report, user_of
from tests.support.hosts.servers import MakeSite
from tests.support.hosts.stage import pages_of, wait_until
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.settings.keys import raw_key

PEOPLE = ("ann", "bob", "cleo", "dan")


class KeyFile:
    """A key file as an administrator keeps it: replaced as a whole, never written in place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._now = int(time.time())

    def hold(self, *numbers: int) -> None:
        """Let it hold these keys. Every one of them seals since long; the one with the highest number does."""
        entries = [KeyEntry(f"k{number}", self._now - 1000 + number, raw_key(number)) for number in numbers]
        new = self.path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text("".join(format_key_line(entry) + "\n" for entry in entries))
        new.replace(self.path)


def sealed_by(jar: CookieJar, url: str) -> bytes:
    """The id of the key that sealed the session of a browser; it stands behind the version, in the clear."""
    cookie = jar.get("oauth2_mw", url)
    assert cookie is not None, "the browser has no session cookie any more"
    return urlsafe_b64decode(cookie.value[:12])[1:9]


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    made = KeyFile(tmp_path / "keys")
    made.hold(1)
    return made


@pytest.fixture
def deployed(
    oidc_provider: OidcProvider, make_site: MakeSite, deploy: Deploy, key_file: KeyFile
) -> Deployment:
    site = make_site()
    callbacks = [site.own_url(f"login/callback/{name}/") for name in ("busy", "quiet")]
    provider = oidc_provider.settings(oidc_provider.register(callbacks))
    settings = {
        "secret_keys": f"file:{key_file.path}",
        "revocation_sync": "1s",
        # Their sessions are sealed anew every three seconds, those of the quiet ones not while the test lasts.
        "provider:busy": {**provider, "provider": "Busy", "username_prefix": "busy-", "session_idle": "24s"},
        "provider:quiet": {
            **provider,
            "provider": "Quiet",
            "username_prefix": "quiet-",
            "same_users_as": "busy",
            "session_idle": "8h",
        },
    }
    return deploy(site, settings)


class Stage:
    """What the test has in hand."""

    def __init__(self, deployed: Deployment, provider: OidcProvider) -> None:
        self.site = deployed.site
        self.hosts = deployed.hosts
        self._provider = provider
        for person in PEOPLE:
            provider.add_account(person, preferred_username=person)

    def begin(self, browser: Browser, section: str) -> None:
        browser.navigate(self.site.own_url(f"login/{section}/"))

    def finish(self, browser: Browser, login: str) -> str:
        user: str = self._provider.sign_in(browser, login).json()["user"]
        return user

    def sign_in(self, login: str, section: str) -> Browser:
        browser = Browser()
        self.begin(browser, section)
        assert self.finish(browser, login) == f"{section}-{login}"
        return browser

    def users(self, browser: Browser) -> set[str | None]:
        """Who the application is told of by each worker of each host."""
        return {user_of(page) for host in self.hosts for page in pages_of(host, browser.jar)}

    def all_sealed_by(self, number: int) -> Callable[[Report], bool]:
        key = Key(raw_key(number)).id
        return lambda report: {sealed_by(jar, self.site.url("/")) for jar in report.jars} == {key}


@pytest.fixture
def stage(deployed: Deployment, oidc_provider: OidcProvider) -> Stage:
    return Stage(deployed, oidc_provider)


@pytest.mark.requirement("3c.3")
def test_two_rotations_under_load_log_nobody_out_and_a_retired_key_takes_only_its_own_along(
    stage: Stage, key_file: KeyFile
) -> None:
    busy = [Profile(stage.sign_in(login, "busy").jar, [stage.site.url("/")]) for login in PEOPLE]
    quiet = stage.sign_in("ann", "quiet")
    under_way = Browser()
    stage.begin(under_way, "quiet")

    with Load([busy[:2], busy[2:]], threads=10, pause=0.02) as load:
        load.go()
        for newest in (2, 3):
            key_file.hold(*range(newest, 0, -1))
            wait_until(lambda newest=newest: stage.all_sealed_by(newest)(load.report()))  # type: ignore[misc]  # bound now
        assert stage.users(quiet) == {"quiet-ann"}
        assert sealed_by(quiet.jar, stage.site.url("/")) == Key(raw_key(1)).id
        assert stage.finish(under_way, "bob") == "quiet-bob"

        key_file.hold(3, 2)
        wait_until(lambda: stage.users(quiet) == {None})
        report = load.stop()

    assert report.oddities == []
    answered = [dict(answers) for answers in report.of_profile]
    assert [list(answers) for answers in answered] == [[(200, f"busy-{login}")] for login in PEOPLE]
    assert stage.users(under_way) == {"quiet-bob"}
