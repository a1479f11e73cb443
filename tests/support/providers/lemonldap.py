"""Debian's LemonLDAP::NG, its portal alone, on loopback and without root, as a person uses it.

It runs from where it was unpacked, under ``plackup``. Debian 12 has 2.16, which does not send logout tokens yet; the
``sid`` of its front-channel logouts is the person's, and not in its ID tokens.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.debian import Program, find
from tests.support.hosts.processes import Child, free_port
from tests.support.hosts.servers import answers
from tests.support.providers.client_keys import pem, public_pem
from tests.support.providers.jose import rsa_key

#: The portal's configuration names this file, and where the numbered versions of everything else are.
_INI = """\
[all]
logLevel = warn
[configuration]
type = File
dirName = {folder}/conf
[portal]
templateDir = {share}/portal/templates
languages = en
"""
# Its demonstration accounts: whoever types a login types it as the password too.
_PSGI = """\
use Lemonldap::NG::Portal::Main;
use Lemonldap::NG::Portal::UserDB::Demo;
my $demo = 'Lemonldap::NG::Portal::UserDB::Demo';
${"${demo}::demoAccounts"}{jane} = { uid => 'jane', cn => 'Jane Roe', mail => 'jane@example.com' };
${"${demo}::demoGroups"}{$_} = ['jane'] for qw(staff admins);
Lemonldap::NG::Portal::Main->run({});
"""
# The one that is built in draws pictures, and wants ImageMagick for it.
_NO_CAPTCHA = """\
package Lemonldap::NG::Portal::Captcha::None;
use Mouse;
extends 'Lemonldap::NG::Common::Module';
sub init { 1 }
1;
"""
_SECRET = "secret-of-the-application"
_OPTIONS = "oidcRPMetaDataOptions"


class Lemonldap:
    """One running portal, which knows Jane Roe. It is started anew for each application that is registered."""

    def __init__(self, folder: Path, program: Program) -> None:
        self._folder = folder
        self._program = program
        self._port = free_port()
        self.origin = f"http://localhost:{self._port}"
        self._root = program.executable.parents[3]
        self._applications: dict[str, dict[str, str]] = {}
        self._numbers = itertools.count(1)
        for name in ("conf", "sessions/lock", "psessions/lock", "lib/Lemonldap/NG/Portal/Captcha"):
            (folder / name).mkdir(parents=True)
        share = self._root / "usr/share/lemonldap-ng"
        (folder / "lemonldap-ng.ini").write_text(_INI.format(folder=folder, share=share), encoding="utf-8")
        (folder / "portal.psgi").write_text(_PSGI, encoding="utf-8")
        (folder / "lib/Lemonldap/NG/Portal/Captcha/None.pm").write_text(_NO_CAPTCHA, encoding="utf-8")
        self.process = self._start()

    def register(
        self, redirect_uri: str, post_logout_redirect_uri: str, backchannel_logout_uri: str
    ) -> dict[str, str]:
        client_id = f"app-{next(self._numbers)}"
        self._applications[client_id] = {
            f"{_OPTIONS}ClientID": client_id,
            f"{_OPTIONS}ClientSecret": _SECRET,
            f"{_OPTIONS}RedirectUris": redirect_uri,
            f"{_OPTIONS}PostLogoutRedirectUris": post_logout_redirect_uri,
            f"{_OPTIONS}IDTokenSignAlg": "RS256",
            f"{_OPTIONS}RequirePKCE": "1",
            f"{_OPTIONS}RefreshToken": "1",
        }
        self.process.stop()
        self.process = self._start()
        return {"issuer": f"{self.origin}/", "client_id": client_id, "client_secret": _SECRET}

    def sign_in(self, browser: Browser) -> Page:
        """Type login and password where they are asked for, and agree."""
        page = browser.page
        assert page is not None and browser.origin == self.origin, browser.transcript
        if page.form().value("user") is not None:
            page = browser.submit("user", user="jane", password="jane")
        return browser.submit(button="Accept") if browser.origin == self.origin else page

    def remembers(self, browser: Browser) -> bool:
        page = browser.tab().navigate(f"{self.origin}/")
        return not any(form.value("user") is not None for form in page.forms)

    def sign_out(self, browser: Browser) -> Page:
        return browser.submit(button="Accept")

    def close(self) -> None:
        self.process.stop()

    def _start(self) -> Child:
        (self._folder / "conf/lmConf-1.json").write_text(json.dumps(self._configuration()), encoding="utf-8")
        patterns = ("usr/share/perl5", "usr/share/perl/5.*", "usr/lib/*/perl5/5.*", "usr/lib/*/perl/5.*")
        modules = [self._folder / "lib", *(path for each in patterns for path in self._root.glob(each))]
        env = {
            **self._program.env,
            "PERL5LIB": os.pathsep.join(map(str, modules)),
            "LLNG_DEFAULTCONFFILE": str(self._folder / "lemonldap-ng.ini"),
        }
        # -S: what is not a path is looked for where programs are.
        command = [self._command("perl"), "-S", self._command("plackup"), "-E", "deployment"]
        address = ["--host", "127.0.0.1", "--port", str(self._port)]
        process = Child("lemonldap-ng", [*command, *address, "portal.psgi"], env=env, cwd=self._folder)
        process.wait_until(lambda: answers(f"http://127.0.0.1:{self._port}"))
        return process

    def _command(self, name: str) -> Path | str:
        """A program that the portal depends on; one that is installed was not unpacked."""
        unpacked = self._root / "usr/bin" / name
        return unpacked if unpacked.exists() else name

    def _configuration(self) -> dict[str, Any]:
        """What the package ships, with one issuer, the applications, and nothing that needs mails or pictures."""
        shipped = self._root / "var/lib/lemonldap-ng/conf/lmConf-1.json"
        configuration: dict[str, Any] = json.loads(shipped.read_text(encoding="utf-8"))
        for name in ("localSessionStorage", "localSessionStorageOptions"):
            del configuration[name]
        claims = {"name": "cn", "email": "mail", "preferred_username": "uid", "groups": "groups"}
        key = rsa_key().private
        return {
            **configuration,
            "domain": "localhost",
            "portal": f"{self.origin}/",
            "locationRules": {"localhost": {"default": "accept"}},
            "applicationList": {},
            "globalStorageOptions": self._store("sessions"),
            "persistentStorageOptions": self._store("psessions"),
            "notification": 0,
            "captcha": "::Captcha::None",
            "registerDB": "Null",
            "passwordDB": "Null",
            "portalDisplayResetPassword": 0,
            "portalDisplayCertificateResetByMail": 0,
            "issuerDBOpenIDConnectActivation": 1,
            "oidcServiceAllowAuthorizationCodeFlow": 1,
            "oidcServicePrivateKeySig": pem(key),
            "oidcServicePublicKeySig": public_pem(key),
            "oidcServiceKeyIdSig": "of-the-portal",
            _OPTIONS: self._applications,
            "oidcRPMetaDataExportedVars": dict.fromkeys(self._applications, claims),
        }

    def _store(self, name: str) -> dict[str, str]:
        folder = self._folder / name
        return {
            "Directory": str(folder),
            "LockDirectory": str(folder / "lock"),
            "generateModule": "Lemonldap::NG::Common::Apache::Session::Generate::SHA256",
        }


@contextmanager
def lemonldap(folder: Path) -> Iterator[Lemonldap]:
    """Start a portal that keeps everything in *folder*."""
    needed = ("libstring-random-perl", "libio-string-perl")
    program = find("liblemonldap-ng-portal-perl", "usr/share/lemonldap-ng/portal", *needed)
    portal = Lemonldap(folder, program)
    try:
        yield portal
    finally:
        portal.close()
