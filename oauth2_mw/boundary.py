"""Judge text from outside: paths, environ keys, destinations, queries. Each has no other judge in the package.

All are pure functions of their arguments, without a request, settings or a clock, so that each can be tested
against an oracle: a WHATWG URL parser for destinations, three path normalisers for paths.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from unicodedata import normalize
from urllib.parse import quote, unquote_to_bytes

from oauth2_mw.errors import BadRequestError

#: Characters; a destination travels in cookies, queries and a ``Location``.
MAX_DESTINATION = 2048
#: Characters of an address that a browser has asked of us; the usual servers read no longer request line.
MAX_ASKED = 8192
#: Fields of one query string or form.
MAX_FIELDS = 50

# The end of the year 9999: beyond it, databases and datetime fail.
_LAST_SECOND = 253402300799

#: Characters of what stands behind ``#``.
MAX_FRAGMENT = 1024

# How many times a path may be percent-encoded; every layer is judged.
_MAX_DECODINGS = 3

# RFC 3986, section 3.3: pchar and "/". ``quote`` keeps letters, digits and "_.-~" by itself.
_PATH_SAFE = "/:@!$&'()*+,;="
# RFC 3986, section 3.4. "%" stays, for what is encoded already.
_QUERY_SAFE = _PATH_SAFE + "?%"

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Those of ASCII: the others are octets of letters, in UTF-8 and in the encodings before it.
_CONTROL_OCTET = re.compile("[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LINE_BREAKS = str.maketrans("\r\n\t", "   ")
_NOT_ALPHANUMERIC = re.compile(r"[^0-9A-Z]+")

# Segments between single slashes. A segment of dots and blanks alone is refused, not only "." and "..": some
# file systems drop trailing dots and blanks, so that ".. " climbs as well.
_PLAIN_PATH = re.compile(r"(?:/(?![. ]+(?:/|\Z))[^/\x00-\x1f\x7f\\;%?#]++)++/?|/")

_SLASHES = re.compile("//+")
_PARAMETER = re.compile(";[^/]*")
# Two programs agree long before; more is somebody's play with our time.
_MAX_READINGS = 64

# 0x21 to 0x7E without the backslash, which browsers read as a slash.
_DESTINATION = re.compile(rf"[!-\[\]-~]{{1,{MAX_DESTINATION}}}")
# Also "..;" and its like, which Java servers behind the same host read as "..".
_DOT_SEGMENT = re.compile(r"/[. ]+(?:[/;?#]|\Z)")


def contains_control(text: str) -> bool:
    """Return whether ``text`` has a C0 or C1 control, DEL, a line or paragraph separator, or a surrogate."""
    return _CONTROL.search(text) is not None


def normalised_key(key: str) -> str:
    """Return the form in which servers and applications may take two environ keys for one.

    ``REMOTE_USER`` for ``Remote-User``, ``remote.user``, ``_Remote__User`` and the like.
    """
    return _NOT_ALPHANUMERIC.sub("_", key.upper()).strip("_")


def is_ambiguous_path(path: str) -> bool:
    """Return whether two programs could disagree on where ``path`` leads; such a path is never public.

    :param path: ``PATH_INFO``, a native string (PEP 3333): octets read as Latin-1, percent-decoded once.

    A path is ambiguous if it does not start with a slash (the empty path, absolute request lines), if it contains
    ``//``, a segment of dots and blanks alone, ``;``, a backslash, ``%``, ``?``, ``#``, control or invisible
    characters or octets that are not UTF-8, or if Unicode normalisation would change it (a full-width full stop).
    """
    if path.isascii():
        return _PLAIN_PATH.fullmatch(path) is None
    try:
        text = path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return True
    return not text.isprintable() or normalize("NFKC", text) != text or _PLAIN_PATH.fullmatch(text) is None


def path_readings(path: str) -> frozenset[str]:
    """Return every path that a program could take an ambiguous one for, itself among them; none if that has no end.

    Programs join slashes, resolve dot segments, cut what follows ``;`` in a segment, and decode once more, in any
    order.

    :param path: ``PATH_INFO``, a native string (PEP 3333), for which :func:`is_ambiguous_path` is true.
    """
    readings: set[str] = set()
    unread = {path}
    while unread:
        reading = unread.pop()
        if not _has_readings(reading) or len(readings) >= _MAX_READINGS:
            return frozenset()
        readings.add(reading)
        unread |= {
            _SLASHES.sub("/", reading),
            _resolved(reading),
            _PARAMETER.sub("", reading),
            unquote_to_bytes(reading.encode("latin-1")).decode("latin-1"),
        } - readings
    return frozenset(readings)


def _has_readings(path: str) -> bool:
    """Return whether all that is odd about *path* is slashes, dot segments, ``;`` and percent signs."""
    try:
        text = path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return False
    return (
        text.startswith("/")
        and text.isprintable()
        and normalize("NFKC", text) == text
        and not any(mark in text for mark in "\\?#")
        and all(segment in (".", "..") for segment in text.split("/") if segment and not segment.strip(". "))
    )


def _resolved(path: str) -> str:
    """Return *path* with its dot segments resolved (RFC 3986, section 5.2.4); above the root is the root."""
    kept: list[str] = []
    *segments, last = path.split("/")[1:]
    for segment in segments if last not in (".", "..") else [*segments, last]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/" + "".join(f"{segment}/" for segment in kept) + ("" if last in (".", "..") else last)


def browser_path(
    mount: str, path_info: str, query_string: str, *, script_name: str = "", raw_uris: Iterable[str] = ()
) -> str:
    """Return the path and query of a request as the browser sees them, for one of the two judges of destinations.

    :param mount: the path of ``public_url``, empty at the root.
    :param path_info: ``PATH_INFO``, a native string (PEP 3333).
    :param query_string: ``QUERY_STRING``, a native string.
    :param script_name: ``SCRIPT_NAME``, empty or *mount*.
    :param raw_uris: the request target as servers may tell it beside, with its path still encoded. The first counts
        that is a path which decodes to what the application routes on.

    Every input gives a result. One that is too long is cut, but the result is still too long for a destination.
    """
    path_info, query_string = path_info[: MAX_ASKED + 1], query_string[: MAX_ASKED + 1]
    octets = path_info.encode("latin-1", "replace")
    path = mount + quote(octets, safe=_PATH_SAFE)
    for raw_uri in raw_uris:
        raw_path = raw_uri[: 4 * MAX_ASKED].partition("?")[0].encode("latin-1", "replace")
        if raw_path.startswith(f"{script_name}/".encode()) and (
            unquote_to_bytes(raw_path) == script_name.encode("latin-1", "replace") + octets
        ):
            path = mount + quote(raw_path[len(script_name) :], safe=_PATH_SAFE + "%")
            break
    if not query_string:
        return path
    return f"{path}?{quote(query_string.encode('latin-1', 'replace'), safe=_QUERY_SAFE)}"


def asked_destination(
    value: str, *, mount: str, own_prefix: str, own_paths: Collection[str] = ()
) -> str | None:
    """Return an address that this browser has itself asked of us, or ``None`` if it may not be sent there again.

    It keeps its octets, where :func:`safe_destination` refuses what another program could read otherwise: the browser
    asks for no more than it did before. So it must come from nowhere else, and is only to be sent after our origin.

    :param value: what :func:`browser_path` returned, or what this function returned before.
    :param mount: the path of ``public_url``, plain ASCII, empty at the root.
    :param own_prefix: ``mount`` and ``prefix``; and *own_paths*, further endpoints of our own, mount included.

    The result lies inside *mount*, is a path and query as in RFC 3986, and is returned unchanged when it is judged
    again. A segment of dots is refused: browsers resolve it, and would ask for something else.
    """
    if not value.isascii():
        return None
    path, _, query = value.partition("?")
    if path == mount:
        path += "/"
    decoded = unquote_to_bytes(path).decode("latin-1")
    if (
        not path.startswith(mount + "/")
        or _CONTROL_OCTET.search(decoded)
        or _DOT_SEGMENT.search(decoded.replace("\\", "/"))
        or _is_own(decoded, own_prefix, own_paths)
    ):
        return None
    built = quote(path, safe=_PATH_SAFE + "%")
    if query:
        built += "?" + quote(query, safe=_QUERY_SAFE)
    return built if len(built) <= MAX_ASKED else None


def safe_destination(
    value: str | None, *, origin: str, mount: str, own_prefix: str, own_paths: Collection[str] = ()
) -> str | None:
    """Return a safe destination for a redirect, built anew from ``value``, or ``None`` if ``value`` is not safe.

    :param value: a path as the browser sees it, mount included, or an absolute URL of exactly our origin; in ASCII,
        everything else percent-encoded.
    :param origin: scheme, host and port of ``public_url``: ``https://app.example.com``.
    :param mount: the path of ``public_url``, plain ASCII, empty at the root.
    :param own_prefix: ``mount`` and ``prefix``. Our own endpoints are refused: a redirect to them would loop.
    :param own_paths: further endpoints of our own, mount included.

    The result starts with one slash, lies inside ``mount``, is a path and query as in RFC 3986, and is returned
    unchanged when it is judged again. The fragment is dropped. This is the guard against open redirects
    (RFC 9700, section 4.11).
    """
    if value is None or not _DESTINATION.fullmatch(value):
        return None
    if value.startswith(origin):
        value = value[len(origin) :]
        if value[:1] in ("", "?", "#"):
            value = "/" + value
    reference = value.partition("#")[0]
    path, _, query = reference.partition("?")
    decoded = _decoded_path(path, own_prefix, own_paths)
    if decoded is None:
        return None
    if decoded == mount:
        decoded += "/"
    if not decoded.startswith(mount + "/"):
        return None
    built = quote(decoded, safe=_PATH_SAFE)
    if query:
        built += "?" + quote(_BAD_ESCAPE.sub("%25", query), safe=_QUERY_SAFE)
    return built if len(built) <= MAX_DESTINATION else None


def safe_fragment(value: str) -> str | None:
    """Return what may stand behind ``#`` in an address of ours, built anew from *value*, or ``None``.

    Whatever it is, browsers look for it in the page that they were sent to (RFC 3986, section 3.5): it leads nowhere.
    """
    if not 0 < len(value) <= MAX_FRAGMENT or contains_control(value):
        return None
    built = quote(value, safe=_QUERY_SAFE)
    return built if len(built) <= MAX_FRAGMENT else None


def _decoded_path(path: str, own_prefix: str, own_paths: Collection[str]) -> str | None:
    """Return ``path`` percent-decoded once, or ``None`` if it, or any decoding of it, is harmful."""
    if _BAD_ESCAPE.search(path):
        return None
    layers = [path]
    while True:
        layer = layers[-1]
        if _is_harmful(layer) or _is_own(layer, own_prefix, own_paths):
            return None
        try:
            decoded = unquote_to_bytes(layer).decode("utf-8")
        except UnicodeDecodeError:
            return None
        if decoded == layer:
            return layers[min(1, len(layers) - 1)]
        if len(layers) > _MAX_DECODINGS:
            return None
        layers.append(decoded)


def _is_own(path: str, own_prefix: str, own_paths: Collection[str]) -> bool:
    return path == own_prefix or path.startswith(own_prefix + "/") or path in own_paths


def _is_harmful(path: str) -> bool:
    # The compatibility form as well: some servers on the same host make a dot of a full-width full stop.
    return any(
        not text.startswith("/")
        or "//" in text
        or "\\" in text
        or contains_control(text)
        or _DOT_SEGMENT.search(text) is not None
        for text in {path, normalize("NFKC", path)}
    )


def strict_query(
    query_string: str, *, allowed: frozenset[str], limit: int, prose: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Return the allowed parameters of a query string or an urlencoded form that was sent to one of our own URLs.

    :param query_string: a native string (PEP 3333).
    :param allowed: the names that are read, each at most once, because programs differ on which of two counts
        (RFC 6749, section 3.1). Other parameters must be well-formed, and are dropped.
    :param limit: octets.
    :param prose: those allowed names whose value is a sentence for people: in it tabs and line breaks become blanks
        (Entra breaks the lines of its ``error_description``).
    :raises BadRequestError: if the text is too long, has too many fields, broken percent-encoding, octets that are not
        UTF-8, a control character, or an allowed parameter twice. The error never quotes a value.
    """
    if len(query_string) > limit:
        raise BadRequestError(f"the parameters are longer than the {limit} octets that are read")
    if query_string.count("&") >= MAX_FIELDS:
        raise BadRequestError(f"there are more than the {MAX_FIELDS} parameters that are read")
    if _BAD_ESCAPE.search(query_string):
        raise BadRequestError("a percent sign in the parameters is not followed by two hexadecimal digits")
    parameters: dict[str, str] = {}
    for part in query_string.split("&"):
        name, value = map(_form_text, part.partition("=")[::2])
        if name in prose:
            value = value.translate(_LINE_BREAKS)
        if contains_control(name) or contains_control(value):
            raise BadRequestError("there is a control character in the parameters")
        if name not in allowed:
            continue
        if name in parameters:
            raise BadRequestError(f"the parameter {name!r} is given more than once")
        parameters[name] = value
    return parameters


def _form_text(text: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode("utf-8")
    except UnicodeError:
        raise BadRequestError("the parameters are not UTF-8") from None


def numeric_date(value: object) -> float | None:
    """Return *value*, in seconds since the epoch, if it is a NumericDate (RFC 7519, section 2) of 1970 to 9999."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # NaN and infinity are in no range.
    return value if 0 < value <= _LAST_SECOND else None
