"""What a sign-in writes into the directory: a new user, or what has changed about a known one, or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from oauth2_mw.errors import AccessDeniedError, ProviderError
from oauth2_mw.identity.model import user_key
from oauth2_mw.identity.usernames import fault
from oauth2_mw.identity.users import UserTable
from oauth2_mw.observe import new_id

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from oauth2_mw.identity.mapping import Attributes
    from oauth2_mw.settings.model import ProviderSettings

#: Characters of an issuer, of a subject (OpenID Connect Core, section 2) and of a group's name.
MAX_ISSUER = 2048
MAX_SUBJECT = 255
MAX_GROUP = 255

_UNSTORABLE = "holds a NUL or a lone surrogate"


def check_pair(issuer: str, subject: str) -> None:
    """Whether (issuer, subject) can be a user.

    :raises ProviderError: ``bad_subject``.
    """
    for what, value, most in (("issuer", issuer, MAX_ISSUER), ("subject", subject, MAX_SUBJECT)):
        if not 0 < len(value) <= most or not _storable(value):
            reason = f"the {what} is empty, longer than {most} characters, or {_UNSTORABLE}"
            raise ProviderError(reason, code="bad_subject")


def create(
    users: UserTable,
    connection: Connection,
    provider: ProviderSettings,
    issuer: str,
    subject: str,
    attributes: Attributes,
    now: int,
) -> bool:
    """Add a user; ``False``: another sign-in of the same person was faster, and nothing was written.

    :raises AccessDenied: ``bad_username`` or ``username_taken``; the transaction must not be kept then.
    :raises ProviderError: ``bad_attribute``, likewise.
    """
    reason = fault(attributes.username)
    if reason is not None:
        raise AccessDeniedError(
            f"provider {provider.name}: the username cannot be used: {reason}; correct it at the provider, or "
            "map another claim to username in attribute_map",
            code="bad_username",
            message="Your username cannot be used here. Please ask an administrator for help.",
        )
    user_id = new_id()
    values: dict[str, object] = {
        "id": user_id,
        "user_key": user_key(issuer, subject),
        "issuer": issuer,
        "subject": subject,
        "username": attributes.username,
        "created_at": now,
        "updated_at": now,
        "last_sign_in": now,
    }
    if not users.add(connection, values | _present(provider, attributes)):
        return False
    owner = users.claim_name(connection, user_id, attributes.username)
    if owner != user_id:
        raise AccessDeniedError(
            f"provider {provider.name}: the username {attributes.username!r} belongs, or once belonged, to user "
            f"{owner}; give one of them another name at the provider, or set a username_prefix; when both are one "
            "person: oauth2-mw users link",
            code="username_taken",
            message="Your username already belongs to somebody else here. Please ask an administrator for help.",
        )
    users.add_memberships(connection, user_id, provider.organization)
    if provider.group_sync != "never":
        users.set_groups(connection, user_id, _checked_groups(provider, attributes.groups))
    return True


def refresh(
    users: UserTable,
    connection: Connection,
    provider: ProviderSettings,
    row: Any,
    attributes: Attributes,
    now: int,
) -> str | None:
    """Write what a later sign-in changes about the user of *row*, which is locked.

    :returns: why a new username was refused; ``None``: there was none, or it was taken over.
    :raises ProviderError: ``bad_attribute``; the transaction must not be kept then.
    """
    # A clock that was put back does not undo what is written down.
    values: dict[str, object] = {"last_sign_in": max(now, row.last_sign_in)}
    refused = None
    if provider.always_update:
        present = _present(provider, attributes).items()
        changed = {field: value for field, value in present if value != getattr(row, field)}
        wanted = attributes.username
        if wanted and wanted != row.username:
            refused = fault(wanted)
            if refused is None and users.claim_name(connection, row.id, wanted) != row.id:
                refused = "the name belongs, or once belonged, to another user"
            if refused is None:
                changed["username"] = wanted
        if changed:
            values |= changed | {"updated_at": max(now, row.updated_at)}
    users.update(connection, row.id, values)
    if provider.group_sync == "always":
        users.set_groups(connection, row.id, _checked_groups(provider, attributes.groups))
    return refused


def _present(provider: ProviderSettings, attributes: Attributes) -> dict[str, object]:
    """What this sign-in brought beside the username: an absent value overwrites nothing."""
    brought = {
        "name": attributes.name,
        "email": attributes.email,
        "phone": attributes.phone,
        "comment": attributes.comment,
    }
    for field, value in brought.items():
        if value is not None and not _storable(value):
            raise _bad_attribute(provider, f"the {field} {_UNSTORABLE}")
    return {field: value for field, value in brought.items() if value is not None}


def _checked_groups(provider: ProviderSettings, groups: Iterable[str]) -> set[str]:
    checked = set(groups)
    for group in checked:
        if not 0 < len(group) <= MAX_GROUP or not _storable(group):
            reason = f"a group's name is empty, longer than {MAX_GROUP} characters, or {_UNSTORABLE}"
            raise _bad_attribute(provider, reason)
    return checked


def _bad_attribute(provider: ProviderSettings, reason: str) -> ProviderError:
    detail = f"provider {provider.name}: {reason}; correct it at the provider"
    return ProviderError(detail, code="bad_attribute")


def _storable(text: str) -> bool:
    """Whether every database takes *text*: PostgreSQL has no NUL, and no UTF-8 has lone surrogates."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
