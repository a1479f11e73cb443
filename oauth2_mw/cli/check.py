"""Check an INI file as a server does at its start, with --online what it names.

It also prints the URLs to register at the providers, and counts the personal tokens that sleep.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from oauth2_mw.cli.directory import NoDatabaseError, open_directory
from oauth2_mw.cli.online import Finding, check_online
from oauth2_mw.cli.terminal import INI_HELP, CommandError, format_duration, printable
from oauth2_mw.credentials.personal_tokens import PersonalTokens
from oauth2_mw.credentials.strangers import MAX_OF_ALL, MAX_OF_ONE
from oauth2_mw.credentials.token_sleep import SLEEPS_SOON, sleep_state
from oauth2_mw.errors import ConfigError, Problem, StoreUnavailableError
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.observe import has_hidden
from oauth2_mw.provider.jose.client_certificate import certificate_warnings
from oauth2_mw.settings import redis_address
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.warnings import warnings
from oauth2_mw.web.http.urls import Urls

_DEFAULT = Path("oauth2.ini")
#: what is registered at a provider -> how the report calls it
_LABELS = {
    "redirect_uri": "redirect URI",
    "post_logout_redirect_uri": "post-logout redirect URI",
    "backchannel_logout_uri": "back-channel logout URI",
    "frontchannel_logout_uri": "front-channel logout URI",
}


@dataclass(frozen=True, slots=True)
class Registration:
    """What is registered at one provider; what is not used is ``None``."""

    name: str
    label: str
    redirect_uri: str
    post_logout_redirect_uri: str | None
    backchannel_logout_uri: str | None
    frontchannel_logout_uri: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw check``."""
    help_text = f"{INI_HELP}; without it, {_DEFAULT} in the current folder"
    parser.add_argument("ini", type=Path, metavar="INI", nargs="?", help=help_text)
    parser.add_argument(
        "--online", action="store_true", help="ask the providers, the stores and this service itself, too"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=10,
        metavar="SECONDS",
        help="how long each request of --online may take (default: 10)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    parser.add_argument("--strict", action="store_true", help="end with 1 where there are warnings, too")


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 120:
        raise argparse.ArgumentTypeError("write whole seconds from 1 to 120")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Load the file, build the middleware from it and print what an operator should know.

    :returns: 0, or 1 if there is a problem; with ``--strict`` a warning is one.
    :raises CommandError: if no file is named, and there is none of the usual name; with ``--json`` that is a problem
        in the report.
    """
    ini: Path = options.ini or _DEFAULT
    if options.ini is None and not ini.exists():
        text = f"there is no {ini} in this folder: name the file, like oauth2-mw check PATH/{ini}"
        if not options.json:
            raise CommandError(text)
        _refuse(ini, (Problem("oauth2_mw", "", text),), as_json=True)
        return 1
    try:
        settings = Settings.from_ini(ini)
        OAuth2Middleware(lambda _environ, _start_response: [], settings)
    except ConfigError as error:
        _refuse(ini, error.problems, as_json=options.json)
        if options.online and not options.json:
            print("Nobody was asked: mend this first.", file=sys.stderr)
        return 1
    expired = certificate_warnings(settings.providers.values(), now=datetime.now(UTC))
    doubts = [*warnings(settings), *expired, *_sleeping(ini, settings)]
    registrations = [*_registrations(settings)]
    online = check_online(settings, ini, seconds=options.timeout) if options.online else iter(())
    if options.json:
        findings = [*online]
        report = {
            "file": str(ini),
            "problems": [],
            "warnings": doubts,
            "sessions": _session_place(settings),
            "failed_sign_ins": _who_is_bounded(settings),
            "providers": [asdict(each) for each in registrations],
            **({"online": [asdict(each) for each in findings]} if options.online else {}),
        }
        print(json.dumps(report, indent=2))
    else:
        _print_report(ini, settings, doubts, registrations)
        findings = [*_print_findings(online)]
    results = {finding.result for finding in findings}
    fails = "problem" in results or (options.strict and (doubts or "warning" in results))
    return 1 if fails else 0


def _print_findings(online: Iterator[Finding]) -> Iterator[Finding]:
    """Print each finding as it comes, a line each: what, the result, and what to do."""
    for number, finding in enumerate(online):
        if number == 0:
            print("Online, as far as it shows without signing anybody in:")
        cure = f"; what to do: {finding.cure}" if finding.cure else ""
        line = f"{finding.what}: {finding.says}{cure}"
        print(f"  {finding.result:<8} {printable(line) if has_hidden(line) else line}", flush=True)
        yield finding


def _refuse(ini: Path, problems: tuple[Problem, ...], *, as_json: bool) -> None:
    """Print the problems, a line each: the first line is one already."""
    if as_json:
        print(json.dumps({"file": str(ini), "problems": [asdict(each) for each in problems]}, indent=2))
        return
    for problem in problems:
        print(f"{ini}: {problem}", file=sys.stderr)
    print(f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in {ini}", file=sys.stderr)


def _print_report(
    ini: Path, settings: Settings, doubts: list[str], registrations: list[Registration]
) -> None:
    print(f"{ini}: no problem found.")
    for line in doubts:
        print(f"  warning: {line}")
    print(f"  {_session_place(settings)}")
    print(f"  {_who_is_bounded(settings)}")
    if not registrations:
        print("  No provider is enabled: protected paths answer 503.")
    for each in registrations:
        print(f"Provider {each.name} ({each.label}); register there:")
        for key, label in _LABELS.items():
            if (uri := getattr(each, key)) is not None:
                print(f"  {label:<25} {uri}")


def _registrations(settings: Settings) -> Iterator[Registration]:
    urls = Urls(settings)
    # Without a database or store that all workers share, a logout request would reach one of them alone.
    shared = settings.directory is not None or settings.session is not None
    for name, provider in settings.providers.items():
        comes_back = (provider.is_oidc or provider.logout_request == "oidc") and provider.sync_logout
        hears = provider.is_oidc and shared
        yield Registration(
            name,
            provider.label,
            redirect_uri=urls.callback(name),
            post_logout_redirect_uri=urls.logout_done if comes_back else None,
            backchannel_logout_uri=urls.backchannel_logout(name) if hears else None,
            frontchannel_logout_uri=urls.frontchannel_logout(name) if hears else None,
        )


def _sleeping(ini: Path, settings: Settings) -> Iterator[str]:
    """Yield how many personal tokens sleep, and how many will soon."""
    if not settings.personal_tokens:
        return
    try:
        directory = open_directory(ini, settings)
        # Without a directory SQLAlchemy need not be there.
        from oauth2_mw.sql import DatabaseAdministration

        # What looks must not migrate.
        if not DatabaseAdministration(directory.database).schema_state().is_newest:
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


def _who_is_bounded(settings: Settings) -> str:
    """Return whose failed sign-ins are bounded, each client's or all together."""
    bound = f"Failed sign-ins are bounded: {MAX_OF_ONE} a minute of one address, {MAX_OF_ALL} of all."
    if settings.trusted_peers:
        return f"{bound} The addresses of trusted_peers are the proxies', and count among all alone."
    return (
        f"{bound} While trusted_peers is not written, private addresses count among all alone: behind a proxy one "
        "client can keep all others waiting; write the proxy's address there."
    )


def _without_credentials(url: str) -> str:
    """Return the URL of a session store without user and password."""
    if url.partition("://")[0] in redis_address.SCHEMES:
        return str(redis_address.parse(url))
    from oauth2_mw.sql import address

    return address.name(address.parse(url))
