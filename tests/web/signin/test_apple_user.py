"""Apple's form field ``user``: the name of a user who is new, and nothing else, of nobody else, at no other time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.model import Identity
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.grammar import Secret
from tests.support.hosts.guarded import App
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import make_settings

JANE = {"name": {"firstName": "Jane", "lastName": "Doe"}, "email": "victim@corp.example"}
EVE = {"name": {"firstName": "Eve"}, "email": "victim@corp.example"}


class Apple:
    """People who sign in at a provider that speaks as Apple does."""

    def __init__(self, provider: StandIn, folder: Path, **keys: Any) -> None:
        provider.auth_method = "client_secret_post"
        provider.claims = {"sub": "000792.d71", "email": "x@privaterelay.appleid.com"}
        provider.userinfo = {"sub": "000792.d71"}
        self.provider = provider
        url = f"sqlite:///{folder}/users.db"
        self.directory = Directory(Secret.literal(url))
        given = {"preset": "apple", "issuer": provider.issuer, "allow": "*", "directory": url, **keys}
        self.app = App()
        self.middleware = OAuth2Middleware(self.app, make_settings(**given))

    def sign_in(self, user: object, **more: str) -> Identity:
        """Sign in with a form that carries *user* as well, and return what the application sees."""
        begun = call(self.middleware, environ_for("/", HTTP_ACCEPT="text/html"))
        form = self.provider.follow(begun.header("Location") or "")
        if user is not None:
            form["user"] = user if isinstance(user, str) else json.dumps(user)
        body = urlencode({**form, **more}).encode()
        cookies = [cookie.partition(";")[0] for cookie in begun.cookies.values()]
        environ = environ_for(
            "/auth/oauth2/login/callback/",
            REQUEST_METHOD="POST",
            CONTENT_TYPE="application/x-www-form-urlencoded",
            CONTENT_LENGTH=str(len(body)),
            HTTP_COOKIE="; ".join(cookies),
        )
        environ["wsgi.input"].write(body)
        environ["wsgi.input"].seek(0)
        answer = call(self.middleware, environ)
        assert answer.status == 303, answer.text
        cookies = [cookie.partition(";")[0] for cookie in answer.cookies.values()]
        call(self.middleware, environ_for("/", HTTP_COOKIE="; ".join(cookies)))
        identity = self.app.seen[-1]["Identity"]
        assert isinstance(identity, Identity)
        return identity


@pytest.fixture
def apple(provider: StandIn, tmp_path: Path) -> Apple:
    return Apple(provider, tmp_path)


@pytest.mark.requirement("R-apple")
def test_a_new_user_has_the_name_of_the_form_and_no_other_part_of_it(apple: Apple) -> None:
    jane = apple.sign_in({**JANE, "sub": "other", "email_verified": True, "groups": ["admin"]})
    assert (jane.name, jane.subject, jane.username) == ("Jane Doe", "000792.d71", "000792.d71")
    assert (jane.email, jane.groups) == ("x@privaterelay.appleid.com", ())
    assert "victim" not in repr(jane)
    assert "Doe" not in repr(jane.claims)


@pytest.mark.requirement("R-apple")
def test_a_later_form_changes_nothing(apple: Apple) -> None:
    apple.sign_in(JANE)
    for user in (EVE, None, {}):
        assert apple.sign_in(user).name == "Jane Doe"


@pytest.mark.requirement("R-apple")
def test_a_user_who_had_no_name_is_given_none_by_a_later_form(apple: Apple) -> None:
    assert apple.sign_in(None).name is None
    assert apple.sign_in(EVE).name is None


@pytest.mark.requirement("R-apple")
def test_the_email_in_the_form_is_nobodys(apple: Apple, provider: StandIn) -> None:
    del provider.claims["email"]
    assert apple.sign_in(JANE).email is None


@pytest.mark.requirement("R-apple")
def test_a_name_in_the_id_token_comes_first(apple: Apple, provider: StandIn, tmp_path: Path) -> None:
    mapped = Apple(provider, tmp_path, attribute_map='{"username": "sub", "name": "name"}')
    provider.claims["name"] = "Signed Name"
    assert mapped.sign_in(EVE).name == "Signed Name"


@pytest.mark.requirement("R-apple")
def test_the_form_of_another_provider_names_nobody(provider: StandIn, tmp_path: Path) -> None:
    other = Apple(provider, tmp_path, preset="oidc", response_mode="form_post", scope="openid")
    other.provider.auth_method = "client_secret_basic"
    provider.claims["preferred_username"] = "jane"
    assert other.sign_in(JANE).name is None


def test_without_a_directory_nobody_is_created_and_the_form_names_nobody(
    provider: StandIn, tmp_path: Path
) -> None:
    assert Apple(provider, tmp_path, directory=None).sign_in(JANE).name is None


def test_a_person_whose_account_is_linked_is_not_new(apple: Apple) -> None:
    first = apple.sign_in(JANE)
    apple.directory.link(first.id, apple.provider.issuer, "000792.d72", now=1)
    apple.provider.claims["sub"] = apple.provider.userinfo["sub"] = "000792.d72"
    linked = apple.sign_in(EVE)
    assert (linked.id, linked.name) == (first.id, "Jane Doe")


@pytest.mark.parametrize(
    "user", ["{", "[" * 1900, '{"name": "Eve"}', "x" * 5000, '{"name":\n{"firstName": 7}}']
)
def test_a_hostile_field_keeps_nobody_out_and_is_said(
    apple: Apple, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert apple.sign_in(user).name is None
    assert "name is left out: the form field user cannot be used" in caplog.text
