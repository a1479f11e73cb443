"""What the queries and forms of our own URLs say: read to a limit, and no name that counts twice."""

from __future__ import annotations

from collections.abc import Mapping

from webob import Request

from oauth2_mw.boundary import strict_query
from oauth2_mw.errors import RequestError
from oauth2_mw.web.http.urls import Urls

#: Octets of a query string, and of a form, that our own URLs read.
MOST_QUERY = 16 * 1024
MOST_FORM = 16 * 1024
_MOST_HINT = 255
_NEXT = frozenset({"next"})
#: What a link to our login may say; everything else of the authorization request is configured.
_LOGIN = frozenset({"next", "login_hint"})


def read_query(
    request: Request, known: frozenset[str], *, prose: frozenset[str] = frozenset()
) -> dict[str, str]:
    """The known parameters of a request's query; see :func:`~oauth2_mw.boundary.strict_query`.

    :raises RequestError: when it cannot be read.
    """
    octets = request.environ.get("QUERY_STRING", "")
    return strict_query(octets, allowed=known, limit=MOST_QUERY, prose=prose)


def read_form(
    request: Request, known: frozenset[str], *, prose: frozenset[str] = frozenset()
) -> dict[str, str]:
    """The known fields of the form that a request brought; likewise.

    :raises RequestError: when it cannot be read: for another content type, a body without a stated length or one that
        is too long as well.
    """
    return strict_query(_body(request), allowed=known, limit=MOST_FORM, prose=prose)


def _body(request: Request) -> str:
    if request.content_type not in ("", "application/x-www-form-urlencoded"):
        raise RequestError(f"a form was expected, not {request.content_type!r}", code="bad_form")
    length = request.environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit() and len(length) < 8) or int(length) > MOST_FORM:
        raise RequestError("the form is too long or of unknown length", code="bad_form")
    try:
        body = request.environ["wsgi.input"].read(int(length))
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"the form broke off ({type(error).__name__})", code="bad_form") from None
    if not isinstance(body, bytes):
        raise RequestError("the form broke off", code="bad_form")
    return body.decode("latin-1")


def login_link(request: Request, urls: Urls) -> tuple[str | None, str | None]:
    """The destination and the hint that a link to our login carries."""
    params = read_query(request, _LOGIN)
    hint = params.get("login_hint") or None
    if hint is not None and len(hint) > _MOST_HINT:
        raise RequestError(f"login_hint is longer than {_MOST_HINT} characters", code="too_long")
    return urls.destination(params.get("next")), hint


def query_destination(request: Request, urls: Urls) -> str | None:
    """``next`` of a request's address, if it is a destination of ours."""
    return urls.destination(read_query(request, _NEXT).get("next"))


def form_destination(request: Request, form: Mapping[str, str], urls: Urls) -> str | None:
    """``next`` of a form, or else of its address.

    :raises RequestError: when both are there and differ.
    """
    query = read_query(request, _NEXT)
    asked = {value for value in (form.get("next"), query.get("next")) if value}
    if len(asked) > 1:
        raise RequestError("the form and its address ask for different destinations", code="two_destinations")
    return urls.destination(asked.pop() if asked else None)
