"""Change a key file so that readers see the old one or the new one, and no concurrent change is lost."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oauth2_mw.cli.terminal import CommandError
from oauth2_mw.settings.grammar import KeyEntry, Secret, format_key_line, parse_key_file
from oauth2_mw.settings.keys import format_ended_line, parse_ended


def read(path: Path) -> str:
    """Return the text of the file as a worker reads it.

    :raises OSError: if a worker could not read it.
    """
    return Secret.file(path).value()


def parse(path: Path, text: str) -> tuple[KeyEntry, ...]:
    """Return the keys of the file at *path*, in the order of its lines.

    :raises CommandError: naming the line that is not a key.
    """
    try:
        return parse_key_file(text)
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from None


class KeyFile:
    """The text of a key file while it is being changed. Comments stay where they are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text: str = read(path)
        self.entries: tuple[KeyEntry, ...] = parse(path, self.text)

    def append(self, entry: KeyEntry) -> None:
        """Add a key after the others."""
        self.text += f"\n{format_key_line(entry)}"

    def end_sessions(self, moment: int) -> None:
        """Say that the sessions have ended that began up to *moment* (seconds since the epoch)."""
        ended = max(moment, parse_ended(self.text))
        lines = self.text.splitlines(keepends=True)
        kept = "".join(line for line in lines if not line.lstrip().startswith("!")).rstrip()
        self.text = f"{kept}\n{format_ended_line(ended)}"

    def remove(self, kid: str) -> None:
        """Remove the line of a key."""
        lines = self.text.splitlines(keepends=True)
        self.text = "".join(line for line in lines if line.split()[:1] != [kid]).rstrip()


@contextmanager
def edit(path: Path) -> Iterator[KeyFile]:
    """Lock the file, hand out its text to be changed, and replace it when the block ends without an exception.

    The new file has the mode and the owner of the old one. If *path* is a symbolic link, its target is replaced.

    :raises CommandError: if a line of the file is not a key, or the new file could not have the same owner.
    :raises OSError: if the file or its folder cannot be read or written.
    """
    path = path.resolve(strict=True)
    with _lock(path) as status:
        file = KeyFile(path)
        old_text = file.text
        yield file
        if file.text != old_text:
            _replace(path, file.text, status)


@contextmanager
def _lock(path: Path) -> Iterator[os.stat_result]:
    """Be the only process that changes the file, and yield its status.

    The lock is on the file itself, so that nothing is left behind. A process that waited while the file was replaced
    holds the lock of the old file, and tries again with the new one.
    """
    # Windows has no fcntl: only changing a key file fails there.
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
    # Without O_NONBLOCK a pipe at that path would block the command for ever.
    try:
        # Over NFS a lock needs write access.
        return os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except PermissionError:
        # Even its owner may not write the file; whether it can be replaced depends on the folder.
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def _replace(path: Path, text: str, status: os.stat_result) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            _copy_owner_and_mode(descriptor, path, status)
            file.write(f"{text}\n")
            file.flush()
            os.fsync(descriptor)
        # A file that no worker could read must not replace one that they can.
        parse(path, read(temporary))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _copy_owner_and_mode(descriptor: int, path: Path, status: os.stat_result) -> None:
    """Set the owner, then the mode: in that order nobody else can ever read the new file."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        except PermissionError:
            raise CommandError(
                f"{path}: the file belongs to user {status.st_uid} and group {status.st_gid}, and a new one in its "
                "place would not, so that the workers might be unable to read it; run this as that user, or as root"
            ) from None
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def _sync_folder(folder: Path) -> None:
    """Make the replacement survive a power failure, if the file system supports that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
