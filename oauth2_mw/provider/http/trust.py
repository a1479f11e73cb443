"""The certificate authorities that vouch for a provider."""

from __future__ import annotations

import os
import ssl
import stat
import sys
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from oauth2_mw.errors import ProviderUnavailableError

#: What Python has asked of every chain since 3.13.
_FLAGS = (
    ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    if sys.version_info >= (3, 13)
    else ssl.VerifyFlags.VERIFY_DEFAULT
)


class Trust:
    """The certificate authorities of one provider, as the files say now.

    :param ca_bundle: a file or folder that replaces the usual ones.
    :param trust_env: whether ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE`` and ``SSLKEYLOGFILE`` are obeyed.
    """

    def __init__(self, *, ca_bundle: Path | None, trust_env: bool) -> None:
        self._ca_bundle = ca_bundle
        self._trust_env = trust_env
        self._made: tuple[Hashable, ssl.SSLContext] | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context of a connection; a change makes another one, and so other connections.

        :raises ProviderUnavailableError: if the authorities cannot be read, or ``SSLKEYLOGFILE`` cannot be written.
        """
        environment = os.environ if self._trust_env else {}
        named = environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE")
        bundle = str(self._ca_bundle or named or DEFAULT_CA_BUNDLE_PATH)
        try:
            version = (bundle, _version(bundle))
            made = self._made
            if made is None or made[0] != version:
                made = version, _context(bundle)
        except OSError as error:
            where = "ca_bundle" if self._ca_bundle or not named else "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"
            raise ProviderUnavailableError(
                f"the certificate authorities in {bundle} cannot be read ({error.strerror or 'not PEM'}): "
                f"check {where}"
            ) from error
        if made is not self._made and (secrets := environment.get("SSLKEYLOGFILE")):
            try:
                made[1].keylog_filename = secrets
            except OSError as error:
                raise ProviderUnavailableError(
                    f"the secrets of TLS cannot be noted in {secrets} ({error.strerror}): check SSLKEYLOGFILE"
                ) from error
        self._made = made
        return made[1]


def _context(bundle: str) -> ssl.SSLContext:
    # The default contexts of Python and urllib3 obey SSLKEYLOGFILE without being asked.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= _FLAGS
    # The common name of a certificate does not count (RFC 9525, section 2).
    context.hostname_checks_common_name = False
    if Path(bundle).is_dir():
        context.load_verify_locations(capath=bundle)
    else:
        context.load_verify_locations(cafile=bundle)
    return context


def _version(bundle: str) -> Hashable:
    """Return a value that changes with the file, or with any file in the folder."""
    found = Path(bundle).stat()
    marks = {_mark(found)}
    if stat.S_ISDIR(found.st_mode):
        with os.scandir(bundle) as entries:
            for entry in entries:
                with suppress(OSError):  # a link that leads nowhere
                    marks.add(_mark(entry.stat()))
    return frozenset(marks)


def _mark(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mtime_ns, found.st_size, found.st_ino
