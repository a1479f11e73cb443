"""Protected resources: what an application asks for with a user's access token (RFC 6750, section 2.1)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from oauthlib.oauth2 import InsecureTransportError
from requests_oauthlib import OAuth2Session

from oauth2_mw.settings.addresses import is_loopback


class ResourceSession(OAuth2Session):  # type: ignore[misc]  # requests_oauthlib has no types
    """A ``requests`` session that sends an access token over https, and over plain http to this machine alone.

    oauthlib refuses plain http even on loopback, and takes it to every host as soon as anything in the process sets
    ``OAUTHLIB_INSECURE_TRANSPORT``: neither is left to it.

    :param access_token: sent as a bearer token.
    """

    def __init__(self, access_token: str) -> None:
        super().__init__(token={"access_token": access_token, "token_type": "Bearer"})

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        """Send a request; arguments as with ``OAuth2Session.request``.

        :raises InsecureTransportError: for plain http to another machine.
        """
        parts = urlsplit(url)
        if parts.scheme == "https":
            return super().request(method, url, *args, **options)
        if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
            raise InsecureTransportError
        return self._request_on_loopback(method, url, *args, **options)

    def _request_on_loopback(
        self,
        method: str,
        url: str,
        data: Any = None,
        headers: Any = None,
        withhold_token: bool = False,  # noqa: FBT001, FBT002 - as in the signature that this stands in for
        **options: Any,
    ) -> Any:
        token = {} if withhold_token else {"Authorization": f"Bearer {self.token['access_token']}"}
        headers = {**(headers or {}), **token}
        # Past OAuth2Session, whose only other work here is done.
        return super(OAuth2Session, self).request(method, url, data=data, headers=headers, **options)
