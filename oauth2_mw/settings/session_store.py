"""The setting ``session``: where sessions are kept when not in cookies."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from oauth2_mw.settings import database, redis_address
from oauth2_mw.settings.grammar import Secret


def resolve(url: Secret, base: Path) -> Secret:
    """The URL as it can be used from any folder: a relative SQLite path is looked up from *base*.

    :raises ValueError: when it cannot be read, or names no store that can be used. The URL is not repeated, since a
        password may stand in it.
    """
    try:
        text = url.value()
    except OSError as error:
        raise ValueError(f"it cannot be read: {error}") from None
    if not text.startswith(("redis", "valkey")):
        return database.resolve(url, base)
    try:
        redis_address.parse(text)
    except ValueError as error:
        raise ValueError(f"the URL {error}") from None
    if find_spec("redis") is None:
        raise ValueError("sessions in Redis need redis-py: pip install 'oauth2-mw[redis]'")
    return url
