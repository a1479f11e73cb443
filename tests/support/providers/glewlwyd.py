"""Debian's Glewlwyd, on loopback and without root, as a person and as its administrator use it.

Its pages are one script; what that script asks of Glewlwyd's API is asked here. Its ID tokens have ``auth_time: 0``,
its logout tokens no ``exp``.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.debian import find
from tests.support.hosts.processes import Child, free_port
from tests.support.hosts.servers import answers
from tests.support.providers.client_keys import pem, public_pem
from tests.support.providers.jose import rsa_key

_CONFIGURATION = """\
port = {port}
bind_address = "127.0.0.1"
external_url = "http://localhost:{port}"
login_url = "login.html"
api_prefix = "api"
static_files_path = "{usr}/share/glewlwyd/webapp/"
log_mode = "console"
log_level = "INFO"
cookie_secure = 0
session_key = "GLEWLWYD2_SESSION_ID"
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "{usr}/lib/glewlwyd/user"
user_middleware_module_path = "{folder}"
client_module_path = "{usr}/lib/glewlwyd/client"
user_auth_scheme_module_path = "{usr}/lib/glewlwyd/scheme"
plugin_module_path = "{usr}/lib/glewlwyd/plugin"
hash_algorithm = "SHA512"
database = {{ type = "sqlite3"; path = "{database}"; }};
static_files_mime_types = ( {{ extension = ".html"; mime_type = "text/html"; }} )
"""
#: as the schema of the package has it
_ADMINISTRATOR = {"username": "admin", "password": "password"}
_PASSWORD = "secret-of-jane"
#: plain letters: it takes a Basic header as it is, where a form encoding should be undone first (RFC 6749, 2.3.1)
_SECRET = "secret-of-the-application"
_SCOPES = ("profile", "email")


class Glewlwyd:
    """One running provider, which knows Jane Roe."""

    def __init__(self, origin: str, process: Child) -> None:
        self.origin = origin
        self.process = process
        self._administrator = Browser()
        self._numbers = itertools.count(1)
        self._api(self._administrator, "POST", "/auth/", _ADMINISTRATOR)
        self._add_property("user", "groups")
        self._add_property("client", "post_logout_redirect_uris")
        self._administer("POST", "/mod/plugin/", _plugin(f"{origin}/api/oidc"))
        for name in _SCOPES:
            self._administer("POST", "/scope/", {"name": name, "password_required": False, "scheme": {}})
        jane = {
            "username": "jane",
            "password": _PASSWORD,
            "name": "Jane Roe",
            "email": "jane@example.com",
            "groups": ["staff", "admins"],
            "scope": ["openid", "g_profile", *_SCOPES],
            "enabled": True,
        }
        self._administer("POST", "/user/", jane)

    def register(
        self, redirect_uri: str, post_logout_redirect_uri: str, backchannel_logout_uri: str
    ) -> dict[str, str]:
        client_id = f"app-{next(self._numbers)}"
        client = {
            "client_id": client_id,
            "confidential": True,
            "client_secret": _SECRET,
            "redirect_uri": [redirect_uri],
            "post_logout_redirect_uris": [post_logout_redirect_uri],
            "backchannel_logout_uri": backchannel_logout_uri,
            "authorization_type": ["code", "refresh_token"],
            "token_endpoint_auth_method": ["client_secret_basic"],
            "enabled": True,
        }
        self._administer("POST", "/client/", client)
        return {
            "issuer": f"{self.origin}/api/oidc",
            "client_id": client_id,
            "client_secret": _SECRET,
        }

    def sign_in(self, browser: Browser) -> Page:
        """Type the password if it is asked for, and agree to what the application wants to know."""
        assert browser.page is not None and browser.origin == self.origin, browser.transcript
        asked = dict(parse_qsl(urlsplit(browser.page.url).query))
        if not self.remembers(browser):
            self._api(browser, "POST", "/auth/", {"username": "jane", "password": _PASSWORD})
        self._api(browser, "PUT", f"/auth/grant/{asked['client_id']}", {"scope": asked["scope"]})
        return browser.navigate(f"{asked['callback_url']}&g_continue", initiator=self.origin)

    def remembers(self, browser: Browser) -> bool:
        return browser.tab().fetch(f"{self.origin}/api/profile_list").status == 200

    def sign_out(self, browser: Browser) -> Page:
        """Agree to the end of the session, and follow where that leads."""
        assert browser.page is not None and browser.origin == self.origin, browser.transcript
        asked = dict(parse_qsl(urlsplit(browser.page.url).query))
        self._api(browser, "DELETE", f"/{asked['plugin']}/session/{asked['sid']}")
        self._api(browser, "DELETE", "/auth/")
        return browser.navigate(asked["callback_url"], initiator=self.origin)

    def _add_property(self, kind: str, name: str) -> None:
        """Let users or clients have a further property, of several values."""
        module = self._administer("GET", f"/mod/{kind}/database").json()
        module["parameters"]["data-format"][name] = {"multiple": True, "read": True, "write": True}
        self._administer("PUT", f"/mod/{kind}/database", module)
        self._administer("PUT", f"/mod/{kind}/database/reset")

    def _administer(self, method: str, path: str, value: Any = None) -> Page:
        return self._api(self._administrator, method, path, value)

    def _api(self, browser: Browser, method: str, path: str, value: Any = None) -> Page:
        answer = browser.fetch(f"{self.origin}/api{path}", method=method, json=value, initiator=self.origin)
        assert answer.status == 200, f"{method} {path}: {answer.status} {answer.text}"
        return answer


def _plugin(issuer: str) -> dict[str, Any]:
    """The OpenID Connect plugin: the code flow, with refresh tokens that are used once, and its logouts."""
    key = rsa_key().private
    claims = {"preferred_username": "username", "groups": "groups"}
    parameters = {
        "iss": issuer,
        "jwt-type": "rsa",
        "jwt-key-size": "256",
        "key": pem(key),
        "cert": public_pem(key),
        "jwks-show": True,
        "code-duration": 600,
        "access-token-duration": 3600,
        "refresh-token-duration": 1209600,
        "refresh-token-one-use": "always",
        "session-cookie-name": "GLEWLWYD2_OIDC_SID",
        "session-cookie-expiration": 2419200,
        "allow-non-oidc": False,
        "auth-type-code-enabled": True,
        "auth-type-token-enabled": False,
        "auth-type-implicit-enabled": False,
        "auth-type-password-enabled": False,
        "auth-type-client-enabled": False,
        "auth-type-refresh-enabled": True,
        "pkce-allowed": True,
        "pkce-required": True,
        "session-management-allowed": True,
        "back-channel-logout-allowed": True,
        "introspection-revocation-allowed": True,
        "introspection-revocation-allow-target-client": True,
        "name-claim": "mandatory",
        "email-claim": "mandatory",
        "claims": [
            {"name": name, "user-property": source, "type": "string", "mandatory": True, "scope": []}
            for name, source in claims.items()
        ],
    }
    return {
        "module": "oidc",
        "name": "oidc",
        "display_name": "OpenID Connect",
        "enabled": True,
        "parameters": parameters,
    }


@contextmanager
def glewlwyd(folder: Path) -> Iterator[Glewlwyd]:
    """Start a provider with a database of its own in *folder*."""
    program = find("glewlwyd", "usr/bin/glewlwyd")
    usr = program.executable.parents[1]
    database, port = folder / "glewlwyd.db", free_port()
    with closing(sqlite3.connect(database)) as connection:
        schema = usr / "share/dbconfig-common/data/glewlwyd/install/sqlite3"
        connection.executescript(schema.read_text(encoding="utf-8"))
    configuration = folder / "glewlwyd.conf"
    configuration.write_text(
        _CONFIGURATION.format(port=port, folder=folder, usr=usr, database=database),
        encoding="utf-8",
    )
    with Child("glewlwyd", [program.executable, "-c", configuration], env=program.env, cwd=folder) as process:
        # It says that it has started before it listens.
        process.wait_until(lambda: answers(f"http://127.0.0.1:{port}"))
        yield Glewlwyd(f"http://localhost:{port}", process)
