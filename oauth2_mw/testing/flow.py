"""A sign-in through the real flow, by a test client and a provider in the same process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from oauth2_mw.testing.guarding import find_middleware, provider_named
from oauth2_mw.testing.provider import DevelopmentProvider, endpoints_of, provider_behind

#: status, Location, and the client's own response
_Answer = tuple[int, str | None, Any]

#: What a browser sends with an address that a person has typed (Fetch Metadata).
_NAVIGATION = {
    "Accept": "text/html",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
#: What tells WebTest's cookie jar whether it is asked over https.
_SCHEME = "wsgi.url_scheme"
#: More redirects than any sign-in has.
_MAX_STEPS = 10


def sign_in(
    client: Any,
    *,
    username: str | None = None,
    at: str | None = None,
    destination: str | None = None,
    **claims: Any,
) -> Any:
    """Sign somebody in as a browser would, and return the client's answer at the end of the way.

    That is the page that they wanted to see, or the page that says why they cannot. The client keeps the cookies.
    Where no :class:`DevelopmentProvider` stands behind the middleware, a new one does from now on.

    :param client: WebTest's ``TestApp``, Flask's ``test_client()`` or another one of Werkzeug's.
    :param username: one of the provider's users; by default the first.
    :param at: the NAME of the provider, where the settings have several.
    :param destination: the path of the application to arrive at.
    :param claims: if there are any: what the provider says of that user from now on.
    :raises TypeError: for another kind of client.
    :raises ValueError: if the client does not lead to the middleware, or would lose its cookies.
    """
    middleware = find_middleware(client)
    if middleware is None:
        raise ValueError("this client does not lead to OAuth2Middleware: DevelopmentProvider().protect(app)")
    settings = middleware._settings
    provider = provider_named(settings, at)
    get = _getter(client, secure=settings.secure)
    development = provider_behind(middleware, provider)
    if development is None:
        development = DevelopmentProvider()
        development.stand_in(middleware)
    if username is None:
        username = next(iter(development.users))
    if claims:
        development.users[username] = claims
    authorization = endpoints_of(provider)["authorization_endpoint"]
    home = f"{settings.origin}{settings.mount}/"
    location: str | None = str(middleware._urls.login(provider.name, destination=destination))
    answer: Any = None
    for _ in range(_MAX_STEPS):
        if location is None:
            return answer
        if location.partition("?")[0] == authorization.partition("?")[0]:
            location = development.follow(location, provider, username)
        if not location.startswith((home, "/")):
            return answer
        path = location.removeprefix(settings.origin).removeprefix(settings.mount)
        _, location, answer = get(path or "/")
    raise ValueError(f"the sign-in goes round in circles, at last to {location}")


def _getter(client: Any, *, secure: bool) -> Callable[[str], _Answer]:
    """Return what has *client* ask for a path, as a browser that a person leads."""
    kinds = {each.__module__.partition(".")[0] for each in type(client).__mro__}
    if "webtest" in kinds:
        if secure and client.extra_environ.get(_SCHEME) != "https":
            raise ValueError(
                "public_url is https, and over http this client loses its cookies: "
                f'TestApp(app, extra_environ={{"{_SCHEME}": "https"}})'
            )
        return lambda path: _webtest(client, path)
    if "werkzeug" in kinds:
        return lambda path: _werkzeug(client, path)
    raise TypeError(
        f"WebTest's TestApp or a test client of Werkzeug or Flask is wanted, and not {type(client).__name__}; Django's "
        "test client calls no WSGI application: give it signed_in_environ(...), or use WebTest"
    )


def _webtest(client: Any, path: str) -> _Answer:
    answer = client.get(path, headers=_NAVIGATION, status="*")
    return answer.status_int, answer.headers.get("Location"), answer


def _werkzeug(client: Any, path: str) -> _Answer:
    answer = client.get(path, headers=_NAVIGATION, follow_redirects=False)
    return answer.status_code, cast("str | None", answer.headers.get("Location")), answer
