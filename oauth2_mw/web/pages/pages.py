"""The pages that people see: calm sentences in valid HTML, with everything from outside escaped.

Each works under the policy ``default-src 'none'; style-src 'self'; img-src 'self'`` (CSP Level 3): no inline style,
one stylesheet, images from our own path, and no script but one that ``keep_fragment`` asks for and no page needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from oauth2_mw.credentials.personal_tokens import MAX_TOKEN_NAME
from oauth2_mw.sentences import Sentence, sentence
from oauth2_mw.settings.branding import Contact
from oauth2_mw.web.http.languages import best_language
from oauth2_mw.web.http.responses import Environ, Html
from oauth2_mw.web.pages.catalogues import LANGUAGES, Catalogue, catalogue
from oauth2_mw.web.pages.markup import link, optional_link
from oauth2_mw.web.pages.rendering import Renderer

#: Characters of a name; a page is not the place for whatever length a provider sends.
NAME_LIMIT = 120
#: Characters of one sentence or hint.
TEXT_LIMIT = 600
HINT_LIMIT = 10
#: Sessions that one page lists; a person with more can sign them all out together.
ROW_LIMIT = 100
#: Names of a kept form's fields.
FIELD_LIMIT = 20
#: Values of templates that are texts of ours. In all others only a ``Sentence`` is one.
_TEXTS = frozenset({"message", "heading", "hints"})
#: The lives of tokens that can be chosen, in seconds, as far as the setting allows.
_LIFETIMES = (3600, 86400, 7 * 86400, 30 * 86400, 90 * 86400, 180 * 86400)


@dataclass(frozen=True, slots=True)
class LoginButton:
    """One way to sign in, as the login page offers it.

    :param label: the provider's display name: the button reads "Continue with LABEL".
    :param url: where the button leads.
    :param icon_url: the URL of its icon under our own path, or ``None`` to show the first letter of the label.
    :param last_used: whether this browser was signed in that way last.
    """

    label: str
    url: str
    icon_url: str | None
    last_used: bool = False


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session, as the sessions page shows it.

    :param id: the id that its form carries.
    :param device: the browser in words, or ``None`` if it is not known.
    :param address: the address that the sign-in came from, or ``None`` if it is not known.
    :param provider: the provider's display name.
    :param since: the time of the sign-in, in seconds since the epoch.
    :param seen: the last use on record, in seconds since the epoch.
    :param current: whether the page is shown to this session.
    """

    id: str
    device: str | None
    address: str | None
    provider: str
    since: int
    seen: int
    current: bool


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One personal token, as the tokens page shows it. Times are in seconds since the epoch.

    :param id: the id that its form carries.
    :param used: the last use on record, or ``None`` before the first.
    """

    id: str
    name: str
    paths: Sequence[str]
    made: int
    ends: int
    used: int | None
    read_only: bool
    ended: bool


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that has just been made, to be shown this once."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenForm:
    """The form in which a token is made.

    :param state: whether it is there: ``fresh``; or after another sign-in: ``old``; or not, because the provider did
        not ask for one: ``not asked``; or because nobody can tell who sends it: ``unknown browser``.
    :param paths: the paths that can be chosen.
    :param longest: the longest life that can be chosen, in seconds.
    """

    state: str
    paths: Sequence[str]
    longest: int


class Pages:
    """Renders our pages.

    :param static_url: the URL of the folder of static files.
    :param template_folder: templates that replace ours, as for :class:`Renderer`.
    :param site: what people sign in to, such as ``jumpserver.example.com``; shown above the heading.
    :param logo_url: the URL of a picture above it.
    :param accent_url: the URL of a stylesheet that follows ours.
    :param contact: whom a person asks for help who has a reference number.
    :raises ValueError: when ``template_folder`` is not a folder, or ``static_url`` not an address.

    Every method returns a whole document, to be sent as UTF-8 ``text/html``, and raises ``ValueError`` for an address
    that is neither http(s) nor a path on our own host, such as ``javascript:``.
    """

    def __init__(
        self,
        *,
        static_url: str,
        template_folder: Path | None = None,
        site: str = "",
        logo_url: str | None = None,
        accent_url: str | None = None,
        contact: Contact | None = None,
    ) -> None:
        self._time_script = f"{link(static_url).rstrip('/')}/local_time.js"
        self._renderer = Renderer(
            template_folder,
            static_url=link(static_url).rstrip("/"),
            site=site,
            logo_url=optional_link(logo_url),
            accent_url=optional_link(accent_url),
            contact=contact,
        )

    def login(
        self,
        *,
        buttons: Sequence[LoginButton],
        heading: str = "Sign in",
        message: str | None = None,
        script_url: str | None = None,
    ) -> Html:
        """Offer the ways to sign in.

        :param message: takes the place of the sentence under the heading.
        :param script_url: what hands the fragment of the address on, which works as well without.
        """
        checked = [
            replace(
                button,
                label=_cut(button.label, NAME_LIMIT),
                url=link(button.url),
                icon_url=optional_link(button.icon_url),
            )
            for button in buttons
        ]
        return self._render(
            "login.html",
            buttons=checked,
            heading=heading,
            message=_optional_text(message),
            script_url=optional_link(script_url),
        )

    def going_on(self, *, url: str, script_url: str) -> Html:
        """Go on to *url* at once, with the fragment of the address if the script runs."""
        return self._render("going_on.html", url=link(url), script_url=link(script_url))

    def framed_login(self, *, url: str) -> Html:
        """Fill a frame of another site, with a link that opens what was to be there in a window."""
        return self._render("framed_login.html", url=link(url))

    def failure(
        self,
        *,
        title: str,
        message: str,
        reference: str,
        retry_url: str | None,
        home_url: str,
        provider: str | None = None,
        hints: Sequence[str] = (),
    ) -> Html:
        """Say what went wrong, what may help, and the reference under which the log has more.

        :param provider: with which it went wrong, left out of the page when it is not known.
        """
        return self._render(
            "failure.html",
            heading=_cut(title, NAME_LIMIT),
            message=_cut(message, TEXT_LIMIT),
            provider=_optional_name(provider),
            reference=_cut(reference, NAME_LIMIT),
            retry_url=optional_link(retry_url),
            home_url=link(home_url),
            hints=[_cut(hint, TEXT_LIMIT) for hint in hints[:HINT_LIMIT]],
        )

    def denied(
        self,
        *,
        message: str,
        username: str | None,
        provider: str | None,
        reference: str,
        retry_url: str | None,
        logout_url: str | None,
        account_url: str | None = None,
        sign_out_there: bool = False,
    ) -> Html:
        """Say that the person may not enter, as whom, and how they come back as somebody else.

        :param username: left out of the page when it is not known.
        :param provider: left out of the page when it is not known.
        :param account_url: where they sign in with another account of that provider.
        :param sign_out_there: whether the provider does not ask which one while it knows the person.
        """
        return self._render(
            "denied.html",
            message=_cut(message, TEXT_LIMIT),
            username=_optional_name(username),
            provider=_optional_name(provider),
            reference=_cut(reference, NAME_LIMIT),
            account_url=optional_link(account_url),
            sign_out_there=sign_out_there,
            retry_url=optional_link(retry_url),
            logout_url=optional_link(logout_url),
        )

    def confirm_logout(
        self,
        *,
        action: str,
        token: str,
        username: str | None,
        provider: str,
        home_url: str,
        destination: str | None = None,
        heading: str = "Sign out?",
    ) -> Html:
        """Ask before signing out, by a POST form with ``csrf_token`` and, if there is a destination, ``next``.

        Its response needs ``Referrer-Policy: same-origin``, or Chromium sends ``Origin: null`` with the form.
        """
        return self._render(
            "confirm_logout.html",
            action=link(action),
            token=token,
            username=_optional_name(username),
            provider=_cut(provider, NAME_LIMIT),
            home_url=link(home_url),
            destination=destination,
            heading=heading,
        )

    def signed_out(
        self,
        *,
        login_url: str,
        still_signed_in_at: str | None,
        next_url: str | None = None,
        clear_url: str | None = None,
    ) -> Html:
        """Say that the person is signed out.

        :param still_signed_in_at: a provider where they may not be.
        :param next_url: where they wanted to go afterwards.
        :param clear_url: an empty image whose response clears the browser's cache.
        """
        return self._render(
            "signed_out.html",
            login_url=link(login_url),
            still_signed_in_at=_optional_name(still_signed_in_at),
            next_url=optional_link(next_url),
            clear_url=optional_link(clear_url),
        )

    def signed_out_here(self, *, until: int, provider: str, provider_url: str | None, login_url: str) -> Html:
        """Say that the person is signed out in this browser, and that other servers do not know it yet.

        :param until: when the session would have expired, in seconds since the epoch: the latest that a copy serves.
        :param provider: where the person may still be signed in.
        :param provider_url: where they sign out there.
        """
        return self._render(
            "signed_out_here.html",
            script_url=self._time_script,
            until=_moment(until),
            provider=_cut(provider, NAME_LIMIT),
            provider_url=optional_link(provider_url),
            login_url=link(login_url),
        )

    def framed_logout(self) -> Html:
        """Fill a frame of a provider's logout page: the same, whatever the request has ended."""
        return self._render("framed_logout.html")

    def sessions(
        self,
        *,
        rows: Sequence[SessionRow],
        username: str,
        action: str,
        logout_url: str,
        token: str,
        tokens_url: str | None,
        home_url: str,
        message: str | None = None,
    ) -> Html:
        """List where a person is signed in, with a form in each row and one for all but this browser.

        Each form carries ``csrf_token``, and ``session`` or ``others``; that of this browser goes to ``logout_url``.
        Headers as for :meth:`confirm_logout`.

        :param rows: the sessions, of which the first :data:`ROW_LIMIT` are shown.
        :param tokens_url: where their programs' tokens are, if there are any here.
        :param message: what has just been done here.
        """
        visible = [
            {
                "id": row.id,
                "device": _device(row.device),
                "address": _cut(row.address, NAME_LIMIT) if row.address else sentence("unknown"),
                "provider": _cut(row.provider, NAME_LIMIT),
                "since": _moment(row.since),
                "seen": _moment(row.seen),
                "current": row.current,
            }
            for row in rows[:ROW_LIMIT]
        ]
        return self._render(
            "sessions.html",
            script_url=self._time_script,
            rows=visible,
            hidden=len(rows) - len(visible),
            others=any(not row.current for row in rows),
            username=_cut(username, NAME_LIMIT),
            action=link(action),
            logout_url=link(logout_url),
            token=token,
            tokens_url=optional_link(tokens_url),
            home_url=link(home_url),
            message=_optional_text(message),
        )

    def tokens(
        self,
        *,
        rows: Sequence[TokenRow],
        form: TokenForm,
        new: NewToken | None,
        username: str,
        provider: str,
        sleeps_after: int,
        sleeps_at: int | None,
        action: str,
        token: str,
        sessions_url: str,
        home_url: str,
        message: str | None = None,
    ) -> Html:
        """List a person's tokens for programs, with a form in each row that revokes it, and one that makes another.

        Each form carries ``csrf_token``, and ``revoke``, ``create`` or ``again``. Headers as for
        :meth:`confirm_logout`.

        :param sleeps_after: seconds without a sign-in.
        :param sleeps_at: when the tokens fall asleep, in seconds since the epoch, if that is soon.
        :param message: what has just been done here.
        """
        visible = [
            {
                "id": row.id,
                "name": _cut(row.name, NAME_LIMIT),
                "paths": _cut(" ".join(row.paths), TEXT_LIMIT),
                "made": _moment(row.made),
                "ends": _moment(row.ends),
                "used": None if row.used is None else _moment(row.used),
                "read_only": row.read_only,
                "ended": row.ended,
            }
            for row in rows[:ROW_LIMIT]
        ]
        lifetimes = [seconds for seconds in _LIFETIMES if seconds < form.longest]
        return self._render(
            "tokens.html",
            script_url=self._time_script,
            rows=visible,
            form=form,
            lifetimes=[(seconds, _Period(seconds)) for seconds in (*lifetimes, form.longest)],
            new=new,
            name_limit=MAX_TOKEN_NAME,
            username=_cut(username, NAME_LIMIT),
            provider=_cut(provider, NAME_LIMIT),
            sleeps_after=_Period(sleeps_after),
            sleeps_at=None if sleeps_at is None else _moment(sleeps_at),
            action=link(action),
            token=token,
            sessions_url=link(sessions_url),
            home_url=link(home_url),
            message=_optional_text(message),
        )

    def kept_form(
        self,
        *,
        action: str,
        address: str,
        names: Sequence[str],
        expires: int,
        token: str,
        home_url: str,
        message: str | None = None,
    ) -> Html:
        """Offer a form that was kept, by a POST form with ``csrf_token``. Headers as for :meth:`confirm_logout`.

        :param address: where it goes, as the person knows it.
        :param names: of its fields, of which the first :data:`FIELD_LIMIT` are shown.
        :param expires: when it is forgotten, in seconds since the epoch.
        :param message: what there is to say first.
        """
        return self._render(
            "kept_form.html",
            script_url=self._time_script,
            action=link(action),
            address=_cut(address, TEXT_LIMIT),
            names=[_cut(name, NAME_LIMIT) for name in names[:FIELD_LIMIT]],
            hidden=len(names) > FIELD_LIMIT,
            expires=_moment(expires),
            token=token,
            home_url=link(home_url),
            message=_optional_text(message),
        )

    def form_gone(self, *, message: str, home_url: str) -> Html:
        """Say that a form is not there to be sent, and why."""
        return self._render("form_gone.html", message=_cut(message, TEXT_LIMIT), home_url=link(home_url))

    def switched_off(self, *, reference: str) -> Html:
        """Say that nobody can sign in, because no provider is enabled."""
        return self._render("switched_off.html", reference=_cut(reference, NAME_LIMIT))

    def not_found(self, *, home_url: str) -> Html:
        """Say that nothing answers at this address under our prefix."""
        return self._render("not_found.html", home_url=link(home_url))

    def _render(self, template: str, *, script_url: str | None = None, **context: object) -> Html:
        def render(language: str) -> str:
            spoken = catalogue(language)
            said = {name: _said(name, value, spoken) for name, value in context.items()}
            return self._renderer.render(template, spoken, script_url=script_url, **said)

        def speak(environ: Environ) -> tuple[str, str]:
            language = best_language(environ, tuple(LANGUAGES))
            return language, render(language)

        return Html(render("en"), speak=speak, script=script_url)


def _said(name: str, value: object, spoken: Catalogue) -> object:
    """Return a value of a template with the texts of ours in it in that language; names stay as they are."""
    if isinstance(value, Sentence) or (name in _TEXTS and isinstance(value, str)):
        return spoken.say(value)
    if isinstance(value, _Period):
        return value.said(spoken)
    if isinstance(value, list | tuple):
        return [_said(name, part, spoken) for part in value]
    if isinstance(value, dict):
        return {key: _said(key, part, spoken) for key, part in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class _Period:
    """A time span in seconds, told in the longest unit of which it is a whole number."""

    seconds: int

    def said(self, spoken: Catalogue) -> str:
        unit = next(unit for unit in (86400, 3600, 60, 1) if self.seconds % unit == 0)
        count = self.seconds // unit
        match unit:
            case 86400:
                return spoken.counted("{count} day", "{count} days", count)
            case 3600:
                return spoken.counted("{count} hour", "{count} hours", count)
            case 60:
                return spoken.counted("{count} minute", "{count} minutes", count)
        return spoken.counted("{count} second", "{count} seconds", count)


def _device(words: str | None) -> str:
    """Return a browser and its system, as ``signin.device`` has noted them, as a text."""
    if not words:
        return sentence("Unknown browser")
    browser, on, system = _cut(words, NAME_LIMIT).rpartition(" on ")
    return sentence("{browser} on {system}", browser=browser, system=system) if on else system


def _optional_name(text: str | None) -> str | None:
    return _cut(text, NAME_LIMIT) if text else None


def _optional_text(text: str | None) -> str | None:
    return _cut(text, TEXT_LIMIT) if text else None


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
