"""Parses filters (AIP-160) and checks them against the fields of a resource.

Lark runs the grammar in filter.lark. It is maintained, has no dependencies, and its LALR parser takes linear time and
does not recurse, so that no input can exhaust the stack. The check of the parsed tree recurses at most `MAXIMUM_DEPTH`
levels.
"""

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from sprocket_grpc.errors import InvalidArgumentError, Violation
from sprocket_grpc.query.expression import And, Comparison, Expression, Not, Operator, Or
from sprocket_grpc.query.times import compare_time, parse_time
from sprocket_grpc.query.values import InvalidValueError, Kind, Literal, convert, parse_literal, quoted

MAXIMUM_LENGTH = 2_000
MAXIMUM_DEPTH = 32
"""The largest nesting depth of parentheses and negations together."""

MAXIMUM_COMPARISONS = 100

SEARCHED_FIELD = "display_name"
"""The field in which a value without a field is searched."""

_FIELD = "filter"
_END = "$END"

Node = Tree[Token]


def parse_filter(text: str, kinds: Mapping[str, Kind]) -> Expression | None:
    """Return the expression of a filter, or None if the filter is empty and everything matches.

    Args:
        text: The filter.
        kinds: The kinds of the fields that can be filtered by.

    Raises:
        InvalidArgumentError: The filter is not valid. The text says why, and at which character.
    """
    if len(text) > MAXIMUM_LENGTH:
        violation = Violation(_FIELD, f"at most {MAXIMUM_LENGTH} characters are allowed, the filter has {len(text)}")
        raise InvalidArgumentError([violation])
    if not text.strip():
        return None
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise _syntax_error(text, error) from None
    return _Check(kinds).conjunction(cast("Node", tree.children[0]), 0)


@cache
def _parser() -> Lark:
    """Return the parser. Its tables take 30 ms, which the first filter waits for, and not the start of the server."""
    return Lark.open("filter.lark", rel_to=__file__, parser="lalr", lexer="basic")


class _Check:
    """Converts the parsed tree of a filter into an expression. Positions start at 0; error texts count from 1."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = kinds
        self._comparisons = 0

    def conjunction(self, node: Node, depth: int) -> Expression:
        """Return the expression of a conjunction, such as `a b AND c`."""
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
            raise _invalid(_start(node), f"at most {MAXIMUM_COMPARISONS} comparisons are allowed")
        return self._literal(node) if node.data == "literal" else self._comparison(node)

    def _literal(self, node: Node) -> Expression:
        literal = _literal(node.children)
        if self._kinds.get(SEARCHED_FIELD) is not Kind.TEXT:
            raise _invalid(
                literal.position, f"expected a field and an operator before the value {quoted(literal.text)}"
            )
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
            if kind is Kind.TIME:
                return compare_time(field, operator, parse_time(literal.text))
            return Comparison(field, operator, convert(kind, literal.text))
        except InvalidValueError as error:
            raise _invalid(literal.position, f"{field}: {error}") from None

    def _field(self, node: Token | Node) -> tuple[str, Kind]:
        name = str(node) if isinstance(node, Token) else _path(node)
        if name not in self._kinds:
            raise _invalid(_start(node), f"{quoted(name)} is not a field that can be filtered by")
        return name, self._kinds[name]

    def _argument(self, node: Node) -> Literal:
        literal = _literal(node.children)
        if not literal.quoted and literal.text in self._kinds:
            description = (
                f"a field such as {literal.text} cannot be the value of a comparison; quote it to use it as text"
            )
            raise _invalid(literal.position, description)
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
    """Return a value from its tokens, one of which may be a minus sign."""
    for child in children:
        if isinstance(child, Tree):
            raise _invalid(_start(child), f"{quoted(_path(child))} contains a dot; quote it to use it as text")
    written = "".join(str(child) for child in children)
    try:
        return parse_literal(written, _start(children[0]))
    except InvalidValueError as error:
        raise _invalid(_start(children[0]), str(error)) from None


def _factors(sequence: Node) -> list[Node]:
    """Return the factors of a sequence, and check the white space between them, which the grammar does not."""
    factors = _nodes(sequence)
    for left, right in pairwise(factors):
        if _end(left) == _start(right):
            raise _invalid(_start(right), "expected white space; functions are not supported")
    return factors


def _deeper(node: Node, depth: int) -> int:
    if depth == MAXIMUM_DEPTH:
        raise _invalid(_start(node), f"at most {MAXIMUM_DEPTH} levels of nesting are allowed")
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
        position = cast("int", error.pos_in_stream)  # wrongly typed as None in Lark
        if text[position] in "\"'":
            return _invalid(position, "the quote that starts here is not closed")
        return _invalid(position, f"unexpected {quoted(text[position])}; quote text that contains it")
    if isinstance(error, UnexpectedToken) and error.token.type != _END:
        return _invalid(_start(error.token), f"unexpected {quoted(str(error.token))}")
    unclosed = isinstance(error, UnexpectedToken) and "RIGHT_PARENTHESIS" in error.expected
    return _invalid(len(text), "expected a closing parenthesis" if unclosed else "unexpected end of the filter")


def _invalid(position: int, description: str) -> InvalidArgumentError:
    return InvalidArgumentError([Violation(_FIELD, f"at character {position + 1}: {description}")])
