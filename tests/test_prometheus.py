"""``metrics = prometheus``: what is counted, who reads it, and what a request cannot put into it."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from oauth2_mw import prometheus
from oauth2_mw.audit import audit
from oauth2_mw.credentials import strangers
from oauth2_mw.errors import ProviderUnavailableError
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.metrics_folder import FOLDER
from oauth2_mw.telemetry import calling, count, enter
from tests.support.hosts.guarded import JANE, guard, guarded, sign_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import oidc, only_problem, service

METRICS = "/auth/oauth2/metrics"
PEER = "192.0.2.7"
JANES = "203.0.113.9"


@pytest.fixture(autouse=True)
def new_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setattr(prometheus, "series", cache(prometheus.Series))


def measured(**keys: Any) -> OAuth2Middleware:
    return guard(metrics="prometheus", metrics_peers=PEER, **keys)


def ask(middleware: OAuth2Middleware, path: str = METRICS, **keys: Any) -> WsgiResponse:
    return call(middleware, environ_for(path, **{"REMOTE_ADDR": PEER, **keys}))


def samples(text: str) -> dict[str, float]:
    """``name{label=value}`` -> its value, as Prometheus reads it."""
    return {
        f"{each.name}{sorted(each.labels.items())}".replace("'", ""): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def counted(middleware: OAuth2Middleware, name: str) -> dict[str, float]:
    """What is counted under one name: its labels, and how often."""
    found = samples(ask(middleware).text).items()
    return {key.removeprefix(name): value for key, value in found if key.startswith(f"{name}[") and value}


# Who reads


@pytest.mark.requirement("R-metrics")
def test_metrics_are_read_by_metrics_peers_and_by_nobody_else() -> None:
    middleware = measured(trusted_peers="10.0.0.1")
    answer = ask(middleware)
    assert answer.status == 200
    assert (answer.header("Content-Type") or "").startswith("text/plain; version=")
    assert answer.header("Cache-Control") == "no-store"
    assert ask(middleware, REQUEST_METHOD="HEAD").status == 200
    assert ask(middleware, REQUEST_METHOD="POST").status == 405
    missing = ask(middleware, "/auth/oauth2/nothing", REMOTE_ADDR=JANES)
    for keys in (
        {"REMOTE_ADDR": JANES},
        {"REMOTE_ADDR": JANES, "REQUEST_METHOD": "POST"},
        {"REMOTE_ADDR": JANES, "HTTP_X_FORWARDED_FOR": PEER},
        {"REMOTE_ADDR": "10.0.0.1"},
        {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": JANES},
        {"HTTP_X_FORWARDED_FOR": JANES},
        {"HTTP_COOKIE": sign_in(middleware), "REMOTE_ADDR": JANES},
    ):
        refused = ask(middleware, **keys)
        assert (refused.status, refused.text) == (404, missing.text)
    assert ask(middleware, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=PEER).status == 200


def test_there_is_no_such_url_unless_metrics_are_asked_for() -> None:
    assert ask(guard(metrics_peers=PEER)).status == 404


@pytest.mark.requirement("R-metrics")
def test_metrics_for_nobody_do_not_start() -> None:
    assert "metrics_peers" in only_problem(service(**oidc(metrics="prometheus")))


# What is counted


@pytest.mark.requirement("R-prometheus")
def test_there_are_counters_and_histograms_and_gauges_of_the_living_alone() -> None:
    middleware = measured()
    call(middleware, environ_for("/", HTTP_COOKIE=sign_in(middleware)))
    enter((middleware._observer, {}, ""))
    with calling("default", "token", {}):
        pass
    families = list(text_string_to_metric_families(ask(middleware).text))
    assert {family.name: family.type for family in families} == {
        "oauth2_mw_sign_ins": "counter",
        "oauth2_mw_sessions_opened": "counter",
        "oauth2_mw_challenges": "counter",
        "oauth2_mw_refreshes": "counter",
        "oauth2_mw_logouts": "counter",
        "oauth2_mw_opened_cache": "counter",
        "oauth2_mw_call_seconds": "histogram",
        "oauth2_mw_live_unavailable": "gauge",
    }
    assert prometheus.series().unavailable._multiprocess_mode == "livesum"


def test_challenges_are_counted_by_kind() -> None:
    middleware = measured()
    call(middleware, environ_for("/", HTTP_ACCEPT="text/html", HTTP_SEC_FETCH_MODE="navigate"))
    call(middleware, environ_for("/api"))
    assert counted(middleware, "oauth2_mw_challenges_total") == {
        "[(kind, page)]": 1,
        "[(kind, unauthorized)]": 1,
    }


def test_a_cookie_that_is_remembered_is_a_hit() -> None:
    middleware = measured()
    cookie = sign_in(middleware)
    for _ in range(3):
        call(middleware, environ_for("/", HTTP_COOKIE=cookie))
    call(middleware, environ_for("/", HTTP_COOKIE="of=the application"))
    assert counted(middleware, "oauth2_mw_opened_cache_total") == {
        "[(result, hit)]": 2,
        "[(result, miss)]": 1,
    }


@pytest.mark.parametrize(
    ("event", "fields", "counter"),
    [
        ("logout", {}, "logouts_total[(kind, person)]"),
        ("logout", {"how": "application"}, "logouts_total[(kind, application)]"),
        ("logout_by_provider", {"how": "sid"}, "logouts_total[(kind, back-channel)]"),
        ("logout_by_provider", {"how": "frame"}, "logouts_total[(kind, front-channel)]"),
        ("signed_out_elsewhere", {}, "logouts_total[(kind, elsewhere)]"),
        ("refresh_refused", {}, "refreshes_total[(outcome, refused), (provider, default)]"),
        ("refresh_postponed", {}, "refreshes_total[(outcome, postponed), (provider, default)]"),
        ("access_withdrawn", {}, "refreshes_total[(outcome, withdrawn), (provider, default)]"),
        (
            "login_failed",
            {"code": "token_nonce"},
            "sign_ins_total[(outcome, token_nonce), (provider, default)]",
        ),
    ],
)
def test_what_the_audit_log_says_is_counted_even_where_nobody_logs(
    event: str, fields: dict[str, Any], counter: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "oauth2_mw.audit")
    middleware = measured()
    enter((middleware._observer, {}, ""))
    audit(event, identity=JANE, **fields)
    audit("destination_lost")
    assert samples(ask(middleware).text)[f"oauth2_mw_{counter}"] == 1


def test_calls_are_timed_and_what_does_not_answer_shows() -> None:
    middleware = measured()
    enter((middleware._observer, {}, ""))
    with calling("store", "read", {}):
        pass
    with pytest.raises(ProviderUnavailableError), calling("default", "token", {}):
        raise ProviderUnavailableError("away")
    found = samples(ask(middleware).text)
    assert found["oauth2_mw_call_seconds_count[(operation, read), (peer, store)]"] == 1
    assert found["oauth2_mw_call_seconds_count[(operation, token), (peer, default)]"] == 1
    assert counted(middleware, "oauth2_mw_live_unavailable") == {"[(peer, default)]": 1}
    enter((middleware._observer, {}, ""))
    with calling("default", "token", {}) as answered:
        answered.status = 400
    assert counted(middleware, "oauth2_mw_live_unavailable") == {}


def test_a_sign_in_is_counted_and_its_calls_are_timed(provider: StandIn) -> None:
    keys = {"metrics": "prometheus", "metrics_peers": "127.0.0.1", "issuer": provider.issuer}
    with guarded(**keys) as site:
        browser = site.browser()
        assert browser.navigate(site.url + "/").status == 200
        found = samples(browser.navigate(f"{site.url}{METRICS}").text)
    assert found["oauth2_mw_sign_ins_total[(outcome, success), (provider, default)]"] == 1
    assert found["oauth2_mw_sessions_opened_total[(provider, default)]"] == 1
    for operation in ("metadata", "keys", "token"):
        assert found[f"oauth2_mw_call_seconds_count[(operation, {operation}), (peer, default)]"] >= 1


def test_what_is_refused_again_and_again_is_counted_and_not_logged(
    provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "MAX_OF_ALL", 0)
    keys = {"metrics": "prometheus", "metrics_peers": "127.0.0.1", "issuer": provider.issuer}
    with guarded(**keys) as site:
        for _ in range(3):
            assert site.browser().navigate(site.url + "/").status == 429
        found = samples(site.browser().navigate(f"{site.url}{METRICS}").text)
        assert len(site.audit) == 1
    assert found["oauth2_mw_sign_ins_total[(outcome, login_tries), (provider, default)]"] == 3


def test_two_applications_of_one_process_count_in_the_same_series() -> None:
    for middleware in (first := measured(), second := measured()):
        enter((middleware._observer, {}, ""))
        count("challenges", "page")
    assert counted(first, "oauth2_mw_challenges_total") == {"[(kind, page)]": 2}
    assert counted(second, "oauth2_mw_challenges_total") == {"[(kind, page)]": 2}


# What goes wrong


def test_a_full_disk_costs_no_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    middleware = measured()

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prometheus, "series", full)
    assert call(middleware, environ_for("/", HTTP_COOKIE=sign_in(middleware))).status == 200
    enter((middleware._observer, {}, ""))
    with calling("store", "read", {}):
        pass
    assert "metrics cannot be written: No space left on device" in caplog.text


def test_a_folder_that_is_not_there_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "none"))
    with pytest.raises(Exception, match="does not exist: make it, empty"):
        measured()


def test_without_the_package_the_setting_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oauth2_mw.construction.find_spec", lambda _name: None)
    with pytest.raises(Exception, match=r"pip install 'oauth2-mw\[prometheus\]'"):
        measured()


def test_the_package_is_loaded_where_it_is_asked_for_alone() -> None:
    code = "import sys, oauth2_mw.middleware; from oauth2_mw.web import site; print('prometheus_client' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_the_documentation_has_every_metric_with_its_labels() -> None:
    page = (Path(__file__).parents[1] / "docs" / "observing.rst").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^``(oauth2_mw_\w+)`` ([a-z, ]+?)  +\S.*$", page, re.MULTILINE))
    made = prometheus.Series()
    labels = {f"oauth2_mw_{name}_total": counter._labelnames for name, counter in made.counters.items()}
    labels |= {each._name: each._labelnames for each in (made.call_seconds, made.unavailable)}
    assert rows == {name: ", ".join(each) for name, each in labels.items()}
    for _, meaning in prometheus.COUNTERS.values():
        assert meaning in page
