"""Frozen objects made in one step, where many are made in the way of requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, make_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def assembler(kind: type[T]) -> Callable[..., T]:
    """Return what makes an instance of *kind* from the values of all its fields, in their order.

    The constructor of a frozen dataclass sets each field by a call, which takes four times as long as an assignment. So
    the fields are assigned in an object of another class, with the same slots and not frozen, which then becomes one of
    *kind*.

    :param kind: a frozen dataclass with slots, and without a ``__post_init__``.
    """

    def become(made: Any) -> None:
        made.__class__ = kind

    return make_dataclass(
        kind.__name__,
        [(each.name, Any) for each in fields(kind)],  # type: ignore[arg-type]  # a dataclass
        namespace={"__post_init__": become},
        slots=True,
        eq=False,
        repr=False,
    )
