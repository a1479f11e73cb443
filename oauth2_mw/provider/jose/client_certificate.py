"""The certificate of the client's key, whose thumbprint names the key to some providers (RFC 7515, section 4.1.8)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from oauth2_mw.encoding import base64url
from oauth2_mw.provider.jose.client_key import parse_client_key
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_PEM = re.compile(r"-----BEGIN (CERTIFICATE|X509 CERTIFICATE)-----.*?-----END \1-----", re.DOTALL)
_DAMAGED = "it is damaged: take a certificate as openssl x509 writes it"


def find_certificate(text: str, private: Any) -> Certificate:
    """Return the first certificate of a PEM that is of this key; keys and other certificates may stand around it.

    :param private: the key, an object of the cryptography package.
    :raises ValueError: if there is none; the message says why and what to do.
    """
    certificates = [_load(match[0]) for match in _PEM.finditer(text)]
    if not certificates:
        raise ValueError(
            "it holds no certificate: write file: and the path of a PEM with one, like file:client.pem"
        )
    public = _octets(private.public_key())
    for certificate in certificates:
        if _public_octets(certificate) == public:
            return certificate
    subjects = ", ".join(_name(certificate) for certificate in certificates)
    raise ValueError(
        f"it is the certificate of another key ({subjects}): write the one that was made for client_key, or the key "
        "that belongs to it"
    )


def thumbprints(certificate: Certificate, *, algorithms: Iterable[str]) -> dict[str, str]:
    """Return the members of a header that name *certificate* (RFC 7515, sections 4.1.7 and 4.1.8).

    :param algorithms: the hashes, ``sha256`` or ``sha1``.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    octets = certificate.public_bytes(Encoding.DER)
    names = {"sha1": "x5t", "sha256": "x5t#S256"}
    # SHA-1 names a certificate here, and proves nothing.
    return {
        names[name]: base64url(hashlib.new(name, octets, usedforsecurity=False).digest())
        for name in algorithms
    }


def certificate_warnings(providers: Iterable[ProviderSettings], *, now: datetime) -> Iterator[str]:
    """Yield a sentence for each certificate that providers may refuse, because it has expired or is not valid yet.

    One that cannot be used at all is a problem, and reported as such.

    :param now: with a time zone.
    """
    for provider in providers:
        if provider.client_key is None or provider.client_certificate is None:
            continue
        key = parse_client_key(provider.client_key.value())
        certificate = find_certificate(provider.client_certificate.value(), key.private)
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if now > end:
            fault = f"expired on {end:%Y-%m-%d}"
        elif now < start:
            fault = f"is not valid before {start:%Y-%m-%d}"
        else:
            continue
        yield (
            f"client_certificate of provider {provider.name} {fault}: providers may refuse it; make a new one, and "
            "register it there"
        )


def _load(text: str) -> Certificate:
    from cryptography.x509 import load_pem_x509_certificate

    try:
        certificate = load_pem_x509_certificate(text.encode("ascii", "replace"))
        # Dates and names are read late, and may be malformed as well: to look at them is what makes them be read.
        certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.subject  # noqa: B018 - see above
    except (ValueError, TypeError):
        raise ValueError(_DAMAGED) from None
    return certificate


def _public_octets(certificate: Certificate) -> bytes | None:
    """Return the public key of *certificate*, or ``None`` if it is of a kind that no client key is."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return _octets(certificate.public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _octets(public: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    octets: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets


def _name(certificate: Certificate) -> str:
    return shown(certificate.subject.rfc4514_string())
