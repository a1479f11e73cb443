"""What a Django project takes over from a sign-in: ``AUTHENTICATION_BACKENDS`` names the class."""

from __future__ import annotations

from django.contrib.auth.backends import RemoteUserBackend
from django.contrib.auth.models import Group, User
from django.http import HttpRequest


class Backend(RemoteUserBackend):  # type: ignore[misc]
    """Makes a user of ``REMOTE_USER``, with the address and the groups of the sign-in."""

    def clean_username(self, username: str) -> str:
        """``REMOTE_USER`` is UTF-8 read as Latin-1 (PEP 3333); Django wants the text itself."""
        return username.encode("latin-1").decode("utf-8")

    def configure_user(self, request: HttpRequest, user: User, **_: bool) -> User:
        """Called when a session of Django's begins, the first one included."""
        person = request.META["oauth2_mw.identity"]
        user.email = person.email or ""
        # Who may enter Django's admin site, and who may do everything there.
        user.is_staff = not {"staff", "admins"}.isdisjoint(person.groups)
        user.is_superuser = "admins" in person.groups
        user.save()
        user.groups.set([Group.objects.get_or_create(name=name)[0] for name in person.groups])
        return user
