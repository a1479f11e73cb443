"""From what somebody wrote to :class:`Settings`, or to one error that holds every problem."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from oauth2_mw.errors import ConfigError
from oauth2_mw.settings import checks, database, environ_keys, icons, model, session_store
from oauth2_mw.settings.document import (
    MAIN,
    PROVIDER_PREFIX,
    Document,
    apply_environment,
    read_ini,
    read_inline,
    read_mapping,
)
from oauth2_mw.settings.grammar import AttributePath, Secret
from oauth2_mw.settings.model import Icon, ProviderSettings
from oauth2_mw.settings.sections import (
    Section,
    read_access,
    read_default_provider,
    read_main,
    read_named_provider,
)

DEFAULT_PROVIDER = "default"
#: OpenID Connect Core, section 5.1; ``groups`` is what most providers call them.
_OIDC_MAP = {
    "username": "preferred_username",
    "name": "name",
    "email": "email",
    "phone": "phone_number",
    "groups": "groups",
}
_OAUTH_MAP = {"username": "username", "name": "name", "email": "email", "phone": "phone"}
_OIDC_SCOPE = ("openid", "profile", "email")


@dataclass(frozen=True, slots=True)
class Settings(model.Settings):
    """The settings of one application, with the ways to read them (``oauth2_mw.Settings``).

    Where the same key is written in several places the environment wins (``OAUTH2_MW_CLIENT_ID``,
    ``OAUTH2_MW_<NAME>__CLIENT_ID``), then the written key, then the preset, then the default.
    """

    @classmethod
    def from_ini(cls, path: str | Path) -> Settings:
        """Read an INI file and the environment.

        :param path: the file; relative paths inside it are looked up from its own folder.
        :raises ConfigError: with every problem found.
        """
        return load(path)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], *, base: str | Path = ".") -> Settings:
        """The same from a mapping, sections as nested mappings: ``{"public_url": ..., "provider:corp": {...}}``.

        :param base: the folder from which relative paths are looked up.
        :raises ConfigError: with every problem found.
        """
        return from_mapping(mapping, base=Path(base))


def load(path: str | Path) -> Settings:
    """Read an INI file and the environment.

    :param path: the file; relative paths inside it are looked up from its own folder.
    :raises ConfigError: with every problem found.
    """
    # Absolute, because servers change the working directory and files are read again later.
    path = Path(path).absolute()
    return _settings(read_ini(path), base=path.parent, source=str(path))


def from_mapping(mapping: Mapping[str, Any], *, base: Path) -> Settings:
    """The same from a mapping, sections as nested mappings.

    :param base: the folder from which relative paths are looked up.
    :raises ConfigError: with every problem found.
    """
    base = base.absolute()
    return _settings(read_mapping(mapping, base), base=base, source="the settings")


def from_paste(global_conf: Mapping[str, str], local_conf: Mapping[str, str]) -> Settings:
    """The same from a PasteDeploy filter: ``config = PATH``, or the keys inline.

    :param global_conf: ``here`` is the folder from which relative paths are looked up; the rest is not ours.
    :param local_conf: the keys of the filter's own section.
    :raises ConfigError: with every problem found.
    """
    base = Path(global_conf.get("here") or ".").absolute()
    source = global_conf.get("__file__") or "the PasteDeploy configuration"
    keys = {key: text for key, text in local_conf.items() if key not in ("here", "__file__")}
    path = keys.pop("config", None)
    if path is None:
        return _settings(read_inline(keys, base), base=base, source=source)
    if keys or not path:
        document = Document()
        what = f"stands beside {', '.join(keys)}: write one or the other" if keys else "names no file"
        document.complain(MAIN, "config", f"{what}; config = PATH names the INI file that holds all settings")
        raise ConfigError(document.problems, source=source)
    return load(base / path)


def _settings(document: Document, *, base: Path, source: str) -> Settings:
    if document.problems and not document.sections:
        # Nothing could be read at all: that everything is missing then is no news.
        raise ConfigError(document.problems, source=source)
    apply_environment(document, os.environ, base)
    main = read_main(document)
    sections = dict(_providers(document))
    for name, section in sections.items():
        if name != DEFAULT_PROVIDER or section.name != MAIN:
            checks.check_name(section, name)
    if not sections:
        document.complain(
            MAIN,
            "",
            "no provider is written: write client_id and the others here, or a section [provider:NAME]",
        )
    read_access(document)
    environ = environ_keys.read(
        document, main["keep_tokens"] if main.fine("keep_tokens") else ("id", "access")
    )
    checks.check_main(main)
    directory = _located(main, "directory", database.resolve, base)
    session = _located(main, "session", session_store.resolve, base)
    enabled = {}
    for name, section in sections.items():
        # What cannot be read as yes or no is looked at like an enabled one.
        if section["enabled"] is not False:
            checks.check_provider(section, main)
            enabled[name] = (section, _provider(name, section, main))
    checks.check_together(main, enabled)
    if document.problems:
        raise ConfigError(document.problems, source=source)
    return Settings(
        public_url=main["public_url"],
        secret_keys=main["secret_keys"],
        prefix=main["prefix"],
        protect=main["protect"],
        public_paths=main["public_paths"],
        allow=main["allow"],
        login_page=main["login_page"],
        session=session,
        session_max_bytes=main["session_max_bytes"],
        keep_tokens=frozenset(main["keep_tokens"]),
        cookie_name=main["cookie_name"],
        hide_cookies=main["hide_cookies"],
        directory=directory,
        create_users=main["create_users"],
        link_by=main["link_by"],
        strip_authorization=main["strip_authorization"],
        revocation_sync=main["revocation_sync"],
        insecure_http=main["insecure_http"],
        preload=main["preload"],
        environ=environ,
        providers=MappingProxyType({name: provider for name, (_, provider) in enabled.items()}),
    )


def _providers(document: Document) -> Iterator[tuple[str, Section]]:
    default = read_default_provider(document)
    if default is not None:
        yield DEFAULT_PROVIDER, default
    for name in document.sections:
        if name.startswith(PROVIDER_PREFIX):
            provider_name = name.removeprefix(PROVIDER_PREFIX)
            yield provider_name, read_named_provider(document, provider_name)


def _located(main: Section, key: str, resolve: Callable[[Secret, Path], Secret], base: Path) -> Secret | None:
    """The URL of a database or store, as it can be used from any folder."""
    if main[key] is None:
        return None
    try:
        return resolve(main[key], base)
    except ValueError as error:
        main.complain(key, str(error))
        return None


def _provider(name: str, section: Section, main: Section) -> ProviderSettings:
    """The provider of a section, with what is not written filled in."""
    oidc = section["issuer"] is not None
    lifetime, idle = _durations(section, main)
    preset = section.preset
    attribute_map = section["attribute_map"]
    if attribute_map is None:
        defaults = _OIDC_MAP if oidc else _OAUTH_MAP
        attribute_map = MappingProxyType(
            {local: AttributePath.parse(path) for local, path in defaults.items()}
        )
    scope = section["scope"]
    return ProviderSettings(
        name=name,
        label=section["provider"] or _label(name, section),
        client_id=section["client_id"],
        client_secret=section["client_secret"],
        client_auth_method=section["client_auth_method"],
        client_key=section["client_key"],
        scope=scope if scope is not None else _OIDC_SCOPE if oidc else (),
        issuer=section["issuer"],
        authorization_endpoint=section["authorization_endpoint"],
        token_endpoint=section["token_endpoint"],
        userinfo_endpoint=section["userinfo_endpoint"],
        logout_endpoint=section["logout_endpoint"],
        jwks_uri=section["jwks_uri"],
        attribute_map=attribute_map,
        subject=section["subject"] or AttributePath.parse("sub" if oidc else "id"),
        username_prefix=section["username_prefix"] or "",
        username_transform=section["username_transform"],
        icon=_icon(section),
        organization=section["organization"],
        always_update=section["always_update"],
        group_sync=section["group_sync"],
        sync_logout=section["sync_logout"],
        pkce=section["pkce"] != "off",
        response_mode=section["response_mode"],
        algorithms=section["algorithms"],
        leeway=section["leeway"],
        prompt=section["prompt"],
        max_age=section["max_age"],
        acr_values=section["acr_values"],
        ui_locales=section["ui_locales"],
        auth_params=section["auth_params"],
        session_lifetime=lifetime,
        session_idle=idle,
        refresh_failure=section["refresh_failure"],
        ca_bundle=section["ca_bundle"],
        proxy=section["proxy"],
        trust_env=section["trust_env"],
        quirk=preset.quirk if preset is not None else None,
        public=checks.is_public(section),
    )


def _label(name: str, section: Section) -> str:
    if name != DEFAULT_PROVIDER:
        return name
    return urlsplit(section["issuer"] or section["authorization_endpoint"] or "").hostname or "OAuth2"


def _durations(section: Section, main: Section) -> tuple[int, int]:
    """Lifetime and idle time: the provider's own, else the service's; idle time never beyond the lifetime."""
    own = {key: section if key in section.sources else main for key in ("session_lifetime", "session_idle")}
    lifetime, idle = (own[key][key] for key in ("session_lifetime", "session_idle"))
    if lifetime is None or idle is None:
        return 0, 0
    if own["session_idle"] is section and idle > lifetime:
        section.complain(
            "session_idle", "is longer than session_lifetime: make it shorter, or that one longer"
        )
    return lifetime, min(lifetime, idle)


def _icon(section: Section) -> Icon | None:
    if section["icon"] is None:
        return None
    try:
        return icons.load(section["icon"], section.base("icon"))
    except ValueError as error:
        section.complain("icon", str(error))
        return None
