"""What our own URLs accept of a request: method, query and form, read to a limit and without repetitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from webob import Request

from oauth2_mw.boundary import strict_query
from oauth2_mw.errors import BadRequestError, MethodNotAllowedError
from oauth2_mw.settings.text import shown
from oauth2_mw.web.http.urls import SELECT_ACCOUNT, Urls

#: Octets of a query string, and of a form, that our own URLs read.
MAX_QUERY = 16 * 1024
MAX_FORM = 16 * 1024
#: Characters of ``login_hint``.
_MAX_HINT = 255
_NEXT = frozenset({"next"})
#: The parameters of a link to our login; everything else of the authorization request is configured.
_LOGIN = frozenset({"next", "asked", "login_hint", "iss", "target_link_uri", "prompt", "fragment"})


def require_method(request: Request, *methods: str) -> None:
    """Refuse a request with any other method.

    :raises MethodNotAllowedError: with the methods that are answered.
    """
    if request.method not in methods:
        raise MethodNotAllowedError(", ".join(methods))


def read_query(
    request: Request, allowed: frozenset[str], *, prose: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Return the parameters that are *allowed* in a request's query; see :func:`~oauth2_mw.boundary.strict_query`.

    :raises BadRequestError: when the query cannot be read.
    """
    query = request.environ.get("QUERY_STRING", "")
    return strict_query(query, allowed=allowed, limit=MAX_QUERY, prose=prose)


def read_form(
    request: Request, allowed: frozenset[str], *, prose: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Return the fields that are *allowed* in the form that a request carries, read like a query.

    :raises BadRequestError: when it cannot be read, has another content type, or is too long or of unknown length.
    """
    return strict_query(_body(request), allowed=allowed, limit=MAX_FORM, prose=prose)


def _body(request: Request) -> str:
    if request.content_type not in ("", "application/x-www-form-urlencoded"):
        raise BadRequestError(f"a form was expected, not {request.content_type!r}", code="bad_form")
    length = request.environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit() and len(length) < 8) or int(length) > MAX_FORM:
        raise BadRequestError(
            f"the form is {shown(length)} octets long, and at most {MAX_FORM} are read", code="bad_form"
        )
    try:
        body = request.environ["wsgi.input"].read(int(length))
    except (OSError, ValueError, KeyError) as error:
        raise BadRequestError(f"the form broke off ({type(error).__name__})", code="bad_form") from None
    if not isinstance(body, bytes):
        raise BadRequestError("the form broke off", code="bad_form")
    return body.decode("latin-1")


@dataclass(frozen=True, slots=True)
class LoginLink:
    """What a link to our login asks for, or a form of a third party (OpenID Connect Core, section 4)."""

    #: where the person wants to go, or ``None`` if that is not a destination of ours
    destination: str | None
    #: for the provider's form
    login_hint: str | None
    #: where a third party wants the person to sign in
    issuer: str | None
    #: the destination that a page of ours has sealed, which comes before *destination*
    sealed: str | None
    #: whether the person wants to choose who they are; no other ``prompt`` counts in a link
    another_account: bool
    #: what is to stand behind ``#`` in the destination, which our own script has found there
    fragment: str | None


def login_link(request: Request, urls: Urls) -> LoginLink:
    """Read a request to our login: its query, and the form of a POST.

    :raises BadRequestError: when it cannot be read, names two destinations or a parameter twice, or the hint is too
        long.
    """
    params = read_query(request, _LOGIN)
    if request.method == "POST":
        form = read_form(request, _LOGIN)
        if params.keys() & form.keys():
            raise BadRequestError("the form and its address give the same parameter")
        params |= form
    destination, target = params.get("next"), params.get("target_link_uri")
    if destination and target:
        raise BadRequestError("next and target_link_uri are given together", code="two_destinations")
    hint = params.get("login_hint") or None
    if hint is not None and len(hint) > _MAX_HINT:
        raise BadRequestError(f"login_hint is longer than {_MAX_HINT} characters", code="too_long")
    issuer, sealed = params.get("iss") or None, params.get("asked")
    another = params.get("prompt") == SELECT_ACCOUNT
    fragment = params.get("fragment") or None
    return LoginLink(urls.destination(destination or target), hint, issuer, sealed, another, fragment)


def query_destination(request: Request, urls: Urls) -> str | None:
    """Return ``next`` of a request's query, or ``None`` if it is not a destination of ours.

    :raises BadRequestError: when the query cannot be read.
    """
    return urls.destination(read_query(request, _NEXT).get("next"))


def form_destination(request: Request, form: Mapping[str, str], urls: Urls) -> str | None:
    """Return ``next`` of a form or else of the request's query, or ``None`` if it is not a destination of ours.

    :raises BadRequestError: when form and query differ.
    """
    query = read_query(request, _NEXT)
    values = {value for value in (form.get("next"), query.get("next")) if value}
    if len(values) > 1:
        raise BadRequestError(
            "the form and its address ask for different destinations", code="two_destinations"
        )
    return urls.destination(values.pop() if values else None)
