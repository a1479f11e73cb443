"""The certificate of the client's key: which one it is, how it is named, and when it is old."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.provider.jose.client_certificate import certificate_warnings, find_certificate, thumbprints
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import ProviderSettings
from tests.support.hosts.certificates import client_certificate
from tests.support.providers.client_keys import pem, public_pem
from tests.support.providers.jose import Key, ec_key, ed_key, rsa_key
from tests.support.settings.providers import provider_settings

#: Small, because a large one takes half a second to make.
OF_ANOTHER_KIND = dsa.generate_private_key(1024)  # noqa: S505


@pytest.mark.parametrize("key", [rsa_key(), ec_key(), ed_key()], ids=lambda key: key.alg)
def test_the_certificate_is_the_one_of_the_key_wherever_it_stands(key: Key) -> None:
    others = client_certificate(rsa_key(2).private) + client_certificate(OF_ANOTHER_KIND)
    text = others + pem(key.private) + client_certificate(key.private, name="ours") + public_pem(key.private)
    found = find_certificate(text.replace("\n", "\r\n"), key.private)
    assert found.subject.rfc4514_string() == "CN=ours"


def test_of_two_that_fit_the_first_counts() -> None:
    key = ec_key().private
    text = client_certificate(key, serial_number=7) + client_certificate(key, serial_number=8)
    assert find_certificate(text, key).serial_number == 7


def test_a_thumbprint_is_32_or_20_octets() -> None:
    key = ec_key().private
    found = thumbprints(find_certificate(client_certificate(key), key), algorithms=("sha256", "sha1"))
    assert {name: len(text) for name, text in found.items()} == {"x5t#S256": 43, "x5t": 27}


def damaged() -> str:
    lines = client_certificate(ec_key().private).splitlines()
    return "\n".join((lines[0], lines[1], lines[-1]))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it holds no certificate: write file: and the path of a PEM"),
        ("client.pem", "it holds no certificate"),
        (pem(ec_key().private), "it holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nMII", "it holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\n\u00fc\n-----END CERTIFICATE-----", "it is damaged"),
        ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "it is damaged"),
        (damaged(), "it is damaged"),
        (
            client_certificate(rsa_key().private, name="other") + client_certificate(ed_key().private),
            r"it is the certificate of another key \('CN=other', 'CN=app'\): write the one that was made for",
        ),
        (client_certificate(OF_ANOTHER_KIND), "of another key"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_explained(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refusal:
        find_certificate(text, ec_key().private)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@given(st.text(max_size=99))
def test_whatever_fills_a_certificate_is_explained(inside: str) -> None:
    text = f"-----BEGIN CERTIFICATE-----{inside}-----END CERTIFICATE-----"
    with pytest.raises(ValueError, match=r"it holds no certificate|it is damaged"):
        find_certificate(text, ec_key().private)


def test_no_text_of_the_file_gets_out() -> None:
    text = "-----BEGIN CERTIFICATE-----\nY2FuYXJ5canary\n-----END CERTIFICATE-----"
    with pytest.raises(ValueError, match="damaged") as refusal:
        find_certificate(text, ec_key().private)
    assert "canary" not in "".join(traceback.format_exception(refusal.value))


def with_certificate(days: tuple[int, int], **changes: Any) -> ProviderSettings:
    key = ec_key().private
    return provider_settings(
        **{
            "client_key": Secret.literal(pem(key)),
            "client_certificate": Secret.literal(client_certificate(key, days=days)),
            **changes,
        }
    )


def test_an_old_certificate_and_one_of_tomorrow_are_warned_of() -> None:
    providers = [
        with_certificate((-9, -2), name="old"),
        with_certificate((-1, 1)),
        with_certificate((2, 9), name="new"),
        with_certificate((-9, -2), client_certificate=None),
        provider_settings(),
    ]
    old, new = certificate_warnings(providers, now=datetime.now(UTC))
    assert old.startswith("client_certificate of provider old expired on 2")
    assert new.startswith("client_certificate of provider new is not valid before 2")
