"""A Django project in one file whose users are created by signing in.

Django reads ``REMOTE_USER`` from each request, makes a user of it at the first one, and ends its own session when
the name is another or missing. From the project's root::

    DJANGO_DATABASE=/tmp/django.db python -m samples.django_app
    DJANGO_DATABASE=/tmp/django.db gunicorn 'samples.django_app:make_app("oauth2.ini")'

The first line makes the tables. ``django.ini`` has the settings.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],  # the proxy in front knows the names; oauth2_mw never reads the Host header
    AUTHENTICATION_BACKENDS=[f"{__name__}.Backend"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("DJANGO_DATABASE", "django.db"),
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.RemoteUserMiddleware",
    ],
    ROOT_URLCONF=__name__,
    # A real project keeps it, or everybody's Django session ends with the process.
    SECRET_KEY=secrets.token_urlsafe(50),
)
django.setup()

# Django's models can only be imported when the settings stand.
from django.contrib.auth.backends import RemoteUserBackend  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

from oauth2_mw import OAuth2Middleware, Settings, require  # noqa: E402


class Backend(RemoteUserBackend):  # type: ignore[misc]
    """What Django makes of ``REMOTE_USER``, and what else it takes over from the sign-in."""

    def clean_username(self, username: str) -> str:
        """``REMOTE_USER`` is UTF-8 read as Latin-1 (PEP 3333); Django wants the text itself."""
        return username.encode("latin-1").decode("utf-8")

    def configure_user(self, request: HttpRequest, user: User, **_: bool) -> User:
        """Take over the address and the groups; called at each Django login, the first one included."""
        person = request.META["oauth2_mw.identity"]
        user.email = person.email or ""
        user.save()
        user.groups.set([Group.objects.get_or_create(name=name)[0] for name in person.groups])
        return user


def greet(request: HttpRequest) -> JsonResponse:
    """Say who is there."""
    user = request.user
    return JsonResponse({"username": user.get_username(), "email": getattr(user, "email", "")})


def requires(**demanded: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let those alone see a view who meet what is *demanded*: ``group``, ``claim``, ``acr``, ``max_age``."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            answer = require(request.META, **demanded)
            return view(request, *args, **kwargs) if answer is None else _response(answer, request)

        return guarded

    return decorate


def _response(answer: Any, request: HttpRequest) -> HttpResponse:
    response = HttpResponse()

    def start(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
        response.status_code = int(status.split()[0])
        for name, value in headers:
            # Django keeps one header of each name, and cookies apart from them.
            if name == "Set-Cookie":
                response.cookies.load(value)
            else:
                response[name] = value
        return response.write

    response.content = b"".join(answer(request.META, start))
    return response


@requires(group="admins")
def salaries(_request: HttpRequest) -> HttpResponse:
    """For one group alone."""
    return HttpResponse("Salaries")


def about(_request: HttpRequest) -> HttpResponse:
    """For everybody; ``optional`` in the rules."""
    return HttpResponse("About us")


urlpatterns = [path("", greet), path("salaries", salaries), path("about", about)]


def make_app(ini: str) -> OAuth2Middleware:
    """The project behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    return OAuth2Middleware(get_wsgi_application(), Settings.from_ini(ini))


if __name__ == "__main__":
    call_command("migrate")
