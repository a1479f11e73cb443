"""The command ``oauth2-mw check``: check an INI file as a server does at its start, without contacting anything.

It also prints the URLs to register at the providers.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from oauth2_mw.cli.terminal import format_duration, printable
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.provider.jose.client_certificate import certificate_warnings
from oauth2_mw.settings import redis_address
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.warnings import warnings
from oauth2_mw.web.http.urls import Urls


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw check``."""
    parser.add_argument("ini", type=Path, metavar="INI", help="the file with the section [oauth2_mw]")


def run(options: argparse.Namespace) -> int:
    """Load the file, build the middleware from it and print what an operator should know.

    :raises ConfigError: with every problem found.
    """
    settings = Settings.from_ini(options.ini)
    OAuth2Middleware(lambda _environ, _start_response: [], settings)
    urls = Urls(settings)
    print(f"{options.ini}: no problem found.")
    expired = certificate_warnings(settings.providers.values(), now=datetime.now(UTC))
    for line in (*warnings(settings), *expired):
        print(f"  warning: {line}")
    print(f"  {_session_place(settings)}")
    if not settings.providers:
        print("  No provider is enabled: protected paths answer 503.")
    # Without a database or store that all workers share, a logout request would reach one of them alone.
    shared = settings.directory is not None or settings.session is not None
    for name, provider in settings.providers.items():
        print(f"Provider {name} ({provider.label}); register there:")
        print(f"  redirect URI              {urls.callback(name)}")
        if (provider.is_oidc or provider.logout_request == "oidc") and provider.sync_logout:
            print(f"  post-logout redirect URI  {urls.logout_done}")
        if provider.is_oidc and shared:
            print(f"  back-channel logout URI   {urls.backchannel_logout(name)}")
            print(f"  front-channel logout URI  {urls.frontchannel_logout(name)}")
    return 0


def _session_place(settings: Settings) -> str:
    """Return where sessions are kept, and who can end them."""
    notices = f"every worker notices within {format_duration(settings.revocation_sync)} when one ends"
    if settings.session is not None:
        return f"Sessions are kept in {printable(_without_credentials(settings.session.value()))}: {notices}."
    if settings.directory is not None:
        return f"Sessions are kept in cookies, and listed in the directory's database: {notices}."
    return (
        "Sessions are kept in cookies alone: signing out takes the cookie from that browser, and a copy of it ends in "
        "the worker that handled it alone. Nobody else can end a session before its time."
    )


def _without_credentials(url: str) -> str:
    """Return the URL of a session store without user and password."""
    if url.startswith("redis"):
        return str(redis_address.parse(url))
    from oauth2_mw.sql import address

    return address.name(address.parse(url))
