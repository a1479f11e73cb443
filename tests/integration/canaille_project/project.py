"""Canaille with a database in memory and one person in it, served on 127.0.0.1.

It runs in an environment of its own, `.venv-providers`. Prints "ready ORIGIN" once it listens; ends when its standard
input is closed. Clients register themselves (RFC 7591).
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
from socketserver import TCPServer, ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer asks the resolver for this machine's name here; nobody needs the answer.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


def configuration(host: str) -> dict[str, object]:
    """What Canaille is told: it reaches nobody, neither a mail server nor anything about passwords."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(),
        "SERVER_NAME": host,
        "PREFERRED_URL_SCHEME": "http",
        "OAUTH2_TOKEN_EXPIRES_IN": {"authorization_code": 3600, "refresh_token": 3600},
        "CANAILLE": {
            "DATABASE": "memory",
            "JAVASCRIPT": False,
            "HTMX": False,
            "CAPTCHA_ENABLED": False,
            "SMTP": None,
        },
        "CANAILLE_OIDC": {
            "DYNAMIC_CLIENT_REGISTRATION_OPEN": True,
            "ACTIVE_JWKS": [RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)],
            # Nobody is trusted: who signs in is asked for consent.
            "TRUSTED_DOMAINS": [],
        },
    }


def populate() -> None:
    jane = models.User(
        user_name="jane",
        display_name="jane",
        formatted_name="Jane Roe",
        family_name="Roe",
        emails=["jane@example.com"],
        password="secret",
    )
    Backend.instance.save(jane)
    for name in ("staff", "admins"):
        Backend.instance.save(models.Group(display_name=name, members=[jane]))


def end_with_standard_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), WSGIRequestHandler)
    host = f"localhost:{server.server_port}"
    app = create_app(configuration(host))
    with app.app_context():
        populate()
    server.set_app(app)
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    print(f"ready http://{host}", flush=True)
    server.serve_forever()
