"""Map a provider's claims to the local fields of a user, as ``attribute_map`` says. Nothing is made up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, TypeGuard
from unicodedata import normalize

from oauth2_mw.boundary import contains_control
from oauth2_mw.encoding import ascii_form, json_type, percent_form, scalar_text
from oauth2_mw.errors import ProviderError
from oauth2_mw.identity.group_origin import claims_elsewhere
from oauth2_mw.identity.usernames import MAX_USERNAME
from oauth2_mw.observe import has_hidden
from oauth2_mw.settings.attribute_path import AttributePath, Source, alternatives
from oauth2_mw.settings.model import ProviderSettings

#: Further groups are dropped, which is said.
MAX_GROUPS = 2000

# How many names of claims an error shows, and how many characters of each: they come from outside.
_NAMES_SHOWN = 40
_NAME_LENGTH_SHOWN = 40

_LINE_BREAKS = str.maketrans("\r\n\t", "   ")


@dataclass(frozen=True, slots=True)
class Attributes:
    """The local fields that a sign-in brought. ``None`` and ``()`` mean that a field is absent, not to be emptied."""

    username: str
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    comment: str | None = None
    groups: tuple[str, ...] = ()


def map_claims(provider: ProviderSettings, claims: Mapping[str, Any]) -> Attributes:
    """Return the local fields that are in ``claims``.

    :raises ProviderError: ``no_username`` if there is no username, ``bad_username`` if it could pass for another
        person's on a screen or in a log. The error names claims and never quotes their values.
    """
    return Attributes(
        username=_username(provider, claims),
        name=_text(_mapped(provider, claims, "name")),
        email=mapped_email(provider, claims),
        phone=_text(_number_as_text(_mapped(provider, claims, "phone"))),
        comment=_text(_mapped(provider, claims, "comment"), keep_lines=True),
        groups=_groups(provider, claims),
    )


def mapped_email(provider: ProviderSettings, claims: Mapping[str, Any]) -> str | None:
    """Return the e-mail address in ``claims``, verified or not."""
    return _email(_mapped(provider, claims, "email"))


def mapped_groups(provider: ProviderSettings, claims: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the groups in ``claims``, or ``None`` if they do not say any, nor that there are none."""
    return None if _mapped(provider, claims, "groups") is None else _groups(provider, claims)


def _mapped(provider: ProviderSettings, claims: Mapping[str, Any], field: str) -> Any:
    path = provider.attribute_map.get(field)
    return None if path is None else path.get(claims)


def _number_as_text(value: Any) -> Any:
    # A bool is an int in Python but not a number in JSON. No id or telephone number has more than 64 bits.
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 64:
        return str(value)
    return value


def _text(value: Any, *, keep_lines: bool = False) -> str | None:
    if not isinstance(value, str):
        return None
    text = value.strip()
    # A NUL or a lone surrogate would break the directory and the environ later, far from its cause.
    if not text or contains_control(text.translate(_LINE_BREAKS) if keep_lines else text):
        return None
    return text


def _email(value: Any) -> str | None:
    # Never trimmed: ``email_verified`` is about the address exactly as it came.
    text = _text(value)
    return text if text == value else None


def _groups(provider: ProviderSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    names = dict.fromkeys(filter(None, map(_group, _items(_mapped(provider, claims, "groups")))))
    patterns = provider.group_filter
    wanted = [name for name in names if not patterns or any(fnmatchcase(name, each) for each in patterns)]
    if len(wanted) > MAX_GROUPS:
        # Those that decide are no reason to drop others: a rule that denies one must find it.
        deciding = {term.value for term in provider.deciding_terms() if term.field == "group"}
        wanted.sort(key=lambda name: name not in deciding)
    return tuple(wanted[:MAX_GROUPS])


def without_groups(
    provider: ProviderSettings, claims: Mapping[str, Any], *, read: Iterable[AttributePath]
) -> Mapping[str, Any]:
    """Return the claims without the one that the groups were read from: the identity has them, and they may be many.

    :param read: paths at which something else reads the claims, which then keep what is there.
    """
    source = provider.attribute_map.get("groups")
    others = [
        path
        for name, each in provider.attribute_map.items()
        if name != "groups"
        for path in alternatives(each)
    ]
    roots = {root for path in (provider.subject, *others, *read) for root in path.roots}
    if not _can_be_restored(source) or source.root in roots:
        return claims
    return {name: value for name, value in claims.items() if name != source.root}


def with_groups(
    provider: ProviderSettings, claims: Mapping[str, Any], groups: tuple[str, ...]
) -> Mapping[str, Any]:
    """Return the claims of a session with its groups where :func:`without_groups` has taken them from."""
    source = provider.attribute_map.get("groups")
    if not groups or not _can_be_restored(source) or source.root in claims:
        return claims
    value: Any = groups
    for segment in reversed(source.segments):
        value = {segment: value}
    return {**claims, **value}


def _can_be_restored(source: Source | None) -> TypeGuard[AttributePath]:
    return isinstance(source, AttributePath) and all(isinstance(each, str) for each in source.segments)


def unusable_attributes(
    provider: ProviderSettings, claims: Mapping[str, Any], attributes: Attributes
) -> Iterator[str]:
    """Yield a sentence for each value that is there, or elsewhere, and is not, or not whole, in its local field.

    The sentences name claims and never quote their values.

    :param attributes: what :func:`map_claims` made of *claims*.
    """
    for name, source in provider.attribute_map.items():
        if provider.has_written_map:
            # Our own map names claims that few providers have.
            yield from (f"{name}: {sentence}" for sentence in claims_elsewhere(provider, name, claims))
        value, path = source.get(claims), source.chosen(claims).text
        problems = [(each.text, each.problem(claims)) for each in alternatives(source)]
        yield from (f"{name}: {text}: {problem}" for text, problem in problems if problem is not None)
        if value in (None, "", [], ()):
            continue
        if name != "groups":
            if not getattr(attributes, name):
                yield f"{name} is left out: {path} is {json_type(value)} that cannot be used"
            continue
        items = _items(value)
        left_out = [item for item in items if item not in (None, "") and not _group(item)]
        if left_out:
            yield (
                f"groups: {len(left_out)} of {len(items)} in {path} are left out, the first is "
                f"{json_type(left_out[0])} that cannot be used; a path such as roles[*].name or keys(roles) reads "
                "names out of objects"
            )
        if isinstance(value, str) and "," in value:
            yield f"groups: {path} is one text with commas, and counts as one group"
        if len(attributes.groups) == MAX_GROUPS:
            yield f"groups: after {MAX_GROUPS} the others in {path} are left out; group_filter says which are read"


def _items(value: Any) -> Sequence[Any]:
    # One string is one group: splitting it would let a group's name decide on membership in another.
    return value if isinstance(value, (list, tuple)) else (value,)


def _group(item: Any) -> str | None:
    name = scalar_text(item)
    return None if name is None or contains_control(name) else name


def _username(provider: ProviderSettings, claims: Mapping[str, Any]) -> str:
    value = _number_as_text(_mapped(provider, claims, "username"))
    if not isinstance(value, str) or value == "":
        raise ProviderError(_no_username(provider, claims), code="no_username")
    claim = value
    for transform in provider.username_transform:
        value = _TRANSFORMS[transform](value)
    username = provider.username_prefix + value
    fault = _username_fault(claim, value, username, folds="ascii" in provider.username_transform)
    if fault is not None:
        raise ProviderError(
            f"provider {provider.name}: the username cannot be used: {fault}; correct it at the provider, or "
            "map another claim to username in attribute_map",
            code="bad_username",
        )
    return username


def _localpart(value: str) -> str:
    # "jane@evil@corp.example" is nobody's jane; such a name is refused as a whole.
    return value.partition("@")[0] if value.count("@") <= 1 else ""


def _ascii(value: str) -> str:
    return ascii_form(value) or ""


_TRANSFORMS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"lower": str.lower, "localpart": _localpart, "ascii": _ascii, "percent": percent_form}
)


def _username_fault(claim: str, value: str, username: str, *, folds: bool) -> str | None:
    if not value and folds and not claim.isascii():
        return "username_transform = ascii finds letters in it that are no ASCII ones with an accent: write percent"
    if not value:
        return "username_transform leaves nothing of it"
    if len(username) > MAX_USERNAME:
        return f"it is longer than {MAX_USERNAME} characters"
    if has_hidden(username):
        return "it contains control, formatting or invisible characters"
    # The value, not the username: a prefix would hide a blank at the start.
    if value != value.strip():
        return "it starts or ends with a blank"
    # Full-width and other compatibility letters, and signs that are equal to a letter, such as the Kelvin sign: an
    # application that folds them would see another person, and so would our own transformations. A combining accent
    # is accepted.
    text = claim + username
    if normalize("NFKC", text) != normalize("NFC", text) or any(
        normalize("NFC", char) != char for char in text
    ):
        return "it contains compatibility characters, which can pass for plain letters"
    return None


def _no_username(provider: ProviderSettings, claims: Mapping[str, Any]) -> str:
    path = provider.attribute_map.get("username")
    if path is None:
        return f"provider {provider.name}: attribute_map names no claim for username; add one"
    names = [ascii(str(name)[:_NAME_LENGTH_SHOWN]) for name in list(claims)[:_NAMES_SHOWN]]
    listed = ", ".join(names) + (", ..." if len(claims) > _NAMES_SHOWN else "")
    return (
        f"provider {provider.name}: no username: attribute_map reads it from {path.text!r}, which is missing, empty or "
        f"neither a text nor a whole number. The claims sent: {listed or 'none'}. Map username to one of them, or ask "
        "for a scope that brings it"
    )
