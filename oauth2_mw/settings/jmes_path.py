"""JMESPath expressions in ``attribute_map`` (https://jmespath.org/specification.html), for what no path can say.

The package ``jmespath`` is an extra, imported when the first expression is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from oauth2_mw.boundary import contains_control
from oauth2_mw.encoding import json_type
from oauth2_mw.settings.attribute_path import MAX_PATH_LENGTH, AttributePath, Many
from oauth2_mw.settings.text import shown

PREFIX = "jmespath:"
#: Of a longer list nothing is taken: an expression can make one out of few claims.
MAX_ITEMS = 10_000
#: Of these only the first child is about the claims themselves; the others are about what it has found.
_STEPS = frozenset(
    {"subexpression", "pipe", "projection", "value_projection", "filter_projection", "index_expression"}
)


@dataclass(frozen=True, slots=True)
class JmesPath(AttributePath):
    """An expression, which stands where a path into the provider's claims may stand.

    Its segments are the names in it, behind a step to many: so it is never the claim ``email`` itself, whatever it
    makes of it, and a name that speaks of an address makes it one.
    """

    #: the names of the claims
    reads: frozenset[str]
    expression: Any = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> JmesPath:
        """Parse an expression with its prefix.

        :raises ValueError: if it is not valid, reads no claim by its name, or ``jmespath`` is not installed.
        """
        expression = text.removeprefix(PREFIX)
        if len(text) > MAX_PATH_LENGTH or contains_control(text):
            raise ValueError(f"an expression is one line of at most {MAX_PATH_LENGTH} characters")
        try:
            import jmespath
        except ImportError:
            raise ValueError(
                f"{PREFIX} needs a package that is not installed; run: pip install 'oauth2-mw[jmespath]'"
            ) from None
        try:
            compiled = jmespath.compile(expression)
        except (jmespath.exceptions.JMESPathError, RecursionError) as error:
            raise ValueError(f"{shown(expression)} is not a JMESPath expression: {_reason(error)}") from None
        unknown = set(_functions(compiled.parsed)) - jmespath.functions.Functions.FUNCTION_TABLE.keys()
        if unknown:
            raise ValueError(f"{shown(min(unknown))} is not a function of JMESPath")
        roots = list(_roots(compiled.parsed))
        reads = frozenset(name for name in roots if name is not None)
        if not reads or None in roots:
            raise ValueError(
                f"{shown(expression)} reads no claim by its name: begin with that of a claim, like groups[*].name, and "
                "not with @ or *"
            )
        return cls(text, (Many.ITEMS, *_names(compiled.parsed)), reads, compiled)

    @property
    def root(self) -> str:
        return min(self.reads)

    @property
    def roots(self) -> frozenset[str]:
        return self.reads

    @property
    def leads_to_many(self) -> bool:
        return False

    def is_settled(self, claims: Mapping[str, Any]) -> bool:
        return all(claims.get(name) not in (None, "") for name in self.reads)

    def get(self, claims: Mapping[str, Any]) -> Any | None:
        return self._evaluate(claims)[0]

    def problem(self, claims: Mapping[str, Any]) -> str | None:
        return self._evaluate(claims)[1]

    def _evaluate(self, claims: Mapping[str, Any]) -> tuple[Any | None, str | None]:
        """Return the value, and why there is none although there should be."""
        read = {name: _plain(claims[name]) for name in self.reads if name in claims}
        if not read:
            return None, None
        try:
            value = self.expression.search(read)
        except Exception as error:  # noqa: BLE001 - its functions raise what they please about values of another type
            return None, f"it cannot be evaluated with these claims ({type(error).__name__})"
        if isinstance(value, (list, str)) and len(value) > MAX_ITEMS:
            return None, f"it makes {json_type(value)} of more than {MAX_ITEMS}"
        return (None if value in ("", [], {}) else value), None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _roots(node: Mapping[str, Any]) -> Iterator[str | None]:
    """Yield the names of the claims that a parsed expression reads, and ``None`` if it reads all of them."""
    match node["type"]:
        case "field":
            yield node["value"]
        case "current" | "identity":
            yield None
        case "literal" | "expref":
            return
        case kind:
            for child in node["children"][: 1 if kind in _STEPS else None]:
                yield from _roots(child)


def _names(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the name of every member, of claims and inside them."""
    return (each["value"] for each in _nodes(node) if each["type"] == "field")


def _functions(node: Mapping[str, Any]) -> Iterator[str]:
    return (each["value"] for each in _nodes(node) if each["type"] == "function_expression")


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node["children"]:
        # The numbers of a slice are children, too.
        if isinstance(child, Mapping):
            yield from _nodes(child)


def _plain(value: Any) -> Any:
    """Return claims as JMESPath knows them: those of a session are read-only."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
