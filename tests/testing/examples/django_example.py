"""Django's test client, which calls the project and no WSGI application around it."""

import pytest
from django.test import Client

from oauth2_mw.testing import signed_in_environ
from samples import django_app


@pytest.fixture(autouse=True, scope="module")
def _tables() -> None:
    django_app.call_command("migrate", verbosity=0)


def test_the_person_becomes_a_user() -> None:
    client = Client(**signed_in_environ(username="jané", email="jane@example.com", groups=["staff"]))
    assert client.get("/").json() == {"username": "jané", "email": "jane@example.com"}


@pytest.mark.parametrize(("group", "status"), [("staff", 403), ("admins", 200)])
def test_salaries_are_for_admins(group: str, status: int) -> None:
    client = Client(**signed_in_environ(username="jane", groups=[group]))
    assert client.get("/salaries").status_code == status
