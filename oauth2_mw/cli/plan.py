"""A configuration that is being made: what is known of it so far, whether that can be used, and how it is written."""

from __future__ import annotations

import secrets
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from oauth2_mw.cli.keygen import new_key_file
from oauth2_mw.cli.new_files import PLAIN_MODE, SECRET_MODE, NewFiles
from oauth2_mw.cli.start import Application, wrapper_names
from oauth2_mw.cli.terminal import CommandError
from oauth2_mw.encoding import base64url
from oauth2_mw.errors import ConfigError, Problem
from oauth2_mw.settings.addresses import may_hold_password
from oauth2_mw.settings.document import MAIN
from oauth2_mw.settings.ini_file import read_ini
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.presets import NOTES, Preset
from oauth2_mw.web.http.urls import Urls

#: Columns of a comment.
_WIDTH = 100
#: What stands for an issuer that is not known yet.
_SOME_ISSUER = "https://id.example.com"
#: What our own URLs are made of.
_OF_URLS = ("public_url", "prefix", "callback_path", "insecure_http")
#: What is written first, and what is said of it. The rest is the provider's.
_SERVICE = {
    "public_url": "The URL under which browsers reach the application, mount included.",
    "secret_keys": "The keys that seal cookies. Whoever reads them can sign in as anybody; oauth2-mw keys rotate makes "
    "a new one while everything runs.",
    "allow": "Who may enter: one term suffices, like email_domain:example.com group:staff user:jane; * is everybody "
    "for whom the provider vouches.",
    "directory": "The database of users, for which the provider's names need one.",
}
#: Settings that are a secret as a whole.
_SECRETS = ("client_secret", "client_key", "secret_keys")
#: Of a provider's keys, what the preset does not say.
_OF_PROVIDER = {
    "preset": "What is known of the provider; what is written here as well wins. oauth2-mw settings explains all keys.",
    "client_id": "As the provider gave it.",
    "client_secret": "Read again when the file changes.",
    "client_auth_method": "A public client: it has no secret, and PKCE protects its codes.",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known so far. ``values`` are the texts of settings, as they will be written, but for the secret."""

    ini: Path
    preset: Preset
    values: Mapping[str, str] = field(default_factory=dict)
    client_secret: str | None = field(default=None, repr=False)
    application: Application | None = None

    def with_value(self, key: str, text: str) -> Plan:
        """Return the plan with one more setting."""
        return replace(self, values={**self.values, key: text})

    @property
    def needs_directory(self) -> bool:
        """Whether the provider's names are not one person's alone, so that a directory must say whose they are."""
        return self.preset.unique_usernames is False and "attribute_map" not in self.values

    @property
    def needs_secret(self) -> bool:
        """Whether the client proves by a secret who it is."""
        return self.values.get("client_auth_method") not in ("none", "private_key_jwt")

    @property
    def holds_secret(self) -> bool:
        """Whether a secret stands in the INI file itself: in some URL, or as it is."""
        return any(
            may_hold_password(text) or (key in _SECRETS and not text.startswith(("env:", "file:")))
            for key, text in self.values.items()
        )

    @property
    def is_oidc(self) -> bool:
        """Whether the provider has an issuer."""
        return "issuer" in {**self.preset.values, **self.preset.examples, **self.values}

    def problems(self) -> list[Problem]:
        """Return what is wrong with the values so far, as a start of the middleware would tell it.

        What is not known yet counts as there.
        """
        supposed = {
            key: _SOME_ISSUER if key == "issuer" else text for key, text in self.preset.examples.items()
        }
        if self.needs_directory:
            supposed["directory"] = "sqlite:///users.db"
        supposed |= {"public_url": "https://app.example.com", "client_id": "supposed", "allow": "*"}
        if self.needs_secret:
            supposed["client_secret"] = "supposed"  # noqa: S105, nobody's
        texts = {**supposed, **self.values, "preset": self.preset.name, "secret_keys": _some_key()}
        try:
            Settings.from_mapping({MAIN: texts}, base=self.ini.absolute().parent)
        except ConfigError as error:
            return list(error.problems)
        return []

    def to_register(self) -> Iterator[tuple[str, str]]:
        """Yield what is registered at the provider: what it is called, and the URL."""
        mapping = {
            "secret_keys": _some_key(),
            "issuer": _SOME_ISSUER,
            "client_id": "supposed",
            "client_secret": "supposed",
            **{key: self.values[key] for key in _OF_URLS if key in self.values},
        }
        urls = Urls(Settings.from_mapping({MAIN: mapping}, base=self.ini.parent))
        yield "redirect URI", urls.callback("default")
        if self.is_oidc:
            yield "post-logout redirect URI", urls.logout_done
            yield "back-channel logout URI", urls.backchannel_logout("default")
            yield "front-channel logout URI", urls.frontchannel_logout("default")

    @property
    def tells_of_logouts(self) -> bool:
        """Whether a logout that begins at the provider reaches all workers."""
        return "directory" in self.values or "session" in self.values

    def files(self) -> list[Path]:
        """Return the files that will be written, the INI file last."""
        wrapper = (
            [] if self.application is None else [self.ini.with_name(self.application.wrapper(self.ini)[0])]
        )
        secret = [] if self.client_secret is None else [secret_file(self.ini)]
        return [key_file(self.ini), *secret, *wrapper, self.ini]

    def write(self) -> None:
        """Write all files, or none.

        :raises ConfigError: if the middleware would not start with them.
        :raises CommandError: if one of them is there, or a value cannot be written into an INI file.
        :raises OSError: if the folder cannot be written.
        """
        with NewFiles(self.ini.absolute().parent) as new:
            new.add(key_file(self.ini).name, new_key_file(), mode=SECRET_MODE)
            if self.client_secret is not None:
                new.add(secret_file(self.ini).name, f"{self.client_secret}\n", mode=SECRET_MODE)
            if self.application is not None:
                new.add(*self.application.wrapper(self.ini))
            new.add(self.ini.name, self.ini_text(), mode=SECRET_MODE if self.holds_secret else PLAIN_MODE)
            self._try(new.folder)
            new.publish()

    def _try(self, folder: Path) -> None:
        """Try what is about to be published out of another folder.

        Relative paths in it are looked up where it will stand, but for those of the new files themselves.
        """
        document = read_ini(folder / self.ini.name)
        texts = {key: value.text for key, value in document.section(MAIN).items()}
        if document.problems or texts != self._texts():
            different = [key for key, text in self._texts().items() if texts.get(key) != text]
            raise CommandError(
                f"an INI file cannot hold the value of {' and '.join(different) or 'some key'}"
            )
        texts["secret_keys"] = f"file:{folder / key_file(self.ini).name}"
        if self.client_secret is not None:
            texts["client_secret"] = f"file:{folder / secret_file(self.ini).name}"
        try:
            Settings.from_mapping({MAIN: texts}, base=self.ini.absolute().parent)
        except ConfigError as error:
            raise ConfigError(error.problems, source=str(self.ini)) from None

    def _texts(self) -> dict[str, str]:
        """Return the settings as they are written."""
        values = {**self.values, "preset": self.preset.name, "secret_keys": f"file:{key_file(self.ini).name}"}
        if self.client_secret is not None:
            values["client_secret"] = f"file:{secret_file(self.ini).name}"
        return values

    def ini_text(self) -> str:
        """Return the text of the INI file."""
        return "\n".join([*self._head(), *self._sections(self._texts())]) + "\n"

    def _head(self) -> Iterator[str]:
        label = self.preset.values.get("provider") or self.preset.name
        yield from _comment(
            f"Sign-in with {label}. oauth2-mw check {self.ini.name} tells what is wrong with this file, and oauth2-mw "
            "settings what else can be written."
        )
        yield "#"
        for name in NOTES:
            if note := self.preset.notes.get(name):
                yield from _comment(f"{name}: {note}")
        yield "#"
        yield "# To be registered there:"
        for name, url in self.to_register():
            yield f"#   {name:<24}  {url}"
        if self.is_oidc and not self.tells_of_logouts:
            yield from _comment(
                "The last two answer once this file names a directory or a session store, by which all workers hear of "
                "a logout."
            )
        yield ""

    def _sections(self, values: Mapping[str, str]) -> Iterator[str]:
        yield f"[{MAIN}]"
        of_provider = ["preset", *self.preset.examples, "client_id", "client_secret", "client_auth_method"]
        further = [key for key in values if key not in (*_SERVICE, *of_provider)]
        for key in [*_SERVICE, *of_provider, *further]:
            if key not in values:
                continue
            if remark := _SERVICE.get(key) or _OF_PROVIDER.get(key):
                yield from _comment(remark)
            yield f"{key} = {values[key]}"
            if key in _SERVICE:
                yield ""
        if "attribute_map" not in values and (mapped := self.preset.values.get("attribute_map")):
            yield from _comment("Which claims become what; oauth2-mw login shows what comes. The preset has:")
            yield f"# attribute_map = {' '.join(mapped.split())}"


def key_file(ini: Path) -> Path:
    """Return the file of the keys."""
    return ini.with_suffix(".keys")


def secret_file(ini: Path) -> Path:
    """Return the file of the client secret."""
    return ini.with_suffix(".secret")


def all_files(ini: Path) -> list[Path]:
    """Return every file that a plan may write."""
    return [ini, key_file(ini), secret_file(ini), *(ini.with_name(name) for name in wrapper_names(ini))]


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def _some_key() -> str:
    return base64url(secrets.token_bytes(32))
