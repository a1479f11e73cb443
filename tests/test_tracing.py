"""Spans of the calls to stores and providers, in memory as OpenTelemetry's own tests have them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from oauth2_mw.errors import ProviderUnavailableError
from oauth2_mw.telemetry import calling, enter
from oauth2_mw.tracing import http_attributes
from tests.support.hosts.guarded import guard, guarded
from tests.support.providers.standin import StandIn


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def test_a_sign_in_is_traced_without_a_secret(
    provider: StandIn, spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    with guarded(issuer=provider.issuer, directory=f"sqlite:///{tmp_path}/users.db") as site:
        assert site.browser().navigate(site.url + "/").status == 200
    found = {span.name: span for span in spans.get_finished_spans()}
    assert {"metadata default", "keys default", "token default", "write directory"} <= found.keys()
    token = found["token default"]
    assert token.kind is trace.SpanKind.CLIENT
    assert token.attributes is not None
    assert token.attributes["http.request.method"] == "POST"
    assert token.attributes["http.response.status_code"] == 200
    assert token.attributes["server.address"] == "127.0.0.1"
    assert (found["write directory"].attributes or {})["db.system.name"] == "sqlite"
    told = " ".join(span.to_json() for span in spans.get_finished_spans())
    for secret in ("code=", "client_secret", "state=", "?", "jane"):
        assert secret not in told


def test_a_call_without_an_answer_says_why(spans: InMemorySpanExporter) -> None:
    enter((guard()._observer, {}, ""))
    with pytest.raises(ProviderUnavailableError), calling("corp", "token", {}):
        raise ProviderUnavailableError("no answer from https://op.example")
    with calling("corp", "userinfo", {}) as call:
        call.status = 503
    lost, refused = spans.get_finished_spans()
    assert (lost.attributes or {})["error.type"] == "ProviderUnavailableError"
    assert (refused.attributes or {})["error.type"] == "503"
    assert not lost.events
    assert {lost.status.status_code, refused.status.status_code} == {trace.StatusCode.ERROR}


def test_nothing_is_traced_where_nobody_has_loaded_the_api(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    enter((guard()._observer, {}, ""))
    with calling("corp", "token", {}):
        pass
    assert spans.get_finished_spans() == ()


def test_an_address_has_no_query_and_no_credentials() -> None:
    attributes = http_attributes("GET", "https://user:secret@op.example/token?secret=x")
    assert attributes["url.full"] == "https://op.example/token"
    assert attributes["server.port"] == 443
