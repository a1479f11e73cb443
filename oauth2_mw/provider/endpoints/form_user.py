"""What Apple's form says of the person beside the authorization response, the first time alone: their name, unsigned.

The field passes through the browser, so whoever sits there can write what they like into it. Nothing is read but the
name, and the e-mail address in it, which would be somebody's proof, least of all
(https://developer.apple.com/documentation/signinwithapple/configuring-your-webpage-for-sign-in-with-apple).
"""

from __future__ import annotations

from collections.abc import Mapping

from oauth2_mw.boundary import contains_control
from oauth2_mw.provider.http.documents import DocumentError, read_object
from oauth2_mw.settings.presets import QuirkName

FIELD = "user"
#: Octets of the field, and characters of a part of the name.
MAX_FIELD = 2048
MAX_PART = 100


def fields(quirk: QuirkName | None) -> frozenset[str]:
    """Return the fields that a provider's form has beside the authorization response."""
    return frozenset({FIELD}) if quirk == "apple" else frozenset()


def read_name(form: Mapping[str, str]) -> str | None:
    """Return the name in a form, ``firstName`` and ``lastName``, or ``None`` if it says none.

    :raises DocumentError: if it is no JSON object within our limits, or the name is no text.
    """
    field = form.get(FIELD, "").encode()
    if not field:
        return None
    if len(field) > MAX_FIELD:
        raise DocumentError(f"it is longer than {MAX_FIELD} octets")
    name = read_object(field).get("name") or {}
    if not isinstance(name, dict):
        raise DocumentError("its name is not an object")
    parts = [_part(name.get(key) or "") for key in ("firstName", "lastName")]
    return " ".join(filter(None, parts)) or None


def _part(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_PART or contains_control(value):
        raise DocumentError(f"a part of its name is not a text of at most {MAX_PART} plain characters")
    return value.strip()
