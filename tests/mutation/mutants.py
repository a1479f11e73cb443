"""The faults that are put into a module, one at a time: those of cosmic-ray, and two of our own.

Left out is what no test should notice: annotations, the words of errors and of the log, the memory layout of a class,
and a fault that is spelt in another way only. Of the replacements of an operator the nearest are tried: the others,
such as bytes that are divided, fail by themselves and would only raise the score.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Function, Keyword, PythonNode

Position = tuple[int, int]

#: What is tried in place of an operator, by the names of cosmic-ray.
_NEAREST = frozenset(
    {
        *("Binary_Add_Sub", "Binary_Sub_Add", "Binary_Mul_Add", "Binary_FloorDiv_Mul", "Binary_Mod_Mul"),
        *("Binary_BitOr_BitAnd", "Binary_BitAnd_BitOr", "Comparison_Eq_NotEq", "Comparison_Eq_LtE"),
        *("Comparison_Eq_GtE", "Comparison_NotEq_Eq", "Comparison_Lt_LtE", "Comparison_Lt_GtE"),
        *("Comparison_LtE_Lt", "Comparison_LtE_Gt", "Comparison_Gt_GtE", "Comparison_Gt_LtE"),
        *("Comparison_GtE_Gt", "Comparison_GtE_Lt", "Comparison_Is_IsNot", "Comparison_IsNot_Is"),
        *("Unary_USub_UAdd", "Unary_Delete_Not"),
    }
)
_REPLACEMENT = re.compile(r"core/Replace(Binary|Comparison|Unary)Operator_(\w+)")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one fault."""

    code: str
    line: int
    #: the function that holds the fault, and the line before and after; the same as long as that line is
    description: str


class DropStatement(Operator):
    """Leaves out a statement that acts: what is raised, called, deleted or kept, and what a guard returns."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        if node.parent is not None and node.parent.type == "simple_stmt" and self._acts(node):
            yield node.start_pos, node.end_pos

    @staticmethod
    def _acts(node: Any) -> bool:
        if node.type == "return_stmt":
            # The return that ends a function is no guard; without one it returns None.
            ends = isinstance(node.parent.parent.parent, Function)
            return not ends and not (_is_last(node) and node.children[1].get_code().strip() == "None")
        if node.type == "expr_stmt":
            target, sign = node.children[:2]
            return target.type == "atom_expr" or (sign.type == "operator" and sign.value != "=")
        return node.type in ("raise_stmt", "del_stmt", "atom_expr", "yield_expr", "keyword")

    def mutate(self, node: Any, index: int) -> Any:
        return Keyword("pass", node.start_pos, prefix=node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("if a: raise b", "if a: pass"),)


def _is_last(node: Any) -> bool:
    """Whether nothing of the function runs after that statement."""
    while not isinstance(node, Function):
        inside = node.parent
        if inside.type in ("for_stmt", "while_stmt"):
            return False
        if inside.type == "suite" and inside.children[-1] is not node:
            return False
        node = inside
    return True


class SwapMembership(Operator):
    """``in`` for ``not in``, and the other way round."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        if node.parent is not None and node.parent.type == "comparison":
            is_in = node.type == "keyword" and node.value == "in"
            if is_in or (node.type == "comp_op" and node.children[1].value == "in"):
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        word = "in" if isinstance(node, PythonNode) else "not in"
        return Keyword(word, node.start_pos, prefix=node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("a in b", "a not in b"), Example("a not in b", "a in b"))


def mutants(source: str) -> Iterator[Mutant]:
    """Every fault that a test of the module should notice, in the order of its lines."""
    tree = ast.parse(source)
    passed_over = list(_passed_over(tree))
    words = list(_compared_with_a_word(tree))
    names = _Names(tree)
    seen = {ast.dump(tree)}
    found = []
    for operator in _operators():
        positions = [at for node in ast_nodes(get_ast(source)) for at in operator.mutation_positions(node)]
        for occurrence, (start, end) in enumerate(positions):
            if any(begins <= start and end <= ends for begins, ends in passed_over):
                continue
            if type(operator).__name__.endswith(("_Eq_LtE", "_Eq_GtE")) and start in words:
                continue
            code = mutate_code(source, operator, occurrence)
            try:
                dump = ast.dump(ast.parse(code))
            except SyntaxError:
                continue
            if dump not in seen:
                seen.add(dump)
                found.append(
                    (start, Mutant(code, start[0], f"{names.at(start[0])}: {_change(source, code)}"))
                )
    yield from (mutant for _, mutant in sorted(found, key=lambda each: each[0]))


def _operators() -> Iterator[Operator]:
    for name in plugins.operator_names():
        operator = plugins.get_operator(name)
        replacement = _REPLACEMENT.fullmatch(name)
        if replacement is not None and "_".join(replacement.groups()) not in _NEAREST:
            continue
        if not operator.arguments():
            yield operator()
    yield DropStatement()
    yield SwapMembership()


def _passed_over(tree: ast.Module) -> Iterator[tuple[Position, Position]]:
    """Where a fault changes nothing that is promised."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(annotation=ast.expr() as part) | ast.AnnAssign(annotation=part):
                yield _span(part)
            case ast.FunctionDef(returns=ast.expr() as part):
                yield _span(part)
            case ast.Assign(value=ast.Subscript(value=ast.Name(id="Callable")) as part):
                yield _span(part)
            case ast.Raise(exc=ast.Call(args=[part, *_])):
                yield _span(part)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"))):
                yield _span(node)
            case ast.Call(func=ast.Name(id="audit")):
                for keyword in node.keywords:
                    yield _span(keyword.value)
            case ast.keyword(arg="slots", value=part):
                yield _span(part)
            case ast.If(test=ast.Name(id="TYPE_CHECKING") as part):
                yield _span(part)


def _compared_with_a_word(tree: ast.Module) -> Iterator[Position]:
    """Where ``==`` tells one word from others: which of them sorts first means nothing."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[ast.Constant(value=str())]):
                yield left.end_lineno or 0, (left.end_col_offset or 0) + 1


def _span(node: Any) -> tuple[Position, Position]:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


class _Names:
    """Which function a line belongs to."""

    def __init__(self, tree: ast.Module) -> None:
        self._known = [*self._read(tree, "")]

    def _read(self, node: ast.AST, outer: str) -> Iterator[tuple[int, int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                first = min([child.lineno, *(each.lineno for each in child.decorator_list)])
                yield first, child.end_lineno or first, outer + child.name
                yield from self._read(child, f"{outer}{child.name}.")

    def at(self, line: int) -> str:
        inside = [name for first, last, name in self._known if first <= line <= last]
        return inside[-1] if inside else "module"


def _change(before: str, after: str) -> str:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    parts: dict[str, list[str]] = {"- ": [], "+ ": []}
    for line in lines:
        if line[:2] in parts:
            parts[line[:2]].append(" ".join(line[2:].split()))
    return " -> ".join(" ".join(part) or "nothing" for part in parts.values())
