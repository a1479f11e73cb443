"""Importing this uses a directory, forks, and uses it on both sides at once; it prints how the children ended."""

from __future__ import annotations

import os

from oauth2_mw.identity.directory import Directory, User
from oauth2_mw.settings.grammar import Secret
from tests.support.settings.people import ISSUER, NOW, attributes, provider


def _sign_in(directory: Directory, name: str) -> User:
    return directory.record_sign_in(provider(), ISSUER, name, attributes(name), create=True, now=NOW)


def _use(directory: Directory, process: str) -> None:
    for number in range(20):
        assert _sign_in(directory, f"{process}-{number}").created
    assert not _sign_in(directory, "before").created


def _child(directory: Directory, process: str) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _use(directory, process)
            status = 0
        finally:
            os._exit(status)
    return pid


_directory = Directory(Secret.literal(os.environ["DIRECTORY_URL"]))
assert _sign_in(_directory, "before").created
_children = [_child(_directory, f"child-{number}") for number in range(4)]
_use(_directory, "parent")
print([os.waitpid(pid, 0)[1] for pid in _children])
_use(_directory, "again")
