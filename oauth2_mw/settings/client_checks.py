"""Checks of how a client authenticates: one proof, the one that its method needs, and nothing that it does not use."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from oauth2_mw.settings.secret import MIN_SHARED_SECRET
from oauth2_mw.settings.sections import Section

#: setting by which a client authenticates -> advice for an operator who left it out
PROOFS: Mapping[str, str] = MappingProxyType(
    {
        "client_secret": "a public client has client_auth_method = none",
        "client_key": "like file:client-key.pem",
    }
)
#: what is said in an assertion -> the methods that send one in which it stands
_OF_ASSERTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "client_certificate": ("private_key_jwt",),
        "client_assertion_algorithm": ("private_key_jwt",),
        "client_assertion_audience": ("private_key_jwt", "client_secret_jwt"),
    }
)


def check_authentication(section: Section) -> None:
    """Check the settings by which a client authenticates. Whether a key can be used is for the provider package."""
    if not section.is_valid("client_auth_method", "client_secret", "client_key"):
        return
    method = section["client_auth_method"]
    proof = {"none": None, "private_key_jwt": "client_key"}.get(method, "client_secret")
    for key in PROOFS:
        if key == proof:
            _check_proof(section, key, method)
        elif section[key] is not None:
            section.add_problem(
                key, f"is not used with client_auth_method = {method}: take one of the two out"
            )
    for key, methods in _OF_ASSERTIONS.items():
        if key in section.written_keys and section[key] is not None and method not in methods:
            section.add_problem(
                key,
                f"is used with client_auth_method = {' or '.join(methods)} alone: write that, or take this out",
            )
    certificate = section["client_certificate"]
    if certificate is not None and section.is_valid("client_certificate"):
        try:
            certificate.value()
        except OSError as error:
            section.add_unreadable("client_certificate", error)


def _check_proof(section: Section, key: str, method: str) -> None:
    if section[key] is None:
        section.add_problem(key, f"is missing: {method} needs it ({PROOFS[key]})")
        return
    try:
        text = section[key].value()
    except OSError as error:
        section.add_unreadable(key, error, missing="write the value there, or check the path")
        return
    if method == "client_secret_jwt" and len(text.encode("utf-8", "surrogatepass")) < MIN_SHARED_SECRET:
        section.add_problem(
            key,
            f"is too short: client_secret_jwt signs with it, which takes {MIN_SHARED_SECRET} bytes or more; have the "
            "provider make a longer one, or take another client_auth_method",
        )
