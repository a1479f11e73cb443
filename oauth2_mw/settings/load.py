"""Reading all settings: their values, or one error with every problem.

Each function returns the values by the names of the settings, and ``environ`` and ``providers`` beside them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from oauth2_mw.errors import ConfigError, Problem
from oauth2_mw.settings import (
    app_checks,
    checks,
    deployment,
    environ_keys,
    icons,
    neighbours,
    page_templates,
    rule_checks,
    stores,
    token_checks,
    user_checks,
)
from oauth2_mw.settings.access_rules import AccessRule
from oauth2_mw.settings.added_marks import marked_values
from oauth2_mw.settings.attribute_path import alternatives
from oauth2_mw.settings.document import (
    MAIN,
    PROVIDER_PREFIX,
    Document,
    apply_environment,
    read_inline,
    read_mapping,
)
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.ini_file import read_ini
from oauth2_mw.settings.misplaced import misplaced
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


def from_ini(path: str | Path) -> dict[str, Any]:
    """Read an INI file and the environment.

    :param path: the file, or ``app.ini#sso``: a filter's section of a PasteDeploy file. Relative paths inside it are
        looked up from its own folder.
    :raises ConfigError: with every problem found.
    """
    # Absolute, because servers change the working directory and files are read again later.
    path = Path(path).absolute()
    named = deployment.split_name(path)
    if named is not None:
        return _from_filter(deployment.read_filter(*named))
    if ours := deployment.our_filters(path):
        names = " or ".join(f"{path.name}#{section.partition(':')[2].strip()}" for section in ours)
        text = f"this is a PasteDeploy file: name the section in it that is ours, {names}"
        raise ConfigError([Problem(ours[0], "", text)], source=str(path))
    return _values(read_ini(path), base=path.parent, source=str(path))


def from_mapping(mapping: Mapping[str, Any], *, base: str | Path) -> dict[str, Any]:
    """Read a mapping, sections as nested mappings, and the environment.

    :param base: the folder from which relative paths are looked up.
    :raises ConfigError: with every problem found.
    """
    base = Path(base).absolute()
    return _values(read_mapping(mapping, base), base=base, source="the settings")


def from_paste(global_conf: Mapping[str, str], local_conf: Mapping[str, str]) -> dict[str, Any]:
    """Read the section of a PasteDeploy filter, ``config = PATH``, keys inline or both, and the environment.

    :param global_conf: ``here`` is the folder from which relative paths are looked up; other keys are ignored.
    :param local_conf: the keys of the filter's own section.
    :raises ConfigError: with every problem found.
    """
    file = global_conf.get("__file__")
    section = deployment.section_of(file, local_conf)
    base = Path(global_conf.get("here") or ".").absolute()
    path = Path(file) if file is not None else base / "the PasteDeploy configuration"
    return _from_filter(deployment.Filter(path, section, global_conf, local_conf), base=base)


def _from_filter(found: deployment.Filter, *, base: Path | None = None) -> dict[str, Any]:
    """Read a filter's section, and the file of ours that ``config`` names there: what is written beside it wins."""
    section = found.section
    base = base or found.path.parent
    source = found.global_conf.get("__file__") or found.path.name
    document, path, problems = _filter_document(found, base)
    further = [
        *misplaced(found),
        *neighbours.cookie_problems(found, lambda each: _filter_document(each, base)[0]),
    ]
    if path is None:
        try:
            values = _values(document, base=base, source=source)
        except ConfigError as error:
            further = [*deployment.in_words_of(section, error.problems), *further]
        if further:
            raise ConfigError(further, source=source)
        return values
    problems = [*problems, *further]
    if path == base or not path.exists():
        what = "names no file" if path == base else f"{path} cannot be read: No such file or directory"
        text = f"{what}; config = PATH names the INI file that holds the settings"
        raise ConfigError([Problem(section, "config", text), *problems], source=source)
    return _values(document, base=path.parent, source=str(path), further=problems)


def _filter_document(found: deployment.Filter, base: Path) -> tuple[Document, Path | None, list[Problem]]:
    """Return what a filter's section and the file of ours hold, that file, and what is wrong beside it.

    The file is ``None`` where ``config`` is not written, and *base* where it names none.
    """
    keys = {key: text for key, text in found.local_conf.items() if key not in ("here", "__file__")}
    config = keys.pop("config", None)
    inline = read_inline(keys, base)
    if config is None:
        return inline, None, []
    path = base / config
    problems = deployment.in_words_of(found.section, inline.problems)
    if not config or not path.exists():
        return inline, path, problems
    document = read_ini(path, has_others=str(path) == found.global_conf.get("__file__"))
    for name, texts in inline.sections.items():
        document.section(name).update(
            {key: replace(text, origin=f"[{found.section}]") for key, text in texts.items()}
        )
    return document, path, problems


def _values(
    document: Document, *, base: Path, source: str, further: Iterable[Problem] = ()
) -> dict[str, Any]:
    """Return the values of a document.

    :param further: problems that belong to others.
    """
    document.problems += further
    if document.problems and not document.sections:
        # Nothing could be read at all; that everything is missing need not be said as well.
        raise ConfigError(document.problems, source=source)
    apply_environment(document, os.environ, base)
    main = read_main(document)
    sections = dict(_providers(document))
    for section in (main, *sections.values()):
        section.invalid_keys |= document.meant.get(section.name, set())
    for name, section in sections.items():
        if name != DEFAULT_PROVIDER or section.name != MAIN:
            checks.check_name(section, name)
    if not sections:
        document.add_problem(
            MAIN,
            "",
            "no provider is written: write client_id and the others here, or a section [provider:NAME]",
        )
    access = read_access(document)
    rules = access["rules"] or ()
    kept = main["keep_tokens"] if main.is_valid("keep_tokens") else ("id", "access")
    environ, environ_forms = environ_keys.read(document, kept)
    checks.check_main(main)
    checks.check_kept_headers(main, environ)
    app_checks.check_app_cookies(main)
    app_checks.check_app_logouts(main, rules)
    app_checks.check_kept_forms(main, rules)
    for key, resolve in (("directory", stores.resolve_directory), ("session", stores.resolve_session)):
        if main[key] is not None:
            _replace(main, key, resolve, base)
    if main["logo"] is not None:
        _replace(main, "logo", icons.load, main.base("logo"))
    for problem in page_templates.problems(main["templates"]) if main["templates"] is not None else ():
        main.add_problem("templates", problem)
    enabled = {}
    for name, section in sections.items():
        # A provider whose ``enabled`` is not valid is checked like an enabled one.
        if section["enabled"] is not False:
            checks.check_provider(section, main)
            token_checks.check_accepted(section)
            _complete(section, name, main, rules)
            user_checks.check_tenants(section, main)
            user_checks.check_username(section, main)
            _add_groups_scope(section, environ)
            enabled[name] = section
    checks.check_callback_paths(enabled)
    user_checks.check_together(main, enabled)
    token_checks.check_bearer(main, enabled)
    rule_checks.check_rules(access, main, enabled)
    for section in enabled.values():
        section.values["token_issuers"] = token_checks.speaking_for(section)
    if document.problems:
        raise ConfigError(document.problems, source=source)
    providers = {name: section.values for name, section in enabled.items()}
    return {
        **main.values,
        "title": main["title"] or main["public_url"].partition("://")[2],
        "rules": rules,
        "keep_tokens": frozenset(kept),
        "environ": environ,
        "environ_forms": environ_forms,
        "providers": providers,
        "doubts": tuple(marked_values(document)),
    }


def _providers(document: Document) -> Iterator[tuple[str, Section]]:
    default = read_default_provider(document)
    if default is not None:
        yield DEFAULT_PROVIDER, default
    for name in document.sections:
        if name.startswith(PROVIDER_PREFIX):
            provider_name = name.removeprefix(PROVIDER_PREFIX)
            yield provider_name, read_named_provider(document, provider_name)


def _replace(section: Section, key: str, make: Callable[[Any, Path], Any], base: Path) -> None:
    """Replace a value by the result of *make*, or by ``None`` if that notes a problem."""
    value, section.values[key] = section[key], None
    try:
        section.values[key] = make(value, base)
    except ValueError as error:
        section.add_problem(key, str(error))


def _complete(section: Section, name: str, main: Section, rules: tuple[AccessRule, ...]) -> None:
    """Fill in the values of an enabled provider that depend on other settings."""
    oidc = section["issuer"] is not None
    lifetime, idle = _durations(section, main)
    if section["attribute_map"] is None:
        defaults = _OIDC_MAP if oidc else _OAUTH_MAP
        section.values["attribute_map"] = MappingProxyType(
            {local: AttributePath.parse(path) for local, path in defaults.items()}
        )
    if section["scope"] is None:
        section.values["scope"] = _OIDC_SCOPE if oidc else ()
    if section["icon"] is not None:
        _replace(section, "icon", icons.load, section.base("icon"))
    section.values |= {
        "name": name,
        "allow": section["allow"] if "allow" in section.sources else main["allow"],
        "rules": rules,
        "has_written_map": "attribute_map" in section.sources,
        "label": section["provider"] or _label(name, section),
        "subject": section["subject"] or AttributePath.parse("sub" if oidc else "id"),
        "logout_request": section["logout_request"] or ("oidc" if oidc else "plain"),
        "username_prefix": section["username_prefix"] or "",
        "session_lifetime": lifetime,
        "session_idle": idle,
        "quirk": section.preset.quirk if section.preset is not None else None,
        "dialect": section.preset.dialect if section.preset is not None else None,
        "selects_account": section.preset is not None and section.preset.selects_account,
        "public": checks.is_public(section),
        "unique_usernames": user_checks.has_unique_usernames(section),
    }


def _add_groups_scope(section: Section, environ: Mapping[str, str]) -> None:
    """Ask for what the preset names where a setting reads the claim ``groups``."""
    scope = section.preset.groups_scope if section.preset is not None else ""
    if scope in ("", *section["scope"]):
        return
    source = section["attribute_map"].get("groups")
    terms = section["allow"].terms() if section["allow"] is not None else ()
    paths = [
        *(alternatives(source) if source is not None else ()),
        *(term.claim()[0] for term in terms if term.field == "claim"),
        *environ_keys.claim_paths(environ),
    ]
    if any("groups" in path.roots for path in paths):
        section.values["scope"] = (*section["scope"], scope)


def _label(name: str, section: Section) -> str:
    if name != DEFAULT_PROVIDER:
        return name
    return urlsplit(section["issuer"] or section["authorization_endpoint"] or "").hostname or "OAuth2"


def _durations(section: Section, main: Section) -> tuple[int, int]:
    """Return lifetime and idle time: the provider's own or else the service's, and idle at most the lifetime."""
    own = {key: section if key in section.sources else main for key in ("session_lifetime", "session_idle")}
    lifetime, idle = (own[key][key] for key in ("session_lifetime", "session_idle"))
    if lifetime is None or idle is None:
        return 0, 0
    if own["session_idle"] is section:
        checks.check_idle(section, idle=idle, lifetime=lifetime)
    return lifetime, min(lifetime, idle)
