"""The metadata of a provider, and which of their members are used.

The ``issuer`` in them is compared code point by code point (Discovery, section 4.3; RFC 8414, section 3.3): a document
with another one belongs to somebody else, and nothing in it is used. A member that is malformed refuses where it is
needed or would make a check stricter; one that only adds something is absent, with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.http.documents import present_members
from oauth2_mw.provider.http.transport import endpoint_problem
from oauth2_mw.provider.jose.jwks import ALGORITHMS, known_name
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown

#: Without one of them nobody can sign in.
NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
ENDPOINTS = (
    *NEEDED,
    "userinfo_endpoint",
    "end_session_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
)
#: Lists by which something is checked, so that a malformed one refuses.
_STRICT_LISTS = ("id_token_signing_alg_values_supported", "code_challenge_methods_supported")
_LISTS = (*_STRICT_LISTS, "token_endpoint_auth_methods_supported", "prompt_values_supported")
#: An endpoint -> the setting that takes its place. There is none for revocation.
_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        **{name: name for name in (*NEEDED, "userinfo_endpoint", "introspection_endpoint")},
        "end_session_endpoint": "logout_endpoint",
    }
)


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """The metadata that are used (Discovery, section 3; RFC 8414, section 2). What is not published is ``None``."""

    issuer: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    #: RFC 7009
    revocation_endpoint: str | None = None
    #: RFC 7662
    introspection_endpoint: str | None = None
    jwks_uri: str | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] | None = None
    code_challenge_methods_supported: tuple[str, ...] | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    #: Initiating User Registration via OpenID Connect 1.0, section 4
    prompt_values_supported: tuple[str, ...] | None = None
    #: RFC 9207, section 3
    authorization_response_iss_parameter_supported: bool = False
    #: endpoint that must not be called, although it is named -> why
    refused: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: members that are passed over, with the reason, a sentence each
    ignored: tuple[str, ...] = ()

    def optional_endpoint(self, name: str) -> str | None:
        """Return an endpoint that is about to be called, or ``None`` if there is none.

        :raises ProviderError: ``metadata`` if the provider names one that must not be called.
        """
        url: str | None = getattr(self, name)
        if url is None and name in self.refused:
            cure = f"write {_SETTINGS[name]}" if name in _SETTINGS else "have the provider correct it"
            raise ProviderError(f"{self.refused[name]}: {cure}", code="metadata")
        return url

    def endpoint(self, name: str) -> str:
        """Return an endpoint that is required.

        :raises ProviderError: ``metadata`` if neither the settings nor the provider name one that may be called.
        """
        url = self.optional_endpoint(name)
        if url is None:
            raise ProviderError(f"the provider's metadata names no {name}: set it", code="metadata")
        return url


def parse_metadata(document: Mapping[str, Any], *, issuer: str, insecure_http: bool) -> ProviderMetadata:
    """Check a metadata document. Unknown members and those without a value are ignored (Discovery, section 3).

    :raises ProviderError: ``issuer_mismatch``, or ``metadata`` if a member by which something is checked is malformed.
    """
    document = present_members(document)
    if document.get("issuer") != issuer:
        raise ProviderError(
            f"the metadata says issuer {shown(document.get('issuer'))}, and the setting is {shown(issuer)}: "
            "both must be the same to the letter",
            code="issuer_mismatch",
        )
    members: dict[str, Any] = {"issuer": issuer}
    refused: dict[str, str] = {}
    ignored: list[str] = []
    for name in ENDPOINTS:
        url = document.get(name)
        if url is None:
            continue
        problem = _endpoint_problem(url, issuer=issuer, insecure_http=insecure_http)
        text = f"{name} in the metadata is {shown(url)}: {problem}"
        if problem is None:
            members[name] = url
        elif name in NEEDED or _is_plain_http(url):
            refused[name] = text
        else:
            ignored.append(text)
    for name in _LISTS:
        values = document.get(name)
        if values is None:
            continue
        if isinstance(values, list) and all(isinstance(value, str) for value in values):
            members[name] = tuple(values)
            continue
        text = f"{name} in the metadata is not a list of strings"
        if name in _STRICT_LISTS:
            raise ProviderError(text, code="metadata")
        ignored.append(text)
    name = "authorization_response_iss_parameter_supported"
    members[name] = document.get(name, False)
    if not isinstance(members[name], bool):
        raise ProviderError(f"{name} in the metadata is neither true nor false", code="metadata")
    return ProviderMetadata(**members, refused=MappingProxyType(refused), ignored=tuple(ignored))


def _endpoint_problem(url: Any, *, issuer: str, insecure_http: bool) -> str | None:
    if not isinstance(url, str):
        return "it is not a string"
    problem = endpoint_problem(url, insecure_http=insecure_http)
    if problem is None and _is_plain_http(url) and not _is_plain_http(issuer):
        # Whoever can bend the metadata must not send codes and tokens where anybody on this machine may listen.
        return "plain http, although the issuer is https"
    return problem


def _is_plain_http(url: Any) -> bool:
    return isinstance(url, str) and url.lower().startswith("http://")


def allowed_algorithms(provider: ProviderSettings, metadata: ProviderMetadata) -> frozenset[str]:
    """Return the accepted JWS algorithms: those of the settings, else RS256 and those that the provider announces.

    They are asymmetric: a symmetric one would make the client secret a signing key.
    """
    announced = metadata.id_token_signing_alg_values_supported or ()
    configured = provider.algorithms if provider.algorithms is not None else ("RS256", *announced)
    return frozenset(map(known_name, configured)) & ALGORITHMS.keys()
