"""Microsoft Entra for several tenants: one key set and one pair of endpoints, and an issuer for each tenant.

In the shape of https://learn.microsoft.com/en-us/entra/identity-platform/access-tokens#validate-the-issuer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from oauth2_mw.provider.discovery.metadata_cache import WELL_KNOWN
from tests.support.providers.standin import Answer, Request, StandIn

ONE = "9122040d-6c67-4c5b-b112-36a304b66dad"
TWO = "72f988bf-86f1-41af-91ab-2d7cd011db47"
#: in no test's settings
FOREIGN = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"


@dataclass
class Entra(StandIn):
    """The stand-in, whose people belong to a tenant."""

    tenant: str = ONE
    #: where the metadata of all tenants stand
    place: str = "organizations"

    @property
    def template(self) -> str:
        return f"{self.url}/{{tenantid}}/v2.0"

    @property
    def issuer(self) -> str:
        return self.issuer_of(self.tenant)

    def issuer_of(self, tenant: str) -> str:
        return f"{self.url}/{tenant}/v2.0"

    def settings(self, *tenants: str, **more: Any) -> dict[str, Any]:
        """What an operator writes."""
        return {
            "preset": "entra-multitenant",
            "issuer": self.template,
            "tenants": " ".join(tenants),
            "attribute_map": '{"username": "preferred_username", "email": "email", "groups": "groups"}',
            **more,
        }

    def id_token(
        self, nonce: str | None, access_token: str, changes: Mapping[str, Any] = MappingProxyType({})
    ) -> str:
        ours = {"tid": self.tenant, "oid": "user-1", **self.claims}
        return super().id_token(nonce, access_token, {**ours, **changes})

    def _route(self, request: Request) -> Answer:
        if request.path == f"/{self.place}/v2.0{WELL_KNOWN}":
            request = replace(request, path=WELL_KNOWN)
        elif request.path == WELL_KNOWN:
            return Answer(b"{}", 404)
        return super()._route(request)

    def _metadata(self) -> dict[str, Any]:
        return {**super()._metadata(), "issuer": self.template, **self.metadata}
