"""Our settings while they are made of another product's: the sections of an INI file, and what to say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Draft:
    """What an INI file is to hold."""

    main: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    rules: list[str] = field(default_factory=list)
    #: local field -> provider's field
    attributes: dict[str, str] = field(default_factory=dict)
    #: words of the file that need a person, with what to do
    notes: dict[str, str] = field(default_factory=dict)
    #: what the file demands of those who enter and cannot be said here: without it too many would come in
    lost: dict[str, str] = field(default_factory=dict)

    def keep(self, *tokens: str) -> None:
        """Have the session keep these tokens, beside the ID token."""
        kept = self.main.get("keep_tokens", "id").split()
        self.main["keep_tokens"] = " ".join(dict.fromkeys((*kept, *tokens)))

    def sections(self) -> dict[str, dict[str, str]]:
        """Return the sections with their keys, as an INI file has them."""
        main = dict(self.main)
        if self.attributes:
            # A map that is written takes the place of the whole one that holds without it.
            main["attribute_map"] = json.dumps({"name": "name", "email": "email", **self.attributes})
        access = {"rules": "".join(f"\n    {rule}" for rule in self.rules)} if self.rules else {}
        return {"oauth2_mw": main, "access": access, "environ": self.environ}

    def lines(self) -> Iterator[str]:
        """Yield the lines of the INI file."""
        for section, keys in self.sections().items():
            if keys:
                yield f"[{section}]"
                yield from (f"{key} = {value}" for key, value in keys.items())
                yield ""
