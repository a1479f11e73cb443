"""What signs client assertions: the client's key, its algorithm, and the header that names it to the provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from oauth2_mw.errors import Problem, ProviderError
from oauth2_mw.provider.jose.client_certificate import find_certificate, thumbprints
from oauth2_mw.provider.jose.client_key import ClientKey, parse_client_key
from oauth2_mw.provider.quirks import assertion_quirk
from oauth2_mw.settings.model import ProviderSettings


@dataclass(frozen=True, slots=True)
class AssertionKey:
    """A private key that signs client assertions."""

    #: the JWS algorithm (RFC 7518, section 3.1; RFC 8037)
    alg: str
    #: the members of the header that name the key: ``kid``, ``x5t#S256``, ``x5t``
    header: Mapping[str, str]
    #: an object of the cryptography package
    private: Any = field(repr=False)


class AssertionKeyReader:
    """Reads the key of one client and its certificate, anew when they have changed. Safe for threads."""

    def __init__(self, provider: ProviderSettings) -> None:
        self._provider = provider
        #: The text of the key that was read last, and the key itself, kept because it takes long to check an RSA key.
        self._last: tuple[str, ClientKey] | None = None

    def read(self) -> AssertionKey:
        """Return the key.

        :raises ProviderError: ``client_key`` or ``client_certificate`` if that cannot be read or used.
        """
        provider = self._provider
        if provider.client_key is None:
            raise ProviderError("private_key_jwt needs a client_key, and none is set", code="client_key")
        try:
            key = self._key(provider.client_key.value())
        except (OSError, ValueError) as error:
            raise ProviderError(f"client_key cannot be used: {error}", code="client_key") from None
        header = {} if key.kid is None else {"kid": key.kid}
        if provider.client_certificate is not None:
            try:
                certificate = find_certificate(provider.client_certificate.value(), key.private)
            except (OSError, ValueError) as error:
                raise ProviderError(
                    f"client_certificate cannot be used: {error}", code="client_certificate"
                ) from None
            header |= thumbprints(certificate, algorithms=assertion_quirk(provider.quirk).thumbprints)
        return AssertionKey(key.alg, MappingProxyType(header), key.private)

    def _key(self, text: str) -> ClientKey:
        last = self._last
        if last is None or last[0] != text:
            last = self._last = (text, parse_client_key(text, alg=self._provider.client_assertion_algorithm))
        return last[1]


def assertion_key_problems(providers: Iterable[ProviderSettings]) -> tuple[Problem, ...]:
    """Return the problems of the keys of *providers*, so that they are reported before the first sign-in."""
    problems = []
    for provider in providers:
        if provider.client_auth_method == "private_key_jwt" and provider.client_key is not None:
            try:
                AssertionKeyReader(provider).read()
            except ProviderError as error:
                text = error.detail.removeprefix(f"{error.code} ")
                problems.append(Problem(provider.section, error.code, text))
    return tuple(problems)
