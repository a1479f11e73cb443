"""What Trac knows of those whom the provider has signed in: copy it to the folder ``plugins`` of the project.

Without it Trac knows the name alone.
"""

from __future__ import annotations

from typing import Any

from trac.core import Component, implements
from trac.perm import IPermissionGroupProvider
from trac.web.api import IRequestFilter


class Person(Component):  # type: ignore[misc]
    """Full name, address and groups of whoever asks, which come with each request."""

    implements(IPermissionGroupProvider, IRequestFilter)

    def __init__(self) -> None:
        self._groups: dict[str, tuple[str, ...]] = {}

    def get_permission_groups(self, username: str) -> tuple[str, ...]:
        """Groups of the provider, to which ``trac-admin PROJECT permission add GROUP ACTION`` gives permissions."""
        return self._groups.get(username, ())

    def pre_process_request(self, req: Any, handler: Any) -> Any:
        """Keep the name and the address where Trac looks for them when it writes an e-mail."""
        person = req.environ.get("oauth2_mw.identity")
        if person is not None:
            self._groups[req.authname] = person.groups
            for key in ("name", "email"):
                if value := getattr(person, key):
                    req.session[key] = value
        return handler

    def post_process_request(
        self, _req: Any, template: Any, data: Any, metadata: Any
    ) -> tuple[Any, Any, Any]:
        return template, data, metadata
