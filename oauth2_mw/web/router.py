"""Which of our own URLs a path means, and who answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from webob import Request, Response

from oauth2_mw.errors import BadRequestError, NotFoundError
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.web.account.sessions import SessionsPage
from oauth2_mw.web.account.tokens import TokensPage
from oauth2_mw.web.account.whoami import WhoAmI
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.assets import AssetHandler
from oauth2_mw.web.http.urls import DEFAULT, Urls
from oauth2_mw.web.programs.forward_auth import ForwardAuth
from oauth2_mw.web.programs.health import Health
from oauth2_mw.web.programs.metrics import MetricsPage
from oauth2_mw.web.signin.callback import Callback
from oauth2_mw.web.signin.login import Login
from oauth2_mw.web.signout.backchannel import BackChannelLogout
from oauth2_mw.web.signout.frontchannel import FrontChannelLogout
from oauth2_mw.web.signout.logout import Logout

Handler = Callable[[Request, RequestSession], Response]

_BACK_CHANNEL = "/backchannel-logout/"


class Router:
    """The table of our own URLs.

    :param back_channel: answers providers' back-channel logouts; ``None`` without a session registry, as the next two.
    :param tokens_page: ``None`` if there are no personal tokens.
    :param metrics: ``None`` if nothing is counted.
    """

    def __init__(
        self,
        urls: Urls,
        providers: Mapping[str, ProviderSettings],
        *,
        login: Login,
        callback: Callback,
        logout: Logout,
        assets: AssetHandler,
        back_channel: BackChannelLogout | None,
        front_channel: FrontChannelLogout | None,
        sessions_page: SessionsPage | None,
        tokens_page: TokensPage | None,
        forward_auth: ForwardAuth,
        health: Health,
        metrics: MetricsPage | None,
    ) -> None:
        self._urls = urls
        self._assets = assets
        self._routes: dict[str, Handler] = {
            "/login/": login.answer,
            "/logout/": logout.answer,
            "/logout/done/": logout.done,
            "/whoami/": WhoAmI(urls).answer,
            "/auth": forward_auth.answer,
            "/health/": health.alive,
            "/health/ready": health.ready,
        }
        if metrics is not None:
            self._routes["/metrics"] = metrics.answer
        if sessions_page is not None:
            self._routes["/sessions/"] = sessions_page.answer
        if tokens_page is not None:
            self._routes["/tokens/"] = tokens_page.answer
        for name, provider in providers.items():
            # The provider of [oauth2_mw] itself has no name in the URLs that are registered at it.
            suffix = "" if name == DEFAULT else f"{name}/"
            self._routes[f"/login/{name}/"] = partial(login.answer, name=name)
            self._routes[f"/login/callback/{suffix}"] = partial(callback.answer, name=name)
            if provider.is_oidc and back_channel is not None:
                self._routes[_BACK_CHANNEL + suffix] = partial(back_channel.post, name=name)
            if provider.is_oidc and front_channel is not None:
                self._routes[f"/frontchannel-logout/{suffix}"] = partial(front_channel.get, name=name)

    @staticmethod
    def is_back_channel(path_suffix: str) -> bool:
        """Return whether a provider calls that path rather than a browser, so that cookies mean nothing there."""
        return path_suffix.startswith(_BACK_CHANNEL)

    def find(self, request: Request, path_suffix: str) -> Handler:
        """Return the handler of a path.

        :param path_suffix: what follows ``prefix`` in ``PATH_INFO``.
        :raises BadRequestError: if the path is not UTF-8 or holds control characters.
        :raises NotFoundError: if there is nothing at the path.
        """
        try:
            path_suffix.encode("latin-1").decode("utf-8")
        except UnicodeError:
            raise BadRequestError("the path is not UTF-8", code="bad_path") from None
        if not path_suffix.isprintable():
            raise BadRequestError("the path holds control characters", code="bad_path")
        handler = self._handler(path_suffix)
        if handler is not None:
            return handler
        if request.method in ("GET", "HEAD") and f"{path_suffix}/" in self._routes:
            return partial(self._add_slash, path_suffix)
        raise NotFoundError(f"no URL of ours is {path_suffix!r}")

    def _handler(self, path_suffix: str) -> Handler | None:
        match path_suffix.split("/")[1:]:
            case ["icon", name]:
                return partial(self._assets.icon, name=name)
            case ["static", *names]:
                return partial(self._assets.static, name="/".join(names))
        return self._routes.get(path_suffix)

    def _add_slash(self, path_suffix: str, request: Request, _current: RequestSession) -> Response:
        return responses.redirect(self._urls.with_slash(path_suffix, request.environ.get("QUERY_STRING", "")))
