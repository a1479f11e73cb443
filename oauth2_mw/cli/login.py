"""Sign in in a browser, and show which claims come.

It is a sign-in like those of the application, by the same client, and leaves no session: the provider's answer comes
back to this terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from oauth2_mw.cli.arrival import print_arrival, shown_value
from oauth2_mw.cli.claims import find_provider
from oauth2_mw.cli.loopback import LoopbackPort, PastedAddress, open_browser
from oauth2_mw.cli.proposal import as_setting, propose
from oauth2_mw.cli.terminal import INI_HELP, CommandError, print_table, printable, read_duration
from oauth2_mw.encoding import base64url
from oauth2_mw.errors import BadRequestError, LoginError, UnavailableError
from oauth2_mw.provider.client import Authentication
from oauth2_mw.provider.endpoints.authorization_response import Refusal, read_authorization_response
from oauth2_mw.provider.jose.jws import read_jws
from oauth2_mw.provider.tokens.id_token import ID_TOKEN
from oauth2_mw.settings.model import ProviderSettings, Settings
from oauth2_mw.web.clients import make_client
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.signin.attempt import Attempt, State

#: Fixed, because most providers compare the whole address (RFC 8252 has them pass over the port).
PORT = 8765
_TIMEOUT = 300
_SECRET_NAME = re.compile("token|secret|password|ticket", re.IGNORECASE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw login``."""
    add = parser.add_argument
    add("ini", type=Path, metavar="INI", help=INI_HELP)
    add("name", nargs="?", metavar="PROVIDER", help="its NAME, where there are several")
    add("--provider", metavar="NAME", help="the same")
    add(
        "--port",
        type=_port,
        default=PORT,
        metavar="N",
        help=f"where the answer is waited for (default: {PORT}; 0: any)",
    )
    add("--localhost", action="store_true", help="call this machine localhost, and not 127.0.0.1")
    add(
        "--registered",
        action="store_true",
        help="use the application's own redirect URI, and paste where it ends",
    )
    add("--no-browser", action="store_true", help="open no browser: print the address alone")
    add(
        "--timeout",
        type=read_duration,
        default=_TIMEOUT,
        metavar="DURATION",
        help="how long to wait for the browser (default: 5m)",
    )
    add("--json", action="store_true", help="print the claims alone, as oauth2-mw map --claims reads them")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535, or 0 for any that is free")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Sign in, and print the claims, the identity that they give, and a proposal.

    :returns: 1 if the application would not let that person in.
    :raises ConfigError: if the file cannot be used.
    :raises CommandError: if nobody was signed in, or there is no such provider.
    """
    settings = Settings.from_ini(options.ini)
    name = options.name or options.provider
    if name is None and len(settings.providers) > 1:
        raise CommandError(f"there are several providers: name one of {', '.join(settings.providers)}")
    provider = find_provider(name, settings)
    authentication = _sign_in(options, provider, settings)
    claims = _without_secrets(authentication.claims)
    if options.json:
        print(json.dumps(claims, indent=2))
        return 0
    print()
    print_table(("claim", "value", "from"), _rows(claims, authentication))
    if hidden := sorted(authentication.claims.keys() - claims.keys()):
        print(f"  not shown, by their names: {', '.join(map(printable, hidden))}")
    print()
    may_enter = print_arrival(claims, provider, settings, ini=options.ini)
    print()
    _print_proposal(provider, settings, claims)
    return 0 if may_enter else 1


def _sign_in(options: argparse.Namespace, provider: ProviderSettings, settings: Settings) -> Authentication:
    """Sign in, with the steps of the callback: answer, issuer, code, tokens, claims."""
    say = _say if options.json else print
    state = base64url(os.urandom(32))
    attempt = Attempt(State(state, int(time.time()), provider.name, 0), os.urandom(32), destination="")
    with _way_back(options, provider, settings, state=state) as back:
        client = make_client(_asked_for_all(provider), settings, redirect_uri=back.redirect_uri)
        try:
            url = client.authorization_url(
                state=state, nonce=attempt.nonce, code_verifier=attempt.code_verifier, interactive=True
            )
            url = Urls.to_provider(url, endpoint=client.authorization_endpoint())
            say(f"Sign-in at {printable(provider.label)} (provider {provider.name}).")
            back.explain(say)
            is_open = not options.no_browser and open_browser(url)
            say(
                "The browser opens; otherwise open there:"
                if is_open
                else "Open in a browser on this machine:"
            )
            say(f"  {url}")
            params = back.wait(seconds=options.timeout)
            client.check_issuer(params.get("iss"))
            code = read_authorization_response(params, silent=False)
            if isinstance(code, Refusal):
                raise code.error
            return client.redeem(
                code=code,
                nonce=attempt.nonce,
                code_verifier=attempt.code_verifier,
                issuer=params.get("iss"),
            )
        except (LoginError, UnavailableError, BadRequestError) as error:
            raise CommandError(f"nobody was signed in: {printable(error.detail)}") from None


def _way_back(
    options: argparse.Namespace, provider: ProviderSettings, settings: Settings, *, state: str
) -> LoopbackPort | PastedAddress:
    if options.registered:
        redirect_uri = Urls(settings).callback(provider.name)
        return PastedAddress(provider, redirect_uri=redirect_uri, state=state)
    host = "localhost" if options.localhost else "127.0.0.1"
    return LoopbackPort(provider, port=options.port, host=host, state=state)


def _asked_for_all(provider: ProviderSettings) -> ProviderSettings:
    """Return the provider with userinfo asked in any case: what no setting reads yet may be what one wants to read."""
    if provider.is_oidc and provider.userinfo != "never":
        return replace(provider, userinfo="always")
    return provider


def _without_secrets(value: Any) -> Any:
    """Return a claim without what is called like a secret, at whatever depth: some providers nest their answers."""
    if isinstance(value, Mapping):
        return {name: _without_secrets(each) for name, each in value.items() if not _SECRET_NAME.search(name)}
    return [_without_secrets(each) for each in value] if isinstance(value, list | tuple) else value


def _rows(claims: Mapping[str, Any], authentication: Authentication) -> Iterator[tuple[str, str, str]]:
    """Yield the claims, and where each came from."""
    token = authentication.tokens.id_token
    # It was validated when the code was redeemed.
    in_token = read_jws(token, ID_TOKEN)[1] if token is not None else {}
    for name, value in claims.items():
        sources = [
            *(["ID token"] if name in in_token else []),
            *(["userinfo"] if name in authentication.from_userinfo else []),
        ]
        yield name, shown_value(value), " and ".join(sources)


def _print_proposal(provider: ProviderSettings, settings: Settings, claims: Mapping[str, Any]) -> None:
    proposals, doubts = propose(provider, settings, claims)
    if all(each.is_present for each in proposals):
        print("attribute_map reads all that fits.")
    else:
        print("What fits, for the file:")
        print(f"  attribute_map = {as_setting(proposals)}")
        for each in proposals:
            print(f"    {each.field}: {printable(each.source.text)}: {each.reason}")
    for doubt in doubts:
        print(f"  {printable(doubt)}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
