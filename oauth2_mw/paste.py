"""Entry points for PasteDeploy (``use = egg:oauth2-mw`` in a filter section), which is not imported itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def filter_app_factory(
    app: WSGIApplication, global_conf: Mapping[str, str], **local_conf: str
) -> OAuth2Middleware:
    """Put the middleware in front of *app* (``paste.filter_app_factory``).

    :param local_conf: ``config = PATH`` of an INI file, and keys inline, which win: ``client_id``,
        ``provider.NAME.KEY``, ``environ.KEY``, ``access.rules``.
    :raises ConfigError: with every problem found.
    """
    return OAuth2Middleware(app, Settings.from_paste(global_conf, local_conf))


def filter_factory(
    global_conf: Mapping[str, str], **local_conf: str
) -> Callable[[WSGIApplication], OAuth2Middleware]:
    """Return a callable that puts the middleware in front of an application (``paste.filter_factory``).

    :raises ConfigError: with every problem found.
    """
    settings = Settings.from_paste(global_conf, local_conf)

    def wrap(app: WSGIApplication) -> OAuth2Middleware:
        return OAuth2Middleware(app, settings)

    return wrap
