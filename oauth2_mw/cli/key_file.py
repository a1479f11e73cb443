"""Changing a key file: its readers see the old one or the new one, and of two changes at once none is lost."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oauth2_mw.cli.terminal import CommandError
from oauth2_mw.settings.grammar import KeyEntry, Secret, format_key_line, parse_key_file


def read(path: Path) -> str:
    """The text of the file as a worker reads it.

    :raises OSError: when a worker could not.
    """
    return Secret.file(path).value()


def parse(path: Path, text: str) -> tuple[KeyEntry, ...]:
    """The keys of the file at *path*, in the order of its lines.

    :raises Refusal: naming the line that is none.
    """
    try:
        return parse_key_file(text)
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from None


class KeyFile:
    """The text of a key file while it is being changed. Comments stay where they are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = read(path)
        self.entries = parse(path, self.text)

    def append(self, entry: KeyEntry) -> None:
        """Add a key behind the others."""
        self.text += f"\n{format_key_line(entry)}"

    def remove(self, kid: str) -> None:
        """Take the line of one key out."""
        lines = self.text.splitlines(keepends=True)
        self.text = "".join(line for line in lines if line.split()[:1] != [kid]).rstrip()


@contextmanager
def changing(path: Path) -> Iterator[KeyFile]:
    """Hold the file, hand it out to be changed, and put the new one in its place when the block ends well.

    The new file has the mode and the owner of the old one. A file that is reached by a symbolic link is changed where
    it lies.

    :raises Refusal: when the file holds something that is no key, or could not be given its owner.
    :raises OSError: when the file or its folder cannot be read or written.
    """
    path = path.resolve(strict=True)
    with _locked(path) as status:
        file = KeyFile(path)
        before = file.text
        yield file
        if file.text != before:
            _replace(path, file.text, status)


@contextmanager
def _locked(path: Path) -> Iterator[os.stat_result]:
    """Be the only one who changes the file.

    The lock lies on the file itself, so that nothing is left behind. Whoever waited while the file was replaced holds
    the lock of one that is gone, and tries again with the new one.
    """
    # Windows has none; there, nothing but changing a key file fails.
    import fcntl

    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            status = os.fstat(descriptor)
            if os.path.samestat(status, path.stat()):
                yield status
                return
        finally:
            os.close(descriptor)


def _open(path: Path) -> int:
    # Without O_NONBLOCK a pipe under that name would hold the command up for ever.
    try:
        # Over NFS only who may write can lock.
        return os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except PermissionError:
        # The file may be closed even to its owner; the folder decides whether it can be replaced.
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def _replace(path: Path, text: str, status: os.stat_result) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            _give(descriptor, path, status)
            file.write(f"{text}\n")
            file.flush()
            os.fsync(descriptor)
        # What no worker could read must not take the place of what they all can.
        parse(path, read(temporary))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _give(descriptor: int, path: Path, status: os.stat_result) -> None:
    """Give the new file the owner and the mode of the old one; first the owner, so that no other may ever read it."""
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        except PermissionError:
            raise CommandError(
                f"{path}: the file belongs to user {status.st_uid} and group {status.st_gid}, and a new one in its "
                "place would not, so that the workers might be unable to read it; run this as that user, or as root"
            ) from None
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def _sync_folder(folder: Path) -> None:
    """Have the new name of the file survive a power failure, where the file system can promise that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
