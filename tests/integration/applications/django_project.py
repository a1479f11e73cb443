"""A Django project that reads ``REMOTE_USER`` at its login alone, as Django does where no middleware of its own does.

Its logout is Django's own view: a form with Django's own token.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse

PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Project</title></head><body>
<p>This is {{ user.get_username }}.</p>
<form method="post" action="/logout/">{% csrf_token %}<button>Log out</button></form>
</body></html>"""
BYE = "<!DOCTYPE html><html lang='en'><head><title>Bye</title></head><body><p>Bye.</p></body></html>"


def app_factory(_global_conf: Mapping[str, Any]) -> Any:
    """PasteDeploy's ``app_factory``; the database is where ``DJANGO_DATABASE`` says."""
    settings.configure(
        ALLOWED_HOSTS=["*"],
        AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.RemoteUserBackend"],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DJANGO_DATABASE"]}
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        LOGOUT_REDIRECT_URL="/bye",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        ROOT_URLCONF=__name__,
        SECRET_KEY="for this test alone",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.csrf",
                        "django.contrib.auth.context_processors.auth",
                        "django.template.context_processors.request",
                    ],
                    "loaders": [("django.template.loaders.locmem.Loader", {"page.html": PAGE})],
                },
            }
        ],
    )
    django.setup()
    from django.contrib.auth.views import LogoutView
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.urls import path

    global urlpatterns
    urlpatterns = [
        path("", show),
        path("logout/", LogoutView.as_view()),
        path("bye", lambda _request: HttpResponse(BYE)),
    ]
    call_command("migrate", verbosity=0)
    return get_wsgi_application()


urlpatterns: list[Any] = []


def show(request: HttpRequest) -> HttpResponse:
    """Say who is there. Who has no session of Django's own gets one, of the name in ``REMOTE_USER``."""
    from django.contrib.auth import authenticate, login
    from django.shortcuts import render

    if not request.user.is_authenticated:
        login(request, authenticate(request, remote_user=request.META["REMOTE_USER"]))
    return render(request, "page.html")
