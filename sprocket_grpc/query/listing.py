"""The checked query of a List request."""

from dataclasses import dataclass

from sprocket_grpc.query.expression import Expression
from sprocket_grpc.query.order import OrderTerm


@dataclass(frozen=True)
class Query:
    """Which resources to list, and in what order.

    Attributes:
        filter: The filter expression. None matches all resources.
        order: The fields to order by. The id is always the last one.
    """

    filter: Expression | None = None
    order: tuple[OrderTerm, ...] = ()
