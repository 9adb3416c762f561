"""Reads filters (AIP-160) and checks them against the fields that there are.

The grammar beside this file is run by Lark: maintained, without dependencies of its own, and its LALR parser
takes linear time and no recursion, so that no input can exhaust the stack. Only what it accepted is walked
recursively, down to `MAXIMUM_DEPTH`.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from sprocket_grpc.errors import InvalidArgumentError, Violation
from sprocket_grpc.query.expression import And, Comparison, Expression, Not, Operator, Or
from sprocket_grpc.query.kinds import Kind
from sprocket_grpc.query.values import Literal, WrongValueError, convert, read_literal, shown

MAXIMUM_LENGTH = 2_000
MAXIMUM_DEPTH = 32
"""How deep parentheses and negations, taken together, may be nested."""

MAXIMUM_COMPARISONS = 100

SEARCHED_FIELD = "display_name"
"""Where a value is looked for that stands alone."""

_FIELD = "filter"
_END = "$END"

_parser = Lark.open("filter.lark", rel_to=__file__, parser="lalr", lexer="basic")

Node = Tree[Token]


def parse_filter(text: str, kinds: Mapping[str, Kind]) -> Expression | None:
    """Read a filter.

    Args:
        text: What the client wrote.
        kinds: The fields that can be filtered by.

    Returns:
        What it says, or None where it says nothing and everything passes.

    Raises:
        InvalidArgumentError: It is wrong. The text says what, and at which character.
    """
    if len(text) > MAXIMUM_LENGTH:
        violation = Violation(_FIELD, f"at most {MAXIMUM_LENGTH} characters are allowed, these are {len(text)}")
        raise InvalidArgumentError([violation])
    if not text.strip():
        return None
    try:
        tree = _parser.parse(text)
    except UnexpectedInput as error:
        raise _syntax_error(text, error) from None
    return _Check(kinds).conjunction(cast("Node", tree.children[0]), 0)


class _Check:
    """Turns the tree of one filter into an expression. Positions are counted from 0 until they are reported."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = kinds
        self._comparisons = 0

    def conjunction(self, node: Node, depth: int) -> Expression:
        """Check `a b AND c`."""
        operands = [self._disjunction(factor, depth) for sequence in _nodes(node) for factor in _factors(sequence)]
        return And(tuple(operands)) if len(operands) > 1 else operands[0]

    def _disjunction(self, node: Node, depth: int) -> Expression:
        operands = [self._term(term, depth) for term in _nodes(node)]
        return Or(tuple(operands)) if len(operands) > 1 else operands[0]

    def _term(self, node: Node, depth: int) -> Expression:
        match node.data:
            case "negation":
                return Not(self._term(_nodes(node)[0], _deeper(node, depth)))
            case "composite":
                return self.conjunction(_nodes(node)[0], _deeper(node, depth))
        self._comparisons += 1
        if self._comparisons > MAXIMUM_COMPARISONS:
            raise _refusal(_start(node), f"more than {MAXIMUM_COMPARISONS} comparisons")
        return self._literal(node) if node.data == "literal" else self._comparison(node)

    def _literal(self, node: Node) -> Expression:
        literal = _literal(node.children)
        if self._kinds.get(SEARCHED_FIELD) is not Kind.TEXT:
            raise _refusal(literal.position, f"{shown(literal.text)} stands alone, a field is missing")
        return Comparison(SEARCHED_FIELD, Operator.HAS, literal.text)

    def _comparison(self, node: Node) -> Expression:
        left, comparator, right = node.children
        field, kind = self._field(left)
        literal = self._argument(cast("Node", right))
        if comparator == ":" and not literal.quoted and literal.text == "*":
            return Comparison(field, Operator.PRESENT, "")
        if kind is Kind.TEXT:
            return _text_comparison(field, str(comparator), literal)
        operator = Operator.EQUAL if comparator == ":" else Operator(comparator)
        try:
            return Comparison(field, operator, convert(kind, literal.text))
        except WrongValueError as error:
            raise _refusal(literal.position, f"{field}: {error}") from None

    def _field(self, node: Token | Node) -> tuple[str, Kind]:
        name = str(node) if isinstance(node, Token) else _path(node)
        if name not in self._kinds:
            raise _refusal(_start(node), f"{shown(name)} is not a field to filter by")
        return name, self._kinds[name]

    def _argument(self, node: Node) -> Literal:
        literal = _literal(node.children)
        if not literal.quoted and literal.text in self._kinds:
            what = f"the field {literal.text} cannot stand on the right; as a text it needs quotes"
            raise _refusal(literal.position, what)
        return literal


def _text_comparison(field: str, comparator: str, literal: Literal) -> Expression:
    if comparator == ":":
        return Comparison(field, Operator.HAS, literal.text)
    wildcard = literal.leading_wildcard or literal.trailing_wildcard
    if not wildcard or comparator not in ("=", "!="):
        return Comparison(field, Operator(comparator), literal.text)
    matching = _wildcard_comparison(field, literal)
    return matching if comparator == "=" else Not(matching)


def _wildcard_comparison(field: str, literal: Literal) -> Comparison:
    text = literal.text
    if literal.leading_wildcard and literal.trailing_wildcard:
        return Comparison(field, Operator.CONTAINS, text[1:-1])
    if literal.leading_wildcard:
        return Comparison(field, Operator.ENDS_WITH, text[1:])
    return Comparison(field, Operator.STARTS_WITH, text[:-1])


def _literal(children: list[Token | Node]) -> Literal:
    """Read a value from its tokens, one of which may be a minus."""
    for child in children:
        if isinstance(child, Tree):
            raise _refusal(_start(child), f"{shown(_path(child))} needs quotes to be a text, for it has a dot")
    written = "".join(str(child) for child in children)
    try:
        return read_literal(written, _start(children[0]))
    except WrongValueError as error:
        raise _refusal(_start(children[0]), str(error)) from None


def _factors(sequence: Node) -> list[Node]:
    """Return the parts of a sequence, between which the grammar lets white space be left out."""
    factors = _nodes(sequence)
    for left, right in pairwise(factors):
        if _end(left) == _start(right):
            raise _refusal(_start(right), "white space is missing here; there are no functions")
    return factors


def _deeper(node: Node, depth: int) -> int:
    if depth == MAXIMUM_DEPTH:
        raise _refusal(_start(node), f"nested more than {MAXIMUM_DEPTH} deep")
    return depth + 1


def _nodes(node: Node) -> list[Node]:
    return [child for child in node.children if isinstance(child, Tree)]


def _path(node: Node) -> str:
    return ".".join(str(child) for child in node.children)


def _start(node: Token | Node) -> int:
    while isinstance(node, Tree):
        node = node.children[0]
    return node.start_pos or 0


def _end(node: Token | Node) -> int:
    while isinstance(node, Tree):
        node = node.children[-1]
    return node.end_pos or 0


def _syntax_error(text: str, error: UnexpectedInput) -> InvalidArgumentError:
    if isinstance(error, UnexpectedCharacters):
        position = cast("int", error.pos_in_stream)  # declared as None by mistake
        if text[position] in "\"'":
            return _refusal(position, "the quote that begins here has no end")
        return _refusal(position, f"{shown(text[position])} has no meaning here; in a text it needs quotes")
    if isinstance(error, UnexpectedToken) and error.token.type != _END:
        return _refusal(_start(error.token), f"{shown(str(error.token))} is not expected here")
    unclosed = isinstance(error, UnexpectedToken) and "RIGHT_PARENTHESIS" in error.expected
    return _refusal(len(text), "a closing parenthesis is missing" if unclosed else "the end is not expected here")


def _refusal(position: int, what: str) -> InvalidArgumentError:
    return InvalidArgumentError([Violation(_FIELD, f"at character {position + 1}: {what}")])
