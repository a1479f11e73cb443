"""The metadata and the keys of a provider: those of the settings first, then those that it publishes.

They are found by OpenID Connect Discovery 1.0, else by RFC 8414.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.discovery.cache import COOL_DOWN, CachedDocument
from oauth2_mw.provider.discovery.metadata import ENDPOINTS, NEEDED, ProviderMetadata, parse_metadata
from oauth2_mw.provider.http.documents import DocumentError, read_object
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.provider.jose.jwks import KeySet, SigningKey, parse_key_set
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.tenants import metadata_issuer

log: logging.Logger = logging.getLogger(__name__)

WELL_KNOWN = "/.well-known/openid-configuration"
OAUTH_WELL_KNOWN = "/.well-known/oauth-authorization-server"
#: bytes
METADATA_LIMIT = 256 * 1024
JWKS_LIMIT = 512 * 1024
#: seconds
NEWER_KEY_COOL_DOWN = 30
#: seconds after a failure to fetch metadata without which a sign-in works
TOLERATED_COOL_DOWN = 300
_REDIRECTS = 3


class MetadataCache:
    """The metadata and the keys of a provider, fetched when first needed and cached.

    :param clock: seconds since the epoch.
    :param uses_userinfo: whether settings refer to claims that userinfo may be asked for.
    """

    def __init__(
        self,
        provider: ProviderSettings,
        transport: Transport,
        clock: Callable[[], float],
        *,
        uses_userinfo: bool = False,
    ) -> None:
        self._provider = provider
        self._transport = transport
        self._clock = clock
        #: the endpoints that are called, or lead a browser on, at every sign-in or sign-out
        self._used = (
            *NEEDED,
            *(["userinfo_endpoint"] if uses_userinfo else ()),
            *(["end_session_endpoint"] if provider.sync_logout else ()),
            *(["introspection_endpoint"] if "introspection" in provider.accept_tokens else ()),
        )
        #: what was said once about members that are passed over
        self._warned: set[str] = set()
        #: when a fetch for a key that verifies last brought no other key
        self._no_newer_key_at: float | None = None
        self._written = ProviderMetadata(
            issuer=provider.issuer,
            authorization_endpoint=provider.authorization_endpoint,
            token_endpoint=provider.token_endpoint,
            userinfo_endpoint=provider.userinfo_endpoint,
            end_session_endpoint=provider.logout_endpoint,
            jwks_uri=provider.jwks_uri,
            introspection_endpoint=provider.introspection_endpoint,
        )
        #: whether a sign-in works without any metadata
        self._is_complete = provider.issuer is None or self._has_written(NEEDED)
        #: whether it was said that they cannot be fetched, since they last could
        self._told_of_failure = False
        #: the metadata that were published last, and the same with what the settings say
        self._merged: tuple[ProviderMetadata, ProviderMetadata] | None = None
        self._documents: CachedDocument[ProviderMetadata] = CachedDocument(
            self._fetch_metadata,
            name=f"the metadata of provider {provider.name}",
            clock=clock,
            cool_down=TOLERATED_COOL_DOWN if self._is_complete else COOL_DOWN,
        )
        self._keys: CachedDocument[KeySet] = CachedDocument(
            self._fetch_keys, name=f"the key set of provider {provider.name}", clock=clock
        )

    def metadata(self, *further: str) -> ProviderMetadata:
        """Return the metadata to use.

        They are fetched if there is an issuer, and an endpoint that every sign-in needs or one of *further* is not
        written. If they cannot be, and only one of *further* is missing, it is absent.

        :param further: endpoints that the caller is about to use.
        :raises ProviderUnavailableError: if the metadata cannot be fetched.
        :raises ProviderError: if they cannot be used; ``issuer_mismatch`` if they are another issuer's, ``metadata``
            if they name an endpoint that must not be called in a place where one is used.
        """
        if self._provider.issuer is None or (self._is_complete and self._has_written(further)):
            return self._written
        try:
            metadata = self._with_settings(self._documents.get())
        except (ProviderError, ProviderUnavailableError) as error:
            if not self._is_complete or error.code == "issuer_mismatch":
                raise
            self._tell_of_failure_once(error)
            return self._written
        self._told_of_failure = False
        if not self._is_complete:
            for name in self._used:
                metadata.optional_endpoint(name)
        return metadata

    def load_keys(self) -> None:
        """Fetch the key set beforehand, so that a token which cannot be got again need not wait for it.

        :raises ProviderUnavailableError, ProviderError: if there is no key set at all.
        """
        self._keys.get()

    def keys_for(self, kid: str | None, alg: str) -> Iterator[SigningKey]:
        """Yield the keys that may have signed a token with *kid* and *alg*.

        Whoever takes them all has an unknown key, or a signature that none verifies: the set is then fetched anew,
        because a provider may change its keys at any time, and under an old name too. If that brings no other key, not
        again for 30 seconds (OpenID Connect Core, section 10.1.1).

        :raises ProviderUnavailableError, ProviderError: if there is no key set at all.
        """
        loads = self._keys.loads
        key_set = self._keys.get()
        keys = key_set.matching(kid, alg)
        yield from keys
        # A set that was fetched just now need not be fetched again.
        if self._keys.loads != loads or self._is_cooling_down():
            return
        newer = [key for key in self._keys.refresh(key_set).matching(kid, alg) if key not in keys]
        # A fetch that failed tells nothing of keys, and cools down by itself.
        if not newer and self._keys.loads != loads:
            self._no_newer_key_at = self._clock()
        yield from newer

    def _is_cooling_down(self) -> bool:
        since = self._no_newer_key_at
        return since is not None and 0 <= self._clock() - since < NEWER_KEY_COOL_DOWN

    def _with_settings(self, published: ProviderMetadata) -> ProviderMetadata:
        merged = self._merged
        if merged is None or merged[0] is not published:
            names = ("issuer", *ENDPOINTS)
            written = {name: url for name in names if (url := getattr(self._written, name)) is not None}
            merged = self._merged = published, replace(published, **written)
        return merged[1]

    def _has_written(self, names: Iterable[str]) -> bool:
        return all(getattr(self._written, name) is not None for name in names)

    def _tell_of_failure_once(self, error: ProviderError | ProviderUnavailableError) -> None:
        if not self._told_of_failure:
            log.warning("provider %s: go on without its metadata: %s", self._provider.name, error.detail)
        self._told_of_failure = True

    def _fetch_metadata(self) -> ProviderMetadata:
        issuer, metadata_url = self._provider.issuer or "", self._provider.metadata_url
        if metadata_url is None:
            response, cure = self._find_metadata(issuer), "check issuer, or set the endpoints"
        else:
            response, cure = self._get_metadata(metadata_url), "check metadata_url"
        document = _read(response, "metadata", cure=cure)
        metadata = parse_metadata(document, issuer=issuer, insecure_http=self._transport.insecure_http)
        self._warn_once(metadata)
        return metadata

    def _find_metadata(self, issuer: str) -> Response:
        address = metadata_issuer(issuer, self._provider.tenants)
        # Discovery, section 4.1: a slash at the end is removed before the well-known path is added.
        first, second = address.removesuffix("/") + WELL_KNOWN, oauth_metadata_url(address)
        response = self._get_metadata(first)
        if response.status == 404:
            response = self._get_metadata(second)
            if response.status == 404:
                raise ProviderError(
                    f"there is no metadata at {first}, nor at {second}: check issuer, or set the endpoints",
                    code="metadata",
                )
        return response

    def _get_metadata(self, url: str) -> Response:
        return self._get(url, limit=METADATA_LIMIT, accept="application/json", operation="metadata")

    def _warn_once(self, metadata: ProviderMetadata) -> None:
        unused = [text for name, text in metadata.refused.items() if name not in self._used]
        for text in (*metadata.ignored, *unused):
            if text not in self._warned:
                log.warning("provider %s: %s; it is not used", self._provider.name, text)
        # No more than one document holds: the provider may write another address each time.
        self._warned = {*metadata.ignored, *unused}

    def _fetch_keys(self) -> KeySet:
        url = self.metadata().endpoint("jwks_uri")
        accept = "application/jwk-set+json, application/json"
        response = self._get(url, limit=JWKS_LIMIT, accept=accept, operation="keys")
        try:
            return parse_key_set(_read(response, "key set", cure="check jwks_uri"))
        except ValueError as error:
            raise ProviderError(f"the key set at {url} cannot be used: {error}", code="metadata") from error

    def _get(self, url: str, *, limit: int, accept: str, operation: str) -> Response:
        return self._transport.get_json(
            url, limit=limit, headers={"Accept": accept}, redirects=_REDIRECTS, operation=operation
        )


def oauth_metadata_url(issuer: str) -> str:
    """Return the address of an authorization server's metadata (RFC 8414, section 3.1), with the issuer's path last."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}{OAUTH_WELL_KNOWN}{parts.path.removesuffix('/')}"


def _read(response: Response, name: str, *, cure: str) -> dict[str, Any]:
    response.check_available()
    if response.status != 200:
        raise ProviderError(
            f"the {name} at {response.url} was answered with HTTP {response.status}: {cure}", code="metadata"
        )
    try:
        return read_object(response.body)
    except DocumentError as error:
        raise ProviderError(
            f"the {name} at {response.url} cannot be used: {error}", code="metadata"
        ) from error
