"""A shell asks what may come next, as argcomplete's lines for bash, zsh and fish do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.hosts.processes import ROOT, child_environment

#: The descriptor on which a shell waits for the words, and what stands between them.
OUTPUT, SEPARATOR = 8, "\x0b"


def completed(line: str) -> set[str]:
    """The words that may follow, or end the last one."""
    reader, writer = os.pipe()
    variables = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": SEPARATOR,
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    script = f'exec "$0" -m oauth2_mw.cli {OUTPUT}>&{writer}'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable],
        env=child_environment(variables),
        cwd=ROOT,
        pass_fds=[writer],
        capture_output=True,
        text=True,
        timeout=60,
    )
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as words:
        found = words.read()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return {word.strip() for word in found.split(SEPARATOR)}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("oauth2-mw che", {"check"}),
        ("oauth2-mw check oauth2.ini --on", {"--online"}),
        ("oauth2-mw users add --em", {"--email"}),
        ("oauth2-mw migrate oauth2.ini --dr", {"--dry-run"}),
    ],
)
def test_commands_and_options_are_completed(line: str, words: set[str]) -> None:
    assert completed(line) == words


@pytest.mark.deep
def test_without_a_word_every_command_is_offered() -> None:
    commands = "access check convert init keygen keys login map migrate sessions settings tokens users"
    assert set(commands.split()) <= completed("oauth2-mw ")
