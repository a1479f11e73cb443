"""What the name of a claim says of its value: an address, or something else that can change hands.

Providers spell their claims in every way (``userPrincipalName``, ``email_address``, ``"https://acme.example/mail"``),
so names are taken apart into words, and the words decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from oauth2_mw.settings.attribute_path import AttributePath, Source, alternatives

#: The claim of which ``email_verified`` speaks (OpenID Connect Core, section 5.1).
EMAIL_CLAIM = ("email",)
# ``sAMAccountName`` has the words s, AM, Account and Name; ``URLName`` has URL and Name.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ADDRESS = re.compile(r".*mail.*|eposta|smtp.*|rfc822.*")
#: What people, or their administrators, choose and give up again.
_CHANGING = re.compile(
    r".*name(?:s|\d+)?|nick|nicks|.*log[io]n.*|signin|upn|principal|alias(?:es)?|handles?|mobile|.*phones?.*|tel|msisdn|cn|dn"
)
#: The last segment of a path that is somebody's name although it does not say so.
_CHANGING_LEAVES = frozenset({"user", "account", "address", "profile"})
#: ``name_id`` is an identifier, while ``login_id`` and ``email_id`` are a name and an address all the same.
_IDENTIFIER = frozenset({"id", "ids", "uuid", "guid"})


def is_address(path: AttributePath) -> bool:
    """Return whether *path* leads to an e-mail address, as far as the names on it tell."""
    return any(_ADDRESS.fullmatch(word) for words in _words(path) for word in words)


def username_addresses(attribute_map: Mapping[str, Source]) -> tuple[AttributePath, ...]:
    """Return the paths of the username that lead to an address, by their names or because ``email`` is read there."""
    username, email = attribute_map.get("username"), attribute_map.get("email")
    addresses = alternatives(email) if email is not None else ()
    paths = alternatives(username) if username is not None else ()
    return tuple(path for path in paths if path in addresses or is_address(path))


def is_changing(path: AttributePath) -> bool:
    """Return whether the value at *path* can change or be given to another person: a name or an address."""
    segments = _words(path)
    if is_address(path) or any(map(_is_name, segments)):
        return True
    return bool(segments) and _CHANGING_LEAVES.issuperset(segments[-1])


def _is_name(words: list[str]) -> bool:
    if len(words) > 1 and words[-1] in _IDENTIFIER:
        words = [word for word in words if word != "name"]
    return any(_CHANGING.fullmatch(word) for word in words)


def _words(path: AttributePath) -> list[list[str]]:
    """Return the words of every named segment; of a URL those behind its host."""
    segments = [segment for segment in path.segments if isinstance(segment, str)]
    return [words for segment in segments if (words := _split(segment))]


def _split(segment: str) -> list[str]:
    name = segment.partition("://")[2].partition("/")[2] if "://" in segment else segment
    pieces = [piece.lower() for piece in _WORD.findall(name)]
    # ``e-mail`` and ``e_mail`` are ``email``.
    return re.sub(r"\be (?=mails?\b)", "e", " ".join(pieces)).split()
