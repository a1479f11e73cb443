"""pytest and Flask."""

from pathlib import Path

import pytest
from flask import Flask

from oauth2_mw.testing import sign_in, signed_in
from samples.flask_app import make_app

INI = Path(__file__).with_name("oauth2.ini")


def test_reports() -> None:
    app = make_app(str(INI))
    app.wsgi_app = signed_in(app.wsgi_app, username="jane")  # type: ignore[method-assign]
    page = app.test_client().get("/reports").text
    assert "Reports for jane" in page


# The same with more of the way


@pytest.fixture
def app() -> Flask:
    return make_app(str(INI))


def test_salaries_are_for_admins(app: Flask) -> None:
    client = app.test_client()
    sign_in(client, username="jane", groups=["staff"])
    assert client.get("/salaries").status_code == 403
    sign_in(client, username="root", groups=["admins"])
    assert client.get("/salaries").text == "<p>Salaries</p>"


def test_a_stranger_is_sent_to_sign_in(app: Flask) -> None:
    assert app.test_client().get("/reports").location == "http://localhost/auth/oauth2/login/?next=/reports"
