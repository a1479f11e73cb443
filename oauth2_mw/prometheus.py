"""``metrics = prometheus``: what is counted and timed, in the words of prometheus_client.

Of several processes each writes files into ``PROMETHEUS_MULTIPROC_DIR``, and the one that is asked adds them up. So
there are counters and histograms, and the only gauge is one of live processes. No label comes from a request: they are
NAMEs of providers, codes of this package and words that stand here.

Imported only where the setting asks for it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from oauth2_mw.settings.metrics_folder import FOLDER

_PREFIX = "oauth2_mw_"
#: Seconds. Few, because each is a series for each operation of each peer.
_BUCKETS = (0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0)
#: What the audit event of a refresh means for the session.
_REFRESHES = {
    "refresh_postponed": "postponed",
    "refresh_refused": "refused",
    "access_withdrawn": "withdrawn",
    "refresh_failed": "failed",
}

log: logging.Logger = logging.getLogger(__name__)


#: counter -> its labels, and what it counts
COUNTERS: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "sign_ins": (("provider", "outcome"), "Sign-ins by what they came to: success, or a code."),
        "sessions_opened": (("provider",), "Sessions that began with a sign-in."),
        "challenges": (("kind",), "Requests that need a sign-in, by how they were answered."),
        "refreshes": (("provider", "outcome"), "Refreshes of tokens by what they came to."),
        "logouts": (("kind",), "Logouts by who began them."),
        "opened_cache": (("result",), "Session cookies that were remembered, and that were not."),
    }
)
_CALL_SECONDS = f"{_PREFIX}call_seconds"
_UNAVAILABLE = f"{_PREFIX}live_unavailable"
#: every metric
NAMES = (*(_PREFIX + name for name in COUNTERS), _CALL_SECONDS, _UNAVAILABLE)


class Series:
    """The series of one process, whichever of its applications count in them."""

    def __init__(self) -> None:
        self.registry: CollectorRegistry = CollectorRegistry()
        self.counters: dict[str, Counter] = {
            name: Counter(_PREFIX + name, meaning, labels, registry=self.registry)
            for name, (labels, meaning) in COUNTERS.items()
        }
        self.call_seconds: Histogram = Histogram(
            _CALL_SECONDS,
            "How long a store or a provider took.",
            ("peer", "operation"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.unavailable: Gauge = Gauge(
            _UNAVAILABLE,
            "Processes whose latest call to a store or a provider had no answer.",
            ("peer",),
            multiprocess_mode="livesum",
            registry=self.registry,
        )


@cache
def series() -> Series:
    """Return the series of this process: two of one name would write over each other's files."""
    return Series()


class PrometheusMetrics:
    """What one application counts. Nothing is made, and no file opened, before the first request."""

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """Count an audit event, if it is one that is counted."""
        provider = str(fields.get("provider"))
        match name:
            case "login":
                self.count("sign_ins", provider, "success")
                self.count("sessions_opened", provider)
            case "login_failed":
                self.count("sign_ins", provider, str(fields.get("code")))
            case "logout":
                self.count("logouts", str(fields.get("how") or "person"))
            case "logout_by_provider":
                self.count("logouts", "front-channel" if fields.get("how") == "frame" else "back-channel")
            case "signed_out_elsewhere":
                self.count("logouts", "elsewhere")
            case _ if name in _REFRESHES:
                self.count("refreshes", provider, _REFRESHES[name])

    def count(self, metric: str, *labels: str) -> None:
        """Add one to a counter of :class:`Series`."""
        try:
            series().counters[metric].labels(*labels).inc()
        except OSError as error:
            _tell(error)

    def called(self, peer: str, operation: str, *, seconds: float, answered: bool) -> None:
        """Note what a call to a store or a provider came to."""
        try:
            series().call_seconds.labels(peer, operation).observe(seconds)
            series().unavailable.labels(peer).set(0 if answered else 1)
        except OSError as error:
            _tell(error)

    def exposition(self) -> tuple[bytes, str]:
        """Return the series of all processes as text, and its content type."""
        registry = series().registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # theirs has no types
        return generate_latest(_Ours(registry)), CONTENT_TYPE_LATEST


class _Ours(CollectorRegistry):
    """What is ours of a registry: the application may write into the same folder. And no gauge for each birth."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._all = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._all.collect():
            if metric.name.startswith(_PREFIX):
                metric.samples = [each for each in metric.samples if not each.name.endswith("_created")]
                yield metric


def _tell(error: OSError) -> None:
    # A full disk must not cost a request.
    log.warning("metrics cannot be written: %s", error.strerror or error)
