"""The pages of one's own: where a person is signed in, and their tokens for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from oauth2_mw.credentials.personal_tokens import MAX_TOKEN_NAME
from oauth2_mw.sentences import sentence
from oauth2_mw.web.http.responses import Html
from oauth2_mw.web.pages.markup import link, optional_link
from oauth2_mw.web.pages.rendering import Renderer
from oauth2_mw.web.pages.values import NAME_LIMIT, TEXT_LIMIT, Period, cut, device, moment, optional_text

#: Sessions that one page lists; a person with more can sign them all out together.
ROW_LIMIT = 100
#: The lives of tokens that can be chosen, in seconds, as far as the setting allows.
_LIFETIMES = (3600, 86400, 7 * 86400, 30 * 86400, 90 * 86400, 180 * 86400)


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


class AccountPages:
    """Renders the pages of one's own, as :class:`~oauth2_mw.web.pages.pages.Pages` renders the others.

    :param time_script: the URL of the script that shows times as the reader's clock has them.
    """

    def __init__(self, renderer: Renderer, time_script: str) -> None:
        self._renderer = renderer
        self._time_script = time_script

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
                "device": device(row.device),
                "address": cut(row.address, NAME_LIMIT) if row.address else sentence("unknown"),
                "provider": cut(row.provider, NAME_LIMIT),
                "since": moment(row.since),
                "seen": moment(row.seen),
                "current": row.current,
            }
            for row in rows[:ROW_LIMIT]
        ]
        return self._renderer.page(
            "sessions.html",
            script_url=self._time_script,
            rows=visible,
            hidden=len(rows) - len(visible),
            others=any(not row.current for row in rows),
            username=cut(username, NAME_LIMIT),
            action=link(action),
            logout_url=link(logout_url),
            token=token,
            tokens_url=optional_link(tokens_url),
            home_url=link(home_url),
            message=optional_text(message),
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
                "name": cut(row.name, NAME_LIMIT),
                "paths": cut(" ".join(row.paths), TEXT_LIMIT),
                "made": moment(row.made),
                "ends": moment(row.ends),
                "used": None if row.used is None else moment(row.used),
                "read_only": row.read_only,
                "ended": row.ended,
            }
            for row in rows[:ROW_LIMIT]
        ]
        lifetimes = [seconds for seconds in _LIFETIMES if seconds < form.longest]
        return self._renderer.page(
            "tokens.html",
            script_url=self._time_script,
            rows=visible,
            form=form,
            lifetimes=[(seconds, Period(seconds)) for seconds in (*lifetimes, form.longest)],
            new=new,
            name_limit=MAX_TOKEN_NAME,
            username=cut(username, NAME_LIMIT),
            provider=cut(provider, NAME_LIMIT),
            sleeps_after=Period(sleeps_after),
            sleeps_at=None if sleeps_at is None else moment(sleeps_at),
            action=link(action),
            token=token,
            sessions_url=link(sessions_url),
            home_url=link(home_url),
            message=optional_text(message),
        )
