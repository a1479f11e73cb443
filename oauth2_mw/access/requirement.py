"""What an application requires of a person for one of its pages, as a rule of its own."""

from __future__ import annotations

from collections.abc import Iterable

from oauth2_mw.access.rules import Rule
from oauth2_mw.settings.access_rules import Condition
from oauth2_mw.settings.grammar import AllowTerm


def requirement(
    *,
    group: str | Iterable[str] | None = None,
    claim: str | Iterable[str] | None = None,
    acr: str | Iterable[str] | None = None,
    max_age: int | None = None,
) -> Rule:
    """Return the rule by which somebody passes who is signed in and meets each of these.

    :param group: the name of a group, or several of which one suffices.
    :param claim: ``PATH=VALUE`` as in the rules, or several of which one suffices.
    :param acr: a class of authentication, or several (in a list, or with blanks between them) of which one suffices.
    :param max_age: seconds ago at most that the provider may have authenticated the person.
    :raises TypeError, ValueError: for what can be none of these.
    """
    if max_age is not None and (type(max_age) is not int or max_age < 0):
        raise TypeError(f"max_age is a number of seconds, 0 or more, and not {max_age!r}")
    given = {"group": group, "claim": claim, "acr": acr.split() if isinstance(acr, str) else acr}
    written = [f"{name}={value!r}" for name, value in given.items() if value is not None]
    if max_age is not None:
        written.append(f"max_age={max_age}")
    return Rule(
        "required",
        requires=tuple(_condition(name, value) for name, value in given.items() if value is not None),
        written=(f"require({', '.join(written)})",),
        max_age=max_age,
    )


def _condition(field: str, values: object) -> Condition:
    texts = [values] if isinstance(values, str) else list(values) if isinstance(values, Iterable) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{field} is a text, or a list of texts with one at least, and not {values!r}")
    return tuple((_term(field, text),) for text in texts)


def _term(field: str, text: str) -> AllowTerm:
    if field == "claim":
        return AllowTerm.parse(f"claim:{text}")
    if not text or (field == "acr" and text.split() != [text]):
        raise ValueError(f"{text!r} is no {field} that anybody could have")
    return AllowTerm(field, text)
