"""Who may pass where: ``[access] rules``, ``public_paths`` and ``protect``, compiled into one tree over path segments.

The first rule whose method and path match decides. What a look-up costs grows with the segments of the path, and not
with the number of rules: each node knows the rules that reach it, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from oauth2_mw.access.terms import Person, holds
from oauth2_mw.boundary import is_ambiguous_path, path_readings
from oauth2_mw.settings.access_rules import EFFECTS, AccessRule, Condition, Effect, default_effect
from oauth2_mw.settings.grammar import AllowTerm, PathRule

#: What applications take for the method of a request in place of the method itself.
METHOD_OVERRIDES = ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_METHOD_OVERRIDE")

# Bounds of what is remembered of paths, which clients can invent.
_MAX_REMEMBERED = 4096
_MAX_REMEMBERED_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for a request: the rule that decides, or several of which each must let it pass."""

    effect: Effect
    #: all of them must hold for the person
    requires: tuple[Condition, ...] = ()
    #: none of them may hold for the person
    refuses: tuple[Condition, ...] = ()
    #: the rules as they are written, for messages
    written: tuple[str, ...] = ()
    #: whether the path can be read in several ways, and one of them may lead to a stricter rule
    is_odd: bool = False
    #: seconds ago at most that the provider may have authenticated the person; ``None``: it does not matter
    max_age: int | None = None
    #: whether not everybody who is signed in may pass
    has_conditions: bool = field(init=False, repr=False, compare=False)
    #: whether a sign-in is all that is asked
    is_plain: bool = field(init=False, repr=False, compare=False)

    @property
    def text(self) -> str:
        """What is written, for messages."""
        return " and ".join(self.written)

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_conditions", bool(self.requires or self.refuses))
        object.__setattr__(self, "is_plain", self.effect == "required" and not self.has_conditions)

    @property
    def strictness(self) -> int:
        """A number that grows with what is asked of a request, conditions aside."""
        return EFFECTS.index(self.effect)

    def terms(self) -> Iterator[AllowTerm]:
        """Yield every term of the conditions."""
        for condition in (*self.requires, *self.refuses):
            for alternative in condition:
                yield from alternative

    def lets_pass(self, person: Person) -> bool:
        """Return whether the conditions let a person pass who is signed in."""
        return all(holds(each, person) for each in self.requires) and not any(
            holds(each, person) for each in self.refuses
        )

    def is_fresh(self, auth_time: int | None, *, now: float, leeway: int) -> bool:
        """Return whether a person whom the provider authenticated at that time has done so recently enough."""
        if self.max_age is None:
            return True
        return auth_time is not None and now - auth_time <= self.max_age + leeway

    def acr_values_for(self, person: Person) -> tuple[str, ...]:
        """Return the values of ``acr`` with which the conditions would let a person pass whom they refuse without."""
        if self.lets_pass(replace(person, acr=None)):
            return ()
        values = dict.fromkeys(term.value for term in self.terms() if term.field == "acr")
        return tuple(value for value in values if self.lets_pass(replace(person, acr=value)))

    def scopes_for(self, person: Person) -> tuple[str, ...]:
        """Return the scopes with which the conditions would let an access token pass that they refuse without."""
        wanted = {term.value for term in self.terms() if term.field == "scope"} - set(person.scopes)
        for added in (*({each} for each in sorted(wanted)), wanted):
            if added and self.lets_pass(replace(person, scopes={*person.scopes, *added})):
                return tuple(sorted(added))
        return ()

    def joined(self, other: Rule) -> Rule:
        """Return the rule that lets pass what both let pass."""
        if other == self:
            return self
        stricter = max(self, other, key=lambda rule: rule.strictness)
        return Rule(
            stricter.effect,
            (*self.requires, *other.requires),
            (*self.refuses, *other.refuses),
            (*self.written, *(text for text in other.written if text not in self.written)),
            self.is_odd or other.is_odd,
        )


def compiled(rule: AccessRule) -> Rule:
    """Return the decision that a written rule stands for."""
    if rule.condition is None:
        return Rule(rule.effect, written=(rule.text,))
    if rule.effect == "denied":
        # Whom the condition fits is kept out; to know that of anybody, they must be signed in.
        return Rule("required", refuses=(rule.condition,), written=(rule.text,))
    effect: Effect = "required" if rule.effect == "optional" else rule.effect
    return Rule(effect, requires=(rule.condition,), written=(rule.text,))


#: The methods that a rule is about (empty for all), and what it decides.
_Candidate = tuple[frozenset[str], Rule]


@dataclass(slots=True)
class _Node:
    """A segment of the tree. Rules are known by their position among all of them."""

    children: dict[str, _Node] = field(default_factory=dict)
    #: the rules about the path that ends here
    exact: set[int] = field(default_factory=set)
    #: the rules about every path that goes on from here
    subtree: set[int] = field(default_factory=set)
    #: what may decide about a path that ends here, and about one that goes on to no child, in the order of the rules
    ends_here: tuple[_Candidate, ...] = ()
    goes_on: tuple[_Candidate, ...] = ()

    def at(self, segments: Iterable[str]) -> _Node:
        """Return the node at *segments* below this one, made if it is missing."""
        node = self
        for segment in segments:
            node = node.children.setdefault(segment, _Node())
        return node

    def compile(self, rules: Sequence[_Candidate], inherited: frozenset[int] = frozenset()) -> None:
        """Note what decides here and below.

        :param inherited: the rules about every path that comes through here.
        """
        self.ends_here = _in_order(inherited | self.exact, rules)
        through = inherited | self.subtree
        self.goes_on = _in_order(through, rules)
        for child in self.children.values():
            child.compile(rules, through)


def _in_order(positions: Iterable[int], rules: Sequence[_Candidate]) -> tuple[_Candidate, ...]:
    """Return the rules in their order, as far as the first one that is about every method."""
    found = []
    for position in sorted(positions):
        found.append(rules[position])
        if not rules[position][0]:
            break
    return tuple(found)


class AccessRules:
    """The rules of one application. One is looked up for every request.

    :param written: in their order.
    :param public_paths: are public, before all others.
    :param protect: the setting: what holds where no rule matches.
    :param odd_paths: in these subtrees a path that can be read in several ways is judged in each of them.
    """

    def __init__(
        self,
        written: Sequence[AccessRule] = (),
        *,
        public_paths: tuple[PathRule, ...] = (),
        protect: str = "required",
        odd_paths: tuple[PathRule, ...] = (),
    ) -> None:
        rules = [*public_rules(public_paths), *written]
        candidates = [(rule.methods, compiled(rule)) for rule in rules]
        self._default = Rule(default_effect(protect), written=(f"protect = {protect}",))
        self._root = _Node()
        for position, rule in enumerate(rules):
            for path in rule.paths:
                self._add(position, path, is_strict=rule.is_strict)
        self._root.compile(candidates)
        #: what decides about a request whose path can be read in several ways
        self.odd: Rule = _for_odd_paths(rules, [rule for _, rule in candidates], self._default)
        self._refuses_odd = self.odd.effect == "denied"
        self._odd_paths = tuple(path.native for path in odd_paths)
        #: whether some rule is about some methods alone, so that the headers that override a method count too
        self.tells_methods_apart: bool = any(methods for methods, _ in candidates)
        self._remembered: dict[str, Rule] = {}
        #: Return what :meth:`find_for_all` found for a path, or ``None``. The dictionary's own method, so that a path
        #: that was asked for before costs nothing more.
        self.recall: Callable[[str], Rule | None] = self._remembered.get

    def find_for_all(self, path: str) -> Rule:
        """Return what decides about a request where no rule is about some methods alone, and remember it."""
        rule = self.find(path)
        if len(path) <= _MAX_REMEMBERED_LENGTH:
            if len(self._remembered) >= _MAX_REMEMBERED:
                # The paths that are asked for most are back at once.
                self._remembered.clear()
            self._remembered[path] = rule
        return rule

    def find(self, path: str, method: str = "") -> Rule:
        """Return what decides about a request. Neither its query nor its host has a say.

        :param path: ``PATH_INFO`` as it came, a native string (PEP 3333).
        :param method: compared with its case; where no rule is about some methods alone, any will do.
        """
        rule = self._match(path, method)
        if rule.is_plain and not self._refuses_odd:
            # Few paths are odd, and this is the most that is asked of one: the costly question comes last.
            return rule
        if not path:
            # Where the slash after the mount is missing; to most applications that is the front page.
            return rule.joined(self._match("/", method))
        if not is_ambiguous_path(path):
            return rule
        if not path.startswith(self._odd_paths):
            return self.odd
        readings = sorted(path_readings(path))
        return reduce(Rule.joined, [self._match(each, method) for each in readings]) if readings else self.odd

    def find_all(self, path: str, methods: Iterable[str]) -> Rule:
        """Return what decides about a request that an application may take for one of several methods.

        Each counts as it is written and in capitals, which is how most applications read it.
        """
        spellings = dict.fromkeys(each for method in methods for each in (method, method.upper()))
        return reduce(Rule.joined, [self.find(path, method) for method in spellings])

    def _match(self, path: str, method: str) -> Rule:
        node = self._root
        candidates = node.ends_here
        for segment in path.split("/")[1:]:
            child = node.children.get(segment)
            if child is None:
                candidates = node.goes_on
                break
            node, candidates = child, child.ends_here
        for methods, rule in candidates:
            if not methods or method in methods:
                return rule
        return self._default

    def _add(self, position: int, path: PathRule, *, is_strict: bool) -> None:
        segments = path.native.split("/")[1:]
        if not path.is_subtree:
            self._root.at(segments).exact.add(position)
            return
        node = self._root.at(segments[:-1])
        node.subtree.add(position)
        if is_strict:
            node.exact.add(position)


def public_rules(paths: Iterable[PathRule]) -> list[AccessRule]:
    """Return the setting ``public_paths`` as the rules that it stands for."""
    return [AccessRule("public", frozenset(), (path,), None, f"public_paths = {path.text}") for path in paths]


def _for_odd_paths(written: Sequence[AccessRule], rules: Sequence[Rule], default: Rule) -> Rule:
    """Return what decides about a path that matches no rule because it can be read in several ways.

    Where some rule asks for more than the one that matches last, or for more than a sign-in, such a path could be a
    way round it.
    """
    everything = (
        rule
        for each, rule in zip(written, rules, strict=True)
        if not each.methods and any(path.text == "/" for path in each.paths)
    )
    last = next(everything, default)
    strictness = min(last.strictness, EFFECTS.index("required"))
    stricter = next((rule for rule in rules if rule.has_conditions or rule.strictness > strictness), None)
    return Rule(
        "required" if stricter is None else "denied",
        written=("the path can be read in several ways", *(() if stricter is None else stricter.written)),
        is_odd=True,
    )
