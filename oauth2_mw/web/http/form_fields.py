"""The names of a form's fields, for its sender to know it again: never a value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from urllib.parse import unquote_to_bytes

#: Fields that are looked at, and octets of a part's header.
MAX_FIELDS = 200
_MAX_HEADER = 2048
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
# A file's name may hold whatever a page's author likes: browsers write it behind the field's.
_NAME = re.compile(rb'^content-disposition:[^\r\n"]*;[ \t]*name="([^"\r\n]*)"', re.IGNORECASE | re.MULTILINE)


def field_names(content_type: str, body: bytes) -> tuple[str, ...]:
    """Return the names of a form's fields, each once, in their order.

    :param content_type: one of the three that browsers send forms in (HTML, section 4.10.21.6).

    Every input gives a result; what cannot be read has no names. Of ``text/plain`` the first name alone is sure: a line
    behind it may belong to a value.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        found = _of_multipart(content_type, body)
    elif media_type == "text/plain":
        found = iter([body.partition(b"=")[0]] if b"=" in body.partition(b"\n")[0] else [])
    else:
        found = _of_query(body)
    names = (name.decode("utf-8", "replace") for name in islice(found, MAX_FIELDS))
    return tuple(dict.fromkeys(name for name in names if name))


def _of_query(body: bytes) -> Iterator[bytes]:
    for part in body.split(b"&", MAX_FIELDS)[:MAX_FIELDS]:
        yield unquote_to_bytes(part.partition(b"=")[0].replace(b"+", b" "))


def _of_multipart(content_type: str, body: bytes) -> Iterator[bytes]:
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return
    delimiter = b"--" + (boundary[1] or boundary[2]).encode("latin-1", "replace") + b"\r\n"
    at = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter)
    while at >= 0:
        header = body[at : at + len(delimiter) + _MAX_HEADER].partition(b"\r\n\r\n")[0]
        name = _NAME.search(header)
        if name is not None:
            # Browsers escape these three (HTML, section 4.10.21.8).
            yield name[1].replace(b"%22", b'"').replace(b"%0D", b" ").replace(b"%0A", b"")
        at = body.find(b"\r\n" + delimiter, at + 1)
