"""What signs assertions, looked at before the first sign-in."""

from __future__ import annotations

from typing import Any

from oauth2_mw.errors import Problem
from oauth2_mw.provider.jose.assertion_key import AssertionKeyReader, assertion_key_problems
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import ProviderSettings
from tests.support.hosts.certificates import client_certificate
from tests.support.providers.client_keys import pem
from tests.support.providers.jose import ec_key, ed_key, rsa_key
from tests.support.settings.providers import provider_settings


def with_key(text: str, **changes: Any) -> ProviderSettings:
    key = Secret.literal(text)
    return provider_settings(
        **{"client_auth_method": "private_key_jwt", "client_secret": None, "client_key": key, **changes}
    )


def test_the_problems_of_all_keys_and_certificates_are_reported_at_once() -> None:
    certificate = Secret.literal(client_certificate(rsa_key().private))
    providers = [
        with_key("x"),
        with_key(pem(ed_key().private), name="fine"),
        with_key("", name="corp", client_key=Secret.file("/nonexistent/key.pem")),
        with_key(pem(ec_key().private), name="other-key", client_certificate=certificate),
        with_key(pem(rsa_key().private), name="fitting", client_certificate=certificate),
        with_key(pem(rsa_key().private), name="gone", client_certificate=Secret.file("/nonexistent/app.crt")),
        with_key(pem(ec_key().private), name="other-alg", client_assertion_algorithm="PS256"),
        provider_settings(name="other"),
    ]
    main, corp, other_key, gone, other_alg = assertion_key_problems(providers)
    assert isinstance(main, Problem)
    assert str(main).startswith("[oauth2_mw] client_key: cannot be used: it is neither a PEM nor a JWK")
    assert (corp.section, corp.key) == ("provider:corp", "client_key")
    assert "/nonexistent/key.pem" in corp.text
    assert (other_key.section, other_key.key) == ("provider:other-key", "client_certificate")
    assert other_key.text.startswith("cannot be used: it is the certificate of another key")
    assert (gone.key, "/nonexistent/app.crt" in gone.text) == ("client_certificate", True)
    assert (other_alg.key, "client_assertion_algorithm = PS256" in other_alg.text) == ("client_key", True)


def test_a_key_is_not_shown() -> None:
    assert "private" not in repr(AssertionKeyReader(with_key(pem(ed_key().private))).read())
