"""The identity in the WSGI environ (PEP 3333; RFC 3875): every other claim to one is removed, and ours is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from oauth2_mw.boundary import contains_control, normalised_key
from oauth2_mw.encoding import ascii_form, percent_form, scalar_text
from oauth2_mw.errors import ProviderError
from oauth2_mw.identity.authorization import AUTHORIZATION_FORMS, carries_token
from oauth2_mw.identity.model import Identity
from oauth2_mw.settings.environ_keys import IDENTITY_SOURCES, PLAIN, TOKEN_SOURCES, EnvironForm
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.proxy_headers import IDENTITY_FAMILIES, IDENTITY_NAMES, bare_name, environ_key

AUTH_TYPE = "OAuth2"

_Source = Callable[[Identity, Mapping[str, str]], Any]

# Bounds of the set of harmless names, which clients can fill with headers of their invention.
_MAX_REMEMBERED = 4096
_MAX_REMEMBERED_LENGTH = 128

# What a server says of the request itself. A target HTTP_X_HOST must not cost the application its HTTP_HOST.
_STANDARD = frozenset(
    """
    CONTENT_LENGTH CONTENT_TYPE DOCUMENT_ROOT GATEWAY_INTERFACE HTTPS PATH_INFO PATH_TRANSLATED QUERY_STRING RAW_URI
    REMOTE_ADDR REMOTE_HOST REMOTE_IDENT REMOTE_PORT REQUEST_METHOD REQUEST_SCHEME REQUEST_URI SCRIPT_FILENAME
    SCRIPT_NAME SERVER_ADDR SERVER_ADMIN SERVER_NAME SERVER_PORT SERVER_PROTOCOL SERVER_SIGNATURE SERVER_SOFTWARE
    HTTP_ACCEPT HTTP_ACCEPT_CHARSET HTTP_ACCEPT_ENCODING HTTP_ACCEPT_LANGUAGE HTTP_CACHE_CONTROL HTTP_CONNECTION
    HTTP_CONTENT_LENGTH HTTP_CONTENT_TYPE HTTP_COOKIE HTTP_DATE HTTP_EXPECT HTTP_FORWARDED HTTP_FROM HTTP_HOST
    HTTP_IF_MATCH HTTP_IF_MODIFIED_SINCE HTTP_IF_NONE_MATCH HTTP_IF_RANGE HTTP_IF_UNMODIFIED_SINCE HTTP_ORIGIN
    HTTP_PRAGMA HTTP_RANGE HTTP_REFERER HTTP_TE HTTP_TRANSFER_ENCODING HTTP_UPGRADE HTTP_USER_AGENT HTTP_VIA
    """.split()
)

_AUTHORIZATION = "HTTP_AUTHORIZATION"
#: The environ key that says that a request came with a credential which the application does not see. Its value is
#: ``Bearer`` for one of that scheme, and otherwise empty.
HIDDEN_AUTHORIZATION = "oauth2_mw.hidden_credential"


class Scrubber:
    """Removes every key from an environ that could pass for an identity of ours: the first step of each request.

    Names are compared normalised and without ``HTTP_``, ``X_`` and ``REDIRECT_`` in front, whatever the
    server made of the client's headers. What a server says of the request itself is never removed.

    The verdict depends on the name alone, so harmless names are remembered, and a request without a new name
    costs one set comparison. The set is shared between threads without a lock: a name only ever goes from
    unknown to harmless, every thread comes to the same verdict, and one ``set.add`` or one comparison is
    atomic. At worst two threads judge a name twice, or remember one name too many. A client that fills the
    set with names of its own only makes later new names be judged each time.

    :param targets: the keys that we write ourselves, those of ``[environ]``.
    :param keep_headers: names of headers that proxies announce a user by and that the application is to see all the
        same; never one of *targets*.
    :param strip_authorization: which ``Authorization`` headers the application must not see. ``basic``: some
        applications believe a leftover Basic user name more than ``REMOTE_USER``.
    """

    def __init__(
        self,
        targets: Iterable[str],
        strip_authorization: Literal["basic", "all", "none"],
        *,
        keep_headers: Iterable[str] = (),
    ) -> None:
        own = frozenset(map(bare_name, targets))
        self._names = IDENTITY_NAMES | own
        self._strip_authorization = strip_authorization
        self._harmless = {environ_key(header) for header in keep_headers if bare_name(header) not in own}
        # The header's name is harmless, and its value is checked in every request.
        self._harmless.add(_AUTHORIZATION)
        #: Return whether all keys of an environ are known to be harmless, the values of ``Authorization`` aside. The
        #: set's own method, so that the usual request costs nothing more.
        self.knows_all: Callable[[Iterable[object]], bool] = self._harmless.issuperset

    def __call__(self, environ: dict[Any, Any]) -> None:
        """Clean ``environ`` in place."""
        if not self.knows_all(environ):
            self._judge_new(environ)
        if _AUTHORIZATION in environ and self._must_cut(environ[_AUTHORIZATION]):
            del environ[_AUTHORIZATION]

    def _must_cut(self, authorization: object) -> bool:
        """Return whether the application must not see that ``Authorization``; a personal token it never sees."""
        cuts = self._strip_authorization
        return cuts == "all" or (cuts == "basic" and _is_basic(authorization)) or carries_token(authorization)

    def _judge_new(self, environ: dict[Any, Any]) -> None:
        harmless = self._harmless
        for key in [key for key in environ if key not in harmless]:
            # WSGI knows no other keys; an application's own middleware may.
            if not isinstance(key, str):
                continue
            if normalised_key(key) in AUTHORIZATION_FORMS:
                # Not remembered: the next value under this name may be another.
                if self._must_cut(environ[key]):
                    del environ[key]
            elif self._is_identity(key):
                del environ[key]
            elif len(harmless) < _MAX_REMEMBERED and len(key) <= _MAX_REMEMBERED_LENGTH:
                harmless.add(key)

    def _is_identity(self, key: str) -> bool:
        if key in _STANDARD or key.startswith("wsgi."):
            return False
        name = bare_name(key)
        return name in self._names or name.startswith(IDENTITY_FAMILIES)


def _is_basic(value: object) -> bool:
    return str(value).lstrip()[:5].lower() == "basic"


class EnvironWriter:
    """Turns an identity into plain environ keys, once per session; each request copies them.

    :param environ_map: target key -> source, as in ``Settings.environ``.
    :param forms: target key -> the form of its value, as in ``Settings.environ_forms``.
    :raises ValueError: for a source that does not exist.
    """

    def __init__(
        self, environ_map: Mapping[str, str], forms: Mapping[str, EnvironForm] = MappingProxyType({})
    ) -> None:
        self._sources = tuple(
            (target, _source(text), forms.get(target, PLAIN)) for target, text in environ_map.items()
        )

    def plain(self, identity: Identity, tokens: Mapping[str, str]) -> dict[str, str]:
        """Return the keys for ``identity``: ``REMOTE_USER``, ``AUTH_TYPE`` and those of ``[environ]``.

        :param tokens: the tokens that are kept, under ``access_token`` and ``id_token``.
        :raises ProviderError: ``bad_username``, if the username is empty or contains control characters.

        Values are UTF-8 octets read as Latin-1 (PEP 3333). A key is left out if its value is absent, is empty or
        has no plain form (a mapping, control characters): an empty one would read as "signed in as nobody". That is
        said of the text itself, before its encoding.
        """
        remote_user = _octets(identity.username)
        if remote_user is None:
            raise ProviderError(
                "the username cannot be handed on as REMOTE_USER: it is empty or contains control characters; "
                "correct it at the provider or map another field to username",
                code="bad_username",
            )
        keys: dict[str, str] = {}
        for target, source, form in self._sources:
            text = _plain(source(identity, tokens), form)
            octets = None if text is None else _octets(text)
            if octets is not None:
                keys[target] = octets
        keys["REMOTE_USER"] = remote_user
        keys["AUTH_TYPE"] = AUTH_TYPE
        return keys


def _source(text: str) -> _Source:
    if text in IDENTITY_SOURCES:
        return lambda identity, _tokens: getattr(identity, text)
    if text in TOKEN_SOURCES:
        return lambda _identity, tokens: tokens.get(text)
    if text.startswith("claims."):
        path = AttributePath.parse(text.removeprefix("claims."))
        return lambda identity, _tokens: path.get(identity.claims)
    sources = ", ".join(sorted((*IDENTITY_SOURCES, *TOKEN_SOURCES)))
    raise ValueError(f"{text!r} is not a source; write one of {sources}, or claims.PATH")


def _octets(text: str) -> str | None:
    # Judged before the encoding: afterwards the octets 0x80 to 0x9F are everywhere.
    if not text or contains_control(text):
        return None
    return text.encode("utf-8").decode("latin-1")


def _plain(value: Any, form: EnvironForm) -> str | None:
    """Return a claim as plain text, or ``None`` if it has no such form.

    One bad item spoils a list: one that silently lacks a group would be believed.
    """
    if not isinstance(value, (list, tuple)):
        text = scalar_text(value)
        return None if text is None else _encoded(text, form)
    items = [scalar_text(item) for item in value]
    if None in items:
        return None
    if form != PLAIN:
        return _joined([item for item in items if item], form)
    return ",".join(item.replace("%", "%25").replace(",", "%2C") for item in items if item)


def _joined(items: list[str], form: EnvironForm) -> str | None:
    # Judged before the encoding, like every text; and without its accents one group could be another.
    if any(map(contains_control, items)) or (form.encoding == "ascii" and not all(map(str.isascii, items))):
        return None
    separator = form.separator or ","
    if form.encoding == "percent":
        items = [percent_form(item) for item in items]
    elif form.separator is None:
        items = [item.replace("%", "%25") for item in items]
    elif any(separator in item for item in items):
        # It would be read as two.
        return None
    return separator.join(item.replace(separator, f"%{ord(separator):02X}") for item in items)


def _encoded(text: str, form: EnvironForm) -> str | None:
    if form.encoding == "utf-8" or contains_control(text):
        return text
    return percent_form(text) if form.encoding == "percent" else ascii_form(text)
