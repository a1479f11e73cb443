"""Secrets: literal, in an environment variable, or in a file."""

from __future__ import annotations

import hmac
import os
import re
import stat
from pathlib import Path
from typing import Literal

from oauth2_mw.boundary import contains_control

#: bytes; what HS256 needs of a client secret for ``client_secret_jwt`` (RFC 7518, section 3.2)
MIN_SHARED_SECRET = 32
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_MAX_BYTES = 64 * 1024


class Secret:
    """A text that no repr, log or error shows.

    A file is read again when it changes, so that a secret can be replaced without a restart.
    """

    __slots__ = ("_cached", "_kind", "_source")

    def __init__(self, kind: Literal["literal", "env", "file"], source: str) -> None:
        self._kind = kind
        self._source = source
        #: the mark of the file when it was read, and its text; replaced as a whole
        self._cached: tuple[tuple[int, int, int], str] | None = None

    @classmethod
    def literal(cls, text: str) -> Secret:
        """Make a secret of the text itself."""
        return cls("literal", text)

    @classmethod
    def env(cls, name: str) -> Secret:
        """Make a secret of an environment variable."""
        return cls("env", name)

    @classmethod
    def file(cls, path: str | Path) -> Secret:
        """Make a secret of a file."""
        return cls("file", str(path))

    @classmethod
    def parse(cls, text: str, base: Path) -> Secret:
        """Parse ``env:NAME`` or ``file:PATH`` (relative to *base*), or take *text* literally.

        :raises ValueError: if the name of the variable or file is not valid.
        """
        if text.startswith("env:"):
            name = text[4:].strip()
            if _ENV_NAME.fullmatch(name) is None:
                raise ValueError(
                    "after env: write the name of an environment variable, like env:OAUTH2_SECRET"
                )
            return cls.env(name)
        if text.startswith("file:"):
            name = text[5:].strip()
            if not name or contains_control(name):
                raise ValueError("after file: write the path of a file, like file:client-secret.txt")
            return cls.file(base / name)
        return cls.literal(text)

    @property
    def path(self) -> Path | None:
        """The file that holds the secret, or ``None``."""
        return Path(self._source) if self._kind == "file" else None

    def value(self) -> str:
        """Return the secret itself, without white space at the end of a file.

        A file that was read before and cannot be read now keeps its last value.

        :raises OSError: if the variable is not set or empty, or the file could never be read.
        """
        if self._kind == "literal":
            return self._source
        if self._kind == "env":
            text = os.environ.get(self._source, "").strip()
            if not text:
                raise OSError(f"the environment variable {self._source} is not set, or is empty")
            return text
        try:
            return self.fresh_value()
        except OSError:
            if self._cached is None:
                raise
            return self._cached[1]

    def fresh_value(self) -> str:
        """Return the secret itself, for a caller that has to know if a file cannot be read any more.

        :raises OSError: if the variable is not set or empty, or the file cannot be read now.
        """
        return self._read(self._cached) if self._kind == "file" else self.value()

    def _read(self, cached: tuple[tuple[int, int, int], str] | None) -> str:
        if cached is not None and cached[0] == self._mark(Path(self._source).stat()):
            return cached[1]
        # Without O_NONBLOCK a pipe under that name would hold up the process for ever.
        descriptor = os.open(self._source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                kind = IsADirectoryError if stat.S_ISDIR(status.st_mode) else OSError
                raise kind(f"{self._source} is not a regular file")
            octets = stream.read(_SECRET_MAX_BYTES + 1)
        if len(octets) > _SECRET_MAX_BYTES:
            raise OSError(f"{self._source} is larger than {_SECRET_MAX_BYTES // 1024} KiB")
        try:
            text = octets.decode("utf-8-sig").rstrip()
        except UnicodeDecodeError:
            # The error would carry the octets, and so the secret, into a traceback.
            raise OSError(f"{self._source} is not UTF-8 text") from None
        if not text:
            raise OSError(f"{self._source} is empty")
        self._cached = (self._mark(status), text)
        return text

    @staticmethod
    def _mark(status: os.stat_result) -> tuple[int, int, int]:
        return status.st_mtime_ns, status.st_size, status.st_ino

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        same = hmac.compare_digest(
            self._source.encode("utf-8", "surrogatepass"), other._source.encode("utf-8", "surrogatepass")
        )
        return same and self._kind == other._kind

    def __hash__(self) -> int:
        return hash((self._kind, self._source))

    def __repr__(self) -> str:
        return "Secret(literal)" if self._kind == "literal" else f"Secret({self._kind}:{self._source})"
