"""Checks of ``[access] rules`` against each other and against the other settings.

Every problem is noted in the :class:`~oauth2_mw.settings.sections.Section` that it belongs to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from oauth2_mw.settings.access_rules import EFFECTS, AccessRule, default_effect
from oauth2_mw.settings.grammar import PathRule
from oauth2_mw.settings.sections import Section
from oauth2_mw.settings.text import did_you_mean
from oauth2_mw.settings.user_checks import is_read


def check_rules(access: Section, main: Section, providers: Mapping[str, Section]) -> None:
    """Check the rules.

    :param providers: the enabled providers by NAME.
    """
    rules: tuple[AccessRule, ...] = access["rules"] or ()
    _check_reachable(access, rules, main["public_paths"] or ())
    _check_public_paths(main, rules)
    for number, rule in enumerate(rules, start=1):
        # With every provider switched off nobody enters, and nothing needs to be known.
        for problem in _unknowable(rule, main, providers) if providers else ():
            access.add_problem("rules", f"rule {number} ({rule.text}): {problem}")
        if rule.effect == "delegated" and main.is_valid("strip_authorization", "app_schemes"):
            stripped = main["strip_authorization"]
            if stripped == "all" or (stripped == "basic" and "basic" in main["app_schemes"]):
                access.add_problem(
                    "rules",
                    f"rule {number} ({rule.text}): the application sees no such Authorization under "
                    f"strip_authorization = {stripped}: write strip_authorization = none, or another effect",
                )


class _Reach:
    """Which of the rules seen so far decide about a path."""

    def __init__(self) -> None:
        self._by_path: dict[str, list[tuple[str, AccessRule]]] = defaultdict(list)

    def add(self, name: str, rule: AccessRule) -> None:
        for path in rule.paths:
            self._by_path[path.text].append((name, rule))

    def covering(self, path: PathRule) -> Iterator[tuple[str, AccessRule]]:
        """Yield the rules that cover everything at *path*."""
        text = path.text
        places = {text, text + "/", *(text[: end + 1] for end, mark in enumerate(text) if mark == "/")}
        for place in places & self._by_path.keys():
            yield from (found for found in self._by_path[place] if found[1].covers_path(path))


def _check_reachable(access: Section, rules: tuple[AccessRule, ...], public: tuple[PathRule, ...]) -> None:
    reach = _Reach()
    for path in public:
        reach.add("public_paths", AccessRule("public", frozenset(), (path,), None, ""))
    for number, rule in enumerate(rules, start=1):
        for path in rule.paths:
            if names := _deciding_before(reach.covering(path), rule):
                decide = "decides" if len(names) == 1 else "decide"
                access.add_problem(
                    "rules",
                    f"rule {number} ({rule.text}) is never reached for {path.text}, about which {' and '.join(names)} "
                    f"{decide} already: move it above, or take it out",
                )
        reach.add(f"rule {number} ({rule.text})", rule)


def _deciding_before(covering: Iterator[tuple[str, AccessRule]], rule: AccessRule) -> list[str]:
    """Return the names of the rules that leave nothing to *rule* of a path that they all cover, or none."""
    names, methods = [], rule.methods
    for name, each in covering:
        if each.covers_methods_of(rule):
            return [name]
        if each.methods & methods:
            names.append(name)
            methods -= each.methods
    return [] if methods else names


def _check_public_paths(main: Section, rules: tuple[AccessRule, ...]) -> None:
    """Check that no public path, which comes before all rules, takes a part out of a stricter one."""
    otherwise = EFFECTS.index(default_effect(main["protect"]))
    for path in main["public_paths"] or ():
        for number, rule in enumerate(rules, start=1):
            is_stricter = EFFECTS.index(rule.effect) > otherwise or rule.condition is not None
            if is_stricter and rule.covers_path(path):
                main.add_problem(
                    "public_paths",
                    f"{path.text} lies inside rule {number} ({rule.text}), which is stricter: if it is meant, write it "
                    "as a public rule above that one",
                )
                break


def _unknowable(rule: AccessRule, main: Section, providers: Mapping[str, Section]) -> Iterator[str]:
    """Yield what keeps terms of the rule from ever being known."""
    has_tokens = bool(main["personal_tokens"]) or not main.is_valid("personal_tokens")
    has_bearer = bool(main["bearer_paths"]) or not main.is_valid("bearer_paths")
    has_directory = main["directory"] is not None or not main.is_valid("directory")
    for term in rule.terms():
        match term.field:
            case "organization" if not has_directory:
                yield f"{term} needs a directory: set directory in [oauth2_mw], or take it out"
            case "group" if not has_directory and not any(
                _maps(each, "groups") for each in providers.values()
            ):
                yield f"{term} is never known: map groups in attribute_map, or set directory in [oauth2_mw]"
            case "via" if term.value == "token" and not has_tokens:
                yield f"{term} needs personal tokens: say in personal_tokens of [oauth2_mw] where they serve"
            case "via" if term.value == "bearer" and not has_bearer:
                yield f"{term} needs access tokens: say in bearer_paths of [oauth2_mw] where they serve"
            case "scope" if not has_bearer:
                yield f"{term} is of access tokens: say in bearer_paths of [oauth2_mw] where they serve"
            case "group" if not has_directory and not is_read(term.value, providers):
                yield f"{term} is never known: group_filter leaves that group out"
            case "provider" if term.value not in providers:
                yield f"there is no enabled provider {term.value}{did_you_mean(term.value, providers)}"
            case "acr" if all(each["issuer"] is None for each in providers.values()):
                yield f"{term} is in ID tokens alone, and no provider has an issuer"
            case "email" | "email_domain" if not any(map(_gives_addresses, providers.values())):
                yield f"{term} never holds: map email in attribute_map, and take email_verified = never out"


def _gives_addresses(section: Section) -> bool:
    return section["email_verified"] != "never" and _maps(section, "email")


def _maps(section: Section, field: str) -> bool:
    return field in (section["attribute_map"] or {}) or not section.is_valid("attribute_map")


def laxer_for_other_methods(rules: tuple[AccessRule, ...], protect: str) -> Iterator[tuple[AccessRule, str]]:
    """Yield each rule about some methods behind which a laxer one decides about all others, and that one."""
    default = EFFECTS.index(default_effect(protect))
    for rule in rules:
        if not rule.methods:
            continue
        for path in rule.paths:
            behind = next((each for each in rules if not each.methods and each.covers_path(path)), None)
            strictness = default if behind is None else EFFECTS.index(behind.effect)
            is_laxer = strictness < EFFECTS.index(rule.effect)
            if rule.condition is not None and (behind is None or behind.condition is None):
                is_laxer = is_laxer or strictness < EFFECTS.index("denied")
            if is_laxer:
                yield rule, behind.text if behind is not None else f"protect = {protect}"
                break


def about_own_urls(paths: Iterable[PathRule], prefix: str, callbacks: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each path that leads to our own URLs alone, which are answered before all rules.

    :param callbacks: those outside *prefix*.
    """
    for path in paths:
        if f"{path.text}/".startswith(f"{prefix}/"):
            yield f"{path.text} is under prefix = {prefix}, where our own URLs are"
        elif path.text in callbacks:
            yield f"{path.text} is a callback_path"
