"""The tree of exceptions: drawn whole, and named alike everywhere."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module

import oauth2_mw
from oauth2_mw import errors
from oauth2_mw.errors import (
    RETRY_AFTER,
    OAuth2Error,
    ProviderError,
    RefreshUnderWayError,
    UnavailableError,
)

_LINE = re.compile(
    r"    (?P<indent>(?:│   |    )*(?:[├└]── )?)(?P<name>\w+)(?: +(?P<status>\d{3})\b)?(?P<text>.*)"
)
_MODULE = re.compile(r"\(([a-z_.]+)\)$")


def classes() -> set[type[BaseException]]:
    """Every exception class that a module of the package defines."""
    found: set[type[BaseException]] = set()
    for module in pkgutil.walk_packages(oauth2_mw.__path__, "oauth2_mw."):
        if module.name.rpartition(".")[2] != "__main__":
            members = vars(import_module(module.name)).values()
            found |= {each for each in members if isinstance(each, type) and issubclass(each, BaseException)}
    return {each for each in found if each.__module__.startswith("oauth2_mw.")}


def drawn() -> Iterator[tuple[str, str, str, str | None]]:
    """Name, parent, module and status of each class in the picture."""
    assert errors.__doc__ is not None
    parents: list[str] = []
    for line in errors.__doc__.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        depth = len(match["indent"]) // 4
        parents[depth:] = [match["name"]]
        module = _MODULE.search(match["text"])
        yield (
            match["name"],
            parents[depth - 1] if depth else "Exception",
            f"oauth2_mw.{module[1] if module is not None else 'errors'}",
            match["status"],
        )


def status(each: type[BaseException]) -> str | None:
    return str(each.status) if issubclass(each, OAuth2Error) else None


def test_the_picture_shows_every_exception_with_its_parent_its_module_and_its_status() -> None:
    picture = {
        line
        for line in drawn()
        if line[0] not in ("Exception", "ValueError", "HTTPException", "SQLAlchemyError")
    }
    assert picture == {
        (each.__name__, each.__mro__[1].__name__, each.__module__, status(each)) for each in classes()
    }


def test_every_exception_is_called_an_error() -> None:
    assert [each for each in classes() if not each.__name__.endswith("Error")] == []


def test_the_code_of_a_class_is_its_name() -> None:
    for each in classes():
        if issubclass(each, OAuth2Error):
            name = "".join(word.capitalize() for word in each.code.split("_"))
            assert f"{name}Error" == each.__name__.replace("OAuth2", "Oauth2")


def test_a_finer_code_and_message_replace_those_of_the_class_for_one_failure_alone() -> None:
    error = ProviderError("detail", code="metadata", message="Another sentence.")
    assert (error.code, error.message, error.detail) == ("metadata", "Another sentence.", "detail")
    assert ProviderError("detail").code == "provider"
    assert ProviderError("detail").message == ProviderError.message != error.message


def test_only_what_cannot_be_reached_says_when_to_come_back() -> None:
    for each in classes():
        if issubclass(each, OAuth2Error):
            # Who refreshes is done sooner than what is away comes back.
            soon = 2 if each is RefreshUnderWayError else RETRY_AFTER
            assert each.retry_after == (soon if issubclass(each, UnavailableError) else None)
