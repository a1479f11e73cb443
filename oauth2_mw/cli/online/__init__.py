"""``oauth2-mw check --online``: what only shows when the provider, the stores and this service itself are asked.

Nobody is signed in for it, and nothing is left behind but one name in a Redis store, for an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oauth2_mw.cli.online.files import check_files
from oauth2_mw.cli.online.finding import Finding
from oauth2_mw.cli.online.hosts import check_hosts
from oauth2_mw.cli.online.provider import check_provider
from oauth2_mw.cli.online.service import check_service
from oauth2_mw.cli.online.stores import check_stores
from oauth2_mw.provider.http.messages import Timeouts
from oauth2_mw.settings.model import Settings
from oauth2_mw.web.http.urls import Urls

__all__ = ["Finding", "check_online"]


def check_online(settings: Settings, ini: Path, *, seconds: float = 10.0) -> Iterator[Finding]:
    """Yield the findings as they come. Nothing is raised for what cannot be reached: that is a finding.

    :param ini: the file of the settings.
    :param seconds: how long each request may take.
    """
    timeouts = Timeouts(connect=min(5.0, seconds), read=seconds, total=seconds)
    yield from check_files(settings, ini)
    yield from check_stores(settings)
    yield from check_hosts(settings)
    urls = Urls(settings)
    known = []
    for name, provider in settings.providers.items():
        found = yield from check_provider(
            settings, provider, redirect_uri=urls.callback(name), timeouts=timeouts
        )
        if found is not None:
            known.append(name)
    yield from check_service(settings, known, timeouts=timeouts)
