"""A Pyramid application that knows who is signed in: ``gunicorn 'samples.pyramid_app:make_app("oauth2.ini")'``."""

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.security import Allowed, Denied

from oauth2_mw import Identity, OAuth2Middleware, Settings, get_identity


class SecurityPolicy:
    """Who is signed in, for Pyramid. A permission is the name of a group."""

    def identity(self, request: Request) -> Identity | None:
        return get_identity(request.environ)

    def authenticated_userid(self, request: Request) -> str | None:
        return getattr(self.identity(request), "id", None)

    def permits(self, request: Request, _context: object, permission: str) -> Allowed | Denied:
        person = self.identity(request)
        member = person is not None and permission in person.groups
        return (Allowed if member else Denied)("a member of %s: %s", permission, member)

    def remember(self, _request: Request, _userid: str, **_keys: object) -> list[tuple[str, str]]:
        return []

    forget = remember


def make_app(ini: str) -> OAuth2Middleware:
    """The application behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    config = Configurator(settings={})
    config.set_security_policy(SecurityPolicy())
    config.add_route("salaries", "/salaries")
    config.add_view(salaries, route_name="salaries", renderer="string", permission="admins")
    return OAuth2Middleware(config.make_wsgi_app(), Settings.from_ini(ini))


def salaries(request: Request) -> str:
    return f"Salaries, for {request.identity.username}"
