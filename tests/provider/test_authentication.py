"""Proving that we are the client: one method a request, and never in a URL."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.authentication import client_authentication
from oauth2_mw.settings.grammar import Secret
from tests.support.provider_settings import provider_settings


@pytest.mark.row("N2.1.5")
@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_id_and_secret_come_back_from_the_basic_header(client_id: str, secret: str) -> None:
    headers, fields = client_authentication(
        provider_settings(client_id=client_id, client_secret=Secret.literal(secret))
    )
    assert fields == {}
    scheme, _, value = headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    found_id, _, found_secret = b64decode(value, validate=True).decode("ascii").partition(":")
    assert (unquote_plus(found_id), unquote_plus(found_secret)) == (client_id, secret)


@pytest.mark.row("B16", "N2.1.5")
def test_the_basic_header_is_form_urlencoded_first() -> None:
    provider = provider_settings(client_id="a:b", client_secret=Secret.literal("c d%/é"))
    headers, _ = client_authentication(provider)
    assert b64decode(headers["Authorization"].removeprefix("Basic ")) == b"a%3Ab:c+d%25%2F%C3%A9"


def test_post_puts_both_into_the_body_and_nothing_into_the_header() -> None:
    provider = provider_settings(client_auth_method="client_secret_post", client_secret=Secret.literal("x y"))
    assert client_authentication(provider) == ({}, {"client_id": "client", "client_secret": "x y"})


def test_a_public_client_names_itself_and_sends_no_secret() -> None:
    provider = provider_settings(client_auth_method="none", client_secret=Secret.literal("x"))
    assert client_authentication(provider) == ({}, {"client_id": "client"})


def test_a_replaced_secret_file_counts_from_the_next_request(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old\n")
    provider = provider_settings(client_auth_method="client_secret_post", client_secret=Secret.file(file))
    assert client_authentication(provider)[1]["client_secret"] == "old"
    file.write_text("brand-new\n")
    assert client_authentication(provider)[1]["client_secret"] == "brand-new"


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        (None, "needs a client_secret"),
        (Secret.file("/nonexistent/secret"), "/nonexistent/secret"),
        (Secret.env("OAUTH2_MW_NO_SUCH"), "OAUTH2_MW_NO_SUCH"),
    ],
)
def test_a_secret_that_cannot_be_read_refuses_the_sign_in(secret: Secret | None, why: str) -> None:
    with pytest.raises(ProviderError, match=why) as refusal:
        client_authentication(provider_settings(client_secret=secret))
    assert refusal.value.code == "client_secret"
