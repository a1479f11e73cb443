"""Which usernames the directory accepts, and which of them a person who reads them would take for one."""

from __future__ import annotations

from unicodedata import category, name, normalize

from oauth2_mw.observe import has_hidden

#: Characters of a username, prefix included, as written and as folded.
MAX_USERNAME = 255

# Scripts with letters that look like Latin ones. Unicode names its letters by script.
_LOOK_ALIKE = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE", "COPTIC", "GEORGIAN", "LISU"})


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
