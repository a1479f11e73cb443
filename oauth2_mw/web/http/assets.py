"""The stylesheet, the script and the icons, held in memory: found by name, never by a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable

from webob import Request, Response

from oauth2_mw.errors import NotFoundError
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.settings.model import Settings
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.forms import require_method

#: The only types that are served. A file of another type in the folder is not an asset.
CONTENT_TYPES = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
#: The only scripts.
SCRIPTS = frozenset({"fragment.js", "local_time.js"})
#: The names of what the settings make.
LOGO, ACCENT = "logo", "accent.css"
#: The name of the image that clears the browser's cache.
CLEAR = "clear"
_EMPTY_IMAGE = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
#: Bytes of a file; a package with a larger one is damaged.
MAX_BYTES = 64 * 1024
#: Files; far more than the package has.
MAX_FILES = 64


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, ready to be sent."""

    content_type: str
    data: bytes


class Assets:
    """The static files of the package by name, such as ``oauth2_mw.css`` and ``icons/github.svg``.

    They are read once, for the first request, and only a name that is in the table is found.

    :param root: the folder with the files; the package's own if not given.
    """

    def __init__(self, root: Traversable | None = None) -> None:
        self._root = root

    def get(self, name: str) -> Asset | None:
        """Return the asset of exactly this name, the part of the URL after ``static/``, or ``None``."""
        return self._table.get(name)

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
        if file.name in SCRIPTS:
            content_type: str | None = "text/javascript; charset=utf-8"
        else:
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
    return Asset(content_type, data)


class AssetHandler:
    """The URLs of the static files and of the providers' icons.

    :param clears_cache: whether there is ``static/clear``.
    """

    def __init__(self, assets: Assets, settings: Settings, *, clears_cache: bool) -> None:
        self._assets = assets
        self._providers = settings.providers
        self._clears_cache = clears_cache
        self._own: dict[str, Asset] = {}
        if settings.logo is not None:
            self._own[LOGO] = Asset(settings.logo.content_type, settings.logo.data)
        if settings.accent is not None:
            self._own[ACCENT] = Asset(CONTENT_TYPES[".css"], settings.accent.stylesheet().encode())

    def icon(self, request: Request, _current: RequestSession, *, name: str) -> Response:
        """``GET icon/NAME``: the icon of that provider.

        :raises MethodNotAllowedError: for anything but GET and HEAD.
        :raises NotFoundError: when there is no such provider, or it has no icon.
        """
        require_method(request, "GET", "HEAD")
        provider = self._providers.get(name)
        if provider is None or provider.icon is None:
            raise NotFoundError(f"no provider {name!r} with an icon")
        return responses.asset(provider.icon.data, provider.icon.content_type)

    def static(self, request: Request, _current: RequestSession, *, name: str) -> Response:
        """``GET static/NAME``: a file of the package, or what the settings make. Errors as with :meth:`icon`."""
        require_method(request, "GET", "HEAD")
        if name == CLEAR and self._clears_cache:
            return self._clear(request)
        asset = self._own.get(name) or self._assets.get(name)
        if asset is None:
            raise NotFoundError(f"no file {name!r}")
        return responses.asset(asset.data, asset.content_type)

    @staticmethod
    def _clear(request: Request) -> Response:
        """``GET static/clear``: an empty image on the signed-out page, whose response clears the browser's cache.

        Chromium takes seconds for that, during which the page is there. A redirect or the page itself would be held up,
        and the page that was left enters the back/forward cache only after a redirect.
        """
        response = responses.asset(_EMPTY_IMAGE, CONTENT_TYPES[".svg"])
        # An image of ours in a page of somebody else's must not cost people their cache.
        if request.environ.get("HTTP_SEC_FETCH_SITE") == "same-origin":
            responses.clear_site_data(response, ["cache"])
        return response
