"""MoinMoin 2, whose users are those whom the provider signs in. From the project's root::

    gunicorn 'samples.moin_app:make_app("moin.ini", "/srv/wiki/wikiconfig.py")'

``moin.ini`` has the settings. ``wikiconfig.py`` is that of ``moin create-instance``; its access lists may name the
groups below.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, request
from moin.app import create_app_ext
from moin.auth import GivenAuth
from moin.datastructures.backends.composite_groups import CompositeGroups
from moin.datastructures.backends.config_groups import ConfigGroups
from moin.datastructures.backends.wiki_groups import WikiGroups

from oauth2_mw import OAuth2Middleware, Settings, get_identity

#: a group of the provider -> what the wiki's access lists call it
GROUPS = {"admins": "AdminsGroup"}


class Auth(GivenAuth):  # type: ignore[misc]
    """Takes the name at each request, and the address with it; whoever is new gets an account."""

    def decode_username(self, name: str) -> str:
        """``REMOTE_USER`` is UTF-8 read as Latin-1 (PEP 3333); the wiki wants the text itself."""
        return name.encode("latin-1").decode("utf-8")

    def request(self, user_obj: Any, **keys: Any) -> tuple[Any, bool]:
        user, goes_on = super().request(user_obj, **keys)
        person = get_identity(request.environ)
        if user and person:
            # The list of users in the wiki's administration wants both of everybody.
            user.profile["disabled"], user.profile["email"] = user.disabled, person.email or user.email or ""
            user.profile.save()
        return user, goes_on


def groups(_configuration: object) -> CompositeGroups:
    """The groups of whoever asks, which come with each request, and those of the wiki's pages."""
    person = get_identity(request.environ)
    members = {
        name: [person.username] if person and group in person.groups else [] for group, name in GROUPS.items()
    }
    return CompositeGroups(ConfigGroups(members), WikiGroups())


def make_app(ini: str, configuration: str) -> Flask:
    """The wiki behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    app: Flask = create_app_ext(configuration, auth=[Auth(autocreate=True)], groups=groups)
    app.wsgi_app = OAuth2Middleware(app.wsgi_app, Settings.from_ini(ini))  # type: ignore[method-assign]
    return app
