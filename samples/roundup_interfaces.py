"""A tracker of Roundup whose users are those whom the provider signs in: copy it to the tracker as ``interfaces.py``.

Each request brings its name, address and roles with it; whoever is new gets an account.
"""

from __future__ import annotations

from typing import Any

from roundup.cgi import actions, client, exceptions

from oauth2_mw import logout_url

#: a group -> the role that it gives, beside ``User``
ROLES = {"admins": "Admin"}


class Logout(actions.Action):  # type: ignore[misc]
    """What Roundup's own link *Logout* does."""

    def handle(self) -> None:
        """Sign out where people sign in."""
        raise exceptions.Redirect(logout_url(self.client.env))


class Client(client.Client):  # type: ignore[misc]
    """What Roundup makes of a request."""

    actions = (("logout", Logout), *client.Client.actions)

    def determine_user(self, is_api: bool = False) -> None:  # noqa: FBT001, FBT002  # Roundup's own signature
        """Bring the account up to date before Roundup looks for it."""
        person = self.env.get("oauth2_mw.identity")
        if person is not None:
            self.opendb("admin")
            self._update(person)
        super().determine_user(is_api=is_api)

    def _update(self, person: Any) -> None:
        roles = ["User", *(ROLES[group] for group in person.groups if group in ROLES)]
        told = {"roles": ",".join(roles), "address": person.email, "realname": person.name}
        wanted = {key: value for key, value in told.items() if value}
        users = self.db.user
        try:
            known = users.lookup(person.username)
        except KeyError:
            users.create(username=person.username, **wanted)
        else:
            if all(users.get(known, key) == value for key, value in wanted.items()):
                return
            users.set(known, **wanted)
        self.db.commit()
