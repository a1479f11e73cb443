"""``python -m tests.soak --minutes 2 --seed 7 --store redis``: exit code 1 where something was wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from tests.soak.browsers import kept
from tests.soak.checker import Checker
from tests.soak.faults import Faults
from tests.soak.growth import Growth
from tests.soak.hosts import Hosts, hosts
from tests.soak.people import LIFE, PLAIN, PUBLIC, REFRESHING, Crowd
from tests.soak.promises import AFTERMATH, SYNC
from tests.soak.report import table
from tests.soak.schedule import STORES, Planned, StoreName, schedule
from tests.soak.stores import SoakStore, store
from tests.support.hosts.servers import Site
from tests.support.hosts.servers import site as reserve_site
from tests.support.providers.clients import Client
from tests.support.providers.oidc_provider import OidcProvider, oidc_provider

#: Seconds without any fault before the first one, and between two.
_WARM, _BETWEEN = 4.0, 1.0
#: Violations that are told in full.
_TOLD = 5


def main(words: Sequence[str] | None = None) -> int:
    """Run it for each store. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="for each store")
    parser.add_argument("--seed", type=int, default=1, help="decides which faults follow each other")
    parser.add_argument(
        "--store", choices=[*STORES, "all"], nargs="+", default=["all"], help="where sessions live"
    )
    options = parser.parse_args(words)
    stores = STORES if "all" in options.store else options.store
    with oidc_provider() as provider:
        violations = [
            soak(name, provider, seconds=options.minutes * 60, seed=options.seed) for name in stores
        ]
    return 1 if any(violations) else 0


def soak(name: StoreName, provider: OidcProvider, *, seconds: float, seed: int) -> int:
    """Run it for one store, and print what came of it. Return how much was wrong."""
    print(f"soak: {name}, {seconds / 60:g} minutes, seed {seed}", flush=True)
    checker, growth = Checker(name), Growth()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oauth2-mw-soak-")))
        site = stack.enter_context(reserve_site())
        clients = registered(name, site, provider)
        running_store = stack.enter_context(store(name, folder))
        running = stack.enter_context(
            hosts(site, folder / "hosts", settings(name, provider, clients, running_store))
        )
        stack.enter_context(_watched(running, growth))
        crowd = Crowd(running, provider, checker, seed=seed)
        with crowd:
            faults = Faults(running, running_store, crowd, checker, Random(f"{seed} workers"))
            _let_things_go_wrong(schedule(name, seed), faults, crowd, seconds=seconds)
            crowd.stop()
        _take_stock(running, crowd, checker)
        if lines := running.unforeseen():
            checker.note("a worker met what nobody foresaw", lines)
        refreshes = sum(len(provider.events(client, "refresh_granted")) for client in clients.values())
    for problem in growth.problems:
        checker.note(problem)
    if name != "cookies" and not refreshes:
        checker.note("no token was refreshed")
    requests = sum(row.requests for row in checker.rows.values())
    print(table(checker.rows))
    print(f"{requests} requests, {next(crowd.headers)} cookie headers, {refreshes} refreshes")
    print(growth.summary)
    found = checker.violations
    for violation in found[:_TOLD]:
        print(f"WRONG: {violation}")
    print(
        f"{name}, seed {seed}: {f'{len(found)} violations' if found else 'all as it should be'}", flush=True
    )
    return len(found)


def registered(name: StoreName, site: Site, provider: OidcProvider) -> dict[str, Client]:
    """Register two clients, by the NAMEs of the providers: access tokens of the first end all the time."""
    lives = {PLAIN: None, REFRESHING: None if name == "cookies" else LIFE}
    return {
        section: provider.register(
            [site.own_url(f"login/callback/{section}/")],
            post_logout_redirect_uris=[site.post_logout_redirect_uri],
            refresh_tokens=life is not None,
            access_token_lifetime=life,
        )
        for section, life in lives.items()
    }


def settings(
    name: StoreName, provider: OidcProvider, clients: Mapping[str, Client], running: SoakStore
) -> dict[str, Any]:
    """What the INI of all hosts says."""
    made: dict[str, Any] = {
        "revocation_sync": f"{SYNC:.0f}s",
        "session_idle": "8h",
        "public_paths": PUBLIC,
        # So that what a worker has in memory does not depend on when somebody signs in there.
        "preload": True,
        "keep_tokens": "id" if name == "cookies" else "id refresh access",
        **running.settings,
    }
    if name == "directory":
        made["signout_file"] = "sign-outs"
    for section, client in clients.items():
        keys = {"provider": section, "username_prefix": f"{section}-"}
        made[f"provider:{section}"] = {**provider.settings(client), **keys}
    made[f"provider:{REFRESHING}"]["same_users_as"] = PLAIN
    return made


def _let_things_go_wrong(planned: Iterable[Planned], faults: Faults, crowd: Crowd, *, seconds: float) -> None:
    # What the last fault may still do is over then, and nobody may be put off any more.
    quiet = AFTERMATH + 2
    until = time.monotonic() + seconds - quiet
    crowd.wait_until_settled()
    time.sleep(_WARM)
    for one in planned:
        began = time.monotonic()
        if began + one.seconds > until:
            break
        fault = faults.run(one)
        where = f" at {fault.host}" if fault.host else ""
        print(f"  {one.kind}{where}: {time.monotonic() - began:.1f} s", flush=True)
        time.sleep(_BETWEEN)
    time.sleep(quiet)


def _take_stock(running: Hosts, crowd: Crowd, checker: Checker) -> None:
    """Ask every host: who was not signed out is in, and whoever was is out. The checker judges it like all else."""
    for jar, session in crowd.steady.values():
        is_in = session in checker.alive
        for host in [*running.all] * 3:
            answer = crowd.read(crowd.browser(jar), session.owner, session, host)
            if is_in and answer.user != session.owner:
                checker.note(f"in the end {session.owner} is not in", [str(answer)])
    for jar, session in crowd.copies.all():
        for host in running.all:
            crowd.read(crowd.browser(kept(jar)), "thief", session, host)


@contextmanager
def _watched(running: Hosts, growth: Growth) -> Iterator[None]:
    """Look at every worker once a second, until the end of the ``with``."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(1.0):
            for host in running.all:
                growth.look(host.workers())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
