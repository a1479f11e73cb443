"""Who may enter at all: the setting ``allow``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from oauth2_mw.access.terms import Person, holds
from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.settings.allow_list import AllowList


def check_allowed(
    allow: AllowList | None,
    *,
    provider: str,
    username: str,
    email: str | None,
    email_counts: bool,
    groups: Collection[str],
    organizations: Collection[str],
    claims: Mapping[str, Any],
    origin: str = "",
    message: str | None = None,
) -> None:
    """Refuse a person to whom no alternative of ``allow`` applies; one that does is enough.

    :param allow: ``None`` lets in everybody whom a provider vouches for; an empty tuple nobody.
    :param email_counts: whether the address may be taken for the person's own.
    :param provider: its NAME.
    :param claims: those of the latest sign-in.
    :param origin: what the provider said and where, for the operator.
    :param message: what the person is told, where that is more than usual.
    :raises AccessDeniedError: ``not_allowed``.
    """
    if allow is None:
        return
    person = Person(provider, username, email if email_counts else None, groups, organizations, claims)
    if holds(allow.alternatives(), person):
        return
    terms = str(allow) or "it has no terms"
    hint = "" if email_counts else "; the e-mail address is not verified and does not count"
    raise AccessDeniedError(
        f"{username!a} may not enter: no term of allow applies ({terms}){hint}{origin}",
        code="not_allowed",
        message=message,
    )
