"""Write several new files, all of them or none, and never in the place of one that is there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from oauth2_mw.cli.terminal import CommandError, printable

#: of a file that holds a secret, and of one that does not
SECRET_MODE = 0o600
PLAIN_MODE = 0o644


class NewFiles:
    """New files of one folder. Until :meth:`publish` they are in a folder of their own inside it, which is removed."""

    def __init__(self, folder: Path) -> None:
        self._target = folder
        self._names: list[str] = []
        #: where they can be tried
        self.folder: Path = folder

    def __enter__(self) -> NewFiles:
        self.folder = Path(tempfile.mkdtemp(prefix=".oauth2-mw-", dir=self._target))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, name: str, text: str, *, mode: int = PLAIN_MODE) -> None:
        """Write one more. The last one is published last."""
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        self._names.append(name)

    def publish(self) -> None:
        """Put them into their places.

        :raises CommandError: if something is in one of these places; then none is published.
        """
        try:
            for name in self._names:
                self._publish(name)
        except BaseException:
            for name in self._names:
                self._withdraw(name)
            raise

    def _publish(self, name: str) -> None:
        target = self._target / name
        try:
            # In one step, and not over another file, as a rename would be.
            os.link(self.folder / name, target, follow_symlinks=False)
        except FileExistsError:
            raise CommandError(f"{printable(str(target))} is there already: nothing was written") from None

    def _withdraw(self, name: str) -> None:
        target = self._target / name
        if target.exists() and target.samefile(self.folder / name):
            target.unlink()
