"""Checks of what the settings say of the application itself.

Every problem is noted in the :class:`~oauth2_mw.settings.sections.Section` that it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from oauth2_mw.settings.access_rules import AccessRule
from oauth2_mw.settings.app_cookies import AppCookie
from oauth2_mw.settings.app_logout import AppLogout
from oauth2_mw.settings.sections import Section

#: What follows ``cookie_name`` in the names of our cookies.
_SUFFIX = re.compile(r"(?:\.\d{1,2}|-a-[a-h]|-f-[a-e]|-o-[0-9a-f]{8})?")


def check_app_cookies(main: Section) -> None:
    """Check that each cookie is the application's, that browsers would take it, and that it is listed once."""
    host = urlsplit(main["public_url"] or "").hostname
    seen: set[AppCookie] = set()
    for cookie in main["app_cookies"] or ():
        if main.is_valid("cookie_name") and _is_own(cookie.name, main["cookie_name"]):
            main.add_problem(
                "app_cookies",
                f"{cookie.name} is a cookie of ours: take it out, or choose another cookie_name if the application has "
                "one of that name",
            )
        if host is not None and cookie.domain is not None and not f".{host}".endswith(f".{cookie.domain}"):
            main.add_problem(
                "app_cookies",
                f"{cookie.name};Domain={cookie.domain}: browsers take no cookie for that domain from {host}, the host "
                "of public_url",
            )
        if cookie in seen:
            main.add_problem("app_cookies", f"{cookie.name} is listed twice: take one out")
        seen.add(cookie)


def check_app_logouts(main: Section, rules: Iterable[AccessRule]) -> None:
    """Check that a signed-in person's request can come to each address, and that we know there who that is."""
    public = [AccessRule("public", frozenset(), (path,), None, "") for path in main["public_paths"] or ()]
    for logout in main["app_logout_paths"] or ():
        path = logout.path.text
        if main.is_valid("prefix") and f"{path}/".startswith(f"{main['prefix']}/"):
            main.add_problem("app_logout_paths", f"{path} is an address of ours: write the application's own")
        deciding = next((each for each in (*public, *rules) if _decides(each, logout)), None)
        if deciding is not None and deciding.effect in ("public", "denied"):
            what = (
                "is public, where we do not look who is signed in: let optional decide about it"
                if deciding.effect == "public"
                else "is denied to everybody"
            )
            main.add_problem("app_logout_paths", f"{path} {what}, or take it out")


def check_kept_forms(main: Section, rules: Iterable[AccessRule]) -> None:
    """Check that a form can meet a session at each path, and that it is the application's."""
    public = [AccessRule("public", frozenset(), (path,), None, "") for path in main["public_paths"] or ()]
    for path in main["keep_forms"] or ():
        if main.is_valid("prefix") and f"{path.text}/".startswith(f"{main['prefix']}/"):
            main.add_problem("keep_forms", f"{path.text} is an address of ours: write the application's own")
        deciding = next(
            (
                each
                for each in (*public, *rules)
                if each.covers_path(path) and (not each.methods or "POST" in each.methods)
            ),
            None,
        )
        if deciding is not None and deciding.effect in ("public", "denied"):
            what = (
                "public, where no form needs a sign-in"
                if deciding.effect == "public"
                else "denied to everybody"
            )
            main.add_problem("keep_forms", f"{path.text} is {what}: take it out")


def _decides(rule: AccessRule, logout: AppLogout) -> bool:
    return rule.covers_path(logout.path) and (not rule.methods or logout.method in rule.methods)


def _is_own(name: str, cookie_name: str) -> bool:
    name = name.removeprefix("__Host-")
    return name.startswith(cookie_name) and _SUFFIX.fullmatch(name[len(cookie_name) :]) is not None
