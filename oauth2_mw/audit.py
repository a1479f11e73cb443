"""The audit log: every event that operators read, declared once, and lines that nobody can forge."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from logging import INFO, WARNING
from types import MappingProxyType
from typing import Protocol

from oauth2_mw.observe import has_hidden
from oauth2_mw.telemetry import current_request, reference

_log = logging.getLogger("oauth2_mw.audit")

#: Characters of one value in a line, escapes included.
MAX_VALUE = 500
_CUT = "..."
_PLAIN = re.compile(r"[^\s\"'=\\]+")


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event. What it means, like the meaning of a field, is reStructuredText for the documentation."""

    name: str
    #: routine at ``INFO``; what asks for an operator's eye at ``WARNING``, which Python prints even without logging
    level: int
    #: those of :data:`FIELDS` that it may have
    fields: tuple[str, ...]
    meaning: str
    #: whether it is about a request, whose client and reference it then has, and not about this host
    is_of_request: bool = True


def _info(name: str, fields: str, meaning: str, *, is_of_request: bool = True) -> Event:
    return _event(name, INFO, fields, meaning, is_of_request=is_of_request)


def _warning(name: str, fields: str, meaning: str, *, is_of_request: bool = True) -> Event:
    return _event(name, WARNING, fields, meaning, is_of_request=is_of_request)


def _event(name: str, level: int, fields: str, meaning: str, *, is_of_request: bool) -> Event:
    all_fields = {*fields.split(), *(OF_REQUESTS if is_of_request else ())}
    return Event(name, level, tuple(sorted(all_fields, key=list(FIELDS).index)), meaning, is_of_request)


#: The fields that every event about a request has.
OF_REQUESTS = ("ref", "address")


#: field -> its meaning, in the order of a line
FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "ref": "The reference of the request, on all its lines and on the page that the person saw, if there was one.",
        "code": "What failed; see the tables below.",
        "provider": "The NAME of the provider.",
        "user": "The id of the user, or the ids of several.",
        "username": "The user's name, or the names of several.",
        "token": "The personal token, by its id; never the token itself.",
        "address": "The client's address, as far as it is known (``trusted_peers``).",
        "session": "The session, by its key in the store.",
        "count": "How many sessions ended.",
        "how": (
            "Whose sessions ended: those of the claim ``sid`` or ``sub`` of a logout token, or of a ``frame`` for the "
            "front channel; ``repeated`` for a logout token that had come before; ``application`` for the "
            "application's own logout."
        ),
        "wanted": "The username that the provider has.",
        "dropped": "What was left out of the session.",
        "revocation": "The revocation, by its name or the id of its row in the store.",
        "detail": "What happened, and often what to do.",
    }
)

#: name -> event, in the order of the documentation
EVENTS: Mapping[str, Event] = MappingProxyType(
    {
        event.name: event
        for event in (
            _info("login", "provider user username address", "Somebody signed in."),
            _info(
                "logout",
                "provider user username how detail",
                "Somebody signed out here. With a ``detail``: other workers are told later, and when at the latest.",
            ),
            _info(
                "login_restarted",
                "provider detail",
                "The sign-in began once more by itself. An answer of the provider fits no live attempt (a restored "
                "tab, the back button, a cookie that was gone; if there are many, look at clocks and cookies), or the "
                "provider asks for it (its login page was open for too long; it needs the person in spite of "
                "``prompt = none``).",
            ),
            _warning(
                "login_failed",
                "ref code provider address detail",
                "A sign-in that this browser had begun did not lead to a session. See ``code``.",
            ),
            _warning(
                "destination_lost",
                "provider detail",
                "What a person asked for cannot be kept while they sign in, or no longer: it is too long for a cookie, "
                "or a browser would ask for something else if it were sent back there. The page says so, and leads to "
                "the start page.",
            ),
            _info(
                "form_kept",
                "provider user username detail",
                "A form met a session that had run out, and is kept (``keep_forms``). The ``detail`` is its path.",
            ),
            _info(
                "form_sent",
                "provider user username detail",
                "Somebody sent a form that had been kept. The application's log says what became of it.",
            ),
            _warning(
                "form_dropped",
                "provider user username detail",
                "A form was not kept although ``keep_forms`` names its path, or was not sent. The ``detail`` says why: "
                "it is too long, too many wait, the store is away, it was somebody else's, or its page was too old.",
            ),
            _warning(
                "refused",
                "ref code provider address detail",
                "Another request was answered with an error page. See ``code``.",
            ),
            _warning(
                "logout_not_confirmed",
                "provider user username detail",
                "A sign-out form, or one of the pages ``sessions/`` and ``tokens/``, came without a token of this "
                "session: an old page, or another site's attempt. The person was asked again.",
            ),
            _info(
                "logout_by_provider",
                "provider user username count how",
                "The provider told us of a logout. A ``count`` of 0 means that nobody was signed in any more. If it is "
                "always 0, the provider leaves ``sid`` out of ID tokens.",
            ),
            _warning(
                "logout_ignored",
                "provider detail",
                "A frame asked for a logout with another issuer's ``iss``, or with one of ``iss`` and ``sid`` alone: "
                "nobody was signed out. Or so many frames came that those who were signing in at that moment stay "
                "signed in; the detail says which.",
            ),
            _info(
                "signed_out_elsewhere",
                "provider user username count",
                "Somebody ended other sessions of theirs on the page ``sessions/``.",
            ),
            _warning(
                "sessions_revoked",
                "user username count",
                "An operator ended sessions of a user: ``oauth2-mw sessions revoke``, or ``users disable``. The line "
                "is on that command's stderr.",
                is_of_request=False,
            ),
            _warning(
                "sessions_cut_off",
                "provider detail",
                "An operator ended all sessions at once, or all of a provider (``oauth2-mw sessions revoke --all``, "
                "``--provider``). The ``detail`` says up to when they began.",
            ),
            _info(
                "token_created",
                "provider user username token detail",
                "A personal token was made: on the page ``tokens/``, or with ``oauth2-mw tokens create``.",
            ),
            _info(
                "token_revoked",
                "provider user username token detail",
                "A personal token was revoked: on the page ``tokens/``, or with ``oauth2-mw tokens revoke``.",
            ),
            _info(
                "token_used_first",
                "provider user username token",
                "A personal token was used for the first time.",
            ),
            _warning(
                "token_refused",
                "ref code provider user username token address detail",
                "A personal token does not serve for a request. A wrong one is in the log once a minute, without the "
                "token. See ``code``.",
            ),
            _warning(
                "token_asleep",
                "ref code provider user username token address detail",
                "A personal token was refused because its owner has not signed in for ``personal_token_owner_seen``. "
                "It serves again when they have.",
            ),
            _warning(
                "token_sleeps_soon",
                "provider user username token",
                "A personal token is in use whose owner has not signed in for long: in 14 days or less it falls "
                "asleep. Said once a day by each process.",
            ),
            _info(
                "bearer_accepted",
                "provider user username address detail",
                "A process has taken an access token of a provider that it did not know (``bearer_paths``). The detail "
                "names the client to which the provider gave it.",
            ),
            _warning(
                "bearer_refused",
                "ref code provider user username address detail",
                "An access token of a provider does not serve for a request. The same one is in the log once in five "
                "seconds, without the token. See ``code``.",
            ),
            _info(
                "user_linked",
                "provider user username detail",
                "A person's first sign-in at a provider was linked to a user of another, because both have verified "
                "the same address (``link_by = verified_email``). ``oauth2-mw users unlink`` undoes it.",
            ),
            _warning(
                "user_added",
                "provider user username detail",
                "An operator added a user: a program, or somebody who is waited for, by a subject or an address "
                "(``oauth2-mw users add``). The line is on that command's stderr, like those of the next five.",
            ),
            _warning(
                "user_disabled",
                "user username",
                "An operator keeps a user out (``oauth2-mw users disable``).",
            ),
            _warning(
                "user_enabled",
                "user username",
                "An operator lets a user in again (``oauth2-mw users enable``).",
            ),
            _warning(
                "user_changed",
                "user username detail",
                "An operator changed a user's name, groups or organizations, or linked or unlinked a sign-in. The "
                "``detail`` says what they are now.",
            ),
            _warning(
                "user_deleted",
                "user",
                "An operator deleted a user and all that was kept of them, but for a keyed hash of the name. Neither "
                "is the name in this line.",
            ),
            _warning(
                "user_exported",
                "user username",
                "An operator read all that is kept of a user (``oauth2-mw users export``).",
            ),
            _info(
                "user_enrolled",
                "provider user username detail",
                "A user whom an operator had added signed in for the first time, and has a name now.",
            ),
            _warning(
                "rename_refused",
                "provider user username wanted detail",
                "The provider has a new username for a user, but it belongs to somebody else or cannot be used. The "
                "old one stays.",
            ),
            _warning(
                "attribute_unusable",
                "provider detail",
                "At a sign-in a field of ``attribute_map`` was there and could not be used, or not whole: an object "
                "where a text belongs, or more groups than are kept. The sign-in goes on without it.",
            ),
            _warning(
                "name_not_ascii",
                "provider user username detail",
                "The first sign-in of this process whose name is not ASCII. ``REMOTE_USER`` holds its octets in UTF-8, "
                "as PEP 3333 has it, and most applications store them as if each were a letter: zoé as zoÃ©. Look at "
                "what yours does; ``username_transform`` is a cure, and so is a line in the application (see there, "
                "names outside ASCII).",
            ),
            _warning(
                "userinfo_unusable",
                "code provider detail",
                "Userinfo refused, did not answer in time, or cannot be read. Nothing that the sign-in needs was "
                "missing, so it went on without; ``userinfo = never`` asks no more. See ``code``.",
            ),
            _warning(
                "claims_kept",
                "provider detail",
                "A refresh brought no ID token, and ``allow`` decides by claims that an ID token gave: they stay what "
                "they were, at most for ``session_lifetime``. Said once by each process.",
            ),
            _warning(
                "session_reduced",
                "provider user username dropped",
                "A session exceeded ``session_max_bytes``, and something was left out of it.",
            ),
            _warning(
                "session_large",
                "provider user username detail",
                "A session in cookies comes near the length of headers that servers take by default, which the page on "
                "deployment lists. Said once by each process.",
            ),
            _warning(
                "refresh_failed",
                "ref code provider user username detail",
                "A fault of ours while tokens were refreshed; the log has its traceback under the same reference. The "
                "request went on with the old tokens. Please report it.",
            ),
            _warning(
                "refresh_postponed",
                "code provider user username detail",
                "The provider could not be reached to refresh a session's tokens: nothing was sent, and the next try "
                "is half a minute later. ``refresh_unanswered``: the refresh token may have left, and no answer came "
                "that can be used; the next try is ten seconds later, within the time for which some providers take "
                "it once more. The session goes on meanwhile.",
            ),
            _warning(
                "refresh_refused",
                "code provider user username detail",
                "The provider does not accept a session's refresh token (``invalid_grant``), or answered with tokens "
                "that do not belong to the session. The setting ``refresh_failure`` decides what happens to the "
                "session; if the answer was about somebody else, it ends in any case. ``refresh_lost``: with sessions "
                "in cookies, the token was used and the response with the new one never arrived.",
            ),
            _warning(
                "refresh_without_directory",
                "provider user username detail",
                "Tokens were refreshed, but the directory could not be reached: names and groups stay as they were.",
            ),
            _warning(
                "access_withdrawn",
                "code provider user username detail",
                "After what the provider or the directory says of a person at a refresh, they may no longer enter. The "
                "session ended.",
            ),
            _warning(
                "session_ended",
                "provider user username",
                "A session ended because it could not be refreshed; another line says why.",
            ),
            _warning(
                "hook_failed",
                "provider user username detail",
                "What ``on_user_created`` or ``on_logout`` names has raised an error; the log has its traceback. The "
                "sign-in or sign-out went on.",
            ),
            _warning(
                "revocation_failed",
                "code provider user username detail",
                "The provider did not revoke a token at a sign-out. The person is signed out here all the same.",
            ),
            _warning(
                "store_value_unusable",
                "session revocation detail",
                "The session store holds a value that oauth2_mw did not write. A session counts as ended. Who "
                "else can write into the store?",
            ),
            _info(
                "sign_outs_told",
                "count",
                "The directory took sign-outs that it had not taken before: they count at all workers now.",
                is_of_request=False,
            ),
            _warning(
                "signout_file_unusable",
                "detail",
                "``signout_file`` cannot be used. Sign-outs that the directory does not take are kept in memory alone.",
                is_of_request=False,
            ),
            _warning(
                "hosts_differ",
                "detail",
                "Hosts of one application that share a store or a directory have differed in ``secret_keys``, "
                "``public_url``, ``prefix``, ``cookie_name`` or ``revocation_sync`` for a minute; or this host's clock "
                "differs from the store's. The ``detail`` says how; once an hour at most from each host.",
                is_of_request=False,
            ),
            _warning(
                "key_file_unusable",
                "detail",
                "The key file holds a line that is not a key. The keys read before stay in force. Repair the file "
                "before a worker restarts.",
                is_of_request=False,
            ),
        )
    }
)
_UNDECLARED = Event("", WARNING, (), "")


class Subject(Protocol):
    """What an identity says of a person to the audit log."""

    @property
    def id(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def username(self) -> str: ...


def audit(event: str, *, identity: Subject | None = None, **fields: object) -> None:
    """Write one event as one line on the logger ``oauth2_mw.audit``.

    The line is ``event=login_failed ref=1a2b3c4d detail="..."``, with the fields in the order of :data:`FIELDS`.
    Fields that are ``None`` are left out, lists are joined by commas. What could start a new line or hide is escaped
    as in Python (``\\n``, ``\\u202e``). A value that is empty or contains a blank, a quote, ``=`` or a backslash is
    quoted; one of more than 500 characters is cut. With ``audit_format = json`` it is one JSON object, in ASCII, with
    time and level before the same fields.

    While a request is worked for, the line has its reference and the address of its client.

    :param event: one of :data:`EVENTS`.
    :param identity: whom the event is about: the fields ``provider``, ``user`` and ``username``.
    :param fields: others that the event declares; never a secret.

    An event or a field that is not declared is a mistake, but it is logged all the same: no request fails for it.
    """
    declared, current = EVENTS.get(event, _UNDECLARED), current_request()
    if identity is not None:
        fields |= {"provider": identity.provider, "user": identity.id, "username": identity.username}
    if current is not None and current[0].metrics is not None:
        current[0].metrics.event(event, fields)
    if not _log.isEnabledFor(declared.level):
        return
    if current is not None and declared.is_of_request:
        fields = {"ref": reference(), "address": current[0].client(current[1]), **fields}
    ordered = {name: fields[name] for name in FIELDS if name in fields} | fields
    present = {"event": event, **{name: value for name, value in ordered.items() if value is not None}}
    if current is not None and current[0].audit_format == "json":
        line = _as_json(declared.level, present)
    else:
        line = " ".join(f"{name}={_shown(value)}" for name, value in present.items())
    _log.log(declared.level, "%s", line)


def _as_json(level: int, fields: Mapping[str, object]) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    plain = {name: _plain(value) for name, value in fields.items()}
    return json.dumps({"time": now, "level": logging.getLevelName(level), **plain})


def _plain(value: object) -> object:
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, (frozenset, set)):
        value = sorted(map(str, value))
    if isinstance(value, (list, tuple)):
        return [_cut(str(each)) for each in value]
    return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - len(_CUT)] + _CUT


def _shown(value: object) -> str:
    if isinstance(value, (frozenset, set)):
        value = sorted(map(str, value))
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    if len(text) <= MAX_VALUE and _PLAIN.fullmatch(text) and not has_hidden(text):
        return text
    # Cut between escapes, never inside one.
    pieces = [_escaped(char) for char in text[:MAX_VALUE]]
    length = sum(map(len, pieces))
    if length > MAX_VALUE or len(text) > MAX_VALUE:
        while length > MAX_VALUE - len(_CUT):
            length -= len(pieces.pop())
        pieces.append(_CUT)
    return f'"{"".join(pieces)}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if has_hidden(char):
        return char.encode("unicode_escape").decode("ascii")
    return char
