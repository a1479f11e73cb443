"""What the documentation shows an operator, to be started as it stands: the code blocks that have a name."""

from __future__ import annotations

import re
import shlex

from tests.support.hosts.processes import ROOT

DEPLOYMENT = ROOT / "docs" / "deployment.rst"


def block(name: str) -> str:
    """Return the text of the code block with ``:name:``."""
    pattern = rf"^\.\. code-block:: .*\n   :name: {re.escape(name)}\n\n((?:   .*\n|\n)+)"
    (text,) = re.findall(pattern, DEPLOYMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return re.sub("^   ", "", text, flags=re.MULTILINE).rstrip("\n") + "\n"


def command(name: str) -> list[str]:
    """Return the words of the command that the code block with ``:name:`` shows behind a ``$``."""
    return shlex.split(block(name).removeprefix("$ "))


def said(text: str) -> str:
    """Return *text*, which must stand in a sentence there."""
    assert f"``{text}``" in DEPLOYMENT.read_text(encoding="utf-8"), text
    return text


def replaced(text: str, old: str, new: object) -> str:
    """Return *text* with what this machine has in place of what the documentation shows."""
    assert old in text, old
    return text.replace(old, str(new))
