"""Step-up: a page asks for a stronger or a fresher sign-in than the person has (RFC 9470)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from oauth2_mw.access.rules import Rule
from oauth2_mw.boundary import numeric_date
from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.identity.model import Identity
from oauth2_mw.identity.person import person_of
from oauth2_mw.provider.demand import Demand
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown

#: RFC 9470, section 3
_ERROR = "insufficient_user_authentication"
#: A parameter of a challenge (RFC 9110, section 11.2).
_PARAMETER = re.compile(r'(?<![A-Za-z0-9_*-])([A-Za-z0-9_*-]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^\s,"]++))')
_SECONDS = re.compile(r"[0-9]{1,9}")
#: Characters of a header, and of what it asks for.
_MAX_HEADER = 4000
_MAX_VALUES = 500
_NOT_MET = "The sign-in service did not confirm the stronger or more recent sign-in that this page asks for."


def demand_of(rule: Rule, identity: Identity, provider: ProviderSettings, *, now: float) -> Demand | None:
    """Return what a sign-in must bring for a rule to let that person pass; ``None`` if it does, or none could.

    :param now: seconds since the epoch.
    """
    person = person_of(identity, provider)
    passes = rule.lets_pass(person)
    if passes and rule.is_fresh(identity.auth_time, now=now, leeway=provider.leeway):
        return None
    # What has a blank in it cannot be asked for: the parameter is a list with blanks.
    acr_values = tuple(value for value in rule.acr_values_for(person) if len(value.split()) == 1)
    if not provider.is_oidc or not (passes or acr_values):
        return None
    return Demand(acr_values=acr_values, max_age=rule.max_age)


def read_challenge(headers: Iterable[tuple[str, str]]) -> Demand | None:
    """Return what the 401 of an application asks for (RFC 9470, section 3), or ``None`` if it is another 401."""
    for name, value in headers:
        if name.lower() != "www-authenticate" or len(value) > _MAX_HEADER:
            continue
        found = {
            key.lower(): token or re.sub(r"\\(.)", r"\1", quoted)
            for key, quoted, token in _PARAMETER.findall(value)
        }
        acr_values, max_age = found.get("acr_values", ""), found.get("max_age", "")
        if found.get("error") == _ERROR and len(acr_values) <= _MAX_VALUES:
            seconds = int(max_age) if _SECONDS.fullmatch(max_age) else None
            demand = Demand(acr_values=tuple(acr_values.split()), max_age=seconds)
            return demand if demand.is_step_up else None
    return None


def check_met(demand: Demand, claims: Mapping[str, Any], provider: ProviderSettings, *, now: float) -> None:
    """Check that a sign-in brought what it was begun for.

    :param claims: those of the sign-in.
    :param now: seconds since the epoch.
    :raises AccessDeniedError: ``step_up_not_met``.
    """
    if not demand.is_step_up:
        return
    acr, auth_time = claims.get("acr"), numeric_date(claims.get("auth_time"))
    if demand.acr_values and acr not in demand.acr_values:
        raise AccessDeniedError(
            f"a page asks for acr {' or '.join(demand.acr_values)}, and the provider answered "
            f"{shown(acr) if isinstance(acr, str) else 'none'}",
            code="step_up_not_met",
            message=_NOT_MET,
        )
    if demand.max_age is not None and (
        auth_time is None or now - auth_time > demand.max_age + provider.leeway
    ):
        age = (
            "does not say when it authenticated the person"
            if auth_time is None
            else (f"authenticated the person {now - auth_time:.0f} seconds ago")
        )
        raise AccessDeniedError(
            f"a page asks for max_age {demand.max_age}, and the provider {age}",
            code="step_up_not_met",
            message=_NOT_MET,
        )
