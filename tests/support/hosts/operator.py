"""An operator at the command line: an INI file, commands, and what they print."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from oauth2_mw.cli import main
from oauth2_mw.settings.grammar import KeyEntry, format_key_line
from tests.support.settings.keys import raw_key


@dataclass
class CommandResult:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The table that was printed, without its heading."""
        return [line.split("\t") for line in self.out.splitlines()[1:]]


class Operator:
    """Somebody with a folder of their own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.ini = folder / "oauth2.ini"
        self.keys = folder / "keys"
        self._capsys = capsys

    def write_ini(self, **settings: str) -> Path:
        """Write the file: what every one needs, and *settings*."""
        needed = {
            "public_url": "https://app.example",
            "secret_keys": "file:keys",
            "issuer": "https://id.example",
            "client_id": "app",
            "client_secret": "s3cret",
        }
        lines = (f"{key} = {value}\n" for key, value in {**needed, **settings}.items())
        self.ini.write_text("[oauth2_mw]\n" + "".join(lines), encoding="utf-8")
        return self.ini

    def write_keys(self, *entries: tuple[str, float]) -> None:
        """Write the key file: keys by their names and not-befores."""
        lines = (
            format_key_line(KeyEntry(kid, int(since), raw_key(n))) for n, (kid, since) in enumerate(entries)
        )
        self.keys.write_text("# first\n" + "\n# between\n".join(lines) + "\n# last\n", encoding="utf-8")

    def run(self, *words: object) -> CommandResult:
        """Type a command."""
        self._capsys.readouterr()
        # To tell the arguments of thirteen commands takes longer than what most of them do.
        named = [module for module in main._COMMANDS if module.__name__.endswith(f".{words[0]}")]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(main, "_COMMANDS", named or main._COMMANDS)
            code = main.main([str(word) for word in words])
        return CommandResult(code, *self._capsys.readouterr())
