"""Issuers for several tenants of Microsoft Entra: a template, and the tenants that are let in.

Each tenant is an issuer of its own with the same endpoints and keys, in which ``{tenantid}`` stands for its ID
(https://learn.microsoft.com/en-us/entra/identity-platform/access-tokens#validate-the-issuer).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeGuard

from oauth2_mw.settings.text import shown

PLACEHOLDER = "{tenantid}"
#: the tenant of personal accounts
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
_TENANT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_tenant(tid: object) -> TypeGuard[str]:
    """Return whether *tid* is the ID of a tenant: a UUID as Entra writes it, in lower case."""
    return isinstance(tid, str) and _TENANT.fullmatch(tid) is not None


def parse_tenant(text: str) -> str:
    """Return the ID of a tenant in lower case.

    :raises ValueError: if it is not a UUID.
    """
    if not is_tenant(text.lower()):
        raise ValueError(
            f"{shown(text)} is not the ID of a tenant: write the directory (tenant) ID, a UUID, of each tenant that is "
            "let in"
        )
    return text.lower()


def filled(template: str, tenant: str) -> str:
    """Return the issuer of a tenant."""
    return template.replace(PLACEHOLDER, tenant)


def speaks_for(template: str, issuer: str) -> bool:
    """Return whether *issuer* is the one that *template* names, or that of a tenant that may stand in it."""
    before, placeholder, after = template.partition(PLACEHOLDER)
    if not placeholder:
        return template == issuer
    tenant = issuer[len(before) : len(issuer) - len(after)]
    return is_tenant(tenant) and filled(template, tenant) == issuer


def metadata_issuer(issuer: str, tenants: Iterable[str]) -> str:
    """Return where the metadata stand: a template is filled with Entra's word for every tenant that may come in."""
    return filled(issuer, "common" if CONSUMERS in tenants else "organizations")
