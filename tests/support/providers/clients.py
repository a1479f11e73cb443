"""A client as it is registered at some provider, and as the settings of the middleware tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

AuthMethod = Literal[
    "client_secret_basic", "client_secret_post", "none", "client_secret_jwt", "private_key_jwt"
]
#: the methods that prove nothing with a secret
SECRETLESS: frozenset[AuthMethod] = frozenset({"none", "private_key_jwt"})

#: ASCII, as npm oidc-provider wants it, and full of what a form encoding changes (RFC 6749, 2.3.1)
SECRET = "s3cret: 100%+&=/?~!"
#: of every account that names no other
PASSWORD = "secret"


@dataclass(frozen=True)
class Client:
    """A registered client of some provider."""

    client_id: str
    client_secret: str = field(repr=False)
    auth_method: AuthMethod = "client_secret_basic"

    @property
    def settings(self) -> dict[str, str]:
        """The keys of the INI that tell a provider's client."""
        keys = {"client_id": self.client_id, "client_auth_method": self.auth_method}
        if self.auth_method not in SECRETLESS:
            keys["client_secret"] = self.client_secret
        return keys
