"""Every exception of the package, so that a caller can catch as much or as little as it means to.

::

    OAuth2Error
    ├── ConfigError            the process does not start; carries every problem found
    ├── RequestError           400  bytes from outside that our own URLs cannot read
    ├── LoginError                  one sign-in failed; nobody is signed in by it
    │   ├── StateError         400  the answer does not belong to an attempt of this browser
    │   ├── ProviderError      502  the provider answered, and the answer is of no use
    │   ├── TokenError         400  a token does not prove what it must
    │   └── AccessDenied       403  the person is known and may not enter
    ├── ProviderUnavailable    503  the provider cannot be reached in time
    └── StoreUnavailable       503  the directory or session store cannot be reached

Each carries ``code`` (a stable word for logs and tests), ``status`` (the HTTP status of our page), ``detail``
(what an operator reads in the log; never a secret) and ``message`` (what a person may read on the page).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class OAuth2Error(Exception):
    """The root of the tree.

    :param detail: for the log: what was wrong, where, and what to do. Never a secret.
    :param code: a stable word that names the failure, when the class's own is too wide.
    :param message: a sentence for the person at the browser, when the class's own is too wide.
    """

    code = "error"
    status = 500
    message = "Something went wrong while signing you in."
    #: the NAME of the provider that a failure concerns, once somebody knows it
    provider: str | None = None

    def __init__(self, detail: str, *, code: str | None = None, message: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code
        if message is not None:
            self.message = message


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration: where it is written, and what to do about it."""

    section: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"[{self.section}] {self.key}: {self.text}" if self.key else f"[{self.section}] {self.text}"


class ConfigError(OAuth2Error):
    """The configuration cannot be used. ``problems`` holds all that was found, not only the first."""

    code = "config"
    message = "This service is not set up correctly."

    def __init__(self, problems: Sequence[Problem], *, source: str = "the configuration") -> None:
        self.problems = tuple(problems)
        self.source = source
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{count} in {source}:{lines}")


class RequestError(OAuth2Error):
    """A request to one of our own URLs that cannot be read: bad encoding, control bytes, repeated parameters."""

    code = "bad_request"
    status = 400
    message = "The address or form that was sent here could not be understood."


class LoginError(OAuth2Error):
    """A sign-in that failed. Its subclasses say on whose side."""

    code = "login"
    status = 400


class StateError(LoginError):
    """The provider's answer does not belong to a live sign-in attempt of this browser (RFC 6749, section 10.12)."""

    code = "state"
    message = "This sign-in was not started in this browser, or was started too long ago."


class ProviderError(LoginError):
    """The provider refused, or its answer does not follow the protocol."""

    code = "provider"
    status = 502
    message = "The sign-in service gave an answer that cannot be used."


class TokenError(LoginError):
    """An ID token or a userinfo answer does not prove who signed in (OpenID Connect Core, section 3.1.3.7)."""

    code = "token"
    message = "The sign-in service's answer could not be trusted."


class AccessDeniedError(LoginError):
    """The person is known and may not enter, or declined to sign in."""

    code = "denied"
    status = 403
    message = "You are not allowed to use this application."


class ProviderUnavailableError(OAuth2Error):
    """The provider cannot be reached, or does not answer in time."""

    code = "provider_unavailable"
    status = 503
    message = "The sign-in service cannot be reached right now. Please try again in a moment."


class StoreUnavailableError(OAuth2Error):
    """The user directory or the session store cannot be reached; the request is refused, never let through."""

    code = "store_unavailable"
    status = 503
    message = "Your sign-in cannot be checked right now. Please try again in a moment."
