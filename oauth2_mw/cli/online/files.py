"""The files with secrets: who may read and change them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from oauth2_mw.cli.online.finding import Finding
from oauth2_mw.settings.addresses import may_hold_password
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings


def check_files(settings: Settings, ini: Path) -> Iterator[Finding]:
    """Yield what is found about the key file, the secret files, and the INI file if a secret stands in it."""
    secrets: dict[str, Secret | None] = {"secret_keys": settings.secret_keys}
    for name, provider in settings.providers.items():
        secrets[f"client_secret of provider {name}"] = provider.client_secret
        secrets[f"client_key of provider {name}"] = provider.client_key
    is_in_ini = any(repr(secret) == "Secret(literal)" for secret in secrets.values())
    for url in (settings.directory, settings.session):
        is_in_ini |= url is not None and repr(url) == "Secret(literal)" and may_hold_password(url.value())
    secrets |= {"directory": settings.directory, "session": settings.session}
    for what, secret in secrets.items():
        if secret is not None and secret.path is not None:
            yield _check_file(what, secret.path)
    if is_in_ini:
        path = Path(str(ini).partition("#")[0])
        if path.exists():
            yield _check_file("the settings, in which secrets stand", path)


def _check_file(what: str, path: Path) -> Finding:
    what = f"file of {what}"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        with path.open("rb") as stream:
            stream.read(1)
    except OSError as error:
        return Finding(
            what,
            "problem",
            f"{path} cannot be read: {error.strerror}",
            "make the server's user its owner (chown)",
        )
    if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        who = "every user of this machine can" if mode & 0o006 else "its group can"
        return Finding(
            what,
            "warning",
            f"{who} {'change' if mode & 0o022 else 'read'} {path} (mode {mode:04o})",
            f"chmod 600 {path}, with the server's user as its owner",
        )
    return Finding(what, "ok", f"{path} has the mode {mode:04o}")
