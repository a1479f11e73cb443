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
    AUTHENTICATION_BACKENDS=["samples.django_people.Backend"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("DJANGO_DATABASE", "django.db"),
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
    ],
    # Where login_required sends those who have not signed in.
    LOGIN_URL="/auth/oauth2/login/",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.contrib.auth.middleware.RemoteUserMiddleware",
    ],
    ROOT_URLCONF=__name__,
    # A real project keeps it, or everybody's Django session ends with the process.
    SECRET_KEY=secrets.token_urlsafe(50),
    # Groups are taken over when a session of Django's begins, which should not outlive one of ours.
    SESSION_COOKIE_AGE=8 * 3600,
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
)
django.setup()

# Django's models can only be imported when the settings stand.
from django.contrib import admin  # noqa: E402
from django.contrib.auth.decorators import login_required  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

from oauth2_mw import OAuth2Middleware, Settings, require  # noqa: E402


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


@login_required  # type: ignore[untyped-decorator]
def profile(request: HttpRequest) -> HttpResponse:
    """For whoever has signed in; ``optional`` in the rules, so that Django decides."""
    return HttpResponse(f"Profile of {request.user.get_username()}")


urlpatterns = [
    path("", greet),
    path("salaries", salaries),
    path("about", about),
    path("profile", profile),
    path("admin/", admin.site.urls),
]


def make_app(ini: str) -> OAuth2Middleware:
    """The project behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    return OAuth2Middleware(get_wsgi_application(), Settings.from_ini(ini))


if __name__ == "__main__":
    call_command("migrate")
