"""What a middleware is made of: the arguments are judged before anything else, all that is wrong in them at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from oauth2_mw.errors import ConfigError, Problem
from oauth2_mw.identity.hooks import Hooks
from oauth2_mw.identity.hooks import load_hooks as import_hooks
from oauth2_mw.provider.jose.assertion_key import assertion_key_problems
from oauth2_mw.settings.document import MAIN
from oauth2_mw.settings.metrics_folder import FOLDER
from oauth2_mw.settings.model import Settings
from oauth2_mw.telemetry import Observer
from oauth2_mw.web.http.peers import Peers


def settings_of(app: object, settings: object) -> Settings:
    """Return the settings, of whichever kind the argument is.

    :raises TypeError: if one of the arguments is something else.
    :raises ConfigError: if the settings cannot be used.
    """
    if not callable(app):
        raise TypeError(
            f"OAuth2Middleware(app, settings) takes the WSGI application first, and {type(app).__name__} is not one"
        )
    match settings:
        case Settings():
            return settings
        case str() | os.PathLike():
            return Settings.from_ini(os.fspath(settings))
        case Mapping():
            return Settings.from_mapping(settings)
    raise TypeError(
        "OAuth2Middleware(app, settings) takes Settings, the path of an INI file or a mapping second, and not "
        f"{settings.__name__ if isinstance(settings, type) else type(settings).__name__}"
    )


def check_alone(settings: Settings, inside: Iterable[Settings]) -> None:
    """Refuse an application that is behind such a middleware already.

    :param inside: the settings of those that it is behind.
    :raises ConfigError: if the two would take each other's cookies or addresses.
    """
    for inner in inside:
        if inner.cookie_name == settings.cookie_name:
            what, key = (
                f"the same cookie_name, {settings.cookie_name}: it would never see its sessions",
                "cookie_name",
            )
        elif (inner.public_url, inner.prefix) == (settings.public_url, settings.prefix):
            what, key = f"the same prefix, {settings.prefix}: nobody would ever come to its login", "prefix"
        else:
            continue
        text = (
            f"the application is behind another OAuth2Middleware already, with {what}; take one of them out, or give "
            "each its own"
        )
        raise ConfigError([Problem(MAIN, key, text)])


def load_hooks(settings: Settings) -> Hooks:
    """Return the application's hooks, if all can be used that settings can only name.

    :raises ConfigError: with what cannot.
    """
    hooks, problems = import_hooks(settings)
    # The settings check that a key is there; only the provider package can tell whether it can be used.
    if problems := [*assertion_key_problems(settings.providers.values()), *problems]:
        raise ConfigError(problems)
    return hooks


def open_observer(settings: Settings, peers: Peers) -> Observer:
    """Return what observes the requests of an application.

    :param peers: who says whose a request is.
    :raises ConfigError: if metrics are asked for and cannot be written.
    """
    metrics = None
    if settings.metrics == "prometheus":
        if find_spec("prometheus_client") is None:
            problem = (
                "needs prometheus_client, which is not installed; run: pip install 'oauth2-mw[prometheus]'"
            )
            raise ConfigError([Problem(MAIN, "metrics", problem)])
        from oauth2_mw.prometheus import PrometheusMetrics

        folder = os.environ.get(FOLDER)
        if folder is not None and not Path(folder).is_dir():
            problem = f"the folder {folder} of {FOLDER} does not exist: make it, empty, before each start of the server"
            raise ConfigError([Problem(MAIN, "metrics", problem)])
        metrics = PrometheusMetrics()
    return Observer(peers.client, settings.audit_format, metrics)
