"""Write a sign-in into the directory: a new user, or what has changed about one who is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection

from oauth2_mw.errors import AccessDeniedError, ProviderError
from oauth2_mw.identity.model import User, user_key
from oauth2_mw.identity.usernames import bad_username, fault
from oauth2_mw.identity.users import AWAITED, NEVER, NewUser, UserTable
from oauth2_mw.identity.verification import address_key
from oauth2_mw.observe import new_id

if TYPE_CHECKING:
    from oauth2_mw.identity.mapping import Attributes
    from oauth2_mw.settings.model import ProviderSettings

#: The longest issuer, subject (OpenID Connect Core, section 2) and name of a group, in characters.
MAX_ISSUER = 2048
MAX_SUBJECT = 255
MAX_GROUP = 255

#: What a sign-in can change about a user in the row itself, and the user shows.
_SHOWN = ("name", "email", "phone", "comment")

#: What the subject of a user who is a program begins with.
SERVICE = "service:"

_UNSTORABLE = "contains a NUL or a lone surrogate"


def check_pair(issuer: str, subject: str) -> None:
    """Refuse an issuer and a subject that the directory cannot hold.

    :raises ProviderError: ``bad_subject``.
    """
    for part, value, limit in (("issuer", issuer, MAX_ISSUER), ("subject", subject, MAX_SUBJECT)):
        if not 0 < len(value) <= limit or not _is_storable(value):
            reason = f"the {part} is empty, longer than {limit} characters, or {_UNSTORABLE}"
            raise ProviderError(reason, code="bad_subject")


def new_user(
    provider: ProviderSettings,
    issuer: str,
    subject: str,
    attributes: Attributes,
    now: int,
    *,
    proven: str | None,
    is_sign_in: bool = True,
) -> NewUser:
    """Return the user whom a first sign-in adds, with a new id.

    :param proven: the address that the sign-in proves (:func:`~oauth2_mw.identity.verification.proven_address`).
    :param is_sign_in: whether the person has signed in, and not only an access token of theirs was used.
    :raises AccessDeniedError: ``bad_username``.
    :raises ProviderError: ``bad_attribute``.
    """
    _check_name(provider, attributes.username)
    present = _present(provider, attributes)
    groups = _checked_groups(provider, attributes.groups) if provider.group_sync != "never" else ()
    proof = _proof(address_key(attributes.email), proven, now)
    user = User(
        id=new_id(),
        issuer=issuer,
        subject=subject,
        username=attributes.username,
        name=present.get("name"),
        email=present.get("email"),
        phone=present.get("phone"),
        comment=present.get("comment"),
        groups=tuple(sorted(groups)),
        organizations=tuple(sorted(set(provider.organization))),
        disabled=False,
        created=True,
        has_signed_in=is_sign_in,
    )
    return NewUser(
        user,
        user_key=user_key(issuer, subject),
        email_key=proof["email_key"],
        email_proven_at=proof["email_proven_at"],
        created_at=now,
        last_sign_in=now if is_sign_in else NEVER,
    )


def create(users: UserTable, connection: Connection, provider: ProviderSettings, new: NewUser) -> bool:
    """Add a user. Return ``False``, with nothing written, if another sign-in of the same person has added them first.

    :raises AccessDeniedError: ``username_taken``; the caller must roll back.
    """
    user, user_id = new.user, new.user.id
    if not users.add(connection, new.row()):
        return False
    _claim_first_name(users, connection, provider, user_id, new.user_key, user.username)
    users.add_memberships(connection, user_id, user.organizations)
    users.set_groups(connection, user_id, user.groups)
    return True


def _check_name(provider: ProviderSettings, username: str) -> None:
    reason = fault(username)
    if reason is not None:
        raise bad_username(provider.name, reason)


def _claim_first_name(
    users: UserTable,
    connection: Connection,
    provider: ProviderSettings,
    user_id: str,
    key: str,
    username: str,
) -> None:
    """Give a user, whose ``user_key`` is *key*, their first name, or refuse the sign-in; the caller must roll back."""
    owner = users.claim_name(connection, user_id, key, username)
    if owner != user_id:
        whose = f"user {owner}" if owner else "a user who was deleted"
        raise AccessDeniedError(
            f"provider {provider.name}: the username {username!r}, or one that looks like it, belongs, or once "
            f"belonged, to {whose}; give one of them another name at the provider, or set a username_prefix; when "
            "both are one person: oauth2-mw users link",
            code="username_taken",
            message="Your username already belongs to somebody else here. Please ask an administrator for help.",
        )


def create_service(users: UserTable, connection: Connection, app: str, name: str, now: int) -> str | None:
    """Add a user who is a program, and return the id, or ``None`` if there is one of that name already.

    :param app: ``public_url``, which stands for the issuer: no provider has it, so that no sign-in leads here.
    :raises AccessDeniedError: ``bad_username`` or ``username_taken``; the caller must roll back.
    """
    reason = fault(name)
    if reason is not None:
        raise AccessDeniedError(f"the name cannot be used: {reason}", code="bad_username")
    user_id, subject = new_id(), SERVICE + name
    key = user_key(app, subject)
    values: dict[str, object] = {
        "id": user_id,
        "user_key": key,
        "issuer": app,
        "subject": subject,
        "username": name,
        "created_at": now,
        "updated_at": now,
        "last_sign_in": now,
    }
    if not users.add(connection, values):
        return None
    if users.claim_name(connection, user_id, key, name) != user_id:
        raise AccessDeniedError(
            f"the username {name!r}, or one that looks like it, belongs, or once belonged, to somebody else",
            code="username_taken",
        )
    return user_id


def refresh(
    users: UserTable,
    connection: Connection,
    provider: ProviderSettings,
    row: Any,
    attributes: Attributes,
    now: int,
    *,
    proven: str | None,
    is_sign_in: bool = True,
) -> str | None:
    """Write what a later sign-in changes about the user of *row*, which is locked.

    The first one after an access token or an operator has added the user changes what any first one does, but for
    groups that the operator has given.

    :param is_sign_in: ``False`` for one after which the first sign-in is still to come.
    :returns: why the directory refused a new username, or ``None`` if it did not.
    :raises AccessDeniedError: ``bad_username`` or ``username_taken``, for a user who has no name yet.
    :raises ProviderError: ``bad_attribute``.

    The caller must roll back after either.
    """
    values = _changed_values(provider, row, attributes, now, proven=proven, is_sign_in=is_sign_in)
    refused, is_first = None, row.last_sign_in <= NEVER
    if not row.username:
        _check_name(provider, attributes.username)
        _claim_first_name(users, connection, provider, row.id, row.user_key, attributes.username)
    username = attributes.username
    if (provider.always_update or is_first) and username and username != row.username:
        refused = fault(username)
        if refused is None and users.claim_name(connection, row.id, row.user_key, username) != row.id:
            refused = "the name, or one that looks like it, belongs, or once belonged, to another user"
        if refused is None:
            values |= {"username": username, "updated_at": max(now, row.updated_at)}
    users.update(connection, row.id, values)
    if provider.group_sync == "always" or (
        is_first and provider.group_sync == "first" and not _has_given_groups(users, connection, row)
    ):
        users.set_groups(connection, row.id, _checked_groups(provider, attributes.groups))
    return refused


def changes_at_once(
    provider: ProviderSettings, row: Any, user: User, attributes: Attributes, now: int, *, proven: str | None
) -> tuple[dict[str, object], User] | None:
    """Return what :func:`refresh` would write into the row of a user, and the user as it would leave them.

    :param row: the user's row, which need not be locked.
    :param user: the same user.
    :returns: ``None`` where other rows decide as well (at the first sign-in, and at one with another username), and for
        one who is disabled.
    :raises ProviderError: ``bad_attribute``.
    """
    username = attributes.username
    if user.disabled or not row.username or row.last_sign_in <= NEVER:
        return None
    if provider.always_update and username and username != row.username:
        return None
    values = _changed_values(provider, row, attributes, now, proven=proven)
    shown = {field: values[field] for field in _SHOWN if field in values}
    if provider.group_sync == "always":
        shown["groups"] = tuple(sorted(_checked_groups(provider, attributes.groups)))
    return values, replace(user, **shown)


def _changed_values(
    provider: ProviderSettings,
    row: Any,
    attributes: Attributes,
    now: int,
    *,
    proven: str | None,
    is_sign_in: bool = True,
) -> dict[str, Any]:
    """Return what a sign-in writes into the row of a user, but for another username."""
    # A clock that was set back must not set these times back.
    values: dict[str, Any] = {"last_sign_in": max(now, row.last_sign_in) if is_sign_in else row.last_sign_in}
    updates = provider.always_update or row.last_sign_in <= NEVER
    if updates:
        present = _present(provider, attributes).items()
        changed = {field: value for field, value in present if value != getattr(row, field)}
        if changed:
            values |= changed | {"updated_at": max(now, row.updated_at)}
    if attributes.email is not None:
        address = address_key(attributes.email)
        if updates or address == row.email_key:
            values |= _proof(address, proven, now)
        else:
            # The provider has given this person another address since: that of the row may be somebody else's now.
            values["email_proven_at"] = None
    return values


def _has_given_groups(users: UserTable, connection: Connection, row: Any) -> bool:
    """Return whether an operator has put a user into groups before their first sign-in."""
    return row.last_sign_in == AWAITED and bool(users.groups(connection, [row.id]))


def _proof(address: str | None, proven: str | None, now: int) -> dict[str, Any]:
    is_proven = address is not None and address == proven
    return {"email_key": address, "email_proven_at": now if is_proven else None}


def _present(provider: ProviderSettings, attributes: Attributes) -> dict[str, str]:
    """Return the values that this sign-in brought beside the username; an absent one overwrites nothing."""
    values = {
        "name": attributes.name,
        "email": attributes.email,
        "phone": attributes.phone,
        "comment": attributes.comment,
    }
    for field, value in values.items():
        if value is not None and not _is_storable(value):
            raise _bad_attribute(provider, f"the {field} {_UNSTORABLE}")
    return {field: value for field, value in values.items() if value is not None}


def _checked_groups(provider: ProviderSettings, groups: Iterable[str]) -> set[str]:
    checked = set(groups)
    if not all(map(is_group, checked)):
        reason = f"a group's name is empty, longer than {MAX_GROUP} characters, or {_UNSTORABLE}"
        raise _bad_attribute(provider, reason)
    return checked


def is_group(name: str) -> bool:
    """Return whether the directory can hold a group, or an organization, of that name."""
    return 0 < len(name) <= MAX_GROUP and _is_storable(name)


def _bad_attribute(provider: ProviderSettings, reason: str) -> ProviderError:
    detail = f"provider {provider.name}: {reason}; correct it at the provider"
    return ProviderError(detail, code="bad_attribute")


def _is_storable(text: str) -> bool:
    """Return whether every database can store *text*: PostgreSQL has no NUL, and UTF-8 no lone surrogates."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
