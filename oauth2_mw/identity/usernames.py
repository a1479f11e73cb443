"""Which usernames the directory takes, and when two of them are the same name to a person who reads them."""

from __future__ import annotations

from unicodedata import category, name, normalize

from oauth2_mw.observe import has_hidden

#: Characters of a username, as given and as folded.
MAX_USERNAME = 255

# Scripts with letters that look like Latin ones. Unicode names its letters by script.
_LOOK_ALIKE = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE", "COPTIC", "GEORGIAN", "LISU"})


def name_key(username: str) -> str:
    """What two usernames have in common that a person would take for one.

    Compatibility characters become the plain ones, upper and lower case the same, several blanks one (Unicode
    Standard, section 3.13, compatibility caseless matching).
    """
    folded = normalize("NFKD", username)
    # Folding can undo the normalisation and the other way round; three rounds settle every character.
    for _ in range(3):
        folded = normalize("NFKC", folded.casefold())
    return " ".join(folded.split())


def fault(username: str | None) -> str | None:
    """Why a username cannot be taken, as half a sentence; ``None``: it can."""
    if not username:
        return "it is empty"
    if len(username) > MAX_USERNAME or len(name_key(username)) > MAX_USERNAME:
        return f"it is longer than {MAX_USERNAME} characters"
    if has_hidden(username):
        return "it holds control, formatting or invisible characters"
    if username != username.strip():
        return "it starts or ends with a blank"
    if _mixes_scripts(username):
        return "one of its words mixes alphabets whose letters look alike"
    return None


def _mixes_scripts(username: str) -> bool:
    """Whether a word has, say, Latin and Cyrillic letters at once (Unicode Technical Standard 39)."""
    seen: set[str] = set()
    for char in normalize("NFKC", username):
        kind = category(char)[0]
        if kind == "L":
            seen |= _LOOK_ALIKE & {name(char, "").partition(" ")[0]}
            if len(seen) > 1:
                return True
        elif kind != "M":
            seen = set()
    return False
