"""A plain OAuth 2.0 provider in one file: Django with django-oauth-toolkit, no ID tokens, numeric user ids.

``python project.py DATABASE [HOST]`` serves it on a free port of 127.0.0.1, prints ``ready ORIGIN``, and ends when its
standard input is closed.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

PAGE = "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{title}</title></head><body>{body}</body>"
TEMPLATES = {
    "registration/login.html": PAGE.format(
        title="Sign in at the provider",
        body="<form method='post'>{% csrf_token %}{{ form.errors }}{{ form.username }}{{ form.password }}"
        "<input type='hidden' name='next' value='{{ next }}'><button>Sign in</button></form>",
    ),
    "oauth2_provider/authorize.html": PAGE.format(
        title="Authorize",
        body="{% if error %}<p>{{ error.error }}: {{ error.description }}</p>{% else %}"
        "<form method='post'>{% csrf_token %}{% for field in form %}{{ field }}{% endfor %}"
        "<button name='allow' value='Authorize'>Allow</button><button>Deny</button></form>{% endif %}",
    ),
}


def configure(database: str, host: str) -> None:
    """Django's settings, as few as it takes."""
    settings.configure(
        ALLOWED_HOSTS=[host, "127.0.0.1"],
        AUTH_PASSWORD_VALIDATORS=[],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database, "OPTIONS": {"timeout": 20}}
        },
        DEBUG=False,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "oauth2_provider",
        ],
        LOGIN_URL="/accounts/login/",
        MIDDLEWARE=[
            f"{__name__}.remember_requests",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        # The tables are made from the models: a hundred migrations of empty tables would take seconds.
        MIGRATION_MODULES={"auth": None, "contenttypes": None, "sessions": None, "oauth2_provider": None},
        OAUTH2_PROVIDER={
            "SCOPES": {"read": "Read your profile", "email": "Read your e-mail address"},
            "DEFAULT_SCOPES": ["read"],
            "PKCE_REQUIRED": False,
            "OIDC_ENABLED": False,
        },
        # A test's passwords need no stretching.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="only on loopback, only for tests",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "context_processors": ["django.template.context_processors.request"],
                    "loaders": [("django.template.loaders.locmem.Loader", TEMPLATES)],
                },
            }
        ],
        USE_TZ=True,
    )
    django.setup()


requests: list[dict[str, Any]] = []


def remember_requests(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """A Django middleware: what was asked, for ``/_test/requests``."""

    def remember(request: HttpRequest) -> HttpResponse:
        asked = {
            "method": request.method,
            "path": request.path,
            "query": request.GET.dict(),
            "authorization": request.headers.get("Authorization", ""),
            "body": {} if request.path.startswith("/_test/") else request.POST.dict(),
        }
        response = get_response(request)
        if not request.path.startswith("/_test/"):
            requests.append({**asked, "status": response.status_code})
        return response

    return remember


def userinfo(request: HttpRequest) -> JsonResponse:
    """The person of the access token, as plain OAuth 2.0 providers tell it: each in words of its own."""
    user = request.resource_owner
    return JsonResponse(
        {
            "id": user.pk,
            "username": user.username,
            "name": user.get_full_name(),
            "email": user.email or None,
            "profile": {
                "phone": "+49 30 7654321",
                "teams": [{"slug": group.name} for group in user.groups.all()],
            },
        }
    )


def introspect(request: HttpRequest) -> HttpResponse:
    """What the toolkit says of a token, and whose it is: it leaves out the subject, as no provider of people may."""
    from oauth2_provider.models import AccessToken
    from oauth2_provider.views import IntrospectTokenView

    answer: HttpResponse = IntrospectTokenView.as_view()(request)
    token = AccessToken.objects.filter(token=request.POST.get("token", "")).first()
    said = json.loads(answer.content)
    if token is None or not said.get("active"):
        return answer
    subject = str(token.user_id) if token.user_id is not None else f"client {token.application.client_id}"
    return JsonResponse({**said, "id": subject})


def sign_out(request: HttpRequest) -> HttpResponse:
    """A logout endpoint that knows no protocol."""
    from django.contrib.auth import logout

    logout(request)
    return HttpResponse(PAGE.format(title="Signed out at the provider", body="<p>Signed out</p>"))


def register_client(request: HttpRequest) -> JsonResponse:
    """Register an application, or replace the one of this id."""
    from oauth2_provider.models import Application

    wanted = json.loads(request.body)
    application, _ = Application.objects.update_or_create(
        client_id=wanted["client_id"],
        defaults={
            "name": wanted["client_id"],
            "client_secret": wanted["client_secret"],
            "client_type": Application.CLIENT_PUBLIC if wanted["public"] else Application.CLIENT_CONFIDENTIAL,
            "authorization_grant_type": wanted["grant_type"],
            "redirect_uris": " ".join(wanted["redirect_uris"]),
        },
    )
    return JsonResponse({"id": application.pk})


def add_account(request: HttpRequest) -> JsonResponse:
    """Add a person, or change one."""
    from django.contrib.auth.models import Group, User

    wanted = json.loads(request.body)
    user, _ = User.objects.get_or_create(username=wanted["username"])
    user.first_name, user.last_name = wanted["first_name"], wanted["last_name"]
    user.email = wanted["email"]
    user.set_password(wanted["password"])
    user.save()
    user.groups.set([Group.objects.get_or_create(name=name)[0] for name in wanted["groups"]])
    return JsonResponse({"id": user.pk})


def asked(request: HttpRequest) -> JsonResponse:
    """What was asked so far; DELETE forgets it."""
    found = list(requests)
    if request.method == "DELETE":
        requests.clear()
    return JsonResponse(found, safe=False)


def routes() -> list[Any]:
    """The URL configuration."""
    from django.contrib.auth.views import LoginView
    from django.urls import include, path
    from django.views.decorators.csrf import csrf_exempt
    from oauth2_provider import urls as oauth2_urls
    from oauth2_provider.decorators import protected_resource

    return [
        path("accounts/login/", LoginView.as_view()),
        path("accounts/sign-out/", sign_out),
        path("o/introspect-with-subject/", csrf_exempt(introspect)),
        path("o/", include((oauth2_urls.base_urlpatterns, "oauth2_provider"))),
        path("api/me", csrf_exempt(protected_resource(scopes=["read"])(userinfo))),
        path("_test/clients", csrf_exempt(register_client)),
        path("_test/accounts", csrf_exempt(add_account)),
        path("_test/requests", csrf_exempt(asked)),
    ]


def main(database: str, host: str = "localhost") -> None:
    """Make the tables and serve."""
    configure(database, host)
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from waitress import serve

    globals()["urlpatterns"] = routes()
    call_command("migrate", run_syncdb=True, verbosity=0)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    threading.Thread(target=end_with_the_tests, daemon=True).start()
    print(f"ready http://{host}:{listener.getsockname()[1]}", flush=True)
    serve(get_wsgi_application(), sockets=[listener], threads=4)


def end_with_the_tests() -> None:
    """Leave when whoever started this is gone."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
