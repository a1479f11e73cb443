"""Which usernames are accepted, and which of them a person who reads them would take for one."""

from __future__ import annotations

from unicodedata import category, name, normalize

from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.identity.look_alikes import as_latin, looks_latin
from oauth2_mw.observe import has_hidden

#: Characters of a username, prefix included, as written and as folded.
MAX_USERNAME = 255

# Scripts with letters that look like Latin ones. Unicode names its letters by script.
_LOOK_ALIKE = frozenset("LATIN GREEK CYRILLIC ARMENIAN CHEROKEE COPTIC GEORGIAN LISU CANADIAN".split())


def name_key(username: str) -> str:
    """Return a key that is equal for two usernames that a person would take for one.

    Compatibility characters become plain ones, upper case becomes lower case, and several blanks become one
    (Unicode Standard, section 3.13, compatibility caseless matching).
    """
    folded = normalize("NFKD", username)
    # Folding can undo normalisation and the other way round; after three rounds every character is stable.
    for _ in range(3):
        folded = normalize("NFKC", folded.casefold())
    return " ".join(folded.split())


def skeleton(username: str) -> str:
    """Return a key that is equal for two usernames that look alike, whatever their alphabets.

    For a name of Latin letters it is its :func:`name_key` (Unicode Technical Standard 39, section 4).
    """
    # Twice: some letters look like a Latin one as a capital, others as a small letter.
    return name_key(as_latin(name_key(as_latin(username))))


def name_keys(username: str) -> tuple[str, ...]:
    """Return the keys under which a name is given to somebody, in the order in which they are taken."""
    # The skeleton is a name of its own that nobody else may have, be it written in Latin letters or in others.
    return tuple(dict.fromkeys((skeleton(username), name_key(username))))


def fault(username: str | None) -> str | None:
    """Return why the directory does not accept a username, or ``None`` if it does."""
    if not username:
        return "it is empty"
    if len(username) > MAX_USERNAME or len(name_key(username)) > MAX_USERNAME:
        return f"it is longer than {MAX_USERNAME} characters"
    if has_hidden(username):
        return "it contains control, formatting or invisible characters"
    if username != username.strip():
        return "it starts or ends with a blank"
    if _mixes_scripts(username):
        return "one of its words mixes alphabets whose letters look alike"
    return None


def fault_alone(username: str) -> str | None:
    """Return why a username is not accepted where no directory compares it with those of others, or ``None``."""
    if looks_latin(username):
        return (
            "letters or digits of another alphabet stand in it, and all of it can be taken for Latin ones (with a "
            "directory it would be compared with the names that exist)"
        )
    return fault(username)


def bad_username(provider: str, reason: str) -> AccessDeniedError:
    """Return the refusal of a username.

    :param provider: its NAME.
    """
    return AccessDeniedError(
        f"provider {provider}: the username cannot be used: {reason}; correct it at the provider, or map "
        "another claim to username in attribute_map",
        code="bad_username",
        message="Your username cannot be used here. Please ask an administrator for help.",
    )


def _mixes_scripts(username: str) -> bool:
    """Return whether a word has, say, both Latin and Cyrillic letters (Unicode Technical Standard 39)."""
    scripts: set[str] = set()
    for char in normalize("NFKC", username):
        kind = category(char)[0]
        if kind == "L":
            scripts |= _LOOK_ALIKE & {name(char, "").partition(" ")[0]}
            if len(scripts) > 1:
                return True
        elif kind != "M":
            scripts = set()
    return False
