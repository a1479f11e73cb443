"""Importing this uses a directory, forks, and uses it on both sides at once; it prints how the children ended."""

from __future__ import annotations

import os

from oauth2_mw.identity.directory import Directory
from oauth2_mw.settings.grammar import Secret


def _use(directory: Directory, who: str) -> None:
    for number in range(20):
        assert directory.consume_attempt(f"{who}-{number}", expires=1, now=1)
    assert not directory.consume_attempt("before the fork", expires=1, now=1)


def _child(directory: Directory, who: str) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _use(directory, who)
            status = 0
        finally:
            os._exit(status)
    return pid


_directory = Directory(Secret.literal(os.environ["DIRECTORY_URL"]))
assert _directory.consume_attempt("before the fork", expires=1, now=1)
_children = [_child(_directory, f"child-{number}") for number in range(4)]
_use(_directory, "parent")
print([os.waitpid(pid, 0)[1] for pid in _children])
_use(_directory, "parent again")
