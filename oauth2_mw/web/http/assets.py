"""The stylesheet and the built-in icons, held in memory: found by name, never by a path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable

#: The only types we serve. A file of another kind in the folder is not an asset.
CONTENT_TYPES = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
#: Bytes; a package whose file is larger is damaged.
MAX_BYTES = 64 * 1024
#: Files; far above what we ship.
MAX_FILES = 64


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, ready to be sent; ``etag`` carries its quotes (RFC 9110, section 8.8.3)."""

    content_type: str
    data: bytes
    etag: str


class Assets:
    """All static files of the package by name: ``oauth2_mw.css`` and ``icons/github.svg``.

    They are read once, when the first is asked for, and only a name that is in the table is found.

    :param root: where the files are; the package's own folder if not given.
    """

    def __init__(self, root: Traversable | None = None) -> None:
        self._root = root

    def get(self, name: str) -> Asset | None:
        """The asset of exactly this name, the part of the URL after ``static/``."""
        return self._table.get(name)

    def icon(self, name: str) -> Asset | None:
        """The built-in icon of this name, as the setting ``icon`` writes it: ``github``."""
        return self._table.get(f"icons/{name}.svg")

    @cached_property
    def icon_names(self) -> frozenset[str]:
        """The names that the setting ``icon`` may write for a built-in icon."""
        return frozenset(
            name.removeprefix("icons/").removesuffix(".svg")
            for name in self._table
            if name.startswith("icons/")
        )

    @cached_property
    def _table(self) -> Mapping[str, Asset]:
        root = files("oauth2_mw.web.pages") / "static" if self._root is None else self._root
        table: dict[str, Asset] = {}
        for folder, prefix in ((root, ""), (root / "icons", "icons/")):
            for name, content_type, file in _served(folder):
                table[prefix + name] = _read(file, content_type)
                if len(table) > MAX_FILES:
                    raise ValueError(f"more than {MAX_FILES} static files in {root}: the package is damaged")
        return table


def _served(folder: Traversable) -> Iterator[tuple[str, str, Traversable]]:
    for file in folder.iterdir():
        content_type = CONTENT_TYPES.get(file.name[file.name.rfind(".") :])
        if content_type is not None and file.is_file():
            yield file.name, content_type, file


def _read(file: Traversable, content_type: str) -> Asset:
    with file.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"the static file {file.name} is larger than {MAX_BYTES} bytes: the package is damaged"
        )
    return Asset(content_type, data, f'"{hashlib.sha256(data).hexdigest()[:32]}"')
