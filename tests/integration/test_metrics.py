"""Two workers of a real server, whose metrics add up by prometheus_client's own way of several processes."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from tests.support.browser.jar import Browser
from tests.support.hosts.deployment import children_of
from tests.support.hosts.servers import MakeSite, Serve
from tests.support.hosts.stage import wait_until
from tests.support.providers.oidc_provider import OidcProvider

SAMPLE = Path(__file__).parents[2] / "samples" / "monitoring" / "gunicorn.conf.py"


def samples(url: str) -> dict[tuple[str, str], float]:
    """(name, labels) -> value, on a connection of its own, as Prometheus reads it."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", parts.path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    return {
        (each.name, " ".join(f"{name}={value}" for name, value in sorted(each.labels.items()))): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def challenges(found: Mapping[tuple[str, str], float]) -> float:
    return sum(value for (name, _), value in found.items() if name == "oauth2_mw_challenges_total")


def test_two_workers_count_together_and_a_dead_one_is_no_gauge(
    tmp_path: Path, oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve
) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    # Of another run, and nothing that could be read.
    (folder / "counter_1.db").write_bytes(b"junk")
    site = make_site()
    client = oidc_provider.register([site.redirect_uri])
    settings = {
        **oidc_provider.settings(client),
        "directory": f"sqlite:///{tmp_path}/users.db",
        "metrics": "prometheus",
        "metrics_peers": "127.0.0.1",
        "ready_needs": "directory",
    }
    environment = {"GUNICORN_CMD_ARGS": f"-c {SAMPLE}", "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    app = serve(site, settings, env=environment)
    browser = Browser()
    browser.navigate(app.url("/"))
    assert oidc_provider.sign_in(browser, "jane").json()["user"] == "jane"
    metrics = app.own_url("metrics")
    before, asked = challenges(samples(metrics)), 0

    def both_have_counted() -> bool:
        nonlocal asked
        Browser().fetch(app.url("/"))
        asked += 1
        return len(list(folder.glob("counter_*.db"))) == 2

    wait_until(both_have_counted)
    found = samples(metrics)
    assert found["oauth2_mw_sign_ins_total", "outcome=success provider=default"] == 1
    assert challenges(found) == before + asked
    assert found["oauth2_mw_call_seconds_count", "operation=token peer=default"] == 1
    assert found["oauth2_mw_call_seconds_count", "operation=write peer=directory"] > 0
    assert found["oauth2_mw_live_unavailable", "peer=default"] == 0
    assert not any("pid" in labels for _, labels in found)
    live = set(folder.glob("gauge_live*.db"))
    assert live
    for worker in children_of(app.process.pid):
        os.kill(worker, signal.SIGTERM)
    app.process.wait_until(lambda: not live & set(folder.glob("gauge_live*.db")))
    # What they have counted stays.
    again = samples(metrics)
    assert again["oauth2_mw_sign_ins_total", "outcome=success provider=default"] == 1
    assert challenges(again) == challenges(found)
