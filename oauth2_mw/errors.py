"""Every exception of the package, so that a caller can catch as much or as little as it means to.

A number is the HTTP status of the page; a module in brackets is where a class lives that is not defined here.

::

    OAuth2Error                      500  the root of all that a caller may want to catch
    ├── ConfigError                  500  the process does not start; carries every problem found
    ├── BadRequestError              400  bytes from outside that our own URLs cannot read
    ├── NotFoundError                404  an address under our prefix at which nothing answers
    ├── OddPathError                 404  a path that leads to several places, one of which a rule protects
    ├── ForwardAuthError             403  a proxy asks about a request, and what it tells cannot be believed
    ├── MethodNotAllowedError        405  a method that one of our URLs does not answer
    ├── MountNotStrippedError        503  the server did not strip the mount from the path
    ├── MountNotNamedError           503  the application is mounted where public_url does not say
    ├── SwitchedOffError             503  no provider is enabled
    ├── UnexpectedError              500  a fault of this package, or of what it stands on
    ├── CredentialError              401  a token that a program has sent does not serve
    ├── LoginError                   400  a sign-in failed; nobody is signed in by it
    │   ├── StateError               400  the answer does not belong to an attempt of this browser
    │   │   ├── AttemptLostError     400  the second such answer in a row
    │   │   └── LoginLoopError       400  each sign-in works, and no session comes back
    │   ├── LoginTriesError          429  so many sign-ins failed that the provider is not asked about another
    │   ├── ProviderError            502  the provider's answer cannot be used
    │   ├── TokenError               400  a token does not prove what it must
    │   ├── AccessDeniedError        403  the person is known and may not enter
    │   └── SignInDeclinedError      403  the person, or the provider for them, declined
    ├── UnavailableError             503  something that a request depends on cannot be reached
    │   ├── ProviderUnavailableError 503  the provider cannot be reached in time
    │   ├── RefreshUnderWayError     503  another request is getting the tokens that this one needs
    │   └── StoreUnavailableError    503  the directory or session store cannot be reached
    │       ├── BrokenConnectionError    503  a connection broke; another may work (sql.failures)
    │       ├── StoreTakesNoWritesError  503  it can be read, and is full or a copy
    │       ├── EndNotMarkedError        503  sessions have ended, but for those that are still being created
    │       └── EndNotToldError          503  what ended here is told to the other workers later
    └── CommandError                 500  a command was not carried out (cli.terminal)
        └── NoDatabaseError          500  its database does not exist yet (cli.directory)

These never leave the package::

    Exception
    ├── ValueError
    │   ├── DocumentError                 a provider's answer is not an acceptable document (provider.http.documents)
    │   ├── ItemsError                    items of a list, with a sentence about each (settings.converters)
    │   └── _DuplicateNameError           a JSON object has a name twice (settings.converters)
    ├── NoAnswerError                     a server gave none to the last who asked (breaker)
    ├── HTTPException
    │   └── UnreadableAnswerError         an answer could be read in two ways (provider.http.answer)
    ├── SQLAlchemyError
    │   └── _ForeignValueError            a column holds what no release writes there (sql.foreign_values)
    ├── NoConnectionError                 no address of a host accepts a connection (provider.http.connection)
    ├── NotReachedError                   no command was sent to a Redis server (session.stores.redis.errors)
    ├── BrokenServerError                 the connection broke after commands were sent (session.stores.redis.errors)
    ├── CommandRefusedError               a connection that works is not used (session.stores.redis.errors)
    └── SignInFailedError                 a failure, and what the page about it needs (web.signin.login)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Seconds after which a request may be repeated when something cannot be reached.
RETRY_AFTER = 5

_COOKIE_HINTS = (
    "Check that the date and time of your computer are right.",
    "Allow cookies for this site. Private windows and some extensions block them.",
    "Open the application at its usual address. A sign-in begun at another address cannot be finished here.",
)


class OAuth2Error(Exception):
    """The root of the tree. What its page says stands on the class.

    :param detail: for the log: what is wrong, where, and what to do. Never a secret.
    :param code: a stable word for logs and tests, finer than the class's own.
    :param message: a sentence for the person at the browser, more precise than the class's own.
    """

    #: the name of the class in snake case, without ``Error``
    code: str = "oauth2"
    #: the HTTP status of the page
    status = 500
    #: the heading of the page
    title = "Sign-in did not work"
    message: str = "Something went wrong while signing you in."
    #: what the person may try, a sentence each
    hints: tuple[str, ...] = ()
    #: seconds after which the request may be repeated
    retry_after: int | None = None
    #: the NAME of the provider that a failure concerns, where it is known
    provider: str | None = None
    #: whether the same was refused a moment ago, and is in the log
    is_repeated = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__.removesuffix("Error")).lower()

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

    message = "This service is not set up correctly."

    def __init__(self, problems: Sequence[Problem], *, source: str = "the configuration") -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.source = source
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{count} in {source}:{lines}")


class BadRequestError(OAuth2Error):
    """A request to one of our own URLs that cannot be read: bad encoding, control bytes, repeated parameters."""

    status = 400
    title = "That did not make sense"
    message = "The address or form that was sent here could not be understood."


class NotFoundError(OAuth2Error):
    """An address under our prefix at which nothing answers."""

    status = 404
    message = "There is nothing at this address."


class OddPathError(OAuth2Error):
    """A path of the application that programs read in several ways, where a rule asks for more than a sign-in."""

    status = 404
    title = "This address is not served"
    message = (
        "This address can be read in more than one way (it has // or ; in it, for example), and is not served here. "
        "Whoever runs this service can allow such addresses with the setting odd_paths."
    )


class ForwardAuthError(OAuth2Error):
    """A proxy asks whether a request may pass, and what it tells about the request cannot be believed."""

    status = 403
    title = "This address is not served"
    message = "The proxy in front of this service does not say reliably what was asked for."


class MethodNotAllowedError(OAuth2Error):
    """A method that one of our URLs does not answer (RFC 9110, section 15.5.6).

    :param allow: the methods that it answers, as the header ``Allow`` lists them.
    """

    status = 405
    message = "This address cannot be used in that way."

    def __init__(self, allow: str) -> None:
        super().__init__(f"only {allow} is answered here")
        self.allow = allow


class MountNotStrippedError(OAuth2Error):
    """The mount still stands before one of our own URLs: an answer sent there would never arrive."""

    status = 503
    message = "This application is not reachable at the address it was set up for."


class MountNotNamedError(OAuth2Error):
    """The application is mounted where ``public_url`` does not say: an answer would go to a neighbour of it."""

    status = 503
    message = "This application is not reachable at the address it was set up for."


class SwitchedOffError(OAuth2Error):
    """No provider is enabled: nobody gets in."""

    status = 503
    message = "Sign-in is switched off."


class UnexpectedError(OAuth2Error):
    """A fault of this package or of what it stands on; the log has the traceback."""


class CredentialError(OAuth2Error):
    """A token that a program has sent does not serve for its request.

    The status is 400 where it is malformed, 429 where it is not looked at, and 403 where the token is good and the
    request asks for more than it gives.
    """

    status = 401
    title = "This token does not serve"
    message = "The token that was sent does not serve here."
    #: the scopes that it lacks
    scopes: tuple[str, ...] = ()
    #: the id of the token, and of its owner with their username, where they are known
    token: str | None = None
    user: str | None = None
    username: str | None = None


class LoginError(OAuth2Error):
    """A sign-in that failed. Its subclasses say on whose side."""

    status = 400


class StateError(LoginError):
    """The provider's answer does not belong to a live sign-in attempt of this browser (RFC 6749, section 10.12)."""

    message = "This sign-in was not started in this browser, or was started too long ago."


class AttemptLostError(StateError):
    """The second answer in a row that fits no attempt: something on the way keeps the attempt from coming back."""

    message = "Your sign-in could not be matched with this browser, twice in a row."
    hints: tuple[str, ...] = _COOKIE_HINTS


class LoginLoopError(StateError):
    """Several sign-ins in a row worked, and none of them left a session that came back."""

    message = "Your sign-in works, but this browser does not keep it."
    hints: tuple[str, ...] = _COOKIE_HINTS


class LoginTriesError(LoginError):
    """So many sign-ins came to nothing within a minute that the provider is not asked about another."""

    status = 429
    message = "Too many sign-ins failed within a minute. Please try again in a minute."


class ProviderError(LoginError):
    """The provider refused, or its answer does not follow the protocol."""

    status = 502
    message = "The sign-in service gave an answer that cannot be used."


class TokenError(LoginError):
    """An ID token or a userinfo answer does not prove who signed in (OpenID Connect Core, section 3.1.3.7)."""

    message = "The sign-in service's answer could not be trusted."


class AccessDeniedError(LoginError):
    """The person is known and may not enter."""

    status = 403
    message = "You are not allowed to use this application."
    #: whether another sign-in can change that
    has_cure = True
    #: the name of the person as the provider has proved it, where a sign-in is refused
    username: str | None = None


class SignInDeclinedError(LoginError):
    """The person, or the provider for them, declined to sign in (RFC 6749, section 4.1.2.1)."""

    status = 403
    title = "Sign-in was cancelled"
    message = "The sign-in was cancelled or declined."


class UnavailableError(OAuth2Error):
    """Something that a request depends on cannot be reached; the request is refused, never let through."""

    status = 503
    title = "Not reachable right now"
    retry_after: int | None = RETRY_AFTER


class ProviderUnavailableError(UnavailableError):
    """The provider cannot be reached, or does not answer in time."""

    message = "The sign-in service cannot be reached right now. Please try again in a moment."
    #: whether the request may have left: what it carried, a code or a refresh token, may be used up
    is_sent = False
    #: whether it went down a connection that an earlier request had left open, which may have been closed by then
    is_on_kept_connection = False


class RefreshUnderWayError(UnavailableError):
    """The access token has ended, and another request of the session is getting a new one from a slow provider."""

    message = "Your sign-in is being renewed. Please try again in a moment."
    retry_after: int | None = 2


class StoreUnavailableError(UnavailableError):
    """The user directory or the session store cannot be reached."""

    message = "Your sign-in cannot be checked right now. Please try again in a moment."


class StoreTakesNoWritesError(StoreUnavailableError):
    """The directory or the store can be read, and refuses to write: it is full, or a copy."""


class EndNotMarkedError(StoreUnavailableError):
    """Sessions have ended, and what should end one that is still being created could not be written down."""

    #: the sessions that have ended (:class:`~oauth2_mw.session.registry.SessionInfo`)
    ended: Sequence[Any] = ()


class EndNotToldError(StoreUnavailableError):
    """A session has ended at this worker, and the others will be told as soon as the directory can be reached."""

    message = "Your sign-in ended here. Other servers are told as soon as they can be."
