"""The pages that people see: calm sentences in valid HTML, with everything from outside escaped.

Each works under the policy ``default-src 'none'; style-src 'self'; img-src 'self'`` (CSP Level 3): no inline style,
one stylesheet, images from our own path, and no script but one that ``keep_fragment`` asks for and no page needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from oauth2_mw.settings.branding import Contact
from oauth2_mw.web.http.responses import Html
from oauth2_mw.web.pages.account import AccountPages
from oauth2_mw.web.pages.markup import link, optional_link
from oauth2_mw.web.pages.rendering import Renderer
from oauth2_mw.web.pages.values import NAME_LIMIT, TEXT_LIMIT, cut, moment, optional_name, optional_text

#: Hints of one failure.
HINT_LIMIT = 10
#: Names of a kept form's fields.
FIELD_LIMIT = 20


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
        #: The pages of one's own: sessions and tokens.
        self.account: AccountPages = AccountPages(self._renderer, self._time_script)

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
                label=cut(button.label, NAME_LIMIT),
                url=link(button.url),
                icon_url=optional_link(button.icon_url),
            )
            for button in buttons
        ]
        return self._renderer.page(
            "login.html",
            buttons=checked,
            heading=heading,
            message=optional_text(message),
            script_url=optional_link(script_url),
        )

    def going_on(self, *, url: str, script_url: str) -> Html:
        """Go on to *url* at once, with the fragment of the address if the script runs."""
        return self._renderer.page("going_on.html", url=link(url), script_url=link(script_url))

    def framed_login(self, *, url: str) -> Html:
        """Fill a frame of another site, with a link that opens what was to be there in a window."""
        return self._renderer.page("framed_login.html", url=link(url))

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
        return self._renderer.page(
            "failure.html",
            heading=cut(title, NAME_LIMIT),
            message=cut(message, TEXT_LIMIT),
            provider=optional_name(provider),
            reference=cut(reference, NAME_LIMIT),
            retry_url=optional_link(retry_url),
            home_url=link(home_url),
            hints=[cut(hint, TEXT_LIMIT) for hint in hints[:HINT_LIMIT]],
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
        return self._renderer.page(
            "denied.html",
            message=cut(message, TEXT_LIMIT),
            username=optional_name(username),
            provider=optional_name(provider),
            reference=cut(reference, NAME_LIMIT),
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
        return self._renderer.page(
            "confirm_logout.html",
            action=link(action),
            token=token,
            username=optional_name(username),
            provider=cut(provider, NAME_LIMIT),
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
        return self._renderer.page(
            "signed_out.html",
            login_url=link(login_url),
            still_signed_in_at=optional_name(still_signed_in_at),
            next_url=optional_link(next_url),
            clear_url=optional_link(clear_url),
        )

    def signed_out_here(self, *, until: int, provider: str, provider_url: str | None, login_url: str) -> Html:
        """Say that the person is signed out in this browser, and that other servers do not know it yet.

        :param until: when the session would have expired, in seconds since the epoch: the latest that a copy serves.
        :param provider: where the person may still be signed in.
        :param provider_url: where they sign out there.
        """
        return self._renderer.page(
            "signed_out_here.html",
            script_url=self._time_script,
            until=moment(until),
            provider=cut(provider, NAME_LIMIT),
            provider_url=optional_link(provider_url),
            login_url=link(login_url),
        )

    def framed_logout(self) -> Html:
        """Fill a frame of a provider's logout page: the same, whatever the request has ended."""
        return self._renderer.page("framed_logout.html")

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
        return self._renderer.page(
            "kept_form.html",
            script_url=self._time_script,
            action=link(action),
            address=cut(address, TEXT_LIMIT),
            names=[cut(name, NAME_LIMIT) for name in names[:FIELD_LIMIT]],
            hidden=len(names) > FIELD_LIMIT,
            expires=moment(expires),
            token=token,
            home_url=link(home_url),
            message=optional_text(message),
        )

    def form_gone(self, *, message: str, home_url: str) -> Html:
        """Say that a form is not there to be sent, and why."""
        return self._renderer.page(
            "form_gone.html", message=cut(message, TEXT_LIMIT), home_url=link(home_url)
        )

    def switched_off(self, *, reference: str) -> Html:
        """Say that nobody can sign in, because no provider is enabled."""
        return self._renderer.page("switched_off.html", reference=cut(reference, NAME_LIMIT))

    def not_found(self, *, home_url: str) -> Html:
        """Say that nothing answers at this address under our prefix."""
        return self._renderer.page("not_found.html", home_url=link(home_url))
