"""List, rotate and retire the keys of a key file, without signing anybody out; and revoke one that leaked."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oauth2_mw.cli import key_file
from oauth2_mw.cli.directory import NoDatabaseError, refuse_while_compatible
from oauth2_mw.cli.registry import audited, format_count, open_registry
from oauth2_mw.cli.terminal import (
    INI_HELP,
    CommandError,
    format_duration,
    format_time,
    print_table,
    read_duration,
    shell_word,
)
from oauth2_mw.errors import ConfigError, StoreUnavailableError
from oauth2_mw.session.keyring import SEAL_DELAY, Key, latest_first, sealing
from oauth2_mw.session.opening import open_directory
from oauth2_mw.settings.deployment import split_name
from oauth2_mw.settings.grammar import KeyEntry
from oauth2_mw.settings.model import Settings
from oauth2_mw.web.signin.attempt import KEPT_FOR


@dataclass(frozen=True, slots=True)
class _Source:
    """The key file that a command line names."""

    path: Path
    #: ``None`` if the key file itself was named, so that nobody knows how long sessions live
    settings: Settings | None

    @property
    def delay(self) -> str:
        """Within what time running workers read a change."""
        return (
            f"within {format_duration(self.settings.revocation_sync)}"
            if self.settings
            else "within revocation_sync"
        )

    @property
    def longest_lifetime(self) -> int | None:
        """Seconds after which everything that a key sealed has expired, or ``None`` if that is not known."""
        if self.settings is None:
            return None
        lifetimes = (provider.session_lifetime for provider in self.settings.providers.values())
        return max(KEPT_FOR, *lifetimes)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``oauth2-mw keys`` takes."""
    actions = parser.add_subparsers(metavar="ACTION")
    for name, action, summary in (
        ("list", _list, "the keys of the file, and what each of them does now; never the keys themselves"),
        ("rotate", _rotate, "add a new key, which takes over in a minute"),
        ("retire", _retire, "remove a key that has been replaced"),
        (
            "revoke",
            _revoke,
            "remove a key that others may know, and end every session that it may have sealed",
        ),
    ):
        command = actions.add_parser(name, help=summary, description=summary)
        command.add_argument(
            "path",
            type=Path,
            metavar="INI",
            help=f"{INI_HELP}, which says secret_keys = file:PATH; or that key file itself",
        )
        command.set_defaults(action=action)
        if name == "rotate":
            command.add_argument(
                "--after",
                type=read_duration,
                default=0,
                metavar="DURATION",
                help="have it take over that much later (like 2h): time to copy the file to other hosts",
            )
        if name in ("retire", "revoke"):
            command.add_argument("kid", metavar="KID", help="the key's name, the first word of its line")
        if name == "retire":
            command.add_argument(
                "--now",
                action="store_true",
                help="also when that signs people out who are still signed in, wherever their sessions are",
            )


def run(options: argparse.Namespace) -> int:
    """Carry out the ACTION.

    :raises CommandError: if it would do harm, or is not possible; nothing is changed then.
    :raises ConfigError: if the INI file cannot be used.
    """
    source = _source(options.path)
    code: int | None = options.action(options, source)
    return code or 0


def _source(path: Path) -> _Source:
    """Return the key file that *path* is, or that the INI file there names."""
    if split_name(path) is None:
        lines = (line.strip() for line in key_file.read(path).splitlines())
        first = next((line for line in lines if line and not line.startswith(("#", ";"))), "")
        if not first.startswith("["):
            return _Source(path, None)
    settings = Settings.from_ini(path)
    if settings.secret_keys.path is None:
        raise CommandError(
            f"{path}: secret_keys holds the keys themselves, and only a key file can be changed while workers run. "
            "Write the keys into a file, a line each (kid not-before key, the newest with the latest not-before), "
            "say secret_keys = file:PATH, and restart the workers once: nobody is signed out by that. To go on "
            "without one, put a key of oauth2-mw keygen behind the present one and restart all workers, then in front "
            "and restart them again"
        )
    return _Source(settings.secret_keys.path, settings)


def _with_seal_times(entries: Sequence[KeyEntry]) -> list[tuple[int, KeyEntry]]:
    return latest_first((entry.not_before + SEAL_DELAY, entry) for entry in entries)


def _list(_options: argparse.Namespace, source: _Source) -> None:
    now = int(time.time())
    entries = key_file.parse(source.path, key_file.read(source.path))
    seals = sealing(_with_seal_times(entries), now)

    def cells(entry: KeyEntry) -> tuple[str, ...]:
        since = entry.not_before + SEAL_DELAY
        state = (
            "seals now" if entry is seals else f"seals from {format_time(since)}" if since > now else "opens"
        )
        return entry.kid, Key(entry.key).id.hex(), format_time(entry.not_before), state

    print_table(("kid", "id", "not before", "state"), map(cells, entries))


def _rotate(options: argparse.Namespace, source: _Source) -> None:
    now = int(time.time())
    with key_file.edit(source.path) as file:
        taken = {entry.not_before for entry in file.entries}
        not_before = now + options.after
        # Of two keys with the same not-before, the first in the file would go on sealing.
        while not_before in taken:
            not_before += 1
        entry = KeyEntry(_free_kid(file.entries, not_before), not_before, secrets.token_bytes(32))
        file.append(entry)
    since = not_before + SEAL_DELAY
    print(f"added {entry.kid} to {source.path}")
    print(f"It opens at once and seals from {format_time(since)}. Running workers read it {source.delay}.")
    print("If there are other hosts, they need the file before that moment: copy it there now.")
    for other in file.entries:
        if other.not_before > not_before:
            print(
                f"From {format_time(other.not_before + SEAL_DELAY)} on {other.kid} seals, which was there before."
            )
    replaced = sealing(_with_seal_times(file.entries), since)
    if source.longest_lifetime is not None and replaced.not_before < not_before:
        print(
            f"When nothing lives that {replaced.kid} sealed, from {format_time(since + source.longest_lifetime)} on:"
        )
        print(f"  oauth2-mw keys retire {shell_word(options.path)} {replaced.kid}")


def _free_kid(entries: Sequence[KeyEntry], not_before: int) -> str:
    taken = {entry.kid for entry in entries}
    day = time.strftime("k%Y%m%d", time.gmtime(not_before))
    kid, number = day, 1
    while kid in taken:
        number += 1
        kid = f"{day}-{number}"
    return kid


def _require(kid: str, file: key_file.KeyFile, source: _Source) -> None:
    if not any(entry.kid == kid for entry in file.entries):
        kids = ", ".join(entry.kid for entry in file.entries)
        raise CommandError(f"{source.path}: there is no key {kid!r}; there are {kids}")


def _retire(options: argparse.Namespace, source: _Source) -> int:
    now, kid = int(time.time()), options.kid
    is_listed = True
    with key_file.edit(source.path) as file:
        timeline = _with_seal_times(file.entries)
        _require(kid, file, source)
        if len(file.entries) == 1:
            raise CommandError(
                f"{kid} is the only key: without one nobody could sign in. First: oauth2-mw keys rotate "
                f"{shell_word(options.path)}"
            )
        if sealing(timeline, now).kid == kid:
            raise CommandError(
                f"{kid} seals now: whoever signs in would be signed out. Let another take over first (oauth2-mw keys "
                f"rotate {shell_word(options.path)}, and {SEAL_DELAY} seconds; oauth2-mw keys list shows when)"
            )
        until = _sealed_until(timeline, kid, now)
        if until is not None and not options.now:
            _refuse_early(kid, until, now, source)
        if until is not None and (source.longest_lifetime is None or now < until + source.longest_lifetime):
            is_listed = _end_sessions(until, file, options.path, source)
        file.remove(kid)
    print(f"removed {kid} from {source.path}")
    print(
        f"Running workers forget it {source.delay}; what it sealed opens no more. Other hosts need the file too."
    )
    return 0 if is_listed else 1


def _revoke(options: argparse.Namespace, source: _Source) -> int:
    now, kid = int(time.time()), options.kid
    successor: KeyEntry | None = None
    with key_file.edit(source.path) as file:
        timeline = _with_seal_times(file.entries)
        _require(kid, file, source)
        if sealing(timeline, now).kid == kid:
            # It seals at once: a worker that does not have it yet reads the file when it meets it.
            successor = KeyEntry(_free_kid(file.entries, now), now - SEAL_DELAY, secrets.token_bytes(32))
            file.append(successor)
        # One that has not sealed yet opens all the same: whoever knows it may have made a cookie up to this moment.
        until = _sealed_until(timeline, kid, now)
        is_listed = _end_sessions(now if until is None else until, file, options.path, source)
        file.remove(kid)
    print(f"removed {kid} from {source.path}")
    if successor is not None:
        print(f"added {successor.kid}, which seals at once")
    print(f"Running workers notice {source.delay}. Other hosts need the file too: copy it there now.")
    return 0 if is_listed else 1


def _end_sessions(moment: int, file: key_file.KeyFile, path: Path, source: _Source) -> bool:
    """End the sessions that began up to *moment*. Return ``False`` if the list could not be cleared of them.

    The file says it to the workers, wherever the sessions are. Their records go before the key that they are read with.
    """
    if source.settings is not None:
        refuse_while_compatible(
            source.settings, "do not read a key file that ends sessions, and would go on with the key"
        )
    file.end_sessions(moment)
    print(f"Sessions that began up to {format_time(moment)} end.")
    if source.settings is None or (source.settings.session is None and source.settings.directory is None):
        return True
    try:
        registry = open_registry(path, source.settings, open_directory(source.settings))
        with audited() as ended:
            for session in registry.all():
                if session.created_at <= moment and registry.end(session.id, expires=session.expires_at):
                    ended.append(session)
    except NoDatabaseError:
        return True
    except (StoreUnavailableError, ConfigError) as error:
        print(
            f"{error}\nThe workers end them all the same; sessions list may show some until they would have expired.",
            file=sys.stderr,
        )
        return False
    print(f"ended {format_count(len(ended))} in the list")
    return True


def _sealed_until(timeline: list[tuple[int, KeyEntry]], kid: str, now: int) -> int | None:
    """Return when a key that does not seal now stopped sealing, or ``None`` if it never began."""
    until = None
    for since, entry in timeline:
        if entry.kid == kid:
            return until if since <= now else None
        until = since
    return None


def _refuse_early(kid: str, until: int, now: int, source: _Source) -> None:
    """Refuse to retire a key while sessions may live that it sealed."""
    lifetime = source.longest_lifetime
    reason = (
        f"{kid} sealed cookies until {format_time(until)}. Whoever signed in before then, and whose cookie has not "
        "been renewed by use since, would have to sign in again"
    )
    if lifetime is None:
        raise CommandError(
            f"{reason}, unless the session is over anyway: how long sessions live stands in the INI file. Name that "
            "in place of the key file, or add --now"
        )
    if now < until + lifetime:
        raise CommandError(
            f"{reason}: sessions live up to {format_duration(lifetime)}. Wait until "
            f"{format_time(until + lifetime)}, or add --now to sign these people out"
        )
