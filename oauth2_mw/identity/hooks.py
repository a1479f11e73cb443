"""What an application is told of who signs in and out: ``on_login``, ``on_user_created`` and ``on_logout``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from oauth2_mw.audit import audit
from oauth2_mw.errors import AccessDeniedError, Problem
from oauth2_mw.identity.model import Identity
from oauth2_mw.settings.model import Settings

log: logging.Logger = logging.getLogger(__name__)

Hook = Callable[[Identity], object]
_SETTINGS = ("on_login", "on_user_created", "on_logout")


@dataclass(frozen=True, slots=True)
class Hooks:
    """The callables of one application. Each is called with the identity alone; what it returns is not looked at."""

    login: Hook | None = None
    user_created: Hook | None = None
    logout: Hook | None = None

    def on_login(self, identity: Identity) -> None:
        """Tell of a person who may enter, before anything is written.

        :raises AccessDeniedError: ``on_login``, if the application raises anything.
        """
        if self.login is None:
            return
        try:
            self.login(identity)
        except Exception as error:
            raise AccessDeniedError(_failed("on_login", error), code="on_login") from error

    def on_user_created(self, identity: Identity) -> None:
        """Tell of a user whom a sign-in has just added to the directory. Never raises."""
        _tell("on_user_created", self.user_created, identity)

    def on_logout(self, identity: Identity) -> None:
        """Tell of a person whose session has just ended by a sign-out in its browser. Never raises."""
        _tell("on_logout", self.logout, identity)


NO_HOOKS = Hooks()


def load_hooks(settings: Settings) -> tuple[Hooks, list[Problem]]:
    """Import what the settings name, and return what cannot be used of it."""
    found: dict[str, Hook] = {}
    problems = []
    for key in _SETTINGS:
        text: str | None = getattr(settings, key)
        if text is None:
            continue
        try:
            found[key.removeprefix("on_")] = _import(text)
        except Exception as error:  # noqa: BLE001 - a module may do anything while it is imported
            reason = f"{type(error).__name__}: {error}"
            problems.append(
                Problem("oauth2_mw", key, f"{text} cannot be used: {reason}; is its folder on PYTHONPATH?")
            )
    return Hooks(**found), problems


def _import(text: str) -> Hook:
    module, colon, name = text.partition(":")
    if not colon:
        module, _, name = text.rpartition(".")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"it is not callable but {type(found).__name__}")
    hook: Hook = found
    return hook


def _tell(key: str, hook: Hook | None, identity: Identity) -> None:
    if hook is None:
        return
    try:
        hook(identity)
    except Exception as error:  # noqa: BLE001 - what has happened has happened, whatever the application makes of it
        audit("hook_failed", identity=identity, detail=_failed(key, error))


def _failed(key: str, error: Exception) -> str:
    log.error("%s failed", key, exc_info=error)
    return f"{key} raised {type(error).__name__}: {error}; the log has its traceback"
