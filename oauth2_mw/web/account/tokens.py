"""The page where a person makes tokens for their programs, sees which there are, and revokes them.

A token outlives the session and serves without the person, so that no script of the application may make one: the page
is opened and its form sent by the person alone, in a window, shortly after they have signed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from webob import Request, Response

from oauth2_mw.audit import audit
from oauth2_mw.credentials.personal_tokens import MAX_TOKEN_NAME, MAX_TOKENS, PersonalTokens
from oauth2_mw.credentials.token_sleep import SLEEPS_SOON
from oauth2_mw.errors import BadRequestError
from oauth2_mw.provider.demand import Demand
from oauth2_mw.sentences import sentence
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.model import Session
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.settings.model import Settings
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.csrf import VALID_FOR, FormTokens
from oauth2_mw.web.http.forms import read_form, read_query, require_method
from oauth2_mw.web.http.languages import accepted_languages
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.pages.account import NewToken, TokenForm, TokenRow
from oauth2_mw.web.pages.pages import Pages
from oauth2_mw.web.signin.challenge import Environ, is_top_level
from oauth2_mw.web.signin.login import Login

#: Seconds after a sign-in in which its person may make a token.
FRESH_FOR = 900

_QUERY = frozenset({"done", "again"})
_FIELDS = ("csrf_token", "name", "lifetime", "read_only", "create", "revoke", "again")
_MESSAGES = MappingProxyType(
    {
        "revoked": sentence("That token is revoked. Programs that use it are refused within a minute."),
        "gone": sentence("That token was revoked already."),
    }
)
_EXPIRED = "This page had been open for too long, and nothing was changed. Please try again."
_SENT_TWICE = "This form had been sent already. The token that it made is in the list; it is shown once."
_NOT_FRESH = "Your sign-in was too long ago. Sign in again, and fill in the form once more."
_TOO_MANY = sentence("You have {count} tokens already. Revoke one that you no longer need.", count=MAX_TOKENS)
_NO_NAME = sentence(
    "Give the token a name of at most {count} characters, so that you will know it again.",
    count=MAX_TOKEN_NAME,
)
_NO_PATH = sentence("Choose at least one address where the token is to serve.")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the form asks for."""

    name: str
    #: seconds
    lifetime: int
    paths: tuple[str, ...]
    read_only: bool


class TokensPage:
    """The tokens page of one application."""

    def __init__(
        self,
        settings: Settings,
        personal_tokens: PersonalTokens,
        registry: SessionRegistry,
        urls: Urls,
        pages: Pages,
        *,
        form_tokens: FormTokens,
        login: Login,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._personal_tokens = personal_tokens
        self._registry = registry
        self._urls = urls
        self._pages = pages
        self._form_tokens = form_tokens
        self._login = login
        self._now = now
        self._paths = tuple(path.text for path in settings.personal_tokens)
        self._form = frozenset({*_FIELDS, *(f"path{number}" for number in range(len(self._paths)))})

    def answer(self, request: Request, current: RequestSession) -> Response:
        """``tokens/``: show the tokens of the signed-in person, make one or revoke one.

        :raises MethodNotAllowedError: for anything but GET, HEAD and POST.
        :raises BadRequestError: when the query or the form cannot be read, or a script asks.
        """
        require_method(request, "GET", "HEAD", "POST")
        session = current.session
        if session is None:
            return self._login.challenge(request.environ, current, self._urls.tokens_path)
        if not is_top_level(request.environ):
            raise BadRequestError(
                "the tokens page was asked for by a script or shown in a frame, and not opened in a window",
                code="not_in_a_window",
                message="This page is only shown in a window of its own.",
            )
        if request.method == "POST":
            return self._post(request, session, current, read_form(request, self._form))
        query = read_query(request, _QUERY)
        message = _MESSAGES.get(query.get("done", ""))
        return self._show(request, session, message=message, is_again=query.get("again") == "1")

    def _post(
        self, request: Request, session: Session, current: RequestSession, form: Mapping[str, str]
    ) -> Response:
        token = form.get("csrf_token", "")
        if not self._form_tokens.fits(token, session):
            audit(
                "logout_not_confirmed",
                identity=session.identity,
                detail="the form of the tokens page carried no token of this session",
            )
            return self._show(request, session, message=_EXPIRED, status=400)
        if form.get("revoke"):
            return self._revoke(session, form["revoke"])
        if form.get("again") == "1":
            return self._sign_in_again(request, session, current)
        if form.get("create") != "1":
            raise BadRequestError("the form says neither what to make nor what to revoke", code="bad_form")
        return self._create(request, session, token, form)

    def _revoke(self, session: Session, token_id: str) -> Response:
        # Another person's token is answered like one that is gone.
        ended = self._personal_tokens.end(token_id, user_id=session.identity.id)
        if ended is not None:
            audit("token_revoked", identity=session.identity, token=ended.id, detail=ended.name)
        return responses.redirect(self._urls.tokens(done="gone" if ended is None else "revoked"))

    def _sign_in_again(self, request: Request, session: Session, current: RequestSession) -> Response:
        return self._login.begin(
            session.identity.provider,
            self._urls.tokens_again,
            current,
            languages=accepted_languages(request.environ),
            # An ID token with ``auth_time`` says whether the person was asked; only then is there something to ask for.
            demand=Demand(asks_anew=True, max_age=None if session.identity.auth_time is None else 0),
        )

    def _create(
        self, request: Request, session: Session, form_token: str, form: Mapping[str, str]
    ) -> Response:
        if not _is_own_form(request.environ, self._urls):
            raise BadRequestError(
                "the form of the tokens page came from elsewhere, or from a browser that does not say whence",
                code="not_our_form",
                message="This form can only be sent from its own page.",
            )
        if not self._is_fresh(session):
            return self._show(request, session, message=_NOT_FRESH, status=403)
        wish, complaint = self._read(form)
        if wish is None:
            return self._show(request, session, message=complaint, status=400)
        once = hashlib.sha256(form_token.encode()).hexdigest()[:32]
        if not self._registry.consume_once(f"token-form:{once}", expires=int(self._now()) + VALID_FOR):
            return self._show(request, session, message=_SENT_TWICE, status=400)
        made = self._personal_tokens.create(
            session.identity.id,
            name=wish.name,
            paths=wish.paths,
            read_only=wish.read_only,
            lifetime=wish.lifetime,
        )
        if made is None:
            return self._show(request, session, message=_TOO_MANY, status=400)
        audit(
            "token_created",
            identity=session.identity,
            token=made.id,
            detail=f"{wish.name}: {' '.join(wish.paths)}{' (reading alone)' if wish.read_only else ''}, for "
            f"{wish.lifetime} seconds",
        )
        return self._show(request, session, new=NewToken(wish.name, made.text))

    def _read(self, form: Mapping[str, str]) -> tuple[_Wish | None, str]:
        """Return what the form asks for, or what is missing in it."""
        name, lifetime = form.get("name", "").strip(), form.get("lifetime", "")
        paths = tuple(path for number, path in enumerate(self._paths) if form.get(f"path{number}") == "1")
        if not 0 < len(name) <= MAX_TOKEN_NAME:
            return None, _NO_NAME
        if not paths:
            return None, _NO_PATH
        if not (lifetime.isascii() and lifetime.isdigit() and len(lifetime) < 10):
            raise BadRequestError("the lifetime in the form is not a number of seconds", code="bad_form")
        if not 0 < int(lifetime) <= self._settings.personal_token_lifetime:
            raise BadRequestError("the lifetime in the form is not one that may be chosen", code="bad_form")
        return _Wish(name, int(lifetime), paths, form.get("read_only") == "1"), ""

    def _is_fresh(self, session: Session) -> bool:
        """Return whether the person has just signed in, as far as anybody can tell."""
        return self._now() < session.created_at + FRESH_FOR and not self._is_old_proof(session)

    def _is_old_proof(self, session: Session) -> bool:
        """Return whether the provider says that it has not asked the person for long."""
        identity = session.identity
        if identity.auth_time is None:
            return False
        provider = self._settings.providers[identity.provider]
        return identity.auth_time < session.created_at - FRESH_FOR - provider.leeway

    def _show(
        self,
        request: Request,
        session: Session,
        *,
        message: str | None = None,
        status: int = 200,
        is_again: bool = False,
        new: NewToken | None = None,
    ) -> Response:
        providers = self._settings.providers
        identity = session.identity
        if not _says_whence(request.environ):
            state = "unknown browser"
        elif self._is_fresh(session):
            state = "fresh"
        else:
            # Once more would be once more the same.
            state = "not asked" if is_again and self._is_old_proof(session) else "old"
        html = self._pages.account.tokens(
            rows=self._rows(identity.id),
            form=TokenForm(state, self._paths, self._settings.personal_token_lifetime),
            new=new,
            username=identity.username,
            provider=providers[identity.provider].label,
            sleeps_after=self._settings.personal_token_owner_seen,
            sleeps_at=self._sleeps_soon_at(identity.id),
            action=self._urls.tokens(),
            token=self._form_tokens.make(session),
            sessions_url=self._urls.sessions(),
            home_url=self._urls.home,
            message=message,
        )
        # Who is signed out while the page is open is sent to sign in, at any provider.
        plain_http = self._urls.leads_over_http(*providers.values())
        return responses.form_page(html, status=status, plain_http=plain_http)

    def _sleeps_soon_at(self, user_id: str) -> int | None:
        """Return when the tokens of a user fall asleep, if that is soon."""
        seen_at = self._personal_tokens.owner_seen_at(user_id)
        # Where no sign-in was written down they sleep until the next one.
        sleeps_at = (seen_at or 0) + self._settings.personal_token_owner_seen
        return sleeps_at if self._now() >= sleeps_at - SLEEPS_SOON else None

    def _rows(self, user_id: str) -> list[TokenRow]:
        now = self._now()
        return [
            TokenRow(
                token.id,
                token.name,
                token.paths,
                token.created_at,
                token.expires_at,
                token.used_at,
                read_only=token.read_only,
                ended=token.expires_at <= now,
            )
            for token in self._personal_tokens.of_user(user_id)
        ]


def _says_whence(environ: Environ) -> bool:
    """Return whether the browser sends Fetch Metadata, as all of today do over https and on loopback."""
    return "HTTP_SEC_FETCH_SITE" in environ


def _is_own_form(environ: Environ, urls: Urls) -> bool:
    """Return whether a person has sent a form of one of our own pages in a window."""
    return (
        environ.get("HTTP_SEC_FETCH_SITE") == "same-origin"
        and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST") == "document"
        and environ.get("HTTP_ORIGIN") in (None, urls.origin)
    )
