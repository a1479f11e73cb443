"""The opened request at several sizes of what an installation grows by: rules, providers, sessions, users."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from benchmarks.hot_requests import SETTINGS, environ_of, null_app, rules
from benchmarks.limits import COOKIE
from benchmarks.variants import JANE, Variant, guard, sign_in
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.model import Settings

#: what grows -> its sizes, a decade apart
SIZES = {
    "rules": (10, 100, 1000),
    "providers": (1, 10, 100),
    "revoked": (100, 1000, 10_000),
    #: those that one process remembers
    "sessions": (20, 200, 2000),
    #: those in the directory
    "users": (10_000, 100_000, 1_000_000),
}
_ADD_USERS = """
INSERT INTO oauth2_mw_users (id, user_key, issuer, subject, username, created_at, updated_at, last_sign_in)
WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < ?)
SELECT 'user' || i, 'key' || i, 'https://id.example', i, 'user' || i, 1, 1, 1 FROM number
"""


def growth_variants(folder: str) -> dict[str, Variant]:
    """Return the opened request at each of the sizes.

    :param folder: for the databases; it must stay for as long as requests come.
    """
    makers: dict[str, Callable[[int], Variant]] = {
        "rules": _ruled,
        "providers": _with_providers,
        "revoked": _with_revoked,
        "sessions": _with_sessions,
        "users": lambda size: _with_users(size, Path(folder, f"{size}.db")),
    }
    return {f"{size} {kind}": makers[kind](size) for kind, sizes in SIZES.items() for size in sizes}


def _ruled(size: int) -> Variant:
    ruled = guard(access={"rules": rules(size)})
    return Variant(ruled, environ_of(sign_in(ruled._sessions)).copy)


def _with_providers(size: int) -> Variant:
    client = {"client_id": "bench", "client_secret": "bench"}
    named = {
        f"provider:p{number}": {
            **client,
            "issuer": f"https://id{number}.example" if number else JANE.issuer,
            "username_prefix": f"p{number}:",
        }
        for number in range(size)
    }
    common = {key: value for key, value in SETTINGS.items() if key not in (*client, "issuer")}
    several = OAuth2Middleware(null_app, Settings.from_mapping({**common, **named}))
    return Variant(several, environ_of(sign_in(several._sessions, "p0")).copy)


def _with_revoked(size: int) -> Variant:
    listed = guard()
    expires = int(listed._sessions.now()) + 3600
    listed._sessions.revocations._revoked.update({f"session{number}": expires for number in range(size)})
    return Variant(listed, environ_of(sign_in(listed._sessions)).copy)


def _with_sessions(size: int) -> Variant:
    busy = guard()
    cookies = [sign_in(busy._sessions) for _ in range(size)]
    for cookie in cookies:
        busy._sessions.resolve(f"{COOKIE}={cookie}")
    return Variant(busy, environ_of(cookies[-1]).copy)


def _with_users(size: int, path: Path) -> Variant:
    listed = guard(directory=f"sqlite:///{path}")
    cookie = sign_in(listed._sessions)
    with sqlite3.connect(path) as database:
        database.execute(_ADD_USERS, (size,))
    return Variant(listed, environ_of(cookie).copy)
