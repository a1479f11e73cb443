"""The command ``oauth2-mw check``: check an INI file as a server does at its start, without contacting a provider.

It also prints the URLs to register at the providers, and counts the personal tokens that sleep.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from oauth2_mw.cli.directory import NoDatabaseError, open_directory
from oauth2_mw.cli.terminal import INI_HELP, format_duration, printable
from oauth2_mw.credentials.personal_tokens import PersonalTokens
from oauth2_mw.credentials.token_sleep import SLEEPS_SOON, sleep_state
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.provider.jose.client_certificate import certificate_warnings
from oauth2_mw.settings import redis_address
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.warnings import warnings
from oauth2_mw.web.http.urls import Urls


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw check``."""
    parser.add_argument("ini", type=Path, metavar="INI", help=INI_HELP)


def run(options: argparse.Namespace) -> int:
    """Load the file, build the middleware from it and print what an operator should know.

    :raises ConfigError: with every problem found.
    """
    settings = Settings.from_ini(options.ini)
    OAuth2Middleware(lambda _environ, _start_response: [], settings)
    urls = Urls(settings)
    print(f"{options.ini}: no problem found.")
    expired = certificate_warnings(settings.providers.values(), now=datetime.now(UTC))
    for line in (*warnings(settings), *expired, *_sleeping(options.ini, settings)):
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


def _sleeping(ini: Path, settings: Settings) -> Iterator[str]:
    """Yield how many personal tokens sleep, and how many will soon."""
    if not settings.personal_tokens:
        return
    try:
        directory = open_directory(ini, settings)
        # A running worker of the release before could not use the schema of this one.
        if not directory.database.has_newest_schema():
            yield "personal tokens that sleep are counted once this release has served a request"
            return
        tokens = PersonalTokens(directory, app=settings.public_url)
        now = time.time()
        states = Counter(sleep_state(settings, owned, now=now) for owned in tokens.all())
    except NoDatabaseError:
        return
    except StoreUnavailableError as error:
        yield f"personal tokens that sleep cannot be counted: {error.detail}"
        return
    seen = format_duration(settings.personal_token_owner_seen)
    advice = "their owners sign in in a browser to keep them awake (oauth2-mw tokens list)"
    if states["asleep"]:
        yield f"personal tokens that sleep, because their owners were not seen for {seen}: {states['asleep']}; {advice}"
    if states["soon"]:
        yield f"personal tokens that will sleep within {format_duration(SLEEPS_SOON)}: {states['soon']}; {advice}"


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
