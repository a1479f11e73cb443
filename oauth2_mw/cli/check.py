"""Check an INI file as the start of a server would, and say what to register at the providers.

Nothing is contacted: what is told is what the file says.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from oauth2_mw.cli.terminal import plain, span
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings import redis_address
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.warnings import warnings
from oauth2_mw.sql import address
from oauth2_mw.web.http.urls import Urls


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``oauth2-mw check`` takes."""
    parser.add_argument("ini", type=Path, metavar="INI", help="the file with the section [oauth2_mw]")


def run(options: argparse.Namespace) -> int:
    """Load the file and build the middleware from it; every problem is told at once.

    :raises ConfigError: with those problems.
    """
    settings = Settings.from_ini(options.ini)
    OAuth2Middleware(lambda _environ, _start_response: [], settings)
    urls = Urls(settings)
    print(f"{options.ini}: no problem found.")
    for line in warnings(settings):
        print(f"  warning: {line}")
    print(f"  {_kept(settings)}")
    if not settings.providers:
        print("  No provider is enabled: protected paths answer 503.")
    # Without a place that all workers share, what a provider says would reach one of them.
    shared = settings.directory is not None or settings.session is not None
    for name, provider in settings.providers.items():
        print(f"Provider {name} ({provider.label}); register there:")
        print(f"  redirect URI              {urls.callback(name)}")
        if provider.is_oidc and provider.sync_logout:
            print(f"  post-logout redirect URI  {urls.logout_done}")
        if provider.is_oidc and shared:
            print(f"  back-channel logout URI   {urls.backchannel_logout(name)}")
            print(f"  front-channel logout URI  {urls.frontchannel_logout(name)}")
    return 0


def _kept(settings: Settings) -> str:
    """Where sessions are kept, and what that means for their end."""
    notices = f"every worker notices within {span(settings.revocation_sync)} when one ends"
    if settings.session is not None:
        return f"Sessions are kept in {plain(_name(settings.session.value()))}: {notices}."
    if settings.directory is not None:
        return f"Sessions are kept in cookies, and listed in the directory's database: {notices}."
    return (
        "Sessions are kept in cookies alone: signing out takes the cookie from that browser, and a copy of it ends "
        "in the worker that handled it alone. Nobody else can end a session before its time."
    )


def _name(url: str) -> str:
    """A session store, without user and password."""
    if url.startswith("redis"):
        return str(redis_address.parse(url))
    return address.name(address.parse(url))
