"""The kinds of mutants: what may be broken in a piece of code, and how it reads then."""

import ast
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import NamedTuple, TypeVar

_Node = TypeVar("_Node", bound=ast.AST)

_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
"""Of the limits their boundary, of the others the contrary."""

_CLAUSES = re.compile(
    r"\s*\b(FOR (NO KEY )?UPDATE|FOR KEY SHARE|SKIP LOCKED|CONCURRENTLY|ORDER BY .+?(?=\s+(?:FOR|LIMIT)\b|[)\"'\n]))"
)
_QUERY_METHODS = {"with_for_update", "order_by"}
_COMMUTATIVE = {"and_", "max", "min", "or_"}
_CLOCKS = {"loop.time()", "self._loop.time()", "time.monotonic()", "time.time()"}
"""Two readings are never equal, so that the boundary of a comparison makes no difference."""

_SMALL = 10
_NOTHING = '__import__("contextlib").nullcontext()'


class Change(NamedTuple):
    """A part of a file, and what it becomes.

    Attributes:
        kind: What is broken, such as `removed statement`.
        first: The node with which the part begins.
        last: The node with which it ends.
        text: What stands there instead.
    """

    kind: str
    first: ast.AST
    last: ast.AST
    text: str


def changes_of(node: ast.AST, source: str) -> Iterator[Change]:
    """Yield the ways to break a node itself, without what is in it."""
    for kind in _KINDS:
        yield from kind(node, source)


def _comparison(node: ast.AST, _: str) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        broken = _copy(node)
        broken.ops[0] = _OPPOSITES[type(node.ops[0])]()
        if any(clock in ast.unparse(node) for clock in _CLOCKS):  # the contrary
            broken.left, broken.comparators[0] = node.comparators[0], node.left
        yield _change("comparison", node, broken)


def _constant(node: ast.AST, _: str) -> Iterator[Change]:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield Change("constant", node, node, str(not node.value))
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        is_small = abs(node.value) <= _SMALL
        for value in (node.value + 1, node.value - 1) if is_small else (node.value * 2, node.value // 2):
            yield Change("constant", node, node, repr(value))


def _logic(node: ast.AST, _: str) -> Iterator[Change]:
    if isinstance(node, ast.BoolOp):
        broken = _copy(node)
        broken.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield Change("and/or", node, node, f"({ast.unparse(broken)})")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield Change("not", node, node, f"bool({ast.unparse(node.operand)})")
    elif isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(
        node.test, ast.Name | ast.Attribute | ast.Call
    ):
        yield Change("not", node.test, node.test, f"(not {ast.unparse(node.test)})")


def _removed_statement(node: ast.AST, _: str) -> Iterator[Change]:
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)
    is_state = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple)
    if is_call or is_state or isinstance(node, ast.AugAssign | ast.Delete):
        yield Change("removed statement", node, node, "pass")


def _removed_finally(node: ast.AST, _: str) -> Iterator[Change]:
    if isinstance(node, ast.Try) and node.finalbody:
        yield Change("removed finally", node.finalbody[0], node.finalbody[-1], "pass")


def _removed_context(node: ast.AST, _: str) -> Iterator[Change]:
    """Run a block without its lock, turn or transaction, if it needs no value of it."""
    if isinstance(node, ast.With | ast.AsyncWith):
        for item in node.items:
            if item.optional_vars is None and not _is_timeout(item.context_expr):
                yield Change("removed context", item.context_expr, item.context_expr, _NOTHING)


def _removed_timeout(node: ast.AST, _: str) -> Iterator[Change]:
    if _is_timeout(node) and isinstance(node, ast.Call) and node.args:
        yield Change("removed time-out", node.args[-1], node.args[-1], "None")
    elif isinstance(node, ast.keyword) and node.arg == "timeout":
        yield Change("removed time-out", node.value, node.value, "None")


def _is_timeout(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {"asyncio.timeout", "asyncio.wait_for"}


def _removed_shield(node: ast.AST, _: str) -> Iterator[Change]:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.shield":
        yield _change("removed shield", node, node.args[0])


def _swapped_arguments(node: ast.AST, _: str) -> Iterator[Change]:
    if isinstance(node, ast.Call) and len(node.args) > 1 and not isinstance(node.args[1], ast.Starred):
        broken = _copy(node)
        broken.args[:2] = reversed(node.args[:2])
        if ast.dump(broken) != ast.dump(node) and ast.unparse(node.func) not in _COMMUTATIVE:
            yield _change("swapped arguments", node, broken)


def _sql(node: ast.AST, source: str) -> Iterator[Change]:
    """Drop a lock or an order: a clause in a text, or a method of a query."""
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    if is_text or isinstance(node, ast.JoinedStr):
        text = ast.get_source_segment(source, node) or ""
        for match in _CLAUSES.finditer(text):
            yield Change("SQL", node, node, text[: match.start()] + text[match.end() :])
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _QUERY_METHODS:
        yield _change("SQL", node, node.func.value)


def _change(kind: str, node: ast.AST, broken: ast.AST) -> Change:
    return Change(kind, node, node, ast.unparse(broken))


def _copy(node: _Node) -> _Node:
    return deepcopy(node)


_KINDS: list[Callable[[ast.AST, str], Iterator[Change]]] = [
    _comparison,
    _constant,
    _logic,
    _removed_statement,
    _removed_finally,
    _removed_context,
    _removed_timeout,
    _removed_shield,
    _swapped_arguments,
    _sql,
]
