"""Single sign-on for any WSGI application through OAuth 2.0 and OpenID Connect.

>>> from oauth2_mw import OAuth2Middleware, Settings
>>> app = OAuth2Middleware(app, Settings.from_ini("oauth2.ini"))  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oauth2_mw.api import authorized_session, get_identity, login_url, logout_url, require
    from oauth2_mw.identity.model import Identity
    from oauth2_mw.middleware import OAuth2Middleware
    from oauth2_mw.settings.model import Settings

__version__ = "0.2.0"

__all__ = [
    "Identity",
    "OAuth2Middleware",
    "Settings",
    "__version__",
    "authorized_session",
    "get_identity",
    "login_url",
    "logout_url",
    "require",
]

_MODULES = {
    "Identity": "oauth2_mw.identity.model",
    "OAuth2Middleware": "oauth2_mw.middleware",
    "Settings": "oauth2_mw.settings.model",
}


def __getattr__(name: str) -> Any:
    # Each name is imported when it is first used, so that a command or a test loads no more than it needs.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES.get(name, "oauth2_mw.api")), name)
