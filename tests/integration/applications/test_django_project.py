"""A new Django project, set up with nothing but the blocks of ``docs/applications/django.rst``."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oauth2_mw.cli.main import main
from tests.support.browser.jar import Browser
from tests.support.hosts.processes import ROOT, Child, free_port
from tests.support.hosts.servers import answers
from tests.support.providers.standin import StandIn

PAGE = (ROOT / "docs" / "applications" / "django.rst").read_text(encoding="utf-8")
URLS = """
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.urls import path


def greet(request):
    return HttpResponse(f"Hello, {request.user.get_username()}")


urlpatterns = [
    path("", greet),
    path("about", greet),
    path("profile", login_required(greet)),
    path("admin/", admin.site.urls),
]
"""


def block(name: str) -> str:
    """The content of a named code block."""
    found = re.search(rf"\.\. code-block:: python\n   :name: {re.escape(name)}\n\n((?:   .*\n|\n)+)", PAGE)
    assert found is not None, f"the page has no block named {name}"
    return re.sub(r"^   ", "", found[1], flags=re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[tuple[str, StandIn]]:
    """The origin of the project under ``runserver``, and its provider, which signs in jane of the group ``staff``."""
    subprocess.run([sys.executable, "-m", "django", "startproject", "mysite", "."], cwd=tmp_path, check=True)
    with (tmp_path / "mysite" / "settings.py").open("a", encoding="utf-8") as settings:
        settings.write(block("mysite/settings.py"))
    (tmp_path / "mysite" / "wsgi.py").write_text(block("mysite/wsgi.py"), encoding="utf-8")
    (tmp_path / "mysite" / "urls.py").write_text(URLS, encoding="utf-8")
    shutil.copy(ROOT / "samples" / "django_people.py", tmp_path / "mysite" / "people.py")
    origin = f"http://localhost:{free_port()}"
    with StandIn(client_id="app") as provider:
        provider.userinfo = {"sub": "user-1", "preferred_username": "zoé", "groups": ["staff"]}
        text = (ROOT / "samples" / "django.ini").read_text(encoding="utf-8")
        text = text.replace("https://app.example.com", origin).replace(
            "https://id.example.com", provider.issuer
        )
        (tmp_path / "oauth2.ini").write_text(text, encoding="utf-8")
        (tmp_path / "client-secret").write_text(provider.client_secret, encoding="utf-8")
        (tmp_path / "client-secret").chmod(0o600)
        for arguments in (["keygen", str(tmp_path / "keys")], ["check", str(tmp_path / "oauth2.ini")]):
            assert main(arguments) == 0
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "--verbosity=0"], cwd=tmp_path, check=True)
        serving = [*manage, "runserver", "--noreload", origin.rpartition(":")[2]]
        with Child("runserver", serving, cwd=tmp_path) as process:
            process.wait_until(lambda: answers(origin))
            yield origin, provider


def test_a_new_project_behind_the_middleware_works_as_the_page_says(project: tuple[str, StandIn]) -> None:
    origin, provider = project
    zoe = Browser()
    assert zoe.navigate(f"{origin}/about").text == "Hello, "
    assert zoe.navigate(f"{origin}/profile").text == "Hello, zoé"
    assert zoe.navigate(f"{origin}/").text == "Hello, zoé"
    assert "Site administration" in zoe.navigate(f"{origin}/admin/").visible_text
    zoe.submit("/admin/logout/", stop_before=f"{provider.issuer}/")
    assert (zoe.steps[-1].location or "").startswith(f"{provider.issuer}/end_session")
    assert zoe.fetch(f"{origin}/", initiator=origin).status == 401

    provider.userinfo = {"sub": "user-2", "preferred_username": "joe", "groups": []}
    joe = Browser()
    assert joe.navigate(f"{origin}/").text == "Hello, joe"
    assert joe.navigate(f"{origin}/admin/").status == 403
