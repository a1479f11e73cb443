"""What the hosts of one application must have alike, what each writes down of it, and how two of them differ.

A host record names its host and its settings, and no secret: of a key its id, which every cookie bears in the clear.
Whoever can write to the store can write one, and achieves a warning that is not true; what does not have the form of a
host record is passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from oauth2_mw.encoding import MAX_NUMBER
from oauth2_mw.observe import has_hidden
from oauth2_mw.session.keyring import Keyring
from oauth2_mw.settings.model import Settings

#: Characters of a host record, and of each text in it.
MAX_RECORD = 16 * 1024
MAX_TEXT = 2000
#: Seconds between this host's clock and the store's from which they differ: half of what ``leeway`` forgives.
CLOCK_DIFFERENCE = 30
_FORM = 1
#: Hosts that are named in one text.
_NAMED = 5
_KEY_ID = re.compile(r"[0-9a-f]{16}")

#: What tells one application from another. Two that differ in more than one of these are two applications.
_NAMES = ("public_url", "prefix", "cookie_name")


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What one process has of the settings that all must have alike."""

    public_url: str
    prefix: str
    cookie_name: str
    #: in seconds
    revocation_sync: int
    #: the ids of the keys that open, in hexadecimal and in order
    keys: tuple[str, ...]
    #: the id of the key that seals
    sealing: str

    @classmethod
    def of(cls, settings: Settings, keyring: Keyring) -> HostSettings:
        """Return those of this process at this moment."""
        return cls(
            public_url=settings.public_url,
            prefix=settings.prefix,
            cookie_name=settings.cookie_name,
            revocation_sync=settings.revocation_sync,
            keys=tuple(sorted(key.id.hex() for key in tuple(keyring.keys()))),
            sealing=keyring.sealing_key().id.hex(),
        )


@dataclass(frozen=True, slots=True)
class HostRecord:
    """What the workers of a host with the same settings keep in the store, as long as one of them runs."""

    host: str
    #: the process that wrote it last
    process: int
    #: when the first of them wrote it, in seconds since the epoch, like all times here by the clock of the store
    began: int
    #: how many seconds this host's clock is ahead of the store's; ``None`` if the store does not tell the time
    ahead: int | None
    settings: HostSettings
    #: when it was written last
    seen: int = 0

    def text(self) -> str:
        """Return its form in the store."""
        fields = asdict(self)
        del fields["seen"]
        return json.dumps({"form": _FORM, **fields}, separators=(",", ":"))

    def __str__(self) -> str:
        return f"{self.host} (process {self.process})"


def read_record(text: str, *, seen: int) -> HostRecord | None:
    """Return the host record that *text* is, or ``None`` for what this release has not written."""
    if len(text) > MAX_RECORD:
        return None
    try:
        fields = json.loads(text)
        if fields.pop("form") != _FORM:
            return None
        settings = fields.pop("settings")
        settings["keys"] = tuple(settings["keys"])
        record = HostRecord(**fields, seen=seen, settings=HostSettings(**settings))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return record if _is_valid(record) else None


def _is_valid(record: HostRecord) -> bool:
    found = record.settings
    texts: list[Any] = [record.host, *(getattr(found, name) for name in _NAMES)]
    numbers: list[Any] = [record.process, record.began, found.revocation_sync]
    ahead: Any = record.ahead
    return (
        all(type(text) is str and len(text) <= MAX_TEXT and not has_hidden(text) for text in texts)
        and all(type(number) is int and 0 <= number <= MAX_NUMBER for number in numbers)
        and (ahead is None or (type(ahead) is int and abs(ahead) <= MAX_NUMBER))
        and all(type(each) is str and _KEY_ID.fullmatch(each) for each in [*found.keys, found.sealing])
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that two hosts of one application do not have alike."""

    key: str
    here: str
    there: str
    cure: str


def differences(here: HostSettings, there: HostSettings) -> Iterator[Difference]:
    """Yield what must be alike and is not. Two applications in one store have nothing to agree on."""
    apart = [name for name in _NAMES if getattr(here, name) != getattr(there, name)]
    if len(apart) == 1 and not {*here.keys}.isdisjoint(there.keys):
        (name,) = apart
        yield Difference(
            name,
            getattr(here, name),
            getattr(there, name),
            f"write the same {name} on all hosts of an application; another application has secret_keys of its own",
        )
    if apart:
        return
    if here.sealing not in there.keys or there.sealing not in here.keys:
        yield Difference(
            "secret_keys",
            f"key {here.sealing} seals",
            f"key {there.sealing} seals",
            "copy the key file to all hosts, so that each has both keys and opens what the others seal",
        )
    if here.revocation_sync != there.revocation_sync:
        yield Difference(
            "revocation_sync",
            f"{here.revocation_sync}s",
            f"{there.revocation_sync}s",
            "write the same revocation_sync on all hosts: the longest of them says when a sign-out counts everywhere",
        )


def differing(
    here: HostSettings, others: Iterable[HostRecord]
) -> Mapping[str, Mapping[Difference, list[HostRecord]]]:
    """Return the differences by their key, and the hosts that have each."""
    found: dict[str, dict[Difference, list[HostRecord]]] = {}
    for other in others:
        for difference in differences(here, other.settings):
            found.setdefault(difference.key, {}).setdefault(difference, []).append(other)
    return found


def values_there(found: Mapping[Difference, list[HostRecord]]) -> str:
    """Return what other hosts have for one key as a text, of many hosts the first."""
    return ", ".join(f"{difference.there} on {names(hosts)}" for difference, hosts in found.items())


def names(hosts: Iterable[HostRecord]) -> str:
    """Return hosts by name as a text, of many the first."""
    found = sorted({str(each) for each in hosts})
    more = len(found) - _NAMED
    return ", ".join(found[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def clock_text(ahead: int) -> str:
    """Return how a host's clock stands to the store's as a text.

    :param ahead: in seconds.
    """
    return f"{abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} the store's"
